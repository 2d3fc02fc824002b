"""Predictions of the measured values of molecules, by surrogates that look at the molecules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molvae.bo.acquisition import MultiObjectiveUCB, UpperConfidenceBound, own_numbers
from molvae.bo.base import Observations
from molvae.bo.calibration import N_LATEST, errors_by_batch, variance_factor
from molvae.bo.features import features
from molvae.bo.fidelity_gp import fidelity_gp
from molvae.bo.kernel_weights import subsample_best_and_random
from molvae.bo.kernels import Columns, GramMatrices
from molvae.bo.posteriors import measurement_variance, posterior_moments
from molvae.bo.surrogate import WEIGHTED_KERNELS, SurrogateFactory, fit_surrogates, moments
from molvae.bo.transforms import ScoreTransform
from molvae.chem.fingerprints import DESCRIPTORS
from molvae.errors import without_warnings
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.objectives.problem import best_first


class MoleculePredictor:
    """Surrogates of all measured values, fitted to the observed molecules and pending ones.

    Args:
        acquisition: Holds the scores that are learned.
        surrogate: Kernels, see `molecule_gp`, or an own factory.
        radius: Radius of the Morgan fingerprints.
        max_observations: Size of the training set, see `subsample_best_and_random`.
    """

    def __init__(
        self,
        observations: Observations,
        space: LatentSpaceProtocol,
        acquisition: UpperConfidenceBound | MultiObjectiveUCB,
        *,
        surrogate: str | SurrogateFactory,
        radius: int,
        max_observations: int,
        seed: int,
    ) -> None:
        self.space, self.radius = space, radius
        self.own_features = getattr(surrogate, "features", None)
        self.needs_z = self.own_features is None and (
            not isinstance(surrogate, str) or bool(re.search("latent|linear|auto", surrogate))
        )
        """Whether features hold encodings."""
        order = torch.from_numpy(best_first(observations.y.numpy()).copy())
        train = subsample_best_and_random(-order.argsort().double(), max_observations, seed=seed)
        x = self.features([observations.smiles[i] for i in train], observations.z[train])
        pending_x = (
            self.features(observations.pending_smiles, observations.pending_z)
            if observations.pending_smiles
            else None
        )
        gram = None
        if isinstance(surrogate, str):
            everything = x if pending_x is None else torch.cat([x, pending_x])
            gram = GramMatrices(Columns(space.bounds, len(DESCRIPTORS), everything))

        def fitted(
            kind: str | SurrogateFactory,
            scores: Tensor,
            noise: Tensor | None,
            *,
            learn_noise: bool = False,
        ) -> list[Any]:
            known = None if noise is None else noise[train]
            return fit_surrogates(
                kind,
                x,
                scores[train],
                space.bounds,
                noise=known,
                pending_x=pending_x,
                gram=gram,
                learn_noise=learn_noise,
            )

        self.models: list[Any]
        """BoTorch models of the scores, one for each measured value."""
        if observations.fidelities:
            self.models = [
                fidelity_gp(
                    observations, acquisition.measured[:, 0], train, self.features, space.bounds,
                    kernel=str(surrogate), max_observations=max_observations, seed=seed,
                )
            ]  # fmt: skip
        else:
            self.models = fitted(surrogate, acquisition.measured, acquisition.noise)
        self.forecasters, self.transforms = self.models, acquisition.transforms
        """Models and transforms of the stored predictions. They learn linear scores, with equal
        weights of kernels: normal scores tell the best values apart, but stretch small differences
        among them, and learned weights are too sure of molecules that are unlike the others."""
        self._latest: list[int] = []
        self.inflation = [1.0] * len(self.models)
        """Factors that calibrate the variances of stored predictions."""
        if isinstance(surrogate, str) and not observations.fidelities:
            linear, proposed = acquisition.linear, set(observations.proposed)
            equal = "+".join(WEIGHTED_KERNELS) if surrogate == "weighted" else surrogate
            self.forecasters = fitted(equal, linear.scores, linear.noise, learn_noise=True)
            self.transforms = linear.transforms
            self._latest = [row for row, i in enumerate(train) if i in proposed][-N_LATEST:]
            size = observations.batch_size or acquisition.n
            columns = zip(self.forecasters, linear.values[train].T, linear.ends, strict=True)
            self.inflation = [
                variance_factor(errors_by_batch(model, values, end, self._latest, size))
                for model, values, end in columns
            ]

    def features(self, smiles: Sequence[str], z: Tensor) -> Tensor:
        """`[z | descriptors | counts]`, or the own features of the surrogate, `n x f`."""
        if self.own_features is not None:
            made = self.own_features(smiles)
            return own_numbers(made, "features of the surrogate", (len(smiles), -1))
        return torch.cat([z, features(smiles, self.radius)], dim=1)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of scores, `n x measured` each, of features, `n x f`."""
        columns = [posterior_moments(model, x) for model in self.models]
        if not columns:
            return x.new_zeros(len(x), 0), x.new_zeros(len(x), 0)
        mean, std = zip(*columns, strict=True)
        return torch.stack(mean, dim=1), torch.stack(std, dim=1)

    def latest_variance_factor(self) -> float:
        """Squared errors of the latest proposals, in units of predicted variances; 1 if unknown."""
        if not (self._latest and self.models):
            return 1.0
        ahead = (model.one_step_ahead_errors()[self._latest].numpy() for model in self.models)
        return float(np.mean([variance_factor(errors) for errors in ahead]))

    def forecasts(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor, ScoreTransform]]:
        """Mean and variance of the scores, each `n`, of each measured value, noise included."""
        for model, inflation, transform in zip(
            self.forecasters, self.inflation, self.transforms, strict=True
        ):
            posterior = model.posterior(x)
            variance = posterior.variance[:, 0] + measurement_variance(model, x, posterior)
            yield posterior.mean[:, 0], inflation * variance, transform

    def predict(self, smiles: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of the measured values of molecules, `n x measured` each.

        In the sign of `Observations.y` without a `problem`, else in their own. NaN for molecules
        that a kernel over z needs to encode and cannot.
        """
        z = torch.zeros(len(smiles), self.space.dim, dtype=torch.float64)
        if self.needs_z:
            with without_warnings():
                z = self.space.encode(smiles, skip_unknown=True)
        rows = torch.isfinite(z).all(dim=1)
        known = [molecule for molecule, ok in zip(smiles, rows.tolist(), strict=True) if ok]
        mean = torch.full((len(smiles), len(self.forecasters)), torch.nan, dtype=torch.float64)
        std = mean.clone()
        if known:
            x = self.features(known, z[rows])
            for column, of in enumerate(self.forecasts(x)):
                mean[rows, column], std[rows, column] = moments(*of)
        return mean, std
