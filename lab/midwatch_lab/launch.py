"""`midwatch lab up|status|down|export|load|promqltest|rules`."""

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import httpx2

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.promql import Features, PromqlError
from midwatch_lab.alertmanager.config import Config, read_config
from midwatch_lab.errors import ClientError, LabError
from midwatch_lab.exporters.state.allowlist import Allowed, read_allowlist
from midwatch_lab.exporters.state.kinds import LABELLED
from midwatch_lab.files import LAB_FILE, LabInfo, remove_files
from midwatch_lab.kubelet.commands import ProcessCommand
from midwatch_lab.kubelet.playing import Rule, playing
from midwatch_lab.lab import Lab, LabOptions
from midwatch_lab.load.command import main as load
from midwatch_lab.manifests.exporting import export
from midwatch_lab.manifests.reading import Manifest, read_manifests
from midwatch_lab.metrics.promqltest.command import main as promqltest
from midwatch_lab.metrics.retention import Retention
from midwatch_lab.metrics.ruletest.command import main as rules
from midwatch_lab.metrics.samples_command import main as samples
from midwatch_lab.metrics.scrape_config import Job, read_jobs
from midwatch_lab.scraping import SERVICES_JOB

_DOWN_WITHIN_S: Final = 20.0
_PROBE_S: Final = 2.0
_CHUNK: Final = 4096
_COLLECT: Final = (20_000, 50, 100)


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run one of the actions."""
    if arguments.action == "promqltest":
        return promqltest(arguments)
    if arguments.action == "rules":
        return rules(arguments, _features(arguments.enable_feature))
    return _in_folder((arguments.dir or settings.lab or settings.state / "lab").resolve(), arguments)


def _in_folder(folder: Path, arguments: argparse.Namespace) -> int:
    match arguments.action:
        case "up":
            return _up(folder, arguments)
        case "status":
            return _status(folder, as_json=arguments.json)
        case "load":
            return load(arguments, folder)
        case "samples":
            return samples(arguments, folder)
        case "export":
            return _export(folder, arguments.to, as_json=arguments.json)
        case _:
            return _down(folder, as_json=arguments.json)


def _up(folder: Path, arguments: argparse.Namespace) -> int:
    running = running_lab(folder)
    if running is not None:
        text = f"a lab runs in {folder} already (process {running.pid}): end it with `midwatch lab down --dir {folder}`"
        raise CommandError(f"{text}, or give another --dir")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    remove_files(folder)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    options = LabOptions(
        folder,
        port=arguments.port,
        rules=_rules(arguments.rules),
        alertmanager=_alertmanager(arguments.alertmanager),
        store=arguments.store,
        promql=_features(arguments.enable_feature),
        metric_labels=_metric_labels(arguments.metric_labels_allowlist),
        manifests=_manifests(arguments.manifests, keep_owners=arguments.keep_owners),
        scrape=_jobs(arguments.scrape_config),
        remote_write=arguments.remote_write,
        retention=_retention(arguments.metrics_retention, arguments.metrics_retention_size),
        nodes=tuple(dict.fromkeys(arguments.node)) or 2,
        process_command=_playing(arguments.play),
    )
    return asyncio.run(_run(options, arguments))


def _retention(time_text: str, size: str) -> Retention:
    try:
        return Retention.read(time_text, size)
    except LabError as error:
        raise CommandError(str(error)) from error


def _playing(texts: list[str]) -> ProcessCommand:
    try:
        return playing([Rule.read(text) for text in texts])
    except LabError as error:
        raise CommandError(f"--play: {error}") from error


def _features(names: list[str]) -> Features:
    try:
        return Features.of(name for given in names for name in given.split(",") if name)
    except PromqlError as error:
        raise CommandError(str(error)) from error


def _metric_labels(text: str) -> Allowed:
    try:
        return read_allowlist(text, LABELLED)
    except LabError as error:
        raise CommandError(f"--metric-labels-allowlist: {error}") from error


def _manifests(path: Path | None, *, keep_owners: bool) -> tuple[Manifest, ...]:
    try:
        return () if path is None else tuple(read_manifests(path, keep_owners=keep_owners))
    except LabError as error:
        raise CommandError(str(error)) from error


def _rules(path: Path | None) -> str | None:
    return None if path is None else _text(path)


def _jobs(path: Path | None) -> tuple[Job, ...]:
    if path is None:
        return (SERVICES_JOB,)
    try:
        return read_jobs(_text(path))
    except LabError as error:
        raise CommandError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error


def _alertmanager(path: Path | None) -> Config | None:
    try:
        return None if path is None else read_config(_text(path))
    except LabError as error:
        raise CommandError(f"{path}: {error}") from error


async def _run(options: LabOptions, arguments: argparse.Namespace) -> int:
    try:
        lab = Lab(options)
    except LabError as error:
        raise CommandError(str(error)) from error
    code = Exit.OK
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        nonlocal code
        code = Exit.INTERRUPTED
        lab.end()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    loop.add_signal_handler(signal.SIGTERM, lab.end)
    if arguments.exit_with_stdin:
        _watch_stdin(loop, lab)
    try:
        info = await lab.start()
        _spare_collections()
        _say(info, as_json=arguments.json)
        await lab.wait()
    except LabError as error:
        raise CommandError(str(error)) from error
    finally:
        await lab.stop()
    return code


def _spare_collections() -> None:
    """Have the garbage collector look seldom, and not at what is there from the start.

    The lab's objects are trees, which go without it; a look at some thousands of them holds every request up for 0.1 s.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)


