"""The benchmark's arithmetic, its processes and its command line; nothing is compiled here."""

import subprocess
import sys
import time

import pytest

from datasets.errors import UserError
from fdp_jax.benchmark import measuring
from fdp_jax.benchmark.machine import describe_machine, peak_memory_bytes
from fdp_jax.benchmark.options import PARTS, options_from
from fdp_jax.benchmark.processes import Worker, WorkerError, run_once
from fdp_jax.benchmark.products import forward_flops, step_flops
from fdp_jax.benchmark.timing import alternate, runs_in_a_turn, spread
from fdp_jax.benchmark.workload import Workload
from fdp_jax.config import PRESETS
from tests.conftest import ROOT, run_module
from tests.helpers.tiny import TINY

HERE = "tests.benchmark.test_benchmark_pieces"


class Served:
    """What the processes of these tests hold."""

    def __init__(self, start: int = 0):
        print("words on the way")  # must not be taken for an answer
        self.count = start
        self.held = None

    def add(self, number: int) -> int:
        self.count += number
        return self.count

    def fail(self) -> None:
        raise ValueError("two\nlines")

    def sleep(self) -> None:
        time.sleep(60)

    def leave(self) -> None:
        print("last words", file=sys.stderr, flush=True)
        sys.exit(3)

    def hold(self, megabytes: int) -> int:
        self.held = b"x" * (megabytes * 10**6)
        return peak_memory_bytes()


def answer(number: int) -> dict[str, int]:
    return {"twice": 2 * number}


def test_medians_and_quartiles_by_hand():
    assert spread([3.0, 1.0, 2.0, 10.0]) == {
        "median": 2.5, "min": 1.0, "quartiles": [1.75, 4.75], "repeats": 4,
    }  # fmt: skip
    assert spread([2.0]) == {"median": 2.0, "min": 2.0, "quartiles": [2.0, 2.0], "repeats": 1}


def test_contenders_take_turns():
    order = []

    def contender(name: str, value: float):
        return lambda: order.append(name) or value + len(order)

    turns = {name: contender(name, value) for name, value in {"A": 0, "B": 10, "C": 20}.items()}
    measured = alternate(turns, repeats=3)
    assert "".join(order) == "ABCABCABC"
    assert measured == {"A": [1, 4, 7], "B": [12, 15, 18], "C": [23, 26, 29]}


def test_short_runs_are_put_together_to_a_turn():
    assert [runs_in_a_turn(seconds) for seconds in (3.0, 0.25, 0.1, 0.001)] == [1, 1, 3, 250]


def test_products_of_the_paper_are_those_of_the_design_and_of_pytorch():
    # PyTorch's own counter says the same of the twin; the design measured 119e9 for 36 clips.
    assert forward_flops(PRESETS["paper"], 5) == 3_298_204_160
    assert forward_flops(PRESETS["small"], 5) == 258_895_104
    assert step_flops(PRESETS["paper"], 5) == 3 * 36 * 3_298_204_160


def test_products_by_hand():
    """One stage, a map of 4 x 4 from 16 x 16 pixels, four frames, two classes."""
    stem = 64 * 27 * 8
    local = 16 * (8 * 8) + 16 * 8 * (9 * 8 + 8 + 2 * 2 * 8)  # embedding, then the block
    attention = 2 * 16 * 8 * 8 + 2 * 4 * 8 * 8 + 2 * 16 * 4 * 8  # four keys for sixteen queries
    beside = 16 * (8 * 8 + 9 * 8 * 8 + 2 * 16 * 16)
    frame = stem + local + attention + beside + 16 * 256 + 256 + 9 * 256 * 2
    recognition = 2 * 25 * 8 + 8 * 2
    construction = 256 * 9 * 2 * 4 + 64 * 4 * 4 * 4 + 256 * 9 * 4 * 4 + 256 * 4
    assert forward_flops(TINY, 2) == 2 * (4 * frame + recognition + construction)


def test_a_process_keeps_its_object_and_only_answers():
    with Worker(f"{HERE}:Served", {"start": 5}) as worker:
        assert worker.call("add", number=2) == 7
        assert worker.call("add", number=3) == 10
        with pytest.raises(WorkerError, match="ValueError: two lines") as told:
            worker.call("fail")
        assert told.value.kind == "ValueError"
        assert worker.call("add", number=1) == 11
    assert run_once(f"{HERE}:answer", {"number": 4}) == {"twice": 8}


