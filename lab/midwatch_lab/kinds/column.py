"""What a column of a Table is, and the cells that several kinds share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from midwatch_contracts.times import unix_seconds
from midwatch_lab.kinds.durations import human_duration
from midwatch_lab.objects import Object, dig, name_of

NONE: Final = "<none>"
_MANY: Final = 3


@dataclass(frozen=True)
class Timeless:
    """What reads a cell that does not depend on the time, so that it need not be read again from the same object."""

    read: Callable[[Object], Any]

    def __call__(self, obj: Object, now: float) -> Any:
        """Read the cell."""
        del now
        return self.read(obj)


@dataclass(frozen=True)
class Column:
    """One column: `priority` 1 is shown with `-o wide` only; `value` reads a cell from an object at a time."""

    name: str
    value: Callable[[Object, float], Any]
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""

    @property
    def is_timeless(self) -> bool:
        """Whether its cells do not depend on the time."""
        return isinstance(self.value, Timeless)

    @property
    def definition(self) -> Object:
        """The column as a Table describes it."""
        text = self.description or f"{self.name} of the object"
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": text,
            "priority": self.priority,
        }


@lru_cache(maxsize=4096)  # objects of one list often come from the same second
def age(timestamp: str | None, now: float) -> str:
    """Return how long ago a time of an object is."""
    return human_duration(now - unix_seconds(timestamp)) if timestamp else "<unknown>"


def selector_text(selector: Object | None) -> str:
    """Return a label selector as text."""
    parts = [f"{key}={value}" for key, value in sorted(dig(selector, "matchLabels", default={}).items())]
    words = {"In": "in", "NotIn": "notin"}
    for item in dig(selector, "matchExpressions", default=[]):
        operator, key = item.get("operator"), item.get("key")
        if operator in words:
            parts.append(f"{key} {words[operator]} ({','.join(sorted(item.get('values', [])))})")
        else:
            parts.append(key if operator == "Exists" else f"!{key}")
    return ",".join(parts) or NONE


def path(*keys: str, default: Any = NONE) -> Callable[[Object, float], Any]:
    """Return what reads the value at a path."""
    return Timeless(lambda obj: dig(obj, *keys, default=default))


def of(function: Callable[[Object], Any]) -> Callable[[Object, float], Any]:
    """Return what reads a cell that does not depend on the time."""
    return Timeless(function)


def _containers(field: str) -> Callable[[Object, float], Any]:
    def read(obj: Object, _now: float) -> str:
        found: list[Object] = dig(obj, "spec", "template", "spec", "containers", default=[])
        return ",".join(str(item.get(field, "")) for item in found)

    return read


NAME: Final = Column("Name", of(name_of), format="name")
AGE: Final = Column("Age", lambda obj, now: age(obj["metadata"].get("creationTimestamp"), now))
WORKLOAD: Final = (
    Column("Containers", _containers("name"), priority=1),
    Column("Images", _containers("image"), priority=1),
    Column("Selector", of(lambda obj: selector_text(dig(obj, "spec", "selector"))), priority=1),
)


def map_text(labels: dict[str, str] | None) -> str:
    """Return labels as text."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def shortened(items: list[str]) -> str:
    """Return the first few of many, and how many more there are."""
    more = f" + {len(items) - _MANY} more..." if len(items) > _MANY else ""
    return ",".join(items[:_MANY]) + more or NONE
