"""Atomic writes: a file or a built corpus appears whole, under a temporary name first.

data_dir/<name>/<version>              the built corpus
data_dir/<name>/landmarks.npz, .lock   kept between builds; the lock only if there is a corpus
data_dir/.<name>.building.<host>.<process>, .<name>.replaced.<host>.<process>   removed at the end
"""

import contextlib
import fcntl
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets.reading import corpus_directory, is_built

_LANDMARKS = "landmarks.npz"
_HIDDEN = ("building", "replaced")  # in the names of the new corpus' folder and of the old one's


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name, `.<name>.*`, and renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def landmark_file(name: str, data_dir: Path) -> Path:
    """Returns the file that keeps the landmarks of a corpus, for every version of it."""
    return data_dir / name / _LANDMARKS


@contextlib.contextmanager
def build_lock(name: str, data_dir: Path) -> Iterator[None]:
    """Waits until no other process builds the corpus, and keeps others from building it.

    A crash releases the lock. If there is no corpus at the end, the lock's file and the folders
    that were made for it are removed.
    """
    folder = data_dir / name
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = (folder / ".lock").open("w")
        except FileNotFoundError:
            continue  # another process has just removed the folder
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(
                    f"another process is building {name} in {data_dir}; waiting for it ...",
                    file=sys.stderr,
                )
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                pass  # a file system without locks: two builds at once cost time but do no harm
            if not _is_file_at(file.fileno(), folder / ".lock"):
                continue  # the process that held the lock has removed it
            for part in folder.glob(f".{_LANDMARKS}.*"):  # written by a killed build
                part.unlink(missing_ok=True)
            try:
                yield
            finally:
                if not is_built(name, data_dir):
                    _remove_lock(folder, made)
            return


def _is_file_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _remove_lock(folder: Path, made: Sequence[Path]) -> None:
    """Removes the lock's file and those folders that were made and are empty, inner ones first."""
    with contextlib.suppress(OSError):
        (folder / ".lock").unlink()
        for path in dict.fromkeys([folder, *made]):
            path.rmdir()


@contextlib.contextmanager
def building_folder(name: str, data_dir: Path) -> Iterator[Path]:
    """Yields a folder to build in; what is built there takes the corpus' place at the end.

    If it cannot be put in place, the old corpus stays.
    """
    ending = f"{socket.gethostname()}.{os.getpid()}"
    new, old = (data_dir / f".{name}.{what}.{ending}" for what in _HIDDEN)
    directory = corpus_directory(name, data_dir)
    try:
        yield new
        directory.parent.mkdir(parents=True, exist_ok=True)
        # Deleting takes time, and a kill meanwhile would leave neither corpus; renaming does not.
        if directory.exists():
            directory.rename(old)
        try:
            corpus_directory(name, new).rename(directory)
        except BaseException:
            if old.exists():
                old.rename(directory)
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if is_built(name, data_dir):
            shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(name: str, data_dir: Path) -> None:
    """Removes the folders of killed builds of this machine."""
    for what in _HIDDEN:
        for path in data_dir.glob(f".{name}.{what}.{socket.gethostname()}.*"):
            process = path.name.rpartition(".")[2]
            if process.isdigit() and not _runs(int(process)):
                shutil.rmtree(path, ignore_errors=True)


def _runs(process: int) -> bool:
    """Whether a process other than this one has that number."""
    if process == os.getpid():  # of a dead process that had our number
        return False
    try:
        os.kill(process, 0)  # only asks whether it exists
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
