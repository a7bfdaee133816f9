"""The network: its size, its invariants, and its fast forms against plain ones."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.config import PRESETS, ModelConfig
from fdp_jax.models.fdp import FDP
from fdp_jax.models.initialisation import initial_variables
from fdp_jax.models.layers import (
    DropPath,
    max_pool,
    strided_patches,
)
from fdp_jax.rng import Purpose, fold_key, stream
from tests.helpers.tiny import CHANGES
from tests.models.test_backbones import SMALL

# One stage, one block of each kind: what holds for it holds for the rest, and it compiles at once.
TINY = ModelConfig(
    stem_channels=8, local_channels=(16,), attention_channels=(16,), output_channels=(24,),
    key_value_windows=(2,), local_blocks=1, construction_channels=(4, 8), pooled_channels=3,
    recognition_units=16,
)  # fmt: skip
CLIPS = np.random.default_rng(0).uniform(-1, 1, (4, 3, 16, 16, 3)).astype(np.float32)


def variables(config=TINY, seed=0, clips=CLIPS):
    return initial_variables(FDP(config, 5), jax.random.key(seed), jnp.asarray(clips[:1]))


def random_weights():
    """As after some training: every kernel, bias and statistic at work."""
    rng = np.random.default_rng(5)

    def fill(leaf):
        value = rng.uniform(0.05, 0.3, leaf.shape).astype(np.float32)
        return value * rng.choice([-1.0, 1.0], leaf.shape) if leaf.ndim > 1 else value

    return jax.tree.map(fill, variables())


def outputs(config, weights, clips, **options):
    return jax.jit(lambda v, x: FDP(config, 5).apply(v, x, train=False))(weights, clips)


def test_transformer_of_the_paper_has_exactly_its_parameters():
    model = FDP(PRESETS["paper"].model, 5)
    clips = jnp.zeros((1, 8, 64, 64, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), clips, train=False))["params"]
    sizes = {
        name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in shapes.items()
    }
    assert sizes["LocalGlobalTransformer"] == 14_820_128
    assert sizes["FrameFeature"] == 1024 * 4096 + 4096
    assert sizes["RankScorer"] == 4096
    assert sizes["TemporalPooling"] == 8 * 3 * 3 * 8 + 8
    assert sizes["RecognitionHead"] == 3528 * 256 + 256 + 256 * 5 + 5


@pytest.mark.parametrize("name", PRESETS)
def test_outputs_of_every_preset_have_their_shapes(name):
    config = PRESETS[name]
    clips = jnp.zeros((2, config.clip.frames, config.clip.crop, config.clip.crop, 3))
    model = FDP(config.model, 7)

    def forward(key):
        return model.apply(model.init(key, clips, train=False), clips, train=False)

    out = jax.eval_shape(forward, jax.random.key(0))
    assert out.logits.shape == (2, 7)
    assert out.dynamic_image.shape == (2, 64, 64)
    assert out.rank_scores.shape == (2, 8)
    assert out.features.shape == (2, 8, 4096)


def test_identical_clips_give_identical_outputs_wherever_they_stand():
    weights = random_weights()
    batch = np.stack([CLIPS[0], CLIPS[1], CLIPS[0], CLIPS[0]])
    out = outputs(TINY, weights, batch)
    for name in ("logits", "dynamic_image", "rank_scores", "features"):
        values = np.asarray(getattr(out, name))
        # To the last bit but for one product of a matrix and a vector, which XLA cuts in lanes.
        np.testing.assert_allclose(values[2], values[0], rtol=1e-6)
        np.testing.assert_allclose(values[3], values[0], rtol=1e-6)
        assert np.abs(values[1] - values[0]).max() > 1e-4


def test_a_clip_does_not_see_its_neighbours_in_evaluation():
    weights = random_weights()
    alone = outputs(TINY, weights, CLIPS[:1])
    among = outputs(TINY, weights, CLIPS)
    np.testing.assert_allclose(alone.logits[0], among.logits[0], rtol=1e-4, atol=1e-6)


def test_running_statistics_move_only_in_training():
    model, weights = FDP(TINY, 5), variables()
    rngs = {"stochastic_depth": jax.random.key(0)}

    @jax.jit
    def statistics_after_training(v, x):
        return model.apply(v, x, train=True, mutable=["batch_stats"], rngs=rngs)[1]["batch_stats"]

    moved = statistics_after_training(weights, CLIPS)
    old = weights["batch_stats"]
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), old, moved)
    assert all(jax.tree.leaves(changed))
    _, after = model.apply(weights, CLIPS, train=False, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, old, after["batch_stats"])


def test_two_layers_two_seeds_and_two_streams_differ():
    kernels = [
        np.asarray(leaf).ravel()
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables()["params"])
        if path[-1].key == "kernel"
    ]
    starts = {tuple(kernel[:8]) for kernel in kernels}
    assert len(starts) == len(kernels)
    first, second = (variables(seed=seed)["params"]["FrameFeature"] for seed in (0, 1))
    assert not np.array_equal(*(part["kernel"] for part in (first, second)))
    keys = {
        jax.random.key_data(stream(fold_key(seed, fold), purpose, step)).tobytes()
        for seed in (0, 1)
        for fold in ("006", "007")
        for purpose in Purpose
        for step in (0, 1)
    }
    assert len(keys) == 2 * 2 * len(Purpose) * 2


def test_strided_patches_are_those_of_a_convolution_of_stride_two():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 3, 4)).astype(np.float32)
    expected = jax.lax.conv_general_dilated(
        x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(strided_patches(x) @ kernel.reshape(27, 4), expected, atol=1e-4)


def test_max_pool_cuts_off_what_fills_no_window():
    x = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    np.testing.assert_array_equal(max_pool(x, 3)[0, :, :, 0], [[18, 21], [42, 45]])


@pytest.mark.parametrize("inner", [(2, 2, 1), (2, 2)], ids=["map", "tokens"])
def test_stochastic_depth_skips_whole_clips_and_keeps_the_mean(inner):
    module = DropPath(rate=0.4, frames=3)
    branch = jnp.ones((600, *inner))
    kept = module.apply({}, branch, train=True, rngs={"stochastic_depth": jax.random.key(0)})
    by_clip = np.asarray(kept).reshape(200, 3 * 4)
    assert (by_clip == by_clip[:, :1]).all()
    assert set(np.unique(by_clip.round(4))) == {0.0, np.float32(1 / 0.6).round(4)}
    assert 0.5 < (by_clip[:, 0] > 0).mean() < 0.7
    np.testing.assert_array_equal(module.apply({}, branch, train=False), branch)


def test_training_starts_blind_to_what_does_not_change():
    weights = variables()
    kernel = np.asarray(weights["params"]["TemporalPooling"]["Convolution3D"]["kernel"])
    assert kernel.std() > 0.5
    np.testing.assert_allclose(kernel.mean(axis=2), 0.0, atol=1e-6)
    still = outputs(TINY, weights, np.repeat(CLIPS[:, :1], 3, axis=1))
    np.testing.assert_allclose(still.logits, 0.0, atol=1e-9)
    np.testing.assert_array_equal(still.rank_scores, 0.0)


def test_frames_are_told_apart_by_their_order():
    weights = random_weights()
    forward, backward = (outputs(TINY, weights, c).logits for c in (CLIPS, CLIPS[:, ::-1]))
    assert not np.allclose(forward, backward, rtol=1e-5, atol=0)


SIZES = {
    "stem_channels": 16, "local_channels": (24,), "attention_channels": (8,),
    "output_channels": (32,), "key_value_windows": (1,), "local_blocks": 2, "global_blocks": 2,
    "head_channels": 4, "local_mlp_ratio": 1, "global_mlp_ratio": 2, "pooled_channels": 5,
    "recognition_units": 9, "construction_channels": (4,),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_every_size_is_obeyed(name):
    def shapes(config):
        return jax.tree.map(jnp.shape, jax.eval_shape(lambda: variables(config)["params"]))

    assert shapes(dataclasses.replace(TINY, **{name: SIZES[name]})) != shapes(TINY)


def test_every_option_of_the_model_has_a_test():
    elsewhere = {name.removeprefix("model.") for name in CHANGES if name.startswith("model.")}
    elsewhere.add("forms")  # tests/models/test_convolutions.py
    assert {f.name for f in dataclasses.fields(ModelConfig)} == {*SIZES, *SMALL} | elsewhere
