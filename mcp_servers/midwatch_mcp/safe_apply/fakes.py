"""A cluster and its metrics in memory, for tests and offline runs.

The cluster keeps its own log of writes, which a test trusts rather than the journal.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from midwatch_contracts.clock import Clock
from midwatch_contracts.entity import Entity
from midwatch_contracts.expectations import Sample
from midwatch_contracts.plan import KubeTarget, ServingTarget, Target
from midwatch_mcp.safe_apply.errors import BusyError, ConflictError, FailedError, RejectedError, TargetMissingError
from midwatch_mcp.safe_apply.fake_backend import called
from midwatch_mcp.safe_apply.fake_conflicts import refuse_conflict
from midwatch_mcp.safe_apply.patches import patched
from midwatch_mcp.safe_apply.ports import ABSENT, Kind, Snapshot, View, Write

GROUPS: dict[str, str] = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "ControllerRevision": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Pod": "v1",
    "ConfigMap": "v1",
    "Secret": "v1",
    "Service": "v1",
    "Node": "v1",
    "Namespace": "v1",
}
_CLUSTER_WIDE = frozenset({"Node", "Namespace"})
ABSENT_DIGEST = "absent"
"""What stands for an object that is not there in the log of writes."""


@dataclass(frozen=True)
class Written:
    """One write that the cluster took."""

    entity: str
    before_sha256: str
    after_sha256: str


class FakeCluster:
    """Objects and serving configurations under resourceVersions and ETags.

    `hook(phase, verb, entity)` is called around every call (`before`, `after`; verbs `read`, `dry-run`, `write`) and
    may raise what a network or a server would. `mutate` stands for a webhook: it gets each object about to be stored.
    """

    def __init__(self, uid: str = "cluster-1") -> None:
        self.uid = uid
        self.objects_by_entity: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.backends: dict[str, dict[str, Any]] = {}
        """What a replica holds beside its configuration: `draining`, `adapters`, `requests`."""
        self.writes: list[Written] = []
        self.ran: list[tuple[str, tuple[str, ...]]] = []
        """(pod, argv) of every command, which no object shows."""
        self.exit_code = 0
        self.dry_runs = 0
        self.hook: Callable[[str, str, str], None] = lambda _phase, _verb, _entity: None
        self.mutate: Callable[[dict[str, Any]], None] = lambda _: None
        self._version = 100
        self._made: dict[str, int] = {}

    def put(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Store an object as a controller or a person would, whatever its version, and return it."""
        stored = copy.deepcopy(dict(value))
        metadata = cast("dict[str, Any]", stored["metadata"])
        entity = str(Entity(str(stored["kind"]), str(metadata.get("namespace", "")), str(metadata["name"])))
        present = self.objects_by_entity.get(entity)
        metadata.setdefault("uid", self._uid(entity) if present is None else present["metadata"]["uid"])
        metadata.setdefault("generation", 1)
        metadata["resourceVersion"] = self._next()
        for name in [name for name in ("labels", "annotations") if metadata.get(name) == {}]:
            del metadata[name]  # the API server keeps no empty maps
        self.objects_by_entity[entity] = stored
        return stored

    def put_status(self, entity: str, status: Mapping[str, Any]) -> None:
        """Write an object's status, which moves its resourceVersion and nothing else."""
        self.put({**self.objects_by_entity[entity], "status": dict(status)})

    def take(self, entity: str) -> None:
        """Take an object away as a controller or a person would."""
        del self.objects_by_entity[entity]

    def _uid(self, entity: str) -> str:
        """Return a uid of its own for each object that was ever made under one name."""
        self._made[entity] = self._made.get(entity, 0) + 1
        return f"uid-{entity}" + (f"-{self._made[entity]}" if self._made[entity] > 1 else "")

    def put_backend(self, pod: str, **held: Any) -> None:
        """Give a pod a serving backend that drains, has adapters, and has requests."""
        self.backends[pod] = {"draining": False, "grace_s": None, "adapters": {}, "requests": {}, **held}

    def put_config(self, pod: str, values: Mapping[str, Any]) -> None:
        """Give a pod a serving configuration."""
        self.configs[pod] = {"version": 1, "values": dict(values), "restart_required": []}

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    # TargetApi

    async def cluster_uid(self) -> str:
        """Return the uid."""
        return self.uid

    async def kind(self, kind: str, api_version: str | None) -> Kind:
        """Return one of the few kinds that there are."""
        if kind not in GROUPS or api_version not in (None, GROUPS[kind]):
            raise TargetMissingError(f"this cluster has no kind {kind}")
        return Kind(GROUPS[kind], kind, namespaced=kind not in _CLUSTER_WIDE)

    async def objects(self, kind: str, namespace: str) -> Sequence[Mapping[str, Any]]:
        """Return the objects of a kind in a namespace, or in all."""
        prefix = f"{kind}/{namespace}/" if namespace else f"{kind}/"
        return [copy.deepcopy(value) for entity, value in self.objects_by_entity.items() if entity.startswith(prefix)]

    async def dependents(self, uid: str, namespace: str) -> Sequence[Entity]:
        """Return the objects of a namespace that name the uid as an owner."""
        return [
            found
            for entity, value in self.objects_by_entity.items()
            if (found := Entity.parse(entity)).namespace == namespace
            and uid
            in [owner["uid"] for owner in cast("list[dict[str, str]]", value["metadata"].get("ownerReferences") or [])]
        ]

    async def read(self, target: Target, view: View = "state") -> Snapshot:
        """Return a copy."""
        entity = _entity(target)
        self.hook("before", "read", entity)
        found = self._read(target, view)
        self.hook("after", "read", entity)
        return found

    async def write(self, target: Target, write: Write, *, read: Snapshot, dry_run: bool) -> Snapshot:
        """Apply a write if uid and version still fit."""
        entity, verb = _entity(target), "dry-run" if dry_run else "write"
        self.hook("before", verb, entity)
        if write.form == "call":
            after = self._call(entity, write, read)
        elif write.form == "exec":
            after = self._execute(entity, write, read)
        else:
            after = self._conditional(target, write, read, dry_run)
        self.dry_runs += dry_run
        self.hook("after", verb, entity)
        return after

    def _conditional(self, target: Target, write: Write, read: Snapshot, dry_run: bool) -> Snapshot:  # noqa: FBT001 (private)
        entity = _entity(target)
        if write.form == "create":
            before = ABSENT
            if entity in self.objects_by_entity:
                raise ConflictError(f"{entity} already exists")
        else:
            before = self._read(target, "state")
            if (before.uid, before.version) != (read.uid, read.version):
                raise ConflictError(f"{entity} has version {before.version}, not {read.version}")
        after = self._stored(entity, write, dry_run)
        if not dry_run:
            self.writes.append(Written(entity, digest(before.value), digest(after.value)))
        return after

    def _stored(self, entity: str, write: Write, dry_run: bool) -> Snapshot:  # noqa: FBT001 (private)
        match write.form:
            case "config":
                return self._write_config(entity, write, dry_run)
            case "create":
                return self._create(entity, write, dry_run)
            case "delete" | "evict":
                if write.form == "evict":
                    self._spend_budget(entity, dry_run)
                if not dry_run:
                    self.take(entity)
                return ABSENT
            case _:
                return self._write_object(entity, write, dry_run)

    def _read(self, target: Target, view: View) -> Snapshot:
        entity = _entity(target)
        found = self.objects_by_entity.get(entity)
        if found is None:
            raise TargetMissingError(f"there is no {entity}")
        metadata = found["metadata"]
        if not isinstance(target, ServingTarget):
            return Snapshot(metadata["uid"], metadata["resourceVersion"], copy.deepcopy(found))
        pod = copy.deepcopy(found)
        if view == "process":
            return Snapshot(metadata["uid"], "", {}, pod=pod)
        if entity not in (self.configs if view == "state" else self.backends):
            raise TargetMissingError(f"the backend of {entity} does not offer its {view}")
        if view == "state":
            config = copy.deepcopy(self.configs[entity])
            return Snapshot(metadata["uid"], f'"{config["version"]}"', config, pod=pod)
        held = copy.deepcopy(self.backends[entity])
        names = ("draining", "grace_s") if view == "drain" else (view,)
        return Snapshot(metadata["uid"], "", {name: held[name] for name in names}, pod=pod)

    def _create(self, entity: str, write: Write, dry_run: bool) -> Snapshot:  # noqa: FBT001 (private)
        new = copy.deepcopy(cast("dict[str, Any]", write.body))
        self.mutate(new)
        if dry_run:
            new["metadata"] |= {"uid": "uid-of-a-dry-run", "resourceVersion": ""}
        else:
            new = copy.deepcopy(self.put(new))
        if entity != str(Entity(new["kind"], new["metadata"].get("namespace", ""), new["metadata"]["name"])):
            raise RejectedError(f"the body is not {entity}")
        return Snapshot(new["metadata"]["uid"], new["metadata"]["resourceVersion"], new)

    def _spend_budget(self, entity: str, dry_run: bool) -> None:  # noqa: FBT001 (private)
        """Take one disruption from the budget of a pod's namespace that selects it by its labels."""
        pod = self.objects_by_entity[entity]
        labels = cast("dict[str, str]", pod["metadata"].get("labels") or {})
        for name, budget in self.objects_by_entity.items():
            if not name.startswith(f"PodDisruptionBudget/{pod['metadata']['namespace']}/"):
                continue
            wanted = cast("dict[str, str]", budget["spec"]["selector"]["matchLabels"])
            if not wanted.items() <= labels.items():
                continue
            if budget["status"]["disruptionsAllowed"] < 1:
                raise BusyError(f"Cannot evict pod as it would violate the budget {name}", 10.0)
            budget["status"]["disruptionsAllowed"] -= not dry_run

    def _execute(self, entity: str, write: Write, read: Snapshot) -> Snapshot:
        argv = tuple(write.body["argv"])
        if self.objects_by_entity[entity]["metadata"]["uid"] != read.uid:
            raise RejectedError(f"{entity} is another pod")
        self.ran.append((entity, argv))
        answer = {"exit_code": self.exit_code, "stdout": " ".join(argv), "stderr": "", "truncated": False}
        if self.exit_code not in write.body["exit_codes"]:
            raise FailedError(f"the command ran and failed: exit code {self.exit_code}", answer)
        return Snapshot(read.uid, read.version, read.value, answer)

    def _call(self, entity: str, write: Write, read: Snapshot) -> Snapshot:
        held = self.backends.get(entity)
        if held is None:
            raise TargetMissingError(f"the backend of {entity} does not offer {write.path}")
        before, answer = digest(held), called(held, write)
        self.writes.append(Written(f"backend of {entity}", before, digest(held)))
        return Snapshot(read.uid, "", copy.deepcopy(held), answer)

    def _write_object(self, entity: str, write: Write, dry_run: bool) -> Snapshot:  # noqa: FBT001 (private)
        old = self.objects_by_entity[entity]
        if write.form == "apply":
            refuse_conflict(old, write.body)
        new = patched("strategic" if write.form == "apply" else write.form, old, write.body)
        self.mutate(new)
        if not isinstance(new.get("spec", {}), dict) or ("spec" in old and "spec" not in new):
            raise RejectedError(f"{entity}: spec is required")
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if dry_run:
            return Snapshot(new["metadata"]["uid"], old["metadata"]["resourceVersion"], new)
        if new != old:
            new = copy.deepcopy(self.put(new))
        return Snapshot(new["metadata"]["uid"], new["metadata"]["resourceVersion"], new)

    def _write_config(self, entity: str, write: Write, dry_run: bool) -> Snapshot:  # noqa: FBT001 (private)
        config = copy.deepcopy(self.configs[entity])
        for name, value in cast("dict[str, Any]", write.body["values"]).items():
            if name not in config["values"]:
                raise RejectedError(f"{name} is no setting")
            config["values"][name] = value
        config["version"] += 1
        if not dry_run:
            self.configs[entity] = copy.deepcopy(config)
        return Snapshot(self.objects_by_entity[entity]["metadata"]["uid"], f'"{config["version"]}"', config)


