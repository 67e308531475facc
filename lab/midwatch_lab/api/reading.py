"""get and list: selectors, pages by `limit` and `continue`, and the version that a list stands for."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from midwatch_lab import status
from midwatch_lab.api import list_options
from midwatch_lab.api.call import Call
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import ApiError, SelectorError
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, name_of, namespace_of
from midwatch_lab.selectors import FieldSelector, LabelSelector
from midwatch_lab.store.store import Store


@dataclass(frozen=True)
class Filter:
    """Which objects of a resource a request is about."""

    resource: Resource
    namespace: str
    labels: LabelSelector
    fields: FieldSelector

    @classmethod
    def of(cls, call: Call) -> "Filter":
        """Read the selectors of a request.

        Raises:
            ApiError: 400 when one does not parse.
        """
        try:
            labels = LabelSelector.parse(call.query("labelSelector"))
            kind, own = call.resource.qualified_kind, _custom_fields(call.resource)
            fields = FieldSelector.parse(call.query("fieldSelector"), kind, own)
        except SelectorError as error:
            raise status.bad_request(str(error)) from error
        if call.target.name:
            fields = FieldSelector((*fields.conditions, ("metadata.name", call.target.name, True)))
        return cls(call.resource, call.target.namespace, labels, fields)

    @property
    def chooses(self) -> bool:
        """Whether there is more to it than the namespace."""
        return bool(self.labels.requirements or self.fields.conditions)

    @property
    def name(self) -> str:
        """The one name that it is about, empty where it is about more."""
        names = (value for path, value, equal in self.fields.conditions if equal and path == "metadata.name")
        return next(names, "")

    def matches(self, obj: Object) -> bool:
        """Tell whether the request is about the object."""
        if self.namespace and namespace_of(obj) != self.namespace:
            return False
        if self.labels.requirements and not self.labels.matches(obj["metadata"].get("labels") or {}):
            return False
        return not self.fields.conditions or self.fields.matches(obj)


def _custom_fields(resource: Resource) -> tuple[str, ...] | None:
    """Return the fields beside name and namespace that a custom resource is selected by; None for built-in ones."""
    return tuple(path[1:] for path in resource.selectable) if isinstance(resource, CustomResource) else None


def requested_version(call: Call, current: int) -> int | None:
    """Return the `resourceVersion` of a request; None where it is not given.

    Raises:
        ApiError: 400 when it is no number, 504 when it lies in the future.
    """
    text = call.query("resourceVersion")
    if not text:
        return None
    if not text.isdigit():
        raise status.bad_request(f"invalid resource version: {_no_version(text)}")
    if int(text) > current:
        raise _too_large(int(text), current)
    return int(text)


def _too_large(wanted: int, current: int) -> ApiError:
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    details: dict[str, Any] = {"causes": causes, "retryAfterSeconds": 1}
    return ApiError(HTTPStatus.GATEWAY_TIMEOUT, "Timeout", message, details=details)


def _place(call: Call, obj: Object) -> str:
    """Return what continues a list after an object: its name, below its namespace where the list spans them all."""
    spans = call.resource.namespaced and not call.target.namespace
    return f"{namespace_of(obj)}/{name_of(obj)}" if spans else name_of(obj)


def _after(call: Call, obj: Object, start: str) -> bool:
    """Tell whether an object comes after the place where a list is continued."""
    return _place(call, obj) > start


def check_get(call: Call, store: Store) -> None:
    """Refuse a get with options that are gone, or of a version that is not there yet.

    Raises:
        ApiError: 400, 500 (a resourceVersion that is no number) or 504.
    """
    for name in ("export", "exact"):
        if call.flag(name):
            raise status.bad_request(f"the {name} parameter, deprecated since v1.14, is no longer supported")
    text = call.query("resourceVersion")
    if text and not text.isdigit():
        raise status.internal(_no_version(text))
    requested_version(call, store.version)


def _no_version(text: str) -> str:
    return f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'


def watched_version(call: Call, current: int) -> int | None:
    """Return the `resourceVersion` of a watch; None where it is not given.

    Raises:
        ApiError: 500 when it is no number, 504 when it lies in the future.
    """
    text = call.query("resourceVersion")
    if text and not text.isdigit():
        raise status.internal(_no_version(text))
    return requested_version(call, current)


def _state(store: Store, call: Call, token: str) -> tuple[int, str, list[Object]]:
    """Return the version that a list stands for, the key after which it goes on, and the objects of that version."""
    key, namespace, version = call.resource.key, call.target.namespace, store.version
    if token:
        version, start = list_options.read_token(token)
        if call.query("resourceVersion") not in ("", "0"):
            raise status.bad_request("specifying resource version is not allowed when using continue")
        if version == list_options.INCONSISTENT:
            return store.version, start, store.items(key, namespace)
        if version > store.version:
            raise _too_large(version, store.version)
        try:
            return version, start, store.items_at(key, namespace, version)
        except ApiError as error:
            raise status.expired_token(list_options.write_token(list_options.INCONSISTENT, start)) from error
    if call.query("resourceVersionMatch") == "Exact":
        version = requested_version(call, store.version) or store.version
        try:
            return version, "", store.items_at(key, namespace, version)
        except ApiError as error:
            raise status.expired("The resourceVersion for the provided list is too old.") from error
    requested_version(call, store.version)
    return version, "", store.items(key, namespace)


def list_objects(store: Store, call: Call) -> tuple[list[Object], Object]:
    """Return the stored objects that a request lists, and the list's metadata.

    Raises:
        ApiError: 400, or 410 when a page or version asked for lies too far back.
    """
    list_options.check(call, watch=False)
    chosen = Filter.of(call)
    token, limit = call.query("continue"), max(0, call.number("limit") or 0)
    version, start, objects = _state(store, call, token)
    within = objects if not start else [obj for obj in objects if _after(call, obj, start)]
    if chosen.name and (call.target.namespace or not call.resource.namespaced):
        within = [obj for obj in within if name_of(obj) == chosen.name]
    found = [obj for obj in within if chosen.matches(obj)] if chosen.chooses else within
    list_meta: Object = {"resourceVersion": str(version)}
    if not token and call.query("resourceVersion") == "0":
        # What need not be new comes from the original's cache, whole.
        limit = 0
    # Whether what comes after a full page is chosen too, nobody looks.
    if limit and len(found) >= limit and within[-1] is not found[limit - 1]:
        last = found[limit - 1]
        list_meta["continue"] = list_options.write_token(version, _place(call, last))
        if not chosen.chooses:
            list_meta["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    return found, list_meta
