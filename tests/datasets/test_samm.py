"""Building SAMM from four clips: corrections, frames that are not there or unfit, faces."""

import os

import cv2
import numpy as np
import openpyxl
import pytest

from datasets import faces
from datasets.build import BuildOptions, build_corpus
from datasets.errors import UserError
from datasets.frames import read_frame
from datasets.reading import open_corpus
from tests.conftest import run_module
from tests.helpers.samm_corpus import CLIPS, FRAMES, SHEET, change_rows, write

ONE_PROCESS = BuildOptions(workers=1)


def _build(tmp_path, manual_dir, options=ONE_PROCESS):
    build_corpus("samm", tmp_path / "data", manual_dir, options)
    return open_corpus("samm", tmp_path / "data")


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """The four clips as SAMM would be distributed, built."""
    folder = tmp_path_factory.mktemp("official")
    return _build(folder, write(folder / "SAMM"))


def _assert_same(examples, expected):
    assert len(examples) == len(expected)
    for example, other in zip(examples, expected, strict=True):
        np.testing.assert_array_equal(example.pop("frames"), other.pop("frames"))
        assert example == other


def test_what_an_example_holds(official):
    assert tuple(example["clip"] for example in official) == CLIPS
    first = official[0]
    assert first["frames"].shape == (FRAMES, 72, 72, 3)
    assert first["frames"].dtype == np.uint8
    assert (first["subject"], first["emotion"], first["fps"]) == ("006", "anger", 200.0)
    assert (first["onset"], first["apex"], first["offset"]) == (5562, 5566, 5571)
    assert (first["action_units"], first["objective_class"]) == ("4+7", "I")
    assert official.metadata["counts"] == {"clips": 4, "subjects": 3, "frames": 4 * FRAMES}
    assert len(official.corrections) == 1


def test_a_doubled_clip_folder_is_the_same(official, tmp_path):
    folder = write(tmp_path / "SAMM")
    clip = folder / "SAMM/013/013_1_2"
    clip.rename(clip.with_name("x"))
    clip.mkdir()
    clip.with_name("x").rename(clip / clip.name)
    _assert_same(_build(tmp_path, folder), list(official))


@pytest.mark.parametrize("offset", [5793, 5735])  # too large, too small; 5739 is right
def test_known_bad_cells_are_corrected_and_reported(tmp_path, offset):
    folder = write(tmp_path / "SAMM", ("006_1_2", "013_1_9", "032_3_1"))
    cells = {"006_1_2": (4, "?"), "013_1_9": (5, offset), "032_3_1": (4, "/")}

    def spoil(row):
        column, value = cells[row[1].value]
        row[column].value = value
        return True

    change_rows(folder, spoil)
    corpus = _build(tmp_path, folder)
    unknown, happiness, anger = corpus
    assert happiness["offset"] == 5739
    assert len(happiness["frames"]) == FRAMES
    assert (anger["apex"], unknown["apex"]) == (4930, -1)
    assert len(corpus.corrections) == 2
    assert f"013_1_9 of 013: offset {offset} became 5739" in corpus.corrections[0]
    assert "032_3_1 of 032: apex (none) became 4930" in corpus.corrections[1]


def test_cells_that_are_good_are_left_alone(tmp_path):
    folder = write(tmp_path / "SAMM", ("032_3_1",))
    change_rows(folder, lambda row: setattr(row[4], "value", 4928) or True)
    corpus = _build(tmp_path, folder)
    assert corpus[0]["apex"] == 4928
    assert corpus.corrections == []


def test_a_missing_frame_is_reported_and_replaced(official, tmp_path):
    folder = write(tmp_path / "SAMM")
    (folder / "SAMM/006/006_1_2/006_05565.jpg").unlink()
    corpus = _build(tmp_path, folder)
    frames, whole = corpus[0]["frames"], official[0]["frames"]
    assert len(frames) == FRAMES
    np.testing.assert_array_equal(frames[3], whole[2])
    np.testing.assert_array_equal(np.delete(frames, 3, 0), np.delete(whole, 3, 0))
    (warning,) = corpus.warnings
    assert warning.startswith(str(folder / "SAMM/006/006_1_2"))
    assert "lacks 1 of the 10 frames of clip 006_1_2 of 006 (5565)" in warning


