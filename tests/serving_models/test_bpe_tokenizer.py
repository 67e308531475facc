"""Text to tokens and back is exact, and no text becomes a special token."""

import argparse
import json
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llguidance
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_serving.bpe_tokenizer import BpeTokenizer, pre_tokenizer
from midwatch_serving.errors import ModelError
from midwatch_serving.gguf_file import GgufFile
from midwatch_serving.tokenizer_metadata import PRE_TOKENIZERS

Make = Callable[..., BpeTokenizer]


@pytest.fixture(scope="session")
def make(small: Any) -> Make:
    """`make(pre="qwen2", ...)`: the tokenizer of a small model."""

    def made(**changes: Any) -> BpeTokenizer:
        model = small(**changes)
        entries = model.entries()
        types = entries.get("tokenizer.ggml.token_type")
        metadata = entries | {"tokenizer.ggml.token_type": None if types is None else np.array(types)}
        return BpeTokenizer.from_metadata(metadata, Path("small.gguf"), vocab_size=len(model.tokens))

    return made


@pytest.fixture(scope="session")
def plain(make: Make) -> BpeTokenizer:
    return make()


SAMPLES = st.sampled_from(
    [
        "",
        " ",
        "\r\n\t  x",
        "日本語のテキスト",
        "👩‍👩‍👧‍👦 🇩🇪",
        "e\u0301 é",
        "\u00a0\u2003\ufeff",
        "१२३ ٤٥ 12345",
        "it's WE'LL",
    ]
)
TEXT = SAMPLES | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.mark.parametrize("pre", PRE_TOKENIZERS)
def test_text_comes_back_as_it_was_whatever_cuts_it(make: Make, pre: str) -> None:
    tokenizer = make(pre=pre)

    @given(TEXT)
    def check(text: str) -> None:
        tokens = tokenizer.encode(text)
        assert tokenizer.decode(tokens) == text
        assert b"".join(map(tokenizer.token_bytes, tokens)) == text.encode()

    check()


@pytest.mark.parametrize(
    ("pre", "words"),
    [
        ("default", ["It", "'", "s", "Ġ", "123", "45", "Ġ", "(", "ok", ").", "ĊĊĠ", "Ġx", "_", "y"]),
        ("gpt-2", ["It", "'s", "Ġ12345", "Ġ(", "ok", ").", "ĊĊĠ", "Ġx", "_", "y"]),
        ("smollm", ["It", "'s", "Ġ", "1", "2", "3", "4", "5", "Ġ(", "ok", ").", "ĊĊĠ", "Ġx", "_", "y"]),
        ("llama-bpe", ["It", "'s", "Ġ", "123", "45", "Ġ(", "ok", ").ĊĊ", "Ġ", "Ġx", "_y"]),
        ("qwen2", ["It", "'s", "Ġ", "1", "2", "3", "4", "5", "Ġ(", "ok", ").ĊĊ", "Ġ", "Ġx", "_y"]),
    ],
)
def test_each_model_cuts_words_its_own_way(pre: str, words: list[str]) -> None:
    assert [word for word, _ in pre_tokenizer(pre).pre_tokenize_str("It's 12345 (ok).\n\n  x_y")] == words


def test_merges_apply_in_their_order(plain: BpeTokenizer) -> None:
    assert [plain.token_name(token) for token in plain.encode("hello the")] == ["hell", "o", " t", "he"]


def test_a_word_that_is_a_token_needs_no_merges_in_llama_3(make: Make) -> None:
    merges = ["h e", "l l", "he ll", "Ġ t"]
    unreachable = {"merges": [*merges, "hell o"], "metadata": {"tokenizer.ggml.merges": merges}}
    assert len(make(pre="llama-bpe", **unreachable).encode("hello")) == 1
    assert len(make(pre="qwen2", **unreachable).encode("hello")) == 2


SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "[PAD1]",
]


