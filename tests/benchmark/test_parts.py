"""`python -m fdp_jax.benchmark`: its options, its time limits, and all parts on a tiny network."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from datasets.command_line import parse_options
from datasets.errors import UserError
from fdp_jax.benchmark import jax_steps, parts, score_curve
from fdp_jax.benchmark.__main__ import config_of
from fdp_jax.benchmark.measure import spread
from fdp_jax.benchmark.parts import GPU_OPTIONS, PARTS, Options, measure
from fdp_jax.benchmark.table import summary
from fdp_jax.config import PRESETS, as_dict
from fdp_jax.splits import make_folds
from tests.conftest import ROOT, run_module
from tests.helpers.tiny import TINY
from tests.helpers.without_packages import environment_with_only

KEYS = {
    "step_seconds", "step_peak_bytes", "torch_step_seconds", "torch_peak_bytes", "step_ratio",
    "loop_ratio", "help_seconds", "batch", "preset", "precision", "backend", "device", "versions",
    "machine", "date", "command", "seconds",
}  # fmt: skip
HAS_TORCH = importlib.util.find_spec("torch") is not None

# Options.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bacth_size=3"], ["no option --bacth_size", "did you mean --batch_size?"]),
        (["--parts=stp"], ["--parts", "'stp'", *PARTS]),
        (["--preset=big"], ["no preset 'big'", "paper", "small"]),
        (["--precisions=half"], ["--precisions", "'half'", "bfloat16"]),
        (["--repeats=0"], ["--repeats must be at least 1"]),
        (["--repeats=many"], ["--repeats", "'many'"]),
        (["--folds=1,0"], ["--folds must be at least 1"]),
        (["--batch_size=0"], ["--batch_size must be at least 1"]),
        (["--parts="], ["--parts must have at least one entry"]),
        (["--minutes=-1"], ["--minutes must be finite and not negative"]),
        (["gpu", "--minute=5"], ["did you mean --minutes?"]),
        (["table", "nowhere.json"], ["nowhere.json", "cannot be read"]),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    done = run_module("fdp_jax.benchmark", *arguments, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words)


def test_help_names_the_commands_and_loads_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fdp_jax.benchmark", "--help"],
        cwd=ROOT, text=True, capture_output=True,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "fdp_jax.benchmark.parts" in loaded
    assert not loaded & {"jax", "numpy", "torch", "cv2", "tensorflow_datasets"}
    for word in (*PARTS, "gpu", "table FILE", "--batch_size"):
        assert word in done.stdout


def test_options_reach_the_training():
    arguments = ["--preset=small", "--batch-size=7", "--precisions=bfloat16,float32"]
    config = config_of(parse_options(Options, arguments, "benchmark"))
    expected = dataclasses.replace(PRESETS["small"], batch_size=7, precision="bfloat16")
    assert config == expected
    assert config_of(Options()) == config_of(GPU_OPTIONS) == PRESETS["paper"]


# Time limits and failures, without measuring anything.


@pytest.fixture
def quick(monkeypatch) -> dict:
    """Parts that return their time limit, each with 60 seconds of the usual minutes."""
    fakes = {name: (lambda options, config, limit: {"limit": limit}, 60.0) for name in PARTS}
    monkeypatch.setattr(parts, "PARTS", fakes)
    monkeypatch.setattr(
        parts, "run_child", lambda *_: ({"backend": "gpu", "device": "Some GPU"}, "")
    )
    return fakes


def test_without_minutes_there_is_no_limit(quick):
    assert measure(Options(), TINY, "by hand")["step"]["limit"] is None


def test_parts_share_the_minutes_and_those_that_do_not_fit_are_skipped(quick):
    assert measure(GPU_OPTIONS, TINY, "by hand")["loop"]["limit"] == 60
    doubled = dataclasses.replace(GPU_OPTIONS, minutes=16.0)
    assert measure(doubled, TINY, "by hand")["loop"]["limit"] == 120
    little = dataclasses.replace(GPU_OPTIONS, minutes=0.4)
    missing = measure(little, TINY, "by hand")["step"]["missing"]
    assert missing.startswith("skipped: 2") and missing.endswith("of 0.4 minutes were left")


def test_the_file_holds_all_parts_before_the_one_that_is_killed(quick, tmp_path):
    def killed(options, config, limit):
        raise KeyboardInterrupt

    quick["loso"] = (killed, 60.0)
    options = dataclasses.replace(GPU_OPTIONS, out=tmp_path / "gpu.json")
    with pytest.raises(KeyboardInterrupt):
        measure(options, TINY, "by hand")
    report = json.loads(options.out.read_text())
    assert {"step", "fold"} < report.keys() and "loso" not in report
    assert report.keys() >= KEYS and report["device"] == "Some GPU"


def test_a_machine_without_jax_is_one_sentence(monkeypatch):
    monkeypatch.setattr(parts, "run_child", lambda *_: ({}, "No module named 'jax'"))
    with pytest.raises(UserError, match="jax does not run here: No module named 'jax'"):
        measure(Options(), TINY, "by hand")


# The step beside PyTorch's.


@pytest.fixture
def children(monkeypatch) -> list:
    """Children that return made-up seconds; the list holds (contender, limit) of each start."""
    started = []
    seconds = {"ours": 1.0, "contiguous": 2.5, "channels_last": 2.0}

    def run_child(module, request, limit):
        layout, is_compiled = request.get("layout", "ours"), request.get("compiled", False)
        started.append((("compiled " if is_compiled else "") + layout, limit))
        if is_compiled and layout == "contiguous":
            return {}, f"took more than {limit:.0f} s"
        turn = seconds[layout] * (0.75 if is_compiled else 1.0)
        result = {"seconds": spread([turn] * request["turns"]), "peak_bytes": 1000 + len(started)}
        return {precision: dict(result) for precision in request["precisions"]}, ""

    monkeypatch.setattr(parts, "run_child", run_child)
    monkeypatch.setattr(parts.importlib.util, "find_spec", lambda name: name)
    return started


def step_of(options: Options, limit: float | None = None) -> dict:
    return PARTS["step"][0](options, TINY, limit)


def test_contenders_take_turns_and_the_ratio_is_to_the_faster_layout(children):
    step = step_of(Options(repeats=2, compile_limit=9.0))["float32"]
    eager = ["ours", "contiguous", "channels_last"]
    compiled = ["compiled contiguous", "compiled channels_last"]
    assert [name for name, _ in children] == [*eager, *compiled, *eager, compiled[1]]
    assert {limit for name, limit in children if name in compiled} == {9.0}
    assert step["eager_ratio"] == 0.5 and step["compiled_ratio"] == pytest.approx(1 / 1.5)
    assert step["compiled_contiguous"] == {"missing": "took more than 9 s"}
    assert step["ours"] == {
        "seconds": {"median": 1.0, "min": 1.0, "quartiles": [1.0, 1.0], "turns": [1.0, 1.0]},
        "peak_bytes": 1006,
    }


def test_within_a_limit_each_contender_starts_once_and_leaves_time_for_the_others(children):
    step = step_of(dataclasses.replace(GPU_OPTIONS, repeats=3), limit=100.0)
    assert all(limit <= 70.0 for _, limit in children)
    # The contiguous layout is slower, and compiling takes minutes.
    eager = ["ours", "contiguous", "channels_last"]
    assert [name for name, _ in children] == [*eager, "compiled channels_last"]
    assert list(step) == ["float32", "tensorfloat32", "bfloat16"]
    assert all(len(of["ours"]["seconds"]["turns"]) == 3 for of in step.values())
    assert all(of["eager_ratio"] == 0.5 for of in step.values())
    assert all(of["compiled_ratio"] == pytest.approx(1 / 1.5) for of in step.values())


def test_without_compile_limit_or_pytorch_there_is_less_to_compare(children, monkeypatch):
    step_of(Options(repeats=1, compile_limit=0.0))
    assert [name for name, _ in children] == ["ours", "contiguous", "channels_last"]
    monkeypatch.setattr(parts.importlib.util, "find_spec", lambda name: None)
    step = step_of(Options(repeats=1))["float32"]
    assert step["eager_contiguous"] == {"missing": "PyTorch is not installed"}
    assert "eager_ratio" not in step and step["ours"]["seconds"]["median"] == 1.0


# Time to score.


def test_the_first_point_at_the_target_counts_and_the_figure_is_drawn(monkeypatch, tmp_path):
    curve = {"steps": [10, 20, 30], "seconds": [1.0, 2.5, 4.0], "uf1": [0.5, 0.7, 0.6]}
    answers = {"bundled": (curve, ""), "scratch": (curve | {"uf1": [0.1, 0.2, 0.3]}, "")}

    def run_child(module, request, limit=None):
        missing = {}, "PyTorch is not installed"
        return answers.get(request["name"], missing) if "name" in request else ({"backend": ""}, "")

    monkeypatch.setattr(parts, "run_child", run_child)
    monkeypatch.setattr(parts, "_seconds", lambda *_: 0.0)
    report = measure(Options(parts=("score",), out=tmp_path / "a.json"), TINY, "by hand")
    bundled, scratch = report["score"]["bundled"], report["score"]["scratch"]
    assert (bundled["target_steps"], bundled["target_seconds"]) == (20, 2.5)
    assert "target_steps" not in scratch and scratch["uf1"] == [0.1, 0.2, 0.3]
    assert report["score"]["pytorch"] == {"missing": "PyTorch is not installed"}
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "target_seconds: 2.5 s" in summary(report)


@pytest.mark.parametrize("name", ["scratch", "pytorch"])
def test_a_curve_has_rising_seconds_and_a_score_at_each_point(name, data_dir, capsys, monkeypatch):
    if name == "pytorch":
        pytest.importorskip("torch")
    monkeypatch.setattr(score_curve, "POINTS", 3)
    config = dataclasses.replace(TINY, steps=3)
    score_curve.main(name, "small", as_dict(config), str(data_dir))
    curve = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert curve["steps"] == [1, 2, 3] and len(curve["uf1"]) == 3
    assert np.all(np.diff(curve["seconds"]) > 0) and curve["seconds"][0] > 0
    assert all(0 <= uf1 <= 1 for uf1 in curve["uf1"]) and max(curve["uf1"]) > 0


# What the child processes measure.


def test_the_corpus_has_the_size_of_samm():
    clips = jax_steps.random_clips()
    assert len(clips.labels) == 136 and len(clips.protocol.classes) == 5
    assert clips.frames.shape == (clips.lengths.sum(), 72, 72, 1)
    assert clips.starts[0] == 0 and clips.starts[-1] + clips.lengths[-1] == len(clips.frames)
    folds = make_folds(clips.datasets, clips.subjects)
    assert len(folds) == 28 and sum(len(fold.test) for fold in folds) == 136


def test_a_warm_up_is_shorter_than_the_steps():
    config = jax_steps.with_steps(PRESETS["small"], 2)
    assert (config.steps, config.optimizer.warmup_steps) == (2, 1)
    assert jax_steps.with_steps(PRESETS["small"], 500).optimizer.warmup_steps == 50


def test_folds_that_may_not_fit_the_memory_are_left_out(monkeypatch, capsys):
    class FakeSteps:
        def __init__(self, config, folds):
            self.folds = folds

        def measure(self, turns):
            if self.folds == 3:
                raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nmore")
            return {"seconds": spread([1.0 + self.folds] * turns), "peak_bytes": 1000 * self.folds}

    monkeypatch.setattr(jax_steps, "TrainSteps", FakeSteps)
    monkeypatch.setattr(jax_steps, "_free_bytes", lambda: 4000)  # of which 3200 are usable
    jax_steps.measure_folds(TINY, [1, 2, 3, 4], turns=1)
    one, two, three, four = map(json.loads, capsys.readouterr().out.splitlines())
    assert one["1"]["ratio"] == 1.0 and two["2"]["ratio"] == 1.5
    assert three["3"] == {"missing": "RuntimeError: RESOURCE_EXHAUSTED: out of memory"}
    assert four["4"]["missing"].startswith("MemoryError: may need")


_MEASURE_TINY = """
import sys
from pathlib import Path
from fdp_jax.benchmark.parts import Options, measure
from tests.helpers.tiny import TINY

