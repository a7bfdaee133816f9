"""Folds trained at once: the numbers and files of folds in turn, and nothing lost by kills."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax import folds_together
from fdp_jax import run_folds as training_run
from fdp_jax import train_loop as fold_training
from fdp_jax.checkpoints import FoldCheckpoints
from fdp_jax.folds_together import (
    FoldsTogether,
    averages,
    choose_folds_at_once,
    stack_states,
)
from fdp_jax.plan import Run
from fdp_jax.progress import SilentBar
from fdp_jax.rng import fold_key
from fdp_jax.run_folds import run_folds
from fdp_jax.sampler import batch_indices
from fdp_jax.schedule import Cadence
from fdp_jax.splits import make_folds
from fdp_jax.train_loop import device_corpus
from fdp_jax.train_step import Steps
from fdp_jax.training_log import read_log
from fdp_jax.workdir import fold_directory
from tests.conftest import run_module
from tests.helpers.tiny import TINY, TINY_OPTIONS, random_clips
from tests.kill_and_resume import compare
from tests.test_train_command import refused

# Two trainings of nine steps; looks after 4, 8 and 9; checkpoints after 3 and 6 of each.
CONFIG = dataclasses.replace(TINY, steps=9, select="all", evaluate_every=4)
CADENCE = Cadence(log_every=2, checkpoint_every=3)
FOLDS = ("p0", "p1", "p2", "p3")


def clips():
    return random_clips(people=4, each=2)


def train(workdir, folds_at_once, names=(), fold_axis="auto", config=CONFIG, open_bar=SilentBar):
    command = "a command"
    run = Run(config, "tiny", (0,), names, workdir, CADENCE, command, folds_at_once, fold_axis)
    run_folds(run, clips(), open_bar)
    return workdir


def done_of(workdir, name) -> dict:
    return json.loads(fold_directory(workdir, 0, name).done.read_text())


def rows_of(workdir, name) -> list[dict]:
    """The lines of both logs of a fold, without what the clock says."""
    directory = fold_directory(workdir, 0, name)
    lines = [*read_log(directory.log), *read_log(directory.second_training.log)]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in lines]


def assert_same_results(first, second):
    assert (first / "config.json").read_bytes() == (second / "config.json").read_bytes()
    for name in FOLDS:
        a, b = (fold_directory(workdir, 0, name) for workdir in (first, second))
        assert a.predictions.read_bytes() == b.predictions.read_bytes()
        assert a.outputs.read_bytes() == b.outputs.read_bytes()
        assert rows_of(first, name) == rows_of(second, name)
        for key in ("steps", "selection", "held_out", "final_losses", "training_people"):
            assert done_of(first, name)[key] == done_of(second, name)[key]


def files_of(workdir) -> set[str]:
    """Every file that the contract names: all but the storage's own, and TensorBoard's."""
    paths = (path.relative_to(workdir).as_posix() for path in workdir.rglob("*") if path.is_file())
    return {path for path in paths if "/final/" not in path and "/tensorboard/" not in path}


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory):
    return train(tmp_path_factory.mktemp("turn"), 1)


# Numbers.


def losses(steps, count, fold_axis, number_of_steps=10):
    """Total losses [step, K] of the first folds of `clips`, and the report's terms."""
    steps = dataclasses.replace(steps, fold_axis=fold_axis)
    of_clips, folds = clips(), make_folds(clips().datasets, clips().subjects)[:count]
    keys = [fold_key(0, fold.name) for fold in folds]
    together = FoldsTogether(steps, device_corpus(of_clips), map(steps.initial_state, keys), keys)
    totals, terms = [], []
    for step in range(number_of_steps):
        size = steps.config.batch_size
        numbers = [batch_indices(fold.train, size, 0, fold.name, step) for fold in folds]
        terms = averages([together.train(np.stack(numbers))])
        totals.append([of_fold["total"] for of_fold in terms])
    return np.array(totals), terms[0].keys()


# Adam's first steps are as long for the smallest gradient as for the largest, so that a high
# learning rate blows the last bit of a gradient up within ten steps.
SLOW = dataclasses.replace(TINY, optimizer=dataclasses.replace(TINY.optimizer, learning_rate=2e-5))


