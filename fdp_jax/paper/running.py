"""Trains the runs of an experiment that are not there yet."""

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import UserError
from datasets.protocols import Protocol
from datasets.reading import build_command, is_built, needs_manual_dir
from fdp_jax import train
from fdp_jax.corpora import folder_of
from fdp_jax.paper.catalogue import Experiment, RunSpec
from fdp_jax.train import Options


@dataclass(frozen=True)
class Result:
    """What a run reached.

    Attributes:
      run: which.
      workdir: of it.
      report: content of its `report.json`; None where it was not trained.
      reason: why not, in a sentence; "" where it was.
      failed: whether it was begun, and ended in an error.
    """

    run: RunSpec
    workdir: Path
    report: dict | None
    reason: str = ""
    failed: bool = False


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
        """Corpora of a run that are neither built nor there to be built.

        Raises:
          UserError: as `_folder` does.
        """
        folders = {name: self._folder(name) for name in run.corpora}
        return [
            name
            for name, folder in folders.items()
            if folder is None and needs_manual_dir(name) and not is_built(name, self.data_dir)
        ]

    def why_missing(self, run: RunSpec) -> str:
        """What a run lacks, and the way out; empty where it lacks nothing.

        Raises:
          UserError: as `_folder` does.
        """
        missing = self.missing_corpora(run)
        if not missing:
            return ""
        commands = "; ".join(build_command(name, self.data_dir) for name in missing)
        names = ", ".join(missing)
        nor = f", and {self.manual_dir} has no folder {names}" if self.manual_dir else ""
        return f"{names} is not built{nor}: {commands}"

    def _folder(self, name: str) -> Path | None:
        """Where a corpus was unpacked, if that is known.

        Raises:
          UserError: the folder does not exist, or has two of that name.
        """
        if self.manual_dir is None:
            return None
        if self.is_parent or not self.manual_dir.is_dir():
            return folder_of(name, self.manual_dir)
        return self.manual_dir

    def arguments(self, run: RunSpec) -> list[str]:
        """The whole command line of `fdp_jax.train` for a run.

        Without recognition there is nothing to choose a step by, so that --select is left to its
        default there.
        """
        options = [
            option
            for option in self.options
            if ("ablate", "no_mer") not in run.overrides or option_name(option) != "select"
        ]
        arguments = [*options, *run.arguments(), f"--data_dir={self.data_dir}"]
        arguments.append(f"--workdir={self.of(run)}")
        folder = self.manual_dir if len(run.corpora) > 1 else self._folder(run.corpora[0])
        if folder is not None:
            arguments.append(f"--manual_dir={folder}")
        return arguments


def option_name(argument: str) -> str:
    """`a_b` of `--a-b=value`."""
    return argument.removeprefix("--").partition("=")[0].replace("-", "_")


@dataclass(frozen=True)
class Trainer:
    """The command that trains the runs.

    Attributes:
      options_from: checks its command line, and raises UserError.
      run: trains as that says, and returns the content of `report.json`.
    """

    options_from: Callable[[list[str]], tuple[Options, Protocol]]
    run: Callable[[list[str]], dict]


IN_TURN = Trainer(train.options_from, train.run)


def run_all(experiment: Experiment, place: Place, trainer: Trainer = IN_TURN) -> list[Result]:
    """Trains what is missing, in turn; finished folds are kept, so a stopped experiment goes on.

    A run whose corpus is not there is passed over with its reason, and one that ends in an error
    keeps none of the others from being trained.

    Raises:
      UserError: as `Place.missing_corpora` does, before anything is trained.
    """
    lacking = [place.why_missing(run) for run in experiment.runs]
    results = []
    for number, (run, reason) in enumerate(zip(experiment.runs, lacking, strict=True), start=1):
        workdir = place.of(run)
        if reason:
            results.append(Result(run, workdir, None, reason))
            continue
        print(f"{experiment.name}, run {number} of {len(lacking)}: {workdir}", file=sys.stderr)
        try:
            results.append(Result(run, workdir, _train(place.arguments(run), trainer)))
        except UserError as error:
            print(f"{run.name} failed: {error}", file=sys.stderr)
            results.append(Result(run, workdir, None, str(error), failed=True))
    return results


def _train(arguments: list[str], trainer: Trainer) -> dict:
    # What the trainer prints of each run would drown the table.
    with contextlib.redirect_stdout(sys.stderr):
        return trainer.run(arguments)


def check_results(experiment: Experiment, results: list[Result]) -> None:
    """Raises UserError where there is nothing for a table; that of backbones has its counts."""
    if experiment.kind == "backbones" or any(result.report for result in results):
        return
    failed = [result.reason for result in results if result.failed]
    if failed:
        raise UserError(f"no run came to its end: {failed[0]}")
    raise UserError(
        f"nothing can be trained: {results[0].reason} (or name the unpacked corpora with "
        "--manual_dir, or another corpus with --dataset)."
    )


def check_failures(results: list[Result]) -> None:
    """Raises UserError where a run ended in an error."""
    failed = [result for result in results if result.failed]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(results)} runs failed; {failed[0].run.name}: {failed[0].reason}"
        )
