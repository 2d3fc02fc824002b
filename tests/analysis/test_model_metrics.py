"""`evaluate` and its measures, on models whose answers are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from molvae.analysis.model_figures import draw_measures
from molvae.analysis.model_metrics import (
    evaluate,
    geometry,
    reconstruction_metrics,
    regression,
    smoothness,
)
from molvae.analysis.readout import linear_readout
from molvae.chem.datasets import sample_molecules
from molvae.chem.fingerprints import descriptors, morgan_bits, tanimoto_pairs
from molvae.errors import ConfigError, DataError
from molvae.latent.space import LatentSpace

SMALL = {"n_posteriors": 20, "fcd": False}


@pytest.mark.slow
def test_evaluate_of_zinc250k_is_faithful_and_valid(space: LatentSpace) -> None:
    molecules = sample_molecules("zinc250k", 100, seed=5)
    result = evaluate(space, molecules, n_samples=100, training=molecules, **SMALL)
    assert result["molecules"] == 100
    assert result["reconstruction"] > 0.6
    assert result["reconstruction"] > result["posterior_reconstruction"]
    assert result["reconstruction"] > result["stochastic_reconstruction"]
    assert 0.2 < result["posterior_tanimoto"] <= 1
    assert result["generated_validity"] == 1.0
    for source in ("prior", "normal", "generated"):
        assert result[f"{source}_validity"] > 0.9  # the others are radicals
        assert result[f"{source}_uniqueness"] > 0.95
        assert result[f"{source}_novelty"] > 0.95
    assert result["active_units"] == space.dim
    assert 20 < result["kl"] < 100
    assert result["iwae"] > result["elbo"]
    assert result["iwae_per_symbol"] == pytest.approx(result["iwae"] / 40, rel=0.3)
    assert result["r2_ridge_SAS"] < 1
    assert result["same_at_0.05"] > result["same_at_0.5"] > result["same_at_1"]
    assert result["tanimoto_at_0.05"] > result["tanimoto_at_0.5"] > result["tanimoto_at_1"]
    assert result["training_logP_shift_in_stds"] == pytest.approx(0)


def test_evaluate_is_reproducible_by_seed(space: LatentSpace) -> None:
    first, second = (
        evaluate(space, ["CCO", "CCN"], n_samples=5, n_posteriors=3, fcd=False, seed=1)
        for _ in range(2)
    )
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value == second[name] or (math.isnan(value) and math.isnan(second[name])), name


def test_reconstruction_metrics_count_unreadable_molecules_as_failures(space: LatentSpace) -> None:
    molecules = sample_molecules("zinc250k", 8, seed=5)
    alone = reconstruction_metrics(space, molecules)
    mixed = reconstruction_metrics(space, [*molecules, *["CC[Se]CC"] * 8])
    assert alone["reconstruction"] > 0
    assert mixed["unreadable"] == 8
    assert mixed["reconstruction"] == pytest.approx(alone["reconstruction"] / 2)
    with pytest.raises(DataError, match="can read none"):
        evaluate(space, ["CC[Se]CC"], **SMALL)


def test_evaluate_of_a_constant_decoder_has_known_values(
    space: LatentSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "decode", lambda z, **_: ["CCO"] * len(torch.as_tensor(z)))
    monkeypatch.setattr(space, "generate", lambda n, **_: [None] * n)
    result = evaluate(space, ["CCO", "c1ccccc1"], n_samples=50, training=["CCO"], **SMALL)
    assert result["reconstruction"] == 0.5
    assert result["stochastic_reconstruction"] == 0.5
    assert result["same_at_0.3"] == 0.5
    assert result["prior_uniqueness"] == 1 / 50
    assert result["prior_novelty"] == 0
    assert result["generated_validity"] == 0
    assert result["posterior_tanimoto"] == pytest.approx(0.5)


def test_regression_finds_properties_linear_in_z(
    space: LatentSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    z = torch.randn(400, space.dim, generator=torch.Generator().manual_seed(0)).double()
    y = torch.stack([z[:, 0], z[:, 1] + z[:, 2], torch.randn(400).double()], dim=1).numpy()
    monkeypatch.setattr(space, "encode", lambda _: z)
    monkeypatch.setattr("molvae.analysis.model_metrics.score", lambda *_: y)
    result = regression(space, ["C"] * 400, n_gp=300)
    assert result["r2_ridge_logP"] > 0.95
    assert result["r2_ridge_SAS"] > 0.95
    assert result["r2_ridge_QED"] < 0.3
    assert result["r2_gp_logP"] > 0.8
    assert all(math.isnan(value) for value in regression(space, ["C"] * 10).values())


def test_draw_measures_writes_figures_and_refuses_other_file_endings(tmp_path: Path) -> None:
    found = {"same_at_0.1": 0.9, "tanimoto_at_0.1": 0.95, "neighbor_tanimoto_1": 0.3}
    found |= {"distance_tanimoto_correlation": -0.7, "trustworthiness": 0.9}
    for source in ("prior", "generated"):
        for name in ("logP", "SAS", "QED"):
            found |= {f"{source}_{name}_shift_in_stds": 0.1, f"{source}_{name}_std_ratio": 1.1}
    for name in ("a.svg", "a.png"):
        assert draw_measures(found, tmp_path / name).stat().st_size > 5_000
    with pytest.raises(ConfigError, match="must end in"):
        draw_measures(found, tmp_path / "a.txt")


def test_evaluate_without_molecules_or_draws_raises(space: LatentSpace) -> None:
    with pytest.raises(DataError, match="at least one"):
        evaluate(space, [])
    for wrong in ({"n_posteriors": 0}, {"n_samples": -1}):
        with pytest.raises(ConfigError, match="must"):
            evaluate(space, ["CCO"], **wrong)


class Fingerprints:
    """A space whose vectors are fingerprints themselves, or their negatives, or nothing."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def encode(self, smiles: list[str]) -> torch.Tensor:
        bits = torch.from_numpy(morgan_bits(smiles)).double()
        # Of unit length, so that distances fall with common bits.
        return self.factor * bits / bits.norm(dim=1, keepdim=True)


