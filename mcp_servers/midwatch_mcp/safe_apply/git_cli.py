"""`midwatch change propose --as git`: the merge request's text to standard output, where it is to standard error."""

import asyncio
import re
from argparse import Namespace
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_mcp.errors import ServersError
from midwatch_mcp.os_user import os_user
from midwatch_mcp.safe_apply.answering import answer, dump, open_journal
from midwatch_mcp.safe_apply.approving import policy_of, show
from midwatch_mcp.safe_apply.as_git.manifests import Files
from midwatch_mcp.safe_apply.as_git.merge_request import ClusterSays
from midwatch_mcp.safe_apply.as_git.outcome import Wanted
from midwatch_mcp.safe_apply.as_git.proposal import Carry, Desk, GitProposal, Options, propose_in_git, sha256_of
from midwatch_mcp.safe_apply.as_git.values import Way, parsed_keys, through_values
from midwatch_mcp.safe_apply.as_git.ways import carried
from midwatch_mcp.safe_apply.as_git.written import Edited
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.drafting import Draft, parse_draft
from midwatch_mcp.safe_apply.opening import open_envelope
from midwatch_mcp.safe_apply.render import one_line
from midwatch_mcp.settings import ServerSettings

_ONLY_GIT = ("repo", "path", "values", "set_key", "base", "branch", "author", "body", "no_cluster")
_ASK_S = 20.0
"""How long the cluster is waited for; the commit does without."""
_AUTHOR = re.compile(r"(?P<name>[^<>\x00-\x1f]+?) *<(?P<mail>[^<>\s]+)>")


def refuse_options(arguments: Namespace) -> None:
    """Refuse options of `--as git` where a plan for the cluster is asked for.

    Raises:
        CommandError: names the option.
    """
    given = [name for name in _ONLY_GIT if getattr(arguments, name)]
    if given:
        raise CommandError(f"--{given[0].replace('_', '-')} is for --as git")


def propose(raw: Mapping[str, Any], arguments: Namespace, settings: Settings) -> int:
    """Make a commit of a draft, and print the text of its merge request."""
    draft = parse_draft(raw)
    options = Options(
        repo=arguments.repo or Path(),
        base=arguments.base or "HEAD",
        branch=arguments.branch,
        author=_author(arguments.author),
    )
    cluster = ClusterSays(None, "it was not asked (--no-cluster)") if arguments.no_cluster else asked(draft, settings)
    with closing(open_journal(settings)) as journal:
        audit = Audit(settings.state, WallClock(), journal)
        desk = Desk(journal, audit, WallClock(), policy_of(settings), os_user())
        proposal = propose_in_git(draft, options, _way(arguments, cluster), desk, cluster)
    _tell(arguments, proposal)
    return Exit.OK


def _way(arguments: Namespace, cluster: ClusterSays) -> Carry:
    """Return the way into the files that was asked for."""
    if arguments.values is None:
        if arguments.set_key:
            raise CommandError("--set-key is for --values FILE")
        return partial(carried, under=arguments.path)
    if arguments.path is not None:
        raise CommandError("--path is for manifests, and --values for a chart: give one of the two")
    keys = parsed_keys(arguments.set_key)

    def carry(files: Files, one: Wanted) -> Edited:
        way = Way(files.repository.relative(arguments.values), keys)
        return through_values(files, way, one, partial(_present, cluster))

    return carry


def _present(cluster: ClusterSays, one: Wanted, where: str) -> list[Any]:
    """Return what the cluster says that a field is now, by the last part of its name; `[]` where it does not."""
    last = where.rpartition(".")[2]
    diffs = () if cluster.preview is None else cluster.preview.diffs
    found = [
        old for diff in diffs if diff.operation == one.id for at, old, _ in diff.changes if at.endswith(f"/{last}")
    ]
    return found if len(found) == 1 and isinstance(found[0], str | int) else []


def _author(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    found = _AUTHOR.fullmatch(text)
    if found is None:
        raise CommandError(f'--author {text!r} is not of the form "NAME <MAIL>"')
    return found["name"], found["mail"]


def asked(draft: Draft, settings: Settings) -> ClusterSays:
    """Return what the cluster says to a draft, or why it says nothing: no commit fails for that."""

    async def ask() -> ClusterSays:
        opened = open_envelope(ServerSettings.from_settings(settings), allow_write=False)
        try:
            async with asyncio.timeout(_ASK_S):
                return ClusterSays(await opened.envelope.tried(draft))
        finally:
            await opened.aclose()

    try:
        return asyncio.run(ask())
    except TimeoutError:
        return ClusterSays(None, f"the cluster did not answer within {_ASK_S:g} s")
    except ServersError as error:
        return ClusterSays(None, f"the cluster does not say: {error}")


def _tell(arguments: Namespace, proposal: GitProposal) -> None:
    made = proposal.committed
    if arguments.body is not None:
        try:
            arguments.body.write_text(proposal.body, "utf-8")
        except OSError as error:
            where = f"the commit {made.commit[:12]} is on {made.branch}"
            raise CommandError(f"--body {arguments.body} cannot be written: {error.strerror}; {where}") from error
    again = "" if made.new else " (it was there already)"
    lines = [f"commit {made.commit[:12]} on the new branch {made.branch} of {proposal.repo}{again}"]
    lines += [f"  {one_line(path)}" for path in proposal.files]
    lines += [f"  ! {one_line(note)}" for note in (*proposal.preview.warnings[:-1], *proposal.notes)]
    lines.append(f"nothing was pushed or applied; next: git push origin {made.branch}")
    if not arguments.json:
        show("\n".join(lines))
    data = {
        "plan_id": proposal.plan.id,
        "preview": dump(proposal.preview),
        "preview_sha256": sha256_of(proposal),
        "git": {
            "repo": str(proposal.repo),
            "base": proposal.base,
            "branch": made.branch,
            "commit": made.commit,
            "new": made.new,
            "files": list(proposal.files),
        },
        "notes": list(proposal.notes),
        "body": proposal.body,
    }
    text = proposal.body if arguments.body is None else f"{proposal.plan.id}\n{made.branch}\n{made.commit}"
    answer(arguments, data, text)
