"""Reads JSON files of a work directory, with finite numbers and checked types."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

Kind = type | list | dict


def read(path: Path) -> Any:
    """Returns the content of a file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is incomplete, or has NaN, infinity, or a number too large for a float.
    """
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> Any:
    """Returns the content of a JSON text; raises ValueError as `read` does."""
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"it has {name}")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def wrong_in(content: object, kind: Kind) -> str | None:
    """Returns the first entry of another type, in words; None if all types match.

    Args:
      content: of a file.
      kind: a type; a list with the kind of every entry; or a dict of kinds by name. A name that
        ends in `?` may be missing or null, `*` is every name, and other names are allowed.
    """
    return next(_wrong(content, kind, "its content"), None)


def _wrong(value: object, kind: Kind, name: str) -> Iterator[str]:
    if isinstance(kind, dict) and isinstance(value, dict):
        if "*" in kind:
            kind = dict.fromkeys(value, kind["*"])
        for key, inner in kind.items():
            entry = value.get(key.rstrip("?"))
            if entry is not None or not key.endswith("?"):
                yield from _wrong(entry, inner, key.rstrip("?"))
    elif isinstance(kind, list) and isinstance(value, list):
        for entry in value:
            yield from _wrong(entry, kind[0], name)
    elif type(value) is not kind and not (kind is float and type(value) is int):
        yield f"{name} is {json.dumps(value, ensure_ascii=False)[:60]}"
