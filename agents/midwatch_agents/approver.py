"""Who is asked whether a plan may be applied. No implementation holds a key: the ones that can approve start
`midwatch change approve` as a child process, which alone reads keys and asks the person (CONTRACTS §5).
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from midwatch_contracts.command import Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.untrusted import clean

Verdict = Literal["approved", "denied", "later"]


@dataclass(frozen=True)
class ApprovalRequest:
    """What the person is asked to approve."""

    run: str
    plan_id: str
    title: str
    preview: dict[str, Any]
    preview_sha256: str


@dataclass(frozen=True)
class Decision:
    """What was decided, by which way."""

    verdict: Verdict
    by: str
    """`terminal`, `yes`, `deny`, `later`, `policy`, or `earlier` for an approval that was there already."""
    note: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the plain form that the graph and the ledger hold."""
        return {"verdict": self.verdict, "by": self.by, "note": self.note}


class Approver(Protocol):
    """Is asked once for each plan."""

    @property
    def shows_preview(self) -> bool:
        """Whether the person sees the preview from the approver itself, so that nobody need print it before."""
        ...

    async def decide(self, request: ApprovalRequest) -> Decision:
        """Return the decision; never raises for a refusal."""
        ...


@dataclass(frozen=True)
class TerminalApprover:
    """Asks on the user's terminal, in a child process that owns the question, the diff and the key."""

    settings: Settings
    shows_preview: bool = True

    async def decide(self, request: ApprovalRequest) -> Decision:
        """Run the child on this process's terminal; the diff and the question are on its stderr."""
        answer = await _asked(approve_command(self.settings, request.plan_id), on_terminal=True)
        return _decision(answer, by="terminal")


@dataclass(frozen=True)
class YesApprover:
    """Signs with the lab's own key, in the same child; the child refuses for any cluster that is not the lab."""

    settings: Settings
    shows_preview: bool = False

    async def decide(self, request: ApprovalRequest) -> Decision:
        """Run the child with `--yes`."""
        answer = await _asked(approve_command(self.settings, request.plan_id, "--yes"), on_terminal=False)
        return _decision(answer, by="yes")


@dataclass(frozen=True)
class DenyApprover:
    """Refuses everything, also what was approved elsewhere and not applied yet.

    With settings the refusal is told to the changes server's state folder too, which withdraws unused approvals.
    """

    settings: Settings | None = None
    shows_preview: bool = False

    async def decide(self, request: ApprovalRequest) -> Decision:
        """Refuse; the run's refusal stands whatever becomes of the child."""
        said = f"refused without asking (plan {request.plan_id[:12]})"
        if self.settings is not None:
            answer = await _asked(approve_command(self.settings, request.plan_id, "--deny"), on_terminal=False)
            if answer.approved is None:
                said += f"; unused approvals were not withdrawn: {answer.complaint}"
        return Decision("denied", "deny", said)


@dataclass(frozen=True)
class LaterApprover:
    """Nobody can be asked now: the run stops at its interrupt and `midwatch resume` goes on."""

    shows_preview: bool = False

    async def decide(self, request: ApprovalRequest) -> Decision:
        """Leave it open, and say how to go on."""
        return Decision("later", "later", how_to_go_on(request.run, request.plan_id))


def how_to_go_on(run: str, plan_id: str) -> str:
    """Return the two commands that approve a plan and go on with its run."""
    return f"approve with `midwatch change approve {plan_id}`, then `midwatch resume {run}`"


def approve_command(settings: Settings, plan_id: str, *extra: str) -> list[str]:
    """Return the argument list of the child; settings are passed on, so that it sees the same state and cluster."""
    flags: list[str] = ["--state", str(settings.state)]
    for flag, value in (
        ("--kubeconfig", settings.kubeconfig),
        ("--context", settings.kube_context),
        ("--prometheus", settings.prometheus),
        ("--prometheus-http-config", settings.prometheus_http_config),
        ("--policy", settings.policy),
    ):
        if value is not None:
            flags += [flag, str(value)]
    if settings.lab is not None:
        flags.append(f"--lab={settings.lab}")
    return [sys.executable, "-m", "midwatch_agents", *flags, "change", "approve", plan_id, "--json", *extra]


@dataclass(frozen=True)
class _Answer:
    """What the child came to; `approved` is None when it could not ask, or could not sign."""

    approved: bool | None
    why: str
    complaint: str


async def _asked(command: list[str], *, on_terminal: bool) -> _Answer:
    """Run the child. When this task is cancelled it is ended too, and an approval it made stays unused."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=None if on_terminal else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=None if on_terminal else asyncio.subprocess.PIPE,
    )
    try:
        out, err = await child.communicate()
    except asyncio.CancelledError:
        if child.returncode is None:
            child.terminate()
            await child.wait()
        raise
    complaint = clean((err or b"").decode("utf-8", "replace")).strip()
    lines = [line for line in complaint.splitlines() if line.startswith("midwatch: ")]
    complaint = lines[-1].removeprefix("midwatch: ") if lines else f"it ended with {child.returncode}"
    try:
        answer = json.loads(out)
    except ValueError:
        return _Answer(None, "", complaint)
    approved = answer.get("approved") is True and child.returncode == Exit.OK
    return _Answer(approved, clean(str(answer.get("why", ""))), complaint)


def _decision(answer: _Answer, *, by: str) -> Decision:
    if answer.approved is None:
        # The child could not ask, or could not sign: that is no refusal by a person, so the run stays open.
        return Decision("later", by, f"`midwatch change approve` gave no answer: {answer.complaint}")
    return Decision("approved" if answer.approved else "denied", by, answer.why)
