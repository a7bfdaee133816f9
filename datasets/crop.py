"""How the faces of a corpus are cropped. Standard library only."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

CROP_ENTRIES = {"per_frame": bool, "side": int, "margin": float, "interpolation": str}


@dataclasses.dataclass(frozen=True)
class Crop:
    """Alignment of frames; the field docstrings are those of the options of a build."""

    per_frame: bool = False
    """Find the landmarks on every frame, instead of on the onset frame alone."""

    side: int = 72
    """Height and width of the aligned frames, pixels, from 16 to 512."""

    margin: float = 2.5
    """Side of the crop over the box of eyes, nose and mouth; more than 1, at most 10."""

    interpolation: Literal["area", "linear"] = "area"
    """area: an aligned pixel is the mean of the pixels that it covers; linear: as in the released
    code of the paper, with sensor noise and aliasing."""

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
