"""`hpa_bounds` and `pdb`: how far an autoscaler may go, and how many pods a disruption may take."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import WRITTEN_HERE, OperationKind, Touched, Undo
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import lookup

Replicas = Annotated[int, Field(ge=1, le=10_000)]


class HpaBounds(Model):
    """`min` and `max` replicas; one that is left out stays."""

    min: Replicas | None = None
    max: Replicas | None = None
    no_min: bool = Field(default=False, json_schema_extra=WRITTEN_HERE)
    """In an undo: there was no minimum."""

    @model_validator(mode="after")
    def _fits(self) -> "HpaBounds":
        if self.min is None and self.max is None and not self.no_min:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is more than max")
        return self

    def fields(self) -> dict[str, int | None]:
        """Return the fields of `spec` that change."""
        low = {"minReplicas": self.min} if self.min is not None or self.no_min else {}
        return low | ({"maxReplicas": self.max} if self.max is not None else {})


class HpaBoundsOperation(OperationKind[HpaBounds]):
    """Set `spec.minReplicas` and `spec.maxReplicas`."""

    name = "hpa_bounds"
    about = "least and most replicas of an autoscaler"
    undone_by = "the bounds as they were"
    example = {"min": 2, "max": 8}  # noqa: RUF012
    kinds = ("HorizontalPodAutoscaler",)
    arguments = HpaBounds

    def touched(self, args: HpaBounds, value: Mapping[str, Any]) -> Touched:
        """Return each bound as it is."""
        return {f"/spec/{field}": lookup(value, f"/spec/{field}") for field in args.fields()}

    def request(self, args: HpaBounds, value: Mapping[str, Any]) -> Write:
        """Return a merge patch of the bounds."""
        del value
        return Write("merge", {"spec": args.fields()})

    def undo(self, args: HpaBounds, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo:
        """Return the bounds as they were."""
        del after
        back: dict[str, Any] = {}
        for field in args.fields():
            old = lookup(before, f"/spec/{field}")
            if old:
                back["min" if field == "minReplicas" else "max"] = old[0]
            else:
                back["no_min"] = True
        return self.name, back


Amount = Annotated[int, Field(ge=0, le=10_000)] | Annotated[str, Field(pattern=r"^(100|[1-9]?[0-9])%$")]
_FIELDS = ("minAvailable", "maxUnavailable")


class Budget(Model):
    """`minAvailable` or `maxUnavailable`, a number or a percentage; the other one is taken away."""

    minAvailable: Amount | None = None  # noqa: N815 (Kubernetes' own spelling)
    maxUnavailable: Amount | None = None  # noqa: N815
    neither: bool = Field(default=False, json_schema_extra=WRITTEN_HERE)
    """In an undo: there was none of the two."""

    @model_validator(mode="after")
    def _one(self) -> "Budget":
        given = [self.minAvailable is not None, self.maxUnavailable is not None, self.neither]
        if sum(given) != 1:
            raise ValueError("give either minAvailable or maxUnavailable")
        return self


class PdbOperation(OperationKind[Budget]):
    """Set what a PodDisruptionBudget allows."""

    name = "pdb"
    about = "what a PodDisruptionBudget allows"
    undone_by = "the budget as it was"
    example = {"maxUnavailable": 1}  # noqa: RUF012
    kinds = ("PodDisruptionBudget",)
    arguments = Budget

    def touched(self, args: Budget, value: Mapping[str, Any]) -> Touched:
        """Return both fields as they are."""
        del args
        return {f"/spec/{field}": lookup(value, f"/spec/{field}") for field in _FIELDS}

    def request(self, args: Budget, value: Mapping[str, Any]) -> Write:
        """Return a merge patch of both."""
        del value
        return Write("merge", {"spec": {"minAvailable": args.minAvailable, "maxUnavailable": args.maxUnavailable}})

    def undo(self, args: Budget, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo:
        """Return the field that there was."""
        del args, after
        for field in _FIELDS:
            old = lookup(before, f"/spec/{field}")
            if old:
                return self.name, {field: old[0]}
        return self.name, {"neither": True}
