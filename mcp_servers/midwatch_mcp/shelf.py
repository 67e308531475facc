"""The documents that other packages offer (`midwatch.resources`), cleaned, redacted, and shown as MCP resources.

Providers are found when a client first asks, so that a server starts without them. One that cannot be loaded, or fails,
is named on standard error and left out: somebody else's code must not take the server down.
"""

import logging
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar, cast

from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import Resource, ResourceTemplate

from midwatch_contracts.command import Settings
from midwatch_contracts.errors import UnknownResourceError
from midwatch_contracts.resources import GROUP, Provide, ResourceProvider
from midwatch_mcp.redact import harmless

log = logging.getLogger(__name__)

T = TypeVar("T")
OWN = "midwatch"
"""Our own distribution: where two offer one root, ours is taken."""
RESERVED = "midwatch://evidence"
_LISTED = 500
"""Documents of one provider that are listed at most; the others are read by their URI."""
_SHOWN = 200


class Shelf:
    """The documents of all providers. Its methods read files: call them off the event loop."""

    def __init__(self, load: Callable[[], Sequence[ResourceProvider]]) -> None:
        self._load = load
        self._providers: Sequence[ResourceProvider] | None = None

    @classmethod
    def discovered(cls, settings: Settings) -> "Shelf":
        """Return the documents of every installed package, looked for at the first question."""
        return cls(lambda: discover(settings, entry_points(group=GROUP)))

    def resources(self) -> list[Resource]:
        """Return the documents that the providers list, in an order that does not change."""
        return [
            Resource.model_validate(harmless(found.model_dump()))
            for provider in self._known()
            for found in _asked(provider, provider.resources, ())[:_LISTED]
        ]

    def templates(self) -> list[ResourceTemplate]:
        """Return the forms of the documents."""
        return [
            ResourceTemplate.model_validate(harmless(found.model_dump()))
            for provider in self._known()
            for found in _asked(provider, provider.templates, ())
        ]

    def holds(self, uri: str) -> bool:
        """Say whether a URI lies under a provider's root."""
        return self._of(uri) is not None

    def read(self, uri: str) -> ReadResourceContents:
        """Return a document, cleaned and redacted.

        Raises:
            ResourceNotFoundError: there is none.
            ResourceError: its provider failed; standard error says how.
        """
        provider = self._of(uri)
        if provider is None:
            raise ResourceNotFoundError(f"no resource {_short(uri)}: resources/list names them")
        try:
            found = provider.read(uri)
        except UnknownResourceError as error:
            raise ResourceNotFoundError(str(error)) from error
        except Exception as error:
            # Boundary: another package's code; its text may hold anything, so it stays in our log.
            log.exception("the provider of %s failed", provider.root)
            raise ResourceError(f"{_short(uri)} cannot be read: the server's log says why") from error
        return ReadResourceContents(content=str(harmless(found.text)), mime_type=found.mime_type)

    def ids(self, template: str) -> Sequence[str]:
        """Return what the variable of a template, or of a root, may be, likeliest first; nothing for an unknown one."""
        root = template.removesuffix("/{id}")
        provider = next((known for known in self._known() if known.root == root), None)
        return [] if provider is None else _asked(provider, provider.ids, ())

    def _of(self, uri: str) -> ResourceProvider | None:
        return next((known for known in self._known() if uri == known.root or uri.startswith(f"{known.root}/")), None)

    def _known(self) -> Sequence[ResourceProvider]:
        if self._providers is None:
            self._providers = self._load()
        return self._providers


def discover(settings: Settings, points: Sequence[EntryPoint] | object) -> list[ResourceProvider]:
    """Return the providers of these entry points, ours first, then by name; of two with one root the first."""
    found: dict[str, ResourceProvider] = {}
    for point in sorted(cast("Sequence[EntryPoint]", points), key=lambda point: (_source(point) != OWN, point.name)):
        try:
            provider = cast("Provide", point.load())(settings)
            root = provider.root
        except Exception as error:  # noqa: BLE001 (boundary: somebody else's module runs here)
            _left_out(point, f"{type(error).__name__}: {error}")
            continue
        if "://" not in root or root == RESERVED or any(_overlap(root, known) for known in found):
            _left_out(point, f"its root {root!r} is taken, or is no URI")
            continue
        found[root] = provider
    return list(found.values())


def _asked(provider: ResourceProvider, ask: Callable[[], Sequence[T]], nothing: Sequence[T]) -> Sequence[T]:
    try:
        return ask()
    except Exception:  # (boundary: another package's code; the other providers go on)
        log.exception("the provider of %s failed, and is left out of this answer", provider.root)
        return nothing


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _left_out(point: EntryPoint, why: str) -> None:
    log.warning("the resources %r of %s are left out: %s", point.name, _source(point), harmless(why[:_SHOWN]))


def _source(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown distribution"


def _short(uri: str) -> str:
    shown = str(harmless(uri[:_SHOWN]))
    return repr(shown if len(uri) <= _SHOWN else f"{shown}...")
