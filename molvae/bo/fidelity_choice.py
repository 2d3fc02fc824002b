"""Which fidelity each molecule of a batch is evaluated at: by the information for the cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from molvae.bo.base import Observations
from molvae.bo.fidelity_gp import FidelityGP, at_fidelity

N_MAXIMA = 32  # samples of the best value among the candidates
MIN_VARIANCE, MIN_DROP = 1e-9, 1e-12
"""Least variance of a score, and least share of it that the best value excludes."""


def choose_fidelities(
    model: FidelityGP,
    x: Tensor,
    smiles: Sequence[str],
    observations: Observations,
    kappas: Sequence[float],
    *,
    best: float,
    seed: int,
) -> tuple[list[int], list[str]]:
    """A candidate for each kappa, by its upper confidence bound at the objective, and its fidelity.

    Args:
        model: The process.
        x: Features of the candidates, `n x f`.
        smiles: The candidates.
        observations: The data, with the costs.
        kappas: Weights of the standard deviation.
        best: Best score of the objective so far.
        seed: Seed of the samples of the best value.

    Returns:
        Indices of candidates, and names of fidelities; empty: the objective.
    """
    lower, most, own = observations.fidelities, observations.max_cost, observations.cost
    rows = [[own <= most] * len(smiles)]
    rows += [[one.cost <= most and text not in one.known for text in smiles] for one in lower]
    costs = [own, *(one.cost for one in lower)]
    choice = FidelityChoice(model, x, best, costs, torch.tensor(rows), seed=seed)
    chosen, names = list[int](), list[str]()
    for kappa in kappas:
        free = choice.allowed.any(dim=0)
        if not bool(free.any()):
            break
        bound = choice.mean + float(kappa) * choice.std
        chosen.append(int(bound.masked_fill(~free, -torch.inf).argmax()))
        fidelity = choice.choose(chosen[-1])
        names.append(lower[fidelity - 1].name if fidelity else "")
    return chosen, names


class FidelityChoice:
    """Chooses the fidelity of each molecule of a batch by the information for its cost.

    The information is what the evaluation tells of the best value of the objective: the lower bound
    of GIBBON on their mutual information. It is divided by the cost, as BoTorch's
    `InverseCostWeightedUtility` does. Evaluations that were chosen count as made.

    Args:
        model: The process.
        x: Features of the candidates, `n x f`.
        best: Best score that was measured.
        costs: Costs of the fidelities.
        allowed: Which evaluations may be chosen, `fidelities x n`.
        seed: Seed of the samples of the best value.

    References:
        Moss et al. (2021), GIBBON, JMLR 22(235), arXiv:2102.03324;
        Takeno et al. (2020), arXiv:1901.08275 (max-value entropy search for fidelities);
        Kandasamy et al. (2016), arXiv:1603.06288 (the molecule by its upper confidence bound at the
        objective, then its fidelity).
    """

    def __init__(
        self,
        model: FidelityGP,
        x: Tensor,
        best: float,
        costs: Sequence[float],
        allowed: Tensor,
        *,
        seed: int,
    ) -> None:
        everything = torch.cat([at_fidelity(x, number) for number in range(len(costs))])
        distribution = model.posterior(everything).distribution
        self.n, self.allowed = len(x), allowed
        self.covariance = distribution.covariance_matrix.clone()  # (fidelities n) x the same
        self.mean, self.noises = distribution.mean[: self.n], model.noises
        self.costs = torch.tensor(costs).to(x)
        own = self.covariance[: self.n, : self.n]
        values, vectors = torch.linalg.eigh(own)
        generator = torch.Generator().manual_seed(seed)
        white = torch.randn(self.n, N_MAXIMA, dtype=x.dtype, generator=generator)
        samples = self.mean[:, None] + vectors @ (values.clamp_min(0).sqrt()[:, None] * white)
        self.maxima = samples.max(dim=0).values.clamp_min(best)  # samples

    @property
    def std(self) -> Tensor:
        """Standard deviations of the objective, `n`."""
        own: Tensor = self.covariance.diagonal()[: self.n].clamp_min(0).sqrt()
        return own

    def information(self, row: int) -> Tensor:
        """Information for its cost that each fidelity of a candidate gives, `fidelities`.

        Minus infinity where it is not allowed.
        """
        places = torch.arange(len(self.costs)) * self.n + row
        variances = self.covariance.diagonal()[places].clamp_min(MIN_VARIANCE)
        squared = self.covariance[places, row].square() / variances[0] / (variances + self.noises)
        gamma = (self.maxima - self.mean[row]) / variances[0].sqrt()  # samples
        log_pdf = -gamma.square() / 2 - math.log(2 * math.pi) / 2
        ratio = (log_pdf - torch.special.log_ndtr(gamma)).exp()
        # Share of the variance that is lost below the best value. Of a molecule that cannot be the
        # best one it is not quite 0, so that fidelities still compare.
        drop = (ratio * (gamma + ratio)).clamp(MIN_DROP, 1.0)
        left = -squared.clamp(0.0, 1 - MIN_VARIANCE)[:, None] * drop  # fidelities x samples
        found = -left.log1p().mean(dim=1) / 2 / self.costs
        allowed: Tensor = found.masked_fill(~self.allowed[:, row], -torch.inf)
        return allowed

    def choose(self, row: int) -> int:
        """The fidelity of a candidate, which from now on counts as evaluated at it."""
        fidelity = int(self.information(row).argmax())
        place = fidelity * self.n + row
        c = self.covariance[:, place].clone()
        self.covariance -= torch.outer(c, c) / (c[place] + self.noises[fidelity])
        self.allowed[:, row] = False
        return fidelity
