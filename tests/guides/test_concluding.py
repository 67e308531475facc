"""What a run concludes: which outcome counts, how sure a cause may be, and the change that is drafted."""

from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.plan import Expectation
from midwatch_tsg.caller import ScriptedCaller
from midwatch_tsg.parser import parse
from midwatch_tsg.result import GuideResult
from midwatch_tsg.runner import Runner

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


CAUSE = "outcome: cause\ncause: {{mechanism: {0}, entity: '{1}', confidence: {2}}}\nevidence: [{3}]\nsays: it is {0}\n"


async def run(answers: dict[str, Any], **steps: str) -> GuideResult:
    """Run a guide whose first step reads metrics and objects, then leads where the test says."""
    inputs = "{name: {type: string, default: chat}, limit: {type: duration, default: 2s}}"
    text = f"---\nid: g\ntitle: G\ninputs: {inputs}\n---\n"
    for step_id, block in steps.items():
        text += f"## {step_id}: T\n```step\n{block}```\n"
    guide, problems = parse(text, "g.md")
    assert problems == []
    assert guide is not None
    clock = VirtualClock(auto=True)
    return await Runner(guide, ScriptedCaller(answers, clock), clock).run({}, run_id="r")


SERIES = "tool: metrics_query\nsave: {x: result.v}\nno_data: objects\nnext: objects\n"
OBJECTS = "tool: kube_rollout\nsave: {y: result.v}\non_error: continue\nno_data: fork\nnext: fork\n"


def fork(*targets: str) -> str:
    return f"decide: x\nnext: [{', '.join(targets)}]\n"


async def test_a_cause_outranks_healthy_the_surer_cause_the_other_and_escalation_is_kept() -> None:
    result = await run(
        {"*": {"v": 1}},
        series=SERIES,
        objects=OBJECTS,
        fork=fork("fine", "person", "perhaps", "probably", "surely", "surely_too"),
        fine="outcome: healthy\nsays: fine\n",
        person="outcome: escalate\nsays: look\n",
        perhaps=CAUSE.format("serving.capacity", "Pod/a/b", "possible", "series"),
        probably=CAUSE.format("load.surge", "Pod/a/b", "likely", "series"),
        surely=CAUSE.format("serving.replica_slow", "Pod/a/b", "certain", "series, objects"),
        surely_too=CAUSE.format("serving.replica_down", "Pod/a/b", "certain", "series, objects"),
    )
    assert [outcome.step for outcome in result.outcomes] == [
        "fine", "person", "perhaps", "probably", "surely", "surely_too",
    ]  # fmt: skip
    assert result.primary is not None
    assert result.primary.step == "surely"
    assert [outcome.step for outcome in result.escalated] == ["person"]


@pytest.mark.parametrize(
    ("answers", "cited", "confidence"),
    [
        ({"*": {"v": 1}}, "series, objects", "certain"),
        ({"*": {"v": 1}}, "series", "likely"),
        ({"series": {"v": 1}, "objects": {}}, "series, objects", "likely"),
        ({"series": {}, "objects": {}}, "series, objects", "possible"),
    ],
)
async def test_a_cause_is_as_sure_as_the_channels_that_showed_something(
    answers: dict[str, Any], cited: str, confidence: str
) -> None:
    end = CAUSE.format("serving.capacity", "Deployment/llm/${name}", "certain", cited)
    result = await run(answers, series=SERIES, objects=OBJECTS, fork=fork("end"), end=end)
    assert result.primary is not None
    assert result.primary.cause is not None
    assert result.primary.cause.confidence == confidence
    assert str(result.primary.cause.entity) == "Deployment/llm/chat"
    assert len(result.primary.cause.evidence) == cited.count(",") + 1


async def test_missing_telemetry_is_shown_by_the_empty_answer() -> None:
    end = CAUSE.format("telemetry.missing", "Service/llm/${name}", "likely", "series")
    result = await run({"*": {}}, series=SERIES, objects=OBJECTS, fork=fork("end"), end=end)
    assert result.primary is not None
    assert result.primary.cause is not None
    assert result.primary.cause.confidence == "likely"


