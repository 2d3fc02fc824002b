"""Activations of ChemNet, which comes with the package `fcd`, and their Fréchet distance."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from molvae.errors import MissingPackageError


@dataclass(frozen=True, kw_only=True, eq=False)
class ChemNetStatistics:
    """Mean, `512`, and covariance, `512 x 512`, of ChemNet's activations for some molecules."""

    n: int  # molecules, at least 2
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]  # with n - 1 in the denominator


def chemnet(molecules: Sequence[str]) -> ChemNetStatistics:
    """Statistics of canonical molecules; distinct ones go through the network once.

    All is sorted, so that the order of the molecules does not change even the last digit.
    """
    from molvae.model.isolation import isolated, seeded

    fcd = fcd_package()
    distinct, places = np.unique(np.array(molecules, dtype=object), return_inverse=True)
    # fcd's loader draws a seed from torch's global generator, which is not its own to move on.
    with isolated(), seeded(0), warnings.catch_warnings():
        # What fcd leaves behind (old names in numpy, a temporary folder) says nothing to users.
        for category in (DeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        found = fcd.get_predictions(fcd.load_ref_model(), distinct.tolist(), n_jobs=0, device="cpu")
    activations = np.asarray(found, dtype=np.float64)[np.sort(places)]
    return ChemNetStatistics(
        n=len(molecules),
        mean=activations.mean(axis=0),
        covariance=np.cov(activations, rowvar=False),
    )


def frechet(a: ChemNetStatistics, b: ChemNetStatistics) -> float:
    """|mean difference|² + tr(A) + tr(B) - 2 tr((A B)^½), from 0.

    fcd's own takes the square root of the product, which is inexact for singular covariances and
    calls scipy in a way that later releases refuse. The trace is that of (A^½ B A^½)^½ too, whose
    eigenvalues are real.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    product = root @ b.covariance @ root
    common = np.sqrt(np.maximum(np.linalg.eigvalsh((product + product.T) / 2), 0)).sum()
    shift = a.mean - b.mean
    distance = shift @ shift + np.trace(a.covariance) + np.trace(b.covariance) - 2 * common
    return max(0.0, float(distance))  # rounding


def fcd_package() -> ModuleType:
    """The package fcd, or a MissingPackageError."""
    try:
        return importlib.import_module("fcd")
    except ImportError as error:
        raise MissingPackageError(
            "the Fréchet ChemNet distance needs the package fcd; install it with "
            "`pip install 'molvae[fcd]'`"
        ) from error
