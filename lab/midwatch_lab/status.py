"""The refusals that the API server makes, in the original's words and shapes (reason, details, causes)."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import Resource

_ESCAPES: Final = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
    "\v": "\\v",
}  # fmt: skip


@dataclass(frozen=True)
class FieldFault:
    """One field that does not hold what it may: becomes a cause of a 422."""

    field: str
    reason: str
    detail: str

    @property
    def text(self) -> str:
        """The sentence as it stands in the message."""
        return f"{self.field}: {self.detail}"


def required(field: str, detail: str = "") -> FieldFault:
    """Report a missing field."""
    return FieldFault(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))


def invalid_value(field: str, value: Any, detail: str) -> FieldFault:
    """Report a field whose value may not be."""
    return FieldFault(field, "FieldValueInvalid", f"Invalid value: {go_json(value)}: {detail}")


def unsupported(field: str, value: Any, supported: Sequence[str]) -> FieldFault:
    """Report a field whose value is not one of a closed set."""
    names = ", ".join(f'"{name}"' for name in supported)
    detail = f"Unsupported value: {go_json(value)}: supported values: {names}"
    return FieldFault(field, "FieldValueNotSupported", detail)


def forbidden_field(field: str, detail: str) -> FieldFault:
    """Report a field that may not be there, or may not change."""
    return FieldFault(field, "FieldValueForbidden", f"Forbidden: {detail}")


def duplicate(field: str, value: Any) -> FieldFault:
    """Report a list element that occurs twice."""
    return FieldFault(field, "FieldValueDuplicate", f"Duplicate value: {go_json(value)}")


def quoted(text: str) -> str:
    """Return a text as Go's `%q` prints it."""
    return '"' + "".join(_ESCAPES.get(char) or _printable(char) for char in text) + '"'


def _printable(char: str) -> str:
    if char.isprintable() or char == "\ufffd":
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 (ASCII, the first plane)


@dataclass(frozen=True)
class Struct:
    """One of Go's structures, whose fields a message shows in their own order."""

    fields: tuple[tuple[str, Any], ...]


def go_json(value: Any) -> str:  # noqa: PLR0911 (one case a type)
    """Return a value as the original prints it in a message: compact JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case Struct():
            return "{" + ",".join(f'"{name}":{go_json(item)}' for name, item in value.fields) + "}"
        case dict():
            return "{" + ",".join(f"{go_json(k)}:{go_json(v)}" for k, v in sorted(value.items())) + "}"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] (JSON)
        case list():
            return "[" + ",".join(go_json(item) for item in value) + "]"  # pyright: ignore[reportUnknownVariableType] (JSON of unknown shape)
        case _:
            return str(value)


def json_type(value: Any) -> str:
    """Return what Go's decoder calls the type of a JSON value."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


def go_map(value: Any) -> str:
    """Return a value as Go's `%v` prints decoded JSON: `map[spec:map[replicas:x]]`."""
    match value:
        case dict():
            parts = sorted(value.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] (JSON)
            return "map[" + " ".join(f"{k}:{go_map(v)}" for k, v in parts) + "]"  # pyright: ignore[reportUnknownVariableType] (JSON)
        case list():
            return "[" + " ".join(go_map(item) for item in value) + "]"  # pyright: ignore[reportUnknownVariableType] (JSON)
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def _details(resource: Resource, name: str, kind: str) -> dict[str, Any]:
    details = {"name": name, "group": resource.group, "kind": kind}
    return {key: value for key, value in details.items() if value}


def not_found(resource: Resource, name: str) -> ApiError:
    """Say that the named object is not there."""
    message = f'{resource.qualified} "{name}" not found'
    return ApiError(HTTPStatus.NOT_FOUND, "NotFound", message, details=_details(resource, name, resource.plural))


def no_such_resource() -> ApiError:
    """Say that the path names a resource that is not served."""
    message = "the server could not find the requested resource"
    return ApiError(HTTPStatus.NOT_FOUND, "NotFound", message, details={})


def already_exists(resource: Resource, name: str) -> ApiError:
    """Say that an object of that name is there already."""
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(HTTPStatus.CONFLICT, "AlreadyExists", message, details=_details(resource, name, resource.plural))


