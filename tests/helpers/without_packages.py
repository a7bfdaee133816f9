"""An environment in which only some packages can be imported, as on a machine that lacks the rest.

The packages stay installed: a `sitecustomize` that Python loads at its start refuses them, so that
it holds in the processes started from there, too.
"""

import os
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# What a machine lent for measuring has.
THERE = (
    "jax", "flax", "optax", "orbax-checkpoint", "opencv-python-headless", "scikit-learn", "scipy",
    "matplotlib", "numpy", "torch",
)  # fmt: skip
# Never there, even where one of the above would like to have it.
REFUSED = {
    "array_record", "importlib_resources", "jinja2", "mediapipe", "openpyxl", "python_calamine",
    "tensorboardX", "tensorflow_datasets", "tqdm", "tyro", "xlwt",
}  # fmt: skip

_SITECUSTOMIZE = """
import sys


class Without:
    # Around every finder: that of an editable installation has paths of its own.
    def __init__(self, finder):
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused}:
            return None
        return self._finder.find_spec(name, path, target)


sys.meta_path[:] = map(Without, sys.meta_path)
"""


def environment_with_only(folder: Path) -> dict[str, str]:
    """This process' environment, made so that `THERE` and its needs are all that is installed."""
    return environment_without(folder, REFUSED | _not_needed())


def environment_without(folder: Path, names: set[str]) -> dict[str, str]:
    """This process' environment, made so that these packages seem not to be installed."""
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE.format(refused=repr(sorted(names))))
    return {**os.environ, "PYTHONPATH": str(folder)}


def _not_needed() -> set[str]:
    """Importable names of installed packages that neither are there nor are needed by those."""
    needed = _with_their_needs(THERE) | {"fdp-jax"}  # installed or not
    return {
        name
        for name, packages in metadata.packages_distributions().items()
        if not needed & {canonicalize_name(package) for package in packages}
    }


def _with_their_needs(packages: tuple[str, ...]) -> set[str]:
    found, to_come = set(), [(package, "") for package in packages]
    while to_come:
        package, extra = to_come.pop()
        if (package, extra) in found:
            continue
        try:
            requirements = metadata.requires(package) or ()
        except metadata.PackageNotFoundError:  # another build of the same is installed
            continue
        found.add((package, extra))
        for requirement in map(Requirement, requirements):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                name = canonicalize_name(requirement.name)
                to_come += [(name, part) for part in ("", *requirement.extras)]
    return {package for package, _ in found}
