"""Kubernetes quantities as numbers: cores and bytes (apimachinery's `resource.Quantity`)."""

import re
from typing import Any

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")
_SUFFIX = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    **{letter: 1000.0**power for power, letter in enumerate("MGTPE", 2)},
    **{f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)},
}


def quantity(text: Any) -> float | None:
    """Return a quantity such as `250m`, `4Gi` or `1e3` in base units; None for anything else."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    number, exponent, suffix = found.groups()
    return float(number + (exponent or "")) * _SUFFIX[suffix or ""]
