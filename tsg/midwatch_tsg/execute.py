"""What each kind of step does, once it is its turn."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from midwatch_contracts.cel import NO_DATA
from midwatch_contracts.clock import Clock
from midwatch_contracts.errors import ContractError
from midwatch_tsg.caller import Asker, Result, ToolCaller
from midwatch_tsg.drafts import draft, names_of, seconds
from midwatch_tsg.errors import StepError, StepTimeoutError, TemplateError, ToolFailedError
from midwatch_tsg.journal import Journal
from midwatch_tsg.model import AskBody, ChangeBody, CheckBody, DecideBody, OutcomeBody, Step, ToolBody, WaitBody
from midwatch_tsg.result import StepState
from midwatch_tsg.routing import Way, evaluate, truth, way
from midwatch_tsg.templates import names_in, render_promql, render_text, render_value

T = TypeVar("T")
_NOWHERE = Way("taken")


@dataclass(frozen=True)
class Ended:
    """How a step ended."""

    state: StepState
    way: Way = _NOWHERE
    reason: str = ""
    summary: str = ""
    tool: str | None = None
    evidence: str | None = None
    saved: dict[str, Any] = field(default_factory=dict[str, Any])
    """Values by name, NO_DATA where there was no reading."""
    attempts: int = 0
    resumed: bool = False
    draft: dict[str, Any] | None = None
    escalation: str | None = None
    """What a person should hear, when the step ends here."""

    @property
    def seen(self) -> bool:
        """Say whether its evidence shows something: it has a result, and not every name was without a reading."""
        return self.evidence is not None and (
            not self.saved or any(value is not NO_DATA for value in self.saved.values())
        )


@dataclass(frozen=True)
class Context:
    """What steps need from the run."""

    run: str
    guide_sha256: str
    caller: ToolCaller
    asker: Asker | None
    clock: Clock
    journal: Journal
    retrying: Callable[[Step, str], None]


def is_promql(tool: str, argument: str) -> bool:
    """Say whether an argument of a tool is PromQL."""
    return tool.startswith("metrics_") and argument == "query"


async def execute(step: Step, names: Mapping[str, Any], context: Context) -> Ended:
    """Run one step over the names that it sees.

    Raises:
        StepError: when it fails.
    """
    match step.body:
        case ToolBody():
            return await _tool(step, step.body, names, context)
        case AskBody():
            return await _ask(step, step.body, names, context)
        case WaitBody():
            await context.clock.sleep(_seconds(step.body.duration, names))
            return _led(step, names, Ended("done", summary="waited"))
        case ChangeBody():
            return _change(step, step.body, names)
        case CheckBody() | DecideBody():
            return _judged(step, names)
        case OutcomeBody():
            return Ended("done", summary=render_text(step.body.says, names))


def _judged(step: Step, names: Mapping[str, Any]) -> Ended:
    saved = _saved(step, names)
    ended = _led(step, names, Ended("done", saved=saved))
    text = step.body.condition if isinstance(step.body, CheckBody) else render_text(step.title, names)
    return replace(ended, summary=f"{text}: {ended.way.option}" if ended.way.option else text)


def _saved(step: Step, names: Mapping[str, Any], result: Any = None) -> dict[str, Any]:
    """Bind the names of `save`, in order; each sees those before it."""
    scope = dict(names) if result is None else {**names, "result": result}
    saved: dict[str, Any] = {}
    for save in step.save:
        saved[save.name] = scope[save.name] = evaluate(save.expression, scope)
    return saved


def _led(step: Step, names: Mapping[str, Any], ended: Ended, result: Any = None) -> Ended:
    """Add where the step leads, given what it saved."""
    scope = {**names, **ended.saved} if result is None else {**names, **ended.saved, "result": result}
    missing = [name for name, value in ended.saved.items() if value is NO_DATA]
    chosen = way(step, scope, missing)
    if chosen.kind == "stuck":
        return replace(
            ended,
            state="no_data" if "no data" in chosen.reason else "done",
            way=chosen,
            reason=chosen.reason,
            escalation=f"`{step.title}` leads nowhere: {chosen.reason}",
        )
    blind = bool(ended.saved) and len(missing) == len(ended.saved)
    if chosen.kind == "no_data" or blind:
        return replace(
            ended, state="no_data", way=chosen, reason=chosen.reason or f"no reading for {', '.join(missing)}"
        )
    return replace(ended, way=chosen)


def without_reading(step: Step, names: Mapping[str, Any], reason: str) -> Ended:
    """Return the end of a step that could not read: its names are no data, and it leads where that leads."""
    saved: dict[str, Any] = {save.name: NO_DATA for save in step.save}
    if step.no_data:
        return Ended("no_data", Way("no_data", step.no_data), reason, saved=saved)
    ended = _led(step, {**names, "result": NO_DATA}, Ended("no_data", reason=reason, saved=saved))
    return replace(ended, state="no_data", reason=reason)


async def _tool(step: Step, body: ToolBody, names: Mapping[str, Any], context: Context) -> Ended:
    missing = sorted(name for name in names_in(body.arguments) if names.get(name) is NO_DATA)
    if missing:
        return replace(without_reading(step, names, f"it needs {', '.join(missing)}, which is no data"), tool=body.tool)
    arguments = _arguments(body, names)
    call = {"tool": body.tool, "arguments": arguments, "until": body.until}
    kept = context.journal.read(context.run, step.id, context.guide_sha256, call)
    attempts = 0
    if kept is None:
        result, attempts = await _asked(step, body, names, arguments, context)
        context.journal.write(
            context.run, step.id, context.guide_sha256, call, result.model_dump(mode="json"), at=context.clock.now()
        )
    else:
        result = Result.model_validate(kept)
    ended = Ended(
        "done",
        summary=result.summary,
        tool=body.tool,
        evidence=result.evidence.id,
        saved=_saved(step, names, result.data),
        attempts=attempts,
        resumed=kept is not None,
    )
    return _led(step, names, ended, result.data)


def _arguments(body: ToolBody, names: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {
            name: render_promql(value, names)
            if isinstance(value, str) and is_promql(body.tool, name)
            else render_value(value, names)
            for name, value in body.arguments.items()
        }
    except TemplateError as error:
        raise StepError(f"the arguments of {body.tool}: {error}") from error


async def _asked(
    step: Step, body: ToolBody, names: Mapping[str, Any], arguments: dict[str, Any], context: Context
) -> tuple[Result, int]:
    """Call the tool, again after a failure that may pass, and again until its condition holds."""
    if body.until is None:
        return await _retried(step, body.tool, arguments, context)
    deadline = context.clock.now() + _seconds(body.within, names)
    every = max(_seconds(body.every, names), 0.1)
    attempts = 0
    while True:
        result, more = await _retried(step, body.tool, arguments, context)
        attempts += more
        if truth(body.until, {**names, "result": result.data}) is True:
            return result, attempts
        if context.clock.now() + every > deadline:
            raise StepTimeoutError(f"`{body.until}` did not hold within {_seconds(body.within, names):g} s")
        await context.clock.sleep(every)


async def _retried(step: Step, tool: str, arguments: dict[str, Any], context: Context) -> tuple[Result, int]:
    attempt = 0
    while True:
        attempt += 1
        try:
            call = context.caller.call(tool, dict(arguments), step=step.id)
            return await _within(step.timeout_s, call, context.clock, f"{tool} took longer"), attempt
        except (ToolFailedError, StepTimeoutError) as error:
            if attempt > step.retries.more or not getattr(error, "retry", True):
                raise
            pause = step.retries.backoff_s * 2 ** (attempt - 1)
            context.retrying(step, f"attempt {attempt} failed ({error}); again in {pause:g} s")
            await context.clock.sleep(pause)


async def _within(limit_s: float | None, work: Awaitable[T], clock: Clock, what: str) -> T:
    """Await `work`, at most for `limit_s` on the clock; without a limit the caller's own holds."""
    if limit_s is None:
        return await work
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(clock.sleep(limit_s))
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise StepTimeoutError(f"{what} than {limit_s:g} s")
    finally:
        task.cancel()
        alarm.cancel()
        await asyncio.gather(task, alarm, return_exceptions=True)


