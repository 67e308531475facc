"""Names that a policy refers to. One that nothing bears would be a rule for nothing, and nobody would see it."""

import difflib
from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from midwatch_mcp.safe_apply.classification import hazards, kinds
from midwatch_mcp.safe_apply.operations import OPERATIONS

UNKNOWN = "unknown_name"
"""The type of the error for such a name; its context has `mend`."""


def _unknown(what: str, name: str, mend: str) -> PydanticCustomError:
    return PydanticCustomError(UNKNOWN, "there is no {what} {name}", {"what": what, "name": name, "mend": mend})


def _near(name: str, known: Collection[str], otherwise: str = "") -> str:
    """Return how a name is mended: by the one that is spelt most alike, or as said otherwise."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"do you mean {near[0]}?" if near else otherwise or f"write one of {', '.join(sorted(known))}"


def _operation(name: str) -> str:
    if name not in OPERATIONS:
        raise _unknown("operation", name, _near(name, OPERATIONS))
    return name


def _kind(name: str) -> str:
    """Check a kind of Kubernetes' own; which custom ones there are only the cluster knows."""
    group, slash, kind = name.rpartition("/")
    own = {known for its_group, known in kinds() if not slash or its_group == group}
    if kind in own or (slash and not own):
        return name
    otherwise = "" if slash else f'write a custom kind with its group: "example.com/{kind}"'
    raise _unknown(f"kind of {group}" if slash else "kind of Kubernetes", kind, _near(kind, own, otherwise))


def _hazard(name: str) -> str:
    found = hazards()
    known = {*found.fields, *found.places, *found.flags, *found.environment, *(one.name for one in found.keys)}
    if name in known:
        return name
    family = next((one for one in found.environment if one.endswith("*") and name.startswith(one[:-1])), None)
    bare = name.lstrip("-").replace("_", "-")
    mend = f"do you mean {family}?" if family else _near(bare if bare in known else name, known, _NOT_HELD_BACK)
    raise _unknown("field, flag, variable or key in hazards.yaml or metadata_keys.yaml that is called", name, mend)


_NOT_HELD_BACK = "take it out: nothing of this name is held back, so that nothing need be let through"

KindName = Annotated[str, Field(pattern=r"^([a-z0-9.-]+/)?[A-Z][A-Za-z0-9]*$"), AfterValidator(_kind)]
"""`Deployment` for a kind of Kubernetes itself, `example.com/Widget` for a custom one."""
OperationName = Annotated[str, AfterValidator(_operation)]
"""An operation of `midwatch change operations`."""
HazardName = Annotated[str, AfterValidator(_hazard)]
"""A field, flag or variable of `hazards.yaml`, or a key of `metadata_keys.yaml`."""
