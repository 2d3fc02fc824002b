"""The molecules among which a batch is chosen: observed ones, then candidates, with predictions.

Molecules are ranked, not vectors. Measured values are predicted, see `MoleculePredictor`; computed
values are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, compress, islice

import numpy as np
import torch
from torch import Tensor

from molvae.bo.acquisition import MultiObjectiveUCB, UpperConfidenceBound
from molvae.bo.analogs import core_at_first, similarity_floor
from molvae.bo.base import Candidate, Observations
from molvae.bo.fidelity_choice import choose_fidelities
from molvae.bo.molecule_predictor import MoleculePredictor
from molvae.bo.operators import encoded, sample_by_rank
from molvae.bo.posteriors import measurement_variance, posterior_covariance, posterior_moments
from molvae.bo.prediction import Prediction
from molvae.bo.surrogate import predictions
from molvae.chem.filters import passes
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import shared_molecule
from molvae.latent.density import proposable
from molvae.latent.protocol import LatentSpaceProtocol

N_FINALISTS = 50  # molecules of each ranking among which a batch is chosen jointly


class CandidatePool:
    """Observed molecules, then candidates, with the predictions for each.

    Args:
        predictor: Fitted to the observed molecules.
        acquisition: Compares molecules.
        filters: Catalogs of structural alerts; molecules with an alert are dropped.
        cautious: Drop candidates far from the initial molecules, if these are analogues and not
            many molecules were proposed yet, see `similarity_floor` and `core_at_first`; and weigh
            uncertainty less where it was overestimated.
    """

    def __init__(
        self,
        observations: Observations,
        space: LatentSpaceProtocol,
        *,
        predictor: MoleculePredictor,
        acquisition: UpperConfidenceBound | MultiObjectiveUCB,
        filters: tuple[str, ...],
        cautious: bool = False,
    ) -> None:
        self.space, self.predictor, self.acquisition = space, predictor, acquisition
        self.observations, self.filters = observations, filters
        self.known = set(observations.known)
        near = cautious and observations.core is None  # molecules with a core are near by that
        self.floor = similarity_floor(observations) if near else 0.0
        """Smallest similarity of a candidate to the nearest observed molecule."""
        self.core = core_at_first(observations) if near else None
        """What candidates hold; None: anything."""
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
        """Latent vectors; None if not computed yet: offspring of graph operators are encoded when
        needed."""
        self.operator = [""] * self.n_observed
        self.parents_of: dict[str, tuple[str, ...]] = {}
        """Parents of candidates, by molecule."""
        self._accepted: dict[int, bool] = {}  # by row, see _acceptable
        if cautious:
            # Factors above 1 are not used by the search: it found less where they are large.
            factor = min(1.0, predictor.latest_variance_factor())
            acquisition.kappas = acquisition.kappas * factor**0.5
        if acquisition.noise is not None:
            x = predictor.features(self.smiles, observations.z)
            self.mean = torch.stack(
                [posterior_moments(one, x)[0] for one in predictor.models], dim=1
            )
            acquisition.use_predictions(self.mean)
        for one in observations.fidelities:
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
        if self.predictor.needs_z:
            self.vectors(rows)
            rows = [i for i in rows if self.z[i] is not None]
        if not rows:
            return
        self.mean[rows], self.std[rows] = self.predictor.moments(self._features(rows))

    def demand(self, observations: Observations) -> None:
        """Choose by what other observations of the same molecules demand of proposals."""
        self.observations, self._accepted = observations, {}

    def _acceptable(self, row: int) -> bool:
        """Whether the molecule may be proposed or be a parent; observed ones may be parents.

        Looked up when it matters: checks take longer than predictions, and few molecules are good.
        """
        if row not in self._accepted:
            smiles = self.smiles[row]
            self._accepted[row] = row < self.n_observed or (
                self.observations.accepts(smiles) and bool(unfiltered([smiles], self.filters))
            )
        return self._accepted[row]

    def _near(self, smiles: list[str]) -> list[str]:
        """The molecules that hold the core and are similar enough to an observed one."""
        if (core := self.core) is not None:
            smiles = [one for one in smiles if shared_molecule(one).HasSubstructMatch(core)]
        if not self.floor or not smiles:
            return smiles
        observed = morgan_bits(self.smiles[: self.n_observed])
        nearest = tanimoto(morgan_bits(smiles), observed).max(axis=1)
        return [smiles[i] for i in np.flatnonzero(nearest >= self.floor)]

    def _features(self, rows: Sequence[int]) -> Tensor:
        zero = torch.zeros(self.space.dim, dtype=torch.float64)  # of kernels that ignore z
        z = torch.stack([zero if (v := self.z[i]) is None else v for i in rows])
        return self.predictor.features([self.smiles[i] for i in rows], z)

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
        """Whether `n` candidates are acceptable and keep the constraints on computed values."""
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
            finalists.update(dict.fromkeys(islice(filter(self._acceptable, rows), N_FINALISTS)))
            finalists.update(dict.fromkeys(self._unlike(rows)))
        self.vectors(list(finalists))
        rows = [i for i in finalists if self.z[i] is not None]
        if not rows:
            return []
        x, mean = self._features(rows), self.mean[rows].clone()  # mean: rows x measured
        covariances, noises = [], []
        for column, model in enumerate(self.predictor.models):
            posterior = model.posterior(x)
            mean[:, column] = posterior.mean[:, 0]
            covariances.append(posterior_covariance(posterior))  # rows x rows
            noises.append(measurement_variance(model, x, posterior))
        columns = [predictions(*of) for of in self.predictor.forecasts(x)]  # measured x rows
        predicted = list(zip(*columns, strict=True)) or [()] * len(x)
        if self.observations.fidelities:
            chosen, names = choose_fidelities(
                self.predictor.models[0], x, [self.smiles[i] for i in rows], self.observations,
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
            if (diversity := self.observations.diversity) is not None:
                beside = [self.smiles[rows[i]] for i in chosen]
                for i in free.nonzero()[:, 0].tolist():
                    free[i] = diversity.allows(self.smiles[rows[i]], beside)
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
        again = [None] * len(z) if self.observations.core is not None else self.space.decode(z)
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
        if (diversity := self.observations.diversity) is None:
            return rows
        for i in ranked:
            if len(rows) == self.acquisition.n:
                break
            beside = [self.smiles[row] for row in rows]
            if diversity.allows(self.smiles[i], beside) and self._acceptable(i):
                rows.append(i)
        return rows


def unfiltered(smiles: Sequence[str], filters: tuple[str, ...]) -> set[str]:
    """Molecules without structural alerts of the catalogs."""
    if not filters:
        return set(smiles)
    good = passes(smiles, filters, workers=1)
    return {molecule for molecule, ok in zip(smiles, good, strict=True) if ok}
