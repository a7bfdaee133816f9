"""Tables and their notes, from reports made by hand."""

import pytest

from fdp_jax.paper import notes, result_table
from fdp_jax.paper.registry import RunResult, experiment
from fdp_jax.paper.result_table import ResultTable, methods_table, variants_table


def make_report(acc, **changes):
    return {
        "dataset": "samm", "protocol": "5class", "select": "last", "seeds": [0],
        "group_folds": None, "split": "people", "selection": None,
        "train_set_metrics": {"kendall_tau": None},
        "auxiliary": {"dynamic_image": None, "rank": None}, "per_subject": [],
        "complete": True, "label_version": "v", "n_clips": 136, "steps": 9, "preset": "paper",
        "acc": acc, "uf1": acc / 2, "weighted_f1": acc / 4, "uar": acc / 5, "war": acc,
        "fold_acc": acc / 10, "spread": None, "per_dataset": None, "dic_mse": 0.00144,
    } | changes  # fmt: skip


def test_scores_are_below_those_of_the_methods(tmp_path):
    chosen = experiment("table4")
    results = [
        RunResult(chosen.runs[0], tmp_path, None, "casme2 is not built"),
        RunResult(chosen.runs[1], tmp_path, make_report(0.8)),
    ]
    table = methods_table(chosen, results)
    macro, weighted, by_fold = table.rows[-3:]
    assert "macro" in macro[0] and "weighted" in weighted[0]
    assert macro[3:] == (None, None, 80.0, 40.0) and weighted[3:] == (None, None, 80.0, 20.0)
    assert "mean over folds" in by_fold[0] and by_fold[3:] == (None, None, 8.0, None)
    assert sum("no whole number of clips" in note for note in table.notes) == 2
    assert any("the mean of the accuracies of the folds" in note for note in table.notes)
    assert table.rows[-4] == ("FDP", "Ours", "DL+RI", 88.42, 87.05, 86.69, 85.29)
    assert any("casme2: not trained; casme2 is not built" in note for note in table.notes)


def test_table8_has_both_directions_and_their_mean(tmp_path):
    chosen = experiment("table8")
    directions = [
        {"fold": "casme2_to_samm", "war": 0.5, "uar": 0.4},
        {"fold": "samm_to_casme2", "war": 0.7, "uar": 0.6},
    ]
    report = make_report(0.6, per_dataset=directions, uar=0.5, split="corpora")
    table = methods_table(chosen, [RunResult(chosen.runs[0], tmp_path, report)])
    assert table.rows[-1][3:] == (50.0, 40.0, 70.0, 60.0, 60.0, 50.0)
    text = " ".join(table.notes)
    assert "tested on the other" in text and "LOSO" not in text
    runs = [
        {"select": "last", "seed": seed, "per_dataset": [{**d, "war": d["war"] + 0.1 * seed}
                                                         for d in directions]}
        for seed in (0, 1)
    ]  # fmt: skip
    spread = {"war": 0.02, "uar": 0.01}
    report |= {"runs": runs, "seeds": [0, 1], "spread": spread}
    table = methods_table(chosen, [RunResult(chosen.runs[0], tmp_path, report)])
    # 50 and 60: mean 55, sample standard deviation 10 / sqrt 2
    assert table.rows[-1][3:5] == ("55.00 ± 7.07", "40.00 ± 0.00")
    assert table.rows[-1][7] == "60.00 ± 2.00"


def test_several_seeds_are_shown_with_their_deviation(tmp_path):
    chosen = experiment("table6", "synthetic")
    report = make_report(
        0.8, spread={"acc": 0.0123, "uf1": 0, "weighted_f1": 0, "uar": 0, "fold_acc": 0.02}
    )
    table = methods_table(chosen, [RunResult(chosen.runs[0], tmp_path, report)])
    assert table.rows[0][2] == "80.00 ± 1.23"
    assert "has no numbers for synthetic 5class" in table.notes[0]
    own = experiment("table6")
    table = methods_table(own, [RunResult(own.runs[0], tmp_path, report)])
    assert [row[3] for row in table.rows[-3:]] == ["80.00 ± 1.23", "80.00 ± 1.23", "8.00 ± 2.00"]
    assert any(note.startswith("After ±") for note in table.notes)


def test_another_protocol_is_in_no_column_of_the_paper(tmp_path):
    chosen = experiment("table4", "samm", "3class")
    report = make_report(0.8, protocol="3class")
    table = methods_table(chosen, [RunResult(chosen.runs[0], tmp_path, report)])
    assert table.columns[:2] == ("corpus", "protocol") and len(table.rows) == 1
    assert "table4 has no numbers for samm 3class" in table.notes[0]
    chosen = experiment("table11", "samm", "3class")
    table = variants_table(chosen, [RunResult(chosen.runs[0], tmp_path, report)])
    warning = "The paper's numbers are for samm 5class, those computed here for samm 3class."
    assert table.notes[0] == warning


