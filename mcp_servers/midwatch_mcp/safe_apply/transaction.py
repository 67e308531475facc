"""One change as a transaction over its targets: forward, or back, from wherever the journal says it is (CONTRACTS §5).

The target decides what is true, the journal only what was tried. Before each write the target is read again and its
touched values are compared with what the operation must find (`before`) and leave (`after`): found `after` it is done,
found `before` it is not, found elsewhere somebody else was there. A write carries uid and version of the very read it
is based on, so of two that were sent, one whose answer was lost among them, at most one is taken. An object that is not
there is a state like any other. What no reading shows, such as a command that ran, is known by its answer alone.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from midwatch_contracts.clock import Clock
from midwatch_contracts.plan import Change, Operation, Plan, Target
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.errors import (
    BusyError,
    ConflictError,
    FailedError,
    LostError,
    RefusedChangeError,
    TargetError,
    TargetMissingError,
)
from midwatch_mcp.safe_apply.expected import Expected
from midwatch_mcp.safe_apply.in_flight import IN_FLIGHT_S, UNANSWERED, unanswered_at
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.ports import Snapshot, TargetApi
from midwatch_mcp.safe_apply.preview import held_by, target_text
from midwatch_mcp.safe_apply.reading import read_for
from midwatch_mcp.safe_apply.steps import Step, Where, steps_of, undoing, whole
from midwatch_mcp.safe_apply.tries import ATTEMPTS, Tries
from midwatch_mcp.safe_apply.values import changes, cleaned

T = TypeVar("T")


class StepFailedError(Exception):
    """One operation cannot be carried out.

    `written` says whether the target may hold its result, `stale` whether a precondition no longer held, `answer` what
    it said that failed.
    """

    def __init__(
        self, message: str, *, written: bool, stale: bool = False, answer: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.written = written
        self.stale = stale
        self.answer = dict(answer or {})


@dataclass
class Transaction:
    """Carries one change forward or back."""

    change_id: str
    plan: Plan
    journal: Journal
    api: TargetApi
    clock: Clock
    audit: Audit
    against: Callable[[Target, Snapshot | None], str | None] = lambda _target, _found: None
    """Returns why nothing new may be written to a target, or None; asked before each operation and each write of it,
    never before an undo."""

    def __post_init__(self) -> None:
        self._expected = self.journal.expected(self.change_id)
        self._fenced: set[str] = set()

    def _change(self) -> Change:
        return self.journal.record(self.change_id).change

    def _state(self, operation: Operation) -> str:
        return next(one.state for one in self._change().operations if one.id == operation.id)

    def _record(
        self, operation: Operation, state: str, note: str = "", answer: Mapping[str, Any] | None = None
    ) -> None:
        body = ({"note": note} if note else {}) | ({"answer": dict(answer)} if answer else {})
        self.journal.operation(self.change_id, operation.id, state, now=self.clock.now(), body=body)

    def _note_unanswered(self, operation: str) -> None:
        body = {UNANSWERED: True}
        self.journal.operation(self.change_id, operation, "applying", now=self.clock.now(), body=body)

    async def forward(self) -> Change:
        """Apply every operation that is not applied yet, in order; then the change is `applied`.

        Raises:
            StepFailedError: one could not be; the change is still `applying`, and what is done is to be undone.
        """
        for operation in self.plan.operations:
            state = self._state(operation)
            if state == "applied":
                continue
            # A step that the journal holds as begun may have been written: only the target knows.
            maybe_written = state == "applying"
            against = self.against(operation.target, None)
            if against is not None:
                raise StepFailedError(f"{operation.id}: {against}", written=maybe_written)
            if maybe_written:
                self._note_unanswered(operation.id)
            else:
                self._record(operation, "applying")
            try:
                answer = await self._apply(operation, maybe_written=maybe_written)
            except StepFailedError as failure:
                self._record(operation, "unknown" if failure.written else "failed", str(failure), failure.answer)
                raise
            self._record(operation, "applied", answer=answer)
        return self.journal.move(self.change_id, "applied", now=self.clock.now())

    async def _apply(self, operation: Operation, *, maybe_written: bool) -> dict[str, Any]:
        """Make the writes of one operation, and return what the last one answered."""
        steps = steps_of(operation, self._expected[operation.id])
        answer: dict[str, Any] = {}
        for number, step in enumerate(steps, 1):
            try:
                answer = await self._carry_out(step, maybe_written=maybe_written)
            except StepFailedError as failure:
                if number > 1:
                    raise StepFailedError(_half_way(steps, number, failure), written=True) from failure
                raise
            if len(steps) > 1:
                self._record(operation, "applying", f"{number} of {len(steps)}: {step.text}")
        return answer

    async def _carry_out(self, step: Step, *, maybe_written: bool) -> dict[str, Any]:
        """Make one write, once."""
        if step.kind.proof == "answer_once" and maybe_written:
            raise StepFailedError(f"{step.id}: the {_may_have_run(step)}", written=True)
        confirmed = False
        tries = Tries(self.clock, step.patience_s)
        while tries.left:
            snapshot = await self._read(step, written=maybe_written)
            where = step.where(snapshot)
            if where == "after" and (maybe_written or step.shared):
                return {}
            if where != "before" or confirmed:
                raise StepFailedError(_elsewhere(step, where), written=maybe_written, stale=not confirmed)
            self._refuse_where_protected(step, snapshot, written=maybe_written)
            try:
                result = await self._send(step, snapshot, tries)
            except LostError as error:
                if step.kind.proof == "answer_once":
                    raise StepFailedError(f"{step.id}: the {_may_have_run(step)}: {error}", written=True) from error
                self._note_unanswered(step.id)
                maybe_written = True
                await tries.back_off()
            except (TargetError, RefusedChangeError) as refusal:
                raise _failed(step, refusal, written=maybe_written) from refusal
            else:
                if result is not None and step.kind.proof != "reading":
                    return result.answer
                confirmed = result is not None
                maybe_written = maybe_written or confirmed
        raise StepFailedError(f"{step.id}: not applied after {ATTEMPTS} tries", written=maybe_written)

    def _refuse_where_protected(self, step: Step, snapshot: Snapshot, *, written: bool) -> None:
        against = self.against(step.target, snapshot)
        if against is not None:
            raise StepFailedError(f"{step.id}: {against}", written=written)

    async def _send(self, step: Step, snapshot: Snapshot, tries: Tries) -> Snapshot | None:
        """Send one write; None where it was certainly not taken and the target is to be read again.

        Raises:
            TargetError: it was refused, or what became of it is unknown.
        """
        try:
            write = step.kind.request(step.args, snapshot.value)
            result = await self.api.write(step.target, write, read=snapshot, dry_run=False)
        except ConflictError:
            await tries.back_off()
        except BusyError as busy:
            await tries.come_back(busy.retry_after_s)
        except TargetMissingError:
            if snapshot.absent or not step.kind.absence:
                raise
            tries.count += 1  # it went between the read and the write, as the next read will show
        else:
            tries.count += 1
            return result
        return None

    async def back(self, reason: str) -> Change:
        """Undo, last first, every operation that was or may have been written; re-read all of them to prove it.

        The change ends `undone`, or `stuck` with what is known in its note.
        """
        if self._change().state != "undoing":
            now, targets = self.clock.now(), held_by(self.plan)
            self.journal.move(self.change_id, "undoing", now=now, note=reason, targets=targets)
            self.audit.tell(self.change_id)
        problems: list[str] = []
        for operation in reversed(self.plan.operations):
            if self._state(operation) in ("pending", "failed", "undone"):
                continue
            if self._state(operation) == "applying":
                self._note_unanswered(operation.id)
            problems += await self._lead_back(operation)
        for operation in await self._after_the_late_ones():
            problems += await self._lead_back(operation)
        proofs, doubts = await self._prove()
        problems += doubts
        if problems:
            note = f"{reason} A person must look: {'; '.join(problems)}"
            return self.journal.move(self.change_id, "stuck", now=self.clock.now(), note=note)
        note = f"{reason} Undone and read again: {'; '.join(proofs)}"
        return self.journal.move(self.change_id, "undone", now=self.clock.now(), note=note)

    async def _lead_back(self, operation: Operation) -> list[str]:
        """Undo one operation, and return what stands in the way."""
        if not isinstance(operation.undo, Operation):
            return await self._left(operation)
        self._record(operation, "undoing")
        try:
            await self._undo(operation, operation.undo)
        except StepFailedError as failure:
            self._record(operation, "unknown", str(failure))
            return [str(failure)]
        self._record(operation, "undone")
        return []

    async def _after_the_late_ones(self) -> list[Operation]:
        """Wait until no write without an answer can arrive any more, and return the operations that it could undo."""
        waiting: list[Operation] = []
        until = 0.0
        for operation in reversed(self.plan.operations):
            at = unanswered_at(self.journal, self.change_id, operation.id)
            if at is not None and self._state(operation) == "undone" and operation.id not in self._fenced:
                waiting.append(operation)
                until = max(until, at + IN_FLIGHT_S)
        await self.clock.sleep(max(0.0, until - self.clock.now()))
        return waiting

    async def _left(self, operation: Operation) -> list[str]:
        """Return what of an operation without an undo stays; nothing where reading shows that it was not done."""
        step = whole(operation, self._expected[operation.id])
        observable = step.kind.proof == "reading" and not step.kind.parts(step.args, step.target)
        if self._state(operation) != "applied" and observable:
            try:
                where = step.where(await self._read(step, written=True))
            except StepFailedError as failure:
                return [str(failure)]
            if where == "before":
                self._record(operation, "failed", "it was not carried out")
                return []
        if self._state(operation) == "applied":
            return [f"{operation.id}: the {step.text} was carried out and stays: it has no undo"]
        return [f"{operation.id}: the {step.text} has no undo and may have been carried out, in part or whole"]

    async def _undo(self, operation: Operation, undo: Operation) -> None:
        step = undoing(operation, undo, self._expected[operation.id])
        tries = Tries(self.clock, step.patience_s)
        while tries.left:
            snapshot = await self._read(step, written=True)
            where = step.where(snapshot)
            if where == "after" or (where == "before" and step.pre == step.post):
                return
            if where != "before":
                # Neither ours nor what was there: writing now would overwrite what somebody else decided.
                raise StepFailedError(
                    f"{step.id}: {target_text(step.target)} holds other values than the change left there", written=True
                )
            try:
                taken = await self._send(step, snapshot, tries)
                # Its version has moved, so that an older write is refused; a creation asks for none.
                if taken is not None and operation_kind(operation.op).verb != "create":
                    self._fenced.add(operation.id)
            except LostError:
                await tries.back_off()
            except (TargetError, RefusedChangeError) as refusal:
                raise StepFailedError(f"{step.id}: the undo was refused: {refusal}", written=True) from refusal
        raise StepFailedError(f"{step.id}: not undone after {ATTEMPTS} tries", written=True)

    async def _prove(self) -> tuple[list[str], list[str]]:
        """Read every target again and return (what was found to be as before, what was not)."""
        proofs: list[str] = []
        doubts: list[str] = []
        for operation in self.plan.operations:
            state = self._state(operation)
            if state == "pending":
                proofs.append(f"{operation.id} was never begun")
            elif state == "failed":
                doubts += await self._prove_unwritten(operation, proofs)
            elif isinstance(operation.undo, Operation):
                doubts += await self._prove_undone(operation, operation.undo, proofs)
        return proofs, doubts

    async def _prove_unwritten(self, operation: Operation, proofs: list[str]) -> list[str]:
        expected = self._expected[operation.id]
        step, name = whole(operation, expected), target_text(operation.target)
        try:
            snapshot = await self._read(step, written=True)
        except StepFailedError as failure:
            return [str(failure)]
        if step.where(snapshot) == "before":
            proofs.append(_as_before(name, expected, snapshot))
        else:
            proofs.append(f"{operation.id} was not written; {name} was changed by somebody else")
        return []

    async def _prove_undone(self, operation: Operation, undo: Operation, proofs: list[str]) -> list[str]:
        """Compare with before: what the undo replaced, and what the operation did, where both see one object."""
        expected = self._expected[operation.id]
        back, step, name = undoing(operation, undo, expected), whole(operation, expected), target_text(operation.target)
        try:
            snapshot = await self._read(back, written=True)
        except StepFailedError as failure:
            return [str(failure)]
        undone = back.where(snapshot) == "after" or (back.pre == back.post and back.where(snapshot) == "before")
        if not undone or (not step.kind.absence and step.where(snapshot) != "before"):
            if self._state(operation) == "undone" and step.where(snapshot) == "elsewhere":
                # Read as before when it was undone; what is there is neither that nor ours.
                proofs.append(f"{name} was led back, and somebody else changed it since")
                return []
            return [f"{operation.id}: the touched values of {name} are not those from before the change"]
        proofs.append(_as_before(name, expected, snapshot))
        return []

    async def _read(self, step: Step, *, written: bool) -> Snapshot:
        """Read a target, patiently: an answer that does not come is no answer."""

        async def read() -> Snapshot:
            return await read_for(self.api, step.kind, step.target)

        try:
            return await self._patiently(read)
        except TargetMissingError as error:
            raise StepFailedError(f"{step.id}: {error}", written=written) from error
        except TargetError as error:
            name = target_text(step.target)
            raise StepFailedError(f"{step.id}: {name} cannot be read: {error}", written=written) from error

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        tries = Tries(self.clock)
        while tries.count < ATTEMPTS - 1:
            try:
                return await call()
            except BusyError as busy:
                await tries.come_back(busy.retry_after_s)
            except LostError:
                await tries.back_off()
        return await call()


def _half_way(steps: Sequence[Step], number: int, failure: Exception) -> str:
    done, rest = (", ".join(step.text for step in some) for some in (steps[: number - 1], steps[number - 1 :]))
    return f"{failure} (carried out: {done}; not carried out: {rest})"


def _failed(step: Step, refusal: Exception, *, written: bool) -> StepFailedError:
    if isinstance(refusal, FailedError):
        return StepFailedError(f"{step.id}: {refusal}", written=True, answer=refusal.answer)
    return StepFailedError(f"{step.id}: {refusal}", written=written)


def _as_before(name: str, expected: Expected, snapshot: Snapshot) -> str:
    differing = [pointer for pointer, _, _ in changes(expected.before, cleaned(snapshot.value))]
    if snapshot.absent:
        return f"{name} is not there, as before"
    rest = f"others wrote {', '.join(differing)}" if differing else "the whole object is as it was"
    return f"the touched values of {name} equal those from before, {rest}"


def _may_have_run(step: Step) -> str:
    return f"{step.text} may have run, which only its answer could tell, and it is not run a second time"


def _elsewhere(step: Step, where: Where) -> str:
    name = target_text(step.target)
    if where == "before":
        return f"{step.id}: {name} took the write and yet holds the values from before"
    if where == "after":
        return f"{step.id}: {name} already holds the new values, and not by this change"
    return f"{step.id}: {name} is not the object that was approved, or somebody changed the same values since"
