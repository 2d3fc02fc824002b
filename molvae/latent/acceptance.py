"""Accept generated molecules so that their properties are distributed as in the training set.

A classifier tells training molecules from generated ones by descriptors; a generated molecule is
accepted with a probability in proportion to the density ratio that follows from it.

References:
    Azadi et al. (2019), arXiv:1810.06758 (discriminator rejection sampling);
    Grover et al. (2019), arXiv:1906.09531 (density ratios by classification).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molvae.chem._parallel import parallel_map
from molvae.chem.fingerprints import DESCRIPTORS, descriptors
from molvae.chem.properties import score
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import CheckpointError

Array = NDArray[np.float64]
Ratio = tuple[Array, Array, float]
"""A log density ratio: A, b and c of a quadratic function."""

FILE_NAME = "acceptance.safetensors"
"""Name of the file in a model folder."""
N_TRAINING, N_GENERATED = 60_000, 24_000
"""Molecules of either kind that the ratio is learned from."""
RATIO_QUANTILES = (0.8, 0.99)
"""Quantiles of the ratio, of both stages, above which molecules are accepted for certain: a smaller
one accepts more and corrects less."""
INVERSE_REGULARIZATION = 0.01
"""Inverse strength of the regularization of the classifier."""
_EXTRA = tuple(name for name in DEFAULT_PROPERTIES if name not in DESCRIPTORS)
_COLUMNS = [[*DESCRIPTORS, *_EXTRA].index(name) for name in DEFAULT_PROPERTIES]


@dataclass(frozen=True, eq=False)
class Acceptance:
    """Probabilities of acceptance, the product of those of two stages.

    Each is `min(1, exp(x' A x + b' x + c))`, of the standardized features x. The first stage sees
    all features. Since ratios above the limit are cut off, some difference in logP, SAS and QED is
    left; with the second stage, their means and covariances are those of the training molecules.
    """

    mean: Array
    """Means of the features among training molecules, `d`."""
    scale: Array
    """Standard deviations of the features among training molecules, `d`."""
    quadratic: Array
    """Quadratic terms A of both stages, `2 x d x d`."""
    linear: Array
    """Linear terms b of both stages, `2 x d`."""
    constant: Array
    """Constants c of both stages, `2`."""

    @classmethod
    def fit(
        cls, known: Sequence[str], generated: Sequence[str], *, workers: int | None = None
    ) -> Acceptance:
        """Learn to accept generated molecules as often as there are such known ones.

        Args:
            known: Training molecules, SMILES.
            generated: Molecules generated without any acceptance.
            workers: Processes that compute features; None for one per core.
        """
        x, y = features(known, workers=workers), features(generated, workers=workers)
        x, y = x[np.isfinite(x).all(axis=1)], y[np.isfinite(y).all(axis=1)]
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale[scale == 0] = 1.0
        x, y = (x - mean) / scale, (y - mean) / scale
        even = np.ones(len(y))
        first = _limited(_log_ratio(x, y), y, even, RATIO_QUANTILES[0])
        second = _moment_ratio(x, y, np.exp(np.minimum(_quadratic(y, *first), 0.0)))
        a, b, c = (np.array(part) for part in zip(first, second, strict=True))
        return cls(mean, scale, a, b, c)

    def probabilities(self, smiles: Sequence[str], *, workers: int | None = None) -> Array:
        """Probability to accept each molecule, `n`, in [0, 1]; 0 without finite features."""
        x = (features(smiles, workers=workers) - self.mean) / self.scale
        logs = [
            np.minimum(_quadratic(x, a, b, c), 0.0)
            for a, b, c in zip(self.quadratic, self.linear, self.constant, strict=True)
        ]
        found: Array = np.nan_to_num(np.exp(np.sum(logs, axis=0)), nan=0.0)
        return found

    def save(self, folder: Path) -> None:
        """Write the file of a model folder."""
        from safetensors.numpy import save

        (folder / FILE_NAME).write_bytes(save(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> Acceptance | None:
        """Read what `save` has written; None if the model has none.

        Raises:
            CheckpointError: The file cannot be read, or is of other features.
        """
        from safetensors.numpy import load_file

        path = folder / FILE_NAME
        if not path.is_file():
            return None
        try:
            made = cls(**load_file(path))
            d = len(DESCRIPTORS) + len(_EXTRA)
            shapes = {"mean": (d,), "scale": (d,), "quadratic": (2, d, d), "linear": (2, d)}
            if any(getattr(made, name).shape != shape for name, shape in shapes.items()):
                raise ValueError("it is of other features")
            return made
        except Exception as error:
            raise CheckpointError(f"{path} holds no acceptance of molecules: {error}") from error


def features(smiles: Sequence[str], *, workers: int | None = None) -> Array:
    """The descriptors of surrogates, then SAS and QED, `n x 19`."""
    rows = parallel_map(_row, list(smiles), workers=workers)
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(DESCRIPTORS) + len(_EXTRA))


def _row(molecule: str) -> list[float]:
    return [*descriptors([molecule])[0], *score([molecule], _EXTRA, workers=1)[0]]


def _log_ratio(x: Array, y: Array) -> Ratio:
    """Log density of x over that of y, by a classifier: a quadratic function of all features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    both = PolynomialFeatures(2, include_bias=False).fit_transform(np.concatenate([x, y]))
    scaler = StandardScaler().fit(both)
    # Both classes weigh the same, so that the classifier's logit is the log density ratio.
    w = np.concatenate([np.ones(len(x)), np.full(len(y), len(x) / len(y))])
    found: Any = LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=1_000).fit(
        scaler.transform(both), np.repeat([1, 0], [len(x), len(y)]), sample_weight=w
    )
    slopes = found.coef_[0] / scaler.scale_
    a, b = _terms(slopes, list(range(x.shape[1])), x.shape[1])
    return a, b, float(found.intercept_[0] - slopes @ scaler.mean_)


