"""FDP in JAX; importing it checks that `datasets` is this project's."""

import importlib.util
import sys
from pathlib import Path


def _import_datasets() -> None:
    """Imports `datasets`, which checks the machine.

    Raises:
      ImportError: another package of that name hides it; a command ends with the sentence.
    """
    expected, found = Path(__file__).parents[1] / "datasets", importlib.util.find_spec("datasets")
    origin = Path(found.origin).parent if found and found.origin else None
    if origin == expected:
        importlib.import_module("datasets")
        return
    sentence = (
        f"the package datasets in {origin} hides this project's, {expected}; run this in an "
        f"environment without it, or from {expected.parent}"
    )
    if sys.argv[0] == "-m":
        sys.exit(f"error: {sentence}")
    raise ImportError(sentence)


_import_datasets()
