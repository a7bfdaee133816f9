"""The notebook: its cells run from top to bottom, without Jupyter."""

import json
import os
import subprocess
import sys

from tests.conftest import HANGS, ROOT

CHECK = """
assert len(numbers) == 8 and target.shape == (64, 64) and target.max() == 1
assert abs(sum(probabilities.values()) - 1) < 0.01
plt.savefig("last.png")
"""


def test_every_cell_runs(data_dir, tmp_path):
    cells = json.loads((ROOT / "docs" / "inspect.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (tmp_path / "data").symlink_to(data_dir)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*code, CHECK])],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"},
        text=True, capture_output=True, timeout=HANGS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "last.png").stat().st_size > 5_000
    assert all(not cell.get("outputs") for cell in cells)
