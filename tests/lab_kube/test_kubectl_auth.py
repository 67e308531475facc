"""A real, unmodified kubectl and the lab's access control: who may what, roles and bindings by flags, tokens, --as."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from midwatch_lab.files import LabInfo

pytestmark = [pytest.mark.slow, pytest.mark.kubectl]

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]
PODS = ["pods", "pods/log"]


@pytest.fixture(scope="module")
def k(running: LabInfo, kubectl: Path) -> Run:
    """Runs kubectl as an administrator, or by another token in the place of theirs."""

    def run(*arguments: str, stdin: str = "", token: str = "", code: int = 0) -> Done:
        config = yaml.safe_load(running.kubeconfig.read_text("utf-8"))
        if token:
            config["users"][0]["user"] = {"token": token}
        file = running.dir / f"kubectl-{token[:8]}.yaml"
        file.write_text(yaml.safe_dump(config), "utf-8")
        done = subprocess.run(
            [str(kubectl), "--kubeconfig", str(file), "-n", "team", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"HOME": str(running.dir), "PATH": "/usr/bin:/bin"},
        )
        assert done.returncode == code, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    run("create", "namespace", "team")
    return run


def as_json(k: Run, *arguments: str) -> dict[str, Any]:
    return json.loads(k(*arguments, "-o", "json").stdout)


def test_can_i_answers_by_role_and_by_exit_code(k: Run, running: LabInfo) -> None:
    assert k("auth", "can-i", "delete", "pods").stdout == "yes\n"
    viewer = running.tokens["viewer"]
    assert k("auth", "can-i", "list", "pods", token=viewer).stdout == "yes\n"
    assert k("auth", "can-i", "delete", "pods", token=viewer, code=1).stdout == "no\n"
    assert k("auth", "can-i", "get", "secrets", token=viewer, code=1).stdout == "no\n"
    assert k("auth", "can-i", "get", "pods", "--subresource=log", token=viewer).stdout == "yes\n"
    assert k("auth", "can-i", "list", "pods.metrics.k8s.io", token=viewer).stdout == "yes\n"
    assert k("auth", "can-i", "get", "/version", token=running.tokens["nobody"]).stdout == "yes\n"
    assert k("auth", "can-i", "get", "/metrics", token=running.tokens["nobody"], code=1).stdout == "no\n"


def test_can_i_list_prints_the_rules_that_are_held(k: Run, running: LabInfo) -> None:
    lines = k("auth", "can-i", "--list", token=running.tokens["nobody"]).stdout.splitlines()
    assert lines[0].split("   ")[0] == "Resources"
    assert any(line.startswith("selfsubjectaccessreviews.authorization.k8s.io") for line in lines)
    assert any("[/api/*]" in line and line.endswith("[get]") for line in lines)
    everything = k("auth", "can-i", "--list").stdout
    assert any(line.split() == ["*.*", "[]", "[]", "[*]"] for line in everything.splitlines())


def test_whoami_tells_user_and_groups(k: Run, running: LabInfo) -> None:
    shown = k("auth", "whoami", token=running.tokens["viewer"]).stdout
    assert "viewer" in shown
    assert "[viewers system:authenticated]" in shown
    assert as_json(k, "auth", "whoami")["status"]["userInfo"]["groups"] == ["system:masters", "system:authenticated"]


def test_roles_and_bindings_are_made_by_flags_and_count_at_once(k: Run, running: LabInfo) -> None:
    nobody = running.tokens["nobody"]
    k("create", "role", "reader", "--verb=get,list", "--resource=pods,pods/log", "--resource-name=a")
    rules = as_json(k, "get", "role", "reader")["rules"]
    assert rules == [{"apiGroups": [""], "resourceNames": ["a"], "resources": PODS, "verbs": ["get", "list"]}]
    k("create", "rolebinding", "reader", "--role=reader", "--user=nobody", "--group=g", "--serviceaccount=team:bot")
    assert k("auth", "can-i", "get", "pods/a", token=nobody).stdout == "yes\n"
    assert k("auth", "can-i", "get", "pods/b", token=nobody, code=1).stdout == "no\n"
    refused = k("get", "pods", token=nobody, code=1).stderr
    assert (
        'pods is forbidden: User "nobody" cannot list resource "pods" in API group "" in the namespace "team"'
        in refused
    )
    k("create", "clusterrole", "metrics", "--verb=get", "--non-resource-url=/metrics")
    k("create", "clusterrole", "sizes", "--verb=get,patch", "--resource=deployments.apps/scale")
    k("create", "clusterrolebinding", "metrics", "--clusterrole=metrics", "--user=nobody")
    assert k("auth", "can-i", "get", "/metrics", token=nobody).stdout == "yes\n"
    wide = k("get", "rolebinding", "reader", "-o", "wide").stdout.splitlines()
    assert wide[0].split() == ["NAME", "ROLE", "AGE", "USERS", "GROUPS", "SERVICEACCOUNTS"]
    assert wide[1].split()[:2] == ["reader", "Role/reader"]
    assert wide[1].split()[3:] == ["nobody", "g", "team/bot"]
    k("delete", "clusterrolebinding", "metrics")
    assert k("auth", "can-i", "get", "/metrics", token=nobody, code=1).stdout == "no\n"
    assert "PolicyRule" in k("describe", "clusterrole", "sizes").stdout
    assert "Role:" in k("describe", "rolebinding", "reader").stdout


def test_an_aggregated_role_takes_in_what_is_labelled_for_it(k: Run, running: LabInfo) -> None:
    assert as_json(k, "get", "clusterrole", "view")["rules"]
    k("create", "clusterrole", "see-nodes", "--verb=list", "--resource=nodes")
    assert k("auth", "can-i", "list", "nodes", token=running.tokens["viewer"], code=1).stdout.endswith("no\n")
    k("label", "clusterrole", "see-nodes", "rbac.authorization.k8s.io/aggregate-to-view=true")
    k("wait", "clusterrole/edit", '--for=jsonpath={.rules[?(@.resources[0]=="nodes")].verbs[0]}=list', "--timeout=20s")
    assert k("auth", "can-i", "list", "nodes", token=running.tokens["viewer"]).stdout.endswith("yes\n")


def test_a_role_ref_cannot_change_and_reconcile_makes_the_binding_anew(k: Run) -> None:
    k("create", "clusterrolebinding", "devs", "--clusterrole=view", "--group=devs")
    changed = '{"roleRef":{"name":"edit"}}'
    refused = k("patch", "clusterrolebinding", "devs", "--type=merge", "-p", changed, code=1).stderr
    assert "cannot change roleRef" in refused
    wanted = as_json(k, "get", "clusterrolebinding", "devs")
    wanted["roleRef"]["name"] = "edit"
    wanted["metadata"] = {"name": "devs"}
    more: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "fresh"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    done = k("auth", "reconcile", "-f", "-", stdin=yaml.safe_dump_all([wanted, more])).stdout
    assert "clusterrolebinding.rbac.authorization.k8s.io/devs reconciled" in done
    assert "clusterrole.rbac.authorization.k8s.io/fresh reconciled" in done
    assert as_json(k, "get", "clusterrolebinding", "devs")["roleRef"]["name"] == "edit"
    more["rules"][0]["verbs"] = ["list"]
    k("auth", "reconcile", "-f", "-", stdin=yaml.safe_dump(more))
    held = [verb for rule in as_json(k, "get", "clusterrole", "fresh")["rules"] for verb in rule["verbs"]]
    assert sorted(held) == ["get", "list"]


def test_a_service_account_gets_a_token_and_acts_by_it(k: Run) -> None:
    k("create", "serviceaccount", "worker")
    token = k("create", "token", "worker", "--duration=20m").stdout.strip()
    assert "may not specify a duration less than" in k("create", "token", "worker", "--duration=1m", code=1).stderr
    info = json.loads(k("auth", "whoami", "-o", "json", token=token).stdout)["status"]["userInfo"]
    assert info["username"] == "system:serviceaccount:team:worker"
    assert "system:serviceaccounts:team" in info["groups"]
    refused = k("get", "configmaps", token=token, code=1).stderr
    assert 'User "system:serviceaccount:team:worker" cannot list resource "configmaps"' in refused
    k("create", "rolebinding", "worker", "--clusterrole=edit", "--serviceaccount=team:worker")
    k("create", "configmap", "made-by-worker", "--from-literal=a=b", token=token)
    k("delete", "serviceaccount", "worker")
    assert "Unauthorized" in k("get", "configmaps", token=token, code=1).stderr


def test_one_acts_as_another_with_their_rights(k: Run, running: LabInfo) -> None:
    assert as_json(k, "auth", "whoami", "--as=jane", "--as-group=devs")["status"]["userInfo"]["groups"] == [
        "devs",
        "system:authenticated",
    ]
    assert 'User "jane" cannot list' in k("get", "secrets", "--as=jane", code=1).stderr
    assert k("auth", "can-i", "list", "pods", "--as=jane", "--as-group=viewers").stdout == "yes\n"
    account = "--as=system:serviceaccount:team:idle"
    assert k("auth", "can-i", "list", "secrets", account, code=1).stdout == "no\n"
    refused = k("get", "pods", "--as=jane", token=running.tokens["viewer"], code=1).stderr
    assert 'User "viewer" cannot impersonate' in refused


def test_nobody_grants_what_they_do_not_hold(k: Run, running: LabInfo) -> None:
    grants = "create", "clusterrole", "granter", "--verb=create,get,list", "--resource=roles.rbac.authorization.k8s.io"
    k(*grants)
    k("create", "clusterrolebinding", "granter", "--clusterrole=granter", "--user=editor")
    editor = running.tokens["editor"]
    k("create", "role", "mine", "--verb=get", "--resource=pods", token=editor)
    refused = k("create", "role", "more", "--verb=get", "--resource=nodes", token=editor, code=1).stderr
    assert "is attempting to grant RBAC permissions not currently held" in refused
    assert '{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}' in refused
