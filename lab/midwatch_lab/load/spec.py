"""What a load is: one closed model a shape, so that a field which means nothing to a shape is refused by name."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Discriminator, Field, TypeAdapter, ValidationError, model_validator

from midwatch_contracts.entity import Entity
from midwatch_contracts.model import Model
from midwatch_lab.load.distributions import Above, Distribution, Fixed, Geometric, LogNormal, Tokens
from midwatch_lab.load.errors import SpecError
from midwatch_lab.load.presets import PRESETS

MOST_CLIENTS = 1000
MOST_CALLS = 1000
"""Turns of a conversation, and calls of a turn."""

Cv = Annotated[float, Field(gt=0, le=20)]
Rate = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False, strict=True)]
Whole = Annotated[int, Field(ge=0, strict=True)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
DAY_CURVE = (
    *(0.61, 0.34, 0.23, 0.31, 0.42, 0.36, 0.51, 0.71, 1.23, 1.73, 1.41, 1.20),
    *(1.01, 1.03, 1.38, 1.50, 1.98, 1.79, 1.47, 1.21, 1.21, 0.82, 1.02, 0.54),
)
"""Rate by the hour from midnight, relative to the day's mean: ServeGen's data/language/m-large, client 0, 14 days."""


class SystemPrompts(Model):
    """Beginnings that prompts share, so that a prefix cache matters: `count` different ones, drawn evenly."""

    tokens: Tokens
    count: Annotated[int, Field(ge=1, le=100_000)] = 1


class Common(Model):
    """What every shape has. `rate` 0 (closed: `concurrency` 0) stops the load of that target.

    A prompt is `prompt_tokens` long and an answer `output_tokens`, whatever the model would say. `model` None: what
    the server's `/v1/models` names first. `system`: shared beginnings, part of the prompt. `token_scale` multiplies
    every length, so that traffic of a large model can be put on a small one; a prompt and its answer are cut to
    `context` tokens together. `max_in_flight` bounds what is open at once (conversations, for `sessions`): what comes
    beyond it is not sent but counted as dropped, and the schedule goes on. The load ends after `requests`, if given.
    A token is `chars_per_token` characters of prompt: 1 for the reference backend's bytes.
    """

    target: Entity
    preset: str | None = None
    rate: Rate = 0.0
    concurrency: Annotated[Whole, Field(le=10_000)] = 0
    prompt_tokens: Tokens = Fixed(value=96)
    output_tokens: Tokens = Fixed(value=64)
    system: SystemPrompts | None = None
    timeout_s: Annotated[float, Field(gt=0, le=3600, strict=True)] = 5.0
    seed: Annotated[Whole, Field(le=2**53)] = 1
    model: Annotated[str, Field(min_length=1)] | None = None
    max_in_flight: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 512
    requests: Annotated[int, Field(ge=1, strict=True)] | None = None
    context: Annotated[int, Field(ge=2, strict=True)] | None = None
    token_scale: Annotated[float, Field(gt=0, le=100)] = 1.0
    chars_per_token: Annotated[float, Field(ge=1, le=16)] = 1.0

    @property
    def idle(self) -> bool:
        """Whether this load sends nothing."""
        return self.rate == 0


class PoissonLoad(Common):
    """Open loop: arrivals independent of each other and of the answers."""

    shape: Literal["poisson"] = "poisson"


class ConstantLoad(Common):
    """Open loop: arrivals at even times."""

    shape: Literal["constant"]


class GammaLoad(Common):
    """Open loop: gamma gaps, whose coefficient of variation `cv` is 1 for Poisson and above it for bursts."""

    shape: Literal["gamma"]
    cv: Cv = 2**0.5


class BatchLoad(Common):
    """Open loop: `size` requests at the same moment, as often as `rate` needs."""

    shape: Literal["batch"]
    size: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 32


class DiurnalLoad(Common):
    """Open loop: Poisson with a rate that follows `curve` over a day; `rate` is the day's mean.

    `day_s` is how long that day lasts here, `start` the share of it at which the load begins.
    """

    shape: Literal["diurnal"]
    curve: Annotated[tuple[Weight, ...], Field(min_length=1, max_length=1440)] = DAY_CURVE
    day_s: Annotated[float, Field(gt=0, le=31 * 86_400.0)] = 86_400.0
    start: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _some_rate(self) -> Self:
        if sum(self.curve) <= 0:
            raise ValueError("curve: at least one of its values must be above 0")
        return self


class ClosedLoad(Common):
    """Closed loop: `concurrency` clients, each of which thinks for `think_s` once it is answered, and asks again."""

    shape: Literal["closed"]
    think_s: Distribution = Fixed(value=0)

    @property
    def idle(self) -> bool:
        """Whether this load sends nothing."""
        return self.concurrency == 0


class SessionsLoad(Common):
    """Conversations that begin as a Poisson process (`rate` conversations per second; `cv` for bursts).

    A conversation has `turns` of a person, and a turn has `calls` of the model. Each call sends what was said before,
    answers as they came included, and something new: `prompt_tokens` from the person or `tool_tokens` from a tool. A
    call waits for the answer before it, and then `think_s` (a new turn) or `tool_s` (the same turn).
    """

    shape: Literal["sessions"]
    cv: Cv = 1.0
    turns: Tokens = Geometric(kind="geometric", mean=4)
    calls: Tokens = Fixed(value=1)
    tool_tokens: Tokens = Fixed(value=96)
    think_s: Distribution = LogNormal(kind="lognormal", median=20, sigma=1)
    tool_s: Distribution = LogNormal(kind="lognormal", median=1, sigma=1.5)


class Client(Model):
    """One sender of a mixed load; it has its `share` of the rate (shares are relative to each other)."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    share: Above
    cv: Cv = 1.0
    prompt_tokens: Tokens = Fixed(value=96)
    output_tokens: Tokens = Fixed(value=64)
    system: SystemPrompts | None = None


