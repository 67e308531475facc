"""Boundaries of the histograms, by family: vLLM 0.33's, finer ones, or the operator's own.

The family names are those of vLLM's `custom_histogram_buckets`, so that one JSON object fits both servers.
"""

import itertools
import json
from collections.abc import Mapping
from typing import cast

from midwatch_serving.errors import ConfigError

TTFT = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0,
    640.0, 2560.0,
)  # fmt: skip
ITL = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
LATENCY = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
ITERATION_TOKENS = (1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0)
PARAMS_N = (1.0, 2.0, 5.0, 10.0, 20.0)
PREEMPTIONS = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)
STEP = (
    0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
    0.5, 0.75, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Ours: from the tiny model's step to a long prefill under a tight CPU limit."""
FINE = (
    0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6,
    0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0,
)  # fmt: skip
"""Boundaries that `--fine-buckets` adds to those of times, so that a p95 between 10 ms and 6 s is sharp."""
TIMES = ("request_latency", "time_to_first_token", "inter_token_latency")
"""The families that `--fine-buckets` makes finer."""

LARGEST = 1e6
"""No time or count comes near."""

Boundaries = tuple[float, ...]


def one_two_five(maximum: int) -> Boundaries:
    """Return 1, 2, 5, 10, 20, 50 … up to `maximum`."""
    return tuple(float(m * 10**e) for e in range(len(str(maximum))) for m in (1, 2, 5) if m * 10**e <= maximum)


def boundaries(
    max_model_len: int, *, fine: bool = False, custom: Mapping[str, Boundaries] | None = None
) -> dict[str, Boundaries]:
    """Return the upper boundaries of every family, increasing, without +Inf; `custom` replaces a family whole."""
    found = {
        "request_latency": LATENCY,
        "time_to_first_token": TTFT,
        "inter_token_latency": ITL,
        "iteration_tokens": ITERATION_TOKENS,
        "request_params_n": PARAMS_N,
        "request_num_preemptions": PREEMPTIONS,
        "request_tokens": one_two_five(max_model_len),
        "midwatch_step": STEP,
    }
    if fine:
        found |= {name: tuple(sorted({*found[name], *FINE})) for name in TIMES}
    return found | dict(custom or {})


def parse_custom(text: str) -> dict[str, Boundaries]:
    """Read `--custom-histogram-buckets`: a JSON object of increasing numbers by family.

    Raises:
        ConfigError: names the family at fault, the reason and what is known.
    """
    try:
        data: object = json.loads(text)
    except ValueError as error:
        raise _refused(f"this is no JSON ({error})") from error
    if not isinstance(data, dict):
        raise _refused("give a JSON object")
    known = boundaries(1)
    found: dict[str, Boundaries] = {}
    for name, values in cast("dict[str, object]", data).items():
        if name not in known:
            raise _refused(f"there is no family {name!r}: one of {', '.join(known)}")
        found[name] = _increasing(name, values)
    return found


def _increasing(name: str, values: object) -> Boundaries:
    if not isinstance(values, list) or not values:
        raise _refused(f"{name}: give a list of at least one number")
    numbers = tuple(_number(name, value) for value in cast("list[object]", values))
    if any(b <= a for a, b in itertools.pairwise(numbers)):
        raise _refused(f"{name}: boundaries must increase")
    return numbers


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise _refused(f"{name}: {value!r} is no number from 0 to {LARGEST:g} (+Inf is added by itself)")
    return float(value)


def _refused(reason: str) -> ConfigError:
    example = '{"inter_token_latency": [0.002, 0.004, 0.008]}'
    return ConfigError("custom_histogram_buckets", f"{reason}, for example {example}")
