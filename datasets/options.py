"""Options of a build. Standard library only, so that --help is quick."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from datasets.crop import Crop
from datasets.errors import UserError
from datasets.protocols import CORPORA
from datasets.reading import needs_manual_dir

_FILMED = tuple(filter(needs_manual_dir, CORPORA))
_RANGES = {
    "workers": (0, None),
    "side": (16, 512),
    "people": (1, None),
    "clips_per_category": (1, None),
    "seed": (0, None),
    "after_apex": (0, None),
}


def _only(*corpora: str, default: Any = None, unset: Any = None) -> Any:
    """A field for some corpora: left at `unset` it is not given, and becomes `default` there."""
    metadata = {"corpora": corpora, "default": unset if default is None else default}
    return dataclasses.field(default=unset, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """What can be chosen about a build."""

    per_frame: bool = False
    """Find the landmarks on every frame, instead of on the onset frame and hold them fixed."""

    side: int = 72
    """Height and width of the aligned frames, pixels, from 16 to 512."""

    margin: float = 2.5
    """Side of the crop over the box of eyes, nose and mouth; more than 1, at most 10."""

    on_no_face: Literal["fail", "skip"] = "fail"
    """What to do with a clip in no frame of which a face is found."""

    on_missing: Literal["fail", "skip"] = _only(*_FILMED, unset="fail")
    """What to do with a clip of whose frames all or many are missing."""

    frames_in: str | None = _only(*_FILMED)
    """Folder in --manual_dir that holds the subjects' folders, where there are several such."""

    label_version: str | None = _only("casme3")
    """casme3 only: v1 or v2, where the sheets of both are there."""

    after_apex: int | None = _only("casme3")
    """casme3 only: at most so many frames after the apex are kept, since offsets are loose."""

    face_models: Path | None = dataclasses.field(default=None, metadata={"identity": False})
    """Folder that holds the two .tflite face models; without it pip fetches them once."""

    workers: int = dataclasses.field(default=0, metadata={"identity": False})
    """Processes that read and align clips; 0 = one per core, 1 = no further process."""

    people: int | None = _only("synthetic", default=30)
    """synthetic only: how many people (default 30)."""

    clips_per_category: int | None = _only("synthetic", default=2)
    """synthetic only: clips of each of the five categories per person (default 2)."""

    seed: int | None = _only("synthetic", default=1)
    """synthetic only: seed of people and clips (default 1)."""

    def resolved(self, corpus: str) -> "BuildOptions":
        """These options for `corpus`, defaults filled in.

        Raises:
          UserError: an option was given that does not apply to this corpus, or is out of range.
        """
        changes = {}
        for field in dataclasses.fields(self):
            corpora = field.metadata.get("corpora", CORPORA)
            given = getattr(self, field.name) != field.default
            if given and corpus not in corpora:
                raise UserError(
                    f"--{field.name} is an option of {', '.join(corpora)} only, not of {corpus}."
                )
            if not given and corpus in corpora:
                changes[field.name] = field.metadata.get("default", field.default)
        options = dataclasses.replace(self, **changes)
        for told in options._out_of_range():
            raise UserError(told)
        return options

    def _out_of_range(self) -> Iterator[str]:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and (value < least or (most is not None and value > most)):
                allowed = f"{least} or more" if most is None else f"from {least} to {most}"
                yield f"--{name} must be {allowed}, not {value}."
        if not 1 < self.margin <= 10:
            yield f"--margin must be more than 1 and at most 10, not {self.margin}."
        if self.label_version not in (None, "v1", "v2"):
            yield f"--label_version must be v1 or v2, not {self.label_version}."

    @property
    def crop(self) -> Crop:
        """How frames are aligned."""
        return Crop(self.per_frame, self.side, self.margin)

    def identity(self) -> dict[str, bool | float | int | str]:
        """The options that change the built corpus, by name; those that do not apply left out."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata.get("identity", True) and getattr(self, field.name) is not None
        }
