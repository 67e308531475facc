"""The same requests to the lab's API server and to the original: status, reason, causes, objects, tables, patches."""

import asyncio
import re
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from midwatch_lab.objects import dig
from midwatch_lab.topology import chat_topology

pytestmark = [pytest.mark.anyio, pytest.mark.original]

Clients = Callable[[str | None], httpx2.AsyncClient]
HOME = "/apis/apps/v1/namespaces/llm/deployments"
CORE = "/api/v1/namespaces/llm"
KINDS = {"json": "json-patch+json", "merge": "merge-patch+json", "strategic": "strategic-merge-patch+json"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
NOISE = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "time")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def original(original_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A kube-apiserver over its etcd, without controllers: what is written is what is read."""
    folder = tmp_path_factory.mktemp("original")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    (folder / "sa.key").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    (folder / "tokens.csv").write_text('t-admin,admin,admin,"system:masters"\nt-viewer,viewer,viewer,"viewers"\n')
    client, peer, api = free_port(), free_port(), free_port()
    etcd = [
        str(original_binaries / "etcd"), f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync",
        f"--listen-client-urls=http://127.0.0.1:{client}", f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
    ]  # fmt: skip
    server = [
        str(original_binaries / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{client}",
        "--bind-address=127.0.0.1", f"--secure-port={api}", f"--cert-dir={folder / 'certs'}",
        f"--token-auth-file={folder / 'tokens.csv'}", "--authorization-mode=RBAC", "--anonymous-auth=false",
        "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={folder / 'sa.key'}",
        f"--service-account-signing-key-file={folder / 'sa.key'}", "--service-cluster-ip-range=10.96.0.0/16",
        "--disable-admission-plugins=ServiceAccount",
    ]  # fmt: skip
    url = f"https://127.0.0.1:{api}"
    with (folder / "log").open("wb") as log:
        processes = [subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) for command in (etcd, server)]
        try:
            deadline = time.monotonic() + 60
            while not answers(url):
                assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
                time.sleep(0.2)
            yield url
        finally:
            for process in reversed(processes):
                process.kill()
            for process in processes:
                process.wait(20)


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def answers(url: str) -> bool:
    try:
        with httpx2.Client(verify=unverified(), headers={"Authorization": "Bearer t-admin"}) as http:
            return http.get(f"{url}/readyz").status_code == 200
    except httpx2.HTTPError:
        return False


@dataclass
class Pair:
    """The lab and the original, asked the same; each answer is compared at once."""

    lab: httpx2.AsyncClient
    original: httpx2.AsyncClient
    differences: list[str] = field(default_factory=list[str])
    compared: int = 0

    async def ask(self, method: str, path: str, body: Any = None, *, kind: str = "", **options: Any) -> None:
        headers = {**options.pop("headers", {}), **({"Content-Type": f"application/{KINDS[kind]}"} if kind else {})}
        options = {**options, "headers": headers}
        if isinstance(body, bytes):
            options["content"] = body
        elif body is not None:
            options["json"] = body
        one, two = await asyncio.gather(
            self.lab.request(method, path, **options), self.original.request(method, path, **options)
        )
        self.compared += 1
        left, right = shape(one), shape(two)
        if left != right:
            self.differences.append(f"{method} {path} {body!r} {kind}\n     {first_difference(left, right)}")


def shape(answer: httpx2.Response) -> Any:
    """What of an answer is held against the other's: all but what the server sets anew each time."""
    try:
        body = answer.json()
    except ValueError:
        return answer.status_code, answer.text
    if body.get("kind") == "Status" and body.get("status") == "Failure":
        found: list[dict[str, Any]] = dig(body, "details", "causes", default=[])
        # The original reports a bad label three times, once a validator.
        causes = list(dict.fromkeys((cause["reason"], cause.get("field")) for cause in found))
        message = re.sub(r"current: \d+", "current: N", body["message"])
        said = "" if causes and causes[0][1] == "patch" else message
        return answer.status_code, body.get("reason"), said, causes
    return answer.status_code, answer.headers.get("warning"), without_noise(body)


def first_difference(lab: Any, original: Any, path: str = "") -> str:
    """Say where two answers part, lest a failure print them whole."""
    if isinstance(lab, dict) and isinstance(original, dict):
        one, two = cast("dict[str, Any]", lab), cast("dict[str, Any]", original)
        for key in [*one, *two]:
            if one.get(key) != two.get(key):
                return first_difference(one.get(key), two.get(key), f"{path}.{key}")
    if isinstance(lab, list | tuple) and isinstance(original, list | tuple):
        ones, twos = cast("list[Any]", lab), cast("list[Any]", original)
        for index, (first, second) in enumerate(zip(ones, twos, strict=False)):
            if first != second:
                return first_difference(first, second, f"{path}[{index}]")
    return f"{path}: lab {lab!r}, original {original!r}"


def without_noise(value: Any) -> Any:
    if isinstance(value, dict):
        known = cast("dict[str, Any]", value)
        return {key: without_noise(item) for key, item in known.items() if key not in NOISE and item not in ({}, [])}
    if isinstance(value, list):
        return [without_noise(item) for item in cast("list[Any]", value)]
    return value


@asynccontextmanager
async def pair(original: str, client_of: Clients, user: str = "admin") -> AsyncGenerator[Pair]:
    headers = {"Authorization": f"Bearer t-{user}"}
    async with (
        client_of(user) as lab,
        httpx2.AsyncClient(base_url=original, verify=unverified(), headers=headers) as other,
        httpx2.AsyncClient(
            base_url=original, verify=unverified(), headers={"Authorization": "Bearer t-admin"}
        ) as admin,
    ):
        # The lab of each test is fresh; so is the namespace of the original.
        await admin.post("/api/v1/namespaces", json={"metadata": {"name": "llm"}})
        for path in (HOME, f"{CORE}/configmaps", f"{CORE}/pods", f"{CORE}/services", f"{CORE}/secrets"):
            await admin.delete(path, params={"gracePeriodSeconds": 0})
        found = Pair(lab, other)
        yield found
    assert found.compared
    assert not found.differences, f"{len(found.differences)} of {found.compared} differ:\n" + "\n".join(
        found.differences
    )


def chat() -> dict[str, Any]:
    return chat_topology("llm", "chat")[1]


def engine(**fields: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "engine", **fields}]}}}}


