"""The one evaluator of expectations, over a reader that is passed in and on a clock (CONTRACTS §4).

An expectation is met once it was true, without a break, for `hold_s` and for at least two scrape intervals, and the
hold began within `within_s`. Two intervals are seen, not configured: the newest sample of every selector must have
moved on twice while it held, so a value that merely stands because scraping stopped is not a hold. Once met it must
stay true until all the others are met as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from midwatch_contracts.cel import ANY, BOOL, NO_DATA, NUMBER, compile_expression
from midwatch_contracts.clock import Clock
from midwatch_contracts.entity import Entity
from midwatch_contracts.errors import ContractError
from midwatch_contracts.model import Model
from midwatch_contracts.plan import Expectation
from midwatch_contracts.promql import format_expr, parse, selectors

INTERVALS = 2
"""Scrape intervals that a hold lasts at least."""
_SHOWN_SERIES = 20

Reading = Literal["true", "false", "no data", "stale", "unreadable"]
State = Literal["waiting", "holding", "met", "failed"]


@dataclass(frozen=True)
class Sample:
    """One series of an instant vector."""

    labels: Mapping[str, str]
    value: float


class UnreadableError(Exception):
    """A reader could not read: the metrics API or the API server did not answer, or refused."""


class Reader(Protocol):
    """Reads what expectations are about."""

    async def query(self, promql: str) -> Sequence[Sample]:
        """Return the answer of an instant query at the present moment; a scalar is one sample without labels.

        Raises:
            UnreadableError: when there is no answer.
        """
        ...

    async def object(self, entity: Entity) -> Mapping[str, Any] | None:
        """Return an object as it is, or None where there is none.

        Raises:
            UnreadableError: when there is no answer.
        """
        ...


class ObservedSeries(Model):
    """One series of an observation; a value that JSON has no number for is text."""

    labels: dict[str, str]
    value: float | None


class Observation(Model):
    """One look at one expectation."""

    at: float
    """Unix seconds."""
    expectation: int
    """Index into the plan's `expect`."""
    reading: Reading
    state: State
    series: tuple[ObservedSeries, ...] = ()
    """For a query: what it answered, at most 20 series."""
    held_s: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """How the judging ended; `failed` lists what was not met, one sentence each."""

    met: bool
    failed: tuple[str, ...]


def check_expectation(expectation: Expectation) -> None:
    """Check, before anything is run, that an expectation can be judged.

    Raises:
        ContractError: the query or the expression does not parse, reads other names, or gives no yes or no.
    """
    if expectation.promql is not None:
        if not selectors(parse(expectation.promql)):
            raise ContractError(f"{expectation.promql!r} reads no series, so it says nothing about the service")
        _check_cel(expectation.holds or "", {"value": NUMBER})
    else:
        _check_cel(expectation.cel or "", {"object": ANY})


def _check_cel(text: str, names: Mapping[str, Any]) -> None:
    found = compile_expression(text).expression_type(names)
    if found not in (BOOL, ANY):
        raise ContractError(f"{text!r} gives {found}, not true or false")
    if not compile_expression(text).names:
        raise ContractError(f"{text!r} does not read {' or '.join(names)}, so it says nothing about the service")


def freshness_queries(promql: str) -> list[str]:
    """Return, for each selector of a query, the query for the time of its newest sample."""
    bare = [replace(selector, offset_ms=None, at=None, extension=None) for selector in selectors(parse(promql))]
    return [f"max(timestamp({text}))" for text in dict.fromkeys(map(format_expr, bare))]


@dataclass
class _Look:
    """What one look found, before it is judged over time."""

    reading: Reading
    note: str = ""
    series: tuple[ObservedSeries, ...] = ()
    newest: tuple[float, ...] = ()
    """Time of the newest sample of each selector."""


@dataclass
class _Track:
    """One expectation over time."""

    expectation: Expectation
    start: float
    state: State = "waiting"
    since: float = 0.0
    newest: tuple[float, ...] = ()
    advances: list[int] = field(default_factory=list[int])

    def feed(self, at: float, look: _Look) -> str:
        """Take one look in; return a note on what is missing."""
        if look.reading == "true":
            return self._true(at, look)
        forbidden = look.reading == "no data" and self.expectation.no_data == "fail"
        late = at > self.start + self.expectation.within_s
        self.state = "failed" if forbidden or late else "waiting"
        return look.note

    def _true(self, at: float, look: _Look) -> str:
        if self.state == "waiting":
            if at > self.start + self.expectation.within_s:
                self.state = "failed"
                return f"true only after {at - self.start:.0f} s"
            self.state, self.since = "holding", at
            self.newest, self.advances = look.newest, [0] * len(look.newest)
        else:
            moved = zip(self.advances, look.newest, self.newest, strict=True)
            self.advances = [count + (new > old) for count, new, old in moved]
            self.newest = look.newest
        held = at - self.since
        sampled = min(self.advances, default=INTERVALS) >= INTERVALS
        if held >= self.expectation.hold_s and sampled:
            self.state = "met"
        elif held > self.expectation.hold_s + self.expectation.within_s:
            self.state = "failed"
            return "no new samples came while it held"
        return "" if sampled else "waiting for two scrapes while it holds"