@given(st.lists(st.sampled_from(SPECIAL) | st.text(max_size=5), max_size=8).map("".join))
def test_no_text_becomes_a_special_token(plain: BpeTokenizer, text: str) -> None:
    assert not set(plain.encode(text)) & {*plain.special.values(), *plain.unused}


def test_a_merge_into_a_special_token_does_not_make_it_from_text(make: Make) -> None:
    merges = ["a b", "ab c"]
    text = make(merges=merges)
    (token,) = text.encode("abc")
    marked = [3 if i == token else 1 for i in range(text.vocab_size)]
    special = make(merges=merges, metadata={"tokenizer.ggml.token_type": marked})
    assert special.special["abc"] == token
    assert token not in special.encode("abc")
    assert special.decode(special.encode("abc")) == "abc"


def test_what_the_vocabulary_cannot_say_becomes_a_replacement_character(make: Make, small: Any) -> None:
    letters = small().letters
    tokenizer = make(letters=[letter for byte, letter in enumerate(letters) if byte not in {0x04, 0xF1}])
    assert tokenizer.decode(tokenizer.encode("a\x04b\U00040000c\u00f1")) == "a\ufffdb\ufffdc\u00f1"
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"
    without = make(letters=[letter for byte, letter in enumerate(letters) if byte < 0x80])
    assert without.decode(without.encode("naïve")) == "na?ve"


def test_control_tokens_have_a_name_and_no_text_and_user_defined_ones_have_both(plain: BpeTokenizer) -> None:
    end, call = plain.special["<|im_end|>"], plain.special["<tool_call>"]
    assert (plain.token_bytes(end), plain.token_name(end)) == (b"", "<|im_end|>")
    assert (plain.token_bytes(call), plain.token_name(call)) == (b"<tool_call>", "<tool_call>")
    (unused,) = plain.unused
    assert (plain.token_bytes(unused), plain.token_name(unused)) == (b"", "[PAD1]")
    assert plain.decode([*plain.encode("a"), end, call, unused]) == "a<tool_call>"


def test_a_token_that_is_half_a_character_is_shown_as_one(plain: BpeTokenizer) -> None:
    first, second = plain.encode("é")
    assert plain.token_name(first) == "\ufffd"
    assert plain.token_bytes(first) + plain.token_bytes(second) == "é".encode()


def test_answers_end_with_what_the_metadata_and_the_template_say(make: Make) -> None:
    special = make().special
    assert make().eos == {special["<|im_end|>"], special["<|endoftext|>"]}
    named = {"tokenizer.ggml.eos_token_id": None, "tokenizer.ggml.eot_token_id": 9}
    assert make(metadata=named, template=None).eos == {special["<|im_end|>"], special["<|endoftext|>"], 9}
    # The template alone names the marker that ends a turn here.
    ends = "{% for m in messages %}{{ m['content'] + '<|im_start|>' }}{% endfor %}"
    assert special["<|im_start|>"] in make(template=ends).eos
    wants_system = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('no system') }}{% endif %}"
    assert make(template=wants_system).eos == make().eos


def test_the_first_token_is_added_only_where_the_model_asks_for_it(make: Make) -> None:
    chat = [{"role": "user", "content": "x"}]
    assert make().bos is None
    asked = make(metadata={"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": 0})
    assert asked.bos == 0
    assert asked.chat_prompt(chat)[:2] == [0, 1]
    assert asked.encode("x")[:1] != [0]
    written = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    again = make(metadata={"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": 0}, template=written)
    assert again.chat_prompt(chat) == [0, *again.encode("x")]
    llama3 = make(pre="llama-bpe", metadata={"tokenizer.ggml.add_bos_token": None})
    assert llama3.bos == 1


