"""Objects and patches with junk anywhere in them, by every verb: refused or taken, never a fault of the server."""

import asyncio
import base64
import copy
import json
from collections.abc import Iterator
from typing import Any, Final, cast

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.access.service_tokens import ISSUER
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import bind_users, fresh_users
from midwatch_lab.kinds.resources import CONFIGMAPS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS
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
RULES: Final[dict[str, Any]] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "chat"},
    "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}],
}
SUBJECT: Final = {"kind": "ServiceAccount", "name": "bot", "namespace": "llm"}
BINDING: Final[dict[str, Any]] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "chat"},
    "roleRef": {"kind": "Role", "name": "chat"},
    "subjects": [SUBJECT, {"kind": "User", "name": "u"}],
}
OBJECTS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("/apis/apps/v1/namespaces/llm/deployments", DEPLOYMENT),
    ("/api/v1/namespaces/llm/services", SERVICE),
    ("/api/v1/namespaces/llm/configmaps", CONFIG),
    ("/apis/rbac.authorization.k8s.io/v1/namespaces/llm/roles", RULES),
    ("/apis/rbac.authorization.k8s.io/v1/namespaces/llm/rolebindings", BINDING),
]
SELECTOR: Final = {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}
PODS: Final = {"verb": "get", "resource": "pods", "namespace": "llm", "labelSelector": SELECTOR}
QUESTIONS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {"resourceAttributes": PODS}}),
    (
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        {"spec": {"user": "u", "groups": ["g"], "nonResourceAttributes": {"verb": "get", "path": "/"}}},
    ),
    ("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": "llm"}}),
    ("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "a.b.c", "audiences": ["x"]}}),
    ("/apis/authentication.k8s.io/v1/selfsubjectreviews", {"metadata": {"labels": {"a": "b"}}}),
    (
        "/api/v1/namespaces/llm/serviceaccounts/bot/token",
        {"spec": {"expirationSeconds": 600, "boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "s"}}},
    ),
]
"""What is asked and answered on the spot: where, and a body that is good."""
SENDERS: Final[list[str]] = [
    "authorization", "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-%2f%zz",
]  # fmt: skip
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


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, Any, dict[str, str]]:
    path, body = draw(st.sampled_from(QUESTIONS))
    asked: Any = body
    for _ in range(draw(st.integers(0, 2))):
        asked = changed(asked, draw(st.sampled_from(list(places(asked)))), draw(st.sampled_from(JUNK)))
    words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
    issued = base64.urlsafe_b64encode(json.dumps({"iss": ISSUER}).encode()).decode().rstrip("=")
    tokens = st.sampled_from(["Bearer e30.e30.e30", f"Bearer e30.{issued}.e30", f"Bearer {issued}", "Bearer"])
    names = st.sampled_from(["system:serviceaccount:llm:bot", "system:node:n", "system:anonymous", "system:masters"])
    sent = draw(st.dictionaries(st.sampled_from(SENDERS), words | tokens | names, max_size=3))
    return path, asked, sent


async def answers(sent: list[tuple[str, str, Any, str, dict[str, str]]]) -> ControlPlane:
    plane = ControlPlane(VirtualClock())
    plane.registry.create(NAMESPACES, "", {"metadata": {"name": "llm"}}, TESTER)
    users, tokens = fresh_users()
    bind_users(plane.registry)
    transport = httpx2.ASGITransport(ApiServer(plane.registry, plane.clock, users, NoLogs()))
    # Who may do everything by a binding, so that every request is asked about.
    headers = {"Authorization": f"Bearer {tokens['midwatch']}"}
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


@pytest.mark.slow
@given(st.lists(requests(), min_size=1, max_size=6))
def test_junk_is_refused_or_taken_and_what_is_stored_can_be_read_and_decoded(
    sent: list[tuple[str, str, Any, str, dict[str, str]]],
) -> None:
    plane = asyncio.run(answers(sent))
    for obj in plane.store.items(CONFIGMAPS.key, "llm"):
        assert plane.registry.decode(CONFIGMAPS, obj).unknown == []


async def asked(sent: list[tuple[str, Any, dict[str, str]]]) -> None:
    plane = ControlPlane(VirtualClock())
    plane.registry.create(NAMESPACES, "", {"metadata": {"name": "llm"}}, TESTER)
    plane.registry.create(SERVICE_ACCOUNTS, "llm", {"metadata": {"name": "bot"}}, TESTER)
    plane.registry.create(SECRETS, "llm", {"metadata": {"name": "s"}}, TESTER)
    users, tokens = fresh_users()
    bind_users(plane.registry)
    transport = httpx2.ASGITransport(ApiServer(plane.registry, plane.clock, users, NoLogs()))
    headers = {"authorization": f"Bearer {tokens['midwatch']}", "content-type": "application/json"}
    version = plane.store.version
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as client:
        for path, body, more in sent:
            answer = await client.post(path, content=json.dumps(body), headers={**headers, **more})
            assert "Internal error occurred" not in answer.text, f"{path} {body} {more}: {answer.text}"
            assert answer.status_code < 500, f"{path} {body} {more}: {answer.text}"
    assert plane.store.version == version


@settings(max_examples=50)
@given(st.lists(questions(), min_size=1, max_size=6))
def test_questions_about_access_with_junk_in_body_and_headers_are_refused_or_answered_and_write_nothing(
    sent: list[tuple[str, Any, dict[str, str]]],
) -> None:
    asyncio.run(asked(sent))
