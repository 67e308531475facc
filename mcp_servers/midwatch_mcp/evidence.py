"""Evidence: the full, redacted result of every call, by content hash, in the state folder (CONTRACTS §3).

Blobs lie under `<state>/blobs/<sha256>` as canonical JSON, the index under `<state>/evidence/<id>.json`: one small file
an id rather than a database, since several servers and the supervisor write at once and equal content is equal files.
"""

import hashlib
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import orjson
from pydantic import Field

from midwatch_contracts.canonical import canonical_bytes
from midwatch_contracts.evidence import EvidenceRef, evidence_id
from midwatch_contracts.model import Model
from midwatch_contracts.times import rfc3339
from midwatch_mcp.drafts import Drafts
from midwatch_mcp.errors import EvidenceError

PAGE_BYTES = 16_000
"""What one page of `evidence_read` holds at most, in bytes of JSON."""

_ID = re.compile(r"ev-[0-9a-f]{16}")


class EvidenceEntry(Model):
    """One line of the index: which call gave which result."""

    id: str
    server: str
    tool: str
    arguments: dict[str, Any]
    sha256: str
    bytes: int
    at: str


class EvidencePage(Model):
    """A part of a stored result."""

    id: str
    server: str
    tool: str
    arguments: dict[str, Any] = Field(json_schema_extra={"x-untrusted": True})
    at: str
    path: str
    type: Literal["object", "array", "string", "number", "boolean", "null"]
    size: int
    """Entries of an object or array, characters of a text, else 1."""
    start: int
    """Where the page begins, in the unit of `size`."""
    value: Any = Field(json_schema_extra={"x-untrusted": True})


class EvidenceStore:
    """Writes and reads evidence under one state folder. Files are 0600, folders 0700."""

    def __init__(self, state: Path) -> None:
        self._blobs = state / "blobs"
        self._index = state / "evidence"
        self._new_blobs, self._new_index = Drafts(self._blobs), Drafts(self._index)

    def put(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        full: Any,
        *,
        truncated: bool = False,
        cursor: str | None = None,
    ) -> EvidenceRef:
        """Store `full` (redacted by the caller) as the result of a call and return its reference.

        `arguments` are redacted and have their defaults filled in.
        """
        content = canonical_bytes(full)
        digest = hashlib.sha256(content).hexdigest()
        ref = EvidenceRef(
            id=evidence_id(server, tool, arguments, digest),
            sha256=digest,
            bytes=len(content),
            truncated=truncated,
            cursor=cursor,
        )
        entry = {
            "id": ref.id,
            "server": server,
            "tool": tool,
            "arguments": arguments,
            "sha256": digest,
            "bytes": len(content),
            "at": rfc3339(time.time()),
        }
        self._new_blobs.write(digest, content)
        self._new_index.write(f"{ref.id}.json", canonical_bytes(entry))
        return ref

    def entry(self, evidence: str) -> EvidenceEntry:
        """Return the index entry of an id.

        Raises:
            EvidenceError: when there is none.
        """
        if not _ID.fullmatch(evidence):
            raise EvidenceError(f"{evidence[:40]!r} is no evidence id: it looks like ev-0123456789abcdef")
        try:
            return EvidenceEntry.model_validate_json((self._index / f"{evidence}.json").read_bytes())
        except FileNotFoundError as error:
            raise EvidenceError(
                f"no evidence {evidence} in this state folder: it was pruned, or made by another"
            ) from error

    def content(self, evidence: str) -> bytes:
        """Return the stored canonical JSON of an id.

        Raises:
            EvidenceError: when there is none, or its content was changed.
        """
        entry = self.entry(evidence)
        try:
            content = (self._blobs / entry.sha256).read_bytes()
        except FileNotFoundError as error:
            raise EvidenceError(f"the content of {evidence} was pruned: call {entry.tool} again") from error
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise EvidenceError(
                f"the content of {evidence} was changed on disk: its hash does not match; do not use it"
            )
        return content

    def newest(self, most: int = 1_000) -> list[str]:
        """Return ids, the newest first."""
        try:
            with os.scandir(self._index) as found:
                files = [(entry.stat().st_mtime_ns, entry.name) for entry in found if entry.name.startswith("ev-")]
        except FileNotFoundError:
            return []
        return [name.removesuffix(".json") for _, name in sorted(files, reverse=True)[:most]]

    def read(self, evidence: str, path: str = "", cursor: str | None = None) -> tuple[EvidencePage, str | None]:
        """Return the page at `path` (JSON Pointer) that begins at `cursor`, and the cursor of the next page or None.

        Raises:
            EvidenceError: no such id, path or cursor.
        """
        entry = self.entry(evidence)
        value = resolve(orjson.loads(self.content(evidence)), path)
        start = _start(cursor)
        part, size, end = _page(value, start)
        page = EvidencePage(
            id=entry.id,
            server=entry.server,
            tool=entry.tool,
            arguments=entry.arguments,
            at=entry.at,
            path=path,
            type=_type(value),
            size=size,
            start=start,
            value=part,
        )
        return page, None if end is None else str(end)


