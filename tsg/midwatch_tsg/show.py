"""A guide as a tree for a terminal. A step that several lead to is drawn once and named where it is led to again."""

from rich.text import Text
from rich.tree import Tree

from midwatch_tsg.graph import Graph, graph_of
from midwatch_tsg.model import ChangeBody, CheckBody, Guide, OutcomeBody, Step, ToolBody

_STYLE = {"tool": "cyan", "until": "cyan", "change": "yellow", "outcome": "green", "ask": "magenta"}


def tree_of(guide: Guide) -> Tree:
    """Return the guide's graph, from its first step; steps that are not reached stand at the end."""
    graph = graph_of(guide)
    root = Tree(Text.assemble((guide.id, "bold"), f"  {guide.title}"))
    drawn: set[str] = set()
    # Depth first, without recursion, for guides may be long; (step, way there, branch), the next one last.
    waiting = [(step, "not reached", root) for step in reversed(graph.order)] + [(graph.start, "", root)]
    while waiting:
        step_id, way, branch = waiting.pop()
        if step_id not in drawn:
            drawn.add(step_id)
            node = branch.add(_line(guide.step(step_id), way, graph))
            waiting.extend((target, said, node) for target, said in reversed(_ways(guide.step(step_id), graph)))
        elif branch is not root:
            branch.add(Text(f"{way} → {step_id} (above)" if way else f"{step_id} (above)", "dim"))
    return root


def _line(step: Step, way: str, graph: Graph) -> Text:
    lead = Text(f"{way} → ", "dim") if way else Text("")
    return Text.assemble(lead, (step.id, f"bold {_STYLE.get(step.kind, '')}"), f"  {step.title}", _says(step, graph))


def _ways(step: Step, graph: Graph) -> list[tuple[str, str]]:
    """Return (target, condition) of each way that leads on."""
    known = set(graph.order)
    ways: list[tuple[str, str]] = []
    for route in step.routes:
        said = route.option or route.when or ("else" if step.conditional else "")
        ways += [(target, said) for target in route.go if target in known]
    named = {target for target, _ in ways}
    return ways + [(target, "no data") for target in step.no_data if target in known and target not in named]


def _says(step: Step, graph: Graph) -> Text:
    parts: list[str] = []
    match step.body:
        case ToolBody():
            parts.append(step.body.tool)
        case CheckBody():
            parts.append(step.body.condition)
        case ChangeBody():
            parts.append(", ".join(operation.op for operation in step.body.operations))
        case OutcomeBody():
            parts.append(step.body.mechanism or step.body.verdict)
        case _:
            parts.append(step.kind)
    if step.join != "any":
        parts.append(f"joins {step.join} of {len(graph.predecessors[step.id])}")
    return Text(f"  [{'; '.join(parts)}]", "dim")
