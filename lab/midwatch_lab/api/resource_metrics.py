"""`metrics.k8s.io`: what nodes and pods use, answered on the spot as metrics-server answers.

Served only where something is measured: a control plane alone has no such API, as a cluster has none that runs no
metrics-server.
"""

from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.api.reading import Filter
from midwatch_lab.kinds.resources import NODES, PODS, Resource
from midwatch_lab.objects import Object, dig, name_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.schemas.schema import Schema
from midwatch_lab.usage import PodUsage, UsageBoard, node_metrics, pod_metrics

_GROUP: Final = "metrics.k8s.io"
_SCHEMA: Final = "io.k8s.metrics.pkg.apis.metrics.v1beta1."
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_VERBS: Final = ("get", "list")

NODE_METRICS: Final = Resource(
    _GROUP, "v1beta1", "nodes", "", "NodeMetrics", _SCHEMA + "NodeMetrics", namespaced=False, verbs=_VERBS, stored=False
)
POD_METRICS: Final = Resource(
    _GROUP, "v1beta1", "pods", "", "PodMetrics", _SCHEMA + "PodMetrics", verbs=_VERBS, stored=False
)

_USAGE: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"$ref": "io.k8s.apimachinery.pkg.api.resource.Quantity"},
}


def _kind(kind: str, **own: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["timestamp", "window", *own],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"$ref": _META + "ObjectMeta", "default": {}},
            "timestamp": {"$ref": _META + "Time"},
            "window": {"type": "string"},
            **own,
        },
        "x-kubernetes-group-version-kind": [{"group": _GROUP, "kind": kind, "version": "v1beta1"}],
    }


DEFINITIONS: Final[dict[str, Schema]] = {
    _SCHEMA + "ContainerMetrics": {
        "type": "object",
        "required": ["name", "usage"],
        "properties": {"name": {"type": "string", "default": ""}, "usage": _USAGE},
    },
    _SCHEMA + "NodeMetrics": _kind("NodeMetrics", usage=_USAGE),
    _SCHEMA + "PodMetrics": _kind(
        "PodMetrics", containers={"type": "array", "items": {"$ref": _SCHEMA + "ContainerMetrics", "default": {}}}
    ),
}
"""The kinds as metrics-server's documents have them; kube-apiserver's own have none of them."""


class ResourceMetrics:
    """Answers get and list of NodeMetrics and PodMetrics."""

    def __init__(self, registry: Registry, clock: Clock, board: UsageBoard) -> None:
        self.registry = registry
        self.clock = clock
        self.board = board
        registry.schemas.definitions.update(DEFINITIONS)
        registry.catalog.aggregate((NODE_METRICS, POD_METRICS))

    def get(self, call: Call) -> Object:
        """Return the metrics of one node or pod.

        Raises:
            ApiError: 404, also where it is there but not measured yet.
        """
        namespace, name = call.target.namespace, call.target.name
        if call.resource.namespaced and not namespace:
            raise status.no_such_resource()
        obj = self.registry.read(PODS if call.resource is POD_METRICS else NODES, namespace, name)
        found = self._of(call.resource, obj)
        if found is None:
            qualified = f"{namespace}/{name}" if namespace else name
            raise status.not_found(_named_after_kind(call.resource), qualified)
        return found

    def list(self, call: Call) -> list[Object]:
        """Return the metrics of every node or pod that the request selects and that is measured.

        Raises:
            ApiError: 400 when a selector does not parse.
        """
        wanted = Filter.of(call)
        source = PODS if call.resource is POD_METRICS else NODES
        objects = self.registry.store.items(source.key, call.target.namespace)
        found = (self._of(call.resource, obj) for obj in objects if wanted.matches(obj))
        return [metrics for metrics in found if metrics is not None]

    def _of(self, resource: Resource, obj: Object) -> Object | None:
        now = self.clock.now()
        if resource is POD_METRICS:
            usage = self._usage(obj)
            return None if usage is None else pod_metrics(obj, usage, now)
        everything = self.registry.store.items(PODS.key)
        there = [self._usage(pod) for pod in everything if dig(pod, "spec", "nodeName") == name_of(obj)]
        return node_metrics(obj, [usage for usage in there if usage is not None], now)

    def _usage(self, pod: Object) -> PodUsage | None:
        return self.board.of(pod) if dig(pod, "status", "phase") == "Running" else None


def _named_after_kind(resource: Resource) -> Resource:
    """Return a row whose plural is what metrics-server says in refusals."""
    return Resource(_GROUP, "v1beta1", resource.kind.lower(), "", resource.kind, resource.schema)
