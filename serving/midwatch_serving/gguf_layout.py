"""What a Llama-family model's GGUF file must hold: sizes from its metadata, and the tensors that follow from them."""

from pathlib import Path
from typing import Any

from midwatch_serving.errors import ModelError
from midwatch_serving.gguf_header import GgufHeader
from midwatch_serving.model import ModelConfig

ARCHITECTURES = ("llama", "qwen2", "qwen3")
_MAX_LAYERS = 1024
_NO_MEND = "use a model of the Llama family without this"


def model_config(path: Path, header: GgufHeader) -> ModelConfig:
    """Return the sizes that the metadata name.

    Raises:
        ModelError: when one is missing or impossible, or the model needs what this engine does not have.
    """
    facts = _Facts(path, header.metadata)
    embedding = header.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelError(path, "has no tensor token_embd.weight: it is no language model", mend="name another file")
    hidden, heads = facts.size("embedding_length"), facts.size("attention.head_count")
    kv_heads = facts.size("attention.head_count_kv", default=heads)
    if heads % kv_heads:
        raise facts.error(f"has {heads} heads, which {kv_heads} key-value heads do not divide")
    if hidden % heads and not facts.has("attention.key_length"):
        raise facts.error(f"has a width of {hidden}, which its {heads} heads do not divide")
    width = facts.size("attention.key_length", default=hidden // heads)
    if width % 2:
        raise facts.error(f"has heads of width {width}; rotary positions need an even one")
    for other in ("attention.value_length", "rope.dimension_count"):
        if facts.size(other, default=width) != width:
            raise facts.error(f"has {other} = {facts.size(other)} beside heads of width {width}", _NO_MEND)
    facts.refuse_the_unknown()
    layers = facts.size("block_count")
    if layers > _MAX_LAYERS:
        raise facts.error(f"claims {layers} layers; at most {_MAX_LAYERS} are believed")
    context = facts.size("context_length")
    return ModelConfig(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        ffn=facts.size("feed_forward_length"),
        vocab=embedding.shape[0],
        rope_base=facts.number("rope.freq_base", default=10_000.0),
        eps=facts.number("attention.layer_norm_rms_epsilon"),
        head_width=width,
        # Within its window a model with sliding attention is one without.
        context=min(context, facts.size("attention.sliding_window", default=context)),
        architecture=facts.architecture,
        rope_interleaved=facts.architecture == "llama",
    )


def check_layout(path: Path, header: GgufHeader, config: ModelConfig) -> None:
    """Hold the tensors against the sizes: each one that is needed is there in its shape, and none is left over.

    Raises:
        ModelError: naming the first tensor that does not fit.
    """
    needed, optional = _expected(config)
    for name in needed:
        if name not in header.tensors:
            raise ModelError(path, f"lacks the tensor {name}", mend="fetch the file again")
    for name, entry in header.tensors.items():
        shape = needed.get(name) or optional.get(name)
        if shape is None:
            raise ModelError(path, f"has the tensor {name}, which a {config.architecture} here has not", mend=_NO_MEND)
        if entry.shape != shape:
            raise ModelError(
                path,
                f"gives {name} the shape {entry.shape}, its metadata ask for {shape}",
                mend="fetch or convert it again",
            )


def _expected(c: ModelConfig) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Return shapes by name of the tensors that must be there, and of those that may."""
    queries, keys = c.heads * c.head_dim, c.kv_heads * c.head_dim
    needed: dict[str, tuple[int, ...]] = {"token_embd.weight": (c.vocab, c.hidden), "output_norm.weight": (c.hidden,)}
    optional: dict[str, tuple[int, ...]] = {
        "output.weight": (c.vocab, c.hidden),
        "rope_freqs.weight": (c.head_dim // 2,),
    }
    for i in range(c.layers):
        layer = f"blk.{i}."
        needed |= {
            layer + "attn_norm.weight": (c.hidden,),
            layer + "attn_q.weight": (queries, c.hidden),
            layer + "attn_k.weight": (keys, c.hidden),
            layer + "attn_v.weight": (keys, c.hidden),
            layer + "attn_output.weight": (c.hidden, queries),
            layer + "ffn_norm.weight": (c.hidden,),
            layer + "ffn_gate.weight": (c.ffn, c.hidden),
            layer + "ffn_up.weight": (c.ffn, c.hidden),
            layer + "ffn_down.weight": (c.hidden, c.ffn),
        }
        if c.architecture == "qwen2":
            needed |= {
                layer + "attn_q.bias": (queries,),
                layer + "attn_k.bias": (keys,),
                layer + "attn_v.bias": (keys,),
            }
        if c.architecture == "qwen3":
            needed |= {layer + "attn_q_norm.weight": (c.head_dim,), layer + "attn_k_norm.weight": (c.head_dim,)}
    return needed, optional


class _Facts:
    """The metadata of one architecture, checked as they are read."""

    def __init__(self, path: Path, metadata: dict[str, Any]) -> None:
        self._path = path
        self._metadata = metadata
        named = metadata.get("general.architecture")
        if not isinstance(named, str) or named not in ARCHITECTURES:
            raise self.error(
                f"is of the architecture {_short(named)}; this engine has {', '.join(ARCHITECTURES)}", _NO_MEND
            )
        self.architecture = named

    def error(self, what: str, mend: str = "fetch or convert it again") -> ModelError:
        return ModelError(self._path, what, mend=mend)

    def has(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self._metadata

    def size(self, key: str, default: int | None = None) -> int:
        value = self._metadata.get(f"{self.architecture}.{key}", default)
        if value is None:
            raise self.error(f"lacks the metadata {self.architecture}.{key}")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 31:
            raise self.error(f"has {self.architecture}.{key} = {_short(value)}; one whole number above 0 is needed")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._metadata.get(f"{self.architecture}.{key}", default)
        if value is None:
            raise self.error(f"lacks the metadata {self.architecture}.{key}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise self.error(f"has {self.architecture}.{key} = {_short(value)}; a number above 0 is needed")
        return float(value)

    def refuse_the_unknown(self) -> None:
        """Refuse what would change the arithmetic without changing a shape."""
        for key, harmless in (
            ("expert_count", (0,)),
            ("rope.scaling.type", ("none",)),
            ("rope.scale_linear", (1.0,)),
            ("attention.causal", (True,)),
        ):
            value = self._metadata.get(f"{self.architecture}.{key}", harmless[0])
            if not isinstance(value, (str, int, float)) or value not in harmless:
                raise self.error(
                    f"has {self.architecture}.{key} = {_short(value)}, which is not computed here", _NO_MEND
                )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 (a message stays one line)
