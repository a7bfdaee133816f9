"""What `--precision` changes: products in bfloat16, and what is kept in float32."""

import dataclasses
import re
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.config import Backbone
from fdp_jax.evaluate import pack_clips
from fdp_jax.rng import fold_key
from fdp_jax.train_step import create_train_state, eval_step, stack_states, train_step
from tests.helpers.tiny import TINY, random_clips

CLIPS = random_clips(each=4)
KEY = fold_key(0, "a")
FLOAT32 = {jnp.dtype("float32")}


def dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


def shapes_of_a_step(config):
    """State, corpus, indices and keys of one fold, without any number."""
    state = jax.eval_shape(lambda: create_train_state(config, 2, KEY))
    state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), state)
    indices = jax.ShapeDtypeStruct((1, config.batch_size), jnp.int32)
    return state, jax.eval_shape(lambda: pack_clips(CLIPS)), indices, KEY[None]


@pytest.mark.slow
def test_bfloat16_moves_the_losses_a_little_and_keeps_everything_in_float32():
    corpus, losses = pack_clips(CLIPS), {}
    for precision in ("float32", "bfloat16"):
        config = dataclasses.replace(TINY, precision=precision)
        state = stack_states([create_train_state(config, 2, KEY)], 1)
        losses[precision] = []
        for step in range(3):
            indices = np.arange(step, step + TINY.batch_size, dtype=np.int32)[None]
            state, metrics = train_step(state, corpus, indices, KEY[None], config=config, classes=2)
            losses[precision].append(float(metrics["total"][0]))
    exact, rough = losses["float32"], losses["bfloat16"]
    differences = [abs(a - b) / a for a, b in zip(exact, rough, strict=True)]
    assert 0 < max(differences) < 0.05
    assert dtypes(state.variables) == FLOAT32
    variables = jax.tree.map(lambda leaf: leaf[0], state.variables)
    indices = np.arange(4, dtype=np.int32)
    _, outputs = eval_step(variables, corpus, indices, config=config, classes=2)
    assert dtypes(outputs) == FLOAT32


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_every_backbone_is_trained_in_bfloat16(backbone):
    model = dataclasses.replace(TINY.model, vit_channels=12, vit_blocks=1, vit_heads=3, vit_patch=8)
    config = dataclasses.replace(TINY, precision="bfloat16", backbone=backbone, model=model)
    state, corpus, indices, keys = shapes_of_a_step(config)
    lowered = train_step.lower(state, corpus, indices, keys, config=config, classes=2)
    after, metrics = lowered.out_info
    assert dtypes((after.variables, metrics)) == FLOAT32
    # All products but the float32 heads' (u; two dense layers) and the target's.
    types = products(lowered.as_text(), "bf16")
    assert types.count(True) > 3 * types.count(False)


def products(text, word):
    """Whether a word is in it, for each product and convolution of a lowered program."""
    return [
        word in line
        for line in text.splitlines()
        if re.search(r"stablehlo\.(dot_general|convolution)", line)
    ]


@pytest.mark.parametrize(
    ("precision", "asked_for"), [("float32", "HIGHEST"), ("tensorfloat32", "HIGH")]
)
def test_all_products_ask_for_the_precision(precision, asked_for):
    config = dataclasses.replace(TINY, precision=precision)
    state, corpus, indices, keys = shapes_of_a_step(config)
    lowered = train_step.lower(state, corpus, indices, keys, config=config, classes=2)
    asks = products(lowered.as_text(), asked_for)
    assert asks.count(False) == 1 and len(asks) > 50  # one product makes the target
