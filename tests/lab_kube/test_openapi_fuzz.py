"""Requests drawn from the lab's own OpenAPI documents: each path, method and parameter, bodies near their schemas.

Never the server's fault, never a hang, never half an object: after a refusal or a dry run the store is as it was, and
what is stored can be read by its own schema.
"""

import asyncio
import json
from functools import cache
from typing import Any, Final, cast

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn_world import ANSWER_S, SEEDS, fresh
from midwatch_lab.api.openapi import OpenApi

NAMES: Final = ("a", "b", "Bad_Name", "x" * 300)
ODD: Final[list[Any]] = [
    None,
    "",
    "x",
    0,
    -1,
    1.5,
    2**70,
    True,
    [],
    {},
    [None],
    [{}],
    {"": None},
    "\0",
    "2020-01-01T00:00:00Z",
]
TYPES: Final = (
    "application/json", "application/yaml", "application/merge-patch+json", "application/json-patch+json",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml", "application/vnd.kubernetes.protobuf",
    "text/plain", "",
)  # fmt: skip
ACCEPTS: Final = (
    "application/json", "*/*", "", "application/yaml", "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf", "text/html",
)  # fmt: skip
VALUES: Final = (
    "All",
    "true",
    "0",
    "-1",
    "1",
    "tester",
    "a=b",
    "metadata.name=a",
    "Strict",
    "Ignore",
    "Orphan",
    "%",
    "",
)
DEEP: Final = 4
Sent = tuple[str, str, dict[str, str], dict[str, str], bytes]


@cache
def documents() -> tuple[list[tuple[str, str, dict[str, Any]]], dict[str, Any]]:
    """Every operation as (method, path, operation), and every schema by reference."""
    plane, _server, _token = fresh()
    openapi = OpenApi(plane.registry.catalog, plane.registry.schemas)
    operations: list[tuple[str, str, dict[str, Any]]] = []
    schemas: dict[str, Any] = {}
    for name in json.loads(openapi.v3_index())["paths"]:
        document = json.loads(openapi.v3_document(name) or b"{}")
        schemas |= document.get("components", {}).get("schemas", {})
        for path, item in document.get("paths", {}).items():
            shared = item.get("parameters", [])
            for method in ("get", "post", "put", "patch", "delete"):
                if method in item and not path.startswith("/lab"):
                    merged = {**item[method], "parameters": [*shared, *item[method].get("parameters", [])]}
                    operations.append((method.upper(), path, merged))
    return operations, schemas


@cache
def near_reference(reference: str, depth: int) -> st.SearchStrategy[Any]:
    """Values of the schema that a document refers to."""
    return near(documents()[1][reference.rpartition("/")[2]], depth)


