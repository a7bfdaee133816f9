"""A corpus of SAMM's size drawn in memory, for machines that have no corpus and no TFDS.

The frames hold a smooth pattern for each person and a spot for each category that comes and goes.
They stand for no face: what is trained on them is worth its time, and its scores nothing.
"""

import dataclasses

import cv2
import numpy as np

from datasets.options import BuildOptions
from datasets.protocols import get_protocol
from fdp_jax.clips import Clips

PEOPLE = 27
SIDE = 72  # of the frames as built by default, pixels
SHORTEST, LONGEST = 70, 100  # frames of a clip
NAME = "drawn"


def drawn_clips(people: int = PEOPLE, side: int = SIDE, seed: int = 0) -> Clips:
    """Clips in the categories of SAMM's `5class`, each as frequent as there.

    Args:
      people: how many, at least two; all 27 have SAMM's 136 clips, fewer have their share.
      side: of a frame, in pixels.
      seed: of who has which clips, their lengths and their frames.
    """
    rng = np.random.default_rng(seed)
    samm = get_protocol("samm", "5class")
    labels = _labels(samm.parts[0].expected_counts("").per_class, people, rng)
    # Everyone has a clip; who has the others is left to chance, so that folds differ in size.
    person_of = np.concatenate([np.arange(people), rng.integers(people, size=len(labels) - people)])
    person_of.sort()
    lengths = rng.integers(SHORTEST, LONGEST + 1, len(labels)).astype(np.int32)
    part = dataclasses.replace(samm.parts[0], dataset=NAME, expected={})
    return Clips(
        protocol=dataclasses.replace(samm, parts=(part,)),
        frames=_frames(person_of, labels, lengths, side, rng),
        starts=(np.cumsum(lengths) - lengths).astype(np.int32),
        lengths=lengths,
        labels=labels,
        datasets=(NAME,) * len(labels),
        subjects=tuple(f"p{person:02}" for person in person_of),
        names=tuple(f"c{clip:03}" for clip in range(len(labels))),
        label_version=NAME,
        corrections=(),
        warnings=("the frames are drawn for measuring speed; the scores mean nothing",),
        crop=dataclasses.replace(BuildOptions(), side=side).crop,
    )


def _labels(per_class: tuple[int, ...], people: int, rng: np.random.Generator) -> np.ndarray:
    """int32 [clip], every category with its share, in no order."""
    of_all = np.repeat(np.arange(len(per_class), dtype=np.int32), per_class)
    clips = round(len(of_all) * people / PEOPLE)
    evenly = np.linspace(0, len(of_all) - 1, clips).round().astype(int)
    return rng.permutation(of_all[evenly])


def _frames(
    person_of: np.ndarray,
    labels: np.ndarray,
    lengths: np.ndarray,
    side: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """uint8 [all frames, side, side, 1]."""
    faces = [_pattern(rng, side) for _ in range(person_of.max() + 1)]
    spots = [_pattern(rng, side) - 128 for _ in range(labels.max() + 1)]
    clips = []
    for person, label, length in zip(person_of, labels, lengths, strict=True):
        strength = np.sin(np.linspace(0, np.pi, length, dtype=np.float32))[:, None, None]
        clip = faces[person] + 0.5 * strength * spots[label]
        clip += rng.integers(-8, 9, clip.shape, np.int8)
        clips.append(clip.clip(0, 255).astype(np.uint8))
    return np.concatenate(clips)[..., None]


def _pattern(rng: np.random.Generator, side: int) -> np.ndarray:
    """float32 [side, side] from 64 to 192, without edges."""
    coarse = rng.uniform(64, 192, (6, 6)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
