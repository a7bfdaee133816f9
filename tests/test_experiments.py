"""Tables and figures of the paper as commands, on a tiny corpus and a tiny network."""

import json
import re
from pathlib import Path

import pytest

from datasets.errors import UserError
from fdp_jax.experiments import tables
from fdp_jax.experiments.catalogue import NAMES, experiment
from fdp_jax.experiments.running import Place, Result, run_all
from tests.conftest import run_module
from tests.tiny import TINY_OPTIONS

VARIANTS = ("", "no_dic", "no_rank", "no_local", "no_global", "no_local_global")


def _run(*arguments, check=True):
    return run_module("fdp_jax.experiments", *arguments, check=check)


# --- what trains nothing


def test_list_names_every_table_and_figure():
    lines = _run("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert len(NAMES) == 14 and {"table4", "table15", "figure1", "figure4"} <= set(NAMES)
    assert all(len(line.split()) > 2 for line in lines)


def test_rank_sum_tables_are_the_papers_but_for_one_row(tmp_path):
    written = {}
    for name in ("table12", "table13"):
        shown = _run(name, f"--workdir={tmp_path}", "--json").stdout
        written[name] = json.loads(shown)
        assert json.loads((tmp_path / f"{name}.json").read_text()) == written[name]
        assert (tmp_path / f"{name}.md").read_text().startswith(f"# {name}: ")
    rows = [row for name in written for row in written[name]["rows"]]
    differing = [row for row in rows if row["statistic, paper"] != row["statistic, here"]]
    assert len(rows) == 8 and [row["benchmark"] for row in differing] == ["SAMM, five categories"]
    assert (
        differing[0]["statistic, paper"] == "4.243" and differing[0]["statistic, here"] == "4.333"
    )
    assert differing[0]["P-value, here"] == "7.343e-06"
    assert any("12 against 13" in note for note in written["table12"]["notes"])


def test_parameters_of_the_backbones_need_no_corpus(tmp_path):
    done = _run("table10", f"--workdir={tmp_path}", f"--data_dir={tmp_path}/data", "--json")
    told = json.loads(done.stdout)
    assert {row["backbone"]: row["parameters"] for row in told["rows"]} == {
        "vit_base": 88_389_376, "conv": 27_140_768, "conv_bn_relu_pointwise": 28_713_248,
        "fdp": 14_820_128, "resnet18": 13_271_488,
    }  # fmt: skip
    assert any("other way round" in note for note in told["notes"])
    assert sum("not trained" in note for note in told["notes"]) == 5


def test_figure1_draws_from_a_built_corpus(data_dir, tmp_path):
    shown = _run("figure1", "--dataset=synthetic", f"--data_dir={data_dir}",
                 f"--workdir={tmp_path}").stdout  # fmt: skip
    assert (tmp_path / "figure1.png").read_bytes().startswith(b"\x89PNG")
    people = re.findall(r"^(s\d\d)  ", shown, re.MULTILINE)
    assert len(people) == 6 and len(set(people)) == 6


# --- what trains


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """Table 9 on the tiny corpus: its folder, its JSON, and the command's options."""
    workdir = tmp_path_factory.mktemp("experiments")
    options = ["--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={workdir}",
               "--group_folds=2", *TINY_OPTIONS, "--steps=2"]  # fmt: skip
    told = json.loads(_run("table9", *options, "--json").stdout)
    return workdir, told, options


def _done_files(workdir: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in workdir.rglob("done.json")}


def test_table9_has_each_variant_beside_the_papers(trained):
    workdir, told, _ = trained
    assert [row["paper Acc"] for row in told["rows"]] == [86.69, 83.98, 83.54, 81.79, 78.54, 60.70]
    for row, name in zip(told["rows"], VARIANTS, strict=True):
        folder = workdir / "_".join(filter(None, ["synthetic_5class_paper", name]))
        report = json.loads((folder / "report.json").read_text())
        assert row["Acc"] == pytest.approx(100 * report["acc"], abs=0.006)
        assert row["UF1"] == pytest.approx(100 * report["uf1"], abs=0.006)
        assert (row["MSE e-3"] is None) == (name == "no_dic")
        assert (row["tau"] is None) == (name == "no_rank")
    notes = " ".join(told["notes"])
    assert "Order found by UF1, best first" in notes and "best constant image" in notes
    assert "ours of synthetic" in notes and "rule last" in notes


def test_runs_that_are_there_are_reused_by_other_experiments(trained):
    workdir, _, options = trained
    before = _done_files(workdir)
    told = json.loads(_run("table14", *options, "--json").stdout)
    after = _done_files(workdir)
    assert before.items() <= after.items()
    assert {Path(path).parents[3].name for path in after.keys() - before.keys()} == {
        "synthetic_5class_paper_no_mer"
    }
    assert [row["paper MSE e-3"] for row in told["rows"]] == [1.44, 1.78, 6.77, 6.90, 7.43]
    assert [row["Acc"] is None for row in told["rows"]] == [False, True, False, False, False]
    assert all(row["MSE e-3"] > 0 for row in told["rows"])
    for name in ("figure4", "table15"):
        shown = _run(name, *options).stdout
        assert (workdir / f"{name}.png").stat().st_size > 10_000
        assert f"{name}.png" in shown
    assert _done_files(workdir) == after


def test_options_reach_every_run(trained):
    workdir, _, _ = trained
    for folder in workdir.glob("synthetic_*"):
        config = json.loads((folder / "config.json").read_text())
        assert config["steps"] == 2 and config["group_folds"] == 2


# --- declared runs


def test_the_grid_of_loss_weights_is_the_papers():
    runs = experiment("table11").runs
    assert [run.row for run in runs] == [
        "1, 0.1", "10, 0.1", "100, 0.1", "1000, 0.1", "100, 0.01", "100, 1", "100, 10",
    ]  # fmt: skip
    assert runs[2].overrides == ()  # the paper's own, and so the run of the other tables
    assert dict(runs[0].overrides) == {
        "loss.dynamic_image_weight": "1", "loss.rank_weight": "0.1",
    }  # fmt: skip
    folders = [run.folder("paper") for run in runs]
    assert len(set(folders)) == 7 and folders[2] == "samm_5class_paper"


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
    assert [run.protocol for run in experiment("table9", "casme2", "3class").runs] == ["3class"] * 6


def _report(acc, **changes):
    return {
        "dataset": "samm", "protocol": "5class", "select": "last", "seeds": [0],
        "group_folds": None,
        "complete": True, "label_version": "v", "n_clips": 136, "steps": 9, "preset": "paper",
        "acc": acc, "uf1": acc / 2, "weighted_f1": acc / 4, "uar": acc / 5, "war": acc,
        "spread": None, "per_dataset": None, "dic_mse": 0.00144,
    } | changes  # fmt: skip


def test_our_scores_stand_below_the_methods(tmp_path):
    chosen = experiment("table4")
    results = [
        Result(chosen.runs[0], tmp_path, None, "casme2 is not built"),
        Result(chosen.runs[1], tmp_path, _report(0.8)),
    ]
    sheet = tables.methods(chosen, results)
    macro, weighted = sheet.rows[-2:]
    assert "macro" in macro[0] and "weighted" in weighted[0]
    assert macro[3:] == (None, None, 80.0, 40.0) and weighted[3:] == (None, None, 80.0, 20.0)
    assert sheet.rows[-3][0] == "FDP" and sheet.rows[-3][3:] == (88.42, 87.05, 86.69, 85.29)
    assert any("casme2: not trained; casme2 is not built" in note for note in sheet.notes)


def test_table8_has_both_directions_and_their_mean(tmp_path):
    chosen = experiment("table8")
    directions = [
        {"fold": "casme2_to_samm", "war": 0.5, "uar": 0.4},
        {"fold": "samm_to_casme2", "war": 0.7, "uar": 0.6},
    ]
    report = _report(0.6, per_dataset=directions, uar=0.5)
    sheet = tables.methods(chosen, [Result(chosen.runs[0], tmp_path, report)])
    assert sheet.rows[-1][3:] == (50.0, 40.0, 70.0, 60.0, 60.0, 50.0)


def test_several_seeds_are_shown_with_their_spread(tmp_path):
    chosen = experiment("table6", "synthetic")
    report = _report(0.8, spread={"acc": 0.0123, "uf1": 0, "weighted_f1": 0, "uar": 0})
    sheet = tables.methods(chosen, [Result(chosen.runs[0], tmp_path, report)])
    assert sheet.rows[0][2] == "80.00 (sd 1.23)"
    assert "The paper has no number" in sheet.notes[0]


def test_corpora_that_are_not_there_are_passed_over(tmp_path):
    place = Place(tmp_path, tmp_path / "data", None, "paper", (), is_parent=True)
    results = run_all(experiment("table4"), place)
    assert [result.report for result in results] == [None, None]
    assert "python -m datasets.build casme2" in results[0].reason


def test_folders_of_unpacked_corpora(tmp_path):
    (tmp_path / "SAMM").mkdir()
    both, samm = experiment("table4"), experiment("table9")
    parent = Place(tmp_path, tmp_path / "data", tmp_path, "paper", ("--steps=3",), is_parent=True)
    assert parent.missing_corpora(both.runs[0]) == ["casme2"]
    assert parent.missing_corpora(both.runs[1]) == []
    assert f"--manual_dir={tmp_path / 'SAMM'}" in parent.arguments(both.runs[1])
    alone = Place(tmp_path, tmp_path / "data", tmp_path, "paper", (), is_parent=False)
    assert f"--manual_dir={tmp_path}" in alone.arguments(samm.runs[0])
    assert "--steps=3" in parent.arguments(both.runs[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["name one experiment", "table4"]),
        (["table3"], ["no experiment 'table3'", "table4"]),
        (["table9", "--ablate=no_dic"], ["--ablate is chosen by the experiment"]),
        (["table9", "--seed=1"], ["--seeds=0,1,2"]),
        (["table9", "--stepz=3"], ["no option --stepz"]),
        (["table9", "--dataset=sam"], ["no corpus 'sam'"]),
        (["table9", "--dataset"], ["--dataset needs a value"]),
        (["table9", "--data_dir=/nowhere"], ["nothing can be trained", "datasets.build samm"]),
        (["figure1", "--data_dir=/nowhere"], ["samm is not built", "--dataset"]),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    done = _run(*arguments, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in sentence


def test_a_composite_takes_no_corpus():
    with pytest.raises(UserError):
        experiment("table9", "samm", "cross")


def test_help_teaches():
    shown = _run("--help").stdout
    assert "python -m fdp_jax.experiments table9 --dataset=synthetic" in shown
