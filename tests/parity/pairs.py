"""One preset as the JAX network and as PyTorch networks with the same weights and batch."""

import dataclasses
import re
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch

from fdp_jax.benchmark.torch_reference import TorchFDP, TorchOutputs, torch_loss
from fdp_jax.benchmark.torch_weights import load_flax
from fdp_jax.config import LossConfig, OptimizerConfig, TrainConfig, preset
from fdp_jax.input_pipeline import Batch
from fdp_jax.losses import clip_losses, total_loss
from fdp_jax.models.fdp import FDP, Outputs, make_model
from fdp_jax.train_step import TrainState, create_train_state, make_optimizer, update

CLASSES = 5
# The paper's, in every preset.
OPTIMIZER = OptimizerConfig(learning_rate=1e-4, weight_decay=1e-3, schedule="constant")


class TorchStep(NamedTuple):
    """One training step of the PyTorch network, before the optimiser.

    Attributes:
      outputs: in training mode.
      gradients: by the name of the parameter.
      loss: Eq. 8.
    """

    outputs: TorchOutputs
    gradients: dict[str, np.ndarray]
    loss: float


def in_double(tree: Any) -> Any:
    """The same numbers in float64; integers stay."""
    return jax.tree.map(
        lambda x: np.asarray(x, np.float64 if x.dtype == np.float32 else x.dtype), tree
    )


def _dtype(variables: dict) -> np.dtype:
    return jax.tree.leaves(variables)[0].dtype


def first_clips(batch: Batch, clips: int) -> Batch:
    """The first clips of a batch."""
    return jax.tree.map(lambda array: array[:clips], batch)


def random_leaf(path: tuple, leaf: jax.ShapeDtypeStruct, rng: np.random.Generator) -> np.ndarray:
    """Weights of a size that keeps every signal near 1: 0.02 would leave the outputs constant."""
    shape = leaf.shape
    match path[-1].key:
        case "kernel":
            values = rng.normal(0.0, np.prod(shape[:-1]) ** -0.5, shape)
        case "u":
            values = rng.normal(0.0, shape[0] ** -0.5, shape)
        case "scale" | "var":
            values = rng.uniform(0.5, 1.5, shape)
        case _:
            values = rng.normal(0.0, 0.3, shape)
    return values.astype(np.float32)


def decided(variables: dict) -> dict:
    """The variables with every unit before a ReLU moved far from 0."""
    rng = np.random.default_rng(3)
    before_relu = re.compile(
        r"StemNorm|MultiHeadConv/Norm|(En|De)coder\d/Norm|Mlp/Hidden|RecognitionHead/Hidden"
    )

    def decide(path: tuple, leaf: np.ndarray) -> np.ndarray:
        name = "/".join(key.key for key in path)
        if not before_relu.search(name) or name.endswith("kernel"):
            return leaf
        if name.endswith("scale"):
            return rng.uniform(0.4, 0.6, leaf.shape).astype(np.float32)
        far = 3.0 if "Norm" in name else 6.0  # five to six standard deviations
        bias = far * rng.uniform(0.9, 1.1, leaf.shape) * rng.choice([-1.0, 1.0], leaf.shape)
        return bias.astype(np.float32)

    params = jax.tree_util.tree_map_with_path(decide, variables["params"])
    return {"params": params, "batch_stats": variables["batch_stats"]}


# Compiling takes most of the tests' time: little optimisation.
_fast_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@partial(_fast_jit, static_argnums=(0, 1))
def jax_step(
    config: TrainConfig, model: FDP, state: TrainState, batch: Batch
) -> tuple[TrainState, dict]:
    """One training step on a given batch."""
    return update(state, batch, {}, config, model)


@partial(_fast_jit, static_argnums=(0, 1))
def jax_loss_and_gradients(
    config: LossConfig, model: FDP, variables: dict, batch: Batch
) -> tuple[jax.Array, dict]:
    """Eq. 8 in training mode and its gradients."""

    def loss(params: dict) -> jax.Array:
        outputs, _ = model.apply(
            variables | {"params": params}, batch.clips, train=True, mutable=["batch_stats"]
        )
        losses = clip_losses(outputs, batch.labels, batch.target, config.rank_slope)
        return total_loss(jax.tree.map(jnp.mean, losses), config)

    return jax.value_and_grad(loss)(variables["params"])


@partial(jax.jit, static_argnums=0)
def jax_forward(model: FDP, variables: dict, clips: jax.Array) -> tuple[Outputs, dict]:
    """Outputs in training mode and the running statistics after it."""
    outputs, moved = model.apply(variables, clips, train=True, mutable=["batch_stats"])
    return outputs, moved["batch_stats"]


