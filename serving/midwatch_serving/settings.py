"""The settings of a serving engine: names (vLLM's), what values they take, and how those must fit each other."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from midwatch_serving.attention import SPAN
from midwatch_serving.errors import ConfigError
from midwatch_serving.limits import Limits
from midwatch_serving.policies import SCHEDULING_POLICIES

Value = bool | int | float | str | None
Values = dict[str, Value]


@dataclass(frozen=True)
class Setting:
    """One name; `live` ones act at once, the others at the next start."""

    name: str
    live: bool

    def check(self, value: Any) -> Value:
        """Return the value, or raise ConfigError."""
        raise NotImplementedError


@dataclass(frozen=True)
class Whole(Setting):
    """A whole number; None too, where `optional`."""

    minimum: int
    maximum: int
    optional: bool = False

    def check(self, value: Any) -> Value:
        """Return the number, or raise ConfigError."""
        if value is None and self.optional:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigError(self.name, f"{value!r} is no whole number")
        if not self.minimum <= value <= self.maximum:
            raise ConfigError(self.name, f"{value} is outside {self.minimum} to {self.maximum}")
        return value


@dataclass(frozen=True)
class Switch(Setting):
    """On or off."""

    def check(self, value: Any) -> Value:
        """Return the boolean, or raise ConfigError."""
        if not isinstance(value, bool):
            raise ConfigError(self.name, f"{value!r} is neither true nor false")
        return value


@dataclass(frozen=True)
class Choice(Setting):
    """One of a few words."""

    choices: tuple[str, ...]

    def check(self, value: Any) -> Value:
        """Return the word, or raise ConfigError."""
        if value not in self.choices:
            raise ConfigError(self.name, f"{value!r} is none of {', '.join(self.choices)}")
        return value


@dataclass(frozen=True)
class Share(Setting):
    """A number from 0 to below 1."""

    def check(self, value: Any) -> Value:
        """Return the number, or raise ConfigError."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
            raise ConfigError(self.name, f"{value!r} is no number from 0 to below 1")
        return float(value)


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Whole("max_num_seqs", True, 1, 1024),
        Whole("max_num_batched_tokens", True, 1, 65536),
        Whole("num_gpu_blocks_override", False, 1, 65536),
        Whole("block_size", False, 1, SPAN),
        Whole("max_model_len", False, 2, 16384),
        Switch("enable_prefix_caching", False),
        Switch("enable_chunked_prefill", False),
        Whole("long_prefill_token_threshold", True, 0, 65536),
        Choice("scheduling_policy", True, tuple(SCHEDULING_POLICIES)),
        Whole("max_num_queued_reqs", True, 1, 1_000_000, optional=True),
        Whole("max_num_queued_tokens", True, 1, 1_000_000_000, optional=True),
        Share("watermark", True),
    )
}


def check_values(values: Mapping[str, Any]) -> Values:
    """Check each value and how they fit each other; return them.

    Raises:
        ConfigError: names the field and the reason.
    """
    checked = {name: SETTINGS[name].check(value) for name, value in values.items()}
    settings = EngineSettings.of(checked)
    limits, budget = settings.limits, settings.limits.max_num_batched_tokens
    if SPAN % settings.block_size:
        raise ConfigError("block_size", f"{settings.block_size} does not divide {SPAN}: take 1, 2, 4, 8, 16, 32 or 64")
    if budget < limits.max_num_seqs:
        raise ConfigError(
            "max_num_batched_tokens",
            f"{budget} is less than max_num_seqs ({limits.max_num_seqs}): each running sequence needs a token a step",
        )
    if not limits.enable_chunked_prefill and budget < settings.max_model_len:
        raise ConfigError(
            "max_num_batched_tokens",
            f"{budget} is less than max_model_len ({settings.max_model_len}), and with enable_chunked_prefill off "
            "a prompt is computed in one step: raise it, or let prompts be chunked",
        )
    if not limits.enable_chunked_prefill and limits.long_prefill_token_threshold:
        raise ConfigError(
            "long_prefill_token_threshold",
            f"{limits.long_prefill_token_threshold} cuts prompts into chunks, and enable_chunked_prefill is off: "
            "take 0, or let prompts be chunked",
        )
    return checked


@dataclass(frozen=True)
class EngineSettings:
    """Checked values with their types."""

    limits: Limits
    num_gpu_blocks_override: int
    block_size: int
    max_model_len: int
    enable_prefix_caching: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "EngineSettings":
        """Take the values of all settings, each of its type."""
        bounds = {field.name: values[field.name] for field in fields(Limits)}
        others = {name: value for name, value in values.items() if name not in bounds}
        return cls(limits=Limits(**bounds), **others)
