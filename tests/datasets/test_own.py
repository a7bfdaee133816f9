"""A corpus from the user's own table: what is built, how cells may be spelled, and every fault."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest

from datasets.build import build_corpus
from datasets.doctor import diagnose
from datasets.errors import UserError
from datasets.example import write_example
from datasets.image_corpus import get_image_corpus
from datasets.options import BuildOptions
from datasets.reading import find_protocol, is_built, open_corpus
from tests.conftest import run_module

OPTIONS = BuildOptions(workers=1)
VIDEO = "videos/p02_happiness_1.avi"
# (subject, clip) -> class, emotion, onset, apex, offset, as the template has them.
CLIPS = {
    ("p01", "disgust_1"): ("negative", "disgust", 21, 27, 32),
    ("p01", "happiness_1"): ("positive", "happiness", 1, -1, 12),
    ("p02", "happiness_1"): ("positive", "happiness", 1, -1, 12),
    ("p02", "sadness_1"): ("negative", "sadness", 1, -1, 12),
    ("p03", "anger_1"): ("negative", "anger", 1, -1, 12),
    ("p03", "happiness_1"): ("positive", "happiness", 5, 11, 16),
}
LEFT_OUT = "clips of clips.csv without a class, which are left out: 1 of 7."


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    return write_example("own", tmp_path_factory.mktemp("template") / "own")


@pytest.fixture(scope="module")
def built(template):
    """A data_dir in which the command has built the template as `mmew`."""
    run_module(
        "datasets.build", "own", f"--table={template}/clips.csv", "--name=mmew", "--workers=1",
        f"--data_dir={template}/data",
    )  # fmt: skip
    return template / "data"


@pytest.fixture
def folder(template, tmp_path) -> Path:
    """A copy of the template without its built corpus."""
    return shutil.copytree(template, tmp_path / "own", ignore=lambda *_: ["data"])


def survey(table, options=OPTIONS):
    return get_image_corpus("own").survey(table, options)


def rows_of(table) -> list[list[str]]:
    return [line.split(",") for line in table.read_text().splitlines()]


def write_rows(table, rows, separator=",", encoding="utf-8"):
    table.write_text("".join(f"{separator.join(row)}\n" for row in rows), encoding=encoding)


def change(table, row, **cells):
    """Changes cells in a row, numbered as in a spreadsheet."""
    header, *_ = rows = rows_of(table)
    for column, text in cells.items():
        rows[row - 1][header.index(column)] = text
    write_rows(table, rows)


def test_every_clip_has_its_class_frames_and_numbers(built, template):
    corpus = open_corpus("mmew", built)
    found = {
        (clip["subject"], clip["clip"]):
        (clip["objective_class"], *(clip[k] for k in ("emotion", "onset", "apex", "offset")))
        for clip in corpus
    }  # fmt: skip
    assert found == CLIPS and corpus.warnings == [LEFT_OUT]
    assert {len(clip["frames"]) for clip in corpus} == {12}
    assert {clip["fps"] for clip in corpus} == {100.0}
    assert corpus[0]["action_units"] == "9"
    assert corpus.metadata["classes"] == ["negative", "positive"]
    protocol = find_protocol("mmew", None, built)
    assert (protocol.name, protocol.classes) == ("2class", ("negative", "positive"))


def test_a_part_of_a_video_and_of_a_folder(folder):
    table = folder / "clips.csv"
    change(table, 5, onset="3", apex="4", offset="7", fps="")
    change(table, 2, onset="3", offset="7")
    frames = {clip.where: list(clip.frames()) for clip in survey(table).clips}
    capture, decoded = cv2.VideoCapture(str(folder / VIDEO)), []
    for _ in range(12):
        decoded.append(capture.read()[1])
    np.testing.assert_array_equal(frames[str(folder / VIDEO)], decoded[2:7])
    pictures = sorted((folder / "frames/p01/happiness_1").iterdir())[2:7]
    for frame, path in zip(frames[str(pictures[0].parent)], pictures, strict=True):
        np.testing.assert_array_equal(frame, cv2.imread(str(path)))
    (clip,) = [clip for clip in survey(table).clips if clip.where.endswith(".avi")]
    assert clip.row.fps == pytest.approx(100)  # the video's own


def test_frames_of_a_video_that_does_not_state_how_many_are_counted(folder):
    frames = [np.full((64, 64, 3), 20 * k, np.uint8) for k in range(9)]
    writer = cv2.VideoWriter(
        str(folder / "a.mkv"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 64)
    )
    for frame in frames:
        writer.write(frame)
    writer.release()
    change(folder / "clips.csv", 5, path="a.mkv")
    (clip,) = [clip for clip in survey(folder / "clips.csv").clips if clip.where.endswith(".mkv")]
    assert (clip.row.onset, clip.row.offset, len(list(clip.frames()))) == (1, 9, 9)


def _spelled(name, table):
    """The template's table in another spelling, of the same content."""
    rows = rows_of(table)
    other = table.with_name("clips2.csv")
    if name == "workbook":
        other, book = table.with_name("clips2.xlsx"), openpyxl.Workbook()
        for row in rows:
            book.active.append([float(cell) if cell.isdigit() else cell or None for cell in row])
        book.save(other)
    elif name == "semicolons":
        rows[2][4:8] = ["21,0", "27", "32,0", "100,0"]
        write_rows(other, [["sep=;"], *rows], ";")
    elif name in ("utf-8-sig", "utf-16", "gb18030"):
        write_rows(other, rows, "\t", name)
    elif name == "header":
        header = [" Subject", "CLIP", "Path", "Emotion ", "onset", "apex", "offset", "FPS",
                  "Action Units", "Class"]  # fmt: skip
        write_rows(other, [["my clips", ""], [], *(row[::-1] for row in [header, *rows[1:]])])
    elif name == "backslashes":
        write_rows(other, [[*row[:2], row[2].replace("/", "\\"), *row[3:]] for row in rows])
    elif name == "absolute":
        absolute = [[*row[:2], f"{table.parent}/{row[2]}", *row[3:]] for row in rows[1:]]
        write_rows(other, [rows[0], *absolute])
    elif name == "markers":
        write_rows(other, [[cell or ("/", "-", "NaN", "n/a")[k % 4] for k, cell in enumerate(row)]
                           for row in rows])  # fmt: skip
    elif name == "capitals":
        write_rows(other, [rows[0], *([*r[:3], r[3].upper(), *r[4:9], r[9].title()]
                                      for r in rows[1:])])  # fmt: skip
    return other


