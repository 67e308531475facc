"""Investigates on a real lab in a process of its own that kills itself at one event, as `kill -9` would.

`python lab_driver.py STATE LAB KIND QUESTION NAME=VALUE...`
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from midwatch_agents.approver import YesApprover
from midwatch_agents.config import load_settings, prepare_state
from midwatch_agents.events import RunEvent
from midwatch_agents.session import Session
from midwatch_contracts.clock import WallClock


def main() -> None:
    state, lab, kind, question = sys.argv[1:5]
    inputs = dict(pair.split("=", 1) for pair in sys.argv[5:])

    def watch(event: RunEvent) -> None:
        if event.kind == kind:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = load_settings({"state": state, "lab": lab}, {"XDG_CONFIG_HOME": state}, Path.cwd())
    prepare_state(settings.state)
    session = Session(settings, Console(stderr=True), YesApprover(settings), WallClock(), on_event=watch)
    asyncio.run(session.investigate(question, inputs=inputs))


main()
