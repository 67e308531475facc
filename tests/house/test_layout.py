"""The house stands as DESIGN §2 and STYLE say: source roots, boundaries, nothing hidden in functions."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOTS = ("contracts", "serving", "lab", "mcp_servers", "tsg", "agents", "evals")
SOURCES = sorted(path for root in ROOTS for path in (ROOT / root).rglob("*.py"))


@pytest.mark.parametrize("root", ROOTS)
def test_a_source_root_is_no_package_itself(root: str) -> None:
    assert not (ROOT / root / "__init__.py").exists()
    assert len([p for p in (ROOT / root).iterdir() if (p / "__init__.py").exists()]) == 1


def _imports_in_functions(tree: ast.AST) -> list[str]:
    found: list[str] = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom):
                    found.append(node.module or "")
                elif isinstance(node, ast.Import):
                    found += [alias.name for alias in node.names]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_own_modules_are_imported_at_the_top_and_by_their_full_name(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert [name for name in _imports_in_functions(tree) if name.startswith("midwatch_")] == []
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_evaluated_unpickled_or_run_by_a_shell(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
    assert not names & {"eval", "exec"}
    assert not [
        node for node in calls for word in node.keywords if word.arg == "shell" and word.value != ast.Constant(False)
    ]
    assert "import pickle" not in path.read_text("utf-8")


def test_only_evals_can_read_the_truth_of_a_scenario() -> None:
    others = [path for path in SOURCES if ROOT / "evals" not in path.parents]
    assert [path for path in others if "midwatch_evals" in path.read_text("utf-8")] == []


def test_importing_every_package_writes_nothing_and_starts_nothing() -> None:
    names = ", ".join(f"{p.name}" for root in ROOTS for p in (ROOT / root).iterdir() if (p / "__init__.py").exists())
    code = f"import threading, {names}; assert threading.active_count() == 1"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_make_demo_starts_the_demo_with_what_it_is_given() -> None:
    words = ["make", "--dry-run", "--directory", str(ROOT), "demo", "ARGS=--yes --json out.json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert any(line.endswith("/bin/midwatch demo --yes --json out.json") for line in done.stdout.splitlines())
