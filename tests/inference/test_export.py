"""A trained network leaves for a machine that has none of the code, and says the same there."""

import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from datasets.crop import Crop
from datasets.errors import UserError
from fdp_jax import export, exported_model
from fdp_jax.inference import export_model as artefact_writing
from fdp_jax.inference.export_model import write_artefact
from fdp_jax.inference.trained_fold import TrainedFold, find_folds, load_fold
from fdp_jax.input_pipeline import frame_numbers
from fdp_jax.plan import Run
from fdp_jax.run_folds import run_folds
from fdp_jax.schedule import Cadence
from fdp_jax.train_step import Steps
from fdp_jax.workdir import FoldDirectory
from tests.conftest import ROOT, run_module
from tests.helpers.tiny import TINY, random_clips
from tests.helpers.without_packages import environment_without

# What the copied file must do without: all of this project, and what its networks are made with.
NOT_NEEDED = {
    "datasets", "fdp_jax", "flax", "launch", "optax", "orbax", "sklearn", "cv2", "tyro",
}  # fmt: skip

PREDICT = """
import sys, numpy as np, exported_model
file, clips, said = sys.argv[1:]
network = exported_model.load(file)
with np.load(clips) as stored:
    faces = np.stack([network.sample(stored[name]) for name in stored.files])
np.savez(said, **network.predict(faces))
for name in ("flax", "fdp_jax", "fdp_jax.models"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(name + " is there after all")
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with a copy of one module, and an environment without everything else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(exported_model.__file__, folder)
    environment = environment_without(tmp_path_factory.mktemp("site"), NOT_NEEDED)

    def run(*arguments) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=folder, env=environment, text=True,
            capture_output=True, timeout=300,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def clips():
    return random_clips(people=3, each=2)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, clips):
    folder = tmp_path_factory.mktemp("trained")
    config = dataclasses.replace(TINY, steps=2)
    cadence = Cadence(1, 1)
    run_folds(Run(config, "tiny", (7, 10), ("p0", "p2"), folder, cadence, "by hand"), clips)
    return folder


@pytest.fixture(scope="module")
def file(workdir):
    out = workdir / "network.fdp"
    run_module("fdp_jax.export", str(workdir), "--fold=p2", "--seed=7", f"--out={out}")
    return out


def with_random_weights(is_grey: bool, **changes) -> TrainedFold:
    """A network in which every module, ablated ones apart, has something to say."""
    config = dataclasses.replace(TINY, **changes)
    state = Steps(config, 2).initial_state(jax.random.key(0))
    rng = np.random.default_rng(0)

    def moved(leaf):
        if leaf.ndim == 1:
            return leaf + rng.uniform(-0.1, 0.1, leaf.shape).astype(np.float32)
        std = np.prod(leaf.shape[:-1]) ** -0.5
        return rng.normal(0, std, leaf.shape).astype(np.float32)

    params, statistics = jax.tree.map(moved, (state.params, state.batch_stats))
    state = state.replace(params=params, batch_stats=statistics)
    told = ("noise", "2class", "tiny", "made up", 0, Crop(False, 72, 2.5), is_grey)
    return TrainedFold(FoldDirectory(Path("p1")), config, ("a", "b"), *told, state)


def says_the_same(elsewhere, tmp_path, file, fold, clips) -> dict[str, np.ndarray]:
    """What a process elsewhere says, having compared it with this one."""
    there = tmp_path / "clips.npz"
    ends = clips.starts + clips.lengths
    np.savez(there, *(clips.frames[a:b] for a, b in zip(clips.starts, ends, strict=True)))
    done = elsewhere("-c", PREDICT, file, there, tmp_path / "said.npz")
    assert done.returncode == 0, done.stderr
    here = fold.predict(clips.frames, clips.starts, clips.lengths)
    with np.load(tmp_path / "said.npz", allow_pickle=False) as said:
        said = dict(said)
    for name, output in said.items():
        assert output.dtype == np.float32 and output.shape == here[name].shape
        np.testing.assert_allclose(output, here[name], atol=1e-5, rtol=0, err_msg=name)
    return said


def test_the_file_says_elsewhere_what_the_trained_network_says_here(
    elsewhere, tmp_path, file, workdir, clips
):
    (fold,) = map(load_fold, find_folds(workdir / "seed_7" / "folds" / "p2"))
    said = says_the_same(elsewhere, tmp_path, file, fold, clips)
    assert set(said) == {"probabilities", "dynamic_image", "rank_scores"}


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({}, ""),
        ({"ablate": "no_dic"}, "dynamic_image"),
        ({"ablate": "no_rank", "backbone": "resnet18"}, "rank_scores"),
        ({"ablate": "no_mer"}, "probabilities"),
    ],
)
def test_networks_in_colour_say_what_their_modules_say(elsewhere, tmp_path, clips, changes, absent):
    rng = np.random.default_rng(1)
    in_colour = rng.integers(0, 256, (*clips.frames.shape[:3], 3), np.uint8)
    clips = dataclasses.replace(clips, frames=in_colour)
    fold = with_random_weights(is_grey=False, **changes)
    file = tmp_path / "network.fdp"
    write_artefact(file, fold)
    said = says_the_same(elsewhere, tmp_path, file, fold, clips)
    assert set(said) == {"probabilities", "dynamic_image", "rank_scores"} - {absent}
    assert set(exported_model.load(file).header["outputs"]) == set(said)
    for name, output in said.items():  # else the comparison would tell nothing
        assert np.ptp(output, axis=0).max() > 1e-4, f"{name} is the same for all clips"


def test_the_same_frames_are_chosen_as_in_evaluation():
    lengths = np.arange(1, 200)
    half = np.full(len(lengths), 0.5, np.float32)
    as_evaluated = jax.jit(frame_numbers, static_argnums=2)
    for frames in range(2, 17):
        network = exported_model.Network({"input": {"frames": frames}}, call=None)
        chosen = np.stack([network.sample(np.arange(n)) for n in lengths])
        np.testing.assert_array_equal(chosen, as_evaluated(lengths, half, frames))


def sealed(entries: dict[str, bytes]) -> bytes:
    """A file with these entries whose checksum fits, as the format is described."""
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


def refused(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "other.fdp"
    file.write_bytes(content)
    with pytest.raises(exported_model.ArtefactError, match=told) as raised:
        exported_model.load(file)
    assert str(file) in str(raised.value) and "\n" not in str(raised.value)


def test_a_file_that_was_cut_is_told(tmp_path, file):
    whole = file.read_bytes()
    refused(tmp_path, b"", "is empty")
    for length in (1, 3, 29, 40):
        refused(tmp_path, whole[:length], "is no network")
    rest = (46, 500, len(whole) // 2, len(whole) - 65, len(whole) - 64, len(whole) - 1)
    for length in rest:
        refused(tmp_path, whole[:length], "was cut or altered")
    refused(tmp_path, whole + b"\n", "was cut or altered")


def test_one_flipped_bit_anywhere_is_told(tmp_path, file):
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    ends = [*range(50), *range(len(whole) - 100, len(whole))]
    for place in [*ends, *rng.integers(0, len(whole), 150)]:
        altered = bytearray(whole)
        altered[place] ^= 1 << int(rng.integers(8))
        refused(tmp_path, bytes(altered), "was cut or altered|is no network")


def test_other_files_are_told(tmp_path, file):
    refused(tmp_path, b"a text\n" * 100, "is no network that")
    refused(tmp_path, sealed({"a.txt": b"a zip of something else"}), "is no network that")
    with pytest.raises(exported_model.ArtefactError, match="No such file"):
        exported_model.load(tmp_path / "nowhere.fdp")
    with pytest.raises(exported_model.ArtefactError, match="Is a directory"):
        exported_model.load(tmp_path)


def test_other_versions_are_told(tmp_path, file):
    entries = entries_of(file)
    header = json.loads(entries[exported_model.HEADER])
    assert header["version"] == 1
    newer = {exported_model.HEADER: json.dumps({"version": 2}).encode(), "something": b"new"}
    refused(tmp_path, sealed(newer), "has version 2 of the format and version 1 can be read")
    header["exported_with"]["jax"] = "9.9"
    entries[exported_model.HEADER] = json.dumps(header).encode()
    told = r"was written with jax 9\.9 for cpu and cuda, and jax .* cannot run it on this cpu"
    refused(tmp_path, sealed({**entries, exported_model.PROGRAM: b"\0" * 64}), told)


def test_a_device_that_it_was_not_written_for_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(artefact_writing, "PLATFORMS", ("tpu",))
    fold = with_random_weights(is_grey=True)
    write_artefact(tmp_path / "a", fold)
    refused(tmp_path, (tmp_path / "a").read_bytes(), "for tpu, and jax .* cannot run it on this")


def test_pickles_stay_shut(tmp_path, file):
    array = io.BytesIO()
    np.save(array, np.array([{}], object), allow_pickle=True)
    entries = {**entries_of(file), "weights/params/more.npy": array.getvalue()}
    refused(tmp_path, sealed(entries), "is damaged")


def test_the_file_tells_what_it_needs_and_where_it_is_from(file, clips):
    header = exported_model.load(file).header
    assert header["classes"] == ["class0", "class1"]
    assert header["input"]["shape"] == ["b", 4, 72, 72, 1]
    assert (header["input"]["colour"], header["input"]["dtype"]) == ("grey", "uint8")
    assert header["outputs"] == {
        "probabilities": ["b", 2], "dynamic_image": ["b", 16, 16], "rank_scores": ["b", 4],
    }  # fmt: skip
    told = ("dataset", "protocol", "label_version", "left_out", "seed", "select", "preset")
    assert [header[name] for name in told] == [
        "noise", "2class", "noise made up", "p2", 7, "last", "tiny",
    ]  # fmt: skip
    assert header["training"]["clip"]["crop"] == 16
    assert header["platforms"] == ["cpu", "cuda"]
    assert header["exported_with"]["jax"] == jax.__version__


def test_it_is_a_zip_whose_content_any_tool_shows(file):
    entries = entries_of(file)
    assert list(entries)[:2] == ["fdp_network.json", "network.stablehlo"]
    names = [name for name in entries if name.startswith("weights/")]
    assert "weights/params/FrameFeature/kernel.npy" in names
    kernel = np.load(io.BytesIO(entries["weights/params/FrameFeature/kernel.npy"]))
    assert kernel.shape == (16, 256)


def test_the_same_network_gives_the_same_bytes(tmp_path):
    fold = with_random_weights(is_grey=True)
    write_artefact(tmp_path / "a", fold)
    write_artefact(tmp_path / "b", fold)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_names_no_place_of_this_machine(file):
    program = entries_of(file)["network.stablehlo"]
    assert str(ROOT).encode() not in program and b".py" not in program


def test_clips_of_another_shape_are_told(file):
    network = exported_model.load(file)
    faces = np.zeros((1, 4, 72, 72, 1), np.uint8)
    others = (faces[0], faces[:0], faces[:, :3], np.repeat(faces, 3, -1), faces / 255.0)
    for other in others:
        with pytest.raises(
            exported_model.ArtefactError, match=r"must be uint8 \[b, 4, 72, 72, 1\]"
        ):
            network.predict(other)
    with pytest.raises(exported_model.ArtefactError, match="at least one frame"):
        network.sample(faces[0][:0])


def test_the_copied_file_is_a_command(elsewhere, tmp_path, file, clips):
    done = elsewhere("exported_model.py", file)
    assert (done.returncode, json.loads(done.stdout)) == (0, exported_model.load(file).header)
    clip = clips.frames[: clips.lengths[0]]
    np.save(tmp_path / "clip.npy", clip)
    done = elsewhere("exported_model.py", file, tmp_path / "clip.npy")
    said = json.loads(done.stdout)
    network = exported_model.load(file)
    expected = network.predict(network.sample(clip)[None])
    np.testing.assert_allclose(
        list(said["probabilities"].values()), expected["probabilities"][0], atol=1e-5
    )
    assert list(said["probabilities"]) == ["class0", "class1"] and len(said["rank_scores"]) == 4


def test_the_command_of_the_copied_file_tells_mistakes(elsewhere, tmp_path, file):
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "zip.npy").write_bytes(b"PK\x03\x04junk")
    np.save(tmp_path / "flat.npy", np.zeros(3, np.uint8))
    np.save(tmp_path / "low.npy", np.zeros((5, 50, 72, 1), np.uint8))
    (tmp_path / "cut.fdp").write_bytes(file.read_bytes()[:-9])
    for arguments, told in [
        (("cut.fdp",), "was cut or altered"),
        (("nowhere.fdp",), "No such file"),
        ((file, "text.npy"), "is no array"),
        ((file, "empty.npy"), "is no array"),
        ((file, "zip.npy"), "is no array"),
        ((file, "flat.npy"), "flat.npy must hold one clip, uint8 [n, 72, 72, 1], and is uint8 [3]"),
        (
            (file, "low.npy"),
            "low.npy must hold one clip, uint8 [n, 72, 72, 1], and is uint8 [5, ",
        ),
        ((file, "nowhere.npy"), "No such file"),
    ]:
        done = elsewhere("exported_model.py", *(tmp_path / name for name in arguments))
        assert done.returncode == 1 and not done.stdout
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        assert told in done.stderr


def test_the_first_finished_fold_is_taken_and_said(workdir, tmp_path, capsys):
    out = tmp_path / "new" / "a.fdp"
    export.run([str(workdir), f"--out={out}"])
    said = capsys.readouterr().out
    assert said.startswith("the first of 4 finished folds; --fold=NAME and --seed=N take another\n")
    assert "p0 left out, seed 7" in said  # by seed and name
    header = exported_model.load(out).header
    assert (header["left_out"], header["seed"]) == ("p0", 7)


def test_a_fold_can_be_named_by_its_folder(workdir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(workdir / "seed_7" / "folds" / "p0")
    out = tmp_path / "a.fdp"
    export.run([".", f"--out={out}"])
    said = capsys.readouterr().out
    assert "the first of" not in said and "p0 left out, seed 7" in said


def test_a_rule_that_is_not_heeded_is_said(workdir, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(workdir, folder)
    options = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**options, "select": "test-best"}))
    export.run([str(folder), "--fold=p0", "--seed=7", f"--out={tmp_path / 'a.fdp'}"])
    said = capsys.readouterr().out
    assert "--select=test-best is not heeded: these are the last step's weights" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name one work directory"),
        (["{workdir}"], "name the file to write with --out=FILE"),
        (["{workdir}", "--out={workdir}"], "is a folder; name a file"),
        (["{workdir}", "--out={workdir}/config.json/a.fdp"], "cannot be written"),
        (["{workdir}", "--out=a.fdp", "--fold=p1"], "there are p0 of seed_7, p2 of seed_7"),
        (["{workdir}", "--out=a.fdp", "--seed=3"], "no finished fold of"),
        (["{workdir}/seed_7", "--out=a.fdp"], "is no work directory of a training"),
        (["{workdir}", "{workdir}", "--out=a.fdp"], "name one work directory"),
        (["{workdir}", "--ouf=a.fdp"], "did you mean --out"),
    ],
)
def test_mistakes_are_told(workdir, arguments, told):
    with pytest.raises(UserError, match=told):
        export.run([argument.format(workdir=workdir) for argument in arguments])


def test_a_mistake_ends_the_command_with_one_sentence(tmp_path):
    done = run_module("fdp_jax.export", str(tmp_path), "--out=a.fdp", check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: ") and "is no work directory" in done.stderr


@pytest.mark.parametrize("module", ["fdp_jax.export", "fdp_jax.exported_model"])
def test_a_package_that_is_not_there_is_told(workdir, tmp_path, file, module):
    environment = environment_without(tmp_path, {"flatbuffers"})
    what = [str(file)] if module == "fdp_jax.exported_model" else [str(workdir), "--out=a.fdp"]
    done = run_module(module, *what, check=False, env=environment)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: ") and "flatbuffers" in done.stderr


def test_help_teaches_how_a_file_is_loaded():
    done = run_module("fdp_jax.export", "--help")
    assert 'exported_model.load("samm.fdp")' in done.stdout and "--fold" in done.stdout
