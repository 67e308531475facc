import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from starlette.requests import Request

from midwatch_lab.api.answers import Form
from midwatch_lab.api.call import Call, parse_path
from midwatch_lab.api.parts import KeptParts
from midwatch_lab.api.users import ADMIN
from midwatch_lab.api.watching import Watch
from midwatch_lab.kinds.resources import CONFIGMAPS, RESOURCES
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin

TESTER = Origin("tester", "create", "/test", manager="tester")

Clients = Callable[[str | None], httpx2.AsyncClient]
pytestmark = pytest.mark.anyio

HOME = "/apis/apps/v1/namespaces/llm/deployments"
CONFIGS = "/api/v1/namespaces/llm/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}


def configure(plane: ControlPlane, *names: str) -> None:
    for name in names:
        plane.registry.create(CONFIGMAPS, "llm", {"metadata": {"name": name, "labels": {"n": name}}}, TESTER)


async def test_a_token_that_nobody_has_is_unauthorized_and_no_token_is_anonymous(client_of: Clients) -> None:
    async with client_of(None) as client:
        response = await client.get(HOME, headers={"Authorization": "Bearer nobody"})
        assert (response.status_code, response.json()["reason"]) == (401, "Unauthorized")
        for headers in ({}, {"Authorization": "Basic abc"}):
            response = await client.get(HOME, headers=headers)
            assert (response.status_code, response.json()["reason"]) == (403, "Forbidden")
            assert 'User "system:anonymous" cannot list' in response.json()["message"]


async def test_a_viewer_reads_and_may_not_write(client_of: Clients, chat: dict[str, Any]) -> None:
    async with client_of("admin") as client:
        assert (await client.post(HOME, json=chat)).status_code == 201
    async with client_of("viewer") as client:
        assert (await client.get(HOME)).status_code == 200
        refusals = [
            await client.post(HOME, json=chat),
            await client.patch(f"{HOME}/chat", json={}, headers=MERGE),
            await client.delete(f"{HOME}/chat"),
            await client.patch(f"{HOME}/chat/scale", json={"spec": {"replicas": 1}}, headers=MERGE),
            await client.post(HOME, json=chat, params={"dryRun": "All"}),
            await client.get("/api/v1/namespaces/llm/secrets"),
        ]
        assert [response.status_code for response in refusals] == [403] * 6
        assert refusals[1].json()["message"] == (
            'deployments.apps "chat" is forbidden: User "viewer" cannot patch resource "deployments" in API group '
            '"apps" in the namespace "llm"'
        )


async def test_access_reviews_answer_by_role_and_are_in_no_audit(plane: ControlPlane, client_of: Clients) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    before = len(plane.store.audit.entries())
    for user, verb, allowed in (("viewer", "get", True), ("viewer", "delete", False), ("midwatch", "delete", True)):
        async with client_of(user) as client:
            spec = {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "llm"}}
            response = await client.post(path, json={"spec": spec})
            assert response.status_code == 201
            assert response.json()["status"]["allowed"] is allowed
    assert len(plane.store.audit.entries()) == before


async def test_the_audit_names_who_patched_what_by_which_path(
    plane: ControlPlane, client_of: Clients, chat: dict[str, Any]
) -> None:
    async with client_of("midwatch") as client:
        await client.post(HOME, json=chat)
        await client.patch(f"{HOME}/chat", json={"spec": {"replicas": 2}}, headers=MERGE, params={"dryRun": "All"})
        await client.patch(f"{HOME}/chat", json={"spec": {"replicas": 2}}, headers=MERGE)
    made, tried, written = [e for e in plane.store.audit.entries() if e["principal"] == "midwatch"]
    assert (made["verb"], made["path"]) == ("create", HOME)
    assert (tried["verb"], tried["dry_run"], written["dry_run"]) == ("patch", True, False)
    assert written["path"] == f"{HOME}/chat"
    assert tried["sha256_before"] == written["sha256_before"]


