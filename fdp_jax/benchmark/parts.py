"""The parts of the benchmark and the report that they form.

This process loads no jax and so holds no device: every part runs in child processes, and the report
is written after every part.
"""

import contextlib
import dataclasses
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from datasets.errors import UserError
from fdp_jax.benchmark.measure import describe_machine, run_child, spread
from fdp_jax.config import Ints, Precision, TrainConfig, as_dict, fine_tuned
from fdp_jax.environment import installed_versions
from fdp_jax.files import write_atomically

Part = Literal[
    "step",
    "fold",
    "loso",
    "loso_bundled",
    "folds",
    "inference",
    "loop",
    "start_up",
    "scaling",
    "score",
]
JAX, TORCH = "fdp_jax.benchmark.jax_steps", "fdp_jax.benchmark.torch_step"
SCORE = "fdp_jax.benchmark.score_curve"
LAYOUTS = ("contiguous", "channels_last")
FOLD_STEPS = 20  # of the training whose peak memory is measured
USUAL_MINUTES = 8.0  # for which the time limits of the parts are made
TARGET_UF1 = 0.7  # of part `score`
LEAST_SECONDS = 30.0  # with less time left a part is skipped


@dataclass(frozen=True)
class Options:
    """Options of `python -m fdp_jax.benchmark`."""

    preset: str = "paper"
    """Preset that is timed: paper or small."""
    batch_size: int | None = None
    """Clips per step; by default as in the preset."""
    precisions: tuple[Precision, ...] = ("float32",)
    """Precisions of the step, each compared with PyTorch at the same precision; all other parts use
    the first."""
    parts: tuple[Part, ...] = ("step", "loop", "inference", "folds", "start_up")
    """What to measure, in this order: step (beside PyTorch), fold (peak memory of a single fold),
    loso (a whole LOSO of SAMM's size), loso_bundled (the same from the bundled weights), folds (K
    folds as one program), inference, loop (the training loop beside its bare steps), start_up,
    scaling (the step with other batches, frames and corpora), score (the time until UF1 on held-out
    people of the embedded corpus reaches 0.7: from scratch, from the bundled weights, and in
    PyTorch; minutes long)."""
    repeats: int = 5
    """Measurements of each contender."""
    compile_limit: float = 600.0
    """Seconds that torch.compile may take; 0 leaves it out."""
    folds: Ints = (1, 2, 4)
    """Each number of folds to train as one program, in part folds."""
    steps: int | None = None
    """Steps of each fold in part loso, a third of them in loso_bundled; by default the preset's."""
    minutes: float = 0.0
    """Time limit; parts that do not fit are skipped. 0: no limit."""
    json: bool = False
    """Print JSON; progress goes to the standard error."""
    out: Path | None = None
    """File to write the same JSON to after every part."""


# All that a GPU is for, within minutes.
GPU_OPTIONS = Options(
    precisions=("float32", "tensorfloat32", "bfloat16"),
    parts=("step", "fold", "loso_bundled", "loso", "folds", "inference", "loop"),
    folds=(1, 4, 16),
    minutes=USUAL_MINUTES,
)


def measure(options: Options, config: TrainConfig, command: str) -> dict[str, Any]:
    """Measures all parts and returns the report, which is also written to `options.out`.

    Args:
      options: of the command.
      config: options of the training.
      command: as the user typed it.

    Raises:
      UserError: jax does not run here, or the file cannot be written.
    """
    start = time.monotonic()
    with _child_environment():
        device = _child("device", config, None)
        if "missing" in device:
            raise UserError(f"jax does not run here: {device['missing']}")
        about = {
            **{"preset": options.preset, "batch": config.batch_size},
            **{"precision": config.precision, **device},
            **{"versions": _versions(), "machine": describe_machine()},
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "command": command,
        }
        results: dict[str, Any] = {}
        for name in options.parts:
            run, usual_seconds = PARTS[name]
            part_start, limit = time.monotonic(), None
            if options.minutes:
                left = 60 * options.minutes - (part_start - start)
                limit = min(left, usual_seconds * max(1.0, options.minutes / USUAL_MINUTES))
            if limit is not None and limit < LEAST_SECONDS:
                why = f"{max(limit, 0):.0f} s of {options.minutes:g} minutes were left"
                results[name] = {"missing": f"skipped: {why}"}
            else:
                print(f"{name} ...", file=sys.stderr, flush=True)
                results[name] = run(options, config, limit)
                results[name]["part_seconds"] = time.monotonic() - part_start
            report = {
                **_headline(results, config.precision),
                **about,
                "seconds": time.monotonic() - start,
                **results,
            }
            if options.out:
                write_atomically(options.out, as_json(report) + "\n")
                if "target_uf1" in results[name]:
                    _draw_score(options.out.with_suffix(".png"), results[name])
    return report


