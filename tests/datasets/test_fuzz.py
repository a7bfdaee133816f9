"""Corpora spoilt at random end in a build or in a sentence, and lose no clip silently."""

import pytest

from tests.helpers.corpus_mutations import remember_faces, run_case

_QUICK, _ALL, _AT_ONCE = 40, 540, 25


@pytest.fixture(scope="module", autouse=True)
def faces_found_once():
    with pytest.MonkeyPatch.context() as patch:
        remember_faces(patch.setattr)
        yield


@pytest.mark.parametrize("number", range(_QUICK))
def test_a_spoilt_corpus(tmp_path, number):
    run_case(number, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(_QUICK, _ALL, _AT_ONCE))
def test_many_spoilt_corpora(tmp_path, first):
    for number in range(first, first + _AT_ONCE):
        run_case(number, tmp_path / str(number))
