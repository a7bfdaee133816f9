"""How far the scores would move with other people: the bootstrap over people.

Clips of one person are alike, so that people are drawn, not clips: as many as there are, with
replacement, of each corpus by itself. A person who is drawn k times brings all of their clips k
times into the pooled table, which is then scored as ever. Where several seeds are averaged, the
same people are drawn for all of them, and where two runs are compared, for both. A class that none
of the people drawn has leaves UF1 and UAR of that draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fdp_jax.metrics.confusion import SCORED, scores_of
from fdp_jax.metrics.predictions import PredictionTable

DRAWS = 2000

Person = tuple[str, str]  # corpus, subject


@dataclass(frozen=True)
class Interval:
    """What holds the middle 95 % of the draws, by percentiles; fractions."""

    low: float
    high: float


@dataclass(frozen=True)
class Resampling:
    """Who was drawn how often.

    Attributes:
      people: everyone, in a fixed order.
      weights: int64 [draw, person], times drawn.
    """

    people: tuple[Person, ...]
    weights: np.ndarray

    @classmethod
    def of(cls, people: Sequence[Person], draws: int = DRAWS, seed: int = 0) -> "Resampling":
        """Draws everyone's corpus anew, `draws` times."""
        people = tuple(sorted(set(people)))
        rng = np.random.default_rng(seed)
        weights = np.empty((draws, len(people)), np.int64)
        for corpus in sorted({corpus for corpus, _ in people}):
            members = [place for place, person in enumerate(people) if person[0] == corpus]
            weights[:, members] = rng.multinomial(
                len(members), np.full(len(members), 1 / len(members)), size=draws
            )
        return cls(people, weights)

    @classmethod
    def none(cls, people: Sequence[Person]) -> "Resampling":
        """Everyone once: the scores as they are."""
        people = tuple(sorted(set(people)))
        return cls(people, np.ones((1, len(people)), np.int64))

    @property
    def says_something(self) -> bool:
        """Whether every corpus has at least two people; one alone is drawn every time."""
        corpora = [corpus for corpus, _ in self.people]
        return min(corpora.count(corpus) for corpus in corpora) > 1


def subject_bootstrap(
    tables: Sequence[PredictionTable], split: str = "people", draws: int = DRAWS, seed: int = 0
) -> dict[str, Interval] | None:
    """95 % intervals of accuracy, UF1 and UAR, averaged over the tables.

    Args:
      tables: the pooled predictions of each seed.
      split: what the protocol leaves out; see `drawn_scores`.
      draws: of people.
      seed: of the draws.

    Returns:
      Intervals under each name of `SCORED`; None where a corpus has one person, or the tables are
      not of the same people.
    """
    if len({tuple(table.people) for table in tables}) > 1:
        return None
    resampling = Resampling.of(tables[0].people, draws, seed)
    if not resampling.says_something:
        return None
    drawn = drawn_scores(tables, resampling, split)
    return {name: interval(draws_of) for name, draws_of in drawn.items()}


def drawn_scores(
    tables: Sequence[PredictionTable], resampling: Resampling, split: str = "people"
) -> dict[str, np.ndarray]:
    """The scores of every draw, the mean over the tables.

    Args:
      tables: the pooled predictions of each seed, of the people of `resampling`.
      resampling: who is drawn.
      split: of the protocol. Where people are left out, the clips of all corpora are scored as
        one table; where corpora are, each by itself, and the scores are averaged.

    Returns:
      float64 [draw] under each name of `SCORED`.
    """
    of_tables = [_of_table(table, resampling, split) for table in tables]
    return {name: np.mean([scores[name] for scores in of_tables], axis=0) for name in SCORED}


def _of_table(table: PredictionTable, resampling: Resampling, split: str) -> dict[str, np.ndarray]:
    parts = [resampling.people]
    if split == "corpora":
        corpora = dict.fromkeys(corpus for corpus, _ in table.people)
        parts = [[p for p in resampling.people if p[0] == corpus] for corpus in corpora]
    matrices = matrices_of_people(table, resampling.people)  # [person, true, predicted]
    scored = []
    for part in parts:
        places = [resampling.people.index(person) for person in part]
        drawn = np.tensordot(resampling.weights[:, places], matrices[places], axes=1)
        scored.append(scores_of(drawn))
    return {name: np.mean([scores[name] for scores in scored], axis=0) for name in SCORED}


def matrices_of_people(table: PredictionTable, people: Sequence[Person]) -> np.ndarray:
    """int64 [person, true, predicted]: the confusion matrix of each one's clips."""
    m = len(table.classes)
    of_person = {person: place for place, person in enumerate(people)}
    of_class = {name: place for place, name in enumerate(table.classes)}
    matrices = np.zeros((len(people), m, m), np.int64)
    for row in range(len(table)):
        person = of_person[table.dataset[row], table.subject[row]]
        matrices[person, of_class[table.label[row]], of_class[table.prediction[row]]] += 1
    return matrices


def interval(drawn: np.ndarray) -> Interval:
    """The interval of the draws [draw] of one score."""
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(float(low), float(high))
