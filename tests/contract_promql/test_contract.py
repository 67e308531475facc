"""Every case of every `promql_cases_*.py`, on the lab and on the original: both must answer alike."""

from collections import Counter
from typing import Any

import httpx2
import pytest

from promql_harness import Case
from promql_harness.collected import CASES
from promql_harness.compare import answers_differ
from promql_harness.coverage import EVERYTHING, NATIVE_ONLY, uses
from promql_harness.sides import ask
from promql_harness.tally import NAMED_MAX, PASSED_MIN, SHARE_MIN, TALLY
from promql_named_differences import NAMED_DIFFERENCES

pytestmark = [pytest.mark.anyio, pytest.mark.original]
SHOWN = 8
ANSWERED: dict[str, bool] = {}
"""Whether the original had an answer to a query, once asked."""


def _has_answer(body: Any) -> bool:
    return body["status"] == "success" and bool(body["data"]["result"])


@pytest.mark.parametrize("case", CASES, ids=[case.id.encode("unicode_escape").decode() for case in CASES])
async def test_the_lab_answers_as_the_original(
    case: Case, sides: dict[bool, tuple[httpx2.AsyncClient, httpx2.AsyncClient]]
) -> None:
    reason = NAMED_DIFFERENCES.get(case.id)
    agreed = False
    try:
        found: list[str] = []
        for request in case.requests:
            lab, original = [await ask(client, request) for client in sides[case.features]]
            if case.query is not None:
                ANSWERED[case.id] = ANSWERED.get(case.id, False) or _has_answer(original.body)
            found += [
                f"{request.path} {dict(request.parameters)}: {one}" for one in answers_differ(request, lab, original)
            ]
        if reason is None and found:
            pytest.fail(f"{len(found)} differences:\n" + "\n".join(found[:SHOWN]), pytrace=False)
        if reason is not None and not found:
            pytest.fail(f"this named difference is none any more, take it off the list: {reason}", pytrace=False)
        agreed = True
    finally:
        if not agreed:
            TALLY.failed += 1
        elif reason is not None:
            TALLY.named.append(case.id)
        else:
            TALLY.passed += 1


def test_most_queries_have_an_answer() -> None:
    asked = {case.id for case in CASES if case.query is not None}
    if set(ANSWERED) != asked:
        pytest.skip("only some of the cases were asked")
    assert sum(ANSWERED.values()) >= SHARE_MIN * len(asked)


def test_every_function_aggregation_operator_and_modifier_stands_in_three_queries() -> None:
    count = uses(case.query for case in CASES if case.query is not None)
    assert {name: count[name] for name in EVERYTHING if count[name] < 3} == {}
    assert {name for name in count if name not in EVERYTHING} == {f"{name}()" for name in NATIVE_ONLY}


def test_the_cases_are_many_each_is_told_apart_and_each_named_difference_has_a_reason() -> None:
    count = Counter(case.id for case in CASES)
    assert [sentence for sentence, times in count.items() if times > 1] == []
    assert len([case for case in CASES if case.query is not None]) >= PASSED_MIN
    assert [sentence for sentence in NAMED_DIFFERENCES if sentence not in count] == []
    assert [sentence for sentence, reason in NAMED_DIFFERENCES.items() if len(reason.split()) < 5] == []
    assert len(NAMED_DIFFERENCES) <= NAMED_MAX
