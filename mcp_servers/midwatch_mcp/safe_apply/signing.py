"""Whose key signs, and the question on the terminal before it does. Only here are private keys read."""

import getpass
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.plan import Plan
from midwatch_mcp.safe_apply.approvals import clusters_of
from midwatch_mcp.safe_apply.errors import KeyFileError
from midwatch_mcp.safe_apply.keys import LAB, approvers, key_folder, lab_cluster, principals, private_key


@dataclass(frozen=True)
class Signer:
    """Whose key signs."""

    name: str
    key: Ed25519PrivateKey


def answered(
    arguments: Namespace, plan: Plan, settings: Settings, question: str, offer: Callable[[], None] | None = None
) -> tuple[Signer, bool]:
    """Return who answers a question about a plan on a terminal, and whether the answer is yes; `--yes` asks nobody.

    `offer` rehearses the plan, where that may be asked for.
    """
    if arguments.yes:
        return _lab_signer(plan, settings), True
    if not sys.stdin.isatty():
        raise CommandError(
            "the approval is missing: this is no terminal to ask on; run the command on one", Exit.NOT_APPROVED
        )
    signer = _signer(arguments.key, plan, settings)
    return signer, _asked(f"{question} as {signer.name}?", offer)


def _asked(question: str, offer: Callable[[], None] | None) -> bool:
    """Ask until the answer is a clear one; the end of the input is a no."""
    choices = "[y/n]" if offer is None else "[y/n, r: rehearse it first]"
    while True:
        sys.stderr.write(f"{question} {choices} ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if offer is not None and answer.strip().lower() in ("r", "rehearse"):
            offer()
            continue
        if answer.strip().lower() in ("y", "yes"):
            return True
        if not answer or answer.strip().lower() in ("n", "no"):
            return False


def _lab_matches(plan: Plan, lab: Path | None) -> bool:
    if lab is None:
        return False
    try:
        return clusters_of(plan) == frozenset({lab_cluster(lab)})
    except KeyFileError:
        # No lab runs there, so it is not the plan's cluster.
        return False


def _lab_signer(plan: Plan, settings: Settings) -> Signer:
    """Return the lab's own key, which signs for the lab's own cluster only."""
    if settings.lab is None or not _lab_matches(plan, settings.lab):
        raise CommandError(
            "--yes is for plans on a running lab; for this cluster a person answers on a terminal", Exit.NOT_APPROVED
        )
    if LAB not in principals(settings.state, settings.lab):
        raise CommandError(
            "the key of this lab was revoked (`midwatch keys revoke lab`): sign with a key of your own",
            Exit.NOT_APPROVED,
        )
    return Signer(LAB, private_key(settings.lab / "lab.key"))


def _signer(name: str | None, plan: Plan, settings: Settings) -> Signer:
    folder = key_folder(settings.state)
    names = sorted(file.stem for file in folder.glob("*.key"))
    if name is None and not names and _lab_matches(plan, settings.lab):
        return _lab_signer(plan, settings)
    if name is None and len(names) != 1:
        how = "make one with `midwatch keys new NAME`" if not names else f"choose with --key: {', '.join(names)}"
        raise CommandError(f"there {'is no key' if not names else 'are several keys'} to sign with: {how}")
    chosen = names[0] if name is None else name
    if chosen not in approvers(settings.state):
        raise CommandError(f"{chosen} is no approver here: approvers.toml lists those who are")
    return Signer(chosen, private_key(folder / f"{chosen}.key", lambda: getpass.getpass(f"Passphrase of {chosen}: ")))
