"""Reads and dry runs that do not need one another, a few at a time."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")

TOGETHER = 8
"""How many are under way at a time: an API server that is asked for more only queues them."""


async def at_once(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """Return the results in order. Of several failures the first in order is raised, whichever came first in time."""
    turn = asyncio.Semaphore(TOGETHER)

    async def one(awaitable: Awaitable[T]) -> T:
        async with turn:
            return await awaitable

    found = await asyncio.gather(*map(one, awaitables), return_exceptions=True)
    results: list[T] = []
    for result in found:
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results
