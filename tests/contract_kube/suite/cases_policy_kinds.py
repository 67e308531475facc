"""The kinds of policy, storage and networking through every door: apply, patch, list, watch, dry run, delete."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
BACKEND: Final = {"service": {"name": "s", "port": {"number": 80}}}
PATHS: Final = {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}
CLAIM: Final = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
    "storageClassName": "x",
}
VOLUME: Final = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/d"}}
TARGET: Final = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}

SELECTED: Final = {"selector": {"matchLabels": {"a": "b"}}}
KINDS: Final[dict[tuple[str, str, str], tuple[dict[str, Any], dict[str, Any]]]] = {
    ("v1", "ResourceQuota", "resourcequotas"): ({"spec": {"hard": {"pods": "2"}}}, {"spec": {"hard": {"pods": "3"}}}),
    ("v1", "LimitRange", "limitranges"): (
        {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}},
        {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "2"}}]}},
    ),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"): (
        {"spec": CLAIM},
        {"spec": {**CLAIM, "volumeName": "v"}},
    ),
    ("v1", "PersistentVolume", "persistentvolumes"): ({"spec": VOLUME}, {"spec": {**VOLUME, "mountOptions": ["ro"]}}),
    ("storage.k8s.io/v1", "StorageClass", "storageclasses"): (
        {"provisioner": "a/b"},
        {"provisioner": "a/b", "mountOptions": ["ro"]},
    ),
    ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses"): ({"value": 7}, {"value": 7, "description": "d"}),
    ("networking.k8s.io/v1", "Ingress", "ingresses"): (
        {"spec": {"rules": [{"host": "a.b", "http": PATHS}]}},
        {"spec": {"rules": [{"host": "c.d", "http": PATHS}], "tls": [{"hosts": ["c.d"]}]}},
    ),
    ("networking.k8s.io/v1", "IngressClass", "ingressclasses"): (
        {"spec": {"controller": "a.b/c"}},
        {"spec": {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n"}}},
    ),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"): (
        {"spec": {"podSelector": {}, "ingress": [{}]}},
        {"spec": {"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Egress"]}},
    ),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"): (
        {"spec": {"minAvailable": 1, **SELECTED}},
        {"spec": {"minAvailable": 2, "selector": {"matchLabels": {"a": "c"}}}},
    ),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"): (
        {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 2}},
        {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 3, "behavior": {"scaleUp": {"selectPolicy": "Min"}}}},
    ),
}
"""(version, kind, plural): a configuration, and another that somebody else applies."""
CLUSTER_WIDE: Final = frozenset({"PersistentVolume", "StorageClass", "PriorityClass", "IngressClass"})


async def every_door(api: Api, *, row: tuple[str, str, str], first: dict[str, Any], second: dict[str, Any]) -> None:
    """Apply as two managers, patch, list, watch, and delete one object of a kind."""
    version, kind, plural = row
    wide = kind in CLUSTER_WIDE
    name = api.unique("one") if wide else "one"
    path = api.path(version, plural)
    path = path.replace(f"/namespaces/{api.namespace}", "") if wide else path

    def config(body: dict[str, Any], **labels: str) -> dict[str, Any]:
        return {
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": name, "labels": labels or {"by": "one"}},
            **body,
        }

    one = f"{path}/{name}"
    await api.ask("PATCH", one, config(first), "apply", fieldManager="one", dryRun="All")
    await api.ask("GET", one)
    made = await api.ask("PATCH", one, config(first), "apply", fieldManager="one")
    await api.ask("PATCH", one, config(second), "apply", fieldManager="two")
    await api.ask("PATCH", one, config(second), "apply", fieldManager="two", force="true")
    await api.ask("PATCH", one, config(first, by="one", more="x"), "apply", fieldManager="one")
    await api.ask("PATCH", one, {"metadata": {"labels": {"s": "t"}}}, "strategic", fieldManager="three")
    await api.ask("PATCH", one, {"metadata": {"annotations": {"a": "b"}}}, "merge", dryRun="All")
    chosen = f"metadata.name={name}"
    await api.ask("GET", path, accept=TABLE, fieldSelector=chosen)
    start = made.body["metadata"]["resourceVersion"]
    async with api.watch(path, resourceVersion=start, fieldSelector=chosen) as watch:
        await watch.events(1)
    await api.ask("POST", path, {**config(first), "unknown": 1}, fieldValidation="Strict")
    await api.ask("DELETE", one, dryRun="All")
    await api.ask("DELETE", one, propagationPolicy="Background")
    await api.ask("GET", one)


for _row, (_first, _second) in KINDS.items():
    CASES.many(
        f"{_row[1]}: applied, patched, listed, watched and deleted",
        partial(every_door, row=_row, first=_first, second=_second),
    )
