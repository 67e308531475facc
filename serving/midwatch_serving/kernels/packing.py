"""A model's weights in the kernels' layout, and their cache on disk.

Packing the smallest real model takes seconds, mapping the packed file milliseconds; replicas on one machine share its
pages. The cache is keyed by the model file's hash and the layout's version, written beside and renamed, so that a
start that is killed leaves nothing half.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from midwatch_serving.errors import KernelError
from midwatch_serving.kernels.arrays import AmxWeights, Floats, Parameters, PortableWeights, Shape, VnniWeights, aligned
from midwatch_serving.kernels.linear import interleaved, pack
from midwatch_serving.kernels.micro import GROUP, PANEL
from midwatch_serving.model import Layer, Model, ModelConfig, rotary

log = logging.getLogger("midwatch.serving")

LAYOUT = 3
"""Raise it when the layout of a packed array changes."""
KINDS: dict[str, type[Any]] = {"vnni": VnniWeights, "amx": AmxWeights, "portable": PortableWeights}
Arrays = dict[str, NDArray[Any]]


class Packed(NamedTuple):
    """What a kernel runner needs of a model."""

    shape: Shape
    parameters: Parameters
    embedding: Floats
    """(vocab, hidden)"""


def fits(config: ModelConfig) -> str | None:
    """Return why the kernels cannot run a model of these sizes, or None when they can."""
    if config.hidden % GROUP or config.ffn % GROUP or (config.heads * config.head_dim) % GROUP:
        return f"hidden, ffn and heads * head_dim must be multiples of {GROUP}"
    if config.head_dim % PANEL:
        return f"head_dim must be a multiple of {PANEL}"
    if config.heads % config.kv_heads:
        return "heads must be a multiple of kv_heads"
    return None


def packed(model: Model, kind: str, *, max_model_len: int, cache: Path | None) -> Packed:
    """Return the model's weights for a kind of kernel, from the cache folder where it holds them.

    Raises:
        KernelError: when the model's sizes do not fit the kernels.
    """
    reason = fits(model.config)
    if reason is not None:
        raise KernelError(f"the {kind} kernels cannot run {model.name}: {reason}. Serve it with --kernel reference")
    identity = model.weights.identity
    if identity is None or cache is None:
        arrays = _pack(model, kind)
    else:
        layout = "portable" if kind == "portable" else "int8"
        arrays = _cached(cache / f"{identity[:16]}-{layout}-v{LAYOUT}", lambda: _pack(model, kind))
    return _assemble(model, kind, arrays, max_model_len)


def _assemble(model: Model, kind: str, arrays: Arrays, max_model_len: int) -> Packed:
    c = model.config
    fields = KINDS[kind]._fields
    weights = {m: KINDS[kind](*(arrays[f"{m}.{f}"] for f in fields)) for m in ("qkv", "out", "gate_up", "down", "head")}
    shape = Shape(
        layers=c.layers,
        hidden=c.hidden,
        heads=c.heads,
        kv_heads=c.kv_heads,
        head_dim=c.head_dim,
        ffn=c.ffn,
        eps=c.eps,
        interleaved=c.rope_interleaved,
        bias=arrays["qkv_bias"].size > 0,
        head_norm=arrays["q_norm"].size > 0,
    )
    cosine, sine = rotary(c, model.weights.rope_factors, max_model_len)
    parameters = Parameters(
        qkv=weights["qkv"],
        out=weights["out"],
        gate_up=weights["gate_up"],
        down=weights["down"],
        unembedding=weights["head"],
        attention_norm=arrays["attention_norm"],
        ffn_norm=arrays["ffn_norm"],
        final_norm=arrays["final_norm"],
        qkv_bias=arrays["qkv_bias"],
        q_norm=arrays["q_norm"],
        k_norm=arrays["k_norm"],
        cosine=cosine,
        sine=sine,
    )
    return Packed(shape, parameters, arrays["embedding"])


def _pack(model: Model, kind: str) -> Arrays:
    weights, layers = model.weights, model.config.layers
    arrays: Arrays = {}

    def put(name: str, layer: int, value: NDArray[Any], count: int) -> None:
        if name not in arrays:
            arrays[name] = aligned((count, *value.shape), value.dtype)
        arrays[name][layer] = value

    def matrix(name: str, layer: int, weight: Floats, count: int = layers) -> None:
        one = pack(KINDS[kind], [np.ascontiguousarray(weight.T)])
        for field, value in zip(one._fields, one, strict=True):
            put(f"{name}.{field}", layer, value[0], count)

    nothing: Floats = np.zeros(0, dtype=np.float32)
    for index in range(layers):
        layer: Layer = weights.layers[index]
        matrix("qkv", index, layer.qkv)
        matrix("out", index, layer.out)
        matrix("gate_up", index, interleaved(layer.gate.T, layer.up.T).T)
        matrix("down", index, layer.down)
        for name, vector in (
            ("attention_norm", layer.attention_norm),
            ("ffn_norm", layer.ffn_norm),
            ("qkv_bias", layer.qkv_bias),
            ("q_norm", layer.q_norm),
            ("k_norm", layer.k_norm),
        ):
            put(name, index, nothing if vector is None else vector, layers)
    matrix("head", 0, weights.unembedding, 1)
    return arrays | {"final_norm": weights.final_norm, "embedding": np.ascontiguousarray(weights.embedding)}


def _cached(folder: Path, make: Callable[[], Arrays]) -> Arrays:
    index = folder / "arrays.json"
    if index.exists():
        try:
            names: list[str] = json.loads(index.read_text("utf-8"))
            # copy on write: arrays that cannot be written have other types, and would be compiled for once more
            return {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in names}
        except (OSError, ValueError) as error:
            log.warning("the packed weights in %s cannot be read (%s): packing them again", folder, error)
    arrays = make()
    try:
        _write(folder, arrays)
    except OSError as error:
        log.warning("cannot keep the packed weights in %s: %s. The next start packs them again", folder, error)
    return arrays


def _write(folder: Path, arrays: Arrays) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as beside:
        whole = Path(beside) / "whole"
        whole.mkdir()
        for name, array in arrays.items():
            np.save(whole / f"{name}.npy", array)
        (whole / "arrays.json").write_text(json.dumps(list(arrays)), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():  # another start may have been first
            whole.rename(folder)
