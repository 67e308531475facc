"""`midwatch change settle`: a person who looked says how a stuck change stands.

That is a word, not a reading: the change stays `stuck`, nothing is called verified, and it is not taken up again.
"""

from argparse import Namespace
from contextlib import closing

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.plan import Settlement, settlement_payload
from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply.answering import answer, dump, open_journal
from midwatch_mcp.safe_apply.approving import show
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.journal import refuse_settling
from midwatch_mcp.safe_apply.keys import sign
from midwatch_mcp.safe_apply.plans_cli import change_lines
from midwatch_mcp.safe_apply.render import one_line
from midwatch_mcp.safe_apply.signing import answered


def settle(arguments: Namespace, settings: Settings) -> int:
    """Show a stuck change, ask, and keep the signed word of whoever looked."""
    reason = arguments.reason.strip()
    if not reason:
        raise CommandError("--reason says what you looked at and found: it is empty", Exit.BAD_INPUT)
    with closing(open_journal(settings)) as journal:
        audit = Audit(settings.state, WallClock(), journal)
        change = journal.record(arguments.change).change
        refuse_settling(change)
        show("\n".join([*change_lines(change), f"  settled as {arguments.found}: {one_line(reason)}"]))
        question = f"Settle {change.change_id} as {arguments.found}, unverified,"
        signer, yes = answered(arguments, journal.plan(change.plan_id), settings, question)
        if not yes:
            answer(arguments, {"change": dump(change)}, f"{change.change_id} stays stuck; nothing was settled")
            return Exit.NOT_APPROVED
        now = WallClock().now()
        unsigned = Settlement(
            change_id=change.change_id,
            plan_id=change.plan_id,
            found=arguments.found,
            reason=reason,
            by=signer.name,
            at=rfc3339(now),
            signature=None,
        )
        settlement = unsigned.model_copy(update={"signature": sign(signer.key, settlement_payload(unsigned))})
        audit.check()
        settled = journal.settle(settlement, now=now)
        audit.tell(change.change_id)
    answer(arguments, {"change": dump(settled)}, "\n".join(change_lines(settled)))
    return Exit.OK
