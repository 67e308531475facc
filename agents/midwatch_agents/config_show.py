"""`midwatch config show`."""

import argparse
import json
import sys

from midwatch_agents.config import shown
from midwatch_contracts.command import Settings


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the settings in force, one a line or as one object; with `--origin` where each came from."""
    values = shown(settings)
    if arguments.json:
        with_origin = {key: {"value": value, "origin": origin} for key, (value, origin) in values.items()}
        plain = {key: value for key, (value, _) in values.items()}
        sys.stdout.write(json.dumps(with_origin if arguments.origin else plain, indent=2) + "\n")
        return 0
    for key, (value, origin) in values.items():
        text = ", ".join(value) if isinstance(value, list) else value
        line = f"{key:<23} {text or '-'}"
        sys.stdout.write(f"{line:<70} {origin}\n" if arguments.origin else line + "\n")
    return 0
