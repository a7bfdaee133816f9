"""Builds a corpus into TFDS: `python -m datasets.build NAME --manual_dir=DIR --data_dir=DIR`.

The corpus `own` is built from a table of the user's own: `--table=FILE`.
"""

import contextlib
import dataclasses
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import tyro

from datasets.atomic_build import build_lock, building_folder, landmark_file, remove_leftovers
from datasets.command_line import parse_options, run_command
from datasets.errors import UserError
from datasets.options import BuildOptions
from datasets.protocols import CORPORA, OWN, check_corpus, is_own, own_name
from datasets.reading import (
    check_is_folder,
    check_source,
    corpus_directory,
    is_built,
    own_corpora,
    read_metadata,
)


def build_corpus(
    name: str,
    data_dir: Path,
    manual_dir: Path | None = None,
    options: BuildOptions = BuildOptions(),  # noqa: B008 (frozen)
    overwrite: bool = False,
    table: Path | None = None,
) -> Path:
    """Builds a corpus, unless it is already built from the same folder with the same options.

    Worker processes are spawned, so a script that calls this needs the usual
    `if __name__ == "__main__":`, or `workers=1`.

    Args:
      name: of the corpus.
      data_dir: where TFDS keeps built corpora.
      manual_dir: folder that the corpus was unpacked into; None for a corpus that needs none.
      options: of the build.
      overwrite: build again, whatever exists.
      table: of a corpus of the user's own, instead of `manual_dir`.

    Returns:
      The directory of the built corpus, `data_dir/name/version`.

    Raises:
      UserError: no such corpus; options that do not apply; another or a damaged build exists; the
        folder does not hold the corpus; a clip cannot be read or shows no face; the corpus cannot
        be written.
    """
    data_dir = Path(data_dir).expanduser().resolve()
    if table is None:
        check_corpus(name, (OWN, *own_corpora(data_dir)))
    options = options.resolved(name)
    source = manual_dir if table is None else table
    if source is not None:
        check_source(name, manual_dir, table)
        source = Path(source).expanduser().resolve()
    directory = corpus_directory(name, data_dir)
    remove_leftovers(name, data_dir)
    # Checked again under the lock, which a corpus that is only read does not need.
    if not overwrite and _is_up_to_date(name, data_dir, source, options):
        return directory
    if source is None:
        check_source(name, None, None)
    elif not is_own(name):
        _check_folder(name, source)
    with _refusals_as_user_errors(data_dir), build_lock(name, data_dir):
        if not overwrite and _is_up_to_date(name, data_dir, source, options):
            return directory
        _build(name, data_dir, source, options)
    metadata = read_metadata(name, data_dir)
    for kind in ("correction", "warning"):
        for sentence in metadata[f"{kind}s"]:
            print(f"{kind}: {sentence}", file=sys.stderr)
    return directory


def _check_folder(name: str, manual_dir: Path) -> None:
    check_is_folder(manual_dir)
    if not any(manual_dir.iterdir()):
        raise UserError(f"the folder {manual_dir} is empty; unpack {name} into it.")


def _is_up_to_date(
    name: str, data_dir: Path, manual_dir: Path | None, options: BuildOptions
) -> bool:
    """Whether the corpus is built; raises UserError if it is not the requested one."""
    if not is_built(name, data_dir):
        return False
    metadata = read_metadata(name, data_dir)
    built, asked = metadata["options"], options.identity()
    differences = [
        f"{key}={built.get(key)}" for key in asked | built if built.get(key) != asked.get(key)
    ]
    if manual_dir is not None:
        differences += _source_differences(name, manual_dir, options, metadata["source"])
    if differences:
        raise UserError(
            f"{data_dir} holds a {name} that was built differently ({', '.join(differences)}); "
            "build it again with --overwrite, or into another --data_dir."
        )
    print(f"{name} is already built in {corpus_directory(name, data_dir)}", file=sys.stderr)
    return True


