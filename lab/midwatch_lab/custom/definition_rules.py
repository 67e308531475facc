"""What is wrong with a CustomResourceDefinition, field by field, in the original's order and words.

The original judges its internal form, in which what all versions share stands once beside them; hence paths such as
`spec.validation` (k8s.io/apiextensions-apiserver, pkg/apis/apiextensions/validation).
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from midwatch_lab import names
from midwatch_lab.custom import cel_rules, defaults_rules, schema_rules, structural_rules
from midwatch_lab.custom.structure import simple_path
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, annotations_of, dig, meta, name_of
from midwatch_lab.status import FieldFault, duplicate, forbidden_field, invalid_value, required, unsupported

APPROVAL: Final = "api-approved.kubernetes.io"
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SIMPLE_PATH: Final = re.compile(r"\.|(\.[^.\s\[\]]+(\[[^\]]*\])?)+")
_FIELD_TYPES: Final = ("string", "boolean", "integer")


def check(definition: Object) -> Faults:
    """Yield what is wrong with a definition."""
    spec: Object = dig(definition, "spec", default={})
    wanted = f"{dig(spec, 'names', 'plural', default='')}.{spec.get('group', '')}"
    # Only a new definition is judged by its name; what is stored has a version, and cannot change its names.
    if name_of(definition) != wanted and "resourceVersion" not in meta(definition):
        yield invalid_value("metadata.name", name_of(definition), 'must be spec.names.plural+"."+spec.group')
    yield from _group(spec.get("group", ""))
    if not spec.get("scope"):
        yield required("spec.scope")
    elif spec["scope"] not in ("Cluster", "Namespaced"):
        yield unsupported("spec.scope", spec["scope"], ("Cluster", "Namespaced"))
    if spec.get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        yield invalid_value("spec.preserveUnknownFields", True, detail)
    yield from _versions(spec)
    yield from _names(dig(spec, "names", default={}))
    yield from _contents(spec)
    yield from _conversion(spec)
    yield from _stored(definition, spec)
    yield from _approval(definition, spec)


def check_update(definition: Object, old: Object) -> Faults:
    """Yield what may not change once a definition is established."""
    if not any(item["type"] == "Established" and item["status"] == "True" for item in conditions(old)):
        return
    for path in (("group",), ("scope",), ("names", "kind"), ("names", "plural")):
        value = dig(definition, "spec", *path)
        if value != dig(old, "spec", *path):
            yield invalid_value("spec." + ".".join(path), value, "field is immutable")


def conditions(definition: Object) -> list[Object]:
    """Return the status conditions of a definition."""
    return dig(definition, "status", "conditions", default=[])


def _group(group: str) -> Faults:
    if not group:
        yield required("spec.group")
    elif fault := names.dns_subdomain_fault(group):
        yield invalid_value("spec.group", group, fault)
    elif "." not in group:
        yield invalid_value("spec.group", group, "should be a domain with at least one dot")


def _versions(spec: Object) -> Faults:
    versions: list[Object] = spec.get("versions", [])
    schemas = [dig(version, "schema", "openAPIV3Schema") for version in versions]
    for index, schema in enumerate(schemas):
        if schema is None:
            yield required(f"spec.versions[{index}].schema.openAPIV3Schema")
    for index, version in enumerate(versions):
        if fault := names.dns_1035_fault(version.get("name", "")):
            yield invalid_value(f"spec.versions[{index}].name", version.get("name", ""), fault)
        if version.get("deprecationWarning") is not None and not version.get("deprecated"):
            detail = "can only be set for deprecated versions"
            yield invalid_value(f"spec.versions[{index}].deprecationWarning", version["deprecationWarning"], detail)
    if len({version.get("name") for version in versions}) < len(versions):
        yield _all_versions(versions, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield _all_versions(spec.get("versions"), "must have exactly one version marked as storage version")
    first = versions[0].get("name", "") if versions else ""
    if first and (fault := names.dns_1035_fault(first)):
        yield invalid_value("spec.version", first, fault)


def _all_versions(versions: list[Object] | None, detail: str) -> FieldFault:
    shown = [
        {
            "Name": version.get("name", ""), "Served": bool(version.get("served")),
            "Storage": bool(version.get("storage")), "Deprecated": bool(version.get("deprecated")),
            "DeprecationWarning": version.get("deprecationWarning"), "Schema": None, "Subresources": None,
            "AdditionalPrinterColumns": None, "SelectableFields": None,
        }
        for version in versions or ()
    ]  # fmt: skip
    text = "null" if versions is None else orjson.dumps(shown).decode()
    return FieldFault("spec.versions", "FieldValueInvalid", f"Invalid value: {text}: {detail}")


def _names(found: Object) -> Faults:  # noqa: C901 (one check a name, in the order of the original)
    for key in ("plural", "singular", "kind", "listKind"):
        if not found.get(key):
            yield required(f"spec.names.{key}")
    for key in ("plural", "singular"):
        if found.get(key) and (fault := names.dns_1035_fault(found[key])):
            yield invalid_value(f"spec.names.{key}", found[key], fault)
    for key in ("kind", "listKind"):
        if found.get(key) and (fault := names.kind_fault(found[key])):
            yield invalid_value(f"spec.names.{key}", found[key], fault)
    for key in ("shortNames", "categories"):
        for index, word in enumerate(found.get(key, ())):
            if fault := names.dns_1035_fault(word):
                yield invalid_value(f"spec.names.{key}[{index}]", word, fault)
    if found.get("kind") and found.get("kind") == found.get("listKind"):
        yield invalid_value("spec.names.listKind", found["listKind"], "kind and listKind may not be the same")


def _contents(spec: Object) -> Faults:
    """Check schemas, subresources, columns and selectable fields: once where all versions share them."""
    versions: list[Object] = spec.get("versions", [])
    schemas = [dig(version, "schema", "openAPIV3Schema") for version in versions]
    for path, schema in _shared(schemas, "spec.validation.openAPIV3Schema", "schema.openAPIV3Schema"):
        if schema is not None:
            yield from _schema(schema, path)
    for path, found in _shared([version.get("subresources") for version in versions], "spec.subresources"):
        yield from _subresources(dig(found, "scale"), f"{path}.scale")
    columns = [version.get("additionalPrinterColumns") for version in versions]
    for path, found in _shared(columns, "spec.additionalPrinterColumns"):
        for index, column in enumerate(found or ()):
            yield from _column(column, f"{path}[{index}]")
    selectable = [version.get("selectableFields") for version in versions]
    for (path, found), schema in zip(_shared(selectable, "spec.selectableFields"), schemas, strict=False):
        yield from _selectable(found or [], schema or {}, path)


def _shared(items: Sequence[Any], path: str, own: str = "") -> list[tuple[str, Any]]:
    """Return (path, item): one at the top where all versions have the same, else one a version."""
    if items and all(item == items[0] for item in items):
        return [(path, items[0])]
    tail = own or path.removeprefix("spec.")
    return [(f"spec.versions[{index}].{tail}", item) for index, item in enumerate(items)]


def _schema(schema: Object, path: str) -> Faults:
    found = list(schema_rules.check(schema, path))
    yield from found
    if any(fault.detail.endswith("is not supported") for fault in found):
        return
    structural = [*structural_rules.check(schema, path), *structural_rules.incomplete(schema, path)]
    yield from structural
    words = list(cel_rules.check_words(schema, path))
    yield from words
    if not structural:
        compiled = [] if words or found else list(cel_rules.check(schema, path))
        if not compiled:
            yield from defaults_rules.check(schema, path)
        yield from compiled


def _subresources(scale: Object | None, path: str) -> Faults:
    if scale is None:
        return
    for key, roots in (("specReplicasPath", (".spec",)), ("statusReplicasPath", (".status",))):
        if not scale.get(key):
            yield required(f"{path}.{key}")
        else:
            yield from _scale_path(scale[key], roots, f"{path}.{key}")
    if scale.get("labelSelectorPath"):
        yield from _scale_path(scale["labelSelectorPath"], (".spec", ".status"), f"{path}.labelSelectorPath")


def _scale_path(text: str, roots: tuple[str, ...], path: str) -> Faults:
    if not text.startswith("."):
        yield invalid_value(path, text, "must be a simple json path starting with .")
    elif not any(text.startswith(root + ".") for root in roots):
        under = roots[0] if len(roots) == 1 else "either " + " or ".join(roots)
        yield invalid_value(path, text, f"should be a json path under {under}")


def _column(column: Object, path: str) -> Faults:
    if not column.get("name"):
        yield required(f"{path}.name")
    if not column.get("type"):
        yield required(f"{path}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
    elif column["type"] not in _COLUMN_TYPES:
        yield invalid_value(f"{path}.type", column["type"], f"must be one of {','.join(_COLUMN_TYPES)}")
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        yield invalid_value(f"{path}.format", column["format"], f"must be one of {','.join(_COLUMN_FORMATS)}")
    if not column.get("jsonPath"):
        yield required(f"{path}.JSONPath")
    elif not column["jsonPath"].startswith("."):
        yield invalid_value(f"{path}.JSONPath", column["jsonPath"], "must be a simple json path starting with .")


def _selectable(found: list[Object], schema: Object, path: str) -> Faults:
    seen: set[str] = set()
    for index, item in enumerate(found):
        text, where = item.get("jsonPath", ""), f"{path}[{index}].jsonPath"
        if not text:
            yield required(where)
        elif text in seen:
            yield duplicate(where, text)
        elif "[" in text:
            yield invalid_value(where, text, "is an invalid path: array notation is not allowed")
        else:
            yield from _selected(text, schema, where)
        seen.add(text)


def _selected(text: str, schema: Object, where: str) -> Faults:
    field: Object = schema
    steps = simple_path(text)
    for step in steps:
        field = dig(field, "properties", step, default={})
    if not field or steps[:1] == ("metadata",):
        yield invalid_value(where, text, "is an invalid path: does not refer to a valid field")
    elif field.get("type") not in _FIELD_TYPES:
        detail = (
            "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are "
            "allowed."
        )
        yield invalid_value(where, text, detail)


def _conversion(spec: Object) -> Faults:
    conversion: Object = spec.get("conversion", {})
    strategy = conversion.get("strategy", "None")
    path = "spec.conversion"
    if strategy not in ("None", "Webhook"):
        yield unsupported(f"{path}.strategy", strategy, ("None", "Webhook"))
    if strategy == "Webhook":
        # Nothing in the lab can be called back, so a webhook is refused where the original would accept one.
        if dig(conversion, "webhook", "clientConfig") is None:
            yield required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
        else:
            yield forbidden_field(f"{path}.webhookClientConfig", "the lab calls no webhooks: use strategy None")
        if not dig(conversion, "webhook", "conversionReviewVersions"):
            yield required(f"{path}.conversionReviewVersions")
    elif strategy == "None" and conversion.get("webhook") is not None:
        yield forbidden_field(f"{path}.webhookClientConfig", "should not be set when strategy is not set to Webhook")


def _stored(definition: Object, spec: Object) -> Faults:
    stored: list[str] = dig(definition, "status", "storedVersions", default=[])
    path = "status.storedVersions"
    if not stored:
        yield invalid_value(path, None, "must have at least one stored version")
        return
    for version in spec.get("versions", []):
        if version.get("storage") and version.get("name") not in stored:
            yield invalid_value(path, stored, f"must have the storage version {version.get('name')}")
    known = {version.get("name") for version in spec.get("versions", [])}
    for index, name in enumerate(stored):
        if name not in known:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            yield invalid_value(f"{path}[{index}]", name, detail)


def _approval(definition: Object, spec: Object) -> Faults:
    group = str(spec.get("group", ""))
    if not (group.endswith((".k8s.io", ".kubernetes.io")) or group in ("k8s.io", "kubernetes.io")):
        return
    if not annotations_of(definition).get(APPROVAL):
        detail = (
            f'protected groups must have approval annotation "{APPROVAL}", see '
            "https://github.com/kubernetes/enhancements/pull/1111"
        )
        yield required(f"metadata.annotations[{APPROVAL}]", detail)
