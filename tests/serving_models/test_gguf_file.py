"""A model file is believed only as far as it fits together."""

import contextlib
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midwatch_serving.errors import ModelError
from midwatch_serving.gguf_file import QUANTISATIONS, GgufFile
from midwatch_serving.model import ModelConfig

Q = GGMLQuantizationType
Write = Callable[..., Path]
HIDDEN, FFN, LAYERS = 64, 96, 2
"""Of the small model of `conftest`."""
WRITABLE = [Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_sizes_come_from_the_metadata(write: Write, small: Any, architecture: str) -> None:
    file = GgufFile.open(write(architecture=architecture))
    assert file.config == ModelConfig(
        layers=LAYERS,
        hidden=HIDDEN,
        heads=4,
        kv_heads=2,
        ffn=FFN,
        vocab=len(small().tokens),
        rope_base=5000.0,
        eps=float(np.float32(1e-6)),
        head_width=16,
        context=128,
        architecture=architecture,
        rope_interleaved=architecture == "llama",
    )


def test_what_a_file_says_of_itself(write: Write, small: Any) -> None:
    path = write(kinds={"token_embd.weight": Q.Q8_0})
    about = GgufFile.open(path).about
    assert (about.name, about.architecture, about.quantisation, about.size) == (
        "small",
        "llama",
        "F32",
        path.stat().st_size,
    )
    assert about.parameters == sum(value.size for value in small().values().values())


def test_the_width_of_a_head_follows_from_the_hidden_size_where_it_is_not_given(write: Write) -> None:
    assert GgufFile.open(write(metadata={"llama.attention.key_length": None})).config.head_dim == 16


def test_a_model_with_a_sliding_window_is_served_within_it(write: Write) -> None:
    assert GgufFile.open(write(metadata={"llama.attention.sliding_window": 100})).config.context == 100


@pytest.mark.parametrize("kind", WRITABLE, ids=lambda kind: kind.name)
def test_every_type_gives_back_the_weights_as_near_as_it_can(write: Write, small: Any, kind: Q) -> None:
    name = "blk.1.ffn_gate.weight"
    value = small().values()[name]
    read = GgufFile.open(write(kinds={name: kind})).tensor(name)
    assert read.dtype == np.float32
    assert read.shape == (FFN, HIDDEN)
    bits = {Q.Q4_0: 4, Q.Q4_1: 4, Q.Q5_0: 5, Q.Q5_1: 5, Q.Q8_0: 8, Q.BF16: 8, Q.F16: 11}.get(kind, 24)
    assert np.abs(read - value).max() <= 2.0 ** (3 - bits)
    if kind == Q.F32:
        np.testing.assert_array_equal(read, value)


@pytest.mark.parametrize("kind", sorted(QUANTISATIONS), ids=lambda kind: kind.name)
def test_every_type_that_is_named_can_be_read(write: Write, kind: Q) -> None:
    block, width = GGML_QUANT_SIZES[kind]
    hidden = 256
    # Bytes below 0x70 make no half-precision scale infinite.
    raw = np.random.default_rng(1).integers(0, 0x70, (FFN, hidden // block * width), dtype=np.uint8)
    name = "blk.0.ffn_up.weight"
    path = write(hidden=hidden, kinds={name: kind}, tensors={name: raw})
    read = GgufFile.open(path).tensor(name)
    (stored,) = [tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == name]
    np.testing.assert_array_equal(read, gguf.quants.dequantize(stored.data, kind).reshape(FFN, hidden))


def test_a_tensor_larger_than_one_slice_is_read_whole(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = GgufFile.open(write(kinds={"token_embd.weight": Q.Q4_0}))
    whole = file.tensor("token_embd.weight")
    monkeypatch.setattr("midwatch_serving.gguf_file._SLICE", 96)
    np.testing.assert_array_equal(file.tensor("token_embd.weight"), whole)


def test_rope_frequencies_are_a_tensor_like_others(write: Write) -> None:
    factors = np.linspace(1, 8, 8, dtype=np.float32)
    file = GgufFile.open(write(tensors={"rope_freqs.weight": factors}))
    assert file.has("rope_freqs.weight")
    assert not file.has("output.weight")
    assert "rope_freqs.weight" in file.names
    np.testing.assert_array_equal(file.tensor("rope_freqs.weight"), factors)


NORM = "blk.0.ffn_norm.weight"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"metadata": {"general.architecture": "gemma"}}, r"architecture 'gemma'; this engine has llama, qwen2, qwen3"),
        ({"metadata": {"llama.embedding_length": None}}, "lacks the metadata llama.embedding_length"),
        ({"metadata": {"llama.block_count": 0}}, "llama.block_count = 0"),
        ({"metadata": {"llama.block_count": 2**31 - 1}}, "claims 2147483647 layers"),
        ({"metadata": {"llama.block_count": LAYERS + 1}}, "lacks the tensor blk.2"),
        ({"metadata": {"llama.block_count": "two"}}, "llama.block_count = 'two'"),
        ({"metadata": {"llama.attention.head_count_kv": [2, 1]}}, "head_count_kv = .* one whole number"),
        ({"metadata": {"llama.attention.head_count_kv": 3}}, "4 heads, which 3 key-value heads do not divide"),
        ({"metadata": {"llama.attention.layer_norm_rms_epsilon": 0.0}}, "epsilon = 0.0"),
        ({"metadata": {"llama.attention.layer_norm_rms_epsilon": float("nan")}}, "epsilon = nan"),
        ({"metadata": {"llama.rope.scaling.type": "yarn"}}, "rope.scaling.type = 'yarn', which is not computed here"),
        ({"metadata": {"llama.rope.scaling.type": [1, 2]}}, "rope.scaling.type"),
        ({"metadata": {"llama.rope.dimension_count": 8}}, "rope.dimension_count = 8 beside heads of width 16"),
        ({"metadata": {"llama.expert_count": 8}}, "expert_count = 8"),
        ({"metadata": {"llama.feed_forward_length": FFN * 2}}, r"gives blk.0.ffn_\w+.weight the shape .*192"),
        ({"tensors": {NORM: None}}, f"lacks the tensor {NORM}"),
        ({"tensors": {NORM: np.ones(HIDDEN + 1, np.float32)}}, rf"gives {NORM} the shape \(65,\), .* ask for \(64,\)"),
        (
            {"tensors": {"blk.0.attn_q.bias": np.ones(64, np.float32)}},
            "has the tensor blk.0.attn_q.bias, which a llama",
        ),
        ({"tensors": {"token_embd.weight": None}}, "it is no language model"),
        (
            {"tensors": {"blk.0.ffn_up.weight": np.ones((FFN, 54), np.uint8)}, "hidden": 256}
            | {"kinds": {"blk.0.ffn_up.weight": Q.TQ1_0}},
            "as TQ1_0; known are BF16",
        ),
    ],
)
def test_a_file_that_does_not_fit_its_own_metadata_is_refused(write: Write, changes: dict[str, Any], says: str) -> None:
    path = write(**changes)
    with pytest.raises(ModelError, match=says) as caught:
        GgufFile.open(path)
    assert str(path) in str(caught.value)