async def test_a_cause_whose_entity_was_not_measured_goes_to_a_person() -> None:
    steps = OBJECTS.replace("result.v", "result.workload")
    end = CAUSE.format("serving.capacity", "${y}", "likely", "series")
    result = await run({"*": {"v": 1}}, series=SERIES, objects=steps, fork=fork("end"), end=end)
    assert result.primary is not None
    assert (result.primary.verdict, result.primary.cause) == ("escalate", None)
    assert result.primary.says.endswith("(the cause cannot be named: no reading for y)")


async def test_a_run_in_which_nothing_is_reached_goes_to_a_person() -> None:
    result = await run(
        {"*": {"v": 1}},
        series=SERIES,
        objects=OBJECTS,
        fork="decide: x\nnext:\n  - {when: 'x > 5', go: end}\n  - {else: other}\n",
        other="wait: 1s\nnext: end\n",
        end="join: all\noutcome: healthy\nsays: fine\n",
    )
    assert result.primary is not None
    assert (result.primary.verdict, result.primary.says) == (
        "escalate", "no outcome was reached: every branch ended before one",
    )  # fmt: skip


CHANGE = """change: 'Scale ${name} to ${y}'
operations:
  - op: scale
    target: {kind: Deployment, namespace: llm, name: '${name}'}
    args: {replicas: '${y}', note: 'for ${name}', gone: null}
expect:
  - {promql: 'max(ttft_seconds{service="${name}"})', holds: 'value < ${limit}', within: '${limit}', hold: 1m30s}
  - {object: 'Deployment/llm/${name}', cel: 'object.metadata.name == ${name}', within: 5m, hold: 0s, no_data: fail}
evidence: [objects]
undo: automatic
next: end
"""
DRAFTED = {
    "title": "Scale chat to 4",
    "operations": [
        {
            "op": "scale",
            "target": {"kind": "Deployment", "namespace": "llm", "name": "chat"},
            "args": {"replicas": 4, "note": "for chat", "gone": None},
        }
    ],
    "expect": [
        {
            "promql": 'max(ttft_seconds{service="chat"})',
            "holds": "value < 2.0",
            "within_s": 2.0,
            "hold_s": 90.0,
            "no_data": "wait",
        },
        {
            "object": "Deployment/llm/chat",
            "cel": 'object.metadata.name == "chat"',
            "within_s": 300.0,
            "hold_s": 0.0,
            "no_data": "fail",
        },
    ],
}


async def test_a_change_is_drafted_and_attached_to_its_outcome() -> None:
    end = CAUSE.format("serving.capacity", "Deployment/llm/${name}", "certain", "series")
    result = await run({"*": {"v": 4}}, series=SERIES, objects=OBJECTS, fork=fork("fix"), fix=CHANGE, end=end)
    assert result.primary is not None
    assert result.primary.cause is not None
    assert result.plan_draft is not None
    evidence = [step.evidence for step in result.steps if step.evidence]
    assert result.plan_draft == DRAFTED | {
        "cause": result.primary.cause.model_dump(mode="json"),
        "evidence": evidence,
    }
    assert len(evidence) == 2
    for expected in result.plan_draft["expect"]:
        Expectation.model_validate(expected)


@pytest.mark.parametrize(
    ("reading", "reason"),
    [({}, "the change needs y, which is no data"), ({"v": [1]}, "")],
)
async def test_a_change_whose_values_are_missing_is_not_drafted(reading: dict[str, Any], reason: str) -> None:
    end = CAUSE.format("serving.capacity", "Deployment/llm/${name}", "certain", "series")
    fix = CHANGE.replace("next: end", "no_data: end\nnext: end").replace("within: '${limit}'", "within: '${y}'")
    result = await run(
        {"series": {"v": 1}, "objects": reading}, series=SERIES, objects=OBJECTS, fork=fork("fix"), fix=fix, end=end
    )
    assert result.plan_draft is None
    step = next(step for step in result.steps if step.id == "fix")
    assert step.state == ("no_data" if reason else "failed")
    assert step.reason == reason or "is no duration" in step.reason
