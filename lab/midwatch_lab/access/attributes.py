"""What a request wants, read from its method and path alone, before anybody asks whether the resource exists.

A path is taken apart as the original takes it apart (`RequestInfo`), also where it names nothing that is served.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.requests import Request

from midwatch_lab import status
from midwatch_lab.access.user import User
from midwatch_lab.errors import ApiError

_METHOD_VERBS: Final = {
    "POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete",
}  # fmt: skip
_PATH_VERBS: Final = frozenset({"proxy", "watch"})
_NAMESPACE_SUBRESOURCES: Final = frozenset({"status", "finalize"})
_GROUP_DEPTH: Final = {"api": 0, "apis": 1}
_LEAST: Final = 3
_FALSE: Final = frozenset({"false", "0"})
_BY_NAME: Final = "metadata.name="
_HTML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True)
class Attributes:
    """Who wants to do what, to what: to a resource, or to a bare path where `resource` is empty."""

    user: User
    verb: str
    path: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    is_resource: bool = True

    @property
    def combined(self) -> str:
        """Resource and subresource as roles name them: `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    @property
    def refusal(self) -> str:
        """The sentence by which the request is refused."""
        who = f"User {status.quoted(self.user.name)} cannot {self.verb}"
        if not self.is_resource:
            return f"{who} path {status.quoted(self.path)}".translate(_HTML)
        quoted = status.quoted(self.namespace)
        where = f"in the namespace {quoted}" if self.namespace else "at the cluster scope"
        what = f"resource {status.quoted(self.combined)} in API group {status.quoted(self.group)}"
        return f"{who} {what} {where}".translate(_HTML)

    def forbidden(self, why: str = "") -> ApiError:
        """Return the refusal; `why` is what the authorizer says."""
        message = self.refusal + (f": {why}" if why else "")
        if not self.is_resource:
            return ApiError(HTTPStatus.FORBIDDEN, "Forbidden", f"forbidden: {message}", details={})
        return status.forbidden(self.resource, self.group, self.name, message)


def of_request(request: Request, user: User) -> Attributes:
    """Read what a request wants."""
    path = request.url.path
    parts = path.strip("/").split("/")
    depth = _GROUP_DEPTH.get(parts[0])
    if depth is None or len(parts) < _LEAST + depth:
        return Attributes(user, request.method.lower(), path, is_resource=False)
    group = parts[1] if depth else ""
    version, rest = parts[1 + depth], parts[2 + depth :]
    verb = _METHOD_VERBS.get(request.method, "")
    special = rest[0] in _PATH_VERBS and len(rest) > 1
    if special:
        verb, rest = rest[0], rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:  # noqa: PLR2004 (namespaces/NAME/…)
            rest = rest[2:]
    resource, name, subresource = [*rest[:3], "", ""][:3]
    if special:
        subresource = ""
    if not name and verb == "get":
        verb, name = _of_list(request)
    elif not name and verb == "delete":
        verb = "deletecollection"
    return Attributes(user, verb, path, group, version, resource, subresource, namespace, name)


def _of_list(request: Request) -> tuple[str, str]:
    """Return whether a collection is listed or watched, and the one name that is asked for, if it is one."""
    watches = request.query_params.get("watch")
    verb = "list" if watches is None or watches.lower() in _FALSE else "watch"
    terms = request.query_params.get("fieldSelector", "").split(",")
    names = [term.removeprefix(_BY_NAME) for term in terms if term.startswith(_BY_NAME)]
    return verb, names[0] if len(names) == 1 else ""
