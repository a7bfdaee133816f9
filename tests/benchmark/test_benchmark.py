"""`python -m fdp_jax.benchmark` as a user runs it, on a tiny network."""

import dataclasses
import importlib.util
import json
from typing import ClassVar

import pytest

from fdp_jax import train
from fdp_jax.benchmark import corpus, folds, loop, start_up, step
from fdp_jax.benchmark.options import PARTS, options_from
from fdp_jax.benchmark.our_step import OurStep
from fdp_jax.benchmark.processes import WorkerError
from fdp_jax.benchmark.products import step_flops
from fdp_jax.benchmark.words import in_words
from fdp_jax.benchmark.workload import CLASSES, Workload
from tests.conftest import run_module
from tests.helpers.tiny import TINY_OPTIONS
from tests.helpers.without_packages import environment_without

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is for `make parity`"
)
# Those of TINY that the benchmark takes: sizes, and nothing that leaves the time as it is.
TINY_SIZES = [
    option
    for option in TINY_OPTIONS
    if option.startswith(("--model.", "--clip.crop", "--clip.frames", "--batch_size"))
    and not any(word in option for word in ("vit", "resnet", "std", "slope", "momentum", "forms"))
]
QUICK = ["--preset=small", *TINY_SIZES, "--people=3", "--repeats=2", "--compile_limit=0"]
TINY = options_from(QUICK).workload
KEYS = {
    "step_seconds", "step_peak_bytes", "twin_step_seconds", "twin_peak_bytes", "step_ratio",
    "loop_ratio", "help_seconds", "batch", "preset", "precision", "backend", "device", "versions",
    "machine", "date", "command",
}  # fmt: skip
ON_THE_DEVICE = ("ceilings", "step", "loop", "inference", "folds", "scaling")


class FakeWorker:
    """Stands for a process; every step takes what its arguments say."""

    calls: ClassVar[list[str]] = []

    def __init__(self, target, arguments, limit=None, environment=None):
        self.name = arguments.get("layout", "ours")
        self.compiled = arguments.get("compiled", False)
        if self.compiled and self.name == "contiguous":
            raise WorkerError("TimeoutError", f"took more than {limit} seconds")
        self.pages = (environment or {}).get(step.LARGE_PAGES)

    def call(self, method, **arguments):
        if method == "describe":
            return {"peak_bytes": 1000, "process_peak_bytes": 1000}
        self.calls.append(self.name)
        seconds = {"ours": 1.0, "contiguous": 2.5, "channels_last": 2.0}[self.name]
        return seconds * (0.5 if self.compiled else 1.0) * (2.0 if self.pages == "" else 1.0)

    def close(self):
        self.calls.append("closed")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory):
    """Output and file of all that needs a device, on a machine that has no PyTorch."""
    out = tmp_path_factory.mktemp("out") / "measured.json"
    done = run_module(
        "fdp_jax.benchmark", *QUICK, f"--parts={','.join(ON_THE_DEVICE)}", "--loop_steps=2",
        "--batches=2", "--folds=2", "--json", f"--out={out}",
        env=environment_without(tmp_path_factory.mktemp("site"), {"torch"}),
    )  # fmt: skip
    return done, out


@pytest.fixture(scope="module")
def report(without_torch) -> dict:
    return json.loads(without_torch[0].stdout)  # nothing else is on the standard output


def test_every_key_is_there_and_the_file_says_the_same(without_torch, report):
    done, out = without_torch
    assert report.keys() >= KEYS | {*ON_THE_DEVICE, "achieved"}
    assert json.loads(out.read_text()) == report
    assert report["batch"] == 4 and report["preset"] == "small" and report["backend"] == "cpu"
    assert report["command"].startswith("python -m fdp_jax.benchmark --preset=small --model.")
    assert report["versions"].keys() >= {"python", "jax", "flax", "optax", "numpy"}
    assert all(f"{part} ..." in done.stderr for part in ON_THE_DEVICE)
    assert not any("missing" in report[part] for part in ON_THE_DEVICE)


def test_without_pytorch_its_numbers_are_null_and_one_sentence_says_why(report):
    for key in ("twin_step_seconds", "twin_peak_bytes", "step_ratio", "help_seconds"):
        assert report[key] is None
    contenders = report["step"]["contenders"]
    for name in ("contiguous", "channels_last"):
        assert set(contenders[name]) == {"missing"}
        assert contenders[name]["missing"].startswith("PyTorch is not here (ModuleNotFoundError")
    assert report["step"]["twin_without_large_pages"] is None


