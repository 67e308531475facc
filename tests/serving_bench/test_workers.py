"""Workers answer commands, and nothing else ends up among their answers."""

import ast
import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.clock import WallClock
from midwatch_serving.kernels.bandwidth import Reader, weight_bytes
from midwatch_serving.kernels.cpu import available
from midwatch_serving.model import tiny
from midwatch_serving.peers import worker
from midwatch_serving.peers.engine_worker import EngineWorker, memory_reader, parse
from midwatch_serving.server import build_service

PEERS = Path(worker.__file__).parent
NOISY = """
import os, sys
from midwatch_serving.peers.worker import Measured, Ready, run

def load():
    os.write(1, b"a library says something\\n")
    print("and so does Python")
    return Ready({"about": "noisy"}, {"double": lambda tokens: Measured(2 * tokens, 0.5)})

sys.exit(run(load))
"""


def _talk(code: str, *commands: dict[str, object]) -> tuple[list[dict[str, object]], int]:
    lines = "".join(json.dumps(command) + "\n" for command in commands)
    done = subprocess.run([sys.executable, "-c", code], input=lines, capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode


def test_a_worker_answers_each_command_and_keeps_what_libraries_print_out_of_its_answers() -> None:
    answers, code = _talk(
        NOISY, {"measure": "double", "tokens": 4}, {"measure": "nothing"}, {"measure": "double", "tokens": 5}
    )
    assert answers == [
        {"ready": {"about": "noisy"}},
        {"tokens": 8, "seconds": 0.5},
        {"error": "KeyError: 'nothing'"},
        {"tokens": 10, "seconds": 0.5},
    ]
    assert code == 0


def test_a_worker_that_cannot_load_says_why_and_ends() -> None:
    answers, code = _talk("from midwatch_serving.peers.worker import run\nraise SystemExit(run(lambda: 1 / 0))")
    assert answers == [{"error": "ZeroDivisionError: division by zero"}]
    assert code == 1


@pytest.mark.parametrize("name", ["__init__", "worker", "openvino_worker", "xllamacpp_worker"])
def test_what_runs_in_the_peers_environment_imports_nothing_that_is_only_in_ours(name: str) -> None:
    tree = ast.parse((PEERS / f"{name}.py").read_text("utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    theirs = {"openvino", "openvino_genai", "xllamacpp", "numpy"}
    ours = {"midwatch_serving.peers", "midwatch_serving.peers.worker"}
    assert imported <= theirs | ours | set(sys.stdlib_module_names) | {"collections.abc", "concurrent.futures"}


def test_every_package_of_the_peers_environment_is_pinned() -> None:
    lines = (PEERS / "requirements.txt").read_text("utf-8").splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert packages
    assert [line for line in packages if "==" not in line] == []


def test_a_seed_makes_the_same_prompts_in_every_worker_and_another_makes_others() -> None:
    first = worker.prompts(3, 20, seed=7)
    assert first == worker.prompts(3, 20, seed=7)
    assert first != worker.prompts(3, 20, seed=8)
    assert {len(prompt) for prompt in first} == {20}
    assert all(token in worker.TOKENS for prompt in first for token in prompt)
    assert max(token for prompt in worker.prompts(3, 20, seed=7, vocab=264) for token in prompt) < 264


@given(
    streams=st.integers(1, 16),
    tokens=st.integers(8, 64),
    step=st.floats(0.001, 0.1),
    late=st.integers(0, 4),
)
def test_streams_that_advance_together_have_the_rate_of_their_steps_whoever_was_first(
    streams: int, tokens: int, step: float, late: int
) -> None:
    """Streams begin up to `late` steps apart; in a step, each piece comes a little after the one before it."""
    times = [
        [(min(i, late) + n) * step + i * step / 1000 for n in range(tokens)]
        for i in range(streams)
    ]  # fmt: skip
    measured = worker.together(times, tokens)
    assert measured.rate == pytest.approx(streams / step, rel=1e-6)
    assert 0 < measured.tokens <= streams * (tokens - 1)


def test_a_piece_that_carries_two_tokens_counts_as_two() -> None:
    assert worker.together([[0.0, 1.0, 2.0, 3.0]], tokens=8).rate == pytest.approx(2.0)


def test_streams_that_came_one_after_the_other_are_no_measurement() -> None:
    with pytest.raises(ValueError, match="hardly ran at the same time"):
        worker.together([[0.0, 1.0], [2.0, 3.0]], tokens=2)


def test_the_engine_as_a_worker_counts_its_tokens_and_keeps_no_request() -> None:
    arguments = ["--max-num-seqs", "4", "--max-num-batched-tokens", "256", "--no-enable-prefix-caching"]
    service = build_service(parse(arguments), tiny(0), WallClock())
    with asyncio.Runner() as runner:
        one = EngineWorker(service, runner)
        try:
            decoded = one.decode(batch=4, context=16, tokens=6, seed=1)
            prefilled = one.prefill(tokens=32, seed=1)
        finally:
            one.close()
    assert 4 * 3 <= decoded.tokens <= 4 * 5
    assert prefilled.tokens == 32
    assert decoded.seconds > 0
    assert prefilled.seconds > 0
    assert service.engine.idle.is_set()
    assert not service.engine.scheduler.has_work


@pytest.mark.skipif(not available(), reason="this CPU has no compiled kernels")
def test_the_bytes_of_a_decode_step_are_the_matrices_with_their_scales(tmp_path: Path) -> None:
    model = tiny(0)
    weights = model.weights
    matrices = [weights.unembedding, *(m for w in weights.layers for m in (w.qkv, w.out, w.gate, w.up, w.down))]
    count = sum(matrix.size for matrix in matrices)
    found = weight_bytes(model, "portable", tmp_path)
    assert count < found < 1.2 * count


def test_reading_memory_reads_all_of_it_with_every_thread() -> None:
    reader = Reader(8 * 1001, threads=2)
    reader.read()
    assert reader.read_words == 1001


@pytest.mark.skipif(not available(), reason="this CPU has no compiled kernels")
def test_memory_is_measured_at_the_size_of_the_weights(tmp_path: Path) -> None:
    size, read = memory_reader(parse(["--kernel", "portable", "--kernel-cache", str(tmp_path)]))
    measured = read()
    assert measured.tokens % size == 0
    assert measured.rate > 1e8
