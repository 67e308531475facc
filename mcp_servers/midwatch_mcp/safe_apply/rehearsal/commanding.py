"""`midwatch change rehearse`, and the same from `propose --rehearse` and from the approval screen."""

import asyncio
import signal
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.times import parse_duration
from midwatch_mcp.safe_apply.admission import refuse_forbidden_risk
from midwatch_mcp.safe_apply.answering import answer, dump
from midwatch_mcp.safe_apply.opening import open_envelope
from midwatch_mcp.safe_apply.policy_file import load, policy_path
from midwatch_mcp.safe_apply.rehearsal.in_a_lab import SERVING_IMAGES, in_a_lab
from midwatch_mcp.safe_apply.rehearsal.keeping import Rehearsals
from midwatch_mcp.safe_apply.rehearsal.outcome import Rehearsal
from midwatch_mcp.safe_apply.rehearsal.running import Rehearsing
from midwatch_mcp.safe_apply.render import one_line
from midwatch_mcp.safe_apply.targets import KubeTargets
from midwatch_mcp.settings import ServerSettings


@dataclass(frozen=True)
class Options:
    """How to rehearse: images that the reference backend plays, most pods, and seconds that the copy has to settle."""

    serving: tuple[str, ...] = SERVING_IMAGES
    max_pods: int = 40
    within_s: float = 60.0


DEFAULTS = Options()


def rehearse(arguments: Namespace, settings: Settings) -> int:
    """Rehearse a plan, and say what came of it."""
    found = rehearsed_as_asked(arguments.plan, arguments, settings)
    data = {"rehearsal": dump(found), "good": found.is_good}
    answer(arguments, data, "\n".join(one_line(line) for line in found.lines()))
    return Exit.OK if found.is_good else Exit.UNSETTLED


def rehearsed_as_asked(plan_id: str, arguments: Namespace, settings: Settings) -> Rehearsal:
    """Rehearse a plan as the command line says."""
    serving = tuple(arguments.serving_image) or SERVING_IMAGES
    return rehearsed(plan_id, settings, Options(serving, arguments.max_pods, parse_duration(arguments.within)))


def rehearsed(plan_id: str, settings: Settings, options: Options = DEFAULTS) -> Rehearsal:
    """Preview a plan, rehearse it, keep the outcome with the preview, and return it. Progress goes to standard error.

    Raises:
        RefusedChangeError: the plan is forbidden, or does not fit the cluster any more.
    """
    # A lab that is told to end takes its files along; one whose parent is just gone leaves them to it.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return asyncio.run(_rehearsed(plan_id, settings, options, _say))
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str) -> None:
    sys.stderr.write(f"rehearsal: {text} …\n")
    sys.stderr.flush()


async def _rehearsed(plan_id: str, settings: Settings, options: Options, say: Callable[[str], None]) -> Rehearsal:
    opened = open_envelope(ServerSettings.from_settings(settings), allow_write=False)
    try:
        proposal = await opened.envelope.preview(plan_id)
        refuse_forbidden_risk(proposal.preview)
        rehearsing = Rehearsing(
            proposal=proposal,
            live=KubeTargets(opened.kube),
            policy=load(policy_path(settings.state, settings.policy), required=settings.policy is not None),
            stage=in_a_lab(options.serving),
            clock=WallClock(),
            max_pods=options.max_pods,
            within_s=options.within_s,
            say=say,
        )
        found = await rehearsing.run()
        Rehearsals(opened.envelope.journal).put(found)
        opened.envelope.audit.tell(proposal.plan.id)
        return found
    finally:
        await opened.aclose()
