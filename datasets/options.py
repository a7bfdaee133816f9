"""Options of a build. Standard library only, so that --help is quick."""

import dataclasses
from pathlib import Path
from typing import Literal

from datasets.errors import UserError


def _only(corpus: str, default: int) -> int | None:
    """A field for one corpus: None means not given, and becomes `default` there."""
    return dataclasses.field(default=None, metadata={"corpus": corpus, "default": default})


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """What can be chosen about a build."""

    per_frame: bool = False
    """Find the landmarks on every frame, instead of on the onset frame and hold them fixed."""

    on_no_face: Literal["fail", "skip"] = "fail"
    """What to do with a clip in no frame of which a face is found."""

    face_models: Path | None = dataclasses.field(default=None, metadata={"identity": False})
    """Folder that holds the two .tflite face models; without it pip fetches them once."""

    workers: int = dataclasses.field(default=0, metadata={"identity": False})
    """Processes that read and align clips; 0 = one per core, 1 = no further process."""

    people: int | None = _only("synthetic", 30)
    """synthetic only: how many people (default 30)."""

    clips_per_category: int | None = _only("synthetic", 2)
    """synthetic only: clips of each of the five categories per person (default 2)."""

    seed: int | None = _only("synthetic", 1)
    """synthetic only: seed of people and clips (default 1)."""

    def resolved(self, corpus: str) -> "BuildOptions":
        """These options for `corpus`, defaults filled in.

        Raises:
          UserError: an option was given that does not apply to this corpus, or is out of range.
        """
        changes = {}
        for field in dataclasses.fields(self):
            of = field.metadata.get("corpus")
            if of is None:
                continue
            if of == corpus and getattr(self, field.name) is None:
                changes[field.name] = field.metadata["default"]
            if of != corpus and getattr(self, field.name) is not None:
                raise UserError(f"--{field.name} is an option of {of} only, not of {corpus}.")
        options = dataclasses.replace(self, **changes)
        for name, least in (("workers", 0), ("people", 1), ("clips_per_category", 1), ("seed", 0)):
            value = getattr(options, name)
            if value is not None and value < least:
                raise UserError(f"--{name} must be {least} or more, not {value}.")
        return options

    def identity(self) -> dict[str, bool | int | str]:
        """The options that change the built corpus, by name; those that do not apply left out."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata.get("identity", True) and getattr(self, field.name) is not None
        }