async def test_a_deployment_is_made_defaulted_and_read_alike(original: str, client_of: Clients) -> None:
    async with pair(original, client_of) as both:
        await both.ask("POST", HOME, chat())
        await both.ask("GET", f"{HOME}/chat")
        await both.ask("GET", f"{HOME}/chat/status")
        await both.ask("POST", HOME, chat())
        await both.ask("GET", f"{HOME}/nope")
        await both.ask("DELETE", f"{HOME}/nope")


async def test_pods_services_and_configuration_are_defaulted_alike(original: str, client_of: Clients) -> None:
    async with pair(original, client_of) as both:
        await both.ask("POST", f"{CORE}/configmaps", {"metadata": {"name": "c"}, "data": {"a": "b"}})
        await both.ask("POST", f"{CORE}/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
        await both.ask("PATCH", f"{CORE}/secrets/s", {"type": "other"}, kind="merge")
        await both.ask("POST", f"{CORE}/services", {"metadata": {"name": "x"}, "spec": {}})
        await both.ask("POST", f"{CORE}/services", {"metadata": {"name": "X"}, "spec": {"ports": [{"port": 0}]}})
        ports = [{"port": 80}, {"port": 80, "name": "a"}]
        await both.ask("POST", f"{CORE}/services", {"metadata": {"name": "x"}, "spec": {"ports": ports, "type": "T"}})
        container = {"name": "A_", "image": "", "env": [{"name": ""}], "ports": [{"containerPort": 70000}]}
        await both.ask("POST", f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": {"containers": [container]}})


@pytest.mark.parametrize("dry_run", [{}, {"dryRun": "All"}])
async def test_good_patches_of_every_kind_have_the_same_result(
    original: str, client_of: Clients, dry_run: dict[str, str]
) -> None:
    patches: list[tuple[str, Any]] = [
        ("merge", {"spec": {"replicas": 2}}),
        ("merge", {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}),
        ("merge", {"metadata": {"labels": {"a": None}}}),
        ("strategic", engine(args=["--x"], env=[{"name": "A", "value": "1"}])),
        ("strategic", engine(env=[{"name": "B", "value": "2"}], resources={"limits": {"cpu": "0.5"}})),
        ("strategic", engine(env=[{"name": "A", "$patch": "delete"}])),
        ("strategic", {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        ("strategic", {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2}}}}),
        ("strategic", engine(ports=[{"containerPort": 9000, "name": "more"}])),
        ("json", [{"op": "replace", "path": "/spec/replicas", "value": 4}]),
        ("json", [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--y"}]),
        ("json", [{"op": "remove", "path": "/spec/template/spec/containers/0/resources"}]),
        ("merge", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}}),
    ]
    async with pair(original, client_of) as both:
        await both.ask("POST", HOME, chat())
        for kind, patch in patches:
            await both.ask("PATCH", f"{HOME}/chat", patch, kind=kind, params=dry_run)
        await both.ask("GET", f"{HOME}/chat")


async def test_bad_patches_are_refused_alike(original: str, client_of: Clients) -> None:
    patches: list[tuple[str, Any]] = [
        ("merge", {"spec": {"replicas": "x"}}),
        ("strategic", {"spec": {"replicas": "x"}}),
        ("strategic", {"spec": {"replicas": -1}}),
        ("strategic", {"spec": {"selector": {"matchLabels": {"app": "y"}}}}),
        ("strategic", engine(image="")),
        ("strategic", engine(resources={"limits": {"cpu": "abc"}})),
        ("strategic", engine(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}})),
        ("strategic", engine(readinessProbe={"periodSeconds": -1})),
        ("strategic", engine(imagePullPolicy="Sometimes")),
        ("strategic", {"spec": {"template": {"spec": {"containers": [{"name": "E_x"}]}}}}),
        ("merge", {"spec": {"template": {"spec": {"containers": []}}}}),
        ("merge", {"spec": {"template": {"spec": {"restartPolicy": "Never"}}}}),
        ("merge", {"spec": {"template": {"metadata": {"labels": {"a": "b", "app.kubernetes.io/name": "z"}}}}}),
        ("merge", {"spec": {"strategy": {"type": "Recreate"}}}),
        ("merge", {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}}),
        ("merge", {"spec": {"strategy": {"rollingUpdate": {"maxSurge": "ten"}}}}),
        ("merge", {"spec": {"progressDeadlineSeconds": 1, "minReadySeconds": 5}}),
        ("merge", {"metadata": {"name": "other"}}),
        ("merge", {"metadata": {"labels": {"a b": "c d"}}}),
        ("merge", {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 2}}),
        ("json", [{"op": "replace", "path": "/spec/foo/x", "value": 1}]),
        ("json", [{"op": "test", "path": "/spec/replicas", "value": 77}]),
        ("json", [{"op": "foo", "path": "/spec/replicas", "value": 1}]),
    ]
    async with pair(original, client_of) as both:
        await both.ask("POST", HOME, chat())
        for kind, patch in patches:
            await both.ask("PATCH", f"{HOME}/chat", patch, kind=kind)
        await both.ask(
            "PATCH", f"{HOME}/chat", {"spec": {"foo": 1}}, kind="merge", params={"fieldValidation": "Strict"}
        )
        await both.ask("PATCH", f"{HOME}/chat", {"spec": {"foo": 1}}, kind="merge")
        await both.ask("PATCH", f"{HOME}/chat", {}, kind="merge", params={"dryRun": "Some"})
        await both.ask("GET", f"{HOME}/chat")


