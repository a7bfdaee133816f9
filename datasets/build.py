"""Builds a corpus into TFDS: `python -m datasets.build NAME --manual_dir=DIR --data_dir=DIR`."""

import contextlib
import dataclasses
import errno
import importlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import tyro

from datasets.command_line import parse_options, run_command
from datasets.errors import UserError
from datasets.options import BuildOptions
from datasets.placing import (
    building_folder,
    landmark_file,
    only_build,
    put_in_place,
    remove_leftovers,
)
from datasets.protocols import CORPORA, check_corpus
from datasets.reading import corpus_directory, is_built, needs_manual_dir, read_metadata
from datasets.sources import other_source

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
    remove_leftovers(name, data_dir)
    # Asked again under the lock, which a corpus that is only read does without.
    if not overwrite and _is_there(name, data_dir, manual_dir, options):
        return directory
    if needs_manual_dir(name):
        _check_folder(name, manual_dir)
    with _clear_refusals(data_dir), only_build(name, data_dir):
        if not overwrite and _is_there(name, data_dir, manual_dir, options):
            return directory
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


def _is_there(
    name: str, data_dir: Path, manual_dir: Path | None, options: BuildOptions
) -> bool:  # fmt: skip
    """Whether the corpus is built; raises UserError where it is not the one asked for."""
    if not is_built(name, data_dir):
        return False
    metadata = read_metadata(name, data_dir)
    built, asked = metadata["options"], options.identity()
    other = [f"{key}={built.get(key)}" for key in asked | built if built.get(key) != asked.get(key)]
    if manual_dir is not None:
        from datasets.survey import survey  # late, as OpenCV takes its time

        source = metadata["source"]
        if str(manual_dir) != source["manual_dir"]:
            _check_folder(name, manual_dir)
        corpus = _builders(name).Builder.corpus
        other.append(
            other_source(
                corpus.find_sheet,
                lambda: survey(corpus, manual_dir, options).digest,
                manual_dir,
                options,
                source,
            )
        )
    if other := [told for told in other if told]:
        raise UserError(
            f"{data_dir} holds a {name} that was built otherwise ({', '.join(other)}); build it "
            "anew with --overwrite, or into another --data_dir."
        )
    print(f"{name} is built already in {corpus_directory(name, data_dir)}", file=sys.stderr)
    return True


def _builders(name: str) -> Any:
    """The module of the corpus' builder."""
    return importlib.import_module(f"datasets.{name}.{name}_dataset_builder")


def _run(name: str, data_dir: Path, manual_dir: Path | None, options: BuildOptions) -> None:
    # Late, since TFDS and OpenCV take their time; a mistake in the options is told before.
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()  # the build has its own
    with building_folder(name, data_dir) as folder:
        builder = _builders(name).Builder(
            options=options,
            manual_dir=manual_dir,
            landmark_file=landmark_file(name, data_dir),
            data_dir=str(folder),
        )
        _prepare(builder)
        put_in_place(Path(builder.data_dir), name, data_dir)


@contextlib.contextmanager
def _clear_refusals(data_dir: Path) -> Iterator[None]:
    """Tells in one sentence what the system refuses."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        if error.filename and not Path(error.filename).is_relative_to(data_dir):
            raise UserError(
                f"{error.filename} cannot be read ({reason}); check it, and its permissions."
            ) from error
        raise UserError(
            f"the corpus cannot be written to {data_dir} ({reason}); make room there or name "
            "another --data_dir."
        ) from error


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Arguments(BuildOptions):
    """The command line."""

    corpus: tyro.conf.Positional[Literal[*CORPORA]]
    """Which corpus to build."""

    data_dir: Path = Path("data")
    """Where built corpora are kept."""

    manual_dir: Path | None = None
    """The folder that the corpus was unpacked into."""

    overwrite: bool = False
    """Build again, also when a corpus of this name is there already."""


_DESCRIPTION = f"""Builds a corpus into --data_dir, once; the corpora are {", ".join(CORPORA)}.

  python -m datasets.build synthetic --data_dir=data
  python -m datasets.build samm --manual_dir=DIR --data_dir=data"""


def main() -> None:
    """The command line."""
    parsed = parse_options(
        _Arguments, sys.argv[1:], program="python -m datasets.build", description=_DESCRIPTION
    )
    options = BuildOptions(
        **{field.name: getattr(parsed, field.name) for field in dataclasses.fields(BuildOptions)}
    )
    print(
        build_corpus(parsed.corpus, parsed.data_dir, parsed.manual_dir, options, parsed.overwrite)
    )


if __name__ == "__main__":
    run_command(main, resumable=True)
