"""The example corpora: names, sheets, like pixels in every layout, planted faults, the command."""

import hashlib
import re
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from python_calamine import CalamineWorkbook

from datasets.command_line import run_command
from datasets.errors import UserError
from datasets.example import LAYOUTS, main, write_example
from datasets.protocols import memberships_of
from tests.conftest import run_module

CASES = [(name, layout) for name, layouts in LAYOUTS.items() for layout in layouts]
JPG = "cas(me)3_part_A_ME_label_JpgIndex"
E_RAW, E_2019 = "SMIC-E_raw image/HS_long", "SMIC-E_raw_image/HS_long"

# Files that are there under just these names, the sheet first where there is one.
FILES = {
    ("casme2", "raw_selected"): [
        "CASME2-coding-20190701.xlsx", "CASME2_RAW_selected/sub01/EP02_01f/img46.jpg",
        "CASME2_RAW_selected/sub01/EP19_05f/img99.jpg",
        "CASME2_RAW_selected/sub01/EP19_05f/img100.jpg",
    ],
    ("casme2", "raw_selected_doubled"): [
        "CASME2-coding-20140508.xlsx",
        "CASME2_RAW_selected/CASME2_RAW_selected/sub01/EP02_01f/img46.jpg",
    ],
    ("casme2", "raw_long"): ["CASME2_label_Ver_2.xls", "CASME2-RAW/sub01/EP02_01f/img1.jpg"],
    ("casme2", "cropped"): [
        "CASME2-coding-20140508.xlsx", "Cropped/sub01/EP02_01f/reg_img46.jpg"
    ],
    ("casme2", "cropped_updated"): [
        "CASME2-coding-updated.xlsx", "Cropped-updated/Cropped/sub01/EP02_01f/reg_img46.jpg",
        "Cropped-updated/Cropped/sub24/EP02_07/reg_img106.jpg",
    ],
    ("samm", "raw"): ["SAMM_Micro_FACS_Codes_v2.xlsx", "SAMM/006/006_1_2/006_05562.jpg"],
    ("samm", "no_notes"): ["SAMM_20181215_Micro_FACS_Codes_v2.xlsx", "006/006_3_1/006_0095.jpg"],
    ("samm", "crop"): [
        "SAMM_Micro_FACS_Codes_v2.xlsx", "SAMM_CROP/SAMM_CROP/006/006_1_2/006_05562.jpg"
    ],
    ("samm", "unpadded"): [
        "SAMM_Micro_FACS_Codes_v2.xlsx", "SAMM/006/006_3_1/006_99.jpg",
        "SAMM/006/006_3_1/006_00100.jpg", "SAMM/032/032_4_6/032_801.jpg",
    ],
    ("samm", "longer"): ["SAMM_Micro_FACS_Codes_v2.xlsx", "SAMM/006/006_1_2/006_05559.jpg"],
    ("casme_sq", "cropped"): ["CAS(ME)^2code_final.xlsx", "cropped/15/anger1_1/img557.jpg"],
    ("casme_sq", "selectedpic"): [
        "CAS(ME)^2code_final(Updated).xlsx", "selectedpic/selectedpic/s15/anger1_1/img557.jpg"
    ],
    ("casme_sq", "rawpic"): [
        "code_final.xlsx", "rawpic/s15/15_0101disgustingteeth/img001.jpg",
        "rawpic/s15/15_0401girlcrashing/img1000.jpg",
    ],
    ("casme_sq", "all"): [
        "CAS(ME)^2code_final.xlsx", "cropped/15/anger1_1/img557.jpg",
        "selectedpic/s15/anger1_1/img557.jpg", "rawpic/s15/15_0401girlcrashing/img557.jpg",
    ],
    ("casme3", "clips"): [
        f"{JPG}_v2.xlsx", "Part_A_ME_clip/Part_A_ME_clip/frame/spNo.1_b_166/166.jpg",
        "Part_A_ME_clip/Part_A_ME_clip/depth/spNo.1_b_166/166.png",
        "Part_A_ME_clip/Part_A_ME_clip/frame/spNo.14_j_40/40.jpg",
    ],
    ("casme3", "long"): [
        f"{JPG}_v2.xlsx", "part_A/data/part_A_split/part_A/spNO.1/a/color/355.jpg",
        "part_A/data/part_A_split/part_A/spNO.1/a/depth/355.png",
        "part_A/data/part_A_split/part_A/spNO.1/b/166.png",
    ],
    ("casme3", "long_v1"): [
        f"{JPG}_v1.xls", "part_A/data/part_A/spNO.1/a/color/355.jpg",
        "part_A/data/part_A/spNO.151/a/color/200.jpg",
    ],
    ("casme3", "extracted"): [
        f"{JPG}_v2.xlsx", "ME_A/spNO.1/b1/color/166.jpg", "ME_A/spNO.1/b2/color/240.jpg"
    ],
    ("smic", "all_raw"): [
        "SMIC_all_raw/HS/s1/micro/negative/s1_ne_01/image034208.bmp",
        "SMIC_all_raw/HS/s3/micro/negative/s3_ne_03/image612066.bmp",
        "SMIC_all_raw/HS/s20/non_micro/s20_non_micro_01/image32615561.bmp",
    ],
    ("smic", "all_cropped"): [
        "SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01/reg_image034208.bmp"
    ],
    ("smic", "long"): [
        f"{E_RAW}/SMIC-HS-E_annotation.xlsx",
        f"{E_RAW}/SMIC-HS-E/s01/s01_ne_01/image034204.jpg",
        f"{E_RAW}/SMIC-HS-E/s03/s03_ne_01/image612066.jpg",
    ],
    ("smic", "long_2019"): [
        f"{E_2019}/SMIC-HS-E_annotation_2019.xlsx",
        f"{E_2019}/SMIC-HS-E/HS/s01/s01_ne_01/image034204.jpg",
    ],
}  # fmt: skip

