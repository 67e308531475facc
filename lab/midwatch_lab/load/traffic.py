"""When requests come and what they say: pure, and the same for the same seed."""

import random
from collections.abc import Iterator

from midwatch_lab.load.spec import LoadSpec

_TEXT = (
    "about after answer batch before block cache check cluster context count decode delay describe engine every "
    "explain fast first from graph harbour how kernel lantern large latency light many memory model morning night page "
    "plan please prefill prompt queue read request river scale short show sleep small table tell token under watch "
    "water what when where which why window write"
)
_WORDS = tuple(_TEXT.split())


def gaps(spec: LoadSpec) -> Iterator[float]:
    """Yield the seconds between one arrival and the next, without end: exponential (Poisson) or constant."""
    draw = random.Random(f"arrivals:{spec.seed}")  # noqa: S311 (traffic, not secrets)
    while True:
        yield draw.expovariate(spec.rate) if spec.shape == "poisson" else 1.0 / spec.rate


def prompts(spec: LoadSpec) -> Iterator[str]:
    """Yield prompts of `prompt_tokens` characters (the reference backend's tokens are bytes), each different."""
    draw = random.Random(f"prompts:{spec.seed}")  # noqa: S311 (traffic, not secrets)
    number = 0
    while True:
        number += 1
        text = f"{number}:"
        while len(text) < spec.prompt_tokens:
            text += " " + draw.choice(_WORDS)
        yield text[: spec.prompt_tokens]
