"""The process: builds the service, listens, and ends well.

SIGTERM and SIGINT: no new requests (`/health` answers 503), what runs is finished within the grace, the rest aborted,
exit 0. A second signal, or the end of standard input with `--exit-with-stdin`, takes no grace. An engine that dies ends
the process with 1, so that whoever started it starts it again.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, TypeVar

import uvicorn

from midwatch_contracts.clock import Clock, WallClock
from midwatch_contracts.command import CommandError
from midwatch_contracts.exit_codes import Exit
from midwatch_serving.access import guards
from midwatch_serving.api import build_app
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.config import ConfigResource
from midwatch_serving.cost_model import CostModel
from midwatch_serving.cost_model import load as load_cost_model
from midwatch_serving.energy import best_meter
from midwatch_serving.engine import Engine
from midwatch_serving.errors import ConfigError, CostModelError
from midwatch_serving.loading import CACHE_DTYPES
from midwatch_serving.metric_sources import Served, connect
from midwatch_serving.metrics import CacheInfo, Metrics
from midwatch_serving.mfu import Estimates
from midwatch_serving.model import Model
from midwatch_serving.operations import Operations
from midwatch_serving.options import Options
from midwatch_serving.reference import ReferenceRunner
from midwatch_serving.scheduler import Scheduler
from midwatch_serving.service import Service
from midwatch_serving.settings import SETTINGS, EngineSettings, Values
from midwatch_serving.simulated import SimulatedExecutor
from midwatch_serving.sleepable import SleepableExecutor
from midwatch_serving.throttle import Throttle
from midwatch_serving.tracing import OtlpExport, SpanTracing, Tracing
from midwatch_serving.work import Executor

log = logging.getLogger("midwatch.serving")

T = TypeVar("T")

REPORT_S = 10.0
"""Seconds between two lines about the load, while there is any."""
UNREAD_S = 60.0
"""A client that takes nothing for so long is cut off, where the system can tell."""
GIL_SWITCH_S = 0.0005
"""The event loop must not wait 5 ms, Python's default, for each turn beside a computing step."""


def run(options: Options) -> int:
    """Serve until told to stop; return the exit code.

    Raises:
        CommandError: when the options make no sense, or the address cannot be had.
    """
    _log_to_stderr()
    sys.setswitchinterval(GIL_SWITCH_S)
    with _listen(options.host, options.port) as listener:
        return asyncio.run(_serve(options, listener))


def build_service(
    options: Options,
    model: Model,
    clock: Clock,
    *,
    reload: Callable[[], Model] | None = None,
    tracing: Tracing | None = None,
) -> Service:
    """Wire model, scheduler, engine, metrics and configuration together; `reload` reads the model's weights again.

    Raises:
        CommandError: when a value is not acceptable.
    """
    scheduler: Scheduler | None = None

    def apply(values: Values) -> None:
        if scheduler is not None:
            scheduler.set_limits(**values)
            log.info("configuration: %s", ", ".join(f"{name}={value}" for name, value in values.items()))

    arguments: Values = {name: getattr(options, name) for name in SETTINGS}
    try:
        config = ConfigResource(arguments, apply=apply, store=options.config_store)
    except ConfigError as error:
        raise CommandError(f"--{str(error).replace('_', '-', error.field.count('_'))}") from error
    settings = EngineSettings.of(config.current.values)
    num_blocks, block_size, max_len = settings.num_gpu_blocks_override, settings.block_size, settings.max_model_len
    if max_len > model.config.context:
        raise CommandError(
            f"--max-model-len {max_len}: {model.name} was made for {model.config.context} tokens; give that or less"
        )
    scheduler = Scheduler(
        BlockManager(num_blocks, block_size, enable_prefix_caching=settings.enable_prefix_caching),
        settings.limits,
        max_model_len=max_len,
        clock=clock,
        eos=model.tokenizer.eos,
    )
    simulated = _cost_model(options, model.name)
    kind = ReferenceRunner.name if simulated is not None else options.arithmetic.kind(model, block_size)
    weight = 4 if kind == ReferenceRunner.name else 1
    metrics = Metrics(
        scheduler,
        model_name=options.served_model_name,
        max_model_len=max_len,
        cache=CacheInfo(
            block_size,
            num_blocks,
            num_blocks,
            enable_prefix_caching=settings.enable_prefix_caching,
            cache_dtype=CACHE_DTYPES[kind],
        ),
        fine=options.fine_buckets,
        custom_buckets=options.custom_buckets,
        estimates=Estimates(model.config, bytes_per_weight=weight) if options.enable_mfu_metrics else None,
    )

    def build(model: Model) -> Executor:
        if simulated is not None:
            return SimulatedExecutor(simulated, model.tokenizer)
        return options.arithmetic.executor(
            model,
            num_blocks=num_blocks,
            block_size=block_size,
            max_model_len=max_len,
            max_rows=settings.limits.max_num_batched_tokens,
        )

    executor = SleepableExecutor(model, build, reload)
    engine = Engine(
        scheduler,
        executor,
        model.tokenizer,
        metrics=metrics,
        clock=clock,
        throttle=Throttle(options.cpu_limit),
        tracing=tracing,
        inline=simulated is not None,
    )
    operations = Operations(engine, clock, executor)
    version = importlib.metadata.version("midwatch")
    energy = best_meter(options.watts_per_core)
    metrics.watch_process()
    connect(
        metrics,
        engine=engine,
        operations=operations,
        config=config,
        energy=energy,
        served=Served(model.name, model.config, max_len, version),
        clock=clock,
    )
    return Service(
        engine=engine,
        operations=operations,
        config=config,
        metrics=metrics,
        energy=energy,
        clock=clock,
        model_name=options.served_model_name,
        model_root=model.name,
        model_about=model.about if simulated is None else f"simulated: {simulated.about}",
        version=version,
        created=int(clock.now()),
        cost_model=None if simulated is None else simulated.name,
        cpu_limit=options.cpu_limit,
    )


