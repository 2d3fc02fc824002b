"""The README's sessions are run, in its order, in an empty folder; what it shows must come out."""

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


@pytest.mark.docs
def test_the_sessions_of_the_readme_run(tmp_path: Path) -> None:
    n, here = run(README, tmp_path)
    assert n > 15
    assert {"qed.db", "qed.html", "lab.csv"} <= {path.name for path in here.iterdir()}


def test_make_help_names_the_strategy_of_the_main_job() -> None:
    settings = tomllib.loads((ROOT / "pipelines" / "qed-sas.toml").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (told,) = re.findall(r'echo "make campaign +(.*)"', makefile)
    for name in ("budget", "objective", "strategy"):
        assert str(settings[name]) in told


def test_every_file_of_the_layout_is_there() -> None:
    layout = README.partition("## Layout")[2].partition("## References")[0]
    package = True
    for line in re.findall(r"^ {4}(.*)$", layout, re.M):
        package = line.startswith("  ") or line.startswith("molvae/")
        names = re.split(r" {2,}", line.strip())[0].split()
        for name in names:
            folder = ROOT if not package or name == "molvae/" else ROOT / "molvae"
            assert (folder / name).exists(), name


def test_the_papers_are_named() -> None:
    for name in ("7b00572", "aba947", "1312.6114", "1910.06403", "2310.20708", "nchem.1243"):
        assert name in README
    assert "1758-2946-1-8" in README
    assert "ci990307l" in README


@pytest.mark.parametrize("name", DATASETS)
def test_origin_and_hash_of_every_data_file_are_documented(name: str) -> None:
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    dataset = DATASETS[name]
    for part in (f"`{name}`", dataset.package, dataset.install, *(h for _, h in dataset.files)):
        assert part in text


def test_names_and_versions_agree() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert get_objective("5*qed-sas").name == "5*qed-sas"
