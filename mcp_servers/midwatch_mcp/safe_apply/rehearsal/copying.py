"""What of a cluster a plan touches: read, related, reduced, and written as manifests for a lab. Secrets are not read.

Related are the targets, the workloads that they belong to or that run the pods they are about, and around each workload
its Services, autoscalers, disruption budgets, ConfigMaps, and stand-ins of the Secrets that it names.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from midwatch_contracts.entity import Entity
from midwatch_contracts.plan import KubeTarget, Plan, ServingTarget
from midwatch_mcp.kubernetes.room import mapping, objects, text
from midwatch_mcp.safe_apply.at_once import at_once
from midwatch_mcp.safe_apply.errors import RefusedChangeError, TargetMissingError
from midwatch_mcp.safe_apply.pods import Object, carries, is_alive, is_ready, selected
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.rehearsal.reducing import reduced_object

Json = dict[str, Any]

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
_LISTED = (*_WORKLOADS, "ReplicaSet", "Pod", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "ConfigMap")
_NOT_PULLED = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_HIDDEN = base64.b64encode(b"hidden").decode()


@dataclass
class World:
    """What a lab is handed."""

    manifests: list[Json] = field(default_factory=list[Json])
    workloads: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """The selectors of the workloads whose pods run in the copy, by entity."""
    ready: dict[str, int] = field(default_factory=dict[str, int])
    """Their ready pods in the real cluster."""
    pods: dict[str, str] = field(default_factory=dict[str, str])
    """Which workload a pod that the plan names belongs to."""
    nodes: list[str] = field(default_factory=list[str])
    missing_images: set[str] = field(default_factory=set[str])
    images: set[str] = field(default_factory=set[str])
    """What the pods around run."""
    cuts: set[str] = field(default_factory=set[str])

    @property
    def replicas(self) -> int:
        """How many pods the copy will run, roughly: a DaemonSet has one on every node."""
        found = [one for one in self.manifests if one["kind"] in _WORKLOADS or one["kind"] == "Pod"]
        return sum(int(mapping(one, "spec").get("replicas", 1)) for one in found)


async def copied(plan: Plan, api: TargetApi) -> World:
    """Read what a plan touches.

    Raises:
        RefusedChangeError: a target cannot be copied.
        TargetError: something cannot be read.
    """
    world = World()
    spaces: dict[str, dict[str, list[Object]]] = {}
    for name in await _namespaces(plan, api, world):
        listed = await at_once(api.objects(kind, name) for kind in _LISTED)
        spaces[name] = {kind: list(found) for kind, found in zip(_LISTED, listed, strict=True)}
    for operation in plan.operations:
        target = operation.target
        if isinstance(target, KubeTarget):
            await _take_target(target, api, spaces, world)
        elif isinstance(target, ServingTarget) and "/" in target.serving:
            pod = Entity.parse(target.serving)
            _take_pod(pod, spaces.get(pod.namespace, {}), world)
        else:
            raise RefusedChangeError("not_understood", f"{operation.id}: its target has no copy in a lab")
    for name, space in spaces.items():
        _take_around(space, world)
        _note_images(space["Pod"], world)
        world.manifests.insert(0, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    _add_secrets(world)
    return world


async def _namespaces(plan: Plan, api: TargetApi, world: World) -> list[str]:
    """Return the namespaces that are copied; for a node those of the pods on it."""
    found: dict[str, None] = {}
    for operation in plan.operations:
        target = operation.target
        if isinstance(target, KubeTarget) and target.kind == "Node":
            world.nodes.append(target.name)
        elif isinstance(target, KubeTarget) and target.namespace:
            found[target.namespace] = None
        elif isinstance(target, ServingTarget) and "/" in target.serving:
            found[Entity.parse(target.serving).namespace] = None
    if world.nodes:
        for pod in await api.objects("Pod", ""):
            if pod.get("spec", {}).get("nodeName") in world.nodes and not _is_system(pod["metadata"]["namespace"]):
                found[pod["metadata"]["namespace"]] = None
    return list(found)


def _is_system(namespace: str) -> bool:
    return namespace.startswith("kube-")


async def _take_target(target: KubeTarget, api: TargetApi, spaces: Mapping[str, Any], world: World) -> None:
    space: dict[str, list[Object]] = spaces.get(target.namespace, {})
    if target.kind == "Node":
        for one in spaces.values():
            for pod in one["Pod"]:
                if pod.get("spec", {}).get("nodeName") == target.name:
                    _take_pod(Entity("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"]), one, world)
        return
    if target.kind == "Pod":
        _take_pod(target.entity, space, world)
        return
    try:
        value = (await api.read(target)).value
    except TargetMissingError:
        return  # what a plan creates
    _add(value, world)
    for workload in _concerned(value, space):
        _add(workload, world)


def _concerned(value: Object, space: Mapping[str, list[Object]]) -> Iterator[Object]:
    """Yield the workloads that an object is about."""
    spec = cast("Json", value.get("spec") or {})
    name = str(value["metadata"]["name"])
    for workload in _workloads(space):
        template = cast("Json", workload["spec"].get("template") or {})
        match value.get("kind"):
            case "HorizontalPodAutoscaler":
                scaled = cast("Json", spec.get("scaleTargetRef") or {})
                concerned = (scaled.get("kind"), scaled.get("name")) == (workload["kind"], workload["metadata"]["name"])
            case "Service":
                concerned = bool(spec.get("selector")) and carries(template, spec["selector"])
            case "PodDisruptionBudget":
                concerned = selected(template, spec.get("selector") or {})
            case "ConfigMap" | "Secret" as kind:
                concerned = (kind, name) in {(one, other) for one, other, _ in references(template)}
            case _:
                concerned = False
        if concerned:
            yield workload


def _workloads(space: Mapping[str, list[Object]]) -> Iterator[Object]:
    for kind in _WORKLOADS:
        for one in space.get(kind, ()):
            yield {"kind": kind, **one}


def _take_pod(pod: Entity, space: Mapping[str, list[Object]], world: World) -> None:
    """Take the workload that a pod belongs to, or the pod itself."""
    found = next((one for one in space.get("Pod", ()) if one["metadata"]["name"] == pod.name), None)
    if found is None or not is_alive(found):
        return
    owner = _owner(found)
    if owner is not None and owner[0] == "ReplicaSet":
        sets = (one for one in space.get("ReplicaSet", ()) if one["metadata"]["name"] == owner[1])
        owner = next(iter([_owner(one) for one in sets]), None)
    if owner is None:
        _add({"apiVersion": "v1", **found, "kind": "Pod"}, world)
        return
    for workload in _workloads(space):
        if (workload["kind"], workload["metadata"]["name"]) == owner:
            _add(workload, world)
            world.pods[str(pod)] = _name(workload)


def _owner(value: Object) -> tuple[str, str] | None:
    owners = cast("list[Json]", value["metadata"].get("ownerReferences") or [])
    return next(((str(one["kind"]), str(one["name"])) for one in owners if one.get("controller")), None)


def _name(value: Object) -> str:
    metadata = value["metadata"]
    return str(Entity(str(value["kind"]), str(metadata.get("namespace", "")), str(metadata["name"])))


_VERSIONS: Mapping[str, str] = {
    **dict.fromkeys((*_WORKLOADS, "ReplicaSet"), "apps/v1"),
    **dict.fromkeys(("Pod", "Service", "ConfigMap"), "v1"),
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
}
"""Objects of a list carry neither version nor kind of their own."""


def _add(value: Object, world: World) -> None:
    """Add an object to the manifests, once."""
    kind = str(value["kind"])
    if any(_name(one) == _name(value) for one in world.manifests):
        return
    versioned = {"apiVersion": value.get("apiVersion") or _VERSIONS[kind], "kind": kind}
    manifest = versioned | {
        key: item for key, item in reduced_object(value, world.cuts).items() if key not in ("apiVersion", "kind")
    }
    world.manifests.append(manifest)
    if kind in _WORKLOADS:
        world.workloads[_name(value)] = cast("Json", value["spec"].get("selector") or {})


def _take_around(space: Mapping[str, list[Object]], world: World) -> None:
    """Add what stands around the workloads that were taken, and count their ready pods."""
    taken = [one for one in _workloads(space) if _name(one) in world.workloads]
    for kind in ("Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "ConfigMap"):
        for one in space[kind]:
            value = {"kind": kind, **one}
            around = {_name(workload) for workload in _concerned(value, space)}
            if around & {_name(workload) for workload in taken}:
                _add(value, world)
    for workload in taken:
        selector = cast("Json", workload["spec"].get("selector") or {})
        world.ready[_name(workload)] = sum(selected(pod, selector) and is_ready(pod) for pod in space["Pod"])


def _note_images(pods: Iterable[Object], world: World) -> None:
    """Note which images run, and which nobody could pull."""
    for pod in pods:
        wanted = {text(one, "name"): text(one, "image") for one in objects(mapping(pod, "spec").get("containers"))}
        for status in objects(mapping(pod, "status").get("containerStatuses")):
            image = wanted.get(text(status, "name"), "")
            if mapping(status, "state", "running"):
                world.images.add(image)
            elif text(status, "state", "waiting", "reason") in _NOT_PULLED:
                world.missing_images.add(image)
    world.missing_images -= world.images | {""}


def references(template: Object) -> Iterator[tuple[str, str, str]]:
    """Yield (ConfigMap or Secret, name, key or nothing) of what a pod template's environment names."""
    for container in objects(mapping(template, "spec").get("containers")):
        for source in objects(container.get("envFrom")):
            for field_name, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field_name in source:
                    yield kind, str(source[field_name].get("name", "")), ""
        for variable in objects(container.get("env")):
            given = mapping(variable, "valueFrom")
            for field_name, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if field_name in given:
                    yield kind, str(given[field_name].get("name", "")), str(given[field_name].get("key", ""))


def _add_secrets(world: World) -> None:
    """Add stand-ins of the Secrets that the workloads name: the keys are theirs, no value was read."""
    keys: dict[tuple[str, str], set[str]] = {}
    for manifest in world.manifests:
        template = mapping(manifest, "spec", "template")
        for kind, name, key in references(manifest if manifest["kind"] == "Pod" else template):
            if kind == "Secret":
                keys.setdefault((str(manifest["metadata"]["namespace"]), name), set()).update({key} - {""})
    for (namespace, name), names in keys.items():
        metadata = {"name": name, "namespace": namespace}
        data = dict.fromkeys(sorted(names), _HIDDEN)
        world.manifests.append({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
        world.cuts.add("Secrets hold stand-ins: their values are not read")
