"""`kubectl apply` on either side of the wire, `diff` and `replace`: merges, conflicts and prunes are the original's."""

import json

import pytest
import yaml

from kubectl_harness import Twins
from kubectl_harness.manifests import as_list, config, deployment, pod, service

pytestmark = [pytest.mark.slow, pytest.mark.kubectl, pytest.mark.original]

SEEN = ["-o", "yaml", "--show-managed-fields"]
KUSTOMIZATION = {
    "namePrefix": "night-",
    "labels": [{"pairs": {"team": "night"}}],
    "resources": ["settings.yaml"],
    "configMapGenerator": [{"name": "made", "literals": ["a=1"], "options": {"disableNameSuffixHash": True}}],
}


@pytest.fixture
def k(both: Twins) -> Twins:
    return both


def test_apply_merges_three_ways(k: Twins) -> None:
    one = deployment("merged")
    container = one["spec"]["template"]["spec"]["containers"][0]
    assert "created" in k("apply", "-f", "-", stdin=as_list(one))
    assert "unchanged" in k("apply", "-f", "-", stdin=as_list(one))
    k("label", "deployment", "merged", "by=hand")
    k("set", "env", "deployment/merged", "MORE=1")
    del container["env"][0], container["livenessProbe"]
    container["args"] = ["--port=8081"]
    one["metadata"]["labels"] = {"app": "web"}
    assert "configured" in k("apply", "-f", "-", stdin=as_list(one))
    seen = yaml.safe_load(k("get", "deployment", "merged", *SEEN))
    left = seen["spec"]["template"]["spec"]["containers"][0]
    assert [variable["name"] for variable in left["env"]] == ["POD", "KEY", "MORE"]
    assert "livenessProbe" not in left
    assert seen["metadata"]["labels"] == {"app": "web", "by": "hand"}
    k("apply", "-f", "-", stdin=as_list(one))
    k("apply", "view-last-applied", "deployment/merged")
    k("apply", "edit-last-applied", "deployment/merged", environment={"KUBE_EDITOR": "sed -i s/8081/8082/"})
    assert "8082" in k("apply", "view-last-applied", "deployment/merged", "-o", "json")


def test_apply_adopts_what_was_created_and_warns(k: Twins) -> None:
    k("create", "-f", "-", stdin=as_list(config("adopted", a="1")))
    assert "Warning: resource configmaps/adopted is missing" in k(
        "apply", "-f", "-", stdin=as_list(config("adopted", a="2"))
    )
    k("apply", "set-last-applied", "-f", "-", stdin=json.dumps(config("adopted", a="3")))
    k("get", "cm", "adopted", *SEEN)


def test_apply_refuses_what_cannot_change_and_recreates_by_force(k: Twins) -> None:
    k("apply", "-f", "-", stdin=as_list(pod("fixed")))
    assert "Forbidden: pod updates may not change fields" in k(
        "apply", "-f", "-", stdin=as_list(pod("fixed", hostNetwork=True)), code=1
    )
    changed = as_list(pod("fixed", nodeSelector={"a": "b"}))
    assert "configured" in k("apply", "--force", "--grace-period=0", "-f", "-", stdin=changed)


def test_server_side_apply_keeps_owners_apart(k: Twins) -> None:
    shared = config("shared", a="1", b="1")
    assert "serverside-applied" in k("apply", "--server-side", "-f", "-", stdin=as_list(shared))
    other = ["apply", "--server-side", "--field-manager=other", "-f", "-"]
    conflict = k(*other, stdin=as_list(config("shared", a="2", c="3")), code=1)
    assert ".data.a\nPlease review" in conflict
    k(*other, "--force-conflicts", "--dry-run=server", stdin=as_list(config("shared", a="2", c="3")))
    k(*other, "--force-conflicts", stdin=as_list(config("shared", a="2", c="3")))
    assert yaml.safe_load(k("get", "cm", "shared", *SEEN))["data"] == {"a": "2", "b": "1", "c": "3"}
    k("apply", "--server-side", "-f", "-", stdin=as_list(config("shared")))
    assert yaml.safe_load(k("get", "cm", "shared", *SEEN))["data"] == {"a": "2", "c": "3"}


