"""`scale`: another number of replicas."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import WRITTEN_HERE, OperationKind, Touched
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import lookup

REPLICAS = "/spec/replicas"


class Scale(Model):
    """`replicas`: how many there shall be. `unset`, in an undo, takes the field away again."""

    replicas: Annotated[int, Field(ge=0, le=10_000)] | None = None
    unset: bool = Field(default=False, json_schema_extra=WRITTEN_HERE)

    @model_validator(mode="after")
    def _a_number(self) -> "Scale":
        if (self.replicas is None) != self.unset:
            raise ValueError("replicas is a number from 0 to 10000")
        return self


class ScaleOperation(OperationKind[Scale]):
    """Set `spec.replicas`."""

    name = "scale"
    about = "another number of replicas"
    undone_by = "scale to the number before"
    example = {"replicas": 4}  # noqa: RUF012
    kinds = ("Deployment", "StatefulSet")
    arguments = Scale

    def touched(self, args: Scale, value: Mapping[str, Any]) -> Touched:
        """Return the number of replicas as it is."""
        del args
        return {REPLICAS: lookup(value, REPLICAS)}

    def request(self, args: Scale, value: Mapping[str, Any]) -> Write:
        """Return a merge patch of the one field."""
        del value
        return Write("merge", {"spec": {"replicas": args.replicas}})

    def undo(self, args: Scale, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a scale to the number before."""
        del args, after
        old = lookup(before, REPLICAS)
        return self.name, {"replicas": old[0]} if old else {"unset": True}