def _watch_stdin(loop: asyncio.AbstractEventLoop, lab: Lab) -> None:
    """End the lab at the end of standard input, so that a parent that is killed leaves nothing behind."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(sys.stdin.fileno(), _CHUNK):
                pass
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself meanwhile
            loop.call_soon_threadsafe(lab.end)

    threading.Thread(target=watch, name="stdin", daemon=True).start()


def _say(info: LabInfo, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(info.to_json()), flush=True)  # noqa: T201 (the answer)
        return
    lines = (
        f"lab up at {info.url} (cluster {info.cluster}); Ctrl-C ends it",
        f"  kubectl:     export KUBECONFIG={info.kubeconfig}",
        f"  Prometheus:  {info.prometheus}",
        f"  Midwatch:    export MIDWATCH_LAB={info.dir}",
    )
    print("\n".join(lines), flush=True)  # noqa: T201 (the answer)


def running_lab(folder: Path) -> LabInfo | None:
    """Return the lab that runs in a folder, or None; a `lab.json` whose process is gone counts as none."""
    if not (folder / LAB_FILE).exists():
        return None
    info = LabInfo.read(folder)
    try:
        answer: dict[str, Any] = httpx2.get(f"{info.url}/lab/healthz", timeout=_PROBE_S, trust_env=False).json()
    except (httpx2.HTTPError, ValueError):
        return None
    return info if answer.get("pid") == info.pid and answer.get("cluster") == info.cluster else None


def _status(folder: Path, *, as_json: bool) -> int:
    try:
        info = running_lab(folder)
    except ClientError as error:
        raise CommandError(str(error)) from error
    if info is None:
        raise CommandError(f"no lab runs in {folder}: start one with `midwatch lab up --dir {folder}`")
    _say(info, as_json=as_json)
    return Exit.OK


def _export(folder: Path, to: Path, *, as_json: bool) -> int:
    try:
        found = asyncio.run(export(LabInfo.read(folder), to))
    except LabError as error:
        raise CommandError(str(error)) from error
    text = f"{found.objects} objects written to {to}"
    print(json.dumps({"to": str(to), **vars(found)}) if as_json else text)  # noqa: T201 (the answer)
    return Exit.OK


def _down(folder: Path, *, as_json: bool) -> int:
    try:
        info = running_lab(folder)
    except ClientError as error:
        raise CommandError(str(error)) from error
    if info is not None:
        os.kill(info.pid, signal.SIGTERM)
        deadline = time.monotonic() + _DOWN_WITHIN_S
        while (folder / LAB_FILE).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        if (folder / LAB_FILE).exists():
            text = f"the lab in {folder} (process {info.pid}) does not end; look at it, then `kill -9 {info.pid}`"
            raise CommandError(text, Exit.INTERNAL)
    else:
        remove_files(folder)
    text = f"no lab runs in {folder}" if info is None else f"lab in {folder} ended"
    print(json.dumps({"dir": str(folder), "ended": info is not None}) if as_json else text)  # noqa: T201 (the answer)
    return Exit.OK
