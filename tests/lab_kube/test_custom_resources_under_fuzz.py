"""Definitions and custom resources with parts of them broken: never an error of the server, never half an object."""

import asyncio
import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any, cast

import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import fresh_users
from midwatch_lab.kubelet.logs import ContainerLog
from midwatch_lab.plane import ControlPlane

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
HOME = "/apis/fuzz.example.com/v1/namespaces/default/boxes"
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**31, 2**63, 10**30, 1.5, 1e308, "", "x", "(", ".spec.a", [], {}, [None], [1], {"a": 1},
    ["x", "x"],
    {"type": "object"}, {"type": "array", "items": {}}, "object", "self", "oldSelf", "2020-01-01T00:00:00Z",
    "\u0000", [[]],
)  # fmt: skip
WORDS = (
    "type", "properties", "items", "additionalProperties", "default", "enum", "x-kubernetes-list-type", "nullable",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "x-kubernetes-embedded-resource", "pattern",
    "x-kubernetes-validations", "format", "minimum", "required", "anyOf", "not", "multipleOf", "metadata", "spec",
    "status",
)  # fmt: skip
FIELDS: dict[str, Any] = {
    "n": {"type": "integer", "minimum": 1, "x-kubernetes-validations": [{"rule": "self < 10 && self + 1 > 0"}]},
    "s": {"type": "string", "pattern": "^a", "maxLength": 5, "default": "a"},
    "l": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    "m": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
        "items": {
            "type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
        },
    },
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "map": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}},
    "emb": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    "when": {"type": "string", "format": "date-time"},
}  # fmt: skip
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "boxes.fuzz.example.com"},
    "spec": {
        "group": "fuzz.example.com", "scope": "Namespaced", "names": {"plural": "boxes", "kind": "Box"},
        "versions": [{
            "name": "v1", "served": True, "storage": True,
            "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": FIELDS}},
            }},
            "subresources": {
                "status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"},
            },
            "additionalPrinterColumns": [{"name": "K", "type": "string", "jsonPath": ".spec.m[*].k"}],
            "selectableFields": [{"jsonPath": ".spec.s"}],
        }],
    },
}  # fmt: skip
BOX: dict[str, Any] = {
    "apiVersion": "fuzz.example.com/v1", "kind": "Box", "metadata": {"name": "a", "labels": {"x": "y"}},
    "spec": {
        "n": 2, "s": "abc", "l": ["a"], "m": [{"k": "a", "v": 1}], "free": {"a": [{"b": None}]},
        "map": {"a": 1, "b": "c"},
        "emb": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}, "when": "2020-01-01T00:00:00Z",
    },
}  # fmt: skip
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


class NoLogs:
    def log_of(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:  # noqa: ARG002 (a protocol)
        return None


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from places(item, (*path, index))


def broken(value: dict[str, Any], random: Random) -> dict[str, Any]:
    """Return a copy in which a few places hold something odd, are missing, or have an odd neighbour."""
    copied = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 2, 3))):
        path = random.choice(list(places(copied)))
        parent: Any = copied
        for step in path[:-1]:
            parent = parent[step]
        deed = random.random()
        if deed < 0.5:
            parent[path[-1]] = copy.deepcopy(random.choice(ODD))
        elif deed < 0.65:
            del parent[path[-1]]
        elif isinstance(parent, dict):
            parent[random.choice(WORDS)] = copy.deepcopy(random.choice(ODD))
        else:
            parent.append(copy.deepcopy(random.choice(ODD)))
    return copied


async def try_all(random: Random) -> None:
    plane = ControlPlane(VirtualClock())
    users, tokens = fresh_users()
    transport = httpx2.ASGITransport(ApiServer(plane.registry, plane.clock, users, NoLogs()))
    headers = {"Authorization": f"Bearer {tokens['admin']}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab", headers=headers) as client:

        async def ask(method: str, path: str, body: Any = None, kind: str = "application/json") -> httpx2.Response:
            content = None if body is None else json.dumps(body)
            answer = await client.request(method, path, content=content, headers={"content-type": kind})
            fault = answer.status_code == 500 and answer.json().get("reason") == "InternalError"
            meant = "replicas field" in answer.text
            assert not fault or meant, f"{method} {path} {content}: {answer.text}"
            return answer

        definition = broken(DEFINITION, random) if random.random() < 0.7 else DEFINITION
        if (await ask("POST", DEFINITIONS, definition)).status_code != 201:
            assert plane.store.items(("apiextensions.k8s.io", "customresourcedefinitions")) == []
            return
        await ask("GET", "/openapi/v2")
        await ask("GET", "/openapi/v3/apis/fuzz.example.com/v1")
        for _ in range(4):
            await ask("POST", HOME, broken(BOX, random))
            await ask("POST", HOME, BOX)
            await ask("PATCH", f"{HOME}/a", broken(BOX, random), "application/merge-patch+json")
            applied = f"{HOME}/a?fieldManager=f&force=true"
            await ask("PATCH", applied, broken(BOX, random), "application/apply-patch+yaml")
            scale = {"spec": {"replicas": random.choice(ODD)}}
            await ask("PATCH", f"{HOME}/a/scale", scale, "application/merge-patch+json")
            await ask("PATCH", f"{HOME}/a/status", {"status": random.choice(ODD)}, "application/merge-patch+json")
            shown = await client.get(HOME, headers=TABLE)
            assert shown.status_code in (200, 404), shown.text
        stored = plane.store.items(("apiextensions.k8s.io", "customresourcedefinitions"))
        await ask("PUT", f"{DEFINITIONS}/boxes.fuzz.example.com", broken(stored[0], random))
        await ask("DELETE", f"{DEFINITIONS}/boxes.fuzz.example.com")
        held = [
            item for item in plane.store.items(("fuzz.example.com", "boxes")) if not item["metadata"].get("finalizers")
        ]
        assert held == []


@given(st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_a_server_takes_or_refuses_whatever_comes(random: Random) -> None:
    asyncio.run(try_all(random))
