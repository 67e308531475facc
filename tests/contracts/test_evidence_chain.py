"""Evidence ids name a call and its result; a ledger's lines form a chain (CONTRACTS §3)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.errors import ContractError
from midwatch_contracts.evidence import LedgerEntry, evidence_ref, verify_chain


def _ledger(bodies: list[dict[str, Any]]) -> list[LedgerEntry]:
    entries: list[LedgerEntry] = []
    for body in bodies:
        last = entries[-1] if entries else None
        at = "2026-01-02T03:04:05.000Z"
        entries.append(LedgerEntry.chained(last, at=at, run="r", step=None, kind="note", evidence=None, body=body))
    return entries


def test_the_same_call_with_the_same_result_has_the_same_id() -> None:
    first = evidence_ref("metrics", "metrics_query", {"query": "up", "time": 1.0}, {"series": []})
    again = evidence_ref("metrics", "metrics_query", {"time": 1, "query": "up"}, {"series": []})
    other = evidence_ref("metrics", "metrics_query", {"query": "up", "time": 2.0}, {"series": []})
    assert first == again
    assert first.id != other.id
    assert first.sha256 == other.sha256


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=3), max_size=6))
def test_a_chain_of_entries_verifies(bodies: list[dict[str, Any]]) -> None:
    assert verify_chain(_ledger(bodies)) == len(bodies)


@given(st.integers(0, 4))
def test_one_changed_entry_is_found(index: int) -> None:
    entries = _ledger([{"n": n} for n in range(5)])
    entries[index] = entries[index].model_copy(update={"body": {"n": 99}})
    with pytest.raises(ContractError, match=f"entry {index}"):
        verify_chain(entries)


def test_a_missing_or_swapped_entry_is_found() -> None:
    entries = _ledger([{"n": n} for n in range(3)])
    with pytest.raises(ContractError, match="entry 1"):
        verify_chain([entries[0], entries[2]])
    with pytest.raises(ContractError, match="entry 0"):
        verify_chain(entries[1:])
