"""What tells a plan that is a commit from one for a cluster, and keeps the two apart."""

from midwatch_contracts.plan import GitTarget, Plan
from midwatch_mcp.safe_apply.errors import RefusedChangeError

EDIT = "git.edit"
"""The one operation of such a plan: one file, from one content to another."""


def in_git(plan: Plan) -> bool:
    """Say whether a plan is a commit on a branch."""
    return any(isinstance(operation.target, GitTarget) for operation in plan.operations)


def branch_of(plan_id: str) -> str:
    """Return the name of the branch that a plan's commit is on, unless another one was asked for."""
    return f"midwatch/{plan_id[:12]}"


def refuse_in_git(plan: Plan) -> None:
    """Refuse to do on the cluster what a plan proposes in Git.

    Raises:
        RefusedChangeError: it is such a plan; says what is done with it.
    """
    if in_git(plan):
        raise RefusedChangeError(
            "state",
            f"plan {plan.id[:12]} is a commit on a branch: it is approved by merging the branch, and applied by what "
            f"keeps the cluster as Git says; here it is neither (`midwatch change show {plan.id[:12]}` says where)",
        )
