# pyright: basic
# (xllamacpp is in the peers' environment only, and has no types)
"""llama.cpp's server, in process, from the wheel xllamacpp, as a worker. Runs in the peers' environment.

Times are the server's own: those of a slot begin when its prompt is computed, and hold no HTTP. Before decode is timed,
a first round of requests leaves the prompts' keys and values in the slots.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import xllamacpp  # pyright: ignore[reportMissingImports] (see above)

from midwatch_serving.peers import worker
from midwatch_serving.peers.worker import Measured, Ready

SLOTS = 16
SLOT_TOKENS = 640
"""Room for prompt and answer of one slot."""


class Server:
    """Measures one loaded model."""

    def __init__(self, model: str, threads: int) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = model
        parameters.cpuparams.n_threads = threads
        parameters.cpuparams_batch.n_threads = threads
        parameters.n_parallel = SLOTS
        parameters.n_ctx = SLOTS * SLOT_TOKENS
        parameters.n_gpu_layers = 0
        parameters.kv_unified = False
        parameters.cache_ram_mib = 0
        parameters.n_ctx_checkpoints = 0
        self._server = xllamacpp.Server(parameters)

    def decode(self, batch: int, context: int, tokens: int, seed: int) -> Measured:
        """Time what follows a prompt that is computed but for its last token."""
        prompts = worker.prompts(batch, context, seed)
        with ThreadPoolExecutor(batch) as threads:
            list(threads.map(lambda slot: self._ask(slot, prompts[slot], 1, keep=True), range(batch)))
            found = list(threads.map(lambda slot: self._ask(slot, prompts[slot], tokens, keep=True), range(batch)))
        for one in found:
            if one["prompt_n"] != 1 or one["predicted_n"] != tokens:
                raise RuntimeError(f"asked for {tokens} tokens after a prompt that is there, and got {one}")
        # A slot's time goes from its first token to its last. Slots start within a step of each other.
        rate = sum((tokens - 1) / one["predicted_ms"] * 1e3 for one in found)
        return Measured(batch * (tokens - 1), batch * (tokens - 1) / rate)

    def prefill(self, tokens: int, seed: int) -> Measured:
        """Time a prompt, whole."""
        [prompt] = worker.prompts(1, tokens, seed)
        found = self._ask(0, prompt, 1, keep=False)
        if found["prompt_n"] != tokens:
            raise RuntimeError(f"a prompt of {tokens} tokens was to be computed, and it says {found}")
        return Measured(tokens, found["prompt_ms"] / 1e3)

    def _ask(self, slot: int, prompt: list[int], tokens: int, *, keep: bool) -> dict[str, Any]:
        answer = self._server.handle_completions(
            {
                "prompt": prompt,
                "n_predict": tokens,
                "id_slot": slot,
                "cache_prompt": keep,
                "temperature": 0,
                "ignore_eos": True,
            }
        )
        if "timings" not in answer:
            raise RuntimeError(f"the server refused: {answer}")
        return answer["timings"]


def _load() -> Ready:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    server = Server(arguments.model, arguments.threads)
    about = f"xllamacpp {xllamacpp.__version__} (llama.cpp)"
    return Ready({"about": about}, {"decode": server.decode, "prefill": server.prefill})


if __name__ == "__main__":
    sys.exit(worker.run(_load))