async def test_bad_objects_are_refused_alike(original: str, client_of: Clients) -> None:
    async with pair(original, client_of) as both:
        bodies: tuple[dict[str, Any], ...] = (
            {},
            {"metadata": {"name": "Chat_"}, "spec": {}},
            {**chat(), "spec": {**chat()["spec"], "replicas": "3"}},
            {**chat(), "metadata": {"name": "c", "namespace": "other"}},
            {**chat(), "kind": "ReplicaSet"},
            {**chat(), "spec": {**chat()["spec"], "selector": {}}},
        )
        for body in bodies:
            await both.ask("POST", HOME, {"apiVersion": "apps/v1", "kind": "Deployment", **body})
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
        await both.ask("POST", "/api/v1/namespaces/nowhere/configmaps", config)
        await both.ask("POST", f"{CORE}/configmaps", {**config, "data": {"a/b": "c"}})
        await both.ask("POST", f"{CORE}/configmaps", {**config, "data": {"a": 1}})


async def test_scale_and_preconditions_answer_alike(original: str, client_of: Clients) -> None:
    async with pair(original, client_of) as both:
        await both.ask("POST", HOME, chat())
        await both.ask("GET", f"{HOME}/chat/scale")
        await both.ask("PATCH", f"{HOME}/chat/scale", {"spec": {"replicas": 5}}, kind="merge")
        await both.ask("PATCH", f"{HOME}/chat/scale", {"spec": {"replicas": -5}}, kind="merge")
        await both.ask("GET", f"{HOME}/nope/scale")
        await both.ask("DELETE", f"{HOME}/chat", params={"dryRun": "All"})
        await both.ask("GET", f"{HOME}/chat")
        await both.ask("DELETE", f"{HOME}/chat", params={"propagationPolicy": "Maybe"})
        await both.ask("DELETE", f"{HOME}/chat")
        await both.ask("GET", f"{HOME}/chat")


