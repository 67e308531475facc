"""Arguments are what their schema says, and nothing is taken for something else on the way to a cluster."""

import copy
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from midwatch_contracts.plan import Operation
from midwatch_mcp.safe_apply.drafting import parse_draft
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import EXPECT, World, scale
from midwatch_mcp.safe_apply.operations import OPERATIONS

NAN, INFINITY = float("nan"), float("inf")
ODD: tuple[Any, ...] = (
    None,
    NAN,
    INFINITY,
    -INFINITY,
    10**30,
    -1,
    0,
    2.5,
    4.0,
    True,
    False,
    "",
    "4",
    "NaN",
    "yes",
    [],
    {},
    [None],
)

Path = tuple[str | int, ...]


def places(value: Any, at: Path = ()) -> Iterator[Path]:
    """Yield every place of a JSON value, the deepest too."""
    parts: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        parts = list(cast("dict[str | int, Any]", value).items())
    elif isinstance(value, list):
        parts = list(enumerate(cast("list[Any]", value)))
    for key, item in parts:
        yield (*at, key)
        yield from places(item, (*at, key))


def put(value: Any, at: Path, odd: Any) -> Any:
    changed = copy.deepcopy(value)
    holder = changed
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = copy.deepcopy(odd)
    return changed


def drafted() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Draw the example of an operation with something odd in one or two places."""

    @st.composite
    def one(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
        kind = OPERATIONS[draw(st.sampled_from(sorted(OPERATIONS)))]
        args: dict[str, Any] = copy.deepcopy(kind.example)
        names = sorted(kind.arguments.model_fields)
        for _ in range(draw(st.integers(1, 2))):
            within = [*places(args), *((name,) for name in names)]
            if within:
                args = put(args, draw(st.sampled_from(within)), draw(st.sampled_from(ODD)))
        return kind.name, args

    return one()


@given(drafted())
@settings(max_examples=150, deadline=None)
def test_arguments_that_are_taken_fit_their_schema_and_survive_the_wire(drawn: tuple[str, dict[str, Any]]) -> None:
    name, args = drawn
    kind = OPERATIONS[name]
    try:
        parsed = kind.parse(args)
    except RefusedChangeError:
        return
    schema: Any = Draft202012Validator(kind.arguments.model_json_schema())
    assert [error.message for error in schema.iter_errors(args)] == []
    wire = json.dumps(parsed.model_dump(mode="json", exclude_defaults=True), allow_nan=False)
    assert kind.parse(json.loads(wire)) == parsed


@pytest.mark.parametrize("replicas", [None, True, "4", 4.5, NAN, INFINITY, 10**30, -1, [4]], ids=repr)
def test_replicas_are_a_number(replicas: Any) -> None:
    with pytest.raises(RefusedChangeError) as caught:
        OPERATIONS["scale"].parse({"replicas": replicas})
    assert caught.value.reason == "bad_draft"
    assert "replicas" in str(caught.value)


def test_a_whole_number_may_come_as_the_double_of_an_expression() -> None:
    assert OPERATIONS["scale"].parse({"replicas": 4.0}) == OPERATIONS["scale"].parse({"replicas": 4})
    flags = OPERATIONS["set_args"].parse({"container": "engine", "args": {"--gpu-memory-utilization": 1.0}})
    assert flags.model_dump()["args"] == {"--gpu-memory-utilization": 1.0}


@pytest.mark.parametrize("seconds", ["inf", "NaN", INFINITY, NAN], ids=repr)
def test_an_expectation_waits_for_a_number_of_seconds(seconds: Any) -> None:
    with pytest.raises(RefusedChangeError, match=r"within_s|the number"):
        parse_draft({"title": "Wait", "operations": [scale()], "expect": [EXPECT | {"within_s": seconds}]})


@pytest.mark.anyio
async def test_what_the_envelope_writes_itself_is_taken_from_no_draft(world: World) -> None:
    given_by: dict[str, dict[str, Any]] = {
        "scale": {"unset": True},
        "hpa_bounds": {"min": 2, "no_min": True},
        "drain": {"pods": []},
    }
    for name, own in given_by.items():
        operation: dict[str, Any] = {"op": name, "target": scale()["target"], "args": own}
        with pytest.raises(RefusedChangeError, match="which change_propose writes itself"):
            await world.propose(operation)


@pytest.mark.anyio
async def test_the_undo_of_a_number_that_was_not_there_takes_it_away_again(world: World) -> None:
    router = world.cluster.objects_by_entity["Deployment/llm/router"]
    del router["spec"]["replicas"]
    world.cluster.put(router)
    proposal = await world.propose(scale())
    undo = proposal.plan.operations[0].undo
    assert isinstance(undo, Operation)
    assert undo.args == {"unset": True}
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"
    back = await world.envelope.draft_undo(change.change_id)
    assert back.preview.diffs[0].changes == (("/spec/replicas", 4, None),)
