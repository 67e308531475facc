"""Scores, tokens and texts."""

import math
from typing import Any

import pytest

from midwatch_serving.byte_tokenizer import BOS, ByteTokenizer

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "which one?"}]


async def test_texts_are_scored_after_a_common_prefix_that_is_computed_once(serving: Any) -> None:
    prefix = "The night watch goes round the ship and looks at every lamp. " * 2
    texts = ["All is well.", "Fire!", "x", "All is well."]
    async with serving("--enable-prefix-caching") as (service, client):
        answer = (await client.post("/admin/score", json={"prefix": prefix, "texts": texts})).json()
        alone = [
            (await client.post("/admin/score", json={"prefix": prefix, "texts": [text]})).json()["scores"][0]
            for text in texts
        ]
        service.engine.scheduler.check_integrity()
        assert not service.engine.scheduler.has_work
    assert [score["tokens"] for score in answer["scores"]] == [len(text) for text in texts]
    assert answer["scores"] == alone
    assert answer["scores"][0] == answer["scores"][3]
    for score in answer["scores"]:
        assert score["sum_logprob"] < 0
        assert score["mean_logprob"] == pytest.approx(score["sum_logprob"] / score["tokens"])
    assert answer["cached_tokens"] >= 3 * (len(prefix) // 16 - 1) * 16


async def test_a_score_is_the_sum_of_what_completions_tell(serving: Any) -> None:
    async with serving() as (_, client):
        scored = (await client.post("/admin/score", json={"prefix": "abc", "texts": ["def"]})).json()["scores"][0]
        body = {"model": "tiny", "prompt": "abcdef", "max_tokens": 0, "echo": True, "logprobs": 0}
        echoed = (await client.post("/v1/completions", json=body)).json()["choices"][0]["logprobs"]
    assert scored["sum_logprob"] == pytest.approx(sum(echoed["token_logprobs"][3:]))
    assert echoed["top_logprobs"][1] == {}


async def test_the_scores_of_all_next_tokens_are_a_distribution(serving: Any) -> None:
    async with serving() as (_, client):
        texts = [chr(code) for code in range(0x20, 0x7F)]
        answer = (await client.post("/admin/score", json={"messages": MESSAGES, "texts": texts})).json()
    assert sum(math.exp(score["sum_logprob"]) for score in answer["scores"]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"texts": ["a"]}, "one of `prefix` and `messages`"),
        ({"texts": ["a"], "prefix": "p", "messages": MESSAGES}, "one of `prefix` and `messages`"),
        ({"texts": [], "prefix": "p"}, "texts"),
        ({"texts": ["a", ""], "prefix": "p"}, "`texts.1` is empty"),
        ({"texts": ["a"], "prefix": ""}, "`prefix` is empty"),
        ({"texts": ["a"], "prefix": "p" * 3000}, "2048"),
        ({"texts": ["a"], "prefix": "p", "model": "gpt"}, "no model"),
    ],
)
async def test_what_cannot_be_scored_is_refused(serving: Any, body: dict[str, Any], says: str) -> None:
    async with serving() as (service, client):
        answer = await client.post("/admin/score", json=body)
        assert not service.engine.scheduler.has_work
    assert answer.status_code in {400, 404}
    assert says in answer.json()["error"]["message"]


async def test_text_and_chats_become_tokens_and_text_again(serving: Any) -> None:
    async with serving() as (_, client):
        text = (
            await client.post("/tokenize", json={"model": "tiny", "prompt": "hé", "return_token_strs": True})
        ).json()
        assert text == {"count": 3, "max_model_len": 2048, "tokens": [104, 195, 169], "token_strs": ["h", "�", "�"]}
        chat = (await client.post("/tokenize", json={"messages": [{"role": "user", "content": "a"}]})).json()
        assert (chat["count"], chat["token_strs"]) == (5, None)
        bare = {"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": False}
        assert (await client.post("/tokenize", json=bare)).json()["count"] == 4
        assert (await client.post("/detokenize", json={"tokens": text["tokens"]})).json() == {"prompt": "hé"}
        answer = await client.post("/detokenize", json={"tokens": [1, 264]})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "tokens.1"


@pytest.mark.parametrize(("special", "begins"), [(None, True), (True, True), (False, False)])
async def test_plain_text_begins_with_the_models_first_token_unless_it_is_not_wanted(
    serving: Any, monkeypatch: pytest.MonkeyPatch, *, special: bool | None, begins: bool
) -> None:
    monkeypatch.setattr(ByteTokenizer, "bos", BOS)
    body: dict[str, Any] = {"prompt": "ab"} if special is None else {"prompt": "ab", "add_special_tokens": special}
    async with serving() as (_, client):
        tokens = (await client.post("/tokenize", json=body)).json()["tokens"]
        usage = (await client.post("/v1/completions", json={"model": "tiny", "max_tokens": 1, **body})).json()["usage"]
    assert tokens == ([BOS] if begins else []) + list(b"ab")
    assert usage["prompt_tokens"] == len(tokens)
