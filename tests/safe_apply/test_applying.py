import pytest

from midwatch_contracts.plan import Target, plan_id
from midwatch_mcp.safe_apply.approvals import clusters_of
from midwatch_mcp.safe_apply.audit_log import entries
from midwatch_mcp.safe_apply.errors import BusyError, LostError, RefusedChangeError, RejectedError
from midwatch_mcp.safe_apply.fake_world import QUERY, World, scale, set_blocks, set_flags
from midwatch_mcp.safe_apply.ports import Snapshot, View

pytestmark = pytest.mark.anyio

ENTITY = "Deployment/llm/chat"


async def test_an_approved_plan_is_applied_once_and_verified(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    assert change.state in ("applied", "verifying")
    assert await world.settle(change.change_id) == "verified"
    assert world.args() == ["--model=tiny", "--num-gpu-blocks-override=256", "--max-num-seqs", "4"]
    assert [write.entity for write in world.cluster.writes] == [ENTITY]


async def test_proposing_and_previewing_write_nothing(world: World) -> None:
    proposal = await world.propose()
    again = await world.envelope.preview(proposal.plan.id)
    assert again.preview_sha256 == proposal.preview_sha256
    assert proposal.plan.id == plan_id(proposal.plan)
    assert world.cluster.writes == []
    assert world.cluster.dry_runs >= 2
    assert "-        - --num-gpu-blocks-override=14" in proposal.text
    assert "+        - --num-gpu-blocks-override=256" in proposal.text
    assert proposal.preview.blast.pods_restarted == 3
    assert proposal.preview.risk == "change"


async def test_a_status_write_between_reading_and_dry_running_does_not_stop_a_proposal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = world.cluster.read

    async def read_and_be_overtaken(target: Target, view: View = "state") -> Snapshot:
        nonlocal reads
        snapshot, reads = await read(target, view), reads + 1
        if reads == 1:
            world.cluster.put_status(ENTITY, {"readyReplicas": 1})
        return snapshot

    monkeypatch.setattr(world.cluster, "read", read_and_be_overtaken)
    proposal = await world.propose()
    assert reads >= 2
    assert proposal.preview.risk == "change"


async def test_observations_show_the_value_over_time(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    await world.settle(change.change_id)
    _, observations = await world.envelope.status(change.change_id)
    assert observations[-1].state == "met"
    assert observations[-1].held_s >= 5
    assert observations[-1].series[0].value == 0.2
    assert [o.at for o in observations] == sorted(o.at for o in observations)


async def test_a_failing_second_operation_undoes_the_first_and_proves_it(world: World) -> None:
    proposal = await world.propose(set_blocks(), scale())
    world.approve(proposal)
    router = "Deployment/llm/router"

    def refuse(phase: str, verb: str, entity: str) -> None:
        if (phase, verb, entity) == ("before", "write", router):
            raise RejectedError("the webhook says no")

    world.cluster.hook = refuse
    before = world.args()
    change = await world.envelope.apply(proposal.plan.id)
    assert change.state == "undone"
    assert "webhook says no" in change.note
    assert "equal those from before" in change.note
    assert world.args() == before
    assert [write.entity for write in world.cluster.writes] == [ENTITY, ENTITY]
    assert world.cluster.writes[0].before_sha256 == world.cluster.writes[1].after_sha256


async def test_an_expectation_that_is_never_met_undoes_the_change_and_proves_it(world: World) -> None:
    world.metrics.constant(QUERY, 3.0)
    proposal = await world.propose(set_blocks(), scale())
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "undone"
    record, _ = await world.envelope.status(change.change_id)
    assert "value < 0.5 is not true of 3" in record.change.note
    assert "the touched values of apps/v1 Deployment/llm/chat equal those from before" in record.change.note
    assert {operation.state for operation in record.change.operations} == {"undone"}
    router = "Deployment/llm/router"
    assert [write.entity for write in world.cluster.writes] == [ENTITY, router, router, ENTITY]
    assert "--num-gpu-blocks-override=14" in world.args()


async def test_a_write_that_somebody_takes_back_at_once_is_not_written_again(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    before = world.cluster.objects_by_entity[ENTITY]

    def take_back(phase: str, verb: str, _entity: str) -> None:
        if (phase, verb) == ("after", "write"):
            world.cluster.put(before)

    world.cluster.hook = take_back
    change = await world.envelope.apply(proposal.plan.id)
    assert change.state == "undone"
    assert "yet holds the values from before" in change.note
    assert len(world.cluster.writes) == 1


async def test_a_serving_configuration_and_an_object_change_together_or_not_at_all(world: World) -> None:
    config = {"op": "serving.config", "target": {"serving": "Pod/llm/chat-1"}, "args": {"values": {"max_num_seqs": 8}}}
    world.metrics.constant(QUERY, 3.0)
    proposal = await world.propose(config, scale())
    assert clusters_of(proposal.plan) == {"cluster-1"}
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    assert world.cluster.configs["Pod/llm/chat-1"]["values"]["max_num_seqs"] == 8
    assert await world.settle(change.change_id) == "undone"
    assert world.cluster.configs["Pod/llm/chat-1"]["values"]["max_num_seqs"] == 4


async def test_a_lost_answer_is_decided_by_reading_again(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    lost = iter([True])

    def lose(phase: str, verb: str, _entity: str) -> None:
        if (phase, verb) == ("after", "write") and next(lost, False):
            raise LostError("timeout")

    world.cluster.hook = lose
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"
    assert len(world.cluster.writes) == 1


async def test_a_write_that_never_arrived_is_sent_again(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    trouble = iter([LostError("reset"), BusyError("too many requests", 2.0), None])

    def hook(phase: str, verb: str, _entity: str) -> None:
        error = next(trouble, None) if (phase, verb) == ("before", "write") else None
        if error is not None:
            raise error

    world.cluster.hook = hook
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"
    assert len(world.cluster.writes) == 1


async def test_status_writes_of_a_controller_make_nothing_stale(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    rounds = iter(range(3))

    def controller(phase: str, verb: str, _entity: str) -> None:
        if (phase, verb) == ("before", "write") and next(rounds, None) is not None:
            world.cluster.put_status(ENTITY, {"readyReplicas": 3, "observedGeneration": 7})

    world.cluster.put_status(ENTITY, {"readyReplicas": 2})
    world.cluster.hook = controller
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"
    assert len(world.cluster.writes) == 1


async def test_a_touched_value_that_changed_ends_the_attempt_before_the_first_write(world: World) -> None:
    proposal = await world.propose(set_blocks(), scale())
    world.approve(proposal)
    router = world.cluster.objects_by_entity["Deployment/llm/router"]
    world.cluster.put({**router, "spec": {**router["spec"], "replicas": 2}})
    change = await world.envelope.apply(proposal.plan.id)
    assert change.state == "superseded"
    assert "op2" in change.note
    assert world.cluster.writes == []
    with pytest.raises(RefusedChangeError, match="approve the plan again"):
        await world.envelope.apply(proposal.plan.id)


async def test_an_object_that_was_made_anew_ends_the_attempt(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    old = world.cluster.objects_by_entity[ENTITY]
    world.cluster.put({**old, "metadata": {**old["metadata"], "uid": "another"}})
    change = await world.envelope.apply(proposal.plan.id)
    assert change.state == "superseded"
    assert world.cluster.writes == []


async def test_an_undo_does_not_overwrite_what_somebody_else_wrote_during_verification(
    world: World,
) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    world.metrics.constant(QUERY, 3.0)
    change = await world.envelope.apply(proposal.plan.id)
    container = world.cluster.objects_by_entity[ENTITY]["spec"]["template"]["spec"]["containers"][1]
    container["args"] = ["--num-gpu-blocks-override=512"]
    assert await world.settle(change.change_id) == "stuck"
    record, _ = await world.envelope.status(change.change_id)
    assert "holds other values than the change left there" in record.change.note
    assert world.args() == ["--num-gpu-blocks-override=512"]
    assert len(world.cluster.writes) == 1


async def test_two_changes_do_not_hold_one_object_at_once(world: World) -> None:
    first = await world.propose()
    second = await world.propose(set_blocks("128"))
    world.approve(first)
    world.approve(second)
    change = await world.envelope.apply(first.plan.id)
    assert change.state != "superseded"
    # The second plan's precondition is gone as well; a change of another flag would still find the object held.
    third = await world.propose(set_flags({"--max-num-seqs": "8"}))
    world.approve(third)
    with pytest.raises(RefusedChangeError, match="held by"):
        await world.envelope.apply(third.plan.id)
    assert await world.settle(change.change_id) == "verified"
    assert len(world.cluster.writes) == 1


async def test_a_second_call_takes_the_running_change_up_and_never_starts_another(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    first = await world.envelope.apply(proposal.plan.id)
    second = await world.envelope.apply(proposal.plan.id)
    other_process = await world.open().apply(proposal.plan.id)
    assert first.change_id == second.change_id == other_process.change_id
    assert await world.settle(first.change_id) == "verified"
    assert len(world.cluster.writes) == 1


async def test_a_verified_change_is_undone_by_a_new_plan(world: World) -> None:
    proposal = await world.propose(set_blocks(), scale())
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    await world.settle(change.change_id)
    undo = await world.envelope.draft_undo(change.change_id)
    assert [operation.op for operation in undo.plan.operations] == ["scale", "set_args"]
    assert len(world.cluster.writes) == 2
    with pytest.raises(RefusedChangeError, match="no approval"):
        await world.envelope.apply(undo.plan.id)
    world.approve(undo)
    for name in ("chat", "router"):
        replicas = {"replicas": 4, "availableReplicas": 4, "updatedReplicas": 4, "observedGeneration": 9}
        world.cluster.put_status(f"Deployment/llm/{name}", replicas)
    back = await world.envelope.apply(undo.plan.id)
    assert await world.settle(back.change_id) == "verified"
    assert "--num-gpu-blocks-override=14" in world.args()
    assert world.cluster.objects_by_entity["Deployment/llm/router"]["spec"]["replicas"] == 3


async def test_what_happened_stands_in_a_chain_that_holds(world: World) -> None:
    proposal = await world.propose()
    with pytest.raises(RefusedChangeError):
        await world.envelope.apply(proposal.plan.id)
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    await world.settle(change.change_id)
    path = world.envelope.audit.path
    kinds = [entry.kind for entry in entries(path)]
    assert kinds == ["proposed", "previewed", "refused", "applying", "applied", "verified"]
    assert world.envelope.audit.verify().entries == 6
    refused = [entry for entry in entries(path) if entry.kind == "refused"]
    assert refused[0].body["reason"] == "missing"
