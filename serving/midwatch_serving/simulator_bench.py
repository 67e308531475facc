"""`midwatch bench simulator`: fits a cost model to the engine on this machine, then tests its predictions on it."""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import platformdirs

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.calibration import Bounds, design, fit, measure
from midwatch_serving.cost_model import Cache, CostModel, ErrorBand, dump
from midwatch_serving.deployment import Deployment
from midwatch_serving.engine import Engine
from midwatch_serving.limits import Limits
from midwatch_serving.loading import Arithmetic, ModelChoice
from midwatch_serving.machine import machine
from midwatch_serving.metrics import CacheInfo, Metrics
from midwatch_serving.model import Model
from midwatch_serving.practice import Subject, overhead, practice, serve
from midwatch_serving.scheduler import Scheduler
from midwatch_serving.throttle import Throttle
from midwatch_serving.validation import Trial, error_band, in_process, loads, validate
from midwatch_serving.watched import WatchedExecutor

GIL_SWITCH_S = 0.0005
"""As the server sets it."""
_GUESS = "a guess: on the machine of the fit no two runs of a load agreed in every figure, or none was made"
UNKNOWN = ErrorBand(ttft_p50=0.5, ttft_p95=0.5, tpot_p50=0.5, tpot_p95=0.5, basis=_GUESS)


def run(arguments: argparse.Namespace, settings: Settings | None = None) -> int:
    """Fit, validate, print one JSON line a figure; 1 when a prediction fails."""
    sys.setswitchinterval(GIL_SWITCH_S)
    if not 1 <= arguments.seconds <= 600:  # noqa: PLR2004 (ten minutes a run are enough for anybody)
        raise CommandError(f"--seconds {arguments.seconds}: give 1 to 600")
    return asyncio.run(_bench(arguments, None if settings is None else settings.state / "models"))


async def _bench(arguments: argparse.Namespace, store: Path | None) -> int:
    model = ModelChoice(arguments.model, arguments.seed, arguments.download_dir or store).load()
    arithmetic = Arithmetic(
        arguments.kernel, cache=arguments.kernel_cache or platformdirs.user_cache_path("midwatch") / "kernels"
    )
    deployment = Deployment(
        Limits(arguments.max_num_seqs, arguments.max_num_batched_tokens),
        num_blocks=arguments.num_gpu_blocks_override,
        block_size=arguments.block_size,
        max_model_len=arguments.max_model_len,
    )
    async with running(model, arithmetic, deployment) as subject:
        cost = await _fitted(arguments, model, subject)
        trials = [] if arguments.calibrate_only else await _validated(arguments, cost, subject)
    if arguments.save is not None:
        _save(arguments.save, cost, trials)
    elif arguments.calibrate_only:
        sys.stdout.write(dump(cost))
    return Exit.OK if all(v.passed for trial in trials for v in trial.verdicts) else Exit.INTERNAL


@contextlib.asynccontextmanager
async def running(model: Model, arithmetic: Arithmetic, deployment: Deployment) -> AsyncGenerator[Subject]:
    """Run an engine as the server would."""
    d = deployment
    clock = WallClock()
    blocks = BlockManager(d.num_blocks, d.block_size)
    scheduler = Scheduler(blocks, d.limits, max_model_len=d.max_model_len, clock=clock)
    cache = CacheInfo(d.block_size, d.num_blocks, d.num_blocks)
    metrics = Metrics(scheduler, model_name=model.name, max_model_len=d.max_model_len, cache=cache)
    computing = arithmetic.executor(
        model,
        num_blocks=d.num_blocks,
        block_size=d.block_size,
        max_model_len=d.max_model_len,
        max_rows=d.limits.max_num_batched_tokens,
    )
    executor = WatchedExecutor(computing)
    engine = Engine(scheduler, executor, model.tokenizer, metrics=metrics, clock=clock, throttle=Throttle(d.cpu_limit))
    bounds = Bounds(
        num_blocks=d.num_blocks,
        block_size=d.block_size,
        max_model_len=d.max_model_len,
        max_num_seqs=d.limits.max_num_seqs,
        max_num_batched_tokens=d.limits.max_num_batched_tokens,
    )
    serving = asyncio.create_task(engine.run())
    try:
        yield Subject(engine, executor, bounds, deployment, computing.runner.name)
    finally:
        serving.cancel()
        await asyncio.wait({serving})


