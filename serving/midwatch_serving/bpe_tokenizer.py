"""Byte-level BPE (Sennrich et al. 2016, over the bytes of GPT-2) from a GGUF file's metadata.

Special tokens (control and user-defined ones) are not in the vocabulary that text is encoded with, so no text can
become one. Only `chat_prompt` makes them, from the template's own markers.

Text is taken as it is: Qwen's original normalises it to NFC first, which would not give the text back.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Encoder

from midwatch_serving.chat_messages import conversation
from midwatch_serving.chat_template import ChatTemplate, TemplateSyntax
from midwatch_serving.errors import ModelError, RequestError
from midwatch_serving.special_text import SpecialText
from midwatch_serving.tokenizer_metadata import LLAMA3, SPECIAL, TEXT, TokenizerMetadata, TokenType, read_tokenizer

_ENDS = frozenset({"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|end|>", "</s>"})
"""Control tokens that end an answer wherever they occur."""

_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEFAULT_CUTS = (
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
)
"""One after the other: what llama.cpp does for a file that names no pre-tokenizer of its own."""
_QWEN2_WORDS = _LLAMA3_WORDS.replace(r"\p{N}{1,3}", r"\p{N}")


class BpeTokenizer:
    """The tokenizer of a GGUF file (`midwatch_serving.tokenizer.Tokenizer`). Make one with `from_metadata`."""

    def __init__(self, facts: TokenizerMetadata, template: ChatTemplate | None) -> None:
        self._facts = facts
        self._template = template
        ids = list(enumerate(facts.tokens))
        self.special = {text: i for i, text in ids if facts.types[i] in SPECIAL}
        """Ids of control and user-defined tokens by their text."""
        self.unused = frozenset(i for i, kind in enumerate(facts.types) if kind not in SPECIAL | TEXT)
        """Tokens that stand for nothing and should never be generated."""
        self.bos = facts.named["bos"] if facts.add_bos else None
        """Token before every prompt, if the model asks for one; `encode` does not add it, `chat_prompt` does."""
        self._control = frozenset(i for i in self.special.values() if facts.types[i] is TokenType.CONTROL)
        self._special_text = SpecialText(self.special, self._control, template.literals if template else ())
        vocabulary = {text: i for i, text in ids if facts.types[i] in TEXT}
        merges = [(a, b) for a, b in facts.merges if a in vocabulary and b in vocabulary and a + b in vocabulary]
        self._encoder = _encoder(facts.pre, vocabulary, merges)
        self._bytes = [_bytes_of(text, kind) for text, kind in zip(facts.tokens, facts.types, strict=True)]
        self._sayable = bytes(byte for letter, byte in _BYTE_OF.items() if letter in vocabulary)
        self._replacement = next((c for c in "\ufffd?" if self._can_say(c)), "")
        self.eos = frozenset(
            {facts.named[name] for name in ("eos", "eot", "eom") if name in facts.named}
            | {number for text, number in self.special.items() if number in self._control and text in _ENDS}
            | self._end_of_turn()
        )
        """Tokens that end an answer."""

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], path: Path, *, vocab_size: int) -> "BpeTokenizer":
        """Return the tokenizer that the metadata of the file at `path` describe.

        Raises:
            ModelError: when it is of a kind that is not known here, does not fit `vocab_size`, or is broken.
        """
        facts = read_tokenizer(metadata, path, vocab_size)
        try:
            return cls(facts, None if facts.template is None else ChatTemplate(facts.template))
        except TemplateSyntax as error:
            raise ModelError(path, f"has a broken chat template ({error})", mend="fetch or convert it again") from error

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return len(self._bytes)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of plain text. Text never makes a special token.

        A character that the vocabulary has no bytes for, and a lone surrogate, becomes U+FFFD.
        """
        return self._encoder.encode(self._said(text), add_special_tokens=False).ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; control tokens are left out and broken UTF-8 becomes U+FFFD."""
        return b"".join([self._bytes[token] for token in tokens]).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that a token adds to the text; nothing for a control token."""
        return self._bytes[token]

    def token_name(self, token: int) -> str:
        """Return how a token is shown."""
        return self.decode([token]) if self._bytes[token] else self._facts.tokens[token]

    def chat_prompt(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = True,
    ) -> list[int]:
        """Return the prompt of a chat, rendered by the model's template. Only the template makes special tokens.

        Raises:
            RequestError: when the model has no template, or it refuses the messages; says why.
        """
        template = self._template
        if template is None:
            raise RequestError("this model has no chat template: use /v1/completions", code="no_chat_template")
        chat, offered = conversation(messages, tools, native=template.knows_tools)
        guards = self._special_text.guards_for(template.source, chat, offered)
        rendered = template.render(
            [self._special_text.guarded(message, guards) for message in chat],
            tools=self._special_text.guarded(offered, guards),
            add_generation_prompt=add_generation_prompt,
            special=self._variables,
        )
        prompt: list[int] = []
        for part in self._special_text.parts(rendered, guards):
            prompt += [part] if isinstance(part, int) else self.encode(part)
        return prompt if self.bos is None or prompt[:1] == [self.bos] else [self.bos, *prompt]

    def to_json(self) -> str:
        """Return the tokenizer as `tokenizer.json`, special tokens in it: what `llguidance.LLTokenizer` reads."""
        return self._json

    @cached_property
    def _json(self) -> str:
        facts = self._facts
        encoder = _encoder(facts.pre, {text: i for i, text in enumerate(facts.tokens)}, facts.merges)
        encoder.add_tokens(  # pyright: ignore[reportUnknownMemberType] (its stub names no item type)
            [
                AddedToken(text, special=kind is not TokenType.USER_DEFINED, normalized=False)
                for text, kind in zip(facts.tokens, facts.types, strict=True)
                if kind not in TEXT
            ]
        )
        return encoder.to_str()

    @cached_property
    def _variables(self) -> dict[str, str]:
        names = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
        named = self._facts.named
        return {name: self._facts.tokens[named[role]] for name, role in names.items() if role in named}

    def _can_say(self, text: str) -> bool:
        """Whether the vocabulary has every byte of the text."""
        return not text.encode().translate(None, self._sayable)

    def _said(self, text: str) -> str:
        """Return the text with every character replaced that cannot be encoded."""
        try:
            if self._can_say(text):
                return text
        except UnicodeEncodeError:
            text = re.sub("[\ud800-\udfff]", "\ufffd", text)
        return "".join(c if self._can_say(c) else self._replacement for c in text)

    def _end_of_turn(self) -> set[int]:
        """Return the control token that the template puts behind an answer, if it does."""
        if self._template is None:
            return set()
        answer = "\ue000"
        chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}]
        try:
            rendered = self._template.render(chat, tools=(), add_generation_prompt=False, special=self._variables)
        except RequestError:
            return set()  # it may want something more than these two messages; the names in `_ENDS` remain
        parts = self._special_text.parts(rendered, self._special_text.guards_for(answer))
        after = next((i + 1 for i, part in enumerate(parts) if isinstance(part, str) and answer in part), len(parts))
        return {token for token in parts[after : after + 1] if isinstance(token, int) and token in self._control}


