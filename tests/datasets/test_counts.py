"""Sheets with the published class totals give the published counts of every protocol."""

import itertools

import openpyxl
import pytest

from datasets.image_corpus import read_annotations
from datasets.protocols import protocol_counts

# Corpus and protocol -> clips, people, clips of each class; CAS(ME)^3 by the version of its labels.
PUBLISHED = {
    ("casme2", "5class"): (249, 26, {"happiness": 32, "disgust": 63, "repression": 27,
                                     "surprise": 28, "others": 99}),
    ("casme2", "5class_2014"): (246, 26, {"happiness": 32, "disgust": 63, "repression": 27,
                                          "surprise": 25, "others": 99}),
    ("casme2", "3class"): (156, 25, {"positive": 32, "surprise": 28, "negative": 96}),
    ("casme2", "megc2019"): (145, 24, {"positive": 32, "surprise": 25, "negative": 88}),
    ("casme2", "cross"): (156, None, {"happiness": 32, "surprise": 25, "others": 99}),
    ("samm", "5class"): (136, 27, {"anger": 57, "contempt": 12, "happiness": 26, "surprise": 15,
                                   "other": 26}),
    ("samm", "3class"): (133, 28, {"positive": 26, "surprise": 15, "negative": 92}),
    ("samm", "megc2019"): (133, 28, {"positive": 26, "surprise": 15, "negative": 92}),
    ("samm", "cross"): (67, None, {"happiness": 26, "surprise": 15, "others": 26}),
    ("casme_sq", "4class"): (57, None, {"positive": 8, "surprise": 9, "negative": 21,
                                        "others": 19}),
    ("casme3", "7class", "v2"): (860, 94, {"happy": 55, "anger": 64, "disgust": 250, "fear": 86,
                                           "surprise": 187, "sad": 57, "others": 161}),
    ("casme3", "7class", "v1"): (921, 95, {"happy": 60, "anger": 67, "disgust": 275, "fear": 91,
                                           "surprise": 199, "sad": 63, "others": 166}),
    ("smic", "3class"): (164, 16, {"negative": 70, "positive": 51, "surprise": 43}),
    ("smic", "megc2019"): (164, 16, {"negative": 70, "positive": 51, "surprise": 43}),
}  # fmt: skip
CASME2_HEADER = ["Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", "",
                 "Action Units", "Estimated Emotion"]  # fmt: skip
CASME2_OTHERS = {"happiness": 32, "repression": 27, "surprise": 25, "others": 96}
# Person -> clips of anger, contempt, happiness, surprise, other.
SAMM = """006 7/0/0/2/0; 007 0/0/5/2/2; 009 2/0/0/1/0; 010 4/0/0/0/0; 011 5/3/7/0/0; 012 0/0/0/1/0
; 013 6/0/0/0/0; 014 0/1/7/1/1; 015 0/1/0/1/0; 016 2/0/1/2/0; 017 1/2/0/1/2; 018 0/0/0/1/1
; 019 0/0/1/0/2; 020 1/1/2/0/5; 021 2/0/0/0/0; 022 3/0/2/0/0; 023 1/0/0/0/0; 025 0/0/0/0/4
; 026 6/2/0/0/4; 028 0/1/0/2/0; 030 3/0/0/0/0; 031 1/0/0/0/0; 032 3/0/0/0/2; 033 3/0/1/0/0
; 034 3/0/0/0/0; 035 3/1/0/1/1; 037 1/0/0/0/2"""


def _write(path, *tables):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(tables):
        sheet = book.create_sheet(f"table{number}")
        for row in rows:
            sheet.append(row)
    book.save(path)


def _casme2(folder, label_version, extra):
    """255 rows (256 with `extra`) with the totals of a label version."""
    relabelled = "sadness" if label_version == "2014" else "surprise"
    rows = [("24", name, relabelled) for name in ("EP07_01", "EP07_04f", "EP10_03")]
    rows += [("04", "EP12_01f", "disgust"), ("05", "EP09_05f", "disgust")]
    rows += [("18", name, "others") for name in ("EP08_01", "EP18_01", "EP19_01")]
    rows += [("10", "EP01_01", "sadness"), ("10", "EP01_02", "fear"), ("10", "EP01_03", "others")]
    rows += [("01", "EP01_04", "fear")] + [("02", f"EP02_{i}", "sadness") for i in range(3)]
    people = itertools.cycle(f"{n:02d}" for n in range(1, 27) if n not in (10, 18))
    left = CASME2_OTHERS | {"disgust": 61, "others": CASME2_OTHERS["others"] - 1}
    for emotion, count in left.items():
        rows += [(next(people), f"EP99_{emotion}_{i}", emotion) for i in range(count)]
    rows += [("24", "EP02_07", "disgust")] if extra else []
    table = [CASME2_HEADER] + [
        [subject, name, "", 1, "/", 9, "", "4", emotion] for subject, name, emotion in rows
    ]
    _write(folder / f"CASME2-coding-{label_version}.xlsx", table, [], [])
    return len(rows)


