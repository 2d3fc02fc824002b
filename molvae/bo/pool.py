"""Molecules at hand while a batch is chosen, told and candidate, and what is believed of them.

What is ranked is what would be scored, a molecule, whichever vector it was decoded from. What is
measured is guessed by a surrogate each, with an uncertainty; what can be computed is computed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from botorch.models import SingleTaskGP
from botorch.posteriors.gpytorch import GPyTorchPosterior
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.acquisition import MultiObjectiveUCB, UpperConfidenceBound
from molvae.bo.base import Candidate, Observations
from molvae.bo.operators import encoded, sample_by_rank
from molvae.bo.prediction import Prediction
from molvae.bo.surrogate import molecule_gp, one_step_ahead_errors, predictions
from molvae.chem.filters import passes
from molvae.chem.fingerprints import DESCRIPTORS, descriptors, morgan_counts
from molvae.latent.density import proposable
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.objectives.problem import best_first

FEATURES = 2048
"""Columns of Morgan counts."""
FINALISTS = 50
"""Molecules of each ranking among which a batch is chosen jointly."""
LATEST = 30
"""Latest proposals by which it is judged how sure the surrogate may be of the next ones."""


class CandidatePool:
    """Told molecules, then candidates, with what is believed of each.

    Args:
        observations: What is known.
        space: Encodes.
        verdict: Says what is good.
        surrogate: Kernels, see `molecule_gp`.
        radius: Of the Morgan counts.
        most: Told molecules that the surrogate learns from, see `subsample_best_and_random`.
        filters: Catalogues of alerts; what has one is not taken in.
        seed: Of the choice of learned molecules.
    """

    def __init__(
        self,
        observations: Observations,
        space: LatentSpaceProtocol,
        *,
        verdict: UpperConfidenceBound | MultiObjectiveUCB,
        surrogate: str,
        radius: int,
        most: int,
        filters: tuple[str, ...],
        seed: int,
    ) -> None:
        self.space, self.known, self.verdict = space, set(observations.known), verdict
        self.surrogate, self.radius, self.filters = surrogate, radius, filters
        self.sees_z = bool(re.search("latent|linear|auto", surrogate))
        self.told = len(observations.smiles)
        self.mean = verdict.measured
        """Expected values, `n x measured`, as scores: those of told molecules are known, unless
        they are known to be noisy."""
        self.sd = torch.zeros_like(self.mean)
        self.exact = verdict.compute(observations.smiles)
        """Computed values, `n x computed`."""
        self.can_encode = torch.ones(self.told, dtype=torch.bool)
        """By the space, as far as it was tried."""
        order = torch.from_numpy(best_first(observations.y.numpy()).copy())
        learned = subsample_best_and_random(-order.argsort().double(), most, seed=seed)
        self.smiles = list(observations.smiles)
        self.z: list[Tensor | None] = list(observations.z)
        """None where it is not computed yet: what graph moves made is encoded only when needed."""
        self.operator = [""] * self.told
        """By which moves."""
        seen = features([observations.smiles[i] for i in learned], radius)
        pending = None
        if observations.pending_smiles:
            also = features(observations.pending_smiles, radius)
            pending = torch.cat([observations.pending_z, also], dim=1)
        noise = None if verdict.noise is None else verdict.noise[learned]
        self.models = [
            molecule_gp(
                torch.cat([observations.z[learned], seen], dim=1),
                self.mean[learned][:, [column]],
                space.bounds,
                kind=surrogate,
                descriptors=len(DESCRIPTORS),
                noise=None if noise is None else noise[:, [column]],
                pending=pending,
            )
            for column in range(self.mean.shape[1])
        ]
        proposed = set(observations.proposed)
        latest = [place for place, i in enumerate(learned) if i in proposed][-LATEST:]
        self.inflation = [_inflation(model, latest) for model in self.models]
        """Variances of what is foreseen, over those that the models say. The search goes by the
        models alone: with these, it found less where they are large."""
        if noise is not None:
            seen = features(self.smiles, radius)
            x = torch.cat([observations.z, seen], dim=1)
            self.mean = torch.cat([model.posterior(x).mean for model in self.models], dim=1)
            verdict.believe(self.mean)

    def add(self, smiles: Sequence[str], z: Sequence[Tensor | None], made: Sequence[str]) -> None:
        """Let molecules that are not known yet be judged.

        Args:
            smiles: Some may be known, or there twice: the first one counts.
            z: Their vectors, where there are any yet.
            made: By which moves.
        """
        new: dict[str, tuple[Tensor | None, str]] = {}
        for molecule, vector, by in zip(smiles, z, made, strict=True):
            if molecule not in self.known and proposable(self.space, molecule):
                new.setdefault(molecule, (vector, by))
        self.known.update(new)
        passed = unfiltered(list(new), self.filters)
        new = {molecule: of for molecule, of in new.items() if molecule in passed}
        if not new:
            return
        places = list(range(len(self.smiles), len(self.smiles) + len(new)))
        self.smiles += new
        self.z += [vector for vector, _ in new.values()]
        self.operator += [by for _, by in new.values()]
        unknown = self.mean.new_zeros(len(new), self.mean.shape[1])
        self.mean, self.sd = torch.cat([self.mean, unknown]), torch.cat([self.sd, unknown])
        self.exact = np.concatenate([self.exact, self.verdict.compute(list(new))])
        self.can_encode = torch.cat([self.can_encode, torch.ones(len(new), dtype=torch.bool)])
        if self.sees_z:
            self.vectors(places)
            places = [i for i in places if self.z[i] is not None]
        x = self._features(places)
        for column, model in enumerate(self.models):
            posterior = model.posterior(x)
            self.mean[places, column] = posterior.mean[:, 0]
            self.sd[places, column] = posterior.variance[:, 0].clamp_min(0).sqrt()

    def _features(self, places: Sequence[int]) -> Tensor:
        # Where the kernel looks at z it is asked only once z is there.
        nothing = torch.zeros(self.space.dim, dtype=torch.float64)
        z = torch.stack([nothing if (v := self.z[i]) is None else v for i in places])
        seen = features([self.smiles[i] for i in places], self.radius)
        return torch.cat([z, seen], dim=1)

    def vectors(self, places: Sequence[int]) -> Tensor:
        """Of those that the space can read; the others will not be looked at again."""
        lacking = [i for i in dict.fromkeys(places) if self.z[i] is None]
        if lacking:
            found = encoded(self.space, [self.smiles[i] for i in lacking])
            z = {candidate.smiles: candidate.z for candidate in found}
            for i in lacking:
                self.z[i] = z.get(self.smiles[i])
                self.can_encode[i] = self.z[i] is not None
        there = [vector for i in places if (vector := self.z[i]) is not None]
        return torch.stack(there) if there else torch.empty(0, self.space.dim).double()

    def _scores(self, which: int) -> Tensor:
        """Of everything, under one of the verdict's weights; minus infinity if not readable."""
        scores = self.verdict.scores(self.mean, self.sd, self.exact, which)
        return scores.masked_fill(~self.can_encode, -torch.inf)

    def feasible(self) -> int:
        """Candidates that keep all limits which can be computed."""
        return int((self.verdict.feasible(self.exact) & self.can_encode.numpy())[self.told :].sum())

    def parents(self, n: int, rng: np.random.Generator) -> list[int]:
        """Drawn by rank, each from the ranking under one of the weights."""
        which = rng.integers(self.verdict.n, size=n)
        ranks = sample_by_rank(int(self.can_encode.sum()), n, rng)
        order = [
            self._scores(k).argsort(descending=True, stable=True) for k in range(self.verdict.n)
        ]
        return [int(order[k][rank]) for k, rank in zip(which, ranks, strict=True)]

    def batch(self) -> list[Candidate]:
        """One candidate for each weight, as far as there are any.

        Each is chosen as if those before it had been measured and had come out as expected: the
        mean stays, the uncertainty shrinks.
        """
        finalists: dict[int, None] = {}
        for k in range(self.verdict.n):
            scores = self._scores(k)[self.told :]
            best = scores.topk(min(FINALISTS, len(scores))).indices + self.told
            finalists.update(dict.fromkeys(best.tolist()))
        self.vectors(list(finalists))
        places = [i for i in finalists if self.z[i] is not None]
        if not places:
            return []
        x, mean = self._features(places), self.mean[places].clone()
        covariances = []
        for column, model in enumerate(self.models):
            posterior = model.posterior(x)
            assert isinstance(posterior, GPyTorchPosterior)
            mean[:, column] = posterior.mean[:, 0]
            covariances.append(posterior.distribution.covariance_matrix.clone())
        foreseen = self._foreseen(mean, covariances)
        left, exact = torch.ones(len(places), dtype=torch.bool), self.exact[places]
        chosen: list[int] = []
        for k in range(min(self.verdict.n, len(places))):
            sd = torch.zeros_like(mean)
            for column, covariance in enumerate(covariances):
                sd[:, column] = covariance.diagonal().clamp_min(0).sqrt()
            gains = self.verdict.hypervolume_improvement(mean, sd, exact, k, chosen)
            top = int(gains.masked_fill(~left, -torch.inf).argmax())
            left[top] = False
            chosen.append(top)
            for model, covariance in zip(self.models, covariances, strict=True):
                column_of_top = covariance[:, top].clone()
                noise = model.likelihood.noise.median()
                covariance -= torch.outer(column_of_top, column_of_top) / (
                    column_of_top[top] + noise
                )
        # The record keeps vectors of the space itself, whichever decoder a molecule is from.
        smiles = [self.smiles[places[i]] for i in chosen]
        z = torch.stack([vector for i in chosen if (vector := self.z[places[i]]) is not None])
        astray = [i for i, m in enumerate(self.space.decode(z)) if m != smiles[i]]
        encodings = {c.smiles: c.z for c in encoded(self.space, [smiles[i] for i in astray])}
        for i in astray:
            z[i] = encodings.get(smiles[i], z[i])
        made = [self.operator[places[i]] for i in chosen]
        said = [foreseen[i] for i in chosen]
        return [Candidate(*parts) for parts in zip(smiles, z, made, said, strict=True)]

    def _foreseen(
        self, mean: Tensor, covariances: Sequence[Tensor]
    ) -> list[tuple[Prediction, ...]]:
        """Of each finalist's values, if they are measured as the others were."""
        columns = []
        for column, (model, covariance) in enumerate(zip(self.models, covariances, strict=True)):
            variance = self.inflation[column] * covariance.diagonal()
            variance = variance + model.likelihood.noise.median()
            transform = self.verdict.transforms[column]
            columns.append(predictions(mean[:, column], variance, transform))
        return list(zip(*columns, strict=True)) or [()] * len(mean)


