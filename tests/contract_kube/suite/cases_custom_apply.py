"""Server-side apply of custom resources: lists and maps by the marks of their schema, owners, and what has no type."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.custom import define, definition

CASES: Final = Cases()
GROUP: Final = "applied.example.com"
STRING: Final = {"type": "string"}
INTEGER: Final = {"type": "integer"}
PORT: Final = {
    "type": "object", "required": ["name"],
    "properties": {"name": STRING, "v": INTEGER, "proto": {"type": "string", "default": "TCP"}},
}  # fmt: skip
PAIR: Final = {"type": "object", "properties": {"a": INTEGER, "b": INTEGER}}
FIELDS: Final[dict[str, Any]] = {
    "color": STRING, "n": INTEGER, "gran": PAIR, "at": {**PAIR, "x-kubernetes-map-type": "atomic"},
    "tags": {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
    "ports": {
        "type": "array", "items": PORT, "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name", "proto"],
    },
    "plain": {"type": "array", "items": {"type": "object", "properties": {"a": INTEGER}}},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "map": {"type": "object", "additionalProperties": STRING},
    "ios": {"x-kubernetes-int-or-string": True},
    "nul": {"type": "string", "nullable": True},
    "def": {"type": "object", "properties": {"x": {"type": "string", "default": "dx"}, "y": STRING}},
    "emb": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
}  # fmt: skip
STATUS: Final = {"type": "object", "properties": {"phase": STRING, "seen": INTEGER}}
SCHEMA: Final = {
    "type": "object", "properties": {"spec": {"type": "object", "properties": FIELDS}, "status": STATUS},
}  # fmt: skip
SHEETS: Final = definition(GROUP, "Sheet", SCHEMA, subresources={"status": {}})


def sheet(spec: Any = None, **fields: Any) -> dict[str, Any]:
    found = {"apiVersion": f"{GROUP}/v1", "kind": "Sheet", "metadata": {"name": "s"}, **fields}
    return found if spec is None else {**found, "spec": spec}


Step = tuple[str, Any, dict[str, Any]]
"""(field manager, spec, further query)."""
FULL: Final = {
    "tags": ["a"], "ports": [{"name": "a", "v": 1}], "at": {"a": 1}, "gran": {"a": 1}, "free": {"x": {"y": [1]}},
    "plain": [{"a": 1}], "map": {"k": "v"}, "ios": 5, "def": {"y": "z"},
}  # fmt: skip
OTHER: Final = {
    "tags": ["b"], "ports": [{"name": "b", "v": 1}], "gran": {"b": 1}, "free": {"x": {"z": 1}}, "map": {"l": "v"},
}  # fmt: skip


async def applied(api: Api, steps: list[Step]) -> None:
    home = await define(api, SHEETS)
    for manager, spec, query in steps:
        await api.ask("PATCH", f"{home}/s", sheet(spec), "apply", fieldManager=manager, **query)


STEPS: Final[dict[str, list[Step]]] = {
    "makes the object, and owns what was stated": [("one", FULL, {})],
    "by two lets each own its part": [("one", FULL, {}), ("two", OTHER, {})],
    "of what another owns conflicts": [
        ("one", FULL, {}),
        ("two", {"at": {"b": 1}, "gran": {"a": 2}, "plain": [{"a": 2}], "ports": [{"name": "a", "v": 9}]}, {}),
    ],
    "with force takes ownership": [("one", FULL, {}), ("two", {"at": {"b": 1}, "gran": {"a": 2}}, {"force": "true"})],
    "that leaves fields out takes them away": [("one", FULL, {}), ("two", OTHER, {}), ("one", {"tags": ["a"]}, {})],
    "of little leaves little": [("one", FULL, {}), ("one", {"n": 1}, {})],
    "changes an element of a keyed list": [("one", FULL, {}), ("one", {**FULL, "ports": [{"name": "a", "v": 2}]}, {})],
    "fills in the key of an element": [("one", {"ports": [{"name": "a"}, {"name": "a", "proto": "UDP"}]}, {})],
    "keeps what is unknown where that is kept": [("one", {"free": {"a": {"b": None, "c": [{"d": 1}]}}}, {})],
    "of the same changes nothing": [("one", FULL, {}), ("one", FULL, {})],
    "as a dry run leaves nothing": [("one", FULL, {"dryRun": "All"}), ("one", {"n": 1}, {})],
    "refuses a set with an element twice": [("one", {"tags": ["a", "a"]}, {})],
    "refuses an element without its key": [("one", {"ports": [{"v": 1}]}, {})],
    "refuses a key twice": [("one", {"ports": [{"name": "q"}, {"name": "q"}]}, {})],
    "refuses unknown fields": [("one", {"zz": 1}, {})],
    "refuses unknown fields deep down": [("one", {"gran": {"zz": 1}}, {})],
    "refuses text for a number": [("one", {"n": "x"}, {})],
    "refuses text for a list": [("one", {"tags": "x"}, {})],
    "refuses text for an object": [("one", {"gran": "x"}, {})],
    "refuses a list for text": [("one", {"color": ["x"]}, {})],
    "takes null for what may be null": [("one", {"nul": None}, {})],
    "lets the schema refuse": [("one", {"ios": True}, {})],
}
for sentence, steps in STEPS.items():
    CASES.many(f"custom apply: an apply {sentence}", partial(applied, steps=steps))


@CASES.case("custom apply: the status is applied through its own door")
async def _(api: Api) -> None:
    home = await define(api, SHEETS)
    await api.setup("PATCH", f"{home}/s", sheet({"n": 1}), "apply", fieldManager="one")
    await api.ask("PATCH", f"{home}/s/status", sheet(status={"phase": "A"}), "apply", fieldManager="ctl")
    await api.ask("PATCH", f"{home}/s/status", sheet(status={"phase": "B"}), "apply", fieldManager="other")
    await api.ask("PATCH", f"{home}/s", sheet({"n": 2}, status={"phase": "X"}), "apply", fieldManager="one")
    await api.ask("PATCH", f"{home}/s/status", sheet(status={"zz": 1}), "apply", fieldManager="ctl")
    await api.ask("GET", f"{home}/s")


@CASES.case("custom apply: an update and an apply own apart")
async def _(api: Api) -> None:
    home = await define(api, SHEETS)
    await api.ask("POST", home, sheet(FULL))
    await api.ask("PATCH", f"{home}/s", sheet({"gran": {"a": 1}, "tags": ["b"]}), "apply", fieldManager="one")
    await api.ask("PATCH", f"{home}/s", sheet({"gran": {"a": 5}}), "apply", fieldManager="one")
    await api.ask("PATCH", f"{home}/s", {"spec": {"gran": {"b": 3}, "free": None}}, "merge", fieldManager="two")


@CASES.case("custom apply: an apply needs a manager and the right kind")
async def _(api: Api) -> None:
    home = await define(api, SHEETS)
    await api.ask("PATCH", f"{home}/s", sheet({"n": 1}), "apply")
    await api.ask("PATCH", f"{home}/s", {**sheet({"n": 1}), "kind": "Foo"}, "apply", fieldManager="one")
    await api.ask("PATCH", f"{home}/s", {**sheet({"n": 1}), "metadata": {"name": "t"}}, "apply", fieldManager="one")


@CASES.case("custom metadata is checked as any metadata")
async def _(api: Api) -> None:
    home = await define(api, SHEETS)
    for metadata in (
        {"finalizers": ["x"]}, {"finalizers": ["a b"]}, {"ownerReferences": [{"kind": "x"}]},
        {"generateName": "gen-", "name": None}, {"labels": {"a": None}}, {"creationTimestamp": "bad"},
    ):  # fmt: skip
        await api.ask("POST", home, {**sheet({}), "metadata": {"name": "s", **metadata}}, dryRun="All")


@CASES.case("custom owners that are none are not taken")
async def _(api: Api) -> None:
    home = await define(api, SHEETS)
    fields: list[Any] = [{"f:a": 5}, {"a": {}}, {"f:spec": {"k:{": {}}}, {"f:spec": {"f:n": {}}}]
    for one in fields:
        entry = {
            "manager": "m", "operation": "Update", "apiVersion": f"{GROUP}/v1", "fieldsType": "FieldsV1",
            "fieldsV1": one,
        }  # fmt: skip
        body = {**sheet({"n": 1}), "metadata": {"name": "s", "managedFields": [entry]}}
        await api.ask("POST", home, body, dryRun="All")


@CASES.case("custom bodies say their kind")
async def _(api: Api) -> None:
    home = await define(api, SHEETS)
    whole = sheet({"n": 1})
    for left_out in ("kind", "apiVersion"):
        await api.ask("POST", home, {key: value for key, value in whole.items() if key != left_out}, dryRun="All")
    await api.ask("POST", home, {**whole, "kind": 5}, dryRun="All")
    for body in ("{", "[]", '"x"', ""):
        await api.ask("POST", home, body, "application/json", dryRun="All")


@CASES.case("custom resources do not know every method")
async def _(api: Api) -> None:
    home = await define(api, SHEETS)
    await api.setup("POST", home, sheet({}))
    for method, path in (
        ("POST", f"{home}/s"), ("POST", f"{home}/s/status"), ("DELETE", f"{home}/s/status"), ("PUT", home),
    ):  # fmt: skip
        await api.ask(method, path, sheet({}))
    await api.ask("PATCH", home, {}, "merge")


@CASES.case("custom resources are listed in pages and by label")
async def _(api: Api) -> None:
    home = await define(api, SHEETS)
    for index in range(3):
        metadata = {"name": f"s{index}", "labels": {"odd": str(index % 2)}}
        await api.setup("POST", home, {**sheet({"n": index}), "metadata": metadata})
    first = await api.ask("GET", home, limit=2)
    await api.ask("GET", home, limit=2, query={"continue": first.body["metadata"]["continue"]})
    await api.ask("GET", home, labelSelector="odd=0")
    everywhere = home.replace(f"/namespaces/{api.namespace}", "")
    answer = await api.ask("GET", everywhere, record=False, fieldSelector=f"metadata.namespace={api.namespace}")
    api.note(names=[item["metadata"]["name"] for item in answer.body["items"]])
    await api.ask("GET", home, accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")


@CASES.case("custom preconditions of a deletion")
async def _(api: Api) -> None:
    home = await define(api, SHEETS)
    made = await api.setup("POST", home, sheet({}))
    api.scrub(r"record \(\d+\)", "record (N)")
    await api.ask("DELETE", f"{home}/s", {"preconditions": {"resourceVersion": "1"}})
    await api.ask("DELETE", f"{home}/s", {"preconditions": {"uid": made["metadata"]["uid"]}})