@pytest.mark.parametrize(
    ("method", "path", "code", "message"),
    [
        ("GET", f"{HOME}/nope", 404, 'deployments.apps "nope" not found'),
        ("GET", "/apis/apps/v1/foo", 404, "the server could not find the requested resource"),
        ("POST", f"{HOME}/chat", 405, "the server does not allow this method on the requested resource"),
        ("GET", f"{HOME}?labelSelector=a=b=c", 400, "found '=', expected: ',' or 'end of string'"),
        (
            "GET",
            f"{HOME}?fieldSelector=spec.foo=1",
            400,
            '"spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ("GET", f"{HOME}?limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("GET", f"{HOME}?resourceVersion=99999", 504, "Timeout: Too large resource version: 99999, current: {version}"),
    ],
)
async def test_refusals_have_the_words_of_the_original(  # noqa: PLR0917 (a table)
    plane: ControlPlane, client_of: Clients, method: str, path: str, code: int, message: str
) -> None:
    async with client_of("admin") as client:
        response = await client.request(method, path)
    assert response.status_code == code
    assert response.json()["message"] == message.replace("{version}", str(plane.store.version))
    assert response.json()["kind"] == "Status"


async def test_a_merge_patch_of_a_wrong_type_is_a_422_on_the_patch(client_of: Clients, chat: dict[str, Any]) -> None:
    async with client_of("admin") as client:
        await client.post(HOME, json=chat)
        response = await client.patch(f"{HOME}/chat", json={"spec": {"replicas": "x"}}, headers=MERGE)
        assert (response.status_code, response.json()["details"]["causes"][0]["field"]) == (422, "patch")
        response = await client.patch(f"{HOME}/chat", json={"spec": {"replicas": -1}}, headers=STRATEGIC)
        assert response.json()["message"] == (
            'Deployment.apps "chat" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
        )
        response = await client.patch(f"{HOME}/chat", json={}, headers={"Content-Type": "application/x"})
        assert response.status_code == 415
        response = await client.patch(
            f"{HOME}/chat",
            json=[{"op": "test", "path": "/spec/replicas", "value": 77}],
            headers={"Content-Type": "application/json-patch+json"},
        )
        assert (response.status_code, response.json()["reason"]) == (422, "Invalid")
        response = await client.patch(f"{HOME}/chat", json={"metadata": {"name": "other"}}, headers=MERGE)
        assert response.status_code == 400
        body = {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 1}}
        response = await client.patch(f"{HOME}/chat", json=body, headers=MERGE)
        assert (response.status_code, response.json()["reason"]) == (409, "Conflict")


async def test_unknown_fields_are_refused_warned_about_or_ignored(client_of: Clients, chat: dict[str, Any]) -> None:
    chat["spec"]["nonsense"] = 1
    async with client_of("admin") as client:
        strict = await client.post(HOME, json=chat, params={"fieldValidation": "Strict", "dryRun": "All"})
        assert strict.status_code == 400
        assert 'strict decoding error: unknown field "spec.nonsense"' in strict.json()["message"]
        warned = await client.post(HOME, json=chat, params={"dryRun": "All"})
        assert warned.headers["warning"] == '299 - "unknown field \\"spec.nonsense\\""'
        assert "nonsense" not in warned.json()["spec"]
        ignored = await client.post(HOME, json=chat, params={"fieldValidation": "Ignore", "dryRun": "All"})
        assert "warning" not in ignored.headers
        bad = await client.post(HOME, json=chat, params={"dryRun": "Some"})
        assert (bad.status_code, bad.json()["details"]["causes"][0]["field"]) == (422, "dryRun")


async def test_a_list_in_pages_is_one_consistent_list(plane: ControlPlane, client_of: Clients) -> None:
    configure(plane, "a", "b", "c", "d", "e")
    async with client_of("admin") as client:
        first = (await client.get(CONFIGS, params={"limit": 2})).json()
        assert first["metadata"]["remainingItemCount"] == 3
        configure(plane, "bb")
        await client.delete(f"{CONFIGS}/d")
        names = [item["metadata"]["name"] for item in first["items"]]
        token = first["metadata"]["continue"]
        while token:
            page = (await client.get(CONFIGS, params={"limit": 2, "continue": token})).json()
            assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
            names += [item["metadata"]["name"] for item in page["items"]]
            token = page["metadata"].get("continue")
        assert names == ["a", "b", "c", "d", "e"]
        assert (await client.get(CONFIGS, params={"continue": "zz"})).status_code == 400


