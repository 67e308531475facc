"""Discovery: which groups, versions and resources there are, in the aggregated form and in the plain one."""

import base64
import hashlib
import platform
from typing import Any, Final

from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object

AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
_HASHED: Final = 8
_STORED_AS: Final = {"customresourcedefinitions.apiextensions.k8s.io": "v1beta1"}
"""Where the original stores another version than any that it serves."""


def aggregated(catalog: Catalog, *, core: bool, version: str) -> Object:
    """Return the whole discovery of `/api` (core) or `/apis` in one document."""
    items: list[Object] = [
        {
            "metadata": {"name": group} if group else {},
            "versions": [
                {
                    "version": group_version,
                    "resources": [_aggregated(row) for row in catalog.of_version(group, group_version)],
                    "freshness": "Current",
                }
                for group_version in versions
            ],
        }
        for group, versions in catalog.groups().items()
        if core is (group == "")
    ]
    api_version = f"apidiscovery.k8s.io/{version}"
    return {"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items}


def _aggregated(resource: Resource) -> Object:
    # The original leaves group and version of a built-in kind empty, and says those of a custom one.
    own = (resource.group, resource.version) if isinstance(resource, CustomResource) else ("", "")
    found: Object = {
        "resource": resource.plural,
        "responseKind": {"group": own[0], "version": own[1], "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short:
        found["shortNames"] = list(resource.short)
    if resource.categories:
        found["categories"] = list(resource.categories)
    if resource.subresources:
        found["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {"group": sub.group or own[0], "version": sub.version or own[1], "kind": sub.kind},
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources
        ]
    return found


def core_versions(host: str) -> Object:
    """Return what `/api` answers in the plain form."""
    address = {"clientCIDR": "0.0.0.0/0", "serverAddress": host}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}


def groups(catalog: Catalog) -> Object:
    """Return what `/apis` answers in the plain form."""
    found = [_group(name, versions) for name, versions in catalog.groups().items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def _group(name: str, versions: list[str]) -> Object:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def group(catalog: Catalog, name: str) -> Object | None:
    """Return what `/apis/<group>` answers, or None where there is no such group."""
    versions = catalog.groups().get(name) if name else None
    return None if versions is None else {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def resources(catalog: Catalog, name: str, version: str) -> Object | None:
    """Return what `/apis/<group>/<version>` answers, or None where there is no such version."""
    found = catalog.of_version(name, version)
    if not found:
        return None
    listed: list[Object] = []
    for resource in found:
        listed.append(_plain(catalog, resource))
        listed.extend(
            {
                "name": f"{resource.plural}/{sub.name}",
                "singularName": "",
                "namespaced": resource.namespaced,
                **({"group": sub.group, "version": sub.version} if sub.group else {}),
                "kind": sub.kind,
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources
        )
    if not name:
        return {"kind": "APIResourceList", "groupVersion": version, "resources": listed}
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{name}/{version}", "resources": listed}


def _plain(catalog: Catalog, resource: Resource) -> Object:
    optional: Object = {
        "shortNames": list(resource.short),
        "categories": list(resource.categories),
        "storageVersionHash": _storage_hash(catalog, resource),
    }
    return {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
        **{key: value for key, value in optional.items() if value},
    }


def _storage_hash(catalog: Catalog, resource: Resource) -> str:
    """Return the hash by which clients see that objects are stored in another version (KEP-1606)."""
    owner = catalog.by_storage(resource.key) if resource.stored else None
    if owner is None:
        return ""
    version = _STORED_AS.get(owner.qualified, owner.version)
    digest = hashlib.sha256(f"{owner.group}/{version}/{owner.kind}".encode()).digest()
    return base64.b64encode(digest[:_HASHED]).decode()


def index(catalog: Catalog) -> Object:
    """Return what `/` answers: the paths that there are."""
    found = {"/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}
    found |= {"/.well-known/openid-configuration", "/openid/v1/jwks"}
    for name, versions in catalog.groups().items():
        if name:
            found |= {f"/apis/{name}", *(f"/apis/{name}/{version}" for version in versions)}
    return {"paths": sorted(found)}


def server_version(git_version: str) -> dict[str, Any]:
    """Return what `/version` answers: the version whose API is spoken, marked as the lab's."""
    major, minor, _ = git_version.removeprefix("v").split(".", 2)
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"{git_version}+midwatch",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }
