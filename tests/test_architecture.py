"""The direction of the imports; the contracts are in pyproject.toml."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def imports_of(path: Path) -> set[str]:
    """Names of the packages that a file imports, also inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    return names


def test_the_import_contracts_hold():
    command = [sys.executable, "-m", "importlinter.cli", "lint", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_runs_an_exported_network_needs_nothing_of_this_project():
    names = imports_of(ROOT / "fdp_jax" / "exported_model.py")
    assert names - set(sys.stdlib_module_names) == {"jax", "numpy"}


def test_pytorch_is_imported_by_the_benchmark_alone():
    users = {
        path.parent.name for path in ROOT.glob("fdp_jax/**/*.py") if "torch" in imports_of(path)
    }
    assert users == {"benchmark"}


def test_nothing_is_unpickled():
    for package in ("fdp_jax", "datasets", "launch"):
        for path in ROOT.glob(f"{package}/**/*.py"):
            assert not imports_of(path) & {"pickle", "dill", "joblib", "shelve"}, path
            text = path.read_text(encoding="utf-8")
            assert "allow_pickle=True" not in text and "torch.load" not in text, path
