"""Writes tiny corpora in SAMM's layout: drawn faces, an .xlsx sheet, and every known oddity."""

import dataclasses
import functools
from pathlib import Path

import cv2
import numpy as np
import openpyxl

from datasets.synthetic import clips

FRAMES = 10
HEADER = (
    "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame",
    "Duration", "Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes",
)  # fmt: skip


@dataclasses.dataclass
class Clip:
    subject: str
    name: str
    emotion: str
    onset: int
    apex: object  # a frame number, or whatever the cell holds
    offset: int | None = None  # None: the right one

    @property
    def last(self) -> int:
        return self.onset + FRAMES - 1


def default_clips() -> list[Clip]:
    return [
        Clip("006", "006_1_2", "Anger", 5562, 5566),
        Clip("009", "009_3_1", "Other", 95, 99),
        Clip("013", "013_1_9", "Happiness", 5730, 5734),
        Clip("032", "032_3_1", "Surprise", 4926, 4930),
    ]


@functools.cache
def drawn_frames(person: int) -> tuple[np.ndarray, ...]:
    """Ten frames of a drawn clip, uint8 [208, 192] each."""
    frames = list(clips.prepare_clip(clips.ClipSpec(0, person, 0, "happiness")).frames())
    places = np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)
    return tuple(frames[place] for place in places)


def write(
    folder: Path,
    chosen: list[Clip] | None = None,
    *,
    notes: int = 13,
    digits: int = 5,
    frames_in: str = "",
    sheet: str = "SAMM_Micro_FACS_Codes_v2.xlsx",
    extra: int = 0,
    header: tuple[str, ...] = HEADER,
) -> Path:
    """Writes a corpus and returns its folder.

    Args:
      notes: rows of notes above the header.
      digits: the frame numbers are padded with zeros to so many.
      frames_in: folder within `folder` that holds the subjects' folders.
      extra: frames before the onset and after the offset, as in longer clip folders.
    """
    chosen = default_clips() if chosen is None else chosen
    for person, clip in enumerate(chosen):
        place = folder / frames_in / clip.subject / clip.name
        place.mkdir(parents=True)
        frames = drawn_frames(person)
        for number in range(clip.onset - extra, clip.last + extra + 1):
            frame = frames[min(max(number - clip.onset, 0), FRAMES - 1)]
            name = f"{clip.subject}_{number:0{digits}d}.jpg"
            cv2.imwrite(str(place / name), frame, [cv2.IMWRITE_JPEG_QUALITY, 95])
    write_sheet(folder / sheet, chosen, notes, header)
    return folder


def write_sheet(path: Path, chosen: list[Clip], notes: int = 13, header=HEADER) -> None:
    book = openpyxl.Workbook()
    table = book.active
    table.title = "MICRO_ONLY"
    for number in range(notes):
        table.append([f"note {number + 1}"])
    table.append(list(header))
    for clip in chosen:
        offset = clip.last if clip.offset is None else clip.offset
        table.append(
            [clip.subject, clip.name, "", clip.onset, clip.apex, offset, FRAMES, "Micro - 1/2",
             "4+7", clip.emotion, "I", ""]
        )  # fmt: skip
    book.save(path)
