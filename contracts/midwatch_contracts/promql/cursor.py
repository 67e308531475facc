"""Where the parser is in the list of tokens, and how deep."""

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql.lexer import Token

MAX_DEPTH = 100
"""How deep an expression may be nested, chains of operators included; what walks the tree may recurse this deep."""


class Cursor:
    """A position in a list of tokens that ends with a token of kind `eof`."""

    __slots__ = ("index", "peek", "tokens")

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.index = 0
        self.peek = tokens[0]

    def next(self) -> Token:
        """Return the token at hand and move on (not beyond the end)."""
        token = self.peek
        if token.kind != "eof":
            self.index += 1
            self.peek = self.tokens[self.index]
        return token

    def after(self) -> Token:
        """Return the token after the one at hand."""
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    def accept(self, kind: str) -> bool:
        """Move on if the token at hand is of `kind`."""
        if self.peek.kind != kind:
            return False
        self.next()
        return True

    def expect(self, kind: str, where: str) -> Token:
        """Return the token at hand if it is of `kind`.

        Raises:
            PromqlError: when it is not.
        """
        if self.peek.kind != kind:
            raise self.unexpected(f"expected {kind} {where}")
        return self.next()

    def unexpected(self, expected: str) -> PromqlError:
        """Return the error that says what stands where `expected` should."""
        found = "the end of the query" if self.peek.kind == "eof" else repr(self.peek.text)
        return PromqlError(f"unexpected {found}: {expected}", self.peek.start)

    def check_depth(self, depth: int) -> None:
        """Refuse to go deeper than MAX_DEPTH."""
        if depth > MAX_DEPTH:
            raise PromqlError(f"the query is nested more than {MAX_DEPTH} deep", self.peek.start)
