"""The embedded corpus: faces that the detector finds, and motion that a still does not show."""

import collections
import itertools

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datasets.alignment import five_points
from datasets.build import build_corpus
from datasets.face_models import get_face_models
from datasets.faces import FaceLandmarker
from datasets.reading import open_corpus
from datasets.synthetic import clips, drawing, motion
from tests.helpers.drawn_landmarks import landmarks

SEED = 1  # of the default corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The default corpus."""
    data_dir = tmp_path_factory.mktemp("default")
    build_corpus("synthetic", data_dir)
    return open_corpus("synthetic", data_dir)


@pytest.fixture(scope="module")
def table(corpus):
    """What the classifiers see: category and person, dynamic images, stills."""
    columns = collections.defaultdict(list)
    weights = np.array([sum((2 * i - 9) / i for i in range(n, 9)) for n in range(1, 9)])
    for example in corpus:
        frames = example["frames"][..., 0].astype(np.float32)
        chosen = frames[np.floor((np.arange(8) + 0.5) * len(frames) / 8).astype(int)]
        image = np.tensordot(weights, chosen, 1)
        image = (image - image.min()) / (image.max() - image.min())
        columns["dynamic"].append((image - image.mean()).ravel())
        columns["apex"].append(frames[example["apex"] - example["onset"]].ravel())
        columns["middle"].append(chosen[4].ravel())
        columns["onset"].append(frames[0].ravel())
        columns["category"].append(example["emotion"])
        columns["person"].append(example["subject"])
    return {name: np.array(values) for name, values in columns.items()}


def _accuracy_on_unseen_people(table, name, strength):
    features, labels = table[name], table["category"]
    guesses = np.empty_like(labels)
    for train, test in GroupKFold(5).split(features, labels, table["person"]):
        model = make_pipeline(StandardScaler(), RidgeClassifier(strength))
        guesses[test] = model.fit(features[train], labels[train]).predict(features[test])
    return (guesses == labels).mean()


@pytest.mark.parametrize("still", ["apex", "middle", "onset"])
def test_a_still_does_not_give_the_category_away(table, still):
    # The best of several: no one strength may hide what another one finds.
    reached = [_accuracy_on_unseen_people(table, still, 10.0**power) for power in (2, 3, 4, 5)]
    assert max(reached) <= 0.30, reached


def test_the_dynamic_image_tells_the_category(table):
    assert _accuracy_on_unseen_people(table, "dynamic", 1e4) >= 0.45


def test_default_corpus_is_balanced_and_in_order(corpus, table):
    assert len(corpus) == 300
    assert len(set(table["person"])) == 30
    assert set(collections.Counter(table["category"]).values()) == {60}
    keys = [(example["subject"], example["clip"]) for example in corpus]
    assert keys == sorted(keys)
    assert len({clip for _, clip in keys}) == 300
    assert corpus.warnings == []  # a face was found in every clip


def test_clips_are_of_the_length_and_rate_of_micro_expressions(corpus):
    for example in corpus[:40]:
        count = len(example["frames"])
        assert 0.15 <= count / example["fps"] <= 0.5
        assert count == example["offset"] - example["onset"] + 1
        assert example["onset"] < example["apex"] < example["offset"]
        assert example["frames"].shape == (count, 72, 72, 3)
        assert (example["frames"][..., :1] == example["frames"]).all()  # grey


def test_landmarks_are_found_where_they_were_drawn():
    landmarker = FaceLandmarker(get_face_models())
    for index in range(30):
        person = drawing.draw_person(SEED, index)
        picture, glasses = drawing.draw_face(person), drawing.draw_glasses(person)
        if glasses is not None:
            picture = np.where(glasses > 127, drawing.glasses_tone(person), picture)
        found = landmarker.find(picture.astype(np.uint8))
        drawn = drawing.to_pixels(landmarks(person))
        away = np.linalg.norm(found - drawn, axis=1) / drawing.EYE_DISTANCE
        assert away[17:].mean() < 0.12, index
        five = np.linalg.norm(five_points(found) - five_points(drawn), axis=1)
        assert (five / drawing.EYE_DISTANCE).max() < 0.18, index


