"""The doctor finds each planted fault: a table of fault -> sentence, and the command around it."""

import json
import re
import shutil

import cv2
import numpy as np
import pytest

from datasets.doctor import diagnose
from datasets.errors import UserError
from datasets.example import write_example
from datasets.image_corpus import get_image_corpus
from datasets.options import BuildOptions
from tests.conftest import run_module
from tests.helpers.corpus_mutations import first_table

SHEETS = {
    "samm": "SAMM_Micro_FACS_Codes_v2.xlsx",
    "casme2": "CASME2-coding-20190701.xlsx",
    "casme_sq": "CAS(ME)^2code_final.xlsx",
    "casme3": "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
}
CLIP = {  # a clip's folder in the default layout, and how the sheet names it
    "samm": ("SAMM/006/006_1_2", "006_1_2"),
    "casme2": ("CASME2_RAW_selected/sub01/EP02_01f", "EP02_01f"),
    "casme_sq": ("cropped/15/anger1_3", "anger1_3"),
    "casme3": ("Part_A_ME_clip/Part_A_ME_clip/frame/spNo.1_b_166", "b"),
    "smic": ("SMIC_all_raw/HS/s1/micro/negative/s1_ne_01", "s1_ne_01"),
}


def _cell(corpus, folder, column, value):
    """Changes a cell in the row of the clip of CLIP; columns count from 0."""
    with first_table(folder / SHEETS[corpus]) as table:
        row = next(row for row in table.iter_rows() if row[1].value == CLIP[corpus][1])
        row[column].value = value


def _frames(corpus, folder):
    frames = sorted((folder / CLIP[corpus][0]).iterdir())
    assert len(frames) >= 8
    return frames


def _remove(paths):
    for path in paths:
        path.unlink()


def _grey(path):
    cv2.imwrite(str(path), np.full_like(cv2.imread(str(path)), 128))


