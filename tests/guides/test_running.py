"""How a guide runs: edges, joins, missing readings, failures, retries, waiting, resuming."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_tsg.caller import ScriptedCaller
from midwatch_tsg.errors import GuideError, InputError, JournalError, ToolFailedError
from midwatch_tsg.events import StepEvent
from midwatch_tsg.journal import SqliteJournal
from midwatch_tsg.model import Guide
from midwatch_tsg.parser import parse
from midwatch_tsg.result import GuideResult
from midwatch_tsg.runner import Runner

pytestmark = pytest.mark.anyio
START = 1_000.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def guide(*steps: str, inputs: str = "") -> Guide:
    """Return a guide; a step is its id, a space, and its block as one line of flow YAML."""
    front = f"---\nid: g\ntitle: G\n{inputs}---\n"
    sections = [f"## {step.split(' ', 1)[0]}: T\n```step\n{step.split(' ', 1)[1]}\n```\n" for step in steps]
    found, problems = parse(front + "".join(sections), "g.md")
    assert problems == []
    assert found is not None
    return found


def value(number: Any) -> dict[str, Any]:
    return {"v": number}


async def run(
    built: Guide, answers: dict[str, Any], *, delays: dict[str, float] | None = None, **more: Any
) -> tuple[GuideResult, ScriptedCaller, list[StepEvent]]:
    clock = VirtualClock(START, auto=True)
    caller = ScriptedCaller(answers, clock, delays or {})
    events: list[StepEvent] = []
    inputs = more.pop("inputs", {})
    runner = Runner(built, caller, clock, on_event=events.append, **more)
    return await runner.run(inputs, run_id="run-1"), caller, events


def states(result: GuideResult) -> dict[str, str]:
    return {step.id: step.state for step in result.steps}


END = "{outcome: healthy, says: fine}"
LOST = "{outcome: escalate, says: lost}"


async def test_the_first_condition_that_holds_decides_and_the_rest_is_skipped_with_a_reason() -> None:
    built = guide(
        "a {tool: t, save: {x: result.v}, next: [{when: 'x > 5', go: big}, {when: 'x > 2', go: mid}, {else: small}]}",
        f"big {END}",
        f"mid {END}",
        f"small {END}",
    )
    result, _, events = await run(built, {"t": value(3)})
    assert states(result) == {"a": "done", "big": "skipped", "mid": "done", "small": "skipped"}
    assert result.steps[1].reason == "not reached: a did not lead here"
    assert result.steps[0].bound == {"x": 3}
    assert [(event.step, event.state) for event in events] == [
        ("a", "started"),
        ("a", "done"),
        ("big", "skipped"),
        ("mid", "started"),
        ("mid", "done"),
        ("small", "skipped"),
    ]


@pytest.mark.parametrize("reading", [{}, {"v": None}, {"v": "NaN"}])
async def test_no_reading_is_neither_zero_nor_else(reading: dict[str, Any]) -> None:
    built = guide(
        "a {tool: t, save: {x: result.v}, no_data: lost, next: [{when: 'x > 5', go: fine}, {else: fine}]}",
        f"fine {END}",
        f"lost {LOST}",
    )
    result, _, _ = await run(built, {"t": reading})
    assert states(result) == {"a": "no_data", "fine": "skipped", "lost": "done"}
    assert result.steps[0].reason == "`x > 5` has no data"


async def test_a_condition_that_holds_decides_though_one_before_it_is_unknown() -> None:
    built = guide(
        "a {tool: t, save: {x: result.x, y: result.y}, no_data: lost,"
        " next: [{when: 'x > 1', go: lost}, {when: 'y > 1', go: fine}, {else: lost}]}",
        f"fine {END}",
        f"lost {LOST}",
    )
    result, _, _ = await run(built, {"t": {"y": 2}})
    assert states(result)["fine"] == "done"
    assert result.steps[0].no_data == ("x",)
    result, _, _ = await run(built, {"t": {"y": 0}})
    assert states(result) == {"a": "no_data", "fine": "skipped", "lost": "done"}


async def test_without_a_way_for_no_data_a_person_hears_of_it() -> None:
    built = guide("a {tool: t, save: {x: result.v}, next: [{when: 'x > 5', go: end}, {else: end}]}", f"end {END}")
    result, _, _ = await run(built, {"t": {}})
    assert result.primary is not None
    assert (result.primary.verdict, result.primary.step) == ("escalate", "a")
    assert result.primary.says == "`T` leads nowhere: `x > 5` has no data"


async def test_a_step_that_needs_a_missing_name_is_not_called() -> None:
    built = guide(
        "a {tool: t, save: {x: result.v}, no_data: b, next: b}",
        "b {tool: u, with: {query: '${x}'}, save: {y: result.v}, no_data: lost, next: fine}",
        f"fine {END}",
        f"lost {LOST}",
    )
    result, caller, _ = await run(built, {"t": {}, "u": value(1)})
    assert [call.tool for call in caller.calls] == ["t"]
    assert result.steps[1].reason == "it needs x, which is no data"
    assert states(result)["lost"] == "done"


def joined(join: str) -> Guide:
    return guide(
        "start {decide: x, next: [a, b, c]}",
        "a {tool: t, next: [{when: 'result.v > 0', go: end}, {else: other}]}",
        "b {tool: t, next: [{when: 'result.v > 0', go: end}, {else: other}]}",
        "c {tool: t, next: [{when: 'result.v > 0', go: end}, {else: other}]}",
        f"end {{join: {join}, outcome: healthy, says: fine}}",
        f"other {LOST}",
    )


@pytest.mark.parametrize(
    ("join", "taken", "state", "reason"),
    [
        ("any", 1, "done", ""),
        ("any", 0, "skipped", "not reached: a, b, c did not lead here"),
        ("2", 2, "done", ""),
        ("2", 1, "skipped", "the join needs 2 of 3; b, c did not lead here"),
        ("all", 3, "done", ""),
        ("all", 2, "skipped", "the join needs 3 of 3; c did not lead here"),
    ],
)
async def test_a_join_is_judged_by_the_ways_taken(join: str, taken: int, state: str, reason: str) -> None:
    answers = {name: value(1 if index < taken else 0) for index, name in enumerate("abc")}
    result, _, _ = await run(joined(join), answers, delays={"a": 3.0, "b": 1.0, "c": 2.0})
    assert (result.steps[4].state, result.steps[4].reason) == (state, reason)


async def test_a_join_waits_until_every_way_in_is_decided() -> None:
    result, _, _ = await run(joined("any"), {"t": value(1)}, delays={"a": 3.0, "b": 1.0, "c": 9.0})
    assert result.steps[4].started == START + 9.0


async def test_a_slow_step_holds_up_only_what_depends_on_it() -> None:
    built = guide(
        "start {decide: x, next: [slow, quick]}",
        "slow {tool: t, next: end}",
        "quick {tool: t, next: after}",
        "after {tool: t, next: end}",
        "end {join: all, outcome: healthy, says: fine}",
    )
    result, _, _ = await run(built, {"t": {}}, delays={"slow": 10.0, "quick": 1.0, "after": 1.0})
    times = {step.id: step.started for step in result.steps}
    assert (times["after"], times["end"]) == (START + 1.0, START + 10.0)


async def test_a_failed_step_ends_its_branch_and_the_run_says_so() -> None:
    built = guide(
        "start {decide: x, next: [bad, good]}",
        "bad {tool: t, next: end}",
        "good {tool: u, next: end}",
        f"end {END}",
    )
    result, _, _ = await run(built, {"t": ToolFailedError("no route"), "u": {}})
    assert result.state == "failed"
    assert states(result) == {"start": "done", "bad": "failed", "good": "done", "end": "done"}
    assert [(outcome.verdict, outcome.says) for outcome in result.outcomes] == [
        ("escalate", "`T` failed: no route"),
        ("healthy", "fine"),
    ]
    assert result.primary == result.outcomes[1]
    assert result.escalated == result.outcomes[:1]


@pytest.mark.parametrize(("on_error", "state"), [("escalate", "failed"), ("continue", "no_data")])
async def test_a_failure_may_be_escalated_or_passed_over(on_error: str, state: str) -> None:
    built = guide(
        f"a {{tool: t, save: {{x: result.v}}, on_error: {on_error}, no_data: end, next: end}}",
        f"end {END}",
    )
    result, _, _ = await run(built, {"t": ToolFailedError("no route")})
    assert result.state == "done"
    assert result.steps[0].state == state
    assert result.steps[0].reason == "no route"
    assert states(result)["end"] == ("done" if on_error == "continue" else "skipped")
    assert len(result.escalated) == (on_error == "escalate")


async def test_an_expression_that_cannot_be_evaluated_fails_the_step_with_its_text() -> None:
    built = guide("a {tool: t, next: [{when: 'result.v > 1', go: end}, {else: end}]}", f"end {END}")
    result, _, _ = await run(built, {"t": value("text")})
    assert result.steps[0].reason == "`result.v > 1`: cannot order a string and a number by >"


async def test_a_failed_call_is_made_again_after_pauses_that_double() -> None:
    seen: list[int] = []

    def third_time(_arguments: dict[str, Any]) -> dict[str, Any]:
        seen.append(1)
        if len(seen) < 3:
            raise ToolFailedError("busy")
        return value(1)

    built = guide("a {tool: t, retries: {more: 3, backoff: 2s}, next: end}", f"end {END}")
    result, _, events = await run(built, {"t": third_time})
    assert (result.steps[0].state, result.steps[0].attempts) == ("done", 3)
    assert result.steps[0].ended == START + 2.0 + 4.0
    assert [event.says for event in events if event.state == "retrying"] == [
        "attempt 1 failed (busy); again in 2 s",
        "attempt 2 failed (busy); again in 4 s",
    ]


async def test_what_cannot_succeed_later_is_not_tried_again() -> None:
    built = guide("a {tool: t, retries: 3, next: end}", f"end {END}")
    result, caller, _ = await run(built, {"t": ToolFailedError("no such tool", retry=False)})
    assert len(caller.calls) == 1
    assert result.steps[0].state == "failed"


async def test_a_call_that_takes_longer_than_its_timeout_fails() -> None:
    built = guide("a {tool: t, timeout: 5s, retries: {more: 1, backoff: 1s}, next: end}", f"end {END}")
    result, caller, _ = await run(built, {"t": {}}, delays={"a": 60.0})
    assert result.steps[0].reason == "t took longer than 5 s"
    assert result.steps[0].ended == START + 5 + 1 + 5
    assert len(caller.calls) == 2


async def test_until_asks_again_until_its_condition_holds_or_its_time_is_over() -> None:
    asked: list[int] = []

    def growing(_arguments: dict[str, Any]) -> dict[str, Any]:
        asked.append(1)
        return value(len(asked))

    built = guide("a {tool: t, until: 'result.v >= 3', every: 2s, within: '${w}', next: end}", f"end {END}",
                  inputs="inputs: {w: {type: duration, default: 10s}}\n")  # fmt: skip
    result, _, _ = await run(built, {"t": growing})
    assert (result.steps[0].state, result.steps[0].attempts, result.steps[0].ended) == ("done", 3, START + 4.0)
    asked.clear()
    result, _, _ = await run(built, {"t": growing}, inputs={"w": "3s"})
    assert result.steps[0].reason == "`result.v >= 3` did not hold within 3 s"


async def test_a_wait_waits_on_the_clock() -> None:
    result, _, _ = await run(guide("a {wait: 90s, next: end}", f"end {END}"), {})
    assert result.steps[1].started == START + 90.0


class Person:
    """Answers what it was told to answer."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer
        self.questions: list[str] = []

    async def ask(self, question: str, options: Sequence[str], *, step: str) -> str | None:
        self.questions.append(f"{step}: {question} {list(options)}")
        return self.answer


