import copy
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_lab.errors import PatchError
from midwatch_lab.patches import json_patch, merge_patch, strategic
from midwatch_lab.schemas.schema import schemas

DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
KEYS = st.text(alphabet="ab/~c", min_size=1, max_size=3)
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=10
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=4)


def difference(old: Any, new: Any, path: str = "") -> list[dict[str, Any]]:
    """A JSON patch from one value to another, made the plain way."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if _same(old, new) else [{"op": "replace", "path": path, "value": new}]
    before, after = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
    operations: list[dict[str, Any]] = [
        {"op": "remove", "path": f"{path}/{_escaped(key)}"} for key in before.keys() - after.keys()
    ]
    for key, value in after.items():
        where = f"{path}/{_escaped(key)}"
        added = [{"op": "add", "path": where, "value": value}]
        operations += difference(before[key], value, where) if key in before else added
    return operations


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _same(one: Any, two: Any) -> bool:
    return type(one) is type(two) and one == two


@given(OBJECTS, OBJECTS)
def test_a_json_patch_that_is_the_difference_of_two_objects_turns_one_into_the_other(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    before = copy.deepcopy(old)
    assert json_patch.apply(old, difference(old, new)) == new
    assert old == before, "the patched object must be a copy"


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_laid_on_twice_is_the_same_as_once(old: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge_patch.apply(old, patch)
    assert merge_patch.apply(once, patch) == once


@given(OBJECTS)
def test_an_empty_merge_patch_changes_nothing(old: dict[str, Any]) -> None:
    assert merge_patch.apply(old, {}) == old


@given(OBJECTS, KEYS)
def test_a_null_in_a_merge_patch_removes_the_field(old: dict[str, Any], key: str) -> None:
    assert merge_patch.apply(old, {key: None}) == {name: value for name, value in old.items() if name != key}


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({"a": "foo"}, "bar", "bar"),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7386_hold(document: Any, patch: Any, result: Any) -> None:
    assert merge_patch.apply(document, patch) == result


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "remove", "path": "/nope"}],
        [{"op": "replace", "path": "/nope/inside", "value": 1}],
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "add", "path": "/list/5", "value": 1}],
        [{"op": "add", "path": "/list/01", "value": 1}],
        [{"op": "frobnicate", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "move", "from": "/o", "path": "/o/p"}],
        {"op": "add"},
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(patch: Any) -> None:
    with pytest.raises(PatchError):
        json_patch.apply({"a": 1, "list": [1, 2], "o": {"p": 1}}, patch)


def test_true_and_one_are_different_values_to_the_test_operation() -> None:
    with pytest.raises(PatchError):
        json_patch.apply({"a": 1}, [{"op": "test", "path": "/a", "value": True}])


def deployment() -> dict[str, Any]:
    return {
        "metadata": {"name": "chat", "finalizers": ["one", "two"]},
        "spec": {
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {
                "spec": {
                    "containers": [
                        {"name": "engine", "image": "a", "args": ["--x"], "env": [{"name": "A", "value": "1"}]},
                        {"name": "side", "image": "b"},
                    ]
                }
            },
        },
    }


def containers(patched: dict[str, Any]) -> list[dict[str, Any]]:
    return patched["spec"]["template"]["spec"]["containers"]


def patched_containers(changes: list[Any], **directives: Any) -> list[dict[str, Any]]:
    patch = {"spec": {"template": {"spec": {"containers": changes, **directives}}}}
    return containers(strategic.apply(schemas(), DEPLOYMENT, deployment(), patch))


def test_containers_are_merged_by_name_with_new_elements_first_and_plain_lists_replaced() -> None:
    found = patched_containers([{"name": "engine", "args": ["--y"], "env": [{"name": "B", "value": "2"}]}])
    assert [item["name"] for item in found] == ["engine", "side"]
    assert found[0] == {
        "name": "engine",
        "image": "a",
        "args": ["--y"],
        "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
    }


def test_the_delete_directive_takes_an_element_out() -> None:
    assert [item["name"] for item in patched_containers([{"name": "side", "$patch": "delete"}])] == ["engine"]


def test_the_replace_directive_replaces_the_whole_list() -> None:
    assert patched_containers([{"$patch": "replace"}, {"name": "new", "image": "c"}]) == [{"name": "new", "image": "c"}]


def test_the_element_order_directive_orders_the_merged_list() -> None:
    order = {"$setElementOrder/containers": [{"name": "new"}, {"name": "side"}, {"name": "engine"}]}
    found = patched_containers([{"name": "new", "image": "c"}], **order)
    assert [item["name"] for item in found] == ["new", "side", "engine"]


def test_an_element_without_its_merge_key_is_refused() -> None:
    with pytest.raises(PatchError, match="merge key: name"):
        patched_containers([{"image": "x"}])


def test_the_retain_keys_directive_drops_the_other_fields_of_a_union() -> None:
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    found = strategic.apply(schemas(), DEPLOYMENT, deployment(), patch)
    assert found["spec"]["strategy"] == {"type": "Recreate"}


def test_primitive_lists_with_the_merge_strategy_are_united_and_deleted_from() -> None:
    patch = {"metadata": {"finalizers": ["three", "one"]}}
    found = strategic.apply(schemas(), DEPLOYMENT, deployment(), patch)
    assert found["metadata"]["finalizers"] == ["three", "one", "two"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["one"]}}
    found = strategic.apply(schemas(), DEPLOYMENT, deployment(), patch)
    assert found["metadata"]["finalizers"] == ["two"]


names = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)


@given(names, names)
def test_a_strategic_merge_by_key_keeps_every_key_once_and_is_idempotent(old: list[str], new: list[str]) -> None:
    document = {"spec": {"template": {"spec": {"containers": [{"name": n, "image": "old"} for n in old]}}}}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": n, "image": "new"} for n in new]}}}}
    once = strategic.apply(schemas(), DEPLOYMENT, document, patch)
    found = containers(once)
    assert sorted(item["name"] for item in found) == sorted(set(old) | set(new))
    assert all(item["image"] == ("new" if item["name"] in new else "old") for item in found)
    assert strategic.apply(schemas(), DEPLOYMENT, once, patch) == once


@given(names, names, st.randoms(use_true_random=False))
def test_a_given_element_order_holds_among_the_listed(old: list[str], new: list[str], shuffler: Any) -> None:
    order = list(set(old) | set(new))
    shuffler.shuffle(order)
    document = {"spec": {"template": {"spec": {"containers": [{"name": n} for n in old]}}}}
    patch = {
        "spec": {
            "template": {
                "spec": {
                    "containers": [{"name": n} for n in order if n in new],
                    "$setElementOrder/containers": [{"name": n} for n in order],
                }
            }
        }
    }
    found = containers(strategic.apply(schemas(), DEPLOYMENT, document, patch))
    assert [item["name"] for item in found] == order
