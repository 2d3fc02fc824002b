"""Strategy `rank`: its candidates, surrogates, acquisition functions and settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.kernels import LinearKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from rdkit import Chem
from torch import Tensor

from molvae.bo.analogs import core_at_first, similarity_floor
from molvae.bo.base import Observations
from molvae.bo.kernel_weights import subsample_best_and_random
from molvae.bo.strategies.genetic import Genetic
from molvae.bo.strategies.rank import Rank
from molvae.bo.strategies.registry import (
    describe_strategy,
    format_strategy,
    get_strategy,
    imported_code,
    is_same_strategy,
    recorded_strategy,
)
from molvae.chem.filters import passes
from molvae.chem.fingerprints import DESCRIPTORS
from molvae.chem.plausibility import Plausibility
from molvae.errors import CampaignError, ConfigError, UnknownNameError
from molvae.latent.branching import Branch
from tests.contracts import toy_observations
from tests.toys import FAMILIES, ToyObjective, ToySpace

SMALL = Rank(n_generations=2, n_offspring=40)


def test_rank_with_filters_proposes_no_molecule_with_an_alert() -> None:
    """Of the toy's three families the thiols are among the alerts."""
    space, observations = ToySpace(), toy_observations(20)
    allowed = dict(zip(space.molecules, passes(space.molecules, ["BRENK"]), strict=True))
    assert set(allowed.values()) == {True, False}, FAMILIES
    plain = [c.smiles for c in SMALL.propose(observations, space, 8, seed=0)]
    assert not all(passes(plain, ["BRENK"]))
    filtered = dataclasses.replace(SMALL, filters=("BRENK",))
    chosen = [c.smiles for c in filtered.propose(observations, space, 8, seed=0)]
    assert len(set(chosen)) == 8
    assert all(passes(chosen, ["BRENK"]))


def test_rank_with_filters_passing_no_molecule_raises() -> None:
    space, observations = ToySpace(), toy_observations(20)
    left = {m for m, ok in zip(space.molecules, passes(space.molecules), strict=True) if ok}
    used_up = dataclasses.replace(observations, known=observations.known | left)
    strict = Rank(
        n_generations=1,
        n_offspring=10,
        latent_fraction=1.0,
        filters=("PAINS", "BRENK"),
        max_decode_attempts=20,
    )
    with pytest.raises(CampaignError, match="no new molecule"):
        strict.propose(used_up, space, 2, seed=0)


def test_rank_invalid_settings_raise() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'BRENK'"):
        Rank(filters=("BRENKS",))
    with pytest.raises(ConfigError, match="must be finite"):
        Rank(kappa_max=float("inf"))
    for surrogate in ("weighted", "tanimoto+latent", "tanimoto*latent+linear", "auto"):
        assert Rank(surrogate=surrogate).surrogate == surrogate
    for surrogate in ("tanimotos", "tanimoto+", "tanimoto+auto", ""):
        with pytest.raises(ConfigError, match="surrogate must be auto"):
            Rank(surrogate=surrogate)


@pytest.mark.parametrize(
    "surrogate",
    ["weighted", "tanimoto", "descriptors", "latent", "linear", "tanimoto*latent"],
)
def test_rank_proposes_with_every_surrogate(surrogate: str) -> None:
    strategy = dataclasses.replace(SMALL, surrogate=surrogate)
    assert len(strategy.propose(toy_observations(12, pending=3), ToySpace(), 3, seed=0)) == 3


def test_rank_with_more_than_max_observations_proposes_new_molecules() -> None:
    """It learns from some of them; none of the others is asked for again."""
    space, observations = ToySpace(), toy_observations(60)
    chosen = dataclasses.replace(SMALL, max_observations=20).propose(observations, space, 8, seed=0)
    assert not {c.smiles for c in chosen} & observations.known


def test_rank_finetune_every_tunes_on_the_best_molecules() -> None:
    class Counting(ToySpace):
        tunings: list[tuple[str, ...]]

        def tuned(self, smiles: Sequence[str], **settings: object) -> ToySpace:
            self.tunings.append(tuple(smiles))
            return self

    space, observations = Counting(), toy_observations(14)
    space.tunings = []
    strategy = dataclasses.replace(SMALL, finetune_every=5, latent_fraction=1.0)
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
    dataclasses.replace(strategy, finetune_every=0).propose(observations, space, 2, seed=0)
    assert len(space.tunings) == 2


