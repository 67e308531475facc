"""Bad input of every kind is refused with a clear message, and the engine serves on."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.anyio

CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
COMPLETION: dict[str, Any] = {"model": "tiny", "prompt": "hi", "max_tokens": 3}
RESPONSE: dict[str, Any] = {"model": "tiny", "input": "hi", "max_output_tokens": 3}
GOOD = {"/v1/chat/completions": CHAT, "/v1/completions": COMPLETION, "/v1/responses": RESPONSE}
TOOL = {"type": "function", "function": {"name": "f"}}


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": [{"role": "user", "content": None}]}, "messages.0"),
        ({"messages": [{"role": "user"}]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": "x",
                        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}],
                    }
                ]
            },
            "messages.0",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, None),
        ({"temperature": 2.5}, "temperature"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 1.5}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"frequency_penalty": "1"}, "frequency_penalty"),
        ({"seed": 2**64}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"logit_bias": {"97": 101}}, "logit_bias.97"),
        ({"logit_bias": {"x": 1}}, None),
        ({"logit_bias": {"264": 1}}, "logit_bias.0"),
        ({"stop_token_ids": [264]}, "stop_token_ids.0"),
        ({"stop_token_ids": [-1]}, "stop_token_ids.0"),
        ({"stop": ""}, None),
        ({"stop": ["a"] * 17}, None),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"request_id": "a b"}, "request_id"),
        ({"cache_salt": ""}, "cache_salt"),
        ({"priority": 1}, "priority"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"store": True}, "store"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"modalities": ["text", "audio"]}, "modalities.1"),
        ({"prompt_logprobs": 1}, "prompt_logprobs"),
        ({"tools": [TOOL, TOOL]}, "tools"),
        ({"tools": [{"type": "custom"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools.0.function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "wat"}}}
                ],
                "tool_choice": "required",
            },
            "tools",
        ),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "wat"}}}},
            "response_format.json_schema.schema",
        ),
        ({"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
        ({"structured_outputs": {"grammar": "start: nothing"}}, "structured_outputs.grammar"),
        ({"structured_outputs": {"json": "{"}}, "structured_outputs.json"),
        ({"guided_json": {}}, "guided_json"),
    ],
)
async def test_a_chat_that_is_not_served_is_refused_with_its_field(
    serving: Any, change: dict[str, Any], param: str | None
) -> None:
    async with serving() as (service, client):
        answer = await client.post("/v1/chat/completions", json=CHAT | change)
        assert not service.engine.scheduler.has_work
    error = answer.json()["error"]
    assert answer.status_code == 400, error
    assert error["message"]
    if param is not None:
        assert error["param"] == param


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        ("/v1/completions", {"prompt": []}, None),
        ("/v1/completions", {"prompt": ""}, "prompt"),
        ("/v1/completions", {"prompt": [97, -1]}, None),
        ("/v1/completions", {"prompt": [97, 264]}, "prompt.0.1"),
        ("/v1/completions", {"prompt": [["a"]]}, None),
        ("/v1/completions", {"prompt": "x" * 3000}, "prompt"),
        ("/v1/completions", {"suffix": "end"}, "suffix"),
        ("/v1/completions", {"best_of": 3}, "best_of"),
        ("/v1/completions", {"max_tokens": 0}, "max_tokens"),
        ("/v1/completions", {"max_tokens": 0, "echo": True, "prompt": "a"}, "prompt"),
        ("/v1/completions", {"prompt": ["a"] * 100, "n": 3}, "n"),
        ("/v1/responses", {"input": []}, None),
        ("/v1/responses", {"input": [{"role": "user"}]}, None),
        ("/v1/responses", {"input": [{"type": "function_call", "call_id": "1"}]}, None),
        ("/v1/responses", {"input": [{"type": "reasoning"}]}, None),
        ("/v1/responses", {"background": True}, "background"),
        ("/v1/responses", {"truncation": "auto"}, "truncation"),
        ("/v1/responses", {"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ("/v1/responses", {"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ("/v1/responses", {"max_tokens": 4}, "max_tokens"),
    ],
)
async def test_so_are_completions_and_responses(
    serving: Any, path: str, change: dict[str, Any], param: str | None
) -> None:
    async with serving() as (service, client):
        answer = await client.post(path, json=GOOD[path] | change)
        assert not service.engine.scheduler.has_work
    error = answer.json()["error"]
    assert answer.status_code == 400, error
    if param is not None:
        assert error["param"] == param


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"model": "tiny", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "tiny", "temperature": NaN}',
        b'{"model": "tiny", "temperature": Infinity, "prompt": "x"}',
        b'{"model": "tiny", "temperature": 1e999, "prompt": "x"}',
        b'{"model": "tiny", "max_tokens": 1e3, "prompt": "x"}',
        b'{"model": "tiny", "metadata": ' + nested(5000).encode() + b"}",
        nested(100_000).encode(),
        b'{"model": "tiny", "seed": ' + b"9" * 5000 + b"}",
    ],
)
async def test_a_body_that_is_no_request_is_refused(serving: Any, path: str, body: bytes) -> None:
    async with serving() as (_, client):
        answer = await client.post(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


async def test_a_body_that_is_too_large_is_refused_before_it_is_whole(serving: Any) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65536

    async with serving() as (_, client):
        for path in (*GOOD, "/tokenize", "/detokenize", "/admin/score"):
            sent = 0
            answer = await client.post(path, content=endless())
            assert answer.status_code == 413
            assert sent < 40


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "user",
            "function",
            "json_object",
            "auto",
            "text",
            "tiny",
            0,
            1,
            16,
            257,
            "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "name", "function", "schema", "json", "regex", "97"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)
names = st.sampled_from(
    [
        "messages",
        "prompt",
        "input",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "stop",
        "n",
        "logprobs",
        "top_logprobs",
        "tools",
        "tool_choice",
        "response_format",
        "structured_outputs",
        "logit_bias",
        "stop_token_ids",
        "min_tokens",
        "echo",
        "text",
        "instructions",
        "include",
        "stream_options",
        "priority",
        "session_id",
        "cache_salt",
        "metadata",
        "user",
        "unknown",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "previous_response_id",
    ]
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(list(GOOD)), st.dictionaries(names, values, min_size=1, max_size=3)), max_size=6)
)
def test_whatever_is_sent_it_is_served_or_refused_and_the_engine_serves_on(
    serving: Any, asks: list[tuple[str, dict[str, Any]]]
) -> None:
    async def send() -> None:
        async with serving("--max-model-len", "64") as (service, client):
            for path, change in asks:
                answer = await client.post(path, content=json.dumps(GOOD[path] | change))
                assert answer.status_code in {200, 400, 404}, answer.text
                assert answer.status_code == 200 or answer.json()["error"]["message"]
            good = await client.post("/v1/chat/completions", json=CHAT)
            assert good.status_code == 200
            service.engine.scheduler.check_integrity()
            assert not service.engine.scheduler.has_work

    asyncio.run(send())
