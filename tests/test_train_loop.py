"""Training: options are obeyed, the left-out person is never seen, resuming is exact."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax import evaluate, fold_training, train_loop
from fdp_jax.checkpoints import Checkpoints, load_final_weights
from fdp_jax.config import TrainConfig
from fdp_jax.evaluate import pack_clips
from fdp_jax.rng import fold_key
from fdp_jax.train_step import create_train_state, train_step
from fdp_jax.training_log import read_log
from fdp_jax.workdir import FINAL_WEIGHTS, FoldDirectory
from tests.helpers.tiny import (
    CHANGES,
    TINY,
    final_weights,
    make_tiny_plan,
    random_clips,
    replaced,
    same_bits,
    train_plan,
)


def train(clips, workdir, fold="p0", config=TINY, progress=lambda steps, metrics: None, **options):
    """Trains one fold; returns its folder."""
    options = {"log_every": 2, "checkpoint_every": 3, "folds": (fold,)} | options
    plan = make_tiny_plan(workdir, clips, config, **options)
    train_plan(plan, progress)
    return plan.tasks[0].directory


def fold_path(workdir) -> FoldDirectory:
    return FoldDirectory(workdir / "seed_0" / "folds" / "p0")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(random_clips(), tmp_path_factory.mktemp("fold"))


def program(config: TrainConfig) -> str:
    """What a training computes, from the first weights on, as a text of its operations."""
    corpus, key = pack_clips(random_clips()), fold_key(0, "p0")
    start = jax.make_jaxpr(lambda key: create_train_state(config, 2, key))(key)
    indices = np.zeros((1, config.batch_size), np.int32)
    keys = jnp.stack([key])
    state = jax.eval_shape(jax.vmap(lambda key: create_train_state(config, 2, key)), keys)
    step = jax.make_jaxpr(lambda *inputs: train_step(*inputs, config=config, classes=2))(
        state, corpus, indices, keys
    )
    return "\n".join(str(part) for part in (start, start.consts, step, step.consts))


@pytest.fixture(scope="module")
def unchanged():
    return program(TINY)


@pytest.mark.parametrize("option", CHANGES)
def test_option_changes_what_is_computed(option, unchanged):
    assert program(replaced(TINY, option, CHANGES[option])) != unchanged


def test_cosine_falls_over_the_steps_asked_for():
    cosine = replaced(TINY, "optimizer.schedule", "cosine")
    assert program(cosine) != program(replaced(cosine, "steps", 50))


def test_every_option_of_the_training_has_a_test():
    groups = ("loss", "optimizer", "clip")
    tested = {option for option in CHANGES if option.split(".")[0] in groups}
    assert tested == {
        f"{group}.{field.name}"
        for group in groups
        for field in dataclasses.fields(getattr(TINY, group))
    } - {"clip.last_frame"}  # decides which frames are read; tests/test_composites.py


def test_same_seed_same_bits_and_another_seed_or_fold_other_bits(trained, tmp_path):
    again = train(random_clips(), tmp_path / "again")
    assert same_bits(final_weights(trained), final_weights(again))
    assert trained.predictions.read_bytes() == again.predictions.read_bytes()
    for name, changed in {"seed": {"seed": 1}, "fold": {"fold": "p1"}}.items():
        other = train(random_clips(), tmp_path / name, **changed)
        assert not same_bits(final_weights(trained), final_weights(other))


def test_left_out_person_never_touches_training(trained, tmp_path):
    clips = random_clips()
    frames, labels = clips.frames.copy(), clips.labels.copy()
    for number, subject in enumerate(clips.subjects):
        if subject == "p0":
            start, length = clips.starts[number], clips.lengths[number]
            noise = np.random.default_rng(9).integers(0, 256, frames[start : start + length].shape)
            frames[start : start + length] = noise
            labels[number] = 1 - labels[number]
    replaced_clips = dataclasses.replace(clips, frames=frames, labels=labels)
    other = train(replaced_clips, tmp_path)
    assert same_bits(final_weights(trained), final_weights(other))
    assert trained.predictions.read_bytes() != other.predictions.read_bytes()


class Stopped(Exception):
    pass


def test_stopped_training_resumes_to_the_same_bits(trained, tmp_path):
    seen = []

    def stop_after_four(steps_done, metrics):
        seen.append(steps_done)
        if sum(seen) >= 4:
            raise Stopped

    with pytest.raises(Stopped):
        train(random_clips(), tmp_path, progress=stop_after_four)
    assert not fold_path(tmp_path).is_finished()
    seen.clear()
    resumed = train(random_clips(), tmp_path, progress=lambda n, metrics: seen.append(n))
    assert seen[0] == 3 and sum(seen) == TINY.steps  # from the checkpoint of step 3
    assert_same_results(trained, resumed)
    assert json.loads(resumed.done.read_text())["resumed_from_step"] == 3


def assert_same_results(first, second):
    assert same_bits(final_weights(first), final_weights(second))
    assert first.predictions.read_bytes() == second.predictions.read_bytes()
    losses = [[(row["step"], row["total"]) for row in read_log(d.log)] for d in (first, second)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "broken",
    ["predict_clips", "finish", "write_atomically", "write_done", "drop_training_states"],
)
def test_stopped_between_two_files_at_the_end_resumes_to_the_same_bits(
    broken, trained, tmp_path, monkeypatch
):
    def stop(*arguments, **options):
        raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        owners = (train_loop, fold_training, Checkpoints)
        patch.setattr(next(owner for owner in owners if hasattr(owner, broken)), broken, stop)
        train(random_clips(), tmp_path)
    finished = fold_path(tmp_path).is_finished()
    assert finished == (broken == "drop_training_states")  # all that is read is there by then
    if not finished:
        assert_same_results(trained, train(random_clips(), tmp_path))


def test_fold_that_another_process_trains_is_refused(tmp_path):
    with (
        fold_path(tmp_path).locked(),
        pytest.raises(UserError, match=r"another process is training the fold .*p0"),
    ):
        train(random_clips(), tmp_path)
    train(random_clips(), tmp_path)  # nothing of the lock is left


def test_outputs_that_are_not_finite_leave_no_prediction(tmp_path, monkeypatch):
    real = evaluate._as_arrays

    def torn(batch, outputs):
        return {**real(batch, outputs), "rank_scores": np.full((4, 4), np.nan)}

    monkeypatch.setattr(evaluate, "_as_arrays", torn)
    with pytest.raises(UserError, match="outputs of fold p0 are not finite after step 6"):
        train(random_clips(), tmp_path)
    assert not fold_path(tmp_path).predictions.exists()


def test_checkpoint_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where a folder should be")
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(UserError, match=r"checkpoint cannot be written to .*checkpoints"):
        checkpoints.save(create_train_state(TINY, 2, fold_key(0, "p0")), {})


def test_finished_fold_leaves_what_the_contract_says(trained):
    assert trained.is_finished()
    assert [path.name for path in trained.checkpoints.iterdir()] == [FINAL_WEIGHTS]
    assert [row["step"] for row in read_log(trained.log)] == [2, 3, 4, 6]
    assert any(trained.tensorboard.iterdir())
    with np.load(trained.outputs, allow_pickle=False) as outputs:
        assert outputs["frames"].shape == (3, 4, 16, 16) and outputs["frames"].dtype == np.uint8
        assert outputs["target"].shape == outputs["dynamic_image"].shape == (3, 16, 16)
        assert outputs["rank_scores"].shape == (3, 4)
    done = json.loads(trained.done.read_text())
    assert (done["fold"], done["n_clips"], done["steps"]) == ("p0", 3, TINY.steps)
    assert done["seconds"] > 0 and done["peak_memory_bytes"] > 0


def test_log_every_is_obeyed(tmp_path):
    directory = train(random_clips(), tmp_path, log_every=6, checkpoint_every=100)
    assert [row["step"] for row in read_log(directory.log)] == [6]


def test_log_averages_the_steps_since_the_last_line(trained, tmp_path):
    every = train(random_clips(), tmp_path, log_every=1, checkpoint_every=100)
    single = [row["cross_entropy"] for row in read_log(every.log)]
    rows = read_log(trained.log)
    expected = [np.mean(single[:2]), single[2], single[3], np.mean(single[4:])]
    np.testing.assert_allclose([row["cross_entropy"] for row in rows], expected, rtol=1e-6)


def test_checkpoint_cut_short_is_one_sentence(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    state = create_train_state(TINY, 2, fold_key(0, "p0"))
    checkpoints.save(state.replace(step=state.step + 3), {})
    for path in (tmp_path / "3").rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=r"checkpoint .*/3 cannot be read.*delete that folder"):
        Checkpoints(tmp_path).restore(state, 3)


def test_final_weights_that_are_missing_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no final weights"):
        load_final_weights(tmp_path, {})


def test_diverging_loss_is_one_sentence(tmp_path):
    config = replaced(TINY, "optimizer.learning_rate", 1e30)
    with pytest.raises(UserError, match=r"loss of fold p0 is not finite.*learning_rate"):
        train(random_clips(), tmp_path, config=config)


def test_it_learns_which_way_the_light_changes(tmp_path):
    clips = random_clips(people=2, each=4)
    frames = np.zeros_like(clips.frames)
    for start, length, label in zip(clips.starts, clips.lengths, clips.labels, strict=True):
        light = np.linspace(60, 180, length)[:: 1 if label else -1]
        ramp = np.arange(72)[:, None] / 2  # a clip that is flat has no dynamic image
        frames[start : start + length] = (light[:, None, None] + ramp)[..., None]
    clips = dataclasses.replace(clips, frames=frames)
    config = replaced(TINY, "steps", 150)
    directory = train(clips, tmp_path, config=config, log_every=1, checkpoint_every=1000)
    rows = read_log(directory.log)
    assert rows[0]["cross_entropy"] > 0.4
    assert rows[-1]["cross_entropy"] < 0.1
