"""The shape of a guide: who leads to whom, who comes before whom. Pure structure, which knows nothing of execution."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from midwatch_tsg.model import Guide, Step


@dataclass(frozen=True)
class Graph:
    """Steps as nodes in the order of the document; several ways from one step to another are one edge."""

    order: tuple[str, ...]
    successors: dict[str, tuple[str, ...]]
    predecessors: dict[str, tuple[str, ...]]
    dangling: tuple[tuple[str, str], ...] = ()
    """Edges that lead to no step, as (from, to)."""
    _before: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    @property
    def start(self) -> str:
        """The first step of the document."""
        return self.order[0]

    def reachable(self) -> frozenset[str]:
        """Return the steps that can be reached from the start."""
        return frozenset(_walk([self.start], self.successors))

    def cycle(self) -> tuple[str, ...]:
        """Return the steps of one cycle in order, the first of them again at the end; empty when there is none."""
        state: dict[str, int] = {}
        for root in self.order:
            found = _find_cycle(root, self.successors, state)
            if found:
                return found
        return ()

    def before(self, step: str) -> frozenset[str]:
        """Return every step from which `step` can be reached, without itself unless it is on a cycle."""
        if step not in self._before:
            self._before[step] = frozenset(_walk(self.predecessors[step], self.predecessors))
        return self._before[step]


def graph_of(guide: Guide) -> Graph:
    """Return the graph of a guide."""
    return build(guide.steps)


def build(steps: Sequence[Step]) -> Graph:
    """Return the graph of steps; edges to unknown steps are listed apart."""
    order = tuple(step.id for step in steps)
    known = set(order)
    successors = {step.id: tuple(target for target in step.targets if target in known) for step in steps}
    predecessors: dict[str, list[str]] = {step: [] for step in order}
    for step in order:
        for target in successors[step]:
            predecessors[target].append(step)
    dangling = tuple((step.id, target) for step in steps for target in step.targets if target not in known)
    return Graph(order, successors, {step: tuple(found) for step, found in predecessors.items()}, dangling)


def _walk(roots: Sequence[str], edges: dict[str, tuple[str, ...]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        step = waiting.pop()
        if step not in seen:
            seen.add(step)
            waiting.extend(edges[step])
    return seen


def _find_cycle(root: str, edges: dict[str, tuple[str, ...]], state: dict[str, int]) -> tuple[str, ...]:
    """Depth-first without recursion; `state` is 1 for a step on the path and 2 for one that is done."""
    if state.get(root):
        return ()
    path = [root]
    ways = [iter(edges[root])]
    state[root] = 1
    while path:
        target = next(ways[-1], None)
        if target is None:
            state[path.pop()] = 2
            ways.pop()
        elif state.get(target) == 1:
            return (*path[path.index(target) :], target)
        elif not state.get(target):
            state[target] = 1
            path.append(target)
            ways.append(iter(edges[target]))
    return ()
