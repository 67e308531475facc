"""The columns of a custom resource: its name, what its definition adds, and its age where that adds nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from midwatch_contracts.errors import ContractError
from midwatch_contracts.times import unix_seconds
from midwatch_lab.custom.jsonpath import compiled
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import SelectorError
from midwatch_lab.kinds.column import AGE, NAME, Column
from midwatch_lab.kinds.durations import human_duration
from midwatch_lab.objects import Object
from midwatch_lab.status import go_json

_NAMED: Final = replace(
    NAME,
    description=(
        "Name must be unique within a namespace. Is required when creating resources, although some resources may "
        "allow a client to request the generation of an appropriate name automatically. Name is primarily intended "
        "for creation idempotence and configuration definition. Cannot be updated. More info: "
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
    ),
)
_DATE_AGE: Final = Column(
    "Age",
    AGE.value,
    type="date",
    description=(
        "CreationTimestamp is a timestamp representing the server time when this object was created. It is not "
        "guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It "
        "is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More "
        "info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
    ),
)
"""The original takes both texts from its own documentation of metadata."""


def custom_columns(resource: CustomResource) -> tuple[Column, ...]:
    """Return the columns of a custom resource."""
    if not resource.columns:
        return (_NAMED, _DATE_AGE)
    return (_NAMED, *(_column(found) for found in resource.columns))


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
