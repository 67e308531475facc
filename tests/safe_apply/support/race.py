"""The judge of a race: what verified changes wrote, in the cluster's own order, must be some order of whole changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

NAMES = ("ant", "bee", "cat", "dog", "emu")
"""The five Deployments that appliers race for; each plan sets a number of two of them."""
FIRST = "14"
ALLOWED = frozenset({"verified", "undone", "superseded"})

Ends = Mapping[str, tuple[str, str]]
"""How each attempt ended, and what it says."""


@dataclass(frozen=True)
class Taken:
    """A write that the cluster took."""

    who: str
    name: str
    before: str
    after: str


def judge(log: Sequence[Taken], now: Mapping[str, str], ends: Ends) -> None:
    """Find the serial order, replay it, and hold the others to having left nothing. `now` is what the cluster holds."""
    assert all(state in ALLOWED or state.startswith("refused: ") for state, _ in ends.values()), ends
    verified = {who for who, (state, _) in ends.items() if state == "verified"}
    after: dict[str, set[str]] = {who: set() for who in verified}
    plans: dict[str, dict[str, Taken]] = {who: {} for who in verified}
    newest: dict[str, str] = {}
    for taken in log:
        if taken.who in verified:
            assert taken.name not in plans[taken.who], f"{taken.who} wrote {taken.name} twice"
            plans[taken.who][taken.name] = taken
            if taken.name in newest:
                after[taken.who].add(newest[taken.name])
            newest[taken.name] = taken.who
    values: dict[str, str] = dict.fromkeys(NAMES, FIRST)
    for who in TopologicalSorter(after).static_order():
        assert len(plans[who]) == 2, f"{who} says verified and wrote {list(plans[who])}"
        for name, taken in plans[who].items():
            assert values[name] == taken.before, f"{who} wrote over {taken.before}, which no verified change left"
            values[name] = taken.after
    assert values == now
    for who, (state, note) in ends.items():
        if who not in verified:
            left = [taken for taken in log if taken.who == who]
            assert len(left) % 2 == 0, f"{who} says {state} ({note}) and left {left}"


def interleaved(log: Sequence[Taken]) -> dict[str, list[str]]:
    """Return, by object, who wrote when, where somebody came back after another."""
    found: dict[str, list[str]] = {}
    for name in NAMES:
        order = [taken.who for taken in log if taken.name == name]
        turns = [who for index, who in enumerate(order) if index == 0 or order[index - 1] != who]
        if len(turns) != len(set(turns)):
            found[name] = order
    return found
