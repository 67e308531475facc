"""JSON Merge Patch (RFC 7386)."""

import copy
from typing import Any, cast


def apply(document: Any, patch: Any) -> Any:
    """Return the patched copy: objects are merged key by key, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    base = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    result = {key: copy.deepcopy(value) for key, value in base.items() if key not in patch}
    changes = cast("dict[str, Any]", patch)
    merged = {key: apply(base.get(key), value) for key, value in changes.items() if value is not None}
    # Keys keep the place that they had, so that a patch which changes nothing gives back the same text.
    return {key: (merged | result)[key] for key in [*base, *changes] if key in merged or key in result}
