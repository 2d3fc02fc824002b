"""`log_density`, `density_percentile` and `outlier_score`: how usual vectors and molecules are."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import pytest
import torch

import molvae
from benchmarks.shared.model_measures import auroc
from benchmarks.shared.molecules import random_selfies
from molvae.chem.datasets import sample_molecules
from molvae.chem.prepare import split_of
from molvae.chem.representations import Selfies
from molvae.errors import CheckpointError, ConfigError, InvalidMoleculeError, MolvaeWarning
from molvae.latent.density import (
    FILE_NAME,
    Reference,
    encode_generated_molecules,
    log_density,
    stored_log_densities,
    typicality,
)
from molvae.latent.loading import WEIGHTS
from molvae.latent.space import LatentSpace
from molvae.model.priors import NormalPrior


def test_log_density_equals_the_prior_and_has_gradients() -> None:
    z = torch.tensor([[0.0, 0.0], [torch.nan, 1.0], [3.0, 4.0]], dtype=torch.float64)
    z.requires_grad_()
    found = log_density(NormalPrior(2), z)
    assert found.dtype == torch.float64
    assert found[0].item() == pytest.approx(-1.8378771)
    assert found[2].item() == pytest.approx(-1.8378771 - 12.5)
    assert found.isnan().tolist() == [False, True, False]
    found[[0, 2]].sum().backward()
    assert z.grad is not None
    assert z.grad[2].tolist() == [-3.0, -4.0]
    assert log_density(NormalPrior(2), torch.zeros(0, 2, dtype=torch.float64)).shape == (0,)


def test_reference_percentile_counts_known_vectors_of_lower_density() -> None:
    asked = []

    def known() -> torch.Tensor:
        asked.append(1)
        return torch.tensor([[0.5], [1.0], [-2.0], [3.0], [torch.nan]], dtype=torch.float64)

    reference = Reference(NormalPrior(1), known)
    z = torch.tensor([[0.0], [0.7], [-1.5], [2.5], [9.0], [torch.nan]], dtype=torch.float64)
    found = reference.percentile(z)
    assert found[:5].tolist() == [100.0, 75.0, 50.0, 25.0, 0.0]
    assert found[5].isnan()
    assert reference.percentile(z[:2]).tolist() == [100.0, 75.0]
    assert len(asked) == 1
    assert reference.percentile(torch.zeros(0, 1, dtype=torch.float64)).shape == (0,)


def test_reference_percentile_without_known_vectors_is_nan() -> None:
    reference = Reference(NormalPrior(1), lambda: torch.zeros(0, 1, dtype=torch.float64))
    assert reference.percentile(torch.zeros(2, 1, dtype=torch.float64)).isnan().all()


def test_model_folder_reference_is_computed_from_generated_molecules(tmp_path: Path) -> None:
    space = molvae.load("qm9")
    stored = stored_log_densities(WEIGHTS / "qm9")
    assert stored is not None
    anew = Reference(space.prior, partial(encode_generated_molecules, space)).computed()
    # Rounding of another processor may write another molecule now and then.
    assert len(anew) == pytest.approx(len(stored), abs=5)
    assert anew.median() == pytest.approx(stored.median(), abs=0.5)
    space.save(tmp_path / "copy")
    again = molvae.load(tmp_path / "copy")
    assert torch.equal(again.reference.computed(), stored)
    z = space.encode(["CCO", "c1ccccc1"])
    assert torch.equal(again.density_percentile(z), space.density_percentile(z))
    (tmp_path / "copy" / FILE_NAME).write_bytes(b"{}")
    with pytest.raises(CheckpointError, match="densities"):
        molvae.load(tmp_path / "copy")


def test_density_percentile_of_known_molecules_spreads_from_0_to_100(space: LatentSpace) -> None:
    found = space.density_percentile(space.encode(sample_molecules("zinc250k", 300, seed=11)))
    assert found.shape == (300,)
    assert found.dtype == torch.float64
    assert 0 <= found.min() <= found.max() <= 100
    # What the space generates is about as usual as its data: neither end is crowded.
    assert 35 < found.median() < 75
    assert (found < 1).double().mean() < 0.1
    assert (found > 99).double().mean() < 0.1


def test_density_percentile_of_a_distant_vector_is_zero(space: LatentSpace) -> None:
    z = torch.cat([20 * torch.ones(1, space.dim), torch.full((1, space.dim), torch.nan)]).double()
    found = space.density_percentile(z)
    assert found[0] == 0
    assert found[1].isnan()
    with pytest.raises(ConfigError, match=f"n x {space.dim}"):
        space.density_percentile(z[:, :5])
    with pytest.raises(ConfigError, match="not finite"):
        space.log_density(z)


def test_density_percentile_of_a_tuned_space_is_unchanged(
    space: LatentSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.latent.tuning.MIN_STEPS", 1)
    monkeypatch.setattr("molvae.latent.tuning.N_REHEARSED", 5)
    fresh = LatentSpace(copy.deepcopy(space.model), space.card, prior=space.prior)
    tuned = fresh.tuned(["CCO"], seed=1)
    z = space.encode(sample_molecules("zinc250k", 20, seed=12))
    first = tuned.density_percentile(z)
    assert torch.equal(first, fresh.density_percentile(z))
    assert torch.equal(first, space.density_percentile(z))


MIXED = ("CC(=O)Oc1ccccc1C(=O)O", "[Au]", "C1=CC2=CC1=CC=C2C#CC#CC#CF")
"""Aspirin, what the model cannot read, and what it never saw the like of."""


def test_outlier_score_is_the_negative_log_prob_per_token(space: LatentSpace) -> None:
    scores = space.outlier_score(MIXED, k=4, seed=2)
    assert scores.dtype == torch.float64
    read = [MIXED[0], MIXED[2]]
    symbols = [len(space.representation.tokenize(molecule)) + 1 for molecule in read]
    assert space.lengths(read) == symbols
    expected = -space.log_prob(read, k=4, seed=2) / torch.tensor(symbols)
    assert torch.equal(scores[[0, 2]], expected)
    assert scores[1] == torch.inf
    assert scores[0] < 2 < scores[2]
    assert space.outlier_score([]).shape == (0,)
    with pytest.raises(ConfigError, match=r"k .* from 1"):
        space.outlier_score(MIXED, k=0)


def test_outlier_score_skip_unknown_gives_nan_and_warns(space: LatentSpace) -> None:
    with pytest.warns(MolvaeWarning, match="1 of 3 molecules skipped: .* their scores are NaN"):
        scores = space.outlier_score(MIXED, k=1, skip_unknown=True)
    assert scores.isnan().tolist() == [False, True, False]
    with pytest.raises(InvalidMoleculeError):
        space.outlier_score(["C(("], skip_unknown=True)


def test_typicality_equals_log_prob_outlier_score_and_percentile(space: LatentSpace) -> None:
    log_prob, scores, density_percentiles = typicality(space, MIXED, k=2, seed=1)
    torch.testing.assert_close(log_prob[[0, 2]], space.log_prob([MIXED[0], MIXED[2]], k=2, seed=1))
    assert torch.equal(scores, space.outlier_score(MIXED, k=2, seed=1))
    assert torch.equal(density_percentiles[0], space.density_percentile(space.encode(MIXED[:1]))[0])
    assert (log_prob[1], scores[1]) == (-torch.inf, torch.inf)
    assert density_percentiles.isnan().tolist() == [False, True, False]


def test_outlier_score_separates_random_selfies_from_held_out_molecules(space: LatentSpace) -> None:
    known = [m for m in sample_molecules("zinc250k", 1000, seed=3) if split_of(m) == "test"]
    written = [Selfies().tokenize(molecule) for molecule in known]
    symbols = [symbol for one in written for symbol in one]
    absurd = random_selfies([len(one) for one in written], 1, symbols=symbols)
    usual, strange = (space.outlier_score(one, k=2) for one in (known, absurd))
    assert auroc(usual, strange) >= 0.95
    # What can be read is told as well as what cannot.
    assert torch.isfinite(strange).sum() > 5
    assert auroc(usual, strange[torch.isfinite(strange)]) >= 0.95
