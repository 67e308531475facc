"""Hostile input: bodies that are no objects, wrong types at every depth, sizes, depths, bytes, names, numbers."""

import json
from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from midwatch_lab.topology import chat_topology

CASES: Final = Cases()
MIB: Final = 1024 * 1024


def config(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "c"}, **fields}


async def posted(api: Api, *, body: Any, type: str = "application/json", **query: str) -> None:  # noqa: A002 (a header)
    await api.ask("POST", api.path("v1", "configmaps"), body, type, query=query)


BODIES: Final[dict[str, Any]] = {
    "an empty body is refused": b"",
    "a body that is no JSON is refused": b"{",
    "a body of null is refused": b"null",
    "an array for an object is refused": b"[]",
    "a number for an object is refused": b"12",
    "a text for an object is refused": b'"x"',
    "an empty object has no name": b"{}",
    "metadata that is a text is refused": config(metadata="x"),
    "metadata that is an array is refused": config(metadata=[]),
    "labels that are an array are refused": config(metadata={"name": "c", "labels": []}),
    "a label that is a number is refused": config(metadata={"name": "c", "labels": {"a": 1}}),
    "a name that is a number is refused": config(metadata={"name": 1}),
    "finalizers that are a text are refused": config(metadata={"name": "c", "finalizers": "x"}),
    "a bad finalizer is invalid": config(metadata={"name": "c", "finalizers": ["bad finalizer"]}),
    "owner references that lack what they need are invalid": config(metadata={"name": "c", "ownerReferences": [{}]}),
    "data that is a text is refused": config(data="x"),
    "data whose value is an object is refused": config(data={"a": {}}),
    "data whose value is null is an empty text": config(data={"a": None}),
    "binary data that is no base64 is refused": config(binaryData={"a": "***"}),
    "immutable that is a text is refused": config(immutable="yes"),
    "a kind that is a number is refused": config(kind=1),
    "an apiVersion that is a number is refused": config(apiVersion=1),
    "an apiVersion that does not parse is refused": config(apiVersion="a/b/c", kind="ConfigMap"),
    "another version is refused": config(apiVersion="v2", kind="ConfigMap"),
    "a NUL byte in a text is kept": config(data={"a": "x\0y"}),
    "a NUL byte in a name is invalid": config(metadata={"name": "a\0b"}),
    "a lone surrogate is replaced": b'{"metadata":{"name":"c"},"data":{"a":"\\ud800"}}',
    "bad UTF-8 in a body is replaced": b'{"metadata":{"name":"c"},"data":{"a":"\xff"}}',
    "bad UTF-8 in a key is refused": b'{"metadata":{"name":"c"},"data":{"\xff":"a"}}',
    "a byte order mark is refused": b"\xef\xbb\xbf{}",
    "what follows the object is refused": b'{"metadata":{"name":"c"}} {"a":1}',
    "a doubled key takes the last value": b'{"metadata":{"name":"c"},"data":{"a":"1","a":"2"}}',
    "a name of 254 letters is invalid": config(metadata={"name": "a" * 254}),
    "a name with a slash is invalid": config(metadata={"name": "a/b"}),
    "a name of two dots is invalid": config(metadata={"name": ".."}),
    "a name with a percent sign is invalid": config(metadata={"name": "a%20b"}),
    "a name in capitals is invalid": config(metadata={"name": "ABC"}),
    "an annotation that is too long is invalid": config(metadata={"name": "c", "annotations": {"a": "x" * 262145}}),
    "a label value of 64 letters is invalid": config(metadata={"name": "c", "labels": {"a": "x" * 64}}),
    "a label key with an empty prefix is invalid": config(metadata={"name": "c", "labels": {"/a": "x"}}),
    "a label key with a bad prefix is invalid": config(metadata={"name": "c", "labels": {"A_/a": "x"}}),
    "a label key without a name is invalid": config(metadata={"name": "c", "labels": {"a/": "x"}}),
    "a label key with two slashes is invalid": config(metadata={"name": "c", "labels": {"a/b/c": "x"}}),
    "an empty label key is invalid": config(metadata={"name": "c", "labels": {"": "x"}}),
    "an annotation key with a space is invalid": config(metadata={"name": "c", "annotations": {"a b": "x"}}),
    "a creation time that is no time is refused": config(metadata={"name": "c", "creationTimestamp": "yesterday"}),
    "what only the server sets is dropped from a create": config(
        metadata={
            "name": "c", "uid": "x", "generation": 7, "creationTimestamp": "2020-01-01T00:00:00Z",
            "deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 3, "selfLink": "/x",
        },
    ),
    "a create with a resourceVersion is refused": config(metadata={"name": "c", "resourceVersion": "1"}),
    "managedFields of a create are kept": config(
        metadata={
            "name": "c",
            "managedFields": [
                {
                    "manager": "me", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:data": {"f:a": {}}},
                }
            ],
        },
        data={"a": "b"},
    ),
}  # fmt: skip
for sentence, body in BODIES.items():
    CASES.many(sentence, partial(posted, body=body))

YAML: Final[dict[str, str]] = {
    "a body of YAML creates": "metadata:\n  name: c\ndata:\n  a: b\n",
    "a YAML number for a text is refused": "metadata:\n  name: c\ndata:\n  a: 1\n",
    "a YAML yes for a text is refused": "metadata:\n  name: c\ndata:\n  a: yes\n",
    "an anchor in YAML is followed": "metadata:\n  name: c\ndata:\n  a: &x b\n  c: *x\n",
    "YAML that does not parse is refused": "metadata: [\n",
    "YAML with tabs is refused": "metadata:\n\tname: c\n",
    "a second YAML document is left out": "metadata:\n  name: c\n---\nmetadata:\n  name: d\n",
    "a doubled key in YAML is refused": "metadata:\n  name: c\ndata:\n  a: '1'\n  a: '2'\n",
    "a time in YAML is a text": "metadata:\n  name: c\n  annotations:\n    a: 2020-01-01T00:00:00Z\n",
    "JSON is YAML": json.dumps(config()),
    "a YAML number as a key is a text": "metadata:\n  name: c\ndata:\n  1: a\n",
}
for sentence, text in YAML.items():
    CASES.many(sentence, partial(posted, body=text, type="application/yaml"))

