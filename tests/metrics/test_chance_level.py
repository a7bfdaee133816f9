"""The chance level, worked out by hand and on the subjects of SAMM."""

import numpy as np
import pytest

from fdp_jax.metrics import statistics as module
from fdp_jax.metrics.statistics import chance_level
from tests.datasets import test_counts as sheets

SAMM_CLASSES = ("anger", "contempt", "happiness", "surprise", "other")
# Evaluations -> mean of accuracy and of macro F1, guesses drawn uniformly / from the class shares.
SAMM_LEVELS = {
    1: ((0.20, 0.27), (0.18, 0.20)),
    10: ((0.48, 0.55), (0.45, 0.46)),
    70: ((0.64, 0.70), (0.60, 0.62)),
    125: ((0.68, 0.73), (0.64, 0.66)),
}


def samm_labels():
    labels = {}
    for line in sheets.SAMM.replace("\n", "").split(";"):
        subject, counts = line.split()
        labels[subject] = [
            name
            for name, count in zip(SAMM_CLASSES, map(int, counts.split("/")), strict=True)
            for _ in range(count)
        ]
    return labels


@pytest.mark.parametrize("evaluations", SAMM_LEVELS)
def test_samm_with_five_categories(evaluations):
    labels = samm_labels()
    assert (len(labels), sum(map(len, labels.values()))) == (27, 136)
    found = chance_level(labels, SAMM_CLASSES, evaluations)
    assert (found["evaluations"], found["draws"]) == (evaluations, 200)
    (uniform, share), (uniform_f1, share_f1) = SAMM_LEVELS[evaluations]
    # A mean of 200 draws that spread by some 0.03 is sure to 0.005; the figures are rounded too.
    near = {"abs": 0.012}
    assert found["uniform"]["acc"]["mean"] == pytest.approx(uniform, **near)
    assert found["class_share"]["acc"]["mean"] == pytest.approx(share, **near)
    assert found["uniform"]["uf1"]["mean"] == pytest.approx(uniform_f1, **near)
    assert found["class_share"]["uf1"]["mean"] == pytest.approx(share_f1, **near)
    for level in (found["uniform"], found["class_share"]):
        for score in level.values():
            assert score["low"] < score["mean"] < score["high"]


def test_one_clip_a_fold_by_hand():
    # Two evaluations miss a clip with (1/2)^2; by shares an a with (1/4)^2, the b with (3/4)^2.
    labels = {"1": ["a"], "2": ["a"], "3": ["a"], "4": ["b"]}
    found = chance_level(labels, ("a", "b"), evaluations=2, draws=20000)
    assert found["uniform"]["acc"]["mean"] == pytest.approx(3 / 4, abs=0.01)
    by_share = (3 * 15 / 16 + 7 / 16) / 4
    assert found["class_share"]["acc"]["mean"] == pytest.approx(by_share, abs=0.01)
    # Four clips, each right with 3/4: nobody right in (1/4)^4 of the draws, all in (3/4)^4.
    assert (found["uniform"]["acc"]["low"], found["uniform"]["acc"]["high"]) == (0.25, 1.0)


class Scripted:
    """A random generator that returns given numbers."""

    def __init__(self, *draws):
        self.draws = iter(draws)

    def integers(self, high, size):
        drawn = np.array(next(self.draws))
        assert drawn.shape == size and drawn.max() < high
        return drawn


def test_each_draw_keeps_the_first_of_its_best_evaluations():
    labels, pool = np.array([0, 1]), np.array([0, 1, 2])
    evaluations = (
        [[2, 2], [0, 2]],  # none right; one right
        [[0, 2], [2, 1]],  # one right; one right, too late
        [[2, 1], [0, 1]],  # one right, too late; both right
    )
    best = module._best_guesses(labels, pool, 3, 2, Scripted(*evaluations))
    assert best.tolist() == [[0, 2], [0, 1]]
    # Guesses are members of the pool, not places in it.
    best = module._best_guesses(labels, np.array([1, 0]), 1, 1, Scripted([[1, 0]]))
    assert best.tolist() == [[0, 1]]


def test_directions_are_scored_separately():
    # With 60 evaluations the one clip of x is right, whatever y reaches with its 100 clips.
    labels = {"x": ["a"], "y": ["a"] * 50 + ["b"] * 50}
    pooled = chance_level(labels, ("a", "b"), 60)["uniform"]["acc"]["mean"]
    directions = chance_level(labels, ("a", "b"), 60, split="corpora")["uniform"]["acc"]["mean"]
    y = 2 * directions - 1
    assert 0.55 < y < 0.75
    assert pooled == pytest.approx((1 + 100 * y) / 101, abs=1e-12)


def test_draws_and_seed_count():
    labels = samm_labels()
    first = chance_level(labels, SAMM_CLASSES, 3, draws=20, seed=1)
    assert first == chance_level(labels, SAMM_CLASSES, 3, draws=20, seed=1)
    assert first["uniform"] != chance_level(labels, SAMM_CLASSES, 3, draws=20, seed=2)["uniform"]
    assert first["uniform"] != chance_level(labels, SAMM_CLASSES, 3, draws=21, seed=1)["uniform"]


@pytest.mark.parametrize(
    ("labels", "evaluations", "draws"),
    [
        ({}, 1, 1),
        ({"1": []}, 1, 1),
        ({"1": ["c"]}, 1, 1),
        ({"1": ["a"]}, 0, 1),
        ({"1": ["a"]}, 1, 0),
    ],
)
def test_invalid_input_is_refused(labels, evaluations, draws):
    with pytest.raises(ValueError):
        chance_level(labels, ("a", "b"), evaluations, draws)


def test_where_corpora_are_left_out_the_shares_are_of_the_corpora_trained_on():
    labels = {"one_to_two": ["a"] * 40, "two_to_one": ["b"] * 40}
    level = chance_level(labels, ("a", "b"), evaluations=1, draws=20, split="corpora")
    # Each direction's guesser knows the other class alone.
    assert level["class_share"]["acc"]["mean"] == 0
    pooled = chance_level(labels, ("a", "b"), evaluations=1, draws=20, split="people")
    assert 0.4 < pooled["class_share"]["acc"]["mean"] < 0.6
