"""The molecules among which a batch is chosen: observed ones, then candidates, with predictions.

Molecules are ranked, not vectors. Measured values are predicted by one surrogate each; computed
values are exact. Pending molecules enter in `fit_surrogates`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, compress, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molvae.bo.acquisition import MultiObjectiveUCB, UpperConfidenceBound
from molvae.bo.analogs import similarity_floor
from molvae.bo.base import Candidate, Observations
from molvae.bo.calibration import N_LATEST, errors_by_batch, variance_factor
from molvae.bo.features import features
from molvae.bo.fidelity_choice import choose_fidelities
from molvae.bo.fidelity_gp import fidelity_gp
from molvae.bo.kernel_weights import subsample_best_and_random
from molvae.bo.kernels import Columns, GramMatrices
from molvae.bo.operators import encoded, sample_by_rank
from molvae.bo.posteriors import measurement_variance, posterior_covariance, posterior_moments
from molvae.bo.prediction import Prediction
from molvae.bo.surrogate import (
    WEIGHTED_KERNELS,
    SurrogateFactory,
    fit_surrogates,
    moments,
    predictions,
)
from molvae.bo.transforms import ScoreTransform
from molvae.chem.filters import passes
from molvae.chem.fingerprints import (
    DESCRIPTORS,
    morgan_bits,
    tanimoto,
)
from molvae.errors import without_warnings
from molvae.latent.density import proposable
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.objectives.problem import best_first

FINALISTS = 50  # molecules of each ranking among which a batch is chosen jointly


class CandidatePool:
    """Observed molecules, then candidates, with the predictions for each.

    Args:
        acquisition: Compares molecules.
        surrogate: Kernels, see `molecule_gp`, or an own factory.
        radius: Of the Morgan fingerprints.
        max_observations: Size of the training set, see `subsample_best_and_random`.
        filters: Catalogs of structural alerts; molecules with an alert are dropped.
        cautious: Drop candidates far from the initial molecules, if these are analogues and not
            many molecules were proposed yet, see `similarity_floor`; and weigh uncertainty less
            where it was overestimated.
    """

    def __init__(
        self,
        observations: Observations,
        space: LatentSpaceProtocol,
        *,
        acquisition: UpperConfidenceBound | MultiObjectiveUCB,
        surrogate: str | SurrogateFactory,
        radius: int,
        max_observations: int,
        filters: tuple[str, ...],
        cautious: bool = False,
        seed: int,
    ) -> None:
        self.space, self.known, self.acquisition = space, set(observations.known), acquisition
        self.accepts, self.core = observations.accepts, observations.core
        self.diversity = observations.diversity
        near = cautious and observations.core is None  # molecules with a core are near by that
        self.floor = similarity_floor(observations) if near else 0.0
        """Smallest similarity of a candidate to the nearest observed molecule."""
        self.surrogate, self.radius, self.filters = surrogate, radius, filters
        self.own_features = getattr(surrogate, "features", None)
        self.needs_z = self.own_features is None and (
            not isinstance(surrogate, str) or bool(re.search("latent|linear|auto", surrogate))
        )
        self.n_observed = len(observations.smiles)
        self.mean = acquisition.measured
        """Predicted scores, `n x measured`; of observed molecules the measured scores, or the
        predicted ones if the noise is known."""
        self.std = torch.zeros_like(self.mean)
        self.exact = acquisition.compute(observations.smiles)
        """Computed values, `n x computed`."""
        self.can_encode = torch.ones(self.n_observed, dtype=torch.bool)
        """Whether the space can encode the molecule; true if that was not tried yet."""
        self.smiles = list(observations.smiles)
        self.z: list[Tensor | None] = list(observations.z)
        """None if not computed yet: offspring of graph operators are encoded when needed."""
        self.operator = [""] * self.n_observed
        self.parents_of: dict[str, tuple[str, ...]] = {}
        """Parents of candidates, by molecule."""
        self._accepted: dict[int, bool] = {}  # by row, see _acceptable
        order = torch.from_numpy(best_first(observations.y.numpy()).copy())
        train = subsample_best_and_random(-order.argsort().double(), max_observations, seed=seed)
        x = self._features([self.smiles[i] for i in train], observations.z[train])
        pending_x = (
            self._features(observations.pending_smiles, observations.pending_z)
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

        self.lower, self.observations = observations.fidelities, observations
        if self.lower:
            self.models = [
                fidelity_gp(
                    observations, self.mean[:, 0], train, self._features, space.bounds,
                    kernel=str(surrogate), max_observations=max_observations, seed=seed,
                )
            ]  # fmt: skip
        else:
            self.models = fitted(surrogate, self.mean, acquisition.noise)
        self.forecasters, self.transforms = self.models, acquisition.transforms
        """Models and transforms of the stored predictions. They learn linear scores, with equal
        weights of kernels: normal scores tell the best values apart, but stretch small differences
        among them, and learned weights are too sure of molecules that are unlike the others."""
        latest: list[int] = []
        self.inflation = [1.0] * len(self.models)
        """Factors that calibrate the variances of stored predictions."""
        if isinstance(surrogate, str) and not self.lower:
            linear, proposed = acquisition.linear, set(observations.proposed)
            equal = "+".join(WEIGHTED_KERNELS) if surrogate == "weighted" else surrogate
            self.forecasters = fitted(equal, linear.scores, linear.noise, learn_noise=True)
            self.transforms = linear.transforms
            latest = [row for row, i in enumerate(train) if i in proposed][-N_LATEST:]
            columns = zip(self.forecasters, linear.values[train].T, linear.ends, strict=True)
            self.inflation = [
                variance_factor(errors_by_batch(model, values, end, latest, acquisition.n))
                for model, values, end in columns
            ]
        if cautious and latest:
            # Factors above 1 are not used by the search: it found less where they are large.
            ahead = (model.one_step_ahead_errors()[latest].numpy() for model in self.models)
            factor = float(np.mean([variance_factor(errors) for errors in ahead]))
            acquisition.kappas = acquisition.kappas * min(1.0, factor) ** 0.5
        if acquisition.noise is not None:
            x = self._features(self.smiles, observations.z)
            self.mean = torch.cat([model.posterior(x).mean for model in self.models], dim=1)
            acquisition.use_predictions(self.mean)
        for one in self.lower:
            operators = [origin.partition(" ")[2] for origin in one.origins]
            for name in dict.fromkeys(operators):
                at = [i for i, operator in enumerate(operators) if operator == name]
                self.add([one.smiles[i] for i in at], [one.z[i] for i in at], name)

    def add(
        self,
        smiles: Sequence[str],
        z: Sequence[Tensor] | None,
        operator: str,
        parents: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """Add candidates; known molecules and duplicates are ignored.

        Args:
            smiles: Canonical.
            z: Their vectors; None if not computed yet.
            operator: The operator that made them.
            parents: What they were made from, by molecule.
        """
        new: dict[str, Tensor | None] = {}
        for molecule, vector in zip(smiles, [None] * len(smiles) if z is None else z, strict=True):
            if molecule not in self.known and proposable(self.space, molecule):
                new.setdefault(molecule, vector)
        self.known.update(new)
        new = {molecule: new[molecule] for molecule in self._near(list(new))}
        if not new:
            return
        exact = self.acquisition.compute(list(new))
        known = np.array(np.isfinite(exact).all(axis=1))  # others could break a constraint
        exact, new = exact[known], dict(compress(new.items(), known.tolist()))
        if not new:
            return
        rows = list(range(len(self.smiles), len(self.smiles) + len(new)))
        self.smiles += new
        self.z += new.values()
        self.operator += [operator] * len(new)
        self.parents_of |= {m: parents[m] for m in new if parents and m in parents}
        unknown = self.mean.new_zeros(len(new), self.mean.shape[1])
        self.mean, self.std = torch.cat([self.mean, unknown]), torch.cat([self.std, unknown])
        self.exact = np.concatenate([self.exact, exact])
        self.can_encode = torch.cat([self.can_encode, torch.ones(len(new), dtype=torch.bool)])
        if self.needs_z:
            self.vectors(rows)
            rows = [i for i in rows if self.z[i] is not None]
        if not rows:
            return
        x = self._features_of_rows(rows)
        for column, model in enumerate(self.models):
            self.mean[rows, column], self.std[rows, column] = posterior_moments(model, x)

    def _acceptable(self, row: int) -> bool:
        """Whether the molecule may be proposed or be a parent; observed ones may be parents.

        Looked up when it matters: checks take longer than predictions, and few molecules are good.
        """
        if row not in self._accepted:
            smiles = self.smiles[row]
            self._accepted[row] = row < self.n_observed or (
                self.accepts(smiles) and bool(unfiltered([smiles], self.filters))
            )
        return self._accepted[row]

    def _near(self, smiles: list[str]) -> list[str]:
        """The molecules that are similar enough to an observed one."""
        if not self.floor or not smiles:
            return smiles
        observed = morgan_bits(self.smiles[: self.n_observed])
        nearest = tanimoto(morgan_bits(smiles), observed).max(axis=1)
        return [smiles[i] for i in np.flatnonzero(nearest >= self.floor)]

    def _features(self, smiles: Sequence[str], z: Tensor) -> Tensor:
        """`[z | descriptors | counts]`, or the own features of the surrogate, `n x f`."""
        if self.own_features is not None:
            own: Tensor = self.own_features(smiles)
            return own
        return torch.cat([z, features(smiles, self.radius)], dim=1)

    def _features_of_rows(self, rows: Sequence[int]) -> Tensor:
        zero = torch.zeros(self.space.dim, dtype=torch.float64)  # of kernels that ignore z
        z = torch.stack([zero if (v := self.z[i]) is None else v for i in rows])
        return self._features([self.smiles[i] for i in rows], z)

    def vectors(self, rows: Sequence[int]) -> Tensor:
        """Encodings of the molecules that the space can encode; others are marked."""
        missing = [i for i in dict.fromkeys(rows) if self.z[i] is None]
        if missing:
            found = encoded(self.space, [self.smiles[i] for i in missing])
            z = {candidate.smiles: candidate.z for candidate in found}
            for i in missing:
                self.z[i] = z.get(self.smiles[i])
                self.can_encode[i] = self.z[i] is not None
        known = [vector for i in rows if (vector := self.z[i]) is not None]
        return torch.stack(known) if known else torch.empty(0, self.space.dim).double()

    def _values(self, which: int) -> Tensor:
        """Acquisition values of all molecules, minus infinity if they cannot be encoded."""
        values = self.acquisition.values(self.mean, self.std, self.exact, which)
        return values.masked_fill(~self.can_encode, -torch.inf)

    def has_feasible(self, n: int) -> bool:
        """Whether so many candidates are acceptable and keep the limits on computed values."""
        ok = self.acquisition.feasible(self.exact) & self.can_encode.numpy()
        rows = (self.n_observed + np.flatnonzero(ok[self.n_observed :])).tolist()
        return len(list(islice(filter(self._acceptable, rows), n))) == n

    def _ranking(self, which: int) -> list[int]:
        """Rows of molecules that can be encoded, the best under one kappa first."""
        order = self._values(which).argsort(descending=True, stable=True)
        rows: list[int] = order[: int(self.can_encode.sum())].tolist()
        return rows

    def parents(self, n: int, rng: np.random.Generator) -> list[int]:
        """Rows sampled by rank, each from the ranking under a random kappa of the batch."""
        which = rng.integers(self.acquisition.n, size=n)
        ranks = sample_by_rank(int(self.can_encode.sum()), n, rng)
        orders = [self._ranking(k) for k in range(self.acquisition.n)]
        rows = list[int]()
        for k, rank in zip(which, ranks, strict=True):
            after = chain(islice(orders[k], rank, None), reversed(orders[k][:rank]))
            rows.append(next(filter(self._acceptable, after)))
        return rows

    def batch(self) -> list[Candidate]:
        """One candidate for each kappa, as far as there are candidates.

        They are chosen greedily, each as if the earlier ones had been measured at their means.
        """
        finalists: dict[int, None] = {}
        for k in range(self.acquisition.n):
            rows = [row for row in self._ranking(k) if row >= self.n_observed]
            finalists.update(dict.fromkeys(islice(filter(self._acceptable, rows), FINALISTS)))
            finalists.update(dict.fromkeys(self._unlike(rows)))
        self.vectors(list(finalists))
        rows = [i for i in finalists if self.z[i] is not None]
        if not rows:
            return []
        x, mean = self._features_of_rows(rows), self.mean[rows].clone()  # mean: rows x measured
        covariances, noises = [], []
        for column, model in enumerate(self.models):
            posterior = model.posterior(x)
            mean[:, column] = posterior.mean[:, 0]
            covariances.append(posterior_covariance(posterior))  # rows x rows
            noises.append(measurement_variance(model, x, posterior))
        columns = [predictions(*of) for of in self._forecasts(x)]  # measured x rows
        predicted = list(zip(*columns, strict=True)) or [()] * len(x)
        if self.lower:
            chosen, names = choose_fidelities(
                self.models[0], x, [self.smiles[i] for i in rows], self.observations,
                self.acquisition.kappas.tolist(), best=float(self.mean[: self.n_observed].max()),
                seed=len(self.smiles),
            )  # fmt: skip
            found = self._candidates([rows[i] for i in chosen], [predicted[i] for i in chosen])
            return [replace(c, fidelity=name) for c, name in zip(found, names, strict=True)]
        free, exact = torch.ones(len(rows), dtype=torch.bool), self.exact[rows]
        chosen = []
        for k in range(min(self.acquisition.n, len(rows))):
            std = torch.zeros_like(mean)
            for column, covariance in enumerate(covariances):
                std[:, column] = covariance.diagonal().clamp_min(0).sqrt()
            if self.diversity is not None:
                beside = [self.smiles[rows[i]] for i in chosen]
                for i in free.nonzero()[:, 0].tolist():
                    free[i] = self.diversity.allows(self.smiles[rows[i]], beside)
                if not bool(free.any()):
                    break
            gains = self.acquisition.batch_gain(mean, std, exact, k, chosen)
            top = int(gains.masked_fill(~free, -torch.inf).argmax())
            free[top] = False
            chosen.append(top)
            for covariance, noise in zip(covariances, noises, strict=True):
                # Conditioning on a measurement of `top` with variance `noise`:
                # C - c c' / (c_top + noise), where c is the column of `top`. If the measurement
                # equals its mean, all means stay.
                c = covariance[:, top].clone()
                covariance -= torch.outer(c, c) / (c[top] + noise)
        return self._candidates([rows[i] for i in chosen], [predicted[i] for i in chosen])

    def _candidates(
        self, rows: Sequence[int], predicted: Sequence[tuple[Prediction, ...]]
    ) -> list[Candidate]:
        """The chosen rows, one for each kappa, with their predictions."""
        if not rows:
            return []
        # A finetuned decoder may have made them; a campaign file stores vectors of the space.
        smiles = [self.smiles[i] for i in rows]
        z = torch.stack([vector for i in rows if (vector := self.z[i]) is not None])
        # Where a core is kept, vectors alone do not say at which place a group is.
        again = [None] * len(z) if self.core is not None else self.space.decode(z)
        differ = [i for i, m in enumerate(again) if m != smiles[i]]
        encodings = {c.smiles: c.z for c in encoded(self.space, [smiles[i] for i in differ])}
        for i in differ:
            z[i] = encodings.get(smiles[i], z[i])
        return [
            Candidate(
                molecule,
                vector,
                self.operator[i],
                of,
                self.parents_of.get(molecule, ()),
                float(kappa),
            )
            for molecule, vector, i, of, kappa in zip(
                smiles, z, rows, predicted, self.acquisition.kappas[: len(rows)], strict=True
            )
        ]

    def _unlike(self, ranked: Sequence[int]) -> list[int]:
        """The first rows that may stand beside each other, a batch at most."""
        rows: list[int] = []
        if (diversity := self.diversity) is None:
            return rows
        for i in ranked:
            if len(rows) == self.acquisition.n:
                break
            beside = [self.smiles[row] for row in rows]
            if diversity.allows(self.smiles[i], beside) and self._acceptable(i):
                rows.append(i)
        return rows

    def _forecasts(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor, ScoreTransform]]:
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
            x = self._features(known, z[rows])
            for column, of in enumerate(self._forecasts(x)):
                mean[rows, column], std[rows, column] = moments(*of)
        return mean, std


def unfiltered(smiles: Sequence[str], filters: tuple[str, ...]) -> set[str]:
    """Molecules without structural alerts of the catalogs."""
    if not filters:
        return set(smiles)
    good = passes(smiles, filters, workers=1)
    return {molecule for molecule, ok in zip(smiles, good, strict=True) if ok}
