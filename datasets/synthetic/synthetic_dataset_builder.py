"""The embedded corpus `synthetic`: drawn faces with micro-expressions; see `datasets/README.md`.

Nothing is downloaded but the face models, and nothing read: the frames are drawn (`drawing`,
`motion`, `clips`) and then pass through the same detector and alignment as those of any corpus.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from datasets.clip_tasks import Annotation
from datasets.common import CorpusBuilder, Plan
from datasets.synthetic import clips, motion


@dataclasses.dataclass(frozen=True)
class _DrawnClip:
    spec: clips.ClipSpec

    @property
    def subject(self) -> str:
        return self.spec.subject

    @property
    def clip(self) -> str:
        return self.spec.name

    @property
    def where(self) -> str:
        return f"drawn from seed {self.spec.seed}"

    def annotation(self) -> Annotation:
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
        return clips.prepare_clip(self.spec).frames()


class Builder(CorpusBuilder):
    """Draws the corpus; `people`, `clips_per_category` and `seed` are its options."""

    name = "synthetic"

    def plan(self) -> Plan:
        """Every clip that follows from the options."""
        options = self.build_options
        specs = clips.clip_specs(options.people, options.clips_per_category, options.seed)
        return Plan(tasks=tuple(map(_DrawnClip, specs)), label_version="synthetic 1")
