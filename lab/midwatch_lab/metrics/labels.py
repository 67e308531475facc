"""Label sets: tuples of (name, value) pairs, sorted by name, without empty values. Equal sets are equal tuples."""

import re
from collections.abc import Collection, Mapping

from midwatch_contracts.promql import quote_value

Labels = tuple[tuple[str, str], ...]

NAME = "__name__"
LEGACY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LEGACY_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
"""Names of labels and metrics that need no quotes."""
_ESCAPED = re.compile(r"_(?:_|([0-9a-fA-F]{1,6})_)")
_MAX_CODE_POINT = 0x10FFFF
METADATA = frozenset({NAME, "__type__", "__unit__"})
"""What a function that changes a series' meaning drops."""
_LAST_METADATA = max(METADATA)


def from_dict(labels: Mapping[str, str]) -> Labels:
    """Return a label set; an empty value is a label that is not there."""
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def value_of(labels: Labels, name: str) -> str:
    """Return a label's value, or the empty string."""
    for key, value in labels:
        if key == name:
            return value
    return ""


def keep(labels: Labels, names: Collection[str]) -> Labels:
    """Return only the labels named."""
    return tuple(pair for pair in labels if pair[0] in names)


def drop(labels: Labels, names: Collection[str]) -> Labels:
    """Return the labels that are not named."""
    return tuple(pair for pair in labels if pair[0] not in names)


def drop_name(labels: Labels) -> Labels:
    """Return the labels without the metric's name and metadata."""
    if labels and labels[0][0] == NAME and (len(labels) == 1 or labels[1][0] > _LAST_METADATA):
        return labels[1:]  # most label sets, in a tenth of the time
    return tuple(pair for pair in labels if pair[0] not in METADATA)


def braced(labels: Labels) -> str:
    """Return a label set as the original's messages show it: `{__name__="up", job="a"}`."""
    pairs = ((name if LEGACY_NAME.fullmatch(name) else quote_value(name), quote_value(value)) for name, value in labels)
    return "{" + ", ".join(f"{name}={value}" for name, value in pairs) + "}"


def show(labels: Labels) -> str:
    """Return a label set for a person: `up{job="a"}`."""
    rest = ", ".join(f'{name}="{value}"' for name, value in labels if name != NAME)
    return f"{value_of(labels, NAME)}{{{rest}}}"


def unescaped(name: str) -> str:
    """Return the label name that `U__…` stands for where a name must be plain: `U__a_2e_b` is `a.b`, `__` is `_`."""
    if not name.startswith("U__"):
        return name

    def character(found: re.Match[str]) -> str:
        code = int(found[1], 16) if found[1] else ord("_")
        return chr(code) if code <= _MAX_CODE_POINT else found[0]

    return _ESCAPED.sub(character, name[3:])
