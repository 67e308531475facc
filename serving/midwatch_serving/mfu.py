"""What the model's arithmetic needs, counted from its sizes: the estimates behind model FLOPs utilization.

Counted are the matrix products, two operations a weight and row, and attention, four a head's dimension and pair of
tokens (PaLM, Chowdhery et al. 2022, appendix B; Kaplan et al. 2020). Norms, rotation and activations are left out, as
there. Bytes are those that a step cannot do without: each weight once, each cached token of a sequence once.
"""

from midwatch_serving.model import ModelConfig
from midwatch_serving.scheduler import Batch

FLOAT = 4
"""Bytes of a float, and of a number in the KV cache."""


class Estimates:
    """Sums over the steps so far."""

    def __init__(self, config: ModelConfig, *, bytes_per_weight: float = FLOAT) -> None:
        """Count for a model whose weights take `bytes_per_weight` each in memory."""
        c = config
        width = (c.heads + c.kv_heads) * c.head_dim
        inner = 2 * c.hidden * width + 3 * c.hidden * c.ffn  # queries and output, keys and values, feed-forward
        self._row = c.layers * inner
        self._sample = c.hidden * c.vocab
        self._pair = 4 * c.layers * c.heads * c.head_dim
        self._token = 2 * c.layers * c.kv_heads * c.head_dim * FLOAT
        self._weight = bytes_per_weight
        self.flops = 0.0
        self.read_bytes = 0.0
        self.written_bytes = 0.0

    @property
    def parameters(self) -> int:
        """Weights of the products, embedding and unembedding counted once."""
        return self._row + self._sample

    def book(self, batch: Batch) -> None:
        """Add a step."""
        rows = samples = context = 0
        pairs = 0.0
        for chunk in batch.chunks:
            rows += chunk.count
            samples += chunk.samples
            context += chunk.start + chunk.count
            pairs += chunk.count * (chunk.start + (chunk.count + 1) / 2)
        self.flops += 2 * rows * self._row + 2 * samples * self._sample + pairs * self._pair
        weights = self._row + (self._sample if samples else 0)
        self.read_bytes += weights * self._weight + context * self._token
        self.written_bytes += rows * self._token
