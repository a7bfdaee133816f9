"""JSON files of a work directory: whole, with numbers that are numbers, of the kinds expected."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

Kind = type | list | dict


def read(path: Path) -> object:
    """The content of a file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is torn, or holds NaN, infinity, or a number too large for a float.
    """
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> object:
    """As `read`, of what stands in a file."""
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(name: str) -> None:
    raise ValueError(f"it holds {name}")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def wrong_in(content: object, kind: Kind) -> str | None:
    """The first entry that is of another kind, in words; None where all are as they should be.

    Args:
      content: of a file.
      kind: a type; a list with the kind of all entries; or a dict of the kinds by name, in which
        a name that ends in `?` may be missing or null, and beside which there may be others.
    """
    return next(_wrong(content, kind, "its content"), None)


def _wrong(value: object, kind: Kind, name: str) -> Iterator[str]:
    if isinstance(kind, dict) and isinstance(value, dict):
        for key, inner in kind.items():
            entry = value.get(key.rstrip("?"))
            if entry is not None or not key.endswith("?"):
                yield from _wrong(entry, inner, key.rstrip("?"))
    elif isinstance(kind, list) and isinstance(value, list):
        for entry in value:
            yield from _wrong(entry, kind[0], name)
    elif type(value) is not kind and not (kind is float and type(value) is int):
        yield f"{name} is {json.dumps(value, ensure_ascii=False)[:60]}"
