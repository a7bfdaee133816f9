"""The prediction table: one row per test clip, the only thing that scores are computed from.

Columns: dataset, protocol, select, seed, fold, subject, clip, label,
prediction, one `p_<class>` per class, dic_mse. `label` and `prediction` are class names. Where the
recognition module is ablated `prediction` and every `p_<class>` are empty, in all rows; where the
dynamic-image module is, `dic_mse`. Floats are written with `repr`, the shortest text that reads
back to the same bits.
"""

import csv
import io
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from datasets.errors import UserError
from fdp_jax.files import write_atomically

TEXT_COLUMNS = ("dataset", "protocol", "select", "fold", "subject", "clip", "label", "prediction")
_BEFORE_CLASSES = (
    "dataset", "protocol", "select", "seed", "fold", "subject", "clip", "label", "prediction",
)  # fmt: skip
_AFTER_CLASSES = "dic_mse"
_PREFIX = "p_"


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """A table of n clips and m classes; columns of text are tuples of length n."""

    classes: tuple[str, ...]
    dataset: tuple[str, ...]
    protocol: tuple[str, ...]
    select: tuple[str, ...]
    seed: np.ndarray  # int64 [n]
    fold: tuple[str, ...]
    subject: tuple[str, ...]
    clip: tuple[str, ...]
    label: tuple[str, ...]
    prediction: tuple[str, ...]  # empty texts where there is none
    probabilities: np.ndarray  # float64 [n, m], NaN where there are none
    dic_mse: np.ndarray  # float64 [n], NaN where there is none

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
        """The table of one fold of n clips; the prediction is the most probable class.

        Args:
          datasets, subjects, clips, labels: text [n]; labels are class names.
          probabilities: float [n, m], or None where the recognition module is ablated.
          dic_mse: float [n], or None where the dynamic-image module is ablated.

        Raises:
          ValueError: shapes that do not fit, or a label outside `classes`.
        """
        n, m = len(clips), len(classes)
        recognises = probabilities is not None
        probabilities = (
            np.asarray(probabilities, dtype=np.float64) if recognises else np.full((n, m), np.nan)
        )
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
            prediction=tuple(classes[index] for index in probabilities.argmax(axis=1))
            if recognises
            else ("",) * n,
            probabilities=probabilities,
            dic_mse=dic_mse,
        )

    @property
    def recognises(self) -> bool:
        """Whether there are predictions: not where the recognition module is ablated."""
        return "" not in self.prediction

    @property
    def right(self) -> np.ndarray:
        """bool [n]: whether the prediction is the label."""
        return np.array([a == b for a, b in zip(self.label, self.prediction, strict=True)], bool)

    @property
    def people(self) -> list[tuple[str, str]]:
        """Everyone as (corpus, subject), sorted: two corpora may use one name."""
        return sorted(set(zip(self.dataset, self.subject, strict=True)))

    def take(self, rows: Sequence[int] | np.ndarray) -> "PredictionTable":
        """The table of the rows with these indices, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        columns = {name: tuple(getattr(self, name)[row] for row in rows) for name in TEXT_COLUMNS}
        arrays = {name: getattr(self, name)[rows] for name in ("seed", "probabilities", "dic_mse")}
        return PredictionTable(classes=self.classes, **columns, **arrays)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the table as CSV, atomically. Raises UserError where that is not possible."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_header(self.classes))
        for row in range(len(self)):
            names = [getattr(self, name)[row] for name in _BEFORE_CLASSES]
            names[_BEFORE_CLASSES.index("seed")] = str(int(self.seed[row]))
            numbers = [*self.probabilities[row], self.dic_mse[row]]
            writer.writerow([*names, *("" if math.isnan(x) else repr(float(x)) for x in numbers)])
        write_atomically(path, text.getvalue())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "PredictionTable":
        """Reads a table that `write` wrote.

        Raises:
          UserError: the file is missing, cut short or edited; the sentence names it.
        """
        path = Path(path)
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{path} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'}):"
                f" {_WAY_OUT}."
            ) from error
        try:
            return _parse(text)
        except (ValueError, csv.Error) as error:
            raise UserError(
                f"{path} is not a prediction table as written ({error}): {_WAY_OUT}."
            ) from error


_WAY_OUT = "remove the folder of its fold and train that fold again"


def pool(tables: Iterable[PredictionTable]) -> PredictionTable:
    """One table of all rows, in the order given.

    Raises:
      UserError: no table, tables of differing classes, some with and some without predictions, or
        the same clip twice. A clip is the same when corpus, subject and name agree (CASME II uses
        one name for clips of several subjects), within one seed and selection rule.
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
    if len({table.recognises for table in tables if len(table)}) > 1:
        raise UserError(
            "Some folds have predictions and some have none: use one work directory per --ablate."
        )
    first_fold: dict[tuple, str] = {}
    for table in tables:
        for row, fold in enumerate(table.fold):
            key = (
                table.dataset[row], table.select[row], int(table.seed[row]),
                table.subject[row], table.clip[row],
            )  # fmt: skip
            if key in first_fold:
                raise UserError(
                    f"Clip {table.clip[row]} of subject {table.subject[row]} was predicted twice"
                    f" (folds {first_fold[key]} and {fold}): remove one of the two fold folders."
                )
            first_fold[key] = fold
    merged = {}
    for field in fields(PredictionTable)[1:]:
        parts = [getattr(table, field.name) for table in tables]
        if field.name in TEXT_COLUMNS:
            merged[field.name] = tuple(value for part in parts for value in part)
        else:
            merged[field.name] = np.concatenate(parts)
    return PredictionTable(classes=tables[0].classes, **merged)


