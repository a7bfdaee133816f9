"""`python -m fdp_jax.benchmark gpu`: its clips, order and files, and all of it at tiny size."""

import dataclasses
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax.benchmark import gpu, gpu_parts
from fdp_jax.benchmark.contenders import Contender, end, start
from fdp_jax.benchmark.drawn import LONGEST, SHORTEST, drawn_clips
from fdp_jax.benchmark.gpu_contenders import form_contenders, layer_contenders
from fdp_jax.benchmark.gpu_parts import PARTS, Part, step_ratios, with_steps
from fdp_jax.benchmark.gpu_words import in_words
from fdp_jax.benchmark.processes import WorkerError
from fdp_jax.benchmark.targets import reached
from fdp_jax.benchmark.workload import Workload
from fdp_jax.splits import make_folds
from tests.benchmark.test_benchmark import TINY_SIZES
from tests.conftest import ROOT, run_module
from tests.helpers.without_packages import environment_with_only

# The drawn corpus.


def test_drawn_clips_have_the_size_of_samm():
    clips = drawn_clips()
    assert clips.protocol.classes == ("anger", "contempt", "happiness", "surprise", "other")
    assert np.bincount(clips.labels).tolist() == [57, 12, 26, 15, 26]
    assert len(set(clips.subjects)) == 27 and len(set(clips.names)) == 136
    assert clips.lengths.min() >= SHORTEST and clips.lengths.max() <= LONGEST
    assert clips.frames.shape == (clips.lengths.sum(), 72, 72, 1)
    assert clips.frames.dtype == np.uint8
    assert clips.starts[0] == 0 and (np.diff(clips.starts) == clips.lengths[:-1]).all()
    folds = make_folds(clips.datasets, clips.subjects)
    assert len(folds) == 27 and sum(len(fold.test) for fold in folds) == 136


def test_drawn_clips_say_that_they_are_drawn_and_depend_on_the_seed():
    clips, same, other = drawn_clips(2), drawn_clips(2), drawn_clips(2, seed=1)
    assert clips.protocol.dataset == "drawn" and "mean nothing" in clips.warnings[0]
    assert len(clips.labels) == 10  # 136 clips of 27 people: five each
    assert clips.digest() == same.digest() != other.digest()
    assert drawn_clips(2, side=96).side == 96


# What is compared.


def test_every_form_of_a_layer_is_a_contender():
    workload = Workload("paper")
    names = [one.name for one in form_contenders(workload)]
    assert names[0] == "as_configured" and len(set(names)) == len(names)
    assert {"multi_head=grouped", "multi_head=heads", "convolution=rows"} <= set(names)
    asked = [one.arguments["workload"]["changes"] for one in form_contenders(workload)[1:]]
    assert all(len(changes) == 1 for changes in asked)
    for changes in asked:
        Workload("paper", changes).config  # noqa: B018  (each must be an option)


def test_every_convolution_is_a_contender_with_its_sizes():
    sizes = {
        one.name: (one.arguments["shape"], one.arguments["kernel"])
        for one in layer_contenders(Workload("paper"), on_gpu=True)
    }
    assert len(sizes) == 4 + 4 + 4
    # 36 clips of 8 frames; a quarter of 64 pixels in the first stage, a 32nd in the last.
    assert sizes["local_1"] == ([288, 16, 16, 96], [12, 3, 3, 8, 8])
    assert sizes["global_4"] == ([288, 2, 2, 256], [32, 3, 3, 8, 8])
    assert sizes["construction_2"] == ([36, 32, 32, 64], [3, 3, 64, 64])


def test_ratios_are_over_the_fastest_layout_of_the_same_precision():
    def took(median):
        return {"seconds": {"median": median}}

    ratios = step_ratios(
        {
            "ours_float32": took(2.0),
            "eager_contiguous_float32": took(10.0),
            "eager_channels_last_float32": took(8.0),
            "compiled_contiguous_float32": {"missing": "no compiler"},
            "compiled_channels_last_float32": took(4.0),
            "ours_tensorfloat32": {"missing": "took more than 9 seconds"},
            "eager_contiguous_tensorfloat32": took(1.0),
            "ours_bfloat16": took(1.0),
        }
    )
    assert ratios == {"float32": {"eager": 0.25, "compiled": 0.5}}


