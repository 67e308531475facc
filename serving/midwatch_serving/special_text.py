"""Keeps what a request says apart from the markers of a chat: text of a request never becomes a special token.

A template is rendered to one text, in which `<|im_end|>` from the template and `<|im_end|>` typed by a user look alike.
So before rendering, a private-use character that occurs nowhere else (a guard) is put into the request's texts, behind
every character with which a special token could begin. What the template then does to the texts (trims, cuts, joins,
changes case) cannot make a special token out of them. Afterwards the template's own markers are found in the text, and
the guards are taken out of the rest.

Texts that the template itself looks for, such as `</think>`, stay whole, so that its conditions hold for guarded texts
too: unmarked if no special token can grow out of them, else, if they are a special token that is no control token,
behind a second guard that says that it is quoted.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from midwatch_serving.errors import RequestError

_PRIVATE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))


class Guards(NamedTuple):
    """Two characters that occur in none of a request's texts."""

    split: str
    """Behind a character with which a special token could begin."""
    quote: str
    """Before a whole special token that a request says."""


class SpecialText:
    """The special tokens of one tokenizer (ids by text), beside the literals of its template.

    `control` are those that no text of a request may be taken for, not even by the template's conditions.
    """

    def __init__(self, special: Mapping[str, int], control: frozenset[int], literals: Iterable[str] = ()) -> None:
        self._ids = {text: number for text, number in special.items() if text}
        self._control = control
        self._starts = frozenset(text[0] for text in self._ids)
        found = sorted(set(literals), key=len, reverse=True)
        self._special = re.compile(_either(self._ids))
        self._marked = re.compile(
            f"(?P<kept>{_either(t for t in found if self._harmless(t))})"
            f"|(?P<quoted>{_either(t for t in found if self._quotable(t))})"
            f"|(?P<start>{_either(self._starts)})"
        )
        self._letters = frozenset(itertools.chain.from_iterable([*self._ids, *found]))

    def guards_for(self, *values: Any) -> Guards:
        """Return guards for these JSON-like values.

        Raises:
            RequestError: when they use up every private-use character there is.
        """
        used = set(self._letters)
        for text in itertools.chain.from_iterable(map(_texts, values)):
            used.update(text)
        free = (chr(code) for code in itertools.chain.from_iterable(_PRIVATE) if chr(code) not in used)
        found = list(itertools.islice(free, 2))
        if len(found) < len(Guards._fields):
            raise RequestError("the messages hold every private-use character there is", param="messages")
        return Guards(*found)

    def guarded(self, value: Any, guards: Guards) -> Any:
        """Return a copy of a JSON-like value with guards in all of its texts, keys too."""
        if isinstance(value, str):
            return self._marked.sub(lambda found: _mark(found, guards), value)
        if isinstance(value, Mapping):
            return {self.guarded(k, guards): self.guarded(v, guards) for k, v in _items(value)}
        if isinstance(value, (list, tuple)):
            return [self.guarded(item, guards) for item in _list(value)]
        return value

    def parts(self, rendered: str, guards: Guards) -> list[int | str]:
        """Return a rendered text as special tokens and the plain texts between them, the guards taken out."""
        result: list[int | str] = []
        begin = 0

        def text(end: int) -> None:
            plain = rendered[begin:end].replace(guards.split, "").replace(guards.quote, "")
            if plain:
                result.append(plain)

        for found in self._special.finditer(rendered):
            token = self._ids[found[0]]
            if token in self._control or rendered[found.start() - 1 : found.start()] != guards.quote:
                text(found.start())
                result.append(token)
                begin = found.end()
        text(len(rendered))
        return result

    def _harmless(self, literal: str) -> bool:
        """Whether a literal holds a character to guard, and no special token can grow out of it."""
        tails = [literal[i:] for i, letter in enumerate(literal) if letter in self._starts]
        return bool(tails) and not any(s.startswith(t) or t.startswith(s) for s in self._ids for t in tails)

    def _quotable(self, literal: str) -> bool:
        """Whether a literal is a special token, no control token, and no other can grow out of it."""
        if self._ids.get(literal) in {None, *self._control}:
            return False
        tails = [literal[i:] for i, letter in enumerate(literal) if letter in self._starts]
        grown = [s for s in self._ids for t in tails if s.startswith(t) or t.startswith(s)]
        return grown == [literal]


def _either(texts: Iterable[str]) -> str:
    """Return the pattern of any of these texts, the longest first; of nothing at all if there are none."""
    return "|".join(map(re.escape, sorted(texts, key=len, reverse=True))) or r"(?!)"


def _mark(found: re.Match[str], guards: Guards) -> str:
    if found["kept"] is not None:
        return found[0]
    return guards.quote + found[0] if found["quoted"] is not None else found[0] + guards.split


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in _items(value):
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in _list(value):
            yield from _texts(item)


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items()


def _list(value: Any) -> Sequence[Any]:
    return value
