"""When a query has taken too long. Evaluation is cooperative: whatever loops in Python asks now and then."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from midwatch_lab.metrics.errors import QueryTimeoutError

_EVERY = 256
_Item = TypeVar("_Item")


class Deadline:
    """A moment after which a query is broken off; `now` tells seconds that never run backwards."""

    __slots__ = ("_now", "_until")

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until = now() + seconds

    def check(self, where: str = "expression evaluation") -> None:
        """Break the query off if it is late.

        Raises:
            QueryTimeoutError: in the original's words.
        """
        if self._now() > self._until:
            raise QueryTimeoutError(f"query timed out in {where}")

    def over(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Return the items one by one, and check in between.

        Raises:
            QueryTimeoutError: when it is late.
        """
        for index, item in enumerate(items):
            if index % _EVERY == 0:
                self.check()
            yield item
