"""Ingresses, IngressClasses and NetworkPolicies: defaults, rules, what may change, cells."""

import asyncio
from typing import Any, Final

from contract_harness import Api, Cases, objects

CASES: Final = Cases()
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
V1: Final = "networking.k8s.io/v1"
CLASSES: Final = "/apis/networking.k8s.io/v1/ingressclasses"
CHAT: Final = {"service": {"name": "chat", "port": {"number": 80}}}


def ingress(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "i"}, "spec": spec}


def rule(backend: dict[str, Any] | None = None, *, host: str = "", **path: Any) -> dict[str, Any]:
    found = {"pathType": "Prefix", "path": "/", "backend": CHAT if backend is None else backend, **path}
    return {**({"host": host} if host else {}), "http": {"paths": [{k: v for k, v in found.items() if v is not None}]}}


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "n"}, "spec": {"podSelector": {}, **spec}}


@CASES.case("an ingress routes hosts and paths, and its status is its own door")
async def _(api: Api) -> None:
    path = api.path(V1, "ingresses")
    await api.ask(
        "POST", path, ingress(rules=[rule(host="a.example.com"), rule(host="*.example.com", pathType="Exact")])
    )
    await api.ask("GET", path, accept=TABLE)
    await api.ask(
        "PATCH",
        f"{path}/i",
        {"spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["a.example.com"], "secretName": "s"}]}},
        "merge",
    )
    found = {"ingress": [{"ip": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}]}, {"hostname": "h.example.com"}]}
    await api.ask("PATCH", f"{path}/i/status", {"status": {"loadBalancer": found}}, "merge")
    await api.ask("GET", path, accept=TABLE)
    await api.ask("PATCH", f"{path}/i", {"metadata": {"labels": {"a": "b"}}, "status": None}, "merge")
    many = [rule(host=f"{name}.example.com") for name in "abcde"]
    await api.ask("PATCH", f"{path}/i", {"spec": {"rules": many}}, "merge")
    await api.ask("GET", path, accept=TABLE)
    await api.ask(
        "PATCH",
        f"{path}/i/status",
        {"status": {"loadBalancer": {"ingress": [{"ip": "x", "hostname": "1.2.3.4"}]}}},
        "merge",
    )
    await api.ask("DELETE", f"{path}/i")


@CASES.case("an ingress is checked")
async def _(api: Api) -> None:
    path = api.path(V1, "ingresses")
    resource = {"kind": "Thing", "name": "t", "apiGroup": "example.com"}
    for spec in objects(
        {}, {"rules": [rule(host="Bad host")]}, {"rules": [rule(host="1.2.3.4")]}, {"rules": [rule(host="*.*.x")]},
        {"rules": [rule(pathType=None)]}, {"rules": [rule(pathType="Odd")]}, {"rules": [rule(path="x")]},
        {"rules": [rule(path="/a//b")]}, {"rules": [rule(path="/a/../b")]}, {"rules": [rule(path=None)]},
        {"rules": [rule(path=None, pathType="ImplementationSpecific")]}, {"rules": [rule(path="/a/%2f")]},
        {"rules": [rule({})]}, {"rules": [rule({"service": {"name": "", "port": {}}})]},
        {"rules": [rule({"service": {"name": "s"}})]},
        {"rules": [rule({"service": {"name": "Bad_", "port": {"number": 80}}})]},
        {"rules": [rule({"service": {"name": "s", "port": {"number": 80, "name": "http"}}})]},
        {"rules": [rule({"service": {"name": "s", "port": {"number": 70000}}})]},
        {"rules": [rule({"service": {"name": "s", "port": {"name": "bad name"}}})]},
        {"rules": [rule({"resource": resource})]}, {"rules": [rule({**CHAT, "resource": resource})]},
        {"rules": [{"http": {"paths": []}}]}, {"rules": [{"host": "a.b"}]}, {"defaultBackend": CHAT},
        {"defaultBackend": {}},
        {"defaultBackend": CHAT, "ingressClassName": "Bad Class"},
        {"defaultBackend": CHAT, "tls": [{"hosts": ["Bad host"]}]},
        {"defaultBackend": CHAT, "tls": [{"hosts": ["*.a.b"], "secretName": "Bad Secret"}]},
    ):  # fmt: skip
        await api.ask("POST", path, ingress(**spec), dryRun="All")
    old = {
        "metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "nginx"}},
        "spec": {"defaultBackend": CHAT},
    }
    await api.ask("POST", path, old, dryRun="All")
    await api.ask("POST", path, {**old, "spec": {"defaultBackend": CHAT, "ingressClassName": "nginx"}}, dryRun="All")


@CASES.case("an ingress class keeps its controller")
async def _(api: Api) -> None:
    name = api.unique("ic")
    scope = {"apiGroup": "example.com", "kind": "Parameters", "name": "p"}
    await api.ask(
        "POST", CLASSES, {"metadata": {"name": name}, "spec": {"controller": "example.com/c", "parameters": scope}}
    )
    await api.ask("GET", f"{CLASSES}/{name}", accept=TABLE)
    for spec in objects(
        {"controller": "example.com/d"}, {"parameters": None},
        {"parameters": {"kind": "ConfigMap", "name": "c", "scope": "Namespace", "namespace": "default"}},
    ):  # fmt: skip
        await api.ask("PATCH", f"{CLASSES}/{name}", {"spec": spec}, "merge")
    await api.ask("GET", f"{CLASSES}/{name}", accept=TABLE)
    await api.ask("DELETE", f"{CLASSES}/{name}")


