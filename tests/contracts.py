"""What every strategy must do: a test class inherits `StrategyContract` and makes one."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from molvae.bo.base import Observations, Strategy
from molvae.bo.strategies.random import Random
from molvae.chem.molecules import canonical
from tests.toys import ToyObjective, ToySpace


def toy_observations(n: int = 12, pending: int = 0, failed: int = 2, seed: int = 0) -> Observations:
    """`n` told molecules of the toy space, chosen at random, with the hill's values."""
    space = ToySpace()
    chosen = (
        np.random.default_rng(seed).permutation(space.molecules)[: n + pending + failed].tolist()
    )
    told, waiting = chosen[:n], chosen[n : n + pending]
    return Observations(
        smiles=tuple(told),
        z=space.encode(told),
        y=torch.tensor(ToyObjective()(told), dtype=torch.float64).reshape(-1, 1),
        pending_smiles=tuple(waiting),
        pending_z=space.encode(waiting),
        known=frozenset(chosen),
        bounds=space.bounds,
    )


class StrategyContract:
    """A pure function that gives new, distinct molecules; `make` gives it with cheap settings."""

    def make(self) -> Strategy:
        raise NotImplementedError

    @pytest.mark.parametrize(("n", "pending"), [(1, 0), (1, 3), (8, 0), (8, 3)])
    def test_propose_gives_new_distinct_canonical_molecules(self, n: int, pending: int) -> None:
        observations, space = toy_observations(pending=pending), ToySpace()
        candidates = self.make().propose(observations, space, n, seed=1)
        smiles = [candidate.smiles for candidate in candidates]
        assert len(smiles) == len(set(smiles)) == n
        assert not observations.known.intersection(smiles)
        assert smiles == [canonical(molecule) for molecule in smiles]

    def test_propose_gives_z_that_decodes_to_the_molecule(self) -> None:
        observations, space = toy_observations(), ToySpace()
        for candidate in self.make().propose(observations, space, 4, seed=2):
            assert candidate.z.shape == (space.dim,)
            assert candidate.z.dtype == torch.float64
            assert not candidate.z.requires_grad
            assert bool(torch.isfinite(candidate.z).all())
            assert bool((candidate.z >= space.bounds[0]).all())
            assert bool((candidate.z <= space.bounds[1]).all())
            assert space.decode(candidate.z[None]) == [candidate.smiles]

    @pytest.mark.parametrize("pending", [0, 3])
    def test_propose_depends_on_its_seed_and_not_on_global_seeds(self, pending: int) -> None:
        observations, space, strategy = toy_observations(pending=pending), ToySpace(), self.make()
        batches = []
        for global_seed in (0, 1):
            torch.manual_seed(global_seed)
            np.random.seed(global_seed)  # noqa: NPY002 - the legacy state is what must not matter
            random.seed(global_seed)
            batches.append(strategy.propose(observations, space, 3, seed=5))
        for one, other in zip(*batches, strict=True):
            assert one.smiles == other.smiles
            assert torch.equal(one.z, other.z)

    def test_propose_with_another_seed_gives_other_molecules(self) -> None:
        observations, space, strategy = toy_observations(), ToySpace(), self.make()
        batches = {
            tuple(c.smiles for c in strategy.propose(observations, space, 4, seed=seed))
            for seed in range(2)
        }
        assert len(batches) > 1

    def test_propose_leaves_global_random_states_and_threads_unchanged(self) -> None:
        def states() -> tuple[Any, ...]:
            numpy_state = np.random.get_state()  # noqa: NPY002
            return torch.get_rng_state().tolist(), str(numpy_state), random.getstate()

        observations, space = toy_observations(), ToySpace()
        before, threads = states(), torch.get_num_threads()
        self.make().propose(observations, space, 2, seed=3)
        assert states() == before
        assert torch.get_num_threads() == threads

    def test_propose_leaves_observations_unchanged(self) -> None:
        observations, copy = toy_observations(pending=3), toy_observations(pending=3)
        self.make().propose(observations, ToySpace(), 2, seed=3)
        assert torch.equal(observations.z, copy.z)
        assert torch.equal(observations.y, copy.y)
        assert torch.equal(observations.pending_z, copy.pending_z)


class LearningStrategyContract(StrategyContract):
    """In addition: finds better molecules than drawing from the prior does."""

    def test_search_finds_better_molecules_than_random(self) -> None:
        assert sum(self.search(self.make())) > sum(self.search(Random())) + 1.0

    def search(self, strategy: Strategy, *, batches: int = 2, batch: int = 4) -> list[float]:
        """Best value of the hill after some batches, for three starts."""
        space, objective, found = ToySpace(), ToyObjective(), []
        for seed in range(3):
            observations = toy_observations(n=8, failed=0, seed=seed)
            for step in range(batches):
                new = strategy.propose(observations, space, batch, seed=100 * seed + step)
                smiles = [candidate.smiles for candidate in new]
                y = torch.tensor(objective(smiles), dtype=torch.float64).reshape(-1, 1)
                observations = Observations(
                    smiles=(*observations.smiles, *smiles),
                    z=torch.cat([observations.z, torch.stack([c.z for c in new])]),
                    y=torch.cat([observations.y, y]),
                    pending_z=observations.pending_z,
                    known=observations.known | set(smiles),
                    bounds=space.bounds,
                )
            found.append(float(observations.y.max()))
        return found


__all__ = ["LearningStrategyContract", "StrategyContract", "toy_observations"]
