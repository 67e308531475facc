"""`set_resources`: other requests and limits of one container."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field, model_validator

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import WORKLOADS, OperationKind, Touched, Undo
from midwatch_mcp.safe_apply.operations.pod_template import Container, container_of, put
from midwatch_mcp.safe_apply.ports import Write

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([KMGTPE]i?|[numk]|[eE][+-]?[0-9]+)?$")]
Amounts = dict[Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9./-]{0,252}$")], Quantity | None]
GROUPS = ("requests", "limits")


class SetResources(Model):
    """`requests` and `limits`: quantity by resource (`cpu`, `memory`, `nvidia.com/gpu`); null takes one away."""

    container: str
    requests: Amounts = Field(default_factory=dict)
    limits: Amounts = Field(default_factory=dict)

    @model_validator(mode="after")
    def _something(self) -> "SetResources":
        if not self.requests and not self.limits:
            raise ValueError("give requests, limits or both")
        return self

    def named(self) -> list[tuple[str, str, str | None]]:
        """Return (group, resource, quantity) of each."""
        groups = (("requests", self.requests), ("limits", self.limits))
        return [(group, name, amount) for group, amounts in groups for name, amount in amounts.items()]


class SetResourcesOperation(OperationKind[SetResources]):
    """Rewrite `resources` of one container."""

    name = "set_resources"
    about = "requests and limits of one container; the pods restart"
    undone_by = "the quantities as they were"
    example = {"container": "engine", "limits": {"memory": "8Gi"}, "requests": {"cpu": "2"}}  # noqa: RUF012
    kinds = tuple(WORKLOADS)
    arguments = SetResources

    def touched(self, args: SetResources, value: Mapping[str, Any]) -> Touched:
        """Return each quantity as it is."""
        container = container_of(value, args.container)
        return {
            f"{container.place}/resources/{group}/{name}": _amount(container, group, name)
            for group, name, _ in args.named()
        }

    def pointers(self, args: SetResources, value: Mapping[str, Any]) -> list[str]:
        """Return where the resources stand."""
        return [f"{container_of(value, args.container).pointer}/resources"]

    def request(self, args: SetResources, value: Mapping[str, Any]) -> Write:
        """Return a JSON patch of the container's `resources`."""
        container = container_of(value, args.container)
        resources = dict(cast("dict[str, Any]", container.spec.get("resources") or {}))
        for group, name, amount in args.named():
            held = cast("dict[str, Any]", resources.get(group) or {})
            kept = {key: old for key, old in held.items() if key != name}
            resources[group] = kept if amount is None else {**kept, name: amount}
        resources = {key: part for key, part in resources.items() if part or key not in GROUPS}
        return Write("json", put(container, "resources", resources))

    def undo(self, args: SetResources, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo:
        """Return the quantities as they were."""
        del after
        container = container_of(before, args.container)
        back: dict[str, Any] = {"container": args.container}
        for group, name, _ in args.named():
            old = _amount(container, group, name)
            back.setdefault(group, {})[name] = old[0] if old else None
        return self.name, back


def _amount(container: Container, group: str, name: str) -> list[Any]:
    resources = cast("dict[str, Any]", container.spec.get("resources") or {})
    amounts = cast("dict[str, Any]", resources.get(group) or {})
    return [amounts[name]] if name in amounts else []
