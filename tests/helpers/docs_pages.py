"""What stands in the blocks of a page of the documents, and how a reader follows it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import HANGS, ROOT

_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands_of(page: Path) -> list[str]:
    """Every line of a block of commands, each once, without the remark behind it."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    return list(dict.fromkeys(line.strip().partition("  #")[0].strip() for line in lines))


def written_by(page: Path) -> set[str]:
    """Files that are not there until a reader writes them."""
    text = page.read_text(encoding="utf-8")
    blocks = [block for kind, block in _FENCED.findall(text) if kind == "python"]
    return {block.partition("\n")[0].removeprefix("# ") for block in blocks}


def run_python(folder: Path, *arguments: str) -> str:
    """What Python prints in a folder where a page was followed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, text=True, capture_output=True, timeout=HANGS,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def follow(page: Path, into: Path) -> None:
    """Does what the fenced blocks of a page say, in a copy of the code.

    A block begins with `# FILE`. One of `python` is the file, one of `diff` an edit of it.

    Args:
      page: of the documents.
      into: where the copy is made.
    """
    for package in ("datasets", "fdp_jax"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, into / package, ignore=ignored)
    for kind, block in _FENCED.findall(page.read_text(encoding="utf-8")):
        if kind not in ("python", "diff"):
            continue
        first, _, body = block.partition("\n")
        file = into / first.removeprefix("# ")
        if kind == "python":
            new_package = not file.parent.exists()
            file.parent.mkdir(exist_ok=True)
            if new_package:
                (file.parent / "__init__.py").touch()
            file.write_text(body, encoding="utf-8")
        else:
            lines = body.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if not line.startswith("+"))
            after = "".join(line[1:] for line in lines if not line.startswith("-"))
            text = file.read_text(encoding="utf-8")
            assert text.count(before) == 1, f"{page.name}: {before} of {first}"
            file.write_text(text.replace(before, after), encoding="utf-8")