parts = ("step", "fold", "loso", "folds", "inference", "loop", "start_up", "scaling")
sizes = {"repeats": 1, "compile_limit": 0.0, "folds": (2,), "steps": 2}
options = Options(parts=parts, out=Path(sys.argv[1]), **sizes)
measure(options, TINY, "by hand")
"""
MEASURED = set(PARTS) - {"loso_bundled", "score"}


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    """All parts on a machine without TFDS and tyro, as one that is lent for measuring."""
    out = tmp_path_factory.mktemp("out") / "report.json"
    environment = environment_with_only(tmp_path_factory.mktemp("site"))
    subprocess.run(
        [sys.executable, "-c", _MEASURE_TINY, str(out)], cwd=ROOT, env=environment, check=True
    )
    return json.loads(out.read_text())


@pytest.mark.slow
def test_every_part_is_measured_and_the_headline_is_theirs(report):
    assert report.keys() == KEYS | MEASURED
    assert "missing" in report["start_up"]  # the command needs TFDS
    assert not any("missing" in report[name] for name in MEASURED if name != "start_up")
    assert report["scaling"]["frames_double"]["ratio"] > 0
    ours = report["step"]["float32"]["ours"]
    assert report["step_seconds"] == ours["seconds"]["median"] > 0
    assert report["step_peak_bytes"] == ours["peak_bytes"] > 10**8
    assert report["loop_ratio"] == report["loop"]["ratio"] > 0
    assert (report["batch"], report["backend"], report["help_seconds"]) == (4, "cpu", None)
    assert report["versions"].keys() >= {"python", "jax", "flax", "optax", "numpy"}


@pytest.mark.slow
def test_folds_inference_and_trainings_are_those_asked_for(report):
    assert report["folds"].keys() >= {"1", "2"} and report["folds"]["2"]["ratio"] > 0
    assert all(report["inference"][batch]["clips_per_second"] > 0 for batch in ("1", "36"))
    assert (report["fold"]["folds"], report["fold"]["steps"]) == (1, 20)
    assert (report["loso"]["folds"], report["loso"]["steps"]) == (28, 2)
    assert report["fold"]["peak_bytes"] > 10**8 and report["loso"]["share_of_steps"] == 1
    assert report["loso"]["report_seconds"] < report["loso"]["whole_seconds"]
    assert report["loop"]["steps"] % 20 == 0


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is for `make parity`")
@pytest.mark.slow
def test_pytorch_is_measured_in_both_layouts(report):
    step = report["step"]["float32"]
    torch = [step[f"eager_{layout}"] for layout in parts.LAYOUTS]
    assert report["torch_step_seconds"] == min(one["seconds"]["median"] for one in torch)
    assert all(one["peak_bytes"] > 10**8 for one in torch)
    assert report["step_ratio"] == pytest.approx(
        report["step_seconds"] / report["torch_step_seconds"]
    )


@pytest.mark.slow
def test_the_summary_has_every_part(report):
    lines = summary(report).splitlines()
    assert set(lines) > MEASURED
    assert any(line.startswith("      seconds: ") and "quartiles" in line for line in lines)


def test_the_first_start_fills_the_cache_of_the_others(monkeypatch):
    times = iter([0.2, 0.3, 9.0, 20.0, 5.0, 7.0])
    commands = []
    monkeypatch.setattr(parts, "_seconds", lambda words, *_: commands.append(words) or next(times))
    start_up = PARTS["start_up"][0](Options(preset="small", repeats=2), PRESETS["small"], None)
    assert start_up["help_seconds"]["median"] == 0.25
    assert start_up["first_step_empty_cache_seconds"]["median"] == 20.0
    assert start_up["first_step_warm_cache_seconds"]["median"] == 6.0
    assert commands[2][:3] == ["-m", "datasets.build", "synthetic"]
    assert {"--preset=small", "--batch_size=12"} < set(commands[3])


@pytest.mark.slow
def test_start_ups_are_timed_by_the_real_commands():
    start_up = PARTS["start_up"][0](Options(preset="small", repeats=1), PRESETS["small"], None)
    empty, warm = (start_up[f"first_step_{cache}_cache_seconds"] for cache in ("empty", "warm"))
    assert empty["median"] > warm["median"] > 0
    assert start_up["help_seconds"]["median"] > 0
