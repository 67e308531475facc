"""What needs one another's result in nothing is asked for at once, and the outcome does not depend on who is first."""

import asyncio

import pytest

from midwatch_mcp.safe_apply.at_once import TOGETHER, at_once

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_results_stand_in_the_order_of_the_questions_and_few_are_under_way() -> None:
    under_way: list[int] = []
    most = 0

    async def ask(number: int) -> int:
        nonlocal most
        under_way.append(number)
        most = max(most, len(under_way))
        for _ in range(30 - number):
            await asyncio.sleep(0)
        under_way.remove(number)
        return number

    assert await at_once(ask(number) for number in range(30)) == list(range(30))
    assert most == TOGETHER


async def test_of_several_failures_the_first_in_order_is_raised_and_nothing_is_left_running() -> None:
    ended: list[str] = []

    async def fail(name: str, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        ended.append(name)
        raise ValueError(name)

    with pytest.raises(ValueError, match="slow"):
        await at_once([fail("slow", 5), fail("quick", 0)])
    assert ended == ["quick", "slow"]
