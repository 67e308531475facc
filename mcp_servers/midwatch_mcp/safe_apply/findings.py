"""Why a change is worse than it looks: one finding, whoever finds it."""

from dataclasses import dataclass

from midwatch_contracts.plan import Risk


@dataclass(frozen=True)
class Finding:
    """Why a change is worse than it looks."""

    risk: Risk
    says: str
    name: str = ""
    """The field, flag, variable or key, for a policy that lets it through."""
