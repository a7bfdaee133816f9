"""One preset as the JAX network and as PyTorch twins with the same weights, on the same batch."""

import dataclasses
import re
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from fdp_jax.benchmark.torch_reference import TorchFDP, TwinOutputs, twin_loss
from fdp_jax.config import OptimizerConfig, preset
from fdp_jax.input_pipeline import Batch
from fdp_jax.models.fdp import Outputs
from fdp_jax.train_step import StepMetrics, Steps, TrainState
from tests.parity.correspondence import load_flax

CLASSES = 5
# The paper's, whatever a preset may say.
OPTIMIZER = OptimizerConfig(learning_rate=1e-4, weight_decay=1e-3, schedule="constant")


class RecordingSteps(Steps):
    """The compiled functions, with the gradients of a step kept beside Adam's moments."""

    @property
    def optimizer(self) -> optax.GradientTransformation:
        recorder = optax.GradientTransformation(
            lambda params: jax.tree.map(jnp.zeros_like, params),
            lambda gradients, _, params: (gradients, gradients),
        )
        return optax.chain(recorder, super().optimizer)


class TwinStep(NamedTuple):
    """One training step of the twin, before the optimiser.

    Attributes:
      outputs: in training mode.
      gradients: by the name of the parameter.
      loss: Eq. 8.
    """

    outputs: TwinOutputs
    gradients: dict[str, np.ndarray]
    loss: float


def in_double(tree: Any) -> Any:
    """The same numbers in float64; integers stay."""
    return jax.tree.map(lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, tree)


def first_clips(batch: Batch, clips: int) -> Batch:
    """The batch without all but its first clips."""
    return jax.tree.map(lambda array: array[:clips], batch)


def random_leaf(path: tuple, leaf: jax.ShapeDtypeStruct, rng: np.random.Generator) -> np.ndarray:
    """Weights of a size that keeps every signal near 1: 0.02 would leave the outputs constant."""
    shape = leaf.shape
    match path[-1].key:
        case "kernel":
            # The multi-head convolution's kernel is [heads, y, x, in, out].
            inputs = np.prod(shape[1:-1] if len(shape) == 5 else shape[:-1])
            values = rng.normal(0.0, inputs**-0.5, shape)
        case "scale" | "var":
            values = rng.uniform(0.5, 1.5, shape)
        case _:
            values = rng.normal(0.0, 0.3, shape)
    return values.astype(np.float32)


def decided(variables: dict) -> dict:
    """The variables with every unit before a ReLU moved far to one side of 0."""
    rng = np.random.default_rng(3)
    before_relu = re.compile(
        r"LocalGlobalTransformer/BatchNorm_0|MultiHeadConv_0/BatchNorm|(En|De)coder\d/BatchNorm|"
        r"Mlp_0/Pointwise_0|RecognitionHead/Dense_0"
    )

    def decide(path: tuple, leaf: np.ndarray) -> np.ndarray:
        name = "/".join(key.key for key in path)
        if not before_relu.search(name) or name.endswith("kernel"):
            return leaf
        if name.endswith("scale"):
            return rng.uniform(0.4, 0.6, leaf.shape).astype(np.float32)
        far = 3.0 if "BatchNorm" in name else 6.0  # five to six standard deviations
        bias = far * rng.uniform(0.9, 1.1, leaf.shape) * rng.choice([-1.0, 1.0], leaf.shape)
        return bias.astype(np.float32)

    params = jax.tree_util.tree_map_with_path(decide, variables["params"])
    return {"params": params, "batch_stats": variables["batch_stats"]}


# Compiling takes most of the tests' time: one function for all, and little optimisation.
@partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})
def jax_step(
    steps: RecordingSteps, state: TrainState, batch: Batch
) -> tuple[TrainState, StepMetrics]:
    """One training step on a given batch."""
    return steps.update(state, batch, {})


def recorded_gradients(state: TrainState) -> dict:
    """Gradients of the step that led to this state, as the parameters."""
    return state.optimizer_state[0]


@partial(jax.jit, static_argnums=0)
def jax_forward(steps: Steps, variables: dict, clips: jax.Array) -> tuple[Outputs, dict]:
    """Outputs in training mode and the running statistics after it."""
    outputs, moved = steps.model.apply(variables, clips, train=True, mutable=["batch_stats"])
    return outputs, moved["batch_stats"]


