"""What is trained while its time is taken: a preset, with the options that were changed.

No jax here: the process that compares the others only hands this on.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from datasets.errors import UserError
from fdp_jax.config import TrainConfig, check, preset

CLASSES = 5  # of SAMM's first protocol, as which the clips are drawn
PEOPLE = 27  # of the same


@dataclasses.dataclass(frozen=True)
class Workload:
    """A configuration and a corpus that can be handed to another process.

    Attributes:
      preset: its name.
      changes: dotted names of `TrainConfig`, as `model.stem_channels` -> another value.
      people: of the corpus drawn in memory, which has 136 clips of 27 people, as SAMM's 5class.
    """

    preset: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    people: int = PEOPLE

    @property
    def config(self) -> TrainConfig:
        """The options in full.

        Raises:
          UserError: no such preset or option, or sizes that cannot work.
        """
        config = preset(self.preset)
        for name, value in self.changes.items():
            config = _with(config, name, name.split("."), value)
        check(config)
        return config

    def with_changes(self, changes: Mapping[str, Any]) -> "Workload":
        """This one with further options changed."""
        return dataclasses.replace(self, changes={**self.changes, **changes})

    def as_arguments(self) -> dict[str, Any]:
        """For JSON; `Workload(**...)` makes it again."""
        return {"preset": self.preset, "changes": dict(self.changes), "people": self.people}


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every option of a configuration: dotted name, value, type."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value, field.type


def _with(config: Any, name: str, path: list[str], value: Any) -> Any:
    """The configuration with one option changed."""
    if path[0] not in {field.name for field in dataclasses.fields(config)}:
        raise UserError(f"there is no option {name}")
    if len(path) > 1:
        value = _with(getattr(config, path[0]), name, path[1:], value)
    elif isinstance(value, list):  # as JSON brings a tuple
        value = tuple(value)
    return dataclasses.replace(config, **{path[0]: value})
