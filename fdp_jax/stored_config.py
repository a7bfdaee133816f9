"""The options of a training, read again from its work directory (no jax needed)."""

import dataclasses
import typing
from collections.abc import Mapping

from datasets.errors import UserError
from fdp_jax.config import Forms, TrainConfig, check


def config_from(values: Mapping, source: object) -> TrainConfig:
    """The reverse of `as_dict`; other entries than those of a config are left alone.

    Args:
      values: as `as_dict` gives, among others.
      source: where they come from, for the error.

    Raises:
      UserError: one is missing, or is no value for its option.
    """
    try:
        config = _from_dict(TrainConfig, values)
        check(config)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{source} does not hold the options of a training of this version ({error})"
        ) from error
    return config


def _from_dict(kind: type, values: Mapping):
    """A dataclass of a dataclass' values; fields that are no part of the identity stay default."""
    made, kinds = {}, typing.get_type_hints(kind)
    for part in dataclasses.fields(kind):
        default = part.default_factory() if callable(part.default_factory) else part.default
        if isinstance(default, Forms):
            continue
        value = values[part.name]
        if dataclasses.is_dataclass(default):
            made[part.name] = _from_dict(type(default), value)
        elif isinstance(default, tuple):
            made[part.name] = tuple(int(entry) for entry in value)
        elif (known := typing.get_args(kinds[part.name])) and value not in known:
            raise ValueError(f"{part.name} is {value!r}")
        elif type(value) is type(default) or (isinstance(default, float) and _is_number(value)):
            made[part.name] = type(default)(value)
        else:
            raise TypeError(f"{part.name} is {value!r}")
    return kind(**made)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