async def test_lists_selectors_and_tables_are_alike(original: str, client_of: Clients) -> None:
    async with pair(original, client_of) as both:
        for name in ("a", "b", "c"):
            body = {"metadata": {"name": name, "labels": {"n": name, "kind": "test"}}}
            await both.ask("POST", f"{CORE}/configmaps", body)
        await both.ask("POST", HOME, chat())
        options: tuple[dict[str, Any], ...] = (
            {"labelSelector": "n in (a,c),kind=test"},
            {"labelSelector": "n!=a,kind"},
            {"labelSelector": "a=b=c"},
            {"labelSelector": "a in b"},
            {"fieldSelector": "metadata.name=b"},
            {"fieldSelector": "spec.foo=1"},
            {"limit": "x"},
            {"resourceVersion": "zz"},
        )
        for parameters in options:
            await both.ask("GET", f"{CORE}/configmaps", params={"labelSelector": "kind=test", **parameters})
        for include in ("None", "Metadata", "Object"):
            await both.ask("GET", f"{HOME}/nope", headers=TABLE, params={"includeObject": include})
        one, two = [(await side.get(HOME, headers=TABLE)).json() for side in (both.lab, both.original)]
        names = [[(c["name"], c["type"], c["priority"]) for c in t["columnDefinitions"]] for t in (one, two)]
        assert names[0] == names[1]
        assert [row["cells"][:4] for row in one["rows"]] == [row["cells"][:4] for row in two["rows"]]


async def test_a_reader_is_refused_in_the_same_words(original: str, client_of: Clients) -> None:
    async with pair(original, client_of, "viewer") as both:
        await both.ask("PATCH", f"{HOME}/chat", {}, kind="merge")
        await both.ask("POST", HOME, chat())
        await both.ask("DELETE", f"{CORE}/pods/x")
        await both.ask("GET", f"{CORE}/secrets")


async def test_ownership_by_update_and_apply_is_alike(original: str, client_of: Clients) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}}
    apply = {"Content-Type": "application/apply-patch+yaml"}
    path = f"{CORE}/configmaps/c"
    steps: tuple[tuple[dict[str, Any], dict[str, str]], ...] = (
        (config, {"fieldManager": "one"}),
        ({**config, "data": {"a": "3"}}, {"fieldManager": "two"}),
        ({**config, "data": {"a": "3"}}, {"fieldManager": "two", "force": "true"}),
        ({**config, "data": {"b": "2"}}, {"fieldManager": "one"}),
        ({key: value for key, value in config.items() if key != "data"}, {"fieldManager": "two"}),
        (config, {}),
    )
    async with pair(original, client_of) as both:
        for body, parameters in steps:
            await both.ask("PATCH", path, body, headers=apply, params=parameters)
            owners = [fields_by_owner((await side.get(path)).json()) for side in (both.lab, both.original)]
            assert owners[0] == owners[1]


def fields_by_owner(obj: dict[str, Any]) -> dict[tuple[str, str], Any]:
    entries = obj["metadata"].get("managedFields", [])
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in entries}
