"""One training to a report on an example of every corpus, and of both composites."""

import json

import pytest

from datasets.example import write_example
from tests.conftest import run_module
from tests.helpers.tiny import TINY_OPTIONS

CORPORA = ("casme2", "samm", "casme_sq", "casme3", "smic")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder that holds every corpus as unpacked, each in one of its own."""
    parent = tmp_path_factory.mktemp("place")
    for name in CORPORA:
        write_example(name, parent / "unpacked" / name)
    return parent


def _train(place, workdir, manual_dir, *options) -> dict:
    run_module(
        "fdp_jax.train", f"--data_dir={place}/data", f"--workdir={workdir}",
        f"--manual_dir={manual_dir}", *TINY_OPTIONS, "--steps=2", *options,
    )  # fmt: skip
    assert (workdir / "report.html").stat().st_size > 10_000
    return json.loads((workdir / "report.json").read_text())


@pytest.mark.parametrize(
    ("name", "protocol", "clips", "people", "version"),
    [
        ("casme2", "3class", 15, 4, "2019"),
        pytest.param("casme2", "5class_2014", 13, 4, "2014", marks=pytest.mark.slow),
        ("samm", "5class", 13, 5, "SAMM_Micro_FACS_Codes_v2"),
        pytest.param("casme_sq", "4class", 15, 4, "", marks=pytest.mark.slow),
        pytest.param("casme3", "7class", 18, 6, "v2", marks=pytest.mark.slow),
        ("smic", "3class", 14, 4, "SMIC_all"),
    ],
)
def test_a_corpus_runs_to_a_report(place, tmp_path, name, protocol, clips, people, version):
    report = _train(
        place, tmp_path, place / "unpacked" / name, f"--dataset={name}", f"--protocol={protocol}",
        "--group_folds=2",
    )  # fmt: skip
    assert report["complete"] and report["split"] == "people"
    assert (report["n_clips"], report["n_subjects"]) == (clips, people)
    assert version in report["label_version"]
    differs = [warning for warning in report["warnings"] if "differs from the published" in warning]
    assert len(differs) == 1
    if name == "casme3":
        assert any("943" in warning for warning in report["warnings"])
        assert any("2647" in sentence for sentence in report["corrections"])


def test_cross_runs_to_a_report(place, tmp_path):
    report = _train(place, tmp_path, place / "unpacked", "--protocol=cross")
    assert report["complete"] and report["dataset"] == "casme2+samm"
    assert sorted(path.name for path in (tmp_path / "seed_0" / "folds").iterdir()) == [
        "casme2_to_samm", "samm_to_casme2",
    ]  # fmt: skip
    directions = {entry["dataset"]: entry for entry in report["per_dataset"]}
    assert set(directions) == {"casme2", "samm"}
    assert report["war"] == pytest.approx(sum(d["war"] for d in directions.values()) / 2)
    assert "2014" in report["label_version"]


def test_megc2019_runs_to_a_report(place, tmp_path):
    report = _train(place, tmp_path, place / "unpacked", "--protocol=megc2019")
    assert report["complete"] and report["n_folds"] == report["n_subjects"]
    assert {entry["dataset"] for entry in report["per_dataset"]} == {"casme2", "samm", "smic"}
    assert sum(entry["n_clips"] for entry in report["per_dataset"]) == report["n_clips"]
    folds = {path.name for path in (tmp_path / "seed_0" / "folds").iterdir()}
    assert {"casme2_sub01", "samm_006", "smic_s01"} <= folds
    assert "casme2_sub18" not in folds  # whose clips are all others
