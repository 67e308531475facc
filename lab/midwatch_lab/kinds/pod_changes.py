"""What of a Pod may change once it is made."""

import difflib
import json
from typing import Any, Final

from midwatch_lab.kinds.go_structs import go_pod_spec
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object
from midwatch_lab.status import forbidden_field

_CHANGEABLE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_OF_POD: Final = ("tolerations", "activeDeadlineSeconds", "schedulingGates")
_CONTAINERS: Final = ("containers", "initContainers")
_CONTEXT: Final = 3
_ESCAPED: Final = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"))


def pod_update(new: Object, old: Object) -> Faults:
    """Check that an update of a Pod leaves alone what may not change once it is made."""
    was, wanted = old.get("spec", {}), new.get("spec", {})
    for kind in _CONTAINERS:
        if len(was.get(kind, [])) != len(wanted.get(kind, [])):
            yield forbidden_field(f"spec.{kind}", "pod updates may not add or remove containers")
            return
    if not all(item in wanted.get("tolerations", []) for item in was.get("tolerations", [])):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        yield forbidden_field("spec.tolerations", detail)
    rest = _with_changeable_of(was, wanted)
    if rest != was:
        yield forbidden_field("spec", f"{_CHANGEABLE}\n{_difference(was, rest)}")


def _with_changeable_of(old: Object, new: Object) -> Object:
    """Return the new specification with what may change as it was, so that what is left is what may not."""
    found = {key: value for key, value in new.items() if key not in _OF_POD}
    found |= {key: old[key] for key in _OF_POD if key in old}
    for kind in _CONTAINERS:
        if kind in found:
            pairs = zip(found[kind], old.get(kind, []), strict=True)
            found[kind] = [{**container, "image": was.get("image", "")} for container, was in pairs]
    return found


def _difference(old: Object, new: Object) -> str:
    """Return the hunks of a unified diff of both, printed as the original prints its own structures."""
    before, after = (_printed(spec).splitlines() for spec in (old, new))
    hunks = list(difflib.unified_diff(before, after, n=_CONTEXT, lineterm=""))[2:]
    return "".join(f"{line}\n" for line in hunks)


def _printed(spec: Object) -> str:
    found: Any = json.loads(go_pod_spec(spec))
    text = json.dumps(found, indent=1, ensure_ascii=False)
    for character, escape in _ESCAPED:
        text = text.replace(character, escape)
    return text
