"""`label` and `annotate`: what stands in an object's own metadata."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import ArgsT, OperationKind, Touched, Undo
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import escape, lookup

Key = Annotated[
    str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
]
LabelText = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]


class Labels(Model):
    """`labels`: new value by key; null takes one away."""

    labels: dict[Key, LabelText | None] = Field(min_length=1)


class Annotations(Model):
    """`annotations`: new value by key; null takes one away."""

    annotations: dict[Key, Annotated[str, Field(max_length=65_536)] | None] = Field(min_length=1)


class _MetadataOperation(OperationKind[ArgsT]):
    """Set entries of one map of `metadata`."""

    kinds = ("*",)
    group: ClassVar[str]

    def _wanted(self, args: ArgsT) -> dict[str, str | None]:
        return getattr(args, self.group)

    def touched(self, args: ArgsT, value: Mapping[str, Any]) -> Touched:
        """Return each entry as it is."""
        pointers = [f"/metadata/{self.group}/{escape(key)}" for key in self._wanted(args)]
        return {pointer: lookup(value, pointer) for pointer in pointers}

    def request(self, args: ArgsT, value: Mapping[str, Any]) -> Write:
        """Return a merge patch of the entries."""
        del value
        return Write("merge", {"metadata": {self.group: self._wanted(args)}})

    def undo(self, args: ArgsT, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo:
        """Return the entries as they were."""
        del after
        old = {key: lookup(before, f"/metadata/{self.group}/{escape(key)}") for key in self._wanted(args)}
        return self.name, {self.group: {key: value[0] if value else None for key, value in old.items()}}


class LabelOperation(_MetadataOperation[Labels]):
    """Set labels."""

    name = "label"
    about = "labels of an object"
    undone_by = "the labels as they were"
    example = {"labels": {"tier": "gold", "old": None}}  # noqa: RUF012
    arguments = Labels
    group = "labels"


class AnnotateOperation(_MetadataOperation[Annotations]):
    """Set annotations."""

    name = "annotate"
    about = "annotations of an object"
    undone_by = "the annotations as they were"
    example = {"annotations": {"example.com/note": "drained for maintenance"}}  # noqa: RUF012
    arguments = Annotations
    group = "annotations"
