"""Ways to ask for a forbidden thing, through the tool call of the changes server: each is refused with a reason.

The witness is the cluster in memory: its objects before and after, and its own log of writes and commands.
"""

import copy
import re
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.plan import Approval
from midwatch_mcp.changes import server as changes_server
from midwatch_mcp.safe_apply import fakes
from midwatch_mcp.safe_apply.approvals import put_approval
from midwatch_mcp.safe_apply.fake_world import World, scale
from midwatch_mcp.safe_apply.opening import OpenEnvelope
from midwatch_mcp.servers import build
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller, answer_text
from safe_apply_ways import CHAT, WAYS, Way, draft, sentences

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CLUSTER_WIDE = (
    *("Node", "Namespace", "ClusterRoleBinding", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
    *("CustomResourceDefinition", "APIService", "CertificateSigningRequest", "PersistentVolume"),
)
MORE: dict[str, str] = {
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "APIService": "apiregistration.k8s.io/v1",
    "CertificateSigningRequest": "certificates.k8s.io/v1",
    "PersistentVolume": "v1",
    "ServiceAccount": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "Event": "v1",
    "Lease": "coordination.k8s.io/v1",
    "Job": "batch/v1",
    "RayCluster": "ray.io/v1",
}


class Nothing:
    """A connection that there is none of."""

    async def aclose(self) -> None:
        """Close nothing."""


class Door:
    """The changes server over a world in memory."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.world = World(folder)
        self.world.cluster.put_backend("Pod/llm/chat-1")
        for kind, version in MORE.items():
            patch.setitem(fakes.GROUPS, kind, version)
        patch.setattr(fakes, "_CLUSTER_WIDE", frozenset(CLUSTER_WIDE))
        patch.setattr(changes_server, "open_envelope", self.open)
        settings = ServerSettings(state=folder, kubeconfig=None)
        self.caller = Caller(build(settings, allow_write=True, names=("changes",))["changes"])

    def open(self, settings: ServerSettings, *, allow_write: bool) -> OpenEnvelope:
        del settings
        nothing: Any = Nothing()
        return OpenEnvelope(self.world.open(allow_write=allow_write), nothing, nothing)

    def seen(self) -> tuple[Any, ...]:
        """What the world is, and everything that was done to it."""
        cluster = self.world.cluster
        return copy.deepcopy(
            (cluster.objects_by_entity, cluster.configs, cluster.backends, cluster.writes, cluster.ran)
        )


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Generator[Door]:
    with pytest.MonkeyPatch.context() as patch:
        yield Door(tmp_path_factory.mktemp("door"), patch)


def prepare(door: Door, way: Way) -> None:
    if way.policy:
        (door.world.state / "policy.toml").write_text(way.policy, "utf-8")
    if way.change is not None:
        changed = copy.deepcopy(door.world.cluster.objects_by_entity["Deployment/llm/chat"])
        way.change(changed)
        door.world.cluster.put(changed)


def put_back(door: Door, objects: dict[str, Any]) -> None:
    (door.world.state / "policy.toml").unlink(missing_ok=True)
    door.world.cluster.objects_by_entity = copy.deepcopy(objects)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.sentence)
async def test_it_is_refused_with_a_reason_and_nothing_is_written(
    way: Way, door: Door, tally: dict[str, set[str]]
) -> None:
    objects = copy.deepcopy(door.world.cluster.objects_by_entity)
    prepare(door, way)
    before, plans = door.seen(), door.world.envelope.plans()
    tally["asked"].add(way.sentence)
    tally["through"].add(way.sentence)
    answer = await door.caller.call("change_propose", {"plan": way.plan})
    seen = door.seen()
    put_back(door, objects)
    assert answer.is_error, answer.structured_content
    text = answer_text(answer)
    assert re.search(way.says, text), text
    assert len(text) > 20
    assert seen == before
    assert door.world.envelope.plans() == plans
    tally["through"].discard(way.sentence)


LATE: dict[str, str] = {
    "an apply without an approval": "has no approval",
    "an apply of a plan by another's beginning": "no plan",
    "an approval that nobody signed": "carries no signature",
    "an approval of a policy that nobody gave": "carries no signature",
    "an approval in the arguments": "unknown arguments of change_apply: approval",
    "a forged cause at a level that approves by policy": "has no approval",
}


@pytest.mark.parametrize("how", LATE)
async def test_what_is_asked_for_later_is_refused_before_the_first_write(
    how: str, tmp_path: Path, tally: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(tmp_path, monkeypatch)
    cause = {"mechanism": "serving.kv_cache_too_small", "entity": "Pod/llm/chat-1", "confidence": "certain"}
    forged = {"cause": {**cause, "evidence": ["ev-0123456789abcdef", "ev-fedcba9876543210"]}}
    if "forged cause" in how:
        (tmp_path / "policy.toml").write_text("autonomy = 4\n", "utf-8")
    tally["asked"].add(how)
    tally["through"].add(how)
    plan = draft({**scale("chat", 4), "target": CHAT}, **(forged if "forged" in how else {}))
    proposed = await door.caller.call("change_propose", {"plan": plan})
    before = door.seen()
    assert not proposed.is_error, answer_text(proposed)
    assert proposed.structured_content is not None
    data = proposed.structured_content["data"]
    arguments: dict[str, Any] = {"plan_id": data["plan"]["id"]}
    unsigned = Approval(
        plan_id=data["plan"]["id"],
        preview_sha256=data["preview_sha256"],
        approver="alice",
        method="policy" if "policy" in how else "terminal",
        attested="policy" if "policy" in how else "key",
        issued="1970-01-01T00:00:00.000Z",
        expires="1970-01-01T00:10:00.000Z",
        nonce="0" * 32,
        signature=None,
    )
    if "approval" in how and "arguments" not in how and "without" not in how:
        put_approval(tmp_path, unsigned)
    if "arguments" in how:
        arguments["approval"] = unsigned.model_dump(mode="json", by_alias=True)
    if "beginning" in how:
        arguments["plan_id"] = "f" * 8 if arguments["plan_id"][0] != "f" else "0" * 8
    answer = await door.caller.call("change_apply", arguments)
    assert answer.is_error, answer.structured_content
    assert re.search(LATE[how], answer_text(answer)), answer_text(answer)
    assert door.seen() == before
    tally["through"].discard(how)


def test_there_are_sixty_ways_and_no_two_are_one() -> None:
    assert len(WAYS) + len(LATE) >= 60
    assert [text for text, times in Counter([*sentences(), *LATE]).items() if times > 1] == []