async def _ask(step: Step, body: AskBody, names: Mapping[str, Any], context: Context) -> Ended:
    question = render_text(body.question, names)
    call = {"ask": question, "options": list(body.options)}
    answer = context.journal.read(context.run, step.id, context.guide_sha256, call)
    resumed = answer is not None
    if answer is None and context.asker is not None:
        answer = await context.asker.ask(question, body.options, step=step.id)
    if answer is None:
        reason = f"a person has to answer: {question} ({' / '.join(body.options)})"
        return Ended("done", reason="nobody can be asked", summary=question, escalation=reason)
    if answer not in body.options:
        raise StepError(f"the answer {answer!r} is none of {', '.join(body.options)}")
    if not resumed:
        context.journal.write(context.run, step.id, context.guide_sha256, call, answer, at=context.clock.now())
    result = {"answer": answer}
    ended = Ended("done", summary=f"{question}: {answer}", saved=_saved(step, names, result), resumed=resumed)
    led = _led(step, names, ended, result)
    return replace(led, way=replace(led.way, option=cast("str", answer)))


def _change(step: Step, body: ChangeBody, names: Mapping[str, Any]) -> Ended:
    missing = sorted(name for name in names_of(body) if names.get(name) is NO_DATA)
    if missing:
        return without_reading(step, names, f"the change needs {', '.join(missing)}, which is no data")
    plan = draft(body, names)
    return _led(step, names, Ended("done", summary=f"drafted: {plan['title']}", draft=plan))


def _seconds(raw: Any, names: Mapping[str, Any]) -> float:
    try:
        return seconds(raw, names)
    except (TemplateError, ContractError) as error:
        raise StepError(str(error)) from error
