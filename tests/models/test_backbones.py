"""The backbones of Table 10: their exact sizes, each against a plain restatement, in training."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf, softmax

from datasets.errors import UserError
from fdp_jax.config import PRESETS, preset, validate
from fdp_jax.input_pipeline import GREY_WEIGHTS
from fdp_jax.models.backbones import make_backbone
from fdp_jax.models.fdp import FDP, count_backbone_params, count_params_by_module, make_model
from fdp_jax.models.layers import Layers
from fdp_jax.models.local_global_transformer import LocalRelationalAggregator
from fdp_jax.options import parse_train_options
from tests.helpers.tiny import TINY
from tests.test_ablations import train_and_report

TABLE_10 = {
    "fdp": 14_820_128,
    "conv": 27_140_768,
    "conv_bn_relu_pointwise": 28_713_248,
    "resnet18": 13_271_488,
    "vit_base": 88_389_376,
}
SMALL = {
    "resnet_channels": (4, 8),
    "vit_patch": 8,
    "vit_channels": 12,
    "vit_blocks": 2,
    "vit_heads": 3,
    "vit_mlp_ratio": 2,
}
MODEL = dataclasses.replace(TINY.model, **SMALL)
FOREIGN = ("resnet18", "vit_base")
IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)


def network(backbone, model=MODEL, train=False):
    return make_backbone(Layers(model, frames=2, train=train), backbone, "")


def random_variables(module, *inputs):
    """As after some training: no weight or statistic is 0 or 1."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs))
    rng = np.random.default_rng(3)

    def fill(path, leaf):
        positive = path[-1].key in ("scale", "var")
        return rng.uniform(0.5 if positive else -0.5, 1.5 if positive else 0.5, leaf.shape)

    return jax.tree_util.tree_map_with_path(lambda *leaf: np.float32(fill(*leaf)), shapes)


@pytest.mark.parametrize("backbone", TABLE_10)
def test_parameters_are_those_of_table_10(backbone):
    config = dataclasses.replace(preset("paper"), backbone=backbone)
    assert count_backbone_params(config) == TABLE_10[backbone]


def test_the_foreign_backbones_are_counted_with_the_projection():
    paper = preset("paper")
    resnet, vit = (
        count_params_by_module(dataclasses.replace(paper, backbone=name), 5) for name in FOREIGN
    )
    assert resnet["FrameFeature"] == 512 * 4096 + 4096
    assert vit["FrameFeature"] == 768 * 4096 + 4096
    assert resnet["ResNet18"] == 13_271_488 - 512 * 4096 - 4096
    assert vit["VisionTransformer"] == 88_389_376 - 768 * 4096 - 4096


@pytest.mark.parametrize("backbone", TABLE_10)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_takes_every_backbone(name, backbone):
    config = dataclasses.replace(PRESETS[name], backbone=backbone)
    validate(config)
    model = make_model(config, 7)
    assert model.backbone == backbone
    clips = jnp.zeros((2, 8, 64, 64, 3))

    def forward(key):
        return model.apply(model.init(key, clips, train=False), clips, train=False)

    out = jax.eval_shape(forward, jax.random.key(0))
    assert out.features.shape == (2, 8, 4096)
    assert out.logits.shape == (2, 7) and out.dynamic_image.shape == (2, 64, 64)


@pytest.mark.parametrize("name", SMALL)
def test_every_size_is_obeyed(name):
    def shapes(model):
        backbone = "resnet18" if name.startswith("resnet") else "vit_base"
        made = jax.eval_shape(lambda: random_variables(network(backbone, model), IMAGES))
        return jax.tree.map(jnp.shape, made)

    default = dataclasses.replace(MODEL, **{name: getattr(PRESETS["paper"].model, name)})
    if name != "vit_heads":
        assert shapes(default) != shapes(MODEL)
    else:  # which cut the same kernels in other pieces
        module, other = network("vit_base"), network("vit_base", default)
        weights = random_variables(module, IMAGES)
        outputs = [part.apply(weights, IMAGES) for part in (module, other)]
        assert not np.allclose(*outputs, rtol=1e-3)


