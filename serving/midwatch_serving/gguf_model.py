"""A model file as a `Model`: the tensors of llama.cpp's names as the layers of ours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from midwatch_serving.gguf_file import GgufFile
from midwatch_serving.linear import Floats
from midwatch_serving.model import Layer, Model
from midwatch_serving.model_store import resolve


def open_model(name: str, store: Path | None) -> Model:
    """Return the model that a user names: one of the store, or a path to a GGUF file.

    Raises:
        CommandError: when there is none; names the mend.
        ModelError: when the file is broken or of a kind that is not known.
    """
    path = resolve(name, store or Path())
    return load(GgufFile.open(path), path.stem if path == Path(name).expanduser() else name)


def load(file: GgufFile, name: str) -> Model:
    """Return the model of an open file, under the name it is served by.

    Raises:
        ModelError: when its tokenizer is none that is known.
    """
    about = file.about
    tokenizer = file.tokenizer()
    forbidden = np.zeros(file.config.vocab, dtype=np.bool_)
    forbidden[tokenizer.vocab_size :] = True
    forbidden[list(tokenizer.unused)] = True
    return Model(
        name=name,
        about=f"{about.name} ({about.parameters / 1e6:.0f} M parameters, {about.quantisation})",
        config=file.config,
        weights=GgufWeights(file),
        forbidden=forbidden,
        tokenizer=tokenizer,
    )


class GgufWeights:
    """`Weights` out of a file: every access reads and dequantises."""

    def __init__(self, file: GgufFile) -> None:
        self._file = file

    @property
    def embedding(self) -> Floats:
        """(vocab, hidden)"""
        return self._file.tensor("token_embd.weight")

    @property
    def unembedding(self) -> Floats:
        """(hidden, vocab): the embedding's transpose where the file ties them."""
        tied = not self._file.has("output.weight")
        return np.ascontiguousarray(self._file.tensor("token_embd.weight" if tied else "output.weight").T)

    @property
    def layers(self) -> Sequence[Layer]:
        """One a layer, read when it is taken."""
        return _Layers(self._file)

    @property
    def final_norm(self) -> Floats:
        """(hidden,)"""
        return self._file.tensor("output_norm.weight")

    @property
    def rope_factors(self) -> Floats | None:
        """(head_dim / 2,), where the file has them."""
        return self._file.tensor("rope_freqs.weight") if self._file.has("rope_freqs.weight") else None

    @property
    def identity(self) -> str:
        """SHA-256 of the file."""
        return self._file.sha256


class _Layers(Sequence[Layer]):
    def __init__(self, file: GgufFile) -> None:
        self._file = file

    def __len__(self) -> int:
        return self._file.config.layers

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> list[Layer]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._read(index % len(self))

    def _read(self, index: int) -> Layer:
        def tensor(name: str) -> Floats:
            return self._file.tensor(f"blk.{index}.{name}")

        def optional(name: str) -> Floats | None:
            return tensor(name) if self._file.has(f"blk.{index}.{name}") else None

        def matrix(*names: str) -> Floats:
            return np.ascontiguousarray(np.concatenate([tensor(f"{name}.weight") for name in names]).T)

        biases = [optional(f"attn_{part}.bias") for part in "qkv"]
        return Layer(
            attention_norm=tensor("attn_norm.weight"),
            qkv=matrix("attn_q", "attn_k", "attn_v"),
            out=matrix("attn_output"),
            ffn_norm=tensor("ffn_norm.weight"),
            gate=matrix("ffn_gate"),
            up=matrix("ffn_up"),
            down=matrix("ffn_down"),
            qkv_bias=None if any(b is None for b in biases) else np.concatenate([b for b in biases if b is not None]),
            q_norm=optional("attn_q_norm.weight"),
            k_norm=optional("attn_k_norm.weight"),
        )
