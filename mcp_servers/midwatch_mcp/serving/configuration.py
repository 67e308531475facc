"""`serving_config`: what is in force on every replica, where replicas differ, and where the pod's arguments differ."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.errors import ServingError, UpstreamError
from midwatch_mcp.kubernetes.flags import containers_of, flags_of
from midwatch_mcp.redact import harmless
from midwatch_mcp.serving.replicas import NOT_OFFERED, Replica, ServingRoom, ask_all
from midwatch_mcp.serving.status import Url
from midwatch_mcp.shapes import Name, Namespace, Outside, OutsideJson
from midwatch_mcp.tool import Answer, tool


class ReplicaConfig(Model):
    """One replica's configuration resource."""

    pod: str
    etag: str | None = None
    version: int | None = None
    values: dict[str, OutsideJson] = Field(default_factory=dict)
    """Under vLLM's argument names."""
    restart_required: list[str] = Field(default_factory=list)
    """Names whose stored value is not in force until a restart."""
    error: Outside | None = None


class Drift(Model):
    """A value that differs from the argument the pod was started with: it was changed at run time."""

    pod: str
    name: str
    argument: Outside
    effective: OutsideJson


class ServingConfigData(Model):
    """The configuration of all replicas."""

    replicas: list[ReplicaConfig]
    differs: list[str]
    """Names whose value is not the same on all replicas."""
    drift: list[Drift]


@tool(
    name="serving_config",
    title="Configuration of the serving replicas",
    description=(
        "The configuration in force on every replica behind a Service, names in which replicas differ, and drift from "
        "the pod's own arguments."
    ),
    cluster="serving",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=True,
)
async def serving_config(
    room: ServingRoom, namespace: Namespace | None = None, service: Name | None = None, url: Url | None = None
) -> Answer[ServingConfigData]:
    """Read the configuration resource of every replica and compare."""
    replicas = await room.replicas(namespace, service, url)
    answers = await ask_all(replicas, _config)
    shown = [
        ReplicaConfig(pod=replica.name, error=_why(answer)) if isinstance(answer, UpstreamError) else answer
        for replica, answer in zip(replicas, answers, strict=True)
    ]
    read = [entry for entry in shown if entry.error is None]
    names = dict.fromkeys(name for entry in read for name in entry.values)
    differs = [name for name in names if any(entry.values.get(name) != read[0].values.get(name) for entry in read)]
    drift = [found for replica, entry in zip(replicas, shown, strict=True) for found in _drift(replica, entry)]
    data = ServingConfigData(replicas=shown, differs=differs, drift=drift)
    summary = f"{len(read)} of {len(shown)} replicas tell their configuration."
    summary += f" They differ in {len(differs)} values." if differs else ""
    summary += f" {len(drift)} values differ from the pods' arguments." if drift else ""
    return Answer(summary, data)


async def _config(replica: Replica) -> ReplicaConfig:
    reply = await replica.get("/admin/config")
    found = reply.json()
    values, version, restart = found.get("values"), found.get("version"), found.get("restart_required")
    if not isinstance(values, dict):
        raise ServingError("GET /admin/config answered no values")
    return ReplicaConfig(
        pod=replica.name,
        etag=reply.headers.get("etag"),
        version=version if isinstance(version, int) else None,
        # Before values are compared: what a drift shows of a value has lost the name that says it is a secret.
        values=cast("dict[str, Any]", harmless(values)),
        restart_required=[str(name) for name in cast("list[Any]", restart)] if isinstance(restart, list) else [],
    )


def _why(error: UpstreamError) -> str:
    if isinstance(error, ServingError) and error.status == NOT_OFFERED:
        return "this backend has no configuration resource (/admin/config): its arguments are in kube_rollout"
    return str(error)


def _drift(replica: Replica, entry: ReplicaConfig) -> list[Drift]:
    if replica.spec is None:
        return []
    flags = {
        flag.removeprefix("--").replace("-", "_"): argument
        for container in containers_of(replica.spec).values()
        for flag, argument in flags_of(container).items()
    }
    return [
        Drift(pod=replica.name, name=name, argument=flags[name], effective=value)
        for name, value in entry.values.items()
        if name in flags and not same(flags[name], value)
    ]


def same(argument: str, value: Any) -> bool:
    """Say whether an argument's text means this value."""
    if isinstance(value, bool):
        return argument.casefold() in ({"true", "1", "yes"} if value else {"false", "0", "no"})
    if isinstance(value, int | float):
        try:
            return float(argument) == float(value)
        except ValueError:
            return False
    return isinstance(value, str | Mapping | list) and argument == value
