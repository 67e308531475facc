"""The parser held against the original's on mutated queries: what one reads the other reads, and prints alike."""

import random

import pytest

from midwatch_contracts.promql import EVERY_FEATURE, Features, PromqlError, format_expr, parse
from midwatch_lab.original_prometheus import OriginalPrometheus
from promql_harness.collected import CASES

pytestmark = pytest.mark.original

MUTATIONS = 1500
PIECES = [
    *("(", ")", "[", "]", "{", "}", '"', "by", "offset", "5m", "@", "-", ",", "on", "1", "sum", " ", "bool", "=~"),
    *("anchored", "step()", "* 2", "fill (1)", "min_of("),
]


@pytest.mark.parametrize("featured", [False, True], ids=["plain", "experimental"])
def test_the_parser_accepts_and_refuses_what_the_original_does(
    originals: dict[bool, OriginalPrometheus], *, featured: bool
) -> None:
    original, features = originals[featured], EVERY_FEATURE if featured else Features()
    draw = random.Random(3)  # noqa: S311 (data, not secrets)
    queries = [case.query for case in CASES if case.query and "</" not in case.query and ">/" not in case.query]
    differ: list[str] = []
    for _ in range(MUTATIONS):
        text = list(draw.choice(queries))
        for _ in range(draw.randint(0, 2)):
            at = draw.randint(0, len(text))
            text[at : at + draw.randint(0, 2)] = [draw.choice(PIECES)]
        query = "".join(text)
        answer = original.get("format_query", query=query)
        if answer["status"] == "success":
            # Durations that make no sense are refused by the original when it evaluates, by ours when it parses.
            evaluated = original.get("query", query=query, time=0)
            answer = evaluated if "duration must be" in evaluated.get("error", "") else answer
        try:
            parsed = format_expr(parse(query, features))
        except PromqlError:
            parsed = None
        if (parsed is None) != (answer["status"] == "error"):
            differ.append(f"{query!r}: ours {parsed}, theirs {answer.get('error', answer.get('data'))}")
        elif parsed is not None:
            again = original.get("format_query", query=parsed)
            assert again["data"] == answer["data"], query
    assert not differ, "\n".join(differ[:20])
