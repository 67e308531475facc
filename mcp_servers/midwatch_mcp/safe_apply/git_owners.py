"""Who owns an object from outside the cluster: Argo CD, Flux, Helm, Terraform and others, and where its source is.

What such a tool owns is changed back, so it is changed in Git or not at all (DESIGN §5). Sources of the names: Argo CD
"Resource Tracking", Flux "Kustomization" and "HelmRelease" labels, Helm's adoption labels (pkg/action/validate.go),
kustomize `buildMetadata: [originAnnotations]`, and the field managers that these tools write under.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

import yaml

_MANAGERS: tuple[tuple[str, str], ...] = (
    ("argocd*", "Argo CD"),
    ("argo-cd*", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("flux*", "Flux"),
    ("gotk*", "Flux"),
    ("helm", "Helm"),
    ("helm-*", "Helm"),
    ("terraform*", "Terraform"),
    ("hashicorp*", "Terraform"),
    ("pulumi*", "Pulumi"),
    ("configsync*", "Config Sync"),
    ("fleet*", "Fleet"),
    ("kapp*", "kapp"),
    ("spinnaker*", "Spinnaker"),
)
"""Field managers, letter case aside, behind which stands a repository or a chart."""


@dataclass(frozen=True)
class GitSource:
    """The tool that keeps an object, what it calls the owner, and where the source is, as far as the object says."""

    tool: str
    owner: str
    where: str = ""

    def says(self) -> str:
        """Return it in words."""
        return f"{self.tool} keeps it ({self.owner}{f', {self.where}' if self.where else ''})"


def tool_of(manager: str) -> str | None:
    """Return the tool that writes under the name of a field manager, or None for one without a repository."""
    return next((tool for glob, tool in _MANAGERS if fnmatchcase(manager.lower(), glob)), None)


def git_source(value: Mapping[str, Any]) -> GitSource | None:
    """Return what keeps an object by its labels and annotations, or None."""
    metadata = cast("dict[str, Any]", value.get("metadata") or {})
    labels = cast("dict[str, str]", metadata.get("labels") or {})
    notes = cast("dict[str, str]", metadata.get("annotations") or {})
    return next((GitSource(*found, _origin(notes)) for found in _claims(labels, notes)), None)


def _claims(labels: Mapping[str, str], notes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (tool, what it calls the owner) of each mark, the surest first."""
    if tracking := notes.get("argocd.argoproj.io/tracking-id"):
        yield "Argo CD", f"application {tracking.partition(':')[0]}"
    if app := labels.get("argocd.argoproj.io/instance"):
        yield "Argo CD", f"application {app}"
    for label, what in (("kustomize", "Kustomization"), ("helm", "HelmRelease")):
        if name := labels.get(f"{label}.toolkit.fluxcd.io/name"):
            yield "Flux", f"{what} {labels.get(f'{label}.toolkit.fluxcd.io/namespace', '')}/{name}"
    if release := notes.get("meta.helm.sh/release-name"):
        chart = labels.get("helm.sh/chart", "")
        space = notes.get("meta.helm.sh/release-namespace", "")
        yield "Helm", f"release {space}/{release}{f' of chart {chart}' if chart else ''}"
    if owner := notes.get("configsync.gke.io/resource-id") or notes.get("configmanagement.gke.io/managed"):
        yield "Config Sync", owner
    if app := labels.get("kapp.k14s.io/app"):
        yield "kapp", f"app {app}"
    if owner := labels.get("objectset.rio.cattle.io/hash"):
        yield "Fleet", f"bundle {owner}"
    managed_by = labels.get("app.kubernetes.io/managed-by", "")
    if tool := tool_of(managed_by):
        yield tool, f"app.kubernetes.io/managed-by={managed_by}"


def _origin(notes: Mapping[str, str]) -> str:
    """Return where kustomize took an object from, if it said so."""
    try:
        found: Any = yaml.safe_load(notes.get("config.kubernetes.io/origin", ""))
    except yaml.YAMLError:
        return ""
    if not isinstance(found, dict):
        return ""
    origin = cast("dict[str, Any]", found)
    return " ".join(str(origin[name]) for name in ("repo", "ref", "path") if origin.get(name))


def git_managers(value: Mapping[str, Any]) -> list[str]:
    """Return the field managers of an object behind which stands a repository, sorted."""
    entries = cast("list[dict[str, Any]]", value.get("metadata", {}).get("managedFields") or [])
    return sorted({str(entry.get("manager", "")) for entry in entries if tool_of(str(entry.get("manager", "")))})


ADVICE = (
    "change it in Git, since here it would be changed back: the same draft with "
    "`midwatch change propose DRAFT --as git --repo DIR` makes the commit"
)
"""What is said to whoever is refused."""
