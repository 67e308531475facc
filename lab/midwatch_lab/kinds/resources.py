"""The table of resources that the API serves: everything else about a kind hangs on a row of it."""

from dataclasses import dataclass
from typing import Final

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_VERBS: Final = ("get", "list", "watch")
CHANGE_VERBS: Final = ("get", "patch", "update")
STREAM_VERBS: Final = ("create", "get")
PROXY_VERBS: Final = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True)
class Subresource:
    """Something under one object, such as `scale`; group and version are empty where they are the parent's."""

    name: str
    kind: str
    verbs: tuple[str, ...] = CHANGE_VERBS
    group: str = ""
    version: str = ""


@dataclass(frozen=True)
class Resource:
    """One served resource. `schema` names its definition in `schemas/kubernetes.json`."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    schema: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    generation: bool = False
    """Whether `metadata.generation` counts changes of anything but metadata and status."""
    stored: bool = True
    """False for what is answered on the spot, such as access reviews."""
    storage: tuple[str, str] | None = None
    """(group, plural) under which objects lie, when another version's row owns them."""

    unconditional: bool = True
    """Whether an update may leave out the resourceVersion."""
    deprecation: str = ""
    """The warning that every answer carries."""

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> tuple[str, str]:
        """Where objects lie in the store: (group, plural)."""
        return self.storage or (self.group, self.plural)

    @property
    def qualified(self) -> str:
        """`deployments.apps`, as error messages say it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """`Deployment.apps`, as error messages say it."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def has_status(self) -> bool:
        """Whether status is written through a subresource of its own."""
        return any(sub.name == "status" for sub in self.subresources)

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Return the request path of an object or, without a name, of the collection."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{tail}"


def _status(kind: str) -> Subresource:
    return Subresource("status", kind)


_SCALE: Final = Subresource("scale", "Scale", group="autoscaling", version="v1")
_CORE: Final = "io.k8s.api.core.v1."
_NO_COLLECTION: Final = ("create", "delete", "get", "list", "patch", "update", "watch")

