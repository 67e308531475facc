"""No result depends on which step finished first: random graphs, random answers, random times."""

from random import Random
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_tsg.caller import ScriptedCaller
from midwatch_tsg.errors import ToolFailedError
from midwatch_tsg.graph import graph_of
from midwatch_tsg.lint import lint
from midwatch_tsg.model import Guide
from midwatch_tsg.parser import parse
from midwatch_tsg.result import GuideResult
from midwatch_tsg.runner import Runner

MECHANISMS = ["serving.capacity", "serving.replica_slow", "load.surge"]


class Maker:
    """Makes a random guide whose edges lead forward only, and a world for it."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.count = random.randint(2, 9)
        self.ends = random.randint(1, 3)

    def guide(self) -> Guide:
        sections = [f"## s{n}: T\n```step\n{self._step(n)}```\n" for n in range(self.count)]
        sections += [f"## e{n}: T\n```step\n{self._end()}```\n" for n in range(self.ends)]
        guide, problems = parse("---\nid: g\ntitle: G\n---\n" + "".join(sections), "g.md")
        assert problems == []
        assert guide is not None
        return guide

    def _later(self, number: int) -> str:
        later = [f"s{n}" for n in range(number + 1, self.count)] + [f"e{n}" for n in range(self.ends)]
        return f"[{', '.join(self.random.sample(later, self.random.randint(1, min(3, len(later)))))}]"

    def _join(self, number: int) -> str:
        return "" if number == 0 else f"join: {self.random.choice(['any', 'any', 'all', '1', '2'])}\n"

    def _step(self, number: int) -> str:
        reads = self.random.choice([f"v{n}" for n in range(number + 1)])
        when = f"{reads} > {self.random.randint(0, 3)}"
        ways = self.random.choice(
            [
                f"next: {self._later(number)}\n",
                f"next:\n  - {{when: '{when}', go: {self._later(number)}}}\n  - {{else: {self._later(number)}}}\n",
            ]
        )
        no_data = self.random.choice(["", f"no_data: {self._later(number)}\n"])
        on_error = self.random.choice(["fail", "continue", "escalate"])
        retries = self.random.choice(["", "retries: {more: 1, backoff: 1s}\n", "timeout: 30s\n"])
        called = f"tool: metrics_query\nsave: {{v{number}: result.v}}\non_error: {on_error}\n{retries}"
        return called + self._join(number) + no_data + ways

    def _end(self) -> str:
        verdict = self.random.choice(["cause", "healthy", "escalate"])
        cause = f"cause: {{mechanism: {self.random.choice(MECHANISMS)}, entity: Pod/a/b, confidence: likely}}\n"
        cited = f"evidence: [s{self.random.randrange(self.count)}]\n"
        return f"outcome: {verdict}\nsays: v0 is ${{v0}}\n{cited}{cause if verdict == 'cause' else ''}"

    def world(self) -> dict[str, Any]:
        failed = ToolFailedError("no answer")
        return {
            f"s{n}": self.random.choice(
                [{"v": self.random.randint(0, 4)}, {"v": self.random.randint(0, 4)}, {}, failed]
            )
            for n in range(self.count)
        }


def run(guide: Guide, world: dict[str, Any], delays: dict[str, float], parallel: int) -> GuideResult:
    async def once() -> GuideResult:
        clock = VirtualClock(auto=True)
        caller = ScriptedCaller(world, clock, delays)
        with anyio.fail_after(30):
            return await Runner(guide, caller, clock, max_parallel=parallel).run({}, run_id="r")

    return anyio.run(once)


def timeless(result: GuideResult) -> dict[str, Any]:
    found = result.model_dump(mode="json")
    for step in found["steps"]:
        del step["started"], step["ended"]
    return found


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_result_is_the_same_in_whatever_order_steps_finish(random: Random) -> None:
    maker = Maker(random)
    guide, world = maker.guide(), maker.world()
    results: list[dict[str, Any]] = []
    for parallel in (16, 16, 2, 1):
        delays = {f"s{n}": random.choice([0.0, 0.5, 1.0, 1.0, 7.0]) for n in range(maker.count)}
        results.append(timeless(run(guide, world, delays, parallel)))
    assert all(result == results[0] for result in results[1:])
    _check_integrity(guide, results[0])


def _check_integrity(guide: Guide, result: dict[str, Any]) -> None:
    """Each step's state follows from the ways that were taken, and from nothing else."""
    graph = graph_of(guide)
    records = {step["id"]: step for step in result["steps"]}
    assert list(records) == [step.id for step in guide.steps]
    assert result["outcomes"]
    for step in guide.steps:
        taken = [source for source in graph.predecessors[step.id] if step.id in records[source]["taken"]]
        inbound = len(graph.predecessors[step.id])
        needed = {"any": 1, "all": inbound}.get(str(step.join), step.join)
        reached = step.id == graph.start or len(taken) >= int(needed)
        assert (records[step.id]["state"] == "skipped") is not reached
        assert records[step.id]["state"] != "skipped" or (records[step.id]["reason"] and not records[step.id]["taken"])
    assert (result["state"] == "failed") is any(
        records[step.id]["state"] == "failed" and step.on_error == "fail" for step in guide.steps
    )


def test_the_linter_takes_the_random_guides_or_says_why_not() -> None:
    for seed in range(30):
        problems = lint(Maker(Random(seed)).guide(), {})  # noqa: S311 (a seed, no secret)
        assert all(problem.line > 0 and problem.mend for problem in problems)
        assert {problem.rule for problem in problems if problem.severity == "error"} <= {
            "tool.unknown", "flow.unreachable", "flow.join", "data.expression", "data.undefined", "outcome.evidence",
        }  # fmt: skip


@pytest.mark.parametrize("steps", [200])
def test_a_long_guide_needs_no_recursion(steps: int) -> None:
    chain = "".join(f"## s{n}: T\n```step\ntool: t\nnext: s{n + 1}\n```\n" for n in range(steps))
    guide, problems = parse(
        f"---\nid: g\ntitle: G\n---\n{chain}## s{steps}: T\n```step\noutcome: healthy\nsays: x\n```\n", "g"
    )
    assert (guide is not None, problems) == (True, [])
    assert guide is not None
    result = run(guide, {"t": {}}, {}, 16)
    assert [step.state for step in result.steps] == ["done"] * (steps + 1)
