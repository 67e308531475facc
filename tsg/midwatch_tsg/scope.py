"""Which names a step sees, and of what type: the inputs, and what the steps before it save."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from midwatch_contracts.cel import ANY, NUMBER, STRING, Type, compile_expression, object_of
from midwatch_contracts.errors import CelError, PromqlError
from midwatch_contracts.promql import parse
from midwatch_contracts.surface import ToolSpec
from midwatch_tsg.errors import TemplateError
from midwatch_tsg.execute import is_promql
from midwatch_tsg.graph import Graph
from midwatch_tsg.inputs import input_type
from midwatch_tsg.model import AskBody, Guide, Save, Step, ToolBody
from midwatch_tsg.query_units import query_unit
from midwatch_tsg.schema_types import in_unit, result_type
from midwatch_tsg.templates import placeholders, render_promql


@dataclass
class Scopes:
    """The names of a guide: their types, and who saves them."""

    inputs: dict[str, Type]
    saved: dict[str, Type] = field(default_factory=dict[str, Type])
    saved_by: dict[str, str] = field(default_factory=dict[str, str])
    errors: list[tuple[Step, Save, CelError]] = field(default_factory=list[tuple[Step, Save, CelError]])
    """Expressions of `save` that do not fit."""
    visible: dict[str, dict[str, Type]] = field(default_factory=dict[str, dict[str, Type]])
    """By step: the names that its arguments and texts see."""
    results: dict[str, Type] = field(default_factory=dict[str, Type])
    """By step: the type of `result`, for steps that have one."""

    def within(self, step: Step) -> dict[str, Type]:
        """Return the names that a step's conditions see: what it saves itself, too, and `result`."""
        own = {save.name: self.saved.get(save.name, ANY) for save in step.save}
        result = {"result": self.results[step.id]} if step.id in self.results else {}
        return self.visible[step.id] | own | result


def scopes(guide: Guide, graph: Graph, surface: Mapping[str, ToolSpec]) -> Scopes:
    """Return the scopes of a guide without cycles."""
    found = Scopes({declared.name: input_type(declared) for declared in guide.inputs})
    steps = {step.id: step for step in guide.steps}
    for step_id in _in_order(graph):
        step = steps[step_id]
        before = graph.before(step_id)
        visible = found.inputs | {
            name: kind for name, kind in found.saved.items() if found.saved_by.get(name) in before
        }
        found.visible[step_id] = visible
        result = _result(step, visible, surface)
        if result is not None:
            found.results[step_id] = result
        _save(step, found, visible, result)
    return found


def _in_order(graph: Graph) -> list[str]:
    """Return the steps so that each comes after those before it."""
    return sorted(graph.order, key=lambda step: (len(graph.before(step)), graph.order.index(step)))


def _save(step: Step, found: Scopes, visible: Mapping[str, Type], result: Type | None) -> None:
    scope = dict(visible) if result is None else {**visible, "result": result}
    for save in step.save:
        try:
            kind = compile_expression(save.expression).expression_type(scope)
        except CelError as error:
            found.errors.append((step, save, error))
            kind = ANY
        scope[save.name] = kind
        found.saved.setdefault(save.name, kind)
        found.saved_by.setdefault(save.name, step.id)


def _result(step: Step, visible: Mapping[str, Type], surface: Mapping[str, ToolSpec]) -> Type | None:
    if isinstance(step.body, AskBody):
        return object_of({"answer": STRING})
    if not isinstance(step.body, ToolBody):
        return None
    tool = surface.get(step.body.tool)
    if tool is None:
        return ANY
    kind = result_type(tool)
    for name, value in step.body.arguments.items():
        if is_promql(step.body.tool, name) and isinstance(value, str):
            try:
                kind = in_unit(kind, query_unit(parse(sample_query(value, visible))))
            except (PromqlError, TemplateError):
                continue  # reported where the query is checked
    return kind


def sample_query(template: str, names: Mapping[str, Type]) -> str:
    """Return a query with a sample of each name's type put in.

    Raises:
        TemplateError: when a type does not fit its place.
    """
    values: dict[str, Any] = {}
    for found in placeholders(template):
        kind = names.get(found.name, ANY)
        fits_any = STRING if found.place in {"string", "pattern"} else NUMBER
        values[found.name] = sample(fits_any if kind.kind == "any" else kind)
    return render_promql(template, values)


def sample(kind: Type) -> Any:
    """Return a value of a type."""
    match kind.kind:
        case "string" | "any":
            return "sample"
        case "bool":
            return True
        case "number":
            return 60.0
        case "list":
            return ["sample"]
        case "null":
            return None
        case _:
            return {}