def test_subsample_best_and_random_keeps_the_best_and_random_others() -> None:
    y = torch.from_numpy(np.random.default_rng(0).permutation(100).astype(float))
    places = subsample_best_and_random(y, 21, seed=0)
    assert places == sorted(set(places))
    assert len(places) == 21
    values = sorted(y[places].tolist(), reverse=True)
    assert values[:11] == list(range(99, 88, -1))
    assert min(values[11:]) < 20 < 60 < max(values[11:])  # the others are from everywhere
    assert places == subsample_best_and_random(y, 21, seed=0)
    assert places != subsample_best_and_random(y, 21, seed=1)
    assert subsample_best_and_random(y, 100, seed=0) == list(range(100))


class RidgeOnMoments:
    """An own surrogate with own features: a linear model of two counts."""

    def features(self, smiles: Sequence[str]) -> Tensor:
        return torch.tensor([[len(m), m.count("O")] for m in smiles], dtype=torch.float64)

    def __call__(self, x: Tensor, y: Tensor, noise: Tensor | None) -> SingleTaskGP:
        self.trained_on = x.shape
        return SingleTaskGP(x, y, noise, covar_module=ScaleKernel(LinearKernel()))


def fitted_gp(x: Tensor, y: Tensor, noise: Tensor | None) -> SingleTaskGP:
    """An own surrogate on molvae's descriptors, with a search for hyperparameters."""
    own = slice(ToySpace().dim, ToySpace().dim + len(DESCRIPTORS))
    model = SingleTaskGP(x[:, own], y, noise)
    fit_gpytorch_mll(
        ExactMarginalLogLikelihood(model.likelihood, model),
        optimizer_kwargs={"options": {"maxiter": 5}},
    )

    class OnColumns(SingleTaskGP):
        def posterior(self, X: Tensor, **settings: Any) -> Any:
            return model.posterior(X[:, own], **settings)

    return OnColumns(x, y)


class ExpectedImprovement:
    """An own acquisition function."""

    def values(self, mean: Tensor, std: Tensor, *, best: float, kappa: float) -> Tensor:
        normal, z = torch.distributions.Normal(0.0, 1.0), (mean - best) / std
        return std * (z * normal.cdf(z) + normal.log_prob(z).exp())


class Smallest:
    """An own acquisition function that prefers the worst molecules."""

    def values(self, mean: Tensor, std: Tensor, *, best: float, kappa: float) -> Tensor:
        assert bool((std > 0).all())
        return -mean


HERE = "tests.bo.strategies.test_rank"


@pytest.mark.parametrize("noisy", [False, True])
def test_rank_with_surrogates_of_a_user_proposes(noisy: bool) -> None:
    space, observations = ToySpace(), toy_observations(20, pending=3)
    if noisy:
        observations = dataclasses.replace(observations, noise=torch.full_like(observations.y, 0.1))
    moments = RidgeOnMoments()
    for surrogate in (moments, fitted_gp):
        strategy = dataclasses.replace(SMALL, surrogate=surrogate)
        chosen = strategy.propose(observations, space, 3, seed=0)
        assert len({c.smiles for c in chosen} - observations.known) == 3
        assert all(len(c.predictions) == 1 for c in chosen)
        assert [c.smiles for c in strategy.propose(observations, space, 3, seed=0)] == [
            c.smiles for c in chosen
        ]
    assert moments.trained_on == (23, 2)  # pending molecules are there


def test_rank_maximizes_an_acquisition_function_of_a_user() -> None:
    space, observations = ToySpace(), toy_observations(20)
    values = ToyObjective()

    def mean(acquisition: object) -> float:
        strategy = dataclasses.replace(SMALL, acquisition=acquisition)
        return float(
            np.mean(values([c.smiles for c in strategy.propose(observations, space, 6, seed=0)]))
        )

    assert mean(ExpectedImprovement()) > mean(Smallest())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda mean: mean[:1], r"shape \(1,\)"),
        (lambda mean: mean[:, None], r"shape \(20, 1\)"),
        (lambda mean: mean * torch.nan, "NaN"),
        (lambda mean: None, "not numbers"),
    ],
)
def test_rank_with_wrong_acquisition_values_raises(
    answer: Callable[[Tensor], Any], reason: str
) -> None:
    class Own:
        def values(self, mean: Tensor, std: Tensor, *, best: float, kappa: float) -> Any:
            return answer(mean)

    strategy = dataclasses.replace(SMALL, acquisition=Own())
    with pytest.raises(CampaignError, match=reason):
        strategy.propose(toy_observations(20), ToySpace(), 3, seed=0)