def _over(offset: int, form: str, value: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        packed = struct.pack(form, value)
        return data[:offset] + packed + data[offset + len(packed) :]

    return change


BREAKS: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda _: b"", "ends at byte 0, inside magic"),
    (lambda data: b"PK\x03\x04" + data[4:], "is no GGUF file"),
    (lambda data: data[:100], "claims 20 tensors, more than its 100 bytes can hold"),
    (lambda data: data[:2000], "claims 268 texts under 'tokenizer.ggml.tokens', more than its 2000 bytes can hold"),
    (lambda data: data[:-100], "is cut short"),
    (_over(4, "<I", 1), "is GGUF version 1; versions 2 and 3"),
    (_over(4, ">I", 3), "is stored big-endian"),
    (_over(8, "<Q", 2**60), "claims 1152921504606846976 tensors"),
    (_over(16, "<Q", 2**60), "claims 1152921504606846976 metadata entries"),
    (_over(24, "<Q", 2**62), "inside a metadata key"),
]


@pytest.mark.parametrize(("change", "says"), BREAKS)
def test_a_broken_head_is_refused_without_believing_its_numbers(
    write: Write, change: Callable[[bytes], bytes], says: str
) -> None:
    path = write()
    path.write_bytes(change(path.read_bytes()))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=says):
            GgufFile.open(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_list_that_claims_more_than_the_file_holds_is_refused(write: Write) -> None:
    path = write()
    data = path.read_bytes()
    at = data.index(b"tokenizer.ggml.token_type") + len("tokenizer.ggml.token_type") + 4 + 4
    path.write_bytes(_over(at, "<Q", 2**50)(data))
    with pytest.raises(ModelError, match="claims 1125899906842624 numbers"):
        GgufFile.open(path)


def test_tensors_that_lie_over_each_other_are_refused(write: Write) -> None:
    path = write()
    data = path.read_bytes()
    name = b"blk.1.attn_norm.weight"
    at = data.index(name) + len(name) + 4 + 8 + 4
    assert struct.unpack_from("<Q", data, at)[0] > 0
    path.write_bytes(_over(at, "<Q", 0)(data))
    with pytest.raises(ModelError, match=r"places .* inside"):
        GgufFile.open(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.gguf cannot be read \(No such file"):
        GgufFile.open(tmp_path / "nowhere.gguf")
    with pytest.raises(ModelError, match="cannot be read"):
        GgufFile.open(tmp_path)


def test_weights_that_are_not_finite_are_refused(write: Write) -> None:
    values = np.ones(HIDDEN, np.float32)
    values[7] = np.nan
    file = GgufFile.open(write(tensors={NORM: values}))
    with pytest.raises(ModelError, match=f"values in {NORM} that are not finite"):
        file.tensor(NORM)


def test_a_file_that_shrinks_while_it_is_open_ends_in_an_error(write: Write) -> None:
    path = write()
    file = GgufFile.open(path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ModelError, match="was cut short since it was opened"):
        file.tensor(file.names[-1])


def test_the_hash_is_that_of_the_whole_file(write: Write, tmp_path: Path) -> None:
    path = write()
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(path.read_bytes())
    changed = tmp_path / "changed.gguf"
    changed.write_bytes(path.read_bytes()[:-1] + b"\x01")
    hashes = [GgufFile.open(each).sha256 for each in (path, copy, changed)]
    assert hashes[0] == hashes[1] != hashes[2]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_and_never_anything_else(
    tmp_path: Path, small: Any, data: st.DataObject
) -> None:
    path = tmp_path / "fuzzed.gguf"
    if not (tmp_path / "whole.gguf").exists():
        small().write(tmp_path / "whole.gguf")
    whole = bytearray((tmp_path / "whole.gguf").read_bytes())
    head = whole.index(b"blk.1.ffn_down.weight") + 100
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, head))
        if data.draw(st.booleans()):
            whole[at] = data.draw(st.integers(0, 255))
        else:
            whole[at : at + 8] = struct.pack("<Q", data.draw(st.integers(0, 2**64 - 1)))
    length = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    path.write_bytes(whole[:length])
    with contextlib.suppress(ModelError):
        file = GgufFile.open(path)
        assert file.tokenizer().vocab_size == file.config.vocab
        for name in file.names:
            assert np.isfinite(file.tensor(name)).all()
