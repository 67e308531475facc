"""OpenAI's own client, unmodified, against a server in this process."""

from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

pytestmark = pytest.mark.anyio

MESSAGES: Any = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "hello"}]


class Scale(BaseModel):
    """What to do."""

    kind: Literal["Deployment", "StatefulSet"]
    replicas: int = Field(ge=1, le=20)
    urgent: bool


TOOL: Any = openai.pydantic_function_tool(Scale, name="scale")
PLAIN_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "restart",
        "parameters": {
            "type": "object",
            "properties": {"pod": {"enum": ["a", "b"]}},
            "required": ["pod"],
            "additionalProperties": False,
        },
    },
}


async def test_a_stream_and_a_whole_answer_are_the_same(listening: Any) -> None:
    async with listening() as here:
        ask: Any = {"model": "tiny", "messages": MESSAGES, "temperature": 0, "max_completion_tokens": 12}
        whole = await here.client.chat.completions.create(**ask)
        events = [
            event
            async for event in await here.client.chat.completions.create(
                **ask, stream=True, stream_options={"include_usage": True}
            )
        ]
    text = "".join(choice.delta.content or "" for event in events for choice in event.choices)
    assert text == whole.choices[0].message.content
    assert len(text) == 12
    assert events[-1].usage.total_tokens == whole.usage.total_tokens
    assert {event.id for event in events} == {events[0].id}


async def test_structured_output_parses_into_the_model_that_was_asked_for(listening: Any) -> None:
    async with listening() as here:
        answer = await here.client.chat.completions.parse(
            model="tiny", messages=MESSAGES, response_format=Scale, max_tokens=100, seed=1
        )
    choice = answer.choices[0]
    assert choice.finish_reason == "stop"
    assert isinstance(choice.message.parsed, Scale)
    assert Scale.model_validate_json(choice.message.content) == choice.message.parsed


async def test_the_stream_helper_follows_a_structured_answer(listening: Any) -> None:
    async with (
        listening() as here,
        here.client.chat.completions.stream(
            model="tiny", messages=MESSAGES, response_format=Scale, max_tokens=100, seed=1
        ) as stream,
    ):
        deltas = [event.delta async for event in stream if event.type == "content.delta"]
        final = await stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Scale)
    assert "".join(deltas) == final.choices[0].message.content


async def test_a_required_call_has_the_arguments_of_its_schema(listening: Any) -> None:
    async with listening() as here:
        answer = await here.client.chat.completions.parse(
            model="tiny", messages=MESSAGES, tools=[TOOL], tool_choice="required", max_tokens=200, seed=3
        )
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    (call,) = choice.message.tool_calls
    assert call.function.name == "scale"
    assert isinstance(call.function.parsed_arguments, Scale)


async def test_a_named_call_comes_in_fragments_that_make_its_arguments(listening: Any) -> None:
    async with listening() as here:
        choice: Any = {"type": "function", "function": {"name": "restart"}}
        stream = await here.client.chat.completions.create(
            model="tiny", messages=MESSAGES, tools=[TOOL, PLAIN_TOOL], tool_choice=choice, max_tokens=60, stream=True
        )
        events = [event async for event in stream]
    calls = [call for event in events for c in event.choices for call in c.delta.tool_calls or ()]
    assert (calls[0].index, calls[0].function.name, calls[0].type) == (0, "restart", "function")
    assert calls[0].id.startswith("call_")
    assert {call.id for call in calls[1:]} == {None}
    assert "".join(call.function.arguments for call in calls) in {'{"pod": "a"}', '{"pod": "b"}'}
    assert events[-1].choices[0].finish_reason == "tool_calls"


async def test_the_stream_helper_follows_calls_between_text(listening: Any) -> None:
    said = 'Let me see.\n<tool_call>\n{"name": "scale", "arguments": {"kind": "Deployment", "replicas": 3, '
    said += '"urgent": false}}\n</tool_call>\n<tool_call>{"name":"restart","arguments":{"pod":"}"}}</tool_call>'
    ask: Any = {"model": "tiny", "messages": MESSAGES, "tools": [TOOL, PLAIN_TOOL], "stop": ["END"]}
    async with listening(script=said + "END") as here:
        async with here.client.chat.completions.stream(**ask) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_completion()
        whole = await here.client.chat.completions.create(**ask)
    assert final.choices[0].finish_reason == whole.choices[0].finish_reason == "tool_calls"
    assert isinstance(final.choices[0].message.tool_calls[0].function.parsed_arguments, Scale)
    assert kinds.count("tool_calls.function.arguments.done") == 2
    message = whole.choices[0].message
    assert message.content == "Let me see.\n"
    assert [(call.function.name, call.function.arguments) for call in message.tool_calls] == [
        ("scale", '{"kind": "Deployment", "replicas": 3, "urgent": false}'),
        ("restart", '{"pod":"}"}'),
    ]


