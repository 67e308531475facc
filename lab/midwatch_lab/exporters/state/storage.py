"""PersistentVolumes, their claims, and StorageClasses."""

from collections.abc import Iterable
from typing import Final

from midwatch_lab.exporters.family import Family, Point
from midwatch_lab.exporters.state.kind import NAME, NAMESPACE, Kind
from midwatch_lab.exporters.state.reading import conditions, created, deleted, states, whole_amount
from midwatch_lab.kinds.resources import STORAGE_CLASSES, VOLUME_CLAIMS, VOLUMES
from midwatch_lab.objects import Object, annotations_of, dig

_VOLUME_PHASES: Final = ("Pending", "Available", "Bound", "Released", "Failed")
_CLAIM_PHASES: Final = ("Lost", "Bound", "Pending")
_SOURCES: Final = {
    "storageclass": ("storageClassName",),
    "gce_persistent_disk_name": ("gcePersistentDisk", "pdName"),
    "ebs_volume_id": ("awsElasticBlockStore", "volumeID"),
    "azure_disk_name": ("azureDisk", "diskName"),
    "fc_wwids": ("fc", "wwids"),
    "fc_lun": ("fc", "lun"),
    "fc_target_wwns": ("fc", "targetWWNs"),
    "iscsi_target_portal": ("iscsi", "targetPortal"),
    "iscsi_iqn": ("iscsi", "iqn"),
    "iscsi_lun": ("iscsi", "lun"),
    "iscsi_initiator_name": ("iscsi", "initiatorName"),
    "nfs_server": ("nfs", "server"),
    "nfs_path": ("nfs", "path"),
    "csi_driver": ("csi", "driver"),
    "csi_volume_handle": ("csi", "volumeHandle"),
    "local_path": ("local", "path"),
    "local_fs": ("local", "fsType"),
    "host_path": ("hostPath", "path"),
    "host_path_type": ("hostPath", "type"),
}
"""Where in a volume's spec the label's text stands; a list is joined by commas."""


def _volume_info(volume: Object) -> Iterable[Point]:
    yield {label: _joined(dig(volume, "spec", *path, default="")) for label, path in _SOURCES.items()}, 1.0


def _joined(value: str | int | list[str]) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _claim_ref(volume: Object) -> Iterable[Point]:
    claim = dig(volume, "spec", "claimRef")
    if claim is not None:
        yield {"name": claim.get("name", ""), "claim_namespace": claim.get("namespace", "")}, 1.0


def _capacity(volume: Object) -> Iterable[Point]:
    yield {}, whole_amount(str(dig(volume, "spec", "capacity", "storage", default="0")))


def _volume_mode(volume: Object) -> Iterable[Point]:
    yield {"volumemode": dig(volume, "spec", "volumeMode", default="Filesystem")}, 1.0


def _claim_info(claim: Object) -> Iterable[Point]:
    named = annotations_of(claim).get("volume.beta.kubernetes.io/storage-class")
    labels = {
        "storageclass": named or dig(claim, "spec", "storageClassName", default=""),
        "volumename": dig(claim, "spec", "volumeName", default=""),
        "volumemode": dig(claim, "spec", "volumeMode", default=""),
    }
    yield labels, 1.0


def _requested(claim: Object) -> Iterable[Point]:
    text = dig(claim, "spec", "resources", "requests", "storage")
    if text is not None:
        yield {}, whole_amount(str(text))


def _modes(claim: Object) -> Iterable[Point]:
    return [({"access_mode": mode}, 1.0) for mode in dig(claim, "spec", "accessModes", default=[])]


def _class_info(item: Object) -> Iterable[Point]:
    labels = {
        "provisioner": item.get("provisioner", ""),
        "reclaim_policy": item.get("reclaimPolicy") or "Delete",
        "volume_binding_mode": item.get("volumeBindingMode") or "Immediate",
    }
    yield labels, 1.0


VOLUME_KIND: Final = Kind(
    VOLUMES,
    {"persistentvolume": NAME},
    (
        Family("kube_persistentvolume_claim_ref", "The claim of the volume", _claim_ref, ("name", "claim_namespace")),
        Family(
            "kube_persistentvolume_status_phase",
            "1 for the phase of the volume",
            states("phase", _VOLUME_PHASES, "status", "phase"),
            ("phase",),
        ),
        Family("kube_persistentvolume_info", "Where the volume is", _volume_info, tuple(_SOURCES)),
        Family("kube_persistentvolume_capacity_bytes", "How large the volume is, in bytes", _capacity),
        created("kube_persistentvolume"),
        deleted("kube_persistentvolume_deletion_timestamp"),
        Family(
            "kube_persistentvolume_volume_mode", "Whether the volume is a file system", _volume_mode, ("volumemode",)
        ),
    ),
)
CLAIM_KIND: Final = Kind(
    VOLUME_CLAIMS,
    {**NAMESPACE, "persistentvolumeclaim": NAME},
    (
        Family(
            "kube_persistentvolumeclaim_info",
            "The claim's class and volume",
            _claim_info,
            ("storageclass", "volumename", "volumemode"),
        ),
        Family(
            "kube_persistentvolumeclaim_status_phase",
            "1 for the phase of the claim",
            states("phase", _CLAIM_PHASES, "status", "phase"),
            ("phase",),
        ),
        Family(
            "kube_persistentvolumeclaim_resource_requests_storage_bytes",
            "How much room the claim asks for, in bytes",
            _requested,
        ),
        Family("kube_persistentvolumeclaim_access_mode", "How the claim is to be mounted", _modes, ("access_mode",)),
        Family(
            "kube_persistentvolumeclaim_status_condition",
            "1 for the status of each condition of the claim",
            conditions,
            ("condition", "status"),
        ),
        created("kube_persistentvolumeclaim"),
        deleted("kube_persistentvolumeclaim_deletion_timestamp"),
    ),
)
CLASS_KIND: Final = Kind(
    STORAGE_CLASSES,
    {"storageclass": NAME},
    (
        Family(
            "kube_storageclass_info",
            "How volumes of the class are made",
            _class_info,
            ("provisioner", "reclaim_policy", "volume_binding_mode"),
        ),
        created("kube_storageclass"),
    ),
)