def selected(acc, *rules):
    """A report with selection rules side by side, each 0.1 above the one before."""
    level = {"mean": 0.61, "low": 0.55, "high": 0.67}
    chance = {"evaluations": 70, "draws": 200} | {
        way: {"acc": level, "uf1": level} for way in ("uniform", "class_share")
    }
    entries = [
        {"select": rule, "seeds": [0], "spread": None, "acc": acc + 0.1 * place, "uf1": acc,
         "weighted_f1": acc, "uar": acc, "war": acc, "fold_acc": acc}
        for place, rule in enumerate(rules)
    ]  # fmt: skip
    selection = {"rules": entries, "test_best_gaps": [], "test_best_chance_level": chance}
    return make_report(acc, select=rules[0], selection=selection)


@pytest.mark.parametrize("name", ["table4", "table9", "table10", "table11"])
def test_every_rule_has_its_row_and_test_best_its_warning(tmp_path, name):
    chosen = experiment(name)
    for rules in (("test-best",), ("last", "test-best", "val")):
        results = [RunResult(chosen.runs[-1], tmp_path, selected(0.5, *rules))]
        if name == "table4":
            table = methods_table(chosen, results)
        else:
            table = variants_table(chosen, results)
        place = table.columns.index("samm.acc" if name == "table4" else "Acc")
        rows = [row for row in table.rows if name != "table4" or "trained here" in row[0]]
        assert [row[place] for row in rows[: len(rules)]] == [50.0, 60.0, 70.0][: len(rules)]
        marked = [row for row in rows if row[0].endswith(", test-best (OPTIMISTIC)")]
        assert len(marked) == (3 if name == "table4" else 1)
        text = " ".join(table.notes)
        assert "test-best is OPTIMISTIC" in text and "the best of 70 evaluations" in text
        assert "61.00 % (55.00 to 67.00)" in text


def test_the_run_with_another_rule_is_named(tmp_path):
    full, without = experiment("table14").runs[:2]
    results = [
        RunResult(full, tmp_path, selected(0.5, "last", "test-best", "val")),
        RunResult(without, tmp_path, make_report(0.5)),
    ]
    found = list(notes.training(results))
    assert any(n.startswith("FDP w/o L_MER predicts no") and "--select=last" in n for n in found)


def test_shared_facts_are_shown_once_and_others_by_run(tmp_path):
    first, second, *_ = experiment("table9").runs
    found = list(
        notes.training(
            [
                RunResult(first, tmp_path / "a", make_report(0.5)),
                RunResult(second, tmp_path / "b", make_report(0.5, n_clips=1135)),
            ]
        )
    )
    assert sum("samm 5class" in note for note in found) == 1
    assert found[1:] == ["FDP: 136 clips, a", "FDP w/o L_DIC: 1,135 clips, b"]


def test_the_image_error_is_compared_subject_by_subject():
    subjects = [("a", 1, 0.001), ("b", 3, 0.003)]
    full = [{"subject": s, "n_clips": n, "dic_mse": mse} for s, n, mse in subjects]
    other = [entry | {"dic_mse": entry["dic_mse"] + 0.002} for entry in full]

    def difference(entries):
        return notes._error_difference({"per_subject": full}, {"per_subject": entries})

    value, (low, high) = difference(other)
    assert (value, low, high) == pytest.approx((0.002, 0.002, 0.002))
    other[0]["dic_mse"] = 0.005  # 0.004 on one clip, 0.002 on three
    value, (low, high) = difference(other)
    assert (value, low, high) == pytest.approx((0.0025, 0.002, 0.004))
    assert difference([entry | {"dic_mse": None} for entry in full]) is None


def test_an_empty_tau_is_explained(tmp_path):
    levels = {"verdict": "learnt", "best_constant": 16.0, "loss": 9.0, "kendall_tau": 0.5}
    report = make_report(0.5, auxiliary={"dynamic_image": None, "rank": levels})
    chosen = experiment("table11")
    table = variants_table(chosen, [RunResult(chosen.runs[2], tmp_path, report)])
    assert table.rows[0][-3:] == (9.0, 0.5, None)
    assert any("tau seen" in note and "only --select=last" in note for note in table.notes)
    assert not any("has learnt" in note for note in table.notes)
    report["auxiliary"]["rank"] |= {"verdict": "nothing"}
    table = variants_table(chosen, [RunResult(chosen.runs[2], tmp_path, report)])
    assert any(note.startswith("100, 0.1: The rank scorer has learnt") for note in table.notes)


def test_cells_of_a_column_have_the_same_decimals():
    table = ResultTable("t", "t", ("a", "Acc", "tau", "n"), (("x", 50.0, 0.5, 1234),))
    assert table.as_text().splitlines()[3].split() == ["x", "50.00", "0.500", "1,234"]
    assert '"Acc": 50.0' in table.as_json()
    assert "50.00" in table.as_markdown() and result_table._text("a", None) == "-"