def digest(value: Any) -> str:
    """Return a hash of a value without its identity and status, so that equal states have equal hashes."""
    if not value:
        return ABSENT_DIGEST
    kept = copy.deepcopy(value)
    if "metadata" in kept:
        kept.pop("status", None)
        for name in ("uid", "resourceVersion", "generation", "managedFields"):
            kept["metadata"].pop(name, None)
    else:
        kept.pop("version", None)
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _entity(target: Target) -> str:
    if isinstance(target, KubeTarget):
        return str(target.entity)
    if isinstance(target, ServingTarget):
        return target.serving
    raise RejectedError("a Git working tree is no target of this cluster")


class FakeMetrics:
    """Answers instant queries: each known query by a function of the time; scraped every `interval_s`."""

    def __init__(self, clock: Clock, cluster: FakeCluster, *, interval_s: float = 1.0) -> None:
        self.clock = clock
        self.cluster = cluster
        self.interval_s = interval_s
        self.answers: dict[str, Callable[[float], Sequence[Sample]]] = {}
        self.stopped_at: float | None = None
        """When scraping ended, if it did."""

    def constant(self, query: str, value: float) -> None:
        """Answer a query with one series of one value for ever."""
        self.answers[query] = lambda _: [Sample({}, value)]

    async def query(self, promql: str) -> Sequence[Sample]:
        """Return the answer at the present time; the time of the newest scrape for a freshness query."""
        now = self.clock.now() if self.stopped_at is None else min(self.stopped_at, self.clock.now())
        if promql.startswith("max(timestamp("):
            return [Sample({}, now - now % self.interval_s)]
        return self.answers[promql](self.clock.now())

    async def object(self, entity: Entity) -> Mapping[str, Any] | None:
        """Return an object of the cluster."""
        found = self.cluster.objects_by_entity.get(str(entity))
        return None if found is None else copy.deepcopy(found)
