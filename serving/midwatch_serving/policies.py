"""The choices that a scheduler makes by policy: who goes first, who gives way, and how much room one is given.

A policy is a named class without state; the scheduler asks the one in force and knows none by name. What another
choice needs is another class in its registry.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence as Sized
from typing import ClassVar

from midwatch_serving.errors import ConfigError, RequestError
from midwatch_serving.sequence import Sequence


class SchedulingPolicy(ABC):
    """Order of service, choice of a victim, and what a request may ask of them."""

    name: ClassVar[str]

    @abstractmethod
    def rank(self, sequence: Sequence) -> tuple[int, int]:
        """Return the sequence's place in the order of service, lowest first; it ends in `order`, so none are equal.

        Both queues are kept in this order. It is asked once a sequence, so it may not depend on what changes later.
        """
        ...

    def victim(self, candidates: Sized[Sequence]) -> Sequence:
        """Return who gives up its blocks so that the first candidate can grow; that may be the first itself.

        `candidates` run, in the order of service; none of them has been scheduled in this step yet. By default the
        last one gives way, so that the order of service holds for memory too.
        """
        return candidates[-1]

    def check(self, sequence: Sequence) -> None:  # noqa: B027 (most policies take every request)
        """Refuse a request that asks for what this policy has not.

        Raises:
            RequestError: names the field.
        """


class FirstComeFirstServed(SchedulingPolicy):
    """In order of arrival; the latest arrival gives way."""

    name = "fcfs"

    def rank(self, sequence: Sequence) -> tuple[int, int]:
        """Return the rank of arrival."""
        return 0, sequence.order

    def check(self, sequence: Sequence) -> None:
        """Refuse a priority, which would be ignored (as vLLM does).

        Raises:
            RequestError: when there is one.
        """
        if sequence.priority:
            raise RequestError(
                f"priority {sequence.priority}: this server serves in order of arrival; leave it at 0, or start the "
                "server with --scheduling-policy priority",
                param="priority",
            )


class Priority(SchedulingPolicy):
    """Lower numbers first, then in order of arrival; the highest number gives way, of equals the latest arrival."""

    name = "priority"

    def rank(self, sequence: Sequence) -> tuple[int, int]:
        """Return priority, then rank of arrival."""
        return sequence.priority, sequence.order


class Reservation(ABC):
    """How much room a sequence is given when it is admitted."""

    name: ClassVar[str]
    grows: ClassVar[bool]
    """Whether a sequence takes more blocks later."""

    @abstractmethod
    def tokens(self, sequence: Sequence, max_model_len: int) -> int:
        """Return the tokens whose blocks must be free and are taken at admission: `sequence.num_tokens` at least."""
        ...


class AsItGrows(Reservation):
    """Blocks for the tokens that are there; the rest as it grows, and preemption when they run out (PagedAttention)."""

    name = "as_it_grows"
    grows = True

    def tokens(self, sequence: Sequence, max_model_len: int) -> int:  # noqa: ARG002 (the contract's)
        """Return the tokens that are there."""
        return sequence.num_tokens


class WholeRequest(Reservation):
    """Blocks for prompt and `max_tokens` at once: nobody is preempted, and what is not generated is wasted."""

    name = "whole_request"
    grows = False

    def tokens(self, sequence: Sequence, max_model_len: int) -> int:  # noqa: ARG002 (the contract's)
        """Return the most tokens that the request can have in the cache."""
        return max(sequence.num_tokens, sequence.most_cached)


class WholeContext(Reservation):
    """Blocks for `max_model_len`, as a contiguous cache reserves them: the baseline that paging is measured against."""

    name = "whole_context"
    grows = False

    def tokens(self, sequence: Sequence, max_model_len: int) -> int:  # noqa: ARG002 (the contract's)
        """Return the longest context."""
        return max_model_len


SCHEDULING_POLICIES: dict[str, SchedulingPolicy] = {
    policy.name: policy for policy in (FirstComeFirstServed(), Priority())
}
RESERVATIONS: dict[str, Reservation] = {policy.name: policy for policy in (AsItGrows(), WholeRequest(), WholeContext())}


def scheduling_policy(name: str) -> SchedulingPolicy:
    """Return the policy of that name.

    Raises:
        ConfigError: lists those there are.
    """
    if name not in SCHEDULING_POLICIES:
        raise ConfigError("scheduling_policy", f"{name!r} is none of {', '.join(SCHEDULING_POLICIES)}")
    return SCHEDULING_POLICIES[name]
