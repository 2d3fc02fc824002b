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

FILE_NAME = "acceptance.safetensors"
"""Name of the file in a model folder."""
N_TRAINING, N_GENERATED = 60_000, 24_000
"""Molecules of either kind that the ratio is learned from."""
RATIO_QUANTILES = (0.8, 0.99)
"""Quantiles of the ratio, of both stages, above which molecules are accepted for certain: a smaller
one accepts more and corrects less."""
INVERSE_REGULARIZATION = (0.01, 1.0)
"""Inverse strength of the regularization, of both stages."""
_EXTRA = tuple(name for name in DEFAULT_PROPERTIES if name not in DESCRIPTORS)
_COLUMNS = [[*DESCRIPTORS, *_EXTRA].index(name) for name in DEFAULT_PROPERTIES]


@dataclass(frozen=True, eq=False)
class Acceptance:
    """Probabilities of acceptance, the product of those of two stages.

    Each is `min(1, exp(x' A x + b' x + c))`, of the standardized features x. The first stage sees
    all features. Since ratios above the limit are cut off, some difference in logP, SAS and QED is
    left, which the second stage corrects.
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
        weights, stages = np.ones(len(y)), []
        everything = list(range(x.shape[1]))
        for columns, limit, strength in zip(
            (everything, _COLUMNS), RATIO_QUANTILES, INVERSE_REGULARIZATION, strict=True
        ):
            stage = _log_ratio(x, y, weights, columns, strength)
            values = _quadratic(y, *stage)
            order = np.argsort(values)
            place = np.searchsorted(np.cumsum(weights[order]), limit * weights.sum())
            top = values[order[min(place, len(order) - 1)]]
            weights = weights * np.exp(np.minimum(values - top, 0.0))
            stages.append((*stage[:2], stage[2] - top))
        a, b, c = (np.array(part) for part in zip(*stages, strict=True))
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


def _log_ratio(
    x: Array, y: Array, weights: Array, columns: list[int], strength: float
) -> tuple[Array, Array, float]:
    """Log density of x over that of y, a quadratic function of some columns: A, b, c."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    few, d = len(columns), x.shape[1]
    first, second = np.triu_indices(few)  # the order of the products
    products = PolynomialFeatures(2, include_bias=False)
    both = products.fit_transform(np.concatenate([x, y])[:, columns])
    scaler = StandardScaler().fit(both)
    # Both classes weigh the same, so that the classifier's logit is the log density ratio.
    w = np.concatenate([np.ones(len(x)), weights * len(x) / weights.sum()])
    found: Any = LogisticRegression(C=strength, max_iter=1_000).fit(
        scaler.transform(both), np.repeat([1, 0], [len(x), len(y)]), sample_weight=w
    )
    slopes = found.coef_[0] / scaler.scale_
    constant = float(found.intercept_[0] - slopes @ scaler.mean_)
    a, b = np.zeros((d, d)), np.zeros(d)
    b[columns] = slopes[:few]
    a[np.array(columns)[first], np.array(columns)[second]] = slopes[few:]
    return a, b, constant


def _quadratic(x: Array, a: Array, b: Array, c: float) -> Array:
    """`x' A x + b' x + c` of each row of x, `n`."""
    values: Array = np.einsum("ni,ij,nj->n", x, a, x, optimize=True) + x @ b + c
    return values
