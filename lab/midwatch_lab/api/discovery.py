"""Discovery: which groups, versions and resources there are, in the aggregated form and in the plain one."""

import platform
from typing import Any, Final

from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object

AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


def aggregated(catalog: Catalog, *, core: bool, version: str) -> Object:
    """Return the whole discovery of `/api` (core) or `/apis` in one document."""
    items: list[Object] = [
        {
            "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
            "versions": [
                {
                    "version": group_version,
                    "resources": [_aggregated(row) for row in catalog.of_version(group, group_version)],
                    "freshness": "Current",
                }
            ],
        }
        for group, group_version in catalog.group_versions()
        if core is (group == "")
    ]
    api_version = f"apidiscovery.k8s.io/{version}"
    return {"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items}


def _aggregated(resource: Resource) -> Object:
    found: Object = {
        "resource": resource.plural,
        "responseKind": {"group": "", "version": "", "kind": resource.kind},
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
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
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
    found = [_group(*pair) for pair in catalog.group_versions() if pair[0]]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def _group(name: str, version: str) -> Object:
    entry = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def group(catalog: Catalog, name: str) -> Object | None:
    """Return what `/apis/<group>` answers, or None where there is no such group."""
    found = next((gv for gv in catalog.group_versions() if gv[0] == name and name), None)
    return None if found is None else {"kind": "APIGroup", "apiVersion": "v1", **_group(*found)}


def resources(catalog: Catalog, name: str, version: str) -> Object | None:
    """Return what `/apis/<group>/<version>` answers, or None where there is no such version."""
    found = catalog.of_version(name, version)
    if not found:
        return None
    listed: list[Object] = []
    for resource in found:
        listed.append(_plain(resource))
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
    group_version = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}


def _plain(resource: Resource) -> Object:
    optional = {"shortNames": list(resource.short), "categories": list(resource.categories)}
    return {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
        **{key: value for key, value in optional.items() if value},
    }


def server_version(git_version: str) -> dict[str, Any]:
    """Return what `/version` answers: the version whose API is spoken, marked as the lab's."""
    major, minor, _ = git_version.removeprefix("v").split(".", 2)
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{git_version}+midwatch",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }
