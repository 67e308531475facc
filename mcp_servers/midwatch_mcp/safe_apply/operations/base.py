"""What an operation is: pure functions over the object as it was read (CONTRACTS §5)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import ValidationError

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.ports import Write

ArgsT = TypeVar("ArgsT", bound=Model)

Touched = dict[str, list[Any]]
"""The values that an operation is about to replace, by place: `[value]`, or `[]` where there is none yet."""

WORKLOADS: dict[str, str] = {"Deployment": "apps", "StatefulSet": "apps", "DaemonSet": "apps"}
"""Kinds with a pod template whose change the operations understand, and their API group."""


class OperationKind(ABC, Generic[ArgsT]):
    """One operation by name. Nothing here reads, writes or waits."""

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    """Kinds of target that it understands; `*` is any kind that the policy lets through."""
    arguments: type[ArgsT]

    def parse(self, args: Mapping[str, Any]) -> ArgsT:
        """Read the arguments.

        Raises:
            RefusedChangeError: names each argument that does not fit.
        """
        try:
            return self.arguments.model_validate(dict(args))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'args'}: {e['msg']}" for e in error.errors())
            raise RefusedChangeError("bad_draft", f"the arguments of {self.name} do not fit: {wrong}") from error

    @abstractmethod
    def touched(self, args: ArgsT, value: Mapping[str, Any]) -> Touched:
        """Return what is about to be replaced in `value`, by place."""

    @abstractmethod
    def request(self, args: ArgsT, value: Mapping[str, Any]) -> Write:
        """Return the write that carries the operation out on `value`."""

    @abstractmethod
    def undo(self, args: ArgsT, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return (operation, args) that lead back from `after`, the dry run's result, to `before`."""

    def pointers(self, args: ArgsT, value: Mapping[str, Any]) -> Sequence[str]:
        """Return the JSON Pointers into `value` below which the operation changes something."""
        return list(self.touched(args, value))


def refuse(message: str) -> RefusedChangeError:
    """Return the refusal of what the envelope does not understand."""
    return RefusedChangeError("not_understood", message)
