"""Who is asked whether a plan may be applied. No implementation holds a key: the ones that can approve start
`midwatch change approve` as a child process, which alone reads keys and asks the person (CONTRACTS §5).
"""

import asyncio
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
    """`terminal`, `yes`, `deny`, `later`, or `earlier` for an approval that was there already."""
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
        """Run the child on this process's terminal; what it prints goes to stderr, since stdout is for the answer."""
        child = await asyncio.create_subprocess_exec(
            *approve_command(self.settings, request.plan_id), stdout=sys.stderr
        )
        return _decision(await _ended(child), "", by="terminal")


@dataclass(frozen=True)
class YesApprover:
    """Signs with the lab's own key, in the same child; the child refuses for any cluster that is not the lab."""

    settings: Settings
    shows_preview: bool = False

    async def decide(self, request: ApprovalRequest) -> Decision:
        """Run the child with `--yes`."""
        return _decision(*await _quiet(approve_command(self.settings, request.plan_id, "--yes")), by="yes")


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
            code, complaint = await _quiet(approve_command(self.settings, request.plan_id, "--deny"))
            if code not in (Exit.OK, Exit.NOT_APPROVED):
                said += f"; unused approvals were not withdrawn: {complaint}"
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
        ("--policy", settings.policy),
    ):
        if value is not None:
            flags += [flag, str(value)]
    if settings.lab is not None:
        flags.append(f"--lab={settings.lab}")
    return [sys.executable, "-m", "midwatch_agents", *flags, "change", "approve", plan_id, *extra]


async def _quiet(command: list[str]) -> tuple[int, str]:
    """Run the child without a terminal; return its exit code and what it said on stderr."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    said = b"" if child.stderr is None else await child.stderr.read()
    return await _ended(child), clean(said.decode("utf-8", "replace")).strip()


async def _ended(child: asyncio.subprocess.Process) -> int:
    """Wait for the child; when this task is cancelled the child is ended too, and an approval it made stays unused."""
    try:
        return await child.wait()
    except asyncio.CancelledError:
        if child.returncode is None:
            child.terminate()
            await child.wait()
        raise


def _decision(code: int, said: str, *, by: str) -> Decision:
    if code == Exit.OK:
        return Decision("approved", by)
    if code == Exit.NOT_APPROVED:
        return Decision("denied", by, said)
    # The child could not ask, or could not sign: that is no refusal by a person, so the run stays open.
    return Decision("later", by, f"`midwatch change approve` ended with {code}{': ' + said if said else ''}")
