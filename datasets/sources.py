"""The folder and the sheet that a corpus is built from, as its metadata tell them."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from datasets.errors import UserError
from datasets.options import BuildOptions

# (manual_dir, label_version, frames_in) -> the sheet
FindSheet = Callable[[Path, str | None, str | None], Path | None]


def describe_source(sheet: Path | None, manual_dir: Path, found: str) -> dict[str, str]:
    """What the metadata keep.

    Args:
      sheet: that the corpus is built from; None where it has none.
      manual_dir: that holds it.
      found: digest of the sheet and of the names of all files of all clips.

    Returns:
      `manual_dir`, `sheet` in it and `sheet_sha256` (both empty for a corpus without one), and
      `found_sha256`.

    Raises:
      UserError: the sheet cannot be read.
    """
    return {
        "manual_dir": str(manual_dir),
        "sheet": str(sheet.relative_to(manual_dir)) if sheet else "",
        "sheet_sha256": digest(sheet) if sheet else "",
        "found_sha256": found,
    }


def other_source(
    find_sheet: FindSheet,
    find: Callable[[], str],
    manual_dir: Path,
    options: BuildOptions,
    source: Mapping[str, str],
) -> str | None:
    """How `manual_dir` differs from the `source` of a built corpus, in words; None if not.

    By content, since the folder may have moved; one that has gone, or whose frames have, leaves
    nothing to compare.

    Args:
      find_sheet: of the corpus.
      manual_dir: of now.
      options: of the build.
      find: gives the digest of what is there now.
      source: as `describe_source` told it.

    Raises:
      UserError: the folder lacks the sheet.
    """
    same_folder = str(manual_dir) == source["manual_dir"]
    if told := _other_sheet(find_sheet, manual_dir, options, source, same_folder):
        return told
    if not same_folder or not manual_dir.is_dir():
        return None
    try:
        changed = find() != source.get("found_sha256")
    except UserError:  # the frames have gone
        return None
    return f"from what {manual_dir} held, which has changed since" if changed else None


def _other_sheet(
    find_sheet: FindSheet,
    manual_dir: Path,
    options: BuildOptions,
    source: Mapping[str, str],
    same_folder: bool,
) -> str | None:
    if not source["sheet"]:
        moved = not Path(source["manual_dir"]).is_dir()
        return None if same_folder or moved else f"from {source['manual_dir']}"
    sheet = manual_dir / source["sheet"]
    if not sheet.is_file() and not same_folder:
        sheet = find_sheet(manual_dir, options.label_version, options.frames_in)
    if not sheet.is_file() or digest(sheet) == source["sheet_sha256"]:
        return None
    told = ", which has changed since" if same_folder else f" of {source['manual_dir']}"
    return f"from the sheet {source['sheet']}{told}"


def digest(path: Path) -> str:
    """Of a file's content.

    Raises:
      UserError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check it.") from error
