"""What each scheduling mechanism is worth: claims of papers, held against our engine."""

import argparse
import math
import random
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import platformdirs

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.figure import Figure
from midwatch_serving.ablation import BLOCK_SIZE, Ablation, Arrival, Served, Side
from midwatch_serving.limits import Limits
from midwatch_serving.loading import Arithmetic, ModelChoice
from midwatch_serving.model import Model, tiny
from midwatch_serving.work import Executor

PREEMPTION = "preemption_req_s"


@dataclass(frozen=True)
class Bench:
    """A model and its arithmetic. Executors are built for one ablation each."""

    model: Model
    arithmetic: Arithmetic

    def executor(self, *sides: Side) -> Executor:
        """Return an executor that has room for each of the sides."""
        return self.arithmetic.executor(
            self.model,
            num_blocks=max(side.num_blocks for side in sides),
            block_size=BLOCK_SIZE,
            max_model_len=max(side.max_model_len for side in sides),
            max_rows=max(side.limits.max_num_batched_tokens for side in sides),
        )

    def run(self, ablation: Ablation) -> Figure:
        """Measure one ablation."""
        return ablation.run(self.executor(ablation.on, ablation.off))


def text(length: int, seed: int) -> tuple[int, ...]:
    """Return tokens that any of our models knows, printable characters of the tiny one."""
    dice = random.Random(seed)  # noqa: S311 (a load)
    return tuple(dice.randrange(32, 127) for _ in range(length))


def chunked_prefill() -> Ablation:
    """Let long prompts arrive while four answers are being written (Sarathi-Serve, Agrawal et al. 2024).

    The figure is the 99th percentile of the time between two tokens of those four.
    """
    writers, answer, longest, length = 4, 60, 1024, 768
    load = [Arrival(text(16, i), answer, answer) for i in range(writers)]
    load += [Arrival(text(length, 50 + i), 1, 1, after_tokens=writers * (10 + 25 * i)) for i in range(2)]
    limits = Limits(max_num_seqs=8, max_num_batched_tokens=64)
    on = Side(limits, num_blocks=256, max_model_len=longest)
    whole = replace(limits, enable_chunked_prefill=False, max_num_batched_tokens=longest)
    return Ablation(
        "chunked_prefill_itl_p99_ms", "ms", load, on, replace(on, limits=whole), lambda s: _p99_ms(s.gaps[:writers])
    )


def prefix_cache() -> Ablation:
    """Serve requests one after another that share a prefix of a thousand tokens, as agents and chats do (SGLang).

    The figure is the median time to first token of those after the first.
    """
    answer, prefix = 2, text(1024, 1)
    load = [Arrival((*prefix, *text(16, 10 + i)), answer, answer, after_tokens=answer * i) for i in range(4)]
    off = Side(Limits(4, 2048), num_blocks=128, max_model_len=2048)
    on = replace(off, enable_prefix_caching=True)
    return Ablation("prefix_cache_ttft_ms", "ms", load, on, off, _median_warm_ttft_ms, rounds=1)


def paging() -> Ablation:
    """Serve short requests in a cache that holds two of the longest (PagedAttention, Kwon et al. 2023).

    Off reserves the longest context for everyone, as a contiguous cache must. The figure is generated tokens a second.
    """
    longest, answer = 256, 32
    load = [Arrival(text(16, i), answer, answer) for i in range(24)]
    on = Side(Limits(8, 256), num_blocks=2 * longest // BLOCK_SIZE, max_model_len=longest)
    off = replace(on, reservation="whole_context")
    return Ablation("paged_tok_s", "tokens/s", load, on, off, lambda s: s.num_tokens / s.seconds)


def preemption() -> Ablation:
    """Serve clients that ask for more than they take, all at once (vLLM's recomputation).

    On gives each the blocks of what it has and preempts the latest when they run out; off reserves all that a request
    asks for before it starts, so that nothing is ever preempted and less runs at a time. The figure is requests served
    a second, over the whole burst.
    """
    asked, dice = 192, random.Random(5)  # noqa: S311 (a load)
    takes = [dice.randint(8, 120) for _ in range(40)]
    load = [Arrival(text(24, i), asked, enough) for i, enough in enumerate(takes)]
    on = Side(Limits(8, 256), num_blocks=32, max_model_len=256)
    off = replace(on, reservation="whole_request")
    return Ablation(PREEMPTION, "requests/s", load, on, off, lambda served: len(load) / served.seconds)


def figures(bench: Bench, only: str = "") -> Iterator[Figure]:
    """Measure all four, or those whose name contains `only`."""
    for ablation in (chunked_prefill(), prefix_cache(), paging()):
        if only in ablation.name:
            yield bench.run(ablation)
    if only in PREEMPTION:
        yield _preemption_figure(bench)


def run(arguments: argparse.Namespace, settings: Settings | None = None) -> int:
    """Print one JSON line a figure of the model that was asked for.

    Raises:
        CommandError: when there is no such model, kernel or figure.
    """
    store = None if settings is None else settings.state / "models"
    model = ModelChoice(arguments.model, arguments.seed, arguments.download_dir or store).load()
    cache = arguments.kernel_cache or platformdirs.user_cache_path("midwatch") / "kernels"
    found = 0
    for figure in figures(Bench(model, Arithmetic(arguments.kernel, cache=cache)), arguments.figure or ""):
        command = f"midwatch bench ablations --model {arguments.model} --figure {figure.name}"
        sys.stdout.write(figure.model_copy(update={"command": command}).model_dump_json() + "\n")
        sys.stdout.flush()
        found += 1
    if not found:
        raise CommandError(f"--figure {arguments.figure}: no ablation has such a name", Exit.BAD_INPUT)
    return Exit.OK


def chunked_prefill_figure() -> Iterable[Figure]:
    """Measure inter-token latency beside a long prompt, chunked and whole, on the tiny model."""
    yield _tiny().run(chunked_prefill())


def prefix_cache_figure() -> Iterable[Figure]:
    """Measure time to first token behind a shared prefix, cached and not, on the tiny model."""
    yield _tiny().run(prefix_cache())


def paging_figure() -> Iterable[Figure]:
    """Measure throughput in a small cache, paged and contiguous, on the tiny model."""
    yield _tiny().run(paging())


def preemption_figure() -> Iterable[Figure]:
    """Measure requests a second with preemption and with reservation, on the tiny model."""
    yield _preemption_figure(_tiny())


def _preemption_figure(bench: Bench) -> Figure:
    room = Side(Limits(8, 256), num_blocks=32, max_model_len=256)
    executor = bench.executor(room)
    return preemption().run(executor)


def _tiny() -> Bench:
    return Bench(tiny(0), Arithmetic())


def _p99_ms(gaps: list[list[float]]) -> float:
    pooled = sorted(gap for some in gaps for gap in some)
    return 1000 * pooled[math.ceil(0.99 * len(pooled)) - 1]


def _median_warm_ttft_ms(served: Served) -> float:
    return 1000 * statistics.median((s.first_token or math.inf) - s.arrived for s in served.sequences[1:])
