"""Atomic file writing: a reader sees the old file or the complete new one."""

import contextlib
import hashlib
import io
import os
import secrets
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from datasets.errors import UserError


def write_atomically(
    path: str | os.PathLike[str], content: str | bytes | Callable[[BinaryIO], object]
) -> None:
    """Writes `content` to `path`, through a temporary file in the same folder.

    Missing folders are created. `content` is text (written as UTF-8, line ends as they are; bytes
    of file names that are no UTF-8 as `\\udc80`, which JSON reads back), bytes, or a function that
    is called with the open binary file.

    Raises:
      UserError: the path cannot be written (read-only, disk full, a folder of that name, ...).
    """
    path = Path(path)
    if isinstance(content, str):
        content = content.encode("utf-8", errors="backslashreplace")
    # The name carries a random part, so that two processes at the same file cannot mix their bytes.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
                # Without it a power cut can leave the new name on a file of no bytes.
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): make room or give write"
            " permission there, or name another folder."
        ) from error


def write_checked_archive(path: Path, entries: Mapping[str, bytes]) -> None:
    """Writes an uncompressed zip archive whose comment is the SHA-256 of all bytes before it.

    The same entries give the same bytes. Raises UserError as `write_atomically` does.
    """
    file, length = io.BytesIO(), 2 * hashlib.sha256().digest_size
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # a ZipInfo without the current time
        # The digest takes the place of this comment, whose length is part of what it covers.
        archive.comment = b"0" * length
    body = file.getvalue()[:-length]
    write_atomically(path, body + hashlib.sha256(body).hexdigest().encode())


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, so that `done.json` cannot outlive the files before it."""
    descriptor = os.open(folder, os.O_RDONLY)
    with contextlib.suppress(OSError):  # some network file systems refuse; the file itself is safe
        os.fsync(descriptor)
    os.close(descriptor)