def near(schema: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a schema, and now and then something else."""
    if "allOf" in schema or "$ref" in schema:
        return near_reference(schema.get("$ref") or schema["allOf"][0]["$ref"], depth)
    odd = st.sampled_from(ODD)
    match schema.get("type"):
        case "string":
            return (
                st.sampled_from(schema["enum"])
                if schema.get("enum")
                else st.sampled_from(["a", "b", "1", "10Mi", "nginx:1", "TCP", "Always", "2020-01-01T00:00:00Z", ""])
            )
        case "integer" | "number":
            return st.sampled_from([0, 1, 80, -1, 2**31])
        case "boolean":
            return st.booleans()
        case "array":
            return (
                st.just([])
                if depth > DEEP
                else st.one_of(st.lists(st.deferred(lambda: near(schema.get("items", {}), depth + 1)), max_size=2), odd)
            )
        case _:
            return _object(schema, depth)


def _object(schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    fields: dict[str, Any] = schema.get("properties", {})
    if not fields or depth > DEEP:
        return st.dictionaries(st.sampled_from(["a", "b", "x.io/y"]), st.sampled_from(["1", "a", ""]), max_size=2)
    required = schema.get("required", [])

    @st.composite
    def drawn(draw: st.DrawFn) -> Any:
        if not draw(st.integers(0, 40)):
            return draw(st.sampled_from(ODD))
        others = draw(st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True))
        if depth == 0:
            others += [name for name in ("spec", "data") if name in fields]
        return {name: draw(near(fields[name], depth + 1)) for name in dict.fromkeys([*required, *others])}

    return drawn()


def _seldom(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 5)) == 0


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    operations, _schemas = documents()
    method, path, operation = draw(st.sampled_from(operations))
    path = path.replace("{namespace}", draw(st.sampled_from(["llm", "llm", "llm", "nowhere"])))
    name = draw(st.sampled_from(NAMES)) if _seldom(draw) else "a"
    path = path.replace("{name}", name).replace("{path}", "a")
    known = [
        p["name"] for p in operation["parameters"] if p.get("in") == "query" and p["name"] not in ("watch", "follow")
    ]
    names = st.lists(st.sampled_from([*known, "fieldManager", "odd"]), max_size=3, unique=True)
    query = {key: draw(st.sampled_from(VALUES)) for key in (draw(names) if _seldom(draw) else [])}
    query |= draw(st.sampled_from([{}, {}, {"dryRun": "All"}, {"fieldManager": "tester"}]))
    headers = {
        "Accept": draw(st.sampled_from(ACCEPTS)) if _seldom(draw) else "application/json",
        "Content-Type": draw(st.sampled_from(TYPES)),
    }
    content = b""
    asked: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    if asked:
        if not _seldom(draw):
            headers["Content-Type"] = draw(
                st.sampled_from([kind for kind in asked if kind in TYPES] or ["application/json"])
            )
        content = _content(draw, operation, next(iter(asked.values())).get("schema", {}), name)
    return method, path, query, headers, content


def _content(draw: st.DrawFn, operation: dict[str, Any], schema: dict[str, Any], name: str) -> bytes:
    kind: dict[str, str] = operation.get("x-kubernetes-group-version-kind", {})
    if schema.get("$ref", "").endswith(".DeleteOptions") and not _seldom(draw):
        return draw(st.sampled_from([b"", b'{"gracePeriodSeconds":0}', b'{"propagationPolicy":"Foreground"}']))
    if schema.get("$ref", "").endswith(".Patch"):
        _operations, schemas = documents()
        ends = f".{kind.get('version')}.{kind.get('kind')}"
        schema = next((found for key, found in schemas.items() if key.endswith(ends)), dict[str, Any]())
        if not draw(st.integers(0, 2)):
            pointer = draw(st.sampled_from(["", "/spec", "/metadata/labels", "/spec/replicas", "/data/a", "/status"]))
            operator = draw(st.sampled_from(["add", "remove", "replace", "test", "move", "copy", "odd"]))
            return json.dumps(
                [{"op": operator, "path": pointer, "from": "/spec", "value": draw(st.sampled_from(ODD))}]
            ).encode()
    body = draw(near(schema))
    if isinstance(body, dict) and draw(st.integers(0, 7)):
        group = f"{kind['group']}/" if kind.get("group") else ""
        body = cast("dict[str, Any]", body)
        body |= {"apiVersion": group + kind.get("version", "v1"), "kind": kind.get("kind", "")}
        body["metadata"] = {"name": name if draw(st.integers(0, 9)) else "other", "labels": {"a": "b"}}
    cut = draw(st.integers(0, 20))
    text = json.dumps(body).encode()
    return text if cut else text[: len(text) // 2]


async def _send_all(sent: list[Sent]) -> None:
    plane, server, token = fresh()
    transport = httpx2.ASGITransport(server)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as client:
        for home, obj in SEEDS.items():
            made = await client.post(home, json=obj, headers={"Authorization": f"Bearer {token}"})
            assert made.status_code == 201, made.text
        for method, path, query, headers, content in sent:
            shown = f"{method} {path} {query} {headers} {content!r}"
            version, objects = plane.store.version, list(plane.store.present())
            with_token = {**headers, "Authorization": f"Bearer {token}"}
            async with asyncio.timeout(ANSWER_S):
                answer = await client.request(method, path, params=query, content=content, headers=with_token)
            assert "see the log of the lab" not in answer.text, shown
            if answer.status_code >= 400 or method == "GET" or query.get("dryRun") == "All":
                assert plane.store.version == version, f"{shown} was answered {answer.status_code} and wrote"
                assert [change.obj for change in plane.store.present()] == [change.obj for change in objects], shown
    for change in plane.store.present():
        resource = plane.registry.catalog.by_storage(change.key)
        assert resource is not None
        assert plane.registry.decode(resource, change.obj).unknown == []


@settings(max_examples=60, derandomize=True)
@given(st.lists(requests(), min_size=1, max_size=6))
def test_a_few_requests_by_the_documents_are_answered_and_leave_nothing_half_done(sent: list[Sent]) -> None:
    asyncio.run(_send_all(sent))


@pytest.mark.slow
@settings(max_examples=150, derandomize=True)
@given(st.lists(requests(), min_size=4, max_size=12))
def test_many_requests_by_the_documents_are_answered_and_leave_nothing_half_done(sent: list[Sent]) -> None:
    asyncio.run(_send_all(sent))
