"""Make the check that proposals of a campaign must pass.

Settings, the model's training molecules and the initial molecules decide what it refuses; the check
itself is `molvae.chem.plausibility.Plausibility`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from molvae.bo.origins import START
from molvae.config import CampaignConfig, plausibility_parts
from molvae.errors import MolvaeError

if TYPE_CHECKING:
    from molvae.campaign.trial import Trial
    from molvae.chem.cores import Core
    from molvae.chem.diversity import Diversity
    from molvae.chem.plausibility import Plausibility
    from molvae.chem.precedents import Precedents


def plausibility_of(config: CampaignConfig, trials: Sequence[Trial]) -> Plausibility | None:
    """The check that proposals of a campaign have to pass; None if it has no part that can act."""
    from molvae.chem.molecules import canonical
    from molvae.chem.precedents import of_model

    start = tuple(trial.smiles for trial in trials if trial.origin == START)
    core = core_to_keep(config)
    kept = () if core is None else core.forms()
    kept += () if config.similar_to is None else (canonical(config.similar_to),)
    return _plausibility(
        plausibility_parts(config.plausibility),
        of_model(config.space),
        start,
        kept,
        given=not isinstance(config.start, int),
    )


def core_to_keep(config: CampaignConfig) -> Core | None:
    """The core that proposals of a campaign have to hold; None if there is none."""
    if config.keep is None:
        return None
    from molvae.chem.cores import core_of

    return core_of(config.keep)


def demanded_diversity(config: CampaignConfig) -> Diversity | None:
    """How unlike the proposals of a campaign have to be; None if nothing is demanded."""
    if not (config.batch_distance or config.per_scaffold):
        return None
    from molvae.chem.diversity import Diversity

    return Diversity(batch_distance=config.batch_distance, per_scaffold=config.per_scaffold)


def full_check(config: CampaignConfig, trials: Sequence[Trial]) -> Plausibility | None:
    """A check with all of its parts, whatever the campaign avoids: it names findings.

    None for a file with texts that are no molecules, which molvae did not write.
    """
    try:
        return plausibility_of(replace(config, plausibility=CampaignConfig.plausibility), trials)
    except MolvaeError:
        return None


def inactive_parts(config: CampaignConfig) -> str:
    """Why parts of the check cannot act, as a message; empty if all can."""
    from molvae.chem.precedents import of_model

    wanted = {"precedents", "size"}.intersection(plausibility_parts(config.plausibility))
    if not wanted or of_model(config.space) is not None:
        return ""
    said = []
    if "precedents" in wanted:
        said.append("new ring systems and atom environments are not avoided")
    if "size" in wanted:
        said.append("only the initial molecules say which sizes are usual")
    return (
        f"{config.space or 'the model'} has no precedents of its training molecules: "
        f"{'; '.join(said)} (pipelines/precedents.py makes the file)"
    )


@lru_cache(maxsize=8)
def _plausibility(
    parts: tuple[str, ...],
    precedents: Precedents | None,
    start: tuple[str, ...],
    core: tuple[str, ...],
    given: bool,
) -> Plausibility | None:
    """The check; findings of initial molecules are allowed if the user gave these."""
    from molvae.chem.molecules import parse
    from molvae.chem.plausibility import CATALOGS, MAX_SIZE_FACTOR, MIN_SIZE_FACTOR, Plausibility

    window = None
    if "size" in parts and precedents is not None:
        window = precedents.heavy_atoms
    elif "size" in parts and start:
        sizes = [parse(smiles).GetNumHeavyAtoms() for smiles in start]
        window = (int(MIN_SIZE_FACTOR * min(sizes)), int(MAX_SIZE_FACTOR * max(sizes)))
    found = Plausibility(
        catalogs=CATALOGS if "alerts" in parts else (),
        precedents=precedents if "precedents" in parts else None,
        heavy_atoms=window,
    )
    if not found.catalogs and found.precedents is None and window is None:
        return None
    return found.for_start(start if given else (), core)
