"""One suite of tool tests on the lab and on the original control plane: the same calls, the same facts."""

import json

import pytest

from both_sides.cases import CASES, PLANS, Case
from both_sides.manifests import CANARY
from both_sides.world import Side
from midwatch_mcp.testing.caller import Caller

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.original]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.tool}: {case.sentence}")
async def test_both_sides_say_the_same(case: Case, side: Side, tools: Caller) -> None:
    result = await tools.result(case.tool, **case.given(side))
    assert case.seen(result) == case.expected
    assert CANARY not in json.dumps(result)


@pytest.mark.parametrize("case", PLANS, ids=lambda case: case.sentence)
async def test_a_plan_is_previewed_again_to_the_same_hash(case: Case, side: Side, tools: Caller) -> None:
    proposed = await tools.data(case.tool, **case.given(side))
    again = await tools.data("change_preview", plan_id=proposed["plan"]["id"])
    assert again["preview_sha256"] == proposed["preview_sha256"]
