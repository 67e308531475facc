"""How long a step takes: a sum of few terms, with constants from data files that name their source.

The form is that of Vidur (Agrawal et al., MLSys 2024) and of BLIS, drawn together: a fixed part (reading the weights),
a monotone piecewise-linear part in the rows of the matrix products, and linear parts in attention and sampling. All
constants are seconds and none is negative, so that more work never takes less time.
"""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import Field, ValidationError, model_validator

from midwatch_contracts.model import Model
from midwatch_serving.errors import CostModelError
from midwatch_serving.step_shape import StepShape

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FOLDER = files("midwatch_serving") / "cost_models"


class StepSeconds(Model):
    """Seconds of each term of a step; what a unit is stands in `StepShape`."""

    fixed: Seconds
    rows: tuple[Seconds, ...] = ()
    """A row, between one knot and the next; the last slope goes on for ever."""
    decode: Seconds = 0.0
    decode_context: Seconds = 0.0
    decode_padded: Seconds = 0.0
    """A decode times the longest context in the batch."""
    prefill: Seconds = 0.0
    prefill_token: Seconds = 0.0
    prefill_pair: Seconds = 0.0
    sample: Seconds = 0.0


class Overhead(Model):
    """Seconds of the Python around a step: scheduling, booking, handing over."""

    step: Seconds = 0.0
    sequence: Seconds = 0.0
    wake: Seconds = 0.0
    """More on the first step after the engine had nothing to do: threads wake, and caches have gone cold."""


class Slowdown(Model):
    """How many times as long a step takes on the wall as it takes of the CPU, where neighbours take turns on it.

    Short steps often end within their turn, so that decodes suffer less than prefills.
    """

    decode: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    prefill: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0


class Wire(Model):
    """Seconds that a client sees beyond the engine's; they do not delay a step."""

    request: Seconds = 0.0
    prompt_token: Seconds = 0.0
    token: Seconds = 0.0
    """On every token, the first one too."""


class ErrorBand(Model):
    """By how much a prediction may be off, as a share of it, and where that is known from."""

    ttft_p50: Seconds
    ttft_p95: Seconds
    tpot_p50: Seconds
    tpot_p95: Seconds
    basis: str

    @property
    def of_steps(self) -> float:
        """Return the share by which steps may be off: medians tell it, before queues make more of it."""
        return max(self.ttft_p50, self.tpot_p50)

    def of(self, name: str) -> float:
        """Return the share for a figure such as `ttft_p95`; for one not validated, the widest."""
        own = {"ttft_p50", "ttft_p95", "tpot_p50", "tpot_p95"}
        return float(getattr(self, name)) if name in own else max(float(getattr(self, n)) for n in own)


class Cache(Model):
    """The KV cache that goes with the model on this machine, where a simulation is not told otherwise."""

    block_size: Annotated[int, Field(ge=1)] = 16
    num_blocks: Annotated[int, Field(ge=1)]


class CostModel(Model):
    """One model on one machine. `uncertainty` says what is measured, what derived and what assumed."""

    name: str
    about: str
    source: tuple[str, ...]
    uncertainty: str
    max_model_len: Annotated[int, Field(ge=2)]
    cache: Cache
    row_knots: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Where the slope of `rows` changes: the first slope holds up to the first knot, and so on."""
    seconds: StepSeconds
    overhead: Overhead = Overhead()
    slowdown: Slowdown = Slowdown()
    wire: Wire = Wire()
    error: ErrorBand

    @model_validator(mode="after")
    def _knots_fit(self) -> "CostModel":
        if len(self.seconds.rows) not in ({0} if not self.row_knots else {len(self.row_knots) + 1}):
            raise ValueError(f"{len(self.row_knots)} row knots part {len(self.row_knots) + 1} slopes of seconds.rows")
        if any(a >= b for a, b in zip(self.row_knots, self.row_knots[1:], strict=False)):
            raise ValueError(f"row_knots {self.row_knots} do not rise")
        return self

    def step_s(self, shape: StepShape) -> float:
        """Return the seconds that the executor takes for a step."""
        s = self.seconds
        seconds = (
            s.fixed
            + s.decode * shape.decodes
            + s.decode_context * shape.decode_context
            + s.decode_padded * shape.decodes * shape.longest_context
            + s.prefill * shape.prefills
            + s.prefill_token * shape.prefill_tokens
            + s.prefill_pair * shape.prefill_pairs
            + s.sample * shape.samples
        )
        for slope, rows in zip(s.rows, segments(shape.rows, self.row_knots), strict=False):
            seconds += slope * rows
        return seconds * (self.slowdown.prefill if shape.prefills else self.slowdown.decode)

    def growth_s(self, shape: StepShape) -> float:
        """Return by how many seconds each further step of the same decodes takes longer than the one before it."""
        s = self.seconds
        return (s.decode_context + s.decode_padded) * shape.decodes * self.slowdown.decode

    def overhead_s(self, shape: StepShape) -> float:
        """Return the seconds of Python around the step."""
        return self.overhead.step + self.overhead.sequence * (shape.decodes + shape.prefills)

    def scaled(self, factor: float) -> "CostModel":
        """Return the same model on a machine that takes `factor` times as long."""
        return self.model_copy(
            update={
                "seconds": _times(self.seconds, factor),
                "overhead": _times(self.overhead, factor),
                "wire": _times(self.wire, factor),
            }
        )


def _times(part: Any, factor: float) -> Any:
    values = {
        name: tuple(factor * v for v in cast("tuple[float, ...]", value))
        if isinstance(value, tuple)
        else factor * value
        for name, value in part
    }
    return part.model_copy(update=values)


def segments(rows: int, knots: tuple[int, ...]) -> list[int]:
    """Return how many of `rows` lie in each segment between `knots`, the last one open."""
    edges = (0, *knots)
    return [min(max(rows - low, 0), high - low) for low, high in zip(edges, knots, strict=False)] + [
        max(rows - edges[-1], 0)
    ]


def available() -> list[str]:
    """Return the names of the models that come with Midwatch."""
    return sorted(Path(entry.name).stem for entry in FOLDER.iterdir() if entry.name.endswith(".yaml"))


def load(name: str) -> CostModel:
    """Return a cost model by name, or from a file when `name` is a path that ends in .yaml.

    Raises:
        CostModelError: there is none of that name, or the file is not one.
    """
    if name.endswith(".yaml"):
        path = Path(name)
        if not path.is_file():
            raise CostModelError(f"there is no cost model file {path}")
        return parse(path.read_text("utf-8"), str(path))
    if name not in available():
        raise CostModelError(f"there is no cost model {name!r}: give one of {', '.join(available())}, or a .yaml file")
    return parse((FOLDER / f"{name}.yaml").read_text("utf-8"), name)


def parse(text: str, where: str) -> CostModel:
    """Read a cost model.

    Raises:
        CostModelError: names the field at fault.
    """
    try:
        return CostModel.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise CostModelError(f"{where} is no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise CostModelError(f"{where} is no cost model: {field}: {first['msg']}") from error


def dump(model: CostModel) -> str:
    """Return the file of a cost model."""
    return yaml.safe_dump(model.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
