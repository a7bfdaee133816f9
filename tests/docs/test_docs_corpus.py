"""The page on adding a corpus: its 30 lines, followed to the letter, build an invented corpus."""

import json
import shlex

import pytest

from datasets.examples.writing import DrawnClip, write_frames, write_workbook
from tests.conftest import ROOT
from tests.helpers.docs_pages import commands_of, follow, run_python
from tests.helpers.tiny import TINY_OPTIONS

PAGE = ROOT / "docs" / "new-corpus.md"
DOCTOR, BUILD, TRAIN = commands_of(PAGE)
EMOTIONS = ("happiness", "Others", "surprise")  # as the sheet spells them
FIRST, APEX, LAST = 12, 15, 19
READ = """
from datasets.protocols import get_protocol
from datasets.reading import open_corpus
from fdp_jax.clips import load_clips
clips = load_clips(get_protocol("mine"), "data")
print(*zip(clips.subjects, clips.names, clips.labels.tolist(), clips.lengths.tolist()), sep="\\n")
print(clips.warnings)
"""


def draw(folder):
    """Three people, each with a clip of each category."""
    rows = [["Subject", "Clip", "First", "Apex", "Last", "Emotion"]]
    for person in range(3):
        for take, emotion in enumerate(EMOTIONS):
            subject, clip = f"p{person + 1:02d}", f"{emotion.lower()}_1"
            drawn = DrawnClip(person, 3 * person + take, emotion, FIRST, LAST)
            write_frames(folder / "raw" / subject / clip, drawn, drawn.numbers, "frame_{:05d}.jpg")
            rows.append([subject, clip, FIRST, APEX, LAST, emotion])
    write_workbook(folder / "mine.xlsx", {"clips": rows})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page was followed and the corpus lies in MINE."""
    made = tmp_path_factory.mktemp("reader")
    follow(PAGE, made)
    draw(made / "MINE")
    return made


@pytest.fixture(scope="module")
def reader(folder):
    """Runs Python there, once the corpus is built; and the arguments of a typed command."""

    def run(*arguments):
        return run_python(folder, *arguments)

    def typed(command):
        return shlex.split(command)[1:]

    run(*typed(BUILD))
    return run, typed


def test_it_takes_about_thirty_lines():
    blocks = PAGE.read_text(encoding="utf-8").split("```")[1::2]
    lines = [
        line
        for block in blocks
        if block.startswith(("python\n", "diff\n"))
        for line in block.splitlines()[2:]
        if line.strip() and (block.startswith("python") or line.startswith("+"))
    ]
    assert 25 <= len(lines) <= 35


def test_the_doctor_finds_what_the_page_promises(reader):
    run, typed = reader
    output = run(*typed(DOCTOR))
    assert "9 of 9 can be built, 3 subjects" in output
    (protocol,) = [line for line in output.splitlines() if line.strip().startswith("3class")]
    assert protocol.endswith("happiness 3, surprise 3, other 3: as published")


def test_every_clip_has_its_person_class_and_length(reader):
    run, _ = reader
    labels = {"happiness_1": 0, "surprise_1": 1, "others_1": 2}  # an alias of other
    expected = {
        str((f"p{person:02d}", clip, label, LAST - FIRST + 1))
        for person in (1, 2, 3)
        for clip, label in labels.items()
    }
    *clips, warnings = run("-c", READ).splitlines()
    assert set(clips) == expected and len(clips) == 9
    assert warnings == "()"


@pytest.mark.slow
def test_it_is_trained_by_its_name(reader, folder):
    run, typed = reader
    run(*typed(TRAIN), *TINY_OPTIONS, "--steps=2", "--workdir=trained")
    report = json.loads((folder / "trained" / "report.json").read_text())
    assert report["complete"] and report["n_clips"] == 9 and report["n_subjects"] == 3