@pytest.mark.parametrize("backbone", FOREIGN)
def test_the_foreign_backbones_see_the_grey_that_the_dynamic_image_is_made_of(backbone):
    module = network(backbone)
    weights = random_variables(module, IMAGES)
    grey = np.repeat((IMAGES @ np.float32(GREY_WEIGHTS))[..., None], 3, axis=-1)
    colour, without = (module.apply(weights, images) for images in (IMAGES, grey))
    np.testing.assert_allclose(colour, without, rtol=1e-4, atol=1e-5)
    swapped = module.apply(weights, IMAGES[..., ::-1])
    assert not np.allclose(colour, swapped, rtol=1e-2)


def batch_norm(x, weights, statistics, name):
    scale, bias = (weights[name][key] for key in ("scale", "bias"))
    mean, var = (statistics[name][key] for key in ("mean", "var"))
    return (x - mean) / np.sqrt(var + 1e-5) * scale + bias


def convolve(x, kernel, stride=1):
    """Zero-padded convolution, one window at a time."""
    side = kernel.shape[0]
    padded = np.pad(x, ((0, 0), *[(side // 2, side // 2)] * 2, (0, 0)))
    out = -(-x.shape[1] // stride)
    result = np.zeros((len(x), out, out, kernel.shape[-1]))
    for row in range(out):
        for column in range(out):
            y, x0 = row * stride, column * stride
            window = padded[:, y : y + side, x0 : x0 + side]
            result[:, row, column] = np.tensordot(window, kernel, 3)
    return result


def kernel_of(weights, name):
    return weights[name]["kernel"]


def plain_resnet(images, weights, statistics):
    x = convolve((images @ GREY_WEIGHTS)[..., None], kernel_of(weights, "Stem"), 2)
    x = np.maximum(batch_norm(x, weights, statistics, "StemNorm"), 0)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))  # of what is never negative
    x = np.max([padded[:, y : y + 8 : 2, z : z + 8 : 2] for y in range(3) for z in range(3)], 0)
    for name, stride in (
        ("Stage1Block1", 1), ("Stage1Block2", 1), ("Stage2Block1", 2), ("Stage2Block2", 1),
    ):  # fmt: skip
        w, s = weights[name], statistics[name]
        y = batch_norm(convolve(x, kernel_of(w, "Conv1"), stride), w, s, "Norm1")
        y = batch_norm(convolve(np.maximum(y, 0), kernel_of(w, "Conv2")), w, s, "Norm2")
        if name == "Stage2Block1":
            shortcut = x[:, ::2, ::2] @ kernel_of(w, "Shortcut")[0, 0]
            x = batch_norm(shortcut, w, s, "ShortcutNorm")
        else:
            assert "Shortcut" not in w
        x = np.maximum(x + y, 0)
    return x.mean(axis=(1, 2))


def test_resnet_is_its_plain_restatement():
    module = network("resnet18")
    variables = random_variables(module, IMAGES)
    expected = plain_resnet(IMAGES, variables["params"], variables["batch_stats"])
    assert expected.shape == (4, 8) and (expected > 0).any()
    got = module.apply(variables, IMAGES)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def layer_norm(x, weights):
    centred = x - x.mean(axis=-1, keepdims=True)
    x = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
    return x * weights["scale"] + weights["bias"]


def dense(x, weights):
    return x @ weights["kernel"] + weights.get("bias", 0)


def plain_vision_transformer(image, weights, side, heads):
    """One image, its patches and heads one after the other."""
    grey = image @ GREY_WEIGHTS
    starts = range(0, len(grey), side)
    tokens = [grey[y : y + side, x : x + side].ravel() for y in starts for x in starts]
    tokens = dense(np.array(tokens), weights["PatchEmbedding"])
    x = np.concatenate([weights["class_token"][0], tokens]) + weights["position_embedding"]
    for number in (1, 2):
        w = weights[f"Block{number}"]
        normed = layer_norm(x, w["AttentionNorm"])
        q, k, v = (
            np.split(dense(normed, w["Attention"][name]), heads, axis=1)
            for name in ("Query", "Key", "Value")
        )
        attended = [
            softmax(a @ b.T / np.sqrt(a.shape[1]), axis=1) @ c
            for a, b, c in zip(q, k, v, strict=True)
        ]
        x = x + dense(np.concatenate(attended, axis=1), w["Attention"]["Output"])
        hidden = dense(layer_norm(x, w["MlpNorm"]), w["Hidden"])
        x = x + dense(hidden * (1 + erf(hidden / np.sqrt(2))) / 2, w["Output"])
    return layer_norm(x[0], weights["Norm"])


def test_vision_transformer_is_its_plain_restatement():
    module = network("vit_base")
    weights = random_variables(module, IMAGES)["params"]
    assert "bias" not in weights["Block1"]["Attention"]["Query"]
    expected = [plain_vision_transformer(image, weights, 8, 3) for image in IMAGES]
    got = module.apply({"params": weights}, IMAGES)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def local_aggregator(convolution):
    layers = Layers(MODEL, frames=2, train=False)
    return LocalRelationalAggregator(layers, convolution, 16, stride=1, drop_rate=0.0)


def test_the_full_convolution_with_all_else_is_one_head_of_every_channel():
    x = np.random.default_rng(1).normal(size=(2, 4, 4, 16)).astype(np.float32)
    heads, full = local_aggregator("fdp"), local_aggregator("conv_bn_relu_pointwise")
    variables = random_variables(heads, x)
    params, statistics = (dict(variables[key]) for key in ("params", "batch_stats"))
    multi_head = params.pop("MultiHeadConv")
    kernel = multi_head["Conv"]["kernel"]  # [3, 3, 8, 2 heads x 8]
    dense_kernel = np.zeros((3, 3, 16, 16), np.float32)
    dense_kernel[:, :, :8, :8], dense_kernel[:, :, 8:, 8:] = np.split(kernel, 2, axis=-1)
    params["Conv"], params["ConvNorm"] = {"kernel": dense_kernel}, multi_head["Norm"]
    statistics["ConvNorm"] = statistics.pop("MultiHeadConv")["Norm"]
    moved = {"params": params, "batch_stats": statistics}
    np.testing.assert_allclose(full.apply(moved, x), heads.apply(variables, x), rtol=1e-4)


def test_the_plain_convolution_has_neither_norm_nor_relu_nor_pointwise():
    x = np.random.default_rng(1).normal(size=(2, 4, 4, 16)).astype(np.float32)
    module = local_aggregator("conv")
    variables = random_variables(module, x)
    params, statistics = variables["params"], variables["batch_stats"]
    assert set(params) == {"Conv", "MlpNorm", "Mlp"}
    y = x + convolve(x, kernel_of(params, "Conv"))
    z = batch_norm(y, params, statistics, "MlpNorm")
    hidden = np.maximum(dense(z, params["Mlp"]["Hidden"]), 0)
    expected = y + dense(hidden, params["Mlp"]["Output"])
    got = module.apply(variables, x)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backbone", FOREIGN)
def test_whole_clips_skip_branches_of_the_foreign_backbones_in_training(backbone):
    images = np.repeat(IMAGES[:1], 40, axis=0)  # 20 clips of 2 frames, all alike

    def train(stochastic_depth):
        model = dataclasses.replace(MODEL, stochastic_depth=stochastic_depth)
        module = network(backbone, model, train=True)
        rngs = {"drop_path": jax.random.key(0), "dropout": jax.random.key(0)}
        variables = random_variables(network(backbone), images)
        out, _ = module.apply(variables, images, rngs=rngs, mutable=["batch_stats"])
        return np.asarray(out).reshape(20, 2, -1)

    skipping = train(0.9)
    np.testing.assert_allclose(skipping[:, 0], skipping[:, 1], rtol=1e-4, atol=1e-5)
    assert np.ptp(skipping, axis=0).max() > 0.1
    assert np.ptp(train(0.0), axis=0).max() < 1e-3


def test_dropout_and_momentum_are_obeyed():
    model = dataclasses.replace(MODEL, dropout=0.5, stochastic_depth=0.0)
    dropping = network("vit_base", model, train=True)
    variables = random_variables(network("vit_base"), IMAGES)
    rngs = [{"dropout": jax.random.key(seed)} for seed in (0, 1)]
    first, second = (dropping.apply(variables, IMAGES, rngs=r) for r in rngs)
    assert not np.allclose(first, second)

    def moved(momentum):
        model = dataclasses.replace(MODEL, batch_norm_momentum=momentum, stochastic_depth=0.0)
        module = network("resnet18", model, train=True)
        start = random_variables(network("resnet18"), IMAGES)
        _, after = module.apply(start, IMAGES, mutable=["batch_stats"])
        return after["batch_stats"], start["batch_stats"]

    slow, start = moved(1.0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), slow, start)
    fast, start = moved(0.5)
    changed = jax.tree.map(lambda a, b: not np.allclose(a, b), fast, start)
    assert all(jax.tree.leaves(changed))


def test_class_token_and_positions_are_drawn_like_kernels():
    model = FDP(dataclasses.replace(MODEL, vit_channels=384, initial_std=0.05), 2, "vit_base")
    start = model.init(jax.random.key(0), jnp.zeros((1, 4, 16, 16, 3)), train=False)
    weights = start["params"]["VisionTransformer"]
    for name in ("class_token", "position_embedding"):
        drawn = np.asarray(weights[name])
        assert 0.03 < drawn.std() < 0.06 and np.abs(drawn).max() <= 0.1
    assert not np.array_equal(weights["class_token"][0, 0], weights["position_embedding"][0])


@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param(name, marks=() if name == "resnet18" else pytest.mark.slow)
        for name in TABLE_10
        if name != "fdp"
    ],
)
def test_training_and_report_with_every_backbone(backbone, tmp_path):
    config = dataclasses.replace(TINY, steps=2, model=MODEL, backbone=backbone)
    report = train_and_report(tmp_path, config)
    assert report["complete"] and 0 <= report["acc"] <= 1 and report["dic_mse"] > 0
    sizes = count_params_by_module(config, 2)
    assert report["parameters"] == {"total": sum(sizes.values()), **sizes}
    for file in ("report.md", "report.html"):
        assert f"backbone {backbone}" in (tmp_path / file).read_text()


