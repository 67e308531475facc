"""Objects and patches with junk anywhere in them, by every verb: refused or taken, never a fault of the server."""

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any, Final, cast

import httpx2
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import fresh_users
from midwatch_lab.kinds.resources import CONFIGMAPS, NAMESPACES
from midwatch_lab.kubelet.logs import ContainerLog
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin
from midwatch_lab.topology import chat_topology

TESTER: Final = Origin("tester", "create", "/test", manager="tester")
JUNK: Final[list[Any]] = [
    None, "", 0, -1, 1.5, True, [], {}, "x", [None], {"a": None}, [[]], {"": {}}, 2**31, 2**63, 2**70, "\0", ["x", 1],
    {"$patch": "delete"}, [{"$patch": "replace"}], {"$patch": 1}, "2020-01-01T00:00:00Z",
]  # fmt: skip
_, DEPLOYMENT, SERVICE = chat_topology("llm", "chat")
CONFIG: Final[dict[str, Any]] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "chat",
        "finalizers": ["x.io/y"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}],
    },
    "data": {"a": "b"},
    "binaryData": {"z": "AAAA"},
}
OBJECTS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("/apis/apps/v1/namespaces/llm/deployments", DEPLOYMENT),
    ("/api/v1/namespaces/llm/services", SERVICE),
    ("/api/v1/namespaces/llm/configmaps", CONFIG),
]
PATCHES: Final = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
    "json": "application/json-patch+json",
}


class NoLogs:
    def log_of(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:  # noqa: ARG002 (a protocol)
        return None


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from places(item, (*path, index))


def changed(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    found: Any = copy.copy(value)
    found[path[0]] = changed(found[path[0]], path[1:], junk)
    return found


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, Any, str, dict[str, str]]:
    home, obj = draw(st.sampled_from(OBJECTS))
    body: Any = obj
    for _ in range(draw(st.integers(0, 2))):
        body = changed(body, draw(st.sampled_from(list(places(body)))), draw(st.sampled_from(JUNK)))
    query = draw(st.sampled_from([{}, {"dryRun": "All"}, {"fieldValidation": "Strict"}]))
    verb = draw(st.sampled_from(["POST", "PUT", "status", *PATCHES]))
    if verb == "POST":
        return "POST", home, body, "application/json", query
    if verb == "PUT":
        return "PUT", f"{home}/chat", body, "application/json", query
    if verb == "status":
        return "PATCH", f"{home}/chat/status", body, PATCHES["merge"], query
    if verb == "apply":
        query = {**query, "fieldManager": draw(st.sampled_from("xy")), "force": "true"}
    if verb == "json":
        pointers = ["/" + "/".join(map(str, path)) for path in places(obj)]
        operation = draw(st.sampled_from(["add", "remove", "replace", "test", "move", "copy"]))
        path, origin = draw(st.sampled_from(pointers)), draw(st.sampled_from(pointers))
        body = [{"op": operation, "path": path, "from": origin, "value": draw(st.sampled_from(JUNK))}]
    return "PATCH", f"{home}/chat", body, PATCHES[verb], query


async def answers(sent: list[tuple[str, str, Any, str, dict[str, str]]]) -> ControlPlane:
    plane = ControlPlane(VirtualClock())
    plane.registry.create(NAMESPACES, "", {"metadata": {"name": "llm"}}, TESTER)
    users, tokens = fresh_users()
    transport = httpx2.ASGITransport(ApiServer(plane.registry, plane.clock, users, NoLogs()))
    headers = {"Authorization": f"Bearer {tokens['admin']}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab", headers=headers) as client:
        for home, obj in OBJECTS:
            assert (await client.post(home, json=obj)).status_code == 201
        for method, path, body, media, query in sent:
            content = json.dumps(body)
            answer = await client.request(
                method,
                path,
                params=query,
                content=content,
                headers={"Content-Type": media, "Accept": "application/json"},
            )
            assert "Internal error occurred" not in answer.text, f"{method} {path} {content} {query}: {answer.text}"
        for home, _obj in OBJECTS:
            accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
            assert (await client.get(home, headers=accept)).status_code == 200
    return plane


@given(st.lists(requests(), min_size=1, max_size=6))
def test_junk_is_refused_or_taken_and_what_is_stored_can_be_read_and_decoded(
    sent: list[tuple[str, str, Any, str, dict[str, str]]],
) -> None:
    plane = asyncio.run(answers(sent))
    for obj in plane.store.items(CONFIGMAPS.key, "llm"):
        assert plane.registry.decode(CONFIGMAPS, obj).unknown == []
