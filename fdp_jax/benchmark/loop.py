"""Part `loop`: a whole training's loop beside its bare steps, alternating in one process.

The loop is `run_folds`' own: numbers of the batches, log lines, everything from the first step to
the last line of the log. Not in it: compiling, making or restoring the first state, and the
predictions at the end. The bare steps are `Steps.train` called again and again on batches that lie
ready. A third contender is the loop with one checkpoint in its middle; what that takes longer is
charged to a step as often as a training's own cadence writes one.
"""

import math
import tempfile
from pathlib import Path
from typing import Any

from fdp_jax.benchmark.bare import FOLD, BareSteps, clips_for
from fdp_jax.benchmark.timing import alternate, spread
from fdp_jax.benchmark.workload import Workload
from fdp_jax.clips import Clips
from fdp_jax.plan import Run
from fdp_jax.run_folds import run_folds
from fdp_jax.schedule import CHECKPOINT_SHARE, Cadence
from fdp_jax.train_loop import device_corpus
from fdp_jax.training_log import read_log
from fdp_jax.workdir import fold_directory

# As of a training by default.
LOG_EVERY, CHECKPOINT_EVERY, CHECKPOINT_SECONDS = 20, 100, 60.0
ROUND_SECONDS = 20  # that the steps of a round fill, where their number is not given
MOST_STEPS = 1000


def measure_loop(workload: dict[str, Any], steps: int, repeats: int) -> dict[str, Any]:
    """Seconds a step of the loop and of bare steps.

    Args:
      workload: as its `as_arguments` gives.
      steps: of a round; 0 takes as many as fill `ROUND_SECONDS`.
      repeats: rounds.
    """
    asked = Workload(**workload)
    clips = clips_for(asked)
    corpus = device_corpus(clips)
    if not steps:
        bare = BareSteps(asked, corpus)
        bare.run(1)
        steps = round_steps(bare.run(2))
    # The length of the schedule is part of what is compiled; the rounds are one fold's training.
    in_round = asked.with_changes({"steps": steps, "optimizer.warmup_steps": 0})
    bare = BareSteps(in_round, corpus)
    measured = alternate(
        {
            "bare": lambda: bare.run(steps),
            "loop": lambda: _loop_seconds(in_round, clips, checkpoints=0) / steps,
            "with_one": lambda: _loop_seconds(in_round, clips, checkpoints=1) / steps,
        },
        repeats,
    )
    of_bare, of_loop, with_one = (spread(measured[name]) for name in ("bare", "loop", "with_one"))
    checkpoint = max(0.0, with_one["median"] - of_loop["median"]) * steps
    between = steps_between_checkpoints(of_loop["median"], checkpoint)
    return {
        "steps": steps,
        "log_every": LOG_EVERY,
        "bare_seconds": of_bare,
        "loop_seconds": of_loop,
        "loop_with_a_checkpoint_seconds": with_one,
        "checkpoint_seconds": checkpoint,
        "steps_between_checkpoints": between,
        "ratio": of_bare["median"] / (of_loop["median"] + checkpoint / between),
    }


def steps_between_checkpoints(seconds_a_step: float, checkpoint: float) -> int:
    """How many steps a training does for every checkpoint, which takes so many seconds."""
    least = max(CHECKPOINT_SECONDS, checkpoint / CHECKPOINT_SHARE)
    return CHECKPOINT_EVERY * max(1, math.ceil(least / seconds_a_step / CHECKPOINT_EVERY))


def round_steps(seconds_a_step: float) -> int:
    """Steps that fill a round: whole lines of the log, 20 to 1000 steps."""
    lines = math.ceil(ROUND_SECONDS / seconds_a_step / LOG_EVERY)
    return min(LOG_EVERY * max(lines, 1), MOST_STEPS)


def _loop_seconds(workload: Workload, clips: Clips, checkpoints: int) -> float:
    """What the log of one fold's training says its steps took, with one checkpoint or none."""
    config = workload.config
    # After the last step a training writes none.
    every = math.ceil(config.steps / 2) if checkpoints else config.steps
    with tempfile.TemporaryDirectory() as folder:
        cadence = Cadence(LOG_EVERY, every, 0.0)
        place = ((0,), (FOLD,), Path(folder))
        run_folds(Run(config, workload.preset, *place, cadence, "benchmark", 1), clips)
        return sum(row["seconds"] for row in read_log(fold_directory(Path(folder), 0, FOLD).log))
