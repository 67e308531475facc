"""PersistentVolumeClaims, PersistentVolumes and StorageClasses: defaults, rules, what may change, cells."""

from typing import Any, Final

from contract_harness import Api, Cases, objects

CASES: Final = Cases()
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
VOLUMES: Final = "/api/v1/persistentvolumes"
CLASSES: Final = "/apis/storage.k8s.io/v1/storageclasses"
GB: Final = {"requests": {"storage": "1Gi"}}


def claim(name: str = "c", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": GB, **spec}}


def volume(name: str, **spec: Any) -> dict[str, Any]:
    given = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}, **spec}
    return {"metadata": {"name": name}, "spec": {key: value for key, value in given.items() if value is not None}}


@CASES.case("a claim gets its mode, its phase and its protection")
async def _(api: Api) -> None:
    path = api.path("v1", "persistentvolumeclaims")
    await api.ask("POST", path, claim(storageClassName="none"))
    await api.ask("POST", path, claim("own", storageClassName="", volumeName="v", volumeMode="Block"))
    await api.ask("POST", path, {**claim("held", storageClassName="x"), "status": {"phase": "Bound"}})
    await api.ask("GET", path, accept=TABLE)
    await api.ask("DELETE", f"{path}/own")
    await api.ask("GET", path, accept=TABLE)
    await api.ask("PATCH", f"{path}/own", {"metadata": {"finalizers": None}}, "merge")
    await api.ask("GET", f"{path}/own")


@CASES.case("a claim is checked")
async def _(api: Api) -> None:
    path = api.path("v1", "persistentvolumeclaims")
    for spec in objects(
        {"accessModes": []}, {"accessModes": ["Odd"]}, {"accessModes": ["ReadWriteOnce", "ReadWriteOncePod"]},
        {"resources": {}}, {"resources": {"requests": {"storage": "0"}}},
        {"resources": {"requests": {"storage": "-1Gi"}}},
        {"resources": {"requests": {"cpu": "1"}}}, {"volumeMode": "Odd"}, {"storageClassName": "Bad Name"},
        {"selector": {"matchLabels": {"a b": "c"}}}, {"selector": {"matchLabels": {"a": "b"}}},
        {"resources": {"requests": {"storage": "2Gi"}, "limits": {"storage": "1Gi"}}},
        {"dataSource": {"kind": "", "name": ""}}, {"dataSource": {"kind": "PersistentVolumeClaim", "name": "x"}},
        {"dataSource": {"kind": "Odd", "name": "x"}},
        {"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "x"}},
        {"dataSourceRef": {"kind": "Thing", "apiGroup": "example.com", "name": "x"}},
        {"volumeAttributesClassName": "gold"},
    ):  # fmt: skip
        await api.ask("POST", path, claim(**{"storageClassName": "x", **spec}), dryRun="All")
    await api.ask("POST", path, {"metadata": {"name": "c"}, "spec": {}}, dryRun="All")
    await api.ask("POST", path, {"metadata": {"name": "C"}, "spec": {}}, dryRun="All")


@CASES.case("a claim's specification cannot be changed but for its requests once it is bound")
async def _(api: Api) -> None:
    path = api.path("v1", "persistentvolumeclaims")
    await api.setup("POST", path, claim(storageClassName="none"))
    for spec in objects(
        {"accessModes": ["ReadOnlyMany"]}, {"resources": {"requests": {"storage": "2Gi"}}}, {"volumeMode": "Block"},
        {"storageClassName": "other"}, {"volumeName": "v"}, {"volumeName": "w"},
        {"selector": {"matchLabels": {"a": "b"}}},
    ):  # fmt: skip
        await api.ask("PATCH", f"{path}/c", {"spec": spec}, "merge")
    status = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    await api.ask("PATCH", f"{path}/c/status", {"status": status}, "merge")
    await api.ask("GET", path, accept=TABLE)
    for size in ("500Mi", "2Gi", "1Gi"):
        await api.ask("PATCH", f"{path}/c", {"spec": {"resources": {"requests": {"storage": size}}}}, "merge")
    await api.ask("PATCH", f"{path}/c", {"metadata": {"labels": {"a": "b"}}, "status": {"phase": "Lost"}}, "merge")
    await api.ask("PATCH", f"{path}/c/status", {"status": {"capacity": {"storage": "-1"}, "phase": "Odd"}}, "merge")


@CASES.case("a claim of a class that grows may grow")
async def _(api: Api) -> None:
    name, path = api.unique("grows"), api.path("v1", "persistentvolumeclaims")
    await api.setup(
        "POST", CLASSES, {"metadata": {"name": name}, "provisioner": "example.com/p", "allowVolumeExpansion": True}
    )
    await api.setup("POST", path, claim(storageClassName=name, volumeName="v"))
    status = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    await api.setup("PATCH", f"{path}/c/status", {"status": status}, "merge")
    for size in ("2Gi", "1500Mi", "1Gi", "500Mi"):
        await api.ask("PATCH", f"{path}/c", {"spec": {"resources": {"requests": {"storage": size}}}}, "merge")
    await api.ask("GET", path, accept=TABLE)


@CASES.case("a volume gets its mode, its policy, its phase and its protection")
async def _(api: Api) -> None:
    name = api.unique("v")
    reference = {"namespace": api.namespace, "name": "c", "kind": "PersistentVolumeClaim"}
    await api.ask("POST", VOLUMES, volume(name, storageClassName="slow"))
    await api.ask(
        "POST", VOLUMES, volume(f"{name}-2", claimRef=reference, accessModes=["ReadWriteMany", "ReadOnlyMany"])
    )
    await api.ask("GET", f"{VOLUMES}/{name}", accept=TABLE)
    await api.ask("GET", f"{VOLUMES}/{name}-2", accept=TABLE)
    await api.ask(
        "PATCH", f"{VOLUMES}/{name}/status", {"status": {"phase": "Released", "reason": "r", "message": "m"}}, "merge"
    )
    await api.ask("GET", f"{VOLUMES}/{name}", accept=TABLE)
    await api.ask("DELETE", f"{VOLUMES}/{name}")
    await api.ask("GET", f"{VOLUMES}/{name}", accept=TABLE)
    await api.ask("PATCH", f"{VOLUMES}/{name}", {"metadata": {"finalizers": None}}, "merge")
    await api.ask("GET", f"{VOLUMES}/{name}")


@CASES.case("a volume is checked")
async def _(api: Api) -> None:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]}]}
    place = {"required": {"nodeSelectorTerms": [term]}}
    for spec in objects(
        {"hostPath": None}, {"nfs": {"server": "s", "path": "/p"}}, {"capacity": {}}, {"capacity": {"storage": "0"}},
        {"capacity": {"storage": "1Gi", "cpu": "1"}}, {"accessModes": []}, {"accessModes": ["Odd"]},
        {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}, {"persistentVolumeReclaimPolicy": "Odd"},
        {"persistentVolumeReclaimPolicy": "Recycle"},
        {"hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"},
        {"hostPath": {"path": ""}}, {"hostPath": {"path": "a/../b"}}, {"hostPath": {"path": "/d", "type": "Odd"}},
        {"storageClassName": "Bad Name"}, {"volumeMode": "Odd"}, {"hostPath": None, "local": {"path": "/d"}},
        {"hostPath": None, "local": {"path": "/d"}, "nodeAffinity": place}, {"nodeAffinity": {"required": {}}},
        {"hostPath": None, "csi": {}}, {"hostPath": None, "csi": {"driver": "Bad driver", "volumeHandle": "h"}},
        {"hostPath": None, "csi": {"driver": "d.example.com", "volumeHandle": "h"}}, {"hostPath": None, "nfs": {}},
        {"volumeAttributesClassName": "gold"}, {"mountOptions": ["ro"]},
    ):  # fmt: skip
        await api.ask("POST", VOLUMES, volume(api.unique("v"), **spec), dryRun="All")


