"""Reading back, lists and refusals of the plainest sort."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from midwatch_lab.topology import chat_topology

CASES: Final = Cases()


def chat(api: Api) -> dict[str, Any]:
    return chat_topology(api.namespace, "chat")[1]


@CASES.case("a Deployment is created with every default and reads back the same")
async def _(api: Api) -> None:
    home = api.path("apps/v1", "deployments")
    await api.ask("POST", home, chat(api))
    await api.ask("GET", f"{home}/chat")
    await api.ask("GET", f"{home}/chat/status")


@CASES.case("a second create under the same name is refused as AlreadyExists")
async def _(api: Api) -> None:
    home = api.path("apps/v1", "deployments")
    await api.setup("POST", home, chat(api))
    await api.ask("POST", home, chat(api))


@CASES.case("reading or deleting what is not there is NotFound")
async def _(api: Api) -> None:
    home = api.path("apps/v1", "deployments")
    await api.ask("GET", f"{home}/nope")
    await api.ask("DELETE", f"{home}/nope")
    await api.ask("GET", f"{home}/nope/scale")


CREATED: Final[dict[str, tuple[str, str, Any]]] = {
    "a ConfigMap is created": ("v1", "configmaps", {"metadata": {"name": "c"}, "data": {"a": "b"}}),
    "a Secret's stringData becomes data": ("v1", "secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}),
    "a Service needs ports": ("v1", "services", {"metadata": {"name": "x"}, "spec": {}}),
    "a Service's name is a label and its ports are above zero": (
        "v1", "services", {"metadata": {"name": "X"}, "spec": {"ports": [{"port": 0}]}},
    ),
    "a Service's ports are named apart and of a known type": (
        "v1",
        "services",
        {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}, {"port": 80, "name": "a"}], "type": "T"}},
    ),
    "a bad container is invalid in every field": (
        "v1",
        "pods",
        {
            "metadata": {"name": "p"},
            "spec": {
                "containers": [
                    {"name": "A_", "image": "", "env": [{"name": ""}], "ports": [{"containerPort": 70000}]}
                ]
            },
        },
    ),
    "an empty Deployment is invalid": ("apps/v1", "deployments", {"apiVersion": "apps/v1", "kind": "Deployment"}),
    "a bad name is invalid": (
        "apps/v1", "deployments", {"metadata": {"name": "Chat_"}, "spec": {}},
    ),
    "a namespace in the body that is another is refused": (
        "v1", "configmaps", {"metadata": {"name": "c", "namespace": "other"}},
    ),
    "a body of another kind is refused": (
        "apps/v1", "deployments", {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "c"}},
    ),
    "a body of an unknown kind is refused": (
        "apps/v1", "deployments", {"apiVersion": "apps/v1", "kind": "Nope", "metadata": {"name": "c"}},
    ),
    "a key of a ConfigMap is a file name": (
        "v1", "configmaps", {"metadata": {"name": "c"}, "data": {"a/b": "c"}},
    ),
    "a ConfigMap holds text": ("v1", "configmaps", {"metadata": {"name": "c"}, "data": {"a": 1}}),
}  # fmt: skip


async def created(api: Api, *, api_version: str, plural: str, body: Any) -> None:
    await api.ask("POST", api.path(api_version, plural), body)


for sentence, (api_version, plural, body) in CREATED.items():
    CASES.many(sentence, partial(created, api_version=api_version, plural=plural, body=body))


@CASES.case("a create in a namespace that is not there is NotFound")
async def _(api: Api) -> None:
    await api.ask("POST", "/api/v1/namespaces/nowhere/configmaps", {"metadata": {"name": "c"}})


@CASES.case("a Secret does not change its type")
async def _(api: Api) -> None:
    home = api.path("v1", "secrets")
    await api.setup("POST", home, {"metadata": {"name": "s"}})
    await api.ask("PATCH", f"{home}/s", {"type": "other"}, "merge")


@CASES.case("scale reads, is patched, and refuses negative replicas")
async def _(api: Api) -> None:
    home = api.path("apps/v1", "deployments")
    await api.setup("POST", home, chat(api))
    await api.ask("GET", f"{home}/chat/scale")
    await api.ask("PATCH", f"{home}/chat/scale", {"spec": {"replicas": 5}}, "merge")
    await api.ask("PATCH", f"{home}/chat/scale", {"spec": {"replicas": -5}}, "merge")
    await api.ask("GET", f"{home}/chat")


@CASES.case("a dry run of a deletion leaves the object, a real one takes it")
async def _(api: Api) -> None:
    home = api.path("apps/v1", "deployments")
    await api.setup("POST", home, chat(api))
    await api.ask("DELETE", f"{home}/chat", dryRun="All")
    await api.ask("GET", f"{home}/chat")
    await api.ask("DELETE", f"{home}/chat", propagationPolicy="Maybe")
    await api.ask("DELETE", f"{home}/chat")
    await api.ask("GET", f"{home}/chat")


LISTS: Final[dict[str, dict[str, str]]] = {
    "a list by a set and an equality": {"labelSelector": "n in (a,c),kind=test"},
    "a list by inequality and existence": {"labelSelector": "n!=a,kind"},
    "a label selector with two equal signs is refused": {"labelSelector": "a=b=c"},
    "a set in a label selector has brackets": {"labelSelector": "a in b"},
    "a list by name": {"fieldSelector": "metadata.name=b"},
    "a field that cannot be selected on is refused": {"fieldSelector": "spec.foo=1"},
    "a limit is a number": {"limit": "x"},
    "a resourceVersion is a number": {"resourceVersion": "zz"},
}


async def listed(api: Api, *, query: dict[str, str]) -> None:
    home = api.path("v1", "configmaps")
    for name in ("a", "b", "c"):
        await api.setup("POST", home, {"metadata": {"name": name, "labels": {"n": name, "kind": "test"}}})
    await api.ask("GET", home, query={"labelSelector": "kind=test"} | query)


for sentence, query in LISTS.items():
    CASES.many(sentence, partial(listed, query=query))


@CASES.case("a reader is refused what changes and what is secret")
async def _(api: Api) -> None:
    home = api.path("apps/v1", "deployments")
    await api.ask("PATCH", f"{home}/chat", {}, "merge", user="viewer")
    await api.ask("POST", home, chat(api), user="viewer")
    await api.ask("DELETE", api.path("v1", "pods", "x"), user="viewer")
    await api.ask("GET", api.path("v1", "secrets"), user="viewer")


@CASES.case("without a token, or with nobody's, the answer is Unauthorized")
async def _(api: Api) -> None:
    await api.ask("GET", api.path("v1", "pods"), user=None)
    await api.ask("GET", api.path("v1", "pods"), user=None, headers={"Authorization": "Bearer nobodys"})
