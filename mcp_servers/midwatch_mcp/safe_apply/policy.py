"""The jail: what may be changed at all, from a TOML file that is read at every call (CONTRACTS §5 and §6)."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_contracts.plan import Risk
from midwatch_mcp.safe_apply.classification import known
from midwatch_mcp.safe_apply.freeze import Freeze
from midwatch_mcp.safe_apply.operations import OPERATIONS
from midwatch_mcp.safe_apply.policy_names import HazardName, KindName, OperationName

LEVELS = ("observe", "diagnose", "propose", "assist", "act", "keep watch")
"""Autonomy levels 0 to 5."""
PROPOSE, ASSIST, ACT = 2, 3, 4

Glob = Annotated[str, Field(min_length=1)]


class Namespaces(Model):
    """Globs; `deny` wins."""

    allow: tuple[Glob, ...] = ("*",)
    deny: tuple[Glob, ...] = ("kube-*", "*-system", "openshift-*", "argocd", "cert-manager", "kyverno", "midwatch")
    """The cluster's own, and those of what guards it."""

    def has(self, namespace: str) -> bool:
        """Say whether a namespace is inside."""
        return (
            bool(namespace)
            and any(fnmatchcase(namespace, glob) for glob in self.allow)
            and not any(fnmatchcase(namespace, glob) for glob in self.deny)
        )


class Limits(Model):
    """What lies beyond is `dangerous`."""

    max_objects: int = Field(default=10, ge=1)
    """Most objects that one plan touches."""
    max_scale_factor: float = Field(default=4.0, ge=1)
    """Largest ratio of new to old replicas or bounds, either way. Zero is beyond every factor."""
    max_pods_restarted: int = Field(default=50, ge=0)
    """Most pods that one plan restarts or takes away."""
    max_traffic_share: float = Field(default=0.75, ge=0, le=1)
    """Largest share of a Service's ready pods that is away at once, as a fraction."""


class ClassRule(Model):
    """What an approval of one class must be."""

    people: int = Field(default=1, ge=1, le=5)
    """How many different principals must approve; 2 is four eyes."""
    host: bool = True
    """Whether an answer counts that an MCP host brings from its user (elicitation), unsigned."""
    rehearsed: bool = False
    """Whether a good rehearsal of the very preview must be there first."""


class ApprovalRules(Model):
    """What an approval must be."""

    max_age_s: float = Field(default=24 * 3600.0, gt=0)
    """Longest time between `issued` and `expires`."""
    change: ClassRule = ClassRule()
    dangerous: ClassRule = ClassRule(host=False)

    def rule(self, risk: Risk) -> ClassRule:
        """Return the rule of a class; what is not `change` is held to that of `dangerous`."""
        return self.change if risk in ("read", "change") else self.dangerous


class Policy(Model):
    """The jail. Unknown fields are errors: a misspelt limit would be no limit."""

    schema_: Literal["midwatch.policy/v1"] = Field(default="midwatch.policy/v1", alias="schema")
    autonomy: int = Field(default=ASSIST, ge=0, le=5)
    frozen: str | None = None
    """While set, nothing new is written; the text is the reason that is shown."""
    freeze: tuple[Freeze, ...] = ()
    """Windows in which nothing new is written."""
    namespaces: Namespaces = Namespaces()
    kinds: tuple[KindName, ...] = (
        "Deployment",
        "StatefulSet",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "ConfigMap",
        "Service",
        "Pod",
        "Node",
    )
    """Kinds that may be changed, those that live in no namespace too."""
    operations: tuple[OperationName, ...] = tuple(name for name in OPERATIONS if name != "exec")
    """`exec` runs anything at all: who wants it writes it down."""
    protected_labels: dict[str, Glob] = Field(default_factory=lambda: {"midwatch.io/protected": "*"})
    """Objects that carry one of these labels, with a value that the glob matches, are not touched."""
    protected_annotations: dict[str, Glob] = Field(default_factory=lambda: {"midwatch.io/protected": "*"})
    """The same for annotations."""
    untouchable: tuple[Glob, ...] = (
        "midwatch.io/protected*",
        "argocd.argoproj.io/*",
        "*.toolkit.fluxcd.io/*",
        "meta.helm.sh/*",
        "app.kubernetes.io/managed-by",
        "pod-security.kubernetes.io/*",
        "*.istio.io/*",
        "kubernetes.io/*",
        "cluster-autoscaler.kubernetes.io/*",
    )
    """Keys of labels and annotations that no change sets, replaces or takes away, on an object or on its pods."""
    images: tuple[Glob, ...] = ()
    """Images that a change may bring in; none named: one of another repository than before is `dangerous`."""
    adapters: tuple[Glob, ...] = ()
    """Paths from which adapters may be loaded; none named: one that a model hub serves is `dangerous`."""
    inert: tuple[Glob, ...] = ()
    """Keys of labels and annotations on which nobody acts: a change of them is not `dangerous`."""
    let_through: tuple[HazardName, ...] = ()
    """Fields, flags, variables and keys that would make a change `forbidden`, and make it `dangerous` instead."""
    gitops: Literal["refuse", "dangerous"] = "refuse"
    """What becomes of a change to something that a Git repository or a chart owns, and that is changed back."""
    limits: Limits = Limits()
    approvals: ApprovalRules = ApprovalRules()

    def frozen_at(self, now: float) -> str | None:
        """Return why nothing new may be written at `now` (Unix seconds), or None."""
        if self.frozen is not None:
            return self.frozen
        return next((window.says() for window in self.freeze if window.active(now)), None)

    def has_kind(self, group: str, kind: str) -> bool:
        """Say whether a kind may be changed; a plain name stands for Kubernetes' own kind and for no custom one."""
        return f"{group}/{kind}" in self.kinds or (kind in self.kinds and known(group, kind))

    def protection(self, metadata: Mapping[str, Any]) -> list[str]:
        """Return the labels and annotations of an object that keep it from every change."""
        found: list[str] = []
        for group, wanted in (("labels", self.protected_labels), ("annotations", self.protected_annotations)):
            held = cast("dict[str, str]", metadata.get(group) or {})
            found += [
                f"the protected {group.removesuffix('s')} {name}={held[name]}"
                for name, glob in wanted.items()
                if name in held and fnmatchcase(str(held[name]), glob)
            ]
        return found

    def untouched(self, names: Iterable[str]) -> list[str]:
        """Return those of some labels or annotations that no change may touch."""
        return [name for name in names if any(fnmatchcase(name, glob) for glob in self.untouchable)]


