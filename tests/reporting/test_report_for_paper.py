"""What a report has for a paper: LaTeX, vector figures, published numbers and the code's commit."""

import json
import re

import numpy as np
import pytest

from fdp_jax.metrics.predictions import PredictionTable, pool
from fdp_jax.report import main, write_report
from fdp_jax.reporting import figures, latex, summary
from tests.helpers.workdirs import add_rules, change_json, make_workdir
from tests.reporting.test_report import FIGURES, all_texts


def renamed(workdir, dataset):
    """The same runs under the name of another corpus."""
    for path in (*workdir.rglob("run.json"), *workdir.rglob("predictions.csv")):
        path.write_text(path.read_text().replace("synthetic", dataset))
    return workdir


def tables(workdir):
    """Comments, and rows of the table as lists of cells, without their line ends."""
    text = (workdir / "tables.tex").read_text(encoding="utf-8")
    comments = [line.removeprefix("% ") for line in text.splitlines() if line.startswith("%")]
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert code.count("{") == code.count("}") and code.startswith("\\begin{table}")
    lines = [line.strip() for line in code.splitlines() if " & " in line]
    assert all(line.endswith("\\\\") for line in lines)
    return comments, [[cell.strip() for cell in line[:-2].split(" & ")] for line in lines], code


def test_the_table_has_mean_deviation_and_interval(tmp_path):
    workdir = renamed(make_workdir(tmp_path / "work", seeds=(0, 1, 2)), "my_lab")
    report = write_report(workdir)
    comments, rows, code = tables(workdir)
    acc, sd = 100 * report["acc"], 100 * report["spread"]["acc"]
    low, high = (100 * end for end in report["intervals"]["acc"])
    assert rows[0] == ["Method", "Acc (= WAR)", "UF1 (macro F1)", "Weighted F1", "UAR"]
    assert rows[1][:2] == ["FDP, last", rf"{acc:.2f} $\pm$ {sd:.2f}"]
    # In braces: LaTeX takes a bracket after a line end for an argument of it.
    assert len(rows) == 3 and f"{{[{low:.1f}, {high:.1f}]}}" in rows[2][0]
    assert all(code.count(f"\\{rule}") == 1 for rule in ("toprule", "midrule", "bottomrule"))
    assert r"on my\_lab, 5class: 12 clips of 3 subjects, selection rule last" in code
    assert comments[-1] == " & ".join(rows[1]) + " \\\\"
    described = " ".join(comments)
    for words in ("my_lab, 5class", "seeds 0, 1 and 2", "Selection rule last", "2,000 resamples",
                  "standard deviation over the seeds", "Versions: jax 0.10.2"):  # fmt: skip
        assert words in described


def test_every_rule_has_its_row_and_test_best_its_warning(tmp_path):
    workdir = make_workdir(tmp_path / "work")
    add_rules(workdir, {"last": 1, "test-best": 7})
    report = write_report(workdir)
    _, rows, _ = tables(workdir)
    by_rule = {row[0]: row[1] for row in rows if row[0].startswith("FDP")}
    assert by_rule == {
        "FDP, last": f"{100 * report['acc']:.2f}",
        "FDP, test-best (OPTIMISTIC)": f"{100 * report['selection']['rules'][1]['acc']:.2f}",
    }