def _break(folder, how):
    clip, sheet = folder / "SAMM/006/006_3_1", folder / SHEET
    files = sorted(clip.iterdir())
    book = openpyxl.load_workbook(sheet)
    match how:
        case "torn":
            files[4].write_bytes(files[4].read_bytes()[:-900])
        case "empty file":
            files[4].write_bytes(b"")
        case "no picture":
            files[4].write_bytes(b"\xff\xd8 no picture \xff\xd9")
        case "another size":
            cv2.imwrite(str(files[4]), cv2.resize(cv2.imread(str(files[4]), 0), (96, 104)))
        case "no subject cell":
            book.active.cell(14, 1).value = "Person"
            book.save(sheet)
        case "no column":
            book.active.cell(14, 4).value = "Start"
            book.save(sheet)
        case "no rows":
            change_rows(folder, lambda row: False)
        case "no workbook":
            sheet.write_text("hello")


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("torn", r"006_00099.jpg is corrupt or not a picture"),
        ("empty file", r"006_00099.jpg is corrupt or not a picture \(0 bytes\)"),
        ("no picture", r"006_00099.jpg is corrupt or not a picture"),
        ("another size", r"frame 5, from the onset, of clip 006_3_1 .* is 96x104 pixels"),
        ("no subject cell", r"no cell 'Subject' in .*SAMM_Micro_FACS_Codes_v2.xlsx"),
        ("no column", r"SAMM_Micro_FACS_Codes_v2.xlsx lacks the column Onset Frame"),
        ("no rows", r"lists no micro-expression"),
        ("no workbook", r"cannot be read as a workbook"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, how, sentence):
    folder = write(tmp_path / "SAMM")
    _break(folder, how)
    with pytest.raises(UserError, match=sentence) as raised:
        _build(tmp_path, folder)
    assert "\n" not in str(raised.value)
    assert not any((tmp_path / "data").glob("**/*.json"))


@pytest.fixture
def faceless(tmp_path):
    """A corpus with a clip that shows no face."""
    folder = write(tmp_path / "SAMM")
    for path in (folder / "SAMM/006/006_3_1").iterdir():
        cv2.imwrite(str(path), np.full((208, 192), 128, np.uint8))
    return folder


def test_a_clip_without_a_face_fails_by_default(tmp_path, faceless):
    with pytest.raises(UserError, match=r"no face .* clip 006_3_1 .*--on_no_face=skip"):
        _build(tmp_path, faceless)


def test_a_clip_without_a_face_is_skipped_on_request(tmp_path, faceless):
    corpus = _build(tmp_path, faceless, BuildOptions(workers=1, on_no_face="skip"))
    assert [example["clip"] for example in corpus] == ["006_1_2", "013_1_2", "032_3_1"]
    assert corpus.warnings[-1:] == [
        "1 of 4 clips were skipped, since no face was found in them: 006_3_1 (006)."
    ]


def test_an_onset_frame_without_a_face_takes_the_landmarks_of_the_next(official, tmp_path):
    folder = write(tmp_path / "SAMM")
    first = folder / "SAMM/006/006_1_2" / "006_05562.jpg"
    cv2.imwrite(str(first), np.full((208, 192), 128, np.uint8))
    built = _build(tmp_path, folder)[0]["frames"]
    assert len(built) == FRAMES
    assert np.ptp(built[0]) <= 1
    assert np.abs(built[1].astype(int) - official[0]["frames"][1]).mean() < 3


def test_landmarks_are_held_fixed_unless_per_frame(official, tmp_path, monkeypatch):
    calls = []
    find = faces.FaceLandmarker.find
    monkeypatch.setattr(
        faces.FaceLandmarker, "find", lambda self, frame: calls.append(1) or find(self, frame)
    )
    folder = write(tmp_path / "SAMM")
    fixed = _build(tmp_path / "fixed", folder)
    assert len(calls) == 4  # one frame of each clip
    every = _build(tmp_path / "every", folder, BuildOptions(workers=1, per_frame=True))
    assert len(calls) == 4 + 4 * FRAMES
    assert not np.array_equal(fixed[0]["frames"], every[0]["frames"])
    _assert_same(fixed, list(official))


def test_colour_frames_are_stored_red_green_blue(tmp_path):
    folder = write(tmp_path / "SAMM", CLIPS[:1])
    for path in (folder / "SAMM/006/006_1_2").iterdir():
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path), cv2.merge([grey // 2, grey, grey]))  # little blue
    red, _, blue = np.moveaxis(_build(tmp_path, folder)[0]["frames"].astype(int), -1, 0)
    assert (red - blue)[:, 20:50, 20:50].mean() > 20


def test_frames_of_12_bits_in_a_folder_named_in_another_encoding(official, tmp_path):
    """An archive packed on a Chinese Windows names folders in GBK."""
    folder = write(tmp_path / os.fsdecode("语料库".encode("gbk")))
    for path in folder.glob("SAMM/*/*/*.jpg"):
        frame = read_frame(path)
        path.unlink()
        deep = np.rint(frame * (4095 / 255)).astype(np.uint16)
        path.with_suffix(".png").write_bytes(cv2.imencode(".png", deep)[1])
    done = run_module(
        "datasets.build", "samm", f"--manual_dir={folder}", f"--data_dir={tmp_path / 'data'}",
        "--workers=1",
    )  # fmt: skip
    assert "4 of 4 clips have grey values of more than 8 bits" in done.stderr
    _assert_same(list(open_corpus("samm", tmp_path / "data")), list(official))
