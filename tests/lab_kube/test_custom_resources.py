"""Custom resources without a server to compare with: what a definition serves, takes and takes away again."""

import copy
import json
from collections.abc import Callable
from typing import Any, cast

import httpx2
import pytest

from midwatch_lab.custom.cel.check import check
from midwatch_lab.custom.cel.evaluate import evaluate
from midwatch_lab.custom.cel.nodes import CompileError, EvaluationError
from midwatch_lab.custom.cel.parse import parse
from midwatch_lab.custom.cel.types import INT, STRING, Type, list_of
from midwatch_lab.custom.jsonpath import compiled
from midwatch_lab.errors import SelectorError
from midwatch_lab.plane import ControlPlane

pytestmark = pytest.mark.anyio

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CARTS = "/apis/lab.example.com/v1/namespaces/llm/carts"
FIELDS: dict[str, Any] = {
    "color": {"type": "string", "default": "red"},
    "wheels": {
        "type": "integer",
        "x-kubernetes-validations": [{"rule": "self % 2 == 0", "message": "wheels come in pairs"}],
    },
}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"spec": {"type": "object", "properties": FIELDS}}}
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "carts.lab.example.com"},
    "spec": {
        "group": "lab.example.com",
        "scope": "Namespaced",
        "names": {"plural": "carts", "kind": "Cart"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}],
    },
}
Clients = Callable[[str | None], httpx2.AsyncClient]


