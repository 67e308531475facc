"""kubectl on pods that run: logs, exec, attach, port-forward, cp, run; and rollouts that controllers carry through."""

import os
import pty
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

from kubectl_harness import Kubectl, tried
from kubectl_harness.kubectl import lines_until
from kubectl_harness.manifests import as_list
from kubectl_harness.servers import whole_lab
from midwatch_lab.topology import chat_topology

pytestmark = [pytest.mark.slow, pytest.mark.kubectl]

WRITER = """for i in 1 2 3; do echo line $i; done; echo apart >&2; exec sleep 600"""


def shell(name: str, script: str, *, restart: str = "Always", second: str = "") -> dict[str, object]:
    containers = [{"name": "main", "image": "busybox", "command": ["sh", "-c", script]}]
    if second:
        containers.append({"name": "second", "image": "busybox", "command": ["sh", "-c", second]})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"job": "writer"}},
        "spec": {"containers": containers, "restartPolicy": restart, "terminationGracePeriodSeconds": 1},
    }


@pytest.fixture(scope="module")
def k(kubectl: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    with whole_lab(tmp_path_factory.mktemp("lab")) as info:
        server = yaml.safe_load(info.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        home = tmp_path_factory.mktemp("home")
        side = Kubectl.at(kubectl, home, server, info.tokens["admin"], "llm")
        namespace, deployment, service = chat_topology("llm", "chat", 2)
        deployment["spec"]["template"]["spec"]["containers"][0]["args"] = []
        side("apply", "-f", "-", stdin=as_list(namespace, deployment, service))
        pods = [shell("writer", WRITER, second="echo from the second; exec sleep 600"), shell("other", WRITER)]
        side("create", "-f", "-", stdin=as_list(*pods, shell("crash", "echo last words; exit 3")))
        side("rollout", "status", "deployment/chat", "--timeout=60s")
        side("wait", "--for=condition=Ready", "pod/writer", "pod/other", "--timeout=30s")
        yield side


def test_logs_choose_lines_and_containers(k: Kubectl) -> None:
    said = tried(k, "logs", "writer", "-c", "main", until="apart")
    assert [line for line in said.splitlines() if line != "apart"] == ["line 1", "line 2", "line 3"]
    assert len(k("logs", "writer", "-c", "main", "--tail=2").splitlines()) == 2
    assert k("logs", "writer", "-c", "second", "--since=1h") == "from the second\n"
    stamped = k("logs", "writer", "-c", "second", "--timestamps")
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z from the second$", stamped)
    assert k("logs", "writer", "-c", "main", "--limit-bytes=4") == "line"
    assert "Defaulted container" in k.run("logs", "writer").err
    every = k("logs", "writer", "--all-containers", "--prefix").splitlines()
    assert "[pod/writer/second] from the second" in every
    assert "[pod/writer/main] line 1" in every
    assert k("logs", "-l", "job=writer", "--all-containers", "--tail=-1").count("line 3") == 2
    assert k("logs", "deployment/chat").startswith("hello")
    assert "container nobody is not valid for pod writer" in k.refused("logs", "writer", "-c", "nobody")
    assert 'pods "nobody" not found' in k.refused("logs", "nobody")


def test_logs_follow_until_the_end_and_remember_the_life_before(k: Kubectl) -> None:
    k("create", "-f", "-", stdin=as_list(shell("short", "echo begun; sleep 1; echo ended", restart="Never")))
    tried(k, "logs", "short", until="begun")
    assert k("logs", "-f", "short") == "begun\nended\n"
    assert tried(k, "logs", "crash", "--previous", until="last") == "last words\n"
    assert "previous terminated container" in k.refused("logs", "other", "--previous")


def test_exec_passes_streams_and_the_exit_code(k: Kubectl) -> None:
    done = k.run("exec", "other", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.code, done.out) == (7, "out\n")
    assert done.err == "err\ncommand terminated with exit code 7\n"
    assert k("exec", "-i", "other", "--", "cat", stdin="words\n") == "words\n"
    assert k("exec", "deployment/chat", "--", "sh", "-c", "echo $HOSTNAME").startswith("chat-")
    assert k("exec", "writer", "-c", "second", "--", "echo", "hi") == "hi\n"
    assert "executable file not found" in k.refused("exec", "other", "--", "nonesuch", code=1)


def test_exec_gives_a_terminal_where_there_is_one(k: Kubectl) -> None:
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover (the child becomes kubectl)
        words = ["exec", "-it", "other", "--", "sh", "-c", "tty && read x && echo got $x"]
        os.execve(k.binary, k.command(*words), k.environ())  # noqa: S606 (a shell is what is not wanted)
    os.write(terminal, b"there\n")
    said = b""
    try:
        while piece := os.read(terminal, 1024):
            said += piece
    except OSError:  # the end of a terminal
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    assert b"/dev/pts/" in said
    assert b"got there" in said


def test_attach_joins_the_process_of_a_container(k: Kubectl) -> None:
    reader = {"name": "main", "image": "busybox", "command": ["cat"], "stdin": True, "stdinOnce": True}
    spec = {"containers": [reader], "restartPolicy": "Never"}
    k("create", "-f", "-", stdin=as_list({**shell("reader", ""), "spec": spec}))
    k("wait", "--for=condition=Ready", "pod/reader", "--timeout=30s")
    assert "over and out" in k("attach", "-i", "reader", stdin="over and out\n")


@pytest.mark.parametrize("target", ["pod", "service/chat", "deployment/chat"])
def test_port_forward_reaches_pods_services_and_deployments(k: Kubectl, target: str) -> None:
    if target == "pod":
        target = k("get", "pods", "-l", "app.kubernetes.io/name=chat", "-o", "name").split()[0]
    with k.running("port-forward", target, ":8000") as forward:
        assert forward.stdout is not None
        port = int(lines_until(forward.stdout, "Forwarding")[-1].split(":")[1].split()[0])
        assert httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False).text == "ok"
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            assert raw.recv(12).startswith(b"HTTP/1.")


def test_cp_carries_files_both_ways(k: Kubectl, tmp_path: Path) -> None:
    """Pods share the machine's files, and have its tar."""
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "a.txt").write_text("words\n")
    k("cp", str(tmp_path / "from"), f"other:{tmp_path}/to")
    assert (tmp_path / "to" / "a.txt").read_text() == "words\n"
    k("cp", f"other:{tmp_path}/to/a.txt", str(tmp_path / "back.txt"))
    assert (tmp_path / "back.txt").read_text() == "words\n"


