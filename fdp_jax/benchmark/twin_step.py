"""The training step of the PyTorch twin, in a process of its own."""

import time
from typing import Any, Literal

import torch

from fdp_jax.benchmark.machine import forget_peak_memory, peak_memory_bytes
from fdp_jax.benchmark.torch_reference import TorchFDP, twin_loss
from fdp_jax.benchmark.workload import CLASSES, Workload
from fdp_jax.config import Precision

Layout = Literal["contiguous", "channels_last"]


class TwinStep:
    """Forward, backward and Adam on one batch that lies ready in memory.

    Sampling, cropping and the target are not part of it, as they are of ours.
    """

    def __init__(
        self,
        workload: dict[str, Any],
        layout: Layout = "contiguous",
        compiled: bool = False,
        precision: Precision = "float32",
    ):
        """Makes the network and takes the first steps.

        Args:
          workload: as its `as_arguments` gives.
          layout: order of the channels in memory.
          compiled: whether through `torch.compile`.
          precision: of the products; `bfloat16` by autocast, parameters and sums in float32.
        """
        self._config = config = Workload(**workload).config
        torch.manual_seed(0)
        torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
        torch.backends.cudnn.allow_tf32 = precision != "float32"
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._autocast = precision == "bfloat16"
        network = TorchFDP(config.model, CLASSES, config.clip.frames, config.clip.crop)
        self._network = network.to(self._device).train()
        if layout == "channels_last":
            _put_channels_last(network)
        self._forward = torch.compile(self._loss) if compiled else self._loss
        self._optimizer = torch.optim.Adam(
            network.parameters(),
            lr=config.optimizer.learning_rate,
            betas=(0.9, config.optimizer.second_moment_decay),
            weight_decay=config.optimizer.weight_decay,
        )
        self._batch = self._make_batch(layout)
        began = time.perf_counter()
        self.run(1)
        self._first_seconds = time.perf_counter() - began
        self._before = forget_peak_memory()
        self.run(1)

    def _make_batch(self, layout: Layout) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Clips [b, t, 3, h, w] in the layout's order, target [b, h, w], labels [b]."""
        b, clip = self._config.batch_size, self._config.clip
        clips = torch.rand(b, clip.frames, 3, clip.crop, clip.crop) * 2 - 1
        if layout == "channels_last":
            clips = clips.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
        target = torch.rand(b, clip.crop, clip.crop)
        labels = torch.arange(b) % CLASSES
        return tuple(part.to(self._device) for part in (clips, target, labels))

    def _loss(
        self, clips: torch.Tensor, target: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
            outputs = self._network(clips)
        outputs = type(outputs)(*(part.float() for part in outputs))
        return twin_loss(outputs, target, labels, self._config.loss)

    def run(self, steps: int) -> float:
        """Takes so many steps and returns the seconds of one."""
        began = time.perf_counter()
        for _ in range(steps):
            self._optimizer.zero_grad(set_to_none=True)
            self._forward(*self._batch).backward()
            self._optimizer.step()
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / steps

    def describe(self) -> dict[str, Any]:
        """Peak memory and the first step's seconds."""
        on_gpu = self._device.type == "cuda"
        stepping = peak_memory_bytes()
        peak = max(self._before, stepping)
        return {
            "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else peak,
            "process_peak_bytes": peak,
            "process_peak_after_first_step_bytes": stepping,
            "first_step_seconds": self._first_seconds,
            "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        }


def _put_channels_last(network: torch.nn.Module) -> None:
    """All kernels of two dimensions; `Module.to` would refuse the one of three."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