# What happens to the default layout, and the sentence; `note` and `loss` are no problems.
FAULTS = {
    "no clip folder": (
        "samm", lambda c, f: shutil.rmtree(f / CLIP[c][0]),
        "problem", r"the folder of clip 006_1_2 of 006 is missing: .*SAMM holds no 006/006_1_2"),
    "no frames": (
        "casme2", lambda c, f: _remove(_frames(c, f)),
        "problem", r"EP02_01f of clip EP02_01f of sub01 holds no frames"),
    "most frames missing": (
        "casme2", lambda c, f: _remove(_frames(c, f)[:-2]),
        "problem", r"EP02_01f lacks 8 of the 10 frames of clip EP02_01f of sub01 \(46-53\); copy"),
    "frames renamed, but not all of them": (
        "casme2", lambda c, f: [path.rename(path.with_name(f"img{46 + number}.jpg"))
                                for number, path in enumerate(_frames(c, f)[:3], start=200)],
        "problem", r"EP02_01f lacks 3 of the 10 frames of clip EP02_01f of sub01 \(46-48\)"),
    "a tenth of the frames missing": (
        "casme2", lambda c, f: _remove(_frames(c, f)[2:3]),
        "loss", r"EP02_01f lacks 1 of the 10 frames of clip EP02_01f of sub01 \(48\); the nearest"),
    "more than a tenth of the frames missing": (
        "casme2", lambda c, f: _remove([_frames(c, f)[1], *_frames(c, f)[6:8]]),
        "problem", r"EP02_01f lacks 3 of the 10 frames of clip .* \(47, 52-53\); copy it"),
    "frames missing where that is known": (
        "casme3", lambda c, f: _remove(_frames(c, f)[1:5]),
        "loss", r"lacks 4 of the 10 frames of clip b_166 of spNO.1 \(167-170\); the nearest frame"),
    "frames renumbered from 0, but not all of them": (
        "casme2", lambda c, f: (_remove(_frames(c, f)[9:]), _renumber(f / CLIP[c][0], 0)),
        "problem", r"EP02_01f seem to be renumbered: they are 0 to 8, where clip .* is 46 to 55"),
    "torn frame": (
        "casme2", lambda c, f: _frames(c, f)[3].write_bytes(_frames(c, f)[3].read_bytes()[:-900]),
        "problem", r"EP02_01f/img\d+\.jpg is corrupt or not a picture"),
    "torn frame where that is known": (
        "casme3", lambda c, f: _frames(c, f)[3].write_bytes(b""),
        "loss", r"spNo.1_b_166/\d+\.jpg is corrupt or not a picture \(0 bytes\)"),
    "no readable frame where some loss is known": (
        "casme3", lambda c, f: [path.write_bytes(b"") for path in _frames(c, f)],
        "problem", r"clip b_166 of spNO.1 .* has no readable frame"),
    "no face": (
        "samm", lambda c, f: [_grey(path) for path in _frames(c, f)],
        "problem", r"no face was found in any frame of clip 006_1_2 of 006"),
    "frames of two sizes": (
        "samm", lambda c, f: cv2.imwrite(str(_frames(c, f)[4]), np.zeros((60, 50), np.uint8)),
        "problem", r"clip 006_1_2 of 006 .* frames of different sizes \(\d+ of 192x208, 1"),
    "frame twice": (
        "samm", lambda c, f: shutil.copy(_frames(c, f)[4], f / CLIP[c][0] / "img_05564.jpg"),
        "problem", r"are both frame 5564; move the one that does not belong to the clip"),
    "folder without a row": (
        "samm", lambda c, f: shutil.copytree(f / CLIP[c][0], f / "SAMM" / "006" / "006_9_9"),
        "note", r"SAMM/006/006_9_9 is named in no usable row"),
    "unknown emotion": (
        "samm", lambda c, f: _cell(c, f, 9, "4+7"),
        "problem", r"row 15 of SAMM.*006_1_2 of 006\) has the emotion '4\+7', which is none"),
    "no emotion": (
        "casme2", lambda c, f: _cell(c, f, 8, None),
        "problem", r"row 2 of CASME2.* has the emotion '', which is none of disgust, fear"),
    "no onset": (
        "casme2", lambda c, f: _cell(c, f, 3, "/"),
        "problem", r"row 2 .*\(clip EP02_01f of sub01\): the onset is not a frame number"),
    "offset before onset": (
        "casme2", lambda c, f: _cell(c, f, 5, 1),
        "problem", r"row 2 .* ends \(1\) before it begins \(46\)"),
    "apex outside": (
        "casme2", lambda c, f: _cell(c, f, 4, 7),
        "note", r"row 2 .*: the apex 7 is outside onset to offset and is taken as unknown"),
    "no subject": (
        "casme2", lambda c, f: _cell(c, f, 0, None),
        "problem", r"row 2 of CASME2.* \('EP02_01f'\): '' is not a subject; correct the cell"),
    "a row twice": (
        "casme2", lambda c, f: _cell(c, f, 1, "EP19_05f"),
        "problem", r"\(clip EP19_05f of sub01\) is annotated twice, first in row"),
    "duration that disagrees": (
        "samm", lambda c, f: _cell(c, f, 6, 99),
        "note", r"lasts \d+ frames, but its duration is 99 in the sheet"),
    "neither macro nor micro": (
        "casme_sq", lambda c, f: _cell(c, f, 7, "expression"),
        "problem", r"row \d+ of CAS.*: 'expression' is neither a micro- nor a macro-expr"),
    "unknown person": (
        "casme_sq", lambda c, f: _cell(c, f, 0, 99),
        "problem", r"row \d+ of CAS.*: '99' is not a subject from 1 to 22; correct"),
    "a clip without a name": (
        "casme_sq", lambda c, f: _cell(c, f, 1, None),
        "problem", r"row \d+ of CAS.*: the name of the clip is missing; correct"),
    "a header above a sheet without one": (
        "casme_sq", lambda c, f: _above(f / SHEETS[c], ["Subject", "Clip", "Onset", "Apex"]),
        "note", r"row 1 of CAS.* was taken for a note \(Subject Clip Onset Apex\)"),
    "nothing but person and clip": (
        "samm", lambda c, f: [_cell(c, f, column, None) for column in range(2, 12)],
        "problem", r"row 15 of SAMM.*006_1_2 of 006\) has the emotion ''"),
    "text in several columns": (
        "samm", lambda c, f: _below(f / SHEETS[c], [None, None, None, "checked", "in", "May"]),
        "note", r"row \d+ of SAMM.* was taken for a note \(checked in May\)"),
    "a copy of a frame": (
        "smic", lambda c, f: shutil.copy(_frames(c, f)[2], f / CLIP[c][0] / "image034210 (2).bmp"),
        "problem", r"^image034210 \(2\).bmp in .*s1_ne_01 seems to be a copy"),
    "a gap where the files are onset and offset": (
        "smic", lambda c, f: _remove(_frames(c, f)[2:8]),
        "note", r"of clip s01_ne_01 of s01 in .*s1_ne_01 are not consecutive \(34210-34215 miss"),
    "one person twice": (
        "casme2", lambda c, f: shutil.copytree(
            (f / CLIP[c][0]).parent, f / "CASME2_RAW_selected" / "sub1"),
        "problem", r"^sub01 and sub1 in .*CASME2_RAW_selected are both of subject 1; merge"),
    "the folder of another clip": (
        "casme2", lambda c, f: _copy_row(f / SHEETS[c], "EP03_02", "EP03_02f"),
        "problem", r"folder of clip EP03_02f of sub01 is missing: .*EP03_02 is that of clip"),
    "labels of 2014 from the sheet of 2019": (
        "casme2", lambda c, f: None,
        "note", r"EP07_04f of sub24: surprise in CASME2.*xlsx is sadness in label version 2014"),
    "another sheet": (
        "casme2", lambda c, f: (f / "more").mkdir() or _cell_in(
            shutil.copy(f / SHEETS[c], f / "more" / "CASME2-coding-20140508.xlsx")),
        "note", r"the sheet CASME2-coding-20190701.xlsx is used, not more/CASME2-coding-20140508"),
    "the same sheet twice": (
        "casme2", lambda c, f: shutil.copy(f / SHEETS[c], f / "CASME2 2019.xlsx") and None,
        "note", r"EP07_04f of sub24"),
    "a stray person's folder": (
        "casme2", lambda c, f: shutil.copytree(f / CLIP[c][0], f / "sub01" / "EP02_01f"),
        "note", r"the frames in CASME2_RAW_selected are used, not those in \.; see --frames_in"),
    "a folder that is another's in other case": (
        "casme3", lambda c, f: shutil.copytree(
            f / CLIP[c][0], f / CLIP[c][0].replace("spNo", "spNO")),
        "problem", r"spNO.1_b_166 and spNo.1_b_166 in .* differ only in case"),
    "wrong onset": (
        "casme3", lambda c, f: _cell(c, f, 2, 1),
        "problem", r"the folder of clip b_1 of spNO.1 is missing"),
    "unknown emotion folder": (
        "smic", lambda c, f: (f / CLIP[c][0]).parent.rename((f / CLIP[c][0]).parent.parent / "bad"),
        "problem", r"clip s01_ne_01 of s01 has the emotion 'bad', which is none of negative"),
    "no micro folder": (
        "smic", lambda c, f: shutil.rmtree((f / CLIP[c][0]).parents[1]),
        "problem", r"HS/s1 has no folder 'micro'"),
    "two trees": (
        "samm", lambda c, f: shutil.copytree(f / "SAMM", f / "SAMM_CROP"),
        "note", r"the frames in SAMM are used, not those in SAMM_CROP; see --frames_in"),
    "text below the rows": (
        "samm", lambda c, f: _below(f / SHEETS[c]),
        "note", r"row \d+ of SAMM.* was taken for a note \(checked in May\)"),
}  # fmt: skip


