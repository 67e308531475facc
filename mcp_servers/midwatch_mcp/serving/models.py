"""`serving_models`: which models and adapters the replicas serve, and whether all serve the same."""

from typing import Any, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.errors import ServingError, UpstreamError
from midwatch_mcp.serving.replicas import Replica, ServingRoom, ask_all
from midwatch_mcp.serving.status import Url
from midwatch_mcp.shapes import Name, Namespace, Outside
from midwatch_mcp.tool import Answer, tool


class ServedModel(Model):
    """One model or adapter as `/v1/models` names it."""

    id: Outside
    parent: Outside | None = None
    """The base model of an adapter."""
    max_model_len: int | None = None
    """Tokens of prompt and answer together."""


class ReplicaModels(Model):
    """What one replica serves."""

    pod: str
    models: list[ServedModel] = Field(default_factory=list[ServedModel])
    error: Outside | None = None


class ServingModelsData(Model):
    """What all replicas serve."""

    replicas: list[ReplicaModels]
    everywhere: list[Outside]
    """Ids that every replica that answered serves."""
    somewhere: list[Outside]
    """Ids that only some of them serve."""


@tool(
    name="serving_models",
    title="Served models",
    description="Models and adapters that each replica behind a Service serves, and whether all serve the same.",
    cluster="serving",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=True,
)
async def serving_models(
    room: ServingRoom, namespace: Namespace | None = None, service: Name | None = None, url: Url | None = None
) -> Answer[ServingModelsData]:
    """Ask every replica for its models."""
    replicas = await room.replicas(namespace, service, url)
    answers = await ask_all(replicas, _models)
    shown = [
        ReplicaModels(pod=replica.name, error=str(answer)) if isinstance(answer, UpstreamError) else answer
        for replica, answer in zip(replicas, answers, strict=True)
    ]
    sets = [{model.id for model in entry.models} for entry in shown if entry.error is None]
    union: set[str] = set[str]().union(*sets)
    common = {name for name in union if all(name in found for found in sets)}
    data = ServingModelsData(replicas=shown, everywhere=sorted(common), somewhere=sorted(union - common))
    summary = f"{len(sets)} of {len(shown)} replicas answer; {len(common)} models are served by all of them."
    return Answer(summary + (f" {len(union - common)} only by some." if union - common else ""), data)


async def _models(replica: Replica) -> ReplicaModels:
    listed = (await replica.get("/v1/models")).json().get("data")
    if not isinstance(listed, list):
        raise ServingError("GET /v1/models answered no list")
    return ReplicaModels(
        pod=replica.name,
        models=[
            _model(cast("dict[str, Any]", entry)) for entry in cast("list[Any]", listed) if isinstance(entry, dict)
        ],
    )


def _model(entry: dict[str, Any]) -> ServedModel:
    parent, length = entry.get("parent"), entry.get("max_model_len")
    return ServedModel(
        id=str(entry.get("id", "")),
        parent=parent if isinstance(parent, str) else None,
        max_model_len=length if isinstance(length, int) else None,
    )
