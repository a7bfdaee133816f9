"""A SAMM of four clips: the example corpus without the others, which is quicker to build."""

import functools
import shutil
from pathlib import Path

import numpy as np
import openpyxl

from datasets.example import write_example
from datasets.synthetic import clips

FRAMES = 10
CLIPS = ("006_1_2", "006_3_1", "013_1_2", "032_3_1")
SHEET = "SAMM_Micro_FACS_Codes_v2.xlsx"


@functools.cache
def drawn_frames(person: int) -> tuple[np.ndarray, ...]:
    """Ten frames of a drawn clip, uint8 [208, 192] each."""
    frames = list(clips.prepare_clip(clips.ClipSpec(0, person, 0, "happiness")).frames())
    places = np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)
    return tuple(frames[place] for place in places)


def write(folder: Path, chosen: tuple[str, ...] = CLIPS) -> Path:
    """Writes the `chosen` clips of the example and returns the folder."""
    write_example("samm", folder)
    for clip in folder.glob("SAMM/*/*"):
        if clip.name not in chosen:
            shutil.rmtree(clip)
    for person in folder.glob("SAMM/*"):
        if not any(person.iterdir()):
            person.rmdir()
    change_rows(folder, lambda row: row[1].value in chosen)
    return folder


def change_rows(folder: Path, keep) -> None:
    """Keeps the rows of the sheet that `keep(cells)` wants; it may change the cells."""
    book = openpyxl.load_workbook(folder / SHEET)
    table = book.active
    for row in reversed(list(table.iter_rows(min_row=15))):
        if not keep(row):
            table.delete_rows(row[0].row)
    book.save(folder / SHEET)