def _below(path, row=("checked in May",)):
    with first_table(path) as table:
        table.append(row)


def _above(path, row):
    with first_table(path) as table:
        table.insert_rows(1)
        for column, cell in enumerate(row, start=1):
            table.cell(1, column).value = cell


def _cell_in(path):
    _below(path, ["checked in May"])


def _copy_row(path, name, copy):
    """Puts a row of another name below the last."""
    with first_table(path) as table:
        (row,) = [list(row) for row in table.iter_rows(values_only=True) if row[1] == name]
        table.append([row[0], copy, *row[2:]])


def _renumber(folder, first):
    for number, path in enumerate(sorted(folder.iterdir()), start=first):
        path.rename(path.with_name(f"img{number}.jpg"))


def _diagnose(corpus, folder, annotations_only=False, **options):
    options = BuildOptions(workers=1, **options).resolved(corpus)
    return diagnose(get_image_corpus(corpus), folder, options, annotations_only)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """What the doctor says of the default layouts as they are."""
    found = {}
    for corpus in CLIP:
        folder = write_example(corpus, tmp_path_factory.mktemp("sound") / corpus)
        found[corpus] = _diagnose(corpus, folder)
        assert found[corpus].is_sound
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_sentence(sound, tmp_path, fault):
    corpus, plant, kind, sentence = FAULTS[fault]
    folder = write_example(corpus, tmp_path / corpus)
    plant(corpus, folder)
    found = _diagnose(corpus, folder)
    sentences = {"problem": found.problems, "loss": found.losses, "note": found.notes}[kind]
    assert any(re.search(sentence, line) for line in sentences), sentences
    assert found.is_sound is (kind != "problem")
    if kind == "problem":
        assert found.clips < found.rows
    else:
        assert found.clips == sound[corpus].clips


