"""Tables and figures of the paper as commands, on a tiny corpus and a tiny network."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax import experiments as command
from fdp_jax.paper import notes, pictures, running, sheets, tables
from fdp_jax.paper.catalogue import NAMES, experiment
from fdp_jax.paper.running import Place, Result, run_all
from tests.conftest import run_module
from tests.helpers.tiny import TINY_OPTIONS

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
    for table in written.values():
        assert any("fdp_jax.report compare WORKDIR WORKDIR" in note for note in table["notes"])


def test_parameters_of_the_backbones_need_no_corpus(tmp_path):
    done = _run("table10", f"--workdir={tmp_path}", f"--data_dir={tmp_path}/data", "--json")
    told = json.loads(done.stdout)
    assert {row["backbone"]: row["parameters"] for row in told["rows"]} == {
        "vit_base": 88_389_376, "conv": 27_140_768, "conv_bn_relu_pointwise": 28_713_248,
        "fdp": 14_820_128, "resnet18": 13_271_488,
    }  # fmt: skip
    assert [row["type"] for row in told["rows"]] == ["T", "C+T", "C'+T", "C*+T", "C"]
    notes_of = " ".join(told["notes"])
    assert "other way round" in notes_of and "argues for its own order" in notes_of
    assert "under the other label as well" in notes_of and "T: transformer" in notes_of
    assert sum("not trained" in note for note in told["notes"]) == 5
    assert "fdp 14,820,128" in done.stderr  # before anything is trained
    assert "88,389,376" in (tmp_path / "table10.md").read_text()


def test_figure1_draws_from_a_built_corpus(data_dir, tmp_path):
    shown = _run("figure1", "--dataset=synthetic", f"--data_dir={data_dir}",
                 f"--workdir={tmp_path}").stdout  # fmt: skip
    assert (tmp_path / "figure1.png").read_bytes().startswith(b"\x89PNG")
    people = re.findall(r"^(s\d\d)  ", shown, re.MULTILINE)
    assert len(people) == 6 and len(set(people)) == 6


def test_figure1_heeds_frames_and_crop(data_dir, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("fdp_jax.paper.pictures.draw", lambda panels: drawn.append(panels))
    command.main(["figure1", "--dataset=synthetic", f"--data_dir={data_dir}", "--clip.crop=32",
                  f"--workdir={tmp_path}", "--clip.frames=3"])  # fmt: skip
    ((first, *_),) = drawn
    assert first.images["dynamic image"].shape == (32, 32)
    assert "frame 3" in first.images and "frame 4" not in first.images


def test_figure1_shows_every_class():
    labels = np.repeat(np.arange(7), 2)
    chosen = pictures._one_of_each_class(labels, tuple("abcdefghijklmn"), 7)
    assert sorted(labels[chosen]) == list(range(7))


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
    assert "ours of synthetic 5class" in notes and notes.count("rule last") == 1
    assert re.search(r"FDP w/o DIC: UF1 [+-][\d.]+ \[.+, .+\]; P = ", notes)
    assert "Clear of 0 in UF1" in notes and "Section 4.3.3" in notes
    full = json.loads((workdir / "synthetic_5class_paper" / "report.json").read_text())
    assert told["rows"][0]["rank loss"] == round(full["auxiliary"]["rank"]["loss"], 3)
    assert told["rows"][0]["tau seen"] == round(full["train_set_metrics"]["kendall_tau"], 3)


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
    assert any(re.match(r"FDP w/o MER: MSE e-3 [+-][\d.]+ \[\S+, \S+\]$", n) for n in told["notes"])
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
    assert [run.dataset for run in experiment("table15").runs] == ["samm", "casme2"]
    assert [run.protocol for run in experiment("table9", "casme2", "3class").runs] == ["3class"] * 6


def _report(acc, **changes):
    return {
        "dataset": "samm", "protocol": "5class", "select": "last", "seeds": [0],
        "group_folds": None, "split": "people", "selection": None, "train_set_metrics": None,
        "auxiliary": {"dynamic_image": None, "rank": None}, "per_subject": [],
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
    report = _report(0.6, per_dataset=directions, uar=0.5, split="corpora")
    sheet = tables.methods(chosen, [Result(chosen.runs[0], tmp_path, report)])
    assert sheet.rows[-1][3:] == (50.0, 40.0, 70.0, 60.0, 60.0, 50.0)
    told = " ".join(sheet.notes)
    assert "tested on the other" in told and "LOSO" not in told
    runs = [
        {"select": "last", "seed": seed, "per_dataset": [{**d, "war": d["war"] + 0.1 * seed}
                                                         for d in directions]}
        for seed in (0, 1)
    ]  # fmt: skip
    spread = {"war": 0.02, "uar": 0.01}
    report |= {"runs": runs, "seeds": [0, 1], "spread": spread}
    sheet = tables.methods(chosen, [Result(chosen.runs[0], tmp_path, report)])
    # 50 and 60: mean 55, sample standard deviation 10 / sqrt 2
    assert sheet.rows[-1][3:5] == ("55.00 ± 7.07", "40.00 ± 0.00")
    assert sheet.rows[-1][7] == "60.00 ± 2.00"


def test_several_seeds_are_shown_with_their_spread(tmp_path):
    chosen = experiment("table6", "synthetic")
    report = _report(0.8, spread={"acc": 0.0123, "uf1": 0, "weighted_f1": 0, "uar": 0})
    sheet = tables.methods(chosen, [Result(chosen.runs[0], tmp_path, report)])
    assert sheet.rows[0][2] == "80.00 ± 1.23"
    assert "has no number of synthetic 5class" in sheet.notes[0]
    own = experiment("table6")
    sheet = tables.methods(own, [Result(own.runs[0], tmp_path, report)])
    assert sheet.rows[-2][3] == "80.00 ± 1.23"
    assert any(note.startswith("After ±") for note in sheet.notes)


def test_another_protocol_stands_in_no_column_of_the_paper(tmp_path):
    chosen = experiment("table4", "samm", "3class")
    report = _report(0.8, protocol="3class")
    sheet = tables.methods(chosen, [Result(chosen.runs[0], tmp_path, report)])
    assert sheet.columns[:2] == ("corpus", "protocol") and len(sheet.rows) == 1
    assert "table4 has no number of samm 3class" in sheet.notes[0]
    chosen = experiment("table11", "samm", "3class")
    sheet = tables.weights(chosen, [Result(chosen.runs[0], tmp_path, report)])
    assert sheet.notes[0] == "The paper's numbers are of samm 5class, ours of samm 3class."


def _selected(acc, *rules):
    """A report with selection rules side by side, each 0.1 above the one before."""
    level = {"mean": 0.61, "low": 0.55, "high": 0.67}
    guessing = {"evaluations": 70, "draws": 200} | {
        way: {"acc": level, "uf1": level} for way in ("uniform", "class_share")
    }
    entries = [
        {"select": rule, "seeds": [0], "spread": None, "acc": acc + 0.1 * place, "uf1": acc,
         "weighted_f1": acc, "uar": acc, "war": acc}
        for place, rule in enumerate(rules)
    ]  # fmt: skip
    selection = {"rules": entries, "test_best_gaps": [], "test_best_chance_level": guessing}
    return _report(acc, select=rules[0], selection=selection)


@pytest.mark.parametrize("name", ["table4", "table9", "table10", "table11"])
def test_every_rule_has_its_row_and_test_best_its_warning(tmp_path, name):
    chosen = experiment(name)
    make = {"table4": tables.methods, "table9": tables.ablations, "table11": tables.weights}
    for rules in (("test-best",), ("last", "test-best", "val")):
        results = [Result(chosen.runs[-1], tmp_path, _selected(0.5, *rules))]
        if name == "table10":
            sheet = tables.backbones(chosen, results, {"resnet18": 1})
        else:
            sheet = make[name](chosen, results)
        place = sheet.columns.index("samm.acc" if name == "table4" else "Acc")
        rows = [row for row in sheet.rows if name != "table4" or "trained here" in row[0]]
        assert [row[place] for row in rows[: len(rules)]] == [50.0, 60.0, 70.0][: len(rules)]
        marked = [row for row in rows if row[0].endswith(", test-best (OPTIMISTIC)")]
        assert len(marked) == (2 if name == "table4" else 1)
        told = " ".join(sheet.notes)
        assert "test-best is OPTIMISTIC" in told and "the best of 70 evaluations" in told
        assert "61.00 % (55.00 to 67.00)" in told


def test_common_facts_are_told_once_and_differences_by_run(tmp_path):
    first, second, *_ = experiment("table9").runs
    told = notes.origin(
        [Result(first, tmp_path / "a", _report(0.5)),
         Result(second, tmp_path / "b", _report(0.5, n_clips=1135))]
    )  # fmt: skip
    assert sum("samm 5class" in note for note in told) == 1
    assert told[1:] == ["FDP: 136 clips, a", "FDP w/o DIC: 1,135 clips, b"]


def test_the_error_of_images_is_compared_person_by_person():
    people = [("a", 1, 0.001), ("b", 3, 0.003)]
    full = [{"subject": s, "n_clips": n, "dic_mse": mse} for s, n, mse in people]
    other = [entry | {"dic_mse": entry["dic_mse"] + 0.002} for entry in full]
    value, (low, high) = notes._less_error(full, other)
    assert (value, low, high) == pytest.approx((0.002, 0.002, 0.002))
    other[0]["dic_mse"] = 0.005  # 0.004 on one clip, 0.002 on three
    value, (low, high) = notes._less_error(full, other)
    assert (value, low, high) == pytest.approx((0.0025, 0.002, 0.004))
    assert notes._less_error(full, [entry | {"dic_mse": None} for entry in full]) is None


def test_an_empty_tau_is_explained(tmp_path):
    levels = {"verdict": "learnt", "best_constant": 16.0, "loss": 9.0, "kendall_tau": 0.5}
    report = _report(0.5, auxiliary={"dynamic_image": None, "rank": levels})
    chosen = experiment("table11")
    sheet = tables.weights(chosen, [Result(chosen.runs[2], tmp_path, report)])
    assert sheet.rows[0][-3:] == (9.0, 0.5, None)
    assert any("tau seen is empty for 100, 0.1" in note for note in sheet.notes)
    report["auxiliary"]["rank"] |= {"verdict": "nothing"}
    sheet = tables.weights(chosen, [Result(chosen.runs[2], tmp_path, report)])
    assert any(
        note.startswith("100, 0.1: The rank scorer has learnt nothing") for note in sheet.notes
    )


def test_cells_of_a_column_have_the_same_decimals():
    sheet = sheets.Sheet("t", "t", ("a", "Acc", "tau", "n"), (("x", 50.0, 0.5, 1234),))
    assert sheets.as_text(sheet).splitlines()[3].split() == ["x", "50.00", "0.500", "1,234"]
    assert sheet.as_dict()["rows"] == [{"a": "x", "Acc": 50.0, "tau": 0.5, "n": 1234}]


def test_a_run_that_fails_keeps_no_other_from_its_place(tmp_path, monkeypatch, capsys):
    def train(arguments, _trainer):
        if "--ablate=no_rank" in arguments:
            raise UserError("the loss is no longer finite")
        return _report(0.5)

    monkeypatch.setattr(running, "_train", train)
    monkeypatch.setattr(notes, "compare", lambda *_: (_ for _ in ()).throw(UserError("no")))
    with pytest.raises(UserError, match="1 of 6 runs failed; FDP w/o rank: the loss is no longer"):
        command.main(["table9", "--dataset=synthetic", f"--workdir={tmp_path}", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [row["Acc"] for row in told["rows"]] == [50.0, 50.0, None, 50.0, 50.0, 50.0]
    assert "FDP w/o rank: not trained; the loss is no longer finite" in told["notes"]
    assert (tmp_path / "table9.md").exists()


def test_without_recognition_the_last_step_is_taken(tmp_path):
    runs = experiment("table14", "synthetic").runs
    place = Place(tmp_path, tmp_path, None, "paper", ("--select=all", "--steps=3"), False)
    full, without = (place.arguments(run) for run in runs[:2])
    assert "--select=all" in full
    assert "--select=all" not in without and "--steps=3" in without
    results = [
        Result(runs[0], tmp_path, _selected(0.5, "last", "test-best", "val")),
        Result(runs[1], tmp_path, _report(0.5)),
    ]
    told = notes.origin(results)
    assert any(n.startswith("FDP w/o MER predicts no") and "--select=last" in n for n in told)


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
        (["table11", "--loss.rank_weight=1"], ["--loss.rank_weight is chosen by the experiment"]),
        (["table11", "--loss.dynamic-image-weight=1"], ["is chosen by the experiment"]),
        (["table12", "--dataset=samm"], ["leave out --dataset"]),
        (["table13", "--steps=3"], ["trains nothing", "--steps"]),
        (["figure1", "--steps=3"], ["trains nothing", "--steps", "--clip.crop"]),
        (["table8", "--dataset=samm"], ["leave out --dataset"]),
        (["table4", "--protocol=3class"], ["needs a corpus", "--dataset"]),
        (["table9", "--manual_dir=/nowhere"], ["/nowhere does not exist", "--manual_dir"]),
        (["table4", "--manual_dir=/nowhere"], ["/nowhere does not exist", "--manual_dir"]),
        (["table10", "--clip.crop=48"], ["multiple of 32"]),
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
    for name in NAMES:
        assert f"  {name:<8} " in shown
    assert "(--loss.dynamic_image_weight, --loss.rank_weight)" in shown
    assert "figure1 trains nothing" in shown
