"""Bodies of requests: JSON, YAML or protobuf to an object, with what strict decoding has against them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

import yaml
from yaml.constructor import ConstructorError
from yaml.scanner import ScannerError

from midwatch_lab import status
from midwatch_lab.api.go_json import GoJSONError, read
from midwatch_lab.errors import ApiError, DecodeError
from midwatch_lab.objects import Object
from midwatch_lab.schemas import protobuf

SCHEME: Final = "pkg/runtime/scheme.go:111"
"""The name of the original's scheme, which it says in messages."""
_SUMMARY: Final = 30
_ALIASES_MAX: Final = 1_000
_ALIASES_RATIO: Final = 1.01
"""Nodes a repeated node, below which a document is aliases of aliases (go-yaml's 99 of 100)."""
_GROUP_VERSION_PARTS: Final = 2
_TYPE_META: Final = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)


@dataclass(frozen=True)
class Body:
    """An object from a body; `faults` are what strict decoding refuses in its text, such as a doubled field."""

    value: Object
    faults: tuple[str, ...] = ()


def read_body(body: bytes, content_type: str, kind: str, *, must_say_kind: bool = False) -> Body:
    """Read the body of a create or a replace; a custom resource must say its kind, all others have that of the path.

    Raises:
        ApiError: 400 or 415.
    """
    match content_type:
        case "application/json":
            found = _from_json(body, kind)
        case "application/yaml":
            found = _from_yaml(body, kind)
        case protobuf.MEDIA:
            found = Body(parse_protobuf(body, kind))
        case _:
            raise status.unreadable_body()
    if must_say_kind and "kind" not in found.value:
        text = body.decode(errors="replace").strip()
        raise _unrecognized(kind, f"Object 'Kind' is missing in '{text}'", body)
    return found


def _from_json(body: bytes, kind: str) -> Body:
    try:
        value, doubled = read(body)
    except GoJSONError as error:
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {error}", body) from error
    faults = tuple(f"duplicate field {status.quoted(path)}" for path in doubled)
    return Body(_checked(value, body, kind), faults)


def _from_yaml(body: bytes, kind: str) -> Body:
    loader = _Loader(body)
    try:
        value = loader.first()
    except (yaml.YAMLError, RecursionError) as error:
        raise _unrecognized(kind, yaml_words(error), body) from error
    return Body(_checked(value, body, kind), tuple(loader.faults))