# Where a frame's person, clip or video, and number stand in its path.
PLACES = {
    "casme2": r"sub(\d+)/(EP\w+)/(?:reg_)?img(\d+)\.jpg$",
    "samm": r"(\d{3})/(\d{3}_\w+)/\d{3}_(\d+)\.jpg$",
    "casme_sq": r"/s?(\d+)/(?:\d\d_)?(\d{4}|[a-z]+\d)\w+/img(\d+)\.jpg$",
    "casme3": r"spN[oO]\.(\d+)[/_](\w)[/_\d]*(?:color)?/(\d+)\.jpg$",
    "smic": r"HS.*/s0?(\d+)/.*(s)\d+_(?:ne|po|sur)_\d\d/(?:reg_)?image(\d+)\.(?:bmp|jpg)$",
}
LONGER = {
    ("casme2", "raw_long"), ("casme2", "cropped_updated"), ("samm", "longer"),
    ("casme_sq", "rawpic"), ("casme_sq", "all"), ("casme3", "long"), ("casme3", "long_v1"),
    ("smic", "long"), ("smic", "long_2019"),
}  # fmt: skip


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Every example, by corpus and layout."""
    root = tmp_path_factory.mktemp("examples")
    return {case: write_example(case[0], root.joinpath(*case), case[1]) for case in CASES}


def _sheets(folder, pattern="*.xls*"):
    """Sheets of the one workbook in a folder: name -> rows."""
    (path,) = folder.rglob(pattern)
    book = CalamineWorkbook.from_path(str(path))
    return {
        name: book.get_sheet_by_name(name).to_python(skip_empty_area=False)
        for name in book.sheet_names
    }


def _frames(folder, name):
    """(person, clip or video, number) of a frame -> its files."""
    stimuli = dict(_sheets(folder)["naming rule2"]) if name == "casme_sq" else {}
    found = defaultdict(list)
    for path in folder.rglob("*"):
        if place := re.search(PLACES[name], path.as_posix()):
            person, scope, number = place.groups()
            found[int(person), stimuli.get(scope, scope), int(number)].append(path)
    return found


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_names_are_those_of_the_official_layout(examples, case):
    assert [file for file in FILES[case] if not (examples[case] / file).is_file()] == []
    sheets = sorted(path.name for path in examples[case].rglob("*.xls*"))
    official = [Path(file).name for file in FILES[case] if Path(file).suffix.startswith(".xls")]
    assert [name for name in sheets if "VIS" not in name] == official


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_all_layouts_hold_the_same_pixels(examples, case):
    name = case[0]
    default = _frames(examples[name, LAYOUTS[name][0]], name)
    frames = _frames(examples[case], name)
    assert len(default) > 100
    assert (set(default) < set(frames)) if case in LONGER else (set(default) == set(frames))
    for key, (path,) in default.items():
        for other in frames[key]:
            same = path.read_bytes() == other.read_bytes()
            assert same or np.array_equal(cv2.imread(str(path)), cv2.imread(str(other))), other


@pytest.mark.parametrize("case", sorted(LONGER), ids="-".join)
def test_further_frames_are_other_pictures(examples, case):
    name = case[0]
    default = _frames(examples[name, LAYOUTS[name][0]], name)
    within = {path.read_bytes() for (path,) in default.values()}
    frames = _frames(examples[case], name)
    assert not within & {frames[key][0].read_bytes() for key in set(frames) - set(default)}


@pytest.mark.parametrize("name", LAYOUTS)
def test_pictures_are_faces_of_several_people_in_the_corpus_colours(examples, name):
    frames = _frames(examples[name, LAYOUTS[name][0]], name)
    people = {person: str(paths[0]) for (person, _, _), paths in frames.items()}
    assert 3 <= len(people) <= 6
    pictures = [cv2.imread(path, cv2.IMREAD_UNCHANGED) for path in people.values()]
    assert all(picture.ndim == (2 if name == "samm" else 3) for picture in pictures)
    means = [picture.mean(axis=(0, 1)) for picture in pictures]
    if name != "samm":
        assert all(blue + 5 < green < red - 5 for blue, green, red in means)
    assert len({tuple(np.ravel(mean).tolist()) for mean in means}) == len(people)


def test_casme2_sheets(examples):
    header = ["Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", "",
              "Action Units", "Estimated Emotion"]  # fmt: skip
    emotions = {}
    for layout in LAYOUTS["casme2"]:
        sheets = _sheets(examples["casme2", layout])
        assert {name: len(rows) for name, rows in sheets.items() if name != "Sheet1"} == {
            "Sheet2": 0, "Sheet3": 0
        }  # fmt: skip
        first, *rows = sheets["Sheet1"]
        assert first == ([cell for cell in header if cell] if layout == "raw_long" else header)
        assert len(rows) == 18 + (layout == "cropped_updated")
        emotions[layout] = {tuple(row[:2]): row[-1] for row in rows}
    rows = {tuple(row[:2]): row for row in rows}
    assert rows["04", "EP12_01f"][4] == "/"
    assert rows["05", "EP09_05f"][3] == rows["05", "EP09_05f"][4] == 69
    assert rows["24", "EP02_07"][3:6] == [61, 91, 106]
    assert {"?", "R2+15", "L10", 12.0} <= {row[7] for row in rows.values()}
    assert min(row[5] - row[3] + 1 for row in rows.values()) == 6
    relabelled = {("24", "EP07_01"), ("24", "EP07_04f"), ("24", "EP10_03")}
    new, old = emotions["raw_selected"], emotions["cropped"]
    assert {clip for clip in new if new[clip] != old[clip]} == relabelled
    assert {(new[clip], old[clip]) for clip in relabelled} == {("surprise", "sadness")}
    folders = examples["casme2", "raw_selected"] / "CASME2_RAW_selected"
    there = {(path.parent.name[3:], path.name) for path in folders.glob("*/*")}
    assert set(new) - there == {("04", "EP19_01f"), ("05", "EP16_04")}
    assert there - set(new) == {("04", "EP19_01"), ("05", "EP16_04f")}


def test_samm_sheets(examples):
    for layout in LAYOUTS["samm"]:
        rows = _sheets(examples["samm", layout])["MICRO_ONLY"]
        header = 0 if layout == "no_notes" else 13
        assert [place for place, row in enumerate(rows) if row[0] == "Subject"] == [header]
        assert len(rows[header]) == 12
        clips = {row[1]: row for row in rows[header + 1 :]}
        assert len(clips) == 17
    assert clips["013_1_9"][5] == 5793
    assert max(
        int(path.stem[4:]) for path in examples["samm", "raw"].glob("SAMM/013/013_1_9/*")
    ) == 5739  # fmt: skip
    assert [clips[name][4] for name in ("028_4_1", "032_3_1", "032_3_2")] == ["/", "", "/"]
    assert {row[9] for row in clips.values()} >= {"Other", "Others", "Anger"}
    assert sum(" or " in str(row[8]) for row in clips.values()) == 3
    of = {
        person: {row[9] for row in clips.values() if row[0] == person} for person in ("025", "036")
    }
    assert of == {"025": {"Other"}, "036": {"Disgust"}}


def test_casme_sq_sheets(examples):
    names = set()
    for layout in LAYOUTS["casme_sq"]:
        sheets = _sheets(examples["casme_sq", layout])
        first, rule1, rule2 = sheets
        names.add(first)
        assert (rule1, rule2) == ("naming rule1", "naming rule2")
        assert sheets[first][1] == [
            1, "anger1_1", 557, 572, 608, "4+10+14+15", "negative", "macro-expression", "anger"
        ]  # fmt: skip
        assert ("0503", "happy2") in {tuple(row) for row in sheets[rule2]}
        assert {tuple(row) for row in sheets[rule1]} > {(15, "s15", 1), (26, "s26", 10)}
        assert len(sheets[rule1]) == 22
    assert names == {"CASFEcode_final", "CASMEcode_final"}
    micro = [row for row in sheets[first] if row[7] == "micro-expression"]
    assert len(micro) == 15
    assert [row[:5] for row in micro if not row[4]] == [[2, "anger2_1", 52, 61, 0]]
    assert [row[:5] for row in micro if not row[3]] == [[10, "anger2_2", 18, 0, 27]]
    assert [row[1] for row in micro if 0 < row[4] - row[2] + 1 < 8] == ["happy3_2"]
    assert ("positive", "anger") in {(row[6], row[8]) for row in micro}


def test_casme3_sheets_and_faults(examples):
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
    older = _sheets(examples["casme3", "long_v1"])["Sheet1"]
    assert older[0] == [*header, "", ""]
    for layout in ("clips", "long", "extracted"):
        sheets = _sheets(examples["casme3", layout])
        assert (list(sheets), sheets["Sheet3"]) == (["label", "Sheet1", "Sheet3"], [])
        assert sheets["label"] == [row[:8] for row in older[:-1]]
    assert older[-1][0] == "spNO.151"
    rows = sheets["label"][1:]
    assert len({tuple(row[:3]) for row in rows}) == len(rows) == 18
    assert len({tuple(row[:2]) for row in rows}) == 15
    faults = {
        ("spNO.149", "d", 112, 83, 358), ("spNO.216", "d", 3647, 2651, 2656),
        ("spNO.214", "c", 25, 29, 3460), ("spNO.40", "e", 1836, 1840, 0),
        ("spNO.40", "e", 2394, 2398, 0), ("spNO.216", "e", 0, 0, 9),
        ("spNO.149", "g", 30, 30, 39), ("spNO.214", "h", 52, 54, 57),
    }  # fmt: skip
    assert faults <= {tuple(row[:5]) for row in rows}
    assert [row[5] for row in rows if "\uff0c" in str(row[5])] == ["4\uff0c7"]
    assert [row[7] for row in rows if row[7] != row[7].lower()] == ["Others"]
    assert "J" in {row[1] for row in rows}
    frames = {key[1:] for key in _frames(examples["casme3", "long"], "casme3") if key[0] == 216}
    assert ("e", 1) in frames
    assert not {("e", 0), ("k", 307), ("k", 308), ("k", 313)} & frames


def test_casme3_depth_is_of_16_bits_and_beside_the_colour(examples):
    clips = examples["casme3", "clips"] / "Part_A_ME_clip/Part_A_ME_clip"
    assert {path.name for path in clips.iterdir()} == {"frame", "depth", "video"}
    depth = cv2.imread(str(clips / "depth/spNo.1_b_166/166.png"), cv2.IMREAD_UNCHANGED)
    assert (depth.dtype, depth.ndim) == (np.uint16, 2)
    assert depth.max() > 255


def test_smic_sheets(examples):
    pairs = ["Onset2F", "Offset2F", "Onset3F", "Offset3F"]
    for layout, names, beginning in (("long", pairs, "s03"), ("long_2019", [""] * 4, "s3")):
        header, *rows = _sheets(examples["smic", layout], "SMIC-HS*.xlsx")["HS"]
        assert header[:4] == ["Subject", "Filename", "OnsetF", "OffsetF"]
        assert header[4:8] == names
        assert header[8:10] + header[-1:] == ["FirstF", "LastF", "Emotion"]
        double = next(row for row in rows if row[4] != "")
        assert double[:8] == [3, f"{beginning}_ne_01", 612040, 612049, 612066, 612075, "", ""]
        assert {type(row[8]) for row in rows[:13]} == {float, str}
        assert rows[13][:2] == ["", ""]
        assert isinstance(rows[-1][0], str)


def _labelled(examples, name):
    """What the protocols read of every clip, from the sheets or the folders."""
    if name == "smic":
        return [
            {"subject": path.parts[-4], "clip": path.name, "emotion": path.parent.name}
            for path in examples["smic", "all_raw"].glob("*/HS/*/micro/*/*")
        ]
    rows = next(iter(_sheets(examples[name, LAYOUTS[name][0]]).values()))
    if name == "casme_sq":
        return [
            {"subject": row[0], "clip": row[1], "emotion": row[6]}
            for row in rows
            if row[7] == "micro-expression"
        ]
    while rows[0][0] != "Subject":
        rows = rows[1:]
    place = {"casme2": 8, "samm": 9, "casme3": 7}[name]
    alias = {"others": "other"} if name == "samm" else {}
    emotions = [alias.get(row[place].lower(), row[place].lower()) for row in rows[1:]]
    clips = [
        {"subject": f"sub{row[0]}", "clip": row[1], "emotion": emotion}
        for row, emotion in zip(rows[1:], emotions, strict=True)
    ]
    older = _sheets(examples["casme2", "cropped"])["Sheet1"][1:]
    for clip, row in zip(clips, older if name == "casme2" else (), strict=False):
        clip["earlier_emotion"] = row[8]
    return clips


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_class_of_every_protocol_has_two_people(examples, name):
    clips = _labelled(examples, name)
    assert 12 <= len(clips) <= 20
    for protocol, part in memberships_of(name):
        people = defaultdict(set)
        for clip in clips:
            people[part.class_of_clip(clip)].add(clip["subject"])
        few = [kind for kind in protocol.classes if len(people[kind]) < 2]
        assert few == [], protocol.name


def _contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_command_writes_the_same_bytes_and_tells_what_comes_next(examples, tmp_path):
    out = tmp_path / "my corpus"
    output = run_module(
        "datasets.example", "casme_sq", f"--out={out}", "--layout=selectedpic"
    ).stdout
    assert _contents(out) == _contents(examples["casme_sq", "selectedpic"])
    assert "img557.jpg ... img608.jpg (52 frames)" in output
    assert "... 4 more folders" in output
    assert f"python -m datasets.doctor casme_sq --manual_dir='{out}'\n" in output
    assert f"python -m datasets.build casme_sq --manual_dir='{out}' --data_dir=data\n" in output


@pytest.mark.parametrize("case", [("samm", "raw"), ("casme3", "long_v1")], ids="-".join)
def test_sheets_hold_no_time_of_writing(examples, case):
    (path,) = examples[case].glob("*.xls*")
    again = write_example(case[0], path.parents[2] / f"again_{case[0]}", case[1])
    assert (again / path.name).read_bytes() == path.read_bytes()
    if path.suffix == ".xlsx":
        book = zipfile.ZipFile(path)
        assert {entry.date_time for entry in book.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        times = re.findall(rb"\d{4}-\d\d-\d\dT", book.read("docProps/core.xml"))
        assert set(times) == {b"2000-01-01T"}


def test_help_lists_corpora_and_layouts():
    output = run_module("datasets.example", "--help").stdout
    for name, layouts in LAYOUTS.items():
        assert re.search(rf"^ *{name} +{', '.join(layouts)}$", output, re.MULTILINE)


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    write_example("smic", tmp_path / "mine", "long")  # an empty one is not
    before = _contents(tmp_path)
    with pytest.raises(UserError, match=r"mine is not empty; .*--out=DIR"):
        write_example("smic", tmp_path / "mine", "long")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file is a file; .*--out=DIR"):
        write_example("smic", tmp_path / "file", "long")
    (tmp_path / "file").unlink()
    assert _contents(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "needs CORPUS (casme2, samm, casme_sq, casme3, smic, own); see"),
        (["casme4"], "CORPUS must be casme2, samm, casme_sq, casme3, smic or own, not 'casme4'"),
        (["samm", "--layout=cropped"], "samm has no layout 'cropped'; its layouts are raw, no_no"),
        (["samm", "--layuot=raw"], "did you mean --layout?"),
        (["samm"], "python -m datasets.example needs --out; see"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(tmp_path, monkeypatch, arguments, sentence):
    out = [] if "--out; see" in sentence else [f"--out={tmp_path / 'out'}"]
    monkeypatch.setattr(sys, "argv", ["example", *arguments, *out])
    with pytest.raises(SystemExit) as stop:
        run_command(main)
    assert stop.value.code.startswith("error: ")
    assert sentence in stop.value.code
    assert "\n" not in stop.value.code
    assert list(tmp_path.iterdir()) == []
