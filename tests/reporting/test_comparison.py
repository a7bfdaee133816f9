"""Two work directories compared: planted answers, with every number worked out by hand."""

import json

import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax import report
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.reporting.comparison import compare, text
from tests.conftest import run_module
from tests.helpers.workdirs import change_json, make_workdir

AB = ("a", "b")
# Subject -> true class and prediction of each clip; four clips each, as in the other files.
FIRST = {"1": "aa ab bb ba", "2": "aa aa bb bb", "3": "ab ab ba bb"}
SECOND = {"1": "aa aa bb ba", "2": "aa ab bb bb", "3": "aa aa bb bb"}


def planted(root, *answers, seeds=(0,), select="last", classes=AB, config=(), run=()):
    """A work directory whose seeds give these answers, a mapping for each seed."""
    subjects = tuple(answers[0])
    make_workdir(root, seeds=seeds, subjects=subjects, classes=classes)
    for seed, of_seed in zip(seeds, answers, strict=True):
        folder = root / f"seed_{seed}"
        info = {"select": select, "evaluations": {select: 1}} | dict(run)
        change_json(folder / "run.json", **info)
        for subject, pairs in of_seed.items():
            labels, named = zip(*pairs.split(), strict=True)
            chosen = [classes.index(name) for name in named]
            PredictionTable.of_fold(
                protocol="5class", select=select, seed=seed, fold=subject, classes=classes,
                datasets=["synthetic"] * 4, subjects=[subject] * 4, clips=list("wxyz"),
                labels=labels, probabilities=np.eye(len(classes))[chosen], dic_mse=np.zeros(4),
            ).write(folder / "folds" / subject / "predictions.csv")  # fmt: skip
    change_json(root / "config.json", **dict(config))
    return root


@pytest.fixture
def pair(tmp_path):
    return planted(tmp_path / "one", FIRST), planted(tmp_path / "two", SECOND)


def test_scores_difference_and_mcnemar_by_hand(pair):
    found = compare(*pair)
    assert found["clips"] == {
        "common": 12, "subjects": 3, "only_first": [], "only_second": [], "relabelled": [],
    }  # fmt: skip
    # First: a right 3 of 6 and named 5 times, b right 4 of 6 and named 7 times.
    # Second: a right 5 of 6 and named 6 times, b right 5 of 6.
    scores = found["scores"]
    acc, uf1, uar = (scores[name] for name in ("acc", "uf1", "uar"))
    assert acc["first"]["value"] == pytest.approx(7 / 12)
    assert acc["second"]["value"] == pytest.approx(10 / 12)
    assert acc["difference"]["value"] == pytest.approx(3 / 12)
    assert uf1["first"]["value"] == pytest.approx((6 / 11 + 8 / 13) / 2)
    assert uf1["second"]["value"] == pytest.approx(10 / 12)
    assert uar["difference"]["value"] == pytest.approx(10 / 12 - (3 / 6 + 4 / 6) / 2)
    assert acc["first"]["per_seed"] == [pytest.approx(7 / 12)] and acc["first"]["spread"] is None
    # By subject, the first has 2, 4 and 1 of 4 right, the second 3, 3 and 4: differences 1/4, -1/4
    # and 3/4. One subject three times is 1/27 of the draws, more than 2.5 %.
    assert acc["first"]["interval"] == pytest.approx([1 / 4, 1])
    assert acc["second"]["interval"] == pytest.approx([3 / 4, 1])
    assert acc["difference"]["interval"] == pytest.approx([-1 / 4, 3 / 4])
    # Only the first has clip x of 2; only the second x of 1, and w, x and y of 3.
    (test,) = found["mcnemar"]["tests"]
    assert test == {
        "first_seed": 0, "second_seed": 0, "both_correct": 6, "only_first": 1, "only_second": 4,
        "both_wrong": 1, "p_value": pytest.approx(2 * (1 + 5) / 2**5),
    }  # fmt: skip
    assert found["mcnemar"]["p_value"] == test["p_value"]
    assert found["warnings"] == [] and found["options"] == []
    shown = text(found)
    assert "58.33 % [25.0, 100.0]" in shown and "+25.00 [-25.0, +75.0]" in shown
    assert "0.375" in shown and "Verdict: no difference is established." in shown
    assert "With 3 subjects, it tends to be too narrow" in shown and "WARNING" not in shown


