"""The templates of rules: `{{ $labels.name }}` and `{{ $value }}`, and nothing else of Go's template language."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from midwatch_lab.metrics.errors import RulesError
from midwatch_lab.metrics.numbers import shortest_text

_ACTION = re.compile(r"\{\{(-?)(.*?)(-?)\}\}", re.DOTALL)
_LABEL = re.compile(r"(?:\$labels|\.Labels)\.([A-Za-z_][A-Za-z0-9_]*)")
_VALUES = frozenset({"$value", ".Value"})


@dataclass(frozen=True)
class Template:
    """Text between which labels and the value stand. `parts` alternates text with what is filled in."""

    parts: tuple[tuple[str, str], ...]
    """(kind, text): kind is `text`, `label` (text is its name) or `value`."""

    @classmethod
    def read(cls, source: str) -> "Template":
        """Read a template.

        Raises:
            RulesError: for an action that is not offered.
        """
        parts: list[tuple[str, str]] = []
        position = 0
        for found in _ACTION.finditer(source):
            parts.append(("text", source[position : found.start()]))
            action = found[2].strip()
            label = _LABEL.fullmatch(action)
            if found[1] or found[3] or (label is None and action not in _VALUES):
                raise RulesError(
                    f"the template action {found[0]!r} is not offered: write {{{{ $labels.name }}}} or {{{{ $value }}}}"
                )
            parts.append(("value", "") if label is None else ("label", label[1]))
            position = found.end()
        rest = source[position:]
        if "{{" in rest:
            raise RulesError(f"the template {source!r} has a {{{{ that is not closed")
        return cls((*parts, ("text", rest)))

    def fill(self, labels: Mapping[str, str], value: float) -> str:
        """Return the text for one sample; a label that is not there is empty."""
        return "".join(
            text if kind == "text" else labels.get(text, "") if kind == "label" else shortest_text(value)
            for kind, text in self.parts
        )