def _samm(folder):
    emotions = ("Anger", "Contempt", "Happiness", "Surprise", "Other")
    rows = []
    for person in SAMM.replace("\n", "").split(";"):
        subject, counts = person.split()
        for emotion, count in zip(emotions, counts.split("/"), strict=True):
            rows += [(subject, emotion)] * int(count)
    rows += [("024", "Disgust"), ("036", "Disgust")] + [("006", "Disgust")] * 7
    rows += [("007", "Fear")] * 8 + [("009", "Sadness")] * 6
    header = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame",
              "Duration", "Micro", "Action Units", "Estimated Emotion", "Objective Classes",
              "Notes"]  # fmt: skip
    table = [["a note"]] * 13 + [header]
    for number, (subject, emotion) in enumerate(rows):
        table.append([subject, f"{subject}_{number}", 1, 1, 5, 9, 9, "Micro - 1/2", "4", emotion,
                      "I", ""])  # fmt: skip
    _write(folder / "SAMM_Micro_FACS_Codes_v2.xlsx", table)
    return len(rows)


def _casme_sq(folder):
    micro = {"positive": 8, "surprise": 9, "negative": 21, "others": 19}
    rows = [[1 + i % 22, f"anger1_{i}", 5, 0, 0, "4", "negative", "macro-expression", "anger"]
            for i in range(300)]  # fmt: skip
    number = itertools.count(400)
    for emotion, count in micro.items():
        rows += [[1 + i % 22, f"happy1_{next(number)}", 5, 9, 12, "4", emotion, "micro-expression",
                  "sadness"] for i in range(count)]  # fmt: skip
    _write(folder / "CAS(ME)^2code_final.xlsx", rows, [[15, "s15", 1]], [["0101", "disgust1"]])
    return 57


def _casme3(folder, version):
    _, people, per_class = PUBLISHED["casme3", "7class", version]
    subjects = itertools.cycle(range(1, people + 1))
    table = [["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]]
    onset = itertools.count(1000)
    for emotion, count in per_class.items():
        for i in range(count):
            first = next(onset)
            written = "Others" if emotion == "others" and i < 3 else emotion
            table.append([f"spNO.{next(subjects)}", "a", first, first, first + 9, "4", "I",
                          written])  # fmt: skip
    name = f"cas(me)3_part_A_ME_label_JpgIndex_{version}.xlsx"
    _write(folder / name, table, [], [])
    return len(table) - 1


def _smic(folder):
    people = [1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 18, 19, 20]
    subjects = itertools.cycle(people)
    for emotion, count in {"negative": 70, "positive": 51, "surprise": 43}.items():
        for i in range(count):
            person = f"s{next(subjects)}"
            clip = folder / "SMIC_all_raw/HS" / person / "micro" / emotion
            clip = clip / f"{person}_{emotion[:2]}_{i:02d}"
            clip.mkdir(parents=True)
            for number in (34208, 34219):
                (clip / f"image{number:06d}.bmp").touch()
    return 164


@pytest.mark.parametrize(
    ("corpus", "write", "version"),
    [
        ("casme2", lambda folder: _casme2(folder, "2019", False), ""),
        ("casme2", lambda folder: _casme2(folder, "2014", False), ""),
        ("casme2", lambda folder: _casme2(folder, "updated", True), ""),
        ("samm", _samm, ""),
        ("casme_sq", _casme_sq, ""),
        ("casme3", lambda folder: _casme3(folder, "v1"), "v1"),
        ("casme3", lambda folder: _casme3(folder, "v2"), "v2"),
        ("smic", _smic, ""),
    ],
    ids=["casme2 2019", "casme2 2014", "casme2 updated", "samm", "casme_sq", "casme3 v1",
         "casme3 v2", "smic"],
)  # fmt: skip
def test_published_totals_give_the_published_counts(tmp_path, corpus, write, version):
    count = write(tmp_path)
    annotations = read_annotations(corpus, tmp_path)
    assert annotations.problems == []
    assert len(annotations.rows) == count
    found = {c.protocol: c for c in protocol_counts(corpus, annotations.rows,
                                                    annotations.label_version)}  # fmt: skip
    wanted = {key[1]: counts for key, counts in PUBLISHED.items()
              if key[0] == corpus and (len(key) == 2 or key[2] == version)}  # fmt: skip
    assert set(found) == set(wanted)
    for name, (clips, people, per_class) in wanted.items():
        assert found[name].clips == clips
        assert found[name].per_class == per_class
        assert people in (None, found[name].subjects)
        assert found[name].deviation is None


def test_composites_have_the_published_totals():
    parts = [PUBLISHED[corpus, "megc2019"] for corpus in ("casme2", "samm", "smic")]
    assert sum(clips for clips, _, _ in parts) == 442
    assert sum(people for _, people, _ in parts) == 68
    for name, total in {"negative": 250, "positive": 109, "surprise": 83}.items():
        assert sum(per_class[name] for _, _, per_class in parts) == total
