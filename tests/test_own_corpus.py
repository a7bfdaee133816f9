"""A corpus from the user's own table in the commands that use corpora."""

import json

import pytest

from datasets.errors import UserError
from datasets.example import write_example
from fdp_jax import pretrain
from fdp_jax.options import TrainOptions, resolve_options
from fdp_jax.paper.registry import experiment
from fdp_jax.report import main as report_command
from tests.conftest import run_module
from tests.helpers.tiny import TINY_OPTIONS


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table, its corpus `mmew` in `data`, and a training in `run`."""
    folder = write_example("own", tmp_path_factory.mktemp("place") / "own")
    run_module(
        "fdp_jax.train", "--dataset=mmew", f"--table={folder}/clips.csv", *TINY_OPTIONS,
        f"--data_dir={folder}/data", f"--workdir={folder}/run", "--steps=1",
    )  # fmt: skip
    return folder


def test_it_is_built_and_trained_to_a_report(place):
    report = json.loads((place / "run" / "report.json").read_text())
    assert (report["dataset"], report["protocol"]) == ("mmew", "2class")
    assert report["classes"] == ["negative", "positive"] and report["complete"]
    assert (report["n_clips"], report["n_subjects"], report["n_folds"]) == (6, 3, 3)
    assert report["label_version"] == "clips.csv"
    assert [w for w in report["warnings"] if "without a class, which are left out: 1 of 7" in w]


def test_once_built_its_name_is_enough(place):
    options, protocol = resolve_options(TrainOptions(dataset="mmew", data_dir=place / "data"))
    assert protocol.name == "2class" and str(options.workdir) == "runs/mmew_2class_paper"
    table9 = experiment("table9", "mmew", data_dir=place / "data")
    assert {(run.dataset, run.protocol, run.corpora) for run in table9.runs} == {
        ("mmew", "2class", ("mmew",))
    }


def test_chance_level_of_what_is_built(place, monkeypatch, capsys):
    arguments = ["chance", "--dataset=mmew", f"--data_dir={place}/data", "--draws=2", "--json"]
    monkeypatch.setattr("sys.argv", ["report", *arguments])
    report_command()
    found = json.loads(capsys.readouterr().out)
    assert (found["n_clips"], found["protocol"], found["n_folds"]) == (6, "2class", 3)
    monkeypatch.setattr("sys.argv", ["report", *arguments[:3], f"--annotations={place}"])
    with pytest.raises(UserError, match=r"labels come from one source"):
        report_command()


def test_its_faces_can_be_animated(place):
    faces = pretrain._faces(pretrain.Options(faces="mmew", data_dir=place / "data"))
    assert len(faces.people) == 6 and set(faces.people) == {"p01", "p02", "p03"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dataset": "own"}, r"the corpus own is not built in .*; build it with: .* own --table=F"),
        ({"dataset": "mmev"}, r"there is no corpus 'mmev'; .*built from a table \(own, mmew\)"),
        ({"dataset": "mmew", "protocol": "5class"}, "its only one is 2class"),
        ({"table": "clips.csv"}, "name the corpus of --table, as with --dataset=own"),
        ({"dataset": "samm", "table": "clips.csv"}, "the name samm is reserved"),
        ({"dataset": "own", "table": "none.csv"}, r"none\.csv does not exist; .*own --table=FILE"),
    ],
)
def test_a_mistake_is_one_sentence(place, options, sentence):
    if "table" in options:
        options = {**options, "table": place / options["table"]}
    with pytest.raises(UserError, match=sentence):
        resolve_options(TrainOptions(data_dir=place / "data", **options))
    assert not (place / "data" / "own").exists()
