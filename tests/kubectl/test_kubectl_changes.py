"""Changes in place and deletes: `patch`, `edit`, `set`, `label`, `annotate`, `scale`, `delete`, as on the original."""

import json
from pathlib import Path

import pytest

from kubectl_harness import Twins
from kubectl_harness.manifests import as_list, config, deployment, pod, service

pytestmark = [pytest.mark.slow, pytest.mark.kubectl, pytest.mark.original]

SEEN = ["-o", "yaml", "--show-managed-fields"]


@pytest.fixture(scope="module")
def k(both: Twins) -> Twins:
    both("create", "-f", "-", stdin=as_list(deployment(), service(), pod("a"), config("settings", a="1")))
    return both


@pytest.mark.parametrize(
    "words",
    [
        ["image", "deployment/web", "web=nginx:2"],
        ["image", "deployment", "--all", "*=nginx:3"],
        ["env", "deployment/web", "COLOR=blue", "POD-"],
        ["env", "deployment/web", "--from=configmap/settings", "--prefix=S_"],
        ["resources", "deployment/web", "--limits=cpu=500m,memory=1Gi", "--requests=cpu=200m"],
        ["serviceaccount", "deployment/web", "robot"],
        ["selector", "service/web", "app=other"],
    ],
    ids=" ".join,
)
def test_set_changes_one_thing(k: Twins, words: list[str]) -> None:
    k("set", *words, "--dry-run=server")
    assert k("set", *words)
    k("get", "deployment,service", *SEEN)


def test_set_refuses_what_is_not_there(k: Twins) -> None:
    assert "unable to find container" in k("set", "image", "deployment/web", "other=nginx:2", code=1)
    assert "not found" in k("set", "env", "deployment/nobody", "A=1", code=1)
    k("set", "resources", "deployment/web", "--limits=cpu=10m", "--requests=cpu=2", code=1)
    assert "COLOR" in k("set", "env", "deployment/web", "--list")


@pytest.mark.parametrize("verb", ["label", "annotate"])
def test_labels_and_annotations_are_set_kept_and_removed(k: Twins, verb: str) -> None:
    assert k(verb, "pod", "a", "team=night", "word=1")
    assert "already has a value" in k(verb, "pod", "a", "team=day", code=1)
    k(verb, "pod", "a", "team=day", "--overwrite")
    k(verb, "pods", "--all", "word-")
    k(verb, "pod", "a", "word-")
    k(verb, "pod", "a", "bad key=1", code=1)
    k(verb, "pod", "a", "--resource-version=1", "team=x", "--overwrite", code=1)
    k("label", "pod", "a", "team=" + "x" * 64, "--overwrite", code=1)
    k(verb, "pods,configmaps", "-l", "app=web", "all=yes", "--dry-run=server")
    k("get", "pod", "a", *SEEN)


