"""Documentation: every block of its pages runs and gives the output shown; the site builds."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import clidoc
from tests.blocks import ROOT, run

pytestmark = pytest.mark.docs

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
NOTHING_RUNS = {
    "benchmarks.md",
    "changelog.md",
    "glossary.md",
    "how-it-works.md",
    "limits.md",
    "references.md",
    *(page for page in PAGES if page.startswith("reference/")),
}
NEEDS = {
    "tutorials/docking.md": "dockstring",
    "tutorials/cluster.md": "distributed",
    "tutorials/from-a-catalogue.md": "faiss",
}
FETCHED = re.compile(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?(?:https?:)?//[^>]*>")
FETCHED_STYLE = re.compile(
    r"<link[^>]*rel=\"?(?:stylesheet|preload)[^>]*href=\"?(?:https?:)?//[^>]*>"
)


@pytest.mark.parametrize("page", sorted({*PAGES} - NOTHING_RUNS))
def test_blocks_of_a_page_run_and_give_the_output_shown(page: str, tmp_path: Path) -> None:
    if page in NEEDS:
        pytest.importorskip(NEEDS[page])
    shutil.copytree(ROOT / "pipelines", tmp_path / "session" / "pipelines")
    steps, _ = run((DOCS / page).read_text(encoding="utf-8"), tmp_path)
    assert steps > 0


@pytest.mark.parametrize("page", sorted(NOTHING_RUNS))
def test_pages_without_sessions_have_no_blocks_to_run(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert not re.search("^```(console|python)", text, re.M)


def test_command_line_page_is_up_to_date() -> None:
    said = "run: python -m tests.clidoc"
    assert clidoc.PAGE.read_text(encoding="utf-8") == clidoc.page(), said


def test_notebook_runs_and_holds_its_output(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    source = DOCS / "notebook.ipynb"
    assert source.stat().st_size < 100_000
    cells = nbformat.read(source, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum(bool(cell.outputs) for cell in code) > len(code) / 2
    # In a process of its own: what jupyter warns of is none of molvae's business.
    script = (
        "import sys, nbformat, nbclient\n"
        "notebook = nbformat.read(sys.argv[1], as_version=4)\n"
        "nbclient.NotebookClient(notebook, timeout=300, kernel_name='python3').execute()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(source)],
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "IPYTHONDIR": str(tmp_path / "ipython"),
            # The kernel of this Python, whatever others the user has.
            "JUPYTER_PATH": "",
            "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_site_builds_and_fetches_nothing(tmp_path: Path) -> None:
    pytest.importorskip("zensical")
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "molvae").symlink_to(ROOT / "molvae")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    built = {path.relative_to(tmp_path / "site").as_posix() for path in tmp_path.rglob("*.html")}
    assert {page.removesuffix(".md") + ".html" for page in PAGES} <= built
    for page in built:
        text = (tmp_path / "site" / page).read_text(encoding="utf-8")
        assert not FETCHED.search(text), page
        assert not FETCHED_STYLE.search(text), page
        # A formula that was not understood would be left as it was written.
        assert not re.search(r"\\(?:frac|mathcal|sum|sqrt)\b", text), page
    formulas = (tmp_path / "site" / "how-it-works.html").read_text(encoding="utf-8")
    assert formulas.count("<math") > 30
    written = (DOCS / "how-it-works.md").read_text(encoding="utf-8")
    inline = re.sub(r"\$\$.*?\$\$", "", written, flags=re.S).count("$") // 2
    assert formulas.count("<math") == inline + written.count("$$") // 2


def test_docking_score_is_reproducible_and_raises_for_salts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For real: about ten seconds."""
    pytest.importorskip("dockstring")
    monkeypatch.syspath_prepend(ROOT)
    from pipelines import docking

    value = docking.score("CCO")
    assert -5 < value < 0
    assert docking.score("CCO") == value
    assert docking.target(docking.TARGET) is docking.target(docking.TARGET)
    with pytest.raises(Exception, match=r"."):
        docking.score("[Na+].[Cl-]")


def test_docking_score_without_a_pose_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    where = ROOT / "pipelines" / "docking.py"
    spec = importlib.util.spec_from_file_location("docking_without_dockstring", where)
    assert spec is not None
    assert spec.loader is not None
    docking = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docking)

    class NoPose:
        def dock(self, smiles: str, num_cpus: int) -> tuple[None, dict[str, object]]:
            return None, {}

    monkeypatch.setattr(docking, "target", lambda name: NoPose())
    with pytest.raises(RuntimeError, match="no pose"):
        docking.score("CCO")
