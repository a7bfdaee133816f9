"""The one-way flow of the code, read from its import statements."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
JAX = {"jax", "jaxlib", "flax", "optax", "orbax"}
HEAVY = (
    "fdp_jax.train_step", "fdp_jax.models", "fdp_jax.input_pipeline", "fdp_jax.train_loop",
    "fdp_jax.run_folds",
)  # fmt: skip
TORCH_ALLOWED = {"fdp_jax/benchmark/torch_reference.py", "fdp_jax/benchmark/torch_step.py"}
# What of the benchmark runs in processes of its own; the rest only compares, and holds no device.
MEASURED = {"jax_steps", "torch_step"}


def imports_of(path: Path) -> set[str]:
    """Dotted names of everything a file imports, also inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files(*patterns: str) -> list[Path]:
    found = []
    for pattern in patterns:
        matches = list(ROOT.glob(pattern))
        assert matches, pattern  # a renamed file must not drop out
        found += matches
    return found


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path)}


@pytest.mark.parametrize("path", files("datasets/**/*.py"), ids=str)
def test_datasets_never_import_jax_or_fdp_jax(path):
    assert not tops(path) & (JAX | {"fdp_jax", "launch", "tensorflow", "torch"})


@pytest.mark.parametrize(
    "path",
    files(
        "fdp_jax/metrics/*.py", "fdp_jax/report.py", "fdp_jax/reporting/*.py",
        *(f"launch/{name}.py" for name in (
            "loso", "experiments", "scheduler", "progress_display",
        )),
        "fdp_jax/config.py", "fdp_jax/clips.py", "fdp_jax/files.py", "fdp_jax/json_files.py",
        "fdp_jax/templates.py", "fdp_jax/sampler.py",
        "fdp_jax/paper/numbers.py", "fdp_jax/predict.py", "fdp_jax/app.py",
        *(f"fdp_jax/{name}.py" for name in (
            "schedule", "splits", "grouping", "plan", "progress", "model_selection", "workdir",
        )),
        *(f"fdp_jax/inference/{name}.py" for name in (
            "page", "video", "windows",
        )),
    ),
    ids=str,
)  # fmt: skip
def test_what_must_run_without_jax_imports_none(path):
    assert not tops(path) & JAX
    heavy = {
        "fdp_jax.train_step",
        "fdp_jax.models",
        "fdp_jax.input_pipeline",
        "fdp_jax.train_loop",
    }
    assert not {name for name in imports_of(path) if name.startswith(tuple(heavy))}


@pytest.mark.parametrize("path", files("fdp_jax/benchmark/*.py"), ids=str)
def test_who_compares_measured_processes_loads_neither_jax_nor_them(path):
    if path.stem not in MEASURED:
        assert not tops(path) & JAX
        heavy = {
            "fdp_jax.train_step",
            "fdp_jax.models",
            "fdp_jax.input_pipeline",
            "fdp_jax.train_loop",
        }
        heavy |= {"fdp_jax.run_folds"} | {f"fdp_jax.benchmark.{name}" for name in MEASURED}
        assert not {name for name in imports_of(path) if name.startswith(tuple(heavy))}


@pytest.mark.parametrize("path", files("launch/*.py"), ids=str)
def test_only_a_worker_trains_and_only_the_scheduler_uses_ray(path):
    names = imports_of(path)
    assert not tops(path) & JAX
    assert path.stem == "worker" or "fdp_jax.train_loop" not in names
    assert path.stem in ("scheduler", "worker") or "ray" not in tops(path)


@pytest.mark.parametrize("path", files("fdp_jax/**/*.py"), ids=str)
def test_the_product_knows_no_launcher(path):
    assert not tops(path) & {"launch", "ray"}


@pytest.mark.parametrize("path", files("fdp_jax/**/*.py"), ids=str)
def test_torch_and_the_twin_stay_apart_from_the_product(path):
    if path.relative_to(ROOT).as_posix() not in TORCH_ALLOWED:
        assert not tops(path) & {"torch", "tensorflow"}
        assert "fdp_jax.benchmark.torch_reference" not in imports_of(path)


@pytest.mark.parametrize("path", files("fdp_jax/models/*.py", "fdp_jax/losses.py"), ids=str)
def test_the_network_knows_neither_data_nor_training(path):
    allowed = ("fdp_jax.config", "fdp_jax.models")
    own = {name for name in imports_of(path) if name.startswith(("fdp_jax.", "datasets"))}
    assert all(name.startswith(allowed) for name in own)


def test_what_runs_an_exported_network_needs_nothing_of_this_project():
    (path,) = files("fdp_jax/exported_model.py")
    assert tops(path) - set(sys.stdlib_module_names) == {"jax", "numpy"}


def test_nothing_is_unpickled():
    for path in files("fdp_jax/**/*.py", "datasets/**/*.py"):
        assert not tops(path) & {"pickle", "dill", "joblib", "shelve"}, path
        text = path.read_text(encoding="utf-8")
        assert "allow_pickle=True" not in text and "torch.load" not in text, path
