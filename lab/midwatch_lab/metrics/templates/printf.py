"""Go's `print`, `println` and `printf`."""

import re
from collections.abc import Sequence
from typing import cast

from midwatch_lab.metrics.errors import TemplateError
from midwatch_lab.metrics.numbers import shortest_text, special
from midwatch_lab.metrics.templates.values import Value, text, type_name

_VERB = re.compile(
    r"%(?P<flags>[+\-# 0]*)(?P<width>\*|[0-9]+)?(?:\.(?P<precision>\*|[0-9]*))?(?P<verb>.|\Z)", re.DOTALL
)
_WIDEST = 10_000
_FLOATS, _INTEGERS = frozenset("eEfFgG"), frozenset("bcdoOqxXU")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b", "\f": "\\f"}


def spaced(values: Sequence[Value]) -> str:
    """Return `print`: a blank stands between two values of which neither is a text."""
    out: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            out.append(" ")
        out.append(text(value))
    return "".join(out)


def quoted(value: str) -> str:
    """Return a text in quotes, with Go's escapes."""
    shown = ((_ESCAPES.get(c) or (c if c.isprintable() else _coded(c))) for c in value)
    return '"' + "".join(shown) + '"'


def _coded(character: str) -> str:
    code = ord(character)
    if code == 0x0B:  # noqa: PLR2004 (a vertical tab)
        return "\\v"
    if code < 0x80:  # noqa: PLR2004 (the end of ASCII)
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 (the end of the first plane)


def formatted(layout: str, values: Sequence[Value]) -> str:
    """Return `printf`; a verb that does not fit its value is shown as Go shows it: `%!d(float64=3.5)`."""
    rest = list(values)
    out = _VERB.sub(lambda found: _part(found, rest), layout)
    if rest:
        extra = ", ".join("<nil>" if value is None else f"{type_name(value)}={text(value)}" for value in rest)
        out += f"%!(EXTRA {extra})"
    return out


def _part(found: re.Match[str], rest: list[Value]) -> str:
    """Return one verb with its value, which is taken from `rest`."""
    width, precision, verb = _count(found["width"], rest), _count(found["precision"], rest), found["verb"]
    if max(width or 0, precision or 0) > _WIDEST:
        raise TemplateError(f"a format is at most {_WIDEST} wide")
    if verb in ("", "%"):
        return verb or "%!(NOVERB)"
    if not rest:
        return f"%!{verb}(MISSING)"
    return _padded(_shown(verb, found["flags"], precision, rest.pop(0)), found["flags"], width)


def _count(given: str | None, rest: list[Value]) -> int | None:
    if given != "*":
        return None if given is None else int(given or 0)
    value = rest.pop(0) if rest else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise TemplateError("a * in a format stands for a whole number")
    return value


def _padded(shown: str, flags: str, width: int | None) -> str:
    if width is None or len(shown) >= width:
        return shown
    if "-" in flags:
        return shown.ljust(width)
    if "0" in flags:
        sign = shown[0] if shown[:1] in ("+", "-", " ") else ""
        return sign + shown[len(sign) :].rjust(width - len(sign), "0")
    return shown.rjust(width)


def _shown(verb: str, flags: str, precision: int | None, value: Value) -> str:  # noqa: PLR0911 (a return a kind)
    plain = value if isinstance(value, bool | int | float | str) else None
    count = getattr(value, "nanoseconds", None)
    if verb == "T":
        return type_name(value)
    if verb == "v" and (precision is None or not isinstance(value, float)):
        shown = text(value)
        return f"+{shown}" if "+" in flags and isinstance(value, int | float) and not shown.startswith("-") else shown
    if isinstance(plain, bool):
        return text(plain) if verb == "t" else _misfit(verb, value)
    if isinstance(value, float) and (verb in _FLOATS or verb == "v"):
        return _float("g" if verb == "v" else verb, flags, precision, value)
    if verb in _INTEGERS and isinstance(plain, int):
        return _integer(verb, flags, plain)
    if verb == "d" and isinstance(count, int) and type_name(value) == "time.Duration":
        return _integer(verb, flags, count)
    if isinstance(plain, str) or (verb in "sq" and hasattr(value, "go_type")):
        return _string(verb, precision, text(value), value)
    if isinstance(value, dict | list):
        return _collection(verb, flags, precision, cast("dict[str, Value] | list[Value]", value))
    return _misfit(verb, value)


def _collection(verb: str, flags: str, precision: int | None, value: "dict[str, Value] | list[Value]") -> str:
    if isinstance(value, list):
        return "[" + " ".join(_shown(verb, flags, precision, inner) for inner in value) + "]"
    pairs = (
        f"{_shown(verb, flags, precision, key)}:{_shown(verb, flags, precision, inner)}"
        for key, inner in sorted(value.items())
    )
    return "map[" + " ".join(pairs) + "]"


def _string(verb: str, precision: int | None, shown: str, value: Value) -> str:
    cut = shown if precision is None else shown[:precision]
    match verb:
        case "s":
            return cut
        case "q":
            return quoted(cut)
        case "x":
            return cut.encode().hex()
        case "X":
            return cut.encode().hex().upper()
        case _:
            return _misfit(verb, value)


def _integer(verb: str, flags: str, value: int) -> str:
    match verb:
        case "c":
            return _character(value)
        case "q":
            return f"'{_character(value)}'"
        case "U":
            return f"U+{value:04X}"
        case "O":
            shown = f"{'-' if value < 0 else ''}0o{abs(value):o}"
        case _:
            prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
            shown = f"{'-' if value < 0 else ''}{prefix}{format(abs(value), verb)}"
    return _signed(shown, flags)


def _character(code: int) -> str:
    valid = 0 <= code < 0xD800 or 0xDFFF < code <= 0x10FFFF  # noqa: PLR2004 (all of Unicode but surrogates)
    return chr(code) if valid else "\N{REPLACEMENT CHARACTER}"


def _float(verb: str, flags: str, precision: int | None, value: float) -> str:
    found = special(value)
    if found is not None:
        return f"+{found}" if found == "NaN" and "+" in flags else found
    if precision is None and verb in "gG":
        shown = shortest_text(value)
    else:
        digits = 6 if precision is None else precision
        shown = format(value, f".{digits}{verb.lower()}")
    return _signed(shown.upper() if verb in "EG" else shown, flags)


def _signed(shown: str, flags: str) -> str:
    if shown.startswith("-"):
        return shown
    return "+" + shown if "+" in flags else " " + shown if " " in flags else shown


def _misfit(verb: str, value: Value) -> str:
    if value is None:
        return f"%!{verb}(<nil>)"
    return f"%!{verb}({type_name(value)}={text(value)})"
