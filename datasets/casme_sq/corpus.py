"""CAS(ME)^2: `CAS(ME)^2code_final.xlsx` beside `selectedpic/s15/anger1_1/img557.jpg`.

Also `cropped/15/anger1_1/...`, and the long videos `rawpic/s15/15_0401girlcrashing/img557.jpg`,
which are cut by onset and offset. The sheet has no header: person 1 to 22, clip, onset, apex,
offset, action units, emotion, macro- or micro-expression, self-report. An offset of 0 means that
the apex is the end.
"""

import csv
import dataclasses
import re
from pathlib import Path

from datasets.errors import UserError
from datasets.filmed import FilmedCorpus
from datasets.rows import Annotations, Row
from datasets.sheets import integer, read_tables, text
from datasets.trees import Tree

_SUBJECT, _CLIP, _ONSET, _APEX, _OFFSET, _UNITS, _EMOTION, _KIND = range(8)
_KINDS = ("macro-expression", "micro-expression")


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
    avoid = ("rawvideo",)
    preference = ("selectedpic", "cropped", "rawpic")

    def sheet_rank(self, path: Path) -> int | None:
        """The final coding, an updated one first."""
        name = path.name.lower()
        if "code_final" not in name:
            return None
        return 0 if "updated" in name else 1

    def version_of(self, sheet: Path) -> str:
        """There is one version."""
        return "code_final"

    def read(self, sheet: Path) -> Annotations:
        """The micro-expressions among the rows of the first table."""
        tables = read_tables(sheet)
        people = _table("people.csv", "number", "folder")
        rows, problems, notes, others = [], [], [], set()
        for line, cells in enumerate(tables[0] if tables else [], start=1):
            cells = [*map(text, cells), *[""] * 9]
            if not any(cells):
                continue
            where = f"row {line} of {sheet.name}"
            folder, kind = people.get(cells[_SUBJECT]), cells[_KIND].lower()
            if not any(cells[_CLIP : _KIND + 1]):
                notes.append(f"{where} was taken for a note ({cells[_SUBJECT][:60]}).")
            elif not folder or not cells[_CLIP] or kind not in _KINDS:
                problems.append(
                    f"{where} is not of person 1 to 22, clip, ..., macro- or micro-expression "
                    f"('{cells[_SUBJECT]}', '{cells[_CLIP]}', '{cells[_KIND]}'); mend the cells, "
                    "or take the sheet as distributed."
                )
            elif kind == "macro-expression":
                others.add((folder, cells[_CLIP]))
            else:
                rows.append(self._row(folder, cells, line))
        if not rows and not problems:
            raise UserError(
                f"the first table of {sheet} lists no micro-expression; take the sheet of "
                f"{self.title} as it was distributed ({self.sheet_name})."
            )
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

    def clip_folder(self, tree: Tree, root: Path, row: Row) -> Path | None:
        """The clip's own folder, or the long video that it is in."""
        person = tree.find_person(root, self.people, self.number(row.subject))
        if person is None:
            return None
        if found := tree.find(person, row.filename):
            return found
        code = _table("videos.csv", "name", "code").get(row.filename.lower().rpartition("_")[0])
        video = re.compile(rf"0*{self.number(row.subject)}_{code}.*")
        named = [path for name, path in tree.folders(person).items() if video.fullmatch(name)]
        return named[0] if code and len(named) == 1 else None

    def has_a_folder_per_clip(self, root: Path) -> bool:
        """Not where the long videos are."""
        return "rawpic" not in root.as_posix().lower()


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


def _table(file: str, key: str, value: str) -> dict[str, str]:
    with (Path(__file__).parent / file).open(encoding="utf-8", newline="") as lines:
        return {line[key]: line[value] for line in csv.DictReader(lines)}
