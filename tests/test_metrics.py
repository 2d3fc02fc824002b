"""Measures of a model, on models whose answers are known."""

from __future__ import annotations

import math

import pytest
import torch

from molvae.datasets import sample_molecules
from molvae.errors import DataError
from molvae.latent import LatentSpace
from molvae.metrics import evaluate


def test_the_bundled_model_is_faithful_and_always_valid(space: LatentSpace) -> None:
    molecules = sample_molecules("zinc250k", 100, seed=5)
    result = evaluate(space, molecules, n_samples=100, seed=0, training=molecules)
    assert result["molecules"] == 100
    assert result["reconstruction"] > 0.6
    assert result["reconstruction"] > result["posterior_reconstruction"]
    assert 0.2 < result["posterior_tanimoto"] <= 1
    assert result["validity"] == 1.0
    assert result["uniqueness"] > 0.95
    assert result["novelty"] > 0.95
    assert result["active_units"] == space.dim
    assert 20 < result["kl"] < 100


def test_the_same_seed_gives_the_same_numbers(space: LatentSpace) -> None:
    first = evaluate(space, ["CCO", "CCN"], n_samples=20, seed=1)
    assert math.isnan(first.pop("novelty"))
    second = evaluate(space, ["CCO", "CCN"], n_samples=20, seed=1)
    second.pop("novelty")
    assert first == second


def test_unreadable_molecules_count_as_not_reconstructed(space: LatentSpace) -> None:
    molecules = sample_molecules("zinc250k", 20, seed=5)
    alone = evaluate(space, molecules, n_samples=0)
    mixed = evaluate(space, [*molecules, *["CC[Se]CC"] * 20], n_samples=0)
    assert mixed["unreadable"] == 20
    assert mixed["reconstruction"] == pytest.approx(alone["reconstruction"] / 2)


def test_a_decoder_that_always_writes_the_same(
    space: LatentSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "decode", lambda z: ["CCO"] * len(torch.as_tensor(z)))
    result = evaluate(space, ["CCO", "c1ccccc1"], n_samples=50, training=["CCO"])
    assert result["reconstruction"] == 0.5
    assert result["uniqueness"] == 1 / 50
    assert result["novelty"] == 0
    assert result["posterior_tanimoto"] == pytest.approx(0.5)


def test_nothing_to_evaluate_on_is_an_error(space: LatentSpace) -> None:
    with pytest.raises(DataError, match="at least one"):
        evaluate(space, [])
