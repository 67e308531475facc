"""Values against a structural schema, with the original's reasons and words (k8s.io/kube-openapi, pkg/validation).

An update is judged leniently: a part that was invalid before and is unchanged stays ("ratcheting", KEP-4008).
"""

from collections.abc import Iterator
from typing import Any, Final, cast

from midwatch_lab.custom import formats
from midwatch_lab.expressions import compiled
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object
from midwatch_lab.status import FieldFault, duplicate, go_json, required, unsupported

ABSENT: Final = object()
"""Stands for the old value where there is none, or none that corresponds."""

_BOUNDS: Final = {"int32": 2**31, "int64": 2**63, "uint32": 2**32, "uint64": 2**64}
_FLOAT_MAX: Final = 3.4028234663852886e38


def validate(value: Any, schema: Object, path: str, old: Any = ABSENT) -> Faults:
    """Yield what is wrong with a value; `path` is empty for the root, `old` the value that it replaces."""
    if old is not ABSENT and same(value, old):
        return
    if value is None:
        if schema.get("type") and not schema.get("nullable"):
            yield _wrong_type(path, schema, "null")
        if not schema.get("nullable"):
            yield from _enumerated(value, schema, path)
        return
    yield from _typed(value, schema, path)
    yield from _combined(value, schema, path)
    match value:
        case str():
            yield from _string(value, schema, path)
        case bool():
            pass
        case int() | float():
            yield from _number(value, schema, path)
        case list():
            yield from _list(cast("list[Any]", value), schema, path, old)
        case _:
            pass
    yield from _enumerated(value, schema, path)
    if isinstance(value, dict):
        yield from _object(cast("Object", value), schema, path, old)


def type_name(value: Any) -> str:  # noqa: PLR0911 (one case a type)
    """Return what the original calls the type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal, where true is not 1."""
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        one, two = cast("Object", left), cast("Object", right)
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(left, list) and isinstance(right, list):
        ones, twos = cast("list[Any]", left), cast("list[Any]", right)
        return len(ones) == len(twos) and all(same(a, b) for a, b in zip(ones, twos, strict=True))
    return bool(left == right)


def _fault(path: str, reason: str, value: Any, detail: str) -> FieldFault:
    return FieldFault(path, reason, f"Invalid value: {go_json(value)}: {path} in body {detail}")


def _wrong_type(path: str, schema: Object, given: str) -> FieldFault:
    wanted = "integer,string" if schema.get("x-kubernetes-int-or-string") else schema["type"]
    detail = f'{path} in body must be of type {wanted}: "{given}"'
    return FieldFault(path, "FieldValueTypeInvalid", f'Invalid value: "{given}": {detail}')


def _loose(path: str, detail: str) -> FieldFault:
    """Return a fault that the original reports without a field."""
    return FieldFault("<nil>", "FieldValueInvalid", f'Invalid value: "": {detail.replace("PATH", path)}')


def _typed(value: Any, schema: Object, path: str) -> Faults:
    given = type_name(value)
    if schema.get("x-kubernetes-int-or-string"):
        if given not in ("integer", "string"):
            yield _wrong_type(path, schema, given)
        return
    wanted = schema.get("type")
    if not wanted:
        return
    form = str(schema.get("format", ""))
    if given == "number" and wanted == "integer" and form in _BOUNDS and float(value).is_integer():
        detail = f'{path} in body must be of type {form}: "float64"'
        yield FieldFault(path, "FieldValueTypeInvalid", f'Invalid value: "float64": {detail}')
    elif given != wanted and not (given == "integer" and wanted == "number"):
        yield _wrong_type(path, schema, given)


def _enumerated(value: Any, schema: Object, path: str) -> Faults:
    allowed: list[Any] | None = schema.get("enum")
    if allowed and not any(same(value, item) for item in allowed):
        yield unsupported(path, value, [str(item) if isinstance(item, str) else go_json(item) for item in allowed])


def _string(value: str, schema: Object, path: str) -> Faults:
    form = str(schema.get("format", ""))
    typed = schema.get("type") == "string"
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield FieldFault(path, "FieldValueTooLong", f"Too long: may not be more than {schema['maxLength']} bytes")
    if "minLength" in schema and len(value) < schema["minLength"]:
        yield _fault(path, "FieldValueInvalid", value, f"should be at least {schema['minLength']} chars long")
    if schema.get("pattern") and not compiled(schema["pattern"]).search(value):
        yield _fault(path, "FieldValueInvalid", value, f"should match '{schema['pattern']}'")
    if form and typed and not formats.fits(form, value):
        detail = f"must be of type {form}: {go_json(value)}"
        yield _fault(path, "FieldValueTypeInvalid", value, detail)


def _number(value: float, schema: Object, path: str) -> Faults:
    yield from _ranged(value, schema, path)
    multiple = schema.get("multipleOf")
    if multiple and (value / multiple) != int(value / multiple):
        yield _fault(path, "FieldValueInvalid", value, f"should be a multiple of {go_json(multiple)}")
    most, least = schema.get("maximum"), schema.get("minimum")
    if most is not None:
        strict = bool(schema.get("exclusiveMaximum"))
        if value > most or (strict and value == most):
            words = "less than" if strict else "less than or equal to"
            yield _fault(path, "FieldValueInvalid", value, f"should be {words} {go_json(most)}")
    if least is not None:
        strict = bool(schema.get("exclusiveMinimum"))
        if value < least or (strict and value == least):
            words = "greater than" if strict else "greater than or equal to"
            yield _fault(path, "FieldValueInvalid", value, f"should be {words} {go_json(least)}")


