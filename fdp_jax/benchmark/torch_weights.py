"""Weights of the JAX network in the PyTorch reference.

Axes of kernels: i o = channels in and out, y x = rows and columns, t = frames, g = heads.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from fdp_jax.benchmark.torch_reference import TorchFDP

# Path of a module inside its PyTorch block -> path inside the Flax block.
BLOCK = {
    "embedding.1": "PatchEmbedding/Pointwise",
    "embedding.2": "PatchEmbedding/Norm",
    "heads.0": "MultiHeadConv/Conv",
    "heads.1": "MultiHeadConv/Norm",
    "pointwise": "Pointwise",
    "attention_norm": "AttentionNorm",
    "attention.context.1": "ContextNorm",
    "attention.query": "Attention/Query",
    "attention.key": "Attention/Key",
    "attention.value": "Attention/Value",
    "attention.output": "Attention/Output",
    "reduction.1": "Reduction/Pointwise",
    "reduction.2": "Reduction/Norm",
    "norm": "MlpNorm",
    "mlp.0": "Mlp/Hidden",
    "mlp.3": "Mlp/Output",
}
OUTSIDE_BLOCKS = {
    "transformer.stem": "LocalGlobalTransformer/Stem",
    "transformer.stem_norm": "LocalGlobalTransformer/StemNorm",
    "transformer.norm": "LocalGlobalTransformer/Norm",
    "feature": "FrameFeature",
    "rank_scorer": "RankScorer",
    "temporal_pooling": "TemporalPooling/Conv3D",
    "recognition.hidden": "RecognitionHead/Hidden",
    "recognition.output": "RecognitionHead/Output",
    "construction.output": "DynamicImageHead/Output",
}
CONV_BLOCK = {"0": "Conv", "1": "Norm"}
LEAVES = {"weight": "kernel", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def flax_path(name: str, module: nn.Module) -> str:
    """Returns the path of the Flax leaf, joined by slashes, of a PyTorch tensor."""
    owner, leaf = name.rsplit(".", 1)
    kind = "batch_stats" if leaf.startswith("running") else "params"
    leaf = "scale" if isinstance(module, nn.BatchNorm2d) and leaf == "weight" else LEAVES[leaf]
    match owner.split("."):
        case ["rank_scorer"]:
            return "params/RankScorer/u"
        case ["transformer", "blocks", block, *inside]:
            place = f"LocalGlobalTransformer/{block}/{BLOCK['.'.join(inside)]}"
        case ["construction", "up", level]:
            place = f"DynamicImageHead/Deconvolution{int(level) + 1}"
            place += "/Product" if leaf == "kernel" else ""
        case ["construction", ("encoder" | "decoder") as part, level, inside]:
            block = f"{part.capitalize()}{int(level) + 1}"
            place = f"DynamicImageHead/{block}/{CONV_BLOCK[inside]}"
        case _:
            place = OUTSIDE_BLOCKS[owner]
    return f"{kind}/{place}/{leaf}"


def _to_torch_layout(kernel: np.ndarray, name: str, module: nn.Module, channels: int) -> np.ndarray:
    """Returns a Flax kernel in the layout of the PyTorch weight."""
    match module:
        case nn.Linear() if name == "recognition.hidden.weight":
            # Flax flattens [y, x, channel], PyTorch [channel, y, x].
            side = round((kernel.shape[0] / channels) ** 0.5)
            split = kernel.reshape(side, side, channels, -1)
            return split.transpose(3, 2, 0, 1).reshape(kernel.shape[::-1])
        case nn.Linear() if name == "rank_scorer.weight":  # [i]
            return kernel[None]
        case nn.Linear():
            return kernel.T
        case nn.ConvTranspose2d():  # [i, (y, x, o)]
            return kernel.reshape(kernel.shape[0], 2, 2, -1).transpose(0, 3, 1, 2)
        case nn.Conv3d():  # [y, x, t, o]
            return kernel.transpose(3, 2, 0, 1)[:, None]
        case nn.Conv2d() if kernel.ndim == 2:  # [i, o]
            return kernel.T[:, :, None, None]
        case nn.Conv2d():  # [y, x, i, (g, o)]
            return kernel.transpose(3, 2, 0, 1)
    raise TypeError(f"no layout for {name}")


def in_torch_layout(network: TorchFDP, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns Flax variables, or gradients of the same shape, as {name in PyTorch: array}.

    Args:
      network: only names and shapes are read.
      variables: {"params": tree} or {"params": tree, "batch_stats": tree}.

    Raises:
      ValueError: an array has another shape than its tensor.
    """
    modules, channels = dict(network.named_modules()), network.temporal_pooling.out_channels
    arrays = {}
    for name, tensor in network.state_dict().items():
        module = modules[name.rsplit(".", 1)[0]]
        if name.endswith("num_batches_tracked"):
            continue
        path = flax_path(name, module).split("/")
        if path[0] not in variables:
            continue
        leaf = variables
        for key in path:
            leaf = leaf[key]
        array = np.asarray(leaf)
        if path[-1] in ("kernel", "u"):
            array = _to_torch_layout(array, name, module, channels)
        if array.shape != tuple(tensor.shape):
            raise ValueError(f"{'/'.join(path)}: {array.shape} does not fit {name}")
        arrays[name] = array
    return arrays


def load_flax(network: TorchFDP, variables: Mapping[str, Any]) -> None:
    """Copies weights and running statistics of the JAX network into the PyTorch one."""
    state = network.state_dict()
    for name, array in in_torch_layout(network, variables).items():
        state[name].copy_(torch.from_numpy(array.copy()))
