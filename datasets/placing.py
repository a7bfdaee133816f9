"""Where a build writes, and how it comes to its place whole: in a hidden folder, then by renaming.

data_dir/<name>/<version>              the built corpus
data_dir/<name>/landmarks.npz, .lock   kept between builds
data_dir/.<name>.building.<host>.<process>, .<name>.replaced.<host>.<process>   gone at the end
"""

import contextlib
import fcntl
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from datasets.reading import corpus_directory, is_built

_LEFTOVERS = ("building", "replaced")
_LANDMARKS = "landmarks.npz"


@contextlib.contextmanager
def only_build(name: str, data_dir: Path) -> Iterator[None]:
    """Waits until no other process builds the corpus, and then keeps others off.

    A crash leaves no lock behind, and the file that bears it is never removed, since another may
    wait for it.
    """
    folder = data_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"another process builds {name} in {data_dir}; waiting for it ...", file=sys.stderr
            )
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: two builds cost time there, but do no harm
        for part in folder.glob(f".{_LANDMARKS}.*"):  # half written by a killed build
            part.unlink(missing_ok=True)
        yield


@contextlib.contextmanager
def building_folder(name: str, data_dir: Path) -> Iterator[Path]:
    """A folder to build in; `put_in_place` makes it the corpus, and whatever is left is removed."""
    fresh, old = _hidden(name, data_dir)
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if is_built(name, data_dir):
            shutil.rmtree(old, ignore_errors=True)


def put_in_place(built: Path, name: str, data_dir: Path) -> None:
    """Makes the folder `built` the corpus; the one that was there goes, or stays if this fails."""
    directory, (_, old) = corpus_directory(name, data_dir), _hidden(name, data_dir)
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Deleting takes its time, and a kill in it would leave neither corpus; renaming does not.
    if directory.exists():
        directory.rename(old)
    try:
        built.rename(directory)
    except BaseException:
        if old.exists():
            old.rename(directory)
        raise


def _hidden(name: str, data_dir: Path) -> tuple[Path, Path]:
    """This process' folder of the new corpus, and of the one that it replaces."""
    fresh, old = (
        data_dir / f".{name}.{what}.{socket.gethostname()}.{os.getpid()}" for what in _LEFTOVERS
    )
    return fresh, old


def remove_leftovers(name: str, data_dir: Path) -> None:
    """Removes what killed builds of this machine left; one that still runs is left alone."""
    host = f".{socket.gethostname()}."
    for path in (path for what in _LEFTOVERS for path in data_dir.glob(f".{name}.{what}{host}*")):
        process = path.name.rpartition(".")[2]
        if os.name != "posix" or not process.isdigit():
            continue
        try:
            if int(process) != os.getpid():  # else of a dead one that had our number
                os.kill(int(process), 0)  # asks only whether it is there
                continue
        except PermissionError:
            continue
        except ProcessLookupError:
            pass
        shutil.rmtree(path, ignore_errors=True)


def landmark_file(name: str, data_dir: Path) -> Path:
    """Where the landmarks of a corpus are kept, whatever its version."""
    return data_dir / name / _LANDMARKS
