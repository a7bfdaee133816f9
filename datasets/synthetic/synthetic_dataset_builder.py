"""The embedded corpus `synthetic`: drawn faces with micro-expressions; see `datasets/README.md`.

Nothing is downloaded but the face models, and nothing read: the frames are drawn (`drawing`,
`motion`, `clips`) and then pass through the same detector and alignment as those of any corpus.
"""

from datasets.builder import CorpusBuilder, Plan
from datasets.synthetic import clips
from datasets.synthetic.tasks import DrawnClip


class Builder(CorpusBuilder):
    """Draws the corpus; `people`, `clips_per_category` and `seed` are its options."""

    name = "synthetic"

    def plan(self) -> Plan:
        """Every clip that follows from the options."""
        options = self.build_options
        specs = clips.clip_specs(options.people, options.clips_per_category, options.seed)
        return Plan(tasks=tuple(map(DrawnClip, specs)), label_version="synthetic 1")
