"""README: its sessions run in order in an empty folder and give the output shown."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from molvae._version import __version__
from molvae.chem.datasets import DATASETS
from molvae.objectives.registry import get_objective
from tests.blocks import ROOT, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = ROOT / "docs"


@pytest.mark.docs
def test_readme_sessions_run_and_write_their_files(tmp_path: Path) -> None:
    n, here = run(README, tmp_path)
    assert n > 10
    assert {"qed.db", "qed.html", "qed.csv"} <= {path.name for path in here.iterdir()}


def test_readme_is_short_and_its_links_exist() -> None:
    assert len(README.encode()) <= 16_000
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.M | re.S)  # SMILES look like links
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", prose):
        assert (ROOT / target).exists(), target


def test_make_help_names_the_settings_of_the_main_pipeline() -> None:
    settings = tomllib.loads((ROOT / "pipelines" / "qed-sas.toml").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (told,) = re.findall(r'echo "make campaign +(.*)"', makefile)
    for name in ("budget", "objective", "strategy"):
        assert str(settings[name]) in told


def test_documented_layout_has_every_folder() -> None:
    text = (DOCS / "extend.md").read_text(encoding="utf-8")
    layout = text.partition("```text\n")[2].partition("```")[0]
    listed = set()
    for line in layout.splitlines():
        place = ROOT / "molvae" if line.startswith("  ") else ROOT
        for name in re.split(r" {2,}", line.strip())[0].split():
            assert (place / name).exists(), name
            listed.add(name)
    folders = {path.parent.name + "/" for path in (ROOT / "molvae").glob("*/__init__.py")}
    assert folders <= listed


def test_references_page_names_the_papers() -> None:
    text = (DOCS / "references.md").read_text(encoding="utf-8")
    for name in ("7b00572", "aba947", "1312.6114", "1910.06403", "2310.20708", "nchem.1243"):
        assert name in text
    assert "1758-2946-1-8" in text
    assert "ci990307l" in text


@pytest.mark.parametrize("name", DATASETS)
def test_data_readme_has_origin_and_hash_of_every_file(name: str) -> None:
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    dataset = DATASETS[name]
    for part in (f"`{name}`", dataset.package, dataset.install, *(h for _, h in dataset.files)):
        assert part in text


def test_version_agrees_in_citation_and_changelog() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert get_objective("5*qed-sas").name == "5*qed-sas"
