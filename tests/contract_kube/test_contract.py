"""Every case of every `cases_*.py`, on the lab and on the original: both must answer alike."""

import asyncio
import importlib
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from contract_harness import Api, Case, Cases
from contract_harness.lab import fresh_lab
from contract_harness.normalise import Normaliser, differences
from contract_harness.original import USERS
from contract_harness.tally import NAMED_MAX, TALLY
from named_differences import NAMED_DIFFERENCES

pytestmark = [pytest.mark.anyio, pytest.mark.original]
CASE_S = 60
SHOWN = 12


def all_cases() -> list[Case]:
    found: list[Case] = []
    for path in sorted((Path(__file__).parent / "suite").glob("cases_*.py")):
        cases: Cases = importlib.import_module(path.stem).CASES
        found += cases.found
    return found


CASES = all_cases()


async def observe(api: Api, case: Case) -> list[object]:
    await api.setup("POST", "/api/v1/namespaces", {"metadata": {"name": api.namespace}})
    async with asyncio.timeout(CASE_S):
        await case.run(api)
    assert api.seen, "the case observed nothing"
    return Normaliser(api.scrubbed).of(api.seen, api.prepared)


async def both(sides: tuple[Api, Api], case: Case) -> tuple[list[object], list[object]]:
    """Run the case on both sides at once; when one breaks off, the other is let finish first."""
    one, two = await asyncio.gather(*(observe(side, case) for side in sides), return_exceptions=True)
    for outcome in (one, two):
        if isinstance(outcome, BaseException):
            raise outcome
    assert isinstance(one, list)
    assert isinstance(two, list)
    return one, two


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=[case.id for case in CASES])
async def test_the_lab_answers_as_the_original(
    number: int, case: Case, original: dict[str | None, httpx2.AsyncClient]
) -> None:
    lab = fresh_lab()
    namespace = f"case-{number}"
    sides = (Api("lab", namespace, {user: lab(user) for user in (*USERS, None)}), Api("original", namespace, original))
    reason = NAMED_DIFFERENCES.get(case.id)
    agreed = False
    try:
        one, two = await both(sides, case)
        found = differences(one, two)
        if reason is None and found:
            pytest.fail(f"{len(found)} differences:\n" + "\n".join(found[:SHOWN]), pytrace=False)
        if reason is not None and not found:
            pytest.fail(f"this named difference is none any more, take it off the list: {reason}", pytrace=False)
        agreed = True
    finally:
        for client in sides[0].clients.values():
            await client.aclose()
        if not agreed:
            TALLY.failed += 1
        elif reason is not None:
            TALLY.named.append(case.id)
        else:
            TALLY.passed += 1


def test_a_sentence_names_one_case_and_each_named_difference_has_a_case_and_a_reason() -> None:
    count = Counter(case.id for case in CASES)
    assert [sentence for sentence, times in count.items() if times > 1] == []
    assert [sentence for sentence in NAMED_DIFFERENCES if sentence not in count] == []
    assert [sentence for sentence, reason in NAMED_DIFFERENCES.items() if len(reason.split()) < 5] == []
    assert len(NAMED_DIFFERENCES) <= NAMED_MAX