def _cost_model(options: Options, model: str) -> CostModel | None:
    if options.executor != "simulated":
        return None
    try:
        return load_cost_model(options.cost_model or f"cpu-{model}")
    except CostModelError as error:
        raise CommandError(f"--cost-model: {error}") from error


class _Http(uvicorn.Server):
    """uvicorn without signal handlers of its own: stopping is decided here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _Stop:
    """When to stop, and how much time is left for what runs."""

    def __init__(self, grace: float) -> None:
        self.asked = asyncio.Event()
        self.now = asyncio.Event()
        self._grace = grace

    def ask(self, why: str, *, at_once: bool = False) -> None:
        """Ask to stop; asked twice, or `at_once`, there is no grace."""
        at_once = at_once or self.asked.is_set() or self._grace == 0
        log.info("stopping: %s%s", why, "" if at_once else f", {self._grace:g} s for what runs")
        self.asked.set()
        if at_once:
            self.now.set()


async def _serve(options: Options, listener: socket.socket) -> int:
    export = (
        None
        if options.otlp_traces_endpoint is None
        else OtlpExport(options.otlp_traces_endpoint, version=importlib.metadata.version("midwatch"))
    )
    tracing = None if export is None else SpanTracing(export.provider, options.served_model_name)
    load = options.choice.load
    service = build_service(options, load(), WallClock(), reload=load, tracing=tracing)
    stop = _Stop(options.shutdown_grace)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.ask, signal.Signals(number).name)
    if options.exit_with_stdin:
        _watch_stdin(lambda: loop.call_soon_threadsafe(lambda: stop.ask("standard input ended", at_once=True)))
    http = _Http(
        uvicorn.Config(
            build_app(
                service,
                traced=tracing is not None,
                guards=guards(options.api_keys, options.rate_limit, service.clock),
            ),
            limit_concurrency=options.max_connections,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )
    async with _task(service.engine.run(), "engine") as engine, _task(http.serve([listener]), "http") as serving:
        async with _task(_report(service), "report"), _task(stop.asked.wait(), "stop") as stopped:
            _announce(options, listener, service)
            await asyncio.wait({engine, serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                await _drain(service, stop, options.shutdown_grace)
        died = engine.exception() if engine.done() else None
        http.should_exit = True
        await serving
    if export is not None:
        await asyncio.to_thread(export.close)
    if died is not None:
        log.critical("the engine died", exc_info=died)
        return Exit.INTERNAL
    log.info("stopped")
    return Exit.OK


async def _drain(service: Service, stop: _Stop, grace: float) -> None:
    service.draining = True
    async with _task(service.engine.idle.wait(), "idle") as idle, _task(stop.now.wait(), "now") as now:
        patience = 0 if service.operations.is_paused else grace  # what is held does not finish
        await asyncio.wait({idle, now}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    aborted = service.engine.abort_all()
    if aborted:
        log.warning("aborted %d request(s) that were not finished in time", aborted)


async def _report(service: Service) -> None:
    """Write a line about the load now and then, for whoever reads the log."""
    scheduler, metrics = service.engine.scheduler, service.metrics
    before = (0, 0)
    while True:
        await service.clock.sleep(REPORT_S)
        service.energy.joules()  # the processors' counters wrap, and nobody may scrape
        now = (metrics.prompt_total, metrics.generation_total)
        if now != before or scheduler.has_work:
            log.info(
                "running %d, waiting %d, KV cache %.0f %%, prompt %.0f tok/s, generation %.0f tok/s",
                len(scheduler.running),
                len(scheduler.waiting),
                100 * scheduler.blocks.usage,
                (now[0] - before[0]) / REPORT_S,
                (now[1] - before[1]) / REPORT_S,
            )
        before = now


@contextlib.asynccontextmanager
async def _task(coroutine: Coroutine[Any, Any, T], name: str) -> AsyncGenerator[asyncio.Task[T]]:
    """Run a coroutine beside the block; it is cancelled, and waited for, at the block's end."""
    task = asyncio.create_task(coroutine, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def _announce(options: Options, listener: socket.socket, service: Service) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    blocks = service.engine.scheduler.blocks
    limit = "no CPU limit" if options.cpu_limit is None else f"CPU limit {options.cpu_limit:g}"
    log.info(
        "serving %s as %s on %s: %d KV blocks of %d tokens, max_num_seqs=%d, %s",
        service.model_about,
        service.model_name,
        url,
        blocks.num_blocks,
        blocks.block_size,
        service.engine.scheduler.limits.max_num_seqs,
        limit,
    )
    facts = {"url": url, "host": host, "port": port, "pid": os.getpid(), "model": service.model_name}
    sys.stdout.write((json.dumps(facts) if options.json else url) + "\n")
    sys.stdout.flush()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; a connection inherits it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_S * 1000))
        listener.bind(address)
        listener.listen(256)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port}: {error.strerror or error}. Give another --port (0 takes a free one)"
        ) from error
    return listener


def _watch_stdin(ended: Callable[[], object]) -> None:
    def read() -> None:
        with contextlib.suppress(OSError):  # a closed descriptor is an end too
            while os.read(0, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop is closed: it is ending anyway
            ended()

    threading.Thread(target=read, name="stdin", daemon=True).start()


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(logging.INFO)
