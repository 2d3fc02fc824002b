"""From latent vectors to new molecules.

A decoder maps many vectors to one molecule and some to none, so each vector starts a search.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import torch
from botorch.models.model import Model
from botorch.utils.sampling import draw_sobol_samples
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor

from molvae.bo.base import Candidate, Observations
from molvae.bo.operators import encoded
from molvae.errors import CampaignError
from molvae.latent.density import proposable
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import spawn_seed

INITIAL_RADIUS = 0.01
"""First step, as a share of the box's width per dimension; each round doubles it."""


MAX_ROUNDS = 6  # number of radii; the last one is 0.32 of the width
N_BRANCHES = 24  # branches of the molecule at a vector
MAX_TRIES = 8  # vectors to decode per radius and molecule
MAX_DECODE_ATTEMPTS = 256  # vectors to decode per molecule before giving up
MAX_POOL_SIZE = 256
"""Vectors kept for a batch of Thompson samples at most; about as many branches are made."""

MAX_BRANCHED = 32  # of these molecules, as many are branched, the most promising ones


def everything(smiles: str, chosen: Sequence[str] = ()) -> bool:
    """Accepts any molecule beside any others."""
    return True


def decode_novel(
    space: LatentSpaceProtocol,
    z: Tensor,
    taken: Collection[str],
    *,
    bounds: Tensor,
    seed: int,
    rounds: int = MAX_ROUNDS,
    max_attempts: int = MAX_DECODE_ATTEMPTS,
    accepts: Callable[[str, Sequence[str]], bool] = everything,
) -> list[Candidate]:
    """One new molecule for each latent vector, at the vector or near it.

    If `z` decodes to a molecule that is not new or not accepted, branches of it are decoded at `z`
    (see `LatentSpace.branch`), and the one with the nearest encoding is taken. Otherwise vectors
    `z + r w u` are decoded, clipped to the box, with `w` its widths, `u` standard normal, and `r`
    doubled from 0.01 on; the first new molecule is taken. Rows without a molecule after `rounds`
    radii get samples from the prior.

    Args:
        z: Chosen vectors, `n x d`.
        taken: Molecules to avoid.
        bounds: The box, `2 x d`, to clip to.
        rounds: Number of radii; 0 samples from the prior at once.
        max_attempts: Vectors to decode per row before giving up.
        accepts: Whether a molecule may be proposed beside others, see `Observations.accepts`.

    Returns:
        `n` candidates in the order of `z`; each has the decoded vector, branches their encodings.

    Raises:
        CampaignError: No new molecule was found.
    """
    found: list[Candidate | None] = [None] * len(z)
    seen = set(taken)

    def chosen() -> list[str]:
        return [candidate.smiles for candidate in found if candidate is not None]

    def settle(owners: list[int | None], vectors: Tensor) -> None:
        """Assign new molecules to the rows of their vectors, or to the first open row."""
        for owner, vector, smiles in zip(owners, vectors, space.decode(vectors), strict=True):
            row = owner if owner is not None else next(iter(missing(found)), None)
            if row is None or found[row] is not None or smiles is None or smiles in seen:
                continue
            if proposable(space, smiles) and accepts(smiles, chosen()):
                seen.add(smiles)
                found[row] = Candidate(smiles, vector.clone())

    if len(z):
        settle(list(range(len(z))), z)
    rows = missing(found)
    if rows and rounds and hasattr(space, "branch"):
        for row, candidate in zip(rows, branches_near(space, z[rows], seed=seed), strict=True):
            new = (c for c in candidate if c.smiles not in seen and proposable(space, c.smiles))
            first = next((c for c in new if accepts(c.smiles, chosen())), None)
            if first is not None:
                seen.add(first.smiles)
                found[row] = first
    generator = torch.Generator().manual_seed(seed)
    width = bounds[1] - bounds[0]
    decoded = 1
    for k in range(rounds):
        if not (rows := missing(found)):
            break
        anchors = [row for row in rows for _ in range(MAX_TRIES)]
        u = torch.randn(len(anchors), z.shape[1], generator=generator, dtype=z.dtype)
        near = (z[anchors] + INITIAL_RADIUS * 2**k * width * u).clamp(bounds[0], bounds[1])
        settle(list(anchors), near)
        decoded += MAX_TRIES
    draw = 0
    while rows := missing(found):
        if decoded >= max_attempts:
            raise CampaignError(
                f"no new molecule after {decoded} vectors were decoded for each of {len(rows)} "
                f"wanted ({len(taken)} molecules are in the campaign already, others may not be "
                "plausible, or too near to others of the batch); ask for fewer, or end the campaign"
            )
        draw += 1
        settle(
            [None] * (MAX_TRIES * len(rows)),
            space.sample_prior(MAX_TRIES * len(rows), seed=spawn_seed(seed, draw)),
        )
        decoded += MAX_TRIES
    return [candidate for candidate in found if candidate is not None]


