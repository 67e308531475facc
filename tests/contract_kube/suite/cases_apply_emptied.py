"""What server-side apply leaves of structures whose last field it takes away."""

from functools import partial
from typing import Any, Final

from cases_custom_apply import SHEETS, sheet
from contract_harness import Api, Cases
from contract_harness.custom import define

CASES: Final = Cases()
Spec = dict[str, Any] | None
STEPS: Final[dict[str, list[tuple[str, Spec]]]] = {
    "an object whose only field goes": [("one", {"n": 1, "gran": {"a": 1}}), ("one", {"n": 1})],
    "an object that stays empty": [("one", {"n": 1, "gran": {"a": 1}}), ("one", {"n": 1, "gran": {}})],
    "the whole specification": [("one", {"n": 1}), ("one", None)],
    "the whole specification, left empty": [("one", {"n": 1}), ("one", {})],
    "a map whose last key goes": [("one", {"map": {"k": "v"}}), ("one", {"map": {}}), ("one", {})],
    "a set whose last element goes": [("one", {"tags": ["a"]}), ("one", {"tags": []}), ("one", {})],
    "a keyed list whose last element goes": [("one", {"ports": [{"name": "a"}]}), ("one", {"ports": []}), ("one", {})],
    "a keyed list that is left out": [("one", {"n": 1, "ports": [{"name": "a"}]}), ("one", {"n": 1})],
    "what is untyped": [("one", {"free": {"x": {"y": 1}}}), ("one", {"free": {"x": {}}}), ("one", {"free": {}})],
    "an object in which another has a field": [
        ("one", {"gran": {"a": 1}}), ("two", {"gran": {"b": 1}}), ("one", {}), ("two", {}),
    ],
    "an object that another states empty": [("two", {"gran": {}}), ("one", {"gran": {"a": 1}}), ("one", {})],
    "an object with a default": [("one", {"def": {"y": "z"}}), ("one", {"n": 1}), ("one", {"n": 1, "def": {}})],
    "null for an object": [("one", {"gran": {"a": 1}, "n": 1}), ("one", {"gran": None, "n": 1})],
    "null for a map": [("one", {"map": {"k": "v"}}), ("one", {"map": None})],
    "null for a set": [("one", {"tags": ["a"]}), ("one", {"tags": None})],
}  # fmt: skip


async def applied(api: Api, steps: list[tuple[str, Spec]]) -> None:
    home = await define(api, SHEETS)
    for manager, spec in steps:
        await api.ask("PATCH", f"{home}/s", sheet(spec), "apply", fieldManager=manager)
    await api.ask("GET", f"{home}/s")


for sentence, steps in STEPS.items():
    CASES.many(f"emptied by apply: {sentence}", partial(applied, steps=steps))

MAPS: Final[dict[str, list[tuple[str, dict[str, Any]]]]] = {
    "the last label and annotation": [
        ("one", {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}), ("one", {}),
    ],
    "labels stated empty": [("one", {"metadata": {"labels": {"a": "b"}}}), ("one", {"metadata": {"labels": {}}})],
    "the last datum": [("one", {"data": {"a": "b"}}), ("one", {"data": {}}), ("one", {})],
    "data of which another has one": [
        ("one", {"data": {"a": "b"}}), ("two", {"data": {"c": "d"}}), ("one", {}), ("two", {}),
    ],
    "the finalizers": [("one", {"metadata": {"finalizers": ["a/b"]}}), ("one", {"metadata": {"finalizers": []}})],
}  # fmt: skip


async def map_applied(api: Api, steps: list[tuple[str, dict[str, Any]]]) -> None:
    for manager, part in steps:
        body = {"apiVersion": "v1", "kind": "ConfigMap", **part}
        body["metadata"] = {"name": "c", **part.get("metadata", {})}
        await api.ask("PATCH", api.path("v1", "configmaps", "c"), body, "apply", fieldManager=manager)
    await api.ask("GET", api.path("v1", "configmaps", "c"))


for sentence, steps in MAPS.items():
    CASES.many(f"emptied by apply: {sentence}", partial(map_applied, steps=steps))
