"""What plays a container, by its image: the reference backend, a stand-in, or nothing, as if it could not be pulled."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from midwatch_lab.errors import LabError
from midwatch_lab.kubelet.commands import ContainerContext, ImageMissingError
from midwatch_lab.kubelet.playing import Rule, playing
from midwatch_lab.manifests.reading import read_manifests

RULES = [Rule.read(text) for text in ("shop/web:broken=missing", "shop/*=stand-in", "registry:5000/a=b=stand-in")]


def context(image: str, *ports: int) -> ContainerContext:
    container: dict[str, Any] = {"name": "main", "image": image, "ports": [{"containerPort": port} for port in ports]}
    return ContainerContext({}, container, "127.0.0.1", 8000, ("--max-num-seqs=4",))


def test_the_first_rule_that_fits_decides_and_what_none_fits_is_the_reference_backend() -> None:
    command = playing(RULES)
    assert "midwatch_lab.kubelet.stand_in" in command(context("shop/web:1"))
    assert "midwatch_lab.kubelet.stand_in" in command(context("registry:5000/a=b"))
    assert command(context("vllm:1"))[2:4] == ["midwatch_serving", "--max-num-seqs=4"]
    with pytest.raises(ImageMissingError, match="shop/web:broken"):
        command(context("shop/web:broken"))


def test_a_stand_in_listens_on_every_port_of_its_container_once() -> None:
    assert playing(RULES)(context("shop/web:1", 80, 443, 80))[-3:] == ["127.0.0.1", "80", "443"]
    assert playing(RULES)(context("shop/web:1"))[-2:] == ["127.0.0.1", "8000"]


@pytest.mark.parametrize("text", ["shop/*", "=serving", "shop/*=vllm", "shop/*="])
def test_a_rule_that_says_not_how_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(LabError, match="serving, stand-in, missing"):
        Rule.read(text)


@pytest.mark.anyio
async def test_a_stand_in_says_that_it_listens_and_ends_with_its_input() -> None:
    words = [sys.executable, "-m", "midwatch_lab.kubelet.stand_in", "127.0.0.1", "0"]
    pipe = asyncio.subprocess.PIPE
    # Port 0 is one that the system chooses: whether it listens, its own log says.
    process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert b"a stand-in listens on 127.0.0.1" in await process.stdout.readline()
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()


def test_field_owners_are_noise_unless_they_are_to_be_kept(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  uid: '1'\n"
        "  managedFields: [{manager: kubectl, operation: Update, apiVersion: v1, fieldsV1: {'f:data': {}}}]\n"
    )
    (plain,), (kept,) = read_manifests(file), read_manifests(file, keep_owners=True)
    assert set(plain.obj["metadata"]) == {"name"}
    assert set(kept.obj["metadata"]) == {"name", "managedFields"}
