"""The table of resources that the API serves: everything else about a kind hangs on a row of it."""

from dataclasses import dataclass
from typing import Final

ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
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
        Subresource("eviction", "Eviction", ("create",), group="policy", version="v1"),
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
    "", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", _CORE + "ServiceAccount", short=("sa",),
    subresources=(Subresource("token", "TokenRequest", ("create",), group="authentication.k8s.io", version="v1"),),
)  # fmt: skip
EVENTS: Final = Resource("", "v1", "events", "event", "Event", _CORE + "Event", short=("ev",))
EVENTS_V1: Final = Resource(
    "events.k8s.io", "v1", "events", "event", "Event", "io.k8s.api.events.v1.Event", short=("ev",),
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

_APPS: Final = "io.k8s.api.apps.v1."
_BATCH: Final = "io.k8s.api.batch.v1."
_NETWORKING: Final = "io.k8s.api.networking.v1."
_RBAC: Final = "io.k8s.api.rbac.v1."

LIMIT_RANGES: Final = Resource(
    "", "v1", "limitranges", "limitrange", "LimitRange", _CORE + "LimitRange", short=("limits",)
)
VOLUME_CLAIMS: Final = Resource(
    "", "v1", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim",
    _CORE + "PersistentVolumeClaim", short=("pvc",), subresources=(_status("PersistentVolumeClaim"),),
)  # fmt: skip
VOLUMES: Final = Resource(
    "", "v1", "persistentvolumes", "persistentvolume", "PersistentVolume", _CORE + "PersistentVolume",
    namespaced=False, short=("pv",), subresources=(_status("PersistentVolume"),),
)  # fmt: skip
POD_TEMPLATES: Final = Resource(
    "", "v1", "podtemplates", "podtemplate", "PodTemplate", _CORE + "PodTemplate", generation=True
)
RESOURCE_QUOTAS: Final = Resource(
    "", "v1", "resourcequotas", "resourcequota", "ResourceQuota", _CORE + "ResourceQuota", short=("quota",),
    subresources=(_status("ResourceQuota"),),
)  # fmt: skip
CONTROLLER_REVISIONS: Final = Resource(
    "apps", "v1", "controllerrevisions", "controllerrevision", "ControllerRevision", _APPS + "ControllerRevision"
)
DAEMON_SETS: Final = Resource(
    "apps", "v1", "daemonsets", "daemonset", "DaemonSet", _APPS + "DaemonSet", short=("ds",), categories=("all",),
    subresources=(_status("DaemonSet"),), generation=True,
)  # fmt: skip
STATEFUL_SETS: Final = Resource(
    "apps", "v1", "statefulsets", "statefulset", "StatefulSet", _APPS + "StatefulSet", short=("sts",),
    categories=("all",), subresources=(_SCALE, _status("StatefulSet")), generation=True,
)  # fmt: skip
CRON_JOBS: Final = Resource(
    "batch", "v1", "cronjobs", "cronjob", "CronJob", _BATCH + "CronJob", short=("cj",), categories=("all",),
    subresources=(_status("CronJob"),), generation=True,
)  # fmt: skip
JOBS: Final = Resource(
    "batch", "v1", "jobs", "job", "Job", _BATCH + "Job", categories=("all",), subresources=(_status("Job"),),
    generation=True,
)  # fmt: skip
AUTOSCALERS_V1: Final = Resource(
    "autoscaling", "v1", "horizontalpodautoscalers", "horizontalpodautoscaler", "HorizontalPodAutoscaler",
    "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler", short=("hpa",), categories=("all",),
    subresources=(_status("HorizontalPodAutoscaler"),), storage=("autoscaling", "horizontalpodautoscalers"),
)  # fmt: skip
INGRESS_CLASSES: Final = Resource(
    "networking.k8s.io", "v1", "ingressclasses", "ingressclass", "IngressClass", _NETWORKING + "IngressClass",
    namespaced=False, generation=True,
)  # fmt: skip
INGRESSES: Final = Resource(
    "networking.k8s.io", "v1", "ingresses", "ingress", "Ingress", _NETWORKING + "Ingress", short=("ing",),
    subresources=(_status("Ingress"),), generation=True,
)  # fmt: skip
NETWORK_POLICIES: Final = Resource(
    "networking.k8s.io", "v1", "networkpolicies", "networkpolicy", "NetworkPolicy", _NETWORKING + "NetworkPolicy",
    short=("netpol",), generation=True,
)  # fmt: skip
CLUSTER_ROLE_BINDINGS: Final = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding",
    _RBAC + "ClusterRoleBinding", namespaced=False,
)  # fmt: skip
CLUSTER_ROLES: Final = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "clusterrole", "ClusterRole", _RBAC + "ClusterRole",
    namespaced=False,
)  # fmt: skip
ROLE_BINDINGS: Final = Resource(
    "rbac.authorization.k8s.io", "v1", "rolebindings", "rolebinding", "RoleBinding", _RBAC + "RoleBinding"
)
ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "roles", "role", "Role", _RBAC + "Role")
STORAGE_CLASSES: Final = Resource(
    "storage.k8s.io", "v1", "storageclasses", "storageclass", "StorageClass", "io.k8s.api.storage.v1.StorageClass",
    namespaced=False, short=("sc",),
)  # fmt: skip
PRIORITY_CLASSES: Final = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "priorityclass", "PriorityClass",
    "io.k8s.api.scheduling.v1.PriorityClass", namespaced=False, short=("pc",), generation=True,
)  # fmt: skip

