"""Parts of volumes as the original's own structures, whose names and order its messages show."""

from typing import Any, Final

from midwatch_lab.objects import Object, dig
from midwatch_lab.status import Struct

SOURCES: Final = {
    "gcePersistentDisk": "GCEPersistentDisk", "awsElasticBlockStore": "AWSElasticBlockStore", "hostPath": "HostPath",
    "glusterfs": "Glusterfs", "nfs": "NFS", "rbd": "RBD", "quobyte": "Quobyte", "iscsi": "ISCSI",
    "flexVolume": "FlexVolume", "cinder": "Cinder", "cephfs": "CephFS", "fc": "FC", "flocker": "Flocker",
    "azureFile": "AzureFile", "vsphereVolume": "VsphereVolume", "azureDisk": "AzureDisk",
    "photonPersistentDisk": "PhotonPersistentDisk", "portworxVolume": "PortworxVolume", "scaleIO": "ScaleIO",
    "local": "Local", "storageos": "StorageOS", "csi": "CSI",
}  # fmt: skip
"""What a volume can lie on: the name of the field, and of the original's."""
_FIELDS: Final[dict[str, tuple[tuple[str, str, Any], ...]]] = {
    "hostPath": (("Path", "path", ""), ("Type", "type", None)),
    "nfs": (("Server", "server", ""), ("Path", "path", ""), ("ReadOnly", "readOnly", False)),
    "local": (("Path", "path", ""), ("FSType", "fsType", None)),
    "csi": (
        ("Driver", "driver", ""), ("VolumeHandle", "volumeHandle", ""), ("ReadOnly", "readOnly", False),
        ("FSType", "fsType", ""), ("VolumeAttributes", "volumeAttributes", None),
        ("ControllerPublishSecretRef", "controllerPublishSecretRef", None),
        ("NodeStageSecretRef", "nodeStageSecretRef", None), ("NodePublishSecretRef", "nodePublishSecretRef", None),
        ("ControllerExpandSecretRef", "controllerExpandSecretRef", None),
        ("NodeExpandSecretRef", "nodeExpandSecretRef", None),
    ),
}  # fmt: skip
"""(the original's name, the field, what stands for one that is left out)."""


def volume_source(spec: Object) -> Struct:
    """Return what a volume lies on."""
    return Struct(tuple((name, _source(key, spec.get(key))) for key, name in SOURCES.items()))


def _source(key: str, source: Object | None) -> Any:
    if source is None:
        return None
    fields = _FIELDS.get(key)
    if fields is None:
        return Struct(tuple((name[:1].upper() + name[1:], value) for name, value in source.items()))
    return Struct(tuple((name, source.get(field, default)) for name, field, default in fields))


def claim_spec(spec: Object) -> Struct:
    """Return what a claim asks for."""
    resources = Struct((
        ("Limits", dig(spec, "resources", "limits")), ("Requests", dig(spec, "resources", "requests")),
    ))  # fmt: skip
    return Struct((
        ("AccessModes", spec.get("accessModes")), ("Selector", spec.get("selector")), ("Resources", resources),
        ("VolumeName", spec.get("volumeName", "")), ("StorageClassName", spec.get("storageClassName")),
        ("VolumeMode", spec.get("volumeMode")), ("DataSource", _data_source(spec.get("dataSource"))),
        ("DataSourceRef", _data_source(spec.get("dataSourceRef"), "Namespace")),
        ("VolumeAttributesClassName", spec.get("volumeAttributesClassName")),
    ))  # fmt: skip


def _data_source(source: Object | None, *more: str) -> Struct | None:
    if source is None:
        return None
    fields = [("APIGroup", source.get("apiGroup")), ("Kind", source.get("kind", "")), ("Name", source.get("name", ""))]
    return Struct((*fields, *((name, source.get(name.lower())) for name in more)))
