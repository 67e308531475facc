"""Extract the roles and bindings that a fresh kube-apiserver makes into `bootstrap.json`.

    python -m midwatch_lab.access.extract_bootstrap https://127.0.0.1:6443 TOKEN

The file names the version that it came from. Read by `midwatch_lab.access.bootstrap`; nothing at run time needs a
cluster. Roles that are filled by aggregation are kept as the server makes them: empty.
"""

import json
import sys
from pathlib import Path
from typing import Any

import httpx2

from midwatch_lab.kinds.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from midwatch_lab.objects import Object, dig, meta

TARGET = Path(__file__).with_name("bootstrap.json")
_MARK = "kubernetes.io/bootstrapping"
_KEPT = ("name", "namespace", "labels", "annotations")


def compact(obj: Object) -> Object:
    """Return what the server was told to make, without what it set itself."""
    kept = {key: value for key, value in meta(obj).items() if key in _KEPT}
    aggregated = "aggregationRule" in obj
    rest = {key: value for key, value in obj.items() if key != "metadata" and not (aggregated and key == "rules")}
    return {"metadata": kept, **rest}


def extract(server: str, token: str) -> dict[str, Any]:
    """Return the version, and by plural the objects, of what the server made by itself."""
    with httpx2.Client(base_url=server, headers={"Authorization": f"Bearer {token}"}, verify=False) as client:
        version = client.get("/version").raise_for_status().json()["gitVersion"]
        found: dict[str, Any] = {"version": version}
        for resource in (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS):
            items: list[Object] = client.get(resource.path("")).raise_for_status().json()["items"]
            own = [item for item in items if dig(item, "metadata", "labels", _MARK) is not None]
            found[resource.plural] = [compact(item) for item in own]
    return found


if __name__ == "__main__":
    TARGET.write_text(json.dumps(extract(sys.argv[1], sys.argv[2]), indent=1, sort_keys=True) + "\n")
