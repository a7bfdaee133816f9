"""What `--precision` does: products in bfloat16 where it says so, what is kept in float32."""

import dataclasses
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdp_jax.config import Backbone, Forms
from fdp_jax.rng import fold_key
from fdp_jax.train_loop import device_corpus
from fdp_jax.train_step import Steps
from tests.helpers.tiny import TINY, random_clips

CLIPS = random_clips(each=4)


def trained(steps=3, **changes):
    """State and reports after a few steps of TINY with other options."""
    compiled = Steps(dataclasses.replace(TINY, **changes), 2)
    key = fold_key(0, "a")
    state, reports = compiled.initial_state(key), []
    for step in range(steps):
        numbers = np.arange(step, step + TINY.batch_size, dtype=np.int32)
        state, report = compiled.train(state, device_corpus(CLIPS), numbers, key)
        reports.append(jax.device_get(report))
    return compiled, state, reports


def test_bfloat16_moves_the_losses_a_little_and_keeps_everything_in_float32():
    _, _, exact = trained()
    compiled, state, rough = trained(precision="bfloat16")
    differences = [abs(a.total - b.total) / a.total for a, b in zip(exact, rough, strict=True)]
    assert 0 < max(differences) < 0.05
    assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.batch_stats))} == {
        jnp.dtype("float32")
    }
    _, outputs = compiled.evaluate(
        state.params, state.batch_stats, device_corpus(CLIPS), np.arange(4, dtype=np.int32)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_every_backbone_is_trained_in_bfloat16(backbone):
    # Shapes and types alone: nothing is computed.
    model = dataclasses.replace(TINY.model, vit_channels=12, vit_blocks=1, vit_heads=3, vit_patch=8)
    changes = {"precision": "bfloat16", "backbone": backbone, "model": model}
    steps = Steps(dataclasses.replace(TINY, **changes), 2)
    key = fold_key(0, "a")
    state = jax.eval_shape(steps.initial_state, key)
    numbers = jax.ShapeDtypeStruct((TINY.batch_size,), jnp.int32)
    after, report = jax.eval_shape(steps.train, state, device_corpus(CLIPS), numbers, key)
    assert {leaf.dtype for leaf in jax.tree.leaves((after.params, report))} == {
        jnp.dtype("float32")
    }


@pytest.mark.parametrize(
    ("precision", "asked_for"),
    [("float32", "[HIGHEST, HIGHEST]"), ("tensorfloat32", "[HIGH, HIGH]"), ("bfloat16", "bf16")],
)
def test_the_program_asks_for_the_precision(precision, asked_for):
    steps = Steps(dataclasses.replace(TINY, precision=precision), 2)
    key = fold_key(0, "a")
    state = jax.eval_shape(steps.initial_state, key)
    numbers = jax.ShapeDtypeStruct((TINY.batch_size,), jnp.int32)
    text = Steps.train.lower(steps, state, device_corpus(CLIPS), numbers, key).as_text()
    assert asked_for in text
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    of_network = [line for line in products if asked_for in line]
    assert len(of_network) > len(products) / 2


def test_forms_change_no_number_beyond_rounding():
    model = dataclasses.replace(TINY.model, forms=Forms(multi_head="shifts", convolution="rows"))
    _, _, usual = trained(steps=1)
    _, _, other = trained(steps=1, model=model)
    assert usual[0].total == pytest.approx(other[0].total, rel=1e-5)
