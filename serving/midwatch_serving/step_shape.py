"""What a step's time depends on, counted from a batch: the same few numbers for a real step and a simulated one."""

from collections.abc import Iterable
from dataclasses import dataclass

from midwatch_serving.scheduler import Batch
from midwatch_serving.work import Work


@dataclass(frozen=True, slots=True)
class StepShape:
    """One step in numbers. A chunk of one token counts as a decode, whatever it is, for it is computed as one."""

    rows: int
    """Tokens computed, each of them a row of every matrix product."""
    decodes: int
    decode_context: int
    """Tokens attended to by the decodes, all together."""
    longest_context: int
    """Of one decode, the most; executors that pad a batch pay for it once a decode."""
    prefills: int
    prefill_tokens: int
    prefill_pairs: float
    """Pairs of (query token, key token) of the prefills: their attention work."""
    samples: int
    """Rows of logits that a token is chosen from."""

    def later(self, steps: int) -> "StepShape":
        """Return the shape of the same decodes after `steps` more of them; only for steps without prefill."""
        return StepShape(
            rows=self.rows,
            decodes=self.decodes,
            decode_context=self.decode_context + steps * self.decodes,
            longest_context=self.longest_context + steps,
            prefills=0,
            prefill_tokens=0,
            prefill_pairs=0.0,
            samples=self.samples,
        )


def shape_of_batch(batch: Batch) -> StepShape:
    """Count a scheduled batch."""
    return count((chunk.start, chunk.count, chunk.samples) for chunk in batch.chunks)


def shape_of_work(work: list[Work]) -> StepShape:
    """Count the work that an executor is handed."""
    return count((w.start, len(w.tokens), w.output_index is not None) for w in work)


def count(chunks: Iterable[tuple[int, int, bool]]) -> StepShape:
    """Count chunks of (start, tokens, whether the next token is chosen)."""
    decodes = context = longest = prefills = prefill_tokens = samples = 0
    pairs = 0.0
    for start, tokens, chosen in chunks:
        if tokens == 1:
            decodes += 1
            context += start + 1
            longest = max(longest, start + 1)
        else:
            prefills += 1
            prefill_tokens += tokens
            pairs += tokens * (start + (tokens + 1) / 2)
        samples += chosen
    return StepShape(
        rows=decodes + prefill_tokens,
        decodes=decodes,
        decode_context=context,
        longest_context=longest,
        prefills=prefills,
        prefill_tokens=prefill_tokens,
        prefill_pairs=pairs,
        samples=samples,
    )
