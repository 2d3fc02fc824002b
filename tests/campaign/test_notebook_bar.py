"""The progress bar of a campaign that runs in a Jupyter notebook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toys import begin

ROOT = Path(__file__).parents[2]
RUN = """
import json, nbclient, nbformat, sys
cell = nbformat.v4.new_code_cell(
    "from tests.toys import begin\\n"
    "with begin('c.db') as campaign:\\n"
    "    campaign.run(12)\\n"
)
book = nbformat.v4.new_notebook(cells=[cell])
nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
print(json.dumps(cell.outputs))
"""


def test_run_in_a_notebook_shows_a_bar_and_no_warning(tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    own = {"IPYTHONDIR": "ipython", "JUPYTER_PATH": "", "JUPYTER_DATA_DIR": "jupyter"}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=tmp_path,
        env={**os.environ, **own, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (bar,) = json.loads(done.stdout.splitlines()[-1])
    assert bar["output_type"] == "display_data"
    assert "max='12' value='12'" in bar["data"]["text/html"]


def test_run_outside_a_notebook_shows_no_bar(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with begin(tmp_path / "c.db") as campaign:
        campaign.run(9)
    assert capfd.readouterr().out == ""