ASK = guide(
    "a {ask: 'Is ${who} on call?', options: [yes, no], save: {said: result.answer},"
    " next: [{when: 'said == \"yes\"', go: end}, {else: lost}]}",
    f"end {END}",
    f"lost {LOST}",
    inputs="inputs: {who: {type: string, default: Ada}}\n",
)


async def test_a_person_is_asked_and_the_answer_decides() -> None:
    person = Person("no")
    result, _, _ = await run(ASK, {}, asker=person)
    assert person.questions == ["a: Is Ada on call? ['yes', 'no']"]
    assert (result.steps[0].option, states(result)["lost"]) == ("no", "done")


@pytest.mark.parametrize("asker", [None, Person(None)])
async def test_where_nobody_can_be_asked_the_question_is_escalated(asker: Person | None) -> None:
    result, _, _ = await run(ASK, {}, asker=asker)
    assert result.primary is not None
    assert result.primary.says == "a person has to answer: Is Ada on call? (yes / no)"
    assert states(result) == {"a": "done", "end": "skipped", "lost": "skipped"}


async def test_an_answer_outside_the_options_fails_the_step() -> None:
    result, _, _ = await run(ASK, {}, asker=Person("perhaps"))
    assert result.steps[0].reason == "the answer 'perhaps' is none of yes, no"


