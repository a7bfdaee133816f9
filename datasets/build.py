"""Builds a corpus into TFDS: `python -m datasets.build NAME --manual_dir=DIR --data_dir=DIR`."""

import contextlib
import dataclasses
import errno
import hashlib
import importlib
import io
import os
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

from datasets.command_line import main_with_clear_errors, parse_options
from datasets.errors import UserError
from datasets.options import BuildOptions
from datasets.protocols import CORPORA, check_corpus
from datasets.reading import corpus_directory, is_built, needs_manual_dir, read_metadata

__all__ = ["BuildOptions", "build_corpus"]


def build_corpus(
    name: str,
    data_dir: Path,
    manual_dir: Path | None = None,
    options: BuildOptions = BuildOptions(),  # noqa: B008 (frozen)
    overwrite: bool = False,
) -> Path:
    """Builds a corpus, unless it is there already from the same folder with the same options.

    Worker processes are spawned, so a script of one's own that calls this needs the usual
    `if __name__ == "__main__":`, or `workers=1`.

    Args:
      name: of the corpus.
      data_dir: where TFDS keeps built corpora; the corpus comes to `data_dir/name/version`.
      manual_dir: the folder the corpus was unpacked into; None for a corpus that needs none.
      options: of the build.
      overwrite: build again, whatever is there.

    Returns:
      The directory of the built corpus.

    Raises:
      UserError: no such corpus; options that do not apply; another build is there, or a damaged
        one; the folder does not hold the corpus; a clip cannot be read or shows no face; the
        corpus cannot be written.
    """
    check_corpus(name)
    options = options.resolved(name)
    data_dir = Path(data_dir).expanduser().resolve()
    if manual_dir is not None:
        if not needs_manual_dir(name):
            raise UserError(f"{name} needs no folder to be built from; leave out --manual_dir.")
        manual_dir = Path(manual_dir).expanduser().resolve()
    directory = corpus_directory(name, data_dir)
    _remove_leftovers(name, data_dir)
    if is_built(name, data_dir) and not overwrite:
        _check_same(name, data_dir, manual_dir, options)
        print(f"{name} is built already in {directory}", file=sys.stderr)
        return directory
    if needs_manual_dir(name):
        _check_folder(name, manual_dir)
    _run(name, data_dir, manual_dir, options)
    for kind in ("corrections", "warnings"):
        for sentence in read_metadata(name, data_dir)[kind]:
            print(f"{kind[:-1]}: {sentence}", file=sys.stderr)
    return directory


def _check_folder(name: str, manual_dir: Path | None) -> None:
    if manual_dir is None:
        raise UserError(
            f"{name} is built from a folder of yours; name the one it was unpacked into with "
            "--manual_dir=DIR."
        )
    if not manual_dir.is_dir():
        raise UserError(f"the folder {manual_dir} does not exist; name another --manual_dir.")
    if not any(manual_dir.iterdir()):
        raise UserError(f"the folder {manual_dir} is empty; unpack {name} into it.")


def _check_same(name: str, data_dir: Path, manual_dir: Path | None, options: BuildOptions) -> None:
    """Raises UserError where the corpus that is there is not the one asked for."""
    metadata = read_metadata(name, data_dir)
    built, asked = metadata["options"], options.identity()
    other = [f"{key}={built.get(key)}" for key in asked if built.get(key) != asked[key]]
    if manual_dir is not None:
        source = metadata["source"]
        same_folder = str(manual_dir) == source["manual_dir"]
        sheet = manual_dir / source["sheet"]
        if not sheet.is_file() and not same_folder:
            _check_folder(name, manual_dir)
            sheet = _builders(name).find_sheet(manual_dir)
        # By content: the folder may have moved. One that has gone since leaves nothing to compare.
        if sheet.is_file() and _digest(sheet) != source["sheet_sha256"]:
            told = ", which has changed since" if same_folder else f" of {source['manual_dir']}"
            other.append(f"from the sheet {source['sheet']}{told}")
    if other:
        raise UserError(
            f"{data_dir} holds a {name} that was built otherwise ({', '.join(other)}); build it "
            "anew with --overwrite, or into another --data_dir."
        )


