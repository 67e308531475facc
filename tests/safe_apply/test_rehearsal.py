"""Rehearsal over fake clusters: what is copied, what comes of a plan on the copy, and what that outcome is good for."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from midwatch_mcp.errors import SettingsError
from midwatch_mcp.safe_apply.approvals import approvals_for, put_approval
from midwatch_mcp.safe_apply.envelope import Proposal
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import World, deployment, scale, set_blocks
from midwatch_mcp.safe_apply.fakes import FakeCluster, FakeMetrics
from midwatch_mcp.safe_apply.policy_file import load, policy_path
from midwatch_mcp.safe_apply.rehearsal.copying import World as Copied
from midwatch_mcp.safe_apply.rehearsal.copying import copied
from midwatch_mcp.safe_apply.rehearsal.keeping import Rehearsals
from midwatch_mcp.safe_apply.rehearsal.outcome import Rehearsal
from midwatch_mcp.safe_apply.rehearsal.reducing import reduced_object
from midwatch_mcp.safe_apply.rehearsal.running import Copy, Rehearsing

pytestmark = pytest.mark.anyio

SETTLED = {"observedGeneration": 99, "replicas": 4, "updatedReplicas": 4, "availableReplicas": 4, "readyReplicas": 4}
DEMANDING = "[approvals.dangerous]\nrehearsed = true\n"
TO_ZERO = scale("router", 0)


class Stage:
    """A copy in memory, whose Deployments settle, or do not."""

    def __init__(self, world: World, *, settles: bool = True) -> None:
        self.world = world
        self.status: dict[str, Any] = SETTLED if settles else SETTLED | {"availableReplicas": 1}
        self.cluster = FakeCluster("copy-1")
        self.folders: list[Path] = []
        self.approvals: list[str] = []
        self.handed: list[dict[str, Any]] = []

    @asynccontextmanager
    async def __call__(self, copied: Copied, folder: Path) -> AsyncGenerator[Copy]:
        self.folders.append(folder.parent)
        self.handed = copied.manifests
        for manifest in copied.manifests:
            self.cluster.put({**manifest, "status": self.status} if manifest["kind"] == "Deployment" else manifest)
        yield Copy(self.cluster, FakeMetrics(self.world.clock, self.cluster))
        self.approvals = [file.read_text() for file in (folder.parent / "state" / "approvals").glob("*.json")]


async def rehearse(world: World, proposal: Proposal, stage: Any, **changed: Any) -> Rehearsal:
    said: list[str] = []
    options: dict[str, Any] = {"max_pods": 40, "within_s": 30.0, "say": said.append} | changed
    policy = load(policy_path(world.state, None))
    found = await Rehearsing(
        proposal=proposal, live=world.cluster, policy=policy, stage=stage, clock=world.clock, **options
    ).run()
    Rehearsals(world.envelope.journal).put(found)
    return found


async def test_a_plan_is_applied_verified_and_undone_on_the_copy_and_nothing_is_written_here(world: World) -> None:
    proposal, stage = await world.propose(set_blocks()), Stage(world)
    found = await rehearse(world, proposal, stage)
    assert (found.ended, found.undo, found.failed) == ("verified", "proved", ())
    assert [one.entity for one in stage.cluster.writes] == ["Deployment/llm/chat"] * 2
    assert not world.cluster.writes
    assert "expectations over metrics were not judged" in " ".join(found.differences)
    assert not any(folder.exists() for folder in stage.folders)


async def test_a_change_that_does_not_settle_is_told_and_undone_on_the_copy(world: World) -> None:
    found = await rehearse(world, await world.propose(set_blocks()), Stage(world, settles=False))
    assert (found.ended, found.undo) == ("failed", "proved")
    assert found.failed == ("Deployment/llm/chat did not settle within 30 s",)
    assert not found.is_good


async def test_an_approval_of_the_copy_counts_nowhere_else(world: World) -> None:
    proposal, stage = await world.propose(set_blocks()), Stage(world)
    await rehearse(world, proposal, stage)
    assert len(stage.approvals) == 2
    forged = json.loads(stage.approvals[0]) | {"plan_id": proposal.plan.id, "preview_sha256": proposal.preview_sha256}
    assert json.loads(stage.approvals[0])["plan_id"] != proposal.plan.id
    approval = world.approval(proposal).model_validate(forged)
    put_approval(world.state, approval)
    with pytest.raises(RefusedChangeError, match="rehearsal is no approver here"):
        await world.envelope.apply(proposal.plan.id)
    assert approvals_for(world.state, proposal.plan.id) == [approval]
    assert not world.cluster.writes


async def test_the_approval_screen_says_how_it_went_or_that_a_dangerous_plan_was_not_tried(world: World) -> None:
    proposal = await world.propose(TO_ZERO)
    assert proposal.preview.risk == "dangerous"
    assert f"! not rehearsed: `midwatch change rehearse {proposal.plan.id[:12]}`" in proposal.text
    await rehearse(world, proposal, Stage(world))
    text = (await world.envelope.preview(proposal.plan.id)).text
    assert "not rehearsed" not in text
    assert "applied and verified, undone again and proved" in text
    assert "rehears" not in (await world.propose(set_blocks())).text


async def test_a_rehearsal_of_another_preview_does_not_count(world: World) -> None:
    (world.state / "policy.toml").write_text(DEMANDING)
    proposal = await world.propose(TO_ZERO)
    await rehearse(world, proposal, Stage(world))
    world.cluster.put(world.cluster.objects_by_entity["Deployment/llm/router"] | {"metadata": labelled(world)})
    now = await world.envelope.preview(proposal.plan.id)
    assert now.preview_sha256 != proposal.preview_sha256
    world.approve(now)
    with pytest.raises(RefusedChangeError, match="a rehearsal of this very preview first") as refusal:
        await world.envelope.apply(proposal.plan.id)
    assert refusal.value.reason == "not_rehearsed"


def labelled(world: World) -> dict[str, Any]:
    metadata = world.cluster.objects_by_entity["Deployment/llm/router"]["metadata"]
    return metadata | {"managedFields": [owner("/spec/replicas")]}


def owner(pointer: str) -> dict[str, Any]:
    *_, outer, inner = ("", *pointer.split("/")[1:])
    fields: dict[str, Any] = {f"f:{outer}": {f"f:{inner}": {}}}
    return {"manager": "somebody", "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": fields}


@pytest.mark.parametrize(("had", "says"), [("none", "run `midwatch change rehearse"), ("bad", "did not settle")])
async def test_a_policy_that_demands_a_rehearsal_refuses_without_a_good_one(world: World, had: str, says: str) -> None:
    (world.state / "policy.toml").write_text(DEMANDING)
    proposal = await world.propose(TO_ZERO)
    if had == "bad":
        found = await rehearse(world, proposal, Stage(world))
        bad = found.model_copy(update={"ended": "failed", "failed": ("Deployment/llm/router did not settle",)})
        Rehearsals(world.envelope.journal).put(bad)
    world.approve(proposal)
    with pytest.raises(RefusedChangeError, match=says) as refusal:
        await world.envelope.apply(proposal.plan.id)
    assert refusal.value.reason == "not_rehearsed"
    assert not world.cluster.writes


async def test_with_a_good_one_the_approval_that_was_given_before_counts(world: World) -> None:
    (world.state / "policy.toml").write_text(DEMANDING)
    proposal = await world.propose(TO_ZERO)
    world.approve(proposal)
    await rehearse(world, proposal, Stage(world))
    change = await world.envelope.apply(proposal.plan.id)
    assert change.state != "rejected"
    assert [one.entity for one in world.cluster.writes] == ["Deployment/llm/router"]
    kinds = [json.loads(line)["kind"] for line in world.envelope.audit.path.read_text().splitlines()]
    assert kinds[:3] == ["proposed", "previewed", "rehearsed"]


async def test_a_plan_that_the_policy_lets_pass_needs_none(world: World) -> None:
    (world.state / "policy.toml").write_text(DEMANDING)
    proposal = await world.propose(set_blocks())
    world.approve(proposal)
    await world.envelope.apply(proposal.plan.id)
    assert world.cluster.writes


# What is copied


async def test_secrets_are_not_read_and_stand_ins_have_their_keys(world: World) -> None:
    value = deployment()
    env = [{"name": "HF", "valueFrom": {"secretKeyRef": {"name": "token", "key": "hf"}}}]
    value["spec"]["template"]["spec"]["containers"][1]["env"] = env
    world.cluster.put(value)
    data = {"hf": "dmVyeS1zZWNyZXQ="}
    world.cluster.put(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": "llm"}, "data": data}
    )
    stage = Stage(world)
    found = await rehearse(world, await world.propose(set_blocks()), stage)
    assert found.ended == "verified"
    secrets = [one for one in stage.handed if one["kind"] == "Secret"]
    assert [(one["metadata"]["name"], list(one["data"])) for one in secrets] == [("token", ["hf"])]
    assert "dmVyeS1zZWNyZXQ=" not in json.dumps(stage.handed)


async def test_what_stands_around_a_workload_comes_along_and_nothing_else(world: World) -> None:
    def around(kind: str, name: str, spec: dict[str, Any], version: str = "v1") -> None:
        world.cluster.put(
            {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "llm"}, "spec": spec}
        )

    around("Service", "chat", {"selector": {"app": "chat"}, "clusterIP": "10.0.0.7", "ports": [{"port": 80}]})
    around("Service", "router", {"selector": {"app": "router"}, "ports": [{"port": 80}]})
    around("PodDisruptionBudget", "chat", {"selector": {"matchLabels": {"app": "chat"}}}, "policy/v1")
    target = {"kind": "Deployment", "name": "chat"}
    around("HorizontalPodAutoscaler", "chat", {"scaleTargetRef": target, "maxReplicas": 4}, "autoscaling/v2")
    found = await copied((await world.propose(set_blocks())).plan, world.cluster)
    names = {(one["kind"], one["metadata"]["name"]) for one in found.manifests}
    assert names == {
        *(("Namespace", "llm"), ("Deployment", "chat"), ("Service", "chat")),
        *(("PodDisruptionBudget", "chat"), ("HorizontalPodAutoscaler", "chat")),
    }
    (service,) = (one for one in found.manifests if one["kind"] == "Service")
    assert "clusterIP" not in service["spec"]


def pod_of(image: str, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{image}", "namespace": "llm"},
        "spec": {"containers": [{"name": "main", "image": image}]},
        "status": {"containerStatuses": [{"name": "main", "state": state}]},
    }


async def test_an_image_that_nobody_could_pull_here_is_missing_in_the_copy(world: World) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff"}}
    world.cluster.put(pod_of("shop:broken", waiting))
    world.cluster.put(pod_of("shop:1", {"running": {"startedAt": "2026-01-01T00:00:00Z"}}))
    world.cluster.put(pod_of("shop:new", {"waiting": {"reason": "ContainerCreating"}}))
    found = await copied((await world.propose(set_blocks())).plan, world.cluster)
    assert found.missing_images == {"shop:broken"}
    assert found.images == {"shop:1"}


def test_what_a_lab_does_not_play_is_cut_and_told_and_the_owners_of_fields_stay() -> None:
    value = deployment()
    pod = value["spec"]["template"]["spec"]
    pod |= {"nodeSelector": {"gpu": "h100"}, "initContainers": [{"name": "init"}], "serviceAccountName": "chat"}
    probe = {"exec": {"command": ["true"]}}
    pod["containers"][1] |= {"resources": {"limits": {"nvidia.com/gpu": "8"}}, "readinessProbe": probe}
    value["metadata"] |= {"uid": "1", "resourceVersion": "7", "managedFields": [owner("/spec/replicas")]}
    value["metadata"]["managedFields"].append(owner("/status/replicas") | {"subresource": "status"})
    cuts: set[str] = set()
    found = reduced_object(value | {"status": {"replicas": 3}}, cuts)
    assert found["spec"]["template"]["spec"] == {
        "containers": [
            {"name": "sidecar", "image": "sidecar:1"},
            {key: pod["containers"][1][key] for key in ("name", "image", "args", "ports")},
        ]
    }
    assert found["metadata"]["managedFields"] == [owner("/spec/replicas")]
    assert not {"uid", "resourceVersion"} & found["metadata"].keys()
    assert "status" not in found
    assert cuts == {
        *("init containers do not run", "pods go to any node", "pods have no service accounts"),
        *("requests and limits do not count", "probes that run a command or ask by gRPC are left out"),
    }
    assert "nodeSelector" in value["spec"]["template"]["spec"]


# What cannot be rehearsed


async def no_lab(copied: Copied, folder: Path) -> AsyncGenerator[Copy]:
    del copied, folder
    raise SettingsError("the lab did not come up: it said nothing")
    yield


@pytest.mark.parametrize(
    ("max_pods", "says"), [(2, "the copy would run 3 pods, more than 2"), (3, "the lab did not come up")]
)
async def test_a_copy_that_cannot_be_made_says_why_and_speaks_for_nothing(
    world: World, max_pods: int, says: str
) -> None:
    stage = asynccontextmanager(no_lab)
    found = await rehearse(world, await world.propose(set_blocks()), stage, max_pods=max_pods)
    assert found.ended == "not_run"
    assert says in found.failed[0]
    assert not found.is_good


async def test_a_copy_that_does_not_run_what_runs_here_is_no_copy(world: World) -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    labels = {"name": "chat-2", "namespace": "llm", "labels": {"app": "chat"}}
    world.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": labels, "spec": {}, "status": ready})
    found = await rehearse(world, await world.propose(set_blocks()), Stage(world))
    assert found.ended == "not_run"
    assert found.failed[0].startswith("before the change, Deployment/llm/chat has 0 of 1 ready pods in the copy")
