"""Bodies in protobuf, as typed clients send them: every kind made from its message, and what is malformed refused."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from midwatch_lab.schemas import protobuf

CASES: Final = Cases()
LABELS: Final = {"app": "x"}
TEMPLATE: Final = {
    "metadata": {"labels": LABELS},
    "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "0.5"}}}]},
}
CPU: Final = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}
SELECTOR: Final = {"matchLabels": LABELS}
KINDS: Final[list[tuple[str, str, str, dict[str, Any]]]] = [
    ("v1", "configmaps", "ConfigMap", {"data": {"a": "1"}, "binaryData": {"b": "/w=="}, "immutable": False}),
    ("v1", "secrets", "Secret", {"stringData": {"a": "1"}, "data": {"b": "Yg=="}}),
    ("v1", "serviceaccounts", "ServiceAccount", {"automountServiceAccountToken": False}),
    ("v1", "services", "Service", {"spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": "http"}]}}),
    ("v1", "endpoints", "Endpoints", {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]}),
    (
        "v1",
        "pods",
        "Pod",
        {
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "serviceAccountName": "default",
                "containers": [
                    {
                        "name": "c",
                        "image": "i:1",
                        "ports": [{"containerPort": 80}],
                        "readinessProbe": {"tcpSocket": {"port": 80}},
                        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                    }
                ],
            }
        },
    ),
    ("apps/v1", "deployments", "Deployment", {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}}),
    ("apps/v1", "replicasets", "ReplicaSet", {"spec": {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}}),
    (
        "autoscaling/v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        {
            "spec": {
                "maxReplicas": 3,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
                "metrics": [CPU],
            }
        },
    ),
    (
        "policy/v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        {"spec": {"minAvailable": "50%", "selector": SELECTOR}},
    ),
    (
        "coordination.k8s.io/v1",
        "leases",
        "Lease",
        {"spec": {"holderIdentity": "h", "renewTime": "2026-01-02T03:04:05.000006Z"}},
    ),
    (
        "discovery.k8s.io/v1",
        "endpointslices",
        "EndpointSlice",
        {
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
            "ports": [{"port": 80}],
        },
    ),
]


def message(api_version: str, kind: str, body: dict[str, Any]) -> bytes:
    return protobuf.encode({"apiVersion": api_version, "kind": kind, **body})


async def round_trip(api: Api, api_version: str, plural: str, kind: str, body: dict[str, Any]) -> None:
    """What is compared is what the body holds: who owns which field is the business of other cases."""
    path = api.path(api_version, plural)
    named = {"metadata": {"name": "x", "labels": {"a": "b"}}, **body}
    sent = message(api_version, kind, named)
    made = await api.ask("POST", path, sent, protobuf.MEDIA, accept="application/json", record=False)
    api.note(code=made.code, type=made.headers["content-type"], made=stated(made.body))
    options = message("v1", "DeleteOptions", {"dryRun": ["All"]})
    tried = await api.ask("DELETE", f"{path}/x", options, protobuf.MEDIA, record=False)
    found = await api.clients["admin"].get(f"{path}/x", headers={"accept": protobuf.MEDIA})
    held = protobuf.opened(found.content).message()
    api.note(tried=tried.code, type=found.headers["content-type"], held=stated(held))


def stated(obj: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what the server adds to any kind."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata, "status": None}


for version_, plural_, kind_, body_ in KINDS:
    run = partial(round_trip, api_version=version_, plural=plural_, kind=kind_, body=body_)
    CASES.many(f"{kind_} is made from a protobuf body and answered as one", run)

KIND_OF_MAP: Final = b"\n\x0f\n\x02v1\x12\tConfigMap"
MALFORMED: Final = {
    "is empty": b"",
    "is JSON": b'{"kind":"ConfigMap"}',
    "is longer JSON": b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{}}',
    "is the magic alone": b"k8s\x00",
    "ends within the envelope": b"k8s\x00\xff",
    "has a long envelope that is none": b"k8s\x00" + b"\xff" * 60,
    "ends within the message": b"k8s\x00" + KIND_OF_MAP + b"\x12\x02\n\xff",
    "lacks its message": b"k8s\x00" + KIND_OF_MAP,
    "has a number for a message": b"k8s\x00" + KIND_OF_MAP + b"\x12\x04\n\x02\x08\x01",
    "is of a kind that nobody knows": b"k8s\x00\n\t\n\x02v1\x12\x03Foo\x12\x00",
    "is of another kind": b"k8s\x00\n\t\n\x02v1\x12\x03Pod\x12\x00",
}


async def refusal(api: Api, body: bytes) -> None:
    await api.ask("POST", api.path("v1", "configmaps"), body, protobuf.MEDIA, accept="application/json")


for sentence_, bytes_ in MALFORMED.items():
    CASES.many(f"a protobuf body that {sentence_} is refused", partial(refusal, body=bytes_))


@CASES.case("a scale in protobuf is taken, and one that is negative refused")
async def _(api: Api) -> None:
    path = api.path("apps/v1", "deployments")
    spec = {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE}
    await api.setup("POST", path, {"metadata": {"name": "d"}, "spec": spec})
    for replicas in (3, 0, -1):
        scale = {"metadata": {"name": "d", "namespace": api.namespace}, "spec": {"replicas": replicas}}
        body = message("autoscaling/v1", "Scale", scale)
        await api.ask("PUT", f"{path}/d/scale", body, protobuf.MEDIA, accept="application/json")


@CASES.case("an access review in protobuf is answered")
async def _(api: Api) -> None:
    attributes = {"verb": "create", "resource": "pods", "namespace": api.namespace}
    body = message("authorization.k8s.io/v1", "SelfSubjectAccessReview", {"spec": {"resourceAttributes": attributes}})
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    for user in ("admin", "viewer"):
        found = await api.ask("POST", path, body, protobuf.MEDIA, accept="application/json", user=user, record=False)
        api.note(code=found.code, spec=found.body["spec"], allowed=found.body["status"]["allowed"])


@CASES.case("a replacement in protobuf keeps what the message leaves out out")
async def _(api: Api) -> None:
    path = api.path("v1", "configmaps")
    await api.setup("POST", path, {"metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}})
    body = message("v1", "ConfigMap", {"metadata": {"name": "c"}, "data": {"b": "3"}})
    await api.ask("PUT", f"{path}/c", body, protobuf.MEDIA, accept="application/json")
