"""A real, unmodified kubectl and the workloads beside Deployments: rollouts and their history, Jobs, CronJobs."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.kubectl]

Kubectl = Callable[..., str]


def controlled(kind: str, name: str, **spec: Any) -> str:
    """Return the manifest of a StatefulSet or DaemonSet."""
    pod = {"terminationGracePeriodSeconds": 1, "containers": [{"name": "engine", "image": "engine"}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    whole = {"selector": {"matchLabels": {"app": name}}, "template": template} | spec
    return yaml.safe_dump({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": whole})


def job(name: str, argument: str, **spec: Any) -> str:
    """Return the manifest of a Job whose container gets one argument."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "work", "image": "work", "args": [argument]}]}
    whole = {"template": {"spec": pod}} | spec
    return yaml.safe_dump({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": whole})


@pytest.mark.parametrize(
    ("kind", "name", "spec"), [("StatefulSet", "db", {"replicas": 2, "serviceName": "db"}), ("DaemonSet", "agent", {})]
)
def test_rollouts_have_a_status_a_history_and_a_way_back(
    k: Kubectl, kind: str, name: str, spec: dict[str, Any]
) -> None:
    what = f"{kind.lower()}/{name}"
    k("create", "-f", "-", stdin=controlled(kind, name, **spec))
    k("rollout", "status", what, "--timeout=60s")
    first = k("get", "pods", "-l", f"app={name}", "-o", "name").split()
    assert len(first) == 2
    k("rollout", "restart", what)
    k("rollout", "status", what, "--timeout=60s")
    restarted = "jsonpath={.spec.template.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt}"
    assert k("get", what, "-o", restarted)
    assert k("rollout", "history", what).split()[-4:] == ["1", "<none>", "2", "<none>"]
    k("rollout", "undo", what)
    k("rollout", "status", what, "--timeout=60s")
    assert not k("get", what, "-o", restarted)
    assert k("rollout", "history", what).split()[-4:] == ["2", "<none>", "3", "<none>"]
    assert "Labels:\tapp=" in k("rollout", "history", what, "--revision=3").replace(" ", "")
    k("delete", what)


def test_jobs_end_well_or_badly_and_can_be_waited_for(k: Kubectl) -> None:
    k("create", "-f", "-", stdin=job("good", "--help"))
    k("create", "-f", "-", stdin=job("bad", "--nonsense", backoffLimit=0))
    k("wait", "--for=condition=complete", "job/good", "--timeout=60s")
    k("wait", "--for=condition=failed", "job/bad", "--timeout=60s")
    states = {line.split()[0]: line.split()[1:3] for line in k("get", "jobs").splitlines()[1:]}
    assert states == {"good": ["Complete", "1/1"], "bad": ["Failed", "0/1"]}
    assert "usage:" in k("logs", "job/good")
    pods = {line.split()[0][:-6]: line.split()[2] for line in k("get", "pods", "-l", "job-name").splitlines()[1:]}
    assert pods == {"good": "Completed", "bad": "Error"}
    k("delete", "job", "good", "bad")
    k("wait", "--for=delete", "pods", "-l", "job-name", "--timeout=30s")


def test_a_job_is_made_from_a_cron_job(k: Kubectl) -> None:
    k("create", "cronjob", "nightly", "--image=work", "--schedule=0 3 * * *", "--restart=Never", "--", "--help")
    cells = k("get", "cronjob", "nightly").splitlines()[1].split()
    assert cells[:8] == ["nightly", "0", "3", "*", "*", "*", "<none>", "False"]
    k("create", "job", "now", "--from=cronjob/nightly")
    k("wait", "--for=condition=complete", "job/now", "--timeout=60s")
    k("delete", "cronjob", "nightly")