class Described(Fingerprints):
    """A space whose vectors are the descriptors themselves."""

    def encode(self, smiles: list[str]) -> torch.Tensor:
        return torch.from_numpy(descriptors(smiles)) * self.factor


def test_linear_readout_of_descriptors_is_perfect_and_of_constants_is_zero() -> None:
    molecules = sample_molecules("zinc250k", 150, seed=5)
    found = linear_readout(Described(2.0), molecules)  # type: ignore[arg-type]
    assert found["r2_ridge_descriptors"] > 0.99
    assert found["r2_ridge_morgan"] < 0.5
    nothing = linear_readout(Described(0.0), molecules)  # type: ignore[arg-type]
    assert max(nothing.values()) < 0.01
    few = linear_readout(Described(1.0), molecules[:100])  # type: ignore[arg-type]
    assert few.keys() == found.keys()
    assert all(map(math.isnan, few.values()))


def test_linear_readout_leaves_out_descriptors_that_are_the_same_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    molecules = sample_molecules("zinc250k", 150, seed=5)
    third = np.full((150, 1), 1 / 3)
    assert third.std() > 0  # by rounding
    both = np.hstack([descriptors(molecules), third])
    monkeypatch.setattr("molvae.analysis.readout.descriptors", lambda _: both)
    found = linear_readout(Described(2.0), molecules)  # type: ignore[arg-type]
    assert found["r2_ridge_descriptors"] > 0.99


def test_smoothness_separates_similarity_of_changed_molecules() -> None:
    molecules = ["CCCCCO", "CCCCCN"]

    class Replies(Fingerprints):
        """Decodes to the molecules, then to one of them changed, then to none of them."""

        replies = iter([molecules, ["CCCCCO", "CCCCN"], ["CCCCO", None]])

        def decode(self, z: torch.Tensor) -> list[str | None]:
            return next(self.replies)  # type: ignore[arg-type]

    found = smoothness(Replies(1.0), molecules, radii=(0.1, 0.2, 0.3))  # type: ignore[arg-type]
    alike = float(tanimoto_pairs(morgan_bits(["CCCCN"]), morgan_bits(["CCCCCN"]))[0])
    assert math.isnan(found["changed_tanimoto_at_0.1"])
    assert found["same_at_0.2"] == 0.5
    assert found["changed_tanimoto_at_0.2"] == pytest.approx(alike)
    assert found["changed_tanimoto_half"] == pytest.approx(alike)
    assert found["changed_tanimoto_at_0.3"] == found["tanimoto_at_0.3"] < alike


def test_geometry_of_fingerprint_vectors_is_nearly_perfect() -> None:
    molecules = sample_molecules("zinc250k", 150, seed=5)
    found = geometry(Fingerprints(1.0), molecules)  # type: ignore[arg-type]
    assert found["distance_tanimoto_correlation"] < -0.95
    assert found["trustworthiness"] > 0.98
    assert found["neighbor_tanimoto_1"] == pytest.approx(found["neighbor_tanimoto_best"], abs=0.01)
    sample_by_rank = [found[f"neighbor_tanimoto_{k}"] for k in (1, 2, 5, 10, 20, 50, "random")]
    assert sample_by_rank == sorted(sample_by_rank, reverse=True)


def test_geometry_of_equal_z_and_of_few_molecules_is_nan() -> None:
    molecules = sample_molecules("zinc250k", 60, seed=5)
    found = geometry(Fingerprints(0.0), molecules)  # type: ignore[arg-type]
    assert math.isnan(found["distance_tanimoto_correlation"])
    assert found["neighbor_tanimoto_random"] < found["neighbor_tanimoto_best"]
    few = geometry(Fingerprints(1.0), molecules[:2])  # type: ignore[arg-type]
    assert few.keys() == found.keys()
    assert all(map(math.isnan, few.values()))
