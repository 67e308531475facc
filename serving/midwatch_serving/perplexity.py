"""Perplexity of a model under one arithmetic beside another: what quantised weights and activations cost in quality.

Perplexity is exp of the mean negative log-probability a token, over texts cut to one context each. Every token is
scored by the same path that `/admin/score` takes.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.figure import Figure
from midwatch_serving.executor import CpuExecutor
from midwatch_serving.loading import Arithmetic, ModelChoice
from midwatch_serving.model import Model
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.work import Work

BLOCK_SIZE = 16
CONTEXT = 768
"""Tokens of a text that are scored, at most."""
STANDARD_TEXTS = 16


@dataclass(frozen=True)
class Perplexity:
    """Perplexity over `tokens` scored tokens."""

    value: float
    tokens: int


def perplexity(executor: CpuExecutor, texts: Iterable[Sequence[int]]) -> Perplexity:
    """Return the perplexity over token sequences of two tokens at least, each within the executor's context."""
    total, count = 0.0, 0
    for text in texts:
        blocks = list(range(-(-len(text) // BLOCK_SIZE)))
        work = Work(list(text), 0, blocks, SamplingParams(max_tokens=1), None, score_from=1)
        scores = executor.execute([work]).scores[0]
        total -= math.fsum(scores)
        count += len(scores)
    return Perplexity(math.exp(total / count), count)


def executor_for(model: Model, kernel: str) -> CpuExecutor:
    """Return an executor for texts of `CONTEXT` tokens; compiled kernels are kept in the user's cache folder.

    Raises:
        CommandError: when the kernel does not run here, or not with this model.
    """
    cache = platformdirs.user_cache_path("midwatch", appauthor=False) / "kernels"
    blocks = -(-CONTEXT // BLOCK_SIZE)
    return Arithmetic(kernel, 1, cache).executor(
        model, num_blocks=blocks, block_size=BLOCK_SIZE, max_model_len=CONTEXT, max_rows=CONTEXT
    )


def texts_of(model: Model, paths: Sequence[Path]) -> list[list[int]]:
    """Return the tokens of files, or of the longest modules beside Python's `argparse` when none are given.

    Raises:
        CommandError: when a file cannot be read.
    """
    if not paths:
        beside = Path(argparse.__file__).parent.glob("*.py")
        paths = sorted(sorted(beside, key=lambda path: -path.stat().st_size)[:STANDARD_TEXTS])
    try:
        texts = [model.tokenizer.encode(path.read_text("utf-8")[: CONTEXT * 12])[:CONTEXT] for path in paths]
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--text: {error}") from error
    if any(len(text) < 2 for text in texts):  # noqa: PLR2004 (one is given, one is scored)
        raise CommandError("--text: a text needs two tokens at least")
    return texts


def bench_perplexity(arguments: argparse.Namespace, settings: Settings) -> int:
    """`midwatch bench perplexity`: print one figure; the baseline is the fp32 reference."""
    model = ModelChoice(arguments.model, 0, settings.state / "models").load()
    texts = texts_of(model, arguments.text)
    sys.stderr.write(f"{sum(map(len, texts))} tokens of {len(texts)} texts, on fp32 and on {arguments.kernel}\n")
    found = perplexity(executor_for(model, arguments.kernel), texts)
    reference = perplexity(executor_for(model, "reference"), texts)
    figure = Figure(
        name=f"perplexity_{arguments.kernel}",
        value=float(f"{found.value:.5g}"),
        unit="",
        baseline=float(f"{reference.value:.5g}"),
        ratio=float(f"{found.value / reference.value:.5g}"),
        command=f"midwatch bench perplexity --model {arguments.model} --kernel {arguments.kernel}",
    )
    sys.stdout.write(figure.model_dump_json() + "\n")
    return 0
