"""`MinMaxKernel`: Tanimoto similarity of counts."""

from __future__ import annotations

import numpy as np
import torch
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from molvae.bo.kernels import MinMaxKernel
from molvae.chem.fingerprints import morgan_counts


def counts(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).poisson(0.4, size=(n, 30)).astype(np.uint16)


def minmax(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum of minima over sum of maxima; 1 for two empty rows. Ralaivola et al. (2005)."""
    lower, upper = (f(a[:, None, :], b[None]).sum(2, dtype=float) for f in (np.minimum, np.maximum))
    return np.divide(lower, upper, out=np.ones_like(lower), where=upper > 0)


def test_minmax_reference_equals_rdkit_tanimoto_of_counts() -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    smiles = ["CCO", "CCCCO", "c1ccccc1O"]
    found = minmax(*[morgan_counts(smiles, radius=2)] * 2)
    counts = [generator.GetCountFingerprint(Chem.MolFromSmiles(text)) for text in smiles]
    for row, count in zip(found, counts, strict=True):
        assert np.allclose(row, DataStructs.BulkTanimotoSimilarity(count, counts))


def test_minmax_kernel_equals_the_reference() -> None:
    a, b = counts(7, 0), counts(5, 1)
    a[0] = 0
    b[0] = 0
    x, y = (torch.from_numpy(side.astype(np.float64)) for side in (a, b))
    found = MinMaxKernel()(x, y).to_dense()
    assert torch.allclose(found, torch.from_numpy(minmax(a, b)))
    assert float(found[0, 0]) == 1  # nothing is like nothing


def test_minmax_kernel_diagonal_is_one_and_batches_equal_blocks() -> None:
    x = torch.from_numpy(counts(6, 2).astype(np.float64))
    kernel = MinMaxKernel()
    assert torch.allclose(kernel(x, diag=True), torch.ones(6).double())
    whole = kernel(x).to_dense()
    assert torch.allclose(whole.diagonal(), torch.ones(6).double())
    batch = kernel(x.reshape(2, 3, -1)).to_dense()
    assert torch.allclose(batch[1], whole[3:, 3:])
    assert float(torch.linalg.eigvalsh(whole).min()) > -1e-9
