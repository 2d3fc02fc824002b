from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from molvae.bo.pool import subsample_best_and_random
from molvae.bo.strategies.genetic import Genetic
from molvae.bo.strategies.rank import Rank
from molvae.chem.filters import passes
from molvae.errors import CampaignError, ConfigError, UnknownNameError
from tests.contracts import toy_evidence
from tests.toys import FAMILIES, ToySpace

SMALL = Rank(generations=2, children=40)


def test_what_has_an_alert_is_never_asked_for() -> None:
    """Of the toy's three families the thiols are among the alerts."""
    space, observations = ToySpace(), toy_evidence(20)
    allowed = dict(zip(space.molecules, passes(space.molecules, ["BRENK"]), strict=True))
    assert set(allowed.values()) == {True, False}, FAMILIES
    plain = [c.smiles for c in SMALL.propose(observations, space, 8, seed=0)]
    assert not all(passes(plain, ["BRENK"]))
    filtered = dataclasses.replace(SMALL, filters=("BRENK",))
    chosen = [c.smiles for c in filtered.propose(observations, space, 8, seed=0)]
    assert len(set(chosen)) == 8
    assert all(passes(chosen, ["BRENK"]))


def test_filters_that_nothing_passes_are_said() -> None:
    space, observations = ToySpace(), toy_evidence(20)
    left = {m for m, ok in zip(space.molecules, passes(space.molecules), strict=True) if ok}
    used_up = dataclasses.replace(observations, known=observations.known | left)
    strict = Rank(generations=1, children=10, latent=1.0, filters=("PAINS", "BRENK"), patience=20)
    with pytest.raises(CampaignError, match="no new molecule"):
        strict.propose(used_up, space, 2, seed=0)


def test_settings_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'BRENK'"):
        Rank(filters=("BRENKS",))
    with pytest.raises(ConfigError, match="must be finite"):
        Rank(boldest=float("inf"))
    for surrogate in ("structure+latent", "structure*latent+linear", "auto"):
        assert Rank(surrogate=surrogate).surrogate == surrogate
    for surrogate in ("structures", "structure+", "structure+auto", ""):
        with pytest.raises(ConfigError, match="surrogate must be auto or of structure"):
            Rank(surrogate=surrogate)


@pytest.mark.parametrize(
    "surrogate",
    ["structure", "descriptors", "latent", "linear", "structure*latent", "structure+latent"],
)
def test_every_surrogate_proposes(surrogate: str) -> None:
    strategy = dataclasses.replace(SMALL, surrogate=surrogate)
    assert len(strategy.propose(toy_evidence(12, pending=3), ToySpace(), 3, seed=0)) == 3


def test_more_told_molecules_than_the_surrogate_takes() -> None:
    """It learns from some of them; none of the others is asked for again."""
    space, observations = ToySpace(), toy_evidence(60)
    chosen = dataclasses.replace(SMALL, most=20).propose(observations, space, 8, seed=0)
    assert not {c.smiles for c in chosen} & observations.known


def test_the_decoder_is_tuned_on_the_best_of_a_round_number_of_told_molecules() -> None:
    class Counting(ToySpace):
        tunings: list[tuple[str, ...]]

        def with_finetuned_decoder(self, smiles: Sequence[str], *, seed: int = 0) -> ToySpace:
            self.tunings.append(tuple(smiles))
            return self

    space, observations = Counting(), toy_evidence(14)
    space.tunings = []
    strategy = dataclasses.replace(SMALL, tune=5, latent=1.0)
    for told in (4, 9, 9, 12, 13):
        fewer = dataclasses.replace(
            observations,
            smiles=observations.smiles[:told],
            z=observations.z[:told],
            y=observations.y[:told],
        )
        strategy.propose(fewer, space, 2, seed=told)
    order = observations.y[:10, 0].argsort(descending=True).tolist()
    assert [len(tuning) for tuning in space.tunings] == [5, 10]
    assert space.tunings[1] == tuple(observations.smiles[i] for i in order)
    dataclasses.replace(strategy, tune=0).propose(observations, space, 2, seed=0)
    assert len(space.tunings) == 2


def test_the_best_and_some_others() -> None:
    y = torch.from_numpy(np.random.default_rng(0).permutation(100).astype(float))
    places = subsample_best_and_random(y, 21, seed=0)
    assert places == sorted(set(places))
    assert len(places) == 21
    values = sorted(y[places].tolist(), reverse=True)
    assert values[:11] == list(range(99, 88, -1))
    assert values[11] < 80 or values[-1] < 20  # the others are from everywhere
    assert places == subsample_best_and_random(y, 21, seed=0)
    assert places != subsample_best_and_random(y, 21, seed=1)
    assert subsample_best_and_random(y, 100, seed=0) == list(range(100))


@pytest.mark.parametrize("strategy", [SMALL, Genetic()])
def test_equal_values_are_gone_on_from(strategy: Rank | Genetic) -> None:
    """A goal that few molecules meet: until one does, the search looks elsewhere."""
    observations = toy_evidence(12)
    observations = dataclasses.replace(observations, y=torch.zeros_like(observations.y))
    chosen = {c.smiles for c in strategy.propose(observations, ToySpace(), 4, seed=0)}
    assert len(chosen - observations.known) == 4
    nothing = dataclasses.replace(
        observations, smiles=(), z=observations.z[:0], y=observations.y[:0]
    )
    with pytest.raises(CampaignError, match="at least 1 different"):
        strategy.propose(nothing, ToySpace(), 4, seed=0)
