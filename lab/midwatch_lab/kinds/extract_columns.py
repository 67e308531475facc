"""Extract how a running kube-apiserver describes the columns of its Tables into `columns.json`.

    python -m midwatch_lab.kinds.extract_columns https://127.0.0.1:6443 TOKEN

Every kind that can be listed is asked for, so that a kind which is served later finds its columns here; a Scale is
asked of a Deployment that is made for it. Read by `midwatch_lab.kinds.columns`; nothing at run time needs a cluster.
"""

import json
import sys
from pathlib import Path
from typing import Any

import httpx2

TARGET = Path(__file__).with_name("columns.json")
_TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def columns(http: httpx2.Client) -> dict[str, Any]:
    """Return the column definitions by kind."""
    versions = ["/api/v1"]
    for group in http.get("/apis").raise_for_status().json()["groups"]:
        versions += [f"/apis/{version['groupVersion']}" for version in group["versions"]]
    found: dict[str, Any] = {}
    for path in versions:
        for resource in http.get(path).raise_for_status().json()["resources"]:
            if "list" not in resource["verbs"] or resource["kind"] in found:
                continue
            table = http.get(f"{path}/{resource['name']}", headers=_TABLE).raise_for_status().json()
            found[resource["kind"]] = table["columnDefinitions"]
    return dict(sorted({**found, "Scale": _of_scale(http)}.items()))


def _of_scale(http: httpx2.Client) -> Any:
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": pod}
    home = "/apis/apps/v1/namespaces/default/deployments"
    http.post(home, json={"metadata": {"name": "columns"}, "spec": spec}).raise_for_status()
    try:
        return http.get(f"{home}/columns/scale", headers=_TABLE).raise_for_status().json()["columnDefinitions"]
    finally:
        http.delete(f"{home}/columns").raise_for_status()


def main(server: str, token: str) -> None:
    """Write the file."""
    with httpx2.Client(base_url=server, verify=False, headers={"Authorization": f"Bearer {token}"}) as http:
        TARGET.write_text(json.dumps(columns(http), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
