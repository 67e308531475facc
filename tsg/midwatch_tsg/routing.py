"""Which way a step leads (CONTRACTS §4). Pure: the same names give the same way, whatever finished first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from midwatch_contracts.cel import NO_DATA, NoData, compile_expression
from midwatch_contracts.errors import CelError
from midwatch_tsg.errors import StepError
from midwatch_tsg.model import Join, Step


@dataclass(frozen=True)
class Way:
    """Where a step leads. `stuck`: nowhere, and a person should hear why."""

    kind: Literal["taken", "no_data", "stuck"]
    targets: tuple[str, ...] = ()
    option: str | None = None
    reason: str = ""


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """Return the value of an expression, or NO_DATA.

    Raises:
        StepError: when it cannot be evaluated.
    """
    try:
        return compile_expression(expression).evaluate(names)
    except CelError as error:
        raise StepError(f"`{expression}`: {error}") from error


def truth(expression: str, names: Mapping[str, Any]) -> bool | NoData:
    """Return the value of a condition, or NO_DATA.

    Raises:
        StepError: when it cannot be evaluated, or is neither true nor false.
    """
    value = evaluate(expression, names)
    if value is NO_DATA or isinstance(value, bool):
        return value
    raise StepError(f"`{expression}` is {value!r}, neither true nor false: compare it with something")


def way(step: Step, names: Mapping[str, Any], missing: Sequence[str] = ()) -> Way:
    """Choose: the first `when` that holds; else `no_data` if any was unknown; else `else`.

    `missing` are the names that the step saved without a reading; they matter where `next` has no condition, and a step
    without a reading leads to `no_data` if it has one.

    Raises:
        StepError: when a condition cannot be evaluated.
    """
    if not step.conditional:
        if missing and step.no_data:
            return Way("no_data", step.no_data, reason=_no_reading(missing))
        return Way("taken", step.routes[0].go if step.routes else ())
    unknown: list[str] = []
    for route in step.routes:
        if route.when is None:
            continue
        value = truth(route.when, names)
        if value is NO_DATA:
            unknown.append(route.when)
        elif value:
            return Way("taken", route.go, route.option)
    if unknown:
        reason = "; ".join(f"`{condition}` has no data" for condition in unknown)
        return Way("no_data" if step.no_data else "stuck", step.no_data, reason=reason)
    for route in step.routes:
        if route.when is None:
            return Way("taken", route.go, route.option)
    return Way("stuck", reason="no condition holds and there is no `else`")


def _no_reading(names: Sequence[str]) -> str:
    return f"no reading for {', '.join(names)}"


def enough(join: Join, taken: int, inbound: int) -> bool:
    """Say whether a join is met, once each inbound edge is decided."""
    needed = {"any": 1, "all": inbound}.get(str(join), join)
    return taken >= int(needed)
