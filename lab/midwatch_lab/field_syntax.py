"""The grammar of field selectors, with the original's messages (k8s.io/apimachinery, `fields.ParseSelector`)."""

from typing import Final

from midwatch_lab.errors import SelectorError

_OPERATORS: Final = ("!=", "==", "=")


def parse(text: str) -> list[tuple[str, str, bool]]:
    """Return the terms of a selector in their order: (path, value, whether it must be equal).

    Raises:
        SelectorError: when the text does not parse.
    """
    found: list[tuple[str, str, bool]] = []
    for part in sorted(_parts(text)):
        if not part:
            continue
        place, operator = min(
            ((part.index(operator), operator) for operator in _OPERATORS if operator in part),
            key=lambda pair: (pair[0], _OPERATORS.index(pair[1])),
            default=(-1, ""),
        )
        if place < 0:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        found.append((part[:place], _unescaped(part[place + len(operator) :]), operator != "!="))
    return found


def _parts(text: str) -> list[str]:
    """Split at the commas that no backslash escapes."""
    parts, escaped = [""], False
    for char in text:
        if char == "," and not escaped:
            parts.append("")
            continue
        escaped = char == "\\" and not escaped
        parts[-1] += char
    return parts


def _unescaped(value: str) -> str:
    out, escaped = "", False
    for char in value:
        if escaped:
            if char not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{char}")
            out, escaped = out + char, False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            out += char
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return out
