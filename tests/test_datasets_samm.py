"""The builder `samm` on tiny corpora in SAMM's layout: variants, corrections, bad input."""

import numpy as np
import pytest
import samm_corpus
from samm_corpus import FRAMES, Clip, default_clips, write

from datasets import faces
from datasets.build import BuildOptions, build_corpus
from datasets.errors import UserError
from datasets.reading import open_corpus

ONE_PROCESS = BuildOptions(workers=1)


def _build(tmp_path, manual_dir, options=ONE_PROCESS):
    build_corpus("samm", tmp_path / "data", manual_dir, options)
    return open_corpus("samm", tmp_path / "data")


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """The tiny corpus as SAMM would be distributed, built."""
    folder = tmp_path_factory.mktemp("official")
    return _build(folder, write(folder / "SAMM"))


def _assert_same(examples, expected):
    assert len(examples) == len(expected)
    for example, other in zip(examples, expected, strict=True):
        np.testing.assert_array_equal(example.pop("frames"), other.pop("frames"))
        assert example == other


def test_official_layout(official):
    assert [example["clip"] for example in official] == [
        "006_1_2", "009_3_1", "013_1_9", "032_3_1"
    ]  # fmt: skip
    first = official[0]
    assert first["frames"].shape == (FRAMES, 72, 72, 3)
    assert first["frames"].dtype == np.uint8
    assert (first["subject"], first["emotion"], first["fps"]) == ("006", "anger", 200.0)
    assert (first["onset"], first["apex"], first["offset"]) == (5562, 5566, 5571)
    assert (first["action_units"], first["objective_class"]) == ("4+7", "I")
    assert official.metadata["counts"] == {"clips": 4, "subjects": 4, "frames": 4 * FRAMES}
    assert official.corrections == []


@pytest.mark.parametrize(
    "variant",
    [
        {"notes": 0},
        {"digits": 4},
        {"digits": 0},  # 99 and 100 in one clip: the order of numbers is not that of the text
        {"frames_in": "SAMM"},
        {"frames_in": "SAMM_CROP/SAMM_CROP"},
        {"sheet": "SAMM_20181215_Micro_FACS_Codes_v2.xlsx"},
        {"extra": 3},
    ],
    ids=str,
)
def test_variants_of_the_layout_give_the_same_examples(official, tmp_path, variant):
    _assert_same(_build(tmp_path, write(tmp_path / "SAMM", **variant)), list(official))


def test_spellings_and_column_places_do_not_matter(official, tmp_path):
    chosen = default_clips()
    chosen[1].emotion = " Others "
    write(tmp_path / "SAMM", chosen)
    (tmp_path / "SAMM" / "013" / "013_1_9").rename(tmp_path / "SAMM" / "013" / "013_1_9x")
    doubled = tmp_path / "SAMM" / "013" / "013_1_9"
    doubled.mkdir()
    (tmp_path / "SAMM" / "013" / "013_1_9x").rename(doubled / "013_1_9")
    _assert_same(_build(tmp_path, tmp_path / "SAMM"), list(official))


def test_frames_renamed_from_one_are_taken_in_order(official, tmp_path):
    folder = write(tmp_path / "SAMM")
    place = folder / "006" / "006_1_2"
    for number, path in enumerate(sorted(place.iterdir()), start=1):
        path.rename(place / f"img{number}.jpg")
    _assert_same(_build(tmp_path, folder), list(official))


@pytest.mark.parametrize("offset", [5793, 5735])  # too large, too small; 5739 is right
def test_known_bad_cells_are_corrected_and_told(tmp_path, offset):
    chosen = default_clips()
    chosen[2].offset = offset
    chosen[3].apex = "/"  # known to be 4930
    chosen[0].apex = "?"  # not known
    corpus = _build(tmp_path, write(tmp_path / "SAMM", chosen))
    anger, _, happiness, surprise = corpus
    assert happiness["offset"] == 5739
    assert len(happiness["frames"]) == FRAMES
    assert (surprise["apex"], anger["apex"]) == (4930, -1)
    assert len(corpus.corrections) == 2
    assert f"013_1_9 of 013: offset {offset} became 5739" in corpus.corrections[0]
    assert "032_3_1 of 032: apex (none) became 4930" in corpus.corrections[1]


def test_cells_that_are_good_are_left_alone(tmp_path):
    chosen = [Clip("032", "032_3_1", "Anger", 4926, 4928)]
    corpus = _build(tmp_path, write(tmp_path / "SAMM", chosen))
    assert corpus[0]["apex"] == 4928
    assert corpus.corrections == []


def test_missing_frames_are_told(tmp_path):
    folder = write(tmp_path / "SAMM")
    (folder / "006" / "006_1_2" / "006_05565.jpg").unlink()
    corpus = _build(tmp_path, folder)
    assert len(corpus[0]["frames"]) == FRAMES - 1
    assert corpus.warnings == ["clip 006_1_2 of 006 has 9 of its 10 frames."]


