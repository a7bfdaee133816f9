"""The level of guessing: worked out by hand, on SAMM's people, and by its command."""

import json

import numpy as np
import openpyxl
import pytest

from datasets.errors import UserError
from fdp_jax import report
from fdp_jax.metrics import chance
from fdp_jax.metrics.chance import chance_level
from tests.conftest import run_module
from tests.datasets import test_counts as sheets
from tests.reporting.test_report_workdir import make_workdir

SAMM_CLASSES = ("anger", "contempt", "happiness", "surprise", "other")
# Looks -> mean of accuracy and of macro F1, guesses drawn uniformly / from the class shares.
SAMM_LEVELS = {
    1: ((0.20, 0.27), (0.18, 0.20)),
    10: ((0.48, 0.55), (0.45, 0.46)),
    70: ((0.64, 0.70), (0.60, 0.62)),
    125: ((0.68, 0.73), (0.64, 0.66)),
}


def samm_labels():
    labels = {}
    for person in sheets.SAMM.replace("\n", "").split(";"):
        subject, counts = person.split()
        labels[subject] = [
            name
            for name, count in zip(SAMM_CLASSES, map(int, counts.split("/")), strict=True)
            for _ in range(count)
        ]
    return labels


@pytest.mark.parametrize("looks", SAMM_LEVELS)
def test_samm_with_five_categories(looks):
    labels = samm_labels()
    assert (len(labels), sum(map(len, labels.values()))) == (27, 136)
    found = chance_level(labels, SAMM_CLASSES, looks)
    assert (found.looks, found.draws) == (looks, 200)
    (uniform, share), (uniform_f1, share_f1) = SAMM_LEVELS[looks]
    # A mean of 200 draws that spread by some 0.03 is sure to 0.005; the figures are rounded too.
    near = {"abs": 0.012}
    assert found.uniform.acc.mean == pytest.approx(uniform, **near)
    assert found.class_share.acc.mean == pytest.approx(share, **near)
    assert found.uniform.uf1.mean == pytest.approx(uniform_f1, **near)
    assert found.class_share.uf1.mean == pytest.approx(share_f1, **near)
    for level in (found.uniform, found.class_share):
        for score in (level.acc, level.uf1):
            assert score.low < score.mean < score.high


def test_one_clip_a_fold_by_hand():
    # Two looks miss a clip with (1/2)^2; by shares an a with (1/4)^2, the b with (3/4)^2.
    labels = {"1": ["a"], "2": ["a"], "3": ["a"], "4": ["b"]}
    found = chance_level(labels, ("a", "b"), looks=2, draws=20000)
    assert found.uniform.acc.mean == pytest.approx(3 / 4, abs=0.01)
    assert found.class_share.acc.mean == pytest.approx((3 * 15 / 16 + 7 / 16) / 4, abs=0.01)
    # Four clips, each right with 3/4: nobody right in (1/4)^4 of the draws, all in (3/4)^4.
    assert (found.uniform.acc.low, found.uniform.acc.high) == (0.25, 1.0)


class Scripted:
    """Stands in for a random generator: draws what it is told."""

    def __init__(self, *draws):
        self.draws = iter(draws)

    def integers(self, high, size):
        drawn = np.array(next(self.draws))
        assert drawn.shape == size and drawn.max() < high
        return drawn


def test_each_draw_keeps_the_first_of_its_best_looks():
    labels, pool = np.array([0, 1]), np.array([0, 1, 2])
    looks = (
        [[2, 2], [0, 2]],  # none right; one right
        [[0, 2], [2, 1]],  # one right; one right, too late
        [[2, 1], [0, 1]],  # one right, too late; both right
    )
    best = chance._best_looks(labels, pool, 3, 2, Scripted(*looks))
    assert best.tolist() == [[0, 2], [0, 1]]
    # Guesses are members of the pool, not places in it.
    best = chance._best_looks(labels, np.array([1, 0]), 1, 1, Scripted([[1, 0]]))
    assert best.tolist() == [[0, 1]]


