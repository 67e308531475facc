"""Secrets in a diff: their values are hidden, and that they change is still said."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from midwatch_mcp.redact import REDACTED, redact_arguments, redact_text, secret_name
from midwatch_mcp.safe_apply.values import Change, changes, lookup

OTHER = f"{REDACTED} (another value)"


def masked(value: Any) -> Any:
    """Return JSON data with credentials hidden. Nothing else is changed, so that no character of a diff is lost."""
    match value:
        case str():
            return redact_text(value)
        case Mapping():
            fields = cast("Mapping[str, Any]", value)
            return {key: _field(key, item, fields) for key, item in fields.items()}
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [masked(item) for item in cast("Sequence[Any]", value)]
        case _:
            return value


def hidden(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with credentials hidden, and all that a Secret holds."""
    shown = dict(value)
    if value.get("kind") == "Secret":
        shown |= {
            key: dict.fromkeys(cast("Mapping[str, Any]", value[key]), REDACTED)
            for key in ("data", "stringData")
            if isinstance(value.get(key), Mapping)
        }
    return masked(shown)


def _field(key: str, item: Any, fields: Mapping[str, Any]) -> Any:
    if key in {"args", "command"} and isinstance(item, list):
        return masked(redact_arguments(cast("list[Any]", item)))
    named = str(fields.get("name", "")) if key == "value" else key
    if isinstance(item, str) and item and secret_name(named):
        return REDACTED
    return masked(item)


def masked_changes(before: Any, after: Any) -> tuple[Change, ...]:
    """Return where two objects differ, with credentials hidden; one that changes is shown as two redactions."""
    hidden_before, hidden_after = (
        hidden(cast("Mapping[str, Any]", one)) if isinstance(one, Mapping) else masked(one) for one in (before, after)
    )
    shown: list[Change] = []
    for pointer, _, _ in changes(before, after):
        old, new = lookup(hidden_before, pointer), lookup(hidden_after, pointer)
        old_value, new_value = old[0] if old else None, new[0] if new else None
        shown.append((pointer, old_value, OTHER if old_value == new_value else new_value))
    return tuple(shown)