def sentences(policy: Policy) -> list[str]:
    """Return what a policy means, in words, one thing a sentence."""
    spaces, limits, rules = policy.namespaces, policy.limits, policy.approvals
    allowed = "any namespace" if "*" in spaces.allow else f"namespaces {', '.join(spaces.allow)}"
    but = f", never in {', '.join(spaces.deny)}" if spaces.deny else ""
    said = [
        f"Autonomy is {policy.autonomy} ({LEVELS[policy.autonomy]}): {_MEANING[policy.autonomy]}.",
        f"Changes are allowed in {allowed}{but}.",
        f"Only these kinds may be changed: {', '.join(policy.kinds) or 'none'}.",
        f"Only these operations are allowed: {', '.join(policy.operations) or 'none'}.",
        _limits(limits),
        approval_sentence("change", rules.change),
        approval_sentence("dangerous change", rules.dangerous),
        f"An approval is good for at most {rules.max_age_s:g} s.",
    ]
    for group, names in (("label", policy.protected_labels), ("annotation", policy.protected_annotations)):
        said += [f"Whatever carries the {group} {name}={glob} is not touched." for name, glob in names.items()]
    if policy.untouchable:
        said.append(f"No label or annotation {', '.join(policy.untouchable)} is set or taken away.")
    if policy.images:
        said.append(f"Images come only from {', '.join(policy.images)}.")
    if policy.adapters:
        said.append(f"Adapters are loaded only from {', '.join(policy.adapters)}.")
    if policy.inert:
        said.append(f"Nobody acts on the labels and annotations {', '.join(policy.inert)}.")
    if policy.let_through:
        said.append(f"A person may approve what is otherwise forbidden for: {', '.join(policy.let_through)}.")
    said.append(
        "What a Git repository or a chart owns is not changed here."
        if policy.gitops == "refuse"
        else "What a Git repository or a chart owns may be changed here, as a dangerous change; it may be changed back."
    )
    said += [f"Nothing new is written {window.says()}." for window in policy.freeze]
    said.append("Nothing is frozen by hand." if policy.frozen is None else f"All is frozen by hand: {policy.frozen}.")
    return said


_MEANING = (
    "reads only when asked",
    "runs guides and says the cause, drafts no plan",
    "drafts and previews plans, applies none",
    "applies what a person approved",
    "approves a change by itself when its cause is certain",
    "approves a change by itself when its cause is certain, and opens runs from alerts",
)


def _limits(limits: Limits) -> str:
    return (
        f"A plan is dangerous when it touches more than {limits.max_objects} objects, scales by more than a factor of "
        f"{limits.max_scale_factor:g} or to zero, restarts more than {limits.max_pods_restarted} pods, or takes away "
        f"more than {limits.max_traffic_share:.0%} of a Service's ready pods at once."
    )


def approval_sentence(what: str, rule: ClassRule) -> str:
    """Return what the approval of a change of a class takes."""
    who = "one person" if rule.people == 1 else f"{rule.people} different people"
    how = "an answer through an MCP host counts" if rule.host else "by signature, not through an MCP host"
    first = ", and a good rehearsal first" if rule.rehearsed else ""
    return f"A {what} needs the approval of {who}{first}; {how}."