def test_directions_are_scored_by_themselves():
    # With 60 looks the one clip of x is right, whatever y reaches with its 100 clips.
    labels = {"x": ["a"], "y": ["a"] * 50 + ["b"] * 50}
    pooled = chance_level(labels, ("a", "b"), 60).uniform.acc.mean
    directions = chance_level(labels, ("a", "b"), 60, split="corpora").uniform.acc.mean
    y = 2 * directions - 1
    assert 0.55 < y < 0.75
    assert pooled == pytest.approx((1 + 100 * y) / 101, abs=1e-12)


def test_draws_and_seed_count():
    labels = samm_labels()
    first = chance_level(labels, SAMM_CLASSES, 3, draws=20, seed=1)
    assert first == chance_level(labels, SAMM_CLASSES, 3, draws=20, seed=1)
    assert first.uniform != chance_level(labels, SAMM_CLASSES, 3, draws=20, seed=2).uniform
    assert first.uniform != chance_level(labels, SAMM_CLASSES, 3, draws=21, seed=1).uniform


@pytest.mark.parametrize(
    ("labels", "looks", "draws"),
    [
        ({}, 1, 1),
        ({"1": []}, 1, 1),
        ({"1": ["c"]}, 1, 1),
        ({"1": ["a"]}, 0, 1),
        ({"1": ["a"]}, 1, 0),
    ],
)
def test_nonsense_is_refused(labels, looks, draws):
    with pytest.raises(ValueError):
        chance_level(labels, ("a", "b"), looks, draws)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The sheets of three corpora with the published totals, SAMM's person by person."""
    parent = tmp_path_factory.mktemp("sheets")
    for name, write in {
        "samm": sheets._samm,
        "CASME2": lambda folder: sheets._casme2(folder, "2014", False),
        "smic": sheets._smic,
    }.items():
        (parent / name).mkdir()
        write(parent / name)
    return parent


def told(capsys, *arguments) -> str:
    report.main(["chance", *map(str, arguments)])
    return capsys.readouterr().out


def test_the_command_gives_the_level_from_the_sheet_alone(folder):
    done = run_module(
        "fdp_jax.report", "chance", "--dataset=samm", "--protocol=5class", "--looks=10",
        f"--annotations={folder / 'samm'}", "--json",
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["n_clips"], found["n_subjects"], found["n_folds"]) == (136, 27, 27)
    assert found["classes"] == list(SAMM_CLASSES) and found["warnings"] == []
    (level,) = found["levels"]
    expected = chance_level(samm_labels(), SAMM_CLASSES, 10)
    assert level["looks"] == 10 and level["draws"] == 200
    for kind in ("uniform", "class_share"):
        for score in ("acc", "uf1"):
            of_command = level[kind][score]["mean"]
            assert of_command == pytest.approx(
                getattr(getattr(expected, kind), score).mean, abs=0.01
            )


def test_the_screen_says_what_it_means(folder, capsys):
    place = f"--annotations={folder / 'samm'}"
    text = told(capsys, "--dataset=samm", place)
    assert "136 clips of 27 people, 27 folds, 5 classes" in text
    for looks in (1, 10, 70, 125):
        assert f"\n  {looks} " in text
    assert "Nothing was trained" in text and "test-best" in text and "200 random runs" in text
    assert "WARNING" not in text
    text = told(capsys, "--dataset=samm", place, "--looks=3", "--draws=50", "--seed=4")
    assert "50 random runs (seed 4)" in text and "\n  3 " in text and "\n  10 " not in text


def test_groups_of_people_are_fewer_folds_and_so_less_luck(folder, capsys):
    levels = {}
    for groups in (0, 3):
        found = told(
            capsys, "--dataset=samm", f"--annotations={folder / 'samm'}", "--looks=10",
            f"--group_folds={groups}", "--json",
        )  # fmt: skip
        levels[groups] = json.loads(found)
    assert levels[3]["n_folds"] == 3
    acc = {k: found["levels"][0]["uniform"]["acc"]["mean"] for k, found in levels.items()}
    assert acc[3] < acc[0] - 0.1


