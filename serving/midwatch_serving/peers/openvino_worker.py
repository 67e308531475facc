# pyright: basic
# (openvino is in the peers' environment only, and has no types)
"""OpenVINO GenAI's continuous batching pipeline as a worker. Runs in the peers' environment.

One step takes all prompts whole, as the engine's does here (`max_num_batched_tokens` holds them, no split); a step then
includes scheduling and sampling in C++, and no text is made of the tokens.
"""

import argparse
import sys
import time

import numpy as np
import openvino  # pyright: ignore[reportMissingImports] (see above)
import openvino_genai  # pyright: ignore[reportMissingImports] (see above)

from midwatch_serving.peers import worker
from midwatch_serving.peers.worker import Measured, Ready

MOST_SEQUENCES = 16
BUDGET = 4096
"""Tokens that a step takes: 16 prompts of 256."""
CACHE_GB = 1


class Pipeline:
    """Measures one loaded model."""

    def __init__(self, model: str, threads: int) -> None:
        scheduling = openvino_genai.SchedulerConfig()
        scheduling.max_num_batched_tokens = BUDGET
        scheduling.max_num_seqs = MOST_SEQUENCES
        scheduling.dynamic_split_fuse = False
        scheduling.cache_size = CACHE_GB
        scheduling.enable_prefix_caching = False
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            model, scheduler_config=scheduling, device="CPU", properties={"INFERENCE_NUM_THREADS": threads}
        )

    def decode(self, batch: int, context: int, tokens: int, seed: int) -> Measured:
        """Time the steps after the one that computes the prompts."""
        _, seconds = self._generate(worker.prompts(batch, context, seed), tokens)
        return Measured(batch * (tokens - 1), seconds)

    def prefill(self, tokens: int, seed: int) -> Measured:
        """Time the step that computes a prompt and its first token."""
        seconds, _ = self._generate(worker.prompts(1, tokens, seed), 1)
        return Measured(tokens, seconds)

    def _generate(self, prompts: list[list[int]], tokens: int) -> tuple[float, float]:
        """Return the seconds of the first step and of the others."""
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = tokens
        config.ignore_eos = True
        config.do_sample = False
        handles = [
            self._pipeline.add_request(index, openvino.Tensor(np.array([ids], dtype=np.int64)), config)
            for index, ids in enumerate(prompts)
        ]
        began = time.perf_counter()
        self._pipeline.step()
        prefilled = time.perf_counter()
        steps = 0
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
            steps += 1
        ended = time.perf_counter()
        counts = {len(output.generated_ids) for handle in handles for output in handle.read_all()}
        if counts != {tokens} or steps != tokens - 1:
            raise RuntimeError(f"asked for {tokens} tokens, got {counts} in 1 + {steps} steps")
        return prefilled - began, ended - prefilled


def _load() -> Ready:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    pipeline = Pipeline(arguments.model, arguments.threads)
    about = f"OpenVINO GenAI {openvino_genai.__version__}"
    return Ready({"about": about}, {"decode": pipeline.decode, "prefill": pipeline.prefill})


if __name__ == "__main__":
    sys.exit(worker.run(_load))
