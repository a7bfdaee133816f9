"""The table of docs/speed.md, and the outline for the terminal."""

import copy
import json

import pytest

from fdp_jax.benchmark.table import BEGIN, END, summary
from tests.conftest import ROOT, run_module


def took(median: float, peak: float) -> dict:
    return {"seconds": {"median": median, "quartiles": [median, median]}, "peak_bytes": peak}


CPU = {
    "step_seconds": 1.5, "batch": 36, "preset": "paper", "precision": "float32", "backend": "cpu",
    "device": "cpu", "versions": {"python": "3.11.7", "jax": "0.10.2", "torch": "2.13.0+cpu"},
    "machine": {"cpu": "Some CPU", "cores": 2, "memory_bytes": 25.2e9},
    "date": "2026-11-22 17:08 UTC", "loop_ratio": 0.9712,
    "step": {
        "part_seconds": 300.0,
        "float32": {
            "ours": took(1.5, 5.31e9), "eager_contiguous": took(2.5, 2.9e9),
            "eager_channels_last": took(2.0, 3.04e9), "compiled_contiguous": took(1.75, 3.3e9),
            "compiled_channels_last": {"missing": "took more than 600 s"},
            "eager_ratio": 0.75, "compiled_ratio": 0.857,
        },
    },
    "inference": {
        "1": {"clips_per_second": 21.4}, "36": {"clips_per_second": 73.6}, "part_seconds": 9.0,
    },
    "start_up": {
        "help_seconds": took(0.31, 0)["seconds"],
        "first_step_warm_cache_seconds": took(8.24, 0)["seconds"],
    },
}  # fmt: skip
GPU = {
    "step_seconds": 0.02, "batch": 36, "preset": "paper", "precision": "float32", "backend": "gpu",
    "device": "NVIDIA H200", "versions": {"jax": "0.11.2", "torch": "2.11.0"},
    "machine": {"cpu": "Other", "cores": 16, "memory_bytes": 128e9},
    "date": "2026-11-23 09:00 UTC", "loop_ratio": None,
    "step": {
        "float32": {
            "ours": took(0.02, 4e9), "eager_contiguous": took(0.08, 5e9),
            "eager_channels_last": took(0.1, 6e9), "eager_ratio": 0.25,
            "compiled_contiguous": {"missing": "no compiler"},
        },
        "tensorfloat32": {"ours": {"missing": "took more than 100 s"}},
        "bfloat16": {
            "ours": took(0.0125, 3e9), "eager_contiguous": took(0.05, 4e9), "eager_ratio": 0.25,
        },
    },
}  # fmt: skip


def rows_of(tmp_path, *reports: dict) -> list[list[str]]:
    files = []
    for number, report in enumerate(reports):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(report))
    lines = run_module("fdp_jax.benchmark", "table", *map(str, files)).stdout.splitlines()
    assert lines[1].replace("-", "").replace("|", "").strip() == ""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in cells} == {11}
    return cells[2:]


def test_a_row_by_hand(tmp_path):
    (row,) = rows_of(tmp_path, CPU)
    assert row == [
        "Some CPU, 2 cores, 25.2 GB", "paper, 36, float32", "1.5 s", "2 s", "0.75", "1.75 s",
        "5.3 GB, 3.0 GB", "0.971", "21, 74", "0.31 s, 8.24 s",
        "2026-11-22, jax 0.10.2, torch 2.13.0+cpu",
    ]  # fmt: skip


def test_every_precision_of_a_gpu_has_a_row_after_the_processors(tmp_path):
    first, second, third = rows_of(tmp_path, GPU, CPU)
    assert first[0].startswith("Some CPU")
    assert second[:7] == [
        "NVIDIA H200", "paper, 36, bfloat16", "12.5 ms", "50 ms", "0.25", "", "3.0 GB, 4.0 GB",
    ]  # fmt: skip
    assert third[1:5] == ["paper, 36, float32", "20 ms", "80 ms", "0.25"]


def test_what_was_not_measured_stays_empty(tmp_path):
    report = copy.deepcopy(CPU)
    step = report["step"]["float32"]
    for name in ("eager_contiguous", "eager_channels_last", "compiled_contiguous"):
        step[name] = {"missing": "PyTorch is not installed"}
    del step["eager_ratio"], step["compiled_ratio"]
    del report["inference"], report["start_up"]
    report["loop_ratio"] = None
    (row,) = rows_of(tmp_path, report)
    assert row[2:10] == ["1.5 s", "", "", "", "5.3 GB", "", "", ""]


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (["{"], ["0.json", "cannot be read"]),
        (["[]"], ["0.json", "no report of the benchmark", "step_seconds"]),
        (['{"step_seconds": 1}'], ["0.json", "lacks batch, preset"]),
        ([json.dumps(CPU)] * 2, ["0.json and", "1.json", "same machine, preset"]),
    ],
)
def test_files_that_make_no_table_are_one_sentence(contents, words, tmp_path):
    files = []
    for number, content in enumerate(contents):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(content)
    done = run_module("fdp_jax.benchmark", "table", *map(str, files), check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_the_outline_shows_medians_sizes_and_reasons():
    lines = summary(CPU).splitlines()
    assert "    ours" in lines and "loop_ratio: 0.9712" in lines
    assert "      seconds: 1.5 s (quartiles 1.5 s to 1.5 s)" in lines
    assert "      peak_bytes: 5.3 GB" in lines
    assert "      missing: took more than 600 s" in lines
    assert "loop_ratio: not measured" in summary(GPU).splitlines()


def test_the_table_of_the_documents_is_what_the_measurements_say():
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    written = page.partition(BEGIN)[2].partition(END)[0].strip()
    files = sorted(str(path) for path in (ROOT / "benchmarks").glob("*.json"))
    assert files, "no measurement is kept"
    assert run_module("fdp_jax.benchmark", "table", *files).stdout.strip() == written
