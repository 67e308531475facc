"""A cluster and its metrics in memory, for tests and offline runs.

The cluster keeps its own log of writes, which a test trusts rather than the journal. Patches are applied here by code
that shares nothing with what the operations say of themselves.
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
from midwatch_mcp.safe_apply.errors import ConflictError, RejectedError, TargetMissingError
from midwatch_mcp.safe_apply.ports import Kind, Snapshot, Write

GROUPS: dict[str, str] = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "Pod": "v1",
    "ConfigMap": "v1",
}
_LIST_KEYS = {"containers": "name", "initContainers": "name", "env": "name", "volumes": "name"}


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
        self.writes: list[Written] = []
        self.dry_runs = 0
        self.hook: Callable[[str, str, str], None] = lambda _phase, _verb, _entity: None
        self.mutate: Callable[[dict[str, Any]], None] = lambda _: None
        self._version = 100

    def put(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Store an object as a controller or a person would, whatever its version, and return it."""
        stored = copy.deepcopy(dict(value))
        metadata = cast("dict[str, Any]", stored["metadata"])
        entity = str(Entity(str(stored["kind"]), str(metadata.get("namespace", "")), str(metadata["name"])))
        metadata.setdefault("uid", f"uid-{entity}")
        metadata.setdefault("generation", 1)
        metadata["resourceVersion"] = self._next()
        self.objects_by_entity[entity] = stored
        return stored

    def put_status(self, entity: str, status: Mapping[str, Any]) -> None:
        """Write an object's status, which moves its resourceVersion and nothing else."""
        self.put({**self.objects_by_entity[entity], "status": dict(status)})

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
        return Kind(GROUPS[kind], kind, namespaced=True)

    async def objects(self, kind: str, namespace: str) -> Sequence[Mapping[str, Any]]:
        """Return the objects of a kind in a namespace."""
        prefix = f"{kind}/{namespace}/"
        return [copy.deepcopy(value) for entity, value in self.objects_by_entity.items() if entity.startswith(prefix)]

    async def read(self, target: Target) -> Snapshot:
        """Return a copy."""
        entity = _entity(target)
        self.hook("before", "read", entity)
        found = self._read(target)
        self.hook("after", "read", entity)
        return found

    async def write(self, target: Target, write: Write, *, version: str, dry_run: bool) -> Snapshot:
        """Apply a write if the version still fits."""
        entity, verb = _entity(target), "dry-run" if dry_run else "write"
        self.hook("before", verb, entity)
        before = self._read(target)
        if before.version != version:
            raise ConflictError(f"{entity} has version {before.version}, not {version}")
        after = self._write_config(entity, write, dry_run) if write.form == "config" else None
        if after is None:
            after = self._write_object(entity, write, dry_run)
        if dry_run:
            self.dry_runs += 1
        else:
            self.writes.append(Written(entity, digest(before.value), digest(after.value)))
        self.hook("after", verb, entity)
        return after

    def _read(self, target: Target) -> Snapshot:
        entity = _entity(target)
        found = self.objects_by_entity.get(entity)
        if found is None:
            raise TargetMissingError(f"there is no {entity}")
        metadata = found["metadata"]
        if isinstance(target, ServingTarget):
            if entity not in self.configs:
                raise RejectedError(f"{entity} has no /admin/config")
            config = copy.deepcopy(self.configs[entity])
            return Snapshot(metadata["uid"], f'"{config["version"]}"', config)
        return Snapshot(metadata["uid"], metadata["resourceVersion"], copy.deepcopy(found))

    def _write_object(self, entity: str, write: Write, dry_run: bool) -> Snapshot:  # noqa: FBT001 (private)
        old = self.objects_by_entity[entity]
        new = patched(write.form, old, write.body)
        self.mutate(new)
        if not isinstance(new.get("spec"), dict):
            raise RejectedError(f"{entity}: spec is required")
        if new["spec"] != old.get("spec"):
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
    """Return a hash of a value without its version and status, so that equal states have equal hashes."""
    kept = copy.deepcopy(value)
    if "metadata" in kept:
        kept.pop("status", None)
        for name in ("resourceVersion", "generation", "managedFields"):
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


def patched(form: str, value: Mapping[str, Any], body: Any) -> dict[str, Any]:
    """Return `value` under a patch of one of the three forms."""
    if form == "json":
        found: Any = copy.deepcopy(dict(value))
        for operation in cast("list[dict[str, Any]]", body):
            _json_patch(found, operation)
        return found
    return cast("dict[str, Any]", _merged(copy.deepcopy(dict(value)), body, strategic=form == "strategic"))


def _merged(value: Any, patch: Any, *, strategic: bool, key: str = "") -> Any:
    if isinstance(patch, dict):
        result: dict[str, Any] = dict(cast("dict[str, Any]", value)) if isinstance(value, dict) else {}
        for name, part in cast("dict[str, Any]", patch).items():
            if part is None:
                result.pop(name, None)
            else:
                result[name] = _merged(result.get(name), part, strategic=strategic, key=name)
        return result
    if strategic and isinstance(patch, list) and key in _LIST_KEYS and isinstance(value, list):
        return _merged_list(cast("list[dict[str, Any]]", value), cast("list[dict[str, Any]]", patch), _LIST_KEYS[key])
    return copy.deepcopy(cast("Any", patch))


def _merged_list(old: list[dict[str, Any]], patch: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    found = list(old)
    for part in patch:
        same = [index for index, item in enumerate(found) if item.get(key) == part.get(key)]
        if same:
            found[same[0]] = _merged(found[same[0]], part, strategic=True)
        else:
            found.append(copy.deepcopy(part))
    return found


def _json_patch(value: Any, operation: Mapping[str, Any]) -> None:
    *above, last = [part.replace("~1", "/").replace("~0", "~") for part in str(operation["path"]).split("/")[1:]]
    for part in above:
        value = value[int(part) if isinstance(value, list) else part]
    name, new = operation["op"], copy.deepcopy(operation.get("value"))
    if isinstance(value, list):
        items = cast("list[Any]", value)
        index = len(items) if last == "-" else int(last)
        if name == "add":
            items.insert(index, new)
        elif name == "remove":
            del items[index]
        elif name == "replace":
            items[index] = new
        elif items[index] != new:
            raise RejectedError(f"the test of {operation['path']} failed")
        return
    fields = cast("dict[str, Any]", value)
    if name == "remove":
        del fields[last]
    elif name != "test":
        fields[last] = new
    elif fields.get(last) != new:
        raise RejectedError(f"the test of {operation['path']} failed")


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
