"""Everything about a GPU in one go: `python -m fdp_jax.benchmark gpu`.

Made for a machine that is lent for minutes: it needs jax, flax, optax, orbax-checkpoint, OpenCV,
scikit-learn, matplotlib and, for the comparison, PyTorch, and neither TFDS nor a network; the
corpus is drawn in memory. The parts go from the most valuable to the least, and what no longer fits
into --minutes is left out and says so.
"""

import argparse
import contextlib
import dataclasses
import json
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from datasets.errors import UserError
from fdp_jax.benchmark import options as of_benchmark
from fdp_jax.benchmark.gpu_contenders import contender_names
from fdp_jax.benchmark.gpu_parts import PARTS, Part, Plan, with_steps
from fdp_jax.benchmark.gpu_words import in_words
from fdp_jax.benchmark.machine import describe_machine, installed_versions, usable_cores
from fdp_jax.benchmark.processes import WorkerError, run_once, with_variables
from fdp_jax.benchmark.targets import reached
from fdp_jax.benchmark.telling import tell
from fdp_jax.benchmark.workload import PEOPLE, Workload
from fdp_jax.config import PRESETS
from fdp_jax.files import write_atomically
from fdp_jax.grouping import FoldAxis

PROGRAM = f"{of_benchmark.PROGRAM} gpu"
MINUTES = 8  # that the parts' times are made for; with more, each may take its share more


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command takes.

    Attributes:
      workload: what is trained; its steps are those of a fold of the whole training.
      parts: names of what is measured.
      contenders: of the parts `step`, `layers` and `forms`; none means all.
      minutes: that all of it may take.
      repeats: rounds of every comparison.
      folds: how many at once, one after the other.
      folds_at_once, fold_axis: of the whole training.
      loop_steps: steps in a round of the loop.
      as_json: print one JSON object instead of words.
      out: file that the same object is written to after every part, or None.
    """

    workload: Workload
    parts: tuple[str, ...]
    contenders: tuple[str, ...]
    minutes: float
    repeats: int
    folds: tuple[int, ...]
    folds_at_once: int | Literal["auto"]
    fold_axis: FoldAxis
    loop_steps: int
    as_json: bool
    out: Path | None


def main(arguments: Sequence[str]) -> None:
    """The command line.

    Raises:
      UserError: an option that does not exist or cannot be, or a file that cannot be written.
    """
    options = options_from(arguments)
    report = measure(options, shlex.join([*PROGRAM.split(), *arguments]))
    print(_as_json(report) if options.as_json else in_words(report))


def options_from(arguments: Sequence[str]) -> Options:
    """The command line, checked; nothing heavy is loaded.

    Raises:
      UserError: an unknown option, part, contender or preset, or a value that cannot work.
    """
    given = vars(_parser().parse(arguments))
    counts = [given[name] for name in ("steps", "repeats", "loop_steps", "folds_at_once")]
    if min(*(count for count in counts if count != "auto"), *given["folds"]) < 1:
        raise UserError(
            "--steps, --repeats, --folds, --folds_at_once and --loop_steps must be at least 1"
        )
    if given["people"] < 2:
        raise UserError("--people must be at least 2, as one of them is left out")
    if not 0 < given["minutes"] < float("inf"):
        raise UserError("--minutes must be more than 0")
    _check_names("part", given["parts"], PARTS)
    workload = Workload(given["preset"], of_benchmark.changes_in(given), given["people"])
    workload = with_steps(workload, given["steps"])
    _check_names("contender", given["contenders"], contender_names(workload))
    return Options(
        workload=workload,
        parts=tuple(part for part in PARTS if part in (given["parts"] or PARTS)),
        contenders=given["contenders"],
        minutes=given["minutes"],
        repeats=given["repeats"],
        folds=tuple(sorted(set(given["folds"]))),
        folds_at_once=given["folds_at_once"],
        fold_axis=given["fold_axis"],
        loop_steps=given["loop_steps"],
        as_json=given["json"],
        out=given["out"] and given["out"].expanduser(),
    )


def _auto_or_number(word: str) -> int | str:
    return word if word == "auto" else int(word)


def _check_names(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise UserError(f"there is no {what} '{name}'; the {what}s are {', '.join(known)}")


def measure(options: Options, command: str) -> dict[str, Any]:
    """The report; each part that fits into the time that is left.

    Args:
      options: of the command line.
      command: as the user typed it.

    Raises:
      UserError: the file cannot be written.
    """
    began = time.monotonic()
    results: dict[str, Any] = {}
    longer = max(1.0, options.minutes / MINUTES)
    with _environment():
        device = _device()
        plan = Plan(
            workload=options.workload,
            on_gpu=device["backend"] == "gpu",
            cores=usable_cores(),
            repeats=options.repeats,
            contenders=options.contenders,
            folds=options.folds,
            folds_at_once=options.folds_at_once,
            fold_axis=options.fold_axis,
            loop_steps=options.loop_steps,
        )
        about = _about(options, command, device)
        for name in options.parts:
            part = PARTS[name]
            left = 60 * options.minutes - (time.monotonic() - began)
            part_began = time.monotonic()
            if left < (part.least if plan.on_gpu else 0):
                why = f"{left:.0f} s were left of {options.minutes:g} minutes"
                results[name] = {"missing": why}
            else:
                tell(f"{name}: {part.about} ({left:.0f} s left)")
                results[name] = _measured(part, plan, min(left, part.most * longer))
            results[name]["part_seconds"] = time.monotonic() - part_began
            report = {**about, "seconds": time.monotonic() - began, **_headline(results), **results}
            report["targets"] = reached(report)
            if options.out:
                write_atomically(options.out, _as_json(report) + "\n")
    return report


def _measured(part: Part, plan: Plan, limit: float) -> dict[str, Any]:
    try:
        return part.measure(plan, limit)
    except WorkerError as error:  # one of several died, as for lack of memory
        return {"missing": f"does not run here: {error}"}


def _as_json(report: Mapping[str, Any]) -> str:
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)


def _about(options: Options, command: str, device: Mapping[str, Any]) -> dict[str, Any]:
    workload = options.workload
    return {
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **device,
        "machine": describe_machine(),
        "versions": installed_versions(),
        "preset": workload.preset,
        "changes": dict(workload.changes),
        "batch": workload.config.batch_size,
        "people": workload.people,
        "steps": workload.config.steps,
        "minutes": options.minutes,
    }


def _device() -> dict[str, Any]:
    try:
        return run_once("fdp_jax.benchmark.bare:describe_device", {})
    except WorkerError as error:
        raise UserError(f"jax does not run here: {error}") from error


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Variables for the processes that are started, where the user did not choose otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = {
            # Or the first process would take most of the device's memory.
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            # What several contenders have in common is compiled, and its kernels chosen, once.
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
            "TORCHINDUCTOR_CACHE_DIR": f"{folder}/torch",
            "TORCHINDUCTOR_COMPILE_THREADS": "4",
        }
        with with_variables(chosen):
            yield


def _headline(results: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that every benchmark's report has, of the step in full float32."""
    contenders = results.get("step", {}).get("contenders", {})
    ours = contenders.get("ours_float32", {})
    twins = [
        told
        for name, told in contenders.items()
        if name.startswith("eager_") and name.endswith("_float32") and "seconds" in told
    ]
    twin = min(twins, key=lambda told: told["seconds"]["median"], default={})
    return {
        "step_seconds": ours.get("seconds", {}).get("median"),
        "step_peak_bytes": ours.get("peak_bytes"),
        "twin_step_seconds": twin.get("seconds", {}).get("median"),
        "twin_peak_bytes": twin.get("peak_bytes"),
        "step_ratio": results.get("step", {}).get("ratios", {}).get("float32", {}).get("eager"),
        "loop_ratio": results.get("loop", {}).get("ratio"),
        "precision": "float32",
    }


