"""Text from outside: made harmless for a terminal and a reader, never an instruction (DESIGN §1.7)."""

import re
import unicodedata

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_KEPT = frozenset("\n\t")
_DROPPED_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs"})
"""Control, format (zero-width and bidi marks among them), private use and lone surrogates."""


def clean(text: str) -> str:
    """Return `text` without escape sequences, control, zero-width, bidi and private-use characters."""
    stripped = _ANSI.sub("", text)
    return "".join(c for c in stripped if c in _KEPT or unicodedata.category(c) not in _DROPPED_CATEGORIES)
