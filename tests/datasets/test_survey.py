"""Surveys of corpora as users unpack and change them; no frame is read."""

import re
import shutil

import pytest

from datasets.errors import UserError
from datasets.example import write_example
from datasets.frames import index_frames
from datasets.image_corpus import get_image_corpus, read_annotations
from datasets.options import BuildOptions
from datasets.survey import survey
from tests.helpers.corpus_mutations import first_table

JPG = "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
SELECTED = "CASME2_RAW_selected"


def _survey(name, folder, **options):
    return survey(get_image_corpus(name), folder, BuildOptions(**options).resolved(name))


def _spans(found):
    return {
        (clip.subject, clip.clip): (clip.row.onset, clip.row.offset, len(clip.files))
        for clip in found.clips
    }


def _assert_any(sentences, pattern):
    assert any(re.search(pattern, sentence) for sentence in sentences), sentences


# --- sheets


def _add_kinds(sheet, kinds):
    with first_table(sheet) as table:
        table.cell(1, 9).value = "Expression type"
        for row in range(2, table.max_row + 1):
            table.cell(row, 9).value = kinds[(row - 2) % len(kinds)]


@pytest.mark.parametrize("micro", ["ME", "Micro-expression", "micro"])
@pytest.mark.parametrize("macro", ["MaE", "Macro-expression", "macro"])
def test_macro_expressions_are_counted_and_left_out(tmp_path, micro, macro):
    folder = write_example("casme3", tmp_path / "casme3")
    _add_kinds(folder / JPG, [micro, micro, macro])
    found = _survey("casme3", folder)
    assert len(found.clips) == 12 and not found.problems
    _assert_any(found.notes, r"^6 rows of cas.* are of macro-expressions and were left out")


def test_a_kind_that_is_neither_is_a_problem(tmp_path):
    folder = write_example("casme3", tmp_path / "casme3")
    _add_kinds(folder / JPG, ["ME"] * 17 + ["yes"])
    found = _survey("casme3", folder)
    assert len(found.problems) == 1
    _assert_any(found.problems, r"row 19 of cas.* 'yes' is neither a micro- nor a macro-expression")


def test_a_sheet_without_a_usable_row_is_refused(tmp_path):
    folder = write_example("casme3", tmp_path / "casme3")
    _add_kinds(folder / JPG, ["MaE"])
    with pytest.raises(UserError, match=r"lists no micro-expression \(18 rows of .* left out\)"):
        read_annotations("casme3", folder)
    for clip in write_example("smic", tmp_path / "smic").glob("*/HS/*/micro/*"):
        shutil.rmtree(clip)
    with pytest.raises(UserError, match="lists no micro-expression"):
        read_annotations("smic", tmp_path / "smic")


@pytest.mark.parametrize("place", [5, 7, 9])
def test_smic_pairs_are_found_wherever_the_apex_stands(tmp_path, place):
    folder = write_example("smic", tmp_path / "smic", "long")
    whole = _spans(_survey("smic", folder))
    with first_table(next(folder.rglob("SMIC-HS-E_annotation.xlsx"))) as table:
        table.insert_cols(place)
        table.cell(1, place).value = "ApexF"
        for row in range(2, 15):
            table.cell(row, place).value = table.cell(row, 3).value + 3
    found = _survey("smic", folder)
    assert _spans(found) == whole and len(whole) == 14
    first = [clip for clip in found.clips if clip.clip != "s03_ne_01_2"]
    assert {clip.row.apex - clip.row.onset for clip in first} == {3}


def test_sheets_and_frames_may_lie_as_deep(tmp_path):
    folder = write_example("samm", tmp_path / "samm")
    whole = _survey("samm", folder)
    deep = tmp_path / "a/b/c/d/e"
    deep.parent.mkdir(parents=True)
    folder.rename(deep)
    (tmp_path / "__MACOSX").mkdir()
    shutil.copy(next(deep.glob("*.xlsx")), tmp_path / "__MACOSX" / "other_Micro_FACS.xlsx")
    (deep / "~$SAMM_Micro_FACS_Codes_v2.xlsx").write_text("a lock")
    found = _survey("samm", tmp_path)
    assert _spans(found) == _spans(whole) and not found.notes


def test_another_camera_is_avoided_by_its_name(tmp_path):
    folder = write_example("smic", tmp_path / "smic", "all_raw")
    whole = _survey("smic", folder)
    shutil.copytree(folder / "SMIC_all_raw/HS", folder / "SMIC_NIR_raw")
    shutil.copytree(folder / "SMIC_all_raw/HS", folder / "SMIC_all_raw/other")
    found = _survey("smic", folder)
    assert found.roots == whole.roots
    _assert_any(found.notes, r"SMIC_all_raw/HS are used, not those in SMIC_all_raw/other; ")
    e = write_example("smic", tmp_path / "e", "long")
    sheet = next(e.rglob("SMIC-HS-E_annotation.xlsx"))
    revised = sheet.rename(sheet.with_name("annotation_revised.xlsx"))
    assert _survey("smic", e).annotations.sheet == revised


