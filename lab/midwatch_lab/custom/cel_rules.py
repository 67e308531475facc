"""`x-kubernetes-validations`: rules in CEL that a schema adds to its types (KEP-2876).

What is left out of the original: the estimate of what a rule may cost. A rule that takes too long is cut off when it is
evaluated.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

import orjson

from midwatch_lab.custom import values
from midwatch_lab.custom.cel.check import check as checked
from midwatch_lab.custom.cel.evaluate import evaluate as evaluated
from midwatch_lab.custom.cel.nodes import CompileError, EvaluationError, Node
from midwatch_lab.custom.cel.parse import parse
from midwatch_lab.custom.cel.types import BOOL, STRING, Type, type_of
from midwatch_lab.custom.cel.values import Optional, bound
from midwatch_lab.custom.schema_rules import parts
from midwatch_lab.custom.structure import simple_path
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig
from midwatch_lab.status import FieldFault, go_json, invalid_value, required, unsupported

RULES: Final = "x-kubernetes-validations"
_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_GO_FIELDS: Final = (
    ("Rule", "rule", ""), ("Message", "message", ""), ("MessageExpression", "messageExpression", ""),
    ("Reason", "reason", None), ("FieldPath", "fieldPath", ""), ("OptionalOldSelf", "optionalOldSelf", None),
)  # fmt: skip


def has_rules(schema: Object) -> bool:
    """Tell whether a schema has rules, at any depth."""
    return bool(schema.get(RULES)) or any(has_rules(inner) for _, inner in parts(schema, ""))


def check_words(schema: Object, path: str) -> Faults:
    """Yield what is wrong with the rules of a schema but for their expressions, at any depth."""
    for index, rule in enumerate(schema.get(RULES, ())):
        where = f"{path}.{RULES}[{index}]"
        yield from _words(rule, where)
        field = str(rule.get("fieldPath", ""))
        if field and not _leads(field, schema):
            yield invalid_value(f"{where}.fieldPath", field, "must be a valid path")
    for where, inner in parts(schema, path):
        yield from check_words(inner, where)


def _words(rule: Object, where: str) -> Faults:
    text, message = str(rule.get("rule", "")), str(rule.get("message", ""))
    if not text.strip():
        yield required(f"{where}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid_value(f"{where}.message", message, "must be non-empty if specified")
    elif "\n" in message.strip():
        yield invalid_value(f"{where}.message", message, "must not contain line breaks")
    elif "\n" in text.strip() and not message.strip():
        yield required(f"{where}.message", "message must be specified if rule contains line breaks")
    if rule.get("messageExpression") and not rule["messageExpression"].strip():
        yield required(f"{where}.messageExpression", "must be non-empty if specified")
    if rule.get("reason") is not None and rule["reason"] not in _REASONS:
        yield unsupported(f"{where}.reason", rule["reason"], _REASONS)


def _leads(field: str, schema: Object) -> bool:
    steps = simple_path(field)
    inner: Any = schema
    for step in steps:
        extra = dig(inner, "additionalProperties")
        inner = dig(inner, "properties", step, default=extra if isinstance(extra, dict) else None)
    return bool(steps) and inner is not None


def check(schema: Object, path: str, *, root: bool = True, apart: str = "") -> Faults:
    """Yield the rules of a schema that do not compile; `apart` is the list whose elements are not told apart."""
    kind = type_of(schema, root=root)
    for index, rule in enumerate(schema.get(RULES, ())):
        where = f"{path}.{RULES}[{index}]"
        if kind is not None:
            yield from _compiled(rule, kind, where, apart)
    keyed = schema.get("x-kubernetes-list-type") == "map"
    for where, inner in parts(schema, path):
        loose = path if where == f"{path}.items" and not keyed else ""
        yield from check(inner, where, root=False, apart=apart or loose)


def _compiled(rule: Object, kind: Type, where: str, apart: str) -> Faults:
    text = str(rule["rule"])
    optional = bool(rule.get("optionalOldSelf"))
    names = {"self": kind, "oldSelf": Type("optional", kind) if optional else kind}
    try:
        node = parse(text.strip())
        found = checked(text.strip(), node, names)
    except CompileError as error:
        yield _refused(rule, f"{where}.rule", f"compilation failed: {error}")
        return
    if found.kind not in ("bool", "dyn"):
        yield _refused(rule, f"{where}.rule", f"cel expression must evaluate to a {BOOL}")
    transition = uses_old(node)
    if transition and apart:
        detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {apart}"
        yield invalid_value(f"{where}.rule", text, detail)
    if rule.get("optionalOldSelf") is not None and not transition:
        detail = "may not be set if oldSelf is not used in rule"
        yield invalid_value(f"{where}.optionalOldSelf", rule["optionalOldSelf"], detail)
    expression = str(rule.get("messageExpression", "")).strip()
    if not expression:
        return
    try:
        found = checked(expression, parse(expression), names)
    except CompileError as error:
        yield _refused(rule, f"{where}.messageExpression", f"messageExpression compilation failed: {error}")
        return
    if found.kind != STRING.kind:
        yield _refused(rule, f"{where}.messageExpression", "messageExpression must evaluate to a string")


def _refused(rule: Object, where: str, detail: str) -> FieldFault:
    """Return a fault that shows the whole rule as Go writes it."""
    shown = orjson.dumps({name: rule.get(key, default) for name, key, default in _GO_FIELDS}).decode()
    for character in "<>&":
        shown = shown.replace(character, f"\\u{ord(character):04x}")
    return FieldFault(where, "FieldValueInvalid", f"Invalid value: {shown}: {detail}")


def uses_old(node: Node) -> bool:
    """Tell whether a rule is about the change from the old value."""
    return (node.op == "name" and node.value == "oldSelf") or any(uses_old(part) for part in node.args)


@dataclass(frozen=True)
class _Place:
    """A value, the one that it replaces, and where it stands."""

    value: Any
    old: Any
    path: str


def evaluate(schema: Object, obj: Any, old: Any = values.ABSENT, path: str = "", *, root: bool = True) -> Faults:
    """Yield the rules that a value breaks, at any depth; `old` is what it replaces."""
    if obj is None:
        return
    place = _Place(obj, old, path)
    if schema.get(RULES):
        yield from _judged(schema, place, root=root)
    if isinstance(obj, dict):
        olds = cast("Object", old) if isinstance(old, dict) else {}
        properties: dict[str, Object] = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        for key, item in cast("Object", obj).items():
            inner = properties.get(key, cast("Object", extra) if isinstance(extra, dict) else None)
            if inner is not None:
                where = f"{path}.{key}" if path and key in properties else f"{path}[{key}]" if path else key
                yield from evaluate(inner, item, olds.get(key, values.ABSENT), where, root=False)
    elif isinstance(obj, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(cast("list[Any]", obj)):
            before = values.find_in_list(old, schema, item)
            yield from evaluate(schema["items"], item, before, f"{path}[{index}]", root=False)


def _judged(schema: Object, place: _Place, *, root: bool) -> Faults:
    known = place.old is not values.ABSENT and place.old is not None
    unchanged = known and values.same(place.value, place.old)
    this = bound(place.value, schema, root=root)
    before = bound(place.old, schema, root=root) if known else None
    for rule in schema[RULES]:
        text = str(rule["rule"]).strip()
        transition = uses_old(parse(text))
        optional = bool(rule.get("optionalOldSelf"))
        if (transition and not known and not optional) or (unchanged and not transition):
            continue
        names = {"self": this, "oldSelf": Optional(known, before) if optional else before}
        try:
            holds = _run(text, names)
        except EvaluationError as error:
            shown = go_json(values.type_name(place.value))
            detail = f"Invalid value: {shown}: {error} evaluating rule: {rule.get('message') or text}"
            yield FieldFault(place.path or "<nil>", "FieldValueInvalid", detail)
            continue
        if holds is not True:
            yield _broken(rule, place, names)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Node:
    return parse(text)


def _run(text: str, names: dict[str, Any]) -> Any:
    return evaluated(_parsed(text), names)


def _broken(rule: Object, place: _Place, names: dict[str, Any]) -> FieldFault:
    message = _message(rule, names)
    path = place.path + "".join(f".{step}" for step in simple_path(str(rule.get("fieldPath", ""))))
    where = path.removeprefix(".") or "<nil>"
    scalar = not isinstance(place.value, dict | list)
    match rule.get("reason"):
        case "FieldValueForbidden":
            return FieldFault(where, "FieldValueForbidden", f"Forbidden: {message}")
        case "FieldValueRequired":
            return FieldFault(where, "FieldValueRequired", f"Required value: {message}")
        case "FieldValueDuplicate":
            shown = f": {go_json(place.value)}" if scalar else ""
            return FieldFault(where, "FieldValueDuplicate", f"Duplicate value{shown}")
        case _:
            shown = f"{go_json(place.value)}: " if scalar else ""
            return FieldFault(where, "FieldValueInvalid", f"Invalid value: {shown}{message}")


def _message(rule: Object, names: dict[str, Any]) -> str:
    fixed = str(rule.get("message", "")).strip() or f"failed rule: {str(rule['rule']).strip()}"
    expression = str(rule.get("messageExpression", "")).strip()
    if not expression:
        return fixed
    try:
        found = _run(expression, names)
    except EvaluationError:
        return fixed
    text = found.strip() if isinstance(found, str) else ""
    return text if text and "\n" not in text else fixed
