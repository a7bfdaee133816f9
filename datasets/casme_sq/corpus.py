"""CAS(ME)^2: `CAS(ME)^2code_final.xlsx` beside `selectedpic/s15/anger1_1/img557.jpg`.

Also `cropped/15/anger1_1/...`, and the long videos `rawpic/s15/15_0401girlcrashing/img557.jpg`,
which are cut by onset and offset. The sheet has no header: person 1 to 22, clip, onset, apex,
offset, action units, emotion, macro- or micro-expression, self-report. An offset of 0 means that
the apex is the end.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from datasets.errors import UserError
from datasets.filmed import FilmedCorpus
from datasets.rows import Annotations, Row, read_data
from datasets.sheets import integer, is_micro, is_note, note_of, read_tables, text
from datasets.trees import Tree

_SUBJECT, _CLIP, _ONSET, _APEX, _OFFSET, _UNITS, _EMOTION, _KIND = range(8)
_VIDEO = re.compile(r"\d+_\d{4}.*")  # a long video's folder


class CasmeSq(FilmedCorpus):
    """How CAS(ME)^2 names things."""

    name = "casme_sq"
    title = "CAS(ME)^2"
    fps = 30.0
    emotions = ("negative", "others", "positive", "surprise")
    aliases = {"other": "others"}  # noqa: RUF012
    sheet_name = "CAS(ME)^2code_final.xlsx"
    columns = {}  # noqa: RUF012 (there is no header)
    people = re.compile(r"s?0*(\d{1,2})")
    person = "s{}"
    avoid = re.compile("^rawvideo$")
    preference = ("selectedpic", "cropped", "rawpic")

    def sheet_rank(self, path: Path) -> int | None:
        """The final coding, an updated one first."""
        name = path.name.lower()
        if "code_final" not in name:
            return None
        return 0 if "updated" in name else 1

    def read(self, sheet: Path) -> Annotations:
        """The micro-expressions among the rows of the first table."""
        tables = read_tables(sheet)
        people = {line["number"]: line["folder"] for line in read_data(self.name, "people.csv")}
        rows, problems, notes, others = [], [], [], set()
        for line, row in enumerate(tables[0] if tables else [], start=1):
            cells = [*map(text, row), *[""] * 9]
            folder, micro = people.get(cells[_SUBJECT]), is_micro(cells[_KIND])
            if not any(cells):
                continue
            if is_note(bool(folder), cells[_CLIP], cells[_ONSET : _KIND + 1]) or _is_header(cells):
                notes.append(note_of(sheet, line, row))
            elif wrong := _wrong(cells, folder, micro):
                problems.append(
                    f"row {line} of {sheet.name}: {wrong}; mend the cell, or take the sheet as "
                    "distributed."
                )
            elif micro:
                rows.append(self._row(folder, cells, line))
            else:
                others.add((folder, cells[_CLIP]))
        rows, corrections = _ended_by_apex(_named_apart(rows))
        return Annotations(
            sheet, self.version_of(sheet), tuple(rows), tuple(problems), tuple(corrections),
            tuple(notes), other_clips=frozenset(others),
        )  # fmt: skip

    def _row(self, folder: str, cells: list[str], line: int) -> Row:
        emotion = cells[_EMOTION].lower()
        return Row(
            subject=folder,
            clip=cells[_CLIP],
            filename=cells[_CLIP],
            emotion=self.aliases.get(emotion, emotion),
            onset=integer(cells[_ONSET]),
            apex=integer(cells[_APEX]) or None,
            offset=integer(cells[_OFFSET]),
            line=line,
            action_units=cells[_UNITS],
        )

    def places(self, tree: Tree, root: Path, row: Row) -> tuple[str, ...]:
        """The clip's own folder, or the long video that it is in."""
        if self.has_a_folder_per_clip(tree, root):
            return super().places(tree, root, row)
        person = self.person_folder(tree, root, row)
        codes = {line["name"]: line["code"] for line in read_data(self.name, "videos.csv")}
        code = codes.get(row.filename.lower().rpartition("_")[0])
        if code is None:
            return (f"{person}/{row.filename}",)
        inside = tree.find(root, person)
        video = re.compile(rf"0*{self.number(row.subject)}_{code}.*")
        named = (
            [path.name for path in tree.inside(inside)[0] if video.fullmatch(path.name)]
            if inside
            else []
        )
        if len(named) > 1:
            raise UserError(
                f"{named[0]} and {named[1]} in {inside} may both hold {row}; keep one of them."
            )
        return (f"{person}/{named[0] if named else f'{row.subject[1:]}_{code}...'}",)

    def has_a_folder_per_clip(self, tree: Tree, root: Path) -> bool:
        """Not where the long videos are."""
        return not any(
            _VIDEO.fullmatch(name)
            for person in tree.folders(root)
            if self.people.fullmatch(person)
            for name in tree.folders(tree.find(root, person))
        )


def _is_header(cells: Sequence[str]) -> bool:
    """Whether a user wrote the columns' names above the rows."""
    return not any(cell[:1].isdigit() for cell in cells) and is_micro(cells[_KIND]) is None


def _wrong(cells: Sequence[str], folder: str | None, micro: bool | None) -> str | None:
    """Which cell keeps a row from being read; None if none does."""
    if not folder:
        return f"the first cell, '{cells[_SUBJECT]}', is no person from 1 to 22"
    if not cells[_CLIP]:
        return "the second cell, the clip's name, is empty"
    if micro is None:
        return f"the eighth cell, '{cells[_KIND]}', is neither macro- nor micro-expression"
    return None


def _named_apart(rows: list[Row]) -> list[Row]:
    """Clips of one person and name get their onset into the name."""
    keys = [(row.subject, row.clip) for row in rows]
    same = {key for key in keys if keys.count(key) > 1}
    return [
        dataclasses.replace(row, clip=f"{row.clip}_{row.onset}") if key in same else row
        for key, row in zip(keys, rows, strict=True)
    ]


def _ended_by_apex(rows: list[Row]) -> tuple[list[Row], list[str]]:
    """Rows whose offset is 0 end at their apex."""
    ended, told = [], []
    for row in rows:
        if row.offset == 0 and row.apex:
            row = dataclasses.replace(row, offset=row.apex)
            told.append(f"{row}: offset 0 became its apex {row.apex}: the sheet has no offset.")
        ended.append(row)
    return ended, told
