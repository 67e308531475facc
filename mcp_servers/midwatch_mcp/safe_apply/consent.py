"""Consent to one attempt at a plan: signed by people, answered to a question of ours, or given by the policy.

Only here do approvals without a signature come into being, in the call that asked or that read the policy, and under a
nonce that was in the journal before (CONTRACTS §5).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from midwatch_contracts.clock import Clock
from midwatch_contracts.plan import Approval, Plan, Preview, Risk
from midwatch_mcp.questions import Asker, Question, Reply
from midwatch_mcp.safe_apply.approvals import (
    Sifted,
    approvals_for,
    approvers_of,
    check_approval,
    enough,
    sift,
)
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.keys import principals
from midwatch_mcp.safe_apply.owed import Line
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.preview import Previewed
from midwatch_mcp.safe_apply.questions import (
    Asked,
    Questions,
    new_nonce,
    still_open,
    unsigned_approval,
)
from midwatch_mcp.safe_apply.rehearsal.keeping import Rehearsals
from midwatch_mcp.safe_apply.render import plan_text
from midwatch_mcp.safe_apply.unattended import against_risk, against_unattended, policy_principal

ASK_S = 300.0
"""How long a question is open, in seconds."""
ASK_CHARACTERS = 8_000
"""Longest question. A host may cut a longer one, and what is cut is not approved: such a plan is for a terminal."""


def question_text(plan: Plan, preview: Preview, preview_sha256: str, nonce: str, rehearsal: Sequence[str] = ()) -> str:
    """Return what a person is asked: the same for the same plan, preview and nonce, and whole."""
    return "\n".join(
        (
            f"Apply this change to the cluster? Question {nonce}: yes applies exactly what follows, once.",
            "",
            plan_text(plan, preview, preview_sha256, rehearsal),
        )
    )


@dataclass(frozen=True)
class Consents:
    """What was consented to in one state folder."""

    state: Path
    journal: Journal
    audit: Audit
    clock: Clock
    lab: Path | None

    def signed(self, plan: Plan, policy: Policy) -> Sifted:
        """Return the signed approvals of a plan."""
        return sift(approvals_for(self.state, plan.id), self._check(plan, policy))

    def _check(self, plan: Plan, policy: Policy) -> Callable[[Approval], None]:
        known = principals(self.state, self.lab)

        def check(approval: Approval) -> None:
            check_approval(
                approval,
                plan,
                known,
                now=self.clock.now(),
                max_age_s=policy.approvals.max_age_s,
                spent_by=self.journal.spent_by(approval.nonce),
            )

        return check

    def could_do_without(self, plan: Plan, policy: Policy) -> bool:
        """Say whether the policy may approve a plan by itself, its risk aside."""
        return against_unattended(plan, policy, self.journal, self.state) is None

    def against_policy_alone(self, plan: Plan, risk: Risk, policy: Policy) -> str | None:
        """Return why the policy does not approve a plan by itself, or None."""
        return against_risk(risk, policy) or against_unattended(plan, policy, self.journal, self.state)

    def chosen(self, plan: Plan, previewed: Previewed, policy: Policy, given: Approval | None) -> tuple[Approval, ...]:
        """Return the approvals that an attempt at a plan is made with, all of them to be spent by it.

        Raises:
            RefusedChangeError: there are too few.
        """
        risk, needed = previewed.preview.risk, policy.approvals.rule(previewed.preview.risk).people
        try:
            return enough(self.signed(plan, policy), plan, previewed.sha256, needed)
        except RefusedChangeError:
            if given is not None:
                self._check_given(given, previewed, policy)
                return (given,)
            if self.against_policy_alone(plan, risk, policy) is not None:
                raise
        return (self._by_policy(plan, previewed, policy),)

    def _check_given(self, given: Approval, previewed: Previewed, policy: Policy) -> None:
        if given.preview_sha256 != previewed.sha256:
            raise RefusedChangeError(
                "other_preview",
                f"what was shown is the preview {given.preview_sha256[:12]}, but the plan would now do "
                f"{previewed.sha256[:12]}: ask anew",
            )
        why = not_by_host(previewed.preview, policy)
        if why is not None:
            raise RefusedChangeError("missing", why)

    def _by_policy(self, plan: Plan, previewed: Previewed, policy: Policy) -> Approval:
        principal, now = policy_principal(policy), self.clock.now()
        question = Asked(new_nonce(), "policy", principal, plan.id, previewed.sha256, "", now, now + ASK_S, None)
        questions = Questions(self.journal)
        questions.put(question)
        questions.answer(plan.id, question.nonce, principal, "yes", now=now)
        self.audit.tell(plan.id)
        return unsigned_approval(question, now=now)

    # Asking

    def open_question(self, plan: Plan, asker: Asker) -> Question:
        """Return the question that a call which was made again brings the answer to.

        Raises:
            RefusedChangeError: it is not open: it was answered already, or is none of this principal's.
        """
        question = Questions(self.journal).newest(plan.id, asker.principal)
        return _as_question(still_open(question, asker.principal, now=self.clock.now()))

    async def question(
        self, plan: Plan, policy: Policy, asker: Asker, look: Callable[[], Awaitable[Previewed]]
    ) -> Question | str:
        """Return what to ask about a plan, in the journal, or why nobody is asked."""
        if not asker.can_be_asked:
            return "this client cannot ask its user"
        kept = self.journal.preview(plan.id)
        found = self.signed(plan, policy)
        if kept is not None and len(approvers_of(found.on(kept[1]))) >= policy.approvals.rule(kept[0].risk).people:
            return "it is approved already"
        previewed = await look()
        preview, sha256 = previewed.preview, previewed.sha256
        self.journal.put_preview(preview, self.clock.now())
        if self.against_policy_alone(plan, preview.risk, policy) is None:
            return "the policy approves it"
        why = not_by_host(preview, policy) or Rehearsals(self.journal).lacking(plan, preview, policy)
        if why is not None:
            return why
        nonce = new_nonce()
        text = question_text(plan, preview, sha256, nonce, Rehearsals(self.journal).lines(plan, preview))
        if len(text) > ASK_CHARACTERS:
            return (
                f"the plan's text has {len(text)} characters, and a client is trusted to show no more than "
                f"{ASK_CHARACTERS} whole"
            )
        now = self.clock.now()
        question = Asked(nonce, "elicitation", asker.principal, plan.id, sha256, text, now, now + ASK_S, None)
        body = {"principal": asker.principal, "nonce": nonce, "preview_sha256": sha256}
        Questions(self.journal).put(question, line=Line("asked", plan.id, body))
        self.audit.tell(plan.id)
        return _as_question(question)

    def settled(self, plan: Plan, reply: Reply) -> Approval | None:
        """Take the reply to a question; returns the approval that it stands for, or None where it is no answer.

        Raises:
            RefusedChangeError: the answer is no, or the question is not open.
        """
        if reply.key is None or reply.outcome in ("not_asked", "timeout"):
            # The call that asked was the only one that could bring an answer, and after a time-out it is about to end.
            return None
        now = self.clock.now()
        question = Questions(self.journal).answer(plan.id, reply.key, reply.principal, reply.outcome, now=now)
        self.audit.tell(plan.id)
        if reply.outcome == "yes":
            return unsigned_approval(question, now=now)
        if reply.outcome == "no":
            raise RefusedChangeError("denied", f"{reply.principal} was asked and said no")
        return None


def _as_question(question: Asked) -> Question:
    return Question(question.nonce, question.text, question.expires - question.at)


def not_by_host(preview: Preview, policy: Policy) -> str | None:
    """Return why the answer of a client does not count for a plan, or None."""
    rule = policy.approvals.rule(preview.risk)
    if rule.people > 1:
        return f"a plan of the class {preview.risk} needs the signatures of {rule.people} people"
    if not rule.host:
        return f"the policy lets no client answer for a plan of the class {preview.risk}"
    return None
