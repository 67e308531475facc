"""What the policy says of a plan: its class, and the rule that decided each operation."""

from typing import Self

from midwatch_contracts.model import Model
from midwatch_contracts.plan import Risk
from midwatch_mcp.safe_apply.policy import Policy, approval_sentence
from midwatch_mcp.safe_apply.preview import Previewed

_WORDS: dict[Risk, str] = {"read": "change", "change": "change", "dangerous": "dangerous change"}


class JudgedOperation(Model):
    """One operation: what the reviewed table says of its request, and what raised its class."""

    operation: str
    risk: Risk
    rule: str
    reasons: tuple[str, ...]


class Judged(Model):
    """A plan or a draft as the policy sees it."""

    risk: Risk
    operations: tuple[JudgedOperation, ...]
    reasons: tuple[str, ...]
    """What raised the class of the plan as a whole, or kept it from being drafted."""
    needs: str
    """What its approval takes."""

    @classmethod
    def of(cls, previewed: Previewed, policy: Policy) -> Self:
        """Return it from a dry run."""
        operations = tuple(
            JudgedOperation(operation=name, risk=one.risk, rule=one.rule, reasons=tuple(one.said()))
            for name, one in previewed.judgements.items()
        )
        own = {f"{risk}: {name} {said}" for name, one in previewed.judgements.items() for risk, said in one.reasons}
        risk = previewed.preview.risk
        needs = (
            "nobody can approve it"
            if risk == "forbidden"
            else approval_sentence(_WORDS[risk], policy.approvals.rule(risk))
        )
        rest = tuple(reason for reason in previewed.reasons if reason not in own)
        return cls(risk=risk, operations=operations, reasons=rest, needs=needs)

    @classmethod
    def refused(cls, why: str) -> Self:
        """Return it for a draft that the jail keeps from becoming a plan."""
        return cls(risk="forbidden", operations=(), reasons=(why,), needs="nobody can approve it")
