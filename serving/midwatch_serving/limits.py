"""What bounds the scheduler. Everything here may change while it runs; names are vLLM's."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of a step, of the queue, and the policy that orders it."""

    max_num_seqs: int
    max_num_batched_tokens: int
    """Tokens that a step computes at most."""
    long_prefill_token_threshold: int = 0
    """Tokens that one prompt may take of a step at most; 0 leaves it the whole budget."""
    enable_chunked_prefill: bool = True
    """Off: a prompt is computed in one step, and waits until the budget holds all of it."""
    scheduling_policy: str = "fcfs"
    max_num_queued_reqs: int | None = None
    """Requests, running and waiting, from which on new ones are refused."""
    max_num_queued_tokens: int | None = None
    """Prompt tokens of requests without a first token, from which on new requests are refused."""
    watermark: float = 0.0
    """Share of the blocks that an admission leaves free for those that run."""
