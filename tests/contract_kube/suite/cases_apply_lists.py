"""Server-side apply on lists, structures and subresources: keyed lists, sets, atomic ones, status and Scale."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()
LABELS: Final = {"app": "d"}


def deployment(*containers: Any, name: str = "d", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": list(containers)}}
    whole = {"selector": {"matchLabels": LABELS}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": whole}


def partly(**pod: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": {"spec": pod}},
    }


def container(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": f"{name}:1", **fields}


async def steps(api: Api, *, applies: tuple[tuple[str, Any], ...], force: bool = False) -> None:
    path = api.path("apps/v1", "deployments", "d")
    for manager, body in applies:
        await api.ask(
            "PATCH", path, body, "apply", query={"fieldManager": manager, **({"force": "1"} if force else {})}
        )


ENV: Final = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
SEQUENCES: Final[dict[str, tuple[tuple[str, Any], ...]]] = {
    "a Deployment that is applied owns what it states, not its defaults": (("one", deployment(container("a"))),),
    "a container that is applied no more goes": (
        ("one", deployment(container("a"), container("b"))), ("one", deployment(container("b"))),
    ),
    "two managers own containers of one list": (
        ("one", deployment(container("a"))),
        ("two", partly(containers=[container("b")])),
        ("one", deployment(container("a"), container("c"))),
        ("two", partly(containers=[])),
    ),
    "containers are applied in another order": (
        ("one", deployment(container("a"), container("b"), container("c"))),
        ("one", deployment(container("c"), container("a"), container("b"))),
    ),
    "a container is applied between those of another manager": (
        ("one", deployment(container("a"), container("b"))),
        ("two", partly(containers=[container("x"), {"name": "b", "image": "b:1"}, container("y")])),
    ),
    "variables are keyed by name": (
        ("one", deployment(container("a", env=ENV))),
        ("two", partly(containers=[{"name": "a", "env": [{"name": "C", "value": "3"}]}])),
        ("one", deployment(container("a", env=ENV[:1]))),
    ),
    "ports are keyed by number and protocol, whose default counts": (
        ("one", deployment(container("a", ports=[{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]))),
        ("one", deployment(container("a", ports=[{"containerPort": 80, "protocol": "TCP", "name": "web"}]))),
    ),
    "arguments are atomic": (
        ("one", deployment(container("a", args=["x", "y"]))),
        ("two", partly(containers=[{"name": "a", "args": ["z"]}])),
        ("one", deployment(container("a"))),
    ),
    "a limit in other words conflicts with none": (
        ("one", deployment(container("a", resources={"limits": {"cpu": "0.5", "memory": "1024Mi"}}))),
        ("one", deployment(container("a", resources={"limits": {"cpu": "500m", "memory": "1Gi"}}))),
    ),
    "a selector that is applied anew is immutable": (
        ("one", deployment(container("a"))),
        ("one", deployment(container("a"), selector={"matchLabels": {"x": "y"}})),
    ),
    "replicas that are given up stay as they are": (
        ("one", deployment(container("a"), replicas=3)), ("one", deployment(container("a"))),
    ),
    "a key that stands twice is refused": (("one", deployment(container("a"), container("a"))),),
    "an element without its key is refused": (("one", deployment({"image": "b"})),),
    "a container without an image is invalid": (("one", deployment({"name": "a"})),),
    "a text for a number is refused": (("one", deployment(container("a"), replicas="3")),),
    "a text for a list is refused": (("one", {**deployment(), "spec": {"template": {"spec": {"containers": "x"}}}}),),
    "an unknown field in a container is refused": (("one", deployment(container("a", foo=1))),),
    "a strategy changes its type": (
        ("one", deployment(container("a"), strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}})),
        ("one", deployment(container("a"), strategy={"type": "Recreate"})),
    ),
    "a status that is applied by the main door is left out": (
        ("one", {**deployment(container("a")), "status": {"replicas": 5}}),
    ),
}  # fmt: skip
for sentence, applies in SEQUENCES.items():
    CASES.many(f"an apply of lists: {sentence}", partial(steps, applies=applies))
CASES.many(
    "an apply of lists: by force, the image changes hands",
    partial(
        steps,
        applies=(
            ("one", deployment(container("a"))),
            ("two", partly(containers=[{"name": "a", "image": "z:1"}])),
            ("one", deployment(container("a"))),
        ),
        force=True,
    ),
)


@CASES.case("a status that is applied by its own door is owned there")
async def _(api: Api) -> None:
    path = api.path("apps/v1", "deployments", "d")
    await api.setup("PATCH", path, deployment(container("a")), "apply", fieldManager="one")
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "status": {"replicas": 5}}
    await api.ask("PATCH", f"{path}/status", body, "apply", fieldManager="two")
    await api.ask("PATCH", f"{path}/status", {**body, "spec": {"replicas": 9}}, "apply", fieldManager="two")
    await api.ask("PATCH", f"{path}/status", {**body, "status": {"replicas": 6}}, "apply", fieldManager="three")
    await api.ask("PATCH", f"{path}/status", {"status": {"replicas": 7}}, "merge", fieldManager="four")
    await api.ask("PATCH", f"{path}/status", {**body, "status": {}}, "apply", fieldManager="two")
    await api.ask("GET", path)


@CASES.case("a Scale that takes replicas is in the way of who applied them")
async def _(api: Api) -> None:
    path = api.path("apps/v1", "deployments", "d")
    await api.setup("PATCH", path, deployment(container("a"), replicas=2), "apply", fieldManager="one")
    await api.ask("PATCH", f"{path}/scale", {"spec": {"replicas": 4}}, "merge", fieldManager="scaler")
    await api.ask("GET", path)
    await api.ask("PATCH", path, deployment(container("a"), replicas=2), "apply", fieldManager="one")
    await api.ask("PATCH", path, deployment(container("a")), "apply", fieldManager="one")


@CASES.case("finalizers are a set of which each manager owns its own")
async def _(api: Api) -> None:
    path = api.path("v1", "configmaps", "c")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}

    async def apply(manager: str, *finalizers: str) -> None:
        metadata = {"name": "c", **({"finalizers": list(finalizers)} if finalizers else {})}
        await api.ask("PATCH", path, {**body, "metadata": metadata}, "apply", fieldManager=manager)

    await apply("one", "x.io/a", "x.io/b")
    await apply("two", "x.io/b", "x.io/c")
    await apply("one", "x.io/a")
    await apply("two")


@CASES.case("a Secret's stringData is applied")
async def _(api: Api) -> None:
    path = api.path("v1", "secrets", "s")
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}
    await api.ask("PATCH", path, body, "apply", fieldManager="one")
    await api.ask("GET", path)


@CASES.case("a Service is applied twice, and keeps its address")
async def _(api: Api) -> None:
    path = api.path("v1", "services", "s")
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    for ports in ([{"port": 80}], [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}], [{"port": 81, "name": "b"}]):
        await api.ask("PATCH", path, {**body, "spec": {"ports": ports}}, "apply", fieldManager="one")
    await api.ask("GET", path)


@CASES.case("owner references are keyed by uid")
async def _(api: Api) -> None:
    path = api.path("v1", "configmaps", "c")
    body = {"apiVersion": "v1", "kind": "ConfigMap"}
    for manager, uid in (("one", "u1"), ("two", "u2"), ("one", "u3")):
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}
        metadata = {"name": "c", "ownerReferences": [owner]}
        await api.ask("PATCH", path, {**body, "metadata": metadata}, "apply", fieldManager=manager)


@CASES.case("a Scale is applied: it conflicts with who owns replicas, takes them by force, and shares what is the same")
async def _(api: Api) -> None:
    path = api.path("apps/v1", "deployments", "d")
    await api.setup("PATCH", path, deployment(container("a"), replicas=2), "apply", fieldManager="one")
    body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d", "namespace": api.namespace}}
    for replicas, query in ((4, {}), (2, {}), (4, {"force": "true"}), (4, {"dryRun": "All"})):
        wanted = {**body, "spec": {"replicas": replicas}}
        await api.ask("PATCH", f"{path}/scale", wanted, "apply", query={"fieldManager": "scaler", **query})
        await api.ask("GET", path)
    await api.ask("PATCH", f"{path}/scale", {**body, "kind": "Deployment"}, "apply", fieldManager="scaler")
    await api.ask("PATCH", f"{path}/scale", body, "apply")
