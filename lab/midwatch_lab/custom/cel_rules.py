"""`x-kubernetes-validations`: rules in CEL that a schema adds to its types (KEP-2876)."""

from typing import Final

from midwatch_lab.custom.schema_rules import parts
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object
from midwatch_lab.status import forbidden_field, required, unsupported

RULES: Final = "x-kubernetes-validations"
_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


def has_rules(schema: Object) -> bool:
    """Tell whether a schema has rules, at any depth."""
    return bool(schema.get(RULES)) or any(has_rules(inner) for _, inner in parts(schema, ""))


def check(schema: Object, path: str) -> Faults:
    """Yield what is wrong with the rules of a schema."""
    if schema.get(RULES):
        yield forbidden_field(f"{path}.{RULES}", "the lab does not evaluate rules")
    for index, rule in enumerate(schema.get(RULES, ())):
        where = f"{path}.{RULES}[{index}]"
        if not rule.get("rule", "").strip():
            yield required(f"{where}.rule", "rule is not specified")
        if rule.get("reason") is not None and rule["reason"] not in _REASONS:
            yield unsupported(f"{where}.reason", rule["reason"], _REASONS)
