"""For generated objects and operations: what the preview shows is what an independent reader then finds."""

import asyncio
import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midwatch_contracts.canonical import sha256_hex
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import World, deployment, set_flags
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.patches import patched
from midwatch_mcp.safe_apply.values import changes, merge_patch

NAMES: tuple[str, ...] = ("--alpha", "--beta", "--gamma-delta", "--eps", "-z")
names: st.SearchStrategy[str] = st.sampled_from(list(NAMES))
values = st.one_of(
    st.text(alphabet="abc0159._=/ ", max_size=6).filter(lambda text: not text.startswith("-")),
    st.integers(-9, 99).map(str),
)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Each flag at most once, in any form, among plain words that no flag can take for its value."""
    words: list[str] = draw(st.lists(st.sampled_from(["serve", "model"]), max_size=2))
    for name in draw(st.permutations(NAMES))[: draw(st.integers(0, len(NAMES)))]:
        form = draw(st.sampled_from(["joined", "apart", "bare"]))
        value = draw(values)
        words += {"joined": [f"{name}={value}"], "apart": [name, value], "bare": [name]}[form]
    return words


wanted = st.dictionaries(names, st.one_of(st.none(), st.just(value=True), values), min_size=1, max_size=4)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Flatten a value, independently of the code under test."""
    if isinstance(value, dict) and value:
        for key, item in cast("dict[str, Any]", value).items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(cast("list[Any]", value)):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def seen_difference(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    """What a reader finds to have changed, by the place of each leaf."""
    old, new = dict(leaves(before)), dict(leaves(after))
    absent = object()
    places = [path for path in {**old, **new} if old.get(path, absent) != new.get(path, absent)]
    return {"/".join(map(str, path)): (old.get(path), new.get(path)) for path in places}


def rebuilt(before: Any, shown: tuple[tuple[str, Any, Any], ...]) -> Any:
    """Put the pairs of a preview into an object, as somebody would who has only the preview."""
    after = copy.deepcopy(before)
    for pointer, _, new in shown:
        *above, last = pointer.split("/")[1:]
        place = after
        for part in above:
            place = step(place, part)
        if new is None:
            del place[key(place, last)]
        else:
            put(place, last, new)
    return after


def step(place: Any, part: str) -> Any:
    if isinstance(place, dict) and part not in place:
        return put(cast("Any", place), part, {})
    return cast("Any", place)[key(place, part)]


def key(place: Any, part: str) -> Any:
    return int(part) if isinstance(place, list) else part


def put(place: Any, part: str, value: Any) -> Any:
    place[key(place, part)] = value
    return value


def without_versions(value: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(value)
    for name in ("resourceVersion", "generation", "uid"):
        found["metadata"].pop(name, None)
    return found


patches = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(alphabet="xy", max_size=2)),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(["a", "b", "c/d", "e~"]), inner, max_size=3), st.lists(inner, max_size=2)
    ),
    max_leaves=6,
)


@st.composite
def operations(draw: st.DrawFn) -> dict[str, Any]:
    target = {"kind": "Deployment", "namespace": "llm", "name": "chat"}
    which = draw(st.sampled_from(["set_args", "scale", "strategic", "merge", "json"]))
    if which == "set_args":
        return set_flags(draw(wanted))
    if which == "scale":
        return {"op": "scale", "target": target, "args": {"replicas": draw(st.integers(1, 12))}}
    if which == "json":
        container = {"name": "extra", "image": draw(st.sampled_from(["a:1", "b:2"]))}
        choices: list[list[dict[str, Any]]] = [
            [{"op": "replace", "path": "/spec/replicas", "value": draw(st.integers(1, 9))}],
            [{"op": "add", "path": "/spec/template/spec/containers/-", "value": container}],
            [{"op": "remove", "path": "/spec/template/spec/containers/0"}],
            [{"op": "add", "path": "/metadata/labels/tier", "value": "gold"}],
        ]
        return {"op": "patch", "target": target, "args": {"type": "json", "patch": draw(st.sampled_from(choices))}}
    if which == "strategic":
        part = {"name": draw(st.sampled_from(["engine", "extra"])), "image": draw(st.sampled_from(["a:1", "b:2"]))}
        body = {"spec": {"template": {"spec": {"containers": [part]}}}}
        return {"op": "patch", "target": target, "args": {"type": "strategic", "patch": body}}
    body = {
        "metadata": {"annotations": draw(st.dictionaries(st.sampled_from("pq"), st.sampled_from("12"), min_size=1))}
    }
    return {"op": "patch", "target": target, "args": {"type": "merge", "patch": body}}