async def test_a_resumed_run_does_not_ask_again_what_was_answered(tmp_path: Path) -> None:
    built = guide(
        "a {tool: t, with: {query: '${q}'}, save: {x: result.v}, next: b}",
        "b {tool: u, next: end}",
        f"end {END}",
        inputs="inputs: {q: {type: string, default: up}}\n",
    )
    path = tmp_path / "runs" / "journal.sqlite"
    first, caller, _ = await run(built, {"t": value(7), "u": ToolFailedError("cut off")}, journal=path)
    assert first.state == "failed"
    assert path.stat().st_mode & 0o777 == 0o600
    again, caller, _ = await run(built, {"u": value(1)}, journal=path)
    assert [call.tool for call in caller.calls] == ["u"]
    assert again.state == "done"
    assert [(step.resumed, step.bound) for step in again.steps[:2]] == [(True, {"x": 7}), (False, {})]
    third, caller, _ = await run(built, {}, journal=path)
    assert caller.calls == []
    assert third.outcomes == again.outcomes
    other, caller, _ = await run(built, {"t": value(8), "u": value(1)}, journal=path, inputs={"q": "down"})
    assert [call.tool for call in caller.calls] == ["t"]
    assert other.steps[0].bound == {"x": 8}


async def test_a_guide_that_was_edited_meanwhile_asks_anew(tmp_path: Path) -> None:
    steps = ("a {tool: t, next: end}", f"end {END}")
    await run(guide(*steps), {"t": value(1)}, journal=tmp_path / "j")
    edited = guide(*steps, inputs="# a comment\n")
    _, caller, _ = await run(edited, {"t": value(1)}, journal=tmp_path / "j")
    assert len(caller.calls) == 1


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to be read as one\n" * 100)
    with pytest.raises(JournalError, match="is no journal"):
        SqliteJournal(tmp_path / "text")


