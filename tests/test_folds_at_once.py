"""Folds trained at once: the numbers and files of folds in turn, and nothing lost by kills."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax import train_loop
from fdp_jax.checkpoints import Checkpoints
from fdp_jax.evaluate import pack_clips
from fdp_jax.options import TrainOptions
from fdp_jax.plan import resume_groups, split_evenly
from fdp_jax.rng import batch_indices, fold_key
from fdp_jax.splits import make_folds
from fdp_jax.train_loop import choose_folds_at_once, is_checkpoint_due
from fdp_jax.train_step import (
    compile_train_step,
    create_train_state,
    fold_state,
    stack_states,
    train_step,
)
from fdp_jax.training_log import read_log
from fdp_jax.workdir import fold_directory
from tests.conftest import run_module
from tests.helpers.tiny import TINY, TINY_OPTIONS, make_tiny_plan, random_clips, train_plan
from tests.kill_and_resume import compare
from tests.test_train_command import refused

# Two trainings of nine steps; evaluations after 4, 8 and 9; checkpoints after 3 and 6 of each.
CONFIG = dataclasses.replace(TINY, steps=9, select="all", evaluate_every=4)
FOLDS = ("p0", "p1", "p2", "p3")
# Adam's first steps are as long for the smallest gradient as for the largest, so that a high
# learning rate blows the last bit of a gradient up within ten steps.
SLOW = dataclasses.replace(TINY, optimizer=dataclasses.replace(TINY.optimizer, learning_rate=2e-5))


def clips():
    return random_clips(people=4, each=2)


def plan_of(workdir, folds_at_once, config=CONFIG, **options):
    options = {"log_every": 2, "checkpoint_every": 3, "folds_at_once": str(folds_at_once)} | options
    return make_tiny_plan(workdir, clips(), config, **options)


def train(workdir, folds_at_once, config=CONFIG, **options):
    return train_plan(plan_of(workdir, folds_at_once, config, **options))


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
        for key in ("steps", "selection", "held_out", "final_losses", "train_set_metrics"):
            assert done_of(first, name)[key] == done_of(second, name)[key]


def files_of(workdir) -> set[str]:
    """Every file that the contract names: all but the storage's own, and TensorBoard's."""
    paths = (path.relative_to(workdir).as_posix() for path in workdir.rglob("*") if path.is_file())
    return {path for path in paths if "/final/" not in path and "/tensorboard/" not in path}


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    """Four folds as one program."""
    return train(tmp_path_factory.mktemp("together"), 4)


# Numbers.


def losses(config, groups, number_of_steps=10):
    """Total losses [step, fold] of the first folds of `clips`, trained in groups of these sizes."""
    folds = make_folds(clips().datasets, clips().subjects)
    corpus, totals = pack_clips(clips()), []
    for size in groups:
        group, folds = folds[:size], folds[size:]
        keys = jnp.stack([fold_key(0, fold.name) for fold in group])
        state = stack_states((create_train_state(config, 2, key) for key in keys), size)
        of_group = []
        for step in range(number_of_steps):
            indices = jnp.stack(
                [batch_indices(fold.train, config.batch_size, 0, fold.name, step) for fold in group]
            )
            state, metrics = train_step(state, corpus, indices, keys, config=config, classes=2)
            of_group.append(metrics["total"])
        totals.append(np.array(of_group))
    return np.concatenate(totals, axis=1)


@pytest.mark.parametrize("groups", [(2, 2), (4,)])
def test_ten_steps_in_one_program_are_those_at_once(groups):
    expected = losses(SLOW, (1, 1, 1, 1))
    np.testing.assert_allclose(losses(SLOW, groups), expected, rtol=0, atol=1e-5)
    assert len(np.unique(expected)) == 40  # every fold its own


@pytest.mark.parametrize("ablate", ["no_mer", pytest.param("no_dic", marks=pytest.mark.slow)])
def test_an_ablated_network_trains_at_once_too(ablate):
    config = dataclasses.replace(SLOW, ablate=ablate)
    expected = losses(config, (1, 1), number_of_steps=3)
    np.testing.assert_allclose(losses(config, (2,), 3), expected, rtol=0, atol=1e-5)


def test_stacked_states_hold_every_fold():
    keys = [fold_key(0, name) for name in FOLDS[:3]]
    stacked = stack_states((create_train_state(TINY, 2, key) for key in keys), 3)
    for place, key in enumerate(keys):
        alone = jax.tree.leaves(create_train_state(TINY, 2, key))
        taken = jax.tree.leaves(fold_state(stacked, place))
        assert all(np.array_equal(a, b) for a, b in zip(alone, taken, strict=True))
        assert [leaf.dtype for leaf in alone] == [leaf.dtype for leaf in taken]


# Groups.


@pytest.mark.parametrize(
    ("count", "at_most", "sizes"),
    [
        (27, 10, [9, 9, 9]),
        (27, 24, [9, 9, 9]),  # three groups of one size before two of 14 and 13
        (28, 24, [14, 14]),
        (22, 24, [22]),
        (25, 24, [13, 12]),  # five groups of five would leave a device idle
        (3, 2, [2, 1]),
        (7, 3, [3, 2, 2]),
        (12, 4, [4, 4, 4]),
        (3, 1, [1, 1, 1]),
        (1, 9, [1]),
        (0, 9, []),
    ],
)
def test_groups_are_few_and_of_one_size_where_that_is_possible(count, at_most, sizes):
    groups = split_evenly(range(count), at_most)
    assert [len(group) for group in groups] == sizes
    assert [item for group in groups for item in group] == list(range(count))


@pytest.mark.parametrize(
    ("resumable", "parts"),
    [
        ([(0,), (0,), (0,)], [(0, [0, 1, 2])]),
        ([(300, 200), (300, 200)], [(300, [0, 1])]),
        # A kill between two checkpoints: the third, or the first, is missing.
        ([(300, 200), (300, 200), (200, 100)], [(200, [0, 1, 2])]),
        ([(100, 0), (0,)], [(0, [0, 1])]),
        # Folds that were not trained together keep what they have.
        ([(300, 200), (0,), (0,)], [(0, [1, 2]), (300, [0])]),
        ([(300, 200), (200, 100), (100, 0)], [(100, [2]), (200, [1]), (300, [0])]),
        # A finished one does not train again, whatever the others have.
        ([(500,), (400, 300), (500,)], [(500, [0]), (500, [2]), (400, [1])]),
        ([(500,), (500,)], [(500, [0]), (500, [1])]),
    ],
)
def test_from_where_a_group_resumes(resumable, parts):
    assert resume_groups(resumable, steps=500) == parts


# Files.


def test_one_program_leaves_the_same_files_up_to_rounding(tmp_path):
    config = dataclasses.replace(SLOW, select="test-best", evaluate_every=4)
    alone = train(tmp_path / "alone", 1, config)
    together = train(tmp_path / "together", 4, config)
    assert files_of(together) == files_of(alone)
    assert (alone / "config.json").read_bytes() == (together / "config.json").read_bytes()
    for name in FOLDS:
        a, b = (fold_directory(workdir, 0, name) for workdir in (alone, together))
        with np.load(a.outputs) as first, np.load(b.outputs) as second:
            assert first.files == second.files
            for array in first.files:
                np.testing.assert_allclose(first[array], second[array], rtol=1e-3, atol=1e-4)
        for row, other in zip(rows_of(alone, name), rows_of(together, name), strict=True):
            assert row == pytest.approx(other, rel=1e-5)
        assert done_of(alone, name)["folds_at_once"] == 1
        assert done_of(together, name)["folds_at_once"] == 4


def test_the_seconds_of_all_folds_are_those_of_the_run(tmp_path, monkeypatch):
    now = [0.0]

    def tick():
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(train_loop.time, "monotonic", tick)
    train(tmp_path, 4, dataclasses.replace(CONFIG, select="last"))
    began, ended = 1.0, now[0]
    total = sum(done_of(tmp_path, name)["seconds"] for name in FOLDS)
    assert 0.5 * (ended - began) < total <= ended - began


# Memory and mistakes.


def test_auto_is_one_on_a_cpu_and_what_the_memory_of_a_gpu_holds(tmp_path, monkeypatch):
    plan, corpus = plan_of(tmp_path, "auto"), pack_clips(clips())
    assert choose_folds_at_once(plan, corpus) == 1
    program = compile_train_step(CONFIG, 2, 4, corpus)
    # Temporary memory, and the states; indices, keys and metrics are small.
    four = program.memory_analysis().temp_size_in_bytes
    state = create_train_state(CONFIG, 2, jax.random.key(0))
    four += 4 * sum(leaf.nbytes for leaf in jax.tree.leaves(state))

    def gpu(free):
        statistics = {"bytes_limit": free + 1000, "bytes_in_use": 1000}
        return [SimpleNamespace(platform="gpu", memory_stats=lambda: statistics)]

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for fitting in (1, 2, 7):
        free = int((fitting + 0.5) * four / 4 / 0.9)
        monkeypatch.setattr(jax, "local_devices", lambda free=free: gpu(free))
        assert choose_folds_at_once(plan, corpus) == fitting
    assert choose_folds_at_once(plan_of(tmp_path, 3), corpus) == 3


def test_a_loss_that_is_not_finite_names_its_fold_and_keeps_the_others(
    at_once, tmp_path, monkeypatch
):
    real, steps_seen = train_loop._average, []

    def torn(metrics):
        averages = real(metrics)
        steps_seen.append(len(metrics))
        if sum(steps_seen) > 6:
            averages[2]["total"] = float("nan")
        return averages

    with monkeypatch.context() as patch:
        patch.setattr(train_loop, "_average", torn)
        with pytest.raises(UserError, match="loss of fold p2 is not finite between steps 7"):
            train(tmp_path, 4)
    for name in FOLDS:
        assert fold_directory(tmp_path, 0, name).resumable_steps(CONFIG.steps) == (6, 3)
    assert_same_results(at_once, train(tmp_path, 4))


def test_a_group_of_which_another_process_trains_one_is_refused(tmp_path):
    with (
        fold_directory(tmp_path, 0, "p1").locked(),
        pytest.raises(UserError, match=r"another process is training the fold .*p1"),
    ):
        train(tmp_path, 4)
    for name in FOLDS:  # the others' locks are released
        with fold_directory(tmp_path, 0, name).locked():
            pass


# Checkpoints.


@pytest.mark.parametrize(
    ("step", "seconds", "save_seconds", "due"),
    [
        (100, 59.9, 0, False),
        (100, 60, 0, True),
        (99, 1e6, 0, False),
        (200, 60, 1.7, True),  # 3 in 100 of the time
        (200, 99, 3, False),
        (200, 101, 3, True),
    ],
)
def test_a_checkpoint_waits_for_the_clock_and_for_a_slow_disk(step, seconds, save_seconds, due):
    options = TrainOptions(checkpoint_every=100, checkpoint_seconds=60)
    assert is_checkpoint_due(step, options, seconds, save_seconds) is due
    always = TrainOptions(checkpoint_every=100, checkpoint_seconds=0)
    assert is_checkpoint_due(step, always, 0, 1e6) is (step % 100 == 0)


def test_lines_of_the_log_do_not_depend_on_the_clock(tmp_path, monkeypatch):
    usual = train(tmp_path / "usual", 1, folds=("p0",))

    def save(*arguments):
        raise AssertionError("a checkpoint before its time")

    monkeypatch.setattr(Checkpoints, "save", save)
    other = train(tmp_path / "other", 1, folds=("p0",), checkpoint_seconds=1e6)
    assert rows_of(usual, "p0") == rows_of(other, "p0")


def test_a_checkpoint_gives_back_every_number(tmp_path):
    state = create_train_state(TINY, 2, fold_key(0, "p0")).replace(step=jnp.int32(7))
    checkpoints = Checkpoints(tmp_path, has_evaluations=True)
    checkpoints.save(state, {"evaluated": np.arange(3)})
    restored, evaluations = checkpoints.restore(state, 7)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(restored), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)
    assert evaluations["evaluated"].tolist() == [0, 1, 2]


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
        (Checkpoints, "save", 2, [0, 0, 0, 0]),  # two of four have their first
        (Checkpoints, "save", 5, [3, 3, 3, 3]),  # one is ahead of three
        (Checkpoints, "finish", 0, [6, 6, 6, 6]),
        (Checkpoints, "finish", 3, [9, 9, 9, 6]),  # three have finished the first training
        (Checkpoints, "save", 11, [9, 9, 9, 9]),  # the last misses its first of the second
        (Checkpoints, "save", 14, [12, 12, 12, 12]),
        (Checkpoints, "finish", 6, [18, 18, 15, 15]),
        (train_loop, "write_predictions", 0, [18, 18, 18, 18]),
        (train_loop, "write_done", 2, [None, None, 18, 18]),
        (train_loop, "drop_training_states", 1, [None, None, 18, 18]),
    ],
)
def test_a_killed_group_resumes_to_the_same_bits(owner, name, calls, restored, at_once, tmp_path):
    kill(tmp_path, owner, name, calls)
    finished = [fold_directory(tmp_path, 0, fold).is_finished() for fold in FOLDS]
    assert finished == [steps is None for steps in restored]
    train(tmp_path, 4)
    assert_same_results(at_once, tmp_path)
    assert files_of(tmp_path) == files_of(at_once)
    for fold, steps in zip(FOLDS, restored, strict=True):
        assert steps is None or done_of(tmp_path, fold)["resumed_from_step"] == steps


def test_a_group_killed_again_and_again_resumes_to_the_same_bits(at_once, tmp_path):
    kills = 0
    while True:
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Checkpoints, "save", killed_after(5, Checkpoints.save))
                train(tmp_path, 4)
            break
        except Killed:
            kills += 1
            assert kills < 10
    assert kills > 1
    assert_same_results(at_once, tmp_path)


def test_folds_that_were_not_trained_together_keep_their_work(tmp_path, monkeypatch):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoints, "finish", killed_after(0, Checkpoints.finish))
        train(tmp_path, 1)  # p0 has 6, the others nothing
    real, parts = train_loop._train_loop, []

    def train_loop_of(folds, start, *arguments):
        parts.append((start, len(folds)))
        real(folds, start, *arguments)

    monkeypatch.setattr(train_loop, "_train_loop", train_loop_of)
    train(tmp_path, 4)
    assert parts == [(0, 3), (6, 1), (0, 4)]


def test_a_resumed_run_keeps_its_groups(tmp_path):
    train(tmp_path, 2, folds=("p1",))
    groups = plan_of(tmp_path, 2).groups(2)
    names = [([task.fold.name for task in group.tasks], group.size) for group in groups]
    assert names == [(["p0"], 2), (["p2", "p3"], 2)]


def test_seeds_share_groups(tmp_path):
    train(tmp_path, 4, dataclasses.replace(TINY, steps=2), seeds=(3, 5), folds=("p0", "p1"))
    for seed in (3, 5):
        for name in ("p0", "p1"):
            done = json.loads(fold_directory(tmp_path, seed, name).done.read_text())
            assert done["folds_at_once"] == 4


# The command.


def test_the_command_trains_folds_at_once_and_resumes_at_once(data_dir, tmp_path):
    common = ["--dataset=synthetic", f"--data_dir={data_dir}", f"--workdir={tmp_path}"]
    common += TINY_OPTIONS
    run_module("fdp_jax.train", *common, "--folds=s01,s02,s03", "--folds_at_once=3")
    assert "at_once" not in (tmp_path / "config.json").read_text()
    assert [done_of(tmp_path, name)["folds_at_once"] for name in ("s01", "s03")] == [3, 3]
    options = ["--folds=s01,s02,s03,s04", "--folds-at-once=auto"]
    done = run_module("fdp_jax.train", *common, *options)
    assert "3 of 4 folds are finished already" in done.stdout
    assert done_of(tmp_path, "s04")["folds_at_once"] == 1


@pytest.mark.slow
def test_killed_groups_end_with_the_bits_of_groups_left_alone(data_dir, tmp_path):
    result = compare(data_dir, tmp_path, 1, seed=1, steps=60, select="all", folds_at_once=2)
    assert result.startswith("1 kills"), result


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--folds_at_once=0", ["--folds_at_once must be auto or an integer from 1, not 0"]),
        ("--folds_at_once=many", ["--folds_at_once must be auto or an integer from 1, not many"]),
        ("--checkpoint_seconds=-1", ["--checkpoint_seconds must be finite and not negative"]),
        ("--checkpoint_seconds=inf", ["--checkpoint_seconds must be finite and not negative"]),
    ],
)
def test_mistakes_are_one_sentence(option, words, tmp_path):
    sentence = refused("--dataset=samm", option, f"--data_dir={tmp_path}")
    for word in words:
        assert word in sentence
