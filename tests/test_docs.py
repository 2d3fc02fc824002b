"""Every block of the documentation runs, and what it shows comes out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.blocks import ROOT, run

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
WITHOUT = {"how-it-works.md", *(page for page in PAGES if page.startswith("reference/"))}
"""Pages on which nothing is run."""


@pytest.mark.parametrize("page", sorted({*PAGES} - WITHOUT))
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path) -> None:
    if page == "tutorials/docking.md":
        pytest.importorskip("dockstring")
    if page == "tutorials/cluster.md":
        pytest.importorskip("distributed")
    shutil.copytree(ROOT / "pipelines", tmp_path / "session" / "pipelines")
    steps, _ = run((DOCS / page).read_text(encoding="utf-8"), tmp_path)
    assert steps > 0
