"""Child process: times training steps of the PyTorch reference.

A step is forward, backward and Adam on one batch that is ready in memory; unlike ours it includes
no sampling, no cropping and no target.
"""

import gc
import json
import sys
import time
from typing import Any

import torch

from fdp_jax.benchmark.measure import (
    CLASSES,
    emit,
    first_line,
    peak_memory_bytes,
    spread,
    time_turns,
)
from fdp_jax.benchmark.torch_reference import TorchFDP, torch_loss
from fdp_jax.config import TrainConfig, config_from_dict

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")


class TorchStep:
    """Training steps of one network."""

    def __init__(self, config: TrainConfig, precision: str, layout: str, compiled: bool):
        """Creates the network and one random batch.

        Args:
          config: options of the training; `precision` there is ignored.
          precision: of products; `bfloat16` is autocast, with parameters and sums in float32.
          layout: of the maps in memory, `contiguous` or `channels_last`.
          compiled: whether to use `torch.compile`.
        """
        self.config, self.autocast = config, precision == "bfloat16"
        torch.manual_seed(0)
        torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
        torch.backends.cudnn.allow_tf32 = precision != "float32"
        clip, optimizer, b = config.clip, config.optimizer, config.batch_size
        self.network = TorchFDP(config.model, CLASSES, clip.frames, clip.crop).to(DEVICE).train()
        clips = torch.rand(b, clip.frames, clip.crop, clip.crop, 3, device=DEVICE) * 2 - 1
        clips = clips.permute(0, 1, 4, 2, 3)  # [b, t, c, h, w], channels last in memory
        if layout == "channels_last":
            # By hand, since `Module.to` refuses the kernel of the 3D convolution.
            for parameter in self.network.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        else:
            clips = clips.contiguous()
        target = torch.rand(b, clip.crop, clip.crop, device=DEVICE)
        self.batch = clips, target, torch.arange(b, device=DEVICE) % CLASSES
        self.forward = torch.compile(self._loss) if compiled else self._loss
        self.optimizer = torch.optim.Adam(
            self.network.parameters(),
            lr=optimizer.learning_rate,
            betas=(0.9, optimizer.second_moment_decay),
            weight_decay=optimizer.weight_decay,
        )

    def _loss(
        self, clips: torch.Tensor, target: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.autocast):
            outputs = self.network(clips)
        outputs = type(outputs)(*(output.float() for output in outputs))
        return torch_loss(outputs, target, labels, self.config.loss)

    def run(self, steps: int) -> float:
        """Runs several steps and returns the seconds of one."""
        start = time.perf_counter()
        for _ in range(steps):
            self.optimizer.zero_grad(set_to_none=True)
            self.forward(*self.batch).backward()
            self.optimizer.step()
        if ON_GPU:
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / steps


def measure(config: TrainConfig, turns: int, **of_step: Any) -> dict[str, Any]:
    """Returns the spread of the turns, the seconds of the first step and the peak memory."""
    if ON_GPU:
        gc.collect()  # of the step before
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step = TorchStep(config, **of_step)
    first = step.run(1)
    seconds = spread(time_turns(step.run, turns, ON_GPU))
    peak = torch.cuda.max_memory_allocated() if ON_GPU else peak_memory_bytes()
    return {"seconds": seconds, "first_step_seconds": first, "peak_bytes": peak}


def main(config: dict[str, Any], precisions: list[str], **arguments: Any) -> None:
    """Measures the step in each precision; one that fails does not stop the others."""
    for precision in precisions:
        try:
            result = measure(config_from_dict(config, "REQUEST"), precision=precision, **arguments)
        except Exception as error:  # torch.compile may raise anything
            result = {"missing": first_line(error)}
        emit(**{precision: result})


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
