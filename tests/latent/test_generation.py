"""`rejection_sample`, `surest` and `generate`: which samples are redrawn and which are kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import molvae
from molvae.errors import ConfigError, UnknownNameError
from molvae.latent.conversion import write_tokens
from molvae.latent.generation import RESAMPLE_SEED_STEP, Sample, rejection_sample, surest
from molvae.latent.space import LatentSpace
from molvae.model.decoding import decode


def scripted_draws(
    *turns: list[Sample],
) -> tuple[Callable[[int, int], list[Sample]], list[tuple[int, int]]]:
    """Hands out these draws in turn, and notes how many were asked for with which seed."""
    asked: list[tuple[int, int]] = []

    def draw(n: int, seed: int) -> list[Sample]:
        asked.append((n, seed))
        return turns[len(asked) - 1]

    return draw, asked


def test_rejection_sample_redraws_only_samples_beyond_tolerance() -> None:
    first = [Sample("C", False, 0.1), Sample("CC", True, 0.0), Sample("CCC", False, 0.9)]
    draw, asked = scripted_draws(first, [Sample("N", False, 0.2), Sample("NC", False, 0.3)])
    best = rejection_sample(draw, 3, seed=7, redraws=5, tolerance=0.5)
    assert best == [Sample("C", False, 0.1), Sample("N", False, 0.2), Sample("NC", False, 0.3)]
    assert asked == [(3, 7), (2, 7 + RESAMPLE_SEED_STEP)]


def test_rejection_sample_keeps_the_nearest_if_all_miss() -> None:
    turns = [[Sample("C", False, 0.9)], [Sample("CC", False, 0.6)], [Sample("CCC", False, 0.8)]]
    draw, asked = scripted_draws(*turns)
    assert rejection_sample(draw, 1, seed=0, redraws=2, tolerance=0.5) == turns[1]
    assert len(asked) == 3


def test_rejection_sample_prefers_unrepaired_molecules_to_near_ones() -> None:
    draw, _ = scripted_draws([Sample("C", True, 0.0)], [Sample("CC", False, 0.9)])
    assert rejection_sample(draw, 1, seed=0, redraws=1, tolerance=0.5) == [Sample("CC", False, 0.9)]


def test_rejection_sample_prefers_a_molecule_to_none() -> None:
    far = math.inf  # what the model cannot read, it cannot judge
    draw, _ = scripted_draws(
        [Sample("C", False, far), Sample(None, False, far)],
        [Sample(None, False, far), Sample("N", True, far)],
    )
    best = rejection_sample(draw, 2, seed=0, redraws=1, tolerance=0.5)
    assert best == [Sample("C", False, far), Sample("N", True, far)]


def test_rejection_sample_without_conditions_accepts_no_molecule() -> None:
    draw, asked = scripted_draws([Sample(None, False, 0.0)])
    assert rejection_sample(draw, 1, seed=0, redraws=9, tolerance=0.5) == [Sample(None, False, 0.0)]
    assert len(asked) == 1


def test_rejection_sample_does_not_redraw_if_most_samples_need_repair() -> None:
    slipped = [Sample("C", True, 0.0)] * 16 + [Sample("N", False, 0.0)] * 14
    draw, asked = scripted_draws(slipped)
    assert rejection_sample(draw, 30, seed=0, redraws=9, tolerance=0.5) == slipped
    assert len(asked) == 1
    # A single slip says nothing about a model.
    draw, asked = scripted_draws([Sample("C", True, 0.0)], [Sample("N", False, 0.0)])
    assert rejection_sample(draw, 1, seed=0, redraws=9, tolerance=0.5) == [Sample("N", False, 0.0)]


def test_surest_keeps_order_and_prefers_molecules_to_none() -> None:
    drawn = [
        Sample(molecule, False, 0.0, confidence)
        for molecule, confidence in (("C", -0.5), (None, -0.1), ("N", -0.9), ("O", -0.2))
    ]
    assert [one.molecule for one in surest(drawn, 2)] == ["C", "O"]
    assert [one.molecule for one in surest(drawn, 3)] == ["C", "N", "O"]
    assert surest(drawn, 4) == drawn


def test_generate_oversampling_keeps_samples_of_largest_confidence(space: LatentSpace) -> None:
    every, sure = space.generate_with_confidence(40, seed=2)
    kept, surer = space.generate_with_confidence(20, seed=2, oversampling=2)
    assert len(kept) == 20
    assert set(kept) <= set(every)
    assert float(surer.min()) >= float(sure.median())
    assert space.generate(20, seed=2, oversampling=2) == kept
    z = space.sample_prior(3)
    molecules, confidence = space.decode_with_confidence(z)
    assert molecules == space.decode(z)
    assert confidence.shape == (3,)
    assert bool((confidence <= 0).all())
    rows, _ = write_tokens(space, z, noise=0.0, temperature=0.0, seed=None)
    nats = decode(space.model, z.float()).log_prob.double()
    tokens = torch.tensor([len(row) + 1 for row in rows])
    torch.testing.assert_close(confidence * tokens, nats)
    for wrong in (0.5, math.nan, math.inf):
        with pytest.raises(ConfigError, match="oversampling"):
            space.generate(2, oversampling=wrong)


def test_sample_prior_from_molecules_gives_encodings_of_generated_ones(space: LatentSpace) -> None:
    z = space.sample_prior(20, seed=3, source="molecules")
    made = [molecule or "" for molecule in space.generate(20, seed=3)]
    assert z.isfinite().all()
    expected = space.sample_posterior(made, seed=3, skip_unknown=True)[:, 0]
    known = expected.isfinite().all(dim=1)
    assert known.any()
    assert torch.equal(z[known], expected[known])
    assert torch.equal(z[~known], space.sample_prior(20, seed=3, source="density")[~known])
    assert torch.equal(z, space.sample_prior(20, seed=3, source="molecules"))
    assert space.sample_prior(0, source="molecules").shape == (0, space.dim)
    with pytest.raises(UnknownNameError, match="density"):
        space.sample_prior(2, source="nothing")  # type: ignore[arg-type]


def test_decode_and_generate_with_worker_processes_are_unchanged(
    space: LatentSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    z = space.sample_prior(12)
    here = space.decode(z), space.generate(12, seed=1)
    monkeypatch.setattr("molvae.chem._parallel.MIN_ITEMS_FOR_PROCESSES", 11)
    assert (space.decode(z), space.generate(12, seed=1)) == here


def test_batches_of_consecutive_seeds_are_written_with_other_random_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds = list[int | None]()

    def note(*args: Any, seed: int | None, **kwargs: Any) -> Any:
        seeds.append(seed)
        return decode(*args, seed=seed, **kwargs)

    monkeypatch.setattr("molvae.latent.conversion.decode", note)
    monkeypatch.setattr("molvae.latent.conversion.BATCH_SIZE", 2)
    space = molvae.load("qm9")
    for seed in (3, 4):
        z = torch.zeros(5, space.dim, dtype=torch.float64)
        write_tokens(space, z, noise=0.5, temperature=1.0, seed=seed)
    assert (seeds[0], seeds[3]) == (3, 4)
    assert len({*seeds[:6]}) == 6
