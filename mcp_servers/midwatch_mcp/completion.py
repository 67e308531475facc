"""Completion of arguments: what a namespace, a kind, a name or a metric may be, asked of what stands behind the server.

Never an error and never slow: a cluster that does not answer within a second offers nothing. Only names leave, also of
Secrets.
"""

import importlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import anyio
from anyio.to_thread import run_sync
from mcp.types import Completion

from midwatch_contracts.errors import ContractError
from midwatch_mcp.errors import ServersError
from midwatch_mcp.redact import harmless

log = logging.getLogger(__name__)

WAIT_S = 1.0
MOST = 100
"""Values of one answer, by the MCP specification."""
_LONGEST = 256


@dataclass(frozen=True)
class Found:
    """What an argument may be, likeliest first. `more` says that there are others that were not looked at."""

    names: Sequence[str]
    more: bool = False


Ask = Callable[[Mapping[str, str]], Awaitable[Found]]
"""Finds what an argument may be, given the other arguments so far."""


@dataclass(frozen=True)
class Heavy:
    """An `Ask` by a module that takes long to import, which does not count against the second that it has."""

    ask: Ask
    module: str

    async def __call__(self, others: Mapping[str, str]) -> Found:
        """Ask."""
        return await self.ask(others)

    async def load(self) -> None:
        """Import the module off the event loop."""
        await run_sync(importlib.import_module, self.module)


Completions = Mapping[str, Ask]
"""By the name of the argument: `namespace`, `kind`, `name`, `service`, `metric`, ..."""


async def completed(ask: Ask | None, value: str, others: Mapping[str, str]) -> Completion:
    """Return what `value` may become: names that begin with it, then names that hold it, letter case aside."""
    found = Found(())
    if ask is not None and len(value) <= _LONGEST:
        if isinstance(ask, Heavy):
            await ask.load()
        try:
            with anyio.move_on_after(WAIT_S):
                found = await ask(others)
        except (ServersError, ContractError) as error:
            log.info("nothing to complete with: %s", harmless(str(error)))
    wanted = value.casefold()
    fits = [str(harmless(name)) for name in found.names if wanted in name.casefold()]
    # Sorting is stable: within each half the order stays as it was found.
    ordered = sorted(dict.fromkeys(fits), key=lambda name: not name.casefold().startswith(wanted))
    return Completion(
        values=ordered[:MOST],
        total=None if found.more else len(ordered),
        has_more=found.more or len(ordered) > MOST,
    )
