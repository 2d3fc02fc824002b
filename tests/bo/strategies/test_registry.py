"""`get_strategy`: strategies by name and settings, and what all of them do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from molvae.bo.base import Observations
from molvae.bo.strategies.genetic import Genetic
from molvae.bo.strategies.gradient import Gradient
from molvae.bo.strategies.log_ei import LogEI
from molvae.bo.strategies.random import Random
from molvae.bo.strategies.rank import Rank
from molvae.bo.strategies.registry import (
    describe_strategy,
    format_strategy,
    get_strategy,
    is_same_strategy,
    upgrade_settings,
    upgrade_text,
)
from molvae.bo.strategies.screen import Screen
from molvae.bo.strategies.thompson import Thompson
from molvae.bo.strategies.turbo import Turbo
from molvae.config import STRATEGIES, is_imported
from molvae.errors import CampaignError, ConfigError, UnknownNameError
from tests.contracts import LearningStrategyContract, StrategyContract, toy_observations
from tests.toys import ToySpace


class TestRandom(StrategyContract):
    def make(self) -> Random:
        return Random()


class TestLogEI(LearningStrategyContract):
    def make(self) -> LogEI:
        return LogEI(num_restarts=1, raw_samples=8, max_iterations=5, mc_samples=16)


class TestThompson(LearningStrategyContract):
    def make(self) -> Thompson:
        return Thompson(n_candidates=64)


class TestRank(LearningStrategyContract):
    def make(self) -> Rank:
        return Rank(surrogate="auto", n_generations=2, n_offspring=40, latent_fraction=1.0)


class TestScreen(StrategyContract):
    @pytest.fixture(autouse=True)
    def toy_library(self, tmp_path: Path) -> None:
        self.library = tmp_path / "library.smi"
        self.library.write_text("\n".join(ToySpace().molecules))

    def make(self) -> Screen:
        return Screen(dataset=str(self.library))


class TestTurbo(LearningStrategyContract):
    def make(self) -> Turbo:
        return Turbo(n_candidates=64)


class TestGradient(LearningStrategyContract):
    def make(self) -> Gradient:
        return Gradient(step_size=0.03, sigma=0.05)


class TestGradientOfAHead(StrategyContract):
    def make(self) -> Gradient:
        return Gradient(head="-distance", step_size=0.03, sigma=0.05)


class TestGenetic(StrategyContract):
    def make(self) -> Genetic:
        return Genetic()


def test_get_strategy_gives_the_strategy_of_every_registered_name() -> None:
    assert all(get_strategy(name).name == name for name in STRATEGIES)


@dataclasses.dataclass(frozen=True)
class HillClimb:
    """A strategy with a setting."""

    name: ClassVar[str] = "hill-climb"
    step: float = 0.5


def test_registry_entry_adds_a_strategy_with_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_imported("hill-climb:step=0.25")
    monkeypatch.setitem(STRATEGIES, "hill-climb", f"{__name__}:HillClimb")
    assert not is_imported("hill-climb:step=0.25")
    assert get_strategy("hill-climb:step=0.25") == HillClimb(step=0.25)
    assert format_strategy("hill-climb", {"step": 0.25}) == "hill-climb:step=0.25"
    with pytest.raises(UnknownNameError, match="did you mean 'step'"):
        get_strategy("hill-climb:steps=1")


def test_get_strategy_passes_and_checks_settings() -> None:
    assert get_strategy("log-ei", num_restarts=8) == LogEI(num_restarts=8)
    with pytest.raises(UnknownNameError, match="did you mean 'log-ei'"):
        get_strategy("logei")
    with pytest.raises(UnknownNameError, match="did you mean 'num_restarts'"):
        get_strategy("log-ei", num_restart=8)
    with pytest.raises(ConfigError, match=r"num_restarts.*got 0"):
        get_strategy("log-ei", num_restarts=0)
    with pytest.raises(ConfigError, match="local_fraction"):
        get_strategy("thompson", local_fraction=1.5)


def test_get_strategy_reads_settings_after_the_name() -> None:
    written = (
        "rank:latent_fraction=0.25, n_generations=3,filters=PAINS+BRENK,surrogate=tanimoto+latent"
    )
    assert get_strategy(written) == Rank(
        latent_fraction=0.25,
        n_generations=3,
        filters=("PAINS", "BRENK"),
        surrogate="tanimoto+latent",
    )
    assert get_strategy("rank:latent=0", latent=1.0) == Rank(latent_fraction=1.0)
    assert get_strategy("log-ei:") == LogEI()
    for text in ("rank", "rank:latent_fraction=0.25,filters=PAINS+BRENK", "gradient:head=-SAS"):
        made = get_strategy(text)
        assert format_strategy(made.name, dataclasses.asdict(made)) == text
    assert format_strategy("mine", {"a": 1}) == "<mine: an object of Python>"
    with pytest.raises(ConfigError, match=r"n_generations must be a number \(int\), got '1.5'"):
        get_strategy("rank:n_generations=1.5")
    with pytest.raises(ConfigError, match=r"n_generations.*got '1_0'"):
        get_strategy("rank:n_generations=1_0")
    for twice in ("latent_fraction=0.8,latent_fraction=0.2", "latent=0.8, latent_fraction=0.2"):
        with pytest.raises(ConfigError, match="latent_fraction is given twice"):
            get_strategy(upgrade_text(f"rank:{twice}"))
    with pytest.raises(ConfigError, match="expected name=value, got 'latent_fraction'"):
        get_strategy("rank:latent_fraction")
    with pytest.raises(UnknownNameError, match="did you mean 'latent_fraction'"):
        get_strategy("rank:latent_fractions=1")
    with pytest.raises(ConfigError, match="latent_fraction"):
        get_strategy("rank:latent_fraction=2")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("random:patience=9", "random:max_decode_attempts=9"),
        (
            "log-ei:restarts=3,raw_samples=9,iterations=4,samples=5,best=6,patience=7",
            "log-ei:num_restarts=3,raw_samples=9,max_iterations=4,mc_samples=5,n_best=6,"
            "max_decode_attempts=7",
        ),
        (
            "thompson:vectors=9,around=0.1,best=4,patience=5",
            "thompson:n_candidates=9,local_fraction=0.1,n_best=4,max_decode_attempts=5",
        ),
        (
            "turbo:first=0.5,longest=0.7,shortest=0.1,successes=2,fresh=4,vectors=9",
            "turbo:length_init=0.5,length_max=0.7,length_min=0.1,success_tolerance=2,n_init=4,"
            "n_candidates=9",
        ),
        ("gradient:steps=3,step=0.5", "gradient:n_steps=3,step_size=0.5"),
        (
            "rank:surrogate=structure*latent+structure,generations=1,children=40,latent=0.2,"
            "window=7,tune=8,shortest=0.1,longest=0.9,safest=0.1,boldest=2.0,radius=3,most=99",
            "rank:surrogate=tanimoto*latent+tanimoto,n_generations=1,n_offspring=40,"
            "latent_fraction=0.2,adaptation_window=7,finetune_every=8,min_radius=0.1,"
            "max_radius=0.9,kappa_min=0.1,kappa_max=2.0,fingerprint_radius=3,max_observations=99",
        ),
        ("ga:population=50,patience=3", "ga:population_size=50,max_generations=3"),
    ],
)
def test_get_strategy_reads_settings_of_earlier_versions(old: str, new: str) -> None:
    made = get_strategy(old)
    assert made == get_strategy(new)
    name, _, text = old.partition(":")
    stored = {**describe_strategy(get_strategy(name))["settings"]}
    written = dict(part.split("=") for part in text.split(","))
    numbers = {key: float(v) if "." in v else int(v) for key, v in written.items() if v[0] < "a"}
    earlier = {key: v for key, v in stored.items() if key not in numbers} | written | numbers
    for key in upgrade_settings(name, written):
        if key not in written:
            earlier.pop(key)
    earlier.pop("acquisition", None)  # added later
    assert format_strategy(name, earlier) == new
    assert is_same_strategy(made, {"name": name, "settings": earlier})
    assert not is_same_strategy(get_strategy(name), {"name": name, "settings": earlier})


@pytest.mark.parametrize("strategy", [LogEI(), Thompson()])
@pytest.mark.parametrize("y", [[], [1.0], [2.0, 2.0, 2.0]])
def test_strategies_with_too_few_values_raise(strategy: LogEI | Thompson, y: list[float]) -> None:
    space = ToySpace()
    molecules = space.molecules[: len(y)]
    observations = Observations(
        smiles=tuple(molecules),
        z=space.encode(molecules),
        y=torch.tensor(y, dtype=torch.float64).reshape(-1, 1),
        pending_z=space.encode([]),
        known=frozenset(molecules),
        bounds=space.bounds,
    )
    with pytest.raises(CampaignError, match=r"at least 2 different values.*strategy random"):
        strategy.propose(observations, space, 1, seed=0)


@pytest.mark.parametrize(
    "strategy", [Random(), LogEI(raw_samples=16, max_iterations=5), Thompson(n_candidates=64)]
)
def test_strategies_without_new_molecules_raise(strategy: Random) -> None:
    space, observations = ToySpace(), toy_observations()
    everything = Observations(
        smiles=observations.smiles,
        z=observations.z,
        y=observations.y,
        pending_z=observations.pending_z,
        known=frozenset(space.molecules),
        bounds=observations.bounds,
    )
    with pytest.raises(CampaignError, match="no new molecule"):
        strategy.propose(everything, space, 1, seed=0)


@pytest.mark.parametrize(
    "strategy",
    [LogEI(num_restarts=2, raw_samples=16, max_iterations=10), Thompson(n_candidates=64)],
)
def test_strategies_accept_observations_outside_bounds_and_equal_z(strategy: LogEI) -> None:
    """Given molecules may lie outside the box, and two may have the same vector."""
    space, observations = ToySpace(), toy_observations()
    z = observations.z.clone()
    z[0], z[1] = 3 * space.bounds[1], z[2]
    odd = Observations(
        smiles=observations.smiles,
        z=z,
        y=observations.y,
        pending_z=observations.pending_z,
        known=observations.known,
        bounds=observations.bounds,
    )
    assert len(strategy.propose(odd, space, 2, seed=0)) == 2


def test_strategies_propose_in_64_dimensions() -> None:
    """The real size of a latent space: fewer steps, the same code paths."""
    space = ToySpace()
    small = toy_observations(n=10)
    generator = torch.Generator().manual_seed(0)
    z = torch.cat([small.z, torch.randn(10, 61, generator=generator, dtype=torch.float64)], dim=1)
    observations = Observations(
        smiles=small.smiles,
        z=z,
        y=small.y,
        pending_z=z[:0],
        known=small.known,
        bounds=torch.cat(
            [space.bounds, torch.tensor([[-3.0], [3.0]]).double().expand(2, 61)], dim=1
        ),
    )

    class Projected:
        name, fingerprint, dim, bounds = "wide", "", 64, observations.bounds

        def encode(self, smiles: list[str], *, skip_unknown: bool = False) -> torch.Tensor:
            own = space.encode(smiles, skip_unknown=skip_unknown)
            return torch.cat([own, torch.zeros(len(own), 61).double()], dim=1)

        def decode(self, z: torch.Tensor) -> list[str | None]:
            return space.decode(z[:, :3].contiguous())

        def sample_prior(self, n: int, seed: int = 0, *, source: object = None) -> torch.Tensor:
            own = space.sample_prior(n, seed, source=source)
            return torch.cat([own, torch.zeros(n, 61).double()], dim=1)

    for strategy in (
        LogEI(num_restarts=2, raw_samples=32, max_iterations=10),
        Thompson(n_candidates=64),
    ):
        candidates = strategy.propose(observations, Projected(), 2, seed=0)
        assert all(candidate.z.shape == (64,) for candidate in candidates)


@pytest.mark.parametrize(
    "strategy", [LogEI(num_restarts=2, raw_samples=32, max_iterations=20), Thompson()]
)
def test_strategies_propose_with_the_best_molecule_outside_bounds(
    strategy: LogEI | Thompson,
) -> None:
    space = ToySpace()
    observations = toy_observations(12)
    narrow = dataclasses.replace(
        observations,
        bounds=torch.stack(
            [observations.z.median(0).values - 0.1, observations.z.median(0).values]
        ),
    )
    chosen = strategy.propose(narrow, space, 3, seed=0)
    assert len({candidate.smiles for candidate in chosen} - narrow.known) == 3


def test_gradient_ascends_a_property_head() -> None:
    """Down the distance to the toy's hill top, whatever the told values are."""
    space, observations = ToySpace(), toy_observations(12)
    misleading = dataclasses.replace(observations, y=observations.y.flip(0))
    climbed = Gradient(head="-distance", step_size=0.03, sigma=0.05).propose(
        misleading, space, 4, seed=0
    )
    starts = misleading.z[misleading.y[:, 0].argsort(descending=True, stable=True)[:4]]
    ends = torch.stack([candidate.z for candidate in climbed])
    assert bool((space.property_head(ends) < space.property_head(starts)).all())
    with pytest.raises(UnknownNameError, match="did you mean 'distance'"):
        Gradient(head="distances").propose(observations, space, 1, seed=0)