@CASES.case("where a volume lies cannot be changed")
async def _(api: Api) -> None:
    name = api.unique("v")
    await api.setup("POST", VOLUMES, volume(name))
    for spec in objects(
        {"hostPath": {"path": "/other"}}, {"hostPath": None, "nfs": {"server": "s", "path": "/p"}},
        {"volumeMode": "Block"},
        {"capacity": {"storage": "2Gi"}}, {"accessModes": ["ReadOnlyMany"]}, {"storageClassName": "y"},
        {"persistentVolumeReclaimPolicy": "Delete"}, {"claimRef": {"name": "c", "namespace": "d"}},
    ):  # fmt: skip
        await api.ask("PATCH", f"{VOLUMES}/{name}", {"spec": spec}, "merge")


@CASES.case("a storage class cannot be changed but for what it allows")
async def _(api: Api) -> None:
    name = api.unique("sc")
    await api.ask(
        "POST", CLASSES, {"metadata": {"name": name}, "provisioner": "example.com/p", "parameters": {"a": "b"}}
    )
    await api.ask("GET", f"{CLASSES}/{name}", accept=TABLE)
    for change in objects(
        {"provisioner": "other"}, {"parameters": {"a": "c"}}, {"reclaimPolicy": "Retain"},
        {"allowVolumeExpansion": True},
        {"volumeBindingMode": "WaitForFirstConsumer"}, {"mountOptions": ["ro"]}, {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}},
    ):  # fmt: skip
        await api.ask("PATCH", f"{CLASSES}/{name}", change, "merge")
    await api.ask("GET", f"{CLASSES}/{name}", accept=TABLE)
    await api.ask("DELETE", f"{CLASSES}/{name}")


@CASES.case("a storage class is checked")
async def _(api: Api) -> None:
    for body in objects(
        {}, {"provisioner": "a b"}, {"provisioner": "p", "reclaimPolicy": "Odd"},
        {"provisioner": "p", "reclaimPolicy": "Recycle"},
        {"provisioner": "p", "volumeBindingMode": "Odd"}, {"provisioner": "p", "parameters": {"": "x"}},
        {"provisioner": "p", "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer"},
        {"provisioner": "p", "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}]},
        {"provisioner": "p", "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": []}]}]},
        {"provisioner": "p", "parameters": {"k": "v" * 270000}}, {"provisioner": "P/Q"},
    ):  # fmt: skip
        await api.ask("POST", CLASSES, {"metadata": {"name": api.unique("sc")}, **body}, dryRun="All")
