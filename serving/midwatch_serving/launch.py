"""Starts the server with one computing thread. BLAS reads its thread count when numpy is loaded, hence a module apart.

One thread a replica: two of them on two busy cores make a step ten times slower at its median (reference measurements),
and the CPU limit counts the one thread that computes.
"""

import argparse
import importlib
import os

from midwatch_contracts.command import Settings

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def serve(arguments: argparse.Namespace, settings: Settings | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    options = importlib.import_module("midwatch_serving.options").parse_options(
        arguments, os.environ, None if settings is None else settings.state
    )
    code: int = importlib.import_module("midwatch_serving.server").run(options)
    return code
