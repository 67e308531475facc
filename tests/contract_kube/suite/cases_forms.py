"""The forms of answers: Tables, metadata alone, YAML; and every reason to refuse a request before it is read."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from midwatch_lab.objects import dig
from midwatch_lab.topology import chat_topology

CASES: Final = Cases()
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA: Final = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


async def shown(api: Api, *, accept: str, query: dict[str, str] | None = None) -> None:
    home = api.path("v1", "configmaps")
    for name in ("a", "b"):
        await api.setup("POST", home, {"metadata": {"name": name, "labels": {"n": name}}, "data": {"k": "v"}})
    await api.ask("GET", home, accept=accept, query=query)
    await api.ask("GET", f"{home}/a", accept=accept, query=query)
    await api.ask("GET", f"{home}/nope", accept=accept, query=query)


FORMS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "a Table": (TABLE, {}),
    "a Table without objects": (TABLE, {"includeObject": "None"}),
    "a Table with metadata": (TABLE, {"includeObject": "Metadata"}),
    "a Table with whole objects": (TABLE, {"includeObject": "Object"}),
    "a Table with some objects": (TABLE, {"includeObject": "Some"}),
    "a Table of the first beta": (TABLE.replace("v=v1", "v=v1beta1"), {}),
    "a Table of an unknown version": (TABLE.replace("v=v1", "v=v9"), {}),
    "a Table of an unknown group": (TABLE.replace("meta.k8s.io", "other.io"), {}),
    "a Table, else JSON": (f"{TABLE.replace('v=v1', 'v=v9')},application/json", {}),
    "a Table by kubectl's list of forms": (f"{TABLE},{TABLE.replace('v=v1', 'v=v1beta1')},application/json", {}),
    "a Table of a page": (TABLE, {"limit": "1"}),
    "a Table by a label": (TABLE, {"labelSelector": "n=a"}),
    "metadata": (METADATA, {}),
    "a list of metadata": (METADATA_LIST, {}),
    "metadata by either name": (f"{METADATA},{METADATA_LIST}", {}),
    "metadata of an unknown version": (METADATA.replace("v=v1", "v=v9"), {}),
    "an unknown form": ("application/json;as=Nope;v=v1;g=meta.k8s.io", {}),
    "YAML's form": ("application/yaml", {}),
    "anything": ("*/*", {}),
    "any application": ("application/*", {}),
    "plain text": ("text/plain", {}),
    "HTML": ("text/html,application/xhtml+xml,*/*;q=0.8", {}),
    "an empty form": ("", {}),
    "a form with a quality": ("application/json;q=0.5", {}),
    "an unknown parameter": ("application/json;foo=bar", {}),
    "JSON that is pretty": ("application/json;pretty=1", {}),
}
for sentence, (accept, query) in FORMS.items():
    CASES.many(f"a list and a get as {sentence}", partial(shown, accept=accept, query=query))


@CASES.case("writes answer in the form that was asked for")
async def _(api: Api) -> None:
    home = api.path("v1", "configmaps")
    for name, accept in (("a", TABLE), ("b", METADATA), ("c", "application/yaml"), ("d", "text/plain")):
        await api.ask("POST", home, {"metadata": {"name": name}}, accept=accept)
        await api.ask("PATCH", f"{home}/{name}", {"data": {"a": "b"}}, "merge", accept=accept)
        await api.ask("DELETE", f"{home}/{name}", accept=accept)


@CASES.case("the Tables of what the lab serves have the original's columns and cells")
async def _(api: Api) -> None:
    pod = {"containers": [{"name": "x", "image": "y"}]}
    labels = {"matchLabels": {"a": "b"}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    ports = [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
    bodies: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("v1", "pods", {"spec": pod}),
        ("v1", "services", {"spec": {"ports": ports, "selector": {"a": "b"}}}),
        ("v1", "serviceaccounts", {}),
        ("v1", "secrets", {"stringData": {"a": "b"}}),
        ("v1", "configmaps", {"data": {"a": "b"}, "binaryData": {"c": "AAAA"}}),
        ("apps/v1", "deployments", {"spec": {"selector": labels, "template": template}}),
        ("apps/v1", "replicasets", {"spec": {"selector": labels, "template": template}}),
        ("coordination.k8s.io/v1", "leases", {"spec": {"holderIdentity": "me"}}),
        ("policy/v1", "poddisruptionbudgets", {"spec": {"minAvailable": 1, "selector": labels}}),
        (
            "autoscaling/v2",
            "horizontalpodautoscalers",
            {"spec": {"maxReplicas": 3, "scaleTargetRef": target}},
        ),
    )  # fmt: skip
    for api_version, plural, body in bodies:
        await api.setup("POST", api.path(api_version, plural), {"metadata": {"name": "x"}, **body})
        await api.ask("GET", api.path(api_version, plural), accept=TABLE, includeObject="None")


@CASES.case("a Deployment's Table follows its status")
async def _(api: Api) -> None:
    home = api.path("apps/v1", "deployments")
    await api.setup("POST", home, chat_topology(api.namespace, "chat")[1])
    counts = {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}
    await api.setup("PATCH", f"{home}/chat/status", {"status": counts}, "merge")
    await api.ask("GET", f"{home}/chat", accept=TABLE)


METHODS: Final[dict[str, tuple[str, str, Any]]] = {
    "a POST to an object": ("POST", "configmaps/a", {}),
    "a PUT to a collection": ("PUT", "configmaps", {}),
    "a PATCH of a collection": ("PATCH", "configmaps", {}),
    "a TRACE": ("TRACE", "configmaps", None),
    "an unknown method": ("BREW", "configmaps", None),
    "an OPTIONS of a collection": ("OPTIONS", "configmaps", None),
    "a HEAD of a collection": ("HEAD", "configmaps", None),
    "a HEAD of an object": ("HEAD", "configmaps/default", None),
    "a delete of a status": ("DELETE", "pods/a/status", None),
    "an unknown resource": ("GET", "nothings", None),
    "an unknown resource with a name": ("GET", "nothings/a", None),
    "an unknown subresource": ("GET", "configmaps/a/nothing", None),
    "a status of what has none": ("GET", "configmaps/a/status", None),
    "a scale of what has none": ("GET", "pods/a/scale", None),
    "a path with a slash at its end": ("GET", "configmaps/", None),
    "a path that goes on": ("GET", "configmaps/a/b/c/d", None),
    "a path with a percent sign": ("GET", "configmaps/a%20b", None),
    "a name that is bad": ("GET", "configmaps/A_B", None),
    "an upper-case resource": ("GET", "ConfigMaps", None),
    "a singular resource": ("GET", "configmap", None),
}


async def methods(api: Api, *, method: str, rest: str, body: Any) -> None:
    await api.ask(method, api.path("v1", rest), body, "merge" if method == "PATCH" else "")


for sentence, (method, rest, body) in METHODS.items():
    CASES.many(f"{sentence} is answered", partial(methods, method=method, rest=rest, body=body))

PATHS: Final = (
    "/", "/nothing", "/api/v2/pods", "/apis/none.io/v1/things", "/apis/apps/v9/deployments", "/apis/apps/v1/nothings",
    "/api/v1/namespaces/default/nodes", "/api/v1/namespaces/default/pods/a/log/b", "/apis/apps", "/apis/nope",
    "/apis/apps/v9", "/api/v1/nodes/nope", "/api/v1/namespaces/nope-at-all", "/version", "/healthz", "/readyz",
    "/livez",
)  # fmt: skip


async def read_path(api: Api, *, path: str) -> None:
    answer = await api.ask("GET", path, record=False)
    kind = dig(answer.body, "kind")
    failed = answer.body if answer.code >= 400 else None
    api.note(code=answer.code, kind=kind, body=failed, type=answer.headers.get("content-type"))


for path in PATHS:
    CASES.many(f"the path {path} is answered", partial(read_path, path=path))

TOKENS: Final[dict[str, str]] = {
    "no scheme": "t-admin",
    "another scheme": "Basic YWRtaW46YWRtaW4=",
    "a scheme in small letters": "bearer nobodys",
    "two tokens": "Bearer a b",
}
for sentence, header in TOKENS.items():

    async def unauthorized(api: Api, *, header: str) -> None:
        await api.ask("GET", api.path("v1", "pods"), user=None, headers={"Authorization": header})

    CASES.many(f"{sentence} is Unauthorized", partial(unauthorized, header=header))

TYPES: Final = (
    "text/plain", "application/xml", "application/json; charset=utf-8", "application/merge-patch+json", "nonsense", "",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "*/*", "application/*",
)  # fmt: skip


async def typed(api: Api, *, media: str) -> None:
    body = b'{"metadata":{"name":"c"}}'
    headers = {"content-type": media} if media else {}
    await api.ask("POST", api.path("v1", "configmaps"), body, headers=headers)
    await api.ask("PUT", api.path("v1", "configmaps", "c"), body, headers=headers)


for media in TYPES:
    CASES.many(f"a body of the type {media!r}", partial(typed, media=media))