def test_a_journal_of_a_later_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "j") as journal:
        journal.write("r", "s", "g", {"tool": "t"}, {"v": 1}, at=1.0)
        journal.write("r", "s", "g", {"tool": "t"}, {"v": 2}, at=2.0)
        assert journal.read("r", "s", "g", {"tool": "t"}) == {"v": 1}
        assert journal.read("r", "s", "other", {"tool": "t"}) is None
    with contextlib.closing(sqlite3.connect(tmp_path / "j")) as connection:
        connection.execute("PRAGMA user_version=7")
    with pytest.raises(JournalError, match="has schema 7, later than 1: update Midwatch"):
        SqliteJournal(tmp_path / "j")


async def test_a_guide_with_a_cycle_and_missing_inputs_are_refused_before_any_call() -> None:
    cyclic = guide("a {tool: t, next: b}", "b {tool: t, next: a}", f"end {END}")
    with pytest.raises(GuideError, match=r"a → b → a.*midwatch guide lint"):
        await run(cyclic, {})
    needy = guide(f"end {END}", inputs="inputs: {x: {type: string}}\n")
    with pytest.raises(InputError, match="needs x"):
        await run(needy, {})


async def test_an_error_of_ours_is_not_taken_for_a_failed_step() -> None:
    built = guide("a {tool: t, next: end}", f"end {END}")
    with pytest.raises(ZeroDivisionError):
        await run(built, {"t": ZeroDivisionError("ours")})