@pytest.mark.parametrize(("fold_axis", "count"), [("vmap", 2), ("vmap", 4), ("scan", 3)])
def test_ten_steps_in_one_program_are_those_in_turn(fold_axis, count):
    expected, _ = losses(Steps(SLOW, 2), count, "turn")
    together, _ = losses(Steps(SLOW, 2), count, fold_axis)
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-5)
    assert len(np.unique(expected)) == 10 * count  # every fold its own


@pytest.mark.parametrize("ablate", ["no_mer", "no_dic"])
def test_an_ablated_network_trains_at_once_too(ablate):
    steps = Steps(dataclasses.replace(SLOW, ablate=ablate), 2)
    expected, terms = losses(steps, 2, "turn", number_of_steps=3)
    together, same_terms = losses(steps, 2, "vmap", number_of_steps=3)
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-5)
    assert terms == same_terms
    assert ("cross_entropy" in terms) == (ablate != "no_mer")


def test_a_single_fold_and_folds_in_turn_run_the_program_of_one(monkeypatch):
    def forbidden(*arguments):
        raise AssertionError("another program")

    monkeypatch.setattr(Steps, "train_together", forbidden)
    losses(Steps(SLOW, 2), 1, "vmap")
    losses(Steps(SLOW, 2), 2, "auto")  # on a CPU
    with pytest.raises(AssertionError, match="another program"):
        losses(Steps(SLOW, 2), 2, "scan")


def test_stacked_states_hold_every_fold():
    steps = Steps(TINY, 2)
    keys = [fold_key(0, name) for name in FOLDS[:3]]
    stacked = stack_states(map(steps.initial_state, keys), 3)
    for place, key in enumerate(keys):
        alone = jax.tree.leaves(steps.initial_state(key))
        taken = jax.tree.leaves(folds_together.member(stacked, place))
        assert all(np.array_equal(a, b) for a, b in zip(alone, taken, strict=True))
        assert [leaf.dtype for leaf in alone] == [leaf.dtype for leaf in taken]


# Files.


@pytest.mark.parametrize("folds_at_once", [2, 3, 4])
def test_a_group_leaves_the_files_of_folds_in_turn(folds_at_once, in_turn, tmp_path):
    train(tmp_path, folds_at_once)
    assert_same_results(in_turn, tmp_path)
    assert files_of(tmp_path) == files_of(in_turn)
    sizes = {2: [2, 2, 2, 2], 3: [2, 2, 2, 2], 4: [4, 4, 4, 4]}[folds_at_once]
    assert [done_of(tmp_path, name)["folds_at_once"] for name in FOLDS] == sizes
    assert done_of(in_turn, "p0")["folds_at_once"] == 1


def test_one_program_leaves_the_same_files_up_to_rounding(tmp_path):
    config = dataclasses.replace(SLOW, select="test-best", evaluate_every=4)
    alone = train(tmp_path / "alone", 1, config=config)
    together = train(tmp_path / "together", 4, fold_axis="vmap", config=config)
    assert files_of(together) == files_of(alone)
    for name in FOLDS:
        a, b = (fold_directory(workdir, 0, name) for workdir in (alone, together))
        with np.load(a.outputs) as first, np.load(b.outputs) as second:
            assert first.files == second.files
            for array in first.files:
                np.testing.assert_allclose(first[array], second[array], rtol=1e-3, atol=1e-4)
        for row, other in zip(rows_of(alone, name), rows_of(together, name), strict=True):
            assert row == pytest.approx(other, rel=1e-5)


def test_the_seconds_of_all_folds_are_those_of_the_run(tmp_path, monkeypatch):
    now = [0.0]

    def tick():
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(fold_training.time, "monotonic", tick)
    config = dataclasses.replace(CONFIG, select="last")
    train(tmp_path, 4, config=config)
    began, ended = 1.0, now[0]
    told = sum(done_of(tmp_path, name)["seconds"] for name in FOLDS)
    assert 0.5 * (ended - began) < told <= ended - began


# Progress, memory and mistakes.


class Bar(SilentBar):
    def __init__(self, total):
        super().__init__(total)
        self.said = []

    def set_description(self, text):
        self.said.append(text)


def bars_of(*arguments, **options):
    bars = []

    def open_bar(total):
        bars.append(Bar(total))
        return bars[-1]

    train(*arguments, open_bar=open_bar, **options)
    return bars[0]