def test_a_process_that_takes_too_long_or_dies_is_told():
    with Worker(f"{HERE}:Served", {}) as worker:
        with pytest.raises(WorkerError, match="took more than 0") as told:
            worker.call("sleep", limit=0.2)
        assert told.value.kind == "TimeoutError"
    with (
        Worker(f"{HERE}:Served", {}) as worker,
        pytest.raises(WorkerError, match="status 3: last words"),
    ):
        worker.call("leave")
    with pytest.raises(WorkerError) as told:
        Worker("no_such_module:Thing", {})
    assert told.value.kind == "ModuleNotFoundError"


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux counts it")
def test_peak_memory_of_a_process_is_its_own():
    ballast = bytearray(b"y" * 300_000_000)  # of this process, which must not be counted there
    with Worker(f"{HERE}:Served", {}) as one, Worker(f"{HERE}:Served", {}) as other:
        small, large = one.call("hold", megabytes=1), other.call("hold", megabytes=150)
    assert 120e6 < large - small < 180e6
    assert small < len(ballast) < peak_memory_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bacth_size=3"], ["no option --bacth_size=3", "did you mean --batch_size?", "--json"]),
        (["--parts=stp"], ["no part 'stp'", *PARTS]),
        (["--preset=big"], ["no preset 'big'", "paper", "small"]),
        (["--repeats=0"], ["--repeats", "at least 1"]),
        (["--folds=1,0"], ["--folds", "at least 1"]),
        (["--repeats=many"], ["--repeats", "'many'"]),
        (["--people=1"], ["--people", "at least 2"]),
        (["--compile_limit=-1"], ["--compile_limit", "negative"]),
        (["--model.local_channels=a,b"], ["--model.local_channels", "list of int"]),
        (["--precision=half"], ["--precision", "'half'", "bfloat16"]),
        (["--clip.crop=50"], ["--clip.crop", "multiple of 32"]),
        (["step"], ["no option step"]),
        (["table"], ["FILE"]),
        (["table", "nowhere.json"], ["nowhere.json", "cannot be read"]),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    done = run_module("fdp_jax.benchmark", *arguments, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_help_and_mistakes_load_nothing_heavy():
    for argument in ("--help", "--parts=stp"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "fdp_jax.benchmark", argument],
            cwd=ROOT, text=True, capture_output=True,
        )  # fmt: skip
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "fdp_jax.benchmark.options" in loaded
        assert not loaded & {"jax", "numpy", "tyro", "torch", "cv2", "tensorflow_datasets"}


def test_help_tells_the_parts_and_the_other_commands():
    told = run_module("fdp_jax.benchmark", "--help").stdout
    for word in (*PARTS, "gpu", "table", "--batch_size", "--model.stem_channels"):
        assert word in told


def test_options_reach_the_workload():
    options = options_from(
        ["--preset=small", "--batch-size=7", "--model.local-channels=8,16,24,32", "--people=4",
         "--precision=bfloat16", "--model.forms.multi-head=heads", "--parts=scaling,step",
         "--batches=3,4", "--folds=2", "--repeats=2", "--loop-steps=9", "--compile-limit=0",
         "--corpus_clips=5", "--out=~/x.json", "--json"]
    )  # fmt: skip
    config = options.workload.config
    assert config.batch_size == 7 and config.model.local_channels == (8, 16, 24, 32)
    assert config.model.stem_channels == PRESETS["small"].model.stem_channels
    assert config.precision == "bfloat16" and config.model.forms.multi_head == "heads"
    assert options.workload.people == 4
    assert options.parts == ("step", "scaling")  # in the order in which they are measured
    assert (options.batches, options.folds, options.repeats) == ((3, 4), (2,), 2)
    assert (options.loop_steps, options.compile_limit, options.corpus_clips) == (9, 0, 5)
    assert options.as_json and options.out.is_absolute()


def test_defaults_are_the_papers_and_everything():
    options = options_from([])
    assert options.workload.config == PRESETS["paper"]
    assert options.parts == tuple(PARTS) and options.batches == (6, 12, 24, 36)
    assert options_from(["--preset=small"]).batches == (6, 12, 24)


def test_a_workload_survives_json():
    workload = Workload("small", {"clip.frames": 4, "model.output_channels": [32, 64, 128, 256]})
    again = Workload(**workload.as_arguments())
    assert again.config == workload.config and again.config.clip.frames == 4
    assert again.config.model.output_channels == (32, 64, 128, 256)
    assert workload.with_changes({"batch_size": 3}).config.batch_size == 3
    with pytest.raises(UserError, match="no option model"):
        Workload("small", {"model.depth": 4}).config  # noqa: B018


def test_the_machine_is_described():
    told = describe_machine()
    assert told["cpu"] and told["cores"] >= 1 and told["memory_bytes"] > 10**8


def test_what_is_achieved_by_hand():
    report = {
        "precision": "float32",
        "step_seconds": 2.0,
        "ceilings": {
            "product_flops_per_second": {"float32": 100e9, "bfloat16": 400e9},
            "copy_bytes_per_second": 20e9,
        },
        "step": {
            "network_flops": 120e9,
            "contenders": {"ours": {"compiler_bytes": 50e9, "compiler_flops": 150e9}},
        },
    }
    assert measuring.achieved(report) == {
        "network_flops_per_second": 60e9,
        "share_of_product": 0.6,
        "floor_seconds": 1.2,
        "compiler_flops_per_second": 75e9,
        "bytes_per_second": 25e9,
        "share_of_copy": 1.25,
    }
    in_bfloat16 = measuring.achieved(report | {"precision": "bfloat16"})
    assert in_bfloat16["share_of_product"] == 0.15
