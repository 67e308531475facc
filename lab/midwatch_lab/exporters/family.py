"""A family of series: its name and what it means, and how its values are read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from midwatch_lab.metrics.exposition import Metadata

Point: TypeAlias = tuple[dict[str, str], float]
"""The labels that a family adds to those of its object, and a value; an empty label is one that is not there."""
Reader: TypeAlias = Callable[[Any], Iterable[Point]]


@dataclass(frozen=True)
class Family:
    """Series of one name. `labels` are those that it adds to what all series of its object have."""

    name: str
    help: str
    read: Reader
    labels: tuple[str, ...] = ()
    type: Literal["gauge", "counter", "histogram", "unknown"] = "gauge"

    @property
    def metadata(self) -> Metadata:
        """What the page of an exporter would say in `# TYPE` and `# HELP`."""
        return Metadata(self.type, self.help)