async def test_selectors_choose_objects(plane: ControlPlane, client_of: Clients) -> None:
    configure(plane, "a", "b", "c")
    async with client_of("admin") as client:
        for parameters, expected in (
            ({"labelSelector": "n in (a,c)"}, ["a", "c"]),
            ({"labelSelector": "n!=a"}, ["b", "c"]),
            ({"fieldSelector": "metadata.name=b"}, ["b"]),
        ):
            found = (await client.get(CONFIGS, params=parameters)).json()["items"]
            assert [item["metadata"]["name"] for item in found] == expected


async def test_a_table_carries_as_much_of_each_object_as_was_asked(client_of: Clients, chat: dict[str, Any]) -> None:
    async with client_of("admin") as client:
        await client.post(HOME, json=chat)
        for include, keys in (("None", None), ("Metadata", {"kind", "apiVersion", "metadata"}), ("Object", None)):
            response = await client.get(HOME, headers={"Accept": TABLE}, params={"includeObject": include})
            table = response.json()
            assert table["kind"] == "Table"
            names = [column["name"] for column in table["columnDefinitions"]]
            assert names[:5] == ["Name", "Ready", "Up-to-date", "Available", "Age"]
            row = table["rows"][0]
            assert row["cells"][:4] == ["chat", "0/3", 0, 0]
            if include == "None":
                assert row["object"] is None
            elif keys:
                assert set(row["object"]) == keys
            else:
                assert row["object"]["spec"]["replicas"] == 3


async def test_scale_reads_and_writes_replicas(client_of: Clients, chat: dict[str, Any]) -> None:
    async with client_of("admin") as client:
        await client.post(HOME, json=chat)
        scale = (await client.get(f"{HOME}/chat/scale")).json()
        assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 3)
        scale["spec"]["replicas"] = 1
        assert (await client.put(f"{HOME}/chat/scale", json=scale)).json()["spec"]["replicas"] == 1
        stale = await client.put(f"{HOME}/chat/scale", json=scale)
        assert stale.status_code == 409
        bad = await client.patch(f"{HOME}/chat/scale", json={"spec": {"replicas": -2}}, headers=MERGE)
        assert bad.status_code == 422
        tried = await client.patch(
            f"{HOME}/chat/scale", json={"spec": {"replicas": 9}}, headers=MERGE, params={"dryRun": "All"}
        )
        assert tried.json()["spec"]["replicas"] == 9
        assert (await client.get(f"{HOME}/chat")).json()["spec"]["replicas"] == 1


async def test_discovery_lists_the_same_resources_in_both_forms(client_of: Clients) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    async with client_of("admin") as client:
        aggregated: set[tuple[str, str]] = set()
        for root in ("/api", "/apis"):
            response = await client.get(root, headers={"Accept": accept})
            assert "as=APIGroupDiscoveryList" in response.headers["content-type"]
            for group in response.json()["items"]:
                for version in group["versions"]:
                    name = group["metadata"].get("name", "")
                    aggregated |= {(name, item["resource"]) for item in version["resources"]}
        plain: set[tuple[str, str]] = set()
        listed = (await client.get("/apis")).json()["groups"]
        roots = {"": "/api/v1"} | {g["name"]: f"/apis/{g['preferredVersion']['groupVersion']}" for g in listed}
        for name, root in roots.items():
            found = (await client.get(root)).json()["resources"]
            plain |= {(name, item["name"]) for item in found if "/" not in item["name"]}
        assert aggregated == plain == {(resource.group, resource.plural) for resource in RESOURCES}


async def test_the_openapi_documents_name_every_kind(client_of: Clients) -> None:
    async with client_of("admin") as client:
        index = (await client.get("/openapi/v3")).json()["paths"]
        for resource in RESOURCES:
            root = f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"
            document = (await client.get(index[root]["serverRelativeURL"])).json()
            assert resource.schema in document["components"]["schemas"]
        swagger = (await client.get("/openapi/v2")).json()
        assert "io.k8s.api.apps.v1.Deployment" in swagger["definitions"]