def test_the_headline_is_that_of_the_parts(report):
    ours = report["step"]["contenders"]["ours"]
    assert report["step_seconds"] == ours["seconds"]["median"] > 0
    assert report["step_peak_bytes"] == ours["peak_bytes"] > 10**8
    assert report["loop_ratio"] == report["loop"]["ratio"]
    assert report["step"]["network_flops"] == step_flops(TINY.config, CLASSES)
    floor = report["achieved"]["floor_seconds"]
    ceiling = report["ceilings"]["product_flops_per_second"]["float32"]
    assert floor == pytest.approx(report["step"]["network_flops"] / ceiling)


def test_the_options_decide_what_is_measured(report):
    assert report["loop"]["steps"] == 2
    assert report["loop"]["bare_seconds"]["repeats"] == 2
    assert list(report["inference"]["clips_per_second"]) == ["1", "36"]
    assert list(report["folds"]["by_count"]) == ["2"]
    scaling = report["scaling"]
    assert list(scaling["step_by_batch"]) == ["2", "4"]
    assert list(scaling["step_by_clips"]) == ["15", "60"]  # three of 27 people, and four times
    assert list(scaling["run_by_folds"]) == ["1", "3"]
    loso = scaling["loso_by_arithmetic"]
    assert (loso["folds"], loso["clips"], loso["steps"]) == (3, 15, 900)
    a_step = scaling["step_by_batch"]["4"]["median"]
    beside = scaling["fold_seconds_beside_its_steps"]
    assert loso["seconds"] == pytest.approx(3 * (900 * a_step + beside))


def test_folds_at_once_stand_beside_one_alone(report):
    (told,) = report["folds"]["by_count"].values()
    assert list(told["at_once"]) == ["vmap", "scan"]
    for at_once in told["at_once"].values():
        in_turn = told["in_turn_seconds"]["median"]
        assert at_once["ratio"] == pytest.approx(at_once["seconds"]["median"] / in_turn)
        assert at_once["peak_bytes"] > 10**8


def test_folds_that_may_not_fit_the_memory_are_left_out(monkeypatch):
    FakeWorker.calls.clear()
    monkeypatch.setattr(folds, "Worker", FakeWorker)
    monkeypatch.setattr(folds, "free_memory_bytes", lambda: 4000)  # four fifths: three of 1000
    told = folds.measure(options_from(["--folds=4,2", "--repeats=1"]))["by_count"]
    assert list(told) == ["2", "4"]
    assert told["2"]["at_once"]["scan"]["ratio"] == 1.0
    assert set(told["4"]) == {"missing"} and "are free" in told["4"]["missing"]
    assert FakeWorker.calls.count("closed") == 3


def test_in_words_every_part_has_its_lines(report):
    told = in_words(report)
    for part in (*ON_THE_DEVICE, "achieved"):
        assert f"\n{part}\n  " in told
    assert "PyTorch contiguous: PyTorch is not here" in told
    lost = in_words({**report, "loop": {"missing": "does not run here: too small"}})
    assert "loop\n  does not run here: too small\n" in lost


def test_a_larger_batch_and_another_precision_of_products_are_what_is_compiled():
    four = OurStep(TINY.as_arguments())
    two = OurStep(TINY.with_changes({"batch_size": 2}).as_arguments())
    assert two.run(2) > 0
    counted = [contender.describe() for contender in (four, two)]
    assert 1.5 < counted[0]["compiler_flops"] / counted[1]["compiler_flops"] < 2.5
    assert counted[0]["temporary_bytes"] > counted[1]["temporary_bytes"]
    for told in counted:
        assert told["peak_bytes"] >= told["process_peak_after_first_step_bytes"] > 0


def test_rounds_of_the_loop_are_whole_lines_of_its_log():
    assert [loop.round_steps(seconds) for seconds in (1.5, 0.2, 1e-4)] == [20, 100, 1000]


def test_checkpoints_are_charged_as_often_as_a_training_writes_them(report):
    defaults = {field.name: field.default for field in dataclasses.fields(train.Options)}
    assert defaults["log_every"] == loop.LOG_EVERY
    assert defaults["checkpoint_every"] == loop.CHECKPOINT_EVERY
    assert defaults["checkpoint_seconds"] == loop.CHECKPOINT_SECONDS
    assert loop.steps_between_checkpoints(1.5, 1.0) == 100  # 150 s are more than a minute
    assert loop.steps_between_checkpoints(0.05, 1.0) == 1200
    # A slow disk: the share of the time that is left to checkpoints decides.
    assert loop.steps_between_checkpoints(1.0, 200 * loop.CHECKPOINT_SHARE) == 200
    told = report["loop"]
    share = told["checkpoint_seconds"] / told["steps_between_checkpoints"]
    bare, looped = told["bare_seconds"]["median"], told["loop_seconds"]["median"]
    assert told["ratio"] == pytest.approx(bare / (looped + share))


