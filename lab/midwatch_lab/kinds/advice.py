"""What the writer of an object is told beside the answer: nothing is wrong with it, but something may surprise."""

from collections.abc import Iterator

from midwatch_lab import names
from midwatch_lab.objects import Object, annotations_of, dig, name_of

ORPHANED_JOBS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
_RECYCLE = (
    "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach "
    "is to use dynamic provisioning."
)
_INGRESS_CLASS = "kubernetes.io/ingress.class"
_COMPLETIONS_TOLD = 100_000
_PARALLELISM_TOLD = 10_000


def advice(kind: str, obj: Object, old: Object | None) -> Iterator[str]:
    """Yield the warnings about an object that is made or, with `old`, changed."""
    match kind:
        case "Deployment" | "ReplicaSet" | "CronJob" if old is None:
            yield from _pod_names(obj)
        case "Job":
            if old is None:
                yield from _pod_names(obj)
            yield from _many_indexes(obj.get("spec", {}))
        case "StatefulSet":
            if dig(obj, "spec", "revisionHistoryLimit", default=0) < 0:
                text = "a negative value retains all historical revisions; a value >= 0 is recommended"
                yield f"spec.revisionHistoryLimit: {text}"
        case "PersistentVolume":
            if dig(obj, "spec", "persistentVolumeReclaimPolicy") == "Recycle":
                yield _RECYCLE
        case "Ingress":
            if _INGRESS_CLASS in annotations_of(obj) and dig(obj, "spec", "ingressClassName") is None:
                yield f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"
        case _:
            pass


def _pod_names(obj: Object) -> Iterator[str]:
    """Yield a warning where the names of the pods will be no host names."""
    name = name_of(obj)
    if fault := names.dns_label_fault(name):
        why = "must not contain dots" if "." in name else fault
        what = "this is used in Pod names and hostnames, which can result in surprising behavior"
        yield f"metadata.name: {what}; a DNS label is recommended: [{why}]"


def _many_indexes(spec: Object) -> Iterator[str]:
    completions, parallelism = spec.get("completions", 0), spec.get("parallelism", 0)
    if spec.get("completionMode") == "Indexed" and completions > _COMPLETIONS_TOLD and parallelism > _PARALLELISM_TOLD:
        yield (
            "spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
            "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
