"""Part `scaling`: how a step grows with the batch and with the corpus, and a run with its folds.

Every size is measured; only the time of a whole LOSO is arithmetic from the measured pieces.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fdp_jax.benchmark.bare import BareSteps, clips_for
from fdp_jax.benchmark.timing import alternate, runs_in_a_turn, seconds_of, spread
from fdp_jax.benchmark.workload import Workload
from fdp_jax.clips import Clips
from fdp_jax.plan import Run
from fdp_jax.run_folds import run_folds
from fdp_jax.schedule import Cadence
from fdp_jax.train_loop import device_corpus

MORE_CLIPS = 4  # times as many clips in the larger corpus
STEPS = 2  # of a fold whose other costs are looked for


def measure_scaling(
    workload: dict[str, Any], batches: Sequence[int], repeats: int
) -> dict[str, Any]:
    """Seconds by size.

    Args:
      workload: as its `as_arguments` gives.
      batches: sizes of a batch, beside the workload's own.
      repeats: rounds.
    """
    asked = Workload(**workload)
    # One short schedule for all, or the folds below would compile another program.
    short = asked.with_changes({"steps": STEPS, "optimizer.warmup_steps": 0})
    clips, own = clips_for(asked), asked.config.batch_size
    more = _repeated(clips)
    corpus = device_corpus(clips)
    contenders = {
        ("batch", batch): BareSteps(short.with_changes({"batch_size": batch}), corpus)
        for batch in sorted({*batches, own})
    }
    contenders["clips", len(more.labels)] = BareSteps(short, device_corpus(more))
    measured = alternate({name: _turn(bare) for name, bare in contenders.items()}, repeats)
    spreads = {name: spread(taken) for name, taken in measured.items()}
    step = spreads["batch", own]
    folds = _by_folds(short, clips, repeats)
    beside = max(0.0, _slope(folds) - STEPS * step["median"])
    people = len(set(clips.subjects))
    return {
        "step_by_batch": {str(size): s for (kind, size), s in spreads.items() if kind == "batch"},
        "step_by_clips": {
            str(len(clips.labels)): step,
            str(len(more.labels)): spreads["clips", len(more.labels)],
        },
        "run_by_folds": {str(count): taken for count, taken in folds.items()},
        "steps_of_those_folds": STEPS,
        "fold_seconds_beside_its_steps": beside,
        "loso_by_arithmetic": {
            "folds": people,
            "clips": len(clips.labels),
            "steps": asked.config.steps,
            "seconds": people * (asked.config.steps * step["median"] + beside),
        },
    }


def _turn(bare: BareSteps) -> Callable[[], float]:
    steps = runs_in_a_turn(bare.run(1))
    return lambda: bare.run(steps)


def _repeated(clips: Clips) -> Clips:
    """The same clips again and again, each time as further ones."""
    count = len(clips.frames)
    return dataclasses.replace(
        clips,
        frames=np.concatenate([clips.frames] * MORE_CLIPS),
        starts=np.concatenate([clips.starts + time * count for time in range(MORE_CLIPS)]),
        lengths=np.tile(clips.lengths, MORE_CLIPS),
        labels=np.tile(clips.labels, MORE_CLIPS),
    )


def _by_folds(workload: Workload, clips: Clips, repeats: int) -> dict[int, dict[str, Any]]:
    """Folds -> seconds of the whole run, predictions and files included, compiling not."""
    people = sorted(set(clips.subjects))
    cadence = Cadence(log_every=STEPS, checkpoint_every=STEPS)

    def run(count: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = ((0,), tuple(people[:count]), Path(folder))
            # One fold after the other: what several at once take is another part.
            asked = Run(workload.config, workload.preset, *place, cadence, "benchmark", 1)
            run_folds(asked, clips)

    run(1)  # compiles the evaluation
    counts = (1, min(3, len(people)))
    turns = {count: lambda count=count: seconds_of(lambda: run(count)) for count in counts}
    return {count: spread(taken) for count, taken in alternate(turns, repeats).items()}


def _slope(by_count: dict[int, dict[str, Any]]) -> float:
    """Seconds that one more fold takes."""
    few, many = sorted(by_count)
    return (by_count[many]["median"] - by_count[few]["median"]) / (many - few)
