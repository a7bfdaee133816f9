"""The command line of the benchmark. Standard library only: it runs where tyro is not installed."""

import argparse
import dataclasses
import difflib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from datasets.errors import UserError
from fdp_jax.benchmark.workload import PEOPLE, Workload, leaves
from fdp_jax.config import PRESETS, TrainConfig

PROGRAM = "python -m fdp_jax.benchmark"
# Name -> what is measured, in the order in which it is.
PARTS = {
    "ceilings": "this machine's matrix product and copying",
    "step": "the training step beside the PyTorch twin's, time and peak memory",
    "loop": "a whole training's loop beside its bare steps",
    "inference": "clips a second in evaluation",
    "folds": "several folds at once beside the same in turn",
    "scaling": "how time grows with batch, clips and folds",
    "corpus": "frames a second of a corpus' build",
    "start_up": "--help, import, and the time to a training's first step",
}
# Of the training's options, those that a time depends on: sizes and forms of what is computed.
_GROUPS = ("model.", "clip.")
_FURTHER = ("batch_size", "precision", "model.stochastic_depth", "model.dropout")
_OTHER_BACKBONES = ("model.resnet", "model.vit")  # the twin has the paper's alone


@dataclasses.dataclass(frozen=True)
class Options:
    """What `python -m fdp_jax.benchmark` takes.

    Attributes:
      workload: what is trained while it is timed.
      parts: names of what is measured.
      repeats: rounds of every comparison.
      compile_limit: seconds that `torch.compile` may take for its first step; 0 leaves it out.
      loop_steps: of one round of the loop; 0 takes as many as fill half a minute.
      folds: how many at once, one after the other.
      batches: sizes for the growth with the batch.
      corpus_clips: clips of 70 frames of the corpus that is built.
      as_json: print one JSON object instead of words.
      out: file that the same object is written to, or None.
    """

    workload: Workload
    parts: tuple[str, ...]
    repeats: int
    compile_limit: float
    loop_steps: int
    folds: tuple[int, ...]
    batches: tuple[int, ...]
    corpus_clips: int
    as_json: bool
    out: Path | None


class Parser(argparse.ArgumentParser):
    """argparse with this project's manners: one sentence for a mistake, - and _ alike."""

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The options given.

        Raises:
          UserError: an option that does not exist, or a value that it cannot take.
        """
        words = [_with_underscores(argument) for argument in arguments]
        parsed, unknown = self.parse_known_args(words)
        if unknown:
            names = [name for name in self._option_string_actions if name.startswith("--")]
            close = difflib.get_close_matches(unknown[0].partition("=")[0], names, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise UserError(
                f"there is no option {unknown[0]}{hint}; the options are {', '.join(names)}"
            )
        return parsed

    def error(self, message: str) -> NoReturn:
        """Called by argparse for a value that an option cannot take."""
        raise UserError(f"{message}; see {self.prog} --help")


def comma_separated(kind: type) -> Any:
    """Reads `A,B,...` into a tuple, for an option's `type`."""

    def read(word: str) -> tuple:
        return tuple(kind(part) for part in word.split(",") if part)

    read.__name__ = f"list of {kind.__name__} with commas"  # argparse names it in its message
    return read


def options_from(arguments: Sequence[str]) -> Options:
    """The command line, checked; nothing heavy is loaded.

    Raises:
      UserError: an unknown option, part or preset, or a value that cannot work.
    """
    given = vars(_parser().parse(arguments))
    workload = Workload(given["preset"], changes_in(given), given["people"])
    config = workload.config  # checks it
    parts = given["parts"] or tuple(PARTS)
    for part in parts:
        if part not in PARTS:
            raise UserError(f"there is no part '{part}'; the parts are {', '.join(PARTS)}")
    counts = (given["repeats"], *given["folds"], *given["batches"], given["corpus_clips"])
    if min(counts) < 1:
        raise UserError("--repeats, --folds, --batches and --corpus_clips must be at least 1")
    if given["people"] < 2:
        raise UserError("--people must be at least 2, as one of them is left out")
    if min(given["compile_limit"], given["loop_steps"]) < 0:
        raise UserError("--compile_limit and --loop_steps must not be negative")
    batches = given["batches"] or tuple(sorted({6, 12, 24, config.batch_size}))
    return Options(
        workload=workload,
        parts=tuple(part for part in PARTS if part in parts),
        repeats=given["repeats"],
        compile_limit=given["compile_limit"],
        loop_steps=given["loop_steps"],
        folds=given["folds"] or (2, 4),
        batches=batches,
        corpus_clips=given["corpus_clips"],
        as_json=given["json"],
        out=given["out"] and given["out"].expanduser(),
    )


def _with_underscores(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else argument


def add_training_options(parser: Parser) -> None:
    """Adds those of the training's options that a time depends on."""
    group = parser.add_argument_group("options of the training, defaults as of the preset")
    for name, told in _config_options():
        group.add_argument(f"--{name}", **told)


def changes_in(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the training that were given, for `Workload`."""
    return {name: given[name] for name, _ in _config_options() if given[name] is not None}


def _config_options() -> list[tuple[str, dict[str, Any]]]:
    """Dotted names of the training's options that a time depends on; how argparse reads each."""
    found = []
    for name, value, kind in leaves(TrainConfig()):
        sizes = name.startswith(_GROUPS) and not isinstance(value, float)
        if name not in _FURTHER and (not sizes or name.startswith(_OTHER_BACKBONES)):
            continue
        if isinstance(value, str):
            told = {"choices": typing.get_args(kind)}
        elif isinstance(value, tuple):
            told = {"type": comma_separated(type(value[0])), "metavar": "N,N,..."}
        else:
            told = {"type": type(value), "metavar": "N"}
        found.append((name, told))
    return found


def _parser() -> Parser:
    parts = "\n".join(f"  {name:<10} {about}" for name, about in PARTS.items())
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--option=value ...]",
        description="Speed and memory of this project, beside the same network in PyTorch.",
        epilog=f"""the parts, in their order:
{parts}

also:
  {PROGRAM} gpu ...             everything about a GPU in one go; see its --help
  {PROGRAM} table FILE ...      the README's table of speed from files that --out wrote""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--preset", default=next(iter(PRESETS)), help=f"{', '.join(PRESETS)} (default paper)")
    add("--parts", type=comma_separated(str), default=(), help="names with commas (default all)")
    add("--repeats", type=int, default=5, help="rounds of every comparison (default 5)")
    add("--compile_limit", type=float, default=600, metavar="SECONDS",
        help="for torch.compile's first step (default 600); 0 leaves it out")  # fmt: skip
    add("--loop_steps", type=int, default=0, metavar="N",
        help="steps in a round of the loop (default: half a minute of them)")  # fmt: skip
    add("--folds", type=comma_separated(int), default=(), metavar="K,K,...",
        help="how many at once (default 2,4)")  # fmt: skip
    add("--batches", type=comma_separated(int), default=(), metavar="B,B,...",
        help="of the growth with the batch (default 6,12,24 and the preset's)")  # fmt: skip
    add("--people", type=int, default=PEOPLE, metavar="N",
        help="of the corpus drawn in memory (default 27, who have 136 clips, as SAMM)")  # fmt: skip
    add("--corpus_clips", type=int, default=64, metavar="N",
        help="clips of 70 frames that the build reads (default 64)")  # fmt: skip
    add("--json", action="store_true", help="print one JSON object; progress goes to stderr")
    add("--out", type=Path, metavar="FILE", help="where to write the same object, too")
    add_training_options(parser)
    return parser
