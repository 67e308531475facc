"""A double of the Kubernetes API: objects that a test puts in, discovery, lists, Tables, logs and the pod proxy."""

import base64
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from midwatch_mcp.kubernetes.room import at, mapping, objects, text
from midwatch_mcp.testing.logs import LogsDouble
from midwatch_mcp.testing.replies import reply, status

PodHandler = Callable[[Request, str], Awaitable[Response]]
"""Answers what comes through `pods/proxy`; the text is the path behind the pod."""

Key = tuple[str, str, str, str]
"""(group version, plural, namespace, name)."""

_UNKNOWN = 404


@dataclass(frozen=True)
class KindDouble:
    """One kind that the double has, and the cells of its Table."""

    kind: str
    group_version: str
    plural: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    columns: tuple[str, ...] = ("Name", "Age")
    cells: Callable[[Mapping[str, Any]], list[Any]] = lambda item: [text(item, "metadata", "name"), "5m"]


def _pod_cells(pod: Mapping[str, Any]) -> list[Any]:
    statuses = objects(at(pod, "status", "containerStatuses"))
    up = sum(bool(status.get("ready")) for status in statuses)
    waiting = [text(status, "state", "waiting", "reason") for status in statuses]
    status = next((reason for reason in waiting if reason), text(pod, "status", "phase"))
    restarts = sum(status.get("restartCount", 0) for status in statuses)
    return [text(pod, "metadata", "name"), f"{up}/{len(statuses)}", status, restarts, "5m"]


def _deployment_cells(item: Mapping[str, Any]) -> list[Any]:
    ready, wanted = at(item, "status", "readyReplicas") or 0, at(item, "spec", "replicas")
    return [text(item, "metadata", "name"), f"{ready}/{wanted}", at(item, "status", "updatedReplicas"), ready, "5m"]


KINDS = (
    KindDouble("Namespace", "v1", "namespaces", namespaced=False, short=("ns",)),
    KindDouble("Node", "v1", "nodes", namespaced=False, short=("no",)),
    KindDouble(
        "Pod", "v1", "pods", short=("po",), columns=("Name", "Ready", "Status", "Restarts", "Age"), cells=_pod_cells
    ),
    KindDouble("Service", "v1", "services", short=("svc",)),
    KindDouble("Secret", "v1", "secrets"),
    KindDouble("ConfigMap", "v1", "configmaps", short=("cm",)),
    KindDouble("Event", "v1", "events", short=("ev",)),
    KindDouble(
        "Deployment",
        "apps/v1",
        "deployments",
        short=("deploy",),
        columns=("Name", "Ready", "Up-to-date", "Available", "Age"),
        cells=_deployment_cells,
    ),
    KindDouble("ReplicaSet", "apps/v1", "replicasets", short=("rs",)),
    KindDouble("StatefulSet", "apps/v1", "statefulsets", short=("sts",)),
    KindDouble("DaemonSet", "apps/v1", "daemonsets", short=("ds",)),
    KindDouble("ControllerRevision", "apps/v1", "controllerrevisions"),
    KindDouble("Job", "batch/v1", "jobs"),
    KindDouble("CronJob", "batch/v1", "cronjobs", short=("cj",)),
    KindDouble("PersistentVolumeClaim", "v1", "persistentvolumeclaims", short=("pvc",)),
    KindDouble("PersistentVolume", "v1", "persistentvolumes", namespaced=False, short=("pv",)),
    KindDouble("ResourceQuota", "v1", "resourcequotas", short=("quota",)),
    KindDouble("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers", short=("hpa",)),
    KindDouble("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets", short=("pdb",)),
    KindDouble("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", short=("netpol",)),
    KindDouble("Ingress", "networking.k8s.io/v1", "ingresses", short=("ing",)),
    KindDouble("EndpointSlice", "discovery.k8s.io/v1", "endpointslices"),
    KindDouble("PodMetrics", "metrics.k8s.io/v1beta1", "pods"),
    KindDouble("NodeMetrics", "metrics.k8s.io/v1beta1", "nodes", namespaced=False),
    KindDouble("ClusterRole", "rbac.authorization.k8s.io/v1", "clusterroles", namespaced=False),
    KindDouble("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", "clusterrolebindings", namespaced=False),
    KindDouble("Role", "rbac.authorization.k8s.io/v1", "roles"),
    KindDouble("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings"),
)


