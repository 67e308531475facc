"""Kubernetes objects as protobuf: four magic bytes, then a `runtime.Unknown` whose `raw` is the message of the kind.

Typed clients (kubectl's `create` by flags, controllers) send their bodies so. One generic codec reads and writes every
kind by the table in `protobuf.json` (field number to JSON name, type and flags), which `extract_protobuf` makes from
the original's sources. What JSON writes in its own way (quantities, times, raw JSON, …) is a pair of functions a type.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import orjson

from midwatch_lab.errors import DecodeError
from midwatch_lab.objects import Object
from midwatch_lab.schemas import wire
from midwatch_lab.schemas.protobuf_types import SPECIAL

MEDIA: Final = "application/vnd.kubernetes.protobuf"
MAGIC: Final = b"k8s\x00"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_DEPTH_MAX: Final = 100


class WireTypeError(DecodeError):
    """A value is written in another way than its field's."""


Field: TypeAlias = tuple[str, str, str]
"""JSON name, type, and flags: `r` repeated, `m` a map by strings, `i` folded into its parent, `z` leaves out zeros."""


@dataclass(frozen=True)
class Table:
    """The numbering of every message, and which message a kind is; `version` is that of the Go modules."""

    version: str
    kinds: dict[str, str]
    messages: dict[str, dict[int, Field] | str]

    def message_of(self, api_version: str, kind: str) -> str:
        """Return the name of the message that a kind is.

        Raises:
            DecodeError: when no such kind is known.
        """
        # The options of verbs belong to every group.
        found = self.kinds.get(f"{api_version} {kind}") or (_META + kind if kind.endswith("Options") else "")
        if found not in self.messages:
            where = 'in scheme "pkg/runtime/scheme.go:111"'
            raise DecodeError(f'no kind "{kind}" is registered for version "{api_version}" {where}')
        return found


@cache
def table() -> Table:
    """Return the shipped table."""
    raw = orjson.loads(Path(__file__).with_name("protobuf.json").read_bytes())
    messages: dict[str, dict[int, Field] | str] = {
        name: rows if isinstance(rows, str) else {int(number): tuple(row) for number, row in rows.items()}
        for name, rows in raw["messages"].items()
    }
    return Table(raw["version"], raw["kinds"], messages)


@dataclass(frozen=True)
class Envelope:
    """What an envelope holds: the kind, and the bytes of its message."""

    api_version: str
    kind: str
    raw: bytes

    def message(self) -> Object:
        """Read the message.

        Raises:
            DecodeError: when no such kind is known, or the bytes are no message of it.
        """
        name = table().message_of(self.api_version, self.kind)
        return {"kind": self.kind, "apiVersion": self.api_version, **cast("Object", _message(name, self.raw, 0))}


def opened(body: bytes) -> Envelope:
    """Open an envelope.

    Raises:
        DecodeError: when the bytes are none.
    """
    if not body:
        raise DecodeError("empty data")
    if not body.startswith(MAGIC):
        raise DecodeError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    if body == MAGIC:
        raise DecodeError("empty body")
    kind_part, raw = b"", b""
    for number, value in wire.parts(body[len(MAGIC) :]):
        if isinstance(value, bytes):
            kind_part = value if number == 1 else kind_part
            raw = value if number == 2 else raw  # noqa: PLR2004 (Unknown.raw)
    words = {number: _text(value) for number, value in wire.parts(kind_part) if isinstance(value, bytes)}
    return Envelope(words.get(1, ""), words.get(2, ""), raw)