def conflict(resource: Resource, name: str, why: str = "") -> ApiError:
    """Say that somebody else wrote first, or that a precondition does not hold."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(HTTPStatus.CONFLICT, "Conflict", message, details=_details(resource, name, resource.plural))


def precondition(resource: Resource, name: str, why: str) -> ApiError:
    """Say that a deletion was meant for another object; the original names the kind here, not the resource."""
    message = f'Operation cannot be fulfilled on {resource.qualified_kind} "{name}": {why}'
    return ApiError(HTTPStatus.CONFLICT, "Conflict", message, details=_details(resource, name, resource.kind))


def invalid(kind: str, group: str, name: str, faults: Sequence[FieldFault]) -> ApiError:
    """Say that fields do not hold what they may."""
    qualified = f"{kind}.{group}" if group else kind
    texts = list(dict.fromkeys(fault.text for fault in faults))
    body = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    causes = [{"reason": fault.reason, "message": fault.detail, "field": fault.field} for fault in faults]
    details = {"name": name, "group": group, "kind": kind}
    shown: dict[str, Any] = {key: value for key, value in details.items() if value}
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Invalid",
        f"{qualified} {quoted(name)} is invalid: {body}",
        details={**shown, "causes": causes},
    )


def bad_request(message: str) -> ApiError:
    """Say that the request itself is wrong."""
    return ApiError(HTTPStatus.BAD_REQUEST, "BadRequest", message)


def internal(message: str) -> ApiError:
    """Say what the original says with a plain error, which has no reason."""
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "", message)


def unauthorized() -> ApiError:
    """Say that there is no token, or one that nobody has."""
    return ApiError(HTTPStatus.UNAUTHORIZED, "Unauthorized", "Unauthorized")


def method_not_allowed() -> ApiError:
    """Say that the resource does not know the method."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", message, details={})


def unsupported_verb(verb: str, resource: Resource) -> ApiError:
    """Say that a custom resource does not know the verb."""
    message = f'{verb} is not supported on resources of kind "{resource.qualified}"'
    details = _details(resource, "", resource.plural)
    return ApiError(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", message, details=details)


def unsupported_media_type(why: str = "") -> ApiError:
    """Say that the body has a type that cannot be read."""
    message = "415: Unsupported Media Type" + (f": {why}" if why else "")
    return ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message, details={})


def unreadable_body() -> ApiError:
    """Say that the body has a type that cannot be read."""
    return unknown_patch(("application/json", "application/yaml", "application/vnd.kubernetes.protobuf"))


def unknown_patch(accepted: Sequence[str]) -> ApiError:
    """Say that the body is no patch of a type that the resource takes."""
    known = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {known}"
    return ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)


def not_acceptable(available: str = "application/json, application/yaml") -> ApiError:
    """Say that the client wants a media type that cannot be given."""
    message = f"406: Not Acceptable\n\nAvailable representations: {available}"
    return ApiError(HTTPStatus.NOT_ACCEPTABLE, "NotAcceptable", message, details={})


def no_such_form(accepted: str) -> ApiError:
    """Say that the client wants a form of a media type that cannot be given."""
    message = f"only the following media types are accepted: {accepted}"
    return ApiError(HTTPStatus.NOT_ACCEPTABLE, "NotAcceptable", message)


def wrong_form(message: str) -> ApiError:
    """Say that the client wants one object as a list, or a list as one."""
    return ApiError(HTTPStatus.NOT_ACCEPTABLE, "NotAcceptable", message)


def expired(message: str) -> ApiError:
    """Say that the version asked for is no longer in the history."""
    return ApiError(HTTPStatus.GONE, "Expired", message)


def expired_token(token: str) -> ApiError:
    """Say that a list cannot be continued at its version, and by which token it can be at another."""
    error = expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    error.status["metadata"] = {"continue": token}
    return error


def unprocessable() -> ApiError:
    """Say that a JSON patch does not fit the object."""
    message = "the server rejected our request due to an error in our request"
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid", message, details={})


def unavailable(message: str) -> ApiError:
    """Say that something behind the server cannot be reached."""
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable", message)


def internal_error(message: str) -> ApiError:
    """Say that something behind the server failed, under the reason InternalError."""
    text = f"Internal error occurred: {message}"
    details = {"causes": [{"message": message}]}
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", text, details=details)


def too_large(message: str) -> ApiError:
    """Say that the body is over the limit."""
    return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLarge", message)


def terminating(resource: Resource, name: str, namespace: str) -> ApiError:
    """Say that nothing new is made in a namespace that is being deleted."""
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    error = forbidden(resource.plural, resource.group, name, why)
    message = f"namespace {namespace} is being terminated"
    causes = [{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]
    error.status["details"]["causes"] = causes
    return error


def forbidden(resource: str, group: str, name: str, message: str) -> ApiError:
    """Say that the user may not do that; `resource` is the plural, `message` all after `is forbidden: `."""
    qualified = f"{resource}.{group}" if group else resource
    subject = f'{qualified} "{name}"' if name else qualified
    details = {key: value for key, value in (("name", name), ("group", group), ("kind", resource)) if value}
    return ApiError(HTTPStatus.FORBIDDEN, "Forbidden", f"{subject} is forbidden: {message}", details=details)
