"""Which leaf of the Flax variables is which tensor of the PyTorch twin, and in what layout.

Axes of kernels: i o = channels in and out, y x = rows and columns, t = frames, g = heads.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from fdp_jax.benchmark.torch_reference import TorchFDP

# Path of a module inside its block of the twin -> path inside the Flax block.
LOCAL = {
    "embedding.conv": "PatchEmbedding_0/Pointwise_0",
    "embedding.norm": "PatchEmbedding_0/BatchNorm_0",
    "heads.conv": "MultiHeadConv_0",
    "heads.norm": "MultiHeadConv_0/BatchNorm_0",
    "fusion": "Fusion",
    "norm": "BatchNorm_0",
    "mlp.widen": "Mlp_0/Pointwise_0",
    "mlp.narrow": "Mlp_0/Pointwise_1",
}
GLOBAL = {
    "embedding.conv": "PatchEmbedding_0/Pointwise_0",
    "embedding.norm": "PatchEmbedding_0/BatchNorm_0",
    "attention_norm": "BatchNorm_0",
    "attention.norm": "MultiHeadSelfAttention_0/BatchNorm_0",
    "attention.query": "MultiHeadSelfAttention_0/Query",
    "attention.key": "MultiHeadSelfAttention_0/Key",
    "attention.value": "MultiHeadSelfAttention_0/Value",
    "attention.output": "MultiHeadSelfAttention_0/Output",
    "reduction.conv": "PatchEmbedding_1/Pointwise_0",
    "reduction.norm": "PatchEmbedding_1/BatchNorm_0",
    "heads.conv": "MultiHeadConv_0",
    "heads.norm": "MultiHeadConv_0/BatchNorm_0",
    "norm": "BatchNorm_1",
    "mlp.widen": "Mlp_0/Pointwise_0",
    "mlp.narrow": "Mlp_0/Pointwise_1",
}
OUTSIDE_BLOCKS = {
    "transformer.stem": "LocalGlobalTransformer/Stem",
    "transformer.stem_norm": "LocalGlobalTransformer/BatchNorm_0",
    "transformer.norm": "LocalGlobalTransformer/BatchNorm_1",
    "feature": "FrameFeature",
    "rank_scorer": "RankScorer/Dense_0",
    "temporal_pooling": "TemporalPooling/Convolution3D",
    "recognition.hidden": "RecognitionHead/Dense_0",
    "recognition.output": "RecognitionHead/Dense_1",
    "construction.output": "DynamicImageHead/Pointwise_0",
}
CONSTRUCTION = {"encoder": "Encoder", "decoder": "Decoder", "up": "Deconvolution"}
CONV_BLOCK = {"conv": "Convolution_0", "norm": "BatchNorm_0"}
LEAVES = {"weight": "kernel", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def flax_path(name: str, module: nn.Module) -> str:
    """Name of a tensor of the twin -> path of its Flax leaf, joined by slashes."""
    owner, leaf = name.rsplit(".", 1)
    kind = "batch_stats" if leaf.startswith("running") else "params"
    leaf = "scale" if isinstance(module, nn.BatchNorm2d) and leaf == "weight" else LEAVES[leaf]
    parts = owner.split(".")
    if owner in OUTSIDE_BLOCKS:
        place = OUTSIDE_BLOCKS[owner]
    elif parts[0] == "transformer":
        block, inside = parts[2], ".".join(parts[3:])
        place = f"LocalGlobalTransformer/{block}/{(LOCAL if 'Local' in block else GLOBAL)[inside]}"
    else:
        place = f"DynamicImageHead/{CONSTRUCTION[parts[1]]}{int(parts[2]) + 1}"
        if parts[1] != "up":
            place += "/" + CONV_BLOCK[parts[3]]
        elif leaf == "kernel":
            place += "/Pointwise_0"
    return f"{kind}/{place}/{leaf}"


def to_torch_layout(kernel: np.ndarray, name: str, module: nn.Module) -> np.ndarray:
    """A Flax kernel -> the layout of the twin's weight."""
    match module:
        case nn.Linear() if name == "recognition.hidden.weight":
            # The JAX network flattens [y, x, channel], PyTorch's flattens [channel, y, x].
            channels = 8
            side = round((kernel.shape[0] / channels) ** 0.5)
            split = kernel.reshape(side, side, channels, -1)
            return split.transpose(3, 2, 0, 1).reshape(kernel.shape[::-1])
        case nn.Linear():
            return kernel.T
        case nn.ConvTranspose2d():  # [i, (y, x, o)]
            return kernel.reshape(kernel.shape[0], 2, 2, -1).transpose(0, 3, 1, 2)
        case nn.Conv3d():  # [y, x, t, o]
            return kernel.transpose(3, 2, 0, 1)[:, None]
        case nn.Conv2d() if kernel.ndim == 5:  # [g, y, x, i, o]
            g, side, _, i, o = kernel.shape
            return kernel.transpose(0, 4, 3, 1, 2).reshape(g * o, i, side, side)
        case nn.Conv2d() if kernel.ndim == 2:  # [(y, x, i), o]
            split = kernel.reshape(*module.kernel_size, -1, kernel.shape[1])
            return split.transpose(3, 2, 0, 1)
        case nn.Conv2d():  # [y, x, i, o]
            return kernel.transpose(3, 2, 0, 1)
    raise TypeError(f"no layout for {name}")


def in_twin_layout(twin: TorchFDP, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Flax variables, or gradients of the same shape -> {name in the twin: array}.

    Args:
      twin: only names and shapes are read.
      variables: {"params": tree} or {"params": tree, "batch_stats": tree}.
    """
    modules = dict(twin.named_modules())
    arrays = {}
    for name, tensor in twin.state_dict().items():
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
        if path[-1] == "kernel":
            array = to_torch_layout(array, name, module)
        if array.shape != tuple(tensor.shape):
            raise ValueError(f"{'/'.join(path)}: {array.shape} does not fit {name}")
        arrays[name] = array
    return arrays


def load_flax(twin: TorchFDP, variables: Mapping[str, Any]) -> None:
    """Copies weights and running statistics of the JAX network into the twin."""
    state = twin.state_dict()
    for name, array in in_twin_layout(twin, variables).items():
        state[name].copy_(torch.from_numpy(array.copy()))