@pytest.mark.parametrize(
    "words",
    [
        ["--type=strategic", "-p", '{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"x:1"}]}}}}'],
        ["--type=merge", "-p", '{"metadata":{"annotations":{"note":null}},"spec":{"replicas":4}}'],
        ["--type=json", "-p", '[{"op":"test","path":"/kind","value":"Deployment"},{"op":"remove","path":"/status"}]'],
        ["--subresource=status", "--type=merge", "-p", '{"status":{"replicas":2,"observedGeneration":1}}'],
        ["--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":6}}'],
        ["-p", "spec:\n  paused: true"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_patch_takes_all_three_kinds_and_subresources(k: Twins, words: list[str]) -> None:
    k("patch", "deployment", "web", *words, "--dry-run=server", "-o", "yaml")
    assert "patched" in k("patch", "deployment", "web", *words)
    assert "no change" in k("patch", "deployment", "web", *words) or "json" in words[0]
    k("get", "deployment", "web", *SEEN)


@pytest.mark.parametrize(
    "words",
    [
        ["-p", '{"spec":{"replicas":"many"}}'],
        ["-p", '{"spec":{"replicas":-1}}'],
        ["-p", '{"spec":{"selector":{"matchLabels":{"a":"b"}}}}'],
        ["-p", "{"],
        ["--type=json", "-p", '[{"op":"remove","path":"/spec/color"}]'],
        ["--type=json", "-p", '{"op":"remove"}'],
        ["--type=merge", "-p", '{"metadata":{"name":"other"}}'],
        ["--subresource=status", "-p", '{"status":{"replicas":-1}}'],
    ],
    ids=" ".join,
)
def test_patch_refuses_what_the_original_refuses(k: Twins, words: list[str]) -> None:
    k("patch", "deployment", "web", *words, code=1)


def test_patch_warns_of_unknown_fields(k: Twins) -> None:
    assert 'unknown field "spec.color"' in k("patch", "deployment", "web", "-p", '{"spec":{"color":"red"}}')


def test_edit_saves_what_an_editor_leaves(k: Twins) -> None:
    def edited(script: str, *words: str, code: int = 0) -> str:
        return k("edit", "deployment/web", *words, environment={"KUBE_EDITOR": f"sed -i {script}"}, code=code)

    assert "edited" in edited(r"s/^\ \ replicas:.*/\ \ replicas:\ 5/")
    assert k("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "5"
    assert "no changes made" in edited("s/nowhere/there/")
    assert "edited" in edited(r"s/^\ \ replicas:.*/\ \ replicas:\ 7/", "--subresource=status")
    k("get", "deployment", "web", *SEEN)


def test_an_edit_that_is_invalid_is_kept_for_another_try(k: Twins) -> None:
    script = r"sed -i s/^\ \ replicas:.*/\ \ replicas:\ -5/"
    said = k("edit", "deployment/web", environment={"KUBE_EDITOR": script}, code=1)
    assert "is invalid" in said
    (kept,) = (Path(line.split('"')[1]) for line in said.splitlines() if "stored to" in line)
    assert "must be greater than or equal to 0" in kept.read_text()
    kept.unlink()


def test_scale_heeds_what_it_was_told_to_expect(k: Twins) -> None:
    assert "scaled" in k("scale", "deployment/web", "--replicas=3")
    assert "scaled" in k("scale", "deployment/web", "--current-replicas=3", "--replicas=2")
    assert "Expected replicas to be 9, was 2" in k(
        "scale", "deployment/web", "--current-replicas=9", "--replicas=2", code=1
    )
    k("scale", "deployment/web", "--resource-version=1", "--replicas=2", code=1)
    k("scale", "pod/a", "--replicas=2", code=1)
    k("scale", "deployment/web", "--replicas=1", "--dry-run=server")
    k("scale", "deployment/web", "--replicas=2")
    k("get", "deployment", "web", *SEEN)


def test_rollout_writes_into_a_deployment(k: Twins) -> None:
    k.scrubbed += [(r"restartedAt: \S+", "restartedAt: <time>")]
    k("rollout", "resume", "deployment/web")
    k("rollout", "resume", "deployment/web", code=1)
    assert "paused" in k("rollout", "pause", "deployment/web")
    k("rollout", "restart", "deployment/web", code=1)
    assert "resumed" in k("rollout", "resume", "deployment/web")
    assert "restarted" in k("rollout", "restart", "deployment/web")
    k("rollout", "undo", "deployment/web", code=1)
    k("get", "deployment", "web", *SEEN)


def test_delete_takes_by_name_label_file_and_all(k: Twins) -> None:
    made = [config(name) for name in ("one", "two", "three", "four")]
    for number, item in enumerate(made):
        item["metadata"]["labels"] = {"number": str(number)}
    k("create", "-f", "-", stdin=as_list(*made))
    assert 'configmap "one" deleted' in k("delete", "configmap", "one")
    k("delete", "cm", "one", code=1)
    assert k("delete", "cm", "one", "--ignore-not-found") == ""
    k("delete", "cm", "-l", "number=1", "-o", "name")
    k("delete", "--dry-run=server", "-f", "-", stdin=as_list(made[2]))
    assert "deleted" in k("delete", "-f", "-", stdin=as_list(made[2]))
    assert 'configmap "four" deleted' in k("delete", "cm", "--all")
    k("delete", "cm", "--field-selector=metadata.name=nobody")
    k("delete", "namespace/kube-system", "--wait=false", code=1)


@pytest.mark.parametrize("cascade", ["background", "orphan", "foreground"])
def test_delete_cascades_as_told(k: Twins, cascade: str) -> None:
    k("create", "-f", "-", stdin=as_list(deployment(cascade)))
    assert "deleted" in k("delete", "deployment", cascade, f"--cascade={cascade}", "--wait=false")
    if cascade == "background":
        k("get", "deployment", cascade, code=1)
    else:
        assert {"background": "", "orphan": "orphan", "foreground": "foregroundDeletion"}[cascade] in k(
            "get", "deployment", cascade, "-o", "jsonpath={.metadata.finalizers}"
        )


def test_delete_by_force_leaves_no_grace(k: Twins) -> None:
    k("create", "-f", "-", stdin=as_list(pod("bound", nodeName="n9"), pod("forced", nodeName="n9")))
    k("delete", "pod", "bound", "--wait=false", "--grace-period=7")
    found = json.loads(k("get", "pod", "bound", "-o", "json"))
    assert found["metadata"]["deletionGracePeriodSeconds"] == 7
    assert "Immediate deletion does not wait" in k("delete", "pod", "forced", "--force", "--grace-period=0")
    k("get", "pod", "forced", code=1)
    k("delete", "pod", "bound", "--now", "--wait=false")
