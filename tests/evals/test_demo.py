"""The demo names the fault that was injected, applies what was approved and only that, and leaves nothing behind."""

import json
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.evidence import LedgerEntry, verify_chain

pytestmark = pytest.mark.slow

KEYS = {
    "fault",
    "cause",
    "evidence",
    "plan_id",
    "approved",
    "applied",
    "verified",
    "undone",
    "ttft_p95_before_s",
    "ttft_p95_after_s",
    "steps",
    "seconds",
    "processes_left",
    "report",
}
KV = {"mechanism": "serving.kv_cache_too_small", "entity": "Deployment/llm/chat"}
REPLICAS = {"mechanism": "serving.too_few_replicas", "entity": "Deployment/llm/chat"}


def _ledger(answer: dict[str, Any]) -> list[LedgerEntry]:
    lines = (Path(answer["report"]).parent / "ledger.jsonl").read_text("utf-8").splitlines()
    return [LedgerEntry.model_validate_json(line) for line in lines]


@pytest.mark.parametrize(("fault", "truth"), [("kv", KV), ("replicas", REPLICAS)])
def test_a_fault_is_named_fixed_and_verified(run_demo: Any, fault: str, truth: dict[str, str]) -> None:
    ran = run_demo("--yes", "--fault", fault)
    answer = ran.answer
    assert ran.code == 0, ran.out + ran.err
    assert set(answer) == KEYS
    assert answer["fault"] == answer["cause"] == truth
    assert (answer["approved"], answer["applied"], answer["verified"], answer["undone"]) == (True, True, True, False)
    assert answer["ttft_p95_after_s"] < answer["ttft_p95_before_s"]
    assert answer["processes_left"] == 0
    assert answer["steps"] >= 7
    entries = _ledger(answer)
    assert verify_chain(entries) == len(entries)
    assert set(answer["evidence"]) <= {entry.evidence for entry in entries}
    report = Path(answer["report"]).read_text("utf-8")
    assert truth["mechanism"] in report
    assert "Verdict" in ran.out or "verified" in ran.out


def test_with_nothing_broken_it_says_healthy_and_changes_nothing(run_demo: Any) -> None:
    ran = run_demo("--fault", "none")
    assert ran.code == 0, ran.out + ran.err
    answer = ran.answer
    assert answer["fault"] is None
    assert answer["cause"] is None
    assert answer["plan_id"] is None
    assert not answer["applied"]
    assert answer["ttft_p95_before_s"] is answer["ttft_p95_after_s"] is None


def test_a_refused_approval_ends_with_exit_code_4_and_no_change(run_demo: Any) -> None:
    ran = run_demo("--no", "--fault", "replicas")
    assert ran.code == 4, ran.out + ran.err
    answer = ran.answer
    assert answer["cause"] == REPLICAS
    assert answer["plan_id"] is not None
    assert (answer["approved"], answer["applied"], answer["verified"]) == (False, False, False)


def test_an_expectation_that_cannot_be_met_is_undone_and_the_undo_proved(run_demo: Any) -> None:
    ran = run_demo("--yes", "--unmeetable", "--fault", "replicas")
    assert ran.code == 5, ran.out + ran.err
    answer = ran.answer
    assert (answer["approved"], answer["applied"], answer["verified"], answer["undone"]) == (True, True, False, True)
    changes = [entry.body["change"] for entry in _ledger(answer) if entry.kind == "change"]
    assert changes[-1]["state"] == "undone"
    assert "read again" in json.dumps(changes[-1])


def test_a_file_that_cannot_be_written_is_said_before_anything_starts(run_demo: Any, tmp_path: Path) -> None:
    ran = run_demo("--json", str(tmp_path / "absent" / "out.json"))
    assert ran.code == 2
    assert "cannot be written" in ran.err
    assert not (ran.state / "demos").exists()