class ClientsLoad(Common):
    """Open loop: several clients with rates, bursts and lengths of their own, after ServeGen (Xiang et al. 2025)."""

    shape: Literal["clients"]
    clients: Annotated[tuple[Client, ...], Field(min_length=1, max_length=MOST_CLIENTS)]

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [client.name for client in self.clients]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"clients: two are called {twice[0]!r}; names tell their draws apart")
        return self


class TraceLoad(Common):
    """Open loop: the arrivals and lengths of a trace file on the lab's machine, `speed` times as fast.

    `start_s` and `seconds` choose a part of the trace, in its own time; `rate` and the lengths are not looked at.
    """

    shape: Literal["trace"]
    path: Annotated[str, Field(min_length=1)]
    speed: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    start_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @property
    def idle(self) -> bool:
        """Whether this load sends nothing."""
        return False


AnyLoad = (
    PoissonLoad
    | ConstantLoad
    | GammaLoad
    | BatchLoad
    | DiurnalLoad
    | ClosedLoad
    | SessionsLoad
    | ClientsLoad
    | TraceLoad
)


def _with_preset(raw: Any) -> Any:
    """Fill in what the preset says and the specification does not, and the shape."""
    if not isinstance(raw, Mapping):
        return raw
    given = dict(cast("Mapping[str, Any]", raw))
    name = given.get("preset")
    if name is not None and name not in PRESETS:
        raise ValueError(f"preset: {name!r} is none of {', '.join(PRESETS)}")
    fields = {"shape": "poisson"} | (PRESETS[name].fields if name is not None else {}) | given
    shape = SHAPES.get(str(fields["shape"]))
    # Another shape than the preset's own takes over what it knows of: lengths, but no burstiness, for example.
    return fields if shape is None else {k: v for k, v in fields.items() if k in given or k in shape.model_fields}


_KINDS = ("fixed", "exponential", "lognormal", "geometric", "pareto", "zipf", "quantiles", "measured")
LoadSpec = Annotated[AnyLoad, Discriminator("shape"), BeforeValidator(_with_preset)]
_READER: TypeAdapter[AnyLoad] = TypeAdapter(LoadSpec)
SHAPES: dict[str, type[Common]] = {
    "poisson": PoissonLoad,
    "constant": ConstantLoad,
    "gamma": GammaLoad,
    "batch": BatchLoad,
    "diurnal": DiurnalLoad,
    "closed": ClosedLoad,
    "sessions": SessionsLoad,
    "clients": ClientsLoad,
    "trace": TraceLoad,
}


def read_spec(raw: Mapping[str, Any]) -> AnyLoad:
    """Read a specification from JSON data.

    Raises:
        SpecError: names the field that is missing, unknown or out of bounds, and what it was.
    """
    try:
        return _READER.validate_python(raw)
    except ValidationError as error:
        raise SpecError(_why(error)) from error


def _why(error: ValidationError) -> str:
    found = error.errors(include_url=False)
    # Of an entity pydantic says first that it is no object, then why its text is none.
    first = next((e for e in found if not str(e["loc"][-1:]).startswith("('is-instance")), found[0])
    parts = [str(part) for part in first["loc"]]
    shape = parts.pop(0) if parts and parts[0] in SHAPES else ""
    where = ".".join(part for part in parts if part not in _KINDS and not part.startswith("function-"))
    message = first["msg"].removeprefix("Value error, ")
    match first["type"]:
        case "union_tag_invalid" if not where:
            return f"shape: {first.get('ctx', {}).get('tag')} is none of {', '.join(SHAPES)}"
        case "union_tag_invalid" | "union_tag_not_found":
            return f"{where}: the kind is none of {', '.join(_KINDS)}"
        case "extra_forbidden" if shape and "." not in where:
            return f"a {shape} load has no field {where!r}; known: {', '.join(SHAPES[shape].model_fields)}"
        case "missing":
            return f"{where}: is missing"
        case "value_error":
            return f"{where}: {message}" if where else message
        case _:
            return f"{where}: {message}, not {first['input']!r}"
