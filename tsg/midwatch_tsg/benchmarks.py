"""Benchmarks of the guide runner."""

import asyncio
from collections.abc import Iterable

from midwatch_contracts.figure import Figure, median_seconds
from midwatch_tsg.caller import Call, ScriptedCaller
from midwatch_tsg.model import Guide
from midwatch_tsg.parser import parse
from midwatch_tsg.runner import Runner

CHAINS, LENGTH = 18, 11
"""With the step that opens the chains and the outcome in which they end: 200 steps, 199 of which call a tool."""
RUNS = 7
_ANSWERS = {"*": {"v": 1}}


def guide_run() -> Iterable[Figure]:
    """Measure a run of a 200-step guide against a scripted world, beside a bare gather of the same calls."""
    guide = chains()
    with asyncio.Runner() as loop:
        calls = loop.run(_run(guide))
        run = median_seconds(lambda: loop.run(_run(guide)), repeat=RUNS)
        bare = median_seconds(lambda: loop.run(_gather(calls)), repeat=RUNS)
    yield Figure.beside("guide_200_steps_ms", run * 1000, "ms", baseline=bare * 1000)


def chains() -> Guide:
    """Return a guide of chains: each step's argument comes from the step before, and its way on from what it saved."""
    heads = ", ".join(f"c{chain}_0" for chain in range(CHAINS))
    sections = [_section("start", f"tool: kube_get\nsave: {{v: result.v}}\nno_data: end\nnext: [{heads}]\n")]
    for chain in range(CHAINS):
        for place in range(LENGTH):
            before = "v" if place == 0 else f"v{chain}_{place - 1}"
            after = "end" if place == LENGTH - 1 else f"c{chain}_{place + 1}"
            saved = f"v{chain}_{place}"
            sections.append(
                _section(
                    f"c{chain}_{place}",
                    f"tool: kube_get\nwith: {{kind: Pod, name: 'p{chain}-{place}-${{{before}}}'}}\n"
                    f"save: {{{saved}: result.v}}\nno_data: end\n"
                    f"next:\n  - {{when: '{saved} > 0', go: {after}}}\n  - {{else: end}}\n",
                )
            )
    sections.append(_section("end", "outcome: healthy\nsays: ${v}\n"))
    guide, problems = parse("---\nid: chains\ntitle: Chains\n---\n" + "".join(sections), "chains.md")
    if guide is None or problems:
        raise RuntimeError(f"the benchmark's guide does not parse: {problems}")
    return guide


def _section(step: str, block: str) -> str:
    return f"## {step}: Title\n```step\n{block}```\n"


async def _run(guide: Guide) -> list[Call]:
    caller = ScriptedCaller(_ANSWERS)
    result = await Runner(guide, caller).run({}, run_id="benchmark")
    ended = sum(step.state == "done" for step in result.steps)
    if ended != len(guide.steps):
        raise RuntimeError(f"{ended} of {len(guide.steps)} steps were done: it is not what should be timed")
    return caller.calls


async def _gather(calls: list[Call]) -> None:
    caller = ScriptedCaller(_ANSWERS)
    await asyncio.gather(*(caller.call(call.tool, call.arguments, step=call.step) for call in calls))