def test_targets_are_judged_by_their_numbers():
    report = {
        "backend": "gpu",
        "step": {"ratios": {"tensorfloat32": {"eager": 0.30, "compiled": 0.61}}},
        "whole": {"complete": False, "seconds": 300.0, "projected_seconds": 450.0},
        "fold": {"complete": True, "peak_bytes": 4_000_000_000},
        "loop_ratio": 0.95,
    }
    told = {target["what"]: (target["reached"], target["met"]) for target in reached(report)}
    assert told == {
        "step over eager PyTorch, tensorfloat32": (0.30, True),
        "step over compiled PyTorch, tensorfloat32": (0.61, False),
        "whole training, seconds": (450.0, False),
        "peak memory of a single fold, bytes": (4_000_000_000, True),
        "bare steps over the loop": (0.95, True),
    }
    assert reached({**report, "backend": "cpu"}) == []
    report["whole"] = {"complete": True, "seconds": 299.0}
    assert {"whole training, seconds": (299.0, True)}.items() <= {
        target["what"]: (target["reached"], target["met"]) for target in reached(report)
    }.items()


def test_a_warm_up_leaves_room_in_few_steps():
    assert Workload("small").config.optimizer.warmup_steps == 50
    config = with_steps(Workload("small"), 2).config
    assert (config.steps, config.optimizer.warmup_steps) == (2, 1)
    assert with_steps(Workload("small"), 500).config.optimizer.warmup_steps == 50


# Time.


def test_who_is_not_ready_in_time_is_told_and_the_others_are_there():
    target = "fdp_jax.benchmark.machine:describe_machine"
    started = start(
        [[Contender("well", target, {}), Contender("nowhere", "fdp_jax.nowhere:x", {})], []],
        (1, 1),
        time.monotonic() + 60,
    )
    try:
        assert set(started.workers) == {"well"} and "fdp_jax.nowhere" in started.missing["nowhere"]
        assert started.workers["well"].value["cores"] >= 1
    finally:
        end(started)
    late = start([[Contender("late", target, {})]], (1,), time.monotonic() - 1)
    assert not late.workers and late.missing == {"late": "no time was left to start it"}


def test_a_training_that_was_stopped_tells_how_far_it_came(tmp_path):
    folds = tmp_path / "seed_0" / "folds"
    for name, steps in (("p00", 10), ("p01", 5)):
        (folds / name).mkdir(parents=True)
        lines = [json.dumps({"step": step}) for step in (5, steps)]
        (folds / name / "log.jsonl").write_text("\n".join(lines) + '\n{"st')
    (folds / "p00" / "done.json").write_text("{}")
    told = gpu_parts._progress(tmp_path, count=3, steps_a_fold=10, taken=60.0)
    assert (told["folds_finished"], told["folds"]) == (1, 3)
    assert told["share_of_steps"] == pytest.approx(0.5)
    assert told["projected_seconds"] == pytest.approx(120.0)


@pytest.fixture
def options(tmp_path) -> gpu.Options:
    return gpu.options_from([f"--out={tmp_path / 'gpu.json'}", "--parts=ceilings,step,loop"])


@pytest.fixture
def parts(monkeypatch) -> dict:
    """Parts that measure nothing, and a device that nobody asks."""
    fakes = {name: Part(name, 0, 60, lambda plan, limit: {"limit": limit}) for name in PARTS}
    monkeypatch.setattr(gpu, "PARTS", fakes)
    monkeypatch.setattr(gpu, "_device", lambda: {"backend": "gpu", "device": "one"})
    return fakes


def change(parts: dict, name: str, **changes) -> None:
    parts[name] = dataclasses.replace(parts[name], **changes)


def test_every_part_is_kept_when_the_next_one_is_killed(options, parts):
    def killed(plan, limit):
        raise KeyboardInterrupt

    change(parts, "loop", measure=killed)
    with pytest.raises(KeyboardInterrupt):
        gpu.measure(options, "by hand")
    kept = json.loads(options.out.read_text())
    assert kept["ceilings"]["limit"] == kept["step"]["limit"] == 60 and "loop" not in kept


def test_a_part_that_does_not_fit_is_left_out_with_its_reason(options, parts):
    change(parts, "step", least=500)
    change(parts, "loop", most=5)
    report = gpu.measure(options, "by hand")
    assert report["step"]["missing"].endswith("s were left of 8 minutes")
    assert report["loop"]["limit"] == 5
    twice = gpu.measure(dataclasses.replace(options, minutes=16.0), "by hand")
    assert twice["loop"]["limit"] == 10 and "missing" not in twice["step"]


def test_a_process_that_dies_costs_only_its_part(options, parts):
    def dies(plan, limit):
        raise WorkerError("Killed", "was killed by the system")

    change(parts, "step", measure=dies)
    report = gpu.measure(options, "by hand")
    assert report["step"]["missing"] == "does not run here: was killed by the system"
    assert "missing" not in report["loop"]


