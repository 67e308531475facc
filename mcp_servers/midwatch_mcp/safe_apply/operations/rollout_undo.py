"""`rollout_undo`: give a workload the pod template of an earlier revision again."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import WORKLOADS, WRITTEN_HERE, OperationKind, Touched, Undo, refuse
from midwatch_mcp.safe_apply.operations.pod_template import TEMPLATE
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import lookup, same

REVISION = "deployment.kubernetes.io/revision"
_HASH_LABEL = "pod-template-hash"


class RolloutUndo(Model):
    """`to_revision`: 0 is the revision before the newest."""

    to_revision: int = Field(default=0, ge=0)
    template: dict[str, Any] | None = Field(default=None, json_schema_extra=WRITTEN_HERE)
    """From the history of the workload, so that the plan says what comes."""


class RolloutUndoOperation(OperationKind[RolloutUndo]):
    """Replace `spec.template`."""

    name = "rollout_undo"
    about = "the pod template of an earlier revision (0: the one before); the pods restart"
    undone_by = "the template as it was"
    example = {"to_revision": 3}  # noqa: RUF012
    kinds = tuple(WORKLOADS)
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

    def undo(self, args: RolloutUndo, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo:
        """Return the replacement by the template as it was."""
        del args, after
        body = [{"op": "replace", "path": TEMPLATE, "value": copy.deepcopy(before["spec"]["template"])}]
        return "patch", {"type": "json", "patch": body}


def template_of(
    args: RolloutUndo, workload: Mapping[str, Any], history: Sequence[Mapping[str, Any]]
) -> tuple[int, dict[str, Any]]:
    """Return (revision, pod template) of the revision that the arguments name.

    `history`: ReplicaSets for a Deployment, ControllerRevisions for the others. A template that is given names the
    revision that holds it.

    Raises:
        RefusedChangeError: when that revision is no longer kept, or is the one that runs.
    """
    kept = dict(_kept(str(workload["metadata"]["uid"]), history))
    newest = max(kept, default=0)
    if args.template is not None:
        holding = [revision for revision, template in kept.items() if same(template, _plain(args.template))]
        wanted = max(holding, default=0)
    else:
        # 0 stands for the revision before the newest, as kubectl has it.
        wanted = args.to_revision or max((revision for revision in kept if revision != newest), default=0)
    if wanted not in kept or (wanted == newest and args.template is None):
        have = ", ".join(map(str, sorted(kept))) or "none"
        named = "of the given template" if args.template is not None else args.to_revision or "before the newest"
        raise refuse(f"revision {named} cannot be gone back to; kept are: {have}")
    return wanted, kept[wanted]


def _kept(uid: str, history: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (revision, template) of every object of the history that the workload owns."""
    for kept in history:
        metadata = cast("dict[str, Any]", kept["metadata"])
        owners = cast("list[dict[str, Any]]", metadata.get("ownerReferences") or [])
        if not any(owner.get("uid") == uid for owner in owners):
            continue
        if "revision" in kept:
            yield int(kept["revision"]), _plain(kept["data"]["spec"]["template"])
            continue
        revision = cast("dict[str, str]", metadata.get("annotations") or {}).get(REVISION, "")
        if revision.isdecimal():
            yield int(revision), _plain(kept["spec"]["template"])


def _plain(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a template without what its history adds: a ReplicaSet's label, a patch's directive."""
    plain = copy.deepcopy({key: part for key, part in template.items() if key != "$patch"})
    metadata = cast("dict[str, Any]", plain.get("metadata") or {})
    labels = cast("dict[str, Any]", metadata.get("labels") or {})
    labels.pop(_HASH_LABEL, None)
    if metadata.get("creationTimestamp", "") is None:
        metadata.pop("creationTimestamp")
    return plain