def resolve(document: Any, pointer: str) -> Any:
    """Return what a JSON Pointer (RFC 6901) names.

    Raises:
        EvidenceError: names the first part that is not there, and what is there instead.
    """
    if pointer and not pointer.startswith("/"):
        raise EvidenceError(f"the path {pointer!r} is no JSON Pointer: start it with a slash, for example /rows/0")
    value = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = cast("dict[str, Any]", value)[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(cast("list[Any]", value)):
            value = cast("list[Any]", value)[int(key)]
        else:
            raise EvidenceError(f"{pointer!r} leads nowhere: there is no {key!r}, only {_choices(value)}")
    return value


def _choices(value: Any) -> str:
    if isinstance(value, dict):
        names = list(cast("dict[str, Any]", value))
        return ", ".join(names[:12]) + (" and more" if len(names) > 12 else "")  # noqa: PLR2004 (a short line)
    if isinstance(value, list):
        return f"{len(cast('list[Any]', value))} entries counted from 0"
    return f"a {_type(value)}"


def _type(value: Any) -> Literal["object", "array", "string", "number", "boolean", "null"]:
    match value:
        case dict():
            return "object"
        case list():
            return "array"
        case str():
            return "string"
        case bool():
            return "boolean"
        case None:
            return "null"
        case _:
            return "number"


def _start(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isdecimal():
        raise EvidenceError(f"{cursor!r} is no cursor of evidence_read: pass the one that the last page gave")
    return int(cursor)


def _page(value: Any, start: int) -> tuple[Any, int, int | None]:
    """Return (the part from `start` that fits a page, the whole size, where the next page starts)."""
    if isinstance(value, str):
        end = start + PAGE_BYTES // 2
        return value[start:end], len(value), end if end < len(value) else None
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        keys = list(fields)
        count = _fitting([{key: fields[key]} for key in keys[start:]])
        part = {key: _short(fields[key]) for key in keys[start : start + count]}
        return part, len(keys), start + count if start + count < len(keys) else None
    if isinstance(value, list):
        items = cast("list[Any]", value)
        count = _fitting(items[start:])
        part = [_short(item) for item in items[start : start + count]]
        return part, len(items), start + count if start + count < len(items) else None
    return value, 1, None


def _fitting(items: list[Any]) -> int:
    """Return how many leading items fit a page, at least one."""
    total = 0
    for count, item in enumerate(items):
        total += min(len(orjson.dumps(item)), PAGE_BYTES // 2)
        if total > PAGE_BYTES:
            return max(count, 1)
    return len(items)


def _short(item: Any) -> Any:
    """Return `item`, or a note of its size where it alone would fill the page: its own path reads it."""
    size = len(orjson.dumps(item))
    return item if size <= PAGE_BYTES // 2 else f"[{_type(item)} of {size} bytes: read its own path]"