def test_rank_with_a_surrogate_that_is_no_model_raises() -> None:
    strategy = dataclasses.replace(SMALL, surrogate=lambda x, y, noise: None)
    with pytest.raises(CampaignError, match="has a method posterior"):
        strategy.propose(toy_observations(20), ToySpace(), 3, seed=0)


def test_rank_parts_of_a_user_by_name_equal_objects() -> None:
    space, observations = ToySpace(), toy_observations(20)
    text = f"rank:n_offspring=40,surrogate={HERE}:RidgeOnMoments,acquisition={HERE}:Smallest"
    named = get_strategy(text)
    made = Rank(n_offspring=40, surrogate=RidgeOnMoments(), acquisition=Smallest())
    batches = [s.propose(observations, space, 3, seed=0) for s in (named, made)]
    assert [c.smiles for c in batches[0]] == [c.smiles for c in batches[1]]
    described = describe_strategy(named)
    assert imported_code(described["settings"]) == (f"{HERE}:RidgeOnMoments", f"{HERE}:Smallest")
    assert format_strategy(**described).split(":", 1)[1].split(",")[:1] == [
        f"surrogate={HERE}:RidgeOnMoments"
    ]
    assert describe_strategy(made) == {"name": "rank", "settings": None}
    with pytest.raises(ConfigError, match="acquisition must be"):
        Rank(acquisition="ei")
    with pytest.raises(UnknownNameError, match="did you mean 'Smallest'"):
        get_strategy(f"rank:acquisition={HERE}:Smalest").propose(observations, space, 3, seed=0)


@pytest.mark.parametrize("strategy", [SMALL, Genetic()])
def test_strategies_with_equal_values_propose_new_molecules(strategy: Rank | Genetic) -> None:
    """A goal that few molecules meet: until one does, the search looks elsewhere."""
    observations = toy_observations(12)
    observations = dataclasses.replace(observations, y=torch.zeros_like(observations.y))
    chosen = {c.smiles for c in strategy.propose(observations, ToySpace(), 4, seed=0)}
    assert len(chosen - observations.known) == 4
    nothing = dataclasses.replace(
        observations, smiles=(), z=observations.z[:0], y=observations.y[:0]
    )
    with pytest.raises(CampaignError, match="at least 1 different"):
        strategy.propose(nothing, ToySpace(), 4, seed=0)


class BranchingToySpace(ToySpace):
    """Branches are molecules with one more or fewer carbon."""

    def branch(
        self, smiles: Sequence[str], z: Tensor | None = None, *, seed: int = 0
    ) -> list[Branch]:
        steps = np.random.default_rng(seed).integers(-1, 2, size=(len(smiles), self.dim))
        found = self.decode(self.encode(smiles) + torch.from_numpy(steps * [1.0, 1.0, 2.0]))
        return [Branch(molecule, 0.0) for molecule in found]


def observed(origins: Sequence[str]) -> Observations:
    return dataclasses.replace(toy_observations(len(origins)), origins=tuple(origins))


def test_rank_proposes_branches_if_the_space_has_them() -> None:
    observations = toy_observations(20)
    strategy = dataclasses.replace(SMALL, latent_fraction=1.0, branch_fraction=1.0)
    chosen = strategy.propose(observations, BranchingToySpace(), 8, seed=0)
    assert {c.operator for c in chosen} == {"branch"}
    assert not {c.smiles for c in chosen} & observations.known
    assert {c.operator for c in strategy.propose(observations, ToySpace(), 8, seed=0)} == {"latent"}


def test_rank_shares_of_operators_follow_success() -> None:
    strategy = Rank()
    initial = strategy.shares(toy_observations(20))
    assert sum(initial.values()) == pytest.approx(1)
    assert strategy.shares(toy_observations(20), branches=False, screens=False) == {
        "latent": 0.5,
        "branch": 0.0,
        "graph": 0.5,
        "screen": 0.0,
    }
    found = strategy.shares(observed(["start"] * 10 + ["rank branch"] * 20))
    assert found["branch"] > initial["branch"]
    assert min(found.values()) > 0
    assert sum(found.values()) == pytest.approx(1)
    only = Rank(latent_fraction=1.0).shares(observed(["rank graph"] * 20))
    assert only["graph"] == only["screen"] == 0.0


