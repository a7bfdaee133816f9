"""The report end to end: a work directory of random numbers in, all its files out."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryFile

import matplotlib
import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax.metrics import scores as metrics
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.report import main, summary_text, write_report
from fdp_jax.reporting.formatting import configuration
from fdp_jax.reporting.page import sections
from tests.conftest import HANGS, ROOT, run_module
from tests.helpers.workdirs import CLASSES, change_json, make_workdir

CONTRACT = {
    "dataset", "protocol", "select", "seeds", "n_clips", "n_subjects", "classes", "acc", "uf1",
    "weighted_f1", "uar", "war", "per_class_recall", "confusion_matrix", "dic_mse", "parameters",
    "steps", "seconds", "versions", "complete",
}  # fmt: skip
FIGURES = {
    "confusion_matrix.png", "subject_accuracy.png", "training_curves.png", "dynamic_images.png",
    "rank_scores.png",
}  # fmt: skip


def all_texts(workdir: Path, report: dict) -> dict[str, str]:
    """Everything a reader sees."""
    return {
        "json": (workdir / "report.json").read_text(encoding="utf-8"),
        "md": (workdir / "report.md").read_text(encoding="utf-8"),
        "html": (workdir / "report.html").read_text(encoding="utf-8"),
        "terminal": summary_text(report, workdir),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    workdir = make_workdir(tmp_path_factory.mktemp("report") / "work")
    return workdir, write_report(workdir)


def test_json_has_the_keys_of_the_contract_and_pooled_scores(made):
    workdir, report = made
    assert json.loads((workdir / "report.json").read_text(encoding="utf-8")) == report
    assert set(report) >= CONTRACT
    assert report["complete"] is True and report["missing_folds"] == []
    assert (report["n_clips"], report["n_subjects"], report["seeds"]) == (12, 3, [0])
    assert (report["seconds"], report["steps"]) == (37.5, 40)
    table = PredictionTable.read(workdir / "predictions.csv")
    scores = metrics.score(table.label, table.prediction, CLASSES)
    for name in metrics.SCORE_NAMES:
        assert report[name] == getattr(scores, name)
    assert report["confusion_matrix"] == scores.confusion_matrix.tolist()
    assert report["dic_mse"] == pytest.approx(table.dic_mse.mean(), rel=1e-12)
    assert "runs" not in report


def test_all_files_are_there_and_the_figures_are_pictures(made):
    workdir, _ = made
    assert {path.name for path in (workdir / "figures").iterdir()} == FIGURES
    for path in (workdir / "figures").iterdir():
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert not list(workdir.rglob("*.tmp"))


def test_both_f1_chance_and_the_selection_rule_are_named_everywhere(made):
    workdir, report = made
    texts = all_texts(workdir, report)
    del texts["json"]
    for name, text in texts.items():
        plain = re.sub(r"<[^>]+>", "", text)
        for words in ("UF1 (macro F1)", "Weighted F1", "20.00 % (1/5)", "12 clips of 3 subjects",
                      "3 of 3 folds", f"{100 * report['uf1']:.2f} %"):  # fmt: skip
            assert words in plain, (name, words)
        assert "Selection rule last: " in plain, name
    assert str(workdir / "report.html") in texts["terminal"]


def test_a_second_report_elsewhere_is_the_same_to_the_bit(made, tmp_path):
    workdir, _ = made
    copy = tmp_path / "moved"
    shutil.copytree(workdir, copy)
    files = [path for path in copy.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    write_report(copy)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_missing_folds_are_named_in_every_output(tmp_path):
    workdir = make_workdir(tmp_path / "work")
    (workdir / "seed_0" / "folds" / "007" / "done.json").unlink()
    (workdir / "seed_0" / "folds" / "011" / "outputs.npz").write_bytes(b"PK")
    report = write_report(workdir)
    assert report["complete"] is False and report["n_clips"] == 4
    assert [fold["fold"] for fold in report["missing_folds"]] == ["007", "011"]
    texts = all_texts(workdir, report)
    for name, text in texts.items():
        assert "no done.json" in text and "outputs.npz is missing or damaged" in text, name
        if name != "json":
            assert "INCOMPLETE: 2 of 3 folds are missing" in text, name


def test_several_seeds_are_averaged_with_their_spread(tmp_path):
    workdir = make_workdir(tmp_path / "work", seeds=(0, 1, 2))
    report = write_report(workdir)
    values = [run["uf1"] for run in report["runs"]]
    assert [run["seed"] for run in report["runs"]] == report["seeds"] == [0, 1, 2]
    assert report["uf1"] == pytest.approx(np.mean(values), abs=1e-15)
    assert report["spread"]["uf1"] == pytest.approx(np.std(values, ddof=1), abs=1e-15)
    assert np.sum(report["confusion_matrix"]) == 36 and report["n_clips"] == 12
    assert len(PredictionTable.read(workdir / "predictions.csv")) == 36
    assert "mean over seeds 0, 1 and 2" in summary_text(report, workdir)

    # An incomplete seed is named, and left out of the mean.
    (workdir / "seed_1" / "folds" / "007" / "done.json").unlink()
    report = write_report(workdir)
    assert report["seeds"] == [0, 2] and report["seeds_left_out"] == [1]
    assert report["uf1"] == pytest.approx((values[0] + values[2]) / 2)
    assert report["complete"] is False
    assert "left out of the headline: seed 1" in (workdir / "report.html").read_text()


def test_ablated_modules_leave_their_parts_out(tmp_path):
    workdir = make_workdir(tmp_path / "work", ablated=True)
    report = write_report(workdir)
    assert report["dic_mse"] is None
    assert report["auxiliary"] == {"dynamic_image": None, "rank": None}
    assert not (workdir / "figures" / "rank_scores.png").exists()
    assert "switched off" in (workdir / "report.html").read_text()


def test_a_class_without_clips_is_named(tmp_path):
    workdir = make_workdir(tmp_path / "work", subjects=("006",), clips_each=2)
    report = write_report(workdir)
    absent = report["classes_without_clips"]
    assert len(absent) >= 3 and all(report["per_class_recall"][name] is None for name in absent)
    for name, text in all_texts(workdir, report).items():
        assert name == "json" or "left out of UF1 and UAR" in text, name


class _Links(HTMLParser):
    """Collects tags, and every attribute that a browser would follow."""

    def __init__(self):
        super().__init__()
        self.tags, self.followed = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.followed += [value for key, value in attrs if key in {"src", "href", "srcset"}]


NASTY = ("<script>alert(1)</script>", "惊讶", "pi|pe", "$x$ & \"q\" 'a'", "`tick`")


def test_the_page_is_self_contained_and_names_are_escaped(tmp_path):
    workdir = make_workdir(
        tmp_path / "work", subjects=("00<b>6", "王小明", 'a"b'), classes=NASTY, clips_each=5
    )
    write_report(workdir)
    page = (workdir / "report.html").read_text(encoding="utf-8")
    links = _Links()
    links.feed(page)
    assert not links.tags & {"b", "link", "iframe", "object"}
    assert page.count("<script") == 1 and "alert(1)</script>" not in page
    kinds = {uri.split(",")[0] if uri.startswith("data:") else uri[0] for uri in links.followed}
    assert kinds == {"data:image/png;base64", "data:image/jpeg;base64", "#"}
    assert "default-src 'none'" in page  # and a browser holds the page to it
    assert not re.search(r"https?://|@import|url\(", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "王小明" in page
    assert "prefers-color-scheme: dark" in page and "width=device-width" in page
    markdown = (workdir / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in markdown and "pi\\|pe" in markdown
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        borders = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(borders) == 1, table


@pytest.mark.parametrize(("built", "ranked", "words"), [(0, 0, "nothing"), (0.9, 0.9, "something")])
def test_the_report_says_what_the_auxiliary_tasks_learnt(tmp_path, built, ranked, words):
    workdir = make_workdir(tmp_path / "work", built=built, ranked=ranked)
    report = write_report(workdir)
    texts = all_texts(workdir, report)
    del texts["json"]
    for name, text in texts.items():
        assert f"dynamic-image module has learnt {words}" in text, name
        assert f"rank scorer has learnt {words}" in text, name


def test_warnings_on_the_corpus_come_before_the_scores(tmp_path):
    workdir = make_workdir(tmp_path / "work")
    warning = "samm differs from the published corpus: clips 135 (136)."
    change_json(workdir / "seed_0" / "run.json", warnings=[warning])
    texts = all_texts(workdir, write_report(workdir))
    del texts["json"]
    for name, text in texts.items():
        assert -1 < text.find(warning) < text.find("UF1 (macro F1)"), name


def test_training_clips_are_compared_with_test_clips_of_the_same_task(tmp_path):
    workdir = make_workdir(tmp_path / "work")
    known = {"acc": 1.0, "dic_mse": 0.001, "best_constant_image": 0.002,
             "structure_correlation": 0.3, "rank_loss": 5.0, "kendall_tau": 0.9}  # fmt: skip
    for path in workdir.rglob("done.json"):
        change_json(path, train_set_metrics=known)
    report = write_report(workdir)
    assert report["train_set_metrics"] == pytest.approx(known)
    rows = {row[0]: row[1:] for row in sections(report)["auxiliary"].rows}
    levels = report["auxiliary"]
    assert rows["Dynamic image MSE"][:2] == (f"{levels['dynamic_image']['mse']:.4g}", "0.001")
    assert rows["- best constant image"][1] == "0.002"
    assert rows["Rank loss"][:2] == (f"{levels['rank']['loss']:.4g}", "5")
    assert rows["Kendall's tau with time"][:2] == (f"{levels['rank']['kendall_tau']:.4g}", "0.9")


@pytest.mark.parametrize(
    ("device", "shown"), [("cpu (cpu)", "cpu"), ("NVIDIA H100 (gpu)", "NVIDIA H100 (gpu)")]
)
def test_a_device_is_named_once(tmp_path, device, shown):
    workdir = make_workdir(tmp_path / "work")
    change_json(workdir / "seed_0" / "run.json", device=device)
    assert configuration(write_report(workdir))["Device"] == shown


def run_report(*arguments):
    return run_module("fdp_jax.report", *map(str, arguments), check=False, encoding="utf-8")


def test_the_command_line(made):
    workdir, report = made
    done = run_report(workdir)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip("\n") == summary_text(report, workdir)
    assert json.loads(run_report(workdir, "--json").stdout) == report


def test_the_command_line_answers_mistakes_with_one_sentence(tmp_path):
    done = run_report(tmp_path / "nowhere")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "nowhere" in done.stderr
    done = run_report(tmp_path, "--colour=red")
    assert done.returncode == 1 and "no option --colour" in done.stderr
    assert done.stderr.count("\n") == 1
    assert run_report("--help").returncode == 0


def test_a_work_directory_that_cannot_be_written_to(made, tmp_path):
    workdir = tmp_path / "work"
    shutil.copytree(made[0], workdir)
    shutil.rmtree(workdir / "figures")
    (workdir / "figures").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot be written") as caught:
        write_report(workdir)
    assert str(workdir / "figures") in str(caught.value)


def files_of(folder):
    return {p.relative_to(folder): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_the_report_of_a_read_only_run_goes_elsewhere(made, tmp_path, monkeypatch, capsys):
    workdir = tmp_path / "run of another"
    shutil.copytree(made[0], workdir)
    before, out = files_of(workdir), tmp_path / "mine" / "report"

    def refuse(dir):
        if dir == workdir:  # the tests may be run by root, who can write anywhere
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return TemporaryFile(dir=dir)

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"Read-only file system\); name another with --out=DIR"):
        main([str(workdir)])
    main([str(workdir), f"--out={out}"])
    assert capsys.readouterr().out.endswith(f"Report: {out / 'report.html'}\n")
    written = {p for p in files_of(made[0]) if p.parts[0] not in ("seed_0", "config.json")}
    assert set(files_of(out)) == written and files_of(workdir) == before
    assert (out / "predictions.csv").read_text() == (made[0] / "predictions.csv").read_text()


def test_no_heavy_library_is_loaded():
    code = (
        "import sys, fdp_jax.report; light = set(sys.modules)"
        "; assert not {'numpy', 'sklearn', 'matplotlib'} & light"
        "; from fdp_jax.reporting import chance, comparison, page, summary"
        "; assert not {'jax', 'flax', 'orbax', 'tensorflow_datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=HANGS)


def test_no_setting_of_matplotlib_changes_a_figure(made, tmp_path, monkeypatch):
    """Notebooks hand down a backend that may be missing here; users have a style of their own."""
    expected = {path.name: path.read_bytes() for path in (made[0] / "figures").glob("*.png")}
    workdir = shutil.copytree(made[0], tmp_path / "copy")
    (tmp_path / "matplotlibrc").write_text(
        "lines.linewidth: 9\nfigure.facecolor: red\nfont.size: 3"
    )
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    done = run_report(workdir)
    assert (done.returncode, done.stderr) == (0, "")
    drawn = {path.name: path.read_bytes() for path in (workdir / "figures").glob("*.png")}
    assert drawn == expected
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 3}):
        write_report(workdir)
    drawn = {path.name: path.read_bytes() for path in (workdir / "figures").glob("*.png")}
    assert drawn == expected and len(drawn) > 3
