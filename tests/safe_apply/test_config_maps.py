"""A ConfigMap is judged by what it is to the pods that take it in: a program, flags, variables or plain settings."""

import base64
from typing import Any

import pytest

from midwatch_mcp.safe_apply.errors import RejectedError
from midwatch_mcp.safe_apply.fake_world import EXPECT, World, deployment

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
TARGET = {"kind": "ConfigMap", "namespace": "llm", "name": "chat"}
VOLUME = {"name": "files", "configMap": {"name": "chat"}}


def put(world: World, data: dict[str, str], **engine: Any) -> None:
    """Put a ConfigMap, and a Deployment whose engine takes it in as `engine` says."""
    metadata = {"name": "chat", "namespace": "llm"}
    world.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    value = deployment()
    volume = engine.pop("volume", VOLUME)
    value["spec"]["template"]["spec"]["volumes"] = [volume]
    value["spec"]["template"]["spec"]["containers"][1] |= engine
    world.cluster.put(value)


def mounted(at: str = "/files", **mount: Any) -> Json:
    return {"volumeMounts": [{"name": "files", "mountPath": at, **mount}]}


async def judged(world: World, new: Any, part: str = "data") -> tuple[str, str]:
    operation = {"op": "patch", "target": TARGET, "args": {"type": "merge", "patch": {part: new}}}
    found = await world.envelope.judge({"title": "A draft", "operations": [operation], "expect": [EXPECT]})
    return found.risk, " ".join([*found.reasons, *(text for one in found.operations for text in one.reasons)])


REFERENCE = {"valueFrom": {"configMapKeyRef": {"name": "chat", "key": "value"}}}
SHELL = {"command": ["/bin/sh", "-c"], "args": ["exec serve $ARGS"]}
FROM = {"envFrom": [{"configMapRef": {"name": "chat"}}]}
USES: dict[str, tuple[dict[str, str], Json, dict[str, str], str, str]] = {
    "a script by its name": ({"run.sh": "a"}, mounted(), {"run.sh": "b"}, "forbidden", "run.sh, which the container"),
    "a script by its first line": (
        {"run": "#!/bin/sh\na"},
        mounted(),
        {"run": "#!/bin/sh\nb"},
        "forbidden",
        "/files/run",
    ),
    "a script that nobody mounts": ({"run.sh": "a"}, {}, {"run.sh": "b"}, "dangerous", "for whoever runs it"),
    "a module of Python": ({"sitecustomize.py": "a"}, mounted("/x"), {"sitecustomize.py": "b"}, "forbidden", "command"),
    "the program itself": (
        {"start": "a"},
        {**mounted(), "command": ["/files/start"]},
        {"start": "b"},
        "forbidden",
        "/files/start",
    ),
    "what a shell is given": (
        {"start": "a"},
        {**mounted("/files/x", subPath="start"), "command": ["bash", "/files/x"]},
        {"start": "b"},
        "forbidden",
        "/files/x",
    ),
    "a relative program": (
        {"start": "a"},
        {**mounted(), "workingDir": "/files", "command": ["./start"]},
        {"start": "b"},
        "forbidden",
        "/files/start",
    ),
    "what Python is given": (
        {"main": "a"},
        {**mounted(), "command": ["python3", "/files/main"]},
        {"main": "b"},
        "forbidden",
        "/files/main",
    ),
    "what a probe runs": (
        {"alive": "a"},
        {**mounted(), "livenessProbe": {"exec": {"command": ["/files/alive"]}}},
        {"alive": "b"},
        "forbidden",
        "/files/alive",
    ),
    "a file over a program": (
        {"serve": "a"},
        mounted("/usr/local/bin/serve", subPath="serve"),
        {"serve": "b"},
        "forbidden",
        "run, loaded or trusted",
    ),
    "a list of libraries": (
        {"preload": "a"},
        mounted("/etc/ld.so.preload", subPath="preload"),
        {"preload": "b"},
        "forbidden",
        "run, loaded or trusted",
    ),
    "a chat template": (
        {"chat.jinja": "a"},
        {**mounted(), "args": ["--chat-template=/files/chat.jinja"]},
        {"chat.jinja": "b"},
        "dangerous",
        "reads for --chat-template",
    ),
    "a plugin": (
        {"parser": "a"},
        {**mounted(), "args": ["--tool-parser-plugin", "/files/parser"]},
        {"parser": "b"},
        "forbidden",
        "reads for --tool-parser-plugin",
    ),
    "a harmful flag in a file of flags": (
        {"vllm.yaml": "max-num-seqs: 4\n"},
        {**mounted(), "args": ["--config=/files/vllm.yaml"]},
        {"vllm.yaml": "max-num-seqs: 4\nmiddleware: evil\n"},
        "forbidden",
        "the flag --middleware",
    ),
    "a harmless flag in a file of flags": (
        {"vllm.yaml": "max-num-seqs: 4\n"},
        {**mounted(), "args": ["--config=/files/vllm.yaml"]},
        {"vllm.yaml": "max-num-seqs: 8\n"},
        "change",
        "",
    ),
    "a harmful setting in any file": (
        {"engine.yaml": "engine:\n  max_num_seqs: 4\n"},
        mounted(),
        {"engine.yaml": "engine:\n  max_num_seqs: 4\n  trust_remote_code: true\n"},
        "forbidden",
        "trust_remote_code in engine.yaml",
    ),
    "a harmful variable of all": ({"A": "b"}, FROM, {"LD_PRELOAD": "/x.so"}, "forbidden", "the variable LD_PRELOAD"),
    "a harmful variable by its prefix": (
        {"A": "b"},
        {"envFrom": [{"prefix": "PYTHON", "configMapRef": {"name": "chat"}}]},
        {"STARTUP": "/x.py"},
        "forbidden",
        "the variable PYTHONSTARTUP",
    ),
    "a harmful variable by its key": (
        {"value": "a"},
        {"env": [{"name": "PYTHONPATH", **REFERENCE}]},
        {"value": "b"},
        "forbidden",
        "the variable PYTHONPATH",
    ),
    "a flag that a variable holds": (
        {"A": "b"},
        FROM,
        {"EXTRA_ARGS": "--max-num-seqs 4 --trust-remote-code"},
        "forbidden",
        "the flag --trust-remote-code",
    ),
    "a word of the command line": (
        {"value": "tiny"},
        {"env": [{"name": "MODEL", **REFERENCE}], "args": ["--model=$(MODEL)"]},
        {"value": "other"},
        "dangerous",
        "the flag --model",
    ),
    "a word of a shell": (
        {"value": "--a=1"},
        {"env": [{"name": "ARGS", **REFERENCE}], **SHELL},
        {"value": "--a=1; id"},
        "forbidden",
        "runs sh",
    ),
    "a harmless word of the command line": (
        {"value": "4"},
        {"env": [{"name": "SEQS", **REFERENCE}], "args": ["--max-num-seqs=$(SEQS)"]},
        {"value": "8"},
        "change",
        "",
    ),
    "certificates": ({"ca": "a"}, mounted(), {"ca": "-----BEGIN CERTIFICATE-----"}, "dangerous", "whom programs trust"),
    "plain configuration": (
        {"app.yaml": "port: 80\nmodel: a\n", "nginx.conf": "a"},
        {**mounted("/etc/app"), **FROM, "args": ["--settings=/etc/app/app.yaml"]},
        {"app.yaml": "port: 81\nmodel: b\nmiddleware: c\n", "nginx.conf": "b", "LOG_LEVEL": "debug"},
        "change",
        "",
    ),
}