def _builders(name: str) -> Any:
    """The module of the corpus' builder."""
    return importlib.import_module(f"datasets.{name}.{name}_dataset_builder")


def _run(name: str, data_dir: Path, manual_dir: Path | None, options: BuildOptions) -> None:
    # Late, since TFDS and OpenCV take their time; a mistake in the options is told before.
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()  # the build has its own
    builders = _builders(name)
    source = {}
    if manual_dir is not None:
        sheet = builders.find_sheet(manual_dir)
        source = {
            "manual_dir": str(manual_dir),
            "sheet": str(sheet.relative_to(manual_dir)),
            "sheet_sha256": _digest(sheet),
        }
    directory = corpus_directory(name, data_dir)
    fresh, old = (
        data_dir / f".{name}.{what}.{socket.gethostname()}.{os.getpid()}" for what in _LEFTOVERS
    )
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        builder = builders.Builder(
            options=options, manual_dir=manual_dir, source=source, data_dir=str(fresh)
        )
        _prepare(builder)
        _put_in_place(Path(builder.data_dir), directory, old)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise UserError(
            f"the corpus cannot be written to {data_dir} ({reason}); make room there or name "
            "another --data_dir."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if is_built(name, data_dir):
            shutil.rmtree(old, ignore_errors=True)


def _put_in_place(fresh: Path, directory: Path, old: Path) -> None:
    """Renames the new corpus to `directory`, and what is there to `old`."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Deleting takes its time, and a kill in it would leave neither corpus; renaming does not.
    if directory.exists():
        directory.rename(old)
    try:
        fresh.rename(directory)
    except BaseException:
        if old.exists():
            old.rename(directory)
        raise


_LEFTOVERS = ("building", "replaced")  # hidden folders beside the corpora


def _remove_leftovers(name: str, data_dir: Path) -> None:
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


def _prepare(builder: Any) -> None:
    import tensorflow_datasets as tfds
    from absl import logging

    logging.set_verbosity(logging.WARNING)  # TFDS tells every step otherwise
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # and where it writes to
            builder.download_and_prepare(download_config=config, file_format="array_record")
    except Exception as error:
        # TFDS wraps what a generator or a writer raises.
        causes, cause = [], error
        while cause is not None:
            causes.append(cause)
            cause = cause.__cause__ or cause.__context__
        for cause in causes:
            if isinstance(cause, UserError):
                raise cause from None
        for cause in causes:
            if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
                raise OSError(cause.errno, os.strerror(cause.errno)) from error
            # array_record's writer has no errors of its own but these words.
            if isinstance(cause, RuntimeError) and (told := _FAILED_WRITE.search(str(cause))):
                raise OSError(told[1]) from error
        raise


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_FAILED_WRITE = re.compile(r"\w+\(\) failed: ([^;]+); writing ")


@dataclasses.dataclass(frozen=True)
class _Arguments(BuildOptions):
    """The command line."""

    data_dir: Path = Path("data")
    """Where built corpora are kept."""

    manual_dir: Path | None = None
    """The folder that the corpus was unpacked into."""

    overwrite: bool = False
    """Build again, also when a corpus of this name is there already."""


_ABOUT = f"""Builds a corpus into --data_dir, once; the corpora are {", ".join(CORPORA)}.

  python -m datasets.build synthetic --data_dir=data
  python -m datasets.build samm --manual_dir=DIR --data_dir=data"""


def main() -> None:
    """The command line."""
    arguments = sys.argv[1:]
    names = [argument for argument in arguments if not argument.startswith("-")]
    asks_for_help = {"-h", "--help"} & set(arguments)
    if not asks_for_help:
        if len(names) != 1 or arguments[0] != names[0]:
            raise UserError(
                "name one corpus, then the options as --name=value; the corpora are "
                f"{', '.join(CORPORA)}."
            )
        check_corpus(names[0])
        arguments = arguments[1:]
    parsed = parse_options(_Arguments, None, arguments, "python -m datasets.build NAME", _ABOUT)
    options = BuildOptions(
        **{field.name: getattr(parsed, field.name) for field in dataclasses.fields(BuildOptions)}
    )
    print(build_corpus(names[0], parsed.data_dir, parsed.manual_dir, options, parsed.overwrite))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main_with_clear_errors(main)
