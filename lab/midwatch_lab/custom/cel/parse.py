"""From text to a tree: the grammar of CEL (github.com/google/cel-spec, doc/langdef.md), by recursive descent."""

import re
from functools import lru_cache
from typing import Any, Final

from midwatch_lab.custom.cel.nodes import CompileError, Node

MACROS: Final = {
    "all": (2, 3), "exists": (2, 3), "exists_one": (2, 3), "existsOne": (2, 3), "map": (2, 3), "filter": (2, 2),
}  # fmt: skip
"""Macros by name, with the fewest and the most arguments."""
_DEPTH: Final = 40
"""How deep brackets nest. The original allows 250 levels, more than a Python stack holds beneath a server."""
_LEVELS_MAX: Final = 150
"""How deep a tree is, which long chains such as `a + b + c` make without brackets."""
_LIMIT: Final = "expression recursion limit exceeded: 250"
_TOKEN: Final = re.compile(
    r"(?P<space>\s+|//[^\n]*)"
    r"|(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)"
    r"|(?P<int>0[xX][0-9a-fA-F]+[uU]?|\d+[uU]?)"
    r"|(?P<string>(?:[rR]|[bB]|[rR][bB]|[bB][rR])?(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*|`[A-Za-z0-9_./\- ]+`)"
    r"|(?P<op>&&|\|\||<=|>=|==|!=|[-+*/%<>!?:.,()\[\]{}])",
    re.DOTALL,
)
_LEVELS: Final = (("||",), ("&&",), ("<", "<=", ">", ">=", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"))
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_RESERVED: Final = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"}
    | {"namespace", "return", "var", "void", "while"}
)


@lru_cache(maxsize=1024)
def parse(text: str) -> Node:
    """Return the tree of an expression.

    Raises:
        CompileError: when the text is no CEL.
    """
    parser = _Parser(text)
    root = parser.expression(0)
    if parser.kind != "end":
        raise parser.unexpected()
    _check_depth(text, root)
    return root


def _check_depth(text: str, root: Node) -> None:
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > _LEVELS_MAX:
            raise CompileError(text, 0, _LIMIT)
        level = [part for node in level for part in node.args]


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.place = 0

    @property
    def kind(self) -> str:
        return self.tokens[self.place][0]

    @property
    def word(self) -> str:
        return self.tokens[self.place][1]

    @property
    def at(self) -> int:
        return self.tokens[self.place][2]

    def unexpected(self) -> CompileError:
        if self.kind == "end":
            before = self.tokens[self.place - 1] if self.place else ("", "", 0)
            if before[1] == ".":
                return CompileError(self.text, len(self.text), "Syntax error: no viable alternative at input '.'")
            return CompileError(self.text, len(self.text), "Syntax error: mismatched input '<EOF>'")
        return CompileError(self.text, self.at, f"Syntax error: mismatched input '{self.word}'")

    def take(self, word: str) -> int:
        """Step over an operator and return its offset."""
        if self.kind != "op" or self.word != word:
            raise self.unexpected()
        at = self.at
        self.place += 1
        return at

    def is_next(self, *words: str) -> bool:
        return self.kind in ("op", "name") and self.word in words

    def expression(self, depth: int) -> Node:
        if depth > _DEPTH:
            raise CompileError(self.text, self.at, _LIMIT)
        condition = self.binary(0, depth)
        if not self.is_next("?"):
            return condition
        at = self.take("?")
        yes = self.binary(0, depth + 1)
        self.take(":")
        return Node("?:", (condition, yes, self.expression(depth + 1)), at=at)

    def binary(self, level: int, depth: int) -> Node:
        if level == len(_LEVELS):
            return self.unary(depth)
        left = self.binary(level + 1, depth)
        while self.is_next(*_LEVELS[level]):
            operator, at = self.word, self.at
            self.place += 1
            left = Node(operator, (left, self.binary(level + 1, depth)), at=at)
        return left

    def unary(self, depth: int) -> Node:
        if depth > _DEPTH:
            raise CompileError(self.text, self.at, _LIMIT)
        if self.is_next("!"):
            at = self.take("!")
            return Node("!", (self.unary(depth + 1),), at=at)
        if self.is_next("-"):
            at = self.take("-")
            if self.kind in ("int", "float"):
                found = self.literal()
                return self.member(Node("literal", value=-found.value, at=at), depth)
            return Node("negate", (self.unary(depth + 1),), at=at)
        return self.member(self.primary(depth), depth)

    def member(self, node: Node, depth: int) -> Node:
        while self.is_next(".", "["):
            if self.is_next("["):
                at = self.take("[")
                node = Node("index", (node, self.expression(depth + 1)), at=at)
                self.take("]")
                continue
            at = self.take(".")
            if self.kind != "name":
                raise self.unexpected()
            name = self.word.strip("`")
            self.place += 1
            node = self.method(node, name, depth) if self.is_next("(") else Node("select", (node,), name, at)
        return node

    def method(self, target: Node, name: str, depth: int) -> Node:
        at = self.at
        arguments = self.arguments(depth)
        if name in MACROS and MACROS[name][0] <= len(arguments) <= MACROS[name][1]:
            *variables, body = arguments
            if name == "map" and len(arguments) == 3:  # noqa: PLR2004 (variable, filter, result)
                variables, body = arguments[:1], arguments[2]
                target = Node("macro", (target, arguments[1]), ("filter", (str(arguments[0].value),)), at)
            if any(variable.op != "name" for variable in variables):
                raise CompileError(self.text, variables[0].at, "argument must be a simple name")
            names = tuple(str(variable.value) for variable in variables)
            return Node("macro", (target, body), (name, names), at)
        return Node("method", (target, *arguments), name, at)

    def arguments(self, depth: int) -> list[Node]:
        self.take("(")
        return self.listed(")", depth)

    def listed(self, end: str, depth: int) -> list[Node]:
        found: list[Node] = []
        while not self.is_next(end):
            found.append(self.expression(depth + 1))
            if not self.is_next(","):
                break
            self.take(",")
        self.take(end)
        return found

    def primary(self, depth: int) -> Node:
        if self.kind in ("int", "float", "string"):
            return self.literal()
        if self.is_next("("):
            self.take("(")
            inner = self.expression(depth + 1)
            self.take(")")
            return inner
        if self.is_next("["):
            at = self.take("[")
            return Node("list", tuple(self.listed("]", depth)), at=at)
        if self.is_next("{"):
            return self.pairs(depth)
        if self.kind != "name":
            raise self.unexpected()
        return self.name(depth)

    def pairs(self, depth: int) -> Node:
        at = self.take("{")
        found: list[Node] = []
        while not self.is_next("}"):
            found.append(self.expression(depth + 1))
            self.take(":")
            found.append(self.expression(depth + 1))
            if not self.is_next(","):
                break
            self.take(",")
        self.take("}")
        return Node("map", tuple(found), at=at)

    def name(self, depth: int) -> Node:
        word, at = self.word, self.at
        if word in ("true", "false", "null"):
            self.place += 1
            return Node("literal", value={"true": True, "false": False, "null": None}[word], at=at)
        if word in _RESERVED or word == "in":
            raise CompileError(self.text, at, f"Syntax error: reserved identifier: {word}")
        self.place += 1
        if not self.is_next("("):
            return Node("name", value=word, at=at)
        opened = self.at
        arguments = self.arguments(depth)
        if word == "has":
            if len(arguments) != 1 or arguments[0].op != "select":
                raise CompileError(self.text, opened, "invalid argument to has() macro")
            return Node("has", arguments[0].args, arguments[0].value, opened)
        return Node("call", tuple(arguments), word, opened)

    def literal(self) -> Node:
        kind, word, at = self.tokens[self.place]
        self.place += 1
        if kind == "string":
            return Node("literal", value=_unquoted(word), at=at)
        if kind == "float":
            return Node("literal", value=float(word), at=at)
        bare = word.rstrip("uU")
        return Node("literal", value=int(bare, 16 if bare[:2].lower() == "0x" else 10), at=at)


def _tokens(text: str) -> Any:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise CompileError(text, place, f"Syntax error: token recognition error at: '{text[place]}'")
        kind = str(found.lastgroup)
        if kind != "space":
            yield kind, found[0], place
        place = found.end()
    yield "end", "", len(text)


def _unquoted(word: str) -> str | bytes:
    prefix = word[: next(index for index, character in enumerate(word) if character in "\"'")].lower()
    body = word[len(prefix) :]
    width = 3 if body[:3] in ('"""', "'''") else 1
    body = body[width:-width]
    if "r" not in prefix:
        body = _ESCAPE.sub(_unescaped, body)
    return body.encode("latin-1", "replace") if "b" in prefix else body


def _unescaped(found: re.Match[str]) -> str:
    two, four, eight, octal, plain = found.groups()
    if plain is not None:
        return _SIMPLE.get(plain, plain)
    return chr(min(int(octal, 8) if octal else int(two or four or eight, 16), 0x10FFFF))
