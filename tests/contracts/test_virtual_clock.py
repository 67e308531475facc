"""The virtual clock jumps to the next sleeper and wakes everyone in order (CONTRACTS §7)."""

import asyncio

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
