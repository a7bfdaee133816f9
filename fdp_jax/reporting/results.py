"""Reads a work directory into one `Run` per seed and selection rule.

    WORKDIR/config.json
    WORKDIR/seed_<n>/run.json
    WORKDIR/seed_<n>/folds/<fold>/{predictions.csv, outputs.npz, log.jsonl, done.json}

A fold counts only if all four files are complete and match `run.json`; otherwise it is listed as
missing, with the reason. Array axes: n clips, t frames, h rows, w columns.
"""

import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from datasets.errors import UserError
from fdp_jax import json_files
from fdp_jax.metrics.predictions import PredictionTable, pool, rows_by

LOSSES = ("total", "cross_entropy", "dynamic_image", "rank")
TRAIN_SET_METRICS = (
    "acc", "dic_mse", "best_constant_image", "structure_correlation", "rank_loss", "kendall_tau"
)  # fmt: skip
_RUN = {
    "dataset": str, "protocol": str, "split": str, "select": str, "evaluations": {"*": int},
    "seed": int, "classes": [str], "parameters": {"*": int}, "group_folds?": int, "steps": int,
    "folds": [{"name": str, "datasets": [str], "subjects": [str], "n_clips": int}],
    "label_version": str, "corrections": [str], "warnings": [str], "device": str,
    "versions": dict, "rank_slope": float, "command": str, "init?": str,
}  # fmt: skip
_DONE = {
    "seconds": float,
    "peak_memory_bytes?": int,
    "final_losses?": {f"{name}?": float for name in LOSSES},
    "train_set_metrics?": {f"{name}?": float for name in TRAIN_SET_METRICS},
}
_ARRAYS = ("frames", "target", "dynamic_image", "rank_scores")

Content = TypeVar("Content")


@dataclass(frozen=True, eq=False)
class Outputs:
    """Network outputs for n test clips; None for an ablated module."""

    frames: np.ndarray  # uint8 [n, t, h, w], grey input frames
    target: np.ndarray  # float32 [n, h, w] in [0, 1], ground-truth dynamic image
    dynamic_image: np.ndarray | None  # float32 [n, h, w], construction
    rank_scores: np.ndarray | None  # float32 [n, t]

    def take(self, rows: list[int]) -> "Outputs":
        """Returns the outputs of the clips with these indices."""
        arrays = (getattr(self, name) for name in _ARRAYS)
        return Outputs(*(None if array is None else array[rows] for array in arrays))


@dataclass(frozen=True, eq=False)
class FinishedFold:
    """The files of one finished fold under one selection rule."""

    name: str
    table: PredictionTable
    outputs: Outputs
    log: tuple[dict, ...]  # one entry per logged step, in order
    done: dict


@dataclass(frozen=True)
class MissingFold:
    """A fold without a result, and the reason."""

    seed: int
    fold: str
    reason: str


@dataclass(frozen=True, eq=False)
class Run:
    """The results of one seed under one selection rule."""

    seed: int
    select: str
    info: dict  # run.json
    folds: tuple[FinishedFold, ...]
    missing: tuple[MissingFold, ...]

    @property
    def evaluations(self) -> int:
        """Evaluations per fold among which the rule selects."""
        return self.info["evaluations"][self.select]

    @property
    def corpora(self) -> list[str]:
        """The corpora of the run, in the protocol's order."""
        return self.info["dataset"].split("+")

    @cached_property
    def table(self) -> PredictionTable:
        """The pooled predictions; raises UserError without a finished fold or with duplicates."""
        return pool(fold.table for fold in self.folds)

    @cached_property
    def outputs(self) -> Outputs:
        """The outputs of all folds, rows as in `table`; an array that a fold lacks is None."""
        merged = []
        for name in _ARRAYS:
            parts = [getattr(fold.outputs, name) for fold in self.folds]
            merged.append(None if any(part is None for part in parts) else np.concatenate(parts))
        return Outputs(*merged)


def headline_runs(runs: list[Run]) -> list[Run]:
    """Returns the runs of the headline numbers: the first selection rule, the complete seeds.

    If no seed is complete, all seeds with a finished fold count.
    """
    finished = [run for run in runs if run.folds]
    of_rule = [run for run in finished if run.select == finished[0].select]
    return [run for run in of_rule if not run.missing] or of_rule


def read_workdir(workdir: Path) -> tuple[dict, list[Run]]:
    """Reads `workdir`: its configuration, and its runs by seed.

    Raises:
      UserError: it is not a work directory, its configuration or a `run.json` cannot be read, or no
        fold is finished.
    """
    if not workdir.is_dir():
        raise UserError(
            f"{workdir} is not a folder: name the work directory of a training"
            " (python -m fdp_jax.train --workdir=DIR makes one)."
        )
    seeds = {
        int(folder.name.removeprefix("seed_")): folder
        for folder in workdir.glob("seed_*")
        if folder.is_dir() and re.fullmatch(r"seed_-?\d+", folder.name)
    }
    if not (workdir / "config.json").exists() or not seeds:
        raise UserError(
            f"{workdir} is not a work directory (it lacks config.json or a seed folder): name the"
            " --workdir of a training."
        )
    config = _read_or_refuse(workdir / "config.json", {})
    runs = [run for seed in sorted(seeds) for run in _read_seed(workdir, seeds[seed], seed)]
    if not any(run.folds for run in runs):
        reason = next((f" ({m.fold}: {m.reason})" for run in runs for m in run.missing), "")
        raise UserError(
            f"{workdir} has no finished fold yet{reason}: remove the folders of damaged folds, and"
            " run the same training command again."
        )
    first = runs[0].info
    for run in runs:
        if any(run.info[key] != first[key] for key in ("dataset", "protocol", "classes")):
            raise UserError(
                f"{workdir}/seed_{run.seed}/run.json has another dataset, protocol or classes than"
                f" seed_{runs[0].seed}: use one work directory per configuration."
            )
    return config, runs


