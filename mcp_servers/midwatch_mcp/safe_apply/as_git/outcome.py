"""What an operation makes of a manifest: the operation's own request, carried out on the file's object."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from midwatch_contracts.plan import KubeTarget
from midwatch_mcp.safe_apply.drafting import DraftOperation, KubeDraft
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.operations.base import OperationKind
from midwatch_mcp.safe_apply.operations.patch import Patch, PatchOperation
from midwatch_mcp.safe_apply.patches import patched
from midwatch_mcp.safe_apply.preparing import completed
from midwatch_mcp.safe_apply.values import cleaned, is_noise, same

_RUNNING = "it acts on what runs now, which no file in Git says; use it on the cluster"
_NOT_IN_GIT: dict[str, str] = {
    "rollout_undo": "the revision before is in Git itself: `git revert` the commit that brought it",
    "create": "add the manifest to the repository yourself: which file, and what else lists it, is its owner's to say",
    "delete": "remove the manifest from the repository yourself: what lists it, and what prunes it, is its owner's",
    **dict.fromkeys(("cordon", "uncordon", "drain", "evict", "exec"), _RUNNING),
}


@dataclass(frozen=True)
class Wanted:
    """One operation of a draft, read and ready: what it is about and what it asks for."""

    id: str
    op: str
    target: KubeDraft
    args: dict[str, Any]

    @property
    def kind(self) -> OperationKind[Any]:
        """The operation's kind."""
        return operation_kind(self.op)

    @property
    def said(self) -> str:
        """The operation as a person reads it."""
        where = f"{self.target.namespace}/" if self.target.namespace else ""
        return f"{self.op} of {self.target.kind}/{where}{self.target.name}"


def wanted(number: int, draft: DraftOperation, now: str) -> Wanted:
    """Return an operation of a draft as it is carried out in Git; `now` is an RFC 3339 time.

    Raises:
        RefusedChangeError: it has no meaning there, is not understood, or does not fit its target.
    """
    kind = operation_kind(draft.op)
    why = _RUNNING if kind.serving else _NOT_IN_GIT.get(draft.op)
    if why is not None or not isinstance(draft.target, KubeDraft):
        raise RefusedChangeError("not_understood", f"op{number}: {draft.op} has no meaning in Git: {why or _RUNNING}")
    if "*" not in kind.kinds and draft.target.kind not in kind.kinds:
        raise RefusedChangeError(
            "not_understood",
            f"op{number}: {draft.op} does not know the kind {draft.target.kind}, only {', '.join(kind.kinds)}",
        )
    if not draft.target.name:
        raise RefusedChangeError("bad_draft", f"op{number}: the target of {draft.op} needs a name")
    # What change_propose writes is never taken from a draft.
    given = {
        name: value
        for name, value in draft.args.items()
        if name in kind.drafted() or name not in kind.arguments.model_fields
    }
    if draft.op == "rollout_restart":
        given = {"restarted_at": now}
    parsed = kind.parse(given)
    return Wanted(f"op{number}", draft.op, draft.target, parsed.model_dump(mode="json", exclude_defaults=True))


def outcome(one: Wanted, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an operation makes of a manifest.

    Raises:
        RefusedChangeError: it does not fit the manifest, or changes nothing.
        RejectedError: a patch does not fit.
    """
    body: dict[str, Any] = {**manifest, "metadata": manifest.get("metadata") or {}}
    new = _applied(one, body) if one.op == "apply" else _requested(one, body)
    if same(cleaned(new), cleaned(body)):
        raise RefusedChangeError("no_effect", f"{one.id}: {one.said} changes nothing: Git says that already")
    return new


def _requested(one: Wanted, body: Mapping[str, Any]) -> dict[str, Any]:
    kind = one.kind
    args = kind.parse(one.args)
    _refuse_noise(one, kind.pointers(args, body))
    write = kind.request(args, body)
    return patched(write.form, body, write.body)


def _applied(one: Wanted, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest under a server-side apply, which takes nothing away and merges lists by their keys."""
    given = cast("dict[str, Any]", one.args["manifest"])
    named = {"kind": one.target.kind, "apiVersion": given.get("apiVersion") or body.get("apiVersion") or "v1"}
    target = KubeTarget(cluster="", namespace=one.target.namespace, name=one.target.name, **named)
    fields = {key: item for key, item in completed(given, target).items() if key not in ("apiVersion", "kind")}
    fields["metadata"] = {key: item for key, item in fields["metadata"].items() if key not in ("name", "namespace")}
    fields = {key: item for key, item in fields.items() if item}
    patch = PatchOperation()
    args = Patch(type="strategic", patch=fields)
    _refuse_noise(one, patch.pointers(args, body))
    return patched("strategic", body, fields)


def _refuse_noise(one: Wanted, pointers: Any) -> None:
    unseen = [pointer for pointer in pointers if is_noise(pointer)]
    if unseen:
        raise RefusedChangeError(
            "not_understood", f"{one.id} changes {', '.join(unseen)}, which the server itself sets"
        )
