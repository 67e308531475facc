"""The sub-command `serve`. On the path of `midwatch --help`, so it imports nothing heavy."""

import argparse
from pathlib import Path

from midwatch_contracts.command import Command


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `serve`: vLLM's names where vLLM has them."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8000, help="port; 0 takes a free one (default: %(default)s)")
    add("--model", default="tiny", choices=["tiny"], help="tiny: random weights from --seed; its text means nothing")
    add("--served-model-name", metavar="NAME", help="name in the API and in metrics (default: the model's)")
    add("--seed", type=int, default=0, help="seed of the tiny model's weights (default: %(default)s)")
    add("--max-num-seqs", type=int, default=4, metavar="N", help="sequences in a batch (default: %(default)s)")
    add(
        "--max-num-batched-tokens",
        type=int,
        default=512,
        metavar="N",
        help="tokens a step; longer prompts are cut into chunks (default: %(default)s)",
    )
    add(
        "--num-gpu-blocks-override",
        type=int,
        default=256,
        metavar="N",
        help="KV cache blocks (default: %(default)s)",
    )
    add("--block-size", type=int, default=16, metavar="N", help="tokens a block (default: %(default)s)")
    add(
        "--max-model-len",
        type=int,
        default=2048,
        metavar="N",
        help="tokens of prompt and answer at most (default: %(default)s)",
    )
    add(
        "--cpu-limit",
        metavar="CORES",
        help="stretch steps so that they use this share of cores at most, as 0.25 or 250m "
        "(default: MIDWATCH_CPU_LIMIT, else no limit)",
    )
    add("--fine-buckets", action="store_true", help="add finer boundaries to the histograms of times")
    add("--exit-with-stdin", action="store_true", help="end when standard input ends")
    add(
        "--shutdown-grace",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="time for running requests to finish after SIGTERM (default: %(default)s)",
    )
    add("--config-store", type=Path, metavar="FILE", help="keep changes to /admin/config here, over restarts")
    add("--json", action="store_true", help="say where it listens as one JSON object")


serve = Command(
    summary="serve the CPU reference backend: OpenAI chat API, vLLM's metrics",
    target="midwatch_serving.launch:serve",
    configure=configure,
)
