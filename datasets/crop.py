"""How the faces of a corpus are cropped. Standard library only."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Crop:
    """Alignment of frames: the options of `datasets.options.BuildOptions` of these names.

    Attributes:
      per_frame: landmarks are found on every frame instead of once per clip.
      side: height and width of the aligned frame, pixels.
      margin: side of the crop over the longer side of the five points' bounding box.
    """

    per_frame: bool
    side: int
    margin: float

    @property
    def as_options(self) -> str:
        """The options of `python -m datasets.build NAME` that give this crop."""
        return f"{'--per_frame ' * self.per_frame}--side={self.side} --margin={self.margin:g}"