def _read_or_refuse(path: Path, kind: json_files.Kind) -> dict:
    try:
        return _intact(path, _read_json, kind)
    except UserError as error:
        raise UserError(
            f"{path.parent}/{error}: run the same training command again, or take a fresh work"
            " directory."
        ) from error


def _read_seed(workdir: Path, folder: Path, seed: int) -> list[Run]:
    """Returns the runs of a seed folder, one per selection rule, that of the headline first."""
    info = _read_or_refuse(folder / "run.json", _RUN)
    rules = list(info["evaluations"])
    finished: list[dict[str, FinishedFold]] = []
    missing = []
    size = None
    for expected in info["folds"]:
        try:
            by_rule = _read_fold(folder / "folds" / expected["name"], expected, info, size)
        except UserError as error:
            reason = str(error).replace(f"{workdir}/", "").rstrip(".")
            missing.append(MissingFold(seed, expected["name"], reason))
            continue
        finished.append(by_rule)
        size = by_rule[rules[0]].outputs.frames.shape[1:]
    return [
        Run(seed, rule, info, tuple(by_rule[rule] for by_rule in finished), tuple(missing))
        for rule in rules
    ]


def _read_fold(
    folder: Path, expected: dict, info: dict, size: tuple[int, ...] | None
) -> dict[str, FinishedFold]:
    """Reads a fold, split by selection rule.

    Args:
      folder: of the fold.
      expected: its entry in `run.json`.
      info: `run.json`.
      size: [t, h, w] of the folds before it; None for the first.

    Raises:
      UserError: why it does not count.
    """
    if not folder.is_dir():
        raise UserError("not started")
    if not (folder / "done.json").exists():
        raise UserError("not finished: it has no done.json")
    done = _intact(folder / "done.json", _read_json, _DONE)
    log = _intact(folder / "log.jsonl", _read_log)
    outputs = _intact(folder / "outputs.npz", _read_outputs)
    table = PredictionTable.read(folder / "predictions.csv")
    if len(table) != len(outputs.target):
        raise UserError(
            f"predictions.csv has {len(table)} rows but outputs.npz {len(outputs.target)} clips"
        )
    if size not in (None, outputs.frames.shape[1:]):
        raise UserError("outputs.npz has frames unlike those of the folds before it")
    if set(table.select) != set(info["evaluations"]):
        raise UserError("predictions.csv has other selection rules than run.json")
    by_rule = {}
    for rule, rows in rows_by(table.select).items():
        part = table.take(rows)
        if wrong := _wrong_in_rows(part, expected, info):
            raise UserError(f"predictions.csv has {wrong}")
        by_rule[rule] = FinishedFold(expected["name"], part, outputs.take(rows), log, done)
    return by_rule


def _wrong_in_rows(table: PredictionTable, expected: dict, info: dict) -> str | None:
    """Returns in what the predictions are not those of this fold of this run; None if they are."""
    if table.classes != tuple(info["classes"]):
        return "other classes than run.json"
    if len(table) != expected["n_clips"]:
        return f"{len(table)} clips where run.json expects {expected['n_clips']}"
    if set(table.subjects) != set(zip(expected["datasets"], expected["subjects"], strict=False)):
        return "other subjects than run.json"
    if set(table.fold) != {expected["name"]} or set(table.seed) != {info["seed"]}:
        return "rows of another fold or seed"
    return None


def _intact(path: Path, read: Callable[..., Content], *arguments) -> Content:
    """Returns `read(path, *arguments)`; raises UserError if the file is damaged."""
    try:
        return read(path, *arguments)
    except (OSError, ValueError, KeyError, TypeError, EOFError, IndexError,
            zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        # Without the path, which the texts of some errors repeat.
        cause = getattr(error, "strerror", None) or str(error).split("\n")[0][:80]
        cause = cause or type(error).__name__
        raise UserError(f"{path.name} is missing or damaged ({cause})") from error


def _read_json(path: Path, kind: json_files.Kind) -> dict:
    content = json_files.read(path)
    if wrong := json_files.wrong_in(content, kind):
        raise ValueError(wrong)
    return content


def _read_log(path: Path) -> tuple[dict, ...]:
    entries = map(json_files.parse, path.read_text(encoding="utf-8").splitlines())
    return tuple(sorted(entries, key=lambda entry: entry["step"]))


def _read_outputs(path: Path) -> Outputs:
    with np.load(path, allow_pickle=False) as stored:
        outputs = Outputs(
            frames=stored["frames"],
            target=stored["target"],
            dynamic_image=stored.get("dynamic_image"),
            rank_scores=stored.get("rank_scores"),
        )
    n, t, h, w = outputs.frames.shape
    expected = {"target": (n, h, w), "dynamic_image": (n, h, w), "rank_scores": (n, t)}
    for name, shape in expected.items():
        array = getattr(outputs, name)
        if array is not None and array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, not {shape}")
        if array is not None and not (array.dtype.kind == "f" and np.isfinite(array).all()):
            raise ValueError(f"{name} has values that are not finite numbers")
    if outputs.frames.dtype != np.uint8:
        raise ValueError(f"frames are {outputs.frames.dtype}, not uint8")
    return outputs
