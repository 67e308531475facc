"""`kube_resources`: the kinds that this cluster has."""

from typing import Annotated

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.kubernetes.room import KubeRoom
from midwatch_mcp.tool import Answer, tool


class KubeResource(Model):
    """One kind."""

    kind: str
    api_version: str
    plural: str
    namespaced: bool
    verbs: list[str]
    subresources: list[str]


class KubeResourcesData(Model):
    """The kinds that match, and how many there are in all."""

    resources: list[KubeResource]
    total: int


@tool(
    name="kube_resources",
    title="Kinds of this cluster",
    description="The kinds that the API server has, custom ones too, with group, version, scope and verbs.",
    cluster="cluster-state",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def kube_resources(
    room: KubeRoom,
    text: Annotated[str, Field(max_length=100, description="keep kinds whose name or group contains this")] = "",
) -> Answer[KubeResourcesData]:
    """Read discovery."""
    found = (await room.client.discover()).resources
    wanted = text.casefold()
    shown = [
        KubeResource(
            kind=resource.kind,
            api_version=resource.api_version,
            plural=resource.plural,
            namespaced=resource.namespaced,
            verbs=list(resource.verbs),
            subresources=list(resource.subresources),
        )
        for resource in found
        if wanted in f"{resource.kind} {resource.plural}.{resource.group}".casefold()
    ]
    return Answer(f"{len(shown)} of {len(found)} kinds.", KubeResourcesData(resources=shown, total=len(found)))
