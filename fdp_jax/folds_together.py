"""Several folds trained as one program on one device; one fold is a group of one."""

import math
from collections.abc import Iterable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fdp_jax.grouping import MOST_AT_ONCE, folds_that_fit, group_sizes
from fdp_jax.input_pipeline import PackedClips
from fdp_jax.train_step import StepMetrics, Steps, TrainState


@partial(jax.jit, static_argnums=1)
def _room_for(state: TrainState, folds: int) -> TrainState:
    return jax.tree.map(lambda leaf: jnp.zeros((folds, *leaf.shape), leaf.dtype), state)


@partial(jax.jit, donate_argnums=0)
def _with_member(states: TrainState, state: TrainState, place: jax.Array) -> TrainState:
    return jax.tree.map(lambda leaves, leaf: leaves.at[place].set(leaf), states, state)


@jax.jit
def member(states: TrainState, place: int | jax.Array) -> TrainState:
    """The state of one fold out of stacked ones, as a copy."""
    return jax.tree.map(lambda leaves: leaves[place], states)


def stack_states(states: Iterable[TrainState], folds: int) -> TrainState:
    """The states of K folds as one whose leaves have a first axis of length K.

    Args:
      states: as many as folds; taken one by one, so that they need not all be there at once.
      folds: K.
    """
    stacked = None
    for place, state in enumerate(states):
        stacked = _room_for(state, folds) if stacked is None else stacked
        stacked = _with_member(stacked, state, place)
    return stacked


class FoldsTogether:
    """The states of a group of folds, trained in step."""

    def __init__(
        self,
        steps: Steps,
        corpus: PackedClips,
        states: Iterable[TrainState],
        keys: Sequence[jax.Array],
    ):
        """Takes over the states.

        Args:
          steps: compiled functions.
          corpus: every clip.
          states: of the folds, all after the same step; taken one by one.
          keys: of the folds.
        """
        self._steps, self._corpus, self._keys = steps, corpus, list(keys)
        self._stacked = self._single = None
        if len(self._keys) == 1 or steps.chosen_fold_axis == "turn":
            self._single = list(states)
        else:
            self._stacked = stack_states(states, len(self._keys))
            self._keys = jnp.stack(self._keys)

    def train(self, numbers: np.ndarray) -> list[StepMetrics]:
        """One step of every fold on its clips, int32 [K, b] -> the reports.

        One report with leaves [K] where the folds share a program, else one for each fold.
        """
        batches = jax.device_put(list(numbers) if self._single else numbers)
        with jax.transfer_guard("disallow"):  # the corpus must never travel again
            if self._single:
                return [self._train_single(place, batch) for place, batch in enumerate(batches)]
            self._stacked, report = self._steps.train_together(
                self._stacked, self._corpus, batches, self._keys
            )
        return [report]

    def _train_single(self, place: int, batch: jax.Array) -> StepMetrics:
        self._single[place], report = self._steps.train(
            self._single[place], self._corpus, batch, self._keys[place]
        )
        return report

    def state(self, place: int) -> TrainState:
        """The state of the fold at that place; do not keep it over the next step."""
        return self._single[place] if self._single else member(self._stacked, place)


def averages(reports: Sequence[Sequence[StepMetrics]]) -> list[dict[str, float]]:
    """For each fold the means, over some steps, of the terms that there are.

    Args:
      reports: of each step, as `FoldsTogether.train` gives them.
    """
    on_host = jax.device_get(reports)
    there = {}
    for name in StepMetrics.__dataclass_fields__:
        if getattr(on_host[0][0], name) is not None:  # the module is there
            values = [[getattr(part, name) for part in of_step] for of_step in on_host]
            there[name] = np.array(values).reshape(len(values), -1)  # [step, K]
    return [
        {
            name: float(np.mean(np.ascontiguousarray(values[:, place])))
            for name, values in there.items()
        }
        for place in range(there["total"].shape[1])
    ]


def choose_folds_at_once(steps: Steps, corpus: PackedClips, key: jax.Array, folds: int) -> int:
    """How many folds `--folds_at_once=auto` trains at once.

    One where they would be trained in turn; else as many as fit the device's free memory, by what
    the program of the largest group that makes sense needs. Where that fits, it is the one used.

    Args:
      steps: compiled functions.
      corpus: every clip, on the device already.
      key: of any fold.
      folds: that there are.
    """
    statistics = jax.local_devices()[0].memory_stats() or {}
    most = group_sizes(folds, MOST_AT_ONCE)[0]
    if steps.chosen_fold_axis == "turn" or most == 1 or "bytes_limit" not in statistics:
        return 1
    keys = jnp.stack([key] * most)
    states = jax.eval_shape(jax.vmap(steps.initial_state), keys)
    numbers = jax.ShapeDtypeStruct((most, steps.config.batch_size), jnp.int32)
    program = Steps.train_together.lower(steps, states, corpus, numbers, keys).compile()
    needs = program.memory_analysis()
    corpus_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(corpus))  # in use already
    all_folds = needs.temp_size_in_bytes + needs.argument_size_in_bytes - corpus_bytes
    all_folds += needs.output_size_in_bytes - needs.alias_size_in_bytes
    free = statistics["bytes_limit"] - statistics["bytes_in_use"]
    return folds_that_fit(free, math.ceil(all_folds / most))


def compiled_step(steps: Steps, corpus: PackedClips, key: jax.Array) -> jax.stages.Compiled:
    """The program of one fold's step; `Steps.train` does not compile it again.

    Args:
      steps: compiled functions.
      corpus: every clip, on the device already.
      key: of any fold.
    """
    state = jax.eval_shape(steps.initial_state, key)
    numbers = jax.ShapeDtypeStruct((steps.config.batch_size,), jnp.int32)
    return Steps.train.lower(steps, state, corpus, numbers, key).compile()
