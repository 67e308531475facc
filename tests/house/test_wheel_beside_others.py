"""The wheel installs beside the distributions that own the import names `agents`, `evals` and `tsg`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("contracts", "serving", "lab", "mcp", "tsg", "agents", "evals")

pytestmark = [pytest.mark.packaging, pytest.mark.slow]


def _run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def uv() -> Path:
    found = Path(sys.executable).parent / "uv"
    assert found.exists(), "no uv beside this Python: run the tests by `make test`"
    return found


@pytest.fixture(scope="module")
def wheel(uv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    _run(uv, "build", "--quiet", "--out-dir", out)
    assert len(list(out.glob("*.tar.gz"))) == 1
    return next(out.glob("*.whl"))


def test_the_wheel_imports_beside_openai_agents_evals_and_tsg(uv: Path, wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    _run(uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    _run(uv, "pip", "install", "--quiet", "--python", python, "openai-agents", "pydantic", "rfc8785", "pyyaml")
    _run(uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "evals", "tsg", wheel)
    theirs = "import agents, importlib.util as u; assert u.find_spec('evals') and u.find_spec('tsg')"
    ours = "; ".join(f"import midwatch_{name}; assert 'site-packages' in midwatch_{name}.__file__" for name in OURS)
    _run(python, "-I", "-c", f"{theirs}; assert 'midwatch' not in agents.__file__; {ours}")


def test_the_wheel_carries_the_data_that_the_packages_read(wheel: Path) -> None:
    names = _run(sys.executable, "-m", "zipfile", "-l", wheel)
    for data in ("mechanisms.yaml", "surface.json", "library/ttft-slo-burn.md", "py.typed"):
        assert data in names
    assert "tests/" not in names
