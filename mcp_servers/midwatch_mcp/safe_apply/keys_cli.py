"""`midwatch keys`."""

import getpass
import sys
from argparse import Namespace
from contextlib import closing

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_mcp.safe_apply.answering import answer, open_journal, run_verb
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.keys import LAB, new_key, principals, revoke


def main(arguments: Namespace, settings: Settings) -> int:
    """Run `midwatch keys VERB`."""
    return run_verb({"new": _new, "list": _list, "revoke": _revoke}, arguments, settings)


def _new(arguments: Namespace, settings: Settings) -> int:
    passphrase = _new_passphrase() if arguments.passphrase else None
    principal = new_key(settings.state, arguments.name, passphrase)
    data = {"name": principal.name, "public_key": principal.key_text}
    _note(settings, "key_made", data)
    answer(arguments, data, f"{principal.name} may approve; public key {principal.key_text}")
    return Exit.OK


def _new_passphrase() -> str:
    if not sys.stdin.isatty():
        raise CommandError("--passphrase asks for one on a terminal, and this is none")
    first = getpass.getpass("Passphrase of the new key: ")
    if not first or getpass.getpass("The same again: ") != first:
        raise CommandError("no key was made: the passphrase is empty, or the two differ")
    return first


def _revoke(arguments: Namespace, settings: Settings) -> int:
    name = arguments.name
    revoked = revoke(settings.state, name, settings.lab)
    data = {"name": name, "private_key": None if revoked.aside is None else str(revoked.aside)}
    _note(settings, "key_revoked", {"name": name, "public_key": revoked.principal.key_text})
    kept = "" if revoked.aside is None else f"; its private key was put aside as {revoked.aside}"
    again = "; a lab that is started anew has another key, which counts" if name == LAB else ""
    answer(arguments, data, f"{name} may approve no more, and what it signed counts no more{kept}{again}")
    return Exit.OK


def _note(settings: Settings, kind: str, body: dict[str, str]) -> None:
    with closing(open_journal(settings)) as journal:
        Audit(settings.state, WallClock(), journal).append(kind, run="-", body=body)


def _list(arguments: Namespace, settings: Settings) -> int:
    known = [
        {"name": one.name, "public_key": one.key_text, "cluster": one.cluster}
        for one in principals(settings.state, settings.lab).values()
    ]
    lines = [f"{one['name']}  {one['public_key']}  {one['cluster'] or 'any cluster'}" for one in known]
    answer(arguments, {"approvers": known}, "\n".join(lines) or "nobody may approve: midwatch keys new NAME")
    return Exit.OK
