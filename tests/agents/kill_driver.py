"""Runs the scripted incident of the conftest in a process of its own that kills itself at one event.

`python kill_driver.py STATE KIND`: SIGKILL when the event of that kind is told, as `kill -9` would come.
"""

import asyncio
import importlib.util
import os
import signal
import sys
from pathlib import Path

from midwatch_agents.events import RunEvent
from midwatch_agents.intake import from_question


def main() -> None:
    state, kind = Path(sys.argv[1]), sys.argv[2]
    spec = importlib.util.spec_from_file_location("scripted_world", Path(__file__).with_name("conftest.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)

    def watch(event: RunEvent) -> None:
        if event.kind == kind:
            os.kill(os.getpid(), signal.SIGKILL)

    world = module.World(state)
    asyncio.run(world.supervisor(on_event=watch).start(from_question("why is time to first token high on chat?")))


main()
