"""Reads a work directory into one `Run` per seed and selection rule.

    WORKDIR/config.json
    WORKDIR/seed_<n>/run.json
    WORKDIR/seed_<n>/folds/<fold>/{predictions.csv, outputs.npz, log.jsonl, done.json}

A fold counts only when all four files are there, whole, and fit `run.json`; otherwise it is listed
as missing with its reason. Array axes: n clips, t frames, h rows, w columns.
"""

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.errors import UserError
from fdp_jax import json_files
from fdp_jax.metrics.predictions import PredictionTable, pool

LOSSES = ("total", "cross_entropy", "dynamic_image", "rank")
TRAINING_PEOPLE = ("acc", "dic_mse", "best_constant_image", "rank_loss", "kendall_tau")
_RUN = {
    "dataset": str, "protocol": str, "select": str, "seed": int, "classes": [str],
    "folds": [{"name": str, "subjects": [str], "n_clips": int, "datasets?": [str]}],
    "looks?": dict, "split?": str, "steps?": int, "group_folds?": int, "parameters?": dict,
    "label_version?": str, "corrections?": [str], "warnings?": [str], "trained_on?": str,
    "versions?": dict, "rank_slope?": float, "command?": str,
}  # fmt: skip
_DONE = {
    "seconds?": float, "peak_memory_bytes?": int, "final_losses?": dict, "training_people?": dict
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the network made of n test clips; None where a module was ablated."""

    frames: np.ndarray  # uint8 [n, t, h, w], grey input frames
    target: np.ndarray  # float32 [n, h, w] in [0, 1], ground-truth dynamic image
    dynamic_image: np.ndarray | None  # float32 [n, h, w], construction
    rank_scores: np.ndarray | None  # float32 [n, t]

    def take(self, rows: np.ndarray) -> "Outputs":
        """The outputs of the clips with these indices."""
        arrays = (self.frames, self.target, self.dynamic_image, self.rank_scores)
        return Outputs(*(None if array is None else array[rows] for array in arrays))


@dataclass(frozen=True, eq=False)
class FinishedFold:
    """The files of one finished fold."""

    name: str
    table: PredictionTable
    outputs: Outputs
    log: tuple[dict, ...]  # one object a logged step, steps rising
    done: dict


@dataclass(frozen=True)
class MissingFold:
    """A fold that has no result, and why."""

    seed: int
    fold: str
    reason: str


@dataclass(frozen=True, eq=False)
class Run:
    """All that one seed reached under one selection rule."""

    seed: int
    select: str
    info: dict  # run.json
    folds: tuple[FinishedFold, ...]
    missing: tuple[MissingFold, ...]

    @property
    def looks(self) -> int | None:
        """The steps among which the rule chose in each fold; None where that is not told."""
        return _looks(self.info).get(self.select)

    @property
    def table(self) -> PredictionTable:
        """The pooled predictions; raises UserError without a finished fold or with doubles."""
        return pool(fold.table for fold in self.folds)

    @property
    def outputs(self) -> Outputs:
        """The outputs of all folds, rows as in `table`; an array some fold lacks is None."""
        merged = []
        for name in ("frames", "target", "dynamic_image", "rank_scores"):
            parts = [getattr(fold.outputs, name) for fold in self.folds]
            whole = all(part is not None for part in parts)
            merged.append(np.concatenate(parts) if whole else None)
        return Outputs(*merged)


def read_workdir(workdir: Path) -> tuple[dict, list[Run]]:
    """Reads `workdir`: its configuration, and its runs by seed.

    Raises:
      UserError: it is no work directory, its configuration or a `run.json` cannot be read, or no
        fold is finished.
    """
    if not workdir.is_dir():
        raise UserError(
            f"{workdir} is not a folder: name the work directory of a training"
            " (python -m fdp_jax.train --workdir=DIR makes one)."
        )
    seeds = {}
    for folder in workdir.glob("seed_*"):
        if folder.is_dir() and re.fullmatch(r"seed_-?\d+", folder.name):
            seeds[int(folder.name.removeprefix("seed_"))] = folder
    if not (workdir / "config.json").exists() or not seeds:
        raise UserError(
            f"{workdir} is not a work directory (no config.json or no seed folder in it): name the"
            " --workdir of a training."
        )
    config = _read_json(workdir / "config.json")
    runs = [run for seed in sorted(seeds) for run in _read_seed(workdir, seeds[seed], seed)]
    if not any(run.folds for run in runs):
        reason = next((f" ({m.fold}: {m.reason})" for run in runs for m in run.missing), "")
        raise UserError(
            f"{workdir} has no finished fold yet{reason}: run the same training command again to"
            " finish one."
        )
    first = runs[0].info
    for run in runs:
        if any(run.info[key] != first[key] for key in ("dataset", "protocol", "classes")):
            raise UserError(
                f"{workdir}/seed_{run.seed}/run.json has another dataset, protocol or classes than"
                f" seed_{runs[0].seed}: use one work directory per configuration."
            )
    return config, runs


def _read_json(path: Path) -> dict:
    try:
        content = json_files.read(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is missing or torn ({_short(error)}): run the same training command again, or"
            " take a fresh work directory."
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object: take a fresh work directory.")
    return content


def _read_seed(workdir: Path, folder: Path, seed: int) -> list[Run]:
    """The runs of one seed folder: one for each selection rule with predictions in it."""
    info = _read_json(folder / "run.json")
    wrong = json_files.wrong_in(info, _RUN) or _not_counts(info, ("looks", "parameters"))
    if wrong:
        raise UserError(
            f"{folder / 'run.json'} is not as it should be ({wrong}): take a fresh work directory."
        )
    found: dict[str, list[FinishedFold]] = {rule: [] for rule in _looks(info)}
    missing = []
    for expected in info["folds"]:
        try:
            parts = _read_fold(folder / "folds" / expected["name"], expected, info)
            _check_sizes(parts[0], next(iter(found.values()), []))
        except (_UnusableError, UserError) as error:
            reason = str(error).replace(f"{workdir}/", "").rstrip(".")
            missing.append(MissingFold(seed, expected["name"], reason))
            continue
        for part in parts:
            found.setdefault(part.table.select[0], []).append(part)
    runs = []
    for select, folds in found.items():
        names = {fold.name for fold in folds} | {fold.fold for fold in missing}
        unseen = [
            MissingFold(seed, fold["name"], f"no predictions with --select={select}")
            for fold in info["folds"]
            if fold["name"] not in names
        ]
        runs.append(Run(seed, select, info, tuple(folds), (*missing, *unseen)))
    return runs


def _looks(info: dict) -> dict[str, int | None]:
    """The selection rules of a run, the headline's first, with the looks of each."""
    return info.get("looks") or {info["select"]: None}


def _not_counts(info: dict, names: tuple[str, ...]) -> str | None:
    """The first of these dicts with a value that is no whole number, in words."""
    for name in names:
        if not all(type(number) is int for number in (info.get(name) or {}).values()):
            return f"{name} are no whole numbers"
    return None


def _check_sizes(fold: FinishedFold, others: list[FinishedFold]) -> None:
    """Raises _UnusableError where a fold's pictures are not those of the folds before it."""
    if others and (size := fold.outputs.frames.shape[1:]) != others[0].outputs.frames.shape[1:]:
        raise _UnusableError(
            f"outputs.npz has {size[0]} frames of {size[1]} x {size[2]} pixels, unlike fold"
            f" {others[0].name}: remove this folder and train the fold again"
        )


class _UnusableError(Exception):
    """Why a fold cannot be counted."""


def _read_fold(folder: Path, expected: dict, info: dict) -> list[FinishedFold]:
    """One fold, split by selection rule; raises _UnusableError or UserError with the reason."""
    if not folder.is_dir():
        raise _UnusableError("not started")
    if not (folder / "done.json").exists():
        raise _UnusableError("not finished: it has no done.json")
    done = _torn_is_unusable(folder / "done.json", _read_done)
    log = _torn_is_unusable(folder / "log.jsonl", _read_log)
    outputs = _torn_is_unusable(folder / "outputs.npz", _read_outputs)
    table = PredictionTable.read(folder / "predictions.csv")
    if not len(table) == len(outputs.target):
        raise _UnusableError(
            f"predictions.csv has {len(table)} rows but outputs.npz {len(outputs.target)} clips:"
            " remove this folder and train the fold again"
        )
    rules = list(dict.fromkeys(table.select)) or [info["select"]]
    parts = []
    for rule in rules:
        rows = np.array([row for row in range(len(table)) if table.select[row] == rule], int)
        part = table.take(rows)
        _check_fits(part, expected, info)
        parts.append(FinishedFold(expected["name"], part, outputs.take(rows), log, done))
    return parts


def _check_fits(table: PredictionTable, expected: dict, info: dict) -> None:
    """Refuses predictions that are not those of this fold of this run."""
    wrong = None
    if table.classes != tuple(info["classes"]):
        wrong = "other classes than run.json"
    elif len(table) != expected["n_clips"]:
        wrong = f"{len(table)} clips where run.json expects {expected['n_clips']}"
    elif set(table.people) != _people_expected(expected, info):
        wrong = "other subjects than run.json"
    elif set(table.fold) != {expected["name"]} or set(table.seed) != {info["seed"]}:
        wrong = "rows of another fold or seed"
    if wrong:
        raise _UnusableError(
            f"predictions.csv has {wrong}: remove this folder and train the fold again"
        )


def _people_expected(expected: dict, info: dict) -> set[tuple[str, str]]:
    """(corpus, subject) of everyone a fold leaves out; the corpora may be left to the run's."""
    subjects = [str(subject) for subject in expected["subjects"]]
    datasets = expected.get("datasets") or [info["dataset"]] * len(subjects)
    return set(zip(datasets, subjects, strict=False))


def _torn_is_unusable(path: Path, read):
    """`read(path)`, with every way in which a torn file can fail told as the fold's reason."""
    try:
        return read(path)
    except (OSError, ValueError, KeyError, TypeError, EOFError, IndexError,
            zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        raise _UnusableError(
            f"{path.name} is missing or torn ({_short(error)}): remove this folder and train the"
            " fold again"
        ) from error


def _short(error: Exception) -> str:
    """The cause in a few words, without the path that strerror-less texts repeat."""
    words = getattr(error, "strerror", None) or str(error).split("\n")[0]
    return words[:80] or type(error).__name__


def _read_done(path: Path) -> dict:
    done = json_files.read(path)
    if wrong := json_files.wrong_in(done, _DONE):
        raise ValueError(wrong)
    return done


def _read_log(path: Path) -> tuple[dict, ...]:
    """The log by step; after a resume the later line of a step is the one that counts."""
    by_step = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            entry = json_files.parse(line)
            by_step[int(entry["step"])] = entry
    return tuple(by_step[step] for step in sorted(by_step))


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
            raise ValueError(f"{name} does not hold numbers alone")
    if outputs.frames.dtype != np.uint8:
        raise ValueError(f"frames are {outputs.frames.dtype}, not uint8")
    return outputs
