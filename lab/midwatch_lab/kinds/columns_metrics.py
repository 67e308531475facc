"""The columns of NodeMetrics and PodMetrics, as metrics-server prints them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from midwatch_lab.kinds.column import NAME, Column, path
from midwatch_lab.objects import Object
from midwatch_lab.quantity import canonical, parse

_KIBI: Final = 1024


def _total(name: str) -> Callable[[Object, float], Any]:
    """Return what adds up what the containers of a pod use."""

    def read(obj: Object, _now: float) -> str:
        used = [parse(container["usage"][name]) for container in obj["containers"]]
        total = sum(used, start=Decimal(0))
        return canonical(f"{total / _KIBI}Ki" if name == "memory" else f"{total:f}")

    return read


_WINDOW: Final = Column("Window", path("window"), format="duration")

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "NodeMetrics": (NAME, Column("cpu", path("usage", "cpu")), Column("memory", path("usage", "memory")), _WINDOW),
    "PodMetrics": (NAME, Column("cpu", _total("cpu")), Column("memory", _total("memory")), _WINDOW),
}
