"""What a change or a plan may be: the newest first, from the journal of the state folder."""

from collections.abc import Mapping
from typing import Protocol

from midwatch_mcp.completion import Completions, Found
from midwatch_mcp.safe_apply.envelope import Envelope


class Room(Protocol):
    """What holds the envelope."""

    @property
    def envelope(self) -> Envelope:
        """The open envelope."""
        ...


def completions(room: Room) -> Completions:
    """Return what completes the arguments of changes."""

    async def change(_others: Mapping[str, str]) -> Found:
        changes = [record.change.change_id for record in room.envelope.changes()]
        plans = [status.plan.id[:12] for status in room.envelope.plans()]
        return Found([*reversed(changes), *reversed(plans)])

    return {"change": change}
