"""Rules of PersistentVolumeClaims, PersistentVolumes and StorageClasses."""

from collections.abc import Callable
from typing import Any, Final

from midwatch_lab import names
from midwatch_lab.go_diff import difference
from midwatch_lab.kinds import rules, storage_structs
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, copied, dig
from midwatch_lab.quantity import parse
from midwatch_lab.status import FieldFault, duplicate, forbidden_field, invalid_value, required, unsupported

_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_ALONE: Final = "ReadWriteOncePod"
_HOST_TYPES: Final = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_POLICIES: Final = ("Delete", "Recycle", "Retain")
_PARAMETERS_MAX: Final = 512
_PARAMETERS_SIZE: Final = 256 * 1024
_FIXED: Final = "field is immutable"
_BOUND: Final = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
)
_POSITIVE: Final = "must be greater than zero"


def claim(obj: Object) -> Faults:
    """Check a PersistentVolumeClaim."""
    spec: Object = obj.get("spec", {})
    modes: list[str] = spec.get("accessModes", [])
    if not modes:
        yield required("spec.accessModes", "at least 1 access mode is required")
    yield from rules.label_selector(spec.get("selector", {}), "spec.selector")
    yield from _modes(modes)
    size = dig(spec, "resources", "requests", "storage")
    if size is None:
        yield required("spec.resources[storage]")
    elif parse(size) <= 0:
        yield invalid_value("spec.resources[storage]", size, _POSITIVE)
    yield from _class_and_mode(spec)
    for name, amount in dig(obj, "status", "capacity", default={}).items():
        if parse(amount) < 0:
            text = f"Invalid value: {amount}: must be a valid resource quantity"
            yield FieldFault(f"status.capacity[{name}]", "FieldValueInvalid", text)


def _modes(modes: list[str]) -> Faults:
    for mode in modes:
        if mode not in _MODES:
            yield unsupported("spec.accessModes", mode, _MODES)
    if _ALONE in modes and len(set(modes)) > 1:
        yield forbidden_field("spec.accessModes", f"may not use {_ALONE} with other access modes")


def _class_and_mode(spec: Object) -> Faults:
    name = spec.get("storageClassName")
    if name and (fault := names.dns_subdomain_fault(name)):
        yield invalid_value("spec.storageClassName", name, fault)
    mode = spec.get("volumeMode")
    if mode is not None and mode not in ("Block", "Filesystem"):
        yield unsupported("spec.volumeMode", mode, ("Block", "Filesystem"))


def claim_update(new: Object, old: Object) -> Faults:
    """Check that a claim changes in its volume once, and in its size once it is bound."""
    before, after = copied(old.get("spec", {})), copied(new.get("spec", {}))
    if not before.get("volumeName") and after.get("volumeName"):
        before["volumeName"] = after["volumeName"]
    if before.get("storageClassName") is None and after.get("storageClassName") and not old["spec"].get("volumeName"):
        # A default class that comes later is given to those that wait for one.
        before["storageClassName"] = after["storageClassName"]
    old_size = dig(before, "resources", "requests", "storage", default="0")
    size = dig(after, "resources", "requests", "storage", default="0")
    if dig(new, "status", "phase") == "Bound":
        after.setdefault("resources", {}).setdefault("requests", {})["storage"] = old_size
        after.pop("volumeAttributesClassName", None)
        if "volumeAttributesClassName" in before:
            after["volumeAttributesClassName"] = before["volumeAttributesClassName"]
    if before != after:
        changes = difference(storage_structs.claim_spec(before), storage_structs.claim_spec(after))
        yield forbidden_field("spec", _BOUND + changes)
    held = dig(old, "status", "capacity", "storage", default="0")
    if parse(size) < parse(old_size) and parse(size) <= parse(held):
        yield forbidden_field("spec.resources.requests.storage", "field can not be less than status.capacity")
    yield from _same_mode(new, old)


def _same_mode(new: Object, old: Object) -> Faults:
    mode = dig(new, "spec", "volumeMode")
    if mode != dig(old, "spec", "volumeMode"):
        yield invalid_value("volumeMode", mode, _FIXED)


def volume(obj: Object) -> Faults:
    """Check a PersistentVolume."""
    spec: Object = obj.get("spec", {})
    modes: list[str] = spec.get("accessModes", [])
    if not modes:
        yield required("spec.accessModes")
    yield from _modes(modes)
    yield from _capacity(spec.get("capacity", {}))
    policy = spec.get("persistentVolumeReclaimPolicy", "")
    if policy and policy not in _POLICIES:
        yield unsupported("spec.persistentVolumeReclaimPolicy", policy, _POLICIES)
    needed: Object | None = dig(spec, "nodeAffinity", "required")
    if needed is not None and not needed.get("nodeSelectorTerms"):
        path = "spec.nodeAffinity.required.nodeSelectorTerms"
        yield required(path, "must have at least one node selector term")
    yield from _sources(spec)
    if dig(spec, "hostPath", "path") == "/" and policy == "Recycle":
        path = "spec.persistentVolumeReclaimPolicy"
        yield forbidden_field(path, "may not be 'recycle' for a hostPath mount of '/'")
    yield from _class_and_mode(spec)
    if "volumeAttributesClassName" in spec and "csi" not in spec:
        yield required("spec.csi", "has to be specified when using volumeAttributesClassName")


