"""Faults, made as a person would make them: by a change of an object, through the same door as everything else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from midwatch_contracts.entity import Entity
from midwatch_lab.errors import ApiError, FaultError
from midwatch_lab.flags import has_flag, set_flag
from midwatch_lab.kinds.resources import DEPLOYMENTS
from midwatch_lab.objects import Object, copied
from midwatch_lab.registry.registry import Registry
from midwatch_lab.store.audit import Origin

OPERATOR: Final = "lab:operator"
"""The principal of faults in the audit. Field managers are a person's, so that nothing else tells a fault."""
_BLOCKS: Final = "--num-gpu-blocks-override"

Undo = Callable[[Object], None]


@dataclass
class Faults:
    """The faults that have been made and not taken back."""

    registry: Registry
    _made: dict[str, tuple[Entity, Origin, Undo]] = field(default_factory=dict[str, tuple[Entity, Origin, Undo]])

    def make(self, mechanism: str, entity: Entity, args: Mapping[str, Any]) -> str:
        """Make a fault and return its id.

        Raises:
            FaultError: when the mechanism is none that the lab can make, or does not fit the entity.
        """
        maker = _MAKERS.get(mechanism)
        if maker is None:
            raise FaultError(f"{mechanism!r} is no fault that the lab can make; it can make: {', '.join(_MAKERS)}")
        if entity.kind != "Deployment":
            raise FaultError(f"{mechanism} is made on a Deployment, not on {entity}")
        deployment = self.registry.find(DEPLOYMENTS, entity.namespace, entity.name)
        if deployment is None:
            raise FaultError(f"{entity} is not there: create it before the fault")
        draft = copied(deployment)
        manager, subresource, undo = maker(draft, args)
        path = DEPLOYMENTS.path(entity.namespace, entity.name, subresource)
        origin = Origin(OPERATOR, "patch", path, manager=manager, subresource=subresource)
        try:
            self.registry.update(DEPLOYMENTS, deployment, draft, origin)
        except ApiError as error:
            raise FaultError(f"{mechanism} on {entity} is refused: {error}") from error
        identity = f"fault-{uuid4().hex[:12]}"
        self._made[identity] = (entity, origin, undo)
        return identity

    def undo(self, identity: str) -> None:
        """Take a fault back: what it replaced is put in place again.

        Raises:
            FaultError: when there is no such fault, or its object is gone.
        """
        made = self._made.pop(identity, None)
        if made is None:
            raise FaultError(f"there is no fault {identity!r}")
        entity, origin, undo = made
        try:
            self.registry.modify(DEPLOYMENTS, entity.namespace, entity.name, undo, origin)
        except ApiError as error:
            raise FaultError(f"{identity} cannot be taken back: {error}") from error


def _number(args: Mapping[str, Any], name: str) -> int:
    value = args.get(name)
    unknown = set(args) - {name, "container"}
    if unknown or isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FaultError(
            f"args: give {name} as a whole number of 0 or more, and nothing else but container: {dict(args)}"
        )
    return value


def _kv_cache_too_small(draft: Object, args: Mapping[str, Any]) -> tuple[str, str, Undo]:
    blocks = _number(args, "blocks")
    containers: list[Object] = draft["spec"]["template"]["spec"]["containers"]
    wanted = args.get("container")
    container = next((c for c in containers if c["name"] == wanted), None) if wanted else containers[0]
    if container is None:
        raise FaultError(f"args.container: the Deployment has no container {wanted!r}")
    name = str(container["name"])
    key = "command" if has_flag(container.get("command", []), _BLOCKS) else "args"
    before: list[str] | None = container.get(key)
    container[key] = set_flag(before or [], _BLOCKS, str(blocks))

    def undo(current: Object) -> None:
        found = next(c for c in current["spec"]["template"]["spec"]["containers"] if c["name"] == name)
        if before is None:
            found.pop(key, None)
        else:
            found[key] = list(before)

    return "kubectl-edit", "", undo


def _too_few_replicas(draft: Object, args: Mapping[str, Any]) -> tuple[str, str, Undo]:
    before = int(draft["spec"]["replicas"])
    draft["spec"]["replicas"] = _number(args, "replicas")

    def undo(current: Object) -> None:
        current["spec"]["replicas"] = before

    return "kubectl", "scale", undo


_MAKERS: Final[dict[str, Callable[[Object, Mapping[str, Any]], tuple[str, str, Undo]]]] = {
    "serving.kv_cache_too_small": _kv_cache_too_small,
    "serving.too_few_replicas": _too_few_replicas,
}
MECHANISMS: Final = tuple(_MAKERS)
"""The ids (from the closed vocabulary of CONTRACTS §1) that can be made here."""
