"""`Acceptance`: which generated molecules `generate` keeps."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import molvae
from molvae.chem.datasets import sample_molecules
from molvae.chem.properties import score
from molvae.errors import CheckpointError
from molvae.latent import train as training
from molvae.latent.acceptance import FILE_NAME, Acceptance, features
from molvae.latent.space import LatentSpace


@pytest.fixture(scope="module")
def known() -> list[str]:
    return sample_molecules("zinc250k", 600, seed=3)


@pytest.fixture(scope="module")
def generated() -> list[str]:
    """Two of three molecules with a logP above 3, as no random sample has."""
    drawn = sample_molecules("zinc250k", 1_500, seed=4)
    logp = score(drawn, ["logP"], workers=1)[:, 0]
    greasy = [m for m, value in zip(drawn, logp, strict=True) if value > 3]
    others = [m for m, value in zip(drawn, logp, strict=True) if value <= 3]
    return greasy[:400] + others[:200]


@pytest.fixture(scope="module")
def acceptance(known: list[str], generated: list[str]) -> Acceptance:
    return Acceptance.fit(known, generated, workers=1)


def test_acceptance_weights_bring_generated_logp_to_the_training_mean(
    known: list[str], generated: list[str], acceptance: Acceptance
) -> None:
    weights = acceptance.probabilities(generated)
    assert bool(((weights >= 0) & (weights <= 1)).all())
    there = score(known, ["logP"], workers=1)[:, 0]
    here = score(generated, ["logP"], workers=1)[:, 0]
    before = abs(here.mean() - there.mean())
    after = abs(np.average(here, weights=weights) - there.mean())
    assert after < 0.2 * before


def test_acceptance_weights_give_logp_sas_and_qed_the_training_moments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = np.random.default_rng(0).standard_normal((4_000, 19))
    rows = {"known": known, "generated": known[:2_000] * 1.2 + 0.3}
    monkeypatch.setattr(
        "molvae.latent.acceptance.features", lambda smiles, workers=None: rows[smiles[0]]
    )
    weights = Acceptance.fit(["known"], ["generated"]).probabilities(["generated"])
    columns = [0, 17, 18]  # logP is the first descriptor; SAS and QED stand last
    here, there = rows["generated"][:, columns], known[:, columns]
    assert np.average(here, weights=weights, axis=0) == pytest.approx(there.mean(axis=0), abs=0.01)
    found = np.cov(here.T, aweights=weights, ddof=0)
    assert found == pytest.approx(np.cov(there.T, ddof=0), abs=0.02)


def test_acceptance_of_molecules_without_finite_features_is_zero(acceptance: Acceptance) -> None:
    few = ["CCO", "c1ccccc1O"]
    assert features(few).shape == (2, 19)
    broken = Acceptance(
        acceptance.mean * np.nan,
        acceptance.scale,
        acceptance.quadratic,
        acceptance.linear,
        acceptance.constant,
    )
    assert broken.probabilities(few).tolist() == [0.0, 0.0]


def test_acceptance_saved_and_loaded_is_equal(
    tmp_path: Path, acceptance: Acceptance, known: list[str]
) -> None:
    assert Acceptance.load(tmp_path) is None
    acceptance.save(tmp_path)
    found = Acceptance.load(tmp_path)
    assert found is not None
    few = known[:20]
    assert found.probabilities(few).tolist() == acceptance.probabilities(few).tolist()


def test_acceptance_load_of_damaged_or_foreign_file_raises(
    tmp_path: Path, acceptance: Acceptance
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=FILE_NAME):
        Acceptance.load(tmp_path)
    other = Acceptance(
        acceptance.mean[:3],
        acceptance.scale[:3],
        acceptance.quadratic[:, :3, :3],
        acceptance.linear[:, :3],
        acceptance.constant,
    )
    other.save(tmp_path)
    with pytest.raises(CheckpointError, match="other features"):
        Acceptance.load(tmp_path)


class _NoNitrogen:
    """Accepts molecules without nitrogen."""

    def probabilities(self, smiles: Sequence[str]) -> NDArray[np.float64]:
        return np.array([float("N" not in m.upper()) for m in smiles])


def test_generate_redraws_rejected_molecules_with_default_sampling_only() -> None:
    space = copy.copy(molvae.load("qm9"))
    space.acceptance = None
    plain = space.generate(20, seed=5)
    space.acceptance = _NoNitrogen()  # type: ignore[assignment]
    made = space.generate(20, seed=5)
    assert any("N" in (m or "").upper() for m in plain)
    assert not any("N" in (m or "").upper() for m in made)
    kept = [m for m in plain if m and "N" not in m.upper()]
    assert set(kept) <= set(made)
    noise, temperature = space.card.sampling_defaults
    assert space.generate(20, seed=5, redraw=False) != made
    other = space.generate(20, seed=5, noise=noise / 2, temperature=temperature)
    assert any("N" in (m or "").upper() for m in other)


def test_tuned_space_has_no_acceptance_and_saved_space_keeps_its_own(
    tmp_path: Path, acceptance: Acceptance
) -> None:
    space = copy.copy(molvae.load("qm9"))
    space.acceptance = acceptance
    assert space.tuned(["CCO"], steps=1).acceptance is None
    space.save(tmp_path / "model")
    again = molvae.load(tmp_path / "model").acceptance
    assert again is not None
    assert again.linear.tolist() == acceptance.linear.tolist()


def test_fit_acceptance_learns_from_generated_and_known_molecules(
    monkeypatch: pytest.MonkeyPatch, known: list[str]
) -> None:
    monkeypatch.setattr(training, "N_GENERATED", 60)
    monkeypatch.setattr(training, "N_TRAINING", 80)
    space: LatentSpace = copy.copy(molvae.load("zinc250k"))
    made = training.fit_acceptance(space, known, seed=1, workers=1)
    assert made.probabilities(known[:5]).shape == (5,)
