import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_mcp.redact import (
    MAX_DEPTH,
    REDACTED,
    harmless,
    redact_arguments,
    redact_text,
    secret_name,
    stripped,
    walked,
)

WORD = st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=40)


@pytest.mark.parametrize(
    "frame",
    [
        "Authorization: Bearer {}",
        "password={}",
        'POST {{"api_key": "{}"}}',
        "HF_TOKEN={}",
        "client-secret: {}",
        "token=[redacted]{}",
        "redis://:{}@cache:6379",
        "https://ann:{}@host/path",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.{}",
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
    ],
)
@given(secret=WORD)
def test_a_credential_in_text_is_taken_out_and_the_rest_stays(frame: str, secret: str) -> None:
    text = f"before {frame.format(secret)} after"
    shown = redact_text(text)
    assert secret not in shown.replace("PRIVATE", "")
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=256",
        "vllm:prompt_tokens_total 12345",
        "time to first token was high",
        "sum by (le) (rate(vllm:time_to_first_token_seconds_bucket[5m]))",
        'volume "x" : secret "creds" not found',
        "sha256:0123456789abcdef0123456789abcdef",
        "http://127.0.0.1:9090/api",
    ],
)
def test_plain_operations_text_is_left_as_it_is(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "DB_PASSWORD", "api-key", "clientSecret", "password", "--hf-token", "auth"]
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert secret_name(name)


@pytest.mark.parametrize("name", ["secretName", "MAX_TOKENS", "tokenizer", "keyspace", "author", "--max-num-seqs"])
def test_names_that_only_look_alike_are_not_secrets(name: str) -> None:
    assert not secret_name(name)


def test_both_forms_of_a_secret_flag_are_redacted() -> None:
    assert redact_arguments(["--api-key=abc", "--api-key", "abc", "--port", "80", "--token"]) == [
        f"--api-key={REDACTED}",
        "--api-key",
        REDACTED,
        "--port",
        "80",
        "--token",
    ]


def test_a_list_of_secrets_is_redacted_item_by_item_though_items_carry_no_kind() -> None:
    shown = stripped({"kind": "SecretList", "apiVersion": "v1", "items": [{"data": {"a": "Yg=="}}]})
    assert shown["items"] == [{"data": {"a": REDACTED}}]


def test_the_object_itself_is_not_changed() -> None:
    secret = {"kind": "Secret", "apiVersion": "v1", "data": {"a": "Yg=="}}
    stripped(secret)
    assert secret["data"] == {"a": "Yg=="}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_harmless_twice_is_harmless_once(value: object) -> None:
    once = harmless(value)
    assert harmless(once) == once


FRAGMENTS = st.sampled_from(
    [
        *("token", "password: ", "=", ":", "Bearer ", "basic ", "sk-", "hf_", "ghp_", "xoxb-", "AKIA", "eyJ", "://"),
        *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "[redacted]", "AIza", ".", '"', "api_key", "K"),
        *("abcdefgh", "ABCDEFGH12345678", "0123456789abcdef0123456789abcdef", "ann:", "@", " ", "\n", "\u200b", "é"),
    ]
)
PIECED = st.lists(FRAGMENTS, max_size=5).map("".join)


@given(
    st.recursive(
        PIECED | st.integers(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PIECED, inner, max_size=4)
    )
)
def test_what_is_looked_through_at_once_is_what_the_walk_leaves_alone(value: object) -> None:
    assert harmless(value) == walked(value)


def test_what_is_nested_too_deep_is_cut_off_whichever_way_it_goes() -> None:
    value: list[object] = ["plain"]
    for _ in range(MAX_DEPTH):
        value = [value]
    assert "plain" not in str(harmless(value))
    assert "[too deep]" in str(harmless(value))


@pytest.mark.parametrize("text", ["--api-key=abcdef", "token: abcdef", "Bearer abcdefgh", "http://a:bcdef@h"])
def test_what_is_redacted_is_not_redacted_again(text: str) -> None:
    once = redact_text(text)
    assert once != text
    assert redact_text(once) == once


@given(st.text())
def test_no_control_zero_width_or_bidi_character_survives(text: str) -> None:
    shown = harmless(text)
    hidden = {c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Co", "Cs"}}
    assert hidden <= {"\n", "\t"}
