"""Named loads: fields that a specification starts from, each with where its figures were published."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Fields of a specification, what they stand for, and the source."""

    says: str
    source: str
    fields: dict[str, Any]


AZURE = "Azure LLM inference trace 2023 (Patel et al., Splitwise, ISCA 2024; CC-BY 4.0)"
BURSTGPT = (
    "BurstGPT's own generator, example/src/burstgpt/config.py: gamma_shape, gamma_scale, zipf_param, max_prompt_len"
)
MOONCAKE = "Mooncake conversation trace (Qin et al., FAST 2025; Apache-2.0)"
SERVEGEN = "ServeGen data/language/m-large, clients 0, 1, 10, 102, 103 (Xiang et al., NSDI 2026; Apache-2.0)"
COPILOT = "GitHub Copilot coding agent traces 2026, dataset card (Liu et al., arXiv 2608.00101; CC-BY)"

SERVEGEN_CLIENTS = ((0, 0.5584, 10.89), (1, 0.299, 8.82), (10, 0.0605, 3.04), (102, 0.1349, 1.06), (103, 0.0454, 2.06))
"""Client, mean requests per second over 14 days, and the median of the CVs of its windows, weighted by requests."""


def _lengths(table: str) -> dict[str, Any]:
    return {"prompt_tokens": f"{table}.prompt", "output_tokens": f"{table}.output"}


PRESETS: dict[str, Preset] = {
    "chat": Preset(
        "questions and answers, almost Poisson", AZURE, {"shape": "gamma", "cv": 1.02, **_lengths("azure-conv")}
    ),
    "code": Preset(
        "completions of code: long prompts, short answers, in bursts",
        AZURE,
        {"shape": "gamma", "cv": 3.18, **_lengths("azure-code")},
    ),
    "burstgpt": Preset(
        "the arrivals and lengths that BurstGPT's authors model their trace by",
        BURSTGPT,
        {
            "shape": "gamma",
            "cv": 2**0.5,
            "prompt_tokens": {"kind": "zipf", "exponent": 1.1, "most": 1023},
            "output_tokens": {"kind": "zipf", "exponent": 1.1, "most": 1023},
        },
    ),
    "long-context": Preset(
        "documents to read: a heavy tail of prompts up to 126,195 tokens",
        MOONCAKE,
        {"shape": "poisson", "timeout_s": 120.0, **_lengths("mooncake-conversation")},
    ),
    "batch": Preset(
        "64 requests at once, as an evaluation or a nightly job sends them; lengths are those of chat",
        AZURE,
        {"shape": "batch", "size": 64, "timeout_s": 600.0, **_lengths("azure-conv")},
    ),
    "day": Preset(
        "a day of chat, which `day_s` compresses",
        SERVEGEN,
        {"shape": "diurnal", **_lengths("azure-conv")},
    ),
    "agent": Preset(
        "coding agents: 3.95 turns of 7.83 calls, a context that grows to 68,000 tokens, pauses for tools",
        COPILOT,
        {
            "shape": "sessions",
            "turns": {"kind": "geometric", "mean": 3.95},
            "calls": {"kind": "geometric", "mean": 7.83},
            "system": {"tokens": 16_384, "count": 4},
            "prompt_tokens": {"kind": "exponential", "mean": 400},
            "tool_tokens": {"kind": "exponential", "mean": 1264},
            "output_tokens": {"kind": "exponential", "mean": 527},
            "timeout_s": 600.0,
        },
    ),
    "mixed": Preset(
        "five clients of one service, from one that sends half of all in bursts to one that is steady",
        SERVEGEN,
        {
            "shape": "clients",
            "clients": [
                {
                    "name": f"m-large-{number}",
                    "share": rate,
                    "cv": cv,
                    **_lengths(f"servegen-m-large-{number}"),
                }
                for number, rate, cv in SERVEGEN_CLIENTS
            ],
        },
    ),
}
