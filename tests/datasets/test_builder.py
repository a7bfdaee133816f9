"""From a plan to stored examples: which clips, their annotation, and how they are written."""

import dataclasses
import tempfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from datasets import builder
from datasets.build import BuildOptions, build_corpus
from datasets.builder import Plan
from datasets.clip_tasks import Annotation
from datasets.errors import UserError
from datasets.reading import open_corpus
from datasets.samm import samm_dataset_builder
from datasets.synthetic import synthetic_dataset_builder
from tests.helpers import samm_corpus


@dataclasses.dataclass(frozen=True)
class _Clip:
    """Drawn faces; None stands for a frame that cannot be read."""

    subject: str
    clip: str
    faces: tuple = (True,) * 3
    where: str = "/nowhere"

    def annotation(self):
        return Annotation(
            self.subject, self.clip, "fear", "", "4", 1, 2, 3, 30.0, earlier_emotion="sadness"
        )

    def frames(self):
        drawn = samm_corpus.drawn_frames(0)
        return (frame if face else None for frame, face in zip(drawn, self.faces, strict=False))


def _build_planned(monkeypatch, data_dir, *tasks, **options):
    plan = Plan(tasks, "new", warnings=("a warning.",), earlier_label_version="old")
    monkeypatch.setattr(synthetic_dataset_builder.Builder, "plan", lambda self: plan)
    build_corpus("synthetic", data_dir, options=BuildOptions(workers=1, **options))
    return open_corpus("synthetic", data_dir)


def test_clips_are_unique_by_subject_and_name(tmp_path, monkeypatch):
    one, other = _Clip("s02", "a"), _Clip("s01", "a")
    with pytest.raises(UserError, match=r"synthetic holds clip a of s02 twice"):
        _build_planned(monkeypatch, tmp_path, one, other, one)
    corpus = _build_planned(monkeypatch, tmp_path, one, _Clip("s02", "A"), other)
    assert [(example["subject"], example["clip"]) for example in corpus] == [
        ("s01", "a"), ("s02", "A"), ("s02", "a"),
    ]  # fmt: skip


def test_a_build_leaves_nothing_in_the_folder_for_temporary_files(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    corpus = _build_planned(monkeypatch, tmp_path / "data", _Clip("s01", "a"))
    assert len(corpus) == 1 and list((tmp_path / "temporary").iterdir()) == []


def test_the_earlier_label_is_stored(tmp_path, monkeypatch):
    corpus = _build_planned(monkeypatch, tmp_path, _Clip("s01", "a"))
    assert (corpus[0]["emotion"], corpus[0]["earlier_emotion"]) == ("fear", "sadness")
    assert corpus.metadata["label_version"] == "new"
    assert corpus.metadata["earlier_label_version"] == "old"


def test_unreadable_frames_are_left_out_and_reported(tmp_path, monkeypatch):
    torn = _Clip("s01", "a", (None, True, None, True, None)), _Clip("s02", "a", (True, None, True))
    corpus = _build_planned(monkeypatch, tmp_path, *torn, _Clip("s03", "a"))
    assert [len(example["frames"]) for example in corpus] == [2, 2, 3]
    assert corpus.warnings == [
        "a warning.",
        "clip a (s01): 3 unreadable frames were left out.",
        "clip a (s02): 1 unreadable frame was left out.",
    ]


def test_clips_of_12_bits_are_stored_as_those_of_8_and_reported(tmp_path, monkeypatch):
    class Deep(_Clip):
        def frames(self):
            for frame in super().frames():
                yield None if frame is None else np.rint(frame * (4095 / 255)).astype(np.uint16)

    clips = Deep("s01", "a"), _Clip("s02", "a"), Deep("s03", "a", (None, True, True))
    deep, shallow, torn = corpus = _build_planned(monkeypatch, tmp_path, *clips)
    np.testing.assert_array_equal(deep["frames"], shallow["frames"])
    assert len(torn["frames"]) == 2
    assert corpus.warnings[-1] == (
        "2 of 3 clips have grey values of more than 8 bits; all frames of a clip were scaled "
        "alike, with 4095 as white."
    )


def test_a_clip_without_a_readable_frame_is_one_without_a_face(tmp_path, monkeypatch):
    clips = _Clip("s01", "a"), _Clip("s02", "b", (None, None))
    with pytest.raises(
        UserError, match=r"no readable frame of clip b of s02 \(/nowhere\); .*--on_no_face=skip"
    ):
        _build_planned(monkeypatch, tmp_path, *clips)
    corpus = _build_planned(monkeypatch, tmp_path, *clips, on_no_face="skip")
    assert len(corpus) == corpus.metadata["counts"]["clips"] == 1
    assert corpus.warnings[1:] == [
        "1 of 2 clips were skipped, since none of their frames can be read: b (s02)."
    ]


def test_examples_are_written_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "_CLIPS_PER_FILE", 2)
    written = []

    class Clip(_Clip):
        def frames(self):
            files = tmp_path.rglob("*array_record*")
            written.append(sum(path.stat().st_size > 0 for path in files))
            return super().frames()

    corpus = _build_planned(monkeypatch, tmp_path, *(Clip("s01", f"{k}") for k in range(5)))
    assert written == sorted(written) and written[-1] >= 2
    assert [example["clip"] for example in corpus] == list("01234")
    assert len(list(corpus.directory.glob("*array_record*"))) == 3


def test_the_builder_can_be_had_from_tfds(tmp_path, monkeypatch):
    tasks = [_Clip("s01", "a"), _Clip("s01", "b")]
    corpus = _build_planned(monkeypatch, tmp_path / "ours", *tasks)
    synthetic = tfds.builder("synthetic", data_dir=tmp_path / "tfds")
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    synthetic.download_and_prepare(download_config=config)
    assert [example["clip"] for example in synthetic.as_data_source("clips")] == [b"a", b"b"]
    other = open_corpus("synthetic", tmp_path / "tfds")
    assert other.metadata == corpus.metadata | {"options": other.metadata["options"]}
    for example, same in zip(corpus, other, strict=True):
        np.testing.assert_array_equal(example["frames"], same["frames"])


def test_tfds_passes_the_folder_of_a_corpus(tmp_path):
    folder = samm_corpus.write(tmp_path / "SAMM", samm_corpus.CLIPS[:1])
    samm = samm_dataset_builder.Builder(data_dir=tmp_path / "data")
    config = tfds.download.DownloadConfig(try_download_gcs=False, manual_dir=folder)
    samm.download_and_prepare(download_config=config)
    corpus = open_corpus("samm", tmp_path / "data")
    assert corpus.metadata["source"]["manual_dir"] == str(folder)
    assert build_corpus("samm", tmp_path / "data", folder) == corpus.directory  # the same
