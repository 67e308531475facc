"""Labels and annotations on which others act: the reviewed file decides, and what it does not know is dangerous."""

from typing import Any

import pytest

from midwatch_mcp.safe_apply.classification import hazards
from midwatch_mcp.safe_apply.fake_world import EXPECT, World, deployment
from midwatch_mcp.safe_apply.metadata_keys import key_findings

pytestmark = pytest.mark.anyio

CHAT = {"kind": "Deployment", "namespace": "llm", "name": "chat"}


def annotate(
    key: str, value: str | None = "x", *, group: str = "annotations", template: bool = False
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"metadata": {group: {key: value}}}
    patch = {"spec": {"template": metadata}} if template else metadata
    return {"op": "patch", "target": CHAT, "args": {"type": "merge", "patch": patch}}


async def risk(world: World, operation: dict[str, Any]) -> str:
    judged = await world.envelope.judge({"title": "A draft", "operations": [operation], "expect": [EXPECT]})
    return judged.risk


JUDGED = {
    "note": "change",
    "prometheus.io/port": "change",
    "checksum/config": "change",
    "kubectl.kubernetes.io/restartedAt": "change",
    "reloader.stakater.com/auto": "dangerous",
    "unheard.of/key": "dangerous",
    "service.beta.kubernetes.io/aws-load-balancer-scheme": "dangerous",
    "external-dns.alpha.kubernetes.io/hostname": "dangerous",
    "nginx.ingress.kubernetes.io/rewrite-target": "dangerous",
    "nginx.ingress.kubernetes.io/server-snippet": "forbidden",
    "vault.hashicorp.com/agent-inject": "forbidden",
    "iam.amazonaws.com/role": "forbidden",
    "eks.amazonaws.com/role-arn": "forbidden",
    "iam.gke.io/gcp-service-account": "forbidden",
    "azure.workload.identity/use": "forbidden",
    "linkerd.io/inject": "forbidden",
    "config.linkerd.io/proxy-image": "forbidden",
    "istio-injection": "forbidden",
    "container.apparmor.security.beta.kubernetes.io/engine": "forbidden",
    "seccomp.security.alpha.kubernetes.io/pod": "forbidden",
    "instrumentation.opentelemetry.io/inject-python": "forbidden",
    "unheard.of/agent-inject": "forbidden",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "forbidden",
}


@pytest.mark.parametrize("where", ["object", "pods"])
async def test_a_key_is_judged_by_who_acts_on_it(world: World, where: str) -> None:
    assert {key: await risk(world, annotate(key, template=where == "pods")) for key in JUDGED} == JUDGED


async def test_a_label_and_a_key_that_is_taken_away_are_judged_the_same(world: World) -> None:
    assert (
        await risk(world, annotate("azure.workload.identity/use", "true", group="labels", template=True)) == "forbidden"
    )
    world.cluster.put(deployment(annotations={"linkerd.io/inject": "enabled", "unheard.of/key": "x"}))
    assert await risk(world, annotate("linkerd.io/inject", None)) == "forbidden"
    assert await risk(world, annotate("unheard.of/key", None)) == "dangerous"
    assert await risk(world, annotate("unheard.of/key", "x") | {"op": "scale", "args": {"replicas": 4}}) == "change"


async def test_the_policy_says_on_which_nobody_acts_and_what_a_person_may_approve(world: World) -> None:
    policy = world.state / "policy.toml"
    policy.write_text('inert = ["*"]\n')
    assert await risk(world, annotate("unheard.of/key")) == "change"
    assert await risk(world, annotate("linkerd.io/inject")) == "forbidden"
    policy.write_text('let_through = ["*linkerd.io/*"]\n')
    assert await risk(world, annotate("linkerd.io/inject")) == "dangerous"


def test_every_line_is_reached() -> None:
    keys = hazards().keys
    assert len({hazard.name for hazard in keys}) == len(keys)
    for hazard in keys:
        sample = hazard.name.replace("*", "zz")
        found = list(key_findings([sample], ()))
        assert [one.name for one in found] == ([] if hazard.risk == "change" else [hazard.name]), sample
