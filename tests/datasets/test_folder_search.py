"""Corpora as servers, archives and spreadsheet programs leave them, through the doctor."""

import csv
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import cv2
import openpyxl
import pytest

from datasets import doctor
from datasets.build import build_corpus
from datasets.command_line import run_command
from datasets.errors import UserError
from datasets.example import write_example
from datasets.image_corpus import get_image_corpus
from datasets.options import BuildOptions
from datasets.reading import open_corpus
from datasets.survey import survey
from tests.helpers.corpus_mutations import remember_faces

SAMM = "SAMM_Micro_FACS_Codes_v2.xlsx"
CASME2, CASME2_OF_2014 = "CASME2-coding-20190701.xlsx", "CASME2-coding-20140508.xlsx"
PEOPLE = ("006", "013", "025", "028", "032", "036")
FRAMES = {"samm": 171, "casme2": 175, "casme_sq": 145, "casme3": 414, "smic": 140}


@pytest.fixture(scope="module", autouse=True)
def faces_found_once():
    with pytest.MonkeyPatch.context() as patch:
        remember_faces(patch.setattr)
        yield


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Writes a corpus, the first time it is asked for, and returns its folder and contents."""
    written = {}

    def write(name, layout=None):
        if (name, layout) not in written:
            folder = write_example(name, tmp_path_factory.mktemp("corpus") / "corpus", layout)
            written[name, layout] = folder, _contents(name, folder)
        return written[name, layout]

    return write


@pytest.fixture
def copy(examples, tmp_path):
    def copy_example(name, layout=None):
        return shutil.copytree(examples(name, layout)[0], tmp_path / "corpus")

    return copy_example


@pytest.fixture
def run_doctor(monkeypatch, capsys):
    def run(name, folder, *options):
        """Returns the exit status, or the sentence, and the report."""
        command = ["doctor", name, f"--manual_dir={folder}", "--json", "--workers=1", *options]
        monkeypatch.setattr(sys, "argv", command)
        status = 0
        try:
            run_command(doctor.main)
        except SystemExit as end:
            status = end.code
        shown = capsys.readouterr().out
        return status, json.loads(shown) if shown else None

    return run


def _contents(name, folder, **options):
    """(subject, clip) -> onset, emotion, and a digest of all its frames."""
    found = survey(get_image_corpus(name), folder, BuildOptions(**options).resolved(name))
    return {
        (clip.subject, clip.clip): (
            clip.row.onset,
            clip.row.emotion,
            hashlib.sha256(b"".join(path.read_bytes() for path in clip.files)).hexdigest(),
        )
        for clip in found.clips
    }


# --- plants


def _hollow(folder, place):
    """Folders of the same people without pictures, as a Synology server makes them."""
    for person in PEOPLE:
        (folder / place / person).mkdir(parents=True)


def _link_out(folder):
    (folder / "SAMM").rename(folder.parent / "elsewhere")
    (folder / "SAMM").symlink_to(folder.parent / "elsewhere")


def _links_to_people(folder):
    (folder / "by hand").mkdir()
    for person in PEOPLE:
        (folder / "by hand" / person).symlink_to(folder / "SAMM" / person)


def _spread(folder, root, levels, parts=("part-001", "part-002")):
    """Moves every other folder (or file) that lies `levels` below `root` into a second part."""
    for number, path in enumerate(sorted((folder / root).glob("/".join(["*"] * levels)))):
        to = folder / parts[number % 2] / "unpacked" / path.relative_to(folder / root)
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)
    shutil.rmtree(folder / root)


def _save_as_text(sheet, suffix, separator, encoding):
    rows = openpyxl.load_workbook(sheet).worksheets[0].iter_rows(values_only=True)
    with sheet.with_suffix(suffix).open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    sheet.unlink()


def _save_again(sheet, name, cell=None, value=None):
    book = openpyxl.load_workbook(sheet)
    if cell:
        book.worksheets[0][cell] = value
    book.save(sheet.parent / name)


def _long_video_workbook(folder):
    book = openpyxl.Workbook()
    book.active.append(["Subject", "Filename", "Onset", "Apex", "Offset", "Type"])
    book.active.append([6, "006_1", 1, 2, 3, "Micro"])
    book.save(folder / "SAMM_LongVideos_V2_Release.xlsx")


def _rename_frames(folder, name_of):
    for clip in {path.parent for path in folder.rglob("*.jpg")}:
        paths = sorted(clip.iterdir(), key=lambda path: (len(path.name), path.name))
        for number, path in enumerate(paths, start=1):
            path.rename(clip / name_of(path, number))


# Situation -> corpus, layout, what happens to it, place of the frames, options.
WHOLE = {
    "folders of a Synology server": (
        "samm", None, lambda f: _hollow(f, "SAMM/@eaDir"), "SAMM", ()),
    "folders of a Synology server, frames chosen": (
        "samm", None, lambda f: _hollow(f, "SAMM/again"), "SAMM", ("--frames_in=SAMM",)),
    "what was deleted on a QNAP or Windows server": (
        "samm", None, lambda f: [shutil.copytree(f / "SAMM", f / place / "SAMM")
                                 for place in ("@Recycle", "$RECYCLE.BIN/S-1-5", "#recycle")],
        "SAMM", ()),
    "snapshots of a NetApp server": (
        "samm", None, lambda f: shutil.copytree(f / "SAMM", f / "~snapshot/daily/SAMM"),
        "SAMM", ()),
    "a tree without pictures": ("samm", None, lambda f: _hollow(f, "empty"), "SAMM", ()),
    "a folder and a link to it": (
        "samm", None, lambda f: (f / "again").symlink_to(f / "SAMM"), "SAMM", ()),
    "links to all people": ("samm", None, _links_to_people, "SAMM", ()),
    "a link to the folder it lies in": (
        "samm", None, lambda f: (f / "loop").symlink_to(f), "SAMM", ()),
    "a link to itself": ("samm", None, lambda f: (f / "self").symlink_to("self"), "SAMM", ()),
    "a link out of the folder": ("samm", None, _link_out, "SAMM", ("--frames_in=SAMM",)),
    "the outer one of two trees": (
        "samm", "no_notes", lambda f: [shutil.copytree(f / person, f / "more" / person)
                                       for person in PEOPLE], ".", ("--frames_in=.",)),
    "numbers of an unrelated folder": (
        "samm", None, lambda f: _hollow(f, "curves") or [
            shutil.copy(next(f.rglob("*.jpg")), f / "curves" / person / "plot1.jpg")
            for person in PEOPLE], "SAMM", ()),
    "people in two parts": (
        "samm", None, lambda f: _spread(f, "SAMM", 1), "part-001/unpacked, part-002/unpacked", ()),
    "clips of one person in two parts": (
        "samm", None, lambda f: _spread(f, "SAMM", 2), "part-001/unpacked, part-002/unpacked", ()),
    "frames of a clip in two parts": (
        "samm", None, lambda f: _spread(f, "SAMM", 3), "part-001/unpacked, part-002/unpacked", ()),
    "one person beside the others": (
        "casme2", None, lambda f: shutil.move(f / "CASME2_RAW_selected/sub01", f / "rest/sub01"),
        "CASME2_RAW_selected, rest", ()),
    "people of a corpus without a sheet in two parts": (
        "smic", None, lambda f: shutil.move(f / "SMIC_all_raw/HS/s3", f / "SMIC 2/HS/s3"),
        "SMIC_all_raw/HS, SMIC 2/HS", ()),
    "frames of a corpus without a sheet in two parts": (
        "smic", None, lambda f: _spread(f, "SMIC_all_raw/HS", 5, ("1/HS", "2/HS")),
        "1/HS/unpacked, 2/HS/unpacked", ()),
    "long videos in two parts": (
        "casme_sq", "rawpic", lambda f: _spread(f, "rawpic", 3),
        "part-001/unpacked, part-002/unpacked", ()),
    "videos of one person in two parts": (
        "casme3", "extracted", lambda f: _spread(f, "ME_A", 2),
        "part-001/unpacked, part-002/unpacked", ()),
    "the same clip in both parts": (
        "samm", None, lambda f: [shutil.copytree(f / "SAMM/006", f / "SAMM 2/006"),
                                 shutil.move(f / "SAMM/013", f / "SAMM 2/013")],
        "SAMM, SAMM 2", ()),
    "people without zeros": (
        "samm", None, lambda f: [(f / "SAMM" / person).rename(f / "SAMM" / person.lstrip("0"))
                                 for person in PEOPLE[:2]], "SAMM", ()),
    "people called otherwise": (
        "casme2", None, lambda f: [path.rename(path.with_name(f"Subject {path.name[3:]}"))
                                   for path in (f / "CASME2_RAW_selected").iterdir()],
        "CASME2_RAW_selected", ()),
    "a copy of the best sheet": (
        "casme2", None, lambda f: [shutil.copy(f / CASME2, f / "0 backup.xlsx"),
                                   _save_again(f / CASME2, CASME2_OF_2014, "I2", "fear")],
        "CASME2_RAW_selected", ()),
    "a copy of the sheet and the workbook of the long videos": (
        "samm", None, lambda f: [(f / "backup").mkdir(), shutil.copy(f / SAMM, f / "backup"),
                                 _long_video_workbook(f)], "SAMM", ()),
    "the sheet renamed beside another workbook": (
        "samm", None, lambda f: [(f / SAMM).rename(f / "codes.xlsx"), _long_video_workbook(f)],
        "SAMM", ()),
    "the sheet saved again by another program": (
        "samm", None, lambda f: _save_again(f / SAMM, f"copy of {SAMM}"), "SAMM", ()),
    ".xls that is .xlsx": (
        "samm", None, lambda f: (f / SAMM).rename((f / SAMM).with_suffix(".xls")), "SAMM", ()),
    ".xlsx that is .xls": (
        "casme2", "raw_long", lambda f: [path.rename(path.with_suffix(".xlsx"))
                                         for path in f.glob("*.xls")], "CASME2-RAW", ()),
    ".xls that is text": (
        "samm", None, lambda f: _save_as_text(f / SAMM, ".xls", "\t", "utf-16"), "SAMM", ()),
    ".csv": ("samm", None, lambda f: _save_as_text(f / SAMM, ".csv", ",", "utf-8-sig"), "SAMM", ()),
    ".csv with semicolons from a Chinese Windows": (
        "casme2", None, lambda f: [_save_again(f / CASME2, CASME2, "L1", "\u5907\u6ce8"),
                                   _save_as_text(f / CASME2, ".csv", ";", "gbk")],
        "CASME2_RAW_selected", ()),
    ".csv of a sheet without a header": (
        "casme_sq", None, lambda f: _save_as_text(next(f.glob("*.xlsx")), ".csv", ",", "utf-8"),
        "cropped", ()),
    "the height of a video after the number": (
        "samm", None, lambda f: _rename_frames(f, lambda p, _: f"{p.stem}_1080p.jpg"), "SAMM", ()),
    "a time after the number": (
        "samm", None, lambda f: _rename_frames(
            f, lambda p, _: f"{p.stem}_t{5000 * int(p.stem[4:]):08d}_200fps.jpg"), "SAMM", ()),
    "files renamed together on Windows": (
        "casme2", None, lambda f: _rename_frames(f, lambda p, n: f"{p.parent.name} ({n}).jpg"),
        "CASME2_RAW_selected", ()),
}  # fmt: skip


@pytest.mark.parametrize("situation", WHOLE)
def test_the_whole_corpus_is_found(examples, copy, run_doctor, situation):
    name, layout, plant, frames_in, options = WHOLE[situation]
    folder, (_, whole) = copy(name, layout), examples(name, layout)
    plant(folder)
    status, found = run_doctor(name, folder, *options)
    assert status == 0, found["problems"] if found else status
    assert (found["clips"], found["frames"]) == (len(whole), FRAMES[name])
    assert found["frames_in"] == frames_in
    chosen = {"frames_in": options[0].partition("=")[2]} if options else {}
    assert _contents(name, folder, **chosen) == whole


# Situation -> corpus, what happens to it, what the note says.
NOTES = {
    "parts": (
        "samm", lambda f: _spread(f, "SAMM", 1),
        "hold different clips and are read together: part-001/unpacked, part-002/unpacked; --fra"),
    "people without zeros": (
        "samm", lambda f: (f / "SAMM/006").rename(f / "SAMM/6"),
        "the subjects' folders 6 are read as 006."),
    "sheet of another corpus": (
        "casme2", lambda f: _save_again(write_example("samm", f / "x") / SAMM, "../labels.xlsx"),
        "the sheet labels.xlsx is one of SAMM and is ignored."),
    "unrelated folder": (
        "samm", lambda f: shutil.copytree(f / "SAMM/006/006_1_2", f / "plots/025/curve"),
        "the frames in SAMM are used, not those in plots; see --frames_in."),
}  # fmt: skip


@pytest.mark.parametrize("situation", NOTES)
def test_a_note_says_what_was_read(copy, run_doctor, situation):
    name, plant, note = NOTES[situation]
    folder = copy(name)
    plant(folder)
    status, found = run_doctor(name, folder)
    assert (status, found["frames"]) == (0, FRAMES[name])
    assert any(note in sentence for sentence in found["notes"]), found["notes"]


def _packed(folder, place):
    shutil.make_archive(str(folder / place), "zip", folder / place)
    shutil.rmtree(folder / place)


def _in_a_numbered_folder(folder):
    (folder / "001").mkdir()
    for name in ("SAMM", SAMM):
        (folder / name).rename(folder / "001" / name)


def _smaller_copy(folder):
    """Two parts that both hold a clip, in different sizes."""
    shutil.copytree(folder / "SAMM/006", folder / "SAMM 2/006")
    for person in PEOPLE[1:4]:
        shutil.move(folder / "SAMM" / person, folder / "SAMM 2" / person)
    for path in (folder / "SAMM 2/006").rglob("*.jpg"):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path), 0), (96, 104)))


# Situation -> corpus in the folder, corpus asked for, what happens to it, what the sentence says.
REFUSED = {
    "frames still packed": (
        "samm", "samm", lambda f: _packed(f, "SAMM"),
        "no subject's folder of SAMM in {f} (SAMM.zip seems to be still packed: unpack it); name"),
    "corpus in a folder that looks like a subject": (
        "samm", "samm", _in_a_numbered_folder,
        "(001 looks like a subject's folder, but seems to hold the corpus: name it with "
        "--manual_dir={f}/001)"),
    "SAMM as CASME II": (
        "samm", "casme2", lambda f: None,
        "this looks like SAMM, which is 'samm' here, not 'casme2'."),
    "SAMM as CAS(ME)^3": (
        "samm", "casme3", lambda f: None,
        f"in {{f}} ({SAMM} looks like SAMM, which is 'samm' here); put it there"),
    "CAS(ME)^2 as SMIC": (
        "casme_sq", "smic", lambda f: None, "looks like CAS(ME)^2, which is 'casme_sq' here"),
    "a sheet above the folder": (
        "samm", "samm", lambda f: [(f / SAMM).rename(f.parent / SAMM)],
        "put it there, or name the folder that holds it with --manual_dir={f.parent}."),
    "a sheet of Apple's Numbers": (
        "samm", "samm", lambda f: (f / SAMM).rename(f / "SAMM.numbers"),
        "(SAMM.numbers cannot be read: save it as .xlsx)"),
    ".csv without the columns": (
        "samm", "samm", lambda f: [(f / SAMM).unlink(),
                                   (f / "SAMM.csv").write_text("Subject,Filename\n6,006_1_2\n")],
        "({f}/SAMM.csv lacks the column Onset Frame, Apex Frame, "),
    "a page that is called .xls": (
        "samm", "samm", lambda f: [(f / SAMM).unlink(),
                                   (f / "SAMM.xls").write_text("<table><td>Subject</td></table>")],
        "{f}/SAMM.xls cannot be read as a workbook"),
    "two versions of a clip": (
        "samm", "samm", _smaller_copy,
        "006_1_2 and {f}/SAMM 2/006/006_1_2 seem to be one clip in two versions, and each tree"),
    "crops that count from 0 beside raw frames": (
        "casme2", "casme2", lambda f: [
            (f / "CASME2_RAW_selected").rename(f / "a"), shutil.copytree(f / "a", f / "b"),
            _rename_frames(f / "b", lambda _, n: f"img{n - 1}.jpg")],
        "{f} holds the subjects' folders more than once (a, b); choose one with --frames_in."),
}  # fmt: skip


@pytest.mark.parametrize("situation", REFUSED)
def test_a_sentence_says_what_lies_there_instead(copy, run_doctor, situation):
    there, asked, plant, sentence = REFUSED[situation]
    folder = copy(there)
    plant(folder)
    status, found = run_doctor(asked, folder)
    assert found is None and status.startswith("error: ") and "\n" not in status
    sentence = sentence.replace("{f.parent}", str(folder.parent)).replace("{f}", str(folder))
    assert sentence in status


def test_a_missing_part_is_named_where_it_is_still_packed(copy, run_doctor):
    folder = copy("samm")
    _spread(folder, "SAMM", 1)
    _packed(folder, "part-002")
    status, found = run_doctor("samm", folder)
    assert (status, found["clips"], len(found["problems"])) == (1, 10, 7)
    assert "part-002.zip seems to be still packed; unpack it if it holds clips." in found["notes"]


def test_other_files_in_place_of_frames_are_named(copy, run_doctor):
    folder = copy("samm")
    for path in (folder / "SAMM/006/006_1_2").iterdir():
        path.rename(path.with_suffix(".avi"))
    status, found = run_doctor("samm", folder)
    assert (status, found["clips"]) == (1, 16)
    assert "006_1_2 of 006 holds no frames but .avi files; copy" in found["problems"][0]


def test_frames_converted_to_another_format_are_read(copy, run_doctor):
    folder = copy("samm")
    for path in folder.rglob("*.jpg"):
        cv2.imwrite(str(path.with_suffix(".tif")), cv2.imread(str(path), 0))
        path.unlink()
    status, found = run_doctor("samm", folder)
    assert (status, found["clips"], found["frames"]) == (0, 17, FRAMES["samm"])


def test_a_file_is_no_folder(tmp_path, run_doctor):
    archive = tmp_path / "SAMM.zip"
    archive.write_bytes(b"PK")
    status, _ = run_doctor("samm", archive)
    assert (
        status == f"error: {archive} is a file; unpack it, and name the folder with --manual_dir."
    )


@pytest.mark.parametrize(
    ("closed", "status", "clips"), [("private", 0, 17), ("SAMM/006", 1, 13), ("SAMM", None, 0)]
)
def test_a_folder_that_cannot_be_read(copy, run_doctor, monkeypatch, closed, status, clips):
    folder, scandir = copy("samm"), os.scandir
    (folder / closed).mkdir(exist_ok=True)

    def refuse(path):
        if Path(path) == folder / closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    sentence = f"{folder / closed} cannot be read (Permission denied)"
    ended, found = run_doctor("samm", folder)
    if status is None:
        assert "no subject's folder of SAMM" in ended
        assert f"(the folder {closed} cannot be read (Permission denied))" in ended
        return
    assert (ended, found["clips"]) == (status, clips)
    assert any(sentence in note for note in found["notes"])
    assert all(sentence in problem for problem in found["problems"])


def test_a_corpus_in_parts_is_built_and_changes_with_them(copy, tmp_path):
    folder, data_dir = copy("samm"), tmp_path / "data"
    whole = survey(get_image_corpus("samm"), folder, BuildOptions())
    shutil.move(folder / "SAMM/006", folder / "more/006")
    options = BuildOptions(workers=1)
    build_corpus("samm", data_dir, folder, options)
    corpus = open_corpus("samm", data_dir)
    assert corpus.metadata["counts"] == {"clips": 17, "subjects": 6, "frames": FRAMES["samm"]}
    assert any("read together: SAMM, more;" in warning for warning in corpus.warnings)
    assert whole.digest != survey(get_image_corpus("samm"), folder, options).digest
    shutil.rmtree(folder / "more/006/006_1_2")
    with pytest.raises(UserError, match="which has changed since"):
        build_corpus("samm", data_dir, folder, options)