def _header(classes: Sequence[str]) -> list[str]:
    return [*_BEFORE_CLASSES, *(_PREFIX + name for name in classes), _AFTER_CLASSES]


def _parse(text: str) -> PredictionTable:
    """CSV text -> table. Raises ValueError that says what is wrong and in which line."""
    # The writer ends every row with a line feed, so a file without one was cut short.
    if not text.endswith("\n"):
        raise ValueError("its last line is cut short" if text else "it is empty")
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    middle = header[len(_BEFORE_CLASSES) : -1]
    classes = tuple(name.removeprefix(_PREFIX) for name in middle)
    if header != _header(classes) or not classes or len(set(classes)) != len(classes):
        raise ValueError("its header is not the expected one")
    parsed = [_parse_row(row, classes, number) for number, row in enumerate(rows, start=2)]
    prediction = _BEFORE_CLASSES.index("prediction")
    if len({row[prediction] == "" for row in parsed}) > 1:
        raise ValueError("some rows have a prediction and some have none")
    start = len(_BEFORE_CLASSES)
    columns = {
        name: tuple(row[column] for row in parsed)
        for column, name in enumerate(_BEFORE_CLASSES)
        if name != "seed"
    }
    numbers = [row[start:] for row in parsed]
    table = np.array(numbers, dtype=np.float64).reshape(len(rows), len(classes) + 1)
    return PredictionTable(
        classes=classes,
        seed=np.array([row[_BEFORE_CLASSES.index("seed")] for row in parsed], dtype=np.int64),
        probabilities=table[:, :-1].copy(),
        dic_mse=table[:, -1].copy(),
        **columns,
    )


def _parse_row(row: list[str], classes: tuple[str, ...], number: int) -> list:
    """One row's cells with seed as int and the numbers as floats, checked."""
    start = len(_BEFORE_CLASSES)
    if len(row) != start + len(classes) + 1:
        raise ValueError(f"row {number} has {len(row)} cells")
    cells = dict(zip(_BEFORE_CLASSES, row, strict=False))
    recognises = any([cells["prediction"], *row[start:-1]])
    for column in ("label", "prediction") if recognises else ("label",):
        if cells[column] not in classes:
            raise ValueError(f"row {number} has the {column} {cells[column]!r}, which is no class")
    try:
        seed = int(cells["seed"])
        probabilities = [float(cell) if recognises else math.nan for cell in row[start:-1]]
        dic_mse = float(row[-1]) if row[-1] else math.nan
    except ValueError:
        raise ValueError(f"row {number} has a cell that is no number") from None
    if recognises and not all(math.isfinite(value) for value in probabilities):
        raise ValueError(f"row {number} has a probability that is not finite")
    # Ties are left to the writer; anything else means that one of the cells was changed.
    if recognises and probabilities[classes.index(cells["prediction"])] != max(probabilities):
        raise ValueError(f"row {number} predicts a class that is not its most probable one")
    cells["seed"] = seed
    return [*cells.values(), *probabilities, dic_mse]
