"""New molecules from a latent space: sample, repair or reject, and meet conditions.

Rejection sampling: invalid, off-target and rejected samples are redrawn a bounded number of times;
the best attempt is kept.

References:
    Kang and Cho (2018), doi:10.1021/acs.jcim.8b00801 (conditions).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from molvae.chem._parallel import parallel_map
from molvae.chem.molecules import has_radicals
from molvae.config import check_seed, later_seed
from molvae.errors import UnknownNameError, require, warn, without_warnings
from molvae.latent.conversion import (
    check_sampling,
    map_molecules,
    to_molecule,
    vector_count,
    write_tokens,
)
from molvae.model.checkpoint import PRIOR_SOURCES, PriorSource
from molvae.model.corruption import add_noise
from molvae.model.isolation import isolated
from molvae.model.priors import ConditionalPrior

if TYPE_CHECKING:
    from molvae.chem.representations import Representation
    from molvae.latent.space import LatentSpace

MAX_RESAMPLES, MAX_RESAMPLES_CONDITIONAL = 10, 20
"""Rounds of resampling at most; with conditions more, since more samples come nearer to them."""
MIN_ROUND_SIZE = 20  # samples from which the share of repaired molecules is judged
RESAMPLE_SEED_STEP = 1_000_003
"""Added to the seed from one round to the next: far from the seeds that a user counts up."""
MAX_OVERSAMPLING = 1_000
CONDITION_TOLERANCE = 0.25  # expected error of a condition that is accepted, in standard deviations


@isolated()
def sample_prior(
    space: LatentSpace,
    n: int,
    seed: int = 0,
    *,
    conditions: Mapping[str, float] | None = None,
    source: PriorSource | None = None,
) -> Tensor:
    """Latent vectors of new molecules, `n x dim`; the same for the same seed.

    A learned density spreads to where no molecule lies, and what is decoded greedily there is
    odd. So a model can say that its samples are those of the density (`density`) written under
    noise, as `generate` does, and encoded again (`molecules`): one step of the Markov chain of
    a denoising autoencoder.

    Args:
        conditions: Values by name, in their own units, e.g. `{"logP": 2.5}`; other conditions
            are sampled given these, and z given all of them. From the density.
        source: `density` or `molecules`; None for the model's default, `card.prior_source`.

    Raises:
        ConfigError: n is negative, a condition is not finite, or the model has no conditions;
            or both conditions and `molecules` are given.
        UnknownNameError: The model has no such condition, or there is no such source.

    References:
        Bengio et al. (2013), arXiv:1305.6663.
    """
    if source is None:
        source = "density" if conditions else space.card.prior_source
    if source not in PRIOR_SOURCES:
        raise UnknownNameError("source of samples", str(source), PRIOR_SOURCES)
    require(
        source == "density" or not conditions,
        'samples under conditions come from the density: give source="density"',
    )
    z = sample_density(space, n, seed, conditions)
    if source == "density":
        return z
    made = {i: one.molecule for i, one in enumerate(generate(space, n, seed)) if one.molecule}
    with without_warnings():  # where there is no molecule that the model can read, z stays
        encoded = space.sample_posterior(list(made.values()), seed=seed, skip_unknown=True)[:, 0]
    there = list(made)
    z[there] = torch.where(encoded.isnan(), z[there], encoded)
    return z


def sample_density(
    space: LatentSpace, n: int, seed: int, conditions: Mapping[str, float] | None
) -> Tensor:
    """Samples from the density of the prior, `n x dim`, conditions among them."""
    n = vector_count(n, "n")
    generator = torch.Generator().manual_seed(check_seed(seed))
    if not conditions:
        return space.prior.sample(n, generator).double()
    values = standardize(space, conditions)
    assert isinstance(space.prior, ConditionalPrior)
    return space.prior.sample(n, generator, values).double()


@isolated()
def translate(
    space: LatentSpace, smiles: Sequence[str], conditions: Mapping[str, float]
) -> list[str | None]:
    """Molecules like the given ones, with other conditions; canonical SMILES or None.

    z goes through the prior's flow to its noise, given the molecule's own conditions, and back
    given the new ones: what z says beside the conditions is kept. Conditions that are not named
    keep the encoder's estimate. Errors as for `LatentSpace.encode` and `sample_prior`.
    """
    values = standardize(space, conditions)
    require(
        space.config.latent_dim > 0,
        f"{space.title} has no z that could be kept; use generate(conditions=...)",
    )
    assert isinstance(space.prior, ConditionalPrior)
    z = space.encode(smiles)
    y = z[:, space.config.latent_dim :].clone()
    for place, value in values.items():
        y[:, place] = value
    return space.decode(space.prior.moved(z.float(), y.float()).double())


def standardize(space: LatentSpace, conditions: Mapping[str, float]) -> dict[int, float]:
    """Conditions by their place, in standard deviations from the mean of the training molecules.

    Raises:
        ConfigError: A value is not finite, or the model has no conditions.
        UnknownNameError: The model has no such condition.
    """
    require(
        bool(space.conditions),
        f"{space.title} was trained without conditions; train one with "
        'conditions = ["logP", ...] in its configuration',
    )
    places = {name.lower(): place for place, name in enumerate(space.conditions)}
    values: dict[int, float] = {}
    for name, value in conditions.items():
        if (place := places.get(name.lower())) is None:
            raise UnknownNameError("condition", name, space.conditions)
        require(math.isfinite(value), f"{name} must be a finite number, got {value}")
        condition = space.card.conditions[place]
        values[place] = (value - condition.mean) / condition.std
    return values


def generate(
    space: LatentSpace,
    n: int,
    seed: int,
    *,
    noise: float | None = None,
    temperature: float | None = None,
    redraw: bool = True,
    conditions: Mapping[str, float] | None = None,
    condition_tolerance: float | None = None,
    oversampling: float = 1.0,
) -> list[Sample]:
    """See `LatentSpace.generate`."""
    default_noise, default_temperature = space.card.sampling_defaults
    level = default_noise if noise is None else noise
    check_sampling(space, level, 0.0 if temperature is None else temperature)
    if temperature is None:
        is_sampled = level > 0 or space.config.latent_dim == 0
        temperature = default_temperature if is_sampled else 0.0
    n, seed = vector_count(n, "n"), check_seed(seed)
    require(
        condition_tolerance is None or bool(conditions),
        f"condition_tolerance={condition_tolerance} is for conditions; give them, too",
    )
    tolerance = CONDITION_TOLERANCE if condition_tolerance is None else condition_tolerance
    require(tolerance >= 0, f"condition_tolerance must not be negative, got {tolerance}")
    require(
        1 <= oversampling <= MAX_OVERSAMPLING,
        f"oversampling must lie in [1, {MAX_OVERSAMPLING}], got {oversampling}",
    )
    wanted = standardize(space, conditions) if conditions else {}
    # It was learned from molecules that were generated with the default settings.
    as_learned = not wanted and (level, temperature) == space.card.sampling_defaults
    acceptance = space.acceptance if redraw and as_learned else None

    def sample(n: int, seed: int) -> list[Sample]:
        z = sample_density(space, n, seed, conditions)
        generator = torch.Generator().manual_seed(later_seed(seed, 1))
        z = add_noise(z, z.new_full((n,), level), space.config.latent_dim, generator)
        rows, sure = write_tokens(space, z, noise=level, temperature=temperature, seed=seed)
        read = parallel_map(partial(_read, space.representation, space.radicals), rows)
        made, repaired = [molecule for molecule, _ in read], [repaired for _, repaired in read]
        rejected = [False] * n
        if acceptance is not None:
            there = [i for i, molecule in enumerate(made) if molecule is not None]
            accepted = acceptance.probabilities([m for m in made if m is not None])
            luck = np.random.default_rng(later_seed(seed, 2)).random(n)[there]
            for i, is_accepted in zip(there, luck < accepted, strict=True):
                rejected[i] = not is_accepted
        errors = _condition_errors(space, made, wanted)
        return list(map(Sample, made, repaired, errors, sure, rejected))

    rounds = (MAX_RESAMPLES_CONDITIONAL if wanted else MAX_RESAMPLES) if redraw else 0
    drawn = math.ceil(n * oversampling)
    best = rejection_sample(sample, drawn, seed=seed, redraws=rounds, tolerance=tolerance)
    best = surest(best, n)
    off_target = sum(one.condition_error > tolerance for one in best)
    if redraw and off_target:
        warn(
            f"{off_target} of {n} molecules are expected to miss the conditions by more than "
            f"{tolerance:g} standard deviations, by the encoder's estimate: few molecules are like "
            "that, or the encoder is uncertain"
        )
    return best


def _read(
    representation: Representation, radicals: bool, tokens: Sequence[str]
) -> tuple[str | None, bool]:
    """The molecule of tokens, None for an unwanted radical; and whether it counts as repaired."""
    molecule = to_molecule(representation, tokens)
    if molecule is not None and not radicals and has_radicals(molecule):
        return None, True
    return molecule, not representation.is_valid_as_written(tokens)


def surest(samples: Sequence[Sample], n: int) -> list[Sample]:
    """The n samples that the decoder is surest of, in their order; molecules before nothing."""
    order = sorted(
        range(len(samples)), key=lambda i: (samples[i].molecule is None, -samples[i].confidence)
    )
    return [samples[i] for i in sorted(order[:n])]


def _condition_errors(
    space: LatentSpace, molecules: Sequence[str | None], wanted: Mapping[int, float]
) -> list[float]:
    """Expected error of the worst condition of each molecule, in standard deviations.

    The root mean square under q(y | molecule). The uncertainty counts, since the encoder misreads
    odd molecules, and is rarely certain then. Infinite for molecules that the model cannot read; 0
    without conditions.
    """
    if not wanted:
        return [0.0] * len(molecules)

    def moments(ids: Tensor) -> Tensor:
        mean, logvar = space.model.conditions(ids)
        return torch.cat([mean, (0.5 * logvar).exp()], dim=1)

    known = [molecule for molecule in molecules if molecule is not None]
    with without_warnings():  # NaN stands for molecules that cannot be read
        width = 2 * len(space.conditions)
        mean, std = map_molecules(space, known, moments, width, True).chunk(2, 1)
    off = torch.stack([torch.hypot(mean[:, i] - y, std[:, i]) for i, y in wanted.items()])
    errors = iter(off.amax(dim=0).nan_to_num(math.inf).tolist())
    return [math.inf if molecule is None else next(errors) for molecule in molecules]


class Sample(NamedTuple):
    """A sampled molecule and its faults."""

    molecule: str | None  # canonical SMILES; None where there is no molecule
    repaired: bool  # whether the tokens needed repair to be a molecule
    condition_error: float  # expected error of the conditions; 0 without any
    confidence: float = 0.0  # log-probability per token, nats
    rejected: bool = False  # whether the training molecules have fewer such, see `Acceptance`


def rejection_sample(
    draw: Callable[[int, int], list[Sample]], n: int, *, seed: int, redraws: int, tolerance: float
) -> list[Sample]:
    """The best attempts of repeated sampling: n samples, each the best of its rounds.

    Attempts are ranked: valid before invalid, unrepaired before repaired, accepted before rejected,
    then by condition error.
    If more than half of the first round needed repair, repair is ignored, because resampling would
    rarely help.

    Args:
        draw: Makes a number of samples with a seed.
        n: Samples to return.
        redraws: Further rounds at most.
        tolerance: Condition error that is accepted.
    """
    best, places = [Sample(None, True, math.inf, -math.inf)] * n, list(range(n))
    mostly_repaired = False

    def fault(one: Sample) -> tuple[bool, bool, bool, float]:
        repaired = one.repaired and not mostly_repaired
        return one.molecule is None, repaired, one.rejected, one.condition_error

    for turn in range(redraws + 1):
        drawn = draw(len(places), later_seed(seed, turn * RESAMPLE_SEED_STEP))
        if turn == 0:
            mostly_repaired = 2 * sum(one.repaired for one in drawn) > max(n, MIN_ROUND_SIZE)
        for place, one in zip(places, drawn, strict=True):
            best[place] = min(one, best[place], key=fault)
        # No molecule is an outcome like others, unless there are conditions.
        places = [i for i in places if fault(best[i])[1:] > (False, False, tolerance)]
        if not places:
            break
    return best
