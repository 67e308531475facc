"""What a guide is: typed steps joined by conditions (DESIGN §4). Data only; `graph` reads it, `runner` runs it."""

from dataclasses import dataclass, field
from typing import Any, Literal

from midwatch_contracts.causes import Confidence

InputType = Literal["string", "number", "duration", "boolean"]
OnError = Literal["fail", "continue", "escalate"]
Kind = Literal["tool", "until", "check", "decide", "ask", "change", "wait", "outcome"]
Verdict = Literal["cause", "healthy", "escalate"]
Join = Literal["any", "all"] | int


@dataclass(frozen=True)
class Input:
    """One input: given by the caller, else read from an alert, else the default."""

    name: str
    type: InputType
    line: int
    source: str | None = None
    """Where an alert carries it: `alert.labels.NAME` or `alert.annotations.NAME`."""
    default: Any = None
    """As written: `${other}` stands for another input; a duration is text such as `5m`."""
    required: bool = True
    """False when there is a default."""
    unit: str | None = None
    """The unit of a number, as the linter knows units."""
    says: str = ""


@dataclass(frozen=True)
class Save:
    """A name bound to the value of an expression, over `result` in a step that calls a tool."""

    name: str
    expression: str
    line: int


@dataclass(frozen=True)
class Route:
    """One entry of `next`: where to go when the condition holds; `when` is None for `else` and for the only way."""

    when: str | None
    go: tuple[str, ...]
    line: int
    option: str | None = None
    """The label of this choice, in a `decide` step."""


@dataclass(frozen=True)
class Retries:
    """How often a failed call is made again, and how long the first pause is; each pause doubles."""

    more: int = 0
    backoff_s: float = 1.0


@dataclass(frozen=True)
class ToolBody:
    """Calls one tool; with `until`, again and again until that holds."""

    tool: str
    arguments: dict[str, Any]
    until: str | None = None
    every: Any = None
    within: Any = None


@dataclass(frozen=True)
class CheckBody:
    """Judges one condition over the names so far."""

    condition: str


@dataclass(frozen=True)
class DecideBody:
    """Chooses one of a closed set of options, by code."""

    question: str


@dataclass(frozen=True)
class AskBody:
    """Asks a person to choose; ends in escalation where nobody can be asked."""

    question: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class WaitBody:
    """Waits on the clock."""

    duration: Any
    """Seconds, a duration as text, or `${name}`."""


@dataclass(frozen=True)
class OperationDraft:
    """One operation of a drafted plan; strings may hold `${name}`."""

    op: str
    target: dict[str, Any]
    args: dict[str, Any]
    line: int


@dataclass(frozen=True)
class ExpectDraft:
    """One expectation of a drafted plan, as written."""

    fields: dict[str, Any]
    line: int


@dataclass(frozen=True)
class ChangeBody:
    """Drafts a plan for the envelope and attaches it to the outcome that follows; applies nothing."""

    title: str
    operations: tuple[OperationDraft, ...]
    expect: tuple[ExpectDraft, ...]
    evidence: tuple[str, ...]
    undo: str | None
    """`automatic`: the envelope drafts the undo; `none`: the operation cannot be undone."""


@dataclass(frozen=True)
class OutcomeBody:
    """An end: a cause, `healthy`, or `escalate`."""

    verdict: Verdict
    says: str
    mechanism: str | None = None
    entity: str | None = None
    confidence: Confidence = "possible"
    evidence: tuple[str, ...] = ()
    """Ids of the steps whose results carry it."""
    rules_out: tuple[tuple[str, str], ...] = ()
    """Mechanisms that are excluded here, each with the reason."""


Body = ToolBody | CheckBody | DecideBody | AskBody | WaitBody | ChangeBody | OutcomeBody


@dataclass(frozen=True)
class Step:
    """One section of a guide."""

    id: str
    title: str
    kind: Kind
    line: int
    body: Body
    routes: tuple[Route, ...] = ()
    no_data: tuple[str, ...] = ()
    """Where it leads when a reading is missing."""
    save: tuple[Save, ...] = ()
    join: Join = "any"
    timeout_s: float | None = None
    retries: Retries = Retries()
    on_error: OnError = "fail"
    prose: str = ""
    lines: dict[str, int] = field(default_factory=dict[str, int])
    """Lines of parts by their path, such as `with.query`, for messages."""

    @property
    def conditional(self) -> bool:
        """Say whether its routes depend on conditions."""
        return any(route.when is not None for route in self.routes)

    @property
    def targets(self) -> tuple[str, ...]:
        """Every step that it may lead to, each once, in the order written."""
        named = [target for route in self.routes for target in route.go]
        return tuple(dict.fromkeys([*named, *self.no_data]))

    def line_of(self, key: str) -> int:
        """Return the line of a part of the step, such as `with.query`, or of what holds it."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return self.lines.get(key, self.line)


@dataclass(frozen=True)
class Guide:
    """A guide as parsed: its steps in the order of the document, the first one being the start."""

    id: str
    title: str
    file: str
    sha256: str
    """Hash of the text it was parsed from."""
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    alerts: tuple[str, ...] = ()
    """Names of alerts that it is for."""
    symptoms: tuple[str, ...] = ()
    detect: str | None = None
    """A PromQL template that answers with a series when the guide applies."""
    prose: str = ""
    lines: dict[str, int] = field(default_factory=dict[str, int])

    def step(self, step_id: str) -> Step:
        """Return a step by id; KeyError when there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)