def test_one_bar_counts_the_steps_of_all_folds_and_names_the_group(tmp_path):
    bar = bars_of(tmp_path, 2, names=FOLDS[:3])
    assert bar.said == ["folds 1-2 of 3", "fold 3/3 p2"]
    assert bar.total == bar.n == 3 * 2 * CONFIG.steps


def test_groups_become_smaller_where_memory_runs_out(in_turn, tmp_path, monkeypatch, capsys):
    real = FoldsTogether.train

    def train_two_at_most(self, numbers):
        if len(numbers) > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return real(self, numbers)

    monkeypatch.setattr(FoldsTogether, "train", train_two_at_most)
    bar = bars_of(tmp_path, 4)
    assert bar.said == ["folds 1-4 of 4", "folds 1-2 of 4", "folds 3-4 of 4"]
    told = capsys.readouterr().err
    assert "4 folds at once do not fit the device's memory; going on with 2" in told
    assert_same_results(in_turn, tmp_path)


def test_a_single_fold_without_memory_and_other_failures_are_not_hidden(tmp_path, monkeypatch):
    def fail(self, numbers):
        raise jax.errors.JaxRuntimeError(message)

    monkeypatch.setattr(FoldsTogether, "train", fail)
    for folds_at_once, message in [(1, "RESOURCE_EXHAUSTED"), (4, "INTERNAL: broken")]:
        with pytest.raises(jax.errors.JaxRuntimeError, match=message):
            train(tmp_path, folds_at_once)


def test_auto_is_one_on_a_cpu_and_goes_by_the_memory_of_a_gpu(monkeypatch):
    corpus, key = device_corpus(clips()), fold_key(0, "p0")
    assert choose_folds_at_once(Steps(TINY, 2), corpus, key, 4) == 1
    steps = Steps(TINY, 2, "vmap")
    states = stack_states([steps.initial_state(key)] * 4, 4)
    numbers = jnp.zeros((4, TINY.batch_size), jnp.int32)
    lowered = Steps.train_together.lower(steps, states, corpus, numbers, jnp.stack([key] * 4))
    # Temporary memory, and the states; numbers, keys and reports are small.
    four = lowered.compile().memory_analysis().temp_size_in_bytes
    four += sum(leaf.nbytes for leaf in jax.tree.leaves(states))

    def gpu(free):
        statistics = {"bytes_limit": free + 1000, "bytes_in_use": 1000}
        return [SimpleNamespace(platform="gpu", memory_stats=lambda: statistics)]

    for fitting in (1, 2, 7):
        free = int((fitting + 0.5) * four / 4 / 0.9)
        monkeypatch.setattr(jax, "local_devices", lambda free=free: gpu(free))
        assert choose_folds_at_once(steps, corpus, key, 4) == fitting
    assert choose_folds_at_once(steps, corpus, key, 1) == 1


def test_a_loss_that_is_not_finite_names_its_fold_and_keeps_the_others(
    in_turn, tmp_path, monkeypatch
):
    real = fold_training.averages

    def torn(reports):
        means = real(reports)
        if reports_seen.append(len(reports)) or sum(reports_seen) > 6:
            means[2]["total"] = float("nan")
        return means

    reports_seen = []
    with monkeypatch.context() as patch:
        patch.setattr(fold_training, "averages", torn)
        with pytest.raises(UserError, match="loss of fold p2 is no longer finite between steps 7"):
            train(tmp_path, 4)
    for name in FOLDS:
        checkpoints = FoldCheckpoints(fold_directory(tmp_path, 0, name).checkpoints)
        assert checkpoints.newest() == (6, 3)
    assert_same_results(in_turn, train(tmp_path, 4))


def test_a_group_of_which_another_process_trains_one_is_refused(tmp_path):
    with (
        fold_directory(tmp_path, 0, "p1").locked(),
        pytest.raises(UserError, match=r"another process trains the fold .*p1"),
    ):
        train(tmp_path, 4)
    for name in FOLDS:  # the others' locks are gone
        with fold_directory(tmp_path, 0, name).locked():
            pass


# Checkpoints.


