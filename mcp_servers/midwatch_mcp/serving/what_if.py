"""`serving_what_if`: what a load would see under another configuration, simulated, with the simulation's error band.

A replica of the reference backend is asked about itself. Any other backend is simulated in a child process of this
server, `midwatch what-if`, by a cost model that the caller names: what its steps cost is then the model's claim.
"""

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_contracts.untrusted import clean
from midwatch_mcp.errors import RefusedError, ServingError
from midwatch_mcp.kubernetes.flags import containers_of, flags_of
from midwatch_mcp.serving.replicas import NOT_OFFERED, Replica, ServingRoom
from midwatch_mcp.serving.status import Url
from midwatch_mcp.shapes import Name, Namespace, Outside, OutsideJson
from midwatch_mcp.tool import Answer, tool

PATH = "/admin/what-if"
_TIMEOUT_S = 40.0
_SHOWN = 500
_SETTINGS = frozenset(
    {"num_gpu_blocks_override", "max_num_seqs", "max_num_batched_tokens", "block_size", "max_model_len"}
)
"""Arguments of a pod that describe its present configuration to the child process."""

Value = str | int | float | bool
Positive = Annotated[float, Field(gt=0)]


class WhatIfLoad(Model):
    """The load: a rate or a concurrency; without lengths they are like ShareGPT's."""

    rate: Annotated[float | None, Field(gt=0, description="requests a second")] = None
    concurrency: Annotated[int | None, Field(ge=1, le=100_000, description="clients that wait for answers")] = None
    cv: Annotated[float, Field(ge=0, le=20, description="spread of arrivals, 1 is Poisson")] = 1.0
    prompt_tokens: Annotated[int | None, Field(ge=1)] = None
    output_tokens: Annotated[int | None, Field(ge=1)] = None


class Prediction(Model):
    """One configuration under the load. Times are milliseconds; a band is the least and most that the error allows."""

    config: dict[str, OutsideJson]
    replicas: int
    figures: dict[str, OutsideJson]
    bands: dict[str, OutsideJson]
    preemptions: int
    rejected: int


class ServingWhatIfData(Model):
    """Both configurations, and where they differ by more than the simulation's error."""

    asked: str
    """The pod that was asked about itself, or `child process`."""
    cost_model: Outside
    uncertainty: Outside
    current: Prediction
    proposed: Prediction
    ratios: dict[str, float]
    """proposed / current, by figure."""
    beyond_error: list[str]
    """Figures whose bands lie apart: only there is the difference more than the error."""


