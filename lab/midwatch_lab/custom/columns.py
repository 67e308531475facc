"""The columns of a custom resource: its name, what its definition adds, and its age where that adds nothing."""

from collections.abc import Callable
from typing import Any, Final

from midwatch_contracts.errors import ContractError
from midwatch_contracts.times import unix_seconds
from midwatch_lab.custom.jsonpath import compiled
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import SelectorError
from midwatch_lab.kinds.columns import AGE, NAME, Column
from midwatch_lab.kinds.durations import human_duration
from midwatch_lab.objects import Object
from midwatch_lab.status import go_json

_DATE_AGE: Final = Column("Age", AGE.value, type="date")


def custom_columns(resource: CustomResource) -> tuple[Column, ...]:
    """Return the columns of a custom resource."""
    if not resource.columns:
        return (NAME, _DATE_AGE)
    return (NAME, *(_column(found) for found in resource.columns))


def _column(found: Object) -> Column:
    path = str(found["jsonPath"])
    text = str(found.get("description") or f"Custom resource definition column (in JSONPath format): {path}")
    return Column(
        str(found["name"]), _cell(path, str(found["type"])), type=str(found["type"]), description=text,
        priority=int(found.get("priority", 0)), format=str(found.get("format", "")),
    )  # fmt: skip


def _cell(path: str, kind: str) -> Callable[[Object, float], Any]:
    try:
        find = compiled(path)
    except SelectorError:
        # The original prints nothing where it cannot read a path that it accepted.
        return lambda _obj, _now: None

    def value(obj: Object, now: float) -> Any:
        found = find(obj)
        return _shown(found[0], kind, now) if found else None

    return value


def _shown(value: Any, kind: str, now: float) -> Any:
    match kind:
        case "integer":
            return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "number":
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return _since(value, now)
        case _:
            return value if isinstance(value, str) else None if value is None else go_json(value)


def _since(value: Any, now: float) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return human_duration(now - unix_seconds(value))
    except ContractError:
        return "<invalid>"
