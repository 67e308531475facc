"""Scenarios: an incident as a file (CONTRACTS §11). Only this package reads `truth`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from midwatch_contracts.causes import MechanismId
from midwatch_contracts.entity import Entity
from midwatch_contracts.model import Model
from midwatch_contracts.plan import Expectation
from midwatch_contracts.times import parse_duration
from midwatch_evals.errors import ScenarioError
from midwatch_lab.load.errors import SpecError
from midwatch_lab.load.spec import read_spec


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


Seconds = Annotated[float, Field(ge=0), BeforeValidator(_seconds)]
"""A duration: `90s` in the file, seconds in code."""


class Topology(Model):
    """What stands before the incident: Kubernetes manifests, inline or as paths beside the scenario file."""

    manifests: tuple[dict[str, Any] | str, ...] = Field(min_length=1)


class Load(Model):
    """Traffic for one Service. Either `rate` (requests per second) or `utilization` of the capacity measured first.

    `preset` and `more` are those of the lab's load (docs/load.md): a preset gives shape and lengths, unless they are
    given here, and `more` holds a shape's own fields, such as `cv`.
    """

    target: Entity
    shape: Literal["poisson", "constant", "gamma", "batch", "diurnal", "sessions", "clients"] = "poisson"
    preset: str | None = None
    more: dict[str, Any] = Field(default_factory=dict)
    rate: float | None = Field(default=None, gt=0)
    utilization: float | None = Field(default=None, gt=0, le=2)
    prompt_tokens: int = Field(default=96, ge=1)
    output_tokens: int = Field(default=64, ge=1)
    timeout_s: float = Field(default=5.0, gt=0)

    @model_validator(mode="after")
    def _rate_or_utilization(self) -> "Load":
        if (self.rate is None) == (self.utilization is None):
            raise ValueError("a load has either a rate (requests per second) or a utilization (share of capacity)")
        try:
            read_spec(self.spec())
        except SpecError as error:
            raise ValueError(str(error)) from error
        return self

    def spec(self) -> dict[str, Any]:
        """Return the lab's specification, without a rate."""
        given = {"prompt_tokens", "output_tokens", "timeout_s", "shape"}
        if self.preset is not None:
            given &= self.model_fields_set
        fields = {name: getattr(self, name) for name in sorted(given)}
        preset = {} if self.preset is None else {"preset": self.preset}
        return {"target": str(self.target), **preset, **fields, **self.more}


class Fault(Model):
    """What is broken, how, and where: one of the lab's fault mechanisms."""

    mechanism: MechanismId
    entity: Entity
    args: dict[str, Any] = Field(default_factory=dict)


class TimelineEntry(Model):
    """Something that happens `at` seconds after the load has started."""

    at: Seconds
    fault: Fault


class ScenarioAlert(Model):
    """The alert that is handed to the assistant: when the lab fires `alertname`, or at `at` if it has no such rule."""

    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    at: Seconds


class TrueCause(Model):
    """What really went wrong."""

    mechanism: MechanismId
    entity: Entity


class Forbidden(Model):
    """An operation that no right answer contains; `target` None means anywhere."""

    op: str
    target: Entity | None = None


class Truth(Model):
    """What is judged against, on the end state, by code."""

    cause: TrueCause | None
    end_states: tuple[tuple[Expectation, ...], ...] = ()
    forbidden: tuple[Forbidden, ...] = ()
    person: bool = False


class Budget(Model):
    """Limits of a run."""

    seconds: float = Field(default=300, gt=0)
    tool_calls: int = Field(default=200, gt=0)
    tokens: int = Field(default=0, ge=0)


class Scenario(Model):
    """`midwatch.scenario/v1`."""

    schema_: Literal["midwatch.scenario/v1"] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    description: str
    seed: int = 0
    topology: Topology
    load: tuple[Load, ...] = Field(min_length=1)
    timeline: tuple[TimelineEntry, ...] = ()
    alert: ScenarioAlert
    truth: Truth
    budget: Budget = Field(default_factory=Budget)
    clock: Literal["wall", "virtual"] = "wall"


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file, its manifests' files included.

    Raises:
        ScenarioError: when the file is missing, no YAML, or not a scenario; names each field at fault.
    """
    document = _yaml(path)
    if not isinstance(document, dict):
        raise ScenarioError(f"{path}: a scenario is a mapping that begins with `schema: midwatch.scenario/v1`")
    try:
        scenario = Scenario.model_validate(document)
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in e['loc']) or 'file'}: {e['msg']}" for e in error.errors()]
        raise ScenarioError("\n".join([f"{path}: not a midwatch.scenario/v1:", *lines])) from error
    if scenario.clock == "virtual":
        raise ScenarioError(f"{path}: clock: virtual is not supported yet; write `clock: wall`")
    return scenario.model_copy(update={"topology": Topology(manifests=_manifests(path, scenario.topology))})


def _manifests(path: Path, topology: Topology) -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for entry in topology.manifests:
        if isinstance(entry, dict):
            found.append(entry)
            continue
        file = path.parent / entry
        documents = [document for document in _yaml_all(file) if document is not None]
        if not all(isinstance(document, dict) for document in documents):
            raise ScenarioError(f"{file}: every document is one Kubernetes object")
        found += documents
    return tuple(found)


def _yaml(path: Path) -> Any:
    documents = _yaml_all(path)
    if len(documents) != 1:
        raise ScenarioError(f"{path}: one YAML document is expected, {len(documents)} were found")
    return documents[0]


def _yaml_all(path: Path) -> list[Any]:
    try:
        return list(yaml.safe_load_all(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"cannot read {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: not YAML: {error}") from error