def _ranged(value: float, schema: Object, path: str) -> Faults:
    form = str(schema.get("format", ""))
    match schema.get("type"):
        case "integer":
            bound = _BOUNDS.get(form)
            shown = f"with format {form}" if bound else "(default format)"
            low = 0 if form.startswith("u") else -(bound or 2**63)
            if isinstance(value, float) or not low <= value < (bound or 2**63):
                yield _loose(path, f"Checked value must be of type integer {shown} in PATH")
        case "number":
            if form == "float" and abs(value) > _FLOAT_MAX:
                yield _loose(path, "Checked value must be of type number with format float in PATH")
        case _:
            pass


def _list(value: list[Any], schema: Object, path: str, old: Any) -> Faults:
    items = schema.get("items")
    if isinstance(items, dict):
        inner = cast("Object", items)
        olds = _corresponding(value, schema, old)
        for index, item in enumerate(value):
            yield from validate(item, inner, f"{path}[{index}]", olds[index])
    if "minItems" in schema and len(value) < schema["minItems"]:
        yield _fault(path, "FieldValueInvalid", len(value), f"should have at least {schema['minItems']} items")
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        detail = f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
        yield FieldFault(path, "FieldValueTooMany", detail)


def _corresponding(value: list[Any], schema: Object, old: Any) -> list[Any]:
    return [find_in_list(old, schema, item) for item in value]


def find_in_list(old: Any, schema: Object, item: Any) -> Any:
    """Return the element of an old keyed list that an element replaces; ABSENT where there is none."""
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map" or not isinstance(item, dict):
        return ABSENT
    keys: list[str] = schema.get("x-kubernetes-list-map-keys", [])
    wanted = cast("Object", item)
    for one in cast("list[Any]", old):
        if isinstance(one, dict) and all(same(cast("Object", one).get(key), wanted.get(key)) for key in keys):
            return cast("Any", one)
    return ABSENT


def _object(value: Object, schema: Object, path: str, old: Any) -> Faults:
    olds = cast("Object", old) if isinstance(old, dict) else {}
    properties: dict[str, Object] = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    for key in schema.get("required", ()):
        if key not in value:
            yield required(_below(path, key))
    for key, item in value.items():
        inner = properties.get(key, cast("Object", extra) if isinstance(extra, dict) else None)
        if inner is not None:
            yield from validate(item, inner, _below(path, key), olds.get(key, ABSENT))
    if "minProperties" in schema and len(value) < schema["minProperties"]:
        detail = f"should have at least {schema['minProperties']} properties"
        yield _fault(path, "FieldValueInvalid", len(value), detail)
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        detail = f"Too many: {len(value)}: must have at most {schema['maxProperties']} items"
        yield FieldFault(path, "FieldValueTooMany", detail)


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _combined(value: Any, schema: Object, path: str) -> Faults:
    """Check `anyOf`, `oneOf`, `allOf` and `not`."""
    if schema.get("anyOf"):
        found = [list(validate(value, part, path)) for part in schema["anyOf"]]
        if all(found):
            yield _loose(path, '"PATH" must validate at least one schema (anyOf)')
            yield from found[0]
    if schema.get("oneOf"):
        found = [list(validate(value, part, path)) for part in schema["oneOf"]]
        valid = sum(not faults for faults in found)
        if valid != 1:
            many = f"Found {valid} valid alternatives" if valid else "Found none valid"
            yield _loose(path, f'"PATH" must validate one and only one schema (oneOf). {many}')
            if not valid:
                yield from found[0]
    if schema.get("allOf"):
        found = [list(validate(value, part, path)) for part in schema["allOf"]]
        yield from (fault for faults in found for fault in faults)
        if any(found):
            none = ". None validated" if all(found) else ""
            yield _loose(path, f'"PATH" must validate all the schemas (allOf){none}')
    if "not" in schema and not list(validate(value, schema["not"], path)):
        yield _loose(path, '"PATH" must not validate the schema (not)')


def list_types(value: Any, schema: Object, path: str) -> Faults:
    """Yield elements that occur twice in lists that are sets, or maps by their keys."""
    if isinstance(value, dict):
        properties: dict[str, Object] = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        for key, item in cast("Object", value).items():
            inner = properties.get(key, cast("Object", extra) if isinstance(extra, dict) else None)
            if inner is not None:
                yield from list_types(item, inner, _below(path, key))
    elif isinstance(value, list):
        found = cast("list[Any]", value)
        yield from _doubled(found, schema, path)
        if isinstance(schema.get("items"), dict):
            for index, item in enumerate(found):
                yield from list_types(item, schema["items"], f"{path}[{index}]")


def _doubled(found: list[Any], schema: Object, path: str) -> Iterator[FieldFault]:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("set", "map"):
        return
    keys: list[str] = schema.get("x-kubernetes-list-map-keys", [])
    seen: list[Any] = []
    for index, item in enumerate(found):
        shown = item
        if kind == "map":
            if not isinstance(item, dict):
                continue
            fields = cast("Object", item)
            shown = {key: fields[key] for key in keys if key in fields}
        if any(same(shown, one) for one in seen):
            yield duplicate(f"{path}[{index}]", shown)
        else:
            seen.append(shown)