NAMESPACES: Final = Resource(
    "", "v1", "namespaces", "namespace", "Namespace", _CORE + "Namespace", namespaced=False, short=("ns",),
    verbs=_NO_COLLECTION, subresources=(Subresource("finalize", "Namespace", ("update",)), _status("Namespace")),
)  # fmt: skip
NODES: Final = Resource(
    "", "v1", "nodes", "node", "Node", _CORE + "Node", namespaced=False, short=("no",), subresources=(_status("Node"),)
)
PODS: Final = Resource(
    "", "v1", "pods", "pod", "Pod", _CORE + "Pod", short=("po",), categories=("all",), generation=True,
    subresources=(
        Subresource("attach", "PodAttachOptions", STREAM_VERBS),
        Subresource("binding", "Binding", ("create",)),
        Subresource("exec", "PodExecOptions", STREAM_VERBS),
        Subresource("log", "Pod", ("get",)),
        Subresource("portforward", "PodPortForwardOptions", STREAM_VERBS),
        Subresource("proxy", "PodProxyOptions", PROXY_VERBS),
        _status("Pod"),
    ),
)  # fmt: skip
SERVICES: Final = Resource(
    "", "v1", "services", "service", "Service", _CORE + "Service", short=("svc",), categories=("all",),
    subresources=(Subresource("proxy", "ServiceProxyOptions", PROXY_VERBS), _status("Service")),
)  # fmt: skip
ENDPOINTS: Final = Resource(
    "", "v1", "endpoints", "endpoints", "Endpoints", _CORE + "Endpoints", short=("ep",),
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
)  # fmt: skip
CONFIGMAPS: Final = Resource("", "v1", "configmaps", "configmap", "ConfigMap", _CORE + "ConfigMap", short=("cm",))
SECRETS: Final = Resource("", "v1", "secrets", "secret", "Secret", _CORE + "Secret")
SERVICE_ACCOUNTS: Final = Resource(
    "", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", _CORE + "ServiceAccount", short=("sa",)
)
EVENTS: Final = Resource("", "v1", "events", "event", "Event", _CORE + "Event", short=("ev",))
EVENTS_V1: Final = Resource(
    "events.k8s.io", "v1", "events", "event", "Event", "io.k8s.api.events.v1.Event", short=("ev",), verbs=READ_VERBS,
    storage=("", "events"),
)  # fmt: skip
DEPLOYMENTS: Final = Resource(
    "apps", "v1", "deployments", "deployment", "Deployment", "io.k8s.api.apps.v1.Deployment", short=("deploy",),
    categories=("all",), subresources=(_SCALE, _status("Deployment")), generation=True,
)  # fmt: skip
REPLICA_SETS: Final = Resource(
    "apps", "v1", "replicasets", "replicaset", "ReplicaSet", "io.k8s.api.apps.v1.ReplicaSet", short=("rs",),
    categories=("all",), subresources=(_SCALE, _status("ReplicaSet")), generation=True,
)  # fmt: skip
ENDPOINT_SLICES: Final = Resource(
    "discovery.k8s.io", "v1", "endpointslices", "endpointslice", "EndpointSlice",
    "io.k8s.api.discovery.v1.EndpointSlice", generation=True,
)  # fmt: skip
LEASES: Final = Resource(
    "coordination.k8s.io", "v1", "leases", "lease", "Lease", "io.k8s.api.coordination.v1.Lease", unconditional=False
)
AUTOSCALERS: Final = Resource(
    "autoscaling", "v2", "horizontalpodautoscalers", "horizontalpodautoscaler", "HorizontalPodAutoscaler",
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler", short=("hpa",), categories=("all",),
    subresources=(_status("HorizontalPodAutoscaler"),),
)  # fmt: skip
DISRUPTION_BUDGETS: Final = Resource(
    "policy", "v1", "poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget",
    "io.k8s.api.policy.v1.PodDisruptionBudget", short=("pdb",), subresources=(_status("PodDisruptionBudget"),),
    generation=True,
)  # fmt: skip

CUSTOM_RESOURCE_DEFINITIONS: Final = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "customresourcedefinition", "CustomResourceDefinition",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition", namespaced=False,
    short=("crd", "crds"), categories=("api-extensions",), subresources=(_status("CustomResourceDefinition"),),
    generation=True, unconditional=False,
)  # fmt: skip


def _review(group: str, kind: str) -> Resource:
    schema = f"io.k8s.api.{group.split('.', maxsplit=1)[0]}.v1.{kind}"
    name = kind.lower()
    return Resource(group, "v1", name + "s", name, kind, schema, namespaced=False, verbs=("create",), stored=False)


ACCESS_REVIEWS: Final = _review("authorization.k8s.io", "SelfSubjectAccessReview")
RULES_REVIEWS: Final = _review("authorization.k8s.io", "SelfSubjectRulesReview")
SUBJECT_REVIEWS: Final = _review("authentication.k8s.io", "SelfSubjectReview")

RESOURCES: Final[tuple[Resource, ...]] = (
    CONFIGMAPS, ENDPOINTS, EVENTS, NAMESPACES, NODES, PODS, SECRETS, SERVICE_ACCOUNTS, SERVICES,
    DEPLOYMENTS, REPLICA_SETS,
    SUBJECT_REVIEWS,
    ACCESS_REVIEWS, RULES_REVIEWS,
    AUTOSCALERS,
    LEASES,
    ENDPOINT_SLICES,
    EVENTS_V1,
    DISRUPTION_BUDGETS,
    CUSTOM_RESOURCE_DEFINITIONS,
)  # fmt: skip
"""In the order of discovery."""

EXTRA_DEFINITIONS: Final = (
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.api.core.v1.Binding",
)
"""Definitions of bodies that are no resource of their own."""