def test_a_checkpoint_waits_for_the_clock_and_for_a_slow_disk():
    cadence = Cadence(log_every=20, checkpoint_every=100, checkpoint_seconds=60)
    assert not cadence.saves(100, seconds=59.9, last_took=0)
    assert cadence.saves(100, seconds=60, last_took=0)
    assert not cadence.saves(99, seconds=1e6, last_took=0)
    assert cadence.saves(200, seconds=60, last_took=1.7)  # 3 in 100 of the time
    assert not cadence.saves(200, seconds=99, last_took=3)
    assert cadence.saves(200, seconds=101, last_took=3)
    always = Cadence(log_every=20, checkpoint_every=100)
    assert always.saves(100, seconds=0, last_took=1e6)


def test_lines_of_the_log_do_not_depend_on_the_clock(in_turn, tmp_path, monkeypatch):
    def save(*arguments):
        raise AssertionError("a checkpoint before its time")

    monkeypatch.setattr(FoldCheckpoints, "save", save)
    cadence = dataclasses.replace(CADENCE, checkpoint_seconds=1e6)
    run = Run(CONFIG, "tiny", (0,), ("p0",), tmp_path, cadence, "a command")
    run_folds(run, clips())
    assert rows_of(tmp_path, "p0") == rows_of(in_turn, "p0")


def test_a_checkpoint_gives_back_every_number(tmp_path):
    steps = Steps(TINY, 2)
    state = steps.initial_state(fold_key(0, "p0")).replace(step=jnp.int32(7))
    checkpoints = FoldCheckpoints(tmp_path)
    checkpoints.save(state, {"looks": np.arange(3)})
    restored, looks = checkpoints.restore(jax.eval_shape(lambda: state), 7, has_looks=True)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(restored), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)
    assert looks["looks"].tolist() == [0, 1, 2]


# Kills.


class Killed(Exception):
    pass


