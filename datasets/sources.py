"""The folder and the sheet that a corpus is built from, as its metadata tell them."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from datasets.options import BuildOptions

# (manual_dir, label_version, frames_in) -> the sheet
FindSheet = Callable[[Path, str | None, str | None], Path | None]


def describe_source(
    find_sheet: FindSheet, manual_dir: Path, options: BuildOptions
) -> dict[str, str]:
    """`manual_dir`, and `sheet` in it with its content; both empty for a corpus without one.

    Raises:
      UserError: the folder lacks the sheet.
    """
    sheet = find_sheet(manual_dir, options.label_version, options.frames_in)
    return {
        "manual_dir": str(manual_dir),
        "sheet": str(sheet.relative_to(manual_dir)) if sheet else "",
        "sheet_sha256": _digest(sheet) if sheet else "",
    }


def other_source(
    find_sheet: FindSheet,
    manual_dir: Path,
    options: BuildOptions,
    source: Mapping[str, str],
) -> str | None:
    """How `manual_dir` differs from the `source` of a built corpus, in words; None if not.

    By content, since the folder may have moved; one that has gone leaves nothing to compare.

    Raises:
      UserError: the folder lacks the sheet.
    """
    same_folder = str(manual_dir) == source["manual_dir"]
    if not source["sheet"]:
        moved = not Path(source["manual_dir"]).is_dir()
        return None if same_folder or moved else f"from {source['manual_dir']}"
    sheet = manual_dir / source["sheet"]
    if not sheet.is_file() and not same_folder:
        sheet = find_sheet(manual_dir, options.label_version, options.frames_in)
    if not sheet.is_file() or _digest(sheet) == source["sheet_sha256"]:
        return None
    told = ", which has changed since" if same_folder else f" of {source['manual_dir']}"
    return f"from the sheet {source['sheet']}{told}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
