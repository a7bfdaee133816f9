"""The animated corpus: endless clips of stills for training, one fixed clip of each to evaluate."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np

from datasets.protocols import Membership, Protocol
from fdp_jax.animation.action_units import CATEGORIES, DATASET
from fdp_jax.animation.animation import AnimatedClips, Stills, animate, animation_of
from fdp_jax.animation.stills import CROP, Faces
from fdp_jax.clips import Clips
from fdp_jax.config import ClipConfig

PROTOCOL = Protocol(
    f"{len(CATEGORIES)}class",
    CATEGORIES,
    (Membership(DATASET, {name: name for name in CATEGORIES}),),
)
_FIXED_SEED = 0  # of the clips for evaluation
_BATCH = 32


def animated_clips(faces: Faces, config: ClipConfig) -> tuple[Clips, AnimatedClips]:
    """Returns the corpus on the host, and on the device.

    Args:
      faces: one still per clip.
      config: how clips are sampled, and where they end.
    """
    frames = config.frames
    n, side = faces.pixels.shape[:2]
    labels = (np.arange(n) % len(CATEGORIES)).astype(np.int32)
    stills = Stills(jnp.asarray(faces.pixels), jnp.asarray(faces.places))
    starts = np.arange(n, dtype=np.int32) * frames
    lengths = np.full(n, frames, np.int32)
    fixed = _fixed_clips(stills, labels, config, side)
    numbers, names = Counter(), []
    for person in faces.people:
        numbers[person] += 1
        names.append(f"{person}_{numbers[person]:02d}")
    skipped = f"{faces.skipped} of its pictures show no face." if faces.skipped else ""
    clips = Clips(
        protocol=PROTOCOL,
        frames=fixed,
        starts=starts,
        lengths=lengths,
        labels=labels,
        datasets=(DATASET,) * n,
        subjects=faces.people,
        names=tuple(names),
        label_version="",
        corrections=(),
        warnings=(skipped,) if skipped else (),
        crop=CROP,
    )
    packed = jax.device_put(AnimatedClips(fixed, starts, lengths, labels, stills))
    return clips, packed


def _fixed_clips(stills: Stills, labels: np.ndarray, config: ClipConfig, side: int) -> np.ndarray:
    """Returns one clip of each still, uint8 [n t, side, side, 3]."""
    draw = jax.jit(animate, static_argnums=(5, 6, 7))
    parts, n = [], len(labels)
    for start in range(0, n, _BATCH):
        some = np.resize(np.arange(start, min(start + _BATCH, n)), _BATCH)
        part = jax.tree.map(lambda leaf, some=some: leaf[some], stills)
        key = jax.random.fold_in(jax.random.key(_FIXED_SEED), start)
        corners, flip = jnp.zeros((_BATCH, 2), jnp.int32), jnp.zeros(_BATCH, bool)
        clips = draw(
            part, labels[some], corners, flip, key, config.frames, side, animation_of(config)
        )
        parts.append(np.asarray(clips, np.uint8)[: n - start])
    return np.concatenate(parts).reshape(-1, side, side, 3)
