"""How the faces of a corpus are cropped. Standard library only."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

CROP_ENTRIES = {"per_frame": bool, "side": int, "margin": float, "interpolation": str}


@dataclasses.dataclass(frozen=True)
class Crop:
    """Alignment of frames: the options of `datasets.options.BuildOptions` of these names.

    Attributes:
      per_frame: landmarks are found on every frame instead of once per clip.
      side: height and width of the aligned frame, pixels.
      margin: side of the crop over the longer side of the five points' bounding box.
      interpolation: `area` averages the pixels that an aligned one covers; `linear`, as in the
        released code of the paper, does not.
    """

    per_frame: bool
    side: int
    margin: float
    interpolation: Literal["area", "linear"] = "area"

    @classmethod
    def from_entries(cls, entries: Mapping[str, Any]) -> "Crop":
        """Returns the crop of `CROP_ENTRIES` in a JSON file, which may hold others too."""
        return cls(**{name: entries[name] for name in CROP_ENTRIES})

    @property
    def as_options(self) -> str:
        """The options of `python -m datasets.build NAME` that give this crop."""
        options = f"--side={self.side} --margin={self.margin:g}"
        linear = " --interpolation=linear" if self.interpolation == "linear" else ""
        return f"{'--per_frame ' * self.per_frame}{options}{linear}"