def killed_after(calls, real):
    """`real`, which is not reached any more after so many calls."""
    left = [calls]

    def call(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return real(*arguments, **options)

    return call


def kill(workdir, owner, name, calls, folds_at_once=4):
    """A training of all folds that ends before call number `calls` + 1 of a function."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, name, killed_after(calls, getattr(owner, name)))
        train(workdir, folds_at_once)


# Each training saves twice for every fold (after steps 3 and 6), and finishes once.
@pytest.mark.parametrize(
    ("owner", "name", "calls", "restored"),
    [
        (FoldCheckpoints, "save", 2, [0, 0, 0, 0]),  # two of four have their first
        (FoldCheckpoints, "save", 5, [3, 3, 3, 3]),  # one is ahead of three
        (FoldCheckpoints, "finish", 0, [6, 6, 6, 6]),
        (FoldCheckpoints, "finish", 3, [9, 9, 9, 6]),  # three are through with the first training
        (FoldCheckpoints, "save", 11, [9, 9, 9, 9]),  # the last misses its first of the second
        (FoldCheckpoints, "save", 14, [12, 12, 12, 12]),
        (FoldCheckpoints, "finish", 6, [18, 18, 15, 15]),
        (fold_training, "_write_predictions", 0, [18, 18, 18, 18]),
        (fold_training, "_write_done", 2, [None, None, 18, 18]),
        (fold_training, "drop_training_states", 1, [None, None, 18, 18]),
    ],
)
def test_a_killed_group_goes_on_to_the_same_bits(owner, name, calls, restored, in_turn, tmp_path):
    kill(tmp_path, owner, name, calls)
    finished = [fold_directory(tmp_path, 0, fold).is_finished() for fold in FOLDS]
    assert finished == [steps is None for steps in restored]
    train(tmp_path, 4)
    assert_same_results(in_turn, tmp_path)
    assert files_of(tmp_path) == files_of(in_turn)
    for fold, steps in zip(FOLDS, restored, strict=True):
        assert steps is None or done_of(tmp_path, fold)["resumed_from_step"] == steps


@pytest.mark.parametrize(
    ("owner", "name", "calls", "folds_at_once", "restored"),
    [
        (FoldCheckpoints, "save", 5, 1, [6, 3, 3, 3]),
        (FoldCheckpoints, "save", 5, 2, [3, 3, 3, 3]),
        (FoldCheckpoints, "finish", 3, 3, [9, 9, 9, 6]),
    ],
)
def test_a_killed_group_goes_on_in_other_groups(
    owner, name, calls, folds_at_once, restored, in_turn, tmp_path
):
    kill(tmp_path, owner, name, calls)
    train(tmp_path, folds_at_once)
    assert_same_results(in_turn, tmp_path)
    assert [done_of(tmp_path, fold)["resumed_from_step"] for fold in FOLDS] == restored


def test_a_group_killed_again_and_again_goes_on_to_the_same_bits(in_turn, tmp_path):
    kills = 0
    while True:
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(FoldCheckpoints, "save", killed_after(5, FoldCheckpoints.save))
                train(tmp_path, 4)
            break
        except Killed:
            kills += 1
            assert kills < 10
    assert kills > 1
    assert_same_results(in_turn, tmp_path)


def test_folds_that_were_not_trained_together_keep_their_work(in_turn, tmp_path):
    kill(tmp_path, FoldCheckpoints, "finish", 0, folds_at_once=1)  # p0 has 6, the others nothing
    with pytest.MonkeyPatch.context() as patch:
        groups = []
        real = fold_training._optimise

        def optimise(members, start):
            groups.append((start, [member.job.fold.name for member in members]))
            real(members, start)

        patch.setattr(fold_training, "_optimise", optimise)
        train(tmp_path, 4)
    assert groups == [(0, ["p1", "p2", "p3"]), (6, ["p0"]), (0, list(FOLDS))]
    assert_same_results(in_turn, tmp_path)


def test_a_run_that_goes_on_has_the_groups_it_had(in_turn, tmp_path):
    train(tmp_path, 2, names=("p1",))
    with pytest.MonkeyPatch.context() as patch:
        groups = []
        real = training_run.train_folds

        def train_folds(jobs, patience):
            groups.append([job.fold.name for job in jobs])
            real(jobs, patience)

        patch.setattr(training_run, "train_folds", train_folds)
        train(tmp_path, 2)
    assert groups == [["p0"], ["p2", "p3"]]
    assert_same_results(in_turn, tmp_path)


def test_seeds_share_groups(tmp_path):
    config = dataclasses.replace(TINY, steps=2)
    alone, together = tmp_path / "alone", tmp_path / "together"
    for workdir, at_once in ((alone, 1), (together, 4)):
        run = Run(config, "tiny", (3, 5), ("p0", "p1"), workdir, CADENCE, "a command", at_once)
        run_folds(run, clips())
    for seed in (3, 5):
        for name in ("p0", "p1"):
            a, b = (fold_directory(workdir, seed, name) for workdir in (alone, together))
            assert a.predictions.read_bytes() == b.predictions.read_bytes()
            assert json.loads(b.done.read_text())["folds_at_once"] == 4


# The command.


def test_the_command_trains_folds_at_once_and_goes_on_in_turn(data_dir, tmp_path):
    common = ["--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={tmp_path}"]
    common += TINY_OPTIONS
    run_module("fdp_jax.train", *common, "--folds=s01,s02,s03", "--folds_at_once=3")
    assert "at_once" not in (tmp_path / "config.json").read_text()
    assert [done_of(tmp_path, name)["folds_at_once"] for name in ("s01", "s03")] == [3, 3]
    options = ["--folds=s01,s02,s03,s04", "--folds-at-once=auto", "--fold_axis=vmap"]
    done = run_module("fdp_jax.train", *common, *options)
    assert "3 of 4 folds are finished already" in done.stdout
    assert done_of(tmp_path, "s04")["folds_at_once"] == 1


def test_killed_groups_end_with_the_bits_of_folds_in_turn(data_dir, tmp_path):
    told = compare(data_dir, tmp_path, 1, seed=1, steps=60, select="all", folds_at_once=2)
    assert told.startswith("1 kills"), told


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--folds_at_once=0", ["--folds_at_once=0 must be auto or a whole number"]),
        ("--folds_at_once=many", ["--folds_at_once=many must be auto or a whole number"]),
        ("--fold_axis=sideways", ["--fold_axis", "vmap", "scan", "turn"]),
        ("--checkpoint_seconds=-1", ["--checkpoint_seconds must be finite and not negative"]),
        ("--checkpoint_seconds=inf", ["--checkpoint_seconds must be finite and not negative"]),
    ],
)
def test_mistakes_are_one_sentence(option, words, tmp_path):
    sentence = refused("--dataset=samm", option, f"--data_dir={tmp_path}")
    for word in words:
        assert word in sentence