def _capacity(capacity: dict[str, str]) -> Faults:
    if not capacity:
        yield required("spec.capacity")
    if set(capacity) != {"storage"}:
        yield unsupported("spec.capacity", capacity, ("storage",))
    for name, amount in capacity.items():
        if parse(amount) <= 0:
            yield invalid_value(f"spec.capacity[{name}]", amount, _POSITIVE)


def _sources(spec: Object) -> Faults:
    given = [name for name in storage_structs.SOURCES if name in spec]
    if not given:
        yield required("spec", "must specify a volume type")
        return
    for extra in given[1:]:
        yield forbidden_field(f"spec.{extra}", "may not specify more than 1 volume type")
    check = _SOURCE_RULES.get(given[0])
    if check is not None:
        yield from check(spec[given[0]], f"spec.{given[0]}")
    if given[0] == "local" and not dig(spec, "nodeAffinity", "required"):
        yield required("spec.nodeAffinity", "Local volume requires node affinity")


def _host_path(source: Object, path: str) -> Faults:
    place = str(source.get("path", ""))
    if not place:
        yield required(f"{path}.path")
        return
    yield from _no_backsteps(place, f"{path}.path")
    kind = source.get("type", "")
    if kind not in _HOST_TYPES:
        yield unsupported(f"{path}.type", kind, _HOST_TYPES)


def _no_backsteps(place: str, path: str) -> Faults:
    if ".." in place.split("/"):
        yield invalid_value(path, place, "must not contain '..'")


def _nfs(source: Object, path: str) -> Faults:
    for key in ("server", "path"):
        if not source.get(key):
            yield required(f"{path}.{key}")
    if not str(source.get("path", "")).startswith("/"):
        yield invalid_value(f"{path}.path", source.get("path", ""), "must be an absolute path")


def _local(source: Object, path: str) -> Faults:
    if not source.get("path"):
        yield required(f"{path}.path")
    yield from _no_backsteps(str(source.get("path", "")), f"{path}.path")


def _csi(source: Object, path: str) -> Faults:
    driver = str(source.get("driver", ""))
    if not driver:
        yield required(f"{path}.driver")
    elif fault := names.dns_subdomain_fault(driver.lower()):
        yield invalid_value(f"{path}.driver", driver, fault)
    if not source.get("volumeHandle"):
        yield required(f"{path}.volumeHandle")


_SOURCE_RULES: Final[dict[str, Callable[[Object, str], Faults]]] = {
    "hostPath": _host_path,
    "nfs": _nfs,
    "local": _local,
    "csi": _csi,
}


def volume_update(new: Object, old: Object) -> Faults:
    """Check that a volume stays where it is."""
    after, before = storage_structs.volume_source(new["spec"]), storage_structs.volume_source(old["spec"])
    if after != before:
        what = "spec.persistentvolumesource is immutable after creation\n"
        yield forbidden_field("spec.persistentvolumesource", what + difference(before, after))
    yield from _same_mode(new, old)


def storage_class(obj: Object) -> Faults:
    """Check a StorageClass."""
    provisioner = str(obj.get("provisioner", ""))
    if not provisioner:
        yield required("provisioner")
    else:
        for fault in names.label_key_faults(provisioner.lower()):
            yield invalid_value("provisioner", provisioner, fault)
    yield from _parameters(obj.get("parameters", {}))
    yield from rules.one_of(obj, "reclaimPolicy", "", ("Delete", "Retain"))
    yield from rules.one_of(obj, "volumeBindingMode", "", ("Immediate", "WaitForFirstConsumer"))
    for index, term in enumerate(obj.get("allowedTopologies", [])):
        yield from _topology(term, f"allowedTopologies[{index}]")


def _parameters(parameters: dict[str, str]) -> Faults:
    if len(parameters) > _PARAMETERS_MAX:
        text = f"Too long: may not be more than {_PARAMETERS_MAX} bytes"
        yield FieldFault("parameters", "FieldValueTooLong", text)
        return
    if "" in parameters:
        yield invalid_value("parameters", "", "field can not be empty.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items()) > _PARAMETERS_SIZE:
        text = f"Too long: may not be more than {_PARAMETERS_SIZE} bytes"
        yield FieldFault("parameters", "FieldValueTooLong", text)


def _topology(term: Object, path: str) -> Faults:
    seen: set[str] = set()
    for index, item in enumerate(term.get("matchLabelExpressions", [])):
        where, key = f"{path}.matchLabelExpressions[{index}]", str(item.get("key", ""))
        values: list[str] = dig(item, "values", default=[])
        if not values:
            yield required(f"{where}.values")
        for place, value in enumerate(values):
            if value in values[:place]:
                yield duplicate(f"{where}.values[{place}]", value)
        for fault in names.label_key_faults(key):
            yield invalid_value(f"{where}.key", key, fault)
        if key in seen:
            yield duplicate(f"{where}.key", key)
        seen.add(key)


def storage_class_update(new: Object, old: Object) -> Faults:
    """Check that a StorageClass keeps how it makes volumes."""
    for key in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        value: Any = new.get(key)
        if value != old.get(key):
            yield invalid_value(key, value, _FIXED)