def test_the_difference_is_paired(tmp_path):
    # Both are as far from certain by themselves, and yet one is above the other for everyone.
    subjects = [str(k) for k in range(8)]
    low = {k: "aa aa aa ab" if int(k) % 2 else "ab ab ab ab" for k in subjects}
    high = {k: "aa aa aa aa" if int(k) % 2 else "aa ab ab ab" for k in subjects}
    found = compare(planted(tmp_path / "1", low), planted(tmp_path / "2", high))
    acc = found["scores"]["acc"]
    assert acc["first"]["interval"][1] > acc["second"]["interval"][0]
    assert acc["difference"]["interval"] == pytest.approx([1 / 4, 1 / 4])
    # Of 8 people the interval is too narrow to decide alone; McNemar's P is 2 / 2**8.
    assert found["verdict"]["decides"] == "both"
    assert "Verdict: the second is higher in Acc (= WAR), " in text(found)
    turned = compare(tmp_path / "2", tmp_path / "1")["scores"]["acc"]["difference"]
    assert turned["value"] == pytest.approx(-1 / 4)
    assert turned["interval"] == pytest.approx([-1 / 4, -1 / 4])


@pytest.mark.parametrize(
    ("people", "improved", "p", "decides", "sentences"),
    [
        # 4 of 20 people improve: in 1.2 % of the draws none of them is there.
        (20, 4, "0.125", "interval",
         ["Verdict: the second is higher in Acc (= WAR)",
          "Deciding test: whether the interval of the difference over subjects excludes 0, not"
          " McNemar's test, since clips of one subject are not independent",
          "McNemar's test (P = 0.125), which counts single clips, does not overrule it."]),
        (20, 2, "0.5", "interval",
         ["Verdict: no difference is established. Deciding test: whether"]),
        (5, 5, "0.0625", "both",
         ["Verdict: no difference is established.", "Deciding test: both together. ",
          "with fewer than 20 subjects it",
          "McNemar's test must agree (P below 0.05; here P = 0.0625)"]),
        (1, 1, "1", "mcnemar",
         ["Verdict: no difference is established. Deciding test: McNemar's (P = 1), since"]),
    ],
)  # fmt: skip
def test_one_test_decides_and_the_text_says_which_and_why(
    tmp_path, people, improved, p, decides, sentences
):
    subjects = [f"{k:02}" for k in range(people)]
    low = dict.fromkeys(subjects, "aa bb aa ab")
    high = low | dict.fromkeys(subjects[:improved], "aa bb aa aa")
    found = compare(planted(tmp_path / "1", low), planted(tmp_path / "2", high))
    shown = text(found)
    assert f"{found['mcnemar']['p_value']:.3g}" == p and found["verdict"]["decides"] == decides
    is_higher = decides == "interval" and improved == 4
    assert found["verdict"]["higher"]["acc"] == ("second" if is_higher else None)
    for sentence in sentences:
        assert sentence in shown
    assert ("overrule" in shown) == is_higher and shown.count("Verdict") == 1


def test_draws_and_seed_count(pair):
    first = compare(*pair, draws=3, seed=1)
    assert first == compare(*pair, draws=3, seed=1)
    assert (first["draws"], first["seed"]) == (3, 1)
    intervals = [
        compare(*pair, draws=draws, seed=seed)["scores"]["uf1"]["difference"]["interval"]
        for draws, seed in ((3, 1), (3, 2), (50, 1))
    ]
    assert intervals[0] != intervals[1] and intervals[0] != intervals[2]