@asynccontextmanager
async def watching(plane: ControlPlane, **parameters: str) -> AsyncGenerator[list[dict[str, Any]]]:
    """Collect the events of a watch of ConfigMaps; ends with the block."""
    events: list[dict[str, Any]] = []
    closing = asyncio.Event()

    async def collect() -> None:
        stream = watch_of(plane, parameters, closing).stream()
        async for lines in stream:
            events.extend(json.loads(line) for line in lines.splitlines())

    async with anyio.create_task_group() as group:
        group.start_soon(collect)
        await anyio.lowlevel.checkpoint()
        yield events
        await anyio.wait_all_tasks_blocked()
        closing.set()


def watch_of(plane: ControlPlane, parameters: dict[str, str], closing: asyncio.Event) -> Watch:
    query = httpx2.QueryParams({"watch": "true", **parameters})
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": CONFIGS,
        "query_string": str(query).encode(),
        "headers": [],
    }
    target = parse_path(plane.registry.catalog, CONFIGS)
    assert target is not None
    return Watch(plane.store, plane.clock, Call(Request(scope), ADMIN, target), Form(), KeptParts(plane.store), closing)


def seen(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def test_a_watch_begins_with_what_is_there_and_goes_on_with_changes(plane: ControlPlane) -> None:
    configure(plane, "a")
    async with watching(plane) as events:
        configure(plane, "b")
        plane.registry.modify(CONFIGMAPS, "llm", "a", lambda obj: obj.update(data={"x": "y"}), TESTER)
    assert seen(events) == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a")]


async def test_a_watch_from_a_version_gives_each_later_change_once(plane: ControlPlane) -> None:
    configure(plane, "a")
    version = plane.store.version
    configure(plane, "b")
    async with watching(plane, resourceVersion=str(version)) as events:
        configure(plane, "c")
    assert seen(events) == [("ADDED", "b"), ("ADDED", "c")]


async def test_an_object_that_stops_matching_the_selector_is_deleted_for_the_watcher(plane: ControlPlane) -> None:
    async with watching(plane, labelSelector="n=a") as events:
        configure(plane, "a", "b")

        def rename(obj: dict[str, Any]) -> None:
            obj["metadata"]["labels"]["n"] = "z"

        plane.registry.modify(CONFIGMAPS, "llm", "a", rename, TESTER)
    assert seen(events) == [("ADDED", "a"), ("DELETED", "a")]


async def test_a_watch_list_ends_its_beginning_with_a_marked_bookmark(plane: ControlPlane) -> None:
    configure(plane, "a")
    options = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with watching(plane, **options) as events:
        pass
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_from_a_forgotten_version_gets_a_410_event(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane.store, "_forgotten", plane.store.version)
    async with watching(plane, resourceVersion="1") as events:
        pass
    assert events[0]["type"] == "ERROR"
    assert (events[0]["object"]["code"], events[0]["object"]["reason"]) == (410, "Expired")


async def test_generated_names_and_deletecollection(client_of: Clients) -> None:
    async with client_of("admin") as client:
        for _ in range(3):
            made = await client.post(CONFIGS, json={"metadata": {"generateName": "x-", "labels": {"a": "b"}}})
            assert made.json()["metadata"]["name"].startswith("x-")
        await client.post(CONFIGS, json={"metadata": {"name": "stays"}})
        await client.delete(CONFIGS, params={"labelSelector": "a=b"})
        left = (await client.get(CONFIGS)).json()["items"]
        assert [item["metadata"]["name"] for item in left] == ["stays"]


async def test_a_body_over_the_limit_is_refused(client_of: Clients) -> None:
    async with client_of("admin") as client:
        body = {"metadata": {"name": "big"}, "data": {"x": "y" * (4 * 1024 * 1024)}}
        assert (await client.post(CONFIGS, json=body)).status_code == 413


async def test_core_events_are_shown_in_the_newer_version_too(client_of: Clients) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "llm"},
        "reason": "Because",
        "message": "words",
        "type": "Normal",
    }
    async with client_of("admin") as client:
        assert (await client.post("/api/v1/namespaces/llm/events", json=event)).status_code == 201
        found = (await client.get("/apis/events.k8s.io/v1/namespaces/llm/events")).json()["items"][0]
        assert (found["note"], found["regarding"]["name"]) == ("words", "p")
