"""Numbers, durations and strings as PromQL writes them, both ways."""

import math
import re
from decimal import Decimal

from midwatch_contracts.errors import PromqlError

_UNIT_MS = (("y", 31_536_000_000), ("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000))
_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII)
_DECIMAL_INT = re.compile(r"(?:0|[1-9](?:_?\d)*)", re.ASCII)
_OCTAL_INT = re.compile(r"0(?:_?[0-7])+")
_HEX_INT = re.compile(r"0[xX](?:_?[0-9a-fA-F])+")
_DIGITS = r"\d(?:_?\d)*"
_FLOAT = re.compile(rf"(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?", re.ASCII)
_MAX_INT64 = 2**63 - 1
MAX_DURATION_MS = _MAX_INT64 // 1_000_000
"""Prometheus keeps durations as nanoseconds in 64 bits: some 292 years."""

_SIMPLE_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92}
_WRITTEN_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MAX_BYTE = 0xFF
_MAX_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


def number_value(text: str) -> float | None:
    """Return the value of a number literal without sign (`1_000`, `010` = 8, `0x1F`, `.5`, `1e3`), or None if none."""
    value: int | None = None
    if _DECIMAL_INT.fullmatch(text):
        value = int(text)
    elif _OCTAL_INT.fullmatch(text):
        value = int(text.replace("_", ""), 8)
    elif _HEX_INT.fullmatch(text):
        value = int(text, 16)
        if value > _MAX_INT64:
            return None
    if value is not None and value <= _MAX_INT64:
        return float(value)
    if _FLOAT.fullmatch(text) is None:
        return None
    found = float(text)
    return None if math.isinf(found) else found


def duration_ms(text: str) -> int | None:
    """Return the milliseconds of a duration such as `1h30m` or `500ms`, or None when it is none, or too long."""
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        return None
    total = int(found[7] or 0)
    for index, (_, size) in enumerate(_UNIT_MS, 1):
        if found[index]:
            total += int(found[index]) * size
    return total if total <= MAX_DURATION_MS else None


def duration_literal(milliseconds: int) -> str:
    """Return a duration literal: `0s`, `1m30s`, `500ms`, `-5m`."""
    rest = abs(milliseconds)
    if rest == 0:
        return "0s"
    parts: list[str] = ["-"] if milliseconds < 0 else []
    for unit, size in (*_UNIT_MS[2:], ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def number_literal(value: float) -> str:
    """Return a number as PromQL reads it back exactly: `1`, `0.001`, `+Inf`, `NaN`; never in exponent form."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def quote_value(text: str) -> str:
    """Return `text` as a double-quoted PromQL string literal, quotes included, that reads back as `text` exactly.

    Whatever `text` holds, it cannot end the literal: quotes, backslashes and line ends are escaped. It quotes a value,
    not a pattern: in a `=~` matcher escape it with `quote_pattern` first.

    Raises:
        PromqlError: when `text` holds a lone surrogate, which no UTF-8 text can carry.
    """
    out: list[str] = []
    for character in text:
        code = ord(character)
        if code in _SURROGATES:
            raise PromqlError(f"a value holds the lone surrogate U+{code:04X}: label values are UTF-8 text")
        if character in _WRITTEN_ESCAPES:
            out.append(_WRITTEN_ESCAPES[character])
        elif character.isprintable():
            out.append(character)
        else:
            out.append(f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}")  # noqa: PLR2004 (the form's width)
    return '"' + "".join(out) + '"'


def quote_pattern(text: str) -> str:
    """Return `text` as an RE2 pattern that matches `text` only (not yet quoted as a string)."""
    return "".join("\\" + c if c in "\\.+*?()|[]{}^$" else c for c in text)


def unquote(literal: str, position: int = 0) -> str:
    r"""Return the text of a string literal, quotes or backticks included.

    Bytes written as `\xHH` or octal that form no UTF-8 become U+FFFD, as Prometheus's JSON shows them.

    Raises:
        PromqlError: for an escape that Go does not know.
    """
    body = literal[1:-1]
    if literal[0] == "`" or "\\" not in body:
        return body
    return _Unescape(body, literal[0], position + 1).text()


class _Unescape:
    """Reads the escapes of one literal's body."""

    def __init__(self, body: str, quote: str, offset: int) -> None:
        self.body, self.quote, self.offset = body, quote, offset

    def text(self) -> str:
        out = bytearray()
        index, body = 0, self.body
        while index < len(body):
            character = body[index]
            if character != "\\":
                out += character.encode("utf-8", "surrogatepass")
                index += 1
                continue
            index = self._escape(index, out)
        return out.decode("utf-8", "replace")

    def _escape(self, index: int, out: bytearray) -> int:
        """Read the escape at `index`; return the index after it."""
        kind = self.body[index + 1 : index + 2]
        if kind in _SIMPLE_ESCAPES:
            out.append(_SIMPLE_ESCAPES[kind])
            return index + 2
        if kind == self.quote:
            out += kind.encode()
            return index + 2
        if kind in ("x", "u", "U"):
            width = {"x": 2, "u": 4, "U": 8}[kind]
            return self._code(index, index + 2, width, 16, out, raw=kind == "x")
        if kind and kind in "01234567":
            return self._code(index, index + 1, 3, 8, out, raw=True)
        raise PromqlError(f"unknown escape \\{kind} in a string: write \\\\ for a backslash", self.offset + index)

    def _code(self, index: int, start: int, width: int, base: int, out: bytearray, *, raw: bool) -> int:
        digits = self.body[start : start + width]
        allowed = "0123456789abcdefABCDEF" if base > 8 else "01234567"  # noqa: PLR2004 (octal)
        if len(digits) < width or any(d not in allowed for d in digits):
            raise PromqlError(f"an escape needs {width} digits of base {base}", self.offset + index)
        code = int(digits, base)
        if (raw and code > _MAX_BYTE) or code > _MAX_CODE_POINT or (not raw and code in _SURROGATES):
            raise PromqlError("an escape names no Unicode code point", self.offset + index)
        if raw:
            out.append(code)
        else:
            out += chr(code).encode()
        return start + width
