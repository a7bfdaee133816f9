"""Clips of the synthetic corpus as tasks of a build. Without TFDS, which workers do not need."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from datasets.clip_tasks import Annotation
from datasets.synthetic import clips, motion


@dataclasses.dataclass(frozen=True)
class DrawnClip:
    """A clip to be drawn when it is built."""

    spec: clips.ClipSpec

    @property
    def subject(self) -> str:
        """The person."""
        return self.spec.subject

    @property
    def clip(self) -> str:
        """Name, unique within the person."""
        return self.spec.name

    @property
    def where(self) -> str:
        """What it is drawn from."""
        return f"drawn from seed {self.spec.seed}"

    def annotation(self) -> Annotation:
        """What a sheet would tell."""
        timing = clips.prepare_clip(self.spec).timing
        return Annotation(
            subject=self.subject,
            clip=self.clip,
            emotion=self.spec.category,
            objective_class="",
            action_units="+".join(map(str, timing.units)),
            onset=timing.onset,
            apex=timing.apex,
            offset=timing.offset,
            fps=motion.FPS,
        )

    def frames(self) -> Iterator[np.ndarray]:
        """Uint8 [h, w] grey each, from onset to offset."""
        return clips.prepare_clip(self.spec).frames()
