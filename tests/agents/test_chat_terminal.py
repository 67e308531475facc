"""The chat on a pseudo-terminal, as a person has it."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


PROMPT = b"\x1b[?2004h"
"""What prompt_toolkit sends when it begins to read a line."""


class Screen:
    """Reads what the chat writes; each wait goes on behind what the one before found."""

    def __init__(self, handle: int) -> None:
        self._handle, self._unread = handle, b""

    def wait_for(self, wanted: bytes) -> None:
        deadline = time.monotonic() + 60
        while wanted not in self._unread:
            assert time.monotonic() < deadline, self._unread
            if select.select([self._handle], [], [], 0.5)[0]:
                self._unread += os.read(self._handle, 4096)
        self._unread = self._unread.partition(wanted)[2]


def test_the_terminal_chat_prompts_keeps_a_private_history_survives_ctrl_c_and_leaves_on_ctrl_d(tmp_path: Path) -> None:
    state = tmp_path / "state"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "midwatch_agents", "--state", str(state), "chat"]
    environ = os.environ | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    chat = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, cwd=tmp_path, start_new_session=True
    )
    os.close(theirs)
    screen = Screen(ours)
    try:
        screen.wait_for(PROMPT)
        os.write(ours, b"half a sen\x03")
        screen.wait_for(PROMPT)
        os.write(ours, b"/guides\r")
        screen.wait_for(b"ttft-slo-burn")
        screen.wait_for(PROMPT)
        os.write(ours, b"\x04")
        assert chat.wait(timeout=60) == 0
    finally:
        chat.kill()
        chat.wait()
        os.close(ours)
    history = state / "chat_history"
    assert history.stat().st_mode & 0o777 == 0o600
    assert "/guides" in history.read_text()