def _checked(value: Any, body: bytes, kind: str) -> Object:
    """Return a body's value as an object whose apiVersion and kind are texts."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        why = f"json: cannot unmarshal {status.json_type(value)} into Go value of type {_TYPE_META}"
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {why}", body)
    obj = cast("Object", value)
    for key in ("apiVersion", "kind"):
        given = obj.get(key)
        if given is not None and not isinstance(given, str):
            why = f"json: cannot unmarshal {status.json_type(given)} into Go struct field .{key} of type string"
            raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {why}", body)
    version = obj.get("apiVersion") or ""
    if version.count("/") >= _GROUP_VERSION_PARTS:
        raise _unrecognized(kind, f"unexpected GroupVersion string: {version}", body)
    return {key: item for key, item in obj.items() if item or key not in ("apiVersion", "kind")}


def _unrecognized(kind: str, why: str, body: bytes) -> ApiError:
    return status.bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(body)})")


def parse_json(body: bytes) -> Any:
    """Read JSON.

    Raises:
        ApiError: 400.
    """
    try:
        return read(body)[0]
    except GoJSONError as error:
        raise status.bad_request(str(error)) from error


def parse_yaml(body: bytes) -> Any:
    """Read YAML (JSON is some of it).

    Raises:
        ApiError: 400.
    """
    try:
        return _Loader(body).first()
    except (yaml.YAMLError, RecursionError) as error:
        raise status.bad_request(f"error decoding YAML: error converting YAML to JSON: {yaml_words(error)}") from error


def read_documents(body: bytes) -> list[tuple[Any, tuple[str, ...]]]:
    """Read YAML of several documents (JSON is some of it); each comes with what strict decoding has against its text.

    Raises:
        ApiError: 400.
    """
    try:
        return list(_Loader(body).all())
    except (yaml.YAMLError, RecursionError) as error:
        raise status.bad_request(yaml_words(error)) from error


def parse_protobuf(body: bytes, kind: str) -> Object:
    """Read an object of a kind from protobuf.

    Raises:
        ApiError: 400.
    """
    try:
        envelope = protobuf.opened(body)
    except DecodeError as error:
        raise _unrecognized(kind, str(error), body) from error
    try:
        return envelope.message()
    except DecodeError as error:
        version = envelope.api_version.rpartition("/")[2]
        text = f'{envelope.kind} in version "{version}" cannot be handled as a {kind}: {error}'
        raise status.bad_request(text) from error


def _summary(body: bytes) -> str:
    """Return the beginning of a body as the original shows it: JSON as text, anything else as hex digits."""
    if not body:
        return "<empty>"
    more = " ..." if len(body) > _SUMMARY else ""
    shown = body[:_SUMMARY]
    return (shown.decode(errors="replace") if body.startswith(b"{") else shown.hex()) + more


class _Loader:
    """Reads YAML as `sigs.k8s.io/yaml` makes JSON of it: keys and times are texts, the first document counts."""

    def __init__(self, body: bytes) -> None:
        self.loader = _SafeLoader(body)
        self.faults: list[str] = []
        self._seen: set[int] = set()
        self._nodes = self._repeated = 0

    def all(self) -> Iterator[tuple[Any, tuple[str, ...]]]:
        """Yield each document with its own faults."""
        try:
            while self.loader.check_node():
                self.faults = []
                node: yaml.Node | None = self.loader.get_node()
                value = None if node is None else self._value(node)
                yield value, tuple(self.faults)
        finally:
            self.loader.dispose()

    def first(self) -> Any:
        """Return the first document."""
        try:
            node: yaml.Node | None = self.loader.get_node() if self.loader.check_node() else None
            return None if node is None else self._value(node)
        finally:
            self.loader.dispose()

    def _count(self, node: yaml.Node) -> None:
        """Refuse a document that aliases blow up, as go-yaml does."""
        self._nodes += 1
        self._repeated += id(node) in self._seen
        self._seen.add(id(node))
        if self._repeated > _ALIASES_MAX and self._nodes < _ALIASES_RATIO * self._repeated:
            raise yaml.YAMLError("document contains excessive aliasing")

    def _value(self, node: yaml.Node) -> Any:
        self._count(node)
        if isinstance(node, yaml.MappingNode):
            self.loader.flatten_mapping(node)
            found: Object = {}
            for key_node, value_node in node.value:
                key = self._key(key_node)
                if key in found:
                    line = key_node.start_mark.line + 1
                    self.faults.append(f"line {line}: key {json.dumps(key)} already set in map")
                found[key] = self._value(value_node)
            return found
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item) for item in node.value]
        return self.loader.construct_object(node)  # pyright: ignore[reportUnknownMemberType] (PyYAML)

    def _key(self, node: yaml.Node) -> str:
        key = self._value(node)
        match key:
            case bool():
                return "true" if key else "false"
            case str() | int() | float():
                return str(key)
            case _:
                raise ConstructorError(None, None, f"unsupported map key {key!r}", node.start_mark)


class _SafeLoader(yaml.CSafeLoader):
    """A loader to which a time is a text."""


_SafeLoader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def yaml_words(error: yaml.YAMLError | RecursionError) -> str:
    """Return what go-yaml says of YAML that does not parse: both are libyaml underneath."""
    if isinstance(error, RecursionError):
        return "yaml: exceeded max depth of 10000"
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"yaml: {error}"
    marks = [mark.line for mark in (error.context_mark, error.problem_mark) if mark is not None and mark.line]
    line = (marks[0] if marks else 0) + isinstance(error, ScannerError)
    where = f"line {line}: " if line else ""
    return f"yaml: {where}{error.problem}"
