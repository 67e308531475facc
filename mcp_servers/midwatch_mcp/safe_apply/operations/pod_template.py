"""Containers of a pod template: found by name, changed at their place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from midwatch_mcp.safe_apply.operations.base import refuse

TEMPLATE = "/spec/template"
ListName = Literal["containers", "initContainers"]
_LISTS: tuple[ListName, ...] = ("containers", "initContainers")


@dataclass(frozen=True)
class Container:
    """One container where it stands."""

    kept_in: ListName
    index: int
    spec: Mapping[str, Any]

    @property
    def pointer(self) -> str:
        """Its JSON Pointer in the workload."""
        return f"{TEMPLATE}/spec/{self.kept_in}/{self.index}"

    @property
    def place(self) -> str:
        """Its place by name, which stays when others come before it."""
        return f"{TEMPLATE}/spec/{self.kept_in}[{self.spec.get('name')}]"

    def list_of(self, name: str) -> list[dict[str, Any]]:
        """Return one of its lists."""
        return cast("list[dict[str, Any]]", list(self.spec.get(name) or []))


def container_of(value: Mapping[str, Any], name: str) -> Container:
    """Return the container of a name.

    Raises:
        RefusedChangeError: there is none; names those there are.
    """
    spec = cast("Mapping[str, Any]", value.get("spec", {}).get("template", {}).get("spec", {}))
    names: list[str] = []
    for kept_in in _LISTS:
        for index, container in enumerate(cast("list[dict[str, Any]]", spec.get(kept_in) or [])):
            if container.get("name") == name:
                return Container(kept_in, index, container)
            names.append(str(container.get("name")))
    raise refuse(f"there is no container {name!r} in the pod template, only {', '.join(names) or 'none'}")


def put(container: Container, field: str, value: Any) -> list[dict[str, Any]]:
    """Return the JSON patch that gives a container's field a value; an empty one takes the field away."""
    path = f"{container.pointer}/{field}"
    if value:
        return [{"op": "add", "path": path, "value": value}]
    return [{"op": "remove", "path": path}] if field in container.spec else []
