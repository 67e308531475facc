"""The lexer of PromQL.

Lexing depends on where one is: inside braces every word is a label name and none a keyword; inside brackets only a
duration expression may stand. Neither nests, so one `mode` suffices.
"""

import re
from typing import NamedTuple

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql.ast import AGGREGATIONS, EXPERIMENTAL_AGGREGATIONS
from midwatch_contracts.promql.literals import duration_ms, number_value

MAX_LENGTH = 100_000
"""Characters in a query; a longer one is refused before it is read."""


class Token(NamedTuple):
    """`kind` is `name`, `number`, `duration`, `string`, `eof`, a keyword in lower case, or the operator's own text."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset after the token."""
        return self.start + len(self.text)


AGGREGATORS = AGGREGATIONS | EXPERIMENTAL_AGGREGATIONS
MODIFIERS = frozenset({"offset", "anchored", "smoothed", "by", "without", "fill", "fill_left", "fill_right"})
POINTS = frozenset({"start", "end", "step", "range"})
NAMEABLE = AGGREGATORS | MODIFIERS | POINTS | {"and", "or", "unless"}
"""Keywords that may also name a metric."""
RESERVED = frozenset({"on", "ignoring", "group_left", "group_right", "bool", "atan2"})
"""Keywords that may name a label, but no metric."""
KEYWORDS = NAMEABLE | RESERVED
DURATION_WORDS = frozenset({"step", "range", "min_of", "max_of"})

_SPACE = re.compile(r"(?:[ \t\n\r]+|#[^\n]*)+")
_NUMBER = re.compile(r"\.?\d(?:(?<=[eE])[+-]|[0-9A-Za-z_.])*", re.ASCII)
_WORD = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STRING = re.compile(r"\"(?:[^\"\\\n]|\\[^\n])*\"|'(?:[^'\\\n]|\\[^\n])*'|`[^`]*`")
_OPERATOR = re.compile(r"==|!=|>=|<=|</|>/|[-+*/%^=<>(),@{}\[\]]")
_BRACE_OPERATOR = re.compile(r"=~|!~|!=|[=,}]")
_BRACKET_OPERATOR = re.compile(r"[-+*/%^(),:\]]")


def lex(text: str) -> list[Token]:
    """Return the tokens of a query, the last of kind `eof`.

    Raises:
        PromqlError: names the first character that fits nowhere, or the bracket that is not closed.
    """
    if len(text) > MAX_LENGTH:
        raise PromqlError(f"the query has {len(text)} characters; at most {MAX_LENGTH} are read")
    tokens: list[Token] = []
    add = tokens.append
    mode = ""
    index, length = 0, len(text)
    while index < length:
        space = _SPACE.match(text, index)
        if space is not None:
            index = space.end()
            if index == length:
                break
        token = (
            _in_query(text, index) if not mode else _in_braces(text, index) if mode == "{" else _in_range(text, index)
        )
        kind = token.kind
        if kind in "{[":
            mode = kind
        elif kind in "}]":
            mode = ""
        add(token)
        index = token.start + len(token.text)
    if mode:
        raise PromqlError(f"a {mode} is not closed", length)
    add(Token("eof", "", length))
    return tokens


def _in_query(text: str, index: int) -> Token:
    found = _WORD.match(text, index)
    if found is not None:
        word = found[0]
        low = word.lower()
        if low in KEYWORDS:
            return Token(low, word, index)
        return Token("number" if low in ("inf", "nan") else "name", word, index)
    found = _OPERATOR.match(text, index)
    if found is not None and not (found[0] == "=" and text.startswith("=~", index)):
        if found[0] in ("}", "]"):
            raise PromqlError(f"a {found[0]} closes nothing", index)
        return Token(found[0], found[0], index)
    return _literal(text, index)


def _in_braces(text: str, index: int) -> Token:
    found = _LABEL.match(text, index)
    if found is not None:
        return Token("name", found[0], index)
    found = _BRACE_OPERATOR.match(text, index)
    if found is not None:
        return Token(found[0], found[0], index)
    if text[index] in "\"'`":
        return _literal(text, index)
    raise PromqlError(f"unexpected {text[index]!r} inside braces: label names are quoted where they hold it", index)


def _in_range(text: str, index: int) -> Token:
    found = _BRACKET_OPERATOR.match(text, index)
    if found is not None:
        return Token(found[0], found[0], index)
    found = _LABEL.match(text, index)
    if found is not None:
        if found[0].lower() in DURATION_WORDS:
            return Token(found[0].lower(), found[0], index)
        raise PromqlError(f"unexpected {found[0]!r} inside brackets: write a duration such as 5m", index)
    if text[index] in "\"'`":
        raise PromqlError("unexpected string inside brackets: write a duration such as 5m", index)
    return _literal(text, index)


def _literal(text: str, index: int) -> Token:
    """Read a number, a duration or a string."""
    found = _NUMBER.match(text, index)
    if found is not None:
        if number_value(found[0]) is not None:
            return Token("number", found[0], index)
        if duration_ms(found[0]) is not None:
            return Token("duration", found[0], index)
        raise PromqlError(f"{found[0]!r} is no number and no duration (such as 1.5, 1e3, 5m or 1h30m)", index)
    found = _STRING.match(text, index)
    if found is not None:
        return Token("string", found[0], index)
    if text[index] in "\"'`":
        raise PromqlError("a string is not closed", index)
    raise PromqlError(f"unexpected character {text[index]!r}", index)
