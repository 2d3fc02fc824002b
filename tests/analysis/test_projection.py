"""`project`: maps of the latent space in a plane, and molecules placed on them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from molvae.analysis.projection import fit_projection, project
from molvae.chem.properties import score
from molvae.errors import (
    ConfigError,
    DataError,
    MissingPackageError,
    MolvaeWarning,
    UnknownNameError,
)
from molvae.latent.space import LatentSpace
from tests.toys import DenseToySpace, begin

GRID = DenseToySpace()


def test_fit_projection_of_a_plane_keeps_distances() -> None:
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(40, 2, generator=generator).double() * torch.tensor([3.0, 1.0])
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator).double()).Q[:2]
    put, axes = fit_projection(flat @ turn + 5)
    where = torch.from_numpy(put(flat @ turn + 5))
    torch.testing.assert_close(torch.cdist(where, where), torch.cdist(flat, flat))
    assert where[:, 0].var() > where[:, 1].var()
    shares = [float(axis.split("(")[1].split("%")[0]) for axis in axes]
    assert sum(shares) == pytest.approx(100, abs=1)
    torch.testing.assert_close(torch.from_numpy(put(flat[:1] @ turn + 5)), where[:1])


def test_project_gives_positions_and_values_of_the_data() -> None:
    found = project(GRID, GRID.molecules, color="mw")
    assert found.color == "MW"
    assert [spot.smiles for spot in found.molecules] == GRID.molecules
    weights = score(GRID.molecules, ["MW"])[:, 0]
    assert [spot.value for spot in found.molecules] == weights.tolist()
    # The variances of a and b are 80 / 12, that of X is 5.
    assert found.axes[0].startswith("first component (36%")
    table = found.table()
    assert list(table.columns) == ["smiles", "x", "y", "kind", "label", "MW"]
    np.testing.assert_allclose(table[["x", "y"]], found.transform(GRID.encode(GRID.molecules)))


def test_project_overlay_places_molecules_at_their_encodings() -> None:
    others = [GRID.at(1, 1, "O"), GRID.at(9, 9, "S")]
    found = project(GRID, GRID.molecules[::5], values=range(65), color="own", overlay=others)
    placed = [spot for spot in found.molecules if spot.kind == "overlay"]
    assert [(spot.smiles, spot.label) for spot in placed] == [(others[0], "1"), (others[1], "2")]
    np.testing.assert_allclose(
        [(spot.x, spot.y) for spot in placed], found.transform(GRID.encode(others))
    )
    assert all(math.isnan(spot.value) for spot in placed)  # nobody knows their own values
    assert [spot.value for spot in found.molecules][:65] == list(range(65))
    assert project(GRID, GRID.molecules, overlay=others).molecules[-1].value == pytest.approx(
        score(others[1:], ["logP"])[0, 0]
    )


def test_project_skips_unencodable_molecules_and_warns(qm9: LatentSpace) -> None:
    with pytest.warns(MolvaeWarning, match="1 of"):
        found = project(qm9, ["CCO", "CCN", "CCCO", "[Xe]"], overlay=["CC", "C[Se]C"])
    assert found.skipped == 2
    assert [spot.smiles for spot in found.molecules] == ["CCO", "CCN", "CCCO", "CC"]
    assert found.molecules[-1].label == "1"


def test_project_overlay_of_a_campaign_places_trials_by_their_z(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as campaign:  # type: ignore[attr-defined]
        campaign.run(12)
        found = project(GRID, GRID.molecules, overlay=campaign)
        told = project(GRID, GRID.molecules, values=[0.0] * 324, color="hill", overlay=campaign)
        trials = campaign.trials
    spots = [spot for spot in found.molecules if spot.kind != "data"]
    assert [spot.smiles for spot in spots] == [trial.smiles for trial in trials]
    assert [spot.kind for spot in spots] == ["start"] * 8 + ["new"] * 4
    assert [spot.label for spot in spots] == [str(i) for i in range(1, 13)]
    where = found.transform(torch.stack([trial.z for trial in trials]))
    np.testing.assert_allclose([(spot.x, spot.y) for spot in spots], where)
    values = [spot.value for spot in told.molecules if spot.kind != "data"]
    assert values == [trial.values["hill"] for trial in trials]
    with begin(tmp_path / "d.db", start=0) as empty:  # type: ignore[attr-defined]
        assert len(project(GRID, GRID.molecules, overlay=empty).molecules) == 324


@pytest.mark.slow
def test_fit_projection_umap_separates_groups_and_is_reproducible() -> None:
    pytest.importorskip("umap")
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(60) % 2
    z = torch.randn(60, 5, generator=generator).double() + 20.0 * groups[:, None]
    put, axes = fit_projection(z, "umap", seed=1)
    where = torch.from_numpy(put(z)).double()
    centres = torch.stack([where[groups == g].mean(dim=0) for g in (0, 1)])
    assert torch.equal(torch.cdist(where, centres).argmin(dim=1), groups)
    assert axes == ("UMAP 1", "UMAP 2")
    near = torch.from_numpy(put(z[:2] + 0.01)).double()
    assert torch.equal(torch.cdist(near, centres).argmin(dim=1), groups[:2])
    np.testing.assert_array_equal(fit_projection(z, "umap", seed=1)[0](z), where)


def test_project_without_umap_raises_with_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'molvae\[umap\]'"):
        project(GRID, GRID.molecules, method="umap")


def test_project_with_invalid_arguments_raises() -> None:
    with pytest.raises(DataError, match="at least 3"):
        project(GRID, GRID.molecules[:2])
    with pytest.raises(ConfigError, match="as many values"):
        project(GRID, GRID.molecules, values=[1.0])
    with pytest.raises(UnknownNameError, match="pca"):
        project(GRID, GRID.molecules, method="tsne")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="logP"):
        project(GRID, GRID.molecules, color="logQ")
