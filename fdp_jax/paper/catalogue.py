"""What each table and figure of the paper consists of: runs, and how they are shown.

A run is a corpus, a protocol and options of `fdp_jax.train`; runs that several experiments share
have one folder. Nothing heavy is imported here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from datasets.errors import UserError
from datasets.protocols import get_protocol
from fdp_jax.paper.numbers import paper_table

# What Table 9, Table 14 and Figure 4 call the variants.
ABLATIONS = {
    "": "FDP",
    "no_dic": "FDP w/o DIC",
    "no_rank": "FDP w/o rank",
    "no_local": "FDP w/o L",
    "no_global": "FDP w/o G",
    "no_local_global": "FDP w/o L&G",
    "no_mer": "FDP w/o MER",
}


@dataclass(frozen=True)
class RunSpec:
    """One training, all of its folds.

    Attributes:
      row: what tells it apart within the experiment, as the paper's table has it.
      dataset, protocol: as of `fdp_jax.train`; the dataset is empty for a composite.
      overrides: further options, name -> value.
    """

    row: str
    dataset: str
    protocol: str
    overrides: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """What a note calls it."""
        return ABLATIONS.get(self.row, self.row)

    @property
    def corpora(self) -> tuple[str, ...]:
        """The corpora that must be built."""
        return get_protocol(self.dataset or None, self.protocol or None).datasets

    def folder(self, preset: str) -> str:
        """Name of its work directory; the same for the same run of any experiment."""
        parts = [self.dataset, self.protocol, preset]
        parts += [
            value if name == "ablate" else f"{name}={value}" for name, value in self.overrides
        ]
        return "_".join(filter(None, parts))

    def arguments(self) -> list[str]:
        """Its part of the command line of `fdp_jax.train`."""
        named = [("dataset", self.dataset), ("protocol", self.protocol), *self.overrides]
        return [f"--{name}={value}" for name, value in named if value]


Kind = Literal[
    "methods", "ablations", "backbones", "weights", "significance", "clips", "inputs", "images"
]
_NOT_TRAINED = ("significance", "inputs")


@dataclass(frozen=True)
class Experiment:
    """One table or figure.

    Attributes:
      name: as the paper numbers it.
      title: in one line.
      kind: how it is shown; see `tables` and `pictures`.
      runs: the trainings, in the order of the rows; of a kind that trains nothing, the corpus.
    """

    name: str
    title: str
    kind: Kind
    runs: tuple[RunSpec, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return self.kind not in _NOT_TRAINED

    @property
    def chosen_options(self) -> tuple[str, ...]:
        """Options of the trainer that tell its runs apart, and so are not the user's to give."""
        return tuple(dict.fromkeys(name for run in self.runs for name, _ in run.overrides))


def _on(dataset: str, protocol: str) -> tuple[RunSpec, ...]:
    return (RunSpec(dataset, dataset, protocol),)


def _ablations(dataset: str, protocol: str, names: tuple[str, ...]) -> tuple[RunSpec, ...]:
    return tuple(
        RunSpec(name, dataset, protocol, (("ablate", name),) if name else ()) for name in names
    )


def _backbones(dataset: str, protocol: str) -> tuple[RunSpec, ...]:
    names = paper_table("table10").column("backbone")
    return tuple(
        RunSpec(name, dataset, protocol, (("backbone", name),) if name != "fdp" else ())
        for name in names
    )


def _weights(dataset: str, protocol: str) -> tuple[RunSpec, ...]:
    table = paper_table("table11")
    rows = zip(
        table.column("weights"),
        table.column("dynamic_image_weight"),
        table.column("rank_weight"),
        strict=True,
    )
    return tuple(
        RunSpec(
            row,
            dataset,
            protocol,
            # The paper's own weights are the default, and so the run of the other tables.
            ()
            if (image, rank) == (100, 0.1)
            else (
                ("loss.dynamic_image_weight", str(image)),
                ("loss.rank_weight", str(rank)),
            ),
        )
        for row, image, rank in rows
    )


_TABLE9 = ("", "no_dic", "no_rank", "no_local", "no_global", "no_local_global")
_TABLE14 = ("", "no_mer", "no_local", "no_global", "no_local_global")
_Build = Callable[[str, str], tuple[RunSpec, ...]]
_VARIANTS: dict[str, tuple[str, Kind, _Build]] = {
    "table9": ("FDP without each of its parts", "ablations", lambda *on: _ablations(*on, _TABLE9)),
    "table10": ("other backbones, and how many parameters they have", "backbones", _backbones),
    "table11": ("weights of the losses", "weights", _weights),
    "table14": (
        "error of the constructed dynamic images without each part", "ablations",
        lambda *on: _ablations(*on, _TABLE14),
    ),
    "figure1": ("dynamic images of some clips; trains nothing", "inputs", _on),
    "figure4": (
        "dynamic images constructed by FDP and its variants", "images",
        lambda *on: _ablations(*on, _TABLE14),
    ),
}  # fmt: skip
_FIXED = {
    "table4": Experiment(
        "table4", "CASME II and SAMM, five categories", "methods",
        _on("casme2", "5class") + _on("samm", "5class"),
    ),
    "table5": Experiment(
        "table5", "CASME II and SAMM, three categories", "methods",
        _on("casme2", "3class") + _on("samm", "3class"),
    ),
    "table6": Experiment(
        "table6", "CAS(ME)^2, four categories", "methods", _on("casme_sq", "4class")
    ),
    "table7": Experiment(
        "table7", "CAS(ME)^3, seven categories", "methods", _on("casme3", "7class")
    ),
    "table8": Experiment(
        "table8", "trained on one corpus, tested on another, both ways and their mean", "methods",
        (RunSpec("cross", "", "cross"),),
    ),
    "table12": Experiment(
        "table12", "rank-sum tests against the other methods; trains nothing", "significance",
    ),
    "table13": Experiment(
        "table13", "rank-sum tests against the variants; trains nothing", "significance",
    ),
    "table15": Experiment(
        "table15", "clips recognised and mistaken, with their dynamic images", "clips",
        _on("samm", "5class") + _on("casme2", "5class"),
    ),
}  # fmt: skip

NAMES = (*(f"table{number}" for number in range(4, 16)), "figure1", "figure4")


def experiment(name: str, dataset: str = "", protocol: str = "") -> Experiment:
    """The experiment of that name, on the paper's corpora or on another one.

    Args:
      name: one of NAMES.
      dataset: takes the place of SAMM, or of all corpora of a table that has several.
      protocol: of `dataset`; its first one where none is named.

    Raises:
      UserError: there is no such corpus or protocol, or the experiment takes none.
    """
    if name in _VARIANTS:
        title, kind, build = _VARIANTS[name]
        chosen = get_protocol(dataset or "samm", protocol or None)
        return Experiment(name, title, kind, build(chosen.dataset, chosen.name))
    found = _FIXED[name]
    if not dataset and not protocol:
        return found
    if not any(run.dataset for run in found.runs):
        raise UserError(
            f"{name} is of the paper's own corpora; leave out --dataset and --protocol."
        )
    if not dataset:
        raise UserError(f"--protocol={protocol} of {name} needs a corpus; name it with --dataset.")
    runs = tuple(run for run in found.runs if run.dataset == dataset)
    if not runs or protocol:
        chosen = get_protocol(dataset, protocol or None)
        runs = _on(chosen.dataset, chosen.name)
    return Experiment(name, found.title, found.kind, runs)