@pytest.mark.parametrize("what", USES)
async def test_it_is_judged_by_what_it_is_to_its_pods(world: World, what: str) -> None:
    data, engine, new, risk, says = USES[what]
    put(world, data, **engine)
    found, reasons = await judged(world, new)
    assert found == risk, reasons
    assert says in reasons


@pytest.mark.parametrize(
    ("volume", "risk"),
    [
        ({"name": "files", "configMap": {"name": "chat", "items": [{"key": "a", "path": "bin/run"}]}}, "forbidden"),
        ({"name": "files", "projected": {"sources": [{"configMap": {"name": "chat"}}]}}, "change"),
        (
            {
                "name": "files",
                "projected": {"sources": [{"configMap": {"name": "chat", "items": [{"key": "a", "path": "bin/run"}]}}]},
            },
            "forbidden",
        ),
        ({"name": "files", "configMap": {"name": "other", "items": [{"key": "a", "path": "bin/run"}]}}, "change"),
    ],
)
async def test_files_go_by_the_paths_that_a_volume_gives_them(world: World, volume: Json, risk: str) -> None:
    put(world, {"a": "x"}, volume=volume, **mounted("/opt"))
    assert (await judged(world, {"a": "y"}))[0] == risk


async def test_bytes_are_looked_into(world: World) -> None:
    put(world, {"a": "x"}, **mounted())
    risk, _ = await judged(world, {"tool": base64.b64encode(b"\x7fELF\x02").decode()}, "binaryData")
    assert risk == "forbidden"
    assert (await judged(world, {"weights": base64.b64encode(b"\x00\x01\xff").decode()}, "binaryData"))[0] == "change"


async def test_pods_that_no_workload_of_a_known_kind_makes_count_too(world: World) -> None:
    put(world, {"start": "x"})
    pod = {"containers": [{"name": "worker", "command": ["/files/start"], **mounted()}], "volumes": [VOLUME]}
    assert (await judged(world, {"start": "y"}))[0] == "change"
    metadata = {"name": "worker-0", "namespace": "llm"}
    world.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
    risk, reasons = await judged(world, {"start": "y"})
    assert (risk, "the container worker has at /files/start" in reasons) == ("forbidden", True)


async def test_pods_that_cannot_be_listed_make_a_config_map_dangerous(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(world, {"a": "x"})
    objects = world.cluster.objects

    async def forbidden(kind: str, namespace: str) -> Any:
        if kind == "StatefulSet":
            raise RejectedError("statefulsets is forbidden")
        return await objects(kind, namespace)

    monkeypatch.setattr(world.cluster, "objects", forbidden)
    risk, reasons = await judged(world, {"a": "y"})
    assert risk == "dangerous"
    assert "the StatefulSets of llm cannot be listed" in reasons
