"""Manifests into a lab and out of it, by the command line: whole or not at all, and nothing but what people wrote."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from midwatch_lab.api.bodies import read_documents
from midwatch_lab.client import LabClient
from midwatch_lab.errors import ManifestError
from midwatch_lab.manifests.exporting import as_yaml, file_name, manifest_of
from midwatch_lab.manifests.reading import read_manifests
from midwatch_lab.objects import Object, dig, name_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.process import LabProcess
from midwatch_lab.store.audit import Origin

WIDGETS = """
apiVersion: x.io/v1
kind: Widget
metadata: {name: w, namespace: shop}
spec: {size: 3}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.x.io}
spec:
  group: x.io
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
"""
SHOP = """
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: words, namespace: shop, resourceVersion: "77", uid: from-elsewhere, creationTimestamp: null}
  data: {number: "1e3", octal: "0777", switch: "on", "y": "n", lines: "one\\ntwo\\n", tricky: "a: b #c ", empty: ""}
- apiVersion: v1
  kind: Secret
  metadata: {name: key, namespace: shop}
  stringData: {word: swordfish}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "registry:5000/web@sha256:0", args: ["-x", "7"]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8000}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
"""


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "midwatch_lab", *arguments])


def exported(folder: Path) -> dict[str, Any]:
    return {path.name: yaml.safe_load(path.read_text("utf-8")) for path in folder.iterdir()}


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a-widgets.yaml").write_text(WIDGETS)
    (folder / "b-shop.yml").write_text(SHOP)
    (folder / "c.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "shop"}})
    )
    (folder / "README.md").write_text("no manifest")
    return folder


@pytest.mark.slow
@pytest.mark.anyio
async def test_what_is_loaded_comes_out_and_loads_again(tmp_path: Path, manifests: Path, kubectl: Path) -> None:
    first, second = tmp_path / "out", tmp_path / "again"
    async with LabProcess(tmp_path / "lab", arguments=("--from", str(manifests))) as process:
        answer = lab("export", str(first), "--dir", str(tmp_path / "lab"), "--json")
        command = [str(kubectl), "--kubeconfig", str(process.info.kubeconfig), "diff", "-f", str(first)]
        assert run(command).stdout == ""
        refused = lab("export", str(first), "--dir", str(tmp_path / "lab"))
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"{first} is there and no empty folder: give another, or empty it" in refused.stderr
    said = json.loads(answer.stdout)
    assert (said["to"], said["objects"], said["kinds"]["Widget"]) == (str(first), 8, 1)
    assert sorted(path.name for path in first.iterdir()) == [
        "0-namespace-shop.yaml",
        "1-customresourcedefinition-widgets.x.io.yaml",
        "3-configmap-shop-words.yaml",
        "3-secret-shop-key.yaml",
        "3-service-shop-web.yaml",
        "3-serviceaccount-shop-robot.yaml",
        "4-deployment-shop-web.yaml",
        "5-widget-shop-w.yaml",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in first.iterdir()} == {0o600}
    out = exported(first)
    assert out["3-service-shop-web.yaml"]["spec"] == {
        "type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000, "protocol": "TCP"}],
    }  # fmt: skip
    assert out["3-secret-shop-key.yaml"]["data"] == {"word": "c3dvcmRmaXNo"}
    assert set(out["3-configmap-shop-words.yaml"]["metadata"]) == {"name", "namespace"}
    async with LabProcess(tmp_path / "lab", arguments=("--from", str(first))) as process:
        assert lab("export", str(second), "--dir", str(tmp_path / "lab")).stdout == f"8 objects written to {second}\n"
        async with LabClient(process.info) as client:
            (widget,) = (await client.request("GET", "/apis/x.io/v1/widgets")).json()["items"]
            assert widget["spec"] == {"size": 3}
    assert exported(second) == out


@pytest.mark.slow
def test_one_fault_and_nothing_is_loaded(tmp_path: Path, manifests: Path) -> None:
    bad = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "shop"},
        "spec": {"replica": 2},
    }
    lost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "nowhere"}}
    alien = {"apiVersion": "y.io/v1", "kind": "Gadget", "metadata": {"name": "g"}}
    (manifests / "d.yaml").write_text("---\n".join(yaml.safe_dump(found) for found in (bad, lost, alien)))
    store = tmp_path / "lab.db"
    refused = lab("up", "--dir", str(tmp_path / "lab"), "--from", str(manifests), "--store", str(store))
    assert (refused.returncode, refused.stdout) == (2, "")
    file = manifests / "d.yaml"
    first, second, third = refused.stderr.removeprefix("midwatch: ").splitlines()
    assert (
        first
        == f'{file}, document 2 (ConfigMap nowhere/c): namespaces "nowhere" not found: add a manifest of the Namespace'
    )
    assert first_words(second) == f"{file}, document 1 (Deployment shop/d)"
    assert "spec.replica" in second
    assert third.startswith(f"{file}, document 3 (Gadget g): the lab serves no Gadget of y.io/v1")
    (manifests / "d.yaml").unlink()
    again = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "midwatch_lab",
            "up",
            "--json",
            "--exit-with-stdin",
            "--dir",
            str(tmp_path / "lab"),
            "--store",
            str(store),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert again.stdout is not None
    again.stdout.readline()
    lab("export", str(tmp_path / "out"), "--dir", str(tmp_path / "lab"))
    again.communicate(timeout=20)
    assert list((tmp_path / "out").iterdir()) == []


def first_words(line: str) -> str:
    return line.partition("):")[0] + ")"


NO_KIND = "apiVersion: v1\n---\n{apiVersion: v1, kind: Pod}"
TWICE = "apiVersion: v1\nkind: Pod\nkind: Pod\nmetadata: {name: a}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "did not find expected node content"),
        ("- 1", "document 1: an object is wanted, this is list"),
        ("kind: Pod", "document 1: apiVersion: Required value"),
        (NO_KIND, "document 1: kind: Required value\n.*document 2 .Pod.: metadata.name: Required value"),
        (TWICE, 'document 1: line 3: key "kind" already set in map'),
        ("apiVersion: v1\nkind: List\nitems: [{kind: Pod}]", "document 1, item 1: apiVersion: Required value"),
    ],
)
def test_a_file_that_is_no_manifest_is_named_with_the_document_and_the_field(
    tmp_path: Path, text: str, why: str
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ManifestError, match=why) as refused:
        read_manifests(tmp_path)
    assert all(line.startswith(str(file)) for line in str(refused.value).splitlines())


def test_a_folder_without_manifests_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="has no manifests"):
        read_manifests(tmp_path)
    with pytest.raises(ManifestError, match="cannot be read: No such file"):
        read_manifests(tmp_path / "none.yaml")


def test_texts_stay_texts_and_names_stay_files() -> None:
    texts = [
        "1e3",
        "0x1F",
        "0o7",
        "on",
        "No",
        "y",
        "~",
        "null",
        "12:30",
        "2026-01-01",
        "- a",
        "",
        " a",
        "a\n",
        "a\n\nb",
        "a \nb",
        "\ta\nb",
        "ü",
        "=",
        "<<",
        "@a",
        "a: b",
        "a #b",
        "\x01",
        "\u2028",
        "1_000",
        ".5",
        "+1",
    ]
    obj = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x" * 253, "namespace": "n"},
        "data": dict(zip(map(str, range(99)), texts, strict=False)),
    }
    assert yaml.safe_load(as_yaml(obj)) == obj
    assert read_documents(as_yaml(obj).encode()) == [(obj, ())]
    assert len(file_name(obj)) < 255
    assert file_name(obj) != file_name({**obj, "metadata": {"name": "x" * 252, "namespace": "n"}})


def test_the_parts_of_the_cluster_export_nothing_of_their_own(plane: ControlPlane) -> None:
    user = Origin("u", "create", "/", manager="kubectl")
    cluster = Origin("c", "update", "/", manager="kube-controller-manager")
    maps = plane.registry.catalog.by_kind("v1", "ConfigMap")
    assert maps is not None
    made = plane.registry.create(maps, "llm", {"metadata": {"name": "a"}, "data": {"mine": "1"}}, user)
    plane.registry.create(maps, "llm", {"metadata": {"name": "b"}, "data": {"theirs": "1"}}, cluster)
    draft: Object = orjson.loads(orjson.dumps(made))
    draft["data"]["theirs"] = "2"
    plane.registry.update(maps, made, draft, cluster)
    found = [manifest_of(maps, obj) for obj in plane.store.items(maps.key, "llm")]
    assert [name_of(manifest) for manifest in found if manifest] == ["a"]
    assert dig(found[0], "data") == {"mine": "1"}
