from __future__ import annotations

import numpy as np
import torch

from molvae.bo.kernels import MinMaxKernel
from molvae.chem.fingerprints import minmax


def counts(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).poisson(0.4, size=(n, 30)).astype(np.uint16)


def test_the_kernel_is_the_similarity_of_fingerprints() -> None:
    a, b = counts(7, 0), counts(5, 1)
    a[0] = 0
    b[0] = 0
    x, y = (torch.from_numpy(side.astype(np.float64)) for side in (a, b))
    found = MinMaxKernel()(x, y).to_dense()
    assert torch.allclose(found, torch.from_numpy(minmax(a, b)))
    assert float(found[0, 0]) == 1  # nothing is like nothing


def test_the_diagonal_is_one_and_batches_are_rows_of_it() -> None:
    x = torch.from_numpy(counts(6, 2).astype(np.float64))
    kernel = MinMaxKernel()
    assert torch.allclose(kernel(x, diag=True), torch.ones(6).double())
    whole = kernel(x).to_dense()
    assert torch.allclose(whole.diagonal(), torch.ones(6).double())
    batch = kernel(x.reshape(2, 3, -1)).to_dense()
    assert torch.allclose(batch[1], whole[3:, 3:])
    assert float(torch.linalg.eigvalsh(whole).min()) > -1e-9
