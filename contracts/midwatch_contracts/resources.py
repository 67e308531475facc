"""Documents that a room offers to MCP clients, so that the servers can show them without importing the room.

A package names a `Provide` in the entry-point group `midwatch.resources`; the servers call it with the settings, and
then know its documents by their root, such as `midwatch://guides`. Texts are plain data: the servers clean, redact and
bound them.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from pydantic import Field

from midwatch_contracts.command import Settings
from midwatch_contracts.model import Model

GROUP = "midwatch.resources"

MARKDOWN = "text/markdown"
JSON = "application/json"


class ResourceInfo(Model):
    """One document, as a list shows it. `name` is short and for machines, `title` for people."""

    uri: str
    name: str
    title: str
    description: str
    mime_type: str


class TemplateInfo(Model):
    """Documents of one form: `uri_template` has one variable, `{id}` (RFC 6570, level 1)."""

    uri_template: str = Field(pattern=r"^[a-z][a-z0-9+.-]*://[^{}]+/\{id\}$")
    name: str
    title: str
    description: str
    mime_type: str


class ResourceText(Model):
    """What a document says."""

    text: str
    mime_type: str


class ResourceProvider(Protocol):
    """The documents under one root. Methods may read files, and are called off the event loop."""

    @property
    def root(self) -> str:
        """What every URI of this provider is, or begins with before a slash: `midwatch://guides`."""
        ...

    def resources(self) -> Sequence[ResourceInfo]:
        """Return the documents worth listing, in an order that does not change from call to call."""
        ...

    def templates(self) -> Sequence[TemplateInfo]:
        """Return the forms of those that are not listed."""
        ...

    def read(self, uri: str) -> ResourceText:
        """Return a document.

        Raises:
            UnknownResourceError: there is none; the message says which there are, or which command lists them.
        """
        ...

    def ids(self) -> Sequence[str]:
        """Return what `{id}` may be, likeliest first, for completion."""
        ...


Provide = Callable[[Settings], ResourceProvider]
"""What an entry point of the group is."""


def id_of(root: str, uri: str) -> str | None:
    """Return the id that a URI names below a root; None for the root itself, and for any other URI."""
    under = f"{root}/"
    found = uri.removeprefix(under) if uri.startswith(under) else ""
    return found or None