def test_server_side_apply_takes_over_from_client_side(k: Twins) -> None:
    moved = deployment("moved")
    k("apply", "-f", "-", stdin=as_list(moved))
    moved["spec"]["template"]["spec"]["containers"][0]["env"].pop()
    words = ["apply", "--server-side", "-f", "-"]
    assert "kubectl-client-side-apply" in k(*words, stdin=as_list(moved), code=1)
    assert "serverside-applied" in k(*words, "--force-conflicts", stdin=as_list(moved))
    k("get", "deployment", "moved", *SEEN)
    assert "configured" in k("apply", "-f", "-", stdin=as_list(deployment("moved", replicas=3)))
    k("get", "deployment", "moved", *SEEN)


def test_prune_deletes_what_is_applied_no_more(k: Twins) -> None:
    named = {"labels": {"set": "one"}}
    first, second = ({**config(name), "metadata": {"name": name, **named}} for name in ("kept", "gone"))
    k("apply", "-f", "-", stdin=as_list(first, second))
    words = ["apply", "--prune", "-l", "set=one", "--prune-allowlist=core/v1/ConfigMap", "-f", "-"]
    k(*words, "--dry-run=server", stdin=as_list(first))
    assert "configmap/gone pruned" in k(*words, stdin=as_list(first))
    assert "NotFound" in k("get", "cm", "gone", code=1)


def test_an_applyset_remembers_and_prunes(k: Twins) -> None:
    more = {"KUBECTL_APPLYSET": "true"}
    words = ["apply", "--prune", "--applyset=secrets/fleet", "-n", k.lab.namespace, "-f", "-"]
    k(*words, stdin=as_list(config("in-set"), config("out-of-set")), environment=more)
    k("get", "secret", "fleet", "-o", "yaml")
    assert "configmap/out-of-set pruned" in k(*words, stdin=as_list(config("in-set")), environment=more)
    k("get", "cm", "in-set", "-o", "yaml")


def test_a_kustomization_is_built_and_applied(k: Twins) -> None:
    for side in (k.lab, k.original):
        folder = side.home / "kustomized"
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(KUSTOMIZATION))
        (folder / "settings.yaml").write_text(yaml.safe_dump(config("settings", a="1")))
    assert "night-settings created" in k("apply", "-k", "kustomized")
    assert "team: night" in k("get", "-k", "kustomized", "-o", "yaml")
    assert "deleted" in k("delete", "-k", "kustomized")


def test_diff_tells_by_its_code_and_changes_nothing(k: Twins) -> None:
    k("apply", "-f", "-", stdin=as_list(deployment("differs"), config("differs", a="1")))
    assert k("diff", "-f", "-", stdin=as_list(deployment("differs"))) == ""
    changed = as_list(deployment("differs", replicas=5), config("new", a="1"), config("differs", a="2"))
    assert "+  replicas: 5" in k("diff", "-f", "-", stdin=changed, code=1)
    assert "1 conflict" in k("diff", "--server-side", "-f", "-", stdin=changed, code=2)
    forced = k("diff", "--server-side", "--force-conflicts", "-f", "-", stdin=changed, code=1)
    assert "+  replicas: 5" in forced
    k("get", "deployment", "differs", *SEEN)


def test_replace_needs_the_object_and_heeds_its_version(k: Twins) -> None:
    k("create", "-f", "-", stdin=as_list(config("whole", a="1", b="2"), pod("whole"), service("whole")))
    assert "replaced" in k("replace", "-f", "-", stdin=as_list(config("whole", a="2")))
    k("get", "cm", "whole", *SEEN)
    old = config("whole", a="3")
    old["metadata"]["resourceVersion"] = "1"
    assert "Conflict" in k("replace", "-f", "-", stdin=as_list(old), code=1)
    assert "NotFound" in k("replace", "-f", "-", stdin=as_list(config("nobody")), code=1)
    k("replace", "-f", "-", stdin=as_list(service("whole")))
    forced = as_list(pod("whole", nodeSelector={"a": "b"}))
    assert "replaced" in k("replace", "--force", "--grace-period=0", "-f", "-", stdin=forced)
    k("replace", "--subresource=status", "-f", "-", stdin=as_list({**pod("whole"), "status": {"phase": "Failed"}}))
    assert k("get", "pod", "whole", "-o", "jsonpath={.status.phase}") == "Failed"
