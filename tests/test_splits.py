"""Folds by people, and the order in which their clips are seen."""

import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax.rng import batch_indices
from fdp_jax.splits import choose_folds, make_folds

SUBJECTS = ["007", "006", "007", "011", "006", "007", "013"]
ONE = ["samm"] * 7


def test_loso_leaves_each_person_out_once_and_never_trains_on_them():
    folds = make_folds(ONE, SUBJECTS)
    assert [fold.name for fold in folds] == ["006", "007", "011", "013"]
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(7))
    for fold in folds:
        assert {SUBJECTS[i] for i in fold.test} == {fold.name}
        assert fold.people == (("samm", fold.name),)
        assert fold.name not in {SUBJECTS[i] for i in fold.train}
        assert len(fold.train) + len(fold.test) == 7


def test_groups_of_people_are_left_out_whole():
    subjects = [f"{person:02d}" for person in range(10) for _ in range(person + 1)]
    folds = make_folds(["samm"] * len(subjects), subjects, group_folds=3)
    assert [fold.name for fold in folds] == ["group_1", "group_2", "group_3"]
    left_out = [{subject for _, subject in fold.people} for fold in folds]
    assert set.union(*left_out) == set(subjects)
    assert sum(len(people) for people in left_out) == 10
    for fold, people in zip(folds, left_out, strict=True):
        assert {subjects[i] for i in fold.test} == people
        assert not {subjects[i] for i in fold.train} & people
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 3  # balanced by clips


def test_impossible_folds_are_refused():
    with pytest.raises(UserError, match="at least two people"):
        make_folds(ONE[:2], ["006", "006"])
    for groups in (1, 5, -2):
        with pytest.raises(UserError, match="choose 2 to 4 groups"):
            make_folds(ONE, SUBJECTS, group_folds=groups)
    with pytest.raises(UserError, match="no fold '099'; the folds are 006, 007, 011, 013"):
        choose_folds(make_folds(ONE, SUBJECTS), ["007", "099"])


def test_chosen_folds_keep_protocol_order():
    chosen = choose_folds(make_folds(ONE, SUBJECTS), ["013", "006"])
    assert [fold.name for fold in chosen] == ["006", "013"]
    assert len(choose_folds(make_folds(ONE, SUBJECTS), [])) == 4


@pytest.mark.parametrize(("clips", "batch"), [(10, 4), (10, 10), (3, 8), (7, 20)])
def test_batches_are_pieces_of_one_endless_sequence_of_epochs(clips, batch):
    train = np.arange(100, 100 + clips, dtype=np.int32)
    pieces = [batch_indices(train, batch, seed=3, fold="006", step=step) for step in range(12)]
    assert all(piece.shape == (batch,) for piece in pieces)
    sequence = np.concatenate(pieces)
    for epoch in range(len(sequence) // clips):
        assert sorted(sequence[epoch * clips : (epoch + 1) * clips]) == train.tolist()


def test_order_depends_on_seed_fold_and_epoch_and_on_nothing_else():
    train = np.arange(30, dtype=np.int32)

    def order(**changed):
        return batch_indices(train, 30, **{"seed": 0, "fold": "a", "step": 0, **changed}).tolist()

    assert order() == order()
    assert len({tuple(order(**c)) for c in ({}, {"seed": 1}, {"fold": "b"}, {"step": 1})}) == 4
