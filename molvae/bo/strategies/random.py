"""Random search: molecules sampled from the prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from molvae.bo.base import Candidate, Observations, _at_least_one
from molvae.bo.candidates import PATIENCE, decode_novel
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated


@dataclass(frozen=True, kw_only=True)
class Random:
    """Draws from the prior: the baseline that every other strategy has to beat."""

    name: ClassVar[str] = "random"
    patience: int = PATIENCE
    """Vectors decoded per molecule wanted before the search is given up."""

    def __post_init__(self) -> None:
        _at_least_one(self, "patience")

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`; the values are not looked at."""
        z = space.sample_prior(n, seed=seed)
        return decode_novel(
            space,
            z,
            observations.known,
            bounds=observations.bounds,
            seed=seed,
            rounds=0,
            patience=self.patience,
        )


__all__ = ["Random"]