def _encoder(pre: str, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Encoder:
    # Llama 3's original takes a word that is a token as it is, whatever its merges say.
    encoder = Encoder(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=pre in LLAMA3))
    encoder.pre_tokenizer = pre_tokenizer(pre)
    encoder.decoder = decoders.ByteLevel()
    return encoder


def pre_tokenizer(name: str) -> Any:
    """Return what cuts text into words, as the original tokenizer of that name does."""
    if name == "qwen2" or name in LLAMA3:
        words = pre_tokenizers.Split(Regex(_QWEN2_WORDS if name == "qwen2" else _LLAMA3_WORDS), behavior="isolated")
        return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    if name == "default":
        cuts = [pre_tokenizers.Split(Regex(cut), behavior="isolated") for cut in _DEFAULT_CUTS]
        return pre_tokenizers.Sequence([*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if name == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    return words


def _byte_alphabet() -> dict[str, int]:
    """Return the byte of each letter of GPT-2's alphabet: printable bytes are themselves, the rest begin at U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(rest)}


_BYTE_OF = _byte_alphabet()


def _bytes_of(text: str, kind: TokenType) -> bytes:
    if kind is TokenType.USER_DEFINED:
        return text.encode()
    if kind not in TEXT:
        return b""
    try:
        return bytes([_BYTE_OF[letter] for letter in text])
    except KeyError:  # no byte-level token, yet text: it stands for itself
        return text.encode()
