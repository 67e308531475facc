"""Manifests into a lab, whole or not at all: rehearsed on a copy of its control plane first, through the same door."""

from collections.abc import Sequence
from typing import Final

import httpx2
import orjson

from midwatch_lab.api.server import ApiServer
from midwatch_lab.errors import ManifestError
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.manifests.reading import Manifest
from midwatch_lab.objects import dig, meta, name_of, namespace_of, without

MANAGER: Final = "midwatch-lab-up"
_SHOWN: Final = 20
_APPLY: Final = "application/apply-patch+yaml"


async def load(rehearsal: ApiServer, server: ApiServer, token: str, manifests: Sequence[Manifest]) -> None:
    """Apply manifests; what would be refused is refused before anything is made.

    Raises:
        ManifestError: names every manifest that is refused, and why.
    """
    for door in (rehearsal, server):
        faults = await _apply(door, token, manifests)
        if faults:
            more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
            raise ManifestError("\n".join([*faults[:_SHOWN], *more]))


async def _apply(server: ApiServer, token: str, manifests: Sequence[Manifest]) -> list[str]:
    transport = httpx2.ASGITransport(server)
    headers = {"Authorization": f"Bearer {token}", "User-Agent": MANAGER}
    faults: list[str] = []
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab", headers=headers) as http:
        for manifest in manifests:
            refusal = await _apply_one(http, server.registry.catalog, manifest)
            if refusal:
                faults.append(f"{manifest.title}: {refusal}")
    return faults


async def _apply_one(http: httpx2.AsyncClient, catalog: Catalog, manifest: Manifest) -> str:
    """Apply one manifest; return why it is refused, or nothing."""
    obj = manifest.obj
    resource = catalog.by_kind(obj["apiVersion"], obj["kind"])
    if resource is None:
        return f"the lab serves no {obj['kind']} of {obj['apiVersion']}: is its CustomResourceDefinition missing?"
    if not resource.stored:
        return f"{obj['kind']} is answered, not kept: leave it out"
    body = without(obj, ["status"]) if resource.has_status else obj
    home = namespace_of(obj) or "default"
    query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
    if name_of(obj) and "managedFields" not in meta(obj):
        path = resource.path(home, name_of(obj))
        headers, query = {"Content-Type": _APPLY}, query | {"force": "true"}
        response = await http.patch(path, content=orjson.dumps(body), params=query, headers=headers)
    else:
        response = await http.post(resource.path(home), json=body, params=query)
    if response.is_success:
        return ""
    message = str(response.json().get("message", response.text))
    if dig(response.json(), "details", "kind") == "namespaces" and resource.namespaced:
        message += ": add a manifest of the Namespace"
    return message