@pytest.mark.parametrize(
    "name", ["workbook", "semicolons", "utf-8-sig", "utf-16", "gb18030", "header", "backslashes",
             "absolute", "markers", "capitals"],
)  # fmt: skip
def test_a_table_may_be_spelled_otherwise(folder, name):
    def content(found):
        return [(clip.where, {**vars(clip.row), "line": 0, "filename": ""}, clip.frame_count)
                for clip in found.clips]  # fmt: skip

    found, other = (survey(t) for t in (folder / "clips.csv", _spelled(name, folder / "clips.csv")))
    assert not other.problems and len(other.clips) == 6
    plain = content(found)
    assert [(w, {**r, "action_units": ""}, n) for w, r, n in content(other)] == [
        (w, {**r, "action_units": ""}, n) for w, r, n in plain
    ]


# Cells of row 3 (a folder), or of row 5 (the video) -> the sentence.
FAULTS = [
    (3, {"subject": ""}, "column subject: the cell is empty."),
    (3, {"clip": " "}, "column clip: the cell is empty."),
    (3, {"path": ""}, "column path: the cell is empty."),
    (3, {"emotion": ""}, "column emotion: the cell is empty."),
    (3, {"subject": "p/1"}, "column subject: 'p/1' cannot name a folder of results; use letters"),
    (3, {"subject": ".."}, "column subject: '..' cannot name a folder"),
    (3, {"subject": "P1"}, "column subject: 'P1' is 'p01' in row 2; spell one person alike"),
    (3, {"clip": "Happiness_1"}, "column clip: 'Happiness_1' of p01 is in row 2 already; rename"),
    (3, {"onset": "21a"}, "column onset: '21a' is no frame number; write a whole number from 0"),
    (3, {"onset": "-21"}, "column onset: '-21' is no frame number"),
    (3, {"apex": "27.5"}, "column apex: '27.5' is no frame number"),
    (3, {"offset": "1e400"}, "column offset: '1e400' is no frame number"),
    (3, {"onset": "33"}, "column offset: 32 is before the onset, 33."),
    (3, {"onset": "1"}, "column onset: 1 is none of the frames of FOLDER, which are 17 to 36."),
    (3, {"offset": "37"}, "column offset: 37 is none of the frames of FOLDER, which are 17 to 36."),
    (3, {"offset": "21"}, "column path: a clip of FOLDER has one frame only, 21."),
    (3, {"apex": "33"}, "column apex: 33 is not from the onset 21 to the offset 32."),
    (3, {"fps": "fast"}, "column fps: 'fast' is no number of frames per second; write one such as"),
    (3, {"fps": "0"}, "column fps: '0' is no number of frames per second"),
    (3, {"fps": "inf"}, "column fps: 'inf' is no number of frames per second"),
    (3, {"path": "frames/p01/smile"}, "column path: there is no folder or video TOP/frames/p01/sm"),
    (3, {"path": "frames/p1/disgust_1"}, "there is no folder or video TOP/frames/p1/disgust_1."),
    (3, {"path": "frames/p01/Disgust_01"}, "video TOP/frames/p01/Disgust_01, but disgust_1."),
    (3, {"path": "vidéo/a"}, "video TOP/vidéo/a; if letters look wrong here, save the table as"),
    (3, {"path": "C:\\frames\\a"}, "C:\\frames\\a is a path of a Windows machine; write it relat"),
    (3, {"path": "a" * 300}, "column path: there is no folder or video TOP/aaa"),
    (3, {"path": "frames/p01"}, "column path: TOP/frames/p01 holds no numbered frames, such as im"),
    (3, {"path": "clips.csv"}, "column path: TOP/clips.csv is not a readable video; give a video"),
    (
        5,
        {"offset": "13"},
        f"column offset: 13 is none of the frames of TOP/{VIDEO}, which are 1 to",
    ),
    (5, {"onset": "0"}, f"column onset: 0 is none of the frames of TOP/{VIDEO}, which are 1 "),
]


