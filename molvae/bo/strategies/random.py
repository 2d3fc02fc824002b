"""Random search: molecules sampled from the prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from molvae.bo.base import Candidate, Observations, check_at_least, documented
from molvae.bo.candidates import MAX_DECODE_ATTEMPTS, decode_novel
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated


@documented
@dataclass(frozen=True, kw_only=True)
class Random:
    """Samples from the prior: the baseline of every other strategy."""

    name: ClassVar[str] = "random"
    max_decode_attempts: int = MAX_DECODE_ATTEMPTS
    """Latent vectors to decode per molecule before giving up."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "max_decode_attempts")

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
            max_attempts=self.max_decode_attempts,
            accepts=observations.accepts,
        )
