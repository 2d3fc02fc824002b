"""The latent space that proposals are made in: it has learned a series, and keeps a core."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from molvae.bo.origins import GIVEN, START
from molvae.errors import require

if TYPE_CHECKING:
    from molvae.campaign.trial import NewTrial, Trial
    from molvae.config import CampaignConfig
    from molvae.latent.keeping import KeepingSpace
    from molvae.latent.protocol import LatentSpaceProtocol
    from molvae.latent.space import LatentSpace

MIN_SERIES = 10
"""Measured analogues among the initial molecules from which the decoder is fine-tuned on all."""
MAX_SCAFFOLDS = 20  # forms in which a SMARTS is written


def proposing_space(
    config: CampaignConfig, space: LatentSpaceProtocol, trials: Sequence[Trial]
) -> LatentSpaceProtocol:
    """The space in which a campaign's strategy searches."""
    if config.tune:
        start = tuple(trial.smiles for trial in trials if trial.origin == START)
        space = _tuned(cast(Any, space), start)
    if config.keep is None:
        return space
    given = (trial.smiles for trial in trials if trial.origin in GIVEN)
    return cast("LatentSpaceProtocol", keeping_space(space, config.keep, given))


def is_series(trials: Sequence[NewTrial]) -> bool:
    """Whether initial molecules are a measured series, on which a decoder is fine-tuned."""
    if sum(one.outcome is not None for one in trials) < MIN_SERIES:
        return False
    from molvae.bo.analogs import nearest_similarities

    return nearest_similarities(tuple(one.smiles for one in trials)) is not None


@lru_cache(maxsize=2)
def _tuned(space: Any, smiles: tuple[str, ...]) -> LatentSpaceProtocol:
    return cast("LatentSpaceProtocol", space.tuned(smiles))


def keeping_space(space: LatentSpaceProtocol, keep: str, given: Iterable[str]) -> KeepingSpace:
    """A space that keeps a core; a SMARTS is written as in given molecules that hold it.

    Raises:
        ConfigError: The space is not that of a model of SMILES, or see `KeepingSpace`.
    """
    from molvae.chem.cores import core_of
    from molvae.latent.space import LatentSpace

    require(
        isinstance(space, LatentSpace),
        f"keep needs a model that writes SMILES, not {space.name or 'this space'}",
    )
    core = core_of(keep)
    scaffolds: dict[str, None] = {keep: None} if core.smiles is not None else {}
    for smiles in given if core.smiles is None else ():
        if len(scaffolds) < MAX_SCAFFOLDS and (one := core.scaffold(smiles)) is not None:
            scaffolds[one] = None
    return _keeping(cast("LatentSpace", space), keep, tuple(scaffolds))


@lru_cache(maxsize=4)
def _keeping(space: LatentSpace, keep: str, scaffolds: tuple[str, ...]) -> KeepingSpace:
    from molvae.chem.cores import core_of
    from molvae.latent.keeping import KeepingSpace

    return KeepingSpace(space, core_of(keep), scaffolds)