def _source_differences(
    name: str, manual_dir: Path, options: BuildOptions, source: dict[str, str]
) -> list[str]:
    """Returns how `manual_dir`, or a table, differs from the `source` of the built corpus.

    Contents are compared, since the folder may have moved. Nothing is compared with a folder or
    with frames that have been deleted since.
    """
    from datasets.folder_search import FolderTree, file_digest
    from datasets.image_corpus import get_image_corpus  # late, since it loads OpenCV

    corpus = get_image_corpus(name)
    if is_own(name):
        found = corpus.survey(manual_dir, options)  # raises UserError without a table
        is_same_table = file_digest(manual_dir) == source["sheet_sha256"]
        if is_same_table and (found.missing or found.digest == source["found_sha256"]):
            return []  # frames may be deleted after a build
        return [f"from {source['manual_dir']} or from other frames"]
    is_same_folder = str(manual_dir) == source["manual_dir"]
    if not is_same_folder:
        _check_folder(name, manual_dir)
    if source["sheet"]:
        sheet = manual_dir / source["sheet"]
        if not sheet.is_file() and not is_same_folder:
            sheet, _ = corpus.find_sheet(FolderTree(manual_dir), options)
        if sheet is None or (sheet.is_file() and file_digest(sheet) != source["sheet_sha256"]):
            since = ", which has changed since" if is_same_folder else f" of {source['manual_dir']}"
            return [f"from the sheet {source['sheet']}{since}"]
    elif not is_same_folder and Path(source["manual_dir"]).is_dir():
        return [f"from {source['manual_dir']}"]
    if not is_same_folder or not manual_dir.is_dir():
        return []
    try:
        has_changed = corpus.survey(manual_dir, options).digest != source.get("found_sha256")
    except UserError:  # the frames were deleted
        return []
    return [f"from what {manual_dir} held, which has changed since"] if has_changed else []


def _build(name: str, data_dir: Path, manual_dir: Path | None, options: BuildOptions) -> None:
    import tensorflow_datasets as tfds  # takes a second, hence late
    from absl import logging

    tfds.disable_progress_bar()  # the build has its own
    logging.set_verbosity(logging.WARNING)  # else TFDS logs every step
    from datasets.builder import builder_class

    with building_folder(name, data_dir) as folder:
        builder = builder_class(name)(
            options=options,
            manual_dir=manual_dir,
            landmark_file=landmark_file(name, data_dir),
            data_dir=str(folder),
        )
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints where it writes
                builder.download_and_prepare(download_config=config, file_format="array_record")
        except RuntimeError as error:
            # array_record's writer raises no OSError, only a RuntimeError of these words.
            if failed := re.search(r"\w+\(\) failed: ([^;]+); writing ", str(error)):
                raise OSError(failed[1]) from error
            raise


@contextlib.contextmanager
def _refusals_as_user_errors(data_dir: Path) -> Iterator[None]:
    """Turns what the system refuses into one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        if error.filename and not Path(error.filename).is_relative_to(data_dir):
            raise UserError(
                f"{error.filename} cannot be read ({reason}); check the file and its permissions."
            ) from error
        raise UserError(
            f"the corpus cannot be written to {data_dir} ({reason}); free some space or name "
            "another --data_dir."
        ) from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Arguments(BuildOptions):
    """The command line."""

    corpus: tyro.conf.Positional[Literal[*CORPORA, OWN]]
    """Which corpus to build; own: one of yours, from a table."""

    data_dir: Path = Path("data")
    """Where built corpora are kept."""

    manual_dir: Path | None = None
    """The folder that the corpus was unpacked into."""

    table: Path | None = None
    """own only: the table of the clips, as python -m datasets.example own --out=DIR writes one."""

    name: str = ""
    """own only: what the corpus is called in --data_dir and --dataset; by default own."""

    overwrite: bool = False
    """Build again, even if a corpus of this name exists."""


_DESCRIPTION = f"""Builds a corpus into --data_dir, once; the corpora are {", ".join(CORPORA)},
and own, which is one of yours from a table of its clips.

  python -m datasets.build synthetic --data_dir=data
  python -m datasets.build samm --manual_dir=DIR --data_dir=data
  python -m datasets.build own --table=clips.csv --name=mmew --data_dir=data"""


def main() -> None:
    """The command line."""
    parsed = parse_options(
        _Arguments, sys.argv[1:], program="python -m datasets.build", description=_DESCRIPTION
    )
    options = BuildOptions(
        **{field.name: getattr(parsed, field.name) for field in dataclasses.fields(BuildOptions)}
    )
    name = own_name(parsed.corpus, parsed.name)
    if parsed.corpus == OWN:
        check_source(name, parsed.manual_dir, parsed.table)
    where = parsed.data_dir, parsed.manual_dir
    print(build_corpus(name, *where, options, parsed.overwrite, parsed.table))


if __name__ == "__main__":
    run_command(main, resumable=True)