def test_seeds_are_averaged_and_tested_one_by_one(tmp_path):
    one = planted(tmp_path / "1", FIRST, SECOND, seeds=(0, 1))
    other = planted(tmp_path / "2", SECOND, SECOND, FIRST, seeds=(0, 1, 2))
    found = compare(one, other)
    acc = found["scores"]["acc"]
    assert acc["first"]["per_seed"] == pytest.approx([7 / 12, 10 / 12])
    assert acc["first"]["value"] == pytest.approx(17 / 24)
    assert acc["first"]["spread"] == pytest.approx(3 / 12 / 2**0.5)
    assert acc["difference"]["value"] == pytest.approx(27 / 36 - 17 / 24)
    # The first's mean by subject is 5/8, 7/8 and 5/8; the second's 8/12, 10/12 and 9/12.
    assert acc["first"]["interval"] == pytest.approx([5 / 8, 7 / 8])
    assert acc["second"]["interval"] == pytest.approx([8 / 12, 10 / 12])
    assert acc["difference"]["interval"] == pytest.approx([-1 / 24, 1 / 8])
    tests = found["mcnemar"]["tests"]
    assert [(test["first_seed"], test["second_seed"]) for test in tests] == [(0, 0), (1, 1)]
    assert [test["p_value"] for test in tests] == pytest.approx([3 / 8, 1])
    assert found["mcnemar"]["p_value"] == 1  # twice the mean of 3/8 and 1 is more than 1
    shown = text(found)
    assert "twice the mean" in shown and "means over the seeds" in shown and "sd 17.68" in shown


def test_seeds_without_a_common_one_are_paired_in_order(tmp_path):
    one = planted(tmp_path / "1", FIRST, SECOND, seeds=(0, 1))
    other = planted(tmp_path / "2", SECOND, seeds=(7,))
    (test,) = compare(one, other)["mcnemar"]["tests"]
    assert (test["first_seed"], test["second_seed"], test["only_second"]) == (0, 7, 4)


def test_clips_of_one_alone_are_named_and_left_out(tmp_path):
    without = {name: pairs for name, pairs in SECOND.items() if name != "3"}
    relabelled = {**without, "1": "aa aa bb ab"}  # clip z of 1 is truly a here
    one = planted(tmp_path / "1", FIRST)
    other = planted(tmp_path / "2", relabelled | {"4": "aa aa aa aa"})
    found = compare(one, other)
    assert found["clips"] == {
        "common": 7,
        "subjects": 2,
        "only_first": [["synthetic", "3", clip] for clip in "wxyz"],
        "only_second": [["synthetic", "4", clip] for clip in "wxyz"],
        "relabelled": [["synthetic", "1", "z"]],
    }
    assert found["scores"]["acc"]["first"]["value"] == pytest.approx(6 / 7)
    assert found["scores"]["acc"]["second"]["value"] == pytest.approx(6 / 7)
    assert found["first"]["acc"] == pytest.approx(7 / 12)  # on its own clips
    assert found["second"]["acc"] == pytest.approx(10 / 12)
    (test,) = found["mcnemar"]["tests"]
    assert (test["both_correct"], test["only_first"], test["only_second"]) == (5, 1, 1)
    shown = text(found)
    assert "only in the first (4): synthetic 3 w" in shown
    assert "only in the second (4): synthetic 4 w" in shown
    assert "labelled differently (1): synthetic 1 z" in shown
    assert "Acc (= WAR), all own clips" in shown and "58.33 %" in shown


def test_different_tasks_are_warned_of_and_different_options_listed(tmp_path):
    config, run = {"clips": "aa", "optimizer": {"rate": 1}}, {"label_version": "2014"}
    one = planted(tmp_path / "1", FIRST, config=config, run=run)
    config = {"clips": "aa", "optimizer": {"rate": 2}, "select": "val"}
    run = {"label_version": "2019", "group_folds": 3}
    other = planted(tmp_path / "2", SECOND, config=config, run=run, select="val")
    found = compare(one, other)
    assert found["warnings"] == [
        "They differ in the label version: 2014 in the first, 2019 in the second.",
        "They differ in the groups of subjects left out: none in the first, 3 in the second.",
        "They differ in the selection rule: last in the first, val in the second.",
    ]
    assert found["options"] == [{"name": "optimizer.rate", "first": 1, "second": 2}]
    shown = text(found)
    assert shown.count("WARNING: ") == 3 and "| optimizer.rate    |     1 |      2 |" in shown
    assert [found[side]["select"] for side in ("first", "second")] == ["last", "val"]