async def _fitted(arguments: argparse.Namespace, model: Model, subject: Subject) -> CostModel:
    batches = design(subject.bounds)
    _say(f"fitting {model.name} to {len(batches)} batches, {arguments.rounds} rounds, and practice loads …")
    seconds = measure(subject.executor, batches, subject.bounds, rounds=arguments.rounds)
    runs = await serve(subject, practice(subject.bounds, seed=arguments.seed + 1), seed=arguments.seed + 1)
    found = fit(batches, seconds, subject.bounds, [step for steps in runs for step in steps])
    _say(found.line())
    cost = CostModel(
        name=arguments.name or f"cpu-{model.name}",
        about=f"{model.name} on the CPU engine, {subject.kernel} arithmetic, one thread, {machine()}",
        source=(f"fitted by `{_command(arguments)}`: {found.line()}",),
        uncertainty="Fitted on one machine, in CPU time; another is as much slower as its cores are. What HTTP adds to "
        "a first token, some ms, is not in it.",
        max_model_len=model.config.context,
        cache=Cache(block_size=subject.bounds.block_size, num_blocks=subject.bounds.num_blocks),
        row_knots=found.knots,
        seconds=found.seconds,
        error=UNKNOWN,
    )
    around = await overhead(subject, runs, seed=arguments.seed)
    _say(
        f"Python around a step: {1000 * around.step:.3f} ms, {1000 * around.sequence:.3f} ms a sequence, "
        f"{1000 * around.wake:.3f} ms after a pause"
    )
    return cost.model_copy(update={"overhead": around})


async def _validated(arguments: argparse.Namespace, cost: CostModel, subject: Subject) -> list[Trial]:
    command, trials = _command(arguments), list[Trial]()
    for load in loads(cost, subject.deployment, seconds=arguments.seconds, seed=arguments.seed):
        rate = load.workload.rate or 0.0
        _say(f"{load.name}: {len(load.workload.requests)} requests, {rate:.2f} a second, twice …")
        trial = await validate(subject, in_process(cost), load, seed=arguments.seed)
        predicted, slow = trial.predicted[0], trial.slowdown
        _say(
            f"  steps take {trial.pace:.2f} x the fitted, neighbours took {1 - 1 / slow.decode:.0%} of decodes and "
            f"{1 - 1 / slow.prefill:.0%} of prefills; simulated in {predicted.wall_s:.3f} s: "
            f"{predicted.events_per_s:.0f} events/s, {predicted.tokens_per_s:.0f} tokens/s"
        )
        for verdict in trial.verdicts:
            _print({**verdict.body(command), "neighbours": round(1 - 1 / max(slow.decode, slow.prefill), 3)})
        _print(
            {
                "name": f"simulator_{load.name}_events_per_s",
                "value": round(predicted.events_per_s),
                "unit": "events/s",
                "tokens_per_s": round(predicted.tokens_per_s),
                "command": command,
            }
        )
        trials.append(trial)
    verdicts = [verdict for trial in trials for verdict in trial.verdicts]
    failed = [f"{v.load} {v.figure}" for v in verdicts if not v.passed]
    _say(
        f"{len(verdicts) - len(failed)} of {len(verdicts)} figures within their tolerance"
        + "".join(f"; failed: {', '.join(failed)}" if failed else "")
    )
    return trials


def _save(path: Path, cost: CostModel, trials: list[Trial]) -> None:
    basis = f"measured: widest error of `midwatch bench simulator` on {machine()}, where two runs of a load agreed"
    band = error_band([verdict for trial in trials for verdict in trial.verdicts], basis)
    if band is None:
        _say("the saved error is a guess: on this machine no two runs of a load agreed")
    else:
        cost = cost.model_copy(update={"error": band})
    try:
        path.write_text(dump(cost), "utf-8")
    except OSError as error:
        raise CommandError(f"--save {path}: {error.strerror or error}") from error
    _say(f"wrote {path}")


def _command(arguments: argparse.Namespace) -> str:
    chosen = f"--model {arguments.model} --max-num-seqs {arguments.max_num_seqs}"
    return f"midwatch bench simulator {chosen} --seconds {arguments.seconds:g}"


def _print(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
