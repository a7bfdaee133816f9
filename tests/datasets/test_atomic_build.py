"""What a full disk, a kill, Ctrl-C and a second build leave behind."""

import errno
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from datasets.atomic_build import build_lock
from datasets.build import BuildOptions, build_corpus
from datasets.errors import UserError
from datasets.reading import corpus_directory, is_built, open_corpus
from tests.conftest import HANGS

TINY = BuildOptions(people=2, clips_per_category=1, workers=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A data_dir that holds a tiny synthetic corpus."""
    data_dir = tmp_path_factory.mktemp("tiny")
    build_corpus("synthetic", data_dir, options=TINY)
    return data_dir


def test_a_full_disk_is_one_sentence_and_keeps_the_old_corpus(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    code = (
        "import resource, runpy, sys;"
        f"sys.argv = ['build', 'synthetic', '--data_dir={tmp_path}', '--overwrite', '--people=1',"
        " '--clips_per_category=1', '--workers=1'];"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000));"
        "runpy.run_module('datasets.build', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: the corpus cannot be written to .* \(File too large\); free some space or name "
        r"another --data_dir\.",
        done.stderr.splitlines()[-1],
    )
    assert "Traceback" not in done.stderr
    assert len(open_corpus("synthetic", tmp_path)) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]


@pytest.mark.parametrize("moment", ["between the renames", "while the old one is deleted"])
def test_a_kill_while_the_new_corpus_is_put_in_place(tiny, tmp_path, moment):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    directory = corpus_directory("synthetic", tmp_path)
    script = tmp_path.with_suffix(".py")
    script.write_text(
        "import os, pathlib, shutil, signal, sys\n"
        "from datasets.build import BuildOptions, build_corpus\n"
        "def replace(of, name, deadly):\n"
        "    original = getattr(of, name)\n"
        "    def killing(*args, **kwargs):\n"
        "        if deadly(*args):\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return original(*args, **kwargs)\n"
        "    setattr(of, name, killing)\n"
        "if sys.argv[2] == 'between the renames':\n"
        f"    replace(pathlib.Path, 'rename', lambda _, to: str(to) == {str(directory)!r})\n"
        "else:\n"
        "    replace(shutil, 'rmtree', lambda path, *_: '.replaced.' in str(path))\n"
        "options = BuildOptions(people=1, clips_per_category=1, seed=3, workers=1)\n"
        "build_corpus('synthetic', pathlib.Path(sys.argv[1]), options=options, overwrite=True)\n"
    )
    done = subprocess.run(
        [sys.executable, script, tmp_path, moment], capture_output=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".synthetic.replaced.*/metadata.json"))) == 1  # still whole
    if moment == "between the renames":
        assert not is_built("synthetic", tmp_path)
        assert any(tmp_path.glob(".synthetic.building.*/**/metadata.json"))
        build_corpus("synthetic", tmp_path, options=TINY)
    else:
        assert open_corpus("synthetic", tmp_path).metadata["options"]["seed"] == 3
        asked = BuildOptions(people=1, clips_per_category=1, seed=3)
        build_corpus("synthetic", tmp_path, options=asked)  # a no-op, which cleans up
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]


def test_the_old_corpus_comes_back_when_the_new_one_cannot_be_put_in_place(
    tiny, tmp_path, monkeypatch
):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    rename = Path.rename

    def refuse(path, target):
        if ".building." in str(path) and "incomplete" not in str(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    options = BuildOptions(people=1, clips_per_category=1, workers=1)
    with pytest.raises(UserError, match=r"cannot be written to .* \(Permission denied\)"):
        build_corpus("synthetic", tmp_path, options=options, overwrite=True)
    assert len(open_corpus("synthetic", tmp_path)) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]


def test_a_killed_build_leaves_nothing_that_is_taken_for_a_corpus(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "datasets.build", "synthetic", "--people=8",
         f"--data_dir={tmp_path}", "--workers=1"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + HANGS
    while not any(tmp_path.rglob("*incomplete*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not is_built("synthetic", tmp_path)
    assert any(tmp_path.iterdir())
    build_corpus("synthetic", tmp_path, options=TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]  # leftovers are gone


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_build_leaves_nothing(tmp_path, workers):
    # A shell starts what runs in its background ignoring Ctrl-C, and that is inherited.
    code = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "runpy.run_module('datasets.build', run_name='__main__', alter_sys=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "synthetic", "--people=8",
         f"--data_dir={tmp_path}", f"--workers={workers}"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + HANGS
    while not any(tmp_path.rglob("*incomplete*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)  # worker processes, if any, are about to start
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    printed = process.communicate(timeout=HANGS)[1]
    assert process.returncode == 130
    assert "Traceback" not in printed and printed.rstrip().endswith("again to resume")
    assert {path.name for path in tmp_path.rglob("*")} <= {"synthetic", "landmarks.npz"}


def test_a_second_build_waits_for_the_first(tiny, tmp_path):
    (tmp_path / "synthetic").mkdir()
    with (tmp_path / "synthetic" / ".lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second = subprocess.Popen(
            [sys.executable, "-m", "datasets.build", "synthetic", f"--data_dir={tmp_path}",
             "--people=2", "--clips_per_category=1"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        first_line = second.stderr.readline()
        assert (
            first_line
            == f"another process is building synthetic in {tmp_path}; waiting for it ...\n"
        )
        assert second.poll() is None
        shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)  # the first has built it
    assert "already built" in second.communicate(timeout=HANGS)[1]
    assert second.returncode == 0


@pytest.mark.parametrize("exists", [False, True])
def test_a_refused_build_leaves_no_file_and_no_folder(tmp_path, exists):
    corpus, data_dir = tmp_path / "corpus", tmp_path / "new" / "data"
    (corpus / "SAMM").mkdir(parents=True)
    if exists:
        data_dir.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "datasets.build", "samm", f"--manual_dir={corpus}",
         f"--data_dir={data_dir}"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("error: no annotation sheet")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_refused_build_keeps_other_corpora_and_landmarks(tmp_path):
    kept = tmp_path / "samm" / "landmarks.npz", tmp_path / "smic" / ".lock"
    for path in kept:
        path.parent.mkdir()
        path.touch()
    for name in ("samm", "casme2"):
        with pytest.raises(RuntimeError), build_lock(name, tmp_path):
            raise RuntimeError("refused")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == list(kept)
    assert not (tmp_path / "casme2").exists()


def test_who_waits_for_a_refused_build_gets_a_lock_of_its_own(tmp_path, capsys):
    holders, overlaps = [], []

    def build():
        with build_lock("samm", tmp_path):
            holders.append(threading.get_ident())
            time.sleep(0.05)
            overlaps.append(len(holders))
            holders.pop()

    threads = [threading.Thread(target=build) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert overlaps == [1] * 6
    assert not any(tmp_path.iterdir())
    assert "another process is building samm" in capsys.readouterr().err


def test_leftovers_of_dead_builds_are_removed_and_a_running_one_is_left_alone(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    host = socket.gethostname()
    for process in (os.getpid(), os.getppid(), 2**22 + 1):  # none has the last number
        for what in ("building", "replaced"):
            (tmp_path / f".synthetic.{what}.{host}.{process}" / "synthetic").mkdir(parents=True)
    build_corpus("synthetic", tmp_path, options=TINY)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f".synthetic.building.{host}.{os.getppid()}",
        f".synthetic.replaced.{host}.{os.getppid()}",
        "synthetic",
    ]