@dataclass
class ClusterDouble:
    """The API of one cluster. `put` adds or replaces objects, `remove` takes one away."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """The one bearer token that is let in."""
    aggregated: bool = True
    """Whether discovery answers in the aggregated form, as servers since 1.27 do."""
    kinds: tuple[KindDouble, ...] = KINDS
    logs: LogsDouble = field(default_factory=LogsDouble)
    backends: dict[str, PodHandler] = field(default_factory=dict[str, PodHandler])
    """What answers behind `pods/proxy`, by pod name."""
    allowed: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])
    """What access reviews allow: (user, verb, resource); the user is empty for a review of the asker."""
    store: dict[Key, dict[str, Any]] = field(default_factory=dict[Key, dict[str, Any]])
    broken: int | None = None
    """A status that every request is answered with, to see what a tool does then."""
    failure: str = "the double was told to fail"
    """What it says then."""

    def __post_init__(self) -> None:
        self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}})

    def put(self, *items: Mapping[str, Any]) -> None:
        """Add objects, giving each a uid and a resourceVersion where it has none."""
        for item in items:
            value = orjson.loads(orjson.dumps(dict(item)))
            kind = self._kind_of(value["kind"])
            metadata = value["metadata"]
            metadata.setdefault("uid", f"uid-{kind.plural}-{metadata['name']}")
            metadata.setdefault("resourceVersion", str(1000 + len(self.store)))
            metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
            metadata.setdefault("managedFields", [{"manager": "double", "operation": "Update"}])
            self.store[kind.group_version, kind.plural, metadata.get("namespace", ""), metadata["name"]] = value

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Take an object away."""
        found = self._kind_of(kind)
        del self.store[found.group_version, found.plural, namespace, name]

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized", "no valid bearer token")
        if self.broken is not None:
            return status(self.broken, "InternalError", self.failure)
        path = request.url.path
        if path in {"/api", "/apis"}:
            return self._discovery(path)
        proxied = await self._proxied(request, path)
        if proxied is not None:
            return proxied
        if request.method != "GET":
            return await self._review(request, path)
        return self._read(request, path.strip("/").split("/"))

    async def _review(self, request: Request, path: str) -> Response:
        if request.method != "POST" or not path.endswith("subjectaccessreviews"):
            return status(405, "MethodNotAllowed", "the double is read only, but for access reviews")
        review = await request.json()
        asked = mapping(review, "spec", "resourceAttributes")
        key = (text(review, "spec", "user"), str(asked.get("verb")), str(asked.get("resource")))
        return reply({**review, "status": {"allowed": key in self.allowed, "reason": "by the double's list"}})

    def _kind_of(self, kind: str) -> KindDouble:
        return next(found for found in self.kinds if found.kind == kind)

    def _read(self, request: Request, parts: list[str]) -> Response:
        version, rest = (parts[1], parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        if not rest:
            return self._resource_list(version)
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:  # noqa: PLR2004 (namespaces/NAME/PLURAL)
            namespace, rest = rest[1], rest[2:]
        kind = next((k for k in self.kinds if (k.group_version, k.plural) == (version, rest[0])), None)
        if kind is None:
            return status(404, "NotFound", "the server could not find the requested resource")
        if len(rest) == 1:
            return self._list(request, kind, namespace)
        found = self.store.get((version, kind.plural, namespace, rest[1]))
        if found is None:
            return status(404, "NotFound", f'{kind.plural} "{rest[1]}" not found')
        return self.logs.answer(request, rest[1]) if rest[2:] == ["log"] else reply(found)

    def _list(self, request: Request, kind: KindDouble, namespace: str) -> Response:
        query = request.query_params
        matching = [
            item
            for (version, plural, where, _), item in sorted(self.store.items())
            if (version, plural) == (kind.group_version, kind.plural)
            and namespace in {"", where}
            and selected(mapping(item, "metadata", "labels"), query.get("labelSelector", ""))
            and fields_match(item, query.get("fieldSelector", ""))
        ]
        start = int(base64.urlsafe_b64decode(query["continue"])) if query.get("continue") else 0
        limit = int(query.get("limit", "0")) or len(matching)
        page = matching[start : start + limit]
        metadata: dict[str, Any] = {"resourceVersion": "5000"}
        if start + limit < len(matching):
            metadata["continue"] = base64.urlsafe_b64encode(str(start + limit).encode()).decode()
            metadata["remainingItemCount"] = len(matching) - start - limit
        if "as=Table" in request.headers.get("accept", ""):
            return reply(_table(kind, page, metadata, query.get("includeObject", "Metadata")))
        items = [{k: v for k, v in item.items() if k not in {"kind", "apiVersion"}} for item in page]
        return reply(
            {"kind": f"{kind.kind}List", "apiVersion": kind.group_version, "metadata": metadata, "items": items}
        )

    async def _proxied(self, request: Request, path: str) -> Response | None:
        _, marker, behind = path.partition("/proxy/")
        parts = path.split("/")
        if not marker or "pods" not in parts:
            return None
        pod = parts[parts.index("pods") + 1].partition(":")[0]
        backend = self.backends.get(pod)
        if backend is None:
            return status(503, "ServiceUnavailable", f"dial tcp: connection to pod {pod} refused")
        return await backend(request, f"/{behind}")

    def _discovery(self, path: str) -> Response:
        core = path == "/api"
        versions = dict.fromkeys(k.group_version for k in self.kinds if ("/" not in k.group_version) == core)
        if self.aggregated:
            return reply({"kind": "APIGroupDiscoveryList", "items": [self._group(version) for version in versions]})
        if core:
            return reply({"kind": "APIVersions", "versions": list(versions)})
        groups: list[dict[str, Any]] = []
        for name in versions:
            group, _, version = name.partition("/")
            served = {"groupVersion": name, "version": version}
            groups.append({"name": group, "versions": [served], "preferredVersion": served})
        return reply({"kind": "APIGroupList", "groups": groups})

    def _group(self, group_version: str) -> dict[str, Any]:
        group, _, version = group_version.rpartition("/")
        resources = [
            {
                "resource": kind.plural,
                "responseKind": {"group": group, "version": version, "kind": kind.kind},
                "scope": "Namespaced" if kind.namespaced else "Cluster",
                "singularResource": kind.kind.lower(),
                "verbs": ["get", "list", "watch"],
                "shortNames": list(kind.short),
            }
            for kind in self.kinds
            if kind.group_version == group_version
        ]
        return {
            "metadata": {"name": group} if group else {},
            "versions": [{"version": version, "resources": resources}],
        }

    def _resource_list(self, group_version: str) -> Response:
        resources = [
            {
                "name": kind.plural,
                "singularName": kind.kind.lower(),
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": ["get", "list", "watch"],
                "shortNames": list(kind.short),
            }
            for kind in self.kinds
            if kind.group_version == group_version
        ]
        return reply({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources})


def _table(kind: KindDouble, page: list[dict[str, Any]], metadata: dict[str, Any], include: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for item in page:
        row: dict[str, Any] = {"cells": kind.cells(item), "object": None}
        if include == "Metadata":
            row["object"] = {"kind": "PartialObjectMetadata", "metadata": item["metadata"]}
        rows.append(row)
    columns = [{"name": name, "type": "string", "priority": 0} for name in kind.columns]
    return {"kind": "Table", "metadata": metadata, "columnDefinitions": columns, "rows": rows}


def selected(labels: Mapping[str, Any], selector: str) -> bool:
    """Judge a selector of labels, `a=b,c!=d,e,!f,g in (h,i),j notin (k)`."""
    for term in filter(None, re.split(r",(?![^(]*\))", selector)):
        among = re.fullmatch(r"(\S+) (in|notin) \((.*)\)", term)
        name, differs, value = term.partition("!=")
        if among is not None:
            fits = (labels.get(among[1]) in among[3].split(",")) == (among[2] == "in")
        elif differs:
            fits = labels.get(name) != value
        elif "=" in term:
            name, _, value = term.replace("==", "=").partition("=")
            fits = labels.get(name) == value
        else:
            fits = (term.lstrip("!") in labels) != term.startswith("!")
        if not fits:
            return False
    return True


def fields_match(item: Mapping[str, Any], selector: str) -> bool:
    """Judge a field selector, `metadata.name=a,involvedObject.kind=Pod`."""
    for term in filter(None, selector.split(",")):
        name, _, value = term.partition("=")
        if str(at(item, *name.split(".")) or "") != value:
            return False
    return True
