"""Grammars: what they let through is what they describe, for byte tokens and for words."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_serving import tools
from midwatch_serving.byte_tokenizer import ByteTokenizer
from midwatch_serving.constraints import Grammar, Grammars, choice
from midwatch_serving.errors import RequestError
from midwatch_serving.intake import structured
from midwatch_serving.protocol import StructuredOutputs
from midwatch_serving.protocol_chat import Tool

TOKENIZER = ByteTokenizer()
GRAMMARS = Grammars(TOKENIZER)


class Ending(ByteTokenizer):
    """Has an end token, as real models do."""

    eos = frozenset({257})


ENDING = Grammars(Ending())


def schema(source: Any, **more: Any) -> Grammar:
    return Grammar("json_schema", json.dumps(source), "schema", **more)


def generate(grammar: Grammar, seed: int = 0, *, grammars: Grammars = GRAMMARS, most: int = 400) -> str:
    """Draw tokens of random logits under the grammar until it ends."""
    (constraint,) = grammars.compile(grammar)
    generator = np.random.default_rng(seed)
    tokens: list[int] = []
    while not constraint.ended and len(tokens) < most:
        logits = generator.standard_normal(TOKENIZER.vocab_size).astype(np.float32)
        logits[:0x20] = logits[0x7F:257] = logits[258:] = -np.inf
        constraint.mask(logits)
        tokens.append(int(logits.argmax()))
        constraint.accept(tokens[-1])
    assert constraint.error is None
    assert constraint.ended
    return TOKENIZER.decode(tokens)


Schema = dict[str, Any]


def one_of(values: list[int]) -> Schema:
    return {"enum": values}


def integer(most: int) -> Schema:
    return {"type": "integer", "minimum": 0, "maximum": most}


def text(most: int) -> Schema:
    return {"type": "string", "maxLength": most}


def record(fields: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items, "maxItems": 2}


def fits(value: Any, source: Schema) -> bool:
    """Whether a value is valid, for the kinds of schema that are made here."""
    if "enum" in source:
        return value in source["enum"]
    if source["type"] == "boolean":
        return isinstance(value, bool)
    if source["type"] == "integer":
        return isinstance(value, int) and 0 <= value <= source["maximum"]
    if source["type"] == "string":
        return isinstance(value, str) and len(value) <= source["maxLength"]
    if source["type"] == "array":
        return len(value) <= 2 and all(fits(item, source["items"]) for item in value)
    return list(value) == source["required"] and all(fits(value[k], s) for k, s in source["properties"].items())


numbers = st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True)
schemas = st.recursive(
    numbers.map(one_of) | st.integers(1, 999).map(integer) | st.integers(1, 6).map(text) | st.just({"type": "boolean"}),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3).map(record) | inner.map(array),
    max_leaves=6,
).filter(lambda source: source.get("type") in {"object", "array"})


@settings(max_examples=40)
@given(schemas, st.integers(0, 99))
def test_what_is_generated_under_a_schema_is_valid(source: Schema, seed: int) -> None:
    assert fits(json.loads(generate(schema(source), seed)), source)


def test_a_regular_expression_and_a_choice_are_kept_to() -> None:
    assert re.fullmatch(r"\d{3}-[a-f]{2}", generate(Grammar("regex", r"\d{3}-[a-f]{2}", "regex")))
    words = ["Deployment", 'say "no"', "back\\slash"]
    assert {generate(choice(words, "choice"), seed) for seed in range(40)} == set(words)


def test_lark_and_gbnf_grammars_are_both_read() -> None:
    assert generate(Grammar("lark", 'start: "a" b\nb: /x{2}/', "grammar")) == "axx"
    assert generate(Grammar("lark", 'root ::= "yes" "!"', "grammar")) == "yes!"


def test_the_grammar_outranks_what_the_model_would_never_say() -> None:
    assert generate(Grammar("regex", "é{2}", "regex")) == "éé"


def test_a_model_with_an_end_token_decides_when_a_grammar_is_done_and_one_without_ends_at_once() -> None:
    lengths = {len(generate(Grammar("regex", "a{1,50}", "regex"), seed, grammars=ENDING)) for seed in range(30)}
    assert len(lengths) > 3
    assert generate(Grammar("regex", "a{1,50}", "regex")) == "a"


@pytest.mark.parametrize(
    ("grammar", "says"),
    [
        (schema({"properties": {"a": {"items": {"type": "wat"}}}}), "at /properties/a/items: Invalid type"),
        (schema({"properties": {"x~/y": {"not": {"type": "null"}}}}), "at /properties/x~0~1y: Unimplemented keys"),
        (schema({"$ref": "#/$defs/none"}), "`schema`: Pointer '/$defs/none' does not exist"),
        (Grammar("regex", "(", "regex"), "unclosed group"),
        (Grammar("regex", "(?=a)b", "regex"), "look-around"),
        (Grammar("lark", "start: missing", "grammar"), 'unknown name: "missing"'),
        (Grammar("lark", "%%%", "grammar"), "`grammar`: "),
    ],
)
def test_a_bad_grammar_is_refused_with_the_place(grammar: Grammar, says: str) -> None:
    with pytest.raises(RequestError, match=re.escape(says)) as refused:
        GRAMMARS.compile(grammar)
    assert refused.value.status == 400


def test_keywords_that_cannot_be_enforced_are_passed_over_only_where_that_is_wanted() -> None:
    source = {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "maxItems": 1}
    with pytest.raises(RequestError, match="uniqueItems"):
        GRAMMARS.compile(schema(source))
    assert isinstance(json.loads(generate(schema(source, lenient=True))), list)


def test_matchers_of_one_grammar_do_not_share_their_place() -> None:
    one, other = GRAMMARS.compile(Grammar("regex", "ab", "regex"), 2)
    one.accept(ord("a"))
    logits = np.zeros(TOKENIZER.vocab_size, dtype=np.float32)
    other.mask(logits)
    assert int(logits.argmax()) == ord("a")


def test_a_token_that_the_grammar_does_not_take_is_an_error_that_ends_it() -> None:
    (constraint,) = GRAMMARS.compile(Grammar("regex", "ab", "regex"))
    constraint.accept(ord("x"))
    assert constraint.ended
    assert constraint.error


def test_a_grammar_that_grows_beyond_bounds_is_refused_or_ends_with_an_error() -> None:
    (constraint,) = GRAMMARS.compile(Grammar("regex", "(a{1000}){1000}", "regex"))
    for _ in range(50):
        logits = np.zeros(TOKENIZER.vocab_size, dtype=np.float32)
        constraint.mask(logits)
        if constraint.ended:
            break
        constraint.accept(int(logits.argmax()))
    assert constraint.error is not None
    assert "too many" in constraint.error


@pytest.mark.parametrize("body", [{}, {"regex": "a", "choice": ["b"]}, {"json": "{"}, {"json": "[1]"}])
def test_structured_outputs_take_one_sound_grammar(body: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as refused:
        structured(StructuredOutputs.model_validate(body))
    assert (refused.value.param or "").startswith("structured_outputs")


F = Tool.model_validate(
    {
        "type": "function",
        "function": {
            "name": "f",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"n": {"enum": [1, 2]}},
                "required": ["n"],
                "additionalProperties": False,
            },
        },
    }
)
CALL = '<tool_call>{"name": "f", "arguments": {"n": 1}}</tool_call>'


def test_a_strict_call_that_the_model_begins_is_held_to_its_schema() -> None:
    grammar = tools.grammar([F], "auto", parallel=True, answer=None)
    assert grammar is not None
    (constraint,) = ENDING.compile(grammar)
    for token in TOKENIZER.encode('I think <b> so.\n<tool_call>\n{"name": "f", "arguments": {"n": '):
        logits = np.zeros(TOKENIZER.vocab_size, dtype=np.float32)
        constraint.mask(logits)
        assert logits[token] == 0
        constraint.accept(token)
    logits = np.zeros(TOKENIZER.vocab_size, dtype=np.float32)
    constraint.mask(logits)
    assert {chr(token) for token in np.flatnonzero(logits == 0)} == {"1", "2"}
    assert not constraint.ended


def test_an_answer_is_either_a_call_or_of_the_response_format() -> None:
    answer = schema(record({"ok": {"const": True}}))
    grammar = tools.grammar([F], "auto", parallel=False, answer=answer)
    assert grammar is not None
    said = {generate(grammar, seed) for seed in range(30)}
    assert said >= {'{"ok": true}', CALL}
    assert len(said) == 3


def test_a_grammar_that_is_no_schema_cannot_be_joined_with_tools() -> None:
    with pytest.raises(RequestError, match="cannot be joined"):
        tools.grammar([F], "auto", parallel=True, answer=Grammar("regex", "a", "structured_outputs.regex"))