def test_composites_take_the_parent_of_their_folders(folder, capsys):
    found = json.loads(told(capsys, "--protocol=megc2019", f"--annotations={folder}", "--looks=1",
                            "--json"))  # fmt: skip
    assert (found["n_clips"], found["n_folds"], found["split"]) == (442, 68, "people")
    assert found["levels"][0]["uniform"]["acc"]["mean"] == pytest.approx(1 / 3, abs=0.02)
    found = json.loads(told(capsys, "--protocol=cross", f"--annotations={folder}", "--looks=1",
                            "--json"))  # fmt: skip
    assert (found["n_clips"], found["n_folds"], found["split"]) == (156 + 67, 2, "corpora")
    text = told(capsys, "--protocol=cross", f"--annotations={folder}", "--looks=1")
    assert "each direction by itself" in text


def test_a_sheet_that_differs_is_told(tmp_path, capsys):
    sheets._samm(tmp_path)
    (path,) = tmp_path.glob("*.xlsx")
    book = openpyxl.load_workbook(path)
    row = next(row for row in book.active.iter_rows() if row[9].value == "Anger")
    row[9].value = "Disgust"
    book.save(path)
    text = told(capsys, "--dataset=samm", f"--annotations={tmp_path}", "--looks=1")
    assert "135 clips of 27 people" in text
    assert "WARNING: samm differs from the published corpus" in text and "anger 56 (57)" in text
    with pytest.raises(UserError, match="has no folder casme2"):
        told(capsys, "--protocol=cross", f"--annotations={tmp_path}")


def test_a_built_corpus_tells_too(data_dir, capsys):
    found = json.loads(told(capsys, "--dataset=synthetic", f"--data_dir={data_dir}", "--looks=2",
                            "--json"))  # fmt: skip
    assert (found["n_clips"], found["n_folds"], len(found["classes"])) == (30, 6, 5)


def test_a_work_directory_tells_its_folds_and_its_looks(tmp_path, capsys):
    workdir = make_workdir(tmp_path / "work")
    found = json.loads(told(capsys, f"--workdir={workdir}", "--json"))
    assert (found["dataset"], found["n_clips"], found["n_folds"]) == ("synthetic", 12, 3)
    assert [level["looks"] for level in found["levels"]] == [1, 10, 70, 125]
    run = workdir / "seed_0" / "run.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | {"looks": {"test-best": 7}}))
    (workdir / "seed_0" / "folds" / "007" / "done.json").unlink()
    text = told(capsys, f"--workdir={workdir}")
    assert "\n  7 " in text and "\n  10 " not in text
    assert "WARNING: 1 of 3 folds are missing" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lokks=3"], "no option --lokks; did you mean --looks"),
        (["--dataset=sam"], "no corpus 'sam'"),
        (["--dataset=samm", "--protocol=7class"], "no protocol '7class'"),
        ([], "name a corpus with --dataset"),
        (["--dataset=samm", "--looks=0"], "must be at least 1"),
        (["--dataset=samm", "--draws=0"], "must be at least 1"),
        (["--dataset=samm", "--seed=-1"], "--seed must be at least 0"),
        (["--dataset=samm", "--data_dir=nowhere"], "not built in nowhere.*--annotations=DIR"),
        (["--dataset=samm", "--annotations=nowhere"], "folder nowhere does not exist"),
        (["--dataset=synthetic", "--annotations=nowhere"], "synthetic has no annotation sheet"),
        (["--annotations=x", "--data_dir=y"], "one place"),
        (["--workdir=nowhere"], "nowhere is not a folder"),
        (["--workdir=nowhere", "--dataset=samm"], "leave out --dataset"),
        (["--protocol=cross", "--group_folds=3"], "leave it out"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    with pytest.raises(UserError, match=words) as caught:
        report.main(["chance", *arguments])
    assert "\n" not in str(caught.value)


def test_where_corpora_are_left_out_the_shares_are_of_the_corpora_trained_on():
    labels = {"one_to_two": ["a"] * 40, "two_to_one": ["b"] * 40}
    level = chance_level(labels, ("a", "b"), looks=1, draws=20, split="corpora")
    assert level.class_share.acc.mean == 0  # each direction's guesser knows the other class alone
    pooled = chance_level(labels, ("a", "b"), looks=1, draws=20, split="people")
    assert 0.4 < pooled.class_share.acc.mean < 0.6