VALIDATED: Final[dict[str, Any]] = {
    "an unknown field": config(foo=1),
    "an unknown field deep down": config(metadata={"name": "c", "foo": {"bar": 1}}),
    "two unknown fields": config(foo=1, bar=2),
    "a doubled field": b'{"metadata":{"name":"c"},"data":{"a":"1"},"data":{"a":"2"}}',
    "a doubled field deep down": b'{"metadata":{"name":"c","labels":{"a":"b"},"labels":{}}}',
    "a doubled and an unknown field": b'{"metadata":{"name":"c"},"foo":1,"data":{"a":"1","a":"2"}}',
    "a field in other capitals": config(Data={"a": "b"}),
}
for sentence, body in VALIDATED.items():
    for level in ("Strict", "Warn", "Ignore"):
        CASES.many(f"{sentence} under fieldValidation {level}", partial(posted, body=body, fieldValidation=level))
CASES.many(
    "a doubled field in YAML under fieldValidation Strict",
    partial(posted, body="metadata:\n  name: c\nfoo: 1\n", type="application/yaml", fieldValidation="Strict"),
)


@CASES.case("an object of 3 MiB is too large")
async def _(api: Api) -> None:
    await posted(api, body=json.dumps(config(data={"a": "x" * 3 * MIB})))


@CASES.case("a ConfigMap holds at most 1 MiB")
async def _(api: Api) -> None:
    answer = await api.ask("POST", api.path("v1", "configmaps"), config(data={"a": "x" * (MIB + 1)}), record=False)
    api.note(code=answer.code, reason=answer.body["reason"], causes=answer.body["details"].get("causes"))


@CASES.case("a patch of 3 MiB is too large")
async def _(api: Api) -> None:
    await api.setup("POST", api.path("v1", "configmaps"), config())
    await api.ask("PATCH", api.path("v1", "configmaps", "c"), {"data": {"a": "x" * 3 * MIB}}, "merge")


@CASES.case("ten thousand brackets are refused")
async def _(api: Api) -> None:
    body = b'{"metadata":{"name":"c"},"data":' + b"[" * 10_001 + b"]" * 10_001 + b"}"
    await posted(api, body=body)


@CASES.case("deep nesting in an unknown field is dropped with a warning")
async def _(api: Api) -> None:
    await posted(api, body=b'{"metadata":{"name":"c"},"foo":' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}")


DEPLOYED: Final[dict[str, Any]] = {
    "replicas that are a text": {"replicas": "1"},
    "replicas that are a fraction": {"replicas": 1.5},
    "replicas that are a whole fraction": {"replicas": 2.0},
    "replicas beyond 32 bits": {"replicas": 2**31},
    "replicas beyond 64 bits": {"replicas": 2**64},
    "replicas that are true": {"replicas": True},
    "replicas that are null": {"replicas": None},
    "a selector that is a text": {"selector": "x"},
    "a template that is an array": {"template": []},
    "paused that is a number": {"paused": 1},
    "a strategy that is a text": {"strategy": "Recreate"},
    "a maxSurge that is an array": {"strategy": {"rollingUpdate": {"maxSurge": []}}},
    "a maxSurge that is a fraction": {"strategy": {"rollingUpdate": {"maxSurge": 1.5}}},
}


async def deployed(api: Api, *, spec: dict[str, Any]) -> None:
    body = chat_topology(api.namespace, "chat")[1]
    await api.ask("POST", api.path("apps/v1", "deployments"), {**body, "spec": {**body["spec"], **spec}})


for sentence, spec in DEPLOYED.items():
    CASES.many(f"{sentence}, in a Deployment", partial(deployed, spec=spec))

CONTAINERS: Final[dict[str, dict[str, Any]]] = {
    "containers that are an object": {"containers": {}},
    "a container that is a text": {"containers": ["x"]},
    "a container that is null": {"containers": [None]},
    "a command that is a text": {"containers": [{"name": "a", "image": "b", "command": "sh"}]},
    "an argument that is a number": {"containers": [{"name": "a", "image": "b", "args": [1]}]},
    "a variable that is a number": {"containers": [{"name": "a", "image": "b", "env": [{"name": "A", "value": 1}]}]},
    "a limit that is an object": {"containers": [{"name": "a", "image": "b", "resources": {"limits": {"cpu": {}}}}]},
    "a limit that is a number": {"containers": [{"name": "a", "image": "b", "resources": {"limits": {"cpu": 2}}}]},
    "a port that is a text": {"containers": [{"name": "a", "image": "b", "ports": [{"containerPort": "80"}]}]},
    "two containers of one name": {"containers": [{"name": "a", "image": "b"}, {"name": "a", "image": "b"}]},
    "no containers": {"containers": []},
    "a node selector that is an array": {"containers": [{"name": "a", "image": "b"}], "nodeSelector": []},
}


async def run(api: Api, *, spec: dict[str, Any]) -> None:
    await api.ask("POST", api.path("v1", "pods"), {"metadata": {"name": "p"}, "spec": spec})


for sentence, spec in CONTAINERS.items():
    CASES.many(f"{sentence}, in a Pod", partial(run, spec=spec))