def _break(folder, how):
    clip = folder / "009" / "009_3_1"
    sheet = folder / "SAMM_Micro_FACS_Codes_v2.xlsx"
    files = sorted(clip.iterdir())
    match how:
        case "no clip folder":
            for path in files:
                path.unlink()
            clip.rmdir()
        case "empty clip folder":
            for path in files:
                path.unlink()
        case "most frames missing":
            for path in files[3:]:
                path.unlink()
        case "torn":
            files[4].write_bytes(files[4].read_bytes()[:-900])
        case "empty file":
            files[4].write_bytes(b"")
        case "no picture":
            files[4].write_bytes(b"\xff\xd8 no picture \xff\xd9")
        case "no subject cell":
            header = ("Person", *samm_corpus.HEADER[1:])
            samm_corpus.write_sheet(sheet, default_clips(), header=header)
        case "no column":
            header = [name.replace("Onset Frame", "Start") for name in samm_corpus.HEADER]
            samm_corpus.write_sheet(sheet, default_clips(), header=header)
        case "no rows":
            samm_corpus.write_sheet(sheet, [])
        case "no sheet":
            sheet.unlink()
        case "no workbook":
            sheet.write_text("hello")
        case "no onset":
            chosen = default_clips()
            chosen[1].onset, chosen[1].offset = "x", 104
            samm_corpus.write_sheet(sheet, chosen)
        case "another size":
            import cv2

            cv2.imwrite(str(files[4]), cv2.resize(cv2.imread(str(files[4]), 0), (96, 104)))
        case "frame twice":
            files[4].with_name("img99.jpg").write_bytes(files[4].read_bytes())
        case "raw and crops":
            (folder / "a").mkdir()
            for subject in ("006", "009", "013", "032"):
                (folder / subject).rename(folder / "a" / subject)
            (folder / "b" / "006").mkdir(parents=True)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (
            "no clip folder",
            r"folder of clip 009_3_1 of 009 is missing: .* no 009/009_3_1",
        ),
        ("empty clip folder", r"009_3_1 of clip 009_3_1 of 009 holds no frames"),
        (
            "most frames missing",
            r"009_3_1 holds 3 of the 10 frames of .* onset 95 to offset 104",
        ),
        ("torn", r"009_00099.jpg is torn or no picture"),
        ("empty file", r"009_00099.jpg is torn or no picture \(0 bytes\)"),
        ("no picture", r"009_00099.jpg is torn or no picture"),
        ("no subject cell", r"no cell 'Subject' in .*SAMM_Micro_FACS_Codes_v2.xlsx"),
        ("no column", r"SAMM_Micro_FACS_Codes_v2.xlsx lacks the column Onset Frame"),
        ("no rows", r"no row below its header"),
        ("no sheet", r"no annotation sheet \(SAMM_Micro_FACS_Codes_v2.xlsx\) in"),
        ("no workbook", r"cannot be read as a workbook"),
        ("no onset", r"row 16 of .*\(clip 009_3_1 of 009\): the onset is no frame number"),
        ("another size", r"frame 5, from the onset, of clip 009_3_1 .* is 96x104 pixels"),
        ("frame twice", r"009_00099.jpg and img99.jpg in .* are both frame 99"),
        ("raw and crops", r"more than once \(a, b\)"),
    ],
)
def test_bad_input_is_told_in_one_sentence_and_leaves_nothing(tmp_path, how, sentence):
    folder = write(tmp_path / "SAMM")
    _break(folder, how)
    with pytest.raises(UserError, match=sentence) as told:
        _build(tmp_path, folder)
    assert "\n" not in str(told.value)
    assert not any((tmp_path / "data").glob("**/*.json"))


def test_a_folder_without_subjects_is_told(tmp_path):
    samm_corpus.write_sheet(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", default_clips())
    with pytest.raises(UserError, match=r"no person's folder of SAMM in"):
        build_corpus("samm", tmp_path / "data", tmp_path, ONE_PROCESS)


@pytest.fixture
def faceless(tmp_path):
    """A corpus with a clip that shows no face."""
    import cv2

    folder = write(tmp_path / "SAMM")
    for path in (folder / "009" / "009_3_1").iterdir():
        cv2.imwrite(str(path), np.full((208, 192), 128, np.uint8))
    return folder


def test_a_clip_without_a_face_fails_by_default(tmp_path, faceless):
    with pytest.raises(UserError, match=r"no face .* clip 009_3_1 .*--on_no_face=skip"):
        _build(tmp_path, faceless)


def test_a_clip_without_a_face_is_skipped_on_request(tmp_path, faceless):
    corpus = _build(tmp_path, faceless, BuildOptions(workers=1, on_no_face="skip"))
    assert [example["clip"] for example in corpus] == ["006_1_2", "013_1_9", "032_3_1"]
    assert corpus.warnings == [
        "1 of 4 clips were skipped, since no face was found in them: 009_3_1 (009)."
    ]


def test_an_onset_frame_without_a_face_takes_the_landmarks_of_the_next(official, tmp_path):
    import cv2

    folder = write(tmp_path / "SAMM")
    first = folder / "006" / "006_1_2" / "006_05562.jpg"
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
    import cv2

    folder = write(tmp_path / "SAMM", default_clips()[:1])
    for path in (folder / "006" / "006_1_2").iterdir():
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path), cv2.merge([grey // 2, grey, grey]))  # little blue
    red, _, blue = np.moveaxis(_build(tmp_path, folder)[0]["frames"].astype(int), -1, 0)
    assert (red - blue)[:, 20:50, 20:50].mean() > 20
