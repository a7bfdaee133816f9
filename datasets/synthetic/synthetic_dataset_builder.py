"""The embedded corpus `synthetic`: drawn faces with micro-expressions; see `datasets/README.md`.

The drawn frames pass through the same face detector and alignment as those of any corpus.
"""

from datasets.builder import CorpusBuilder, Plan
from datasets.synthetic.clips import clip_specs


class Builder(CorpusBuilder):
    """Draws the corpus; `people`, `clips_per_category` and `seed` are its options."""

    name = "synthetic"

    def plan(self) -> Plan:
        """Returns every clip that follows from the options."""
        options = self.build_options
        specs = clip_specs(options.people, options.clips_per_category, options.seed)
        return Plan(tasks=tuple(specs), label_version="synthetic 1")
