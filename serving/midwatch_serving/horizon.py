"""Several steps in one go: how many lie ahead in which nothing but the tokens changes, and what they do to the blocks.

Discrete-event simulators skip the time in which nothing happens; this is the same for a batch of decodes.
"""

from itertools import chain

from midwatch_serving.batch import Batch
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.errors import IntegrityError
from midwatch_serving.sequence import Sequence, State


def steps_ahead(batch: Batch, blocks: BlockManager, candidate: Sequence | None) -> int:
    """Return the number of steps, this one included, that the batch stays the same set of one-token decodes.

    `candidate` is who waits and could be admitted once a running sequence fills the block that its prefix misses; None
    where that would not help. Nothing else makes room while the batch stays the same. After a preemption the answer is
    1, for the freed blocks may let someone in.
    """
    if batch.preempted:
        return 1
    size = blocks.block_size
    shortest = None
    slots: list[int] = []
    for chunk in batch.chunks:
        sequence = chunk.sequence
        if not chunk.samples or chunk.count > 1 or sequence.state is not State.RUNNING:
            return 1
        left = sequence.params.max_tokens - len(sequence.output)
        if shortest is None or left < shortest:
            shortest = left
        slots.append(len(sequence.block_table) * size - chunk.start - 1)
    steps = _until_blocks_run_out(slots, shortest or 1, blocks)
    if candidate is None or steps == 1:
        return steps
    missing = blocks.prefix.next_hit(candidate)
    if missing is not None:
        for chunk in batch.chunks:
            if blocks.prefix.fills(chunk.sequence, candidate, missing):
                steps = min(steps, size - chunk.start % size)
    return steps


def _until_blocks_run_out(slots: list[int], steps: int, blocks: BlockManager) -> int:
    """Return `steps`, or fewer where growth would need a block more than are free.

    `slots[i]` tokens fit into the blocks that sequence i holds once this step is done; it takes a block for the next,
    and then one every `block_size` steps.
    """
    size, free, later = blocks.block_size, blocks.num_free, steps - 1
    if sum(-((slot - later) // size) for slot in slots if slot < later) <= free:
        return steps
    slots.sort()
    rounds, taken = divmod(free, len(slots))
    return rounds * size + min(slots[taken], size - 1) + 1


def check_steps(
    batch: Batch, tokens: list[list[int]], times: list[float], eos: frozenset[int]
) -> list[tuple[int, ...]]:
    """Return the tokens by chunk, after making sure that none ends its sequence before the last step.

    Raises:
        IntegrityError: when one does, or numbers do not match.
    """
    steps, width = len(tokens), len(batch.chunks)
    if len(times) != steps or any(len(row) != width for row in tokens):
        raise IntegrityError(f"{steps} steps at {len(times)} times need a token for each of {width} chunks")
    columns = list(zip(*tokens, strict=True))
    for chunk, column in zip(batch.chunks, columns, strict=True):
        sequence = chunk.sequence
        if not chunk.samples or chunk.count > 1 or len(sequence.output) + steps > sequence.params.max_tokens:
            raise IntegrityError(f"{steps} steps go beyond the horizon: {sequence.id} cannot take as many tokens")
        ends = sequence.end_tokens(eos)
        if ends.isdisjoint(column):
            continue
        early = column[max(0, sequence.params.min_tokens - len(sequence.output)) : -1]
        if not ends.isdisjoint(early):
            raise IntegrityError(f"{steps} steps go beyond the horizon: {sequence.id} samples an end token before")
    return columns


def grow_and_register(batch: Batch, columns: list[tuple[int, ...]], blocks: BlockManager) -> None:
    """Append all tokens but the last, and take and file blocks in the order in which single steps would.

    The order matters: what is taken may evict what is filed under the same hash. The last step's filing is left to the
    caller, who books that step.

    Raises:
        IntegrityError: when the blocks do not suffice; nothing is changed then.
    """
    size, last = blocks.block_size, len(columns[0]) - 1
    filled: list[tuple[int, int]] = []
    for index, chunk in enumerate(batch.chunks):
        if chunk.sequence.state is State.RUNNING:
            filled.extend((step, index) for step in range(-(chunk.start + 1) % size, last, size))
    need = sum(
        batch.chunks[i].start + step + 1 >= len(batch.chunks[i].sequence.block_table) * size for step, i in filled
    )
    if need > blocks.num_free:
        raise IntegrityError(
            f"{last + 1} steps go beyond the horizon: {need} blocks are needed, {blocks.num_free} free"
        )
    for chunk, column in zip(batch.chunks, columns, strict=True):
        if chunk.sequence.state is State.RUNNING:
            chunk.sequence.output.extend(column[:-1])
    files = ((step, 1, index) for step, index in filled)
    takes = ((step + 1, 0, index) for step, index in filled)
    for step, files_it, index in sorted(chain(files, takes)):
        sequence, position = batch.chunks[index].sequence, batch.chunks[index].start + step
        if not files_it:
            blocks.grow(sequence, position + 1)
        elif blocks.prefix.enabled:
            blocks.prefix.register(sequence, position // size, position // size + 1)
