"""What the commands of the envelope share: running a verb, and answering as text or JSON."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.errors import ContractError
from midwatch_contracts.exit_codes import Exit
from midwatch_mcp.errors import ServersError
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.journal import Journal

Verb = Callable[[Namespace, Settings], int]


def run_verb(verbs: Mapping[str, Verb], arguments: Namespace, settings: Settings) -> int:
    """Run the verb that was named; an expected error becomes the command's own."""
    try:
        return verbs[arguments.verb](arguments, settings)
    except RefusedChangeError as error:
        code = Exit.BAD_INPUT if error.reason in ("bad_draft", "state", "no_effect") else Exit.NOT_APPROVED
        raise CommandError(str(error), code) from error
    except (ServersError, ContractError) as error:
        raise CommandError(str(error), Exit.BAD_INPUT) from error


def answer(arguments: Namespace, data: Mapping[str, Any], text: str) -> None:
    """Print the answer, as one JSON object where that was asked for."""
    out = json.dumps(data, indent=2, ensure_ascii=False) if arguments.json else text
    sys.stdout.write(out.rstrip("\n") + "\n")


def open_journal(settings: Settings) -> Journal:
    """Open the journal of the state folder."""
    return Journal(settings.state / "changes.sqlite")


def dump(model: Any) -> dict[str, Any]:
    """Return a model as JSON data."""
    return model.model_dump(mode="json", by_alias=True)
