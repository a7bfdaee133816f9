"""The whole network: its size, its initial state, its invariants."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.config import PRESETS, ModelConfig
from fdp_jax.losses import rank_loss
from fdp_jax.models.fdp import FDP
from fdp_jax.rng import Purpose, derive_key, fold_key
from tests.helpers.tiny import CHANGES
from tests.models.test_backbones import SMALL

# One stage, one block of each kind: what holds for it holds for the rest, and it compiles at once.
TINY = ModelConfig(
    stem_channels=8, local_channels=(16,), attention_channels=(16,), output_channels=(24,),
    key_value_windows=(2,), local_blocks=1, construction_channels=(4, 8), pooled_channels=3,
    recognition_units=16,
)  # fmt: skip
CLIPS = np.random.default_rng(0).uniform(-1, 1, (4, 3, 16, 16, 3)).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("config", "options"))
def variables(config=TINY, seed=0, options=()):
    key = jax.random.key(seed)
    return FDP(config, 5, **dict(options)).init(key, jnp.asarray(CLIPS[:1]), train=False)


def random_weights():
    """As after some training: every kernel, bias and statistic at work."""
    rng = np.random.default_rng(5)

    def fill(leaf):
        value = rng.uniform(0.05, 0.3, leaf.shape).astype(np.float32)
        return value * rng.choice([-1.0, 1.0], leaf.shape) if leaf.ndim > 1 else value

    return jax.tree.map(fill, variables())


@functools.partial(jax.jit, static_argnames=("config", "train", "options"))
def outputs(config, weights, clips, train=False, options=()):
    model = FDP(config, 5, **dict(options))
    return model.apply(weights, clips, train=train, mutable=["batch_stats"])[0]


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
        assert np.abs(values[1] - values[0]).max() > 1e-5


def test_a_clip_does_not_see_its_neighbours_in_evaluation():
    weights = random_weights()
    alone = outputs(TINY, weights, CLIPS[:1])
    among = outputs(TINY, weights, CLIPS)
    np.testing.assert_allclose(alone.logits[0], among.logits[0], rtol=1e-4, atol=1e-6)


def test_running_statistics_move_only_in_training():
    model, weights = FDP(TINY, 5), variables()
    rngs = {"drop_path": jax.random.key(0)}

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
        jax.random.key_data(derive_key(fold_key(seed, fold), purpose, step)).tobytes()
        for seed in (0, 1)
        for fold in ("006", "007")
        for purpose in Purpose
        for step in (0, 1)
    }
    assert len(keys) == 2 * 2 * len(Purpose) * 2


def test_kernels_start_from_a_truncated_normal_and_biases_from_zero():
    config = dataclasses.replace(TINY, initial_std=0.05)
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables(config)["params"]):
        name = "/".join(key.key for key in path)
        if name.endswith("kernel") and "TemporalPooling" not in name:
            assert np.abs(leaf).max() <= 0.1, name
            assert leaf.size < 200 or 0.035 < leaf.std() < 0.055, name
        elif name.endswith("bias") and "FrameFeature" not in name:
            assert (leaf == 0).all(), name


def test_temporal_pooling_starts_with_a_std_of_3_and_zero_mean_over_time():
    config = dataclasses.replace(TINY, pooled_channels=64)
    kernel = np.asarray(variables(config)["params"]["TemporalPooling"]["Conv3D"]["kernel"])
    drawn = 3.0 * 0.88 * (2 / 3) ** 0.5  # cut at two deviations, without the mean of three frames
    assert kernel.std() == pytest.approx(drawn, rel=0.05)
    np.testing.assert_allclose(kernel.mean(axis=2), 0.0, atol=1e-6)
    still = outputs(TINY, variables(), np.repeat(CLIPS[:, :1], 3, axis=1))
    np.testing.assert_allclose(still.logits, 0.0, atol=1e-4)


@pytest.mark.parametrize("slope", [1.0, 3.0])
@pytest.mark.parametrize("train", [True, False])
def test_rank_scores_start_at_their_best_constant_with_a_gradient(train, slope):
    config = dataclasses.replace(TINY, stochastic_depth=0.0)
    options = (("rank_slope", slope),)
    weights = variables(config, options=options)
    targets = slope * np.arange(3)
    best = min(np.abs(targets - constant).sum() for constant in targets)

    def loss(params):
        clips = jnp.asarray(CLIPS)
        out = outputs(config, weights | {"params": params}, clips, train, options)
        return rank_loss(out.rank_scores, slope).mean(), out

    gradient, out = jax.grad(loss, has_aux=True)(weights["params"])
    assert float(loss(weights["params"])[0]) == pytest.approx(best, rel=0.02)
    np.testing.assert_allclose(out.rank_scores, targets.mean(), atol=0.2)
    assert np.abs(gradient["RankScorer"]["u"]).max() > 1e-3
    assert np.abs(gradient["FrameFeature"]["kernel"]).max() > 0


def test_features_start_without_bias_if_there_is_no_rank_scorer():
    weights = variables(options=(("ablate", "no_rank"),))["params"]
    assert "RankScorer" not in weights
    np.testing.assert_array_equal(weights["FrameFeature"]["bias"], 0.0)
    assert np.abs(variables()["params"]["FrameFeature"]["bias"]).max() > 0


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    "backbone",
    ["fdp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("conv", "resnet18"))],
)
def test_batched_products_give_the_same_outputs(backbone, train):
    config = dataclasses.replace(TINY, stochastic_depth=0.0, resnet_channels=(8, 16))
    options = (("backbone", backbone),)
    weights = variables(config, options=options)
    usual = outputs(config, weights, CLIPS, train, options)
    batched = outputs(config, weights, CLIPS, train, (*options, ("batched", True)))
    for array, other in zip(jax.tree.leaves(batched), jax.tree.leaves(usual), strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-3, atol=1e-3)


def test_the_order_of_the_frames_matters():
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
    assert {f.name for f in dataclasses.fields(ModelConfig)} == {*SIZES, *SMALL} | elsewhere