def test_run_waits_for_a_pod_and_removes_it(k: Kubectl) -> None:
    words = ["run", "once", "--image=busybox", "--restart=Never", "--attach", "--rm", "--quiet", "--command", "--"]
    assert "said once" in k(*words, "sh", "-c", "sleep 1; echo said once")
    assert "NotFound" in k.refused("get", "pod", "once")


def test_a_rollout_goes_forth_and_back(k: Kubectl) -> None:
    first = k("rollout", "history", "deployment/chat").split()[-2]
    k("set", "env", "deployment/chat", "WORD=1")
    k("annotate", "deployment/chat", "kubernetes.io/change-cause=a word")
    assert "successfully rolled out" in k("rollout", "status", "deployment/chat", "--timeout=60s")
    assert "a word" in tried(k, "rollout", "history", "deployment/chat", until="a word")
    k("rollout", "undo", "deployment/chat", f"--to-revision={first}")
    k("rollout", "status", "deployment/chat", "--timeout=60s")
    assert "WORD" not in k("get", "deployment", "chat", "-o", "yaml")
    assert "unable to find specified revision 99" in k.refused("rollout", "undo", "deployment/chat", "--to-revision=99")


def test_delete_waits_until_what_it_owns_is_gone(k: Kubectl) -> None:
    k("create", "deployment", "brief", "--image=busybox", "--replicas=1", "--", "sh", "-c", "exec sleep 600")
    k("rollout", "status", "deployment/brief", "--timeout=60s")
    k("delete", "deployment", "brief", "--cascade=foreground", "--timeout=60s")
    assert k("get", "pods,rs", "-l", "app=brief", "-o", "name") == ""