def _inflation(model: SingleTaskGP, latest: Sequence[int]) -> float:
    """Mean squared error of some of a model's values, of each as its predecessors foresaw it.

    In units of the variance that was expected; 1 counts as one value more.
    """
    if not latest:
        return 1.0
    errors = one_step_ahead_errors(model)[list(latest)]
    return float((1 + errors.square().sum()) / (1 + len(errors)))


def subsample_best_and_random(y: Tensor, most: int, *, seed: int) -> list[int]:
    """Places of at most `most` values, in order: the best, and as many drawn from the others."""
    if len(y) <= most:
        return list(range(len(y)))
    order = y.argsort(descending=True, stable=True)
    n_best = (most + 1) // 2
    best, others = order[:n_best], order[n_best:]
    generator = torch.Generator().manual_seed(seed)
    drawn = others[torch.randperm(len(others), generator=generator)[: most - n_best]]
    return sorted(torch.cat([best, drawn]).tolist())


def unfiltered(smiles: Sequence[str], filters: tuple[str, ...]) -> set[str]:
    """Molecules without an alert of some catalogues."""
    if not filters:
        return set(smiles)
    good = passes(smiles, filters, workers=1)
    return {molecule for molecule, ok in zip(smiles, good, strict=True) if ok}


def features(smiles: Sequence[str], radius: int) -> Tensor:
    """Descriptors and counts of molecules, as the surrogate sees them."""
    rows = [_features_of(text, radius) for text in smiles]
    return torch.from_numpy(np.stack(rows).astype(np.float64))


@lru_cache(maxsize=30_000)
def _features_of(smiles: str, radius: int) -> NDArray[np.float32]:
    counts = morgan_counts([smiles], radius=radius, size=FEATURES)
    row: NDArray[np.float32] = np.concatenate([descriptors([smiles]), counts], axis=1)[0].astype(
        "f4"
    )
    return row


__all__ = ["CandidatePool", "features", "subsample_best_and_random", "unfiltered"]
