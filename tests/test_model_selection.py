"""Selection rules side by side: what each evaluates, what it chooses, and what never leaks."""

import dataclasses
import json
import shutil

import numpy as np
import orbax.checkpoint as ocp
import pytest

from datasets.errors import UserError
from fdp_jax.config import evaluations_per_fold
from fdp_jax.evaluate import BestStepTracker, is_evaluation_due, pack_clips
from fdp_jax.metrics.predictions import PredictionTable
from fdp_jax.plan import FoldGroup, FoldTask, plan_trainings
from fdp_jax.splits import Fold, hold_out, make_folds
from fdp_jax.train_loop import train_folds
from fdp_jax.training_log import read_log
from fdp_jax.workdir import FoldDirectory
from tests.helpers.tiny import TINY, final_weights, make_tiny_plan, random_clips, same_bits

STEPS = 9
EVERY = 2  # evaluations after steps 2, 4, 6, 8 and 9
# TINY with outputs that differ from clip to clip and from step to step.
RESTLESS = dataclasses.replace(
    TINY,
    model=dataclasses.replace(TINY.model, initial_std=0.2, batch_norm_momentum=0.3),
    optimizer=dataclasses.replace(TINY.optimizer, learning_rate=3e-3),
)


def config(select, steps=STEPS, every=EVERY):
    return dataclasses.replace(RESTLESS, select=select, steps=steps, evaluate_every=every)


def people_clips():
    """Four people, of whom one of two groups is left out; clips of different brightness."""
    clips, rng = random_clips(people=4, each=3, seed=4), np.random.default_rng(4)
    labels = rng.integers(0, 2, 12).astype(np.int32)
    frames = clips.frames // 4
    for start, length in zip(clips.starts, clips.lengths, strict=True):
        frames[start : start + length] += np.uint8(rng.integers(0, 190))
    return dataclasses.replace(clips, frames=frames, labels=labels)


def fold_of(clips) -> Fold:
    return make_folds(clips.datasets, clips.subjects, group_folds=2)[0]


def train(clips, path, of_config, fold=None, progress=lambda steps, metrics: None, seed=0):
    """Trains one fold into the folder `path`."""
    fold = fold or fold_of(clips)
    plan = make_tiny_plan(path, clips, of_config, log_every=3, checkpoint_every=4)
    directory = FoldDirectory(path)
    trainings = plan_trainings(clips, fold, seed, of_config.select, directory)
    task = FoldTask(seed, fold, trainings, directory)
    train_folds(FoldGroup((task,), 1), plan, pack_clips(clips), progress)
    return directory


def by_rule(directory) -> dict[str, PredictionTable]:
    table = PredictionTable.read(directory.predictions)
    rows = {rule: [] for rule in table.select}
    for row, rule in enumerate(table.select):
        rows[rule].append(row)
    return {rule: table.take(numbers) for rule, numbers in rows.items()}


def done_of(directory) -> dict:
    return json.loads(directory.done.read_text())


def chosen_step(directory, rule) -> int:
    return done_of(directory)["selection"][rule]["step"]


