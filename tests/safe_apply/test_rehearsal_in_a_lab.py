"""`midwatch change rehearse` as a user runs it: a lab as the real cluster, the original as one, and labs as copies."""

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from midwatch_agents.cli import main
from midwatch_evals.processes import MARK, marked
from midwatch_mcp.safe_apply.pods import is_ready
from safe_apply_lab import running_lab
from safe_apply_original import Original

pytestmark = pytest.mark.slow

WITHIN_S = 60


def workload(name: str, image: str) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    container = {"name": "main", "image": image, "ports": [{"containerPort": 8080}], "readinessProbe": probe}
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


NAMESPACE: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


def draft(op: str, args: dict[str, Any]) -> str:
    target = {"kind": "Deployment", "namespace": "shop", "name": "web"}
    expect = {"object": "Deployment/shop/web", "cel": 'object.metadata.name == "web"', "within_s": 20, "hold_s": 0}
    return yaml.safe_dump({"title": op, "operations": [{"op": op, "target": target, "args": args}], "expect": [expect]})


class User:
    """Somebody at a shell, before one cluster."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], *cluster: str) -> None:
        self.folder = folder
        self.capsys = capsys
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        self.words = ["--state", str(self.state), *cluster]

    def run(self, *words: str) -> tuple[int, dict[str, Any], str]:
        self.capsys.readouterr()
        code = main([*self.words, *words, "--json"])
        said = self.capsys.readouterr()
        return code, json.loads(said.out or "{}"), said.err

    def plan(self, text: str) -> str:
        file = self.folder / "draft.yaml"
        file.write_text(text, "utf-8")
        code, answer, said = self.run("change", "propose", str(file))
        assert code == 0, said
        return str(answer["plan_id"])


@pytest.fixture(autouse=True)
def mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is started from here can be counted."""
    monkeypatch.setenv(MARK, str(tmp_path))


def left_over() -> set[str]:
    return {file.name for file in Path(tempfile.gettempdir()).glob("midwatch-rehearsal-*")}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Any]]:
    """A lab that stands for the real cluster; nobody can pull the image of `stuck`."""
    folder = tmp_path_factory.mktemp("live")
    manifests = folder / "world.yaml"
    manifests.write_text(yaml.safe_dump_all([NAMESPACE, workload("web", "web:1"), workload("stuck", "web:broken")]))
    plays = ("--play", "web:broken=missing", "--play", "web:*=stand-in")
    with running_lab(folder, "--from", str(manifests), *plays) as info:
        wait_for_a_ready_pod(info, "web")
        yield info


def wait_for_a_ready_pod(lab: dict[str, Any], app: str) -> None:
    path = f"/api/v1/namespaces/shop/pods?watch=true&timeoutSeconds={WITHIN_S}&labelSelector=app%3D{app}"
    request = urllib.request.Request(lab["url"] + path, headers={"Authorization": f"Bearer {lab['tokens']['admin']}"})
    with urllib.request.urlopen(request) as events:
        assert any(is_ready(json.loads(event)["object"]) for event in events), f"no pod of {app} gets ready"


def writes(live: dict[str, Any]) -> list[Any]:
    """Return who but the lab itself wrote what."""
    headers = {"Authorization": f"Bearer {live['tokens']['admin']}"}
    with urllib.request.urlopen(urllib.request.Request(f"{live['url']}/lab/audit", headers=headers)) as answer:
        lines = json.load(answer)
    return [one for one in lines if not one["principal"].startswith("system:") and not one["dry_run"]]


def test_on_a_lab_a_good_change_is_verified_a_bad_one_told_and_nothing_is_written(
    live: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user, before, files = User(tmp_path, capsys, "--lab", live["dir"]), writes(live), left_over()
    plan = user.plan(draft("scale", {"replicas": 0}))
    code, answer, said = user.run("change", "rehearse", plan)
    assert code == 0, said
    assert (answer["rehearsal"]["ended"], answer["rehearsal"]["undo"]) == ("verified", "proved")
    (course,) = answer["rehearsal"]["pods"]
    assert (course["before"], course["least"], course["after"]) == (1, 0, 0)
    (user.state / "policy.toml").write_text("[approvals.dangerous]\nrehearsed = true\n")
    code, answer, said = user.run("change", "approve", plan, "--yes")
    assert code == 0
    assert "applied and verified, undone again and proved" in said

    plan = user.plan(draft("set_image", {"images": {"main": "web:broken"}}))
    code, answer, said = user.run("change", "rehearse", plan, "--within", "3s")
    assert code == 3, said
    assert (answer["rehearsal"]["ended"], answer["rehearsal"]["undo"]) == ("failed", "proved")
    assert answer["rehearsal"]["failed"] == [
        "Deployment/shop/web did not settle within 3 s",
        "pods of Deployment/shop/web: container main waits: ImagePullBackOff",
    ]
    assert writes(live) == before
    assert left_over() == files
    assert marked(str(tmp_path)) == []


def test_ctrl_c_ends_the_copy_and_takes_its_files(
    live: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user, files = User(tmp_path, capsys, "--lab", live["dir"]), left_over()
    plan = user.plan(draft("set_image", {"images": {"main": "web:broken"}}))
    words = [sys.executable, "-m", "midwatch_agents", *user.words, "change", "rehearse", plan]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "previewing and applying" not in process.stderr.readline():
            assert process.poll() is None
        assert len(left_over() - files) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_S) == 130
    assert left_over() == files
    assert marked(str(tmp_path)) == []


def trusted(original: Original, folder: Path) -> Path:
    """Return a kubeconfig that checks the server's certificate."""
    document = json.loads(original.kubeconfig.read_text("utf-8"))
    cluster = document["clusters"][0]["cluster"]
    del cluster["insecure-skip-tls-verify"]
    cluster["certificate-authority"] = str(original.home / "certs" / "apiserver.crt")
    file = folder / "kubeconfig"
    file.write_text(json.dumps(document), "utf-8")
    return file


async def make(original: Original, *objects: dict[str, Any]) -> None:
    client = original.client()
    try:
        for value in objects:
            where = "/apis/apps/v1/namespaces/shop/deployments" if "spec" in value else "/api/v1/namespaces"
            await client.create(where, value)
    finally:
        await client.aclose()


@pytest.mark.original
def test_with_the_original_as_the_real_cluster_it_is_only_read(
    original: Original, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user = User(tmp_path, capsys, "--kubeconfig", str(trusted(original, tmp_path)))
    asyncio.run(make(original, NAMESPACE, workload("web", "web:1")))
    plan = user.plan(draft("set_image", {"images": {"main": "web:2"}}))
    before = original.written()
    code, answer, said = user.run("change", "rehearse", plan)
    assert code == 0, (said, answer)
    assert (answer["rehearsal"]["ended"], answer["rehearsal"]["undo"]) == ("verified", "proved")
    assert "no pod around runs web:2" in " ".join(answer["rehearsal"]["differences"])
    assert original.written() == before