def encode(obj: Object) -> bytes:
    """Write an object in its envelope.

    Raises:
        DecodeError: when its kind has no message, or a value has a type that its field cannot hold.
    """
    api_version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    raw = _written(table().message_of(api_version, kind), obj)
    type_meta = wire.field(1, api_version.encode()) + wire.field(2, kind.encode())
    return MAGIC + wire.field(1, type_meta) + wire.field(2, raw) + wire.field(3, b"") + wire.field(4, b"")


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _message(name: str, data: bytes, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        raise DecodeError("proto: the message is nested too deep")
    fields = table().messages.get(name, {})  # none for what belongs to an unstable version
    if name in SPECIAL:
        return SPECIAL[name][0](_plain(fields, data, depth))
    if isinstance(fields, str):
        return [_text(value) for number, value in wire.parts(data) if number == 1 and isinstance(value, bytes)]
    return _plain(fields, data, depth)


def _plain(fields: dict[int, Field] | str, data: bytes, depth: int) -> Object:
    found: Object = {}
    for number, value in wire.parts(data):
        if isinstance(fields, str) or number not in fields:
            continue
        name, kind, flags = fields[number]
        if "m" in flags:
            key, item = _entry(kind, value, depth)
            found.setdefault(name, {})[key] = item
            continue
        try:
            decoded = _one(kind, value, depth)
        except WireTypeError as error:
            raise DecodeError(f"{error} for field {name[:1].upper()}{name[1:]}") from error
        if "r" in flags:
            found.setdefault(name, []).append(decoded)
        elif "i" in flags:
            found.update(decoded)
        elif decoded is not None and not ("z" in flags and decoded in ("", 0, False)):
            found[name] = decoded
        else:
            found.pop(name, None)
    return found


def _entry(kind: str, value: int | bytes, depth: int) -> tuple[str, Any]:
    if isinstance(value, int):
        raise WireTypeError("proto: wrong wireType = 0")
    parts = dict(wire.parts(value))
    key = parts.get(1, b"")
    if isinstance(key, int):
        raise WireTypeError("proto: wrong wireType = 0")
    return _text(key), _one(kind, parts.get(2, 0 if kind in ("int", "bool") else b""), depth)


def _one(kind: str, value: int | bytes, depth: int) -> Any:
    if isinstance(value, int):
        if kind not in ("int", "bool"):
            raise WireTypeError("proto: wrong wireType = 0")
        return bool(value) if kind == "bool" else wire.signed(value)
    match kind:
        case "string":
            return _text(value)
        case "bytes":
            return base64.b64encode(value).decode()
        case "double" if len(value) == 8:  # noqa: PLR2004 (bytes of a double)
            number = struct.unpack("<d", value)[0]
            return number if number - number == 0 else None
        case "int" | "bool" | "double":
            raise WireTypeError("proto: wrong wireType = 2")
        case _:
            return _message(kind, value, depth + 1)


def _written(name: str, value: Any) -> bytes:
    fields = table().messages.get(name, {})
    if isinstance(fields, str):
        return b"".join(wire.field(1, str(item).encode()) for item in value)
    if name in SPECIAL:
        value = SPECIAL[name][1](value)
    if not isinstance(value, dict):
        raise DecodeError(f"{name.rpartition('.')[2]} is written from an object, not from {type(value).__name__}")
    obj = cast("Object", value)
    parts: list[bytes] = []
    for number in sorted(fields):
        json_name, kind, flags = fields[number]
        if "i" in flags:
            parts.append(wire.field(number, _written(kind, obj)))
            continue
        item = obj.get(json_name)
        if item is None:
            continue
        if "m" in flags:
            entries = sorted(cast("Object", item).items())
            parts.extend(wire.field(number, wire.field(1, key.encode()) + _part(2, kind, one)) for key, one in entries)
        else:
            parts.extend(_part(number, kind, one) for one in (cast("list[Any]", item) if "r" in flags else [item]))
    return b"".join(parts)


def _part(number: int, kind: str, value: Any) -> bytes:
    try:
        match kind:
            case "string":
                return wire.field(number, str(value).encode())
            case "bytes":
                return wire.field(number, base64.b64decode(value))
            case "double":
                return wire.tag(number, wire.FIXED64) + struct.pack("<d", value)
            case "int" | "bool":
                return wire.tag(number, wire.VARINT) + wire.varint(int(value))
            case _:
                return wire.field(number, _written(kind, value))
    except (ValueError, TypeError, struct.error, binascii.Error) as error:
        raise DecodeError(f"a value cannot be written as {kind}: {error}") from error