def accepted_beside(
    observations: Observations, earlier: Sequence[str], smiles: str, more: Sequence[str]
) -> bool:
    """`Observations.accepts` for a batch of which molecules were chosen earlier."""
    return observations.accepts(smiles, [*earlier, *more])


def branches_near(space: LatentSpaceProtocol, z: Tensor, *, seed: int) -> list[list[Candidate]]:
    """Branches of the molecule at each vector, with their encodings, the nearest first."""
    at = space.decode(z)
    there = [row for row, smiles in enumerate(at) if smiles is not None]
    able = space.can_encode([str(at[row]) for row in there])
    rows = [row for row, ok in zip(there, able, strict=True) if ok for _ in range(N_BRANCHES)]
    found: list[list[Candidate]] = [[] for _ in at]
    if not rows:
        return found
    made = space.branch([str(at[row]) for row in rows], z[rows], seed=seed)
    owners = {(row, one.smiles): None for row, one in zip(rows, made, strict=True) if one.smiles}
    smiles = [str(molecule) for _, molecule in owners]
    by_smiles = {one.smiles: one for one in encoded(space, [*dict.fromkeys(smiles)])}
    width = space.bounds[1] - space.bounds[0]
    for (row, _), molecule in zip(owners, smiles, strict=True):
        if molecule in by_smiles:
            found[row].append(by_smiles[molecule])
    for row, several in enumerate(found):
        several.sort(key=lambda c: float(((c.z - z[row]) / width).square().sum()))
    return found


def missing(found: list[Candidate | None]) -> list[int]:
    """Rows without a candidate."""
    return [row for row, candidate in enumerate(found) if candidate is None]


def local_and_global_samples(
    z: Tensor, bounds: Tensor, n: int, *, share: float, sigma: float, seed: int
) -> Tensor:
    """Latent vectors near good ones, and a Sobol sequence over the box.

    Near a good vector, each dimension is perturbed with probability min(1, 20/d), at least one, by
    a normal step: in many dimensions, perturbing all at once goes too far.

    Args:
        z: Good vectors, `k x d`.
        bounds: The box, `2 x d`.
        share: Fraction of vectors near `z`, in [0, 1].
        sigma: Standard deviation of a step, as a share of the box's width.

    Returns:
        `n x d`, float64.

    References:
        Regis and Shoemaker (2013), doi:10.1080/0305215X.2012.687731 (perturbing some dimensions);
        Eriksson et al. (2019), arXiv:1910.01739 (min(1, 20/d), Thompson sampling among such
        points).
    """
    near, d = round(share * n), bounds.shape[1]
    generator = torch.Generator().manual_seed(seed)
    anchors = z[torch.randint(len(z), (near,), generator=generator)]
    moved = torch.rand(near, d, generator=generator) < min(1.0, 20.0 / d)
    moved[torch.arange(near), torch.randint(d, (near,), generator=generator)] = True
    steps = torch.randn(near, d, generator=generator, dtype=z.dtype) * moved
    around = (anchors + sigma * (bounds[1] - bounds[0]) * steps).clamp(bounds[0], bounds[1])
    if near == n:
        return around
    across = draw_sobol_samples(bounds, n=n - near, q=1, seed=spawn_seed(seed, 0)).squeeze(1)
    return torch.cat([around, across])


def trust_region_samples(center: Tensor, region: Tensor, n: int, *, seed: int) -> Tensor:
    """Vectors in a region around its center, `n x d`, with some dimensions perturbed at a time.

    Each dimension is moved with probability min(1, 20/d), at least one, to that of a scrambled
    Sobol sequence.

    Args:
        center: `d`.
        region: A box, `2 x d`.

    References:
        Eriksson et al. (2019), arXiv:1910.01739.
    """
    d = len(center)
    generator = torch.Generator().manual_seed(seed)
    moved = torch.rand(n, d, generator=generator) < min(1.0, 20.0 / d)
    moved[torch.arange(n), torch.randint(d, (n,), generator=generator)] = True
    places = draw_sobol_samples(region, n=n, q=1, seed=spawn_seed(seed, 0)).squeeze(1)
    return torch.where(moved, places, center)


