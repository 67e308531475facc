"""A real, unmodified kubectl on custom resources of a running lab: from the definition to what explain says of it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from midwatch_lab.files import LabInfo

pytestmark = [pytest.mark.slow, pytest.mark.kubectl]

Done = subprocess.CompletedProcess[str]
Kubectl = Callable[..., str]
GROUP = "kube.example.com"
SPEC = {
    "type": "object",
    "required": ["color"],
    "properties": {
        "color": {"type": "string", "enum": ["red", "blue"]},
        "replicas": {"type": "integer", "default": 1},
        "parts": {"type": "object", "properties": {"wheels": {"type": "integer"}}},
    },
}
STATUS = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"carts.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "carts", "singular": "cart", "kind": "Cart", "shortNames": ["ct"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}},
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [
                    {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
                    {"name": "Wheels", "type": "integer", "jsonPath": ".spec.parts.wheels", "priority": 1},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
            }
        ],
    },
}


def cart(name: str, **spec: Any) -> str:
    manifest = {"apiVersion": f"{GROUP}/v1", "kind": "Cart", "metadata": {"name": name}, "spec": spec}
    return yaml.safe_dump(manifest)


@pytest.fixture(scope="module")
def raw(kubectl: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Done]]:
    folder = tmp_path_factory.mktemp("lab")
    command = [sys.executable, "-m", "midwatch_lab", "up", "--dir", str(folder), "--json", "--exit-with-stdin"]
    with (folder / "lab.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        running = LabInfo.of(json.loads(process.stdout.readline()))

        def run(*arguments: str, stdin: str = "") -> Done:
            command = [str(kubectl), "--kubeconfig", str(running.kubeconfig), *arguments]
            environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
            return subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=90, check=False, env=environment
            )

        yield run
    finally:
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def k(raw: Callable[..., Done]) -> Kubectl:
    """Runs kubectl on a lab in which carts are defined and one is made, and returns what it prints."""

    def run(*arguments: str, stdin: str = "") -> str:
        done = raw(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    assert "created" in run("apply", "-f", "-", stdin=yaml.safe_dump(DEFINITION))
    run("wait", "--for=condition=Established", f"crd/carts.{GROUP}", "--timeout=10s")
    assert "cart.kube.example.com/one created" in run("apply", "-f", "-", stdin=cart("one", color="red"))
    return run


def test_api_resources_and_api_versions_list_a_defined_resource(k: Kubectl) -> None:
    listed = k("api-resources", f"--api-group={GROUP}", "--no-headers", "-o", "wide").split()
    assert listed[:5] == ["carts", "ct", f"{GROUP}/v1", "true", "Cart"]
    assert listed[-1] == "all"
    assert f"{GROUP}/v1" in k("api-versions").split()
    assert any(line.split()[:2] == ["carts", "ct"] for line in k("api-resources", "--categories=all").splitlines())


def test_explain_shows_the_schema_of_a_definition(k: Kubectl) -> None:
    whole = k("explain", "cart")
    assert "KIND:       Cart" in whole
    assert "spec\t<Object>" in whole
    parts = k("explain", "cart.spec.parts")
    assert "wheels\t<integer>" in parts
    assert "<empty>" in parts
    recursive = k("explain", "carts", "--recursive")
    assert "color\t<string> -required-" in recursive
    assert "enum: red, blue" in recursive
    assert "managedFields\t<[]ManagedFieldsEntry>" in recursive


def test_explain_shows_what_a_definition_is_made_of(k: Kubectl) -> None:
    assert "openAPIV3Schema\t<JSONSchemaProps>" in k("explain", "crd.spec.versions.schema")


def test_explain_reads_the_older_documents_too(k: Kubectl) -> None:
    parts = k("explain", "cart.spec.parts", "--output=plaintext-openapiv2")
    assert "wheels\t<integer>" in parts
    assert "replicas\t<integer>" in k("explain", "deployment.spec", "--output=plaintext-openapiv2")


def test_get_prints_the_columns_of_a_definition(k: Kubectl) -> None:
    lines = [line.split() for line in k("get", "ct").splitlines()]
    assert lines[0] == ["NAME", "COLOR", "AGE"]
    assert lines[1][:2] == ["one", "red"]
    assert k("get", "cart", "one", "-o", "wide").splitlines()[0].split() == ["NAME", "COLOR", "WHEELS", "AGE"]
    assert k("get", "cart", "one", "-o", "jsonpath={.spec.replicas}") == "1"
    assert "cart.kube.example.com/one" in k("get", "all", "-o", "name")
    assert k("get", "crd", "--no-headers").split()[0] == f"carts.{GROUP}"


def test_describe_shows_a_custom_resource(k: Kubectl) -> None:
    words = k("describe", "cart", "one").split()
    assert words[words.index("Kind:") + 1] == "Cart"
    assert words[words.index("Color:") + 1] == "red"


def test_apply_is_idempotent_and_refuses_what_the_schema_refuses(k: Kubectl, raw: Callable[..., Done]) -> None:
    assert "cart.kube.example.com/one unchanged" in k("apply", "-f", "-", stdin=cart("one", color="red"))
    assert k("diff", "-f", "-", stdin=cart("one", color="red")) == ""
    refused = raw("apply", "-f", "-", stdin=cart("one", color="green"))
    assert 'spec.color: Unsupported value: "green": supported values: "red", "blue"' in refused.stderr
    refused = raw("apply", "-f", "-", stdin=cart("new", color="red", doors=2))
    assert 'strict decoding error: unknown field "spec.doors"' in refused.stderr
    applied = k("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=cart("one", color="red"))
    assert "serverside-applied" in applied
    assert "created (server dry run)" in k("create", "--dry-run=server", "-f", "-", stdin=cart("new", color="blue"))
    assert raw("get", "cart", "new").returncode == 1


def test_patch_takes_merge_and_json_and_no_strategic_patches(k: Kubectl, raw: Callable[..., Done]) -> None:
    k("patch", "cart", "one", "--type=merge", "-p", '{"spec":{"parts":{"wheels":4}}}')
    k("patch", "cart", "one", "--type=json", "-p", '[{"op":"replace","path":"/spec/parts/wheels","value":3}]')
    assert k("get", "cart", "one", "-o", "jsonpath={.spec.parts.wheels}") == "3"
    refused = raw("patch", "cart", "one", "-p", '{"spec":{"color":"blue"}}')
    assert "application/strategic-merge-patch+json is not supported" in refused.stderr


def test_scale_and_the_status_subresource_reach_a_custom_resource(k: Kubectl) -> None:
    k("scale", "cart", "one", "--replicas=3")
    assert k("get", "cart", "one", "-o", "jsonpath={.spec.replicas}") == "3"
    k("patch", "cart", "one", "--subresource=status", "--type=merge", "-p", '{"status":{"replicas":2}}')
    assert k("get", "cart", "one", "-o", "jsonpath={.status.replicas}") == "2"


def test_label_and_wait_work_on_a_custom_resource(k: Kubectl) -> None:
    k("label", "cart", "one", "team=night", "--overwrite")
    assert k("get", "ct", "-l", "team=night", "-o", "name").strip() == "cart.kube.example.com/one"
    assert "condition met" in k("wait", "--for=jsonpath={.spec.color}=red", "cart/one", "--timeout=10s")


def test_delete_takes_a_custom_resource_and_then_its_definition(k: Kubectl, raw: Callable[..., Done]) -> None:
    other = json.loads(json.dumps(DEFINITION).replace("cart", "sled").replace("Cart", "Sled").replace('"ct"', '"sl"'))
    k("apply", "-f", "-", stdin=yaml.safe_dump(other))
    sled = cart("one", color="red").replace("Cart", "Sled")
    k("apply", "-f", "-", stdin=sled)
    k("delete", "sled", "one")
    assert raw("get", "sled", "one").returncode == 1
    k("apply", "-f", "-", stdin=sled)
    k("delete", "crd", f"sleds.{GROUP}")
    gone = raw("get", "sleds")
    assert (
        "the server doesn't have a resource type" in gone.stderr
        or "could not find the requested resource" in gone.stderr
    )
    assert k("get", "ct", "-o", "name").strip() == "cart.kube.example.com/one"
