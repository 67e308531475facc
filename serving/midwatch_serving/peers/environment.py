"""What the comparison needs and does not find: the peers' own environment, and the model, in one ignored folder."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from midwatch_contracts.command import CommandError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
SOURCES = Path(__file__).parents[2]
"""The folder to import `midwatch_serving` from."""


def peers_python(folder: Path) -> Path:
    """Return the Python of an environment that has the peers, made with uv where it is missing.

    Raises:
        CommandError: when it cannot be made.
    """
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise CommandError("the peers' environment is made with uv, and there is none: run `make bench-serving`")
    environment = folder / "peers"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        sys.stderr.write(f"making the peers' environment in {environment} (about 0.5 GB) …\n")
        _run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)])
    _run([uv, "pip", "sync", "--quiet", "--python", str(python), str(REQUIREMENTS)])
    return python


def pulled_model(name: str, folder: Path) -> Path:
    """Return the file of a model, pulled by `midwatch model pull` where it is missing.

    Raises:
        CommandError: when it cannot be pulled.
    """
    command = [str(Path(sys.executable).with_name("midwatch")), "model", "pull", name, "--json"]
    state = folder / "state"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)  # a state folder is its owner's alone
    done = _run(command, MIDWATCH_STATE=str(state))
    facts: dict[str, Any] = json.loads(done)
    return Path(facts["path"])


def _run(command: list[str], **environment: str) -> str:
    """Run a command, its standard error being ours; return what it prints."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **environment}
        )
    except OSError as error:
        raise CommandError(f"cannot run {command[0]}: {error.strerror or error}") from error
    if done.returncode:
        raise CommandError(f"{' '.join(command)} failed with {done.returncode}")
    return done.stdout
