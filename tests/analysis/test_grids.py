"""Figures of molecules: complete, reproducible, and with text that can be searched."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from molvae.analysis.ascent import AscentPath, gradient_ascent
from molvae.analysis.directions import analogy
from molvae.analysis.grids import (
    draw_ascents,
    draw_neighbors,
    draw_path,
    draw_projection,
)
from molvae.analysis.interpolation import decode_path, interpolate
from molvae.analysis.molecule_grid import depict
from molvae.analysis.neighborhood import neighbors
from molvae.analysis.projection import project
from molvae.chem.molecules import parse
from molvae.errors import ConfigError
from tests.toys import DenseToySpace, begin

GRID = DenseToySpace()
FIRST, LAST = GRID.at(2, 4, "O"), GRID.at(5, 4, "O")


def svg_texts(file: Path) -> list[str]:
    """All words of an SVG."""
    return [
        "".join(element.itertext()).strip()
        for element in ElementTree.fromstring(file.read_text()).iter()
        if element.tag.endswith("}text")
    ]


def toy_ascents(n: int) -> list[AscentPath]:
    return gradient_ascent(GRID, [FIRST, LAST][:n], "-distance", step=1)


DRAWINGS: dict[str, Callable[[Path], Path]] = {
    "path": lambda file: draw_path(interpolate(GRID, FIRST, LAST, steps=12), file),
    "ascent": lambda file: draw_ascents(toy_ascents(1), file),
    "ascents": lambda file: draw_ascents(toy_ascents(2), file),
    "neighbours": lambda file: draw_neighbors(
        neighbors(GRID, FIRST, radii=[0.3, 1.0], n=20), file, columns=3
    ),
    "analogy": lambda file: draw_neighbors(
        analogy(GRID, FIRST, LAST, GRID.at(3, 3, "N"), radii=[0, 1], n=4), file
    ),
    "chart": lambda file: draw_projection(
        project(GRID, GRID.molecules[::4], overlay=[FIRST, LAST]), file
    ),
}
SAID = {
    "path": [
        "interpolation, linear",
        "4 distinct molecules on a path of length 3.0; "
        "highlighted: what the previous molecule lacks",
        "percentile",
    ],
    "ascent": ["down distance", "predicted", "true", "similarity"],
    "ascents": ["down distance", "distance in z", "percentile"],
    "neighbours": ["neighbors", "r = 0.3: 20 decoded, 20 the same, 0 others, 0 new"],
    "analogy": ["analogy", "A", "B", "C"],
    "chart": ["PCA of 81 molecules", "logP", "1", "2"],
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Pictures, each drawn once."""
    folder = tmp_path_factory.mktemp("drawn")
    return cache(lambda name: DRAWINGS[name](folder / f"{name}.svg"))


@pytest.mark.parametrize("name", sorted(SAID))
def test_figures_contain_their_texts(name: str, drawn: Callable[[str], Path]) -> None:
    found = svg_texts(drawn(name))
    assert set(SAID[name]) <= set(found), found
    assert b"<dc:date>" not in drawn(name).read_bytes()


def test_draw_path_writes_the_same_bytes_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.analysis.style.PNG_DPI", 50)
    path = interpolate(GRID, FIRST, LAST, steps=2)
    for ending, head in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        files = [draw_path(path, tmp_path / f"{i}{ending}").read_bytes() for i in (1, 2)]
        assert files[0].startswith(head)
        assert files[0] == files[1]


def test_draw_path_svg_holds_each_molecule_once_with_rdkit_colors(
    drawn: Callable[[str], Path],
) -> None:
    file = drawn("path")
    root = ElementTree.fromstring(file.read_text())
    molecules = [child for child in root if child.tag.endswith("}svg")]
    assert len(molecules) == 4
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for one in molecules:
        x, y, w, h = (float(one.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= width - w
        assert 0 <= y <= height - h
    assert "#FF0000" in file.read_text()  # oxygen


def test_depict_of_a_small_molecule_has_the_usual_bond_length() -> None:
    svg = depict(parse("CC"), [], [], 132, 93, "svg")
    lines = re.findall(r"d='M ([\d.]+),([\d.]+) L ([\d.]+),([\d.]+)'", svg)
    longest = max(math.dist(numbers[:2], numbers[2:]) for numbers in (
        tuple(map(float, line)) for line in lines))  # fmt: skip
    assert longest == pytest.approx(30, abs=0.2)


def test_draw_path_overwrite_refuses_an_edited_figure(tmp_path: Path) -> None:
    path = interpolate(GRID, FIRST, LAST, steps=2)
    file = draw_path(path, tmp_path / "p.svg")
    with pytest.raises(ConfigError, match="overwrite"):
        draw_path(path, file)
    draw_path(path, file, overwrite=True)
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ConfigError, match="edited"):
        draw_path(path, file, overwrite=True)


def test_draw_path_most_draws_the_longest_segments_and_both_ends(tmp_path: Path) -> None:
    path = interpolate(GRID, GRID.at(1, 4, "O"), GRID.at(9, 4, "O"), steps=40)
    found = svg_texts(draw_path(path, tmp_path / "p.svg", most=4))
    assert any("length 8.0, 4 of 9 segments drawn" in text for text in found)
    assert {"t 0.00 to 0.05", "t 0.95 to 1.00"} <= set(found)


def test_draw_path_without_molecule_shows_a_note(tmp_path: Path) -> None:
    z = GRID.encode([FIRST]).repeat(2, 1)
    z[1] -= 5
    path = decode_path(GRID, z, [0.0, 9.0], name="out", start=FIRST)
    assert "no molecule" in svg_texts(draw_path(path, tmp_path / "p.svg"))


def test_draw_projection_of_a_campaign_has_legend_and_labels(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as campaign:  # type: ignore[attr-defined]
        campaign.run(12)
        found = project(GRID, GRID.molecules, overlay=campaign)
    said = svg_texts(draw_projection(found, tmp_path / "c.svg", most=3))
    assert {"initial molecules", "new molecules", "10", "11", "12"} <= set(said)


@pytest.mark.parametrize(("name", "fault"), [("p.gif", "gif"), ("no/folder/p.svg", "no/folder")])
def test_draw_path_to_an_invalid_file_raises(name: str, fault: str, tmp_path: Path) -> None:
    path = interpolate(GRID, FIRST, LAST, steps=2)
    with pytest.raises(ConfigError, match=fault):
        draw_path(path, tmp_path / name)


def test_draw_neighbors_with_cancelled_comparison_shows_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = neighbors(GRID, FIRST, radii=(1.0,), n=6, seed=0)
    words = " ".join(svg_texts(draw_neighbors(found, tmp_path / "a.svg")))
    assert "highlighted: what the molecule lacks" in words
    assert "not compared" not in words
    monkeypatch.setattr("molvae.chem.depiction.common_substructure", lambda *_: None)
    words = " ".join(svg_texts(draw_neighbors(found, tmp_path / "b.svg")))
    assert f"{len(found.found)} not compared" in words
