"""Parsing of command lines and the exit status of commands."""

import dataclasses
import errno
import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from datasets import command_line
from datasets.command_line import parse_options, run_command
from datasets.errors import UserError
from tests.conftest import ROOT


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How the weights change."""

    learning_rate: float = 0.1
    """Step size."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rate."""


@dataclasses.dataclass(frozen=True)
class Training:
    """What a training depends on."""

    steps: int = 10
    """Optimizer steps, of which each sees one batch of clips and changes every weight a little, so
    that more of them take longer."""
    ablate: Literal["", "rank"] = ""
    """What to leave out."""
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command takes."""

    video: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="VIDEO")]
    """The video."""
    out: Path
    """Folder for the results."""
    more: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Further videos."""
    seeds: tuple[int, ...] = ()
    """Seeds of the runs."""
    fps: float | None = None
    """Frames a second."""
    as_json: bool = False
    """Print JSON."""
    config: Annotated[Training, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Training
    )


SYNONYMS = {"lr": "--optimizer.learning_rate", "gpu": "set CUDA_VISIBLE_DEVICES"}


def parse(*arguments, **settings) -> Options:
    return parse_options(Options, arguments, program="tool", synonyms=SYNONYMS, **settings)


def test_defaults_and_groups():
    assert parse("a.mp4", "--out=o") == Options(Path("a.mp4"), Path("o"))
    options = parse("a.mp4", "--out=o", "--steps=3", "--optimizer.schedule=cosine")
    assert options.config == Training(3, optimizer=Optimizer(schedule="cosine"))


@pytest.mark.parametrize("form", ["--as_json", "--as-json", "--as_json=true", "--as-json=True"])
def test_flags(form):
    assert parse("a.mp4", form, "--out=o").as_json is True
    assert parse("a.mp4", form, "--as_json=false", "--out=o").as_json is False


@pytest.mark.parametrize("rate", [["--optimizer.learning-rate=1e-3"],
                                  ["--optimizer.learning_rate", "1e-3"]])  # fmt: skip
def test_values_may_follow_and_hyphens_are_underscores(rate):
    assert parse("a.mp4", *rate, "--out", "o").config.optimizer.learning_rate == 1e-3


def test_negative_numbers_empty_choices_and_the_last_of_several_values():
    options = parse("a.mp4", "--out=o", "--fps", "-1", "--seeds=1", "--seeds=2,-3", "--ablate=")
    assert (options.fps, options.seeds, options.config.ablate) == (-1, (2, -3), "")


def test_positional_arguments_stand_anywhere_and_behind_a_double_hyphen():
    options = parse("a.mp4", "--out=o", "b.mp4", "--", "-c.mp4", "--help")
    assert options.video == Path("a.mp4")
    assert options.more == (Path("b.mp4"), Path("-c.mp4"), Path("--help"))


def test_a_default_instance_replaces_the_defaults_and_what_is_required():
    default = Options(Path("v"), Path("o"), config=Training(steps=99))
    assert parse(default=default) == default
    assert parse("--steps=1", "--as_json", default=default) == dataclasses.replace(
        default, as_json=True, config=Training(steps=1)
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "tool needs VIDEO and --out; see tool --help"),
        ("v", "tool needs --out; see tool --help"),
        ("v --out=o --stepz=3", "there is no option --stepz; did you mean --steps?"),
        ("v --out=o --lr=1", "there is no option --lr; did you mean --optimizer.learning_rate?"),
        ("v --out=o --gpu 1", "there is no option --gpu; set CUDA_VISIBLE_DEVICES"),
        ("v --out=o --schedule=x", "no option --schedule; did you mean --optimizer.schedule?"),
        ("v --out=o --optim.schedule=x", "did you mean --optimizer.schedule?"),
        ("v --out=o --learning-rat=1", "did you mean --optimizer.learning_rate?"),
        ("v --out=o -steps=3", "there is no option -steps; did you mean --steps?"),
        ("v --out=o --xyzzy", "there is no option --xyzzy; see tool --help"),
        ("v --out=o --steps=1.5", "--steps must be a whole number, not '1.5'"),
        ("v --out=o --seeds=1,b", "--seeds must be a whole number, not 'b'"),
        ("v --out=o --fps=fast", "--fps must be a number, not 'fast'"),
        ("v --out=o --as_json=yes", "--as_json must be true or false, not 'yes'"),
        ("v --out=o --optimizer.schedule=x", "--optimizer.schedule must be constant or cosine, no"),
        ("v --out=o --ablate=x", "--ablate must be rank, not 'x'"),
        ("v --out=", "--out= names nothing; name a file or folder, or leave it out"),
        ("v --out=o --steps", "--steps needs a value; write --steps=VALUE"),
        ("v --out --steps=3", "--out needs a value; write --out=VALUE"),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence):
    with pytest.raises(UserError) as mistake:
        parse(*arguments.split())
    assert sentence in str(mistake.value) and "\n" not in str(mistake.value)


def test_arguments_that_nothing_takes():
    with pytest.raises(UserError, match=r"unexpected argument 'v'; write tool --option=value"):
        parse_options(Optimizer, ["v"], program="tool")


