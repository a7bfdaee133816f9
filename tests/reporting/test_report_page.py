"""`report.html` as a file: every number's rows are on it, and it stays small."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import parse_qs

import numpy as np
import pytest
from PIL import Image

from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.report import write_report
from fdp_jax.reporting import page as module
from fdp_jax.reporting.figures import balanced_order
from fdp_jax.reporting.results import read_workdir
from tests.helpers.workdirs import CLASSES, add_rules, make_workdir
from tests.reporting.test_report_selection import EVALUATIONS


class Page(HTMLParser):
    """The page's links with their texts, its rows and cards, and its list of runs."""

    def __init__(self, path):
        super().__init__()
        self.links, self.rows, self.cards, self.runs, self._open = [], [], [], {}, None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "a" and "=" in attrs["href"]:
            query = parse_qs(attrs["href"].removeprefix("#"), strict_parsing=True)
            self._open = {key: value for key, (value,) in query.items()}
            self.links.append([self._open, ""])
        elif "data-run" in attrs:
            row = {key.removeprefix("data-"): value for key, value in attrs.items()}
            (self.rows if tag == "tr" else self.cards).append(row)
        elif "data-runs" in attrs:
            self.runs[attrs["value"]] = attrs["data-runs"].split(" ")

    def handle_endtag(self, tag):
        if tag == "a":
            self._open = None

    def handle_data(self, data):
        if self._open is not None:
            self.links[-1][1] += data if data[-1] != "%" or "." in data else ""

    def behind(self, link):
        """The rows that a link leads to."""
        query = dict(link)
        run = query.pop("run")
        runs = self.runs[run] if self.runs else {row["run"] for row in self.rows}
        return [
            row
            for row in self.rows
            if row["run"] in runs and all(row[key] == value for key, value in query.items())
        ]


def assert_numbers_are_those_of_their_rows(page, report):
    """Counts are the numbers of rows, shares the share of right ones."""
    of_cells = [(link, text) for link, text in page.links if "prediction" in link]
    cells = report["confusion_matrix"]
    assert len(of_cells) == sum(len(cells) for counts in cells if sum(counts))
    for link, text in of_cells:
        assert len(page.behind(link)) == int(text), link
    subjects = [(link, text) for link, text in page.links if "subject" in link]
    assert len({link["subject"] for link, _ in subjects}) == report["n_subjects"]
    for link, text in subjects:
        rows = page.behind(link)
        correct = sum(row["verdict"] == "correct" for row in rows)
        if "%" in text:
            assert text == f"{100 * correct / len(rows):.2f} %"
        elif text:
            assert len(rows) == int(text) * len(report["seeds"])
    for name, recall in report["per_class_recall"].items():
        if recall is not None and len(report["seeds"]) == 1:
            rows = page.behind({"run": "headline", "label": name})
            assert recall == np.mean([row["verdict"] == "correct" for row in rows])


def test_every_number_leads_to_its_rows(tmp_path):
    workdir = make_workdir(tmp_path / "work", classes=("a+b", "c & d=1", '"<e>"', "惊讶 #%", "f"))
    report = write_report(workdir)
    page = Page(workdir / "report.html")
    assert len(page.rows) == len(page.cards) == 12 and not page.runs
    assert_numbers_are_those_of_their_rows(page, report)


def test_rows_of_several_seeds_are_kept_apart(tmp_path):
    workdir = make_workdir(tmp_path / "work", seeds=(0, 1, 2))
    (workdir / "seed_1" / "folds" / "007" / "done.json").unlink()
    report = write_report(workdir)
    page = Page(workdir / "report.html")
    assert page.runs == {
        "headline": ["last/0", "last/2"], "last/0": ["last/0"], "last/1": ["last/1"],
        "last/2": ["last/2"],
    }  # fmt: skip
    assert [len(page.behind({"run": run})) for run in page.runs] == [24, 12, 8, 12]
    assert {card["run"] for card in page.cards} == {"last/0"} and len(page.cards) == 12
    assert_numbers_are_those_of_their_rows(page, report)


def test_rules_and_runs_lead_to_their_own_rows(tmp_path):
    workdir = make_workdir(tmp_path / "work", seeds=(0, 1))
    shutil.rmtree(workdir / "seed_1")
    add_rules(workdir, EVALUATIONS)
    report = write_report(workdir)
    page = Page(workdir / "report.html")
    for run in report["runs"]:
        value = f"{run['select']}/{run['seed']}"
        rows = page.behind({"run": value})
        assert {row["run"] for row in rows} == {value}
        assert run["acc"] == np.mean([row["verdict"] == "correct" for row in rows])
        # Once by rule and once by run, each time all scores of the line.
        scores = [text for link, text in page.links if link["run"] == value]
        assert scores.count(f"{100 * run['acc']:.2f} %") >= 2
    assert "test-best (OPTIMISTIC), seed 0" in (workdir / "report.html").read_text()


def test_a_run_without_a_finished_fold_is_no_choice(tmp_path):
    workdir = make_workdir(tmp_path / "work", seeds=(0, 1))
    shutil.rmtree(workdir / "seed_1" / "folds")
    write_report(workdir)
    page = Page(workdir / "report.html")
    assert not page.runs and "last/1" not in {link["run"] for link, _ in page.links}