def _draw_score(path: Path, curves: Mapping[str, Any]) -> None:
    from fdp_jax.benchmark.score_figure import draw  # loads matplotlib
    from fdp_jax.reporting.figures import render

    write_atomically(path, render(draw, curves))


def as_json(report: Mapping[str, Any]) -> str:
    """Returns the report as indented text."""
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)


@contextlib.contextmanager
def _child_environment() -> Iterator[None]:
    """Sets variables for the child processes where the user has not set them."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # or jax takes most of a GPU's memory
            # Every program is compiled once.
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
            "TORCHINDUCTOR_CACHE_DIR": f"{folder}/torch",
        }
        added = {name: value for name, value in variables.items() if name not in os.environ}
        os.environ.update(added)
        try:
            yield
        finally:
            for name in added:
                del os.environ[name]


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), **installed_versions()}
    with contextlib.suppress(metadata.PackageNotFoundError):
        versions["torch"] = metadata.version("torch")
    return versions


def _headline(results: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """Returns the keys that every report has; None where not measured."""
    contenders = results.get("step", {}).get(precision, {})
    ours, torch = contenders.get("ours", {}), fastest(contenders, "eager") or {}
    return {
        "step_seconds": ours.get("seconds", {}).get("median"),
        "step_peak_bytes": ours.get("peak_bytes"),
        "torch_step_seconds": torch.get("seconds", {}).get("median"),
        "torch_peak_bytes": torch.get("peak_bytes"),
        "step_ratio": contenders.get("eager_ratio"),
        "loop_ratio": results.get("loop", {}).get("ratio"),
        "help_seconds": results.get("start_up", {}).get("help_seconds", {}).get("median"),
    }


def _child(
    measurement: str, config: TrainConfig, limit: float | None, **arguments: Any
) -> dict[str, Any]:
    """Returns a measurement of `jax_steps`; `missing` gives the reason if it is incomplete."""
    request = {"measurement": measurement, "config": as_dict(config), **arguments}
    found, reason = run_child(JAX, request, limit)
    return {**found, "missing": reason} if reason else found


def _step(options: Options, config: TrainConfig, limit: float | None) -> dict[str, Any]:
    """Our step in turns with PyTorch's eager and compiled one.

    Each has a process of its own for each repeat, so that they take turns and peak memory is that
    of one contender. Within a time limit each process starts once and repeats by itself, and
    PyTorch compiles only the layout that is faster without compilation.

    Returns:
      precision -> contender -> seconds, first_step_seconds, peak_bytes or `missing`; and
      `eager_ratio`, `compiled_ratio`, our time over that of PyTorch's faster layout.
    """
    rounds, turns = (1, options.repeats) if options.minutes else (options.repeats, 1)
    arguments = {"config": as_dict(config), "precisions": options.precisions, "turns": turns}
    requests = {"ours": {"measurement": "step", **arguments}}
    for mode in ("eager", "compiled") if options.compile_limit else ("eager",):
        for layout in LAYOUTS:
            of_torch = {"layout": layout, "compiled": mode == "compiled"}
            requests[f"{mode}_{layout}"] = {**arguments, **of_torch}
    results: dict[str, Any] = {precision: {} for precision in options.precisions}
    end = None if limit is None else time.monotonic() + limit
    first = results[options.precisions[0]]
    for _ in range(rounds):
        for name, request in list(requests.items()):
            module = JAX if name == "ours" else TORCH
            is_compiled = request.get("compiled", False)
            eager = first.get(f"eager_{request.get('layout')}")
            if end is not None and is_compiled and fastest(first, "eager") is not eager:
                continue
            # A process that hangs leaves time for the others.
            limits = [] if end is None else [max(1.0, 0.7 * (end - time.monotonic()))]
            if is_compiled:
                limits.append(options.compile_limit)
            if module == TORCH and not importlib.util.find_spec("torch"):
                found, reason = {}, "PyTorch is not installed"
            else:
                found, reason = run_child(module, request, min(limits, default=None))
            for precision, contenders in results.items():
                _merge(contenders, name, found.get(precision, {"missing": reason}))
            if reason:
                del requests[name]
    for contenders in results.values():
        for mode in ("eager", "compiled"):
            torch = fastest(contenders, mode)
            if torch and "seconds" in contenders["ours"]:
                ours = contenders["ours"]["seconds"]["median"]
                contenders[f"{mode}_ratio"] = ours / torch["seconds"]["median"]
    return results


def _merge(contenders: dict[str, Any], name: str, result: dict[str, Any]) -> None:
    """Adds the result of one round; the first round's first step, which compiles, stays."""
    before = contenders.setdefault(name, result)
    if before is not result and "missing" not in result and "missing" not in before:
        before["seconds"] = spread(before["seconds"]["turns"] + result["seconds"]["turns"])
        before["peak_bytes"] = max(before["peak_bytes"], result["peak_bytes"])


