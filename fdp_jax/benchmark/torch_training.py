"""The training of one fold in a plain PyTorch loop, for part `score` of the benchmark."""

import time
from functools import partial

import jax
import numpy as np
import torch

from fdp_jax.benchmark.score_curve import SEED, indices_of
from fdp_jax.benchmark.torch_reference import TorchFDP, torch_loss
from fdp_jax.benchmark.torch_weights import load_flax
from fdp_jax.config import TrainConfig
from fdp_jax.input_pipeline import Batch, PackedClips, evaluation_batch, training_batch
from fdp_jax.rng import Purpose, derive_key, fold_key
from fdp_jax.splits import Fold
from fdp_jax.train_step import create_train_state, learning_rate_schedule


class TorchTraining:
    """Training of one fold with PyTorch: first weights and batches are those of our step."""

    def __init__(
        self, config: TrainConfig, classes: int, corpus: PackedClips, fold: Fold, init: str
    ):
        """Takes the arguments of `JaxTraining`; `init` must be empty."""
        self.config, self.corpus, self.fold = config, corpus, fold
        self.key = fold_key(SEED, fold.name)
        torch.manual_seed(SEED)  # dropout
        clip, optimizer = config.clip, config.optimizer
        self.network = TorchFDP(config.model, classes, clip.frames, clip.crop)
        load_flax(self.network, create_train_state(config, classes, self.key).variables)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(),
            betas=(0.9, optimizer.second_moment_decay),
            weight_decay=optimizer.weight_decay,
        )
        self.learning_rate = learning_rate_schedule(optimizer, config.steps)
        self.draw = jax.jit(partial(training_batch, config=clip))
        self.read = jax.jit(partial(evaluation_batch, config=clip))

    def train(self, steps: range) -> float:
        """Returns the seconds of these steps."""
        self.network.train()
        seconds = 0.0
        for step in steps:
            key = derive_key(self.key, Purpose.SAMPLING, step)
            indices = indices_of(self.config, self.fold, step)
            clips, target, labels = _tensors(self.draw(self.corpus, indices, key))
            self.optimizer.param_groups[0]["lr"] = float(self.learning_rate(step))
            start = time.perf_counter()
            self.optimizer.zero_grad(set_to_none=True)
            loss = torch_loss(self.network(clips), target, labels, self.config.loss)
            loss.backward()
            self.optimizer.step()
            seconds += time.perf_counter() - start
        return seconds

    @torch.no_grad()
    def predict(self) -> np.ndarray:
        """Returns the predicted categories of the fold's test clips."""
        self.network.eval()
        parts = np.array_split(self.fold.test, -(-len(self.fold.test) // self.config.batch_size))
        logits = [self.network(_tensors(self.read(self.corpus, part))[0]).logits for part in parts]
        return torch.cat(logits).argmax(dim=1).numpy()


def _tensors(batch: Batch) -> tuple[torch.Tensor, ...]:
    """Returns clips with channels before rows, target and labels."""
    clips, target, labels = (torch.from_numpy(np.array(a)) for a in jax.tree.leaves(batch))
    return clips.permute(0, 1, 4, 2, 3).contiguous(), target, labels.long()
