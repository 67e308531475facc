"""Starts what computes with one thread, as the server does: BLAS reads its thread count when numpy is loaded."""

import argparse
import importlib
import os

from midwatch_contracts.command import Settings
from midwatch_serving.launch import THREAD_VARIABLES


def serve(arguments: argparse.Namespace, settings: Settings | None = None) -> int:
    """Run `bench serve`; return the exit code."""
    return _run("midwatch_serving.bench_serve", "serve", arguments, settings)


def simulator(arguments: argparse.Namespace, settings: Settings | None = None) -> int:
    """Run `bench simulator`; return the exit code."""
    return _run("midwatch_serving.simulator_bench", "run", arguments, settings)


def ablations(arguments: argparse.Namespace, settings: Settings | None = None) -> int:
    """Run `bench ablations`; return the exit code."""
    return _run("midwatch_serving.ablations", "run", arguments, settings)


def perplexity(arguments: argparse.Namespace, settings: Settings | None = None) -> int:
    """Run `bench perplexity`; return the exit code."""
    return _run("midwatch_serving.perplexity", "bench_perplexity", arguments, settings)


def what_if(arguments: argparse.Namespace, settings: Settings | None = None) -> int:
    """Run `what-if`; return the exit code."""
    return _run("midwatch_serving.what_if_command", "run", arguments, settings)


def _run(module: str, name: str, arguments: argparse.Namespace, settings: Settings | None) -> int:
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    code: int = getattr(importlib.import_module(module), name)(arguments, settings)
    return code
