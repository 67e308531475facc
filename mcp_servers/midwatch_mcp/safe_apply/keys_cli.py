"""`midwatch keys`."""

from argparse import Namespace

from midwatch_contracts.command import Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_mcp.safe_apply.answering import answer, run_verb
from midwatch_mcp.safe_apply.keys import new_key, principals


def main(arguments: Namespace, settings: Settings) -> int:
    """Run `midwatch keys VERB`."""
    return run_verb({"new": _new, "list": _list}, arguments, settings)


def _new(arguments: Namespace, settings: Settings) -> int:
    principal = new_key(settings.state, arguments.name)
    data = {"name": principal.name, "public_key": principal.key_text}
    answer(arguments, data, f"{principal.name} may approve; public key {principal.key_text}")
    return Exit.OK


def _list(arguments: Namespace, settings: Settings) -> int:
    known = [
        {"name": one.name, "public_key": one.key_text, "cluster": one.cluster}
        for one in principals(settings.state, settings.lab).values()
    ]
    lines = [f"{one['name']}  {one['public_key']}  {one['cluster'] or 'any cluster'}" for one in known]
    answer(arguments, {"approvers": known}, "\n".join(lines) or "nobody may approve: midwatch keys new NAME")
    return Exit.OK
