"""`serving_config`: what is in force on every replica, where replicas differ, and where the pod's arguments differ."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.errors import ServingError, UpstreamError
from midwatch_mcp.kubernetes.flags import containers_of, flags_of
from midwatch_mcp.redact import harmless
from midwatch_mcp.serving.replicas import NOT_OFFERED, Replica, ServingRoom, ask_all
from midwatch_mcp.serving.status import Url
from midwatch_mcp.serving.vllm import vllm_values
from midwatch_mcp.shapes import Name, Namespace, Outside, OutsideJson
from midwatch_mcp.tool import Answer, tool

_FACTORS = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}


class ReplicaConfig(Model):
    """One replica's configuration in force."""

    pod: str
    source: Literal["resource", "vllm"] | None = None
    """`/admin/config`; or what vLLM tells in its metrics, models and server information: not all of it."""
    etag: str | None = None
    version: int | None = None
    values: dict[str, OutsideJson] = Field(default_factory=dict)
    """Under vLLM's argument names."""
    restart_required: list[str] = Field(default_factory=list)
    """Names whose stored value is not in force until a restart."""
    arguments_only: list[str] = Field(default_factory=list)
    """Arguments of the pod of which the replica does not tell whether they are in force."""
    error: Outside | None = None


class Drift(Model):
    """A value that differs from the argument the pod was started with: changed at run time, or not taken as written."""

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
    differs = [name for name in names if len({_key(entry.values[name]) for entry in read if name in entry.values}) > 1]
    drift = [found for replica, entry in zip(replicas, shown, strict=True) for found in _drift(replica, entry)]
    data = ServingConfigData(replicas=shown, differs=differs, drift=drift)
    summary = f"{len(read)} of {len(shown)} replicas tell their configuration."
    summary += f" They differ in {len(differs)} values." if differs else ""
    summary += f" {len(drift)} values differ from the pods' arguments." if drift else ""
    partly = sum(entry.source == "vllm" for entry in read)
    summary += f" {partly} are vLLM, which tells a part: arguments_only names the rest." if partly else ""
    return Answer(summary, data)


def _key(value: Any) -> str:
    return repr(value)


async def _config(replica: Replica) -> ReplicaConfig:
    try:
        reply = await replica.get("/admin/config")
    except ServingError as error:
        if error.status != NOT_OFFERED:
            raise
        told = await vllm_values(replica)
        if not told:
            raise
        return _with_arguments(replica, ReplicaConfig(pod=replica.name, source="vllm", values=_harmless(told)))
    found = reply.json()
    values, version, restart = found.get("values"), found.get("version"), found.get("restart_required")
    if not isinstance(values, dict):
        raise ServingError("GET /admin/config answered no values")
    found = ReplicaConfig(
        pod=replica.name,
        source="resource",
        etag=reply.headers.get("etag"),
        version=version if isinstance(version, int) else None,
        values=_harmless(cast("dict[str, Any]", values)),
        restart_required=[str(name) for name in cast("list[Any]", restart)] if isinstance(restart, list) else [],
    )
    return _with_arguments(replica, found)


def _harmless(values: Mapping[str, Any]) -> dict[str, Any]:
    """Redact before values are compared: what a drift shows of a value has lost the name that says it is a secret."""
    return cast("dict[str, Any]", harmless(values))


def _with_arguments(replica: Replica, entry: ReplicaConfig) -> ReplicaConfig:
    return entry.model_copy(
        update={"arguments_only": [name for name in _arguments(replica) if name not in entry.values]}
    )


def _why(error: UpstreamError) -> str:
    if isinstance(error, ServingError) and error.status == NOT_OFFERED:
        return "this backend has no configuration resource (/admin/config): its arguments are in kube_rollout"
    return str(error)


def _arguments(replica: Replica) -> dict[str, str]:
    """Return the pod's arguments by name as configurations have it: `--no-enable-x` is `enable_x`, false."""
    if replica.spec is None:
        return {}
    found: dict[str, str] = {}
    for container in containers_of(replica.spec).values():
        for flag, argument in flags_of(container).items():
            name = flag.removeprefix("--").replace("-", "_")
            off = name.startswith("no_") and argument == "true"
            found[name.removeprefix("no_") if off else name] = "false" if off else argument
    return found


def _drift(replica: Replica, entry: ReplicaConfig) -> list[Drift]:
    flags = _arguments(replica)
    return [
        Drift(pod=replica.name, name=name, argument=flags[name], effective=value)
        for name, value in entry.values.items()
        if name in flags and not same(flags[name], value)
    ]


def same(argument: str, value: Any) -> bool:
    """Say whether an argument's text means this value; vLLM takes `32k` for 32,000 and `32K` for 32,768."""
    if isinstance(value, bool):
        return argument.casefold() in ({"true", "1", "yes"} if value else {"false", "0", "no"})
    if isinstance(value, int | float):
        factor = _FACTORS.get(argument[-1:], 1)
        try:
            return float(argument.removesuffix(argument[-1:]) if factor > 1 else argument) * factor == float(value)
        except ValueError:
            return False
    return isinstance(value, str | Mapping | list) and argument == value
