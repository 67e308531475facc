"""The grammar of label selectors, with the original's messages (k8s.io/apimachinery, `labels.Parse`)."""

import re
from typing import Final, TypeAlias

from midwatch_lab.errors import SelectorError
from midwatch_lab.names import label_key_faults, label_value_faults
from midwatch_lab.status import quoted

Term: TypeAlias = tuple[str, str, frozenset[str]]
"""(key, operator, values); the operators are `in`, `notin`, `exists`, `!`, `gt` and `lt`."""

_SPECIAL: Final = "=!(),><"
_SYMBOLS: Final = ("==", "!=", "=", "!", "(", ")", ",", ">", "<")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_OPERATORS: Final = {"=": "in", "==": "in", "!=": "notin", "in": "in", "notin": "notin", ">": "gt", "<": "lt"}
_WORDS: Final = "in, notin, =, ==, !=, gt, lt"


def parse(text: str) -> list[Term]:
    """Return the terms of a selector.

    Raises:
        SelectorError: when the text does not parse.
    """
    parser = _Parser(_words(text))
    found: list[Term] = []
    while True:
        word = parser.peek()
        if not word:
            return found
        if not (_is_name(word) or word == "!"):
            raise SelectorError(f"found '{word}', expected: !, identifier, or 'end of string'")
        try:
            found.append(parser.term())
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error}") from error
        after = parser.take()
        if not after:
            return found
        if after != ",":
            raise SelectorError(f"found '{after}', expected: ',' or 'end of string'")
        following = parser.peek()
        if not (_is_name(following) or following == "!"):
            raise SelectorError(f"found '{following}', expected: identifier after ','")


def _words(text: str) -> list[str]:
    words: list[str] = []
    place = 0
    while place < len(text):
        if text[place] in " \t\r\n":
            place += 1
            continue
        symbol = next((symbol for symbol in _SYMBOLS if text.startswith(symbol, place)), None)
        end = place + len(symbol or "")
        if symbol is None:
            while end < len(text) and text[end] not in _SPECIAL and text[end] not in " \t\r\n":
                end += 1
        words.append(text[place:end])
        place = end
    return words


def _is_name(word: str) -> bool:
    return bool(word) and word[0] not in _SPECIAL


class _Parser:
    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.place = 0

    def peek(self) -> str:
        return self.words[self.place] if self.place < len(self.words) else ""

    def take(self) -> str:
        word = self.peek()
        self.place += 1
        return word

    def term(self) -> Term:
        denied = self.peek() == "!"
        if denied:
            self.take()
        key = self.take()
        if not _is_name(key):
            raise SelectorError(f"found '{key}', expected: identifier")
        if faults := label_key_faults(key):
            raise SelectorError(f"<nil>: Invalid value: {quoted(key)}: {'; '.join(faults)}")
        if denied:
            return key, "!", frozenset()
        if self.peek() in ("", ","):
            return key, "exists", frozenset()
        word = self.take()
        operator = _OPERATORS.get(word)
        if operator is None:
            raise SelectorError(f"found '{word}', expected: {_WORDS}")
        values = self.values() if word in ("in", "notin") else frozenset([self.value()])
        _check(key, operator, values)
        return key, operator, values

    def value(self) -> str:
        if self.peek() in ("", ","):
            return ""
        word = self.take()
        if not _is_name(word):
            raise SelectorError(f"found '{word}', expected: identifier")
        return word

    def values(self) -> frozenset[str]:
        word = self.take()
        if word != "(":
            raise SelectorError(f"found '{word}' expected: '('")
        first = self.peek()
        if first == ")":
            self.take()
            return frozenset([""])
        if not (_is_name(first) or first == ","):
            raise SelectorError(f"found '{first}', expected: ',', ')' or identifier")
        found = self.names()
        if self.take() != ")":
            raise SelectorError(f"found '{first}', expected: ')'")
        return frozenset(found)

    def names(self) -> set[str]:
        found: set[str] = set()
        while True:
            word = self.take()
            following = self.peek()
            if _is_name(word):
                found.add(word)
                if following == ")":
                    return found
                if following != ",":
                    raise SelectorError(f"found '{following}', expected: ',' or ')'")
            elif word == ",":
                if not found:
                    found.add("")
                if following == ")":
                    return found | {""}
                if following == ",":
                    self.take()
                    found.add("")
            else:
                raise SelectorError(f"found '{word}', expected: ',', or identifier")


def _check(key: str, operator: str, values: frozenset[str]) -> None:
    faults: list[str] = []
    ordered = sorted(values)
    if operator in ("gt", "lt") and not _INTEGER.fullmatch(ordered[0]):
        detail = "for 'Gt', 'Lt' operators, the value must be an integer"
        faults.append(f"values[0]: Invalid value: {quoted(ordered[0])}: {detail}")
    for index, value in enumerate(ordered):
        if said := label_value_faults(value):
            faults.append(f"values[{index}][{key}]: Invalid value: {quoted(value)}: {'; '.join(said)}")
    if faults:
        raise SelectorError(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