def test_people_differ():
    faces = [drawing.draw_face(drawing.draw_person(SEED, index)) for index in range(8)]
    for index, face in enumerate(faces):
        for other in faces[:index]:
            assert np.abs(face.astype(int) - other).mean() > 5


def test_the_same_clip_is_drawn_twice_alike_and_another_seed_is_another_corpus():
    first, again, other = (
        np.stack(list(clips.prepare_clip(clips.ClipSpec(seed, 3, 1, "sadness")).frames())[:5])
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nothing_but_the_expression_depends_on_the_category():
    one, two = (
        clips.prepare_clip(clips.ClipSpec(SEED, 2, 4, category))
        for category in ("anger", "surprise")
    )
    for name in ("base", "rigid", "strengths", "brightness", "light"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.noise, one.peak, one.apex) == (two.noise, two.peak, two.apex)
    np.testing.assert_array_equal(one.fields[1:], two.fields[1:])
    assert np.abs(one.fields[0] - two.fields[0]).max() > 0.3


def test_displacement_at_the_apex_is_what_was_asked_for():
    peaks = []
    for spec in clips.clip_specs(6, 1, SEED):
        clip = clips.prepare_clip(spec)
        peaks.append(clip.peak)
        expression = clip.fields[0] * clip.strengths[:, 0].max()
        largest = np.hypot(expression[..., 0], expression[..., 1]).max() / drawing.EYE_DISTANCE
        assert largest == pytest.approx(clip.peak, rel=1e-4)
        # It begins at nothing and comes back to nearly nothing.
        assert clip.strengths[0, 0] == 0
        assert clip.strengths[-1, 0] <= 0.1
        nuisance = clip.fields[1:-3] * clip.strengths[:, 1:-3].max(axis=0)[:, None, None, None]
        assert np.abs(nuisance).max() / drawing.EYE_DISTANCE <= 0.0125
    assert min(peaks) >= 0.02
    assert max(peaks) <= 0.08


def test_every_category_pushes_places_of_its_own():
    person = drawing.draw_person(SEED, 0)
    y, x = np.mgrid[-0.8:2.0:0.05, -1.2:1.2:0.05]
    fields = []
    for category in motion.CATEGORIES:
        pushes, _ = motion.expression(person, category, np.random.default_rng(0))
        moved = motion.field(pushes, x, y).ravel()
        fields.append(moved / np.linalg.norm(moved))
    likeness = np.array(fields) @ np.array(fields).T
    assert (likeness - np.eye(5)).max() < 0.7  # sadness and surprise share AU 1


def test_the_expression_is_where_the_video_says():
    video = clips.draw_video(seed=5, person=1, category="surprise", seconds=2.0)
    onset, apex, offset = video.interval
    assert 0.4 <= onset < apex < offset <= 1.6 and 0.14 <= offset - onset <= 0.5
    strength = video.clip.strengths[:, 0]
    assert strength.argmax() == round(apex * motion.FPS)
    assert not strength[: round(onset * motion.FPS)].any()
    assert strength[round(offset * motion.FPS) + 1 :].max() < 0.11 * strength.max()
    assert len(strength) == 2.0 * motion.FPS


def test_without_an_expression_only_distractors_move():
    video = clips.draw_video(seed=5, person=1, category=None, seconds=2.0)
    assert video.interval is None and not video.clip.strengths[:, 0].any()
    assert video.clip.strengths[:, 1:].any()


def test_frames_are_reproducible_and_differ_between_people():
    first, again, other = (
        np.stack(list(itertools.islice(clips.draw_video(5, person, "anger", 1.5).frames(), 3)))
        for person in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_video_must_hold_its_expression():
    with pytest.raises(ValueError):
        clips.draw_video(5, 0, "anger", 0.5)
