"""Child process: times our training step, training loop, inference and whole trainings."""

import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from datasets.crop import Crop
from datasets.protocols import get_protocol
from fdp_jax.benchmark.measure import (
    CLASSES,
    emit,
    first_line,
    peak_memory_bytes,
    proc_bytes,
    spread,
    time_turns,
    usable_cores,
)
from fdp_jax.clips import Clips
from fdp_jax.config import TrainConfig, config_from_dict
from fdp_jax.environment import keep_freed_memory, start_jax
from fdp_jax.evaluate import pack_clips
from fdp_jax.options import TrainOptions
from fdp_jax.plan import Plan
from fdp_jax.report import write_report
from fdp_jax.rng import fold_key
from fdp_jax.train_loop import choose_folds_at_once, describe_environment, train_folds
from fdp_jax.train_step import (
    compile_train_step,
    create_train_state,
    eval_step,
    program_bytes,
    stack_states,
)

CLIPS, PEOPLE = 136, 28  # of SAMM
CASME3 = 860, 94  # the same of CAS(ME)^3
INFERENCE_BATCHES = (1, 36)
USABLE_MEMORY = 0.8  # of the free memory, that further folds may be expected to take


def random_clips(clips: int = CLIPS, people: int = PEOPLE, side: int = 72) -> Clips:
    """Returns a corpus of SAMM's size whose frames are noise; what it scores means nothing."""
    rng = np.random.default_rng(0)
    protocol = get_protocol("samm", "5class")
    part = dataclasses.replace(protocol.parts[0], dataset="noise", expected={})
    lengths = rng.integers(70, 101, clips).astype(np.int32)
    return Clips(
        protocol=dataclasses.replace(protocol, parts=(part,)),
        frames=rng.integers(0, 256, (lengths.sum(), side, side, 1), np.uint8),
        starts=(np.cumsum(lengths) - lengths).astype(np.int32),
        lengths=lengths,
        labels=np.resize(np.arange(CLASSES, dtype=np.int32), clips),
        datasets=("noise",) * clips,
        subjects=tuple(f"p{clip * people // clips:02}" for clip in range(clips)),
        names=tuple(f"c{clip:03}" for clip in range(clips)),
        label_version="random",
        corrections=(),
        warnings=("The frames are random, for measuring speed; the scores mean nothing.",),
        crop=Crop(per_frame=False, side=side, margin=2.5),
    )


class TrainSteps:
    """Bare training steps of K folds as one program, all on the same clips."""

    def __init__(self, config: TrainConfig, folds: int, clips: Clips | None = None):
        """Compiles, and moves the corpus to the device; by default one of SAMM's size."""
        self.config, self.folds, self.state = config, folds, None
        self.corpus = pack_clips(clips or random_clips())
        start = time.perf_counter()
        self.program = compile_train_step(config, CLASSES, folds, self.corpus)
        self.compile_seconds = time.perf_counter() - start
        indices = np.arange(folds * config.batch_size, dtype=np.int32) % len(self.corpus.labels)
        self.indices = jax.device_put(indices.reshape(folds, config.batch_size))
        self.keys = jax.random.split(jax.random.key(0), folds)

    def run(self, steps: int) -> float:
        """Runs several steps and returns the seconds of one step of one fold."""
        if self.state is None:
            states = (create_train_state(self.config, CLASSES, key) for key in self.keys)
            self.state = stack_states(states, self.folds)
            keep_freed_memory()  # as a training does
        start = time.perf_counter()
        for _ in range(steps):
            self.state, metrics = self.program(self.state, self.corpus, self.indices, self.keys)
        jax.block_until_ready((self.state, metrics))
        return (time.perf_counter() - start) / steps / self.folds

    def measure(self, turns: int) -> dict[str, Any]:
        """Returns the spread of the turns, the first step's with compilation, and the memory.

        On a device the peak is what the compiler asks for, since the device counts all programs of
        a process together; on a CPU it is that of the process.
        """
        first = self.compile_seconds + self.folds * self.run(1)
        needed = program_bytes(self.program)
        on_cpu = jax.default_backend() == "cpu"
        return {
            "seconds": spread(time_turns(self.run, turns, on_gpu=not on_cpu)),
            "first_step_seconds": first,
            "peak_bytes": peak_memory_bytes() if on_cpu else needed,
            "program_bytes": needed,
            "flops": (self.program.cost_analysis() or {}).get("flops"),
        }


