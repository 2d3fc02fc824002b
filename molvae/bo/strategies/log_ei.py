"""Noisy log expected improvement over a Gaussian process on z."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.optim.optimize import optimize_acqf
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.hypervolume import infer_reference_point

from molvae.bo.base import Candidate, Observations, _at_least_one
from molvae.bo.candidates import PATIENCE, decode_novel, expand_bounds, spawn_seed
from molvae.bo.surrogate import fit_gp, predict_gp, reproducible
from molvae.errors import require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated
from molvae.objectives.problem import is_non_dominated


@dataclass(frozen=True, kw_only=True)
class LogEI:
    """Noisy expected improvement over a GP on z, in its stable form, maximized in the box.

    In a Pareto search, that of the hypervolume.

    A batch is chosen greedily, one vector after the other, each given the earlier ones and the
    pending molecules. Half of the starting points of the search are perturbations of the best
    vector, mostly of a subset of dimensions at a time: in 64 dimensions a search from random starts
    alone ends in the corners of the box.

    References:
        Ament et al. (2023), arXiv:2310.20708 (log-EI); Daulton et al. (2021), arXiv:2105.08195
        (of the hypervolume, for several goals); Regis and Shoemaker (2013),
        doi:10.1080/0305215X.2012.687731, and Eriksson and Jankowiak (2021), arXiv:2103.00349
        (starts around the best).
    """

    name: ClassVar[str] = "log-ei"
    restarts: int = 2
    """Gradient searches for each vector; the best one counts."""
    raw_samples: int = 128
    """Points among which the starts of these searches are chosen."""
    iterations: int = 50
    """Most steps of one search. Twice as many steps, restarts and points took twice the time and
    found no better batch."""
    samples: int = 128
    """Draws of the surrogate over which the improvement is averaged."""
    best: int = 16
    """Told vectors, those with the highest expected values, among which the one to improve on may
    be: its value is noisy. More take longer. In a Pareto search all are looked at."""
    patience: int = PATIENCE
    """Vectors decoded per molecule wanted before the search is given up."""

    def __post_init__(self) -> None:
        _at_least_one(self, "restarts", "raw_samples", "iterations", "samples", "best", "patience")
        require(
            self.raw_samples >= self.restarts,
            f"raw_samples must be at least restarts = {self.restarts}, got {self.raw_samples}",
        )

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        observations.require_observations(self.name, several=True)
        box = expand_bounds(observations)
        with reproducible(seed):
            model = fit_gp(observations.z, observations.scores, box, observations.score_noise)
            settings: dict[str, Any] = {
                "X_pending": observations.pending_z if len(observations.pending_z) else None,
                "sampler": SobolQMCNormalSampler(torch.Size([self.samples])),
                "prune_baseline": True,
            }
            acquisition: AcquisitionFunction
            if observations.scores.shape[1] == 1:
                expected = model.posterior(observations.z).mean[:, 0]
                best = expected.topk(min(self.best, len(expected))).indices
                acquisition = qLogNoisyExpectedImprovement(model, observations.z[best], **settings)
            else:
                reference = infer_reference_point(
                    observations.scores[is_non_dominated(observations.scores.numpy())]
                )
                acquisition = qLogNoisyExpectedHypervolumeImprovement(
                    model, reference.tolist(), observations.z, **settings
                )
            z, _ = optimize_acqf(
                acquisition,
                box,
                q=n,
                sequential=True,
                num_restarts=self.restarts,
                raw_samples=self.raw_samples,
                options={
                    "batch_limit": self.restarts,
                    "init_batch_limit": 64,
                    "maxiter": self.iterations,
                    "sample_around_best": True,
                },
                # A search that stops early has still found a point; a second one would double the
                # time.
                retry_on_optimization_warning=False,
            )
        found = decode_novel(
            space,
            z.detach(),
            observations.known,
            bounds=box,
            seed=spawn_seed(seed, 1),
            patience=self.patience,
        )
        return predict_gp(found, model, observations)


__all__ = ["LogEI"]