async def one(world: World, args: list[str], operation: dict[str, Any]) -> None:
    world.cluster.put(deployment(args=args))
    before = without_versions(world.cluster.objects_by_entity["Deployment/llm/chat"])
    try:
        proposal = await world.propose(operation)
    except RefusedChangeError:
        assert world.cluster.writes == []
        return
    (diff,) = proposal.preview.diffs
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    after = without_versions(world.cluster.objects_by_entity["Deployment/llm/chat"])
    assert seen_difference(rebuilt(before, diff.changes), after) == {}
    assert bool(seen_difference(before, after)) == bool(diff.changes)
    removed = sum(line.startswith("-") and not line.startswith("---") for line in diff.unified.splitlines())
    added = sum(line.startswith("+") and not line.startswith("+++") for line in diff.unified.splitlines())
    assert removed + added > 0
    # And the way back leads back: the whole object, byte for byte.
    assert await world.settle(change.change_id) == "verified"
    back = await world.envelope.draft_undo(change.change_id)
    world.approve(back)
    await world.envelope.apply(back.plan.id)
    assert without_versions(world.cluster.objects_by_entity["Deployment/llm/chat"]) == before


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(args=command_lines(), operation=operations())
def test_the_result_is_the_preview_and_the_undo_leads_back(args: list[str], operation: dict[str, Any]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder))
            try:
                await one(world, args, operation)
            finally:
                for envelope in world.envelopes:
                    await envelope.aclose()

    asyncio.run(run())


@settings(max_examples=300, deadline=None)
@given(args=command_lines(), new=wanted)
def test_set_args_changes_the_named_flags_and_no_other_word(args: list[str], new: dict[str, Any]) -> None:
    kind = operation_kind("set_args")
    before = deployment(args=args)
    parsed = kind.parse({"container": "engine", "args": new})
    try:
        write = kind.request(parsed, before)
    except RefusedChangeError as refusal:
        assert "begins with a dash" in str(refusal)  # noqa: PT017 (a refusal is one of the two right answers)
        return
    after = patched(write.form, before, write.body)
    touched = kind.touched(parsed, after)
    for name, value in new.items():
        found = touched[f"/spec/template/spec/containers[engine]/{name}"]
        assert found == ([] if value is None else [value])
    others = [name for name in NAMES if name not in new]
    other = kind.parse({"container": "engine", "args": dict.fromkeys(others)}) if others else None
    if other is not None:
        assert kind.touched(other, after) == kind.touched(other, before)
    back_by = kind.undo(parsed, before, after)
    assert back_by is not None
    name, undo = back_by
    undo_kind = operation_kind(name)
    back = undo_kind.request(undo_kind.parse(undo), after)
    restored = patched(back.form, after, back.body)
    assert restored["spec"]["template"]["spec"]["containers"][1].get("args", []) == args
    assert sha256_hex(kind.touched(parsed, restored)) == sha256_hex(kind.touched(parsed, before))


no_nulls = patches.filter(lambda value: isinstance(value, dict) and "None" not in repr(value))


@settings(max_examples=300, deadline=None)
@given(before=no_nulls, after=no_nulls)
def test_a_merge_patch_leads_from_one_object_to_the_other(before: Any, after: Any) -> None:
    assert patched("merge", before, merge_patch(before, after)) == after
    assert (changes(before, after) == []) == (merge_patch(before, after) == {})
