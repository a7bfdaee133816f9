"""The prediction table: one row per test clip, from which all scores are computed.

Columns: dataset, protocol, select, seed, fold, subject, clip, label, prediction, one `p_<class>`
per class, dic_mse. `label` and `prediction` are class names. Without the recognition module
(ablated), `prediction` and every `p_<class>` are empty in all rows; without the dynamic-image
module, `dic_mse` is. Floats are written with `repr`, so they read back to the same bits.
"""

import csv
import io
import itertools
import math
import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np

from datasets.errors import UserError
from fdp_jax.files import write_atomically

_KEYS = ("dataset", "protocol", "select", "seed", "fold", "subject", "clip", "label", "prediction")
_ARRAYS = ("seed", "probabilities", "dic_mse")

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """A table of n clips and m classes; text columns are tuples of length n."""

    classes: tuple[str, ...]
    dataset: tuple[str, ...]
    protocol: tuple[str, ...]
    select: tuple[str, ...]
    seed: np.ndarray  # int64 [n]
    fold: tuple[str, ...]
    subject: tuple[str, ...]
    clip: tuple[str, ...]
    label: tuple[str, ...]
    prediction: tuple[str, ...]  # empty strings without the recognition module
    probabilities: np.ndarray  # float64 [n, m], NaN without the recognition module
    dic_mse: np.ndarray  # float64 [n], NaN without the dynamic-image module

    def __len__(self) -> int:
        return len(self.clip)

    @classmethod
    def of_fold(
        cls,
        *,
        protocol: str,
        select: str,
        seed: int,
        fold: str,
        classes: Sequence[str],
        datasets: Sequence[str],
        subjects: Sequence[str],
        clips: Sequence[str],
        labels: Sequence[str],
        probabilities: np.ndarray | None,
        dic_mse: np.ndarray | None = None,
    ) -> "PredictionTable":
        """Returns the table of one fold with n clips; the prediction is the most probable class.

        Args:
          datasets, subjects, clips, labels: text [n]; labels are class names.
          probabilities: float [n, m], or None without the recognition module.
          dic_mse: float [n], or None without the dynamic-image module.

        Raises:
          ValueError: shapes that do not match, or a label outside `classes`.
        """
        n, m = len(clips), len(classes)
        prediction = ("",) * n
        if probabilities is not None:
            probabilities = np.asarray(probabilities, dtype=np.float64)
            prediction = tuple(classes[k] for k in probabilities.argmax(axis=1))
        else:
            probabilities = np.full((n, m), np.nan)
        dic_mse = np.full(n, np.nan) if dic_mse is None else np.asarray(dic_mse, dtype=np.float64)
        if probabilities.shape != (n, m) or dic_mse.shape != (n,):
            raise ValueError(
                f"{n} clips and {m} classes, but probabilities {probabilities.shape} and"
                f" dic_mse {dic_mse.shape}"
            )
        columns = (datasets, subjects, labels)
        if any(len(column) != n for column in columns) or not set(labels) <= set(classes):
            raise ValueError("columns differ in length, or a label is unknown")
        return cls(
            classes=tuple(classes),
            dataset=tuple(datasets),
            protocol=(protocol,) * n,
            select=(select,) * n,
            seed=np.full(n, seed, dtype=np.int64),
            fold=(fold,) * n,
            subject=tuple(subjects),
            clip=tuple(clips),
            label=tuple(labels),
            prediction=prediction,
            probabilities=probabilities,
            dic_mse=dic_mse,
        )

    @property
    def has_predictions(self) -> bool:
        """Whether the network had a recognition module."""
        return "" not in self.prediction

    @property
    def correct(self) -> np.ndarray:
        """bool [n]: whether the prediction is the label."""
        return np.array([a == b for a, b in zip(self.label, self.prediction, strict=True)], bool)

    @property
    def subjects(self) -> list[tuple[str, str]]:
        """Every (corpus, subject), sorted: two corpora may share a subject's name."""
        return sorted(set(zip(self.dataset, self.subject, strict=True)))

    def take(self, rows: Sequence[int] | np.ndarray) -> "PredictionTable":
        """Returns the table of the rows with these indices, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        columns = {}
        for name in _COLUMNS:
            column = getattr(self, name)
            columns[name] = column[rows] if name in _ARRAYS else tuple(column[k] for k in rows)
        return PredictionTable(classes=self.classes, **columns)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the table as CSV, atomically. Raises UserError if the file cannot be written."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_header(self.classes))
        keys = zip(*(getattr(self, name) for name in _KEYS), strict=True)
        numbers = np.column_stack([self.probabilities, self.dic_mse]).tolist()
        for names, values in zip(keys, numbers, strict=True):
            writer.writerow([*names, *("" if math.isnan(x) else repr(x) for x in values)])
        write_atomically(path, text.getvalue())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "PredictionTable":
        """Reads a table written by `write`.

        Raises:
          UserError: the file is missing, truncated or edited; the message names it.
        """
        path = Path(path)
        way_out = "remove the folder of its fold and train that fold again"
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise UserError(f"{path} cannot be read ({reason}): {way_out}.") from error
        try:
            return _parse(text)
        except (ValueError, csv.Error) as error:
            raise UserError(
                f"{path} is not a valid prediction table ({error}): {way_out}."
            ) from error


_COLUMNS = [field.name for field in fields(PredictionTable) if field.name != "classes"]


def pool(tables: Iterable[PredictionTable]) -> PredictionTable:
    """Returns one table of all rows, in the order given.

    Raises:
      UserError: no table, tables with different classes, some with and some without predictions,
        or a clip that occurs twice within one seed and selection rule. Clips are identified by
        corpus, subject and name (CASME II uses one name for clips of several subjects).
    """
    tables = list(tables)
    if not tables:
        raise UserError("There is no prediction table to pool: train at least one fold first.")
    for table in tables:
        if table.classes != tables[0].classes:
            raise UserError(
                f"Folds {tables[0].fold[:1]} and {table.fold[:1]} were trained on different"
                " classes: use one work directory per protocol."
            )
    if len({table.has_predictions for table in tables if len(table)}) > 1:
        raise UserError(
            "Some folds have predictions and some have none: use one work directory per --ablate."
        )
    columns = {}
    for name in _COLUMNS:
        parts = [getattr(table, name) for table in tables]
        is_array = name in _ARRAYS
        columns[name] = np.concatenate(parts) if is_array else tuple(itertools.chain(*parts))
    pooled = PredictionTable(classes=tables[0].classes, **columns)
    keys = (pooled.dataset, pooled.select, pooled.seed.tolist(), pooled.subject, pooled.clip)
    for (*_, subject, clip), rows in rows_by(zip(*keys, strict=True)).items():
        if len(rows) > 1:
            folds = " and ".join(pooled.fold[row] for row in rows[:2])
            raise UserError(
                f"Clip {clip} of subject {subject} was predicted twice (folds {folds}): remove one"
                " of the two fold folders."
            )
    return pooled


def rows_by(keys: Iterable[Key]) -> dict[Key, list[int]]:
    """Returns each key's rows, from one key per row, in the order of first occurrence."""
    rows: dict[Key, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return rows


def _header(classes: Sequence[str]) -> list[str]:
    return [*_KEYS, *(f"p_{name}" for name in classes), "dic_mse"]


def _parse(text: str) -> PredictionTable:
    """Returns the table in a CSV text. Raises ValueError with the row and what is wrong."""
    if not text.endswith("\n"):  # the writer ends every row with a line feed
        raise ValueError("its last line is cut short" if text else "it is empty")
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    classes = tuple(name.removeprefix("p_") for name in header[len(_KEYS) : -1])
    if header != _header(classes) or not classes or len(set(classes)) != len(classes):
        raise ValueError("its header is not the expected one")
    numbers = []
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells")
        try:
            numbers.append(_numbers(dict(zip(header, row, strict=True)), classes))
        except ValueError as error:
            raise ValueError(f"row {number} has {error}") from None
    columns = {name: tuple(row[k] for row in rows) for k, name in enumerate(_KEYS)}
    if len({name == "" for name in columns["prediction"]}) > 1:
        raise ValueError("some rows have a prediction and some have none")
    values = np.array(numbers, dtype=np.float64).reshape(len(rows), len(classes) + 1)
    return PredictionTable(
        classes=classes,
        probabilities=values[:, :-1].copy(),
        dic_mse=values[:, -1].copy(),
        **columns | {"seed": np.array([int(seed) for seed in columns["seed"]], dtype=np.int64)},
    )


def _numbers(row: dict[str, str], classes: Sequence[str]) -> list[float]:
    """Returns the probabilities and dic_mse of a row. Raises ValueError with the wrong cell."""
    cells = [row[f"p_{name}"] for name in classes]
    predicted = any([row["prediction"], *cells])
    for column in ("label", "prediction") if predicted else ("label",):
        if row[column] not in classes:
            raise ValueError(f"the {column} {row[column]!r}, which is not a class")
    try:
        int(row["seed"])
        probabilities = [float(cell) if predicted else math.nan for cell in cells]
        dic_mse = float(row["dic_mse"] or "nan")
    except ValueError:
        raise ValueError("a cell that is not a number") from None
    if predicted and not all(math.isfinite(value) for value in probabilities):
        raise ValueError("a probability that is not finite")
    # A tie may be resolved either way; otherwise the prediction is the most probable class.
    if predicted and probabilities[classes.index(row["prediction"])] != max(probabilities):
        raise ValueError("a prediction that is not its most probable class")
    return [*probabilities, dic_mse]
