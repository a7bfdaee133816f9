"""A trained network in one file, on a machine without the code that trained it."""

import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax import export, exported_model
from fdp_jax.exported_model import ExportedModelError
from fdp_jax.inference import export_model as module
from fdp_jax.inference.export_model import export_model
from fdp_jax.inference.trained_network import find_folds, load_fold
from fdp_jax.input_pipeline import GREY_WEIGHTS, frame_numbers
from tests.conftest import HANGS, ROOT, run_module
from tests.helpers.networks import random_fold, sampled_faces
from tests.helpers.tiny import random_clips, train_tiny
from tests.helpers.without_packages import environment_without

# Packages that the copied file must not need.
NOT_NEEDED = {
    "datasets", "fdp_jax", "flax", "launch", "optax", "orbax", "sklearn", "cv2", "tyro",
}  # fmt: skip

PREDICT = """
import sys, numpy as np, exported_model
file, clips, out = sys.argv[1:]
network = exported_model.load(file)
with np.load(clips) as stored:
    faces = np.stack([network.sample(stored[name]) for name in stored.files])
np.savez(out, **network.predict(faces))
for name in ("flax", "fdp_jax", "fdp_jax.models"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(name + " can be imported")
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Runs Python in a folder with a copy of the one module, without the other packages."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(exported_model.__file__, folder)
    environment = environment_without(tmp_path_factory.mktemp("site"), NOT_NEEDED)

    def run(*arguments) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=folder, env=environment, text=True,
            capture_output=True, timeout=HANGS,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def clips():
    return random_clips(people=3, each=2)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, clips):
    """Two folds of each of two seeds."""
    folder = train_tiny(tmp_path_factory.mktemp("trained"), clips, ("p0", "p2"))
    shutil.copytree(folder / "seed_7", folder / "seed_10")
    run = folder / "seed_10" / "run.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | {"seed": 10}))
    return folder


@pytest.fixture(scope="module")
def file(workdir):
    out = workdir / "network.fdp"
    run_module("fdp_jax.export", str(workdir), "--fold=p2", "--seed=7", f"--out={out}")
    return out


def outputs_elsewhere(elsewhere, tmp_path, file, fold, clips) -> dict[str, np.ndarray]:
    """The outputs of the file in a process elsewhere, equal to those of the fold here."""
    ends = clips.starts + clips.lengths
    inputs = (clips.frames[a:b] for a, b in zip(clips.starts, ends, strict=True))
    np.savez(tmp_path / "clips.npz", *inputs)
    done = elsewhere("-c", PREDICT, file, tmp_path / "clips.npz", tmp_path / "outputs.npz")
    assert done.returncode == 0, done.stderr
    here = fold.predict(sampled_faces(clips, [*range(len(clips.starts))]))
    with np.load(tmp_path / "outputs.npz", allow_pickle=False) as stored:
        outputs = dict(stored)
    for name, output in outputs.items():
        assert output.dtype == np.float32 and output.shape == here[name].shape
        np.testing.assert_allclose(output, here[name], atol=1e-5, rtol=0, err_msg=name)
    return outputs


def test_the_file_predicts_elsewhere_what_the_trained_network_predicts_here(
    elsewhere, tmp_path, file, workdir, clips
):
    (fold,) = map(load_fold, find_folds(workdir / "seed_7" / "folds" / "p2"))
    outputs = outputs_elsewhere(elsewhere, tmp_path, file, fold, clips)
    assert set(outputs) == {"probabilities", "dynamic_image", "rank_scores"}


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({}, ""),
        ({"ablate": "no_dic"}, "dynamic_image"),
        ({"ablate": "no_rank", "backbone": "resnet18"}, "rank_scores"),
        ({"ablate": "no_mer"}, "probabilities"),
    ],
)
def test_a_file_has_the_outputs_of_the_modules_of_its_network(
    elsewhere, tmp_path, clips, changes, absent
):
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 256, (*clips.frames.shape[:3], 3), np.uint8)
    clips = dataclasses.replace(clips, frames=colour)
    fold = random_fold(is_grey=False, **changes)
    export_model(tmp_path / "network.fdp", fold)
    outputs = outputs_elsewhere(elsewhere, tmp_path, tmp_path / "network.fdp", fold, clips)
    assert set(outputs) == {"probabilities", "dynamic_image", "rank_scores"} - {absent}
    assert set(exported_model.load(tmp_path / "network.fdp").header["outputs"]) == set(outputs)
    for name, output in outputs.items():  # or the comparison would show nothing
        assert np.ptp(output, axis=0).max() > 1e-4, f"{name} is the same for all clips"


def test_the_same_frames_are_sampled_as_in_evaluation():
    lengths = np.arange(1, 200)
    half = np.full(len(lengths), 0.5, np.float32)
    as_evaluated = jax.jit(frame_numbers, static_argnums=2)
    for frames in range(2, 17):
        taken = {"frames": frames, "side": 1, "channels": 1}
        network = exported_model.Network({"input": taken}, call=None)
        counts = np.arange(lengths[-1], dtype=np.uint8)[:, None, None, None]
        chosen = np.stack([network.sample(counts[:n]).squeeze() for n in lengths])
        np.testing.assert_array_equal(chosen, as_evaluated(lengths, half, frames))


def sealed(entries: dict[str, bytes]) -> bytes:
    """A file with these entries and a valid checksum, by the description of the format."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        archive.comment = b"0" * 64
    body = file.getvalue()[:-64]
    return body + hashlib.sha256(body).hexdigest().encode()


