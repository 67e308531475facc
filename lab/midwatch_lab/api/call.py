"""One request to the Kubernetes API, taken apart: the target in its path, the verb, the options in its query."""

import re
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from midwatch_lab import status
from midwatch_lab.access.user import User
from midwatch_lab.api.bodies import Body, read_body
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object
from midwatch_lab.store.audit import Origin

BODY_LIMIT: Final = 3 * 1024 * 1024
_CORE_DEPTH: Final = 2
_GROUP_DEPTH: Final = 3
_NAMESPACE_SUBRESOURCES: Final = frozenset({"status", "finalize"})
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_MANAGER_MAX: Final = 128
_FALSE: Final = frozenset({"false", "0"})
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
    watch: bool = False
    """Whether the path is one of the old ones below `watch/`."""


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
    watch = rest[0] == "watch" and len(rest) > 1
    namespace, rest = "", rest[watch:]
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
    return Target(resource, namespace, name, subresource, tail, watch)


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
        """Tell whether an option is set to true, which is any word but false and 0."""
        return name in self.request.query_params and self.query(name).lower() not in _FALSE

    def number(self, name: str) -> int | None:
        """Return an option that is a whole number, or None where it is not given.

        Raises:
            ApiError: 400 when it is no number.
        """
        if name not in self.request.query_params:
            return None
        text = self.query(name)
        if not _INTEGER.fullmatch(text):
            raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        if not -(2**63) <= int(text) < 2**63:
            raise status.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
        return int(text)

    @property
    def verb(self) -> str:
        """The verb, as roles and the audit name it."""
        if self.request.method in ("GET", "HEAD", "OPTIONS"):
            if self.target.watch:
                return "watch"
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
        if faults := _manager_faults(self.query("fieldManager")):
            raise status.invalid(kind, "meta.k8s.io", "", faults)
        agent = self.request.headers.get("user-agent", "unknown").partition("/")[0]
        return Origin(
            principal=self.user.name,
            verb=self.verb,
            path=self.request.url.path,
            manager=self.query("fieldManager") or agent,
            dry_run=bool(given),
            subresource=self.target.subresource,
            user=self.user,
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
        return (await self.read_body()).value

    async def read_body(self) -> Body:
        """Return the body as an object, with what strict decoding has against its text.

        Raises:
            ApiError: 400, 413 or 415.
        """
        own = isinstance(self.resource, CustomResource) and self.target.subresource in ("", "status")
        return read_body(await self.body(), self.content_type, self.body_kind, must_say_kind=own)


def _manager_faults(manager: str) -> list[status.FieldFault]:
    faults: list[status.FieldFault] = []
    if len(manager.encode()) > _MANAGER_MAX:
        detail = f"Too long: may not be more than {_MANAGER_MAX} bytes"
        faults.append(status.FieldFault("fieldManager", "FieldValueTooLong", detail))
    for place, char in enumerate(manager):
        if not char.isprintable():
            detail = f"invalid character U+{ord(char):04X} (at position {place})"
            faults.append(status.invalid_value("fieldManager", manager, detail))
            break
    return faults