@partial(jax.jit, static_argnums=0)
def jax_evaluate(steps: Steps, variables: dict, clips: jax.Array) -> Outputs:
    """Outputs in evaluation mode."""
    return steps.model.apply(variables, clips, train=False)


def twin_clips(batch: Batch) -> torch.Tensor:
    """[b, t, h, w, 3] -> [b, t, 3, h, w]."""
    return torch.from_numpy(batch.clips).permute(0, 1, 4, 2, 3).contiguous()


class Pair:
    """A preset without stochastic depth and dropout.

    Attributes:
      config: all options.
      steps: the JAX side.
      batch: what both sides see.
      variables: {"params": ..., "batch_stats": ...}, random.
    """

    def __init__(self, name: str, clips: int):
        config = preset(name)
        model = dataclasses.replace(config.model, stochastic_depth=0.0, dropout=0.0)
        self.config = dataclasses.replace(config, model=model, optimizer=OPTIMIZER)
        self.steps = RecordingSteps(self.config, CLASSES)
        self.batch = self.make_batch(clips, seed=1)
        shapes = jax.eval_shape(
            lambda: self.steps.model.init(jax.random.key(0), self.batch.clips, train=False)
        )
        rng = np.random.default_rng(0)
        self.variables = jax.tree_util.tree_map_with_path(
            lambda path, leaf: random_leaf(path, leaf, rng), shapes
        )

    def make_batch(self, clips: int, seed: int) -> Batch:
        """Noise of the right shapes: every pixel, frame and clip differs from every other."""
        rng = np.random.default_rng(seed)
        frames, side = self.config.clip.frames, self.config.clip.crop
        return Batch(
            clips=rng.uniform(-1.0, 1.0, (clips, frames, side, side, 3)).astype(np.float32),
            target=rng.uniform(0.0, 1.0, (clips, side, side)).astype(np.float32),
            labels=rng.integers(0, CLASSES, clips).astype(np.int32),
        )

    def state(self, variables: dict) -> TrainState:
        """The JAX side before its first step from these variables."""
        params = variables["params"]
        moments = jax.jit(self.steps.optimizer.init)(params)
        return TrainState(np.int32(0), params, variables["batch_stats"], moments)

    def twin(self, variables: dict) -> TorchFDP:
        """A new twin with these variables, of their float type."""
        clip = self.config.clip
        twin = TorchFDP(self.config.model, CLASSES, clip.frames, clip.crop)
        twin.to(torch.from_numpy(jax.tree.leaves(variables["params"])[0]).dtype)
        load_flax(twin, variables)
        return twin

    def twin_step(self, twin: TorchFDP, batch: Batch | None = None) -> TwinStep:
        """The twin's passes in training mode, on the pair's batch if none is given."""
        batch = self.batch if batch is None else batch
        twin.train()
        twin.zero_grad()
        outputs = twin(twin_clips(batch))
        labels = torch.from_numpy(batch.labels).long()
        loss = twin_loss(outputs, torch.from_numpy(batch.target), labels, self.config.loss)
        loss.backward()
        gradients = {name: weight.grad.numpy() for name, weight in twin.named_parameters()}
        return TwinStep(outputs, gradients, loss.item())

    @cached_property
    def forward(self) -> tuple[Outputs, dict]:
        """What the JAX network says of the batch in training mode, and its new batch_stats."""
        return jax_forward(self.steps, self.variables, self.batch.clips)

    @cached_property
    def evaluation_variables(self) -> dict:
        """The weights with running statistics near, but not at, those of the batch.

        Wholly random ones would let the signal grow a hundredfold over the blocks.
        """
        rng = np.random.default_rng(2)
        kept = self.config.model.batch_norm_momentum

        def near(stats: dict, old: dict) -> dict:
            if "mean" not in stats:
                return {name: near(stats[name], old[name]) for name in stats}
            mean, var = (
                (np.asarray(stats[name]) - kept * old[name]) / (1.0 - kept)
                for name in ("mean", "var")
            )
            mean = mean + 0.1 * np.sqrt(var) * rng.normal(size=mean.shape)
            var = var * rng.uniform(1.0, 1.6, var.shape)
            return {"mean": mean.astype(np.float32), "var": var.astype(np.float32)}

        stats = near(self.forward[1], self.variables["batch_stats"])
        return {"params": self.variables["params"], "batch_stats": stats}

    @cached_property
    def evaluated(self) -> Outputs:
        """What the JAX network says of the batch in evaluation mode."""
        return jax_evaluate(self.steps, self.evaluation_variables, self.batch.clips)