def test_llguidance_reads_the_same_tokens(plain: BpeTokenizer) -> None:
    reader = llguidance.LLTokenizer(plain.to_json(), plain.vocab_size, plain.special["<|im_end|>"])
    assert reader.vocab_size == plain.vocab_size
    hidden = {*plain.unused, *(plain.special[text] for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"))}
    for token in range(plain.vocab_size):
        if token in hidden:
            assert reader.is_special_token(token)
        elif plain.token_bytes(token) != b"\xff":  # never in text, and llguidance's own mark of special tokens
            assert reader.decode_bytes([token]) == plain.token_bytes(token)
    assert reader.tokenize_str("hello the <b>") == plain.encode("hello the <b>")


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"tokenizer.ggml.pre": "tekken"}, "cuts words as 'tekken'; known here are default, gpt-2, llama-bpe"),
        ({"tokenizer.ggml.model": "llama"}, "a tokenizer of the kind 'llama'; byte-level BPE"),
        ({"tokenizer.ggml.model": None}, "of the kind 'None'"),
        ({"tokenizer.ggml.tokens": None}, "has no list of texts under tokenizer.ggml.tokens"),
        ({"tokenizer.ggml.tokens": ["a", "b"]}, "has 2 tokens beside an embedding of 268"),
        ({"tokenizer.ggml.token_type": [1, 2]}, "needs 268 numbers from 1 to 6"),
        ({"tokenizer.ggml.token_type": [9] * 268}, "needs 268 numbers from 1 to 6"),
        ({"tokenizer.ggml.merges": ["h e", "e h"]}, "merges 'e h', which are no two tokens that make a third"),
        ({"tokenizer.ggml.merges": ["he"]}, "merges 'he'"),
        ({"tokenizer.ggml.eos_token_id": 268}, "names token 268 as its eos token, of 268"),
        ({"tokenizer.chat_template": "{% for %}"}, "has a broken chat template"),
    ],
)
def test_a_tokenizer_that_is_broken_or_of_another_kind_is_refused(
    make: Make, metadata: dict[str, Any], says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        make(metadata=metadata)


@pytest.mark.slow
def test_smollm2_gives_every_text_back(smollm2: GgufFile) -> None:
    tokenizer = smollm2.tokenizer()

    # It lacks a few control characters, and the first bytes of planes where nothing is assigned.
    @given(SAMPLES | st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"])))
    def check(text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(text)) == text

    check()
    for path in sorted(Path(json.__file__).parent.parent.glob("*.py"))[:40]:
        text = path.read_text("utf-8").replace("\x14", "")
        assert tokenizer.decode(tokenizer.encode(text)) == text, path


@pytest.mark.slow
def test_smollm2_encodes_a_thousand_words_in_milliseconds(smollm2: GgufFile) -> None:
    tokenizer = smollm2.tokenizer()
    words = " ".join((argparse.__doc__ or "").split() * 20).split()[:1000]
    assert len(words) == 1000
    text = " ".join(words)
    times = [timeit.timeit(lambda: tokenizer.encode(text), number=1) for _ in range(50)]
    assert min(times) < 0.004  # about 1 ms on a quiet machine


@pytest.mark.slow
def test_smollm2_is_prompted_as_it_was_trained(smollm2: GgufFile) -> None:
    tokenizer = smollm2.tokenizer()
    assert tokenizer.eos == {0, 2}
    prompt = tokenizer.chat_prompt([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    assert prompt == [
        1,
        9690,
        198,
        *tokenizer.encode("Be brief."),
        2,
        198,
        1,
        4093,
        198,
        26843,
        2,
        198,
        1,
        520,
        9531,
        198,
    ]


@pytest.mark.slow
def test_smollm2_is_read_as_the_gguf_library_reads_it(smollm2: GgufFile) -> None:
    assert smollm2.about.quantisation == "Q4_1"
    assert smollm2.config.vocab == 49152
    embedding = smollm2.tensor("token_embd.weight")
    assert embedding.shape == (49152, 576)
    assert np.isfinite(embedding).all()
