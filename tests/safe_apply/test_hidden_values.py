"""What a diff hides is bound by the preview's hash all the same, and cannot be guessed from it."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.canonical import canonical_bytes, sha256_hex
from midwatch_contracts.plan import Preview, preview_sha256
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import World
from midwatch_mcp.safe_apply.sealing import sealer

pytestmark = pytest.mark.anyio


def injecting(value: str) -> Any:
    """Return a webhook that puts a credential into the environment of the engine."""

    def mutate(made: dict[str, Any]) -> None:
        if made["kind"] == "Deployment":
            made["spec"]["template"]["spec"]["containers"][1]["env"] = [{"name": "DB_PASSWORD", "value": value}]

    return mutate


async def test_a_webhook_that_changes_a_hidden_value_makes_another_preview(world: World) -> None:
    world.cluster.mutate = injecting("7x7x")
    proposal = await world.propose()
    assert "7x7x" not in proposal.preview.model_dump_json() + proposal.text
    world.approve(proposal)
    world.cluster.mutate = injecting("4321")
    with pytest.raises(RefusedChangeError) as caught:
        await world.envelope.apply(proposal.plan.id)
    assert caught.value.reason == "other_preview"
    assert world.cluster.writes == []
    again = await world.envelope.preview(proposal.plan.id)
    assert again.preview_sha256 != proposal.preview_sha256
    world.cluster.mutate = injecting("7x7x")
    assert (await world.open().preview(proposal.plan.id)).preview_sha256 == proposal.preview_sha256
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"


async def test_a_seal_is_no_hash_that_a_short_secret_could_be_found_by(world: World, tmp_path: Path) -> None:
    world.cluster.mutate = injecting("7x7x")
    proposal = await world.propose()
    (diff,) = proposal.preview.diffs
    pointer, _, _ = diff.changes[-1]
    added = [{"name": "DB_PASSWORD", "value": "7x7x"}]
    guesses = ["7x7x", added, [pointer, None, added], [diff.operation, diff.target, [[pointer, None, added]]]]
    assert diff.hidden not in {sha256_hex(guess) for guess in guesses}
    assert diff.hidden not in {hashlib.sha256(canonical_bytes(guess)).hexdigest() for guess in guesses}
    elsewhere = World(tmp_path / "elsewhere")
    elsewhere.cluster.mutate = injecting("7x7x")
    assert (await elsewhere.propose()).preview.diffs[0].hidden != diff.hidden


async def test_processes_over_one_folder_seal_alike(world: World) -> None:
    one, other = world.open(), world.open()
    assert sealer(one.journal)("a") == sealer(other.journal)("a") == sealer(world.open().journal)("a")
    assert sealer(one.journal)("a") != sealer(one.journal)("b")


async def test_where_nothing_is_hidden_the_hash_is_that_of_before(world: World) -> None:
    proposal = await world.propose()
    assert [diff.hidden for diff in proposal.preview.diffs] == [None]
    body = proposal.preview.model_dump(mode="json", include={"diffs", "owners", "risk"})
    for diff in body["diffs"]:
        del diff["hidden"]
    assert sha256_hex(body) == proposal.preview_sha256
    kept = Preview.model_validate_json(proposal.preview.model_dump_json())
    assert preview_sha256(kept) == proposal.preview_sha256
