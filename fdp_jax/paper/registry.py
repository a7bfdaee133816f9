"""The paper's tables and figures, and our own: the runs that each needs, and how it is shown.

A run that several experiments need has one work directory. Nothing heavy is imported here.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from datasets.errors import UserError
from datasets.protocols import get_protocol
from datasets.reading import find_protocol
from fdp_jax.config import TrainConfig, fine_tuned
from fdp_jax.paper_numbers import paper_table

Kind = Literal[
    "methods", "variants", "images", "clips", "inputs", "significance", "spotting", "pretraining"
]

# Name -> kind, the paper's CORPUS/PROTOCOL (a composite has no corpus), title.
_EXPERIMENTS: dict[str, tuple[Kind, str, str]] = {
    "table4": ("methods", "casme2/5class samm/5class", "CASME II and SAMM, five categories"),
    "table5": ("methods", "casme2/3class samm/3class", "CASME II and SAMM, three categories"),
    "table6": ("methods", "casme_sq/4class", "CAS(ME)^2, four categories"),
    "table7": ("methods", "casme3/7class", "CAS(ME)^3, seven categories"),
    "table8": ("methods", "/cross", "training on one corpus, testing on another; both ways, mean"),
    "table9": ("variants", "samm/5class", "FDP without each of its parts"),
    "table10": ("variants", "samm/5class", "other backbones and their numbers of parameters"),
    "table11": ("variants", "samm/5class", "weights of the losses"),
    "table12": ("significance", "", "rank-sum tests against other methods; trains nothing"),
    "table13": ("significance", "", "rank-sum tests against variants of FDP; trains nothing"),
    "table14": ("variants", "samm/5class", "error of the constructed dynamic images by variant"),
    "table15": ("clips", "samm/5class casme2/5class", "correct and wrong clips with their images"),
    "figure1": ("inputs", "samm/5class", "dynamic images of some clips; trains nothing"),
    "pretraining": (
        "pretraining",
        "synthetic/5class",
        "from scratch, from pretrained weights, and those as they are",
    ),
    "spotting": ("spotting", "", "expressions in drawn videos: found, where, and which"),
    "figure4": ("images", "samm/5class", "dynamic images constructed by FDP and its variants"),
}
NAMES = tuple(_EXPERIMENTS)
# Name -> options of `TrainConfig` that its rows differ in; without the group, they are columns of
# the paper's table.
_VARIED = {
    "table9": ("ablate",),
    "table10": ("backbone",),
    "table11": ("loss.dynamic_image_weight", "loss.rank_weight"),
    "table14": ("ablate",),
    "figure4": ("ablate",),
}
_FINE_TUNED = "fine-tuned"


@dataclass(frozen=True)
class RunSpec:
    """One training with all of its folds."""

    name: str  # as in the rows of the table
    dataset: str  # "" for a composite
    protocol: str
    overrides: Mapping[str, str | float]  # option of `TrainConfig` -> value
    is_fine_tuned: bool  # starts from the experiment's --weights

    @property
    def corpora(self) -> tuple[str, ...]:
        """The corpora that must be built."""
        return (self.dataset,) if self.dataset else get_protocol(None, self.protocol).datasets

    @property
    def predicts(self) -> bool:
        """Whether the network has its recognition module."""
        return self.overrides.get("ablate") != "no_mer"

    def folder(self, preset: str) -> str:
        """Returns the name of the work directory."""
        parts = [self.dataset, self.protocol, preset]
        for option, value in self.overrides.items():
            parts.append(str(value) if option == "ablate" else f"{option}={value}")
        return "_".join(filter(None, parts))

    def config(self, common: TrainConfig) -> TrainConfig:
        """Returns the options of this run, given those common to all runs."""
        config = fine_tuned(common) if self.is_fine_tuned else common
        for option, value in self.overrides.items():
            group, _, name = option.rpartition(".")
            if group:
                inner = dataclasses.replace(getattr(config, group), **{name: float(value)})
                config = dataclasses.replace(config, **{group: inner})
            else:
                config = dataclasses.replace(config, **{name: value})
        # Without predictions there is nothing to select a step by.
        return config if self.predicts else dataclasses.replace(config, select="last")


@dataclass(frozen=True)
class RunResult:
    """The result of one run."""

    run: RunSpec
    workdir: Path
    report: dict | None  # content of report.json
    reason: str = ""  # why there is no report
    failed: bool = False  # training started and ended in an error


@dataclass(frozen=True)
class Experiment:
    """One table or figure."""

    name: str
    title: str
    kind: Kind
    runs: tuple[RunSpec, ...]  # in the order of the rows; figure1 only draws the clips of its run
    published: tuple[tuple[str, str], ...]  # the paper's corpora and protocols

    @property
    def trains(self) -> bool:
        """Whether it needs training."""
        return self.kind not in ("inputs", "significance", "spotting")

    @property
    def own_options(self) -> tuple[str, ...]:
        """The options that distinguish its runs, which a user cannot set."""
        options = [option for run in self.runs for option in run.overrides]
        options += ["init" for run in self.runs if run.is_fine_tuned]
        return tuple(dict.fromkeys(options))


def experiment(
    name: str, dataset: str = "", protocol: str = "", data_dir: Path = Path("data")
) -> Experiment:
    """Returns an experiment on the paper's corpora or on another one.

    Args:
      name: one of NAMES.
      dataset: replaces the paper's corpora; "" keeps them.
      protocol: of that corpus, or of the paper's if it has only one; "" is the default one.
      data_dir: holds the corpus if it is one of the user's own.

    Raises:
      UserError: the corpus or protocol does not exist, or the experiment has fixed corpora.
    """
    kind, pairs, title = _EXPERIMENTS[name]
    published = tuple(tuple(pair.split("/")) for pair in pairs.split())
    corpora = published
    if dataset or protocol:
        if not any(corpus for corpus, _ in published):
            raise UserError(f"{name} has fixed corpora; leave out --dataset and --protocol")
        if not dataset and len(published) > 1:
            raise UserError(f"--protocol={protocol} needs a corpus; name it with --dataset")
        corpora = tuple(pair for pair in published if pair[0] == dataset and not protocol)
        if not corpora:
            chosen = find_protocol(dataset or published[0][0], protocol or None, data_dir)
            corpora = ((chosen.dataset, chosen.name),)
    runs = tuple(
        RunSpec(row or corpus or task, corpus, task, overrides, row == _FINE_TUNED)
        for corpus, task in corpora
        for row, overrides in _variants(name).items()
    )
    return Experiment(name, title, kind, runs, published)


def _variants(name: str) -> dict[Any, dict[str, Any]]:
    """Returns row -> options that differ from FDP's; one nameless row if there are no variants."""
    if name == "pretraining":
        return {"from scratch": {}, _FINE_TUNED: {}}
    if name not in _VARIED:
        return {"": {}}
    table = paper_table("table14" if name == "figure4" else name)
    fdp, variants = TrainConfig(), {}
    for row in table.rows:
        overrides = {option: row[option.rpartition(".")[2]] for option in _VARIED[name]}
        # FDP itself has none, so that its run is that of the other tables.
        is_fdp = all(attrgetter(option)(fdp) == value for option, value in overrides.items())
        variants[row[table.columns[0]]] = {} if is_fdp else overrides
    return variants
