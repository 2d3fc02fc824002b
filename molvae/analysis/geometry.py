"""How distances in a latent space relate to the similarity of molecules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.manifold import trustworthiness

from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.config import check_seed, whole_number
from molvae.latent.space import LatentSpace
from molvae.model.isolation import isolated

MOLECULES = 1_500  # Maximum number of molecules to compare
RANKS = (1, 2, 5, 10, 20, 50)  # Ranks of neighbors in z whose similarity is reported
NEIGHBORS = 5  # Neighbors that trustworthiness looks at


@isolated()
def geometry(
    space: LatentSpace, smiles: Sequence[str], *, n: int = MOLECULES, seed: int = 0
) -> dict[str, float]:
    """How Euclidean distances in z relate to Tanimoto similarities (Morgan, radius 2, 2,048 bits).

    Args:
        space: The model.
        smiles: Distinct molecules that it can encode.
        n: Maximum number of molecules to compare, chosen at random.
        seed: Seed of the choice.

    Returns:
        `distance_tanimoto_correlation`: Pearson's, over all pairs; -1 is best.
        `neighbor_tanimoto_K`: mean similarity of a molecule to its K-th nearest in z;
        `neighbor_tanimoto_best`: to the most similar one; `neighbor_tanimoto_random`: to any.
        `trustworthiness`: how far the five nearest in z are among the most similar, from 0 to 1.
        NaN with too few molecules.

    References:
        Venna and Kaski (2001), doi:10.1007/3-540-44668-0_68 (trustworthiness).
    """
    n, seed = whole_number(n, "n", least=1), check_seed(seed)
    some = np.random.default_rng(seed).permutation(len(smiles))[:n]
    chosen = [smiles[i] for i in some]
    names = ["distance_tanimoto_correlation", "trustworthiness"]
    names += [f"neighbor_tanimoto_{k}" for k in (*RANKS, "best", "random")]
    result = dict.fromkeys(names, np.nan)
    if len(chosen) < 3:
        return result
    z = space.encode(chosen).detach().cpu().numpy()
    bits = morgan_bits(chosen)
    similar = tanimoto(bits, bits)
    square = (z**2).sum(axis=1)
    distance = np.sqrt(np.maximum(square[:, None] + square[None] - 2 * z @ z.T, 0.0))
    pairs = np.triu_indices(len(chosen), 1)
    if np.ptp(distance[pairs]) > 0 and np.ptp(similar[pairs]) > 0:
        r = np.corrcoef(distance[pairs], similar[pairs])[0, 1]
        result["distance_tanimoto_correlation"] = float(r)
    if len(chosen) > 2 * NEIGHBORS:
        result["trustworthiness"] = float(
            trustworthiness(1 - similar, z, n_neighbors=NEIGHBORS, metric="precomputed")
        )
    np.fill_diagonal(distance, np.inf)
    sample_by_rank = np.take_along_axis(similar, np.argsort(distance, axis=1)[:, :-1], axis=1)
    for k in RANKS:
        if k < len(chosen):
            result[f"neighbor_tanimoto_{k}"] = float(sample_by_rank[:, k - 1].mean())
    np.fill_diagonal(similar, -1)
    result["neighbor_tanimoto_best"] = float(similar.max(axis=1).mean())
    result["neighbor_tanimoto_random"] = float(sample_by_rank.mean())
    return result


__all__ = ["geometry"]
