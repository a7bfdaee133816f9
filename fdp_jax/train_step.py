"""Everything that is compiled: the training step and the evaluation step."""

import dataclasses
from dataclasses import dataclass
from functools import partial

import flax.struct
import jax
import jax.numpy as jnp
import optax

from fdp_jax.config import TrainConfig
from fdp_jax.grouping import FoldAxis
from fdp_jax.input_pipeline import Batch, PackedClips, evaluation_batch, training_batch
from fdp_jax.losses import (
    Losses,
    dynamic_image_loss,
    rank_loss,
    recognition_loss,
    total_loss,
)
from fdp_jax.models.fdp import FDP, Outputs
from fdp_jax.models.initialisation import initial_variables
from fdp_jax.optimizer import make_optimizer
from fdp_jax.precision import apply_network
from fdp_jax.rng import Purpose, stream


@flax.struct.dataclass
class TrainState:
    """What a training is made of.

    Attributes:
      step: int32 scalar, steps already done.
      params: weights.
      batch_stats: running statistics of the batch normalisations.
      optimizer_state: Adam's moments.
    """

    step: jax.Array
    params: dict
    batch_stats: dict
    optimizer_state: optax.OptState


@flax.struct.dataclass
class StepMetrics:
    """Scalars of one training step, float32: weighted sum, its terms, share of clips right.

    None where the module was ablated.
    """

    total: jax.Array
    cross_entropy: jax.Array | None
    dynamic_image: jax.Array | None
    rank: jax.Array | None
    accuracy: jax.Array | None


def clip_losses(outputs: Outputs, batch: Batch, rank_slope: float) -> Losses:
    """The losses of each clip, [b], of the modules that there are."""
    logits, image, scores = outputs.logits, outputs.dynamic_image, outputs.rank_scores
    return Losses(
        None if logits is None else recognition_loss(logits, batch.labels),
        None if image is None else dynamic_image_loss(image, batch.target),
        None if scores is None else rank_loss(scores, rank_slope),
    )


