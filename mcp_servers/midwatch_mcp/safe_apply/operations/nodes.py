"""`cordon`, `uncordon` and `drain`: whether a node takes pods, and those it has."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_contracts.plan import KubeTarget, Target
from midwatch_mcp.safe_apply.operations.base import WRITTEN_HERE, Nothing, OperationKind, Part, Touched, refuse
from midwatch_mcp.safe_apply.operations.switch import SwitchOperation
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import cleaned, lookup

UNSCHEDULABLE = "/spec/unschedulable"


class CordonOperation(SwitchOperation):
    """Let a node take no new pods."""

    name = "cordon"
    kinds = ("Node",)
    field = "unschedulable"
    about = "let a node take no new pods"
    undone_by = "uncordon"
    wanted = True
    opposite = "uncordon"


class UncordonOperation(SwitchOperation):
    """Let a node take pods again."""

    name = "uncordon"
    kinds = ("Node",)
    field = "unschedulable"
    about = "let a node take pods again"
    undone_by = "cordon"
    wanted = False
    opposite = "cordon"


class DrainedPod(Model):
    """One pod that goes."""

    namespace: str
    name: str
    uid: str
    loses: tuple[str, ...] = ()
    """Its emptyDir volumes, whose content is lost."""


class Drain(Model):
    """`grace_s` as of evict. `unmanaged: true` lets pods go too that nobody makes again."""

    grace_s: int | None = Field(default=None, ge=0, le=3600)
    unmanaged: bool = False
    pods: tuple[DrainedPod, ...] = Field(default=(), json_schema_extra=WRITTEN_HERE)
    """Which pods go, fixed in the plan; one that comes later stays."""
    left: tuple[str, ...] = Field(default=(), json_schema_extra=WRITTEN_HERE)
    """Pods that stay, with the reason."""


class DrainOperation(OperationKind[Drain]):
    """Cordon a node and evict its pods one after another, each as its disruption budget allows."""

    name = "drain"
    about = "cordon a node and evict its pods, as disruption budgets allow; DaemonSet and mirror pods stay"
    undone_by = "nothing (the node stays cordoned: uncordon it in a plan of its own)"
    example = {"grace_s": 30}  # noqa: RUF012
    kinds = ("Node",)
    arguments = Drain
    patience_s = 300.0

    def touched(self, args: Drain, value: Mapping[str, Any]) -> Touched:
        """Return whether the node is cordoned."""
        del args
        return {UNSCHEDULABLE: [lookup(value, UNSCHEDULABLE) == [True]]}

    def pointers(self, args: Drain, value: Mapping[str, Any]) -> list[str]:
        """Return the field, and what `shown` lists of the pods."""
        del args, value
        return [UNSCHEDULABLE, "/pods"]

    def request(self, args: Drain, value: Mapping[str, Any]) -> Write:
        """Return the cordon; the evictions are parts."""
        del args
        return CordonOperation().request(Nothing(), value)

    def undo(self, args: Drain, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Return that there is none: pods that went do not come back."""
        del args, before, after

    def shown(self, args: Drain, value: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
        """Return the node and the pods that go."""
        return {**cleaned(value), "pods": [] if done else [f"{pod.namespace}/{pod.name}" for pod in args.pods]}

    def parts(self, args: Drain, target: Target) -> Sequence[Part]:
        """Return the cordon, then one eviction a pod."""
        if not isinstance(target, KubeTarget):
            raise refuse("the target of a drain is a Node")
        cordon = Part("cordon", target, {}, "", {"spec": {}}, {"spec": {"unschedulable": True}})
        return [cordon, *(_eviction(args, pod, target) for pod in args.pods)]

    def notes(self, args: Drain) -> Sequence[str]:
        """Name what is lost and what stays."""
        lost = [
            f"{pod.namespace}/{pod.name} loses what its emptyDir {', '.join(pod.loses)} holds"
            for pod in args.pods
            if pod.loses
        ]
        return [*lost, *(f"stays: {name}" for name in args.left)]


def _eviction(args: Drain, pod: DrainedPod, node: KubeTarget) -> Part:
    target = KubeTarget(cluster=node.cluster, apiVersion="v1", kind="Pod", namespace=pod.namespace, name=pod.name)
    given = {"uid": pod.uid} | ({} if args.grace_s is None else {"grace_s": args.grace_s})
    return Part("evict", target, given, pod.uid, {"metadata": {"uid": pod.uid}}, {})
