"""What is generated is as the code says, and the README's words are true of the command line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from midwatch_agents.host import discovered

ROOT = Path(__file__).resolve().parents[2]


def test_the_generated_documents_are_what_the_code_says() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/safe-apply.md"])
def test_every_command_and_file_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    code = "\n".join(re.findall(r"`[^`]+`|^\S*midwatch .*$", text, re.MULTILINE))
    named = set(re.findall(r"\bmidwatch ([a-z]+)\b", code))
    assert named <= set(discovered())
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []
