"""The sub-commands of serving, and its benchmarks. On the path of `midwatch --help`, so it imports nothing heavy."""

import argparse
from pathlib import Path

from midwatch_contracts.command import Command
from midwatch_serving.bench_arguments import (
    configure_ablations,
    configure_perplexity,
    configure_serve,
    configure_simulator,
    configure_what_if,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `serve`: vLLM's names where vLLM has them."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8000, help="port; 0 takes a free one (default: %(default)s)")
    add(
        "--model",
        default="tiny",
        metavar="MODEL",
        help="tiny (random weights from --seed; its text means nothing), the name of a pulled model such as smollm2, "
        "or a .gguf file (default: %(default)s)",
    )
    add(
        "--download-dir", type=Path, metavar="DIR", help="folder of pulled models (default: models in the state folder)"
    )
    add(
        "--kernel",
        default="auto",
        choices=["auto", "reference", "portable", "vnni", "amx"],
        help="arithmetic: auto takes numpy in fp32 for tiny and the CPU's best int8 kernels for other models "
        "(default: %(default)s)",
    )
    add("--kernel-threads", type=int, default=1, metavar="N", help="threads of a step (default: %(default)s)")
    add(
        "--kernel-cache",
        type=Path,
        metavar="DIR",
        help="keep compiled kernels and packed weights here (default: the user's cache folder)",
    )
    add(
        "--executor",
        default="cpu",
        choices=["cpu", "simulated"],
        help="cpu runs the model; simulated says a fixed text, in the time that a cost model predicts (default: cpu)",
    )
    add("--cost-model", metavar="NAME", help="with --executor simulated: a name or a .yaml (default: cpu-MODEL)")
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
    configure_scheduling(parser)
    add(
        "--cpu-limit",
        metavar="CORES",
        help="stretch steps so that they use this share of cores at most, as 0.25 or 250m "
        "(default: MIDWATCH_CPU_LIMIT, else no limit)",
    )
    add(
        "--api-key",
        action="append",
        metavar="KEY",
        help="key that clients must send; may be given several times (default: MIDWATCH_API_KEY or VLLM_API_KEY, else "
        "none is asked for)",
    )
    add(
        "--rate-limit",
        metavar="REQ_PER_S[:BURST]",
        help="requests that one key, or one address, may send a second (default: no limit)",
    )
    add("--max-connections", type=int, metavar="N", help="connections at once, 503 beyond (default: no limit)")
    add("--fine-buckets", action="store_true", help="add finer boundaries to the histograms of times")
    add(
        "--custom-histogram-buckets",
        metavar="JSON",
        help='boundaries by family of histograms, as {"inter_token_latency": [0.002, 0.004, 0.008]}',
    )
    add("--enable-mfu-metrics", action="store_true", help="count estimated operations and bytes of the model")
    add("--watts-per-core", type=float, metavar="W", help="estimate energy by CPU time at W watts a core")
    add(
        "--otlp-traces-endpoint",
        metavar="URL",
        help="send a span of each request there, by OTLP over HTTP (needs midwatch[otel])",
    )
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


def configure_model(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `model`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    pull = actions.add_parser("pull", help="fetch a model: smollm2 by its name, any other with --gguf or --from-hub")
    pull.add_argument("name", help="smollm2, or the name that the model is to have here")
    source = pull.add_mutually_exclusive_group()
    source.add_argument("--gguf", type=Path, metavar="PATH", help="take in this file")
    source.add_argument("--from-hub", metavar="OWNER/REPO/FILE", help="fetch it from a Hugging Face hub")
    pull.add_argument("--link", action="store_true", help="with --gguf: leave the file where it is")
    listing = actions.add_parser("list", help="the models on this machine")
    show = actions.add_parser("show", help="one model: sizes, quantisation, where it came from")
    remove = actions.add_parser("remove", help="remove a model from this machine")
    for action in (show, remove):
        action.add_argument("name", help="see `midwatch model list`")
    for action in (pull, listing, show, remove):
        action.add_argument("--json", action="store_true", help="print JSON")


def configure_scheduling(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose the scheduler's mechanisms."""
    add, on_off = parser.add_argument, argparse.BooleanOptionalAction
    add("--enable-prefix-caching", action=on_off, default=True, help="find computed prefixes again (default: on)")
    add(
        "--enable-chunked-prefill",
        action=on_off,
        default=True,
        help="cut long prompts into chunks; off, a prompt is computed in one step (default: on)",
    )
    add(
        "--long-prefill-token-threshold",
        type=int,
        default=0,
        metavar="N",
        help="tokens of one prompt in a step at most; 0: what the step has left (default: %(default)s)",
    )
    add(
        "--scheduling-policy",
        default="fcfs",
        choices=["fcfs", "priority"],
        help="order of service: by arrival, or by the requests' priority (default: %(default)s)",
    )
    add("--max-num-queued-reqs", type=int, metavar="N", help="refuse requests with 503 once this many are served")
    add(
        "--max-num-queued-tokens",
        type=int,
        metavar="N",
        help="refuse requests with 503 once this many prompt tokens wait to be computed",
    )
    add(
        "--watermark",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of blocks that an admission leaves free (default: %(default)s)",
    )


serve = Command(
    summary="serve the CPU reference backend: OpenAI chat API, vLLM's metrics",
    target="midwatch_serving.launch:serve",
    configure=configure,
)
model = Command(
    summary="pull, list, show and remove the models that `midwatch serve` can run",
    target="midwatch_serving.model_command:model",
    configure=configure_model,
)
what_if = Command(
    summary="predict latencies of a load under another configuration, by simulation",
    target="midwatch_serving.bench_launch:what_if",
    configure=configure_what_if,
)
bench_serve = Command(
    summary="put a load on a server over HTTP and measure it",
    target="midwatch_serving.bench_launch:serve",
    configure=configure_serve,
)
bench_simulator = Command(
    summary="fit the simulator to this machine and test its predictions",
    target="midwatch_serving.bench_launch:simulator",
    configure=configure_simulator,
)
bench_ablations = Command(
    summary="measure each scheduling mechanism against its absence, on one model",
    target="midwatch_serving.bench_launch:ablations",
    configure=configure_ablations,
)
bench_perplexity = Command(
    summary="perplexity of a model on the int8 kernels beside fp32",
    target="midwatch_serving.bench_launch:perplexity",
    configure=configure_perplexity,
)