def test_rank_kappa_grows_with_the_number_of_values() -> None:
    few, many, rng = toy_observations(10), toy_observations(40), np.random.default_rng
    strategy = Rank(n_cautious=40)
    kappas = [strategy._acquisition(o, 200, rng(0)).kappas.max() for o in (few, many)]
    assert kappas[0] < 1.01 < 3.5 < kappas[1] <= 4
    very_few = strategy._acquisition(toy_observations(2), 200, rng(0)).kappas.max()
    assert 0.4 < very_few <= 0.5
    assert Rank(n_cautious=0)._acquisition(few, 200, rng(0)).kappas.max() > 3.5


def test_rank_and_ga_propose_no_implausible_molecules() -> None:
    space, check = ToySpace(), Plausibility(catalogs=("BRENK",), allowed=frozenset())
    observations = dataclasses.replace(toy_observations(20), plausibility=check)
    for strategy in (SMALL, Genetic()):
        chosen = strategy.propose(observations, space, 4, seed=0)
        assert all(check.accepts(c.smiles) for c in chosen)


@pytest.mark.parametrize("seed", range(3))
def test_rank_fills_the_batch_from_few_plausible_molecules(seed: int) -> None:
    few = Plausibility(catalogs=("BRENK",), allowed=frozenset())
    observations = dataclasses.replace(toy_observations(20), plausibility=few)
    assert len(SMALL.propose(observations, ToySpace(), 6, seed=seed)) == 6


SERIES = [f"O=C(Nc1ccc({r})cc1)c1ccccc1" for r in ("C", "CC", "F", "Cl", "OC", "N", "O", "Br")]
UNLIKE = ["CCO", "c1ccccc1", "CC(=O)NCC#N", "C1CCNCC1"]


def told(smiles: Sequence[str], proposed: int) -> Observations:
    """Molecules, the last ones proposed, the others initial."""
    origins = ["start"] * (len(smiles) - proposed) + ["rank graph"] * proposed
    return dataclasses.replace(
        toy_observations(0),
        smiles=tuple(smiles),
        z=torch.zeros(len(smiles), ToySpace().dim, dtype=torch.float64),
        y=torch.arange(len(smiles), dtype=torch.float64)[:, None],
        origins=tuple(origins),
    )


def test_similarity_floor_of_a_series_falls_with_proposals() -> None:
    def floor(smiles: Sequence[str], proposed: int) -> float:
        return similarity_floor(told(smiles, proposed))

    assert 0.5 < floor(SERIES, 0) < 1
    assert floor([*SERIES, "CCO", "CCN"], 2) == floor(SERIES, 0)
    assert 0 < floor([*SERIES, *SERIES[:6]], 6) < floor(SERIES, 0)
    assert floor([*SERIES, *SERIES], 8) == 0
    assert floor(UNLIKE, 0) == 0


def test_core_at_first_is_what_a_series_has_in_common() -> None:
    def core(smiles: Sequence[str], proposed: int) -> str | None:
        found = core_at_first(told(smiles, proposed))
        return None if found is None else Chem.MolToSmiles(found)

    assert core(SERIES, 0) == core([*SERIES, *UNLIKE[:3]], 3) == "O=C(Nc1ccccc1)c1ccccc1"
    assert core([*SERIES, *UNLIKE], 4) is None
    assert core(UNLIKE, 0) is None
    odd = [s.replace("NC", "SC") for s in SERIES[:1]]  # one of nine does not hold the core
    assert core([*SERIES, *SERIES[:2], *odd], 0) == "O=C(Nc1ccccc1)c1ccccc1"
    assert core([f"c1ccccc1{14 * 'C'}{end}" for end in "NOFS"], 0) is None  # the ring is small


def test_pool_of_a_series_takes_candidates_with_its_core() -> None:
    observations, kept = told(SERIES, 0), "O=C(Nc1ccc(C#N)cc1)c1ccccc1"
    pool = Rank().pool(observations, ToySpace(), 2, np.random.default_rng(0), seed=0)
    pool.floor = 0.0
    pool.add([kept, "O=C(Nc1ccc(C#N)cc1)C1CCCCC1"], None, "graph")
    assert pool.smiles[len(SERIES) :] == [kept]


def test_recorded_strategy_of_earlier_versions_keeps_old_settings() -> None:
    recorded = recorded_strategy("rank", {"latent": 0.5, "children": 40})
    assert recorded == Rank(
        n_generations=2,
        n_offspring=40,
        n_warmup=0,
        branch_fraction=0.0,
        screen_fraction=0.0,
        n_cautious=0,
    )
    assert is_same_strategy(recorded, {"name": "rank", "settings": {"children": 40}})
