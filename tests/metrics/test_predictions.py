"""The prediction table: to disk and back to the bit, pooling, and files cut short or edited."""

import json
import os

import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax.files import write_atomically
from fdp_jax.metrics.predictions import PredictionTable, pool

CLASSES = ("happiness", "others, mixed", 'sur"prise')


def fold_table(fold="006", n=5, seed=0, classes=CLASSES, with_mse=True, clips=None, dataset="samm"):
    rng = np.random.default_rng(len(fold) + seed)
    return PredictionTable.of_fold(
        protocol="3class",
        select="last",
        seed=seed,
        fold=fold,
        classes=classes,
        datasets=[dataset] * n,
        subjects=[fold] * n,
        clips=clips or [f"{fold}_{i}" for i in range(n)],
        labels=[classes[i] for i in rng.integers(len(classes), size=n)],
        probabilities=rng.dirichlet(np.ones(len(classes)), n).astype(np.float32),
        dic_mse=rng.random(n) * 1e-3 if with_mse else None,
    )


def assert_same(a, b):
    for name in a.__dataclass_fields__:
        left, right = getattr(a, name), getattr(b, name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype and left.tobytes() == right.tobytes(), name
        else:
            assert left == right, name


@pytest.mark.parametrize("with_mse", [True, False])
def test_round_trip_to_the_bit(tmp_path, with_mse):
    table = fold_table(fold="主题\n<7>", with_mse=with_mse)
    table.probabilities[0] = [1 / 3, 5e-324, 0.1 + 0.2]
    table = PredictionTable.of_fold(
        protocol="3class", select="last", seed=0, fold="主题\n<7>",
        classes=CLASSES, datasets=table.dataset, subjects=table.subject, clips=table.clip,
        labels=table.label, probabilities=table.probabilities, dic_mse=table.dic_mse,
    )  # fmt: skip
    table.write(tmp_path / "a.csv")
    again = PredictionTable.read(tmp_path / "a.csv")
    assert_same(table, again)
    assert np.isnan(again.dic_mse).all() == (not with_mse)
    again.write(tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_columns_are_those_of_the_contract(tmp_path):
    fold_table(classes=("a", "b"), n=1).write(tmp_path / "p.csv")
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0] == (
        "dataset,protocol,select,seed,fold,subject,clip,label,prediction,p_a,p_b,dic_mse"
    )
    assert lines[1].startswith("samm,3class,last,0,006,006,006_0,")


def test_the_prediction_is_the_most_probable_class():
    table = fold_table()
    best = [CLASSES[i] for i in table.probabilities.argmax(axis=1)]
    assert list(table.prediction) == best
    assert table.correct.tolist() == [a == b for a, b in zip(best, table.label, strict=True)]


def test_pool_keeps_every_row_in_order():
    pooled = pool([fold_table("006"), fold_table("007", n=2)])
    assert pooled.fold == ("006",) * 5 + ("007",) * 2
    assert_same(pooled.take(range(5)), fold_table("006"))


def test_pool_refuses_a_clip_twice():
    with pytest.raises(UserError, match="006_0 of subject 006 was predicted twice"):
        pool([fold_table("006"), fold_table("006", n=2)])
    with pytest.raises(UserError, match="twice"):
        pool([fold_table("006", n=2, clips=["x", "x"])])


def test_one_name_for_clips_of_two_subjects_seeds_or_corpora_is_no_duplicate():
    pooled = pool(
        [
            fold_table("01", n=1, clips=["EP02_01f"]),
            fold_table("02", n=1, clips=["EP02_01f"]),
            fold_table("01", n=1, clips=["EP02_01f"], seed=1),
            fold_table("01", n=1, clips=["EP02_01f"], dataset="casme2"),
        ]
    )
    assert pooled.dataset == ("samm", "samm", "samm", "casme2")
    assert pooled.subjects == [("casme2", "01"), ("samm", "01"), ("samm", "02")]


def test_pool_refuses_other_classes_and_nothing():
    with pytest.raises(UserError, match="different classes"):
        pool([fold_table("006"), fold_table("007", classes=("a", "b"))])
    with pytest.raises(UserError, match="no prediction table"):
        pool([])


def _edit(change):
    def damage(path):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(change(lines)))

    return damage


def _set_cell(row, column, value):
    def change(lines):
        cells = lines[row].rstrip("\n").split(",")
        cells[column] = value
        return [*lines[:row], ",".join(cells) + "\n", *lines[row + 1 :]]

    return _edit(change)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_text(""), "it is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "cut short"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "not UTF-8"),
        (lambda path: path.write_text('"open\n'), "not a valid prediction table"),
        (_edit(lambda lines: lines[1:]), "header"),
        (_edit(lambda lines: [*lines[:2], "samm,3class\n"]), "row 3 has 2 cells"),
        (_set_cell(2, 7, "joy"), "row 3 has the label 'joy'"),
        (_set_cell(2, 9, "much"), "not a number"),
        (_set_cell(2, 9, "nan"), "not finite"),
        (_set_cell(2, 9, "7.0"), "not its most probable"),
    ],
)
def test_a_torn_or_edited_file_is_named(tmp_path, damage, words):
    path = tmp_path / "predictions.csv"
    table = fold_table(classes=("a", "b"))
    table.probabilities[1] = [0.25, 0.75]
    table.write(path)
    path.write_text(path.read_text().replace(",a,0.25,", ",b,0.25,"))
    damage(path)
    with pytest.raises(UserError) as caught:
        PredictionTable.read(path)
    assert words in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shapes_and_labels_are_checked():
    arguments = {
        "protocol": "3class", "select": "last", "seed": 0, "fold": "006", "classes": ("a", "b"),
        "datasets": ["samm"], "subjects": ["006"], "clips": ["x"], "labels": ["a"],
    }  # fmt: skip
    with pytest.raises(ValueError, match="probabilities"):
        PredictionTable.of_fold(**arguments, probabilities=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="differ in length"):
        PredictionTable.of_fold(**arguments | {"datasets": []}, probabilities=np.zeros((1, 2)))
    with pytest.raises(ValueError, match="unknown"):
        PredictionTable.of_fold(**arguments | {"labels": ["c"]}, probabilities=np.zeros((1, 2)))


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file.json"
    write_atomically(path, "old")

    def full_disk(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left on device") as caught:
        write_atomically(path, full_disk)
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


def test_writing_makes_folders_and_takes_bytes_text_and_functions(tmp_path):
    path = tmp_path / "a" / "b"
    for content in (b"x\n", "x\n", lambda file: file.write(b"x\n")):
        write_atomically(path, content)
        assert path.read_bytes() == b"x\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "below", "x")


def test_bytes_of_a_name_that_are_no_text_are_written_as_json_escapes(tmp_path):
    content = {"command": os.fsdecode(b"--manual_dir=/data/\xd6\xd0")}
    write_atomically(tmp_path / "a.json", json.dumps(content, ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == content