@tool(
    name="serving_what_if",
    title="Predict another configuration",
    description=(
        "Simulate a load under the present configuration and under another one (settings by vLLM's argument names, "
        "number of replicas): latencies with error bands. Changes nothing. For another backend than ours name a "
        "cost_model."
    ),
    cluster="serving",
    cost="high",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=True,
    timeout_s=60.0,
)
async def serving_what_if(
    room: ServingRoom,
    *,
    load: WhatIfLoad,
    config: Annotated[
        dict[str, Value] | None, Field(max_length=40, description='what differs, e.g. {"max_num_seqs": 8}')
    ] = None,
    replicas: Annotated[int, Field(ge=1, le=256, description="of the proposed deployment; the present has one")] = 1,
    balancer: Literal["round_robin", "least_requests"] = "least_requests",
    namespace: Namespace | None = None,
    service: Name | None = None,
    url: Url | None = None,
    cost_model: Annotated[str | None, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")] = None,
) -> Answer[ServingWhatIfData]:
    """Ask a ready replica, or a child process."""
    if (load.rate is None) == (load.concurrency is None):
        raise RefusedError("load: give either rate or concurrency")
    body = {
        "load": load.model_dump(exclude_none=True),
        "config": config or {},
        "replicas": replicas,
        "balancer": balancer,
        "cost_model": cost_model,
    }
    found = await room.replicas(namespace, service, url)
    chosen = next((replica for replica in found if replica.ready), found[0])
    try:
        asked, answer = chosen.name, await _ask(chosen, body)
    except ServingError as error:
        if error.status != NOT_OFFERED:
            raise
        if cost_model is None:
            raise RefusedError(
                f"{chosen.name} has no {PATH}: it is not the reference backend. Name a cost_model, and the load is "
                "simulated here (midwatch serve --help lists them)"
            ) from error
        asked, answer = "child process", await _simulate(body, _present(chosen))
    data = _data(asked, answer)
    return Answer(_summary(data), data, full=answer)


async def _ask(replica: Replica, body: Mapping[str, Any]) -> dict[str, Any]:
    async with replica.post(PATH, body, _TIMEOUT_S) as chunks:
        content = b"".join([chunk async for chunk in chunks])
    return _document(content, f"POST {PATH}")


async def _simulate(body: Mapping[str, Any], present: Mapping[str, str]) -> dict[str, Any]:
    """Run `midwatch what-if` as a child; it ends with the call, however the call ends."""
    program = Path(sys.executable).with_name("midwatch")
    if not program.is_file():
        raise RefusedError(f"there is no {program} to simulate with: install midwatch[serving]")
    process = await asyncio.create_subprocess_exec(
        str(program),
        *_words(body, present),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise ServingError(f"the simulation took more than {_TIMEOUT_S:g} s: ask for less load") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode != 0:
        said = clean(errors[-_SHOWN:].decode("utf-8", "replace")).strip()
        raise RefusedError(f"midwatch what-if refused: {said or 'no reason given'}")
    return _document(output, "midwatch what-if")


def _words(body: Mapping[str, Any], present: Mapping[str, str]) -> list[str]:
    words = ["what-if", "--json", f"--cost-model={body['cost_model']}", f"--replicas={body['replicas']}"]
    words += [f"--balancer={body['balancer']}"]
    words += [f"--{name.replace('_', '-')}={value}" for name, value in cast("dict[str, Any]", body["load"]).items()]
    words += [f"--current={name}={value}" for name, value in present.items()]
    proposed = cast("dict[str, Any]", body["config"])
    return words + [f"--config={name}={orjson.dumps(value).decode()}" for name, value in proposed.items()]


def _present(replica: Replica) -> dict[str, str]:
    """Return what the pod's own arguments say of its configuration."""
    if replica.spec is None:
        return {}
    flags = [
        (flag.removeprefix("--").replace("-", "_"), argument)
        for container in containers_of(replica.spec).values()
        for flag, argument in flags_of(container).items()
    ]
    return {name: argument for name, argument in flags if name in _SETTINGS and argument.isdecimal()}


def _document(content: bytes, what: str) -> dict[str, Any]:
    try:
        found: Any = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ServingError(f"{what} answered no JSON") from error
    if not isinstance(found, dict):
        raise ServingError(f"{what} answered no JSON object")
    return cast("dict[str, Any]", found)


def _data(asked: str, answer: Mapping[str, Any]) -> ServingWhatIfData:
    cost = _part(answer, "cost_model")
    difference = {name: _part(_part(answer, "difference"), name) for name in _part(answer, "difference")}
    return ServingWhatIfData(
        asked=asked,
        cost_model=str(cost.get("name", "")),
        uncertainty=str(cost.get("uncertainty", "")),
        current=_prediction(_part(answer, "current")),
        proposed=_prediction(_part(answer, "proposed")),
        ratios={name: float(entry["ratio"]) for name, entry in difference.items() if "ratio" in entry},
        beyond_error=[name for name, entry in difference.items() if entry.get("beyond_error") is True],
    )


def _prediction(side: Mapping[str, Any]) -> Prediction:
    return Prediction(
        config=_part(side, "config"),
        replicas=int(side.get("replicas") or 1),
        figures=_part(side, "figures"),
        bands=_part(side, "bands"),
        preemptions=int(side.get("preemptions") or 0),
        rejected=int(side.get("rejected") or 0),
    )


def _part(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _summary(data: ServingWhatIfData) -> str:
    told = [_told(data, name) for name in data.beyond_error if name in data.ratios]
    if not told:
        return "Simulated: no figure differs by more than the simulation's error."
    return f"Simulated: beyond the simulation's error are {', '.join(told)}."


def _told(data: ServingWhatIfData, name: str) -> str:
    """Return a figure's ratio, with the bands where there are some: `ttft_p95_ms x 0.25 (800-1200 to 200-310)`."""
    bands = [_band(side.bands, name) for side in (data.current, data.proposed)]
    shown = f" ({' to '.join(filter(None, bands))})" if all(bands) else ""
    return f"{name} x {data.ratios[name]:.3g}{shown}"


def _band(bands: dict[str, Any], name: str) -> str:
    found = bands.get(name)
    known = isinstance(found, list) and all(isinstance(end, int | float) for end in cast("list[Any]", found))
    return "-".join(f"{end:.4g}" for end in cast("list[float]", found)) if known else ""
