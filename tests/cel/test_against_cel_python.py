"""Where both offer the same (doubles, strings, booleans, lists, nothing missing), cel-python gives the same answer."""

import json
import math
from collections.abc import Callable
from random import Random
from typing import Any

import celpy
import celpy.adapter
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from midwatch_contracts.cel import NO_DATA, compile_expression

NAMES: dict[str, Any] = {"a": 3.0, "b": -0.5, "c": 0.0, "s": "chat", "t": "", "p": True, "q": False, "l": [1.0, 2.5]}


class Writer:
    """Writes random expressions of a kind."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def _pick(self, leaves: list[str], inner: list[Callable[[int], str]], depth: int) -> str:
        if depth <= 0 or self._random.random() < 0.2:
            return self._random.choice(leaves)
        return self._random.choice(inner)(depth - 1)

    def number(self, depth: int) -> str:
        return self._pick(
            ["a", "b", "c", "1.0", "2.5", "l[0]", "l[1]"],
            [
                lambda d: f"({self.number(d)} {self._random.choice('+-*')} {self.number(d)})",
                # The divisor is not zero: there cel-python gives +Inf for a negative number too, against IEEE 754.
                lambda d: f"({self.number(d)} / {self._random.choice(['a', 'b', '2.5', 'l[1]'])})",
                lambda d: f"(-{self.number(d)})",
                lambda d: f"({self.truth(d)} ? {self.number(d)} : {self.number(d)})",
            ],
            depth,
        )

    def string(self, depth: int) -> str:
        return self._pick(["s", "t", "'at'", r'"a\"b"'], [lambda d: f"({self.string(d)} + {self.string(d)})"], depth)

    # The receiver of a method is a plain one: cel-python has no methods on the sum of two strings.
    def truth(self, depth: int) -> str:
        return self._pick(
            ["p", "q", "true", "l.all(x, x > 1.0)", "l.exists(x, x > a)", "(2.5 in l)"],
            [
                lambda d: (
                    f"({self.number(d)} {self._random.choice(['<', '<=', '>', '>=', '==', '!='])} {self.number(d)})"
                ),
                lambda d: (
                    f"{self.string(min(d, 0))}.{self._random.choice(['contains', 'startsWith'])}({self.string(0)})"
                ),
                lambda d: f"({self.string(d)} {self._random.choice(['==', '!='])} {self.string(d)})",
                lambda d: f"({self.truth(d)} {self._random.choice(['&&', '||'])} {self.truth(d)})",
                lambda d: f"!{self.truth(d)}",
            ],
            depth,
        )


def original(text: str) -> Any:
    environment = celpy.Environment()
    activation: Any = json.loads(json.dumps(NAMES), cls=celpy.adapter.CELJSONDecoder)
    return environment.program(environment.compile(text)).evaluate(activation)  # pyright: ignore[reportUnknownMemberType] (untyped there)


@pytest.fixture(autouse=True, scope="module")
def _recursion_limit_of_cel_python_is_set() -> None:
    original("a")  # raises Python's recursion limit, which Hypothesis wants to see before and not during a test


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["number", "string", "truth"]))
def test_the_value_is_that_of_cel_python(random: Random, kind: str) -> None:
    text: str = getattr(Writer(random), kind)(4)
    note(text)
    mine = compile_expression(text).evaluate(NAMES)
    if mine is NO_DATA:
        return  # a NaN on the way, which cel-python carries on
    theirs = original(text)
    match mine:
        case bool():
            assert mine is bool(theirs)
        case float():
            assert math.isclose(mine, float(theirs), rel_tol=1e-12)
        case _:
            assert mine == str(theirs)
