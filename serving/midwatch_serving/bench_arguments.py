"""Arguments of the benchmarks and of `what-if`. On the path of `--help`, so it imports nothing heavy."""

import argparse
from pathlib import Path


def configure_serve(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench serve`."""
    add = parser.add_argument
    add("--url", default="http://127.0.0.1:8000", help="base URL of the server (default: %(default)s)")
    add("--model", metavar="NAME", help="served model (default: the first that the server lists)")
    load = parser.add_mutually_exclusive_group()
    load.add_argument("--rate", type=float, metavar="R", help="requests a second; inf (default): all at once")
    load.add_argument("--concurrency", type=int, metavar="N", help="N clients that wait for their answers")
    add("--cv", type=float, default=1.0, help="with --rate: spread of the gaps, 1 Poisson, 0 even (default: 1)")
    add("--num-prompts", type=int, default=100, metavar="N", help="requests (default: %(default)s)")
    add(
        "--traces",
        metavar="PATH",
        help="a file, or a folder of them: Azure LLM 2023, BurstGPT, Mooncake or ServeGen (default: like ShareGPT)",
    )
    add("--prompt-tokens", type=int, metavar="N", help="tokens of each prompt, instead of ShareGPT's")
    add("--output-tokens", type=int, default=64, metavar="N", help="with --prompt-tokens (default: %(default)s)")
    add("--seed", type=int, default=0, help="of arrivals, lengths and words (default: %(default)s)")
    add("--goodput", nargs="+", metavar="NAME:MS", help="count requests within ttft:MS tpot:MS e2el:MS")
    add("--json", action="store_true", help="print one JSON object")


def configure_simulator(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench simulator`."""
    add = parser.add_argument
    add("--model", default="tiny", metavar="MODEL", help="as for `midwatch serve` (default: %(default)s)")
    add("--download-dir", type=Path, metavar="DIR", help="folder of pulled models (default: the state folder's)")
    add("--kernel", default="auto", help="as for `midwatch serve` (default: %(default)s)")
    add("--kernel-cache", type=Path, metavar="DIR", help="as for `midwatch serve`")
    add("--max-num-seqs", type=int, default=8, metavar="N", help="sequences in a batch (default: %(default)s)")
    add("--max-num-batched-tokens", type=int, default=512, metavar="N", help="tokens a step (default: %(default)s)")
    add("--num-gpu-blocks-override", type=int, default=512, metavar="N", help="KV blocks (default: %(default)s)")
    add("--block-size", type=int, default=16, metavar="N", help="tokens a block (default: %(default)s)")
    add("--max-model-len", type=int, default=1024, metavar="N", help="tokens of a request (default: %(default)s)")
    add("--seconds", type=float, default=15.0, metavar="S", help="of each measured run (default: %(default)s)")
    add("--rounds", type=int, default=9, metavar="N", help="of the fit (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the loads, and of tiny's weights (default: %(default)s)")
    add("--calibrate-only", action="store_true", help="fit, and print the cost model")
    add("--save", type=Path, metavar="FILE", help="write the cost model, with its error when it was validated")
    add("--name", metavar="NAME", help="of the cost model (default: cpu-MODEL)")


def configure_ablations(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench ablations`."""
    add = parser.add_argument
    add("--model", default="tiny", metavar="MODEL", help="as for `midwatch serve` (default: %(default)s)")
    add("--download-dir", type=Path, metavar="DIR", help="folder of pulled models (default: the state folder's)")
    add("--kernel", default="auto", help="as for `midwatch serve` (default: %(default)s)")
    add("--kernel-cache", type=Path, metavar="DIR", help="as for `midwatch serve`")
    add("--seed", type=int, default=0, help="of tiny's weights (default: %(default)s)")
    add("--figure", metavar="NAME", help="measure only figures whose name contains this")


def configure_perplexity(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench perplexity`."""
    add = parser.add_argument
    add("--model", default="smollm2", metavar="NAME", help="a pulled model, or a .gguf file (default: %(default)s)")
    add("--kernel", default="auto", metavar="KIND", help="the kernels to measure (default: this CPU's best)")
    add(
        "--text",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="(default: Python's longest modules)",
    )


def configure_what_if(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `what-if`."""
    add = parser.add_argument
    add("--url", help="ask this server about itself; without it the simulation runs here")
    add("--cost-model", metavar="NAME", help="what predicts the steps: a name or a .yaml (default: cpu-tiny)")
    load = parser.add_mutually_exclusive_group(required=True)
    load.add_argument("--rate", type=float, metavar="R", help="requests a second")
    load.add_argument("--concurrency", type=int, metavar="N", help="clients that wait for their answers")
    add("--cv", type=float, default=1.0, help="spread of the gaps between arrivals, 1 is Poisson (default: 1)")
    add("--prompt-tokens", type=int, metavar="N", help="tokens of a prompt (default: like ShareGPT's)")
    add("--output-tokens", type=int, metavar="N", help="tokens of an answer")
    add("--length-sigma", type=float, default=0.0, metavar="S", help="width of log-normal lengths (default: 0)")
    add("--requests", type=int, default=300, metavar="N", help="requests to simulate (default: %(default)s)")
    add("--seed", type=int, default=0, help="of arrivals and lengths (default: %(default)s)")
    add("--max-num-seqs", type=int, metavar="N", help="proposed: sequences in a batch")
    add("--max-num-batched-tokens", type=int, metavar="N", help="proposed: tokens a step")
    add("--num-gpu-blocks-override", type=int, metavar="N", help="proposed: KV blocks")
    add(
        "--config",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="proposed: any other setting of /admin/config, the value as JSON (may be repeated)",
    )
    add(
        "--current",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="without --url: the present setting, where it is not `midwatch serve`'s default (may be repeated)",
    )
    add("--replicas", type=int, default=1, metavar="N", help="proposed: replicas behind a balancer (default: 1)")
    add("--balancer", default="least_requests", choices=["least_requests", "round_robin"], help="of the replicas")
    add("--cpu-limit", metavar="CORES", help="without --url: the CPU limit, as for `midwatch serve`")
    add("--ttft-ms", type=float, metavar="MS", help="objective: time to the first token")
    add("--tpot-ms", type=float, metavar="MS", help="objective: time a token after it")
    add("--json", action="store_true", help="print one JSON object")