@pytest.mark.parametrize(
    ("corpus", "plant", "sentence"),
    [
        ("samm", lambda f: (f / SHEETS["samm"]).unlink(), r"no annotation sheet \(SAMM_Micro"),
        ("samm", lambda f: shutil.rmtree(f / "SAMM"), r"no subject's folder of SAMM in"),
        ("casme2", lambda f: _cell_in(shutil.copy(f / SHEETS["casme2"], f / "CASME2 2019.xlsx")),
         r"annotation sheets that differ \(CASME2 2019.xlsx, CASME2-coding-20190701.xlsx\)"),
        ("samm", lambda f: shutil.copytree(f / "SAMM", f / "again"),
         r"the subjects' folders more than once \(SAMM, again\); choose one with --frames_in"),
        ("smic", lambda f: shutil.rmtree(f / "SMIC_all_raw"), r"no subject's folder of SMIC"),
    ],
)  # fmt: skip
def test_a_corpus_without_sheet_or_frames_is_one_sentence(tmp_path, corpus, plant, sentence):
    folder = write_example(corpus, tmp_path / corpus)
    plant(folder)
    with pytest.raises(UserError, match=sentence):
        _diagnose(corpus, folder)


def test_a_missing_label_version_is_an_error(tmp_path):
    folder = write_example("casme3", tmp_path / "casme3")
    with pytest.raises(UserError, match=r"no annotation sheet of label version v1"):
        _diagnose("casme3", folder, label_version="v1")


def test_annotations_alone_need_no_frame(tmp_path):
    folder = write_example("casme3", tmp_path / "casme3")
    shutil.rmtree(folder / "Part_A_ME_clip")
    with pytest.raises(UserError, match="no subject's folder"):
        _diagnose("casme3", folder)
    found = _diagnose("casme3", folder, annotations_only=True)
    assert found.is_sound and found.rows == found.clips == 18 and found.frames is None
    seven = found.protocols[0]
    assert seven.published_clips == 860 and "as published" in seven.deviation
    assert "943" in seven.note