@pytest.mark.parametrize(("row", "cells", "sentence"), FAULTS)
def test_a_fault_names_row_and_column(folder, row, cells, sentence):
    change(folder / "clips.csv", row, **cells)
    found = survey(folder / "clips.csv")
    assert len(found.problems) == 1 and len(found.clips) == 5
    (problem,) = found.problems
    assert problem.startswith(f"row {row} of clips.csv, column ")
    clip = str(folder / "frames/p01/disgust_1")
    assert sentence.replace("FOLDER", clip).replace("TOP", str(folder)) in problem


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read as a workbook"),
        (b"PK\3\4 torn", "cannot be read as a workbook"),
        (b"a,b\n1,2\n", "no cell 'Subject' in .*, so its header row cannot be found; python -m"),
        (b"subject,clip,emotion\n1,2,3\n", "lacks the column path; python -m datasets.example own"),
        (b"subject,clip,path,emotion\n", "has no row below its header"),
        (b"subject,clip,path,emotion,clip\n1,2,3,4,5\n", "has two columns clip; rename one"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, content, sentence):
    (tmp_path / "clips.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"{tmp_path}/clips\.csv.*{sentence}|{sentence}"):
        survey(tmp_path / "clips.csv")


def test_one_class_or_one_person_cannot_be_trained(folder):
    table, rows = folder / "clips.csv", rows_of(folder / "clips.csv")
    for column, value, sentence in (
        (9, "positive", "clips.csv has only the class 'positive'; at least two classes and two"),
        (9, "", "clips.csv has no clip with a class; at least two classes"),
        (0, "p01", "clips.csv has only the subject 'p01'; at least two"),
    ):
        changed = [[*row[:column], value, *row[column + 1 :]] for row in rows[1:]]
        named = [[row[0], f"{k}", *row[2:]] for k, row in enumerate(changed)]
        write_rows(table, [rows[0], *named])
        (problem,) = survey(table).problems
        assert problem.startswith(sentence)


def test_without_a_column_of_classes_emotions_are_the_classes(folder):
    table = folder / "clips.csv"
    write_rows(table, [[*row[:4], *row[8:9], "x"] for row in rows_of(table)])
    found = survey(table)
    assert [clip.row.objective_class for clip in found.clips] == [
        "happiness", "disgust", "other", "happiness", "sadness", "happiness", "anger"
    ]  # fmt: skip
    assert (found.clips[1].row.onset, found.clips[1].row.offset) == (17, 36)
    assert found.notes == ["columns of clips.csv that are not read: x."]


def test_frames_that_are_not_consecutive_are_noted(folder):
    (folder / "frames/p01/disgust_1/img025.jpg").unlink()
    found = survey(folder / "clips.csv")
    assert not found.problems and [clip.frame_count for clip in found.clips][1] == 11
    assert "row 3 of clips.csv" in found.notes[-1] and "no frame 25;" in found.notes[-1]


def test_a_torn_video_is_found_by_doctor_and_build(folder):
    content = (folder / VIDEO).read_bytes()
    (folder / VIDEO).write_bytes(content[: len(content) // 2])
    done = run_module(
        "datasets.doctor", "own", f"--table={folder}/clips.csv", "--workers=1", "--json",
        check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert done.returncode == 1 and report["clips"] == 5 and not report["can_skip"]
    (problem,) = report["problems"]
    assert problem.startswith(f"{folder}/{VIDEO} ends after ")
    assert "before the offset 12 of clip happiness_1 of p02 (row 5 of its table)" in problem
    with pytest.raises(UserError, match=r"avi ends after \d frames, before the offset 12"):
        build_corpus("own", folder / "data", options=OPTIONS, table=folder / "clips.csv")
    assert not is_built("own", folder / "data")


def test_the_doctor_shows_clips_people_and_classes(template):
    done = run_module("datasets.doctor", "own", f"--table={template}/clips.csv", "--name=mmew")
    assert f"Own corpus (mmew) in {template}/clips.csv" in done.stdout
    assert "frames/p01/happiness_1/img001.jpg, 2 of 6 clips are longer and are cut" in done.stdout
    assert "6 of 6 can be built, 3 subjects, 72 frames" in done.stdout
    assert "2class        6         3         negative 3, positive 3" in done.stdout
    command = f"python -m datasets.build own --table={template}/clips.csv --name=mmew --data_dir"
    assert command in done.stdout
    table = template / "clips.csv"
    found = diagnose(get_image_corpus("own"), table, OPTIONS, annotations_only=True)
    assert found.is_sound and (found.clips, found.subjects, found.frames) == (6, 3, None)


def test_the_same_table_is_not_built_again_but_another_one_is_refused(folder, built, capsys):
    data_dir, table = shutil.copytree(built, folder / "data"), folder / "clips.csv"
    build_corpus("mmew", data_dir, options=OPTIONS, table=table)  # a copy of its table
    assert "mmew is already built" in capsys.readouterr().err
    change(table, 2, emotion="joy")
    with pytest.raises(UserError, match=r"holds a mmew that was built differently \(from .*clips"):
        build_corpus("mmew", data_dir, options=OPTIONS, table=table)
    change(table, 2, emotion="happiness")
    shutil.rmtree(folder / "frames")  # to make room
    build_corpus("mmew", data_dir, options=OPTIONS, table=table)
    with pytest.raises(UserError, match=r"the table .*/none\.csv does not exist; name a file"):
        build_corpus("mmew", data_dir, options=OPTIONS, table=folder / "none.csv")


def test_two_tables_lie_side_by_side_and_missing_clips_can_be_skipped(folder, built):
    data_dir, table = shutil.copytree(built, folder / "data"), folder / "clips.csv"
    change(table, 2, **{"class": "Surprise"})
    shutil.rmtree(folder / "frames/p01/disgust_1")
    with pytest.raises(UserError, match=r"row 3 of clips.csv, column path: there is no folder"):
        build_corpus("own", data_dir, options=OPTIONS, table=table)
    build_corpus(
        "own", data_dir, options=BuildOptions(workers=1, on_missing="skip"), table=table
    )  # fmt: skip
    assert find_protocol("own", None, data_dir).classes == ("negative", "positive", "surprise")
    assert len(open_corpus("own", data_dir)) == 5 and len(open_corpus("mmew", data_dir)) == 6
    with pytest.raises(UserError, match=r"no corpus 'mmev'; .*, synthetic, .*\(own, mmew\)"):
        find_protocol("mmev", None, data_dir)
    with pytest.raises(UserError, match=r"own has no protocol '5class'; its only one is 3class"):
        find_protocol("own", "5class", data_dir)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["own"], "own is built from a table of yours; name it with --table=FILE (python -m data"),
        (["own", "--table=T", "--name=samm"], "the name samm is reserved; give the corpus of your"),
        (["own", "--table=T", "--name=cross"], "the name cross is reserved"),
        (["own", "--table=T", "--name=My-Own"], "a corpus cannot be called 'My-Own'; use lower-c"),
        (["samm", "--table=T"], "the name samm is reserved; give the corpus of your table another"),
        (["samm", "--name=mmew", "--manual_dir=."], "--name is for own only, not for samm"),
        (["own", "--table=T", "--manual_dir=."], "own is not built from a folder; leave out"),
        (["own", "--table=T"], "/T does not exist; name a file such as clips.csv with --table."),
        (["own", "--table=."], "is a folder; name a file such as clips.csv with --table."),
        (["own", "--table=T", "--frames_in=x"], "--frames_in is an option of casme2, samm,"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(
    tmp_path, monkeypatch, capsys, arguments, sentence
):
    from datasets import build, command_line

    arguments = [f"--data_dir={tmp_path}", *arguments]
    monkeypatch.setattr("sys.argv", ["build", *arguments])
    with pytest.raises(SystemExit) as stop:
        command_line.run_command(build.main)
    assert str(stop.value.code).startswith("error: ") and sentence in stop.value.code
    assert list(tmp_path.iterdir()) == []


def test_the_template_is_the_same_in_a_workbook(template, tmp_path):
    write_example("own", tmp_path / "x", "xlsx")
    found, other = survey(tmp_path / "x/clips.xlsx"), survey(template / "clips.csv")
    assert [clip.row for clip in found.clips] == [clip.row for clip in other.clips]
