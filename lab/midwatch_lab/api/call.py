"""One request to the Kubernetes API, taken apart: the target in its path, the verb, the options in its query."""

from dataclasses import dataclass
from typing import Any, Final, cast

import orjson
import yaml
from starlette.requests import Request

from midwatch_lab import status
from midwatch_lab.api.users import User
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import DecodeError
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object
from midwatch_lab.schemas import protobuf
from midwatch_lab.store.audit import Origin

BODY_LIMIT: Final = 3 * 1024 * 1024
_SUMMARY: Final = 30
_CORE_DEPTH: Final = 2
_GROUP_DEPTH: Final = 3
_NAMESPACE_SUBRESOURCES: Final = frozenset({"status", "finalize"})
_TRUE: Final = frozenset({"true", "1", "True", "t"})
_METHOD_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OPTIONS_KIND: Final = {
    "POST": "CreateOptions",
    "PUT": "UpdateOptions",
    "PATCH": "PatchOptions",
    "DELETE": "DeleteOptions",
}


@dataclass(frozen=True)
class Target:
    """What a path names: a collection, an object, or something below an object (`rest` is what follows `proxy`)."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


def parse_path(catalog: Catalog, path: str) -> Target | None:
    """Return what the path of a request names; None where it is no path of a resource.

    Raises:
        ApiError: 404 when the resource is not served.
    """
    parts = path.strip("/").split("/")
    depth = _CORE_DEPTH if parts[0] == "api" else _GROUP_DEPTH
    if parts[0] not in ("api", "apis") or len(parts) <= depth:
        return None
    group = "" if parts[0] == "api" else parts[1]
    version, rest = parts[depth - 1], parts[depth:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in _NAMESPACE_SUBRESOURCES):  # noqa: PLR2004 (namespaces/NAME/…)
        namespace, rest = rest[1], rest[2:]
    resource = catalog.by_path(group, version, rest[0])
    if resource is None and not catalog.is_built_in(group):
        # Where no built-in resource is, the original answers as for any other path.
        return None
    if resource is None or (namespace and not resource.namespaced):
        raise status.no_such_resource()
    name, subresource = [*rest[1:3], "", ""][:2]
    if subresource and not any(sub.name == subresource for sub in resource.subresources):
        if isinstance(resource, CustomResource):
            raise status.not_found(resource, name)
        raise status.no_such_resource()
    tail = "/".join(rest[3:])
    if tail and subresource != "proxy":
        raise status.no_such_resource()
    return Target(resource, namespace, name, subresource, tail)


@dataclass(frozen=True)
class Call:
    """One request by one user on one target."""

    request: Request
    user: User
    target: Target

    @property
    def resource(self) -> Resource:
        """The resource of the target."""
        return self.target.resource

    def query(self, name: str, default: str = "") -> str:
        """Return an option from the query."""
        return self.request.query_params.get(name, default)

    def flag(self, name: str) -> bool:
        """Tell whether an option is set to true."""
        return self.query(name) in _TRUE

    def number(self, name: str) -> int | None:
        """Return an option that is a whole number, or None where it is not given.

        Raises:
            ApiError: 400 when it is no number.
        """
        text = self.query(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error

    @property
    def verb(self) -> str:
        """The verb, as roles and the audit name it."""
        if self.request.method in ("GET", "HEAD", "OPTIONS"):
            if self.target.name:
                return "get"
            return "watch" if self.flag("watch") else "list"
        verb = _METHOD_VERBS.get(self.request.method, "")
        return "deletecollection" if verb == "delete" and not self.target.name else verb

    def origin(self, body_dry_run: list[str] | None = None) -> Origin:
        """Return where a write by this request comes from.

        Raises:
            ApiError: 422 when `dryRun` or `fieldManager` may not be so.
        """
        given = [*self.request.query_params.getlist("dryRun"), *(body_dry_run or [])]
        kind = _OPTIONS_KIND.get(self.request.method, "PatchOptions")
        if any(value != "All" for value in given):
            raise status.invalid(kind, "meta.k8s.io", "", [status.unsupported("dryRun", given, ["All"])])
        agent = self.request.headers.get("user-agent", "unknown").partition("/")[0]
        return Origin(
            principal=self.user.name,
            verb=self.verb,
            path=self.request.url.path,
            manager=self.query("fieldManager") or agent,
            dry_run=bool(given),
            subresource=self.target.subresource,
        )

    @property
    def field_validation(self) -> str:
        """What to do about unknown fields: `Strict`, `Warn` or `Ignore`.

        Raises:
            ApiError: 422 for anything else.
        """
        value = self.query("fieldValidation") or "Warn"
        allowed = ("", "Ignore", "Strict", "Warn")
        if value not in allowed:
            kind = _OPTIONS_KIND.get(self.request.method, "PatchOptions")
            raise status.invalid(kind, "meta.k8s.io", "", [status.unsupported("fieldValidation", value, allowed)])
        return value

    @property
    def body_kind(self) -> str:
        """The kind of the body that the target takes."""
        below = self.target.subresource
        return next((sub.kind for sub in self.resource.subresources if sub.name == below), self.resource.kind)

    @property
    def content_type(self) -> str:
        """The body's media type, without parameters."""
        return self.request.headers.get("content-type", "application/json").partition(";")[0].strip()

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            ApiError: 413 beyond 3 MiB.
        """
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.request.stream():
            size += len(chunk)
            if size > BODY_LIMIT:
                raise status.too_large(f"Request entity too large: limit is {BODY_LIMIT}")
            chunks.append(chunk)
        return b"".join(chunks)

    async def body_object(self) -> Object:
        """Return the body as an object, from JSON or YAML.

        Raises:
            ApiError: 400, 413 or 415.
        """
        match self.content_type:
            case "application/json" | "*/*":
                value = parse_json(await self.body())
            case "application/yaml":
                value = parse_yaml(await self.body())
            case protobuf.MEDIA:
                value = parse_protobuf(await self.body(), self.body_kind)
            case other:
                raise status.unsupported_media_type(f"the body is {other}; send application/json or application/yaml")
        if not isinstance(value, dict):
            raise status.bad_request("couldn't get version/kind; json parse error: the body is not an object")
        return cast("Object", value)


def parse_json(body: bytes) -> Any:
    """Read JSON.

    Raises:
        ApiError: 400.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise status.bad_request(f"the body is no JSON: {error}") from error


def parse_yaml(body: bytes) -> Any:
    """Read YAML (JSON is some of it).

    Raises:
        ApiError: 400.
    """
    try:
        return yaml.safe_load(body)
    except yaml.YAMLError as error:
        raise status.bad_request(f"the body is no YAML: {error}") from error


def parse_protobuf(body: bytes, kind: str) -> Object:
    """Read an object of a kind from protobuf.

    Raises:
        ApiError: 400.
    """
    try:
        envelope = protobuf.opened(body)
    except DecodeError as error:
        text = f"the object provided is unrecognized (must be of type {kind}): {error} ({_summary(body)})"
        raise status.bad_request(text) from error
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