def fastest(contenders: Mapping[str, Any], mode: str) -> dict[str, Any] | None:
    """Returns PyTorch's faster layout, eager or compiled; None where none was measured."""
    there = [contenders.get(f"{mode}_{layout}", {}) for layout in LAYOUTS]
    measured = [contender for contender in there if "seconds" in contender]
    return min(measured, key=lambda contender: contender["seconds"]["median"], default=None)


def _loso_bundled(options: Options, config: TrainConfig, limit: float | None) -> dict[str, Any]:
    from fdp_jax.weights import BUNDLED_NAME  # loads numpy

    if options.steps:
        config = dataclasses.replace(config, steps=options.steps)
    config, start = fine_tuned(config), {"preset": options.preset, "init": BUNDLED_NAME}
    return _child("train", config, limit, folds=0, steps=config.steps, **start)


def _start_up(options: Options, config: TrainConfig, limit: float | None) -> dict[str, Any]:
    """Seconds of --help, and from the start of a training to its first step.

    The training is the real command on the synthetic corpus.
    """
    train = ["-m", "fdp_jax.train"]
    with tempfile.TemporaryDirectory() as folder:
        build = ["-m", "datasets.build", "synthetic", f"--data_dir={folder}/data"]
        one_step = [
            *(*train, "--dataset=synthetic", f"--preset={options.preset}", "--folds=s01"),
            *(f"--batch_size={config.batch_size}", "--steps=1", "--optimizer.warmup_steps=0"),
            *(f"--data_dir={folder}/data", f"--compilation_cache={folder}/compiled"),
        ]
        try:
            help_seconds = [_seconds([*train, "--help"], limit) for _ in range(options.repeats)]
            _seconds([*build, "--people=2", "--clips_per_category=1"], limit)
            empty, *warm = [_seconds(one_step, limit, Path(folder, str(run))) for run in range(3)]
        except subprocess.TimeoutExpired:
            return {"missing": f"took more than {limit:.0f} s"}
        except subprocess.CalledProcessError as error:
            words = error.stderr.strip().splitlines() or [f"exit status {error.returncode}"]
            return {"missing": f"a command of this project fails here: {words[-1][:300]}"}
    return {
        "help_seconds": spread(help_seconds),
        "first_step_empty_cache_seconds": spread([empty]),
        "first_step_warm_cache_seconds": spread(warm),
    }


def _score(options: Options, config: TrainConfig, limit: float | None) -> dict[str, Any]:
    """Curves of UF1 over training time, and when each reaches `TARGET_UF1`."""
    results: dict[str, Any] = {"target_uf1": TARGET_UF1}
    with tempfile.TemporaryDirectory() as data:
        try:
            _seconds(["-m", "datasets.build", "synthetic", f"--data_dir={data}"], limit)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
            return {"missing": f"the corpus cannot be built: {error}"[:300]}
        for name in ("bundled", "scratch", "pytorch"):
            print(f"score, {name} ...", file=sys.stderr, flush=True)
            of_training = {"preset": options.preset, "config": as_dict(config)}
            curve, reason = run_child(SCORE, {"name": name, "data_dir": data, **of_training}, limit)
            if reason:
                curve = {"missing": reason}
            elif there := [place for place, uf1 in enumerate(curve["uf1"]) if uf1 >= TARGET_UF1]:
                for of_target in ("steps", "seconds"):
                    curve[f"target_{of_target}"] = curve[of_target][there[0]]
            results[name] = curve
    return results


def _seconds(arguments: list[str], limit: float | None, workdir: Path | None = None) -> float:
    """Returns the seconds of a command; of a training, those until its only step is logged."""
    start = time.time()
    command = [sys.executable, *arguments, *([f"--workdir={workdir}"] if workdir else [])]
    subprocess.run(command, text=True, capture_output=True, check=True, timeout=limit)
    if workdir is None:
        return time.time() - start
    (log,) = workdir.glob("seed_0/folds/*/log.jsonl")
    return log.stat().st_mtime - start


# Name -> (function, seconds that it may take of USUAL_MINUTES).
PARTS = {
    "step": (_step, 240.0),
    "fold": (lambda o, c, limit: _child("train", c, limit, folds=1, steps=FOLD_STEPS), 60.0),
    "loso": (
        lambda o, c, limit: _child("train", c, limit, folds=0, steps=o.steps or c.steps),
        150.0,
    ),
    "loso_bundled": (_loso_bundled, 120.0),
    "folds": (
        lambda o, c, limit: _child(
            "folds", c, limit, counts=sorted({1, *o.folds}), turns=o.repeats
        ),
        150.0,
    ),
    "inference": (lambda o, c, limit: _child("inference", c, limit, turns=o.repeats), 60.0),
    "loop": (lambda o, c, limit: _child("loop", c, limit, repeats=min(3, o.repeats)), 90.0),
    "start_up": (_start_up, 90.0),
    "scaling": (lambda o, c, limit: _child("scaling", c, limit, turns=o.repeats), 150.0),
    "score": (_score, 480.0),
}