@dataclass(frozen=True)
class Steps:
    """The compiled functions of one configuration; folds share them, so they compile once.

    Attributes:
      config: all options.
      classes: m, categories of the protocol.
      fold_axis: how several folds are trained at once.
    """

    config: TrainConfig
    classes: int
    fold_axis: FoldAxis = "auto"

    @property
    def model(self) -> FDP:
        """The network."""
        config = self.config
        return FDP(config.model, self.classes, config.backbone, config.ablate)

    @property
    def chosen_fold_axis(self) -> FoldAxis:
        """What `auto` comes to.

        On a CPU neither program is faster than folds in turn, which give each fold the bits that it
        has alone; XLA's convolutions are slow inside a loop there.
        """
        if self.fold_axis != "auto":
            return self.fold_axis
        return "turn" if jax.default_backend() == "cpu" else "vmap"

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """Adam as configured."""
        return make_optimizer(self.config.optimizer, self.config.steps)

    @partial(jax.jit, static_argnums=0)
    def initial_state(self, key: jax.Array) -> TrainState:
        """The state before the first step, from a fold's key."""
        clip = self.config.clip
        example = jnp.zeros((1, clip.frames, clip.crop, clip.crop, 3))
        variables = initial_variables(self.model, stream(key, Purpose.INITIALISATION), example)
        params = variables["params"]
        return TrainState(
            jnp.zeros((), jnp.int32), params, variables["batch_stats"], self.optimizer.init(params)
        )

    def loss(
        self, params: dict, batch_stats: dict, batch: Batch, rngs: dict[str, jax.Array]
    ) -> tuple[jax.Array, tuple[StepMetrics, dict]]:
        """Forward pass in training mode -> (total, (report, new batch_stats))."""
        outputs, updated = apply_network(
            self.model,
            self.config.precision,
            {"params": params, "batch_stats": batch_stats},
            batch.clips,
            train=True,
            rngs=rngs,
            mutable=["batch_stats"],
        )
        losses = jax.tree.map(jnp.mean, clip_losses(outputs, batch, self.config.loss.rank_slope))
        total = total_loss(losses, self.config.loss)
        accuracy = None
        if outputs.logits is not None:
            accuracy = (outputs.logits.argmax(axis=-1) == batch.labels).mean()
        report = StepMetrics(
            total, losses.cross_entropy, losses.dynamic_image, losses.rank, accuracy
        )
        # ViT-Base without the dynamic image's module has nothing that keeps statistics.
        return total, (report, updated.get("batch_stats", {}))

    def update(
        self, state: TrainState, batch: Batch, rngs: dict[str, jax.Array]
    ) -> tuple[TrainState, StepMetrics]:
        """One step of the optimiser on a given batch."""
        gradient = jax.grad(self.loss, has_aux=True)
        grads, (report, batch_stats) = gradient(state.params, state.batch_stats, batch, rngs)
        updates, optimizer_state = self.optimizer.update(grads, state.optimizer_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, batch_stats, optimizer_state), report

    def sample_and_update(
        self, state: TrainState, corpus: PackedClips, numbers: jax.Array, key: jax.Array
    ) -> tuple[TrainState, StepMetrics]:
        """`train`, not compiled by itself."""
        batch = training_batch(
            corpus, numbers, stream(key, Purpose.SAMPLING, state.step), self.config.clip
        )
        rngs = {
            "stochastic_depth": stream(key, Purpose.STOCHASTIC_DEPTH, state.step),
            "dropout": stream(key, Purpose.DROPOUT, state.step),
        }
        return self.update(state, batch, rngs)

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def train(
        self, state: TrainState, corpus: PackedClips, numbers: jax.Array, key: jax.Array
    ) -> tuple[TrainState, StepMetrics]:
        """One whole training step: sampling, crop, flip, target, forward, backward, Adam.

        Args:
          state: donated.
          corpus: every clip.
          numbers: int32 [b], the clips of this step.
          key: of the fold; the step's own streams derive from it and `state.step`.
        """
        return self.sample_and_update(state, corpus, numbers, key)

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def train_together(
        self, states: TrainState, corpus: PackedClips, numbers: jax.Array, keys: jax.Array
    ) -> tuple[TrainState, StepMetrics]:
        """`train` for each of K folds in one program, side by side unless `scan` is asked for.

        Args:
          states: of all folds, stacked on a first axis of length K; donated.
          corpus: every clip, shared.
          numbers: int32 [K, b].
          keys: [K], of the folds.

        Returns:
          states and report, every leaf with that axis.
        """

        def of_one(fold: tuple) -> tuple[TrainState, StepMetrics]:
            state, numbers_of_fold, key = fold
            return steps.sample_and_update(state, corpus, numbers_of_fold, key)

        in_a_loop = self.fold_axis == "scan"
        steps = self if in_a_loop else self._side_by_side
        over_folds = partial(jax.lax.map, of_one) if in_a_loop else jax.vmap(of_one)
        return over_folds((states, numbers, keys))

    @property
    def _side_by_side(self) -> "Steps":
        """With forms that stay plain products: under vmap a convolution becomes a grouped one."""
        model = self.config.model
        forms = {"multi_head": "heads", "convolution": "rows"}
        chosen = {
            name: form for name, form in forms.items() if getattr(model.forms, name) == "auto"
        }
        model = dataclasses.replace(model, forms=dataclasses.replace(model.forms, **chosen))
        return dataclasses.replace(self, config=dataclasses.replace(self.config, model=model))

    @partial(jax.jit, static_argnums=0)
    def evaluate(
        self, params: dict, batch_stats: dict, corpus: PackedClips, numbers: jax.Array
    ) -> tuple[Batch, Outputs]:
        """The clips of that number as the network sees them, and what it says of them."""
        batch = evaluation_batch(corpus, numbers, self.config.clip)
        variables = {"params": params, "batch_stats": batch_stats}
        precision = self.config.precision
        return batch, apply_network(self.model, precision, variables, batch.clips, train=False)