def compiled(steps: Iterable[tuple[TrainConfig, int]]) -> list[Future[TrainSteps]]:
    """Compiles the steps of several (config, K), side by side where there are cores for it."""
    with ThreadPoolExecutor(max(1, usable_cores() // 4)) as threads:  # waits for all of them
        return [threads.submit(TrainSteps, *step) for step in steps]


def measure_step(config: TrainConfig, precisions: list[str], turns: int) -> None:
    """Measures the step of a single fold in each precision."""
    configs = [dataclasses.replace(config, precision=precision) for precision in precisions]
    waiting = compiled((config, 1) for config in configs)
    for precision in precisions:
        try:
            result = waiting.pop(0).result().measure(turns)
        except RuntimeError as error:
            result = {"missing": first_line(error)}
        emit(**{precision: result})


def measure_folds(config: TrainConfig, counts: list[int], turns: int) -> None:
    """Measures the step of K folds for each K in rising order while memory lasts.

    `ratio` compares the seconds of one fold's step with those at the first K.
    """
    waiting = compiled((config, count) for count in counts)
    bytes_per_fold, first = 0.0, None
    for count in counts:
        try:
            steps, free, needed = waiting.pop(0).result(), _free_bytes(), count * bytes_per_fold
            if free and needed > USABLE_MEMORY * free:
                raise MemoryError(f"may need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
            result = steps.measure(turns)
            median = result["seconds"]["median"]
            first = first or median
            result["ratio"] = median / first
            bytes_per_fold = result["peak_bytes"] / count
        except (RuntimeError, MemoryError) as error:  # jax raises RuntimeError for lack of memory
            result = {"missing": first_line(error)}
        steps = None  # frees its memory
        emit(**{str(count): result})


def measure_scaling(config: TrainConfig, turns: int) -> None:
    """Measures the step of a single fold with other batches, numbers of frames and corpora.

    `ratio` compares with the config as it is.
    """

    def varied(batch: int = config.batch_size, frames: int = config.clip.frames) -> TrainConfig:
        clip = dataclasses.replace(config.clip, frames=frames)
        return dataclasses.replace(config, batch_size=batch, clip=clip)

    variants = {
        "base": (config, None),
        "batch_half": (varied(batch=config.batch_size // 2), None),
        "batch_double": (varied(batch=config.batch_size * 2), None),
        "frames_half": (varied(frames=config.clip.frames // 2), None),
        "frames_double": (varied(frames=config.clip.frames * 2), None),
        "clips_of_casme3": (config, random_clips(*CASME3)),
    }
    base = None
    for name, (variant, clips) in variants.items():
        try:
            result = TrainSteps(variant, 1, clips).measure(turns)
            base = base or result["seconds"]["median"]
            result["ratio"] = result["seconds"]["median"] / base
            del result["peak_bytes"]  # on a CPU that of all variants so far
        except RuntimeError as error:
            result = {"missing": first_line(error)}
        emit(**{name: result})


def _free_bytes() -> int | None:
    """Returns the free memory of the device, None where it is unknown."""
    if statistics := jax.local_devices()[0].memory_stats():
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    return proc_bytes("/proc/meminfo", "MemAvailable")


def measure_inference(config: TrainConfig, turns: int) -> None:
    """Measures the evaluation step for each batch size."""
    variables = create_train_state(config, CLASSES, fold_key(0, "p00")).variables
    corpus = pack_clips(random_clips())

    def run(times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            outputs = eval_step(variables, corpus, indices, config=config, classes=CLASSES)
        jax.block_until_ready(outputs)
        return (time.perf_counter() - start) / times

    for batch in INFERENCE_BATCHES:
        indices = jnp.arange(batch, dtype=jnp.int32)
        run(1)  # compiles
        seconds = spread(time_turns(run, turns, jax.default_backend() != "cpu"))
        rate = batch / seconds["median"]
        emit(**{str(batch): {"seconds": seconds, "clips_per_second": rate}})


def measure_loop(config: TrainConfig, repeats: int) -> None:
    """Measures the training loop beside its bare steps, in turns of about 20 seconds.

    The loop includes batch indices, log and metrics on the host. It writes no checkpoint; in a
    training those take at most `train_loop.MAX_CHECKPOINT_SHARE` of the time.
    """
    clips = random_clips()
    bare = TrainSteps(config, folds=1)
    bare.run(1)
    steps = 20 * round(min(max(1.0, 1.0 / bare.run(2)), 50.0))
    config = with_steps(config, steps)  # the compiled step contains the learning-rate schedule
    bare = TrainSteps(config, folds=1)
    measured: dict[str, list[float]] = {"bare_seconds": [], "loop_seconds": []}
    for _ in range(repeats):
        keep_freed_memory()  # which the loop ended
        measured["bare_seconds"].append(bare.run(steps))
        with tempfile.TemporaryDirectory() as folder:
            seconds: list[float] = []
            plan = _plan(config, clips, Path(folder), folds=1, checkpoint_every=steps)
            (group,) = plan.groups(1)
            train_folds(
                group, plan, bare.corpus,
                lambda _, line, seconds=seconds: seconds.append(line.get("seconds", 0.0)),
            )  # fmt: skip
        measured["loop_seconds"].append(sum(seconds) / steps)
    spreads = {name: spread(seconds) for name, seconds in measured.items()}
    ratio = spreads["bare_seconds"]["median"] / spreads["loop_seconds"]["median"]
    emit(steps=steps, ratio=ratio, **spreads)


def measure_training(
    config: TrainConfig, folds: int, steps: int, preset: str = "paper", init: str = ""
) -> None:
    """Trains, predicts and reports as `python -m fdp_jax.train` does.

    If it is cut off, `whole_seconds` is projected: the time until the first step, and what followed
    divided by its share of the steps.

    Args:
      config: options of the training.
      folds: their number; 0: all.
      steps: of each fold.
      preset, init: as of --preset and --init.
    """
    start, began, done = time.perf_counter(), 0.0, 0

    def progress(steps_done: int, metrics: Mapping[str, float]) -> None:
        nonlocal began, done
        now = time.perf_counter()
        began = began or now  # a fold reports its step 0 once the program is compiled
        done += steps_done
        share = done / steps / len(plan.tasks)
        if share:
            emit(share_of_steps=share, whole_seconds=began - start + (now - began) / share)

    with tempfile.TemporaryDirectory() as folder:
        config = with_steps(config, steps)
        plan = _plan(config, random_clips(), Path(folder), folds, preset=preset, init=init)
        plan.claim_workdir()
        plan.write_run_files(describe_environment(plan))
        corpus = pack_clips(plan.clips)
        at_once = choose_folds_at_once(plan, corpus)
        for group in plan.groups(at_once):
            train_folds(group, plan, corpus, progress)
        trained = time.perf_counter()
        write_report(plan.workdir)
    ended = time.perf_counter()
    statistics = jax.local_devices()[0].memory_stats() or {}
    emit(
        **{"folds": len(plan.tasks), "folds_at_once": at_once, "steps": steps},
        whole_seconds=ended - start,
        report_seconds=ended - trained,
        until_first_step_seconds=began - start,
        peak_bytes=statistics.get("peak_bytes_in_use", peak_memory_bytes()),
    )


def _plan(config: TrainConfig, clips: Clips, workdir: Path, folds: int, **others: Any) -> Plan:
    """Returns the plan of a training of so many folds; 0: all."""
    names = tuple(sorted(set(clips.subjects))[:folds] if folds else ())
    options = TrainOptions(config=config, workdir=workdir, folds=names, **others)
    return Plan(options, clips, "python -m fdp_jax.benchmark")


def with_steps(config: TrainConfig, steps: int) -> TrainConfig:
    """Returns the config with another number of steps and a warm-up that is shorter."""
    warmup = min(config.optimizer.warmup_steps, steps - 1)
    optimizer = dataclasses.replace(config.optimizer, warmup_steps=warmup)
    return dataclasses.replace(config, steps=steps, optimizer=optimizer)


def describe_device(config: TrainConfig) -> None:
    """Reports the device that jax computes on."""
    emit(backend=jax.default_backend(), device=jax.local_devices()[0].device_kind)


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    start_jax()
    measurement = {
        "device": describe_device,
        "step": measure_step,
        "folds": measure_folds,
        "scaling": measure_scaling,
        "inference": measure_inference,
        "loop": measure_loop,
        "train": measure_training,
    }[request.pop("measurement")]
    measurement(config_from_dict(request.pop("config"), "REQUEST"), **request)