@needs_torch
def test_the_step_races_against_pytorch():
    options = dataclasses.replace(options_from(QUICK), repeats=1)
    told = step.measure(options)
    names = ("ours", "contiguous", "channels_last")
    medians = {name: told["contenders"][name]["seconds"]["median"] for name in names}
    assert told["contenders"].keys() == set(names)
    assert told["fastest_eager"] == min(names[1:], key=medians.get)
    assert told["ratio"] == pytest.approx(medians["ours"] / medians[told["fastest_eager"]])
    assert all(told["contenders"][name]["peak_bytes"] > 10**8 for name in names)


def test_the_ratio_is_to_the_fastest_eager_layout(monkeypatch):
    monkeypatch.setattr(step, "Worker", FakeWorker)
    monkeypatch.setattr(FakeWorker, "calls", [])
    monkeypatch.setenv(step.LARGE_PAGES, "glibc.malloc.hugetlb=1")
    told = step.measure(options_from(["--repeats=2", "--compile_limit=9"]))
    assert told["fastest_eager"] == "channels_last" and told["ratio"] == 0.5
    contenders = told["contenders"]
    assert contenders["compiled_channels_last"]["seconds"]["median"] == 1.0
    assert contenders["compiled_contiguous"] == {"missing": "took more than 9.0 seconds"}
    assert told["twin_without_large_pages"]["seconds"]["median"] == 4.0
    assert told["twin_without_large_pages"]["seconds_with"]["median"] == 2.0
    # One unmeasured round, then two in turns, each turn once untimed and once timed; then the two
    # of the large pages.
    a_round = ["ours", "contiguous", "channels_last", "channels_last"]
    turns = [name for name in a_round for _ in range(2)]
    assert FakeWorker.calls[:20] == a_round + turns * 2
    assert FakeWorker.calls[20:] == ["channels_last"] * 10 + ["closed"] * 5


def test_a_corpus_is_built_by_the_command(monkeypatch):
    built = []
    monkeypatch.setattr(corpus.subprocess, "run", lambda command, **_: built.append(command))
    times = iter([1.0, 2.5, 1.0, 2.5])
    monkeypatch.setattr(corpus, "seconds_of", lambda build: build() or next(times, 0.0))
    told = corpus.measure(options_from(["--corpus_clips=2", "--repeats=2"]))
    assert [command[1:4] for command in built] == [["-m", "datasets.build", "smic"]] * 5
    assert set(told["command_seconds"]) == {"70", "140"}


@pytest.mark.slow
def test_start_ups_are_timed_by_the_real_commands():
    done = run_module("fdp_jax.benchmark", *QUICK, "--repeats=1", "--parts=start_up", "--json")
    report = json.loads(done.stdout)
    told = report["start_up"]
    names = ("help", "import", "first_step_empty_cache", "first_step_warm_cache")
    assert all(told[f"{name}_seconds"]["median"] > 0 for name in names)
    assert report["help_seconds"] == told["help_seconds"]["median"]
    assert report["step_seconds"] is None and "step" not in report


def test_starts_are_as_many_as_the_rounds(monkeypatch):
    commands, starts = [], iter([9.0, 4.0, 2.0, 3.0])
    monkeypatch.setattr(start_up, "_run", commands.append)
    monkeypatch.setattr(start_up, "_seconds_to_first_step", lambda *_: next(starts))
    told = start_up.measure(options_from(["--repeats=3"]))
    assert told["first_step_empty_cache_seconds"]["median"] == 9.0
    assert told["first_step_warm_cache_seconds"]["median"] == 3.0
    help_and_imports = [["-m", "fdp_jax.train", "--help"], ["-c", start_up.IMPORTS]]
    assert commands[:6] == help_and_imports * 3
    assert commands[6][:3] == ["-m", "datasets.build", "synthetic"]


def test_parts_that_cannot_run_are_told_and_the_others_go_on(tmp_path):
    """Without the packages that read corpora and options, as on a machine lent for measuring."""
    refused = {"tyro", "tensorflow_datasets", "torch"}
    done = run_module(
        "fdp_jax.benchmark", *QUICK, "--parts=corpus,start_up", "--corpus_clips=1", "--json",
        env=environment_without(tmp_path, refused),
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert "does not run here" in report["corpus"]["missing"]
    assert "does not run here" in report["start_up"]["missing"]
    assert report["help_seconds"] is None


def test_every_part_has_its_words():
    assert {*ON_THE_DEVICE, "corpus", "start_up"} == set(PARTS)
    assert Workload("small").config.batch_size == 12