# --- frames


def test_a_root_with_few_people_is_never_preferred(tmp_path):
    folder = write_example("casme2", tmp_path / "casme2", "cropped")
    stray = folder / SELECTED / "sub01"
    shutil.copytree(folder / "Cropped" / "sub01", stray)
    found = _survey("casme2", folder)
    assert found.roots == (folder / "Cropped",) and len(found.clips) == 18
    assert _survey("casme2", folder, frames_in=SELECTED).roots == (folder / SELECTED,)
    with pytest.raises(UserError, match="holds no subject's folder; name another --frames_in"):
        _survey("casme2", folder, frames_in="..")


@pytest.mark.parametrize("start", [0, 1])
def test_frames_that_count_from_the_beginning_are_taken_in_order(tmp_path, start):
    folder = write_example("casme2", tmp_path / "casme2")
    clip = folder / SELECTED / "sub01" / "EP02_01f"
    for number, path in enumerate(sorted(clip.iterdir()), start=start):
        path.rename(clip / f"img{number}.jpg")
    found = _survey("casme2", folder)
    assert not found.losses and len(found.clips) == 18
    files = next(c.files for c in found.clips if c.clip == "EP02_01f")
    assert [path.name for path in files] == [f"img{n}.jpg" for n in range(start, start + 10)]


def test_the_nearest_frame_stands_in_for_a_missing_one(tmp_path):
    folder = write_example("casme3", tmp_path / "casme3")
    clip = next(folder.rglob("frame/spNo.1_b_166"))
    for number in (166, 168, 170, 171, 172, 173):
        (clip / f"{number}.jpg").unlink()
    found = _survey("casme3", folder)
    files = next(c.files for c in found.clips if (c.subject, c.clip) == ("spNO.1", "b_166"))
    stems = [int(path.stem) for path in files]
    assert stems == [167, 167, 167, 169, 169, 169, 174, 174, 174, 175]
    _assert_any(found.losses, r"spNo.1_b_166 lacks 6 of .* \(166, 168, 170-173\)")


def test_an_end_far_beyond_the_frames_is_no_known_loss(tmp_path):
    folder = write_example("casme3", tmp_path / "casme3")
    with first_table(folder / JPG) as table:
        table["E3"].value = 999_999_999
    found = _survey("casme3", folder)
    _assert_any(
        found.problems, r"lacks 999\d+ of the 999\d+ frames of clip b_166 of spNO.1 \(176-9"
    )


def test_frames_long_after_the_apex_are_left_out_on_request(tmp_path):
    folder = write_example("casme3", tmp_path / "casme3")
    whole, cut = _spans(_survey("casme3", folder)), _spans(_survey("casme3", folder, after_apex=2))
    assert whole["spNO.1", "a_355"] == (355, 364, 10)
    assert cut["spNO.1", "a_355"] == (355, 361, 7)
    assert cut["spNO.149", "d_112"] == (112, 125, 14)
    assert all(cut[key][1] <= whole[key][1] for key in whole)


def test_a_video_folder_may_be_doubled(tmp_path):
    folder = write_example("casme3", tmp_path / "casme3", "long")
    whole = _spans(_survey("casme3", folder))
    person = next(folder.rglob("spNO.1"))
    (person.parent / "x").mkdir()
    person.rename(person.parent / "x" / "spNO.1")
    (person.parent / "x").rename(person)
    assert _spans(_survey("casme3", folder)) == whole


@pytest.mark.parametrize(
    ("name", "layout", "gone", "place"),
    [
        ("casme3", "clips", "frame/spNo.40_e_1836", "spNo.40_e_1836"),
        ("casme3", "long", "spNO.40/e", "spNO.40/e"),
        ("casme3", "extracted", "spNO.1/a1", "spNO.1/a1"),
        ("casme_sq", "rawpic", "s15/15_0401girlcrashing", r"s15/15_0401\.\.\."),
        ("casme_sq", "cropped", "15/anger1_3", "15/anger1_3"),
        ("casme2", "raw_selected", "sub01/EP02_01f", "sub01/EP02_01f"),
        ("smic", "long", "s01/s01_ne_01", "s01/s01_ne_01"),
    ],
)
def test_a_missing_folder_is_called_what_it_would_be_called(tmp_path, name, layout, gone, place):
    folder = write_example(name, tmp_path / name, layout)
    shutil.rmtree(next(folder.rglob(gone)))
    _assert_any(_survey(name, folder).problems, rf"is missing: .* holds no {place}; copy it")


def test_long_videos_are_recognised_by_their_folders_and_not_by_the_path(tmp_path):
    folder = write_example("casme_sq", tmp_path / "rawpic", "cropped")
    shutil.copytree(folder / "cropped/15/anger1_3", folder / "cropped/15/anger9_9")
    _assert_any(_survey("casme_sq", folder).notes, "anger9_9 is named in no usable row")


def test_a_folder_that_cannot_be_listed_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"nowhere cannot be read \(No such file"):
        index_frames(tmp_path / "nowhere")
