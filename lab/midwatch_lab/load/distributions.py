"""Sizes and pauses as distributions: what a specification may say in the place of a number.

A number is always the same; a name, such as `azure-conv.prompt`, is a table that was measured on a published trace
(`measured.json`); an object names a kind and its parameters. All are drawn many at a time.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import orjson
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import BeforeValidator, Discriminator, Field, model_validator

from midwatch_contracts.model import Model

Draws = NDArray[np.float64]
Number = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e9)]
Above = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e9)]


class Fixed(Model):
    """Always the same."""

    kind: Literal["fixed"] = "fixed"
    value: Number

    def draw(self, count: int, rng: Generator) -> Draws:
        """Return `count` numbers."""
        del rng
        return np.full(count, self.value)


class Exponential(Model):
    """Exponential, as ServeGen finds the lengths of answers (Xiang et al. 2025)."""

    kind: Literal["exponential"]
    mean: Above

    def draw(self, count: int, rng: Generator) -> Draws:
        """Return `count` numbers."""
        return rng.exponential(self.mean, count)


class LogNormal(Model):
    """Log-normal: half of it below `median`; `sigma` is the spread of the logarithm."""

    kind: Literal["lognormal"]
    median: Above
    sigma: Annotated[float, Field(gt=0, le=5)]

    def draw(self, count: int, rng: Generator) -> Draws:
        """Return `count` numbers."""
        return rng.lognormal(math.log(self.median), self.sigma, count)


class Geometric(Model):
    """Whole numbers from 1 on, each step as likely as the one before to be the last."""

    kind: Literal["geometric"]
    mean: Annotated[float, Field(ge=1, le=1e6)]

    def draw(self, count: int, rng: Generator) -> Draws:
        """Return `count` numbers."""
        return rng.geometric(1 / self.mean, count).astype(np.float64)


class Pareto(Model):
    """A heavy tail: at least `least`, and beyond x with probability (least / x) ** alpha."""

    kind: Literal["pareto"]
    least: Above
    alpha: Annotated[float, Field(gt=0.1, le=100)]

    def draw(self, count: int, rng: Generator) -> Draws:
        """Return `count` numbers."""
        return self.least * (1 + rng.pareto(self.alpha, count))


class Zipf(Model):
    """Whole numbers k from 1 to `most` with weights k ** -exponent, as BurstGPT models lengths."""

    kind: Literal["zipf"]
    exponent: Annotated[float, Field(gt=0, le=20)]
    most: Annotated[int, Field(ge=1, le=1_000_000)]

    def draw(self, count: int, rng: Generator) -> Draws:
        """Return `count` numbers."""
        return (np.searchsorted(_zipf(self.exponent, self.most), rng.random(count), side="right") + 1).astype(
            np.float64
        )


class Quantiles(Model):
    """Given by quantiles: a share `shares[i]` of it is at most `values[i]`.

    Between two quantiles it is a power of a uniform draw that has the mean which `means` says, or spreads evenly.
    """

    kind: Literal["quantiles"]
    shares: Annotated[tuple[float, ...], Field(min_length=2, max_length=10_001)]
    values: Annotated[tuple[Number, ...], Field(min_length=2, max_length=10_001)]
    means: tuple[Number, ...] = ()

    @model_validator(mode="after")
    def _shape(self) -> Self:
        shares, values = np.array(self.shares), np.array(self.values)
        if len(shares) != len(values) or len(self.means) not in (0, len(values) - 1):
            raise ValueError("as many values as shares are needed, and means none or one fewer")
        if shares[0] != 0 or shares[-1] != 1 or (np.diff(shares) <= 0).any() or (np.diff(values) < 0).any():
            raise ValueError("shares must rise from 0 to 1, and values must not fall")
        means = np.array(self.means)
        if len(means) and ((means < values[:-1]) | (means > values[1:])).any():
            raise ValueError("a mean lies outside of its two values")
        return self

    def draw(self, count: int, rng: Generator) -> Draws:
        """Return `count` numbers."""
        shares, values, powers = _segments(self.shares, self.values, self.means)
        uniform = rng.random(count)
        at = np.searchsorted(shares, uniform, side="right") - 1
        inside = (uniform - shares[at]) / (shares[at + 1] - shares[at])
        return values[at] + (values[at + 1] - values[at]) * inside ** powers[at]


class Measured(Model):
    """A table of `measured.json`, by name."""

    kind: Literal["measured"]
    name: str

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.name not in tables():
            raise ValueError(f"no table is called {self.name!r}; known: {', '.join(tables())}")
        return self

    def draw(self, count: int, rng: Generator) -> Draws:
        """Return `count` numbers."""
        return tables()[self.name].quantiles.draw(count, rng)


class Table(Model):
    """What was measured on a published trace: mean, coefficient of variation, and quantiles."""

    mean: float
    cv: float
    quantiles: Quantiles


def _spelt(value: Any) -> Any:
    if isinstance(value, str):
        return {"kind": "measured", "name": value}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"kind": "fixed", "value": value}
    return value


Distribution = Annotated[
    Fixed | Exponential | LogNormal | Geometric | Pareto | Zipf | Quantiles | Measured,
    Discriminator("kind"),
    BeforeValidator(_spelt),
]
"""A number, the name of a measured table, or `{kind: …}`."""


def _whole_only(value: Any) -> Any:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value!r} is no whole number")
    if isinstance(value, int | float) and not isinstance(value, bool) and not 1 <= value <= MOST_TOKENS:
        raise ValueError(f"{value!r} is not between 1 and {MOST_TOKENS}")
    return value


MOST_TOKENS = 1_000_000
Tokens = Annotated[Distribution, BeforeValidator(_whole_only)]
"""A distribution of lengths; draws are rounded up, and cut to 1 to 1,000,000."""


def whole(distribution: Distribution, count: int, rng: Generator, *, scale: float = 1.0) -> NDArray[np.int64]:
    """Draw lengths: whole numbers from 1 on, times `scale`."""
    drawn = np.ceil(distribution.draw(count, rng) * scale - 1e-9)
    return np.clip(drawn, 1, MOST_TOKENS).astype(np.int64)


@lru_cache(maxsize=1)
def tables() -> dict[str, Table]:
    """Return the measured tables by name."""
    raw: dict[str, Any] = orjson.loads((Path(__file__).parent / "measured.json").read_bytes())
    return {
        name: Table(
            mean=found["mean"],
            cv=found["cv"],
            quantiles=Quantiles(kind="quantiles", shares=raw["shares"], values=found["values"], means=found["means"]),
        )
        for name, found in raw["tables"].items()
    }


@lru_cache(maxsize=64)
def _zipf(exponent: float, most: int) -> Draws:
    """Return the cumulated shares of 1 to `most`."""
    weights = np.arange(1, most + 1, dtype=np.float64) ** -exponent
    return np.cumsum(weights / weights.sum())


@lru_cache(maxsize=256)
def _segments(
    shares: tuple[float, ...], values: tuple[float, ...], means: tuple[float, ...]
) -> tuple[Draws, Draws, Draws]:
    """Return shares, values, and the power of each segment.

    The mean of u ** k is 1 / (1 + k). Lengths are rounded up after the draw, which adds half a token to the mean
    of a segment; the power takes it off again.
    """
    edges, lows = np.array(values), np.array(values[:-1])
    widths = np.diff(edges)
    if not means:
        return np.array(shares), edges, np.ones(len(widths))
    rise = np.clip(np.array(means) - 0.5 - lows, 1e-3 * np.maximum(widths, 1), None)
    powers = np.clip(np.where(widths > 1, widths / rise - 1, 1.0), 1e-3, 1e3)
    return np.array(shares), edges, powers