def losses(training) -> list:
    return [(row["step"], row["total"]) for row in read_log(training.log)]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    return train(people_clips(), tmp_path_factory.mktemp("all") / "fold", config("all"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Each rule by itself."""
    folder = tmp_path_factory.mktemp("alone")
    return {
        rule: train(people_clips(), folder / rule, config(rule))
        for rule in ("last", "test-best", "val")
    }


# What each rule is.


def test_all_gives_what_each_rule_gives_by_itself(everything, alone):
    tables = by_rule(everything)
    assert list(tables) == ["last", "test-best", "val"]
    outputs = np.load(everything.outputs)
    for place, (rule, table) in enumerate(tables.items()):
        (own,) = by_rule(alone[rule]).values()
        assert table.clip == own.clip and table.select == own.select
        np.testing.assert_array_equal(table.probabilities, own.probabilities)
        np.testing.assert_array_equal(table.dic_mse, own.dic_mse)
        own_outputs, n = np.load(alone[rule].outputs), len(table)
        for name in own_outputs.files:
            mine = outputs[name][place * n : (place + 1) * n]
            np.testing.assert_array_equal(mine, own_outputs[name])
        assert chosen_step(everything, rule) == chosen_step(alone[rule], rule)
    for rule in ("last", "test-best"):  # evaluations leave the training as it is
        assert same_bits(final_weights(everything), final_weights(alone[rule]))
        assert losses(everything) == losses(alone[rule])
    assert losses(everything.second_training) == losses(alone["val"]) != losses(everything)


@pytest.fixture(scope="module")
def at_each_evaluation(tmp_path_factory):
    """Trainings that end at each evaluation: evaluated clips and clips left out, for each rule."""
    clips, folder = people_clips(), tmp_path_factory.mktemp("evaluations")
    fold = fold_of(clips)
    inner = hold_out(fold, clips.datasets, clips.subjects, clips.labels, seed=0)
    both = np.concatenate([inner.test, fold.test])
    ends = {}
    for steps in (2, 4, 6, 8, 9):
        for rule, train_clips in (("test-best", fold.train), ("val", inner.train)):
            ending = Fold(fold.name, fold.people, train_clips, both)
            directory = train(clips, folder / f"{rule}_{steps}", config("last", steps), ending)
            (table,) = by_rule(directory).values()
            n = len(inner.test)
            held_out, test = table.take(range(n)), table.take(range(n, len(table)))
            ends[rule, steps] = (test if rule == "test-best" else held_out, test)
    return ends


def mean_cross_entropy(table) -> float:
    return np.mean(
        [
            -np.log(row[table.classes.index(label)])
            for row, label in zip(table.probabilities, table.label, strict=True)
        ]
    )


@pytest.mark.parametrize("rule", ["test-best", "val"])
def test_the_best_evaluation_predicts(rule, everything, at_each_evaluation):
    evaluated = {
        steps: table for (of, steps), (table, _) in at_each_evaluation.items() if of == rule
    }
    accuracy = {steps: table.correct.mean() for steps, table in evaluated.items()}
    candidates = [steps for steps in accuracy if accuracy[steps] == max(accuracy.values())]
    if rule == "val":
        best = min(candidates, key=lambda steps: mean_cross_entropy(evaluated[steps]))
    else:
        best = candidates[0]
    assert chosen_step(everything, rule) == best
    _, test = at_each_evaluation[rule, best]
    np.testing.assert_array_equal(by_rule(everything)[rule].probabilities, test.probabilities)


def test_the_corpus_of_these_tests_separates_the_evaluations(at_each_evaluation):
    for rule in ("test-best", "val"):
        right = [
            table.correct.sum() for (of, _), (table, _) in at_each_evaluation.items() if of == rule
        ]
        assert len(set(right)) > 1


def tracked(rule, *evaluations) -> BestStepTracker:
    """After evaluations of (step, probability of class 0 for each clip); all clips are of it."""
    tracker = BestStepTracker(rule)
    for step, correct in evaluations:
        rows = np.array([[p, 1 - p] for p in correct], np.float32)
        labels = np.zeros(len(rows), int)
        tracker.update(step, rows, labels, lambda step=step: {"of": np.array(step)})
    return tracker


def test_ties():
    evaluations = [(10, (0.4, 0.6)), (20, (0.9, 0.6)), (30, (0.6, 0.9)), (40, (0.8, 0.8))]
    assert tracked("test-best", *evaluations).best_step == 20  # the first of the best
    # Products of the right probabilities: 0.54, 0.54, 0.64.
    assert tracked("val", *evaluations[:3]).best_step == 20
    assert tracked("val", *evaluations).best_step == 40
    assert tracked("val", (5, (0.9, 0.9)), (10, (0.99, 0.49))).best_step == 5  # accuracy first
    tracker = tracked("val", *evaluations)
    assert (tracker.count, int(tracker.outputs["of"])) == (4, 40)
    again = BestStepTracker("val", tracker.as_arrays())
    assert (again.count, again.best_step, int(again.outputs["of"])) == (4, 40, 40)
    assert again.as_arrays().keys() == tracker.as_arrays().keys()


def test_a_probability_of_zero_is_no_infinite_loss():
    assert tracked("val", (1, (0.0, 0.9)), (2, (0.0, 0.95))).best_step == 2


@pytest.mark.parametrize(
    ("steps", "every", "at"), [(9, 2, [2, 4, 6, 8, 9]), (6, 3, [3, 6]), (5, 9, [5])]
)
def test_evaluations_come_at_regular_steps_and_at_the_last(steps, every, at, tmp_path):
    of_config = config("all", steps, every)
    assert [step for step in range(1, steps + 1) if is_evaluation_due(step, of_config)] == at
    assert evaluations_per_fold(of_config) == {"last": 1, "test-best": len(at), "val": len(at)}


def test_evaluate_every_is_obeyed(everything, tmp_path):
    assert [done_of(everything)["selection"][rule]["evaluations"] for rule in ("last", "val")] == [
        1,
        5,
    ]
    sparse = train(people_clips(), tmp_path / "fold", config("test-best", every=5))
    assert done_of(sparse)["selection"]["test-best"]["evaluations"] == 2
    assert chosen_step(sparse, "test-best") in (5, 9)


# A planted leak.


def rows_of(clips, *subjects):
    return np.array([clip for clip, name in enumerate(clips.subjects) if name in subjects])


def with_noise(clips, numbers):
    """Other frames for some clips."""
    frames = clips.frames.copy()
    for start, length in zip(clips.starts[numbers], clips.lengths[numbers], strict=True):
        noise = np.random.default_rng(9).integers(0, 256, frames[start : start + length].shape)
        frames[start : start + length] = noise
    return dataclasses.replace(clips, frames=frames)


def test_labels_of_the_test_people_reach_test_best_alone(everything, tmp_path):
    clips = people_clips()
    labels = clips.labels.copy()
    test = fold_of(clips).test
    labels[test] = 1 - labels[test]
    other = train(dataclasses.replace(clips, labels=labels), tmp_path / "fold", config("all"))
    before, after = by_rule(everything), by_rule(other)
    assert before["last"].label != after["last"].label
    for rule in ("last", "val"):
        np.testing.assert_array_equal(before[rule].probabilities, after[rule].probabilities)
        assert chosen_step(everything, rule) == chosen_step(other, rule)
    assert chosen_step(everything, "test-best") != chosen_step(other, "test-best")
    assert not np.array_equal(before["test-best"].probabilities, after["test-best"].probabilities)
    assert same_bits(final_weights(everything), final_weights(other))


def test_frames_of_a_test_person_change_nothing_but_their_own_predictions(everything, tmp_path):
    clips = people_clips()
    (_, replaced), (_, untouched) = fold_of(clips).people
    other = train(with_noise(clips, rows_of(clips, replaced)), tmp_path / "fold", config("all"))
    before, after = by_rule(everything), by_rule(other)
    assert same_bits(final_weights(everything), final_weights(other))
    assert losses(everything.second_training) == losses(other.second_training)
    for rule in ("last", "val"):
        assert chosen_step(everything, rule) == chosen_step(other, rule)
        mine = [row for row, name in enumerate(before[rule].subject) if name == untouched]
        theirs = [row for row, name in enumerate(before[rule].subject) if name == replaced]
        assert mine and theirs
        same = before[rule].probabilities == after[rule].probabilities
        assert same[mine].all() and not same[theirs].all()


def test_held_out_people_and_test_people_never_touch_the_training_of_val(alone, tmp_path):
    clips = people_clips()
    fold = fold_of(clips)
    inner = hold_out(fold, clips.datasets, clips.subjects, clips.labels, seed=0)
    away = np.concatenate([inner.test, fold.test])
    other = train(with_noise(clips, away), tmp_path / "fold", config("val"))
    # Parameters and running statistics alike.
    assert same_bits(final_weights(alone["val"]), final_weights(other))
    assert same_bits(statistics(alone["val"]), statistics(other))
    assert losses(alone["val"]) == losses(other)
    trained_on = train(with_noise(clips, inner.train[:1]), tmp_path / "other", config("val"))
    assert not same_bits(statistics(alone["val"]), statistics(trained_on))


def statistics(directory):
    return final_weights(directory, RESTLESS, "batch_stats")


# Who is held out.


def many_people(seed=0):
    """26 people with 1 to 12 clips each, in 5 categories that some lack."""
    rng = np.random.default_rng(seed)
    subjects = [f"{person:02}" for person in range(26) for _ in range(rng.integers(1, 13))]
    return ["samm"] * len(subjects), subjects, rng.integers(0, 5, len(subjects))


def test_about_a_fifth_of_the_people_is_held_out_in_the_shares_of_the_categories():
    datasets, subjects, labels = many_people()
    for fold in make_folds(datasets, subjects)[:5]:
        inner = hold_out(fold, datasets, subjects, labels, seed=0)
        assert inner.name == fold.name and len(inner.people) == 5  # of 25
        assert {("samm", subjects[clip]) for clip in inner.test} == set(inner.people)
        assert not {subjects[clip] for clip in inner.train} & {name for _, name in inner.people}
        assert sorted([*inner.train, *inner.test]) == fold.train.tolist()
        assert inner.test.dtype == fold.test.dtype == np.int32
        share = np.bincount(labels[inner.test], minlength=5) / np.bincount(labels[fold.train])
        assert share.min() > 0.1 and share.max() < 0.3


def test_held_out_people_are_a_function_of_seed_and_fold_and_of_no_test_label():
    datasets, subjects, labels = many_people()
    first, second = make_folds(datasets, subjects)[:2]

    def people(fold=first, seed=0, of_labels=labels):
        return hold_out(fold, datasets, subjects, of_labels, seed).people

    assert people() == people()
    changed = labels.copy()
    changed[first.test] = 4 - changed[first.test]
    assert people(of_labels=changed) == people()
    assert len({people(seed=seed) for seed in range(6)}) > 3
    assert people(second) != people()


def test_one_of_two_people_is_held_out_and_nobody_of_one():
    subjects = ["a", "a", "b", "c", "c", "c"]
    fold = make_folds(["samm"] * 6, subjects)[0]
    assert len(hold_out(fold, ["samm"] * 6, subjects, [0, 1, 0, 1, 0, 1], 0).people) == 1
    fold = make_folds(["samm"] * 3, subjects[:3])[0]
    with pytest.raises(UserError, match=r"fold a trains on one person only.*--select=last"):
        hold_out(fold, ["samm"] * 3, subjects[:3], [0, 1, 0], 0)


def test_between_corpora_people_of_the_training_corpus_are_held_out(tmp_path):
    clips = random_clips(people=3, each=2, corpora=("casme2", "samm"), split="corpora")
    fold = make_folds(clips.datasets, clips.subjects, "corpora")[1]
    assert fold.name == "samm_to_casme2"
    directory = train(clips, tmp_path / "fold", config("val"), fold)
    (held_out,) = done_of(directory)["held_out"]
    assert held_out.split()[0] == "samm"
    (table,) = by_rule(directory).values()
    assert set(table.dataset) == {"casme2"} and len(table) == 6


# Kills.


class Stopped(Exception):
    pass


def stopping_after(steps):
    """Stops once so many steps are done, those restored apart."""
    left = [steps]

    def progress(steps_done, metrics):
        left[0] -= steps_done if metrics else 0
        if left[0] <= 0:
            raise Stopped

    return progress


def assert_same_results(first, second):
    assert first.predictions.read_bytes() == second.predictions.read_bytes()
    assert same_bits(final_weights(first), final_weights(second))
    a, b = np.load(first.outputs), np.load(second.outputs)
    assert a.files == b.files and all(np.array_equal(a[name], b[name]) for name in a.files)
    for key in ("selection", "held_out", "final_losses", "steps"):
        assert done_of(first)[key] == done_of(second)[key]
    assert losses(first) == losses(second)
    assert losses(first.second_training) == losses(second.second_training)


# Checkpoints are at 4 and 8 of each training and at the end of the first.
@pytest.mark.parametrize(("stopped_at", "resumes_from"), [(3, 0), (6, 4), (12, 9), (18, 9 + 8)])
def test_a_stopped_fold_resumes_to_the_same_bits(stopped_at, resumes_from, everything, tmp_path):
    path = tmp_path / "fold"
    with pytest.raises(Stopped):
        train(people_clips(), path, config("all"), progress=stopping_after(stopped_at))
    assert not FoldDirectory(path).is_finished()
    resumed = train(people_clips(), path, config("all"))
    assert done_of(resumed)["resumed_from_step"] == resumes_from
    assert_same_results(everything, resumed)


def test_a_fold_stopped_again_and_again_resumes_to_the_same_bits(everything, tmp_path):
    path, kills = tmp_path / "fold", 0
    while not FoldDirectory(path).is_finished():
        try:
            train(people_clips(), path, config("all"), progress=stopping_after(5))
        except Stopped:
            kills += 1
        assert kills < 10
    assert kills > 3
    assert_same_results(everything, FoldDirectory(path))


@pytest.mark.parametrize("saved", [0, 1, 2, 3])
def test_stopped_between_the_evaluations_and_the_state_of_a_checkpoint(
    saved, everything, tmp_path, monkeypatch
):
    path, real, left = tmp_path / "fold", ocp.CheckpointManager.save, [saved]

    def save(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise OSError("no room")
        return real(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(UserError, match="cannot be written"):
        patch.setattr(ocp.CheckpointManager, "save", save)
        train(people_clips(), path, config("all"))
    assert_same_results(everything, train(people_clips(), path, config("all")))


def test_a_checkpoint_without_its_evaluations_is_one_sentence(tmp_path):
    path = tmp_path / "fold"
    with pytest.raises(Stopped):
        train(people_clips(), path, config("test-best"), progress=stopping_after(6))
    shutil.rmtree(path / "checkpoints" / "evaluations")
    with pytest.raises(UserError, match=r"checkpoint .*/4 cannot be read"):
        train(people_clips(), path, config("test-best"))


def test_a_finished_fold_keeps_weights_and_logs_alone(everything):
    assert [path.name for path in everything.checkpoints.iterdir()] == ["final"]
    second = everything.second_training
    assert not second.checkpoints.exists()
    assert second.log.exists() and any(second.tensorboard.iterdir())
    assert done_of(everything)["seconds"] == pytest.approx(
        sum(row["seconds"] for part in (everything, second) for row in read_log(part.log))
    )
