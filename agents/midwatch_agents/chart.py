"""A small chart of a measured series over time, in block characters."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ROWS = 4
_STEPS = len(_BLOCKS) - 1


@dataclass(frozen=True)
class Mark:
    """A moment (Unix seconds) to point at under the chart."""

    at: float
    says: str


def chart(points: Sequence[tuple[float, float]], *, title: str, unit: str, marks: Sequence[Mark] = ()) -> Text:
    """Return `points` of (Unix seconds, value) as columns, the highest value on the scale, marks beneath.

    One column a point; a gap in the data is not drawn over: the points are columns in order, first and last time are
    written beside the marks.
    """
    if not points:
        return Text(f"{title}: not measured")
    top = max(value for _, value in points) or 1.0
    lines = [Text(title, style="bold")]
    for row in range(_ROWS - 1, -1, -1):
        label = _label(row, top, unit)
        lines.append(Text(label + "".join(_cell(value / top, row) for _, value in points), style="cyan"))
    indent = " " * (len(unit) + 12)
    foot = [" "] * len(points)
    for mark in marks:
        foot[_column(points, mark.at)] = "▲"
    lines.append(Text(indent + "".join(foot), style="magenta"))
    begun = points[0][0]
    says = "; ".join(f"▲ {mark.says} at +{mark.at - begun:.0f} s" for mark in marks)
    lines.append(Text(f"{indent}{points[-1][0] - begun:.0f} s in all{'; ' + says if says else ''}", style="dim"))
    return Text("\n").join(lines)


def _label(row: int, top: float, unit: str) -> str:
    value = top if row == _ROWS - 1 else 0.0 if row == 0 else None
    return " " * (10 + len(unit)) + " │" if value is None else f"{value:9.3g} {unit} ┤"


def _cell(share: float, row: int) -> str:
    filled = share * _ROWS * _STEPS - row * _STEPS
    if row == 0 and share >= 0 and filled < 1:
        return _BLOCKS[1]
    return _BLOCKS[max(0, min(_STEPS, round(filled)))]


def _column(points: Sequence[tuple[float, float]], at: float) -> int:
    return min(range(len(points)), key=lambda index: abs(points[index][0] - at))
