"""Logs, exec, attach and port-forward where no kubelet answers: what the API server itself says of the request."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()
CONTAINER: Final = {"image": "i"}


async def pods(api: Api) -> None:
    """`one` and `two` (with an init container) are on no node; `lost` is on a node that is not there."""
    specs: dict[str, dict[str, Any]] = {
        "one": {"containers": [{"name": "a", **CONTAINER}]},
        "two": {
            "initContainers": [{"name": "i", **CONTAINER}],
            "containers": [{"name": "a", **CONTAINER}, {"name": "b", **CONTAINER}],
        },
        "lost": {"nodeName": "nowhere", "containers": [{"name": "a", **CONTAINER}]},
    }
    for name, spec in specs.items():
        await api.setup("POST", api.path("v1", "pods"), {"metadata": {"name": name}, "spec": spec})


async def ask(api: Api, requests: list[tuple[str, str, str]]) -> None:
    await pods(api)
    for method, where, query in requests:
        await api.ask(method, api.path("v1", "pods", *where.split("/")) + (f"?{query}" if query else ""))


def request(method: str, text: str) -> tuple[str, str, str]:
    path, _, query = text.partition("?")
    return method, path, query


LOGS: Final[dict[str, list[str]]] = {
    "a log is empty where the pod is on no node": ["one/log", "one/log?follow=true", "one/log?previous=true"],
    "a log of several containers wants a name and lists them": ["two/log", "two/log?container="],
    "a log takes the name of an init container": ["two/log?container=i", "two/log?container=b"],
    "a log of a container that is not there is refused": ["one/log?container=x", "two/log?container=x"],
    "a log of a pod that is not there is not found": ["nope/log", "nope/log?container=x"],
    "a log on a node that is not there is not found": ["lost/log", "lost/log?container=a", "lost/log?container=x"],
    "tailLines may not be negative nor a word": ["one/log?tailLines=-1", "one/log?tailLines=x", "one/log?tailLines=0"],
    "limitBytes must be positive": ["one/log?limitBytes=0", "one/log?limitBytes=-4", "one/log?limitBytes=1"],
    "sinceSeconds must be positive": ["one/log?sinceSeconds=0", "one/log?sinceSeconds=-1", "one/log?sinceSeconds=1e3"],
    "sinceTime must be a time": ["one/log?sinceTime=yesterday", "one/log?sinceTime=2026-01-02T03:04:05Z"],
    "sinceTime and sinceSeconds exclude each other": ["one/log?sinceSeconds=5&sinceTime=2026-01-02T03:04:05Z"],
    "a stream of a log may not be chosen": ["one/log?stream=Stdout", "one/log?stream=Foo"],
    "all faults of a log's options are told at once": ["one/log?tailLines=-1&limitBytes=0&sinceSeconds=-5&stream=x"],
    "options are checked before the pod is looked for": ["nope/log?tailLines=-1", "nope/log?sinceSeconds=x"],
    "anything but false and 0 is true for a log's flags": ["one/log?follow=maybe", "one/log?timestamps=2"],
}
for sentence_, paths_ in LOGS.items():
    split_ = [request("GET", path) for path in paths_]
    CASES.many(sentence_, partial(ask, requests=split_))

STREAMS: Final[dict[str, list[str]]] = {
    "is refused where the pod is on no node": ["one/{}?stdout=true&command=ls", "one/{}"],
    "of a pod that is not there is not found": ["nope/{}?stdout=true&command=ls&ports=80"],
    "on a node that is not there is not found": ["lost/{}?stdout=true&command=ls&ports=80"],
}
CHOICES: Final[dict[str, list[str]]] = {
    "wants the name of a container where there are several": ["two/{}?stdout=true&command=ls"],
    "into a container that is not there is refused": [
        "one/{}?stdout=true&command=ls&container=x",
        "lost/{}?container=x",
    ],
}
for name_ in ("exec", "attach", "portforward"):
    for sentence_, paths_ in (STREAMS if name_ == "portforward" else {**STREAMS, **CHOICES}).items():
        both_ = [request(method, path.format(name_)) for path in paths_ for method in ("GET", "POST")]
        CASES.many(f"{name_} {sentence_}", partial(ask, requests=both_))

CASES.many(
    "port-forward wants numbers for ports",
    partial(ask, requests=[("POST", "one/portforward", "ports=x"), ("GET", "nope/portforward", "ports=80&ports=y")]),
)
CASES.many(
    "methods that a stream does not know are refused",
    partial(ask, requests=[(m, f"one/{s}", "") for m in ("PUT", "PATCH", "DELETE") for s in ("exec", "log")]),
)


@CASES.case("who may only look gets no streams")
async def _(api: Api) -> None:
    await pods(api)
    for subresource in ("exec", "attach", "portforward"):
        for method in ("GET", "POST"):
            await api.ask(method, api.path("v1", "pods", "one", subresource), user="viewer")


@CASES.case("a pod without an address cannot be proxied to")
async def _(api: Api) -> None:
    await pods(api)
    await api.ask("GET", api.path("v1", "pods", "one", "proxy"))
    await api.ask("GET", api.path("v1", "pods", "nope", "proxy"))