def test_a_network_without_any_batch_normalisation_trains(tmp_path):
    config = dataclasses.replace(
        TINY, steps=2, model=MODEL, backbone="vit_base", ablate="no_dic", batch_size=3
    )
    report = train_and_report(tmp_path, config)
    assert report["complete"] and report["dic_mse"] is None


def options(*arguments):
    return parse_train_options(["--dataset=samm", *arguments], "train", "")[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backbone=resnet"], ["resnet", "fdp", "conv_bn_relu_pointwise", "vit_base"]),
        (["--backbone=vit_base", "--model.vit_patch=24"], ["--model.vit_patch=24", "crop=64"]),
        (["--backbone=vit_base", "--model.vit_heads=7"], ["vit_channels=768", "vit_heads=7"]),
        (["--backbone=vit_base", "--model.vit_blocks=0"], ["vit_blocks must be at least 1"]),
        (["--backbone=resnet18", "--model.resnet_channels="], ["resnet_channels must have"]),
        (["--backbone=conv", "--model.local_channels=12,24"], ["one entry a stage"]),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    with pytest.raises((UserError, SystemExit)) as caught:
        options(*arguments)
    assert all(word in str(caught.value) for word in words)


def test_the_option_is_read_and_the_transformers_sizes_do_not_bind_the_others():
    assert options("--backbone=conv").config.backbone == "conv"
    foreign = ["--backbone=resnet18", "--clip.crop=48", "--model.key_value_windows=5"]
    assert options(*foreign).config.backbone == "resnet18"
