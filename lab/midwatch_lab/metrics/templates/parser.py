"""From tokens to a tree. What Go's parser refuses is refused: a function or variable that there is not, too."""

import math
import re
from collections.abc import Collection

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql import unquote
from midwatch_lab.metrics.errors import TemplateError
from midwatch_lab.metrics.templates.lexer import Token, tokens
from midwatch_lab.metrics.templates.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Constant,
    Dot,
    Function,
    Invocation,
    Jump,
    Node,
    Operand,
    Pipe,
    Text,
    Tree,
    Variable,
)

_BLOCKS = frozenset({"if", "with", "range"})
_MAX_DEPTH = 50
_LARGEST = 2**63
_WHOLE = re.compile(r"[+-]?(?:[0-9_]+|0[xXoObB][0-9a-fA-F_]+)")


def parse(source: str, functions: Collection[str], variables: Collection[str]) -> Tree:
    """Read a template that may call `functions` and name `variables` (with their `$`).

    Raises:
        TemplateError: names the line and what is wrong there.
    """
    return _Parser(source, functions, variables).tree()


class _Parser:
    def __init__(self, source: str, functions: Collection[str], variables: Collection[str]) -> None:
        self.tokens = list(tokens(source))
        self.index = 0
        self.functions = functions
        self.variables = ["$", *variables]
        self.found = Tree()
        self.ranges = 0
        self.depth = 0

    def tree(self) -> Tree:
        self.found.body, ender = self.nodes(frozenset())
        assert not ender  # noqa: S101 (with no enders only the end of the text ends the list)
        return self.found

    # Tokens

    def peek(self) -> Token:
        return self.tokens[self.index]

    def next(self) -> Token:
        token = self.tokens[self.index]
        self.index += 1
        return token

    def skip_space(self) -> Token:
        while self.peek().kind == "space":
            self.index += 1
        return self.peek()

    def error(self, message: str, token: Token | None = None) -> TemplateError:
        return TemplateError(f"line {(token or self.peek()).line} of the template: {message}")

    def close(self, after: str) -> None:
        token = self.skip_space()
        if token.kind != "close":
            raise self.error(f"{token.text!r} cannot follow {after}")
        self.index += 1

    # Lists of nodes

    def nodes(self, enders: Collection[str]) -> tuple[tuple[Node, ...], str]:
        """Return nodes up to one of the keywords `enders`, which is read, or to the end of the text."""
        found: list[Node] = []
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error(f"the template is nested more than {_MAX_DEPTH} deep")
        while True:
            token = self.next()
            if token.kind == "text":
                found.append(Text(token.text))
            elif token.kind == "end":
                if enders:
                    raise self.error("an if, with, range, define or block is not ended: write {{end}}", token)
                break
            else:
                first = self.skip_space()
                if first.kind == "keyword" and first.text in enders:
                    self.index += 1
                    self.depth -= 1
                    return tuple(found), first.text
                self.action(found)
        self.depth -= 1
        return tuple(found), ""

    def action(self, found: list[Node]) -> None:
        token = self.peek()
        if token.kind != "keyword" or token.text == "nil":
            pipe = self.pipe()
            self.close("the action")
            found.append(Action(pipe))
            return
        self.index += 1
        match token.text:
            case "if" | "with" | "range":
                found.append(self.branch(token.text))
            case "break" | "continue":
                if not self.ranges:
                    raise self.error(f"{token.text} stands outside of a range", token)
                self.close(token.text)
                found.append(Jump(token.text))
            case "template":
                name = self.name(token)
                pipe = None if self.skip_space().kind == "close" else self.pipe()
                self.close("template")
                found.append(Invocation(name, pipe))
            case "define":
                if self.depth > 1:
                    raise self.error("define stands at the top of a template alone", token)
                self.define(self.name(token))
            case "block":
                name = self.name(token)
                pipe = self.pipe()
                self.define(name)
                found.append(Invocation(name, pipe))
            case _:
                raise self.error(f"{{{{{token.text}}}}} ends nothing", token)

    def name(self, keyword: Token) -> str:
        token = self.skip_space()
        if token.kind != "string":
            raise self.error(f"{keyword.text} needs a name in quotes")
        self.index += 1
        return self.string(token)

    def define(self, name: str) -> None:
        self.close("the name")
        kept, self.variables = self.variables, ["$"]
        ranges, self.ranges = self.ranges, 0
        body, _ = self.nodes({"end"})
        self.close("end")
        self.variables, self.ranges = kept, ranges
        empty = all(isinstance(node, Text) and not node.text.strip() for node in body)
        if name in self.found.defined and not empty and self.found.defined[name]:
            raise self.error(f"the template {name!r} is defined twice")
        if not empty or name not in self.found.defined:
            self.found.defined[name] = () if empty and name in self.found.defined else body

    def branch(self, keyword: str) -> Branch:
        mark = len(self.variables)
        pipe = self.pipe(most=2 if keyword == "range" else 1)
        self.close(keyword)
        self.ranges += keyword == "range"
        body, ender = self.nodes({"else", "end"})
        self.ranges -= keyword == "range"
        otherwise: tuple[Node, ...] = ()
        following = self.skip_space()
        if ender == "else" and following.kind == "keyword" and following.text == keyword and keyword != "range":
            # `{{else if x}}` is an `if` inside the `else`, and shares its end.
            self.index += 1
            otherwise = (self.branch(keyword),)
            del self.variables[mark:]
            return Branch(keyword, pipe, body, otherwise)
        self.close(ender)
        if ender == "else":
            otherwise, _ = self.nodes({"end"})
            self.close("end")
        del self.variables[mark:]
        return Branch(keyword, pipe, body, otherwise)

    # Pipes

    def pipe(self, most: int = 1) -> Pipe:
        self.skip_space()
        begin = self.index
        names, declares = self.declaration(most)
        if not names:
            self.index = begin
        self.variables += names
        commands = [self.command()]
        while self.skip_space().text == "|" and self.peek().kind == "mark":
            self.index += 1
            if self.skip_space().kind == "close" or self.peek().text == ")":
                break  # as in Go, where a | may be the last
            command = self.command()
            if isinstance(command.operands[0], Constant | Dot):
                raise self.error("behind | stands a function or a method, which gets what is before it")
            commands.append(command)
        return Pipe(tuple(commands), tuple(names), declares)

    def declaration(self, most: int) -> tuple[list[str], bool]:
        names: list[str] = []
        while self.skip_space().kind == "variable":
            names.append(self.next().text)
            mark = self.skip_space()
            if mark.kind == "mark" and mark.text in (":=", "="):
                if len(names) > most:
                    raise self.error(f"{len(names)} variables cannot be set here")
                self.index += 1
                return names, mark.text == ":="
            if mark.text != "," or most == 1:
                return [], True
            self.index += 1
        return [], True

    def command(self) -> Command:
        operands: list[Operand] = []
        while True:
            token = self.skip_space()
            if token.kind in ("close", "end") or (token.kind == "mark" and token.text in ("|", ")")):
                break
            operands.append(self.operand())
            following = self.peek()
            if following.kind not in ("space", "close") and following.text not in ("|", ")"):
                raise self.error(f"{following.text!r} cannot follow an operand: a blank is missing")
        if not operands:
            raise self.error("a value is missing")
        return Command(tuple(operands))

    def operand(self) -> Operand:
        token = self.peek()
        base = self.term()
        names: list[str] = []
        while self.peek().kind == "field":
            names.append(self.next().text[1:])
        if not names:
            return base
        if isinstance(base, Constant) or (isinstance(base, Dot) and token.kind == "dot"):
            raise self.error(f"a field cannot follow {token.text}", token)
        if isinstance(base, Chain):
            return Chain(base.base, (*base.names, *names))
        return Chain(base, tuple(names))

    def term(self) -> Operand:  # noqa: PLR0911 (one return a kind of token)
        token = self.next()
        match token.kind:
            case "word":
                return self.word(token)
            case "keyword" if token.text == "nil":
                return Constant(None)
            case "dot":
                return Dot()
            case "field":
                return Chain(Dot(), (token.text[1:],))
            case "variable" if token.text in self.variables:
                return Variable(token.text)
            case "variable":
                raise self.error(f"there is no variable {token.text}", token)
            case "mark" if token.text == "(":
                return self.parenthesized()
            case _:
                return Constant(self.literal(token))

    def word(self, token: Token) -> Operand:
        if token.text in ("true", "false"):
            return Constant(token.text == "true")
        if token.text not in self.functions:
            raise self.error(f"there is no function {token.text}", token)
        return Function(token.text)

    def parenthesized(self) -> Pipe:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error(f"the template is nested more than {_MAX_DEPTH} deep")
        pipe = self.pipe()
        closing = self.skip_space()
        if closing.text != ")":
            raise self.error(f"{closing.text!r} stands where ) is missing")
        self.index += 1
        self.depth -= 1
        return pipe

    def literal(self, token: Token) -> str | int | float:
        match token.kind:
            case "string":
                return self.string(token)
            case "char":
                return self.character(token)
            case "number":
                return self.number(token)
            case _:
                raise self.error(f"{token.text!r} is no operand", token)

    def string(self, token: Token) -> str:
        try:
            return unquote(token.text)
        except PromqlError as error:
            raise self.error(f"{token.text} is no text in quotes: {error}", token) from error

    def character(self, token: Token) -> int:
        inner = token.text[1:-1]
        if inner == "\\'":
            return ord("'")
        text = self.string(Token("string", f'"{inner}"', token.line)) if inner != '"' else inner
        if len(text) != 1:
            raise self.error(f"{token.text} is no single character", token)
        return ord(text)

    def number(self, token: Token) -> int | float:
        text = token.text
        try:
            found = _whole(text) if _WHOLE.fullmatch(text) else float(text)
        except ValueError as error:
            raise self.error(f"{text} is no number", token) from error
        if not -_LARGEST <= found < 2 * _LARGEST if isinstance(found, int) else math.isinf(found):
            raise self.error(f"{text} is too large a number", token)
        return found


def _whole(text: str) -> int:
    plain = text.lstrip("+-")
    octal = len(plain) > 1 and plain.isdigit() and plain.startswith("0")
    value = int(plain, 8) if octal else int(plain, 0)
    return -value if text.startswith("-") else value