def test_missing_folds_and_a_work_directory_against_itself_are_warned_of(pair):
    (pair[1] / "seed_0" / "folds" / "2" / "done.json").unlink()
    found = compare(*pair)
    assert found["warnings"] == ["The second is incomplete: 1 of its folds are missing."]
    assert found["clips"]["common"] == 8
    assert compare(pair[0], pair[0])["warnings"] == ["Both are the same work directory."]


def test_test_best_is_shown_with_its_chance_level(tmp_path, pair):
    best = planted(
        tmp_path / "3", SECOND, select="test-best", run={"evaluations": {"test-best": 9}}
    )
    found = compare(pair[0], best)
    assert found["first"]["selection"] is None
    level = found["second"]["selection"]["test_best_chance_level"]
    assert level["evaluations"] == 9
    # With four clips per fold, the best of 9 guesses among two classes has most of them right.
    assert 0.75 < level["uniform"]["acc"]["mean"] < 1
    shown = text(found)
    assert (
        shown.count("OPTIMISTIC") >= 2
        and "best of 9 evaluations" in shown
        and "The second: " in shown
    )
    assert "OPTIMISTIC" not in text(compare(pair[0], pair[0]))


def test_a_single_subject_has_no_interval(tmp_path):
    alone = [planted(tmp_path / name, {"1": FIRST["1"]}) for name in "xy"]
    found = compare(*alone)
    assert found["scores"]["acc"]["difference"] == {"value": 0, "interval": None}
    assert "Too few subjects for intervals" in text(found)


def test_what_has_nothing_in_common_is_refused(tmp_path, pair):
    other = planted(tmp_path / "people", {"8": FIRST["1"], "9": FIRST["2"]})
    with pytest.raises(UserError, match="no clip with the same label in common"):
        compare(pair[0], other)
    other = planted(tmp_path / "classes", FIRST, classes=("a", "b", "c"))
    with pytest.raises(UserError, match="cannot be compared clip by clip"):
        compare(pair[0], other)
    with pytest.raises(UserError, match="nowhere is not a folder"):
        compare(pair[0], tmp_path / "nowhere")
    other = planted(tmp_path / "none", FIRST)
    for path in other.rglob("predictions.csv"):
        table = PredictionTable.read(path)
        PredictionTable.of_fold(
            protocol="5class", select="last", seed=0, fold=table.fold[0], classes=AB,
            datasets=table.dataset, subjects=table.subject, clips=table.clip, labels=table.label,
            probabilities=None, dic_mse=table.dic_mse,
        ).write(path)  # fmt: skip
    with pytest.raises(UserError, match="has no predictions to compare"):
        compare(other, pair[0])


def test_the_command(pair, capsys):
    done = run_module("fdp_jax.report", "compare", *map(str, pair), "--draws=100", "--json")
    found = json.loads(done.stdout)
    assert found == json.loads(json.dumps(compare(*pair, draws=100)))
    report.main(["compare", *map(str, pair), "--draws=100", "--seed=3"])
    printed = capsys.readouterr().out
    assert printed.rstrip("\n") == text(compare(*pair, draws=100, seed=3))
    assert "100 resamples" in printed and "(seed 3)" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["one"], "compare needs OTHER_WORKDIR"),
        (["one", "two", "three"], "unexpected argument 'three'"),
        (["one", "two", "--drawz=3"], "no option --drawz; did you mean --draws"),
        (["one", "two", "--draws=0"], "--draws must be from 1 to 100,000"),
        (["one", "two", "--draws=100001"], "--draws must be from 1 to 100,000"),
        (["one", "two", "--seed=-1"], "--seed must be at least 0"),
        (["one", "two"], "one is not a folder"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    with pytest.raises(UserError, match=words) as caught:
        report.main(["compare", *arguments])
    assert "\n" not in str(caught.value)
