"""The command for tables and figures of the paper, on a tiny corpus and a tiny network."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax import experiments
from fdp_jax.config import TrainConfig
from fdp_jax.corpora import MissingCorpusError
from fdp_jax.options import TrainOptions, resolve_options
from fdp_jax.paper import notes, pictures
from fdp_jax.paper.registry import NAMES, experiment
from tests.conftest import run_module
from tests.helpers.tiny import TINY, TINY_OPTIONS, replaced
from tests.paper.test_result_table import make_report

VARIANTS = ("", "no_dic", "no_rank", "no_local", "no_global", "no_local_global")


def run_command(*arguments, check=True):
    return run_module("fdp_jax.experiments", *arguments, check=check)


def run_here(capsys, *arguments, **options):
    """Runs the command in this process; returns the table that it prints as JSON."""
    experiments.main([*arguments, "--json"], **options)
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def without_comparison(monkeypatch):
    """Runs without training leave no work directories to compare."""
    refuse = UserError("not compared here")
    monkeypatch.setattr(notes, "compare", lambda *_: (_ for _ in ()).throw(refuse))


# --- experiments that train nothing


def test_list_names_every_table_and_figure(capsys):
    experiments.main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert len(NAMES) == 16 and {"table4", "table15", "figure1", "figure4"} <= set(NAMES)
    assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize(("name", "rows", "differing"), [("table12", 6, 1), ("table13", 2, 0)])
def test_rank_sum_tables_are_printed_and_written(tmp_path, capsys, name, rows, differing):
    table = run_here(capsys, name, f"--workdir={tmp_path}")
    assert json.loads((tmp_path / f"{name}.json").read_text()) == table
    assert (tmp_path / f"{name}.md").read_text().startswith(f"# {name}: ")
    same = [row["statistic, paper"] == row["statistic, here"] for row in table["rows"]]
    assert (len(same), same.count(False)) == (rows, differing)
    assert any("fdp_jax.report compare WORKDIR WORKDIR" in note for note in table["notes"])


def test_parameters_of_the_backbones_need_no_corpus(tmp_path):
    done = run_command("table10", f"--workdir={tmp_path}", f"--data_dir={tmp_path}/data", "--json")
    table = json.loads(done.stdout)
    assert {row["backbone"]: row["parameters"] for row in table["rows"]} == {
        "vit_base": 88_389_376, "conv": 27_140_768, "conv_bn_relu_pointwise": 28_713_248,
        "fdp": 14_820_128, "resnet18": 13_271_488,
    }  # fmt: skip
    assert [row["type"] for row in table["rows"]] == ["T", "C+T", "C'+T", "C*+T", "C"]
    assert [row["paper, 1e6"] for row in table["rows"]] == [88.39, 28.71, 27.14, 14.82, 13.27]
    text = " ".join(table["notes"])
    assert "other way round" in text and "argues for its own order" in text
    assert "under the other label as well" in text and "T: transformer" in text
    assert sum("not trained" in note for note in table["notes"]) == 5
    assert "88,389,376" in (tmp_path / "table10.md").read_text()


def test_figure1_draws_from_a_built_corpus(data_dir, tmp_path):
    options = ("--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={tmp_path}")
    shown = run_command("figure1", *options).stdout
    assert (tmp_path / "figure1.png").read_bytes().startswith(b"\x89PNG")
    subjects = re.findall(r"^(s\d\d)  ", shown, re.MULTILINE)
    assert len(subjects) == 6 and len(set(subjects)) == 6


def test_figure1_reads_frames_and_crop(data_dir):
    config = replaced(replaced(TINY, "clip.crop", 32), "clip.frames", 3)
    options = TrainOptions(dataset="synthetic", data_dir=data_dir, config=config)
    first, *_ = pictures.dynamic_images(*resolve_options(options))
    assert first.images["dynamic image"].shape == (32, 32)
    assert "frame 3" in first.images and "frame 4" not in first.images


def test_figure1_shows_every_class():
    labels = np.repeat(np.arange(7), 2)
    chosen = pictures.classes_in_turn(labels, "abcdefghijklmn", 7)
    assert sorted(labels[chosen]) == list(range(7))


# --- experiments that train


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """Table 9 on the tiny corpus: its folder, its JSON, and the options of the command."""
    workdir = tmp_path_factory.mktemp("experiments")
    options = ["--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={workdir}",
               "--group_folds=2", *TINY_OPTIONS, "--steps=2"]  # fmt: skip
    return workdir, json.loads(run_command("table9", *options, "--json").stdout), options


def done_files(workdir: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in workdir.rglob("done.json")}


def test_table9_has_each_variant_beside_the_papers(trained):
    workdir, table, _ = trained
    assert [row["paper Acc"] for row in table["rows"]] == [86.69, 83.98, 83.54, 81.79, 78.54, 60.70]
    for row, name in zip(table["rows"], VARIANTS, strict=True):
        folder = workdir / "_".join(filter(None, ["synthetic_5class_paper", name]))
        report = json.loads((folder / "report.json").read_text())
        assert report["command"].startswith("python -m fdp_jax.experiments table9 --dataset=")
        assert row["Acc"] == pytest.approx(100 * report["acc"], abs=0.006)
        assert row["UF1"] == pytest.approx(100 * report["uf1"], abs=0.006)
        assert row["mean fold Acc"] == pytest.approx(100 * report["fold_acc"], abs=0.006)
        assert (row["MSE e-3"] is None) == (name == "no_dic")
        assert (row["tau"] is None) == (name == "no_rank")
        config = json.loads((folder / "config.json").read_text())
        assert config["steps"] == 2 and config["group_folds"] == 2 and config["ablate"] == name
    text = " ".join(table["notes"])
    assert "Order by UF1, best first" in text and "best constant image" in text
    assert "computed here for synthetic 5class" in text and text.count("rule last") == 1
    assert re.search(r"FDP w/o L_DIC: UF1 [+-][\d.]+ \[.+, .+\]; P = ", text)
    assert "The interval of UF1 excludes 0 for" in text and "Section 4.3.3" in text
    assert "out of 128 to 136" in text and "its row 1, 0.1 in Table 11" in text
    full = json.loads((workdir / "synthetic_5class_paper" / "report.json").read_text())
    assert table["rows"][0]["rank loss"] == round(full["auxiliary"]["rank"]["loss"], 3)
    assert table["rows"][0]["tau seen"] == round(full["train_set_metrics"]["kendall_tau"], 3)


@pytest.mark.slow
def test_other_experiments_reuse_finished_runs(trained):
    workdir, _, options = trained
    before = done_files(workdir)
    table = json.loads(run_command("table14", *options, "--json").stdout)
    after = done_files(workdir)
    assert before.items() <= after.items()
    assert {Path(path).parents[3].name for path in after.keys() - before.keys()} == {
        "synthetic_5class_paper_no_mer"
    }
    assert [row["paper MSE e-3"] for row in table["rows"]] == [1.44, 1.78, 6.77, 6.90, 7.43]
    assert [row["Acc"] is None for row in table["rows"]] == [False, True, False, False, False]
    assert all(row["MSE e-3"] > 0 for row in table["rows"])
    difference = re.compile(r"FDP w/o L_MER: MSE e-3 [+-][\d.]+ \[\S+, \S+\]")
    assert any(difference.fullmatch(note) for note in table["notes"])
    for name in ("figure4", "table15"):
        shown = run_command(name, *options).stdout
        assert (workdir / f"{name}.png").stat().st_size > 10_000
        assert f"{name}.png" in shown
    assert done_files(workdir) == after


def test_a_failed_run_does_not_stop_the_others(tmp_path, capsys, without_comparison):
    def train(options, protocol, command):
        if options.config.ablate == "no_rank":
            raise UserError("the loss is not finite")
        return make_report(0.5)

    arguments = ("table9", "--dataset=synthetic", f"--workdir={tmp_path}")
    with pytest.raises(UserError, match="1 of 6 runs failed; FDP w/o L_Rank: the loss is not"):
        run_here(capsys, *arguments, train=train)
    table = json.loads(capsys.readouterr().out)
    assert [row["Acc"] for row in table["rows"]] == [50.0, 50.0, None, 50.0, 50.0, 50.0]
    assert "FDP w/o L_Rank: not trained; the loss is not finite" in table["notes"]
    assert (tmp_path / "table9.md").exists()


def test_corpora_that_are_not_built_are_skipped(tmp_path, capsys, without_comparison):
    def train(options, protocol, command):
        if options.dataset == "casme2":
            raise MissingCorpusError("casme2 is not built")
        return make_report(0.8)

    table = run_here(capsys, "table4", f"--workdir={tmp_path}", train=train)
    assert table["rows"][-2]["casme2.acc"] is None and table["rows"][-2]["samm.acc"] == 80
    assert table["rows"][-1]["samm.acc"] == 8 and table["rows"][-1]["samm.f1"] is None
    assert "casme2: not trained; casme2 is not built" in table["notes"]


def test_the_trainer_gets_the_options_of_each_run(tmp_path, capsys, without_comparison):
    def train(options, protocol, command):
        given.append((options, protocol.name, command))
        return make_report(0.8)

    (tmp_path / "SAMM").mkdir()
    (tmp_path / "casme2").mkdir()
    common = (f"--manual_dir={tmp_path}", "--steps=3", f"--workdir={tmp_path}/work")
    for name, folders in {
        "table4": [tmp_path / "casme2", tmp_path / "SAMM"],  # a folder for each corpus
        "table8": [tmp_path],  # the parent, for a composite
        "table6": [tmp_path],  # the folder of the only corpus
        "table11": [tmp_path] * 7,
    }.items():
        given = []
        run_here(capsys, name, *common, train=train)
        assert [options.manual_dir for options, _, _ in given] == folders
        assert all(options.config.steps == 3 for options, _, _ in given)
        assert {command for _, _, command in given} == {
            f"python -m fdp_jax.experiments {name} {' '.join(common)} --json"
        }
    weights = [(o.config.loss.dynamic_image_weight, o.config.loss.rank_weight) for o, _, _ in given]
    assert weights == [
        (1, 0.1),
        (10, 0.1),
        (100, 0.1),
        (1000, 0.1),
        (100, 0.01),
        (100, 1),
        (100, 10),
    ]
    folders = [options.workdir.relative_to(tmp_path / "work").name for options, _, _ in given]
    assert folders[0] == "samm_5class_paper_loss.dynamic_image_weight=1_loss.rank_weight=0.1"
    # The paper's own weights, and so the run of the other tables.
    assert folders[2] == "samm_5class_paper" and len(set(folders)) == 7


@pytest.mark.parametrize(
    ("arguments", "plan"),
    [
        (["table9", "--dataset=samm"],
         "table9: 6 runs (FDP, FDP w/o L_DIC, FDP w/o L_Rank, FDP w/o L, FDP w/o G, FDP w/o L&G), "
         "together 162 trainings of 2,000 steps, about 144.0 h on a CPU of two cores "
         "(--preset=small computes a step 18 times faster); finished ones are reused"),
        # Two rounds of trainings for each of two seeds, on drawn faces of unknown number.
        (["table9", "--dataset=synthetic", "--group_folds=3", "--preset=small", "--select=all",
          "--seeds=0,1", "--steps=100"],
         "together 72 trainings of 100 steps, about 11 min on a CPU of two cores; finished"),
        # The bundled weights take a third of the steps.
        (["pretraining", "--dataset=synthetic", "--group_folds=3", "--preset=small"],
         "together 3 trainings of 900 steps, about 4 min on a CPU of two cores and 3 trainings of "
         "300 steps, about 81 s on a CPU of two cores; finished"),
        (["table9", "--dataset=synthetic", "--steps=100"], " of 100 steps per fold and seed"),
        (["table8", "--model.stem_channels=8"], "together 2 trainings of 2,000 steps; finished"),
    ],
)  # fmt: skip
def test_the_plan_comes_before_the_first_run(tmp_path, capsys, arguments, plan):
    def train(options, protocol, command):
        raise MissingCorpusError("nothing is built")

    with pytest.raises(UserError, match="nothing can be trained"):
        experiments.main([*arguments, f"--workdir={tmp_path}/run"], train=train)
    assert plan in capsys.readouterr().err.splitlines()[0]
    assert list(tmp_path.iterdir()) == []


# --- runs


def test_tables_of_methods_name_their_corpora():
    wanted = {
        "table4": [("casme2", "5class"), ("samm", "5class")],
        "table5": [("casme2", "3class"), ("samm", "3class")],
        "table6": [("casme_sq", "4class")],
        "table7": [("casme3", "7class")],
        "table8": [("", "cross")],
    }
    for name, pairs in wanted.items():
        assert [(run.dataset, run.protocol) for run in experiment(name).runs] == pairs
    assert [run.dataset for run in experiment("table4", "samm").runs] == ["samm"]
    assert [run.dataset for run in experiment("table15").runs] == ["samm", "casme2"]
    assert [run.protocol for run in experiment("table9", "casme2", "3class").runs] == ["3class"] * 6
    assert [run.dataset for run in experiment("table9", protocol="3class").runs] == ["samm"] * 6


def test_without_recognition_the_last_step_is_taken():
    full, without = experiment("table14", "synthetic").runs[:2]
    common = TrainConfig(select="all", steps=3)
    assert full.config(common).select == "all"
    config = without.config(common)
    assert (config.ablate, config.select, config.steps) == ("no_mer", "last", 3)


# --- mistakes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["name one experiment", "table4"]),
        (["table4", "table5"], ["unexpected argument 'table5'"]),
        (["table11", "--loss.rank_weight=1"], ["--loss.rank_weight is set by the experiment"]),
        (["table11", "--loss.dynamic-image-weight", "1"], ["is set by the experiment"]),
        (["table12", "--dataset=samm"], ["leave out --dataset"]),
        (["table13", "--steps=3"], ["trains nothing", "--steps"]),
        (["figure1", "--steps=3"], ["trains nothing", "--steps", "--clip.crop"]),
        (["table8", "--dataset=samm"], ["leave out --dataset"]),
        (["table4", "--protocol=3class"], ["needs a corpus", "--dataset"]),
        (["table9", "--manual_dir=/nowhere"], ["/nowhere does not exist", "--manual_dir"]),
        (["table4", "--manual_dir=/nowhere"], ["/nowhere does not exist", "--manual_dir"]),
        (["table10", "--clip.crop=48"], ["multiple of 32"]),
        (["table3"], ["no experiment 'table3'", "table4"]),
        (["table9", "--ablate=no_dic"], ["--ablate is set by the experiment"]),
        (["table9", "--seed=1"], ["--seeds=0,1,2"]),
        (["table9", "--stepz=3"], ["no option --stepz"]),
        (["table9", "--dataset=sam"], ["no corpus 'sam'"]),
        (["table9", "--dataset"], ["--dataset needs a value"]),
        (["table9", "--data_dir=/nowhere"], ["nothing can be trained", "datasets.build samm"]),
        (["figure1", "--data_dir=/nowhere"], ["samm is not built", "--dataset"]),
    ],
)
def test_mistakes_are_one_sentence(arguments, words, tmp_path):
    with pytest.raises(UserError) as error:
        experiments.main([*arguments, f"--workdir={tmp_path}"])
    sentence = str(error.value)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


def test_a_mistake_ends_the_command_with_status_1():
    done = run_command("table3", check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: there is no experiment 'table3'")


def test_a_composite_takes_no_corpus():
    with pytest.raises(UserError):
        experiment("table9", "samm", "cross")


def test_help_describes_every_experiment():
    shown = run_command("--help").stdout
    assert "python -m fdp_jax.experiments table9 --dataset=synthetic" in shown
    for name in NAMES:
        assert f"  {name:<8} " in shown
    assert "(--loss.dynamic_image_weight, --loss.rank_weight)" in shown
    assert "figure1 reads only" in shown and "--seeds" in shown
