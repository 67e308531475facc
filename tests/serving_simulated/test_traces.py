"""Public traces: each format read as its authors wrote it, and a broken line named."""

import json
from pathlib import Path

import numpy as np
import pytest

from midwatch_serving.errors import WorkloadError
from midwatch_serving.traces import read_traces
from midwatch_serving.workload import Request

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2224670,879,0
"""
BURST = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,230,1317,Conversation log
50,GPT-4,200,0,200,API log
118.5,GPT-4,417,276,693,API log
"""
MOONCAKE = [
    {"timestamp": 0, "input_length": 1100, "output_length": 52, "hash_ids": [0, 1, 2]},
    {"timestamp": 3000, "input_length": 700, "output_length": 0, "hash_ids": [0, 9]},
]
SERVEGEN = "0,2.0,1.0,Gamma,1.0,0.5\n600,0,0,,0,0\n1200,1.0,2.0,Weibull,0.7,0.8\n"
SERVEGEN_LENGTHS = {"0": {"input_tokens": "{100: 0.5, 200: 0.5}", "output_tokens": "{7: 1.0}"}}


def _write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_azure_is_read_with_its_times_from_the_first_request_on(tmp_path: Path) -> None:
    _write(tmp_path, "conv.csv", AZURE)
    found = read_traces(tmp_path, limit=10).requests
    assert [(r.prompt_tokens, r.output_tokens) for r in found] == [(374, 44), (396, 109), (879, 1)]
    assert [r.arrival_s for r in found] == pytest.approx([0.0, 4.314579, 4.541877], abs=1e-5)


def test_failed_requests_of_burstgpt_are_left_out(tmp_path: Path) -> None:
    found = read_traces(_write(tmp_path, "burst.csv", BURST), limit=10).requests
    assert found == (Request(0.0, 472, 18), Request(40.0, 1087, 230), Request(113.5, 417, 276))


def test_mooncake_prompts_begin_with_the_pieces_that_their_hashes_name(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(entry) for entry in MOONCAKE) + "\n\n"
    one, other = read_traces(_write(tmp_path, "trace.jsonl", lines), limit=10).requests
    assert [tokens for _, tokens in one.prefix] == [512, 512, 512]
    assert one.prefix[0] == other.prefix[0]
    assert one.prefix[1] != other.prefix[1]
    assert (one.prompt_tokens, other.arrival_s, other.output_tokens) == (1100, 3.0, 1)


def test_the_same_hash_in_two_files_is_not_the_same_piece(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        _write(tmp_path, name, json.dumps(MOONCAKE[0]) + "\n")
    one, other = read_traces(tmp_path, limit=10).requests
    assert not {piece for piece, _ in one.prefix} & {piece for piece, _ in other.prefix}


def test_servegen_profiles_send_what_their_windows_say(tmp_path: Path) -> None:
    _write(tmp_path, "chunk-1-trace.csv", SERVEGEN)
    _write(tmp_path, "chunk-1-dataset.json", json.dumps(SERVEGEN_LENGTHS))
    found = read_traces(tmp_path, limit=5000, seed=1).requests
    assert {r.prompt_tokens for r in found} == {100, 200}
    assert {r.output_tokens for r in found} == {7}
    early = [r.arrival_s for r in found if r.arrival_s < 600]
    assert len(early) == pytest.approx(1200, rel=0.1)
    assert np.diff(early).mean() == pytest.approx(0.5, rel=0.1)
    assert not [r for r in found if 601 < r.arrival_s < 1190]
    assert found == read_traces(tmp_path, limit=5000, seed=1).requests


def test_only_as_many_requests_are_read_as_are_wanted(tmp_path: Path) -> None:
    _write(tmp_path, "conv.csv", AZURE)
    assert len(read_traces(tmp_path, limit=2).requests) == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", AZURE + "yesterday,1,1\n", r"a\.csv: line 5: 'yesterday' is no time"),
        ("a.csv", AZURE + "2023-11-16 18:15:52.0,many,1\n", "line 5: ContextTokens is 'many'"),
        ("a.csv", AZURE + "2023-11-16 18:15:52.0,-4,1\n", "line 5: ContextTokens is '-4'"),
        ("a.csv", AZURE + "2023-11-16 18:15:52.0,4\n", "line 5: 2 fields where the header has 3"),
        ("a.csv", AZURE + "2023-13-16 18:15:52.0,4,4\n", "line 5: .* is no time"),
        ("b.csv", BURST + "nan,x,1,1,2,x\n", "line 6: Timestamp is 'nan'"),
        ("b.csv", BURST + "60,x,1.5,1,2,x\n", "line 6: Request tokens is '1.5'"),
        ("c.csv", "a,b,c\n1,2,3\n", "line 1: the columns a, b, c are of no trace"),
        ("c.csv", "", "line 1: the columns"),
        ("d.jsonl", "{\n", "line 1: no JSON"),
        ("d.jsonl", "[1]\n", "line 1: a JSON object is expected"),
        ("d.jsonl", json.dumps({**MOONCAKE[0], "input_length": None}) + "\n", "line 1: input_length is None"),
        ("d.jsonl", json.dumps({**MOONCAKE[0], "hash_ids": ["x"]}) + "\n", "line 1: hash_ids"),
        ("e-trace.csv", "0,1.0\n", "line 1: 2 fields where a ServeGen window has 6"),
        ("e-trace.csv", "0,1.0,1.0,Pareto,1,1\n", "e-trace.csv: line 1: 'Pareto'"),
        ("e-trace.csv", "0,many,1.0,Gamma,1,1\n", "line 1: 'many' is no number"),
        ("f.txt", "hello", "holds no trace"),
    ],
)
def test_what_cannot_be_read_is_named_by_file_and_line(name: str, text: str, said: str, tmp_path: Path) -> None:
    _write(tmp_path, name, text)
    with pytest.raises(WorkloadError, match=said):
        read_traces(tmp_path, limit=10)


def test_lengths_missing_beside_a_servegen_trace_are_named(tmp_path: Path) -> None:
    _write(tmp_path, "x-trace.csv", SERVEGEN)
    with pytest.raises(WorkloadError, match=r"x-dataset\.json"):
        read_traces(tmp_path, limit=10)
    _write(tmp_path, "x-dataset.json", "[]")
    with pytest.raises(WorkloadError, match="is no ServeGen dataset"):
        read_traces(tmp_path, limit=10)


def test_a_folder_with_two_kinds_of_traces_asks_for_one_file(tmp_path: Path) -> None:
    _write(tmp_path, "a.csv", AZURE)
    _write(tmp_path, "b.csv", BURST)
    with pytest.raises(WorkloadError, match="several kinds"):
        read_traces(tmp_path, limit=10)


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="there is no file or folder"):
        read_traces(tmp_path / "nothing", limit=10)
