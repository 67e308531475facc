"""The OpenAPI v2 document in protobuf, the only form in which kubectl asks for it (gnostic, openapiv2/OpenAPIv2.proto).

Fields that the lab's documents do not have are not written; extensions are YAML in text, as in the original.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import yaml

from midwatch_lab.objects import Object
from midwatch_lab.schemas import wire

MEDIA: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_SCHEMA_TEXTS: Final = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_SCHEMA_DOUBLES: Final = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_SCHEMA_NUMBERS: Final = {
    "exclusiveMaximum": 8, "exclusiveMinimum": 10, "maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15,
    "uniqueItems": 16, "maxProperties": 17, "minProperties": 18,
}  # fmt: skip
_METHODS: Final = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def encode(document: Object) -> bytes:
    """Return a document as a message."""
    info = _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])
    definitions = b"".join(_named(1, name, _schema(schema)) for name, schema in document["definitions"].items())
    found = b"".join(_named(2, path, _path(item)) for path, item in document["paths"].items())
    return _text(1, document["swagger"]) + wire.field(2, info) + wire.field(8, found) + wire.field(9, definitions)


def _text(number: int, text: Any) -> bytes:
    return wire.field(number, str(text).encode())


def _number(number: int, value: int) -> bytes:
    return wire.tag(number, wire.VARINT) + wire.varint(int(value))


def _double(number: int, value: float) -> bytes:
    return wire.tag(number, wire.FIXED64) + struct.pack("<d", float(value))


def _named(number: int, name: str, value: bytes) -> bytes:
    return wire.field(number, _text(1, name) + wire.field(2, value))


def _any(value: Any) -> bytes:
    """Return an `Any`: its YAML in text."""
    shown = yaml.safe_dump(value, default_flow_style=False).removesuffix("...\n")
    return _text(2, shown)


def _extensions(number: int, found: Object) -> Iterator[bytes]:
    for key, value in found.items():
        if key.startswith("x-"):
            yield _named(number, key, _any(value))


def _schema(schema: Object) -> bytes:
    return b"".join(_schema_parts(schema))


def _schema_parts(schema: Object) -> Iterator[bytes]:
    write: Callable[[int, Any], bytes]
    for keys, write in ((_SCHEMA_TEXTS, _text), (_SCHEMA_DOUBLES, _double), (_SCHEMA_NUMBERS, _number)):
        for key, number in keys.items():
            if key in schema:
                yield write(number, schema[key])
    for name in schema.get("required", ()):
        yield _text(19, name)
    for value in schema.get("enum", ()):
        yield wire.field(20, _any(value))
    yield from _inner_parts(schema)
    if "type" in schema:
        yield wire.field(22, _text(1, schema["type"]))
    yield from _extensions(31, schema)


def _inner_parts(schema: Object) -> Iterator[bytes]:
    extra, items = schema.get("additionalProperties"), schema.get("items")
    if isinstance(extra, bool):
        yield wire.field(21, _number(2, extra))
    elif isinstance(extra, dict):
        yield wire.field(21, wire.field(1, _schema(cast("Object", extra))))
    if isinstance(items, dict):
        yield wire.field(23, wire.field(1, _schema(cast("Object", items))))
    for part in schema.get("allOf", ()):
        yield wire.field(24, _schema(part))
    if "properties" in schema:
        yield wire.field(25, b"".join(_named(1, name, _schema(inner)) for name, inner in schema["properties"].items()))


def _path(item: Object) -> bytes:
    found = [wire.field(number, _operation(item[method])) for method, number in _METHODS.items() if method in item]
    return b"".join([*found, *(wire.field(9, _parameter(one)) for one in item.get("parameters", ()))])


def _operation(found: Object) -> bytes:
    parts = [_text(1, tag) for tag in found["tags"]]
    parts.append(_text(5, found["operationId"]))
    parts += [_text(6, media) for media in found["produces"]] + [_text(7, media) for media in found["consumes"]]
    parts += [wire.field(8, _parameter(one)) for one in found["parameters"]]
    answers = (_named(1, code, wire.field(1, _response(one))) for code, one in found["responses"].items())
    parts.append(wire.field(9, b"".join(answers)))
    return b"".join([*parts, *_extensions(13, found)])


def _response(found: Object) -> bytes:
    schema = found.get("schema")
    shape = wire.field(2, wire.field(1, _schema(schema))) if schema is not None else b""
    return _text(1, found["description"]) + shape


def _parameter(found: Object) -> bytes:
    """Return a `ParametersItem`: the body, or one in the query or the path."""
    must = bool(found.get("required"))
    if found["in"] == "body":
        body = _text(2, found["name"]) + _text(3, "body") + (_number(4, 1) if must else b"")
        return wire.field(1, wire.field(1, body + wire.field(5, _schema(found["schema"]))))
    number, place = (4, 2) if found["in"] == "path" else (3, 2)
    fields = (_number(1, 1) if must else b"") + _text(place, found["in"]) + _text(4, found["name"])
    kind = 5 if found["in"] == "path" else 6
    return wire.field(1, wire.field(2, wire.field(number, fields + _text(kind, found["type"]))))