async def test_a_conversation_with_a_tool_goes_on_with_its_own_echo(listening: Any) -> None:
    async with listening() as here:
        asked: Any = {"model": "tiny", "tools": [PLAIN_TOOL], "max_tokens": 60}
        first = await here.client.chat.completions.create(messages=MESSAGES, tool_choice="required", **asked)
        message = first.choices[0].message
        result: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "done"}
        second = await here.client.chat.completions.create(messages=[*MESSAGES, message, result], **asked)
        third = await here.client.chat.completions.create(
            messages=[*MESSAGES, message.model_dump(), result], temperature=0, **asked
        )
    assert second.usage.prompt_tokens == third.usage.prompt_tokens > first.usage.prompt_tokens
    assert third.choices[0].finish_reason == "length"


async def test_several_choices_are_those_of_consecutive_seeds(listening: Any) -> None:
    async with listening() as here:
        ask: Any = {"model": "tiny", "messages": MESSAGES, "max_tokens": 8}
        several = await here.client.chat.completions.create(**ask, n=3, seed=40)
        alone = [await here.client.chat.completions.create(**ask, seed=seed) for seed in (40, 41, 42)]
        stream = await here.client.chat.completions.create(**ask, n=3, seed=40, stream=True)
        texts = ["", "", ""]
        async for event in stream:
            for choice in event.choices:
                texts[choice.index] += choice.delta.content or ""
    assert [c.message.content for c in several.choices] == [a.choices[0].message.content for a in alone] == texts
    assert len(set(texts)) == 3
    assert several.usage.prompt_tokens == alone[0].usage.prompt_tokens
    assert several.usage.completion_tokens == 24


async def test_log_probabilities_come_with_their_tokens(listening: Any) -> None:
    async with listening() as here:
        ask: Any = {"model": "tiny", "messages": MESSAGES, "max_tokens": 5, "temperature": 0}
        whole = await here.client.chat.completions.create(**ask, logprobs=True, top_logprobs=3)
        stream = await here.client.chat.completions.create(**ask, logprobs=True, top_logprobs=3, stream=True)
        streamed = [t async for e in stream for c in e.choices if c.logprobs for t in c.logprobs.content]
    content = whole.choices[0].logprobs.content
    assert "".join(entry.token for entry in content) == whole.choices[0].message.content
    for entry in content:
        assert bytes(entry.bytes).decode() == entry.token
        assert entry.top_logprobs[0].token == entry.token  # greedy
        assert entry.top_logprobs[0].logprob == entry.logprob < 0
        assert [t.logprob for t in entry.top_logprobs] == sorted((t.logprob for t in entry.top_logprobs), reverse=True)
    assert streamed == content


