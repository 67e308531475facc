"""The text format in which a backend exposes metrics: as much of it as the serving tools read (pure).

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE = re.compile(r"^(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?\s*$")
_LABEL = re.compile(r'\s*(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*"(?P<value>(?:[^"\\]|\\.)*)"\s*,?')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True)
class ExposedSample:
    """One line of an exposition."""

    name: str
    labels: dict[str, str]
    value: float


def samples(text: str) -> Iterator[ExposedSample]:
    """Yield the samples of an exposition; comments, and lines that do not parse, are passed over."""
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None or line.startswith("#"):
            continue
        try:
            value = float(found["value"])
        except ValueError:
            continue
        labels = {m["name"]: _unescaped(m["value"]) for m in _LABEL.finditer(found["labels"] or "")}
        yield ExposedSample(found["name"], labels, value)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text)
