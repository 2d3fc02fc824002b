"""Screening: molecules of a data set, ranked by the surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from molvae.bo.base import Candidate, Observations, check_at_least, check_order, documented
from molvae.bo.candidates import spawn_seed
from molvae.bo.screening import sample_dataset, training_dataset
from molvae.bo.strategies.rank import Rank
from molvae.bo.surrogate import reproducible
from molvae.errors import CampaignError
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated


@documented
@dataclass(frozen=True, kw_only=True)
class Screen:
    """Upper confidence bounds of random molecules of a data set: nothing is generated.

    Shows how much of a result is due to molecules that are known already. Surrogate, kappas and
    batches are those of `Rank`.

    References:
        Graff et al. (2021), doi:10.1039/D0SC06805E (screening a library by Bayesian optimization).
    """

    name: ClassVar[str] = "screen"
    dataset: str = ""
    """Data set or file to screen; by default the data set that the model was trained on."""
    n_screened: int = 1000
    """Random molecules that are ranked for each batch."""
    kappa_min: float = Rank.kappa_min
    """Smallest weight of the standard deviation."""
    kappa_max: float = Rank.kappa_max
    """Largest weight of the standard deviation, see `Rank`."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "n_screened")
        check_order(self, "kappa_min", "kappa_max")

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        observations.require_observations(self.name, 1, several=True)
        dataset = self.dataset or training_dataset(space)
        if dataset is None:
            raise CampaignError(
                f"the training data of {space.name!r} is not at hand; name a data set or a file: "
                "screen:dataset=NAME"
            )
        rank = Rank(kappa_min=self.kappa_min, kappa_max=self.kappa_max)
        with reproducible(seed), torch.no_grad():
            pool = rank.pool(observations, space, n, np.random.default_rng(seed), seed=seed)
            pool.add(sample_dataset(dataset, self.n_screened, seed=spawn_seed(seed, 0)), None, "")
            chosen = pool.batch()
        if len(chosen) < n:
            raise CampaignError(
                f"{len(chosen)} of {self.n_screened} molecules of {dataset} are new, plausible "
                f"and encodable; {n} were asked for; raise n_screened or ask for fewer"
            )
        return chosen