def cart(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "lab.example.com/v1", "kind": "Cart", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
async def admin(client_of: Clients) -> httpx2.AsyncClient:
    client = client_of("admin")
    made = await client.post(DEFINITIONS, json=DEFINITION)
    assert made.status_code == 201, made.text
    return client


async def test_a_definition_is_served_at_once_and_gone_with_its_objects(
    admin: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    assert (await admin.get("/apis/lab.example.com/v1")).json()["resources"][0]["name"] == "carts"
    assert (await admin.post(CARTS, json=cart("one"))).status_code == 201
    answer = (await admin.delete(f"{DEFINITIONS}/carts.lab.example.com")).json()
    assert answer["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert (await admin.get(CARTS)).status_code == 404
    assert (await admin.get(f"{DEFINITIONS}/carts.lab.example.com")).status_code == 404
    assert plane.store.items(("lab.example.com", "carts")) == []
    assert plane.registry.catalog.by_path("lab.example.com", "v1", "carts") is None


async def test_an_object_that_is_held_keeps_its_definition(admin: httpx2.AsyncClient) -> None:
    held = cart("one")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await admin.post(CARTS, json=held)
    await admin.delete(f"{DEFINITIONS}/carts.lab.example.com")
    assert (await admin.get(f"{CARTS}/one")).json()["metadata"]["deletionTimestamp"]
    release = {"metadata": {"finalizers": None}}
    done = await admin.patch(f"{CARTS}/one", json=release, headers={"content-type": "application/merge-patch+json"})
    assert done.status_code == 200
    assert (await admin.get(f"{DEFINITIONS}/carts.lab.example.com")).status_code == 404


async def test_a_dry_run_of_a_definition_serves_nothing(client_of: Clients) -> None:
    client = client_of("admin")
    assert (await client.post(DEFINITIONS, json=DEFINITION, params={"dryRun": "All"})).status_code == 201
    assert (await client.get(CARTS)).status_code == 404


async def test_a_rule_is_held_against_objects_and_names_what_broke_it(admin: httpx2.AsyncClient) -> None:
    refused = (await admin.post(CARTS, json=cart("one", wheels=3))).json()
    assert refused["details"]["causes"] == [
        {"reason": "FieldValueInvalid", "message": "Invalid value: 3: wheels come in pairs", "field": "spec.wheels"}
    ]
    assert (await admin.post(CARTS, json=cart("one", wheels=4))).json()["spec"] == {"wheels": 4, "color": "red"}


async def test_a_default_that_came_later_is_there_on_reading(admin: httpx2.AsyncClient) -> None:
    await admin.post(CARTS, json=cart("one", wheels=2))
    changed = copy.deepcopy(SCHEMA)
    changed["properties"]["spec"]["properties"]["doors"] = {"type": "integer", "default": 5}
    patch = [{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": changed}]
    headers = {"content-type": "application/json-patch+json"}
    assert (await admin.patch(f"{DEFINITIONS}/carts.lab.example.com", json=patch, headers=headers)).status_code == 200
    assert (await admin.get(f"{CARTS}/one")).json()["spec"]["doors"] == 5
    assert (await admin.get(CARTS)).json()["items"][0]["spec"]["doors"] == 5


async def test_a_pattern_takes_no_longer_than_the_text_is_long(client_of: Clients) -> None:
    # Python's own would go through 2^5000 ways before it gave up.
    definition = json.loads(json.dumps(DEFINITION).replace('"default": "red"', '"pattern": "^(a+)+$"'))
    admin = client_of("admin")
    assert (await admin.post(DEFINITIONS, json=definition)).status_code == 201
    refused = await admin.post(CARTS, json=cart("long", color="a" * 5000 + "b"))
    assert refused.status_code == 422
    assert refused.json()["details"]["causes"][0]["field"] == "spec.color"
    assert (await admin.post(CARTS, json=cart("fits", color="a" * 5000))).status_code == 201


async def test_an_object_that_nests_without_end_is_refused(admin: httpx2.AsyncClient) -> None:
    deep: Any = 1
    for _ in range(400):
        deep = {"a": deep}
    assert (await admin.post(CARTS, json=cart("one", deep=deep))).status_code == 400


async def test_one_plane_knows_nothing_of_the_definitions_of_another(
    admin: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    assert (await admin.get(CARTS)).status_code == 200
    other = ControlPlane(plane.clock)
    assert other.registry.catalog.by_path("lab.example.com", "v1", "carts") is None
    assert "com.example.lab.v1.Cart" not in other.registry.schemas.definitions


async def test_every_pointer_in_the_documents_leads_somewhere(admin: httpx2.AsyncClient) -> None:
    def pointers(node: Any) -> set[str]:
        match node:
            case list():
                return set[str]().union(*map(pointers, cast("list[Any]", node)))
            case dict():
                inner = set[str]().union(*map(pointers, cast("dict[str, Any]", node).values()))
                own = cast("dict[str, Any]", node).get("$ref")
                return inner | {own} if isinstance(own, str) else inner
            case _:
                return set()

    index = (await admin.get("/openapi/v3")).json()["paths"]
    assert "apis/lab.example.com/v1" in index
    for entry in index.values():
        document = (await admin.get(entry["serverRelativeURL"])).json()
        known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        assert pointers(document) <= known
    document = (await admin.get("/openapi/v2")).json()
    assert pointers(document) <= {f"#/definitions/{name}" for name in document["definitions"]}
    verbs = ("get", "put", "post", "patch", "delete")
    operations = [path[verb]["operationId"] for path in document["paths"].values() for verb in verbs if verb in path]
    assert len(operations) == len(set(operations))


async def test_the_older_documents_come_in_protobuf_too(admin: httpx2.AsyncClient) -> None:
    accept = {"accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    answer = await admin.get("/openapi/v2", headers=accept)
    assert answer.headers["content-type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    # Document.swagger (1), then Document.info (2) with title (1) and version (2).
    assert answer.content.startswith(b"\n\x032.0\x12\x12\n\nKubernetes\x12\x041.36")
    assert b"\n\x17com.example.lab.v1.Cart\x12" in answer.content
    again = await admin.get("/openapi/v2", headers={**accept, "if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


OBJECT: dict[str, Any] = {
    "a": {"b": [{"n": "x", "v": 1}, {"n": "y", "v": 2}], "c.d": "dotted", "empty": []},
    "list": [1, 2, 3, 4],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b[0].n", ["x"]),
        (".a.b[*].v", [1, 2]),
        (".a.b[-1:].n", ["y"]),
        ('.a.b[?(@.n=="y")].v', [2]),
        (".a.b[?(@.v>1)].n", ["y"]),
        (".a.b[?(@.n!='x')].n", ["y"]),
        (r".a.c\.d", ["dotted"]),
        ("['a']['c.d']", ["dotted"]),
        ("..n", ["x", "y"]),
        (".list[1:3]", [2, 3]),
        (".list[::2]", [1, 3]),
        (".a.empty[0]", []),
        (".none.deeper", []),
    ],
)
def test_json_paths_find_values(path: str, found: list[Any]) -> None:
    assert compiled(path)(OBJECT) == found


@pytest.mark.parametrize("path", [".a[", ".a[?(", "a b", ".a[x]"])
def test_json_paths_that_do_not_parse_are_refused(path: str) -> None:
    with pytest.raises(SelectorError):
        compiled(path)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("1 + 2 * 3 == 7 && -7 / 2 == -3 && -7 % 2 == -1", True),
        ('"a" + "b" in ["ab"] && "k" in {"k": 1}', True),
        ("[1, 2, 3].filter(x, x > 1).map(x, x * 2) == [4, 6]", True),
        ("[1, 2].exists_one(x, x == 2) && [1, 2].all(i, x, x > i)", True),
        ("false || 1 / 0 == 1 ? 1 : 2", EvaluationError),
        ("true || 1 / 0 == 1", True),
        ("1 / 0 == 1 || true", True),
        ('"a,b".split(",").join("-") == "a-b" && "abc".substring(1, 2) == "b"', True),
        ('timestamp("2020-01-01T00:00:00Z") + duration("24h") == timestamp("2020-01-02T00:00:00Z")', True),
        ('quantity("1Gi").compareTo(quantity("1024Mi")) == 0', True),
        ('ip("10.0.0.1").family() == 4 && cidr("10.0.0.0/8").containsIP("10.1.2.3")', True),
        ('url("https://a:8443/p?q=1").getPort() == "8443"', True),
        ("sets.contains([1, 2], [2]) && !sets.intersects([1], [2])", True),
        ('r"\\d" == "\\\\d" && \'\'\'a"b\'\'\' == "a\\"b"', True),
        ("self.size() == 2 && self[1] == 7", True),
        ("self[2] == 1", EvaluationError),
        ("9223372036854775807 + 1 > 0", EvaluationError),
        ('"aaa".matches("^a+$")', True),
    ],
)
def test_rules_are_evaluated_as_cel_defines(rule: str, value: Any) -> None:
    node = parse(rule)
    check(rule, node, {"self": list_of(INT)})
    if value is EvaluationError:
        with pytest.raises(EvaluationError):
            evaluate(node, {"self": [5, 7]})
    else:
        assert evaluate(node, {"self": [5, 7]}) == value


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "1 +",
        "(1",
        "[1, 2",
        "1 2",
        '"a',
        "a..b",
        "if",
        "self.x",
        "self + 1",
        "nope(self)",
        "a.b.c(",
        "`a",
        "?",
        "{1}",
        "(" * 100 + "1" + ")" * 100,
        "!" * 500 + "true",
        "+".join(["1"] * 1000),
        "self" + ".a" * 1000,
    ],
)
def test_what_is_no_rule_is_refused_and_never_crashes(rule: str) -> None:
    with pytest.raises(CompileError):
        check(rule, parse(rule), {"self": Type("object", fields={"a": STRING})})


def test_a_rule_that_would_run_for_long_is_cut_off() -> None:
    rule = "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))"
    node = parse(rule)
    with pytest.raises(EvaluationError, match="cost limit"):
        evaluate(node, {"self": list(range(500))})
