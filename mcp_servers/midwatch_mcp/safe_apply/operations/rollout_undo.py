"""`rollout_undo`: give a Deployment the pod template of an earlier revision again."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import OperationKind, Touched, refuse
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import lookup

TEMPLATE = "/spec/template"
REVISION = "deployment.kubernetes.io/revision"
_HASH_LABEL = "pod-template-hash"


class RolloutUndo(Model):
    """`change_propose` writes `template`, from the ReplicaSet of the revision, so that the plan says what comes."""

    to_revision: int = Field(ge=0)
    """0 is the revision before the newest."""
    template: dict[str, Any] | None = None


class RolloutUndoOperation(OperationKind[RolloutUndo]):
    """Replace `spec.template`."""

    name = "rollout_undo"
    kinds = ("Deployment",)
    arguments = RolloutUndo

    def touched(self, args: RolloutUndo, value: Mapping[str, Any]) -> Touched:
        """Return the pod template as it is."""
        del args
        return {TEMPLATE: lookup(value, TEMPLATE)}

    def request(self, args: RolloutUndo, value: Mapping[str, Any]) -> Write:
        """Return a JSON patch that replaces the template, as `kubectl rollout undo` does."""
        del value
        if args.template is None:
            raise refuse("rollout_undo has no template: change_propose writes it")
        return Write("json", [{"op": "replace", "path": TEMPLATE, "value": args.template}])

    def undo(
        self, args: RolloutUndo, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """Return the replacement by the template as it was."""
        del args, after
        body = [{"op": "replace", "path": TEMPLATE, "value": copy.deepcopy(before["spec"]["template"])}]
        return "patch", {"type": "json", "patch": body}


def template_of(
    args: RolloutUndo, deployment: Mapping[str, Any], replicasets: Sequence[Mapping[str, Any]]
) -> tuple[int, dict[str, Any]]:
    """Return (revision, pod template) of the revision that the arguments name.

    Raises:
        RefusedChangeError: when that revision is no longer kept, or is the one that runs.
    """
    uid = str(deployment["metadata"]["uid"])
    kept: dict[int, Mapping[str, Any]] = {}
    for replicaset in replicasets:
        metadata = cast("dict[str, Any]", replicaset["metadata"])
        annotations = cast("dict[str, str]", metadata.get("annotations") or {})
        revision = annotations.get(REVISION, "")
        owners = cast("list[dict[str, Any]]", metadata.get("ownerReferences") or [])
        if revision.isdecimal() and any(owner.get("uid") == uid for owner in owners):
            kept[int(revision)] = replicaset
    newest = max(kept, default=0)
    # 0 stands for the revision before the newest, as kubectl has it.
    wanted = args.to_revision or max((revision for revision in kept if revision != newest), default=0)
    if wanted not in kept or wanted == newest:
        have = ", ".join(map(str, sorted(kept))) or "none"
        raise refuse(f"revision {args.to_revision or 'before the newest'} cannot be gone back to; kept are: {have}")
    template = copy.deepcopy(cast("dict[str, Any]", kept[wanted]["spec"]["template"]))
    metadata = cast("dict[str, Any]", template.get("metadata") or {})
    labels = cast("dict[str, Any]", metadata.get("labels") or {})
    labels.pop(_HASH_LABEL, None)
    return wanted, template
