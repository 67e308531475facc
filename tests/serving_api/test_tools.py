"""Tool calls in text: however the text is cut, the same text and calls come out."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_serving import tools
from midwatch_serving.errors import RequestError
from midwatch_serving.protocol_chat import Tool
from midwatch_serving.tool_reader import CallPart, CallReader, NamedReader

NAMES = frozenset({"f", "g"})


def tool(name: str, **more: Any) -> Tool:
    return Tool.model_validate({"type": "function", "function": {"name": name, **more}})


def read(pieces: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """Return the text, and each call's name and arguments."""
    reader = CallReader(NAMES)
    parts: list[str | CallPart] = []
    for piece in pieces:
        parts += reader.feed(piece)
    parts += reader.flush()
    calls: list[tuple[str, str]] = []
    for part in parts:
        if isinstance(part, str):
            assert part
        elif part.name is not None:
            assert part.index == len(calls)
            assert part.id is not None
            calls.append((part.name, part.arguments))
        else:
            assert part.index == len(calls) - 1
            calls[-1] = (calls[-1][0], calls[-1][1] + part.arguments)
    assert reader.called == bool(calls)
    return "".join(part for part in parts if isinstance(part, str)), calls


SAID: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("plain text < and <tool", "plain text < and <tool", []),
    (
        '<tool_call>\n{"name": "f", "arguments": {"a": "}</tool_call>"}}\n</tool_call>',
        "",
        [("f", '{"a": "}</tool_call>"}')],
    ),
    (
        'hi <tool_call>{"name":"g","parameters":{"b":[1,{"c":"\\""}]}}</tool_call>\n',
        "hi ",
        [("g", '{"b":[1,{"c":"\\""}]}')],
    ),
    ('<tool_call>{"arguments": {"x": 1}, "name": "f"}</tool_call>', "", [("f", '{"x": 1}')]),
    ('<tool_call>{"name": "f"}</tool_call>', "", [("f", "{}")]),
    ('<tool_call>{"name": "h"}</tool_call>!', '<tool_call>{"name": "h"}</tool_call>!', []),
    ("<tool_call>nonsense</tool_call>", "<tool_call>nonsense</tool_call>", []),
    ('<tool_call>{"name": "f", "argum', '<tool_call>{"name": "f", "argum', []),
    ('<tool_call>{"name": "f", "arguments": {"a": 1', "", [("f", '{"a": 1')]),
    (
        '<tool_call>{"name": "f", "arguments": {}}</tool_call>\n<tool_call>{"name": "g", "arguments": {}}</tool_call>',
        "",
        [("f", "{}"), ("g", "{}")],
    ),
]


@pytest.mark.parametrize(("said", "text", "calls"), SAID)
def test_calls_are_read_out_of_the_text_and_what_is_no_call_stays_text(
    said: str, text: str, calls: list[tuple[str, str]]
) -> None:
    assert read([said]) == (text, calls)
    assert read(list(said)) == (text, calls)


@given(st.sampled_from([said for said, _, _ in SAID]), st.lists(st.integers(0, 120), max_size=8))
def test_where_the_text_is_cut_makes_no_difference(said: str, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(said)) for cut in cuts), len(said)]
    assert read([said[a:b] for a, b in pairwise(edges)]) == read([said])


@given(st.text(alphabet='<>tol_ca/{}":,nmer f', max_size=60))
def test_text_that_has_no_call_in_it_comes_back_whole(text: str) -> None:
    said, calls = read(list(text))
    assert calls or said == text


def test_arguments_are_told_as_they_come() -> None:
    reader = CallReader(NAMES)
    parts = [reader.feed(piece) for piece in ('<tool_call>{"name": "f", "arguments": {"a', '": "b', '"}}')]
    assert [[getattr(p, "arguments", p) for p in some] for some in parts] == [["", '{"a'], ['": "b'], ['"}']]


def test_a_named_call_is_all_arguments_and_has_one_beginning() -> None:
    reader = NamedReader("f")
    parts = [*reader.feed('{"a"'), *reader.feed(": 1}"), *reader.flush()]
    assert [(p.name, p.arguments) for p in parts if isinstance(p, CallPart)] == [
        ("f", ""),
        (None, '{"a"'),
        (None, ": 1}"),
    ]
    assert len(NamedReader("f").flush()) == 1


@pytest.mark.parametrize(
    ("some", "choice", "says"),
    [
        ([tool("f"), tool("f")], None, "same name"),
        ([], "required", "needs `tools`"),
        (None, "auto", "needs `tools`"),
        ([tool("f")], {"type": "function", "function": {"name": "g"}}, "not among the tools: f"),
    ],
)
def test_a_choice_must_fit_the_tools(some: Any, choice: Any, says: str) -> None:
    named = tools.NamedTool.model_validate(choice) if isinstance(choice, dict) else choice
    with pytest.raises(RequestError, match=says):
        tools.chosen(some, named)


def test_without_a_choice_tools_may_be_called_and_none_cannot() -> None:
    assert tools.chosen([tool("f")], None) == "auto"
    assert tools.chosen(None, None) == tools.chosen([tool("f")], "none") == "none"


def test_the_arguments_of_a_whole_call_are_json() -> None:
    _, calls = read(['<tool_call>{"arguments": {"é": "\\u00e9"}, "name": "f"}</tool_call>'])
    assert json.loads(calls[0][1]) == {"é": "é"}
