"""Folds: which people, groups of people or corpora are left out (section 4.1.2)."""

import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, LeaveOneGroupOut

from datasets.errors import UserError
from fdp_jax.config import check_groups

HELD_OUT_SHARE = 0.2  # share of a fold's training people held out for `--select=val`
_DRAWS = 100  # random draws of held-out people; the best balanced one is used


@dataclass(frozen=True)
class Fold:
    """One split of the clips.

    Attributes:
      name: the subject left out (`<corpus>_<subject>` where there are several corpora),
        `group_<k>`, or `<corpus>_to_<corpus>`.
      people: (corpus, subject) of everyone left out.
      train: int32 [clip], indices of the training clips, ascending.
      test: int32 [clip], indices of the clips of the people left out, ascending.
    """

    name: str
    people: tuple[tuple[str, str], ...]
    train: np.ndarray
    test: np.ndarray


def make_folds(
    datasets: Sequence[str],
    subjects: Sequence[str],
    split: Literal["people", "corpora"] = "people",
    group_folds: int = 0,
) -> list[Fold]:
    """Returns the folds of a protocol in a fixed order.

    Args:
      datasets: the corpus of each clip; two corpora may use one name for different people.
      subjects: the person of each clip.
      split: leave out people, or train on one corpus and test on another.
      group_folds: number of groups of people, or 0 for one person at a time. Groups are balanced
        by their clips.

    Raises:
      UserError: fewer than two people, a number of groups that they cannot fill, or groups of
        people where corpora are left out.
    """
    check_groups(group_folds, split)
    if split == "corpora":
        return _between_corpora(datasets, subjects)
    return _by_people(datasets, subjects, group_folds)


def _by_people(datasets: Sequence[str], subjects: Sequence[str], group_folds: int) -> list[Fold]:
    place = {dataset: number for number, dataset in enumerate(dict.fromkeys(datasets))}
    of_clip = list(zip(datasets, subjects, strict=True))
    people = sorted(set(of_clip), key=lambda person: (place[person[0]], person[1]))
    if len(people) < 2:
        raise UserError(
            f"leave-one-subject-out needs clips of at least two people; there are {len(people)}"
        )
    if group_folds and not 2 <= group_folds <= len(people):
        raise UserError(
            f"--group_folds={group_folds} is not possible: choose 2 to {len(people)} groups "
            f"for {len(people)} people, or 0 for leave-one-subject-out"
        )
    splitter = GroupKFold(group_folds) if group_folds else LeaveOneGroupOut()
    number_of = {person: number for number, person in enumerate(people)}
    groups = np.array([number_of[person] for person in of_clip])
    folds = []
    for number, (train, test) in enumerate(splitter.split(groups, groups=groups), start=1):
        left_out = [people[person] for person in np.unique(groups[test])]
        alone = left_out[0] if len(place) > 1 else left_out[0][1:]
        name = f"group_{number}" if group_folds else "_".join(alone)
        folds.append(_fold(name, left_out, train, test))
    return folds


def _between_corpora(datasets: Sequence[str], subjects: Sequence[str]) -> list[Fold]:
    of_clip = np.asarray(datasets)
    folds = []
    for source, target in itertools.permutations(dict.fromkeys(datasets), 2):
        train, test = np.flatnonzero(of_clip == source), np.flatnonzero(of_clip == target)
        left_out = sorted({(target, subjects[clip]) for clip in test})
        folds.append(_fold(f"{source}_to_{target}", left_out, train, test))
    return folds


def _fold(
    name: str, people: Sequence[tuple[str, str]], train: np.ndarray, test: np.ndarray
) -> Fold:
    return Fold(name, tuple(people), train.astype(np.int32), test.astype(np.int32))


def hold_out(
    fold: Fold,
    datasets: Sequence[str],
    subjects: Sequence[str],
    labels: Sequence[int] | np.ndarray,
    seed: int,
) -> Fold:
    """Returns a fold within the training part of `fold`, with some of its people held out.

    About a fifth of the people, at least one: the best of many random draws, whose clips come
    nearest to a fifth of each category. A pure function of seed and fold; the people that `fold`
    leaves out play no part.

    Args:
      fold: the fold whose `train` is split.
      datasets: the corpus of each clip.
      subjects: the person of each clip.
      labels: the category of each clip, from 0.
      seed: seed of the run.

    Returns:
      A fold of the same name; `people` and `test` are those held out.

    Raises:
      UserError: the fold trains on one person only.
    """
    of_clip = [(datasets[clip], subjects[clip]) for clip in fold.train]
    people = sorted(set(of_clip))
    if len(people) < 2:
        raise UserError(
            f"fold {fold.name} trains on one person only, so nobody can be held out to select a "
            "step; use --select=last"
        )
    number_of = {person: number for number, person in enumerate(people)}
    groups = np.array([number_of[person] for person in of_clip])
    categories = np.asarray(labels)[fold.train]
    wanted = HELD_OUT_SHARE * np.bincount(categories)

    def imbalance(split: tuple[np.ndarray, np.ndarray]) -> float:
        held_out = np.bincount(categories[split[1]], minlength=len(wanted))
        return np.abs(held_out - wanted).sum()

    entropy = np.random.SeedSequence((seed, zlib.crc32(fold.name.encode())))
    splitter = GroupShuffleSplit(
        _DRAWS,
        test_size=max(1, round(HELD_OUT_SHARE * len(people))),
        random_state=int(entropy.generate_state(1)[0]),
    )
    rest, held_out = min(splitter.split(groups, groups=groups), key=imbalance)
    names = [people[person] for person in np.unique(groups[held_out])]
    return _fold(fold.name, names, fold.train[rest], fold.train[held_out])


def choose_folds(folds: Sequence[Fold], names: Sequence[str]) -> list[Fold]:
    """Returns the named folds in protocol order, or all of them when no name is given.

    Raises:
      UserError: a name that no fold has.
    """
    known = {fold.name for fold in folds}
    for name in names:
        if name not in known:
            raise UserError(f"there is no fold '{name}'; the folds are {', '.join(sorted(known))}")
    return [fold for fold in folds if not names or fold.name in names]
