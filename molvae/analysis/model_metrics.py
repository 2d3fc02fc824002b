"""Metrics of a model: reconstruction, likelihood, regression, smoothness, generated molecules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from molvae.analysis.chemnet import ChemNetStatistics
from molvae.analysis.readout import linear_readout
from molvae.analysis.set_metrics import chemnet_statistics, distribution_metrics
from molvae.analysis.vectors import ridge
from molvae.bo.surrogate import fit_gp, reproducible
from molvae.chem.fingerprints import morgan_bits, tanimoto, tanimoto_pairs
from molvae.chem.molecules import canonical, has_radicals
from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES, check_seed, later_seed, whole_number
from molvae.errors import DataError, MissingPackageError, warn
from molvae.latent.conversion import vector_count
from molvae.latent.space import LatentSpace
from molvae.model.isolation import isolated
from molvae.model.losses import active_units, kl_to_normal

RADII = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
"""Lengths of moves in z, in standard deviations of the encodings."""
N_IMPORTANCE_SAMPLES = 64  # of the importance-weighted bound
NEIGHBOR_RANKS = (1, 2, 5, 10, 20, 50)  # ranks of neighbors in z whose similarity is reported
N_NEIGHBORS = 5  # neighbors that trustworthiness looks at


@isolated()
def evaluate(
    space: LatentSpace,
    smiles: Sequence[str],
    *,
    n_samples: int = 10_000,
    n_posteriors: int = 500,
    seed: int = 0,
    training: Collection[str] | None = None,
    fcd: bool = True,
) -> dict[str, float]:
    """All metrics of a model.

    Args:
        smiles: Molecules held out from training; those that the model cannot encode count as not
            reconstructed, and are left out of all other metrics.
        n_samples: Molecules to generate from each source; 0 for none.
        n_posteriors: Random molecules of those given for the metrics that need many samples each:
            stochastic reconstruction, the importance-weighted bound, smoothness.
        training: Canonical SMILES of the training molecules, for novelty and the floor of the
            Fréchet ChemNet distance.
        fcd: Whether to compute that distance; without the package fcd there is a warning.

    Returns:
        `reconstruction_metrics`, `likelihood`, `regression`, `smoothness`, `geometry`,
        `linear_readout`; and `distribution_metrics` and `radicals`, the fraction of radicals, with
        a prefix for the source: `prior_` and `normal_` (greedy decoding of samples of the learned
        prior and of N(0, I)), `confident_` (the half of twice as many of the former that the
        decoder is surest of), `generated_` (`space.generate`), `training_` (as many training
        molecules, what a perfect model reaches);
        `generated_redrawn`, the fraction of samples that `generate` rejected. Of a language model
        only metrics that need no vectors.

    Raises:
        ConfigError: `n_samples` is negative or `n_posteriors` below 1.
        DataError: No molecules, or none that the model can encode.
        InvalidMoleculeError: A text is not a molecule.
    """
    n_samples = vector_count(n_samples, "n_samples")
    n_posteriors, seed = whole_number(n_posteriors, "n_posteriors", least=1), check_seed(seed)
    molecules = [canonical(text) for text in smiles]
    kept, has_vectors = _readable(space, molecules), space.dim > 0
    result: dict[str, float] = {"molecules": len(smiles), "unreadable": len(smiles) - len(kept)}
    if has_vectors:
        result |= reconstruction_metrics(space, molecules, seed=seed)
    # Not the first: files are often sorted, QM9 by size.
    few = [kept[i] for i in np.random.default_rng(seed).permutation(len(kept))[:n_posteriors]]
    result |= likelihood(space, few, seed=seed)
    if has_vectors:
        result["stochastic_reconstruction"] = stochastic_reconstruction(space, few, seed=seed)
        result |= regression(space, kept, seed=seed)
        result |= smoothness(space, few, seed=seed)
        result |= geometry(space, list(dict.fromkeys(kept)), seed=seed)
        result |= linear_readout(space, list(dict.fromkeys(kept)), seed=seed)
    if n_samples > 0:
        reference: ChemNetStatistics | bool = False
        if fcd and len(kept) > 1:
            try:
                reference = chemnet_statistics(kept)
            except MissingPackageError as error:
                warn(f"no Fréchet ChemNet distance: {error}")
        sources = generate(space, n_samples, seed=seed)
        if training is not None:
            learned = sorted(training)
            chosen = np.random.default_rng(seed).permutation(len(learned))[:n_samples]
            sources["training"] = [learned[i] for i in chosen]
        for name, drawn in sources.items():
            known = training if name != "training" else None
            found = distribution_metrics(
                drawn, kept, known, reference, assume_canonical=True, radicals=space.radicals
            )
            found["radicals"] = sum(map(has_radicals, filter(None, drawn))) / len(drawn)
            result |= {f"{name}_{key}": value for key, value in found.items()}
        first = space.generate(n_samples, seed=seed, redraw=False)
        changed = sum(a != b for a, b in zip(first, sources["generated"], strict=True))
        result["generated_redrawn"] = changed / n_samples
    return result


@isolated()
def reconstruction_metrics(
    space: LatentSpace, smiles: Sequence[str], *, seed: int = 0
) -> dict[str, float]:
    """How well molecules, canonical SMILES, are reconstructed, and how much z holds.

    Returns:
        `molecules` and `unreadable`: counts of all, and of those that the model cannot encode.
        `reconstruction`: fraction that greedy decoding of the posterior mean reconstructs exactly.
        `posterior_reconstruction`: the same for one posterior sample; `posterior_tanimoto`: mean
        Tanimoto similarity (Morgan, radius 2, 2,048 bits) to its molecule. `kl`: mean of KL(q ||
        N(0, I)), nats per molecule; NaN if the posterior is not Gaussian. `active_units`:
        dimensions of `latent_dim` in which the posterior mean has a variance above 0.01.
    """
    kept = _readable(space, smiles)
    mean, std = (x[:, : space.config.latent_dim] for x in space.posterior(kept))
    from_mean = space.decode(space.encode(kept))
    from_draw = space.decode(space.sample_posterior(kept, seed=seed)[:, 0])
    gaussian = space.config.posterior == "gaussian"
    kl = float(kl_to_normal(mean, 2 * std.log()).sum(dim=1).mean()) if gaussian else np.nan
    return {
        "molecules": len(smiles),
        "unreadable": len(smiles) - len(kept),
        "reconstruction": _equal(from_mean, kept) / len(smiles),
        "posterior_reconstruction": _equal(from_draw, kept) / len(smiles),
        "posterior_tanimoto": _similarity(from_draw, kept),
        "kl": kl,
        "active_units": active_units(mean),
        "latent_dim": space.config.latent_dim,
    }


def _readable(space: LatentSpace, smiles: Sequence[str]) -> list[str]:
    if len(smiles) == 0:
        raise DataError("no molecules to evaluate on; give at least one")
    kept = [m for m, ok in zip(smiles, space.can_encode(smiles), strict=True) if ok]
    if not kept:
        raise DataError(f"{space.name or 'the model'} can read none of {len(smiles)} molecules")
    return kept


@isolated()
def stochastic_reconstruction(
    space: LatentSpace, smiles: Sequence[str], *, times: int = 10, seed: int = 0
) -> float:
    """Fraction of exact reconstructions over posterior samples, each decoded several times.

    References:
        Kusner et al. (2017), arXiv:1703.01925; Jin et al. (2018), arXiv:1802.04364.
    """
    draws = space.sample_posterior(smiles, times, seed)
    same = 0
    for draw in range(times):
        z = draws[:, draw].repeat(times, 1)
        # One seed a call: the decoder adds one for each of its batches.
        drawn = space.decode(z, temperature=1.0, seed=later_seed(seed, 10_000 * draw))
        same += _equal(drawn, [*smiles] * times)
    return same / (times * times * len(smiles))


@isolated()
def likelihood(space: LatentSpace, smiles: Sequence[str], *, seed: int = 0) -> dict[str, float]:
    """Bounds on the log-probability of molecules under the model with its learned prior.

    Returns:
        `elbo` and `iwae` (64 samples), mean nats per molecule, larger is better; `elbo_per_symbol`
        and `iwae_per_symbol`, per token, end of sequence included. Exact for a language model; NaN
        for an autoencoder, which has no density.
    """
    if space.config.posterior == "point":
        return {name + of: np.nan for of in ("", "_per_symbol") for name in ("elbo", "iwae")}
    # The ELBO is the mean of bounds with one draw each; eight of them are enough for its mean.
    elbo = torch.stack(
        [space.log_prob(smiles, k=1, seed=later_seed(seed, i)) for i in range(8)]
    ).mean()
    iwae = space.log_prob(smiles, k=N_IMPORTANCE_SAMPLES, seed=seed).mean()
    symbols = float(np.mean([1 + len(space.representation.tokenize(m)) for m in smiles]))
    found = {"elbo": float(elbo), "iwae": float(iwae)}
    return found | {f"{name}_per_symbol": value / symbols for name, value in found.items()}


@isolated()
def regression(
    space: LatentSpace, smiles: Sequence[str], *, n_gp: int = 800, seed: int = 0
) -> dict[str, float]:
    """R2 of properties predicted from z, on held-out molecules.

    A random 80 % of the molecules, canonical SMILES, are fitted to; by the Gaussian process `n_gp`
    at most.

    Returns:
        For each property, as `r2_ridge_logP`: ridge regression; `r2_gp_logP`: the campaigns'
        Gaussian process; NaN with fewer than 50 molecules. `r2_head_logP`: the model's property
        head.
    """
    from sklearn.metrics import r2_score

    heads = [name for name in DEFAULT_PROPERTIES if name in space.properties]
    names = [f"r2_{kind}_{name}" for kind in ("ridge", "gp") for name in DEFAULT_PROPERTIES]
    names += [f"r2_head_{name}" for name in heads]
    if len(smiles) < 50:
        return dict.fromkeys(names, np.nan)
    z, y = space.encode(smiles), score(smiles, DEFAULT_PROPERTIES)
    order = np.random.default_rng(seed).permutation(len(smiles))
    fit, rest = order[: int(0.8 * len(order))], order[int(0.8 * len(order)) :]
    linear = ridge().fit(z[fit].numpy(), y[fit]).predict(z[rest].numpy())
    gp = fit_gp(z[fit[:n_gp]], torch.from_numpy(y[fit[:n_gp]]))
    with torch.no_grad(), reproducible():
        predicted = gp.posterior(z[rest]).mean.numpy()
    scores = [r2_score(y[rest], p, multioutput="raw_values") for p in (linear, predicted)]
    for name in heads:
        read = space.property_head(z[rest]).detach()[:, space.properties.index(name)].numpy()
        scores.append([r2_score(y[rest, DEFAULT_PROPERTIES.index(name)], read)])
    return dict(zip(names, np.concatenate(scores).tolist(), strict=True))


@isolated()
def smoothness(
    space: LatentSpace, smiles: Sequence[str], *, radii: Sequence[float] = RADII, seed: int = 0
) -> dict[str, float]:
    """How a molecule changes when its z is moved.

    z moves from the posterior mean to `z + r * std * u`, u from N(0, I), std the standard deviation
    of the encodings in each dimension, and is decoded greedily.

    Returns:
        For each radius: `same_at_R`, fraction of unchanged molecules; `tanimoto_at_R`, mean
        similarity; `changed_tanimoto_at_R`, mean similarity of the changed ones alone, NaN if there
        are none; `changed_tanimoto_half`, the last one interpolated to where half of the molecules
        have changed, NaN if no two radii have that between them.
    """
    mean = space.encode(smiles)
    std = mean.std(dim=0) if len(mean) > 1 else torch.ones(space.dim, dtype=mean.dtype)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed), dtype=mean.dtype)
    result, shares, similar = dict[str, float](), list[float](), list[float]()
    for radius in radii:
        moved = space.decode(mean + radius * std * noise)
        pairs = [(a, b) for a, b in zip(moved, smiles, strict=True) if a != b]
        shares.append(len(pairs) / len(smiles))
        similar.append(_similarity(*zip(*pairs, strict=True)) if pairs else np.nan)
        result[f"same_at_{radius:g}"] = 1 - shares[-1]
        result[f"tanimoto_at_{radius:g}"] = _similarity(moved, smiles)
        result[f"changed_tanimoto_at_{radius:g}"] = similar[-1]
    half = np.nan
    for (less, before), (more, after) in pairwise(zip(shares, similar, strict=True)):
        if less < 0.5 <= more:
            before = after if less == 0 else before
            half = before + (after - before) * (0.5 - less) / (more - less)
            break
    return result | {"changed_tanimoto_half": half}


@isolated()
def geometry(
    space: LatentSpace, smiles: Sequence[str], *, n: int = 1_500, seed: int = 0
) -> dict[str, float]:
    """How Euclidean distances in z relate to Tanimoto similarities (Morgan, radius 2, 2,048 bits).

    Of the molecules, distinct ones that the model can encode, a random `n` at most are compared.

    Returns:
        `distance_tanimoto_correlation`: Pearson's, over all pairs; -1 is best.
        `neighbor_tanimoto_K`: mean similarity of a molecule to its K-th nearest in z;
        `neighbor_tanimoto_best`: to the most similar one; `neighbor_tanimoto_random`: to any.
        `trustworthiness`: how far the five nearest in z are among the most similar, from 0 to 1.
        NaN with too few molecules.

    References:
        Venna and Kaski (2001), doi:10.1007/3-540-44668-0_68 (trustworthiness).
    """
    from scipy.spatial.distance import pdist, squareform  # type: ignore[import-untyped]
    from sklearn.manifold import trustworthiness

    n, seed = whole_number(n, "n", least=1), check_seed(seed)
    chosen = [smiles[i] for i in np.random.default_rng(seed).permutation(len(smiles))[:n]]
    names = ["distance_tanimoto_correlation", "trustworthiness"]
    names += [f"neighbor_tanimoto_{k}" for k in (*NEIGHBOR_RANKS, "best", "random")]
    result = dict.fromkeys(names, np.nan)
    if len(chosen) < 3:
        return result
    z = space.encode(chosen).numpy()
    bits = morgan_bits(chosen)
    similar, distance = tanimoto(bits, bits), squareform(pdist(z))
    pairs = np.triu_indices(len(chosen), 1)
    if np.ptp(distance[pairs]) > 0 and np.ptp(similar[pairs]) > 0:
        r = np.corrcoef(distance[pairs], similar[pairs])[0, 1]
        result["distance_tanimoto_correlation"] = float(r)
    if len(chosen) > 2 * N_NEIGHBORS:
        result["trustworthiness"] = float(
            trustworthiness(1 - similar, z, n_neighbors=N_NEIGHBORS, metric="precomputed")
        )
    np.fill_diagonal(distance, np.inf)
    by_rank = np.take_along_axis(similar, np.argsort(distance, axis=1)[:, :-1], axis=1)
    for k in NEIGHBOR_RANKS:
        if k < len(chosen):
            result[f"neighbor_tanimoto_{k}"] = float(by_rank[:, k - 1].mean())
    result["neighbor_tanimoto_best"] = float(by_rank.max(axis=1).mean())
    result["neighbor_tanimoto_random"] = float(by_rank.mean())
    return result


@isolated()
def generate(space: LatentSpace, n: int, *, seed: int = 0) -> dict[str, list[str | None]]:
    """Molecules from each source of `evaluate`; of a language model `generated` alone."""
    if space.dim == 0:
        return {"generated": space.generate(n, seed=seed)}
    generator = torch.Generator().manual_seed(seed)
    normal: Tensor = torch.randn(n, space.dim, generator=generator, dtype=torch.float64)
    return {
        "prior": space.decode(space.sample_prior(n, seed=seed)),
        "normal": space.decode(normal),
        "confident": space.generate(
            n, seed=seed, noise=0.0, temperature=0.0, redraw=False, oversampling=2.0
        ),
        "generated": space.generate(n, seed=seed),
    }


def _equal(decoded: Sequence[str | None], molecules: Sequence[str]) -> int:
    return sum(a == b for a, b in zip(decoded, molecules, strict=True))


def _similarity(decoded: Sequence[str | None], molecules: Sequence[str]) -> float:
    """Mean Tanimoto similarity; 0 where nothing is decoded."""
    pairs = [(a, b) for a, b in zip(decoded, molecules, strict=True) if a is not None]
    if not pairs:
        return 0.0 if molecules else np.nan
    there, here = zip(*pairs, strict=True)
    return float(tanimoto_pairs(morgan_bits(there), morgan_bits(here)).sum()) / len(molecules)