def entries_of(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def check_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "other.fdp"
    file.write_bytes(content)
    with pytest.raises(ExportedModelError, match=message) as raised:
        exported_model.load(file)
    assert str(file) in str(raised.value) and "\n" not in str(raised.value)


def test_a_cut_file_is_refused(tmp_path, file):
    whole = file.read_bytes()
    check_refused(tmp_path, b"", "is empty")
    for length in (1, 3, 29, 40):
        check_refused(tmp_path, whole[:length], "is not a network")
    for length in (46, 500, len(whole) // 2, len(whole) - 65, len(whole) - 64, len(whole) - 1):
        check_refused(tmp_path, whole[:length], "was cut or altered")
    check_refused(tmp_path, whole + b"\n", "was cut or altered")


def test_one_flipped_bit_anywhere_is_detected(tmp_path, file):
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    ends = [*range(50), *range(len(whole) - 100, len(whole))]
    for place in [*ends, *rng.integers(0, len(whole), 150)]:
        altered = bytearray(whole)
        altered[place] ^= 1 << int(rng.integers(8))
        check_refused(tmp_path, bytes(altered), "was cut or altered|is not a network")


def test_other_files_are_refused(tmp_path):
    check_refused(tmp_path, b"a text\n" * 100, "is not a network written by")
    other_zip = sealed({"a.txt": b"a zip of something else"})
    check_refused(tmp_path, other_zip, "is not a network written by")
    with pytest.raises(ExportedModelError, match="No such file"):
        exported_model.load(tmp_path / "nowhere.fdp")
    with pytest.raises(ExportedModelError, match="Is a directory"):
        exported_model.load(tmp_path)


def test_other_versions_are_refused(tmp_path, file):
    entries = entries_of(file)
    header = json.loads(entries[exported_model.HEADER])
    assert header["version"] == 1
    newer = {exported_model.HEADER: json.dumps({"version": 2}).encode(), "something": b"new"}
    check_refused(tmp_path, sealed(newer), "has version 2 of the format, but this module reads")
    header["exported_with"]["jax"] = "9.9"
    entries[exported_model.HEADER] = json.dumps(header).encode()
    message = r"was written with jax 9\.9 for cpu and cuda, and jax .* cannot run it on this cpu"
    broken = sealed({**entries, exported_model.PROGRAM: b"\0" * 64})
    check_refused(tmp_path, broken, message)


def test_a_file_for_other_devices_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PLATFORMS", ("tpu",))
    export_model(tmp_path / "a", random_fold(is_grey=True))
    content = (tmp_path / "a").read_bytes()
    check_refused(tmp_path, content, "for tpu, and jax .* cannot run it on this")


def test_pickles_are_refused(tmp_path, file):
    array = io.BytesIO()
    np.save(array, np.array([{}], object), allow_pickle=True)
    entries = {**entries_of(file), "weights/params/more.npy": array.getvalue()}
    check_refused(tmp_path, sealed(entries), "is damaged")


def test_the_header_describes_input_outputs_and_origin(file):
    header = exported_model.load(file).header
    assert header["classes"] == ["class0", "class1"]
    assert header["input"]["shape"] == ["b", 4, 72, 72, 1]
    assert (header["input"]["colour"], header["input"]["dtype"]) == ("grey", "uint8")
    assert header["outputs"] == {
        "probabilities": ["b", 2], "dynamic_image": ["b", 16, 16], "rank_scores": ["b", 4],
    }  # fmt: skip
    origin = ("dataset", "protocol", "label_version", "left_out", "seed", "select", "preset")
    assert [header[name] for name in origin] == [
        "noise", "2class", "noise made up", "p2", 7, "last", "tiny",
    ]  # fmt: skip
    assert header["training"]["clip"]["crop"] == 16
    assert header["platforms"] == ["cpu", "cuda"]
    assert header["exported_with"]["jax"] == jax.__version__


def test_it_is_a_zip_with_the_weights_by_name(file):
    entries = entries_of(file)
    assert list(entries)[:2] == ["fdp_network.json", "network.stablehlo"]
    kernel = np.load(io.BytesIO(entries["weights/params/FrameFeature/kernel.npy"]))
    assert kernel.shape == (16, 256)


def test_the_same_network_gives_the_same_bytes(tmp_path):
    fold = random_fold(is_grey=True)
    export_model(tmp_path / "a", fold)
    export_model(tmp_path / "b", fold)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_names_no_path_of_this_machine(file):
    program = entries_of(file)["network.stablehlo"]
    assert str(ROOT).encode() not in program and b".py" not in program


def test_clips_of_another_shape_are_refused(file):
    network = exported_model.load(file)
    faces = np.zeros((1, 4, 72, 72, 1), np.uint8)
    for other in (faces[0], faces[:0], faces[:, :3], np.repeat(faces, 3, -1), faces / 255.0):
        with pytest.raises(ExportedModelError, match=r"must be uint8 \[b, 4, 72, 72, 1\]"):
            network.predict(other)
    for other in (faces[0][:0], faces[0, :, :60], faces[0] / 255.0, faces):
        with pytest.raises(
            ExportedModelError, match=r"must be uint8 \[n, 72, 72, 1\], n aligned fac"
        ):
            network.sample(other)


@pytest.mark.parametrize("is_grey", [True, False])
def test_a_network_takes_colour_and_grey_clips(is_grey):
    """The example of the documents works whichever the corpus has."""
    taken = {"frames": 4, "side": 2, "channels": 1 if is_grey else 3, "grey_of_rgb": GREY_WEIGHTS}
    network = exported_model.Network({"input": taken | {"colour": "grey"}}, call=None)
    colour = np.random.default_rng(0).integers(0, 256, (4, 2, 2, 3), np.uint8)
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in colour])
    of_colour, of_grey = network.sample(colour), network.sample(grey)
    assert of_colour.dtype == of_grey.dtype == np.uint8
    if is_grey:
        assert np.abs(of_colour[..., 0].astype(int) - grey).max() <= 1
    else:
        np.testing.assert_array_equal(of_colour, colour)
    np.testing.assert_array_equal(of_grey, np.broadcast_to(grey[..., None], of_grey.shape))
    np.testing.assert_array_equal(network.sample(grey[..., None]), of_grey)