def test_no_sign_of_a_name_is_a_command():
    assert latex.escape("a_b & 50 % $x$ #1 {y}\n~^\\") == (
        r"a\_b \& 50 \% \$x\$ \#1 \{y\} \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )


def test_figures_for_a_paper_are_vectors_with_text(tmp_path, capsys):
    workdir = make_workdir(tmp_path / "work", classes=("joy", "fear"), clips_each=2)
    main([str(workdir), "--for_paper"])
    assert "PDF and SVG: figures/" in capsys.readouterr().out
    kinds = ("png", "pdf", "svg")
    expected = {name.replace("png", kind) for name in FIGURES for kind in kinds}
    found = {path.name: path.read_bytes() for path in (workdir / "figures").iterdir()}
    assert set(found) == expected
    for name, content in found.items():
        if name.endswith("pdf"):
            assert content.startswith(b"%PDF") and b"/Type3" not in content
            assert b"/FontFile2" in content or name == "dynamic_images.pdf"
        elif name.endswith("svg"):
            assert b"<text" in content
    assert b">joy</text>" in found["confusion_matrix.svg"]
    report = (workdir / "report.json").read_text()
    page = (workdir / "report.html").read_bytes()
    matrix, classes = np.array(json.loads(report)["confusion_matrix"]), ("joy", "fear")
    again = figures.render_formats(kinds, figures._confusion_matrix, matrix, classes)
    assert {f"confusion_matrix.{kind}": again[kind] for kind in kinds}.items() <= found.items()
    main([str(workdir)])  # figures of an earlier report would be of other folds
    assert {path.name for path in (workdir / "figures").iterdir()} == FIGURES
    assert "report WORKDIR --for_paper" in capsys.readouterr().out
    assert (workdir / "report.html").read_bytes() == page and b"tables.tex" in page
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--for-paper" in capsys.readouterr().out.replace("_", "-")


def test_the_published_number_is_beside_ours_with_what_is_known_of_it(tmp_path):
    workdir = renamed(make_workdir(tmp_path / "work"), "samm")
    fold = workdir / "seed_0" / "folds" / "006" / "predictions.csv"
    report = write_report(workdir)
    entry = report["published"]
    assert (entry["table"], entry["select"]) == (4, None)
    assert entry["scores"] == {"acc": 0.8669, "f1": 0.8529}
    table = PredictionTable.read(workdir / "predictions.csv")
    of_folds = [np.mean(PredictionTable.read(path).correct) for path in workdir.rglob(fold.name)
                if path.parent.parent.name == "folds"]  # fmt: skip
    assert len(of_folds) == 3 and report["fold_acc"] == pytest.approx(np.mean(of_folds))
    assert report["acc"] == np.mean(table.correct)
    texts = all_texts(workdir, report)
    del texts["json"]
    for name, text in texts.items():
        plain = " ".join(re.sub(r"<[^>]+>", " ", text).split())
        for words in (
            "86.69 %",
            "85.29 % (F1)",
            "its selection rule, and which F1",
            "86.69 % is no whole number of clips out of 128 to 136",
            f"Mean of the accuracies of the folds, here: {100 * report['fold_acc']:.2f} %",
        ):
            assert words in plain.replace("&#39;", "'"), (name, words)
    _, rows, _ = tables(workdir)
    assert rows[1] == [
        "FDP, as published (selection rule unknown)", "86.69",
        r"\multicolumn{2}{c}{85.29 (F1)}", "--",
    ]  # fmt: skip


def test_a_variant_has_no_published_number_of_the_whole_network(tmp_path):
    workdir = renamed(make_workdir(tmp_path / "work"), "samm")
    change_json(workdir / "config.json", ablate="no_rank")
    assert write_report(workdir)["published"] is None
    assert "Published" not in (workdir / "report.md").read_text()
    assert tables(workdir)[1][1][0] == r"FDP (no\_rank), last"
    info = {"dataset": "samm", "protocol": "5class"}
    assert summary.published_entry(info, {"backbone": "resnet18"}) is None
    assert summary.published_entry(info, {"backbone": "fdp", "ablate": ""})["table"] == 4


def test_folds_of_different_sizes_weigh_the_same_in_their_mean():
    tables = [
        PredictionTable.of_fold(
            protocol="2class", select="last", seed=0, fold=fold, classes=("a", "b"),
            datasets=["d"] * n, subjects=[fold] * n, clips=[str(k) for k in range(n)],
            labels=["a"] * n, probabilities=np.eye(2)[[0] * right + [1] * (n - right)],
            dic_mse=None,
        )
        for fold, n, right in (("x", 1, 1), ("y", 4, 2))
    ]  # fmt: skip
    scores = summary._table_scores(pool(tables))
    assert scores["acc"] == 3 / 5 and scores["fold_acc"] == (1 + 1 / 2) / 2
