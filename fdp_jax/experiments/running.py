"""Trains the runs of an experiment that are not there yet."""

import sys
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import UserError
from datasets.reading import build_command, is_built, needs_manual_dir
from fdp_jax.experiments.catalogue import Experiment, RunSpec


@dataclass(frozen=True)
class Result:
    """What a run reached.

    Attributes:
      run: which.
      workdir: of it.
      report: content of its `report.json`; None where it was not trained.
      reason: why not, in a sentence; "" where it was.
    """

    run: RunSpec
    workdir: Path
    report: dict | None
    reason: str = ""


@dataclass(frozen=True)
class Place:
    """Where an experiment's runs go, and what they have in common.

    Attributes:
      workdir: holds one folder a run.
      data_dir: of the built corpora.
      manual_dir: of the unpacked ones: the only corpus' folder, or a parent of one for each.
      preset: of the runs, for the folders' names.
      options: of `fdp_jax.train`, as typed, given to every run.
      is_parent: whether `manual_dir` is such a parent.
    """

    workdir: Path
    data_dir: Path
    manual_dir: Path | None
    preset: str
    options: tuple[str, ...]
    is_parent: bool

    def of(self, run: RunSpec) -> Path:
        """The work directory of a run."""
        return self.workdir / run.folder(self.preset)

    def missing_corpora(self, run: RunSpec) -> list[str]:
        """Corpora of a run that are neither built nor there to be built."""
        return [
            name
            for name in run.corpora
            if not is_built(name, self.data_dir)
            and needs_manual_dir(name)
            and self._folder(name) is None
        ]

    def _folder(self, name: str) -> Path | None:
        """Where a corpus was unpacked."""
        if self.manual_dir is None or not self.manual_dir.is_dir():
            return None
        if not self.is_parent:
            return self.manual_dir
        inside = sorted(self.manual_dir.iterdir())
        return next((p for p in inside if p.name.lower() == name and p.is_dir()), None)

    def arguments(self, run: RunSpec) -> list[str]:
        """The whole command line of `fdp_jax.train` for a run."""
        arguments = [*self.options, *run.arguments(), f"--data_dir={self.data_dir}"]
        arguments.append(f"--workdir={self.of(run)}")
        folder = self.manual_dir if len(run.corpora) > 1 else self._folder(run.corpora[0])
        if folder is not None:
            arguments.append(f"--manual_dir={folder}")
        return arguments


def run_all(experiment: Experiment, place: Place) -> list[Result]:
    """Trains what is missing, in turn; finished folds are kept, so a stopped experiment goes on.

    A run whose corpus is not there is passed over with its reason.

    Raises:
      UserError: as `fdp_jax.train` does.
    """
    results = []
    for number, run in enumerate(experiment.runs, start=1):
        if missing := place.missing_corpora(run):
            commands = "; ".join(build_command(name, place.data_dir) for name in missing)
            results.append(
                Result(run, place.of(run), None, f"{', '.join(missing)} is not built: {commands}")
            )
            continue
        print(
            f"{experiment.name}, run {number} of {len(experiment.runs)}: {place.of(run)}",
            file=sys.stderr,
        )
        results.append(Result(run, place.of(run), _train(place.arguments(run))))
    return results


def _train(arguments: list[str]) -> dict:
    import contextlib

    from fdp_jax import train

    # What the trainer prints of each run would drown the table.
    with contextlib.redirect_stdout(sys.stderr):
        return train.run(arguments)


def none_was_possible(results: list[Result]) -> UserError:
    """What to tell where no run's corpus is there."""
    return UserError(
        f"nothing can be trained: {results[0].reason} (or name the unpacked corpora with "
        "--manual_dir, or another corpus with --dataset)."
    )
