"""Everything that is compiled: the training step and the evaluation step."""

from dataclasses import dataclass
from functools import partial

import flax.struct
import jax
import jax.numpy as jnp
import optax

from fdp_jax.config import TrainConfig
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
from fdp_jax.random_streams import Purpose, stream
from fdp_jax.sampling import Batch, DeviceCorpus, evaluation_batch, training_batch


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
class StepReport:
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
    """

    config: TrainConfig
    classes: int

    @property
    def model(self) -> FDP:
        """The network."""
        config = self.config
        return FDP(config.model, self.classes, config.backbone, config.ablate)

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
    ) -> tuple[jax.Array, tuple[StepReport, dict]]:
        """Forward pass in training mode -> (total, (report, new batch_stats))."""
        outputs, updated = self.model.apply(
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
        report = StepReport(
            total, losses.cross_entropy, losses.dynamic_image, losses.rank, accuracy
        )
        # ViT-Base without the dynamic image's module has nothing that keeps statistics.
        return total, (report, updated.get("batch_stats", {}))

    def update(
        self, state: TrainState, batch: Batch, rngs: dict[str, jax.Array]
    ) -> tuple[TrainState, StepReport]:
        """One step of the optimiser on a given batch."""
        gradient = jax.grad(self.loss, has_aux=True)
        grads, (report, batch_stats) = gradient(state.params, state.batch_stats, batch, rngs)
        updates, optimizer_state = self.optimizer.update(grads, state.optimizer_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, batch_stats, optimizer_state), report

    @partial(jax.jit, static_argnums=0, donate_argnums=1)
    def train(
        self, state: TrainState, corpus: DeviceCorpus, numbers: jax.Array, key: jax.Array
    ) -> tuple[TrainState, StepReport]:
        """One whole training step: sampling, crop, flip, target, forward, backward, Adam.

        Args:
          state: donated.
          corpus: every clip.
          numbers: int32 [b], the clips of this step.
          key: of the fold; the step's own streams derive from it and `state.step`.
        """
        batch = training_batch(
            corpus, numbers, stream(key, Purpose.SAMPLING, state.step), self.config.clip
        )
        rngs = {
            "stochastic_depth": stream(key, Purpose.STOCHASTIC_DEPTH, state.step),
            "dropout": stream(key, Purpose.DROPOUT, state.step),
        }
        return self.update(state, batch, rngs)

    @partial(jax.jit, static_argnums=0)
    def evaluate(
        self, params: dict, batch_stats: dict, corpus: DeviceCorpus, numbers: jax.Array
    ) -> tuple[Batch, Outputs]:
        """The clips of that number as the network sees them, and what it says of them."""
        batch = evaluation_batch(corpus, numbers, self.config.clip)
        variables = {"params": params, "batch_stats": batch_stats}
        return batch, self.model.apply(variables, batch.clips, train=False)
