"""Where other people's videos lie for as short as can be."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from datasets.errors import UserError

FORGOTTEN_SECONDS = 600  # after which what nobody asked about is removed
_ASKED = "asked_"  # begins the folder of a video that is being answered


@contextlib.contextmanager
def taken(upload: Path) -> Iterator[Path]:
    """Takes an upload away from everyone else; it is removed in the end.

    Two who drop the same video share one file: a page names it by its content.

    Args:
      upload: the file.

    Yields:
      The file's new path, in a folder of its own.

    Raises:
      UserError: it is not there any more.
    """
    with tempfile.TemporaryDirectory(prefix=_ASKED, dir=upload.parent) as folder:
        video = Path(folder) / upload.name
        try:
            os.replace(upload, video)
        except FileNotFoundError:
            raise UserError(
                f"{upload.name} is no longer here, since it was answered, or lay here for "
                f"{FORGOTTEN_SECONDS // 60} minutes; drop it again"
            ) from None
        yield video


def forget(folder: Path, seconds: float = FORGOTTEN_SECONDS) -> None:
    """Removes every file that nothing was written to, and nobody asked about, for so long."""
    oldest = time.time() - seconds
    for place, folders, files in os.walk(folder):  # which does not mind what goes meanwhile
        folders[:] = [name for name in folders if not name.startswith(_ASKED)]
        for path in (Path(place) / name for name in files):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def keep_forgetting(folder: Path) -> None:
    """Forgets for good, once a minute."""
    while True:
        time.sleep(60)
        forget(folder)
