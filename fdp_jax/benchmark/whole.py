"""A whole leave-one-subject-out training on drawn clips, from the corpus to the report.

As `python -m fdp_jax.train` does it, but for the corpus, which it reads from where it was built.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fdp_jax.benchmark.bare import clips_for
from fdp_jax.benchmark.workload import Workload
from fdp_jax.grouping import FoldAxis
from fdp_jax.plan import Run
from fdp_jax.progress import SilentBar
from fdp_jax.report import write_report
from fdp_jax.run_folds import run_folds
from fdp_jax.schedule import Cadence

CADENCE = Cadence(log_every=20, checkpoint_every=100, checkpoint_seconds=60.0)  # the command's


class _Stopwatch(SilentBar):
    """Notes when the first steps were through, everything compiled."""

    began: float | None = None

    def update(self, steps: int) -> None:
        """Counts."""
        super().update(steps)
        self.began = self.began or time.perf_counter()


def train_whole(
    workload: Mapping[str, Any],
    workdir: str,
    folds: Sequence[str],
    folds_at_once: int | Literal["auto"],
    fold_axis: FoldAxis,
) -> dict[str, Any]:
    """Trains, predicts and reports.

    Args:
      workload: as its `as_arguments` gives; its steps are those of a fold.
      workdir: where results go.
      folds: names of the folds to train; none means all.
      folds_at_once, fold_axis: as the options of the command.

    Returns:
      seconds of the parts, and what the folds' `done.json` say of them.
    """
    began = time.perf_counter()
    asked, path = Workload(**workload), Path(workdir)
    config, clips = asked.config, clips_for(asked)
    drawn = time.perf_counter()
    bars: list[_Stopwatch] = []

    def open_bar(total: int) -> _Stopwatch:
        bars.append(_Stopwatch(total))
        return bars[-1]

    command = "python -m fdp_jax.benchmark gpu"
    together = (folds_at_once, fold_axis)
    run = Run(config, asked.preset, (0,), tuple(folds), path, CADENCE, command, *together)
    run_folds(run, clips, open_bar)
    trained = time.perf_counter()
    report = write_report(path)
    ended = time.perf_counter()
    done = [json.loads(file.read_text()) for file in path.glob("seed_*/folds/*/done.json")]
    return {
        "folds_finished": len(done),
        "folds": len(done) + len(report["missing_folds"]),
        "clips": len(clips.labels),
        "steps": config.steps,
        "drawing_seconds": drawn - began,
        "training_seconds": trained - drawn,
        "first_steps_seconds": bars[0].began - drawn,  # of the above, until the first log line
        "report_seconds": ended - trained,
        "seconds_a_step": (trained - drawn) / (len(done) * config.steps),
        "folds_at_once": max(fold["folds_at_once"] for fold in done),
        "peak_bytes": max(fold["peak_memory_bytes"] for fold in done),
    }
