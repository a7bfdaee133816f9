"""Jitted training and evaluation steps, the state that they work on, and the optimiser.

Axes: K = folds trained as one program, b = clips of a batch.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from fdp_jax.config import OptimizerConfig, TrainConfig
from fdp_jax.input_pipeline import Batch, PackedClips, evaluation_batch
from fdp_jax.losses import clip_losses, total_loss
from fdp_jax.models.fdp import FDP, Outputs, make_model
from fdp_jax.rng import Purpose, derive_key

Metrics = dict[str, jax.Array]

NEW_LAYER = "params/RecognitionHead/Output/"  # depends on the categories


@flax.struct.dataclass
class TrainState:
    """Training state of one fold; with a leading axis [K] on every leaf, of K folds.

    Attributes:
      step: int32 scalar, steps done.
      params: weights, float32.
      batch_stats: running statistics of the batch normalisations, float32.
      opt_state: Adam's moments.
    """

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: optax.OptState

    @property
    def variables(self) -> dict:
        """What prediction needs, as linen names it."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def learning_rate_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Returns step (from 0) -> learning rate: linear warm-up, then constant or cosine to 0."""
    if config.schedule == "constant":
        after = optax.constant_schedule(config.learning_rate)
    else:
        after = optax.cosine_decay_schedule(
            config.learning_rate, max(steps - config.warmup_steps, 1)
        )
    # The first step of the warm-up has a learning rate above 0.
    warmup = optax.linear_schedule(
        config.learning_rate / (config.warmup_steps + 1), config.learning_rate, config.warmup_steps
    )
    return optax.join_schedules([warmup, after], [config.warmup_steps])


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Returns Adam (beta_1 0.9, eps 1e-8) on gradients plus weight_decay * w, as PyTorch has it."""
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.scale_by_adam(b2=config.second_moment_decay),
        optax.scale_by_learning_rate(learning_rate_schedule(config, steps)),
    )


@partial(jax.jit, static_argnums=(0, 1))
def create_train_state(config: TrainConfig, classes: int, key: jax.Array) -> TrainState:
    """Returns the state of one fold before its first step, from the fold's key."""
    clip = config.clip
    clips = jnp.zeros((1, clip.frames, clip.crop, clip.crop, 3))
    # Every kernel has its own draw; XLA compiles those of this generator in half the time.
    seed = jax.random.bits(derive_key(key, Purpose.INITIALISATION))
    key = jax.random.key(seed, impl="rbg")
    variables = make_model(config, classes).init(key, clips, train=False)
    params = variables["params"]
    opt_state = make_optimizer(config.optimizer, config.steps).init(params)
    # ViT-Base without the dynamic image head has no running statistics.
    return TrainState(jnp.int32(0), params, variables.get("batch_stats", {}), opt_state)


def with_weights(state: TrainState, weights: Mapping[str, np.ndarray]) -> TrainState:
    """Returns an initial state with pretrained weights, all but the last layer of recognition.

    Args:
      state: of one fold, before its first step.
      weights: `params/...` and `batch_stats/...` -> array; others than the state's are ignored.
    """
    variables = flatten_dict(state.variables, sep="/")
    for name in variables.keys() & weights.keys():
        if not name.startswith(NEW_LAYER):
            variables[name] = jnp.asarray(weights[name])
    variables = {"batch_stats": {}, **unflatten_dict(variables, sep="/")}
    return dataclasses.replace(
        state, params=variables["params"], batch_stats=variables["batch_stats"]
    )


@partial(jax.jit, static_argnames=("config", "classes"), donate_argnames="state")
def train_step(
    state: TrainState,
    corpus: PackedClips,
    indices: jax.Array,
    keys: jax.Array,
    *,
    config: TrainConfig,
    classes: int,
) -> tuple[TrainState, Metrics]:
    """Runs one step of K folds: sampling, crop, flip, target, forward, backward, Adam.

    Args:
      state: of all folds, leaves [K, ...]; donated.
      corpus: all clips, shared by the folds.
      indices: int32 [K, b], the clips of this step.
      keys: [K], keys of the folds; the step's keys derive from them and `state.step`.
      config: options of the training.
      classes: m, categories of the protocol.

    Returns:
      (state, metrics), every leaf with the axis [K]. Metrics as of `update`.
    """
    folds = indices.shape[0]
    model = make_model(config, classes, batched=folds > 1)
    if folds == 1:  # under vmap a convolution becomes a grouped one, which is slow on CPUs
        state, indices, key = jax.tree.map(lambda leaf: leaf[0], (state, indices, keys))
        result = _sample_and_update(state, corpus, indices, key, config, model)
        return jax.tree.map(lambda leaf: leaf[None], result)
    step = partial(_sample_and_update, config=config, model=model)
    return jax.vmap(step, in_axes=(0, None, 0, 0))(state, corpus, indices, keys)


def _sample_and_update(
    state: TrainState,
    corpus: PackedClips,
    indices: jax.Array,
    key: jax.Array,
    config: TrainConfig,
    model: FDP,
) -> tuple[TrainState, Metrics]:
    batch_key = derive_key(key, Purpose.SAMPLING, state.step)
    rngs = {
        "drop_path": derive_key(key, Purpose.DROP_PATH, state.step),
        "dropout": derive_key(key, Purpose.DROPOUT, state.step),
    }
    batch = corpus.training_batch(indices, batch_key, config.clip)
    return update(state, batch, rngs, config, model)