def test_the_copied_file_is_a_command(elsewhere, tmp_path, file, clips):
    done = elsewhere("exported_model.py", file)
    assert (done.returncode, json.loads(done.stdout)) == (0, exported_model.load(file).header)
    clip = clips.frames[: clips.lengths[0]]
    np.save(tmp_path / "clip.npy", clip)
    outputs = json.loads(elsewhere("exported_model.py", file, tmp_path / "clip.npy").stdout)
    network = exported_model.load(file)
    expected = network.predict(network.sample(clip)[None])
    np.testing.assert_allclose(
        list(outputs["probabilities"].values()), expected["probabilities"][0], atol=1e-5
    )
    assert list(outputs["probabilities"]) == ["class0", "class1"]
    assert len(outputs["rank_scores"]) == 4


def test_mistakes_end_the_copied_command_with_one_sentence(elsewhere, tmp_path, file):
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "zip.npy").write_bytes(b"PK\x03\x04junk")
    np.save(tmp_path / "flat.npy", np.zeros(3, np.uint8))
    np.save(tmp_path / "low.npy", np.zeros((5, 50, 72, 1), np.uint8))
    (tmp_path / "cut.fdp").write_bytes(file.read_bytes()[:-9])
    for arguments, message in [
        (("cut.fdp",), "was cut or altered"),
        (("nowhere.fdp",), "No such file"),
        ((file, "text.npy"), "is not an array"),
        ((file, "empty.npy"), "is not an array"),
        ((file, "zip.npy"), "is not an array"),
        (
            (file, "flat.npy"),
            "flat.npy: a clip must be uint8 [n, 72, 72, 1], n aligned faces in grey, ",
        ),
        ((file, "low.npy"), "in grey, not uint8 [5, 50, 72, 1]"),
        ((file, "nowhere.npy"), "No such file"),
    ]:
        done = elsewhere("exported_model.py", *(tmp_path / name for name in arguments))
        assert done.returncode == 1 and not done.stdout
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        assert message in done.stderr


