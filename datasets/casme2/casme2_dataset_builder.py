"""CASME II: spontaneous micro-expressions, 200 frames per second, colour; licensed by its authors.

Built from `CASME2_RAW_selected/sub01/EP02_01f/img46.jpg` (or the long raw release, or either face
crop) and `CASME2-coding-20190701.xlsx`; see `datasets/README.md`. The sheets of 2014 and 2019
differ in the emotion of three clips (`relabelled.csv`), so either one gives both label versions.
W.-J. Yan, X. Li, S.-J. Wang, G. Zhao, Y.-J. Liu, Y.-H. Chen and X. Fu, "CASME II: an improved
spontaneous micro-expression database and the baseline evaluation", 2014.
"""

import dataclasses
import re
from pathlib import Path

from datasets.annotations import Annotations, Row, read_table
from datasets.builder import ImageCorpusBuilder
from datasets.image_corpus import ImageCorpus

CURRENT, EARLIER = "2019", "2014"  # label versions


class Casme2(ImageCorpus):
    """Names of CASME II."""

    name = "casme2"
    title = "CASME II"
    fps = 200.0
    emotions = (
        "disgust",
        "fear",
        "happiness",
        "others",
        "repression",
        "sadness",
        "surprise",
    )
    aliases = {"other": "others"}  # noqa: RUF012
    sheet_name = "CASME2-coding-20190701.xlsx or CASME2-coding-20140508.xlsx"
    sheet_patterns = ("2019", "2014", "updated", "label_ver", "")
    excluded_sheets = re.compile("objective")
    columns = {  # noqa: RUF012
        "subject": "Subject",
        "filename": "Filename",
        "onset": "OnsetFrame",
        "apex": "ApexFrame",
        "offset": "OffsetFrame",
        "action_units": "Action Units",
        "emotion": "Estimated Emotion",
    }
    subject_folder = re.compile(r"sub0*(\d{1,3})")
    subject_id = "sub{:02d}"
    # The paper aligns raw frames itself; the newer crop comes before the older one.
    preferred_trees = ("selected", r"raw", "updated", "crop")

    def read(self, path: Path) -> Annotations:
        """Returns all rows with the emotions of both label versions, whichever the sheet has."""
        found = super().read(path)
        found.label_version, found.earlier_label_version = CURRENT, EARLIER
        relabelled = {(r["subject"], r["clip"]): r for r in read_table(self.name, "relabelled.csv")}
        for place, row in enumerate(found.rows):
            current = earlier = row.emotion
            change = relabelled.get((row.subject, _stem(row.filename)))
            if change and row.emotion in (change["earlier"], change["current"]):
                current, earlier = change["current"], change["earlier"]
                is_correction = row.emotion == earlier
                other, version = (current, CURRENT) if is_correction else (earlier, EARLIER)
                (found.corrections if is_correction else found.notes).append(
                    f"{row}: {row.emotion} in {path.name} is {other} in label version {version}: "
                    f"{change['reason']} ({change['source']})."
                )
            found.rows[place] = dataclasses.replace(row, emotion=current, earlier_emotion=earlier)
        return found

    def folder_names(self, row: Row) -> tuple[str, ...]:
        """Returns the name with and without a final f, in which copies differ."""
        stem = _stem(row.filename)
        return (row.filename, f"{stem}f", stem)


def _stem(filename: str) -> str:
    return re.sub("[fF]$", "", filename)


class Builder(ImageCorpusBuilder):
    """Builds CASME II."""

    name = "casme2"
    corpus = Casme2()
