"""Extract the structure of the served kinds from a running kube-apiserver into `kubernetes.json`.

    python -m midwatch_lab.schemas.extract https://127.0.0.1:6443 TOKEN

Types, required fields, enums, formats, defaults, list types and merge keys are kept; descriptions are not. The file
names the version that it came from. Read by `midwatch_lab.schemas.schema`; nothing at run time needs a cluster.
"""

import json
import sys
from pathlib import Path
from typing import Any

import httpx2

from midwatch_lab.kinds.resources import EXTRA_DEFINITIONS, RESOURCES

TARGET = Path(__file__).with_name("kubernetes.json")
_KEPT = frozenset({
    "$ref", "type", "format", "properties", "required", "items", "additionalProperties", "enum", "default", "oneOf",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy", "x-kubernetes-unions", "x-kubernetes-group-version-kind",
})  # fmt: skip
_PREFIX = "#/components/schemas/"


def compact(node: Any) -> Any:
    """Return a schema without prose; a lone `allOf` is folded into its parent, references become bare names."""
    if isinstance(node, list):
        return [compact(item) for item in node]  # pyright: ignore[reportUnknownVariableType] (JSON of unknown shape)
    if not isinstance(node, dict):
        return node
    schema: dict[str, Any] = dict(node)  # pyright: ignore[reportUnknownArgumentType] (JSON of unknown shape)
    for part in schema.pop("allOf", []):
        schema.update(part)
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key not in _KEPT:
            continue
        if key == "properties":
            kept[key] = {name: compact(item) for name, item in value.items()}
        elif key == "$ref":
            kept[key] = str(value).removeprefix(_PREFIX)
        elif key in ("default", "x-kubernetes-group-version-kind"):
            kept[key] = value
        else:
            kept[key] = compact(value)
    return kept


def references(node: Any) -> set[str]:
    """Return the names of the definitions that a compact schema refers to."""
    if isinstance(node, list):
        return set[str]().union(*(references(item) for item in node))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] (JSON)
    if not isinstance(node, dict):
        return set()
    found: set[str] = set()
    for key, value in node.items():  # pyright: ignore[reportUnknownVariableType] (JSON of unknown shape)
        found |= {value} if key == "$ref" and isinstance(value, str) else references(value)  # pyright: ignore[reportUnknownArgumentType] (JSON)
    return found


def extract(server: str, token: str) -> dict[str, Any]:
    """Return `{version, definitions}` for every kind in the table of resources and what those refer to."""
    with httpx2.Client(base_url=server, headers={"Authorization": f"Bearer {token}"}, verify=False) as client:
        version = client.get("/version").raise_for_status().json()["gitVersion"]
        groups = {f"apis/{r.group}/{r.version}" if r.group else f"api/{r.version}" for r in RESOURCES}
        groups |= {"apis/autoscaling/v1", "apis/authentication.k8s.io/v1", "apis/authorization.k8s.io/v1"}
        offered: dict[str, Any] = {}
        for group in sorted(groups):
            document = client.get(f"/openapi/v3/{group}").raise_for_status().json()
            offered.update(document["components"]["schemas"])
    wanted = {resource.schema for resource in RESOURCES} | set(EXTRA_DEFINITIONS)
    wanted |= {resource.schema + "List" for resource in RESOURCES if resource.schema + "List" in offered}
    definitions: dict[str, Any] = {}
    while wanted:
        name = wanted.pop()
        definitions[name] = compact(offered[name])
        wanted |= references(definitions[name]) - definitions.keys()
    return {"version": version, "definitions": dict(sorted(definitions.items()))}


if __name__ == "__main__":
    TARGET.write_text(json.dumps(extract(sys.argv[1], sys.argv[2]), indent=1, sort_keys=True) + "\n")