def _moment_ratio(x: Array, y: Array, weights: Array) -> Ratio:
    """The quadratic function of logP, SAS and QED with which accepted y have the moments of x.

    Args:
        weights: Probabilities of the first stage, `n`.
    """
    from scipy.optimize import least_squares  # type: ignore[import-untyped]
    from sklearn.preprocessing import PolynomialFeatures

    products = PolynomialFeatures(2, include_bias=False)
    wanted, there = (products.fit_transform(rows[:, _COLUMNS]) for rows in (x, y))
    target, scale = wanted.mean(axis=0), wanted.std(axis=0)

    def ratio(slopes: Array) -> Ratio:
        a, b = _terms(slopes, _COLUMNS, x.shape[1])
        return _limited((a, b, 0.0), y, weights, RATIO_QUANTILES[1])

    def distance(slopes: Array) -> Array:
        w = weights * np.exp(np.minimum(_quadratic(y, *ratio(slopes)), 0.0))
        off: Array = (w @ there / w.sum() - target) / scale
        return off

    return ratio(least_squares(distance, np.zeros(there.shape[1]), diff_step=1e-4).x)


def _terms(slopes: Array, columns: list[int], d: int) -> tuple[Array, Array]:
    """A and b, `d x d` and `d`, of the slopes of some columns and of their products."""
    first, second = np.triu_indices(len(columns))  # the order of the products
    a, b = np.zeros((d, d)), np.zeros(d)
    b[columns] = slopes[: len(columns)]
    a[np.array(columns)[first], np.array(columns)[second]] = slopes[len(columns) :]
    return a, b


def _limited(ratio: Ratio, y: Array, weights: Array, limit: float) -> Ratio:
    """A log ratio less its weighted quantile `limit`: all above is accepted for certain."""
    values = _quadratic(y, *ratio)
    order = np.argsort(values)
    place = np.searchsorted(np.cumsum(weights[order]), limit * weights.sum())
    a, b, c = ratio
    return a, b, c - values[order[min(place, len(order) - 1)]]


def _quadratic(x: Array, a: Array, b: Array, c: float) -> Array:
    """`x' A x + b' x + c` of each row of x, `n`."""
    values: Array = np.einsum("ni,ij,nj->n", x, a, x, optimize=True) + x @ b + c
    return values