def _parser() -> of_benchmark.Parser:
    parts = "\n".join(f"  {name:<10} {part.about}" for name, part in PARTS.items())
    parser = of_benchmark.Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--option=value ...]",
        description=__doc__.partition("\n\n")[2],
        epilog=f"the parts, in their order:\n{parts}\n\nthe contenders of step, layers and forms:\n"
        f"  {', '.join(contender_names(Workload(next(iter(PRESETS)))))}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add, commas = parser.add_argument, of_benchmark.comma_separated
    add("--minutes", type=float, default=MINUTES, help="that all of it may take (default 8)")
    add("--preset", default=next(iter(PRESETS)), help=f"{', '.join(PRESETS)} (default paper)")
    add("--parts", type=commas(str), default=(), help="names with commas (default all)")
    add("--contenders", type=commas(str), default=(),
        help="names with commas, of what step, layers and forms compare (default all)")  # fmt: skip
    add("--repeats", type=int, default=5, help="rounds of every comparison (default 5)")
    add("--people", type=int, default=PEOPLE, metavar="N",
        help="of the corpus drawn in memory (default 27, who have 136 clips, as SAMM)")  # fmt: skip
    add("--steps", type=int, default=500, metavar="N",
        help="of each fold of the whole training (default 500)")  # fmt: skip
    add("--folds", type=commas(int), default=(1, 2, 4, 8, 16), metavar="K,K,...",
        help="how many at once (default 1,2,4,8,16)")  # fmt: skip
    add("--folds_at_once", type=_auto_or_number, default="auto", metavar="auto|K",
        help="of the whole training (default auto)")  # fmt: skip
    add("--fold_axis", choices=get_args(FoldAxis), default="auto",
        help="of the whole training: how they share the device (default auto)")  # fmt: skip
    add("--loop_steps", type=int, default=200, metavar="N",
        help="steps in a round of the loop (default 200)")  # fmt: skip
    add("--json", action="store_true", help="print one JSON object; progress goes to stderr")
    add("--out", type=Path, metavar="FILE", help="where to write the same object after every part")
    of_benchmark.add_training_options(parser)
    return parser
