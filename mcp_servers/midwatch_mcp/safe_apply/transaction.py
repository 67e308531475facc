"""One change as a transaction over its targets: forward, or back, from wherever the journal says it is (CONTRACTS §5).

The target decides what is true, the journal only what was tried. Before each write the target is read again and its
touched values are compared with what the operation must find (`before`) and leave (`after`): found `after` it is done,
found `before` it is not, found elsewhere somebody else was there. A write carries the version of the very read it is
based on, so of two that were sent, one whose answer was lost among them, at most one is taken.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from midwatch_contracts.clock import Clock
from midwatch_contracts.plan import Change, Operation, Plan
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.errors import (
    BusyError,
    ConflictError,
    LostError,
    RefusedChangeError,
    TargetError,
    TargetMissingError,
)
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.ports import Snapshot, TargetApi
from midwatch_mcp.safe_apply.preview import Expected, target_text, touched_sha256
from midwatch_mcp.safe_apply.values import changes, cleaned

ATTEMPTS = 8
"""Tries of one step before it is given up."""
_BACK_OFF_S = 0.25
_MAX_BACK_OFF_S = 5.0

Where = Literal["before", "after", "elsewhere"]
T = TypeVar("T")


class StepFailedError(Exception):
    """One operation cannot be carried out.

    `written` says whether the target may hold its result, `stale` whether a precondition no longer held.
    """

    def __init__(self, message: str, *, written: bool, stale: bool = False) -> None:
        super().__init__(message)
        self.written = written
        self.stale = stale


@dataclass
class Transaction:
    """Carries one change forward or back."""

    change_id: str
    plan: Plan
    journal: Journal
    api: TargetApi
    clock: Clock
    audit: Audit
    against: Callable[[], str | None] = lambda: None
    """Returns why nothing new may be written, or None; asked before each operation, never before an undo."""

    def __post_init__(self) -> None:
        self._expected = self.journal.expected(self.change_id)

    def _change(self) -> Change:
        return self.journal.record(self.change_id).change

    def _state(self, operation: Operation) -> str:
        return next(one.state for one in self._change().operations if one.id == operation.id)

    def _record(self, operation: Operation, state: str, note: str = "") -> None:
        body = {"note": note} if note else {}
        self.journal.operation(self.change_id, operation.id, state, now=self.clock.now(), body=body)

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
            against = self.against()
            if against is not None:
                raise StepFailedError(f"{operation.id}: {against}", written=maybe_written)
            if not maybe_written:
                self._record(operation, "applying")
            try:
                await self._apply(operation, self._expected[operation.id], maybe_written=maybe_written)
            except StepFailedError as failure:
                self._record(operation, "unknown" if failure.written else "failed", str(failure))
                raise
            self._record(operation, "applied")
        return self.journal.move(self.change_id, "applied", now=self.clock.now())

    async def _apply(self, operation: Operation, expected: Expected, *, maybe_written: bool) -> None:
        kind = operation_kind(operation.op)
        args = kind.parse(operation.args)
        confirmed = False
        for attempt in range(ATTEMPTS):
            snapshot = await self._read(operation, written=maybe_written)
            where = _where(snapshot, expected, operation.op, operation.args)
            if where == "after" and maybe_written:
                return
            if where != "before" or confirmed:
                raise StepFailedError(_elsewhere(operation, where), written=maybe_written, stale=not confirmed)
            try:
                write = kind.request(args, snapshot.value)
                await self.api.write(operation.target, write, version=snapshot.version, dry_run=False)
            except ConflictError:
                await self._back_off(attempt)
            except BusyError as busy:
                await self.clock.sleep(busy.retry_after_s)
            except LostError:
                maybe_written = True
                await self._back_off(attempt)
            except (TargetError, RefusedChangeError) as refusal:
                raise StepFailedError(f"{operation.id}: {refusal}", written=maybe_written) from refusal
            else:
                maybe_written = confirmed = True
        raise StepFailedError(f"{operation.id}: not applied after {ATTEMPTS} tries", written=maybe_written)

    async def back(self, reason: str) -> Change:
        """Undo, last first, every operation that was or may have been written; re-read all of them to prove it.

        The change ends `undone`, or `stuck` with what is known in its note.
        """
        if self._change().state != "undoing":
            self.journal.move(self.change_id, "undoing", now=self.clock.now(), note=reason)
        self.audit.append("undoing", run=self.change_id, body={"plan": self.plan.id, "reason": reason})
        problems: list[str] = []
        for operation in reversed(self.plan.operations):
            if self._state(operation) in ("pending", "failed", "undone"):
                continue
            self._record(operation, "undoing")
            try:
                await self._undo(operation, self._expected[operation.id])
            except StepFailedError as failure:
                problems.append(str(failure))
                self._record(operation, "unknown", str(failure))
            else:
                self._record(operation, "undone")
        proofs, doubts = await self._prove()
        problems += doubts
        if problems:
            note = f"{reason} A person must look: {'; '.join(problems)}"
            return self.journal.move(self.change_id, "stuck", now=self.clock.now(), note=note)
        note = f"{reason} Undone and read again: {'; '.join(proofs)}"
        return self.journal.move(self.change_id, "undone", now=self.clock.now(), note=note)

    async def _undo(self, operation: Operation, expected: Expected) -> None:
        if not isinstance(operation.undo, Operation):
            raise StepFailedError(f"{operation.id} has no undo", written=True)
        undo = operation.undo
        kind = operation_kind(undo.op)
        args = kind.parse(undo.args)
        for attempt in range(ATTEMPTS):
            snapshot = await self._read(operation, written=True)
            found = _undo_hash(snapshot, expected, undo)
            if found == expected.undo_post_sha256:
                return
            if found != expected.undo_pre_sha256:
                # Neither ours nor what was there: writing now would overwrite what somebody else decided.
                raise StepFailedError(
                    f"{operation.id}: {target_text(operation.target)} holds other values than the change left there",
                    written=True,
                )
            try:
                write = kind.request(args, snapshot.value)
                await self.api.write(operation.target, write, version=snapshot.version, dry_run=False)
            except ConflictError:
                await self._back_off(attempt)
            except BusyError as busy:
                await self.clock.sleep(busy.retry_after_s)
            except LostError:
                await self._back_off(attempt)
            except (TargetError, RefusedChangeError) as refusal:
                raise StepFailedError(f"{operation.id}: the undo was refused: {refusal}", written=True) from refusal
        raise StepFailedError(f"{operation.id}: not undone after {ATTEMPTS} tries", written=True)

    async def _prove(self) -> tuple[list[str], list[str]]:
        """Read every target again and return (what was found to be as before, what was not)."""
        proofs: list[str] = []
        doubts: list[str] = []
        for operation in self.plan.operations:
            expected = self._expected[operation.id]
            if self._state(operation) == "pending":
                proofs.append(f"{operation.id} was never begun")
                continue
            name = target_text(operation.target)
            try:
                snapshot = await self._read(operation, written=True)
            except StepFailedError as failure:
                doubts.append(str(failure))
                continue
            if (
                self._state(operation) == "failed"
                and _where(snapshot, expected, operation.op, operation.args) != "before"
            ):
                proofs.append(f"{operation.id} was not written; {name} was changed by somebody else")
            elif _where(snapshot, expected, operation.op, operation.args) != "before":
                doubts.append(f"{operation.id}: the touched values of {name} are not those from before the change")
            else:
                differing = [pointer for pointer, _, _ in changes(expected.before, cleaned(snapshot.value))]
                rest = f"others wrote {', '.join(differing)}" if differing else "the whole object is as it was"
                proofs.append(f"the touched values of {name} equal those from before, {rest}")
        return proofs, doubts

    async def _read(self, operation: Operation, *, written: bool) -> Snapshot:
        """Read a target, patiently: an answer that does not come is no answer."""

        async def read() -> Snapshot:
            return await self.api.read(operation.target)

        try:
            return await self._patiently(read)
        except TargetMissingError as error:
            raise StepFailedError(f"{operation.id}: {error}", written=written) from error
        except TargetError as error:
            raise StepFailedError(f"{operation.id}: it cannot be read: {error}", written=written) from error

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(ATTEMPTS - 1):
            try:
                return await call()
            except BusyError as busy:
                await self.clock.sleep(busy.retry_after_s)
            except LostError:
                await self._back_off(attempt)
        return await call()

    async def _back_off(self, attempt: int) -> None:
        await asyncio.sleep(0)
        await self.clock.sleep(min(_MAX_BACK_OFF_S, _BACK_OFF_S * 2**attempt))


def _where(snapshot: Snapshot, expected: Expected, operation: str, args: dict[str, object]) -> Where:
    """Say what the touched values of a target are: those from before the operation, those after it, or others."""
    if snapshot.uid != expected.uid:
        return "elsewhere"
    try:
        found = touched_sha256(operation, args, snapshot.value)
    except RefusedChangeError:
        return "elsewhere"
    if found == expected.pre_sha256:
        return "before"
    return "after" if found == expected.post_sha256 else "elsewhere"


def _undo_hash(snapshot: Snapshot, expected: Expected, undo: Operation) -> str:
    """Return the hash over what an undo replaces; empty where it is another object, or no longer fits."""
    if snapshot.uid != expected.uid:
        return ""
    try:
        return touched_sha256(undo.op, undo.args, snapshot.value)
    except RefusedChangeError:
        return ""


def _elsewhere(operation: Operation, where: Where) -> str:
    name = target_text(operation.target)
    if where == "before":
        return f"{operation.id}: {name} took the write and yet holds the values from before"
    if where == "after":
        return f"{operation.id}: {name} already holds the new values, and not by this change"
    return f"{operation.id}: {name} is not the object that was approved, or somebody changed the same values since"
