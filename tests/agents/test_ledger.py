import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midwatch_agents.errors import LedgerError
from midwatch_agents.ledger import Ledger, read_ledger
from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.evidence import GENESIS

RUN = "run-20231114-221320000-0000"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def filled(path: Path, count: int = 3) -> None:
    ledger = Ledger(path, RUN, VirtualClock())
    for number in range(count):
        ledger.append("note", {"says": f"entry {number}"}, evidence=f"ev-{number % 2:016x}")
    ledger.close()


def test_entries_form_a_chain_that_begins_with_zeros_and_the_file_is_private(path: Path) -> None:
    filled(path)
    entries = read_ledger(path)
    assert [entry.seq for entry in entries] == [0, 1, 2]
    assert entries[0].prev_sha256 == GENESIS
    assert entries[2].prev_sha256 == entries[1].sha256
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_process_goes_on_with_the_chain(path: Path) -> None:
    filled(path, 2)
    filled(path, 2)
    assert len(read_ledger(path)) == 4


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_entry_is_found_on_read_and_names_its_place(path: Path, line: int) -> None:
    filled(path)
    lines = path.read_text().splitlines()
    lines[line] = lines[line].replace(f"entry {line}", "entry 9")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(LedgerError, match=f"entry {line} was changed"):
        read_ledger(path)


def test_a_removed_entry_is_found_on_read(path: Path) -> None:
    filled(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2]]) + "\n")
    with pytest.raises(LedgerError, match="out of order"):
        read_ledger(path)


def test_a_line_that_is_no_entry_is_found_on_read(path: Path) -> None:
    filled(path, 1)
    path.write_text(path.read_text() + '{"seq": 1}\n')
    with pytest.raises(LedgerError, match="line 2"):
        read_ledger(path)


def test_the_tail_of_a_killed_writer_is_cut_off_and_said_so(path: Path) -> None:
    filled(path, 2)
    with path.open("ab") as file:
        file.write(b'{"seq": 2, "at": "20')
    assert len(read_ledger(path)) == 2
    ledger = Ledger(path, RUN, VirtualClock())
    ledger.append("note", {"says": "after"})
    ledger.close()
    entries = read_ledger(path)
    assert [entry.kind for entry in entries] == ["note", "note", "torn", "note"]
    assert entries[2].body == {"bytes": 20}


def test_aliases_count_evidence_in_the_order_in_which_it_was_seen(path: Path) -> None:
    filled(path)
    ledger = Ledger(path, RUN, VirtualClock())
    assert ledger.aliases == {"ev-0000000000000000": "E1", "ev-0000000000000001": "E2"}
    ledger.close()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(bodies=st.lists(st.dictionaries(st.text(), json_values, max_size=3), min_size=1, max_size=3))
def test_whatever_is_written_is_read_back_and_verifies(tmp_path: Path, bodies: list[dict[str, Any]]) -> None:
    path = tmp_path / f"ledger-{os.urandom(6).hex()}.jsonl"
    ledger = Ledger(path, RUN, VirtualClock())
    written = [ledger.append("note", body) for body in bodies]
    ledger.close()
    assert read_ledger(path) == written
