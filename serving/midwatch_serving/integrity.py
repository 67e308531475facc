"""What must hold between the scheduler's queues after every step."""

from itertools import pairwise

from midwatch_serving.block_manager import BlockManager
from midwatch_serving.errors import IntegrityError
from midwatch_serving.policies import SchedulingPolicy
from midwatch_serving.sequence import Sequence, State


def check_queues(
    running: list[Sequence], waiting: list[Sequence], known: set[str], policy: SchedulingPolicy, blocks: BlockManager
) -> None:
    """Check that everyone `known` stands in one queue, in the policy's order, with the blocks of its state.

    Raises:
        IntegrityError: says who does not.
    """
    everyone = [*running, *waiting]
    if {s.id for s in everyone} != known or len(everyone) != len(known):
        raise IntegrityError("a sequence is in two queues, or in none")
    if any(s.rank != policy.rank(s) for s in everyone):
        raise IntegrityError(f"a rank is not that of the policy {policy.name}")
    if any(a.rank >= b.rank for a, b in pairwise(running)):
        raise IntegrityError("a sequence runs before one that goes first")
    for s in running:
        if s.state is not State.RUNNING or len(s.block_table) < blocks.blocks_for(s.num_computed):
            raise IntegrityError(f"{s.id} runs in state {s.state.value} with {len(s.block_table)} blocks")
    for s in waiting:
        if s.state is not State.WAITING or s.block_table or s.num_computed:
            raise IntegrityError(f"{s.id} waits in state {s.state.value} and holds {len(s.block_table)} blocks")