CUSTOM_RESOURCE_DEFINITIONS: Final = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "customresourcedefinition", "CustomResourceDefinition",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition", namespaced=False,
    short=("crd", "crds"), categories=("api-extensions",), subresources=(_status("CustomResourceDefinition"),),
    generation=True, unconditional=False,
)  # fmt: skip


def _review(group: str, kind: str, *, namespaced: bool = False) -> Resource:
    schema = f"io.k8s.api.{group.split('.', maxsplit=1)[0]}.v1.{kind}"
    name = kind.lower()
    return Resource(group, "v1", name + "s", name, kind, schema, namespaced=namespaced, verbs=("create",), stored=False)


LOCAL_SUBJECT_ACCESS_REVIEWS: Final = _review("authorization.k8s.io", "LocalSubjectAccessReview", namespaced=True)
SUBJECT_ACCESS_REVIEWS: Final = _review("authorization.k8s.io", "SubjectAccessReview")
TOKEN_REVIEWS: Final = _review("authentication.k8s.io", "TokenReview")
ACCESS_REVIEWS: Final = _review("authorization.k8s.io", "SelfSubjectAccessReview")
RULES_REVIEWS: Final = _review("authorization.k8s.io", "SelfSubjectRulesReview")
SUBJECT_REVIEWS: Final = _review("authentication.k8s.io", "SelfSubjectReview")
TOKEN_REQUESTS: Final = _review("authentication.k8s.io", "TokenRequest")
"""The body of `serviceaccounts/token`, which is served nowhere else."""

RESOURCES: Final[tuple[Resource, ...]] = (
    CONFIGMAPS, ENDPOINTS, EVENTS, LIMIT_RANGES, NAMESPACES, NODES, VOLUME_CLAIMS, VOLUMES, PODS, POD_TEMPLATES,
    RESOURCE_QUOTAS, SECRETS, SERVICE_ACCOUNTS, SERVICES,
    CONTROLLER_REVISIONS, DAEMON_SETS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS,
    EVENTS_V1,
    SUBJECT_REVIEWS, TOKEN_REVIEWS,
    LOCAL_SUBJECT_ACCESS_REVIEWS, ACCESS_REVIEWS, RULES_REVIEWS, SUBJECT_ACCESS_REVIEWS,
    AUTOSCALERS, AUTOSCALERS_V1,
    CRON_JOBS, JOBS,
    INGRESS_CLASSES, INGRESSES, NETWORK_POLICIES,
    DISRUPTION_BUDGETS,
    CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES,
    STORAGE_CLASSES,
    CUSTOM_RESOURCE_DEFINITIONS,
    PRIORITY_CLASSES,
    LEASES,
    ENDPOINT_SLICES,
)  # fmt: skip
"""In the order of discovery."""

EXTRA_DEFINITIONS: Final = (
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.api.core.v1.Binding",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.authentication.v1.TokenRequest",
)
"""Definitions of bodies that are no resource of their own."""