# The command.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--part=step"], ["--part=step", "did you mean --parts?", "--minutes"]),
        (["--parts=step,all"], ["no part 'all'", "ceilings, step, fold, whole"]),
        (["--contenders=ours"], ["no contender 'ours'", "ours_float32", "as_configured"]),
        (["--preset=huge"], ["no preset 'huge'", "paper, small"]),
        (["--people=1"], ["--people", "at least 2"]),
        (["--steps=0"], ["--steps", "at least 1"]),
        (["--folds=0,1"], ["--folds", "at least 1"]),
        (["--folds_at_once=0"], ["--folds_at_once", "at least 1"]),
        (["--folds_at_once=all"], ["--folds_at_once", "all", "gpu --help"]),
        (["--minutes=0"], ["--minutes must be more than 0"]),
        (["--steps=many"], ["many", "gpu --help"]),
        (["--model.local_channels=8,16"], ["one entry a stage"]),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    with pytest.raises(UserError) as told:
        gpu.options_from(arguments)
    assert all(word in str(told.value) for word in words)


def test_options_reach_what_is_measured():
    options = gpu.options_from(
        ["--preset=small", "--people=3", "--steps=7", "--batch-size=2", "--folds=4,2,2",
         "--minutes=0.5", "--repeats=1", "--loop_steps=9", "--contenders=ours_bfloat16", "--json",
         "--folds_at_once=5", "--fold_axis=turn", "--precision=bfloat16",
         "--model.forms.multi_head=heads"]
    )  # fmt: skip
    config = options.workload.config
    assert (config.steps, config.batch_size, options.workload.people) == (7, 2, 3)
    assert (options.folds, options.minutes, options.repeats) == ((2, 4), 0.5, 1)
    assert (options.loop_steps, options.as_json) == (9, True)
    assert options.contenders == ("ours_bfloat16",)
    assert (options.folds_at_once, options.fold_axis) == (5, "turn")
    assert config.precision == "bfloat16"
    assert config.model.forms.multi_head == "heads"
    assert options.parts == tuple(PARTS) and options.out is None


def test_the_mistake_is_answered_without_jax():
    code = (
        "import sys\nfrom fdp_jax.benchmark.gpu import main\n"
        "try:\n    main(['--parts=nothing'])\n"
        "except Exception as error:\n    print(error)\n"
        "assert not {'jax', 'torch', 'tyro'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "no part 'nothing'" in done.stdout


def test_the_command_needs_no_other_package_and_measures_every_part(tmp_path):
    out = tmp_path / "gpu.json"
    done = run_module(
        "fdp_jax.benchmark", "gpu", *TINY_SIZES, "--people=2", "--steps=2", "--folds=2",
        "--repeats=1", "--loop_steps=2",
        "--contenders=ours_float32,eager_contiguous_float32,global_1,construction_1,as_configured",
        "--json", f"--out={out}", env=environment_with_only(tmp_path),
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report == json.loads(out.read_text())
    for key in ("preset", "batch", "backend", "versions", "machine", "date", "command"):
        assert report[key], key
    for name in PARTS:
        assert "missing" not in report[name], (name, report[name])
    assert report["ceilings"]["product_flops_per_second"]["float32"] > 0
    step = report["step"]["contenders"]
    assert step["ours_float32"]["seconds"]["median"] == report["step_seconds"] > 0
    assert report["step_peak_bytes"] > 0
    if "missing" in step["eager_contiguous_float32"]:  # where PyTorch is not installed
        assert "torch" in step["eager_contiguous_float32"]["missing"]
        assert report["step_ratio"] is None and report["step"]["ratios"] == {}
    else:
        ratio = report["step_seconds"] / report["twin_step_seconds"]
        assert report["step_ratio"] == pytest.approx(ratio)
    whole = report["whole"]
    assert (whole["complete"], whole["folds_finished"], whole["folds"]) == (True, 2, 2)
    assert (whole["clips"], whole["steps"]) == (10, 2)
    assert report["fold"]["folds_finished"] == 1 and report["fold"]["peak_bytes"] > 0
    assert report["forms"]["contenders"]["as_configured"]["seconds"]["median"] > 0
    layers = report["layers"]["layers"]
    assert layers.keys() == {"global_1", "construction_1"}
    assert layers["construction_1"]["seconds"]["1"].keys() == {"native", "rows"}
    assert report["folds"]["by_count"]["2"]["seconds"]["median"] > 0
    assert report["loop_ratio"] == report["loop"]["ratio"] > 0
    assert report["targets"] == []  # they are for a GPU
    words = in_words(report)
    assert all(f"\n{name}\n" in words for name in PARTS)
