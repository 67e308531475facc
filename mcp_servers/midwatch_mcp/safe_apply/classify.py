"""Risk of one operation, by what its dry run shows: the request, the jail, hazards, owners and size (CONTRACTS §6).

Everything here reads the diff, never what an operation says of itself; what is not understood is forbidden.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from midwatch_contracts.plan import RISKS, Diff, KubeTarget, Operation, Owner, Risk, Target
from midwatch_mcp.safe_apply.classification import Verdict, known, verdict
from midwatch_mcp.safe_apply.findings import Finding
from midwatch_mcp.safe_apply.git_owners import ADVICE, git_managers, git_source, tool_of
from midwatch_mcp.safe_apply.guards import Reason, entity_of, group_of, outside
from midwatch_mcp.safe_apply.hazards import embeds_pods, findings, serving_findings
from midwatch_mcp.safe_apply.metadata_keys import key_findings, touched_keys
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.operations.patch import below
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.sizes import beyond
from midwatch_mcp.safe_apply.values import cleaned, leaves

_CUSTOM: dict[str, Risk] = {"create": "change", "update": "change", "patch": "change", "delete": "dangerous"}


@dataclass
class Judgement:
    """The class so far, and why it is no lower."""

    risk: Risk = "read"
    reasons: list[tuple[Risk, str]] = field(default_factory=list[tuple[Risk, str]])
    """Why it is more than `change`, each with the class that it asks for."""
    rule: str = ""
    """What the reviewed table says of the request."""

    def at_least(self, risk: Risk, reason: str = "") -> None:
        """Raise the class to `risk` if it is lower; keep the reason whenever there is one."""
        if RISKS.index(risk) > RISKS.index(self.risk):
            self.risk = risk
        if reason and (risk, reason) not in self.reasons:
            self.reasons.append((risk, reason))

    def said(self) -> list[str]:
        """Return the reasons as a person reads them."""
        return [f"{risk}: {reason}" for risk, reason in self.reasons]


def jail(operation: str, target: Target, policy: Policy) -> list[str]:
    """Return why an operation on a target is outside the jail, with the mend; empty when it is inside."""
    entity = entity_of(target)
    if entity is None:
        return ["the target is not understood"]
    group = group_of(target)
    found: list[str] = []
    if operation not in policy.operations:
        found.append(f"the policy does not allow the operation {operation} (its list `operations`)")
    if not policy.has_kind(group, entity.kind):
        name = entity.kind if known(group, entity.kind) else f"{group}/{entity.kind}"
        found.append(f"the policy does not allow changes of the kind {name} (its list `kinds`)")
    return found + outside(entity.namespace, policy)


def judge_operation(
    operation: Operation,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    diff: Diff,
    said: Sequence[str],
    owners: Iterable[Owner] | None,
    guards: Iterable[Reason],
    policy: Policy,
) -> Judgement:
    """Judge one operation by what its dry run shows. `said` are the pointers that the operation says it changes.

    `before` is the object as it was read, empty for one that is made; `after` is empty for one that is deleted.
    `owners` is None for a change in Git itself, which nobody changes back.
    """
    judged = Judgement()
    entity = entity_of(operation.target)
    if entity is None:
        judged.at_least("forbidden", "the target is not understood")
        return judged
    kind = operation_kind(operation.op)
    found = _base((kind.verb, kind.subresource), group_of(operation.target), entity.kind, {**before, **after}, policy)
    judged.rule = found.why
    judged.at_least(found.risk, found.why if found.risk in ("dangerous", "forbidden") else "")
    for reason in jail(operation.op, operation.target, policy):
        judged.at_least("forbidden", reason)
    for risk, reason in guards:
        judged.at_least(risk, reason)
    if isinstance(operation.target, KubeTarget):
        _judge_object(judged, operation.target, (before, after), diff, policy)
        if owners is not None:
            _judge_owners(judged, kind.verb, before, owners, policy)
    else:
        judge_findings(judged, serving_findings(operation.args, policy.adapters), policy)
    more = [
        pointer
        for pointer, old, new in diff.changes
        if not all(any(below(part, place) for place in said) for part in _parts(pointer, old, new))
    ]
    if more:
        judged.at_least(
            "dangerous",
            f"the dry run changes more than the operation says: {', '.join(more)} (an admission webhook, a policy or a "
            "default of the server adds it; the diff shows it)",
        )
    if operation.undo == "none":
        judged.at_least("dangerous", f"{operation.op} of {entity} cannot be undone")
    for reason in beyond(entity.kind, before, diff, policy.limits):
        judged.at_least("dangerous", reason)
    return judged


def _parts(pointer: str, before: Any, after: Any) -> Iterable[str]:
    """Return the places of a change: a map that comes or goes as a whole, by its leaves."""
    whole = after if before is None else before if after is None else None
    return leaves(whole, pointer) if isinstance(whole, dict) else (pointer,)


def _base(request: tuple[str, str], group: str, kind: str, value: Mapping[str, Any], policy: Policy) -> Verdict:
    """Return what the table says; for a custom resource that the policy lets through, what it is at least."""
    verb, subresource = request
    if known(group, kind) or not policy.has_kind(group, kind):
        return verdict(verb, group, kind, subresource)
    what = f"{verb} of the custom resource {group}/{kind}"
    if subresource or verb not in _CUSTOM:
        return Verdict("forbidden", f"{what} is not understood")
    spec = value.get("spec")
    if embeds_pods(value) or (isinstance(spec, dict) and "replicas" in spec):
        return Verdict(
            "dangerous", f"{what}, which holds pods or a scale: how its controller carries it out is not known"
        )
    return Verdict(_CUSTOM[verb], what)


def _judge_object(
    judged: Judgement,
    target: KubeTarget,
    values: tuple[Mapping[str, Any], Mapping[str, Any]],
    diff: Diff,
    policy: Policy,
) -> None:
    # `after` has no controller's annotations; left in `before`, they would count as taken away.
    before, after = cleaned(values[0]) if values[0] else {}, values[1]
    judge_findings(judged, findings(before, after, policy.images), policy)
    keys = touched_keys(before, after) if after else []
    judge_findings(judged, key_findings(keys, policy.inert), policy)
    for name in policy.untouched(keys):
        judged.at_least(
            "forbidden", f"it sets, replaces or takes away {name}, which the policy's `untouchable` protects"
        )
    if target.kind == "Node":
        other = [pointer for pointer, _, _ in diff.changes if pointer not in ("/spec/unschedulable", "/pods")]
        if other:
            judged.at_least("dangerous", f"of a node it changes {', '.join(other)}, not only whether pods may come")
    if after and (stays := _identity(target, after)):
        judged.at_least("forbidden", stays)


def judge_findings(judged: Judgement, found: Iterable[Finding], policy: Policy, where: str = "") -> None:
    """Raise the class by what was found, or less where the policy lets it through; `where` begins each reason."""
    for finding in found:
        let = finding.risk == "forbidden" and finding.name in policy.let_through
        mend = f" (the policy may let {finding.name} through)" if finding.risk == "forbidden" and finding.name else ""
        judged.at_least("dangerous" if let else finding.risk, where + finding.says + ("" if let else mend))


def _identity(target: KubeTarget, after: Mapping[str, Any]) -> str:
    """Return how the object that comes out is not the one that was named; empty where it is."""
    metadata = cast("dict[str, Any]", after.get("metadata") or {})
    there = (after.get("apiVersion"), after.get("kind"), metadata.get("namespace", ""), metadata.get("name"))
    asked = (target.apiVersion, target.kind, target.namespace, target.name)
    if there == asked:
        return ""
    return f"what comes out is {' '.join(map(str, there))}, not {' '.join(asked)}"


def _judge_owners(
    judged: Judgement, verb: str, before: Mapping[str, Any], owners: Iterable[Owner], policy: Policy
) -> None:
    """Judge by who else writes the fields that change: a repository behind a tool, or a controller."""
    risk: Risk = "forbidden" if policy.gitops == "refuse" else "dangerous"
    source = git_source(before)
    owned = [owner for owner in owners if tool_of(owner.manager)]
    said = f" {source.says()};" if source else ""
    for owner in owned:
        judged.at_least(risk, f"{owner.pointer} belongs to {owner.manager} ({tool_of(owner.manager)});{said} {ADVICE}")
    if source is not None and not owned and (not git_managers(before) or verb == "delete"):
        judged.at_least(risk, f"{source.says()}, and which of its fields is not recorded; {ADVICE}")
    metadata = cast("dict[str, Any]", before.get("metadata") or {})
    for owner in cast("list[dict[str, Any]]", metadata.get("ownerReferences") or []):
        if owner.get("controller") and verb in ("patch", "update") and before.get("kind") != "Pod":
            name = f"{owner.get('kind')} {owner.get('name')}"
            judged.at_least("dangerous", f"the {name} controls it, and may change it back: change that instead")
