"""The parts of a template: text, and between `{{` and `}}` the tokens of Go's template language."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from midwatch_lab.metrics.errors import TemplateError

_BLANK = " \t\r\n"
_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<mark>:=|=|\||,|\(|\))"
    r'|(?P<string>"(?:[^"\\\n]|\\[^\n])*"|`[^`]*`)'
    r"|(?P<char>'(?:[^'\\\n]|\\[^\n])+')"
    r"|(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[oObB][0-7_]+|[0-9][0-9_]*\.?[0-9_]*(?:[eE][+-]?[0-9]+)?"
    r"|\.[0-9][0-9_]*(?:[eE][+-]?[0-9]+)?)(?!\w))"
    r"|(?P<field>\.[^\W\d]\w*)"
    r"|(?P<dot>\.)"
    r"|(?P<variable>\$\w*)"
    r"|(?P<word>[^\W\d]\w*)"
)
_NAMED = frozenset({"field", "variable", "word"})
_AFTER_NAME = frozenset(" \t\r\n.,|:)(")
_KEYWORDS = frozenset({"block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with"})


@dataclass(frozen=True)
class Token:
    """One token. `kind` is that of the text, `keyword`, or `open` and `close` for the delimiters."""

    kind: str
    text: str
    line: int


def tokens(source: str) -> Iterator[Token]:
    """Return the tokens of a template; the last has the kind `end`.

    Raises:
        TemplateError: names the line and what stands there.
    """
    position, trimmed = 0, False
    while True:
        opening = source.find("{{", position)
        text = source[position:] if opening < 0 else source[position:opening]
        line = source.count("\n", 0, position) + 1
        text = text.lstrip(_BLANK) if trimmed else text
        if opening < 0:
            if text:
                yield Token("text", text, line)
            yield Token("end", "", source.count("\n") + 1)
            return
        inside = opening + 2
        if source[inside : inside + 1] == "-" and source[inside + 1 : inside + 2] in tuple(_BLANK):
            text, inside = text.rstrip(_BLANK), inside + 2
        if text:
            yield Token("text", text, line)
        after_blank = inside + len(source[inside:]) - len(source[inside:].lstrip(_BLANK))
        comment = after_blank if source[inside - 1] in _BLANK else inside
        if source.startswith("/*", comment):
            position, trimmed = _after_comment(source, comment)
        else:
            found, position, trimmed = _action(source, inside)
            yield from found


def _after_comment(source: str, begin: int) -> tuple[int, bool]:
    end = source.find("*/", begin + 2)
    if end < 0:
        raise _fault(source, begin, "a comment is not closed: write */}}")
    closing = re.compile(r"(?P<trim>[ \t\r\n]-)?\}\}").match(source, end + 2)
    if closing is None:
        raise _fault(source, begin, "a comment ends with */}} and stands alone between the braces")
    return closing.end(), closing["trim"] is not None


def _action(source: str, begin: int) -> tuple[list[Token], int, bool]:
    """Return the tokens of one action, where the text goes on, and whether it is trimmed there."""
    found = [Token("open", "{{", source.count("\n", 0, begin) + 1)]
    position, depth = begin, 0
    while True:
        line = source.count("\n", 0, position) + 1
        trim = source[position : position + 1] in tuple(_BLANK) and source.startswith("-}}", position + 1)
        if trim or source.startswith("}}", position):
            if depth:
                raise _fault(source, position, "a parenthesis is not closed")
            found.append(Token("close", "}}", line))
            return found, position + (4 if trim else 2), trim
        match = _TOKEN.match(source, position)
        if match is None:
            raise _fault(source, position, _unread(source, position))
        kind = match.lastgroup or ""
        text = match[0]
        end = match.end()
        if kind == "space":
            # A blank before a trimming close belongs to the close.
            if source.startswith("-}}", end) and len(text) > 1:
                end, text = end - 1, text[:-1]
        elif kind in _NAMED and end < len(source) and source[end] not in _AFTER_NAME and source[end : end + 2] != "}}":
            raise _fault(source, end, f"{source[end]!r} cannot follow {text}")
        depth += (text == "(") - (text == ")")
        if depth < 0:
            raise _fault(source, position, "a ) closes nothing")
        found.append(Token("keyword" if kind == "word" and text in _KEYWORDS else kind, text, line))
        position = end


def _unread(source: str, position: int) -> str:
    rest = source[position : position + 1]
    if not rest:
        return "an action is not closed: write }}"
    if rest in ('"', "`", "'"):
        return f"a text that begins with {rest} is not closed"
    return f"{rest!r} means nothing here"


def _fault(source: str, position: int, message: str) -> TemplateError:
    return TemplateError(f"line {source.count(chr(10), 0, position) + 1} of the template: {message}")
