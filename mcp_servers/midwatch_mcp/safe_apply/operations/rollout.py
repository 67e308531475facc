"""`rollout_restart`, `rollout_pause` and `rollout_resume`."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import (
    WORKLOADS,
    WRITTEN_HERE,
    OperationKind,
    Touched,
    Undo,
    refuse,
)
from midwatch_mcp.safe_apply.operations.pod_template import TEMPLATE
from midwatch_mcp.safe_apply.operations.switch import SwitchOperation
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import escape, lookup

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
PAUSED = "/spec/paused"


class RolloutRestart(Model):
    """Takes nothing."""

    restarted_at: str | None = Field(default=None, json_schema_extra=WRITTEN_HERE)
    """RFC 3339; written at propose, so that the dry run and the write say the same."""


class RolloutRestartOperation(OperationKind[RolloutRestart]):
    """Give the pod template a new annotation, as `kubectl rollout restart` does."""

    name = "rollout_restart"
    about = "restart the pods of a workload one after another"
    undone_by = "rollout_undo to the pod template as it was (the pods restart once more)"
    example: ClassVar[dict[str, Any]] = {}
    kinds = tuple(WORKLOADS)
    arguments = RolloutRestart

    def touched(self, args: RolloutRestart, value: Mapping[str, Any]) -> Touched:
        """Return the time of the last restart."""
        del args
        return {_AT: lookup(value, _AT)}

    def request(self, args: RolloutRestart, value: Mapping[str, Any]) -> Write:
        """Return a merge patch of the annotation."""
        if lookup(value, PAUSED) == [True]:
            raise refuse("the rollout is paused, so nothing would restart: resume it first, in a plan of its own")
        if args.restarted_at is None:
            raise refuse("rollout_restart has no time: change_propose writes it")
        annotations = {RESTARTED_AT: args.restarted_at}
        return Write("merge", {"spec": {"template": {"metadata": {"annotations": annotations}}}})

    def undo(self, args: RolloutRestart, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo:
        """Return the rollout undo to the template as it was."""
        del args, after
        return "rollout_undo", {"to_revision": 0, "template": copy.deepcopy(before["spec"]["template"])}


_AT = f"{TEMPLATE}/metadata/annotations/{escape(RESTARTED_AT)}"


class RolloutPauseOperation(SwitchOperation):
    """Stop a rollout where it is."""

    name = "rollout_pause"
    kinds = ("Deployment",)
    field = "paused"
    about = "stop the rollout of a Deployment where it is"
    undone_by = "rollout_resume"
    wanted = True
    opposite = "rollout_resume"


class RolloutResumeOperation(SwitchOperation):
    """Let a rollout go on."""

    name = "rollout_resume"
    kinds = ("Deployment",)
    field = "paused"
    about = "let a paused rollout go on"
    undone_by = "rollout_pause"
    wanted = False
    opposite = "rollout_pause"
