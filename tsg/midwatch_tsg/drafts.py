"""From a `change` step to the draft of a plan, as `change_propose` takes it. Nothing is applied here."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError

from midwatch_contracts.causes import Cause
from midwatch_contracts.errors import ContractError
from midwatch_contracts.plan import Expectation
from midwatch_contracts.times import parse_duration
from midwatch_tsg.errors import StepError, TemplateError
from midwatch_tsg.model import ChangeBody, ExpectDraft, OperationDraft
from midwatch_tsg.templates import names_in, render_cel, render_promql, render_text, render_value


def names_of(body: ChangeBody) -> set[str]:
    """Return every name that the draft needs."""
    parts: list[Any] = [part for operation in body.operations for part in (operation.target, operation.args)]
    return names_in([body.title, *parts, *(expected.fields for expected in body.expect)])


def draft(body: ChangeBody, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{title, cause, evidence, operations, expect}`; the outcome that follows fills in cause and evidence.

    Raises:
        StepError: when a value does not fit its place.
    """
    try:
        return {
            "title": render_text(body.title, names),
            "cause": None,
            "evidence": [],
            "operations": [_operation(operation, names) for operation in body.operations],
            "expect": [_expectation(expected, names) for expected in body.expect],
        }
    except (TemplateError, ContractError, ValidationError) as error:
        raise StepError(f"the change cannot be drafted: {error}") from error


def with_cause(plan: dict[str, Any], cause: Cause | None, evidence: tuple[str, ...]) -> dict[str, Any]:
    """Return a draft with the cause of its outcome, and the evidence of both."""
    cited = tuple(dict.fromkeys([*cast("list[str]", plan["evidence"]), *evidence]))
    return plan | {"cause": None if cause is None else cause.model_dump(mode="json"), "evidence": list(cited)}


def _operation(operation: OperationDraft, names: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "op": operation.op,
        "target": render_value(operation.target, names),
        "args": render_value(operation.args, names),
    }


def _expectation(expected: ExpectDraft, names: Mapping[str, Any]) -> dict[str, Any]:
    given = expected.fields
    fields: dict[str, Any] = {
        "within_s": seconds(given.get("within"), names),
        "hold_s": seconds(given.get("hold"), names),
    }
    if "promql" in given:
        fields["promql"] = render_promql(str(given["promql"]), names)
        fields["holds"] = render_cel(str(given["holds"]), names)
    else:
        fields["object"] = render_value(given["object"], names)
        fields["cel"] = render_cel(str(given["cel"]), names)
    if "no_data" in given:
        fields["no_data"] = given["no_data"]
    return Expectation.model_validate(fields).model_dump(mode="json", exclude_none=True)


def seconds(raw: Any, names: Mapping[str, Any]) -> float:
    """Return a duration that is written out, a number of seconds, or `${name}`.

    Raises:
        TemplateError: when the name has no value.
        ContractError: when the text is no duration.
        StepError: when the value is no duration.
    """
    value = render_value(raw, names) if isinstance(raw, str) else raw
    if isinstance(value, str):
        return parse_duration(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise StepError(f"{raw!r} is no duration: write for example 30s, or the name of an input of type duration")
    return float(value)