def test_without_modules_there_are_frames_still(tmp_path):
    workdir = make_workdir(tmp_path / "work", ablated=True)
    write_report(workdir)
    text = (workdir / "report.html").read_text()
    assert len(Page(workdir / "report.html").cards) == 12 and "8 input frames" in text
    assert "<span>constructed</span>" not in text and "<svg" not in text


def noisy_workdir(root, clips=300):
    """One finished fold of clips whose frames and images are noise, which no format makes small."""
    make_workdir(root, subjects=("006",), clips_each=clips)
    rng = np.random.default_rng(0)
    path = root / "seed_0" / "folds" / "006" / "outputs.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["frames"] = rng.integers(0, 256, (clips, 8, 64, 64), np.uint8)
    arrays["target"], arrays["dynamic_image"] = rng.random((2, clips, 64, 64), np.float32)
    np.savez(path, **arrays)
    return root


def test_300_clips_of_noise_stay_under_10_megabytes(tmp_path):
    workdir = noisy_workdir(tmp_path / "work")
    write_report(workdir)
    assert (workdir / "report.html").stat().st_size < 10e6
    page = Page(workdir / "report.html")
    assert len(page.rows) == 300 and len(page.cards) > 150


def test_where_not_all_pictures_fit_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PICTURE_BYTES", 60_000)
    workdir = noisy_workdir(tmp_path / "work", clips=20)
    write_report(workdir)
    page = Page(workdir / "report.html")
    shown = len(page.cards)
    assert len(page.rows) == 20 and 1 < shown < 20
    text = (workdir / "report.html").read_text()
    assert f"There is room for {shown} of its 20 clips." in text
    assert sum(map(len, re.findall(r"data:image/jpeg[^\"]*", text))) <= 60_000


def test_the_gallery_goes_round_the_classes(tmp_path):
    _, (run,) = read_workdir(make_workdir(tmp_path / "work", clips_each=8, right=0.4))
    table = run.table
    order = balanced_order(table)
    assert sorted(order) == list(range(24))
    right = [bool(table.correct[row]) for row in order]
    label = [table.label[row] for row in order]
    present = [name for name in CLASSES if name in table.label]
    assert {True, False} <= set(right[: len(present)]) and len(set(label[: len(present)])) > 1


def test_subjects_alternate():
    """Eight correct clips of one class of each of three subjects: the subjects alternate."""
    classes, subjects = ("a", "b"), np.repeat(["x", "y", "z"], 8)
    table = PredictionTable.of_fold(
        protocol="2class", select="last", seed=0, fold="f", classes=classes,
        datasets=["noise"] * 24, subjects=[*subjects], clips=[str(k) for k in range(24)],
        labels=["a"] * 24, probabilities=np.tile(np.float32([0.9, 0.1]), (24, 1)), dic_mse=None,
    )  # fmt: skip
    shown = [table.subject[row] for row in balanced_order(table)]
    assert shown == ["x", "y", "z"] * 8


def picture(uri):
    """float [h, w] in [0, 1] of a data URI."""
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(image, np.float64) / 255


def test_cards_show_the_pictures_and_probabilities_of_their_clip(tmp_path):
    workdir = make_workdir(tmp_path / "work", clips_each=3, built=0.0)
    _, (run,) = write_report(workdir), read_workdir(workdir)[1]
    table, outputs = run.table, run.outputs
    places = {(table.subject[row], table.clip[row]): row for row in range(len(table))}
    cards = module.cards(run)
    assert len(cards) == 9
    for card in cards:
        row = places[card.row.subject, card.row.clip]
        for uri, array in (
            (card.target, outputs.target[row]),
            (card.dynamic_image, np.clip(outputs.dynamic_image[row], 0, 1)),
            (card.frames, np.concatenate(outputs.frames[row] / 255, axis=1)),
        ):
            assert np.abs(picture(uri) - array).mean() < 0.02
        predicted = table.classes.index(table.prediction[row])
        assert card.row.probability == pytest.approx(table.probabilities[row, predicted])
        assert f"{table.prediction[row]} {card.row.probability:.2f}" in card.most_probable
    differ = np.abs(outputs.target - outputs.dynamic_image).mean(axis=(1, 2))
    assert differ.min() > 0.02  # or the test could not tell them apart


def test_scores_on_drawings_are_marked_as_such(tmp_path):
    workdir = make_workdir(tmp_path / "work")
    write_report(workdir)
    for name in ("report.html", "report.md"):
        assert "subjects of the synthetic corpus are drawings" in (workdir / name).read_text()
    for path in (*workdir.rglob("run.json"), *workdir.rglob("predictions.csv")):
        path.write_text(path.read_text().replace("synthetic", "samm"))
    write_report(workdir)
    assert "drawings" not in (workdir / "report.html").read_text()


def test_rank_curves_share_one_scale(tmp_path):
    workdir = make_workdir(tmp_path / "work", subjects=("006",), clips_each=2, ranked=0)
    _, (run,) = write_report(workdir), read_workdir(workdir)[1]
    card = module.cards(run)[0]
    # Constant scores of 3.5 lie in the middle of the target's 0 to 7.
    assert {point.split(",")[1] for point in card.rank_curve.split()} == {"30.0"}
    assert card.rank_target.split()[0] == "0,60.0" and card.rank_target.split()[-1] == "100,0.0"
    assert card.row.rank_loss == 16.0  # 2 * (3.5 + 2.5 + 1.5 + 0.5)
    assert json.loads((workdir / "report.json").read_text())["auxiliary"]["rank"]["loss"] == 16.0
