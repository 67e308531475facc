"""What a Node is given when it is made, and what its taints may be."""

from typing import Final

from midwatch_lab import names
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig
from midwatch_lab.status import FieldFault, go_json, invalid_value, required, unsupported

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def taint_new(node: Object) -> None:
    """Keep pods off a new node until its controller has seen it ready (in place), as the original's admission does."""
    taints: list[Object] = node.setdefault("spec", {}).setdefault("taints", [])
    if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
        taints.append({"key": NOT_READY, "effect": "NoSchedule"})


def taints(node: Object) -> Faults:
    """Check the taints: keys and values as those of labels, a known effect, each key and effect once."""
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(dig(node, "spec", "taints", default=[])):
        path, effect = f"metadata.taints[{index}]", str(taint.get("effect", ""))
        for fault in names.label_key_faults(str(taint.get("key", ""))):
            yield invalid_value(f"{path}.key", taint.get("key", ""), fault)
        for fault in names.label_value_faults(str(taint.get("value", ""))):
            yield invalid_value(f"{path}.value", taint.get("value", ""), fault)
        if not effect:
            yield required(f"{path}.effect")
        elif effect not in _EFFECTS:
            yield unsupported(f"{path}.effect", effect, _EFFECTS)
        if (place := (str(taint.get("key", "")), effect)) in seen:
            detail = "taints must be unique by key and effect pair"
            yield FieldFault(path, "FieldValueDuplicate", f"Duplicate value: {_shown(taint)}: {detail}")
        seen.add(place)


def update(node: Object, _old: Object) -> Faults:
    """Check the taints once more, since the original checks an update as the kind and as an update of it."""
    yield from taints(node)


def _shown(taint: Object) -> str:
    """Return a taint as Go prints its structure."""
    fields = {"Key": "key", "Value": "value", "Effect": "effect"}
    known = ",".join(f"{go_json(name)}:{go_json(taint.get(key, ''))}" for name, key in fields.items())
    return f'{{{known},"TimeAdded":{go_json(taint.get("timeAdded"))}}}'
