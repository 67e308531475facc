"""What a load is: which Service, how often, how long prompts and answers are."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from midwatch_contracts.entity import Entity
from midwatch_contracts.errors import ContractError
from midwatch_lab.load.errors import SpecError

Shape = Literal["poisson", "constant", "closed"]
_SHAPES = ("poisson", "constant", "closed")
_MOST = {
    "rate": 10_000.0,
    "prompt_tokens": 100_000,
    "output_tokens": 100_000,
    "timeout_s": 3600.0,
    "concurrency": 10_000,
}


@dataclass(frozen=True)
class LoadSpec:
    """One load.

    Open loop (`poisson`, `constant`): `rate` requests per second, whatever the answers do. Closed loop (`closed`):
    `concurrency` clients, each of which asks again as soon as it is answered. `rate` 0 (closed: `concurrency` 0) stops
    the load of that target. `model` None: what the server's `/v1/models` names first.
    """

    target: Entity
    rate: float = 0.0
    prompt_tokens: int = 96
    output_tokens: int = 64
    timeout_s: float = 5.0
    shape: Shape = "poisson"
    concurrency: int = 0
    seed: int = 1
    model: str | None = None

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """Read a specification from JSON data.

        Raises:
            SpecError: names the field that is missing, unknown or out of bounds.
        """
        known = [field.name for field in fields(cls)]
        unknown = [str(name) for name in raw if name not in known]
        if unknown:
            raise SpecError(f"a load has no field {unknown[0]!r}; known: {', '.join(known)}")
        try:
            target = Entity.parse(str(raw.get("target", "")))
        except ContractError as error:
            raise SpecError(f"target: {error}") from error
        shape = raw.get("shape", "poisson")
        if shape not in _SHAPES:
            raise SpecError(f"shape: {shape!r} is none of {', '.join(_SHAPES)}")
        model = raw.get("model")
        if model is not None and not (isinstance(model, str) and model):
            raise SpecError("model: must be a name, or be left out")
        return cls(
            target,
            rate=_number(raw, "rate", 0.0),
            prompt_tokens=_whole(raw, "prompt_tokens", 96, least=1),
            output_tokens=_whole(raw, "output_tokens", 64, least=1),
            timeout_s=_number(raw, "timeout_s", 5.0, above=0.0),
            shape=shape,
            concurrency=_whole(raw, "concurrency", 0),
            seed=_whole(raw, "seed", 1),
            model=model,
        )

    @property
    def idle(self) -> bool:
        """Whether this load sends nothing."""
        return self.concurrency == 0 if self.shape == "closed" else self.rate == 0


def _number(raw: Mapping[str, Any], name: str, default: float, *, above: float | None = None) -> float:
    value = raw.get(name, default)
    most = _MOST[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SpecError(f"{name}: {value!r} is no number")
    if value < 0 or value > most or (above is not None and value <= above):
        raise SpecError(f"{name}: {value!r} is not between {0 if above is None else 'more than 0'} and {most:g}")
    return float(value)


def _whole(raw: Mapping[str, Any], name: str, default: int, *, least: int = 0) -> int:
    value = raw.get(name, default)
    most = _MOST.get(name, 2**53)
    if isinstance(value, bool) or not isinstance(value, int):
        raise SpecError(f"{name}: {value!r} is no whole number")
    if not least <= value <= most:
        raise SpecError(f"{name}: {value} is not between {least} and {most:g}")
    return value
