"""`midwatch lab load start|replay|show|stop|fit`: a load in a running lab, or from this process to a URL."""

import argparse
import asyncio
import json
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import yaml

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import CommandError
from midwatch_contracts.exit_codes import Exit
from midwatch_lab.client import LabClient
from midwatch_lab.errors import LabError
from midwatch_lab.load.fitting import fit
from midwatch_lab.load.service import LoadService
from midwatch_lab.load.spec import read_spec

_POLL_S: Final = 0.5
_OF_URL: Final = "Service/default/url"
_ENDED: Final = ("done", "failed")
_FIELDS: Final = ("preset", "shape", "rate", "concurrency", "requests", "model", "speed", "start_s")


def main(arguments: argparse.Namespace, folder: Path) -> int:
    """Run one of the actions against the lab in a folder, or a URL."""
    try:
        return asyncio.run(_run(arguments, folder))
    except LabError as error:
        raise CommandError(str(error)) from error


async def _run(arguments: argparse.Namespace, folder: Path) -> int:
    match arguments.load:
        case "show":
            async with LabClient.of_folder(folder) as client:
                return _say(await client.load(), as_json=arguments.json)
        case "fit":
            print(json.dumps(fit(arguments.file)))  # noqa: T201 (the answer)
            return Exit.OK
        case "stop":
            return await _stop(arguments, folder)
        case _:
            spec = _spec(arguments)
            read_spec(spec)
            if arguments.url is not None:
                return await _to_url(arguments, spec)
            return await _in_lab(arguments, spec, folder)


async def _stop(arguments: argparse.Namespace, folder: Path) -> int:
    async with LabClient.of_folder(folder) as client:
        rows = await client.load()
        targets = [row["target"] for row in rows] if arguments.target is None else [arguments.target]
        for target in targets:
            await client.set_load({"target": target, "rate": 0})
        return _say([row for row in rows if row["target"] in targets], as_json=arguments.json)


async def _to_url(arguments: argparse.Namespace, spec: dict[str, Any]) -> int:
    url = str(arguments.url).rstrip("/").removesuffix("/v1")
    service = LoadService(WallClock(), lambda _: url)
    try:
        load = service.replace(spec)
        interrupted = await _until_end(load.wait(), arguments.seconds)
        row = {**load.describe(), "target": url}
    finally:
        await service.close()
    return _end([row], interrupted=interrupted, as_json=arguments.json)


async def _in_lab(arguments: argparse.Namespace, spec: dict[str, Any], folder: Path) -> int:
    async with LabClient.of_folder(folder) as client:
        rows = await client.set_load(spec)
        if arguments.detach:
            return _say([row for row in rows if row["target"] == spec["target"]], as_json=arguments.json)
        interrupted = await _until_end(_ended(client, spec["target"]), arguments.seconds)
        rows = [row for row in await client.load() if row["target"] == spec["target"]]
        if any(row["state"] not in _ENDED for row in rows):
            await client.set_load({"target": spec["target"], "rate": 0})
        return _end(rows, interrupted=interrupted, as_json=arguments.json)


async def _ended(client: LabClient, target: str) -> None:
    while any(row["target"] == target and row["state"] == "running" for row in await client.load()):  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)  # the lab is another process: it can only be asked


async def _until_end(ended: Any, seconds: float | None) -> bool:
    """Wait for the end of a load, at most `seconds`; say whether a signal cut it short."""
    loop, task, interrupted = asyncio.get_running_loop(), asyncio.ensure_future(ended), False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        with suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(task, seconds)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return interrupted


def _spec(arguments: argparse.Namespace) -> dict[str, Any]:
    """Put together what the file, the flags and `--set` say; later ones win."""
    spec = _file(arguments.spec) if getattr(arguments, "spec", None) is not None else {}
    given = {name: getattr(arguments, name, None) for name in _FIELDS}
    spec |= {name: value for name, value in given.items() if value is not None}
    if arguments.load == "replay":
        spec |= {"shape": "trace", "path": str(arguments.file.resolve())}
    elif "path" in spec:
        spec["path"] = str(Path(str(spec["path"])).resolve())
    for text in arguments.fields:
        name, equals, value = str(text).partition("=")
        if not equals:
            raise CommandError(f"--set {text}: write NAME=VALUE, such as --set token_scale=0.1")
        spec[name] = _value(value)
    spec["target"] = _OF_URL if arguments.url is not None else arguments.target
    return spec


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # a name needs no quotes


def _file(path: Path) -> dict[str, Any]:
    try:
        found: Any = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise CommandError(f"{path}: a mapping of a load's fields is expected")
    return cast("dict[str, Any]", found)


def _end(rows: list[dict[str, Any]], *, interrupted: bool, as_json: bool) -> int:
    rows = [{**row, "state": "stopped" if row["state"] == "running" else row["state"]} for row in rows]
    _say(rows, as_json=as_json)
    failed = [row for row in rows if row["state"] == "failed"]
    if failed:
        raise CommandError(str(failed[0]["last_error"]))
    if interrupted:
        return Exit.INTERRUPTED
    return Exit.UNSETTLED if any(row["sent"] and not row["completed"] for row in rows) else Exit.OK


def _say(rows: list[dict[str, Any]], *, as_json: bool) -> int:
    text = json.dumps({"loads": rows}) if as_json else "\n".join(map(_row, rows)) or "no load"
    print(text, flush=True)  # noqa: T201 (the answer)
    return Exit.OK


def _row(row: dict[str, Any]) -> str:
    sent = row["traffic"]
    ttft = "none" if row["ttft_p95_s"] is None else f"{row['ttft_p95_s']:.3f} s"
    requests = {name: row[name] for name in ("sent", "completed", "failed", "timed_out", "in_flight")}
    requests |= {name: sent[name] for name in ("dropped", "cut")}
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in requests.items())
    lines = [
        f"{row['target']}: {row['preset'] or row['shape']}, {row['state']}",
        f"  requests:  {counts}",
        f"  now:       {row['sent_per_s']:.2f} sent/s, {row['completed_per_s']:.2f} completed/s, TTFT p95 {ttft}",
    ]
    if sent["sessions"]:
        text = f"{sent['sessions']} begun, {sent['turns']} turns, {sent['broken']} broken off"
        lines.append(f"  sessions:  {text}")
    for name, unit in (("gap_s", "s"), ("prompt_tokens", "tokens"), ("output_tokens", "tokens"), ("late_s", "s")):
        if sent[name] is not None:
            figures = ", ".join(f"{key} {value:.4g}" for key, value in sent[name].items())
            lines.append(f"  {name.removesuffix('_s').replace('_tokens', ''):10} {figures} ({unit})")
    lines += [f"  client     {name}: {share:.1%}" for name, share in sent["clients"].items()]
    if row["last_error"]:
        lines.append(f"  last error: {row['last_error']}")
    return "\n".join(lines)
