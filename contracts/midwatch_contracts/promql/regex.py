r"""What can be said about an RE2 pattern without RE2: is it well formed, and does it match the empty string?

Pure and linear, so that a linter without the RE2 library refuses what Prometheus refuses and cannot be made to hang by
a pattern. Classes and escapes are read only as far as their end; whoever evaluates compiles the pattern with RE2, which
has the last word.
"""

import re

from midwatch_contracts.errors import PromqlError

_COUNT = re.compile(r"\{(\d{1,5})(,(\d{0,5}))?\}", re.ASCII)
_GROUP = re.compile(r"\?(?:P?<[A-Za-z_0-9]+>|(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)]))")
_ESCAPE = re.compile(
    r"\\(?:[pP](?:[A-Za-z]|\{\^?\w+\})|x(?:[0-9a-fA-F]{2}|\{[0-9a-fA-F]+\})|[0-7]{2,3}|0|[^1-9])", re.DOTALL
)
_KNOWN_LETTERS = frozenset("abfnrtvdDsSwWBAzpPxQEC01234567")
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_MAX_REPEAT = 1000
_MAX_DEPTH = 100


def matches_empty(pattern: str) -> bool:
    """Say whether a pattern, anchored at both ends as Prometheus does, matches the empty string.

    Raises:
        PromqlError: when RE2 would refuse the pattern (without position: the caller knows where it stands).
    """
    reader = _Reader(pattern)
    empty = reader.alternation(0)
    if reader.index < len(pattern):
        raise PromqlError(f"the pattern {pattern!r} has a ) that closes nothing")
    return empty


class _Reader:
    """A recursive descent over alternations of sequences of repeated atoms; each step answers `matches empty?`."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.index = pattern, 0

    def alternation(self, depth: int) -> bool:
        if depth > _MAX_DEPTH:
            raise PromqlError(f"the pattern is nested more than {_MAX_DEPTH} deep")
        empty = self.sequence(depth)
        while self.pattern.startswith("|", self.index):
            self.index += 1
            empty = self.sequence(depth) or empty
        return empty

    def sequence(self, depth: int) -> bool:
        empty = True
        while self.index < len(self.pattern) and self.pattern[self.index] not in "|)":
            if self.pattern[self.index] in "*+?" or _COUNT.match(self.pattern, self.index):
                raise PromqlError(f"the pattern {self.pattern!r} repeats nothing at {self.pattern[self.index]!r}")
            if self.pattern.startswith("\\Q", self.index):
                empty = self.quoted() and empty
                continue
            atom = self.repeated(self.atom(depth))
            empty = empty and atom
        return empty

    def atom(self, depth: int) -> bool:
        character = self.pattern[self.index]
        if character == "(":
            return self.group(depth)
        if character == "[":
            return self.skip(_CLASS, "has a [ that is not closed")
        if character == "\\":
            return self.escape()
        self.index += 1
        return character in "^$"

    def group(self, depth: int) -> bool:
        self.index += 1
        if self.pattern.startswith("?", self.index):
            found = _GROUP.match(self.pattern, self.index)
            if found is None or (found["end"] == ")" and not found["flags"]):
                raise PromqlError(f"the pattern {self.pattern!r} has a group that RE2 does not offer (no look-around)")
            self.index = found.end()
            if found["end"] == ")":
                return True
        empty = self.alternation(depth + 1)
        if not self.pattern.startswith(")", self.index):
            raise PromqlError(f"the pattern {self.pattern!r} has a ( that is not closed")
        self.index += 1
        return empty

    def quoted(self) -> bool:
        r"""Read `\Q…\E`; what repeats behind it repeats its last character."""
        end = self.pattern.find("\\E", self.index + 2)
        text = self.pattern[self.index + 2 : end if end >= 0 else None]
        self.index = len(self.pattern) if end < 0 else end + 2
        last = self.repeated(not text)
        return last and len(text) <= 1

    def escape(self) -> bool:
        letter = self.pattern[self.index + 1 : self.index + 2]
        if letter.isascii() and letter.isalnum() and letter not in _KNOWN_LETTERS:
            if letter == "b":
                self.index += 2
                return False
            raise PromqlError(f"the pattern {self.pattern!r} has the escape \\{letter}, which RE2 does not offer")
        self.skip(_ESCAPE, "has an escape that RE2 does not offer")
        return letter in ("A", "z", "B")

    def skip(self, form: re.Pattern[str], complaint: str) -> bool:
        found = form.match(self.pattern, self.index)
        if found is None:
            raise PromqlError(f"the pattern {self.pattern!r} {complaint}")
        self.index = found.end()
        return False

    def repeated(self, empty: bool) -> bool:  # noqa: FBT001 (what the atom just read answers)
        """Read what repeats the atom; a repetition of a repetition is refused, as RE2 does."""
        repeats = 0
        while self.index < len(self.pattern):
            count = _COUNT.match(self.pattern, self.index)
            if self.pattern[self.index] in "*?":
                empty = True
                self.index += 1
            elif self.pattern[self.index] == "+":
                self.index += 1
            elif count is not None:
                self.index = count.end()
                empty = self.counted(count) or empty
            else:
                break
            repeats += 1
            if repeats > 1:
                raise PromqlError(f"the pattern {self.pattern!r} repeats a repetition")
            if self.pattern.startswith("?", self.index):
                self.index += 1
        return empty

    def counted(self, count: "re.Match[str]") -> bool:
        least = int(count[1])
        most = least if count[2] is None else int(count[3]) if count[3] else least
        if least > _MAX_REPEAT or most > _MAX_REPEAT or most < least:
            raise PromqlError(f"the pattern {self.pattern!r} has the repeat count {count[0]}: at most {_MAX_REPEAT}")
        return least == 0
