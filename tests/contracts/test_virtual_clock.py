"""The virtual clock jumps to the next sleeper and wakes everyone in order (CONTRACTS §7)."""

import asyncio

import anyio
import pytest

from midwatch_contracts.clock import VirtualClock, WallClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    clock = VirtualClock(start=100.0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    tasks = [asyncio.create_task(sleeper(*pair)) for pair in [("late", 5.0), ("soon", 1.0), ("never", 60.0)]]
    await asyncio.sleep(0)
    await clock.advance(10.0)
    assert woken == [("soon", 101.0), ("late", 105.0)]
    assert clock.now() == 110.0
    tasks[2].cancel()


async def test_an_automatic_clock_jumps_without_waiting() -> None:
    clock = VirtualClock(auto=True)
    wall = WallClock()
    began, began_wall = clock.now(), wall.now()
    await asyncio.gather(clock.sleep(3600), clock.sleep(1800))
    assert clock.now() - began == 3600
    assert wall.now() - began_wall < 60


async def test_on_an_automatic_clock_each_sleeper_sees_its_own_time_and_goes_on_before_the_next_wakes() -> None:
    clock = VirtualClock(start=0.0, auto=True)
    seen: list[tuple[str, float]] = []

    async def two(name: str, first: float, second: float) -> None:
        await clock.sleep(first)
        seen.append((name, clock.now()))
        await clock.sleep(second)
        seen.append((name, clock.now()))

    await asyncio.gather(two("a", 3.0, 1.0), two("b", 1.0, 1.0))
    assert seen == [("b", 1.0), ("b", 2.0), ("a", 3.0), ("a", 4.0)]


async def test_a_cancelled_sleeper_does_not_hold_up_the_others() -> None:
    clock = VirtualClock(start=0.0, auto=True)
    alarm = asyncio.create_task(clock.sleep(1.0))
    await asyncio.sleep(0)
    alarm.cancel()
    await asyncio.gather(alarm, return_exceptions=True)
    with anyio.fail_after(5):
        await clock.sleep(2.0)
    assert clock.now() == 2.0