def test_the_first_finished_fold_is_exported_by_default(workdir, tmp_path, capsys):
    out = tmp_path / "new" / "a.fdp"
    export.run([str(workdir), f"--out={out}"])
    printed = capsys.readouterr().out
    assert printed.startswith("the first of 4 finished folds; choose one by --fold=NAME and --seed")
    assert "p0 left out, seed 7" in printed  # in order of seed and name
    header = exported_model.load(out).header
    assert (header["left_out"], header["seed"]) == ("p0", 7)


def test_a_fold_may_be_given_by_its_folder(workdir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(workdir / "seed_7" / "folds" / "p0")
    export.run([".", f"--out={tmp_path / 'a.fdp'}"])
    printed = capsys.readouterr().out
    assert "the first of" not in printed and "p0 left out, seed 7" in printed


def test_a_selection_rule_that_does_not_apply_is_named(workdir, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(workdir, folder)
    options = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**options, "select": "test-best"}))
    export.run([str(folder), "--fold=p0", "--seed=7", f"--out={tmp_path / 'a.fdp'}"])
    message = "weights are those of the last step; --select=test-best applies to the report only"
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs --out"),
        (["{workdir}"], "needs --out"),
        (["{workdir}", "--out={workdir}"], "is a folder; give a file"),
        (["{workdir}", "--out={workdir}/config.json/a.fdp"], "cannot be written"),
        (["{workdir}", "--out=a.fdp", "--fold=p1"], "it has p0 of seed_7, p2 of seed_7"),
        (["{workdir}", "--out=a.fdp", "--seed=3"], "has no finished fold as given"),
        (["{workdir}/seed_7", "--out=a.fdp"], "is not the work directory of a training"),
        (["{workdir}", "{workdir}", "--out=a.fdp"], "unexpected argument"),
        (["{workdir}", "--ouf=a.fdp"], "did you mean --out"),
    ],
)
def test_mistakes_are_one_sentence(workdir, arguments, message):
    with pytest.raises(UserError, match=message):
        export.run([argument.format(workdir=workdir) for argument in arguments])


def test_a_mistake_ends_the_command_with_one_sentence(tmp_path):
    done = run_module("fdp_jax.export", str(tmp_path), "--out=a.fdp", check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: ") and "is not the work directory" in done.stderr


@pytest.mark.parametrize("module", ["fdp_jax.export", "fdp_jax.exported_model"])
def test_a_missing_package_is_named(workdir, tmp_path, file, module):
    environment = environment_without(tmp_path, {"flatbuffers"})
    what = [str(file)] if module == "fdp_jax.exported_model" else [str(workdir), "--out=a.fdp"]
    done = run_module(module, *what, check=False, env=environment)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: ") and "flatbuffers" in done.stderr


def test_help_shows_how_a_file_is_loaded():
    done = run_module("fdp_jax.export", "--help")
    assert 'exported_model.load("samm.fdp")' in done.stdout and "--fold" in done.stdout
