"""Options of a build, and commands that carry them. Imports nothing heavy."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any, Literal

from datasets.crop import Crop
from datasets.errors import UserError
from datasets.protocols import CORPORA, OWN, is_own
from datasets.reading import needs_manual_dir, source_arguments

_IMAGE_CORPORA = tuple(filter(needs_manual_dir, CORPORA))
_NO_IDENTITY = {"identity": False}  # the option does not change the built corpus


def _only(*corpora: str, default: Any = None, filled_in: Any = None) -> Any:
    """A field for some corpora; where it is left at None there, it becomes `filled_in`."""
    metadata = {"corpora": corpora, "filled_in": filled_in}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class BuildOptions(Crop):
    """Options of a build, the crop among them."""

    on_no_face: Literal["fail", "skip"] = "fail"
    """What to do with a clip without a face in any frame."""

    on_missing: Literal["fail", "skip"] = _only(*_IMAGE_CORPORA, OWN, default="fail")
    """What to do with a clip that lacks all or many of its frames."""

    frames_in: str | None = _only(*_IMAGE_CORPORA)
    """Folder in --manual_dir that holds the subjects' folders, where there are several such."""

    label_version: Literal["v1", "v2"] | None = _only("casme3")
    """casme3 only: version of the sheet, where both are there."""

    after_apex: int | None = _only("casme3")
    """casme3 only: keep at most this many frames after the apex, since offsets are loose."""

    face_models: Path | None = dataclasses.field(default=None, metadata=_NO_IDENTITY)
    """Folder that holds the two .tflite face models; without it pip downloads them once."""

    workers: int = dataclasses.field(default=0, metadata=_NO_IDENTITY)
    """Processes that read and align clips; 0 = one per core, 1 = no further process."""

    people: int | None = _only("synthetic", filled_in=30)
    """synthetic only: number of people (default 30)."""

    clips_per_category: int | None = _only("synthetic", filled_in=2)
    """synthetic only: clips of each of the five categories per person (default 2)."""

    seed: int | None = _only("synthetic", filled_in=1)
    """synthetic only: seed of people and clips (default 1)."""

    def resolved(self, corpus: str) -> "BuildOptions":
        """Returns these options for `corpus`, defaults filled in.

        Raises:
          UserError: an option does not apply to this corpus, or is out of range.
        """
        changes, kind = {}, OWN if is_own(corpus) else corpus
        for field in dataclasses.fields(self):
            value, corpora = getattr(self, field.name), field.metadata.get("corpora", (kind,))
            if kind not in corpora and value != field.default:
                raise UserError(
                    f"--{field.name} is an option of {', '.join(corpora)} only, not of {corpus}."
                )
            if kind in corpora and value is None:
                changes[field.name] = field.metadata.get("filled_in")
        options = dataclasses.replace(self, **changes)
        options._check_ranges()
        return options

    def _check_ranges(self) -> None:
        for name, least in (
            ("workers", 0), ("people", 1), ("clips_per_category", 1), ("seed", 0), ("after_apex", 0)
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"--{name} must be {least} or more, not {value}.")
        if not 16 <= self.side <= 512:
            raise UserError(f"--side must be from 16 to 512, not {self.side}.")
        if not 1 < self.margin <= 10:
            raise UserError(f"--margin must be more than 1 and at most 10, not {self.margin}.")
        if self.label_version not in (None, "v1", "v2"):
            raise UserError(f"--label_version must be v1 or v2, not {self.label_version}.")

    @property
    def crop(self) -> Crop:
        """Alignment of the frames."""
        return Crop(self.per_frame, self.side, self.margin, self.interpolation)

    def identity(self) -> dict[str, bool | float | int | str]:
        """Returns the options that change the built corpus, by name, without those unset."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata.get("identity", True) and getattr(self, field.name) is not None
        }


def corpus_command(
    program: str, corpus: str, manual_dir: Path | str, options: BuildOptions, *further: str
) -> str:
    """Returns a command on an unpacked corpus, or on a table, to be copied into a shell.

    Args:
      program: module, as `datasets.doctor`.
      manual_dir: the folder, or the table of a corpus of the user's own.
      options: those that choose sheet, frames and face models are repeated.
      further: arguments, already quoted.
    """
    arguments = [
        f"--{name}={shlex.quote(str(value))}"
        for name in ("frames_in", "label_version", "after_apex", "face_models")
        if (value := getattr(options, name)) is not None
    ]
    source = source_arguments(corpus, shlex.quote(str(manual_dir)))
    return " ".join([f"python -m {program} {source}", *arguments, *further])
