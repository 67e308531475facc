"""Grammars that bind what is generated, by llguidance (https://github.com/guidance-ai/llguidance).

A matcher belongs to one sequence. It is told each token once, when it is chosen: a preempted sequence computes its
tokens again but chooses none again, so nothing is told twice. JSON is written with one space after `,` and `:` and no
other white space, so that a weak model cannot spend its answer on blanks.

llguidance is imported at first use: a server that is asked for no grammar never loads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from midwatch_serving.errors import RequestError
from midwatch_serving.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

JSON_STYLE = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
MOST_PLACES = 256
"""Sub-schemas looked at for the place of an error."""


@dataclass(frozen=True)
class Grammar:
    """What an answer must look like. `source` is a JSON schema as text, a regular expression or a Lark grammar."""

    kind: Literal["json_schema", "regex", "lark"]
    source: str
    param: str
    """The request's field that it came from, for error messages."""
    lenient: bool = False
    """Whether keywords of JSON Schema that cannot be enforced are passed over instead of refused."""
    open_ended: bool = False
    """Whether it accepts at every place because free text does. Such a grammar never ends an answer by itself."""


def choice(words: Sequence[str], param: str) -> Grammar:
    """Return the grammar that takes one of `words`, which are not empty."""
    return Grammar("lark", "start: " + " | ".join(orjson.dumps(word).decode() for word in words), param)


class Grammars:
    """Compiles grammars for one model's tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens: LLTokenizer | None = None

    def compile(self, grammar: Grammar, count: int = 1) -> "list[GrammarConstraint]":
        """Return `count` matchers. May take long: call it beside the event loop.

        Raises:
            RequestError: says what is wrong, and where in the schema.
        """
        from llguidance import LLMatcher, LLParserLimits

        limits = LLParserLimits(verbose_errors=False)
        matcher = LLMatcher(self._llguidance(), _compiled(grammar), log_level=0, limits=limits)
        if not matcher.is_error():
            matcher.compute_bitmask()  # some grammars fail only at the first token
        if matcher.is_error():
            place = _place(grammar) if grammar.kind == "json_schema" else ""
            raise RequestError(f"`{grammar.param}`{place}: {_reason(matcher)}", param=grammar.param)
        ends_early = not (self._tokenizer.eos or grammar.open_ended)
        return [
            GrammarConstraint(matcher.deep_copy(), self._tokenizer.vocab_size, ends_early=ends_early)
            for _ in range(count)
        ]

    def _llguidance(self) -> "LLTokenizer":
        if self._tokens is None:
            from llguidance import LLTokenizer, TokenizerWrapper

            vocabulary = _Vocabulary(self._tokenizer)
            self._tokens = LLTokenizer(
                TokenizerWrapper(vocabulary), n_vocab=self._tokenizer.vocab_size, eos_token=vocabulary.eos_token_ids
            )
        return self._tokens


class GrammarConstraint:
    """A sequence's matcher (`sampling.Constraint`).

    With `ends_early` it ends as soon as the grammar is satisfied: for a model that has no end token to say so itself.
    """

    def __init__(self, matcher: "LLMatcher", vocab_size: int, *, ends_early: bool) -> None:
        self.ended = False
        self.error: str | None = None
        self._matcher = matcher
        self._ends_early = ends_early
        self._words = np.zeros((vocab_size + 31) // 32, dtype=np.int32)

    def mask(self, logits: NDArray[np.float32]) -> None:
        """Leave only the logits of tokens that may come next, at least one.

        Where the model itself would never say any of them, all are made equal: the grammar outranks the model.
        """
        self._matcher.unsafe_compute_mask_ptr(self._words.ctypes.data, self._words.nbytes)
        allowed = np.unpackbits(self._words.view(np.uint8), bitorder="little")[: len(logits)].view(np.bool_)
        np.putmask(logits, ~allowed, -np.inf)
        if logits.max() == -np.inf:
            np.putmask(logits, allowed, 0)
        if self._matcher.is_error() or not allowed.any():
            self._fail(_reason(self._matcher) or "no token of this model can follow")
            logits[0] = 0

    def accept(self, token: int) -> None:
        """Take note of the chosen token."""
        if self.error is not None:
            return
        if not self._matcher.consume_token(token):
            self._fail(_reason(self._matcher))
        self.ended |= self._matcher.is_stopped() or (self._ends_early and self._matcher.is_accepting())

    def _fail(self, reason: str) -> None:
        self.ended = True
        self.error = f"the grammar could not be followed to its end: {reason}"


class _Vocabulary:
    """A model's tokens as llguidance reads them (its `TokenizerWrapper`)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        pieces = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        self.special_token_ids = [token for token, piece in enumerate(pieces) if not piece]
        self.tokens = [piece or b"<|special-%d|>" % token for token, piece in enumerate(pieces)]
        self.eos_token_ids = sorted(tokenizer.eos) or self.special_token_ids[:1]
        self.eos_token_id = self.eos_token_ids[0]
        self.bos_token_id = None

    def __call__(self, text: str | bytes) -> list[int]:
        if isinstance(text, bytes):
            raise TypeError("this tokenizer reads text")  # tells the wrapper to hand text over
        return self._tokenizer.encode(text)


def _reason(matcher: "LLMatcher") -> str:
    return matcher.get_error().partition("\n<")[0].strip()  # what follows is the matcher's state


def _compiled(grammar: Grammar) -> str:
    from llguidance import LLMatcher, grammar_from

    if grammar.kind == "regex":
        return LLMatcher.grammar_from_regex(grammar.source)
    if grammar.kind == "lark":
        try:
            return grammar_from("grammar", grammar.source)  # Lark or GBNF, whichever it is
        except ValueError as error:
            raise RequestError(f"`{grammar.param}`: {error}", param=grammar.param) from error
    return _schema(grammar, orjson.loads(grammar.source))


def _schema(grammar: Grammar, schema: dict[str, Any]) -> str:
    from llguidance import LLMatcher

    return LLMatcher.grammar_from_json_schema(schema, overrides={**JSON_STYLE, "lenient": grammar.lenient})  # type: ignore[arg-type] (a plain dict of its options)


def _place(grammar: Grammar) -> str:
    """Return the JSON pointer of the deepest sub-schema that is refused by itself too."""
    from llguidance import LLMatcher

    whole = orjson.loads(grammar.source)
    shared = {name: whole[name] for name in ("$defs", "definitions") if name in whole}
    found = ""
    for pointer, schema in _sub_schemas(whole, "")[:MOST_PLACES]:
        compiled = _schema(grammar, shared | schema)
        if len(pointer) > len(found) and LLMatcher.validate_grammar_with_warnings(compiled)[0]:
            found = pointer
    return f" at {found}" if found else ""


def _sub_schemas(schema: Any, pointer: str) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(schema, list):
        parts = [(str(index), part) for index, part in enumerate(schema)]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] (JSON)
    elif isinstance(schema, dict):
        parts = list(schema.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] (JSON)
    else:
        return []
    here: list[tuple[str, dict[str, Any]]] = []
    for name, part in parts:  # pyright: ignore[reportUnknownVariableType] (JSON)
        below = f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"  # pyright: ignore[reportUnknownArgumentType] (JSON)
        if isinstance(part, dict) and {"type", "anyOf", "oneOf", "allOf", "$ref", "enum", "not"} & set(part):  # pyright: ignore[reportUnknownArgumentType] (JSON)
            here.append((below, part))  # pyright: ignore[reportUnknownArgumentType] (JSON)
        here += _sub_schemas(part, below)
    return here