@partial(jax.jit, static_argnums=0)
def jax_evaluate(model: FDP, variables: dict, clips: jax.Array) -> Outputs:
    """Outputs in evaluation mode."""
    return model.apply(variables, clips, train=False)


def torch_clips(batch: Batch) -> torch.Tensor:
    """[b, t, h, w, 3] -> [b, t, 3, h, w]."""
    return torch.from_numpy(batch.clips).permute(0, 1, 4, 2, 3).contiguous()


class Pair:
    """A preset without stochastic depth and dropout.

    Attributes:
      config: all options.
      model: the JAX network.
      batch: of both networks.
      variables: {"params": ..., "batch_stats": ...}, random.
    """

    def __init__(self, name: str, clips: int):
        config = preset(name)
        model = dataclasses.replace(config.model, stochastic_depth=0.0, dropout=0.0)
        self.config = dataclasses.replace(config, model=model, optimizer=OPTIMIZER)
        self.model = make_model(self.config, CLASSES)
        self.batch = self.make_batch(clips, seed=1)
        rng = np.random.default_rng(0)
        self.variables = jax.tree_util.tree_map_with_path(
            lambda path, leaf: random_leaf(path, leaf, rng),
            jax.eval_shape(lambda: self._initial_state().variables),
        )

    def _initial_state(self) -> TrainState:
        return create_train_state(self.config, CLASSES, jax.random.key(0))

    @cached_property
    def initial_variables(self) -> dict:
        """The variables from which a training starts."""
        return jax.tree.map(np.asarray, self._initial_state().variables)

    def make_batch(self, clips: int, seed: int) -> Batch:
        """Noise of the right shapes: every pixel, frame and clip differs from every other."""
        rng = np.random.default_rng(seed)
        frames, side = self.config.clip.frames, self.config.clip.crop
        return Batch(
            clips=rng.uniform(-1.0, 1.0, (clips, frames, side, side, 3)).astype(np.float32),
            target=rng.uniform(0.0, 1.0, (clips, side, side)).astype(np.float32),
            labels=rng.integers(0, CLASSES, clips).astype(np.int32),
        )

    def loss_and_gradients(self, variables: dict, batch: Batch) -> tuple[float, dict]:
        """Eq. 8 and its gradients in the JAX network, in the float type of the variables."""
        model = self.model.clone(dtype=_dtype(variables))
        loss, gradients = jax_loss_and_gradients(self.config.loss, model, variables, batch)
        return float(loss), gradients

    def losses(self, variables: dict, batches: list[Batch]) -> np.ndarray:
        """Eq. 8 in the JAX network before each of some training steps."""
        params, losses = variables["params"], []
        model = self.model.clone(dtype=_dtype(variables))
        moments = jax.jit(make_optimizer(OPTIMIZER, self.config.steps).init)(params)
        state = TrainState(np.int32(0), params, variables["batch_stats"], moments)
        for batch in batches:
            state, metrics = jax_step(self.config, model, state, batch)
            losses.append(float(metrics["total"]))
        return np.array(losses)

    def torch_network(self, variables: dict) -> TorchFDP:
        """A new PyTorch network with these variables, in their float type."""
        clip = self.config.clip
        network = TorchFDP(self.config.model, CLASSES, clip.frames, clip.crop)
        network.to(torch.float64 if _dtype(variables) == np.float64 else torch.float32)
        load_flax(network, variables)
        return network

    def torch_step(self, network: TorchFDP, batch: Batch | None = None) -> TorchStep:
        """Forward and backward pass in training mode, by default on the pair's batch."""
        batch = self.batch if batch is None else batch
        network.train()
        network.zero_grad()
        outputs = network(torch_clips(batch))
        labels = torch.from_numpy(batch.labels).long()
        loss = torch_loss(outputs, torch.from_numpy(batch.target), labels, self.config.loss)
        loss.backward()
        gradients = {name: weight.grad.numpy() for name, weight in network.named_parameters()}
        return TorchStep(outputs, gradients, loss.item())

    @cached_property
    def forward(self) -> tuple[Outputs, dict]:
        """Outputs of the JAX network in training mode, and its new batch_stats."""
        return jax_forward(self.model, self.variables, self.batch.clips)

    @cached_property
    def evaluation_variables(self) -> dict:
        """The weights with running statistics near, but not at, those of the batch.

        Fully random ones would let the signal grow a hundredfold over the blocks.
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
        """Outputs of the JAX network in evaluation mode."""
        return jax_evaluate(self.model, self.evaluation_variables, self.batch.clips)