def test_the_folder_of_the_frames_is_obeyed(tmp_path):
    folder = write_example("casme_sq", tmp_path / "casme_sq", "all")
    assert _diagnose("casme_sq", folder).frames_in == "selectedpic"
    found = _diagnose("casme_sq", folder, frames_in="rawpic")
    assert found.frames_in == "rawpic" and "are longer and are cut" in found.layout
    with pytest.raises(UserError, match="holds no subject's folder; name another --frames_in"):
        _diagnose("casme_sq", folder, frames_in="nowhere")


def test_status_and_screen_of_a_faulty_corpus(tmp_path):
    folder = write_example("casme2", tmp_path / "casme2")
    _remove(_frames("casme2", folder))
    done = run_module("datasets.doctor", "casme2", f"--manual_dir={folder}", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "PROBLEMS (1)" in done.stdout and "17 of 18 can be built" in done.stdout
    assert "--on_missing=skip --on_no_face=skip" in done.stdout
    done = run_module("datasets.doctor", "casme2", f"--manual_dir={folder}", "--json",
                      "--workers=1", check=False)  # fmt: skip
    report = json.loads(done.stdout)
    assert done.returncode == 1 and not report["is_sound"] and len(report["problems"]) == 1
    skipping = ["--on_missing=skip", "--workers=1", f"--data_dir={tmp_path}/data"]
    built = run_module("datasets.build", "casme2", f"--manual_dir={folder}", *skipping)
    assert "1 of 18 clips were skipped, since all or many of their frames" in built.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["synthetic", "--manual_dir=."],
            "CORPUS must be casme2, samm, casme_sq, casme3, smic or own",
        ),
        ([], "needs CORPUS (casme2, samm, casme_sq, casme3, smic, own); see"),
        (["samm"], "samm is built from a folder of yours; name the one it was unpacked into"),
        (["samm", "--manual_dir=/nowhere/at/all"], "/nowhere/at/all does not exist"),
        (
            ["samm", "--manual_dir=.", "--label_version=v1"],
            "an option of casme3 only",
        ),
        (["samm", "--manual_dir=.", "--depth=2"], "there is no option --depth; see"),
        (["samm", "--manual_dir=docs", "--face_models=/nowhere"], "no annotation sheet"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(arguments, sentence):
    done = run_module("datasets.doctor", *arguments, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1 and sentence in done.stderr


def test_the_next_command_keeps_what_was_chosen(tmp_path):
    folder = write_example("casme_sq", tmp_path / "a folder", "all")
    chosen = [f"--manual_dir={folder}", "--frames_in=rawpic", "--workers=1"]
    shown = run_module("datasets.doctor", "casme_sq", *chosen).stdout
    assert f"datasets.build casme_sq --manual_dir='{folder}' --frames_in=rawpic --data" in shown


def test_skipping_is_offered_only_where_it_helps(tmp_path):
    folder = write_example("casme2", tmp_path / "casme2")
    _cell("casme2", folder, 8, "4+7")
    found = _diagnose("casme2", folder)
    assert (found.rows, found.clips, found.can_skip) == (18, 17, False)


def test_the_sheet_of_smic_alone_can_be_checked(tmp_path):
    folder = write_example("smic", tmp_path / "smic", "long")
    sheet = next(folder.rglob("SMIC-HS-E_annotation.xlsx"))
    sheet.rename(tmp_path / sheet.name)
    shutil.rmtree(folder)
    found = _diagnose("smic", tmp_path, annotations_only=True)
    assert found.is_sound and found.rows == 14


def test_missing_face_models_are_a_problem(tmp_path):
    folder = write_example("samm", tmp_path / "samm")
    found = _diagnose("samm", folder, face_models=tmp_path / "nowhere")
    assert any("faces were not searched for" in problem for problem in found.problems)


def test_help_shows_an_example():
    shown = run_module("datasets.doctor", "--help").stdout
    assert "python -m datasets.doctor samm --manual_dir=DIR" in shown
    assert "--annotations_only" in shown
