"""Plates chosen with censored values are as good as plates chosen with all values."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge

from molvae.bo.censoring import impute_censored
from molvae.bo.features import features
from molvae.bo.surrogate import molecule_gp
from molvae.bo.transforms import ScoreTransform
from molvae.chem.fingerprints import DESCRIPTORS, morgan_counts
from molvae.chem.molecules import canonical

ANALOGUES = pd.read_csv(Path(__file__).parents[1] / "data" / "analogues.csv")
LEFT = ("CCO", "COCCO", "CN(C)CCO", "N", "CC(=O)N", "C", "F", "O", "CO")
RIGHT = ("OCC", "OCCOC", "OCCN(C)C", "N", "NC(C)=O", "C", "F", "O", "OC", "OCCCN3CCOCC3")
ANILINES = ("", "F", "C", "Br", "Cl", "OC", "C#C", "C(F)(F)F")
N_START, N_PLATES, PLATE, NOISE, KAPPA = 25, 3, 8, 0.3, 0.3


def counts(smiles: list[str]) -> np.ndarray:
    return np.minimum(morgan_counts(smiles, radius=2).astype(float), 3)


@pytest.mark.slow
def test_search_with_censored_values_is_as_good_as_with_exact_values() -> None:
    """A fifth of the values is below the assay's limit; mean of what three plates find."""
    start = [canonical(text) for text in ANALOGUES["SMILES"]]
    made = (
        canonical(f"{a}c1cc2ncnc(Nc4cccc{f'({r})' if r else ''}c4)c2cc1{b}")
        for a, b, r in product(LEFT, RIGHT, ANILINES)
    )
    molecules = list(dict.fromkeys([*start, *made]))
    truth = Ridge(alpha=3.0).fit(counts(start), ANALOGUES["pIC50"]).predict(counts(molecules))
    x, bounds = features(molecules, 1), torch.empty(2, 0, dtype=torch.float64)

    def search(seed: int, how: str) -> float:
        rng = np.random.default_rng(seed)
        told = rng.permutation(len(start))[:N_START].tolist()
        y = truth[told] + rng.normal(0, NOISE, N_START)
        limit = np.quantile(y, 0.2)
        signs = ["<" if how != "full" and value < limit else None for value in y]
        if how == "dropped":
            kept = [i for i, sign in enumerate(signs) if sign is None]
            told, y, signs = [told[i] for i in kept], y[kept], [None] * len(kept)
        values = [limit if sign else value for value, sign in zip(y, signs, strict=True)]
        found = list[float]()
        for _ in range(N_PLATES):
            known = torch.tensor(values, dtype=torch.float64)
            known = impute_censored([molecules[i] for i in told], known, signs)
            scores = ScoreTransform(known, "high", linear=False)(known)[:, None]
            model = molecule_gp(
                x[told], scores, bounds, kernel="tanimoto+descriptors",
                n_descriptors=len(DESCRIPTORS),
            )  # fmt: skip
            free = [i for i in range(len(molecules)) if i not in set(told)]
            posterior = model.posterior(x[free])
            merit = posterior.mean[:, 0] + KAPPA * posterior.variance[:, 0].clamp_min(0).sqrt()
            new = [free[i] for i in merit.topk(PLATE).indices.tolist()]
            told, signs = [*told, *new], [*signs, *[None] * PLATE]
            values += (truth[new] + rng.normal(0, NOISE, PLATE)).tolist()
            found += truth[new].tolist()
        return float(np.mean(found))

    full, censored, dropped = (
        np.mean([search(seed, how) for seed in range(10)])
        for how in ("full", "censored", "dropped")
    )
    assert censored > 0.95 * full
    assert censored > dropped