def update(
    state: TrainState, batch: Batch, rngs: dict[str, jax.Array], config: TrainConfig, model: FDP
) -> tuple[TrainState, Metrics]:
    """Runs one optimiser step of one fold on a given batch.

    Returns:
      (state, metrics): float32 scalars `total` (Eq. 8), its terms `cross_entropy`, `dynamic_image`
      and `rank`, and `accuracy` on the batch; terms of ablated modules are left out.
    """

    def loss(params: dict) -> tuple[jax.Array, tuple[Metrics, dict]]:
        outputs, updated = model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            batch.clips,
            train=True,
            rngs=rngs,
            mutable=["batch_stats"],
        )
        losses = clip_losses(outputs, batch.labels, batch.target, config.loss.rank_slope)
        metrics = {name: of_clip.mean() for name, of_clip in losses.items()}
        total = total_loss(metrics, config.loss)
        metrics = {"total": total, **metrics}
        if outputs.logits is not None:
            metrics["accuracy"] = (outputs.logits.argmax(axis=-1) == batch.labels).mean()
        return total, (metrics, updated.get("batch_stats", {}))

    with _matmul_precision(config):  # around the gradient: its own rules are traced last
        grads, (metrics, batch_stats) = jax.grad(loss, has_aux=True)(state.params)
    optimizer = make_optimizer(config.optimizer, config.steps)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, batch_stats, opt_state), metrics


def compile_train_step(
    config: TrainConfig, classes: int, folds: int, corpus: PackedClips
) -> jax.stages.Compiled:
    """Compiles the step of K folds, once per process; `train_step` does not compile it again.

    Args:
      config: options of the training.
      classes: m.
      folds: K.
      corpus: all clips, of which only the shapes matter.
    """
    leaves, structure = jax.tree.flatten(corpus)
    shapes = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)
    return _compile_train_step(config, classes, folds, structure, shapes)


@cache
def _compile_train_step(
    config: TrainConfig,
    classes: int,
    folds: int,
    structure: jax.tree_util.PyTreeDef,
    shapes: tuple[jax.ShapeDtypeStruct, ...],
) -> jax.stages.Compiled:
    keys = jax.random.split(jax.random.key(0), folds)
    state = jax.eval_shape(jax.vmap(partial(create_train_state, config, classes)), keys)
    corpus = structure.unflatten(shapes)
    indices = jax.ShapeDtypeStruct((folds, config.batch_size), jnp.int32)
    lowered = train_step.lower(state, corpus, indices, keys, config=config, classes=classes)
    return lowered.compile()


def program_bytes(program: jax.stages.Compiled) -> int:
    """Returns the memory in bytes that a program needs, with its arguments and results."""
    memory = program.memory_analysis()
    needed = memory.temp_size_in_bytes + memory.argument_size_in_bytes
    return needed + memory.output_size_in_bytes - memory.alias_size_in_bytes


@partial(jax.jit, static_argnames=("config", "classes"))
def eval_step(
    variables: dict, corpus: PackedClips, indices: jax.Array, *, config: TrainConfig, classes: int
) -> tuple[Batch, Outputs]:
    """Returns the preprocessed batch and the outputs of one fold's network in evaluation mode.

    Args:
      variables: params and batch_stats of one fold.
      corpus: all clips.
      indices: int32 [b].
      config: options of the training.
      classes: m.
    """
    batch = evaluation_batch(corpus, indices, config.clip)
    with _matmul_precision(config):
        outputs = make_model(config, classes).apply(variables, batch.clips, train=False)
    return batch, outputs


def _matmul_precision(config: TrainConfig):
    """A GPU would take TensorFloat-32 products for float32 ones unless asked not to."""
    full = config.precision == "float32"
    return jax.default_matmul_precision("highest" if full else "tensorfloat32")


def stack_states(states: Iterable[TrainState], folds: int) -> TrainState:
    """Returns the states of K folds as one with leaves [K, ...].

    Args:
      states: consumed one at a time, so that they need not exist together; copies of the last one
        fill up the places of those that are missing.
      folds: K.
    """
    stacked: Any = None
    for place, state in enumerate(states):
        stacked = _zeros(state, folds) if stacked is None else stacked
        stacked = _with_fold(stacked, state, place)
    for missing in range(place + 1, folds):
        stacked = _with_fold(stacked, state, missing)
    return stacked


@jax.jit
def fold_variables(state: TrainState, place: int | jax.Array) -> dict:
    """Returns a copy of params and batch_stats of one of the stacked folds."""
    return jax.tree.map(lambda leaf: leaf[place], state.variables)


@jax.jit
def fold_state(state: TrainState, place: int | jax.Array) -> TrainState:
    """Returns a copy of the whole state of one of the stacked folds."""
    return jax.tree.map(lambda leaf: leaf[place], state)


@partial(jax.jit, static_argnums=1)
def _zeros(state: TrainState, folds: int) -> TrainState:
    return jax.tree.map(lambda leaf: jnp.zeros((folds, *leaf.shape), leaf.dtype), state)


@partial(jax.jit, donate_argnums=0)
def _with_fold(states: TrainState, state: TrainState, place: jax.Array) -> TrainState:
    return jax.tree.map(lambda leaves, leaf: leaves.at[place].set(leaf), states, state)
