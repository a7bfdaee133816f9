"""The commands that messages tell a user to give next."""

import dataclasses
import shlex
from pathlib import Path

from datasets.options import BuildOptions

# What decides which frames and labels are looked at, or is needed to look at all.
_CARRIED = ("frames_in", "label_version", "after_apex", "face_models")


def corpus_command(
    program: str, corpus: str, manual_dir: Path | str, options: BuildOptions, *further: str
) -> str:
    """A command on an unpacked corpus, to be copied into a shell.

    Args:
      program: module, as `datasets.doctor`.
      corpus: its name.
      manual_dir: where it was unpacked.
      options: those that choose sheet, frames and models go along.
      further: arguments, as they are to be typed.
    """
    chosen = {"manual_dir": manual_dir}
    chosen |= {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.name in _CARRIED and getattr(options, field.name) != field.default
    }
    told = [f"--{name}={shlex.quote(str(value))}" for name, value in chosen.items()]
    return " ".join([f"python -m {program} {corpus}", *told, *further])
