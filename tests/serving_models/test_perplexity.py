"""The int8 kernels on real weights lose next to nothing against fp32."""

from pathlib import Path

import pytest

from midwatch_serving.executor import CpuExecutor
from midwatch_serving.gguf_file import GgufFile
from midwatch_serving.gguf_model import load
from midwatch_serving.kernels.cpu import available
from midwatch_serving.model import Model
from midwatch_serving.perplexity import CONTEXT, executor_for, perplexity

pytestmark = pytest.mark.slow
LICENSE = Path(__file__).parents[2] / "LICENSE"
WITHIN = 0.01


@pytest.fixture(scope="module")
def model(smollm2: GgufFile) -> Model:
    return load(smollm2, "smollm2")


@pytest.fixture(scope="module")
def texts(model: Model) -> list[list[int]]:
    tokens = model.tokenizer.encode(LICENSE.read_text("utf-8"))
    return [tokens[start : start + CONTEXT // 2] for start in range(0, len(tokens) - CONTEXT // 2, CONTEXT // 2)]


@pytest.fixture(scope="module")
def reference(model: Model, texts: list[list[int]]) -> float:
    found = perplexity(executor_for(model, "reference"), texts)
    assert found.tokens > 1500
    return found.value


@pytest.mark.parametrize("kernel", available())
def test_perplexity_stays_within_one_percent_of_fp32(
    model: Model, texts: list[list[int]], reference: float, kernel: str
) -> None:
    executor: CpuExecutor = executor_for(model, kernel)
    assert perplexity(executor, texts).value == pytest.approx(reference, rel=WITHIN)
