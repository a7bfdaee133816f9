"""Which folds share a group, how many fit, and where a group goes on: arithmetic by hand."""

import numpy as np
import pytest

from fdp_jax.grouping import (
    MOST_AT_ONCE,
    folds_that_fit,
    group_sizes,
    grouped,
    is_out_of_memory,
    starts,
)

GIGABYTE = 10**9


@pytest.mark.parametrize(
    ("count", "at_most", "sizes"),
    [
        (27, 10, [9, 9, 9]),
        (27, 24, [9, 9, 9]),  # three groups of one size before two of 14 and 13
        (28, 24, [14, 14]),
        (22, 24, [22]),
        (25, 24, [13, 12]),  # five groups of five would leave a device idle
        (3, 2, [2, 1]),
        (7, 3, [3, 2, 2]),
        (12, 4, [4, 4, 4]),
        (3, 1, [1, 1, 1]),
        (1, 9, [1]),
    ],
)
def test_groups_are_few_and_of_one_size_where_that_is_possible(count, at_most, sizes):
    assert group_sizes(count, at_most) == sizes


def test_groups_hold_every_fold_once_in_order_and_never_too_many():
    for count in range(1, 61):
        for at_most in range(1, 41):
            sizes = group_sizes(count, at_most)
            fewest = int(np.ceil(count / at_most))
            assert sum(sizes) == count and max(sizes) <= at_most and fewest <= len(sizes)
            assert max(sizes) - min(sizes) <= 1 and (len(sizes) == fewest or min(sizes) >= 8)
    assert grouped("abcdefg", 3) == [["a", "b", "c"], ["d", "e"], ["f", "g"]]
    assert grouped([], 3) == []


@pytest.mark.parametrize(
    ("free", "a_fold", "folds"),
    [
        # 0.9 x 100 GB = 90 GB.
        (100 * GIGABYTE, 9 * GIGABYTE, 10),
        (100 * GIGABYTE, 9 * GIGABYTE + 1, 9),
        (100 * GIGABYTE, 90 * GIGABYTE, 1),
        (4 * GIGABYTE, 5 * GIGABYTE, 1),  # one is tried in any case
        (100 * GIGABYTE, GIGABYTE, MOST_AT_ONCE),
    ],
)
def test_as_many_folds_as_the_memory_holds(free, a_fold, folds):
    assert folds_that_fit(free, a_fold) == folds


@pytest.mark.parametrize(
    ("saved", "parts"),
    [
        ([(0,), (0,), (0,)], [(0, [0, 1, 2])]),
        ([(300, 200), (300, 200)], [(300, [0, 1])]),
        # A kill between two members' checkpoints: the third, or the first, is missing.
        ([(300, 200), (300, 200), (200, 100)], [(200, [0, 1, 2])]),
        ([(100, 0), (0,)], [(0, [0, 1])]),
        # Members that were not trained together keep what they have.
        ([(300, 200), (0,), (0,)], [(0, [1, 2]), (300, [0])]),
        ([(300, 200), (200, 100), (100, 0)], [(100, [2]), (200, [1]), (300, [0])]),
        # Who is through does not train again, whatever the others have.
        ([(500,), (400, 300), (500,)], [(500, [0]), (500, [2]), (400, [1])]),
        ([(500,), (500,)], [(500, [0]), (500, [1])]),
    ],
)
def test_where_a_group_goes_on(saved, parts):
    assert starts(saved, steps=500) == parts


def test_what_counts_as_too_little_memory():
    assert is_out_of_memory(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."))
    assert not is_out_of_memory(RuntimeError("INVALID_ARGUMENT: shapes differ"))
