"""CASME II: `CASME2-coding-20190701.xlsx` beside `CASME2_RAW_selected/sub01/EP02_01f/img46.jpg`.

Also the long raw release and both face crops. The sheets of 2014 and 2019 differ in the emotion of
three clips (`relabelled.csv`), so either one gives both label versions.
"""

import dataclasses
import re
from pathlib import Path

from datasets.filmed import FilmedCorpus
from datasets.rows import Annotations, Row, read_data

CURRENT, EARLIER = "2019", "2014"  # label versions


class Casme2(FilmedCorpus):
    """How CASME II names things."""

    name = "casme2"
    title = "CASME II"
    fps = 200.0
    emotions = (
        "disgust", "fear", "happiness", "others", "repression", "sadness", "surprise",
    )  # fmt: skip
    aliases = {"other": "others"}  # noqa: RUF012
    sheet_name = "CASME2-coding-20190701.xlsx or CASME2-coding-20140508.xlsx"
    columns = {  # noqa: RUF012
        "subject": "Subject",
        "filename": "Filename",
        "onset": "OnsetFrame",
        "apex": "ApexFrame",
        "offset": "OffsetFrame",
        "action_units": "Action Units",
        "emotion": "Estimated Emotion",
    }
    people = re.compile(r"sub0*(\d{1,3})")
    person = "sub{:02d}"
    # The paper aligns raw frames by itself; the newer crop before the older.
    preference = ("selected", r"raw", "updated", "crop")

    def sheet_rank(self, path: Path) -> int | None:
        """The newer label version first; sheets of other content never."""
        name = path.name.lower()
        if "objective" in name:
            return None
        known = ("2019", "2014", "updated", "label_ver")
        return next((rank for rank, part in enumerate(known) if part in name), len(known))

    def read(self, sheet: Path) -> Annotations:
        """All rows, with the emotions of both label versions, whichever the sheet is of."""
        read = super().read(sheet)
        relabelled = {(r["subject"], r["clip"]): r for r in read_data(self.name, "relabelled.csv")}
        rows, corrections, notes = [], [], list(read.notes)
        for row in read.rows:
            change = relabelled.get((row.subject, _stem(row.filename)))
            if change and row.emotion in (change["earlier"], change["current"]):
                if row.emotion == change["earlier"]:
                    corrections.append(
                        f"{row}: {row.emotion} in {sheet.name} is {change['current']} in label "
                        f"version {CURRENT}: {change['reason']} ({change['source']})."
                    )
                else:
                    notes.append(
                        f"{row}: {row.emotion} in {sheet.name} is {change['earlier']} in label "
                        f"version {EARLIER}: {change['reason']} ({change['source']})."
                    )
                row = _labelled(row, change["current"], change["earlier"])
            else:
                row = _labelled(row, row.emotion, row.emotion)
            rows.append(row)
        return dataclasses.replace(
            read,
            rows=tuple(rows),
            corrections=tuple(corrections),
            notes=tuple(notes),
            label_version=CURRENT,
            earlier_label_version=EARLIER,
        )

    def folder_names(self, row: Row) -> tuple[str, ...]:
        """Copies differ in whether a name ends in f."""
        stem = _stem(row.filename)
        return (row.filename, f"{stem}f", stem)


def _labelled(row: Row, current: str, earlier: str) -> Row:
    return dataclasses.replace(row, emotion=current, earlier_emotion=earlier)


def _stem(filename: str) -> str:
    return re.sub("[fF]$", "", filename)
