"""`${name}` in queries, expressions, arguments and texts: typed, and quoted for the language of its place.

A value can never break out of where it stands: in PromQL a string goes only inside a string literal (escaped, and in a
`=~` matcher as a pattern that matches it alone), a number inside `[…]` becomes a duration, elsewhere a number. In CEL a
value becomes a literal of its type. `$${` stands for a plain `${`.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from midwatch_contracts.cel import NO_DATA
from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql import duration_literal, number_literal, quote_pattern, quote_value
from midwatch_contracts.untrusted import clean
from midwatch_tsg.errors import TemplateError

Place = Literal["string", "pattern", "raw", "range", "bare"]
"""Where a placeholder stands: in a quoted string, in one that is a pattern, in backticks, in `[…]`, or outside."""
MAX_TEXT_VALUE = 200

_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([a-z][a-z0-9_]*)\}")
_LOOSE = re.compile(r"\$\{[^}]*\}?")
_PATTERN_AHEAD = re.compile(r"[=!]~\s*$")


@dataclass(frozen=True)
class Placeholder:
    """One `${name}` in a template, from `start` to `end`."""

    name: str
    place: Place
    quote: str
    """The quote that it stands in, or nothing."""
    start: int
    end: int


def names_in(template: Any) -> set[str]:
    """Return the names that a template uses; lists and mappings are looked through."""
    match template:
        case str():
            return {name for name in _PLACEHOLDER.findall(template) if name}
        case dict():
            pairs = cast("dict[str, Any]", template).items()
            return {name for pair in pairs for part in pair for name in names_in(part)}
        case list():
            return {name for item in cast("list[Any]", template) for name in names_in(item)}
        case _:
            return set()


def malformed_in(template: Any) -> list[str]:
    """Return what looks like a placeholder and is none, such as `${Name}` or `${a.b}`."""
    match template:
        case str():
            found = (match[0] for match in _LOOSE.finditer(template.replace("$${", "")))
            return [text for text in found if not _PLACEHOLDER.fullmatch(text)]
        case dict():
            pairs = cast("dict[str, Any]", template).items()
            return [text for pair in pairs for part in pair for text in malformed_in(part)]
        case list():
            return [text for item in cast("list[Any]", template) for text in malformed_in(item)]
        case _:
            return []


def placeholders(template: str) -> list[Placeholder]:
    """Return the placeholders of a query or an expression, each with the kind of its place."""
    return [piece for piece in _pieces(template) if isinstance(piece, Placeholder)]


def _pieces(template: str) -> Iterator[str | Placeholder]:
    """Yield plain text and placeholders in order, reading quotes, brackets and comments as PromQL and CEL have them."""
    index, start, quote, is_pattern, depth = 0, 0, "", False, 0
    while index < len(template):
        character = template[index]
        found = _PLACEHOLDER.match(template, index)
        if found is not None:
            yield template[start:index]
            if found[1] is None:
                yield "${"
            else:
                place: Place = "bare" if depth == 0 else "range"
                if quote:
                    place = "raw" if quote == "`" else "pattern" if is_pattern else "string"
                yield Placeholder(found[1], place, quote, index, found.end())
            index = start = found.end()
            continue
        if quote:
            index += character == "\\" and quote != "`"
            quote = "" if character == quote else quote
        elif character in "\"'`":
            quote, is_pattern = character, _PATTERN_AHEAD.search(template[:index]) is not None
        elif character == "#":
            end = template.find("\n", index)
            index = len(template) if end < 0 else end
        else:
            depth = max(0, depth + (character == "[") - (character == "]"))
        index += 1
    yield template[start:]


def render_promql(template: str, values: Mapping[str, Any]) -> str:
    """Return the query.

    Raises:
        TemplateError: when a value does not fit its place.
    """
    return _render(template, values, _in_promql)


def render_cel(template: str, values: Mapping[str, Any]) -> str:
    """Return the expression, with literals for the values.

    Raises:
        TemplateError: when a placeholder stands in quotes, or a value has no literal.
    """
    return _render(template, values, _in_cel)


def _render(template: str, values: Mapping[str, Any], write: Callable[[Placeholder, Any], str]) -> str:
    return "".join(
        piece if isinstance(piece, str) else write(piece, _value(values, piece.name)) for piece in _pieces(template)
    )


def _value(values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise TemplateError(f"`${{{name}}}` has no value: known are {', '.join(sorted(values)) or 'none'}")
    if values[name] is NO_DATA:
        raise TemplateError(f"`${{{name}}}` is no data")
    return values[name]


def _in_promql(found: Placeholder, value: Any) -> str:
    where = f"`${{{found.name}}}`"
    if found.place == "raw":
        raise TemplateError(f"{where} stands in backticks, where nothing can be escaped: use double quotes")
    if found.place in {"string", "pattern"}:
        if not isinstance(value, str):
            raise TemplateError(f"{where} is no string and stands in quotes: take the quotes away")
        try:
            return _escaped(quote_pattern(value) if found.place == "pattern" else value, found.quote)
        except PromqlError as error:
            raise TemplateError(f"{where}: {error}") from error
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        kind = "a string" if isinstance(value, str) else repr(value)
        raise TemplateError(f'{where} is {kind} and stands where PromQL needs a number: put a string in "…"')
    if found.place == "range":
        milliseconds = round(value * 1000)
        if milliseconds <= 0:
            raise TemplateError(f"{where} is {value:g} s, and a range must be longer than nothing")
        return duration_literal(milliseconds)
    text = number_literal(float(value))
    return f"({text})" if value < 0 else text


def _escaped(value: str, quote: str) -> str:
    """Return the inside of a PromQL string literal in the given quotes."""
    if quote == '"':
        return quote_value(value)[1:-1]
    return "".join({"'": "\\'", '"': '"'}.get(c) or quote_value(c)[1:-1] for c in value)


def _in_cel(found: Placeholder, value: Any) -> str:
    where = f"`${{{found.name}}}`"
    if found.place in {"string", "pattern", "raw"}:
        raise TemplateError(f"{where} stands in quotes: leave them out, a string brings its own")
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float() if math.isfinite(value):
            return f"({float(value)!r})" if value < 0 else repr(float(value))
        case str():
            escaped = "".join(c if c.isprintable() and c not in "\\'\"" else f"\\U{ord(c):08x}" for c in value)
            return f'"{escaped}"'
        case _:
            raise TemplateError(f"{where} has no literal: take a number or a string out of it")


def render_value(template: Any, values: Mapping[str, Any]) -> Any:
    """Return an argument: a lone `${name}` becomes the value with its type, one within text becomes text.

    Raises:
        TemplateError: when a name has no value, or a list or an object would become part of a text.
    """
    match template:
        case str():
            whole = _PLACEHOLDER.fullmatch(template)
            if whole is not None and whole[1] is not None:
                return plain(_value(values, whole[1]))
            return _PLACEHOLDER.sub(lambda found: _inline(found, values), template)
        case dict():
            pairs = cast("dict[str, Any]", template).items()
            return {str(render_value(key, values)): render_value(item, values) for key, item in pairs}
        case list():
            return [render_value(item, values) for item in cast("list[Any]", template)]
        case _:
            return template


def _inline(found: re.Match[str], values: Mapping[str, Any]) -> str:
    if found[1] is None:
        return "${"
    value = plain(_value(values, found[1]))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TemplateError(f"`{found[0]}` is no text or number and cannot stand within a text")
    return str(value)


def plain(value: Any) -> Any:
    """Return a value as JSON writes it: a whole number as an integer."""
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case float() if not math.isfinite(value):
            return number_literal(value)
        case list():
            return [plain(item) for item in cast("list[Any]", value)]
        case dict():
            return {key: plain(item) for key, item in cast("dict[str, Any]", value).items()}
        case _:
            return value


def render_text(template: str, values: Mapping[str, Any]) -> str:
    """Return a sentence for people; what is not known reads "not measured"."""
    return _PLACEHOLDER.sub(lambda found: "${" if found[1] is None else shown(values.get(found[1], NO_DATA)), template)


def shown(value: Any) -> str:  # noqa: PLR0911 (one case a kind of value)
    """Return a value for people: numbers with three digits, text from outside made harmless and short."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return _short(float(value))
        case str():
            text = clean(value).replace("\n", " ")
            return text if len(text) <= MAX_TEXT_VALUE else text[: MAX_TEXT_VALUE - 1] + "…"
        case list():
            return ", ".join(map(shown, cast("list[Any]", value)[:20])) or "none"
        case _ if value is NO_DATA:
            return "not measured"
        case _:
            return f"{len(value)} fields"


def _short(value: float) -> str:
    if not math.isfinite(value):
        return number_literal(value)
    if value.is_integer() or abs(value) >= 100:  # noqa: PLR2004 (three digits)
        return f"{value:.0f}"
    return f"{value:.3g}"
