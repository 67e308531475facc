"""A plan's id is its content; an approval is bound to plan and preview (CONTRACTS §5); golden files fix the form."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from midwatch_contracts.errors import ContractError
from midwatch_contracts.plan import (
    Approval,
    Blast,
    Diff,
    Expectation,
    Plan,
    Preview,
    approval_payload,
    check_plan,
    preview_sha256,
)

GOLDEN = Path(__file__).parent / "golden"
TARGET = {"cluster": "c-1", "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "llm", "name": "chat"}
SCALE_BACK = {"id": "op-1", "op": "scale", "target": TARGET, "args": {"replicas": 1}}
SCALE = SCALE_BACK | {"args": {"replicas": 3}, "pre": {"uid": "u-1", "touched_sha256": "0" * 64}, "undo": SCALE_BACK}
EXPECT = {"promql": "up", "holds": "value < 2.0", "within_s": 60, "hold_s": 5}


def _plan(**other: Any) -> Plan:
    fields = {
        "title": "Scale chat to 3",
        "cause": None,
        "evidence": [],
        "operations": [SCALE],
        "expect": [EXPECT],
        "created": "2026-01-02T03:04:05.000Z",
    }
    return Plan.sealed(**fields | other)


def _preview(**other: Any) -> Preview:
    fields: dict[str, Any] = {
        "plan_id": "a" * 64,
        "diffs": (
            Diff(operation="op-1", target="Deployment/llm/chat", unified="-1\n+3", changes=(("/spec/replicas", 1, 3),)),
        ),
        "owners": (),
        "risk": "change",
        "blast": Blast(objects=1, pods_restarted=0, pods_total=1, note=""),
    }
    return Preview(**fields | other)


@pytest.mark.parametrize("shape", ["plan", "approval"])
def test_the_wire_form_is_that_of_the_golden_file(shape: str) -> None:
    golden = json.loads((GOLDEN / f"{shape}.json").read_text("utf-8"))
    model = {"plan": Plan, "approval": Approval}[shape].model_validate(golden)
    assert json.loads(model.model_dump_json(by_alias=True)) == golden
    if isinstance(model, Plan):
        check_plan(model)


def test_the_same_content_has_the_same_id_whenever_it_was_made() -> None:
    assert _plan().id == _plan(created="2027-01-02T03:04:05.000Z").id
    assert _plan().id != _plan(title="Scale chat to three").id


def test_the_same_plan_on_another_cluster_is_another_plan() -> None:
    assert _plan().id != _plan(operations=[SCALE | {"target": TARGET | {"cluster": "c-2"}}]).id


def test_a_plan_whose_content_was_changed_is_found_out() -> None:
    plan = _plan()
    check_plan(plan)
    with pytest.raises(ContractError, match="was changed"):
        check_plan(plan.model_copy(update={"title": "Delete everything"}))


def test_a_plan_touches_an_object_at_most_once() -> None:
    with pytest.raises(ValidationError, match="at most once"):
        _plan(operations=[SCALE, SCALE | {"id": "op-2"}])


def test_the_preview_hash_covers_diffs_owners_and_risk_and_not_the_warnings() -> None:
    assert preview_sha256(_preview()) == preview_sha256(_preview(warnings=("slow",)))
    assert preview_sha256(_preview()) != preview_sha256(_preview(risk="dangerous"))
    assert preview_sha256(_preview()) != preview_sha256(_preview(diffs=()))


def test_what_is_signed_is_everything_but_the_signature() -> None:
    approval = Approval.model_validate(json.loads((GOLDEN / "approval.json").read_text("utf-8")))
    assert approval_payload(approval) == approval_payload(approval.model_copy(update={"signature": "AAAA"}))
    assert approval_payload(approval) != approval_payload(approval.model_copy(update={"nonce": "1" * 32}))


@pytest.mark.parametrize(
    "fields",
    [
        {"promql": "up", "within_s": 1, "hold_s": 1},
        {"promql": "up", "holds": "value > 0.0", "object": "Pod/a/b", "cel": "true", "within_s": 1, "hold_s": 1},
        {"holds": "value > 0.0", "object": "Pod/a/b", "within_s": 1, "hold_s": 1},
        {"promql": "up", "holds": "value > 0.0", "within_s": 0, "hold_s": 1},
    ],
)
def test_an_expectation_is_a_query_or_an_object_condition_and_has_a_time(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Expectation.model_validate(fields)


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Expectation.model_validate(EXPECT | {"hold_seconds": 5})