async def judge(
    expectations: Sequence[Expectation],
    reader: Reader,
    clock: Clock,
    *,
    since: float,
    start: float | None = None,
    poll_s: float = 1.0,
    on_observation: Callable[[Observation], None] = lambda _: None,
) -> Verdict:
    """Look at all expectations every `poll_s` until all are met or one has failed.

    `since` is the end of apply: samples up to it are stale. `start` is when `within_s` begins to run, by default
    `since`; a judge that was interrupted starts again with the present moment.

    Raises:
        ContractError: when an expectation cannot be judged at all (`check_expectation` finds that beforehand).
    """
    tracks = [_Track(expectation, since if start is None else start) for expectation in expectations]
    while True:
        notes: list[str] = []
        for index, track in enumerate(tracks):
            look = await _look(track.expectation, reader, since)
            at = clock.now()
            note = track.feed(at, look)
            notes.append(note or look.note)
            on_observation(
                Observation(
                    at=at,
                    expectation=index,
                    reading=look.reading,
                    state=track.state,
                    series=look.series,
                    held_s=at - track.since if track.state in ("holding", "met") else 0.0,
                    note=note,
                )
            )
        failed = tuple(
            f"expectation {index} ({describe(track.expectation)}) failed: {notes[index]}"
            for index, track in enumerate(tracks)
            if track.state == "failed"
        )
        if failed:
            return Verdict(met=False, failed=failed)
        if all(track.state == "met" for track in tracks):
            return Verdict(met=True, failed=())
        await clock.sleep(poll_s)


def describe(expectation: Expectation) -> str:
    """Return an expectation as one line."""
    if expectation.promql is not None:
        what = f"{expectation.promql} with {expectation.holds}"
    else:
        what = f"{expectation.object} with {expectation.cel}"
    return f"{what}, within {expectation.within_s:g} s, for {expectation.hold_s:g} s"


async def _look(expectation: Expectation, reader: Reader, since: float) -> _Look:
    try:
        if expectation.promql is not None:
            return await _look_at_query(expectation.promql, expectation.holds or "", reader, since)
        return await _look_at_object(expectation, reader)
    except UnreadableError as error:
        return _Look("unreadable", str(error))


async def _look_at_query(promql: str, holds: str, reader: Reader, since: float) -> _Look:
    newest: list[float] = []
    for query in freshness_queries(promql):
        answer = await reader.query(query)
        if not answer:
            return _Look("no data", f"{query} is empty")
        newest.append(max(sample.value for sample in answer))
    answer = await reader.query(promql)
    series = tuple(
        ObservedSeries(labels=dict(sample.labels), value=_finite(sample.value)) for sample in answer[:_SHOWN_SERIES]
    )
    if not answer:
        return _Look("no data", f"{promql} is empty")
    expression = compile_expression(holds)
    results = [expression.evaluate({"value": sample.value}) for sample in answer]
    shown = ", ".join(f"{sample.value:.4g}" for sample in answer[:_SHOWN_SERIES])
    if min(newest) <= since:
        return _Look("stale", f"the newest sample is {since - min(newest):.1f} s older than the change", series)
    if any(result is False for result in results):
        return _Look("false", f"{holds} is not true of {shown}", series, tuple(newest))
    if all(result is True for result in results):
        return _Look("true", "", series, tuple(newest))
    return _Look("no data", f"{holds} has no value for {shown}", series)


def _finite(value: float) -> float | None:
    return value if value - value == 0 else None


async def _look_at_object(expectation: Expectation, reader: Reader) -> _Look:
    if expectation.object is None or expectation.cel is None:
        raise ContractError("an expectation has either promql and holds, or object and cel")
    found = await reader.object(expectation.object)
    if found is None:
        return _Look("no data", f"there is no {expectation.object}")
    result = compile_expression(expectation.cel).evaluate({"object": found})
    if result is True:
        return _Look("true")
    if result is NO_DATA:
        return _Look("no data", f"{expectation.cel} has no value for {expectation.object}")
    return _Look("false", f"{expectation.cel} is not true of {expectation.object}")
