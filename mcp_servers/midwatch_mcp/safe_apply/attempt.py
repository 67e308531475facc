"""One attempt at a plan, from wherever the journal says it is: apply, verify on the clock, or undo and prove it."""

from collections.abc import Sequence
from dataclasses import dataclass

from midwatch_contracts.clock import Clock
from midwatch_contracts.expectations import Reader, judge
from midwatch_contracts.plan import ChangeState
from midwatch_contracts.times import unix_seconds
from midwatch_mcp.safe_apply.admission import Admission
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.transaction import StepFailedError, Transaction


@dataclass(frozen=True)
class Attempts:
    """Carries attempts on; what it knows of one is in the journal."""

    journal: Journal
    audit: Audit
    clock: Clock
    reader: Reader
    admission: Admission
    poll_s: float

    def state(self, change_id: str) -> ChangeState:
        """Return the state of a change as the journal has it."""
        return self.journal.record(change_id).change.state

    async def apply_or_undo(self, transaction: Transaction, *, recovering: bool) -> None:
        """Go on from the state that the journal holds until the operations are applied or the attempt has ended."""
        change_id = transaction.change_id
        state = self.state(change_id)
        if state == "undoing":
            await transaction.back(self.journal.record(change_id).change.note)
        elif state == "stuck":
            await transaction.back("Taken up again by hand.")
        elif state == "applying":
            against = self._against_finishing(change_id) if recovering else None
            if against is not None:
                await transaction.back(against)
            else:
                await self._forward(transaction)
        self.audit.tell(transaction.change_id)

    async def _forward(self, transaction: Transaction) -> None:
        change_id = transaction.change_id
        try:
            await transaction.forward()
        except StepFailedError as failure:
            states = {operation.state for operation in self.journal.record(change_id).change.operations}
            if failure.stale and states <= {"pending", "failed"}:
                self.journal.move(
                    change_id, "superseded", now=self.clock.now(), note=f"{failure}. Nothing was written."
                )
            else:
                await transaction.back(f"Not applied: {failure}.")

    def _against_finishing(self, change_id: str) -> str | None:
        """Return why a change that was cut off is undone rather than finished, or None."""
        frozen = self.admission.frozen()
        if frozen is not None:
            return f"What was begun is undone, for {frozen}."
        approval = self.journal.record(change_id).change.approval
        if approval is None or self.clock.now() >= unix_seconds(approval.expires):
            return "The approval expired while the change was cut off, so what was begun is undone."
        return None

    async def verify(self, transaction: Transaction) -> None:
        """Judge the expectations; when one fails, undo and prove it."""
        change_id = transaction.change_id
        if self.state(change_id) == "applied":
            self.journal.move(change_id, "verifying", now=self.clock.now())
        if self.state(change_id) != "verifying":
            return
        applied = self.journal.record(change_id).applied
        try:
            verdict = await judge(
                transaction.plan.expect,
                self.reader,
                self.clock,
                since=self.clock.now() if applied is None else applied,
                start=self.clock.now(),
                poll_s=self.poll_s,
                on_observation=lambda observation: self.journal.observe(change_id, observation),
            )
        except Exception as error:  # noqa: BLE001 (what cannot be judged is not verified: the change must not stay)
            failed: Sequence[str] = (f"the expectations could not be judged: {error!r}",)
            met = False
        else:
            met, failed = verdict.met, verdict.failed
        if met:
            self.journal.move(change_id, "verified", now=self.clock.now())
        else:
            await transaction.back(f"Not verified: {'; '.join(failed)}.")
        self.audit.tell(transaction.change_id)
