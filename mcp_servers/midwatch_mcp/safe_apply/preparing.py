"""What only the cluster, the clock or a lot can fill into an operation's arguments, once, when a plan is drafted.

From there on the plan is fixed: which pods a drain evicts, which template a rollout goes back to, when a restart was
asked for, what a generated name is (CONTRACTS §5).
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from midwatch_contracts.entity import Entity
from midwatch_contracts.plan import KubeTarget, Target
from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply.draining import pods_to_go
from midwatch_mcp.safe_apply.errors import RefusedChangeError, TargetError
from midwatch_mcp.safe_apply.operations.apply import Apply, places
from midwatch_mcp.safe_apply.operations.base import OperationKind, refuse
from midwatch_mcp.safe_apply.operations.execution import Exec
from midwatch_mcp.safe_apply.operations.nodes import Drain
from midwatch_mcp.safe_apply.operations.patch import below
from midwatch_mcp.safe_apply.operations.presence import Create, Delete, mark_of, restorable
from midwatch_mcp.safe_apply.operations.rollout_undo import RolloutUndo, template_of
from midwatch_mcp.safe_apply.operations.serving_calls import Cancel
from midwatch_mcp.safe_apply.pods import controller_of, serving_port
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.ports import Snapshot, TargetApi, Write
from midwatch_mcp.safe_apply.values import changes, cleaned

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes draws generated names from: no vowels, so no words."""
_DRAWN = 5
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_REMADE: frozenset[str] = frozenset({"EndpointSlice"})
"""Kinds that a controller makes of a Service, and makes again."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Drafting:
    """What is at hand while one operation is drafted."""

    target: Target
    entity: Entity
    snapshot: Snapshot
    api: TargetApi
    policy: Policy
    now: float


async def prepared(kind: OperationKind[Any], given: Mapping[str, Any], at: Drafting) -> Json:
    """Return the arguments in the form that the plan keeps: typed, and with everything filled in.

    Raises:
        RefusedChangeError: they do not fit, or the target is in no state for the operation.
        TargetError: something that they need cannot be read.
    """
    fill = _FILL.get(kind.name)
    if fill is not None:
        # What change_propose writes is never taken from a draft, but for a template, which is compared with those kept.
        ours = {name for name in kind.arguments.model_fields if name not in kind.drafted()}
        given = {name: value for name, value in given.items() if name not in ours - {"template", "created"}}
    parsed = kind.parse(given)
    return parsed.model_dump(mode="json", exclude_defaults=True) if fill is None else await fill(parsed, at)


def generated_name(stem: str) -> str:
    """Return a name as the API server would generate it."""
    return stem + "".join(secrets.choice(_LETTERS) for _ in range(_DRAWN))


def completed(manifest: Mapping[str, Any], target: KubeTarget) -> Json:
    """Return a manifest with what names its object, and without what the server sets.

    Raises:
        RefusedChangeError: it names another object than the target.
    """
    body = cleaned({**manifest, "metadata": dict(manifest.get("metadata") or {})})
    metadata = cast("Json", body["metadata"])
    metadata.pop("generateName", None)
    named = {"apiVersion": target.apiVersion, "kind": target.kind}
    for found, wanted in ((body, named), (metadata, {"name": target.name, "namespace": target.namespace})):
        for field, value in wanted.items():
            if found.get(field, value) != value:
                raise RefusedChangeError(
                    "bad_draft", f"the manifest's {field} is {found[field]!r} and the target's is {value!r}"
                )
            if value:
                found[field] = value
    rest = {key: value for key, value in body.items() if key not in ("apiVersion", "kind", "metadata")}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata, **rest}


def _kube(at: Drafting) -> KubeTarget:
    if not isinstance(at.target, KubeTarget):
        raise refuse(f"{at.entity} is no object of this cluster")
    return at.target


async def _create(args: Create, at: Drafting) -> Json:
    return {"manifest": completed(args.manifest, _kube(at)), "mark": secrets.token_hex(8)}


async def _delete(args: Delete, at: Drafting) -> Json:
    value = at.snapshot.value
    if at.snapshot.absent:
        raise RefusedChangeError("no_effect", f"there is no {at.entity}: nothing is to be deleted")
    if value["metadata"].get("deletionTimestamp"):
        raise RefusedChangeError("no_effect", f"{at.entity} is going already")
    if args.created is not None and mark_of(value) != args.created:
        raise RefusedChangeError("state", f"{at.entity} is not the object that the change created")
    found: Json = {"uid": at.snapshot.uid}
    if args.propagation != "Background":
        found["propagation"] = args.propagation
    if restorable(value) and await _owns_nothing(at):
        found["manifest"] = cleaned(value)
    return found


async def _owns_nothing(at: Drafting) -> bool:
    """Say whether the object owns nothing that would go with it; what cannot be listed might be its own."""
    try:
        owned = await at.api.dependents(at.snapshot.uid, at.entity.namespace)
    except TargetError:
        return False
    return not [entity for entity in owned if entity.kind not in _REMADE]


async def _apply(args: Apply, at: Drafting) -> Json:
    manifest = completed(args.manifest, _kube(at))
    result = await at.api.write(at.target, Write("apply", manifest), read=at.snapshot, dry_run=True)
    said = [place.pointer for place in places(manifest, at.snapshot.value)]
    dropped = [
        pointer
        for pointer, _, after in changes(cleaned(at.snapshot.value), cleaned(result.value))
        if after is None and not any(below(pointer, place) for place in said)
    ]
    return {"manifest": manifest} | ({"dropped": dropped} if dropped else {})


async def _restart(args: object, at: Drafting) -> Json:
    del args
    return {"restarted_at": rfc3339(at.now)}


async def _rollout_undo(args: RolloutUndo, at: Drafting) -> Json:
    history = "ReplicaSet" if at.entity.kind == "Deployment" else "ControllerRevision"
    kept = await at.api.objects(history, at.entity.namespace)
    revision, template = template_of(args, at.snapshot.value, kept)
    return {"to_revision": revision, "template": template}


async def _evict(args: Any, at: Drafting) -> Json:
    metadata = cast("Json", at.snapshot.value.get("metadata") or {})
    if at.snapshot.absent or metadata.get("deletionTimestamp"):
        raise RefusedChangeError("no_effect", f"{at.entity} is gone, or going already")
    return {**args.model_dump(mode="json", exclude_defaults=True), "uid": at.snapshot.uid}


async def _drain(args: Drain, at: Drafting) -> Json:
    pods = [
        pod
        for pod in await at.api.objects("Pod", "")
        if cast("Json", pod.get("spec") or {}).get("nodeName") == at.entity.name
    ]
    found = pods_to_go(pods, unmanaged=args.unmanaged)
    outside = sorted({pod.namespace for pod in found.pods if not at.policy.namespaces.has(pod.namespace)})
    if outside:
        raise RefusedChangeError(
            "forbidden",
            f"{at.entity} runs pods in namespaces in which the policy does not allow changes: {', '.join(outside)}",
        )
    filled = Drain(grace_s=args.grace_s, unmanaged=args.unmanaged, pods=found.pods, left=found.left)
    return filled.model_dump(mode="json", exclude_defaults=True)


async def _exec(args: Exec, at: Drafting) -> Json:
    value = at.snapshot.value
    if cast("Json", value.get("status") or {}).get("phase", "Running") != "Running":
        raise RefusedChangeError("state", f"{at.entity} does not run, so no command can run in it")
    names = [str(one.get("name")) for one in cast("list[Json]", value["spec"].get("containers") or [])]
    default = cast("Json", value["metadata"].get("annotations") or {}).get(_DEFAULT_CONTAINER)
    container = args.container or default or (names[0] if len(names) == 1 else "")
    if container not in names:
        raise RefusedChangeError("bad_draft", f"exec needs a container of {at.entity}: one of {', '.join(names)}")
    return args.model_copy(update={"container": container}).model_dump(mode="json", exclude_defaults=True)


async def _cancel(args: Cancel, at: Drafting) -> Json:
    there = cast("Json", at.snapshot.value.get("requests") or {})
    if (args.all is None) == (not args.ids):
        raise RefusedChangeError("bad_draft", "serving.cancel takes either ids or all: true")
    unknown = [one for one in args.ids if one not in there]
    if unknown or not there:
        known = ", ".join(list(there)[:20]) or "none"
        wanted = f" {', '.join(unknown)}" if unknown else " at all"
        raise RefusedChangeError("no_effect", f"{at.entity} has no request{wanted}; it has: {known}")
    return {"ids": list(args.ids or there)}


_FILL: dict[str, Callable[[Any, Drafting], Awaitable[Json]]] = {
    "create": _create,
    "delete": _delete,
    "apply": _apply,
    "rollout_restart": _restart,
    "rollout_undo": _rollout_undo,
    "evict": _evict,
    "drain": _drain,
    "exec": _exec,
    "serving.cancel": _cancel,
}


# A serving backend without a configuration resource


async def as_arguments(pod: Entity, values: Mapping[str, Any], cluster: str, api: TargetApi) -> tuple[Json, Json]:
    """Return (target, args) of the `set_args` that stands for a `serving.config` of a backend such as vLLM's.

    Raises:
        RefusedChangeError: no workload with a pod template stands behind the pod.
        TargetError: the pod or its owner cannot be read.
    """
    target = KubeTarget(cluster=cluster, apiVersion="v1", kind="Pod", namespace=pod.namespace, name=pod.name)
    found = (await api.read(target)).value
    container = str(serving_port(found)[0].get("name", ""))
    owner = controller_of(found["metadata"])
    if owner.get("kind") == "ReplicaSet":
        named = KubeTarget(
            cluster=cluster,
            apiVersion=owner["apiVersion"],
            kind="ReplicaSet",
            namespace=pod.namespace,
            name=owner["name"],
        )
        owner = controller_of((await api.read(named)).value["metadata"])
    if owner.get("kind") not in ("Deployment", "StatefulSet", "DaemonSet"):
        raise refuse(
            f"{pod} has no /admin/config, and no Deployment, StatefulSet or DaemonSet whose arguments could be changed"
        )
    flags: Json = {}
    for name, value in values.items():
        flags |= _flags(name, value)
    return {"kind": owner["kind"], "namespace": pod.namespace, "name": owner["name"]}, {
        "container": container,
        "args": flags,
    }


def _flags(name: str, value: Any) -> Json:
    """Return a value as vLLM's arguments have it: a truth value is one of a pair of flags."""
    word = name.replace("_", "-")
    if isinstance(value, bool):
        return {f"--{word}": True if value else None, f"--no-{word}": None if value else True}
    return {f"--{word}": value}