async def test_a_response_and_its_stream_are_the_same(listening: Any) -> None:
    async with listening() as here:
        ask: Any = {"model": "tiny", "input": "hello", "instructions": "Be terse.", "temperature": 0}
        whole = await here.client.responses.create(**ask, max_output_tokens=9)
        stream = await here.client.responses.create(**ask, max_output_tokens=9, stream=True)
        events = [event async for event in stream]
    assert (whole.status, whole.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert len(whole.output_text) == 9
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    kinds = [event.type.removeprefix("response.") for event in events if not event.type.endswith(".delta")]
    assert kinds == [
        "created", "in_progress", "output_item.added", "content_part.added",
        "output_text.done", "content_part.done", "output_item.done", "incomplete",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.output_text == whole.output_text
    assert whole.usage.total_tokens == whole.usage.input_tokens + 9


async def test_a_response_parses_into_the_model_that_was_asked_for(listening: Any) -> None:
    async with listening() as here:
        ask: Any = {"model": "tiny", "input": "hello", "text_format": Scale, "max_output_tokens": 100}
        whole = await here.client.responses.parse(**ask)
        async with here.client.responses.stream(**ask) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_response()
    assert whole.status == "completed"
    assert isinstance(whole.output_parsed, Scale)
    assert isinstance(final.output_parsed, Scale)


async def test_a_response_calls_functions_and_goes_on_from_what_they_answered(listening: Any) -> None:
    tool: Any = {"type": "function", **PLAIN_TOOL["function"], "strict": False}
    async with listening() as here:
        ask: Any = {"model": "tiny", "tools": [tool], "max_output_tokens": 60}
        first = await here.client.responses.create(input="hello", tool_choice="required", **ask)
        (call,) = first.output
        assert (call.type, call.name) == ("function_call", "restart")
        assert call.arguments in {'{"pod": "a"}', '{"pod": "b"}'}
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "done"}
        second = await here.client.responses.create(input=[output], previous_response_id=first.id, **ask)
        by_hand = await here.client.responses.create(
            input=[{"role": "user", "content": "hello"}, call.model_dump(exclude_none=True), output], **ask
        )
        async with here.client.responses.stream(input="hello", tool_choice="required", **ask) as stream:
            kinds = [event.type async for event in stream]
        held = await here.client.responses.retrieve(second.id)
        await here.client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            await here.client.responses.create(input="more", previous_response_id=first.id, model="tiny")
    assert second.usage.input_tokens == by_hand.usage.input_tokens
    assert held.output == second.output
    assert "response.function_call_arguments.done" in kinds


async def test_what_is_not_stored_cannot_be_gone_on_from(listening: Any) -> None:
    async with listening() as here:
        first = await here.client.responses.create(model="tiny", input="a", store=False, max_output_tokens=1)
        with pytest.raises(openai.NotFoundError) as refused:
            await here.client.responses.create(model="tiny", input="b", previous_response_id=first.id)
    assert refused.value.param == "previous_response_id"


async def test_completions_take_texts_and_tokens_and_repeat_them(listening: Any) -> None:
    async with listening() as here:
        ask: Any = {"model": "tiny", "max_tokens": 4, "temperature": 0}
        text = await here.client.completions.create(prompt="abc", **ask)
        tokens = await here.client.completions.create(prompt=[97, 98, 99], **ask)
        both = await here.client.completions.create(prompt=["abc", "xyz"], echo=True, n=2, seed=1, **ask)
        stream = await here.client.completions.create(prompt="abc", echo=True, stream=True, **ask)
        streamed = "".join([event.choices[0].text async for event in stream])
    assert text.choices[0].text == tokens.choices[0].text
    assert [choice.text[:3] for choice in both.choices] == ["abc", "abc", "xyz", "xyz"]
    assert both.choices[0].text == streamed == "abc" + text.choices[0].text
    assert (both.usage.prompt_tokens, both.usage.completion_tokens) == (6, 16)


async def test_a_prompt_can_be_scored_and_its_scores_are_those_of_generation(listening: Any) -> None:
    async with listening() as here:
        ask: Any = {"model": "tiny", "temperature": 0, "logprobs": 2}
        made = await here.client.completions.create(prompt="The watch", max_tokens=6, **ask)
        whole = "The watch" + made.choices[0].text
        scored = await here.client.completions.create(prompt=whole, max_tokens=0, echo=True, **ask)
        again = await here.client.completions.create(prompt="The watch", max_tokens=6, echo=True, **ask)
    logprobs = scored.choices[0].logprobs
    assert scored.choices[0].text == whole
    assert logprobs.token_logprobs[0] is None
    assert logprobs.token_logprobs[9:] == pytest.approx(made.choices[0].logprobs.token_logprobs)
    assert logprobs.top_logprobs[9:] == [pytest.approx(t) for t in made.choices[0].logprobs.top_logprobs]
    assert logprobs.text_offset == list(range(15))
    assert again.choices[0].logprobs.tokens == logprobs.tokens
    assert again.choices[0].logprobs.token_logprobs[1:] == pytest.approx(logprobs.token_logprobs[1:])


async def test_the_model_is_found_by_its_name_and_no_other(listening: Any) -> None:
    async with listening("--served-model-name", "org/chat") as here:
        assert (await here.client.models.retrieve("org/chat")).id == "org/chat"
        with pytest.raises(openai.NotFoundError):
            await here.client.models.retrieve("gpt")


async def test_choices_of_one_prompt_compute_it_once(listening: Any) -> None:
    async with listening("--enable-prefix-caching") as here:
        prompt = "The night watch goes round the ship. " * 3
        ask: Any = {"model": "tiny", "prompt": [prompt, prompt[::-1]], "max_tokens": 4, "seed": 5}
        before = here.service.engine.scheduler.blocks.prefix.hits
        several = await here.client.completions.create(**ask, n=3)
        blocks = (len(prompt) - 1) // 16
        assert here.service.engine.scheduler.blocks.prefix.hits - before == 2 * 2 * blocks * 16
        assert several.usage.prompt_tokens_details.cached_tokens == 0
        alone = [await here.client.completions.create(**ask | {"seed": 5 + index}) for index in range(3)]
    assert [choice.text for choice in several.choices] == [
        alone[index].choices[prompt_].text for prompt_ in range(2) for index in range(3)
    ]
    assert alone[0].usage.prompt_tokens_details.cached_tokens == 2 * blocks * 16
