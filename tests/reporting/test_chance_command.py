"""`report chance`: the chance level from sheets, built corpora and work directories."""

import json

import openpyxl
import pytest

from datasets.errors import UserError
from fdp_jax import report
from fdp_jax.metrics.statistics import chance_level
from tests.conftest import run_module
from tests.datasets import test_counts as sheets
from tests.helpers.workdirs import add_rules, make_workdir
from tests.metrics.test_chance_level import SAMM_CLASSES, samm_labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The sheets of three corpora with the published totals, SAMM's subject by subject."""
    parent = tmp_path_factory.mktemp("sheets")
    for name, write in {
        "samm": sheets._samm,
        "CASME2": lambda folder: sheets._casme2(folder, "2014", False),
        "smic": sheets._smic,
    }.items():
        (parent / name).mkdir()
        write(parent / name)
    return parent


def output(capsys, *arguments) -> str:
    report.main(["chance", *map(str, arguments)])
    return capsys.readouterr().out


def test_the_command_gives_the_level_from_the_sheet_alone(folder):
    done = run_module(
        "fdp_jax.report", "chance", "--dataset=samm", "--protocol=5class", "--evaluations=10",
        f"--annotations={folder / 'samm'}", "--json",
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (found["n_clips"], found["n_subjects"], found["n_folds"]) == (136, 27, 27)
    assert found["classes"] == list(SAMM_CLASSES) and found["warnings"] == []
    (level,) = found["levels"]
    expected = chance_level(samm_labels(), SAMM_CLASSES, 10)
    assert level["evaluations"] == 10 and level["draws"] == 200
    for kind in ("uniform", "class_share"):
        for score in ("acc", "uf1"):
            mean = expected[kind][score]["mean"]
            assert level[kind][score]["mean"] == pytest.approx(mean, abs=0.01)


def test_the_text_explains_the_table(folder, capsys):
    place = f"--annotations={folder / 'samm'}"
    text = output(capsys, "--dataset=samm", place)
    assert "136 clips of 27 subjects, 27 folds, 5 classes" in text
    for evaluations in (1, 10, 70, 125):
        assert f"\n| {evaluations} " in text
    assert "Nothing was trained" in text and "test-best" in text and "200 random runs" in text
    assert "WARNING" not in text
    text = output(capsys, "--dataset=samm", place, "--evaluations=3", "--draws=50", "--seed=4")
    assert "50 random runs (seed 4)" in text and "\n| 3 " in text and "\n| 10 " not in text


def test_fewer_folds_have_a_lower_chance_level(folder, capsys):
    levels = {}
    for groups in (0, 3):
        found = output(
            capsys, "--dataset=samm", f"--annotations={folder / 'samm'}", "--evaluations=10",
            f"--group_folds={groups}", "--json",
        )  # fmt: skip
        levels[groups] = json.loads(found)
    assert levels[3]["n_folds"] == 3
    acc = {k: found["levels"][0]["uniform"]["acc"]["mean"] for k, found in levels.items()}
    assert acc[3] < acc[0] - 0.1


def test_composites_take_the_parent_of_their_folders(folder, capsys):
    place = (f"--annotations={folder}", "--evaluations=1")
    found = json.loads(output(capsys, "--protocol=megc2019", *place, "--json"))
    assert (found["n_clips"], found["n_folds"], found["split"]) == (442, 68, "people")
    assert found["levels"][0]["uniform"]["acc"]["mean"] == pytest.approx(1 / 3, abs=0.02)
    found = json.loads(output(capsys, "--protocol=cross", *place, "--json"))
    assert (found["n_clips"], found["n_folds"], found["split"]) == (156 + 67, 2, "corpora")
    assert "scored by direction and averaged" in output(capsys, "--protocol=cross", *place)


def test_a_sheet_that_differs_is_warned_of(tmp_path, capsys):
    sheets._samm(tmp_path)
    (path,) = tmp_path.glob("*.xlsx")
    book = openpyxl.load_workbook(path)
    row = next(row for row in book.active.iter_rows() if row[9].value == "Anger")
    row[9].value = "Disgust"
    book.save(path)
    text = output(capsys, "--dataset=samm", f"--annotations={tmp_path}", "--evaluations=1")
    assert "135 clips of 27 subjects" in text
    assert "WARNING: samm differs from the published corpus" in text and "anger 56 (57)" in text
    with pytest.raises(UserError, match="has no folder casme2"):
        output(capsys, "--protocol=cross", f"--annotations={tmp_path}")


def test_labels_of_a_built_corpus(data_dir, capsys):
    place = (f"--data_dir={data_dir}", "--evaluations=2")
    found = json.loads(output(capsys, "--dataset=synthetic", *place, "--json"))
    assert (found["n_clips"], found["n_folds"], len(found["classes"])) == (30, 6, 5)


def test_folds_and_evaluations_of_a_work_directory(tmp_path, capsys):
    workdir = make_workdir(tmp_path / "work")
    found = json.loads(output(capsys, f"--workdir={workdir}", "--json"))
    assert (found["dataset"], found["n_clips"], found["n_folds"]) == ("synthetic", 12, 3)
    assert [level["evaluations"] for level in found["levels"]] == [1, 10, 70, 125]
    add_rules(workdir, {"last": 1, "test-best": 7})
    (workdir / "seed_0" / "folds" / "007" / "done.json").unlink()
    text = output(capsys, f"--workdir={workdir}")
    assert "\n| 7 " in text and "\n| 10 " not in text
    assert "WARNING: 1 of 3 folds are missing" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--looks=3"], "no option --looks; did you mean --evaluations"),
        (["--dataset=sam"], "no corpus 'sam'"),
        (["--dataset=samm", "--protocol=7class"], "no protocol '7class'"),
        ([], "name a corpus with --dataset"),
        (["--dataset=samm", "--evaluations=0"], "must be at least 1"),
        (["--dataset=samm", "--draws=0"], "--draws must be from 1"),
        (["--dataset=samm", "--seed=-1"], "--seed must be at least 0"),
        (["--dataset=samm", "--data_dir=nowhere"], "not built in nowhere.*--annotations=DIR"),
        (["--dataset=samm", "--annotations=nowhere"], "folder nowhere does not exist"),
        (["--dataset=synthetic", "--annotations=nowhere"], "synthetic has no annotation sheet"),
        (["--annotations=x", "--data_dir=y"], "one source"),
        (["--workdir=nowhere"], "nowhere is not a folder"),
        (["--workdir=nowhere", "--dataset=samm"], "leave out --dataset"),
        (["--protocol=cross", "--group_folds=3"], "leave it out"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    with pytest.raises(UserError, match=words) as caught:
        report.main(["chance", *arguments])
    assert "\n" not in str(caught.value)