@CASES.case("an ingress class is checked")
async def _(api: Api) -> None:
    def parameters(**more: Any) -> dict[str, Any]:
        return {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", **more}}

    for spec in objects(
        {}, {"controller": "bad"}, {"controller": "a.b/" + "x" * 260},
        {"controller": "A.b/c"}, parameters(kind=""), parameters(name=""),
        parameters(apiGroup="Bad Group"), parameters(scope="Odd"), parameters(scope="Namespace"),
        parameters(scope="Cluster", namespace="x"), parameters(namespace="x"), parameters(kind="a/b"),
    ):  # fmt: skip
        await api.ask("POST", CLASSES, {"metadata": {"name": api.unique("ic")}, "spec": spec}, dryRun="All")


@CASES.case("a network policy fills in its types and protocols")
async def _(api: Api) -> None:
    path = api.path(V1, "networkpolicies")
    for spec in objects(
        {}, {"ingress": [{}]}, {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]},
        {"ingress": [{"ports": [{"port": 80}, {"protocol": "UDP", "port": "dns"}, {"port": 8000, "endPort": 9000}]}]},
        {"policyTypes": ["Egress"]}, {"ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {}}]}]},
    ):  # fmt: skip
        await api.ask("POST", path, policy(**spec), dryRun="All")
    await api.ask("POST", path, policy(podSelector={"matchLabels": {"a": "b"}, "matchExpressions": [
        {"key": "c", "operator": "In", "values": ["d", "e"]}, {"key": "f", "operator": "Exists"},
    ]}))  # fmt: skip
    await api.ask("GET", path, accept=TABLE)
    await api.ask("PATCH", f"{path}/n", {"spec": {"egress": [{}]}}, "merge")
    await api.ask("PATCH", f"{path}/n", {"spec": {"podSelector": {"matchLabels": {"x": "y"}}}}, "strategic")
    await api.ask("DELETE", f"{path}/n")


@CASES.case("a network policy is checked")
async def _(api: Api) -> None:
    path = api.path(V1, "networkpolicies")
    for spec in objects(
        {"podSelector": {"matchLabels": {"a b": "c"}}}, {"policyTypes": ["Odd"]},
        {"policyTypes": ["Ingress", "Egress", "Ingress"]},
        {"ingress": [{"from": [{}]}]},
        {"ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
        {"ingress": [{"from": [{"ipBlock": {}}]}]}, {"ingress": [{"from": [{"ipBlock": {"cidr": "x"}}]}]},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}]},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["y"]}}]}]},
        {"ingress": [{"ports": [{"protocol": "Odd", "port": 80}]}]}, {"ingress": [{"ports": [{"port": 0}]}]},
        {"ingress": [{"ports": [{"port": "Bad name"}]}]}, {"ingress": [{"ports": [{"endPort": 90}]}]},
        {"ingress": [{"ports": [{"port": 80, "endPort": 70}]}]},
        {"ingress": [{"ports": [{"port": "x", "endPort": 70}]}]},
        {"egress": [{"to": [{}], "ports": [{"port": 70000}]}]},
        {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"a b": "c"}}}]}]},
    ):  # fmt: skip
        await api.ask("POST", path, policy(**spec), dryRun="All")


@CASES.case("the name of a port is checked, for every reason")
async def _(api: Api) -> None:
    for name in ("A", "1", "a--b", "-a", "a-", "a" * 16, "-1--"):
        port = {"name": name, "containerPort": 80}
        spec = {"containers": [{"name": "c", "image": "x", "ports": [port]}]}
        await api.ask("POST", api.path("v1", "pods"), {"metadata": {"name": "p"}, "spec": spec}, dryRun="All")


@CASES.case("an ingress without a class gets the default one")
async def _(api: Api) -> None:
    name, path = api.unique("usual"), api.path(V1, "ingresses")
    mark = {"ingressclass.kubernetes.io/is-default-class": "true"}
    spec = {"controller": "example.com/c"}
    await api.setup("POST", CLASSES, {"metadata": {"name": name, "annotations": mark}, "spec": spec})
    for _ in range(200):
        answer = await api.ask("POST", path, ingress(defaultBackend=CHAT), dryRun="All", record=False)
        if answer.body["spec"].get("ingressClassName"):
            break
        await asyncio.sleep(0.02)
    await api.ask("POST", path, ingress(defaultBackend=CHAT))
    old = {"name": "old", "annotations": {"kubernetes.io/ingress.class": "nginx"}}
    await api.ask("POST", path, {"metadata": old, "spec": {"defaultBackend": CHAT}})
    await api.ask(
        "POST", path, {"metadata": {"name": "own"}, "spec": {"defaultBackend": CHAT, "ingressClassName": "own"}}
    )
    await api.setup("DELETE", f"{CLASSES}/{name}")
