"""Files that are made ahead of the call that fills them: whole, private, and never left behind."""

import asyncio
import stat
from pathlib import Path

import pytest

from midwatch_mcp.drafts import Drafts


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_file_is_there_whole_and_private_and_nothing_lies_beside_it(tmp_path: Path, *, unnamed: bool) -> None:
    drafts = Drafts(tmp_path / "blobs", unnamed=unnamed)
    drafts.write("a", b"x" * 100_000)
    drafts.write("b", b"")
    assert (tmp_path / "blobs" / "a").read_bytes() == b"x" * 100_000
    assert sorted(file.name for file in (tmp_path / "blobs").iterdir()) == ["a", "b"]
    assert stat.S_IMODE((tmp_path / "blobs" / "a").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_file_that_is_there_is_left_alone(tmp_path: Path, *, unnamed: bool) -> None:
    first, second = Drafts(tmp_path, unnamed=unnamed), Drafts(tmp_path, unnamed=unnamed)
    first.write("a", b"one")
    second.write("a", b"one")
    (tmp_path / "a").write_bytes(b"changed by hand")
    first.write("a", b"one")
    assert (tmp_path / "a").read_bytes() == b"changed by hand"


@pytest.mark.anyio
async def test_a_file_made_ahead_lies_nowhere_and_goes_to_a_folder_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    drafts = Drafts(folder, idle_s=0)
    drafts.write("a", b"1")
    for _ in range(3):  # the next one is made when the answer is out
        await asyncio.sleep(0)
    assert [file.name for file in folder.iterdir()] == ["a"]
    (folder / "a").unlink()
    folder.rmdir()
    drafts.write("b", b"2")
    drafts.write("c", b"3")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {"b": b"2", "c": b"3"}


def test_a_folder_that_cannot_be_written_says_so_and_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        Drafts(tmp_path / "file").write("a", b"1")
