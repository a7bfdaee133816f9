"""How the faces of a corpus were cut out. Standard library only."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Crop:
    """How frames are aligned: the options of `datasets.options.BuildOptions` of these names.

    Attributes:
      per_frame: landmarks are found on every frame, not held fixed over a clip.
      side: height and width of the aligned frame, pixels.
      margin: side of the crop over the longer side of the five points' bounding box.
    """

    per_frame: bool
    side: int
    margin: float

    @property
    def as_options(self) -> str:
        """As they are typed behind `python -m datasets.build NAME`."""
        return f"{'--per_frame ' * self.per_frame}--side={self.side} --margin={self.margin:g}"