@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits_the_terminal(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as stop:
        parse(
            "--help", description=f"Predicts. {'Wraps. ' * 30}\n\n    tool v.mp4 --out=o\n\nEnds."
        )
    assert not stop.value.code
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= columns
    assert "\n    tool v.mp4 --out=o\n" in text
    plain = " ".join(text.replace("│", " ").split())
    for shown in (
        "VIDEO The video. (required)",
        "--out PATH Folder for the results. (required)",
        "--seeds INT,INT,... Seeds of the runs. (optional)",
        "changes every weight a little, so that more of them take longer. (default: 10)",
        "--optimizer.schedule {constant,cosine} Of the learning rate. (default: constant)",
        "--as_json Print JSON.",
    ):
        assert shown in plain
    assert "None" not in text


def test_help_shows_the_values_of_the_default(capsys):
    with pytest.raises(SystemExit):
        parse("-h", default=Options(Path("v"), Path("o"), seeds=(4, 5), config=Training(99)))
    text = capsys.readouterr().out
    assert "(default: 4,5)" in text and "(default: 99)" in text


def test_help_imports_nothing_heavy():
    code = (
        "import sys, runpy; sys.argv = ['train', '--help']\n"
        "try: runpy.run_module('fdp_jax.train', run_name='__main__')\n"
        "except SystemExit: assert not {'jax', 'numpy', 'cv2', 'scipy'} & set(sys.modules)"
    )
    before = time.monotonic()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    assert time.monotonic() - before < 5  # about half a second on an idle machine


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (UserError("no such corpus"), "error: no such corpus"),
        (FileNotFoundError(2, "No such file", "/x"), "error: /x: No such file"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "error: No space left on device"),
    ],
)
def test_mistakes_end_a_command(raised, status):
    def command():
        raise raised

    with pytest.raises(SystemExit) as stop:
        run_command(command)
    assert stop.value.code == status


@pytest.mark.parametrize(
    ("resumable", "line"),
    [(False, "interrupted\n"), (True, "interrupted; run the same command again to resume\n")],
)
def test_ctrl_c_prints_one_line(resumable, line, capsys):
    def command():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        run_command(command, resumable)
    assert stop.value.code == 130 and capsys.readouterr().err == line


def test_a_reader_that_stops_reading_is_no_traceback():
    code = (
        "from datasets.command_line import run_command\n"
        "run_command(lambda: [print('line', flush=True) for _ in range(100_000)])"
    )
    command = f"{sys.executable} -c '{code.replace(chr(39), chr(34))}' | head -1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("line\n", "")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("gs://bucket/data", "--out=gs://bucket/data is an address, but must be a file or folder"),
        ("S3://bucket", "is an address"),
        ("file:///tmp/a", "is an address"),
        ("/data/b\udcd6\udcd0", r"the name '/data/b\\udcd6\\udcd0' of --out is no UTF-8 text"),
    ],
)
def test_a_path_that_cannot_be_one_here_is_refused(value, message):
    with pytest.raises(UserError, match=message):
        parse_options(Options, ["a.mp4", f"--out={value}"], "program")


def test_a_path_with_a_colon_is_one():
    assert parse_options(Options, ["a:b//c", "--out=c:/d"], "program").out == Path("c:/d")


PRINTS = """
from datasets.command_line import run_command
from datasets.errors import UserError

def main():
    print("sub\\udcd601 größe")
    raise UserError("no folder b\\udcd6 größe")

run_command(main)
"""


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "gbk:strict"])
def test_a_name_that_the_terminal_cannot_show_ends_no_command(encoding):
    done = subprocess.run(
        [sys.executable, "-c", PRINTS], cwd=ROOT, capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert done.stdout.startswith(b"sub?01 gr") and done.stderr.startswith(b"error: no folder b")


def test_caches_without_a_home_are_private_and_temporary(tmp_path, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "home", no_home)
    ours = tmp_path / f"fdp_jax_{os.getuid()}"
    assert command_line.cache_folder("models") == ours / "models"
    assert stat.S_IMODE(ours.stat().st_mode) == 0o700
    ours.chmod(0o777)  # as of a stranger, who could put programs there
    assert command_line.cache_folder("models").parent != ours


def test_a_cache_that_cannot_be_written_is_read_if_it_is_filled(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    folder = tmp_path / "cache" / "fdp_jax" / "models"
    folder.mkdir(parents=True)
    assert command_line.cache_folder("models") == tmp_path / f"fdp_jax_{os.getuid()}" / "models"
    (folder / "a.tflite").touch()
    assert command_line.cache_folder("models") == folder


def test_help_without_docstrings_in_a_tiny_terminal_with_closed_output():
    command = f"{sys.executable} -OO -m datasets.example --help"
    for redirection, lines in (("2>&-", 20), (">&- 2>&-", 0)):
        done = subprocess.run(
            ["bash", "-c", f"{command} {redirection}"], cwd=ROOT, capture_output=True, timeout=60,
            env={**os.environ, "COLUMNS": "3"},
        )  # fmt: skip
        assert done.returncode == 0
        assert len(done.stdout.splitlines()) >= lines


def test_a_home_that_is_no_absolute_path_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", ".")
    assert command_line.cache_folder("models").is_relative_to(tmp_path)
