"""Which people are left out when: leave-one-subject-out, or groups of people (section 4.1.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

from datasets.errors import UserError


@dataclass(frozen=True)
class Fold:
    """One split of the clips by people.

    Attributes:
      name: the subject left out, or `group_<k>`.
      subjects: the people left out, sorted.
      train: int32 [clip], numbers of the clips to train on, rising.
      test: int32 [clip], numbers of the clips of the people left out, rising.
    """

    name: str
    subjects: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray


def make_folds(subjects: Sequence[str], group_folds: int = 0) -> list[Fold]:
    """The folds of a protocol, in a fixed order.

    Args:
      subjects: the person of each clip.
      group_folds: number of groups of people, or 0 for one person at a time. Groups are balanced
        by their clips.

    Raises:
      UserError: fewer than two people, or a number of groups that they cannot fill.
    """
    people = sorted(set(subjects))
    if len(people) < 2:
        raise UserError(
            f"leaving a person out needs clips of at least two people, here are {len(people)}"
        )
    if group_folds and not 2 <= group_folds <= len(people):
        raise UserError(
            f"--group_folds={group_folds} is not possible: choose 2 to {len(people)} groups "
            f"for {len(people)} people, or 0 for leave-one-subject-out"
        )
    splitter = GroupKFold(group_folds) if group_folds else LeaveOneGroupOut()
    groups = np.asarray(subjects)
    folds = []
    for number, (train, test) in enumerate(splitter.split(groups, groups=groups), start=1):
        left_out = tuple(sorted(set(groups[test].tolist())))
        name = f"group_{number}" if group_folds else left_out[0]
        folds.append(Fold(name, left_out, train.astype(np.int32), test.astype(np.int32)))
    return folds


def choose_folds(folds: Sequence[Fold], names: Sequence[str]) -> list[Fold]:
    """The folds of those names in protocol order; all of them when no name is given.

    Raises:
      UserError: a name that no fold has.
    """
    known = {fold.name for fold in folds}
    for name in names:
        if name not in known:
            raise UserError(f"there is no fold '{name}'; the folds are {', '.join(sorted(known))}")
    return [fold for fold in folds if not names or fold.name in names]