def decoded_pool(
    space: LatentSpaceProtocol, z: Tensor, observations: Observations, *, seed: int
) -> list[Candidate]:
    """New molecules that vectors decode to, and branches of them, each with its own encoding.

    A vector is seldom the encoding of the molecule that it decodes to. A surrogate of encodings
    therefore ranks these molecules better than the vectors.

    Args:
        z: Vectors, `n x d`, the most promising first.
        observations: Molecules to avoid.
    """
    at: dict[str, int] = {}
    for row, smiles in enumerate(space.decode(z)):
        if smiles is not None:
            at.setdefault(smiles, row)
    pool = {one.smiles: one for one in encoded(space, [*at])}
    if pool and hasattr(space, "branch"):
        first = [*pool][:MAX_BRANCHED]
        several = [s for s in first for _ in range(MAX_POOL_SIZE // len(first))]
        made = space.branch(several, z[[at[s] for s in several]], seed=seed)
        new = dict.fromkeys(one.smiles for one in made if one.smiles and one.smiles not in pool)
        pool |= {one.smiles: one for one in encoded(space, [*new])}
    known = observations.known
    return [c for s, c in pool.items() if s not in known and proposable(space, s)]


def propose_decoded(
    space: LatentSpaceProtocol,
    z: Tensor,
    value: Callable[[Tensor, Sequence[Candidate]], Tensor],
    observations: Observations,
    n: int,
    *,
    seed: int,
    max_attempts: int,
) -> list[Candidate]:
    """Choose molecules of a `decoded_pool` one after another, each the best of those accepted.

    Args:
        z: Vectors, at least `n`, the most promising first, `m x d`.
        value: What the next molecule is chosen by, larger is better: from encodings, `p x d`, and
            the molecules chosen before, to `p`.
        n: Number of molecules; if the pool has too few, `decode_novel` finds the rest.
        max_attempts: Vectors to decode per molecule before giving up.
    """
    pool = decoded_pool(space, z, observations, seed=spawn_seed(seed, 1))
    encodings = torch.stack([one.z for one in pool]) if pool else z[:0]
    chosen: list[Candidate] = []
    looked_at = set[int]()
    while pool and len(chosen) < n:
        with torch.no_grad():
            ranking = value(encodings, chosen).argsort(descending=True, stable=True).tolist()
        for place in ranking:
            if place not in looked_at:
                looked_at.add(place)
                beside = [one.smiles for one in chosen]
                if observations.accepts(pool[place].smiles, beside):
                    chosen.append(pool[place])
                    break
        else:
            break
    rest = decode_novel(
        space,
        z[: n - len(chosen)],
        {*observations.known, *(one.smiles for one in chosen)},
        bounds=expand_bounds(observations),
        seed=spawn_seed(seed, 2),
        max_attempts=max_attempts,
        accepts=partial(accepted_beside, observations, [one.smiles for one in chosen]),
    )
    return [*chosen, *rest]


def propose_sampled(
    space: LatentSpaceProtocol,
    model: Model,
    z: Tensor,
    observations: Observations,
    n: int,
    *,
    seed: int,
    max_attempts: int,
) -> list[Candidate]:
    """Thompson sampling: each molecule is the best under its own sample of the posterior.

    The pool is that of the vectors, among `z` of `m x d`, that are best under samples at vectors;
    see `propose_decoded` for the other arguments.
    """
    return propose_decoded(
        space,
        sampled_best(model, z, n),
        lambda encodings, _: posterior_samples(model, encodings, 1)[0],
        observations,
        n,
        seed=seed,
        max_attempts=max_attempts,
    )


def posterior_samples(model: Model, z: Tensor, n: int) -> Tensor:
    """Joint samples of a value at vectors, `n x m`.

    Vectors may nearly coincide, which makes their covariance singular: it gets as much jitter as it
    needs, in units of its largest variance.
    """
    with torch.no_grad():
        posterior: Any = model.posterior(z)
        covariance = posterior.distribution.covariance_matrix  # m x m
        scale = covariance.diagonal().max().clamp_min(torch.finfo(z.dtype).tiny)
        root = psd_safe_cholesky(covariance / scale, jitter=1e-8, max_tries=8)
        normal = torch.randn(n, len(z), dtype=z.dtype)
        samples: Tensor = posterior.mean[:, 0] + scale.sqrt() * normal @ root.mT
    return samples


def sampled_best(model: Model, z: Tensor, n: int) -> Tensor:
    """At most `MAX_POOL_SIZE` vectors, the best under `n` joint samples of a posterior, `k x d`.

    First the best of each sample, then the second best of each, and so on.
    """
    ranked = (
        posterior_samples(model, z, n)
        .argsort(dim=1, descending=True, stable=True)
        .T.flatten()
        .tolist()
    )
    return z[list(dict.fromkeys(ranked))[:MAX_POOL_SIZE]]


def expand_bounds(observations: Observations) -> Tensor:
    """The box, widened to hold all observed molecules, `2 x d`."""
    low, high = observations.bounds
    if len(observations.z):
        low = torch.minimum(low, observations.z.amin(dim=0))
        high = torch.maximum(high, observations.z.amax(dim=0))
    return torch.stack([low, high])
