"""Questions that the changes server asks, in the journal before they are asked (CONTRACTS §5).

A question has a nonce, belongs to one principal, one plan and one preview, and takes one answer. So an answer that
comes twice, for another plan or preview, or late, finds no open question.
"""

import secrets
from typing import Literal, NamedTuple

from midwatch_contracts.plan import Approval
from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply.approvals import EXPIRES_S
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.owed import Line, approved_line, owe

Method = Literal["elicitation", "policy"]
Answered = Literal["yes", "no", "cancelled"]


class Asked(NamedTuple):
    """A question, in the order of the journal's columns; `answer` is None while it is open. Times are Unix seconds."""

    nonce: str
    method: Method
    principal: str
    plan_id: str
    preview_sha256: str
    text: str
    at: float
    expires: float
    answer: Answered | None


class Questions:
    """The questions of one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def put(self, question: Asked, *, line: Line | None = None) -> None:
        """Write a question down before it is asked; the texts of those whose time is over are dropped."""
        with self._journal.transaction("question") as db:
            db.execute("UPDATE questions SET text = '' WHERE expires < ?", (question.at,))
            db.execute("INSERT INTO questions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", question)
            owe(db, line, question.at)

    def newest(self, plan_id: str, principal: str) -> Asked | None:
        """Return the newest question about a plan that was put to a principal."""
        rows = self._journal.rows(
            "SELECT * FROM questions WHERE plan_id = ? AND principal = ? AND method = 'elicitation' "
            "ORDER BY rowid DESC LIMIT 1",
            plan_id,
            principal,
        )
        return Asked(*rows[0]) if rows else None

    def declined(self, plan_id: str) -> bool:
        """Say whether anybody said no to a plan."""
        return bool(self._journal.rows("SELECT 1 FROM questions WHERE plan_id = ? AND answer = 'no' LIMIT 1", plan_id))

    def answer(self, plan_id: str, nonce: str, principal: str, answer: Answered, *, now: float) -> Asked:
        """Take the one answer to a question; returns the question.

        Raises:
            RefusedChangeError: there is none that is open for this principal.
        """
        with self._journal.transaction("answer") as db:
            row = db.execute("SELECT * FROM questions WHERE nonce = ?", (nonce,)).fetchone()
            question = still_open(None if row is None else Asked(*row), principal, now=now)
            if question.plan_id != plan_id:
                raise RefusedChangeError("other_plan", f"the answer is about plan {question.plan_id[:12]}: ask anew")
            db.execute("UPDATE questions SET answer = ? WHERE nonce = ?", (answer, nonce))
            owe(db, _answer_line(question, answer, now), now)
        return question


def still_open(question: Asked | None, principal: str, *, now: float) -> Asked:
    """Return a question that this principal can still answer.

    Raises:
        RefusedChangeError: with the reason.
    """
    if question is None or question.principal != principal:
        raise RefusedChangeError("replayed", f"no question about this plan was put to {principal}: ask anew")
    if question.answer is not None:
        raise RefusedChangeError(
            "replayed", f"the question {question.nonce[:8]} was answered already ({question.answer}): ask anew"
        )
    if now >= question.expires:
        late = now - question.expires
        raise RefusedChangeError("expired", f"the answer came {late:.0f} s after the question ended: ask anew")
    return question


def _answer_line(question: Asked, answer: Answered, now: float) -> Line:
    if answer == "yes":
        return approved_line(unsigned_approval(question, now=now))
    body = {"answer": answer, "principal": question.principal, "nonce": question.nonce}
    return Line("answered", question.plan_id, body)


def new_nonce() -> str:
    """Return a fresh nonce."""
    return secrets.token_hex(16)


def unsigned_approval(question: Asked, *, now: float) -> Approval:
    """Return the approval that the yes to a question stands for; only the changes server makes one, in the call."""
    return Approval.model_validate(
        {
            "plan_id": question.plan_id,
            "preview_sha256": question.preview_sha256,
            "approver": question.principal,
            "method": question.method,
            "attested": "host" if question.method == "elicitation" else "policy",
            "issued": rfc3339(now),
            "expires": rfc3339(now + EXPIRES_S),
            "nonce": question.nonce,
            "signature": None,
        }
    )
