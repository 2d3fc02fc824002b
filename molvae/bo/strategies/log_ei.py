"""Noisy log expected improvement over a Gaussian process on z."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.optim.optimize import optimize_acqf
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from torch import Tensor

from molvae.bo.base import Candidate, Observations, check_at_least, documented
from molvae.bo.candidates import MAX_DECODE_ATTEMPTS, expand_bounds, propose_decoded
from molvae.bo.surrogate import fit_gp, predict_gp, reproducible
from molvae.errors import require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated
from molvae.objectives.problem import is_non_dominated

# BoTorch compiles a C++ kernel when this acquisition is first made: proposals would depend on the
# compiler of the machine, and a process killed meanwhile leaves a lock that all others wait for.
logei._load_attempted = True


@documented
@dataclass(frozen=True, kw_only=True)
class LogEI:
    """Noisy log expected improvement over a GP on z, maximized in the box.

    Of the molecules at the maxima and their branches, those with the largest improvement at their
    own encodings are proposed.

    A Pareto search uses the expected hypervolume improvement. Batches are chosen greedily, given
    the pending molecules. Half of the searches start near the best vector, mostly with a subset of
    dimensions perturbed: in 64 dimensions, searches from random starts end in corners of the box.

    References:
        Ament et al. (2023), arXiv:2310.20708 (log-EI); Daulton et al. (2021), arXiv:2105.08195
        (of the hypervolume, for several goals); Regis and Shoemaker (2013),
        doi:10.1080/0305215X.2012.687731, and Eriksson and Jankowiak (2021), arXiv:2103.00349
        (starts around the best).
    """

    name: ClassVar[str] = "log-ei"
    num_restarts: int = 2
    """Gradient searches for each vector; the best result counts."""
    raw_samples: int = 128
    """Points among which the starts of these searches are chosen."""
    max_iterations: int = 15
    """Maximum number of steps of one search. More steps, restarts and points take longer and found
    no better molecules."""
    mc_samples: int = 128
    """Samples of the posterior over which the improvement is averaged."""
    n_best: int = 16
    """Baseline points: the observed vectors with the highest predicted values, since observed
    values are noisy. More take longer. A Pareto search uses all."""
    max_decode_attempts: int = MAX_DECODE_ATTEMPTS
    """Latent vectors to decode per molecule before giving up."""

    def __post_init__(self) -> None:
        check_at_least(
            self,
            1,
            *("num_restarts", "raw_samples", "max_iterations", "mc_samples", "n_best"),
            "max_decode_attempts",
        )
        require(
            self.raw_samples >= self.num_restarts,
            f"raw_samples must be at least num_restarts = {self.num_restarts}, "
            f"got {self.raw_samples}",
        )

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        observations.require_observations(self.name, several=True)
        box = expand_bounds(observations)
        with reproducible(seed):
            model = fit_gp(observations.z, observations.scores, observations.score_noise)
            sampler = SobolQMCNormalSampler(torch.Size([self.mc_samples]))
            z, _ = optimize_acqf(
                self._acquisition(model, observations, sampler),
                box,
                q=n,
                sequential=True,
                num_restarts=self.num_restarts,
                raw_samples=self.raw_samples,
                options={
                    "batch_limit": self.num_restarts,
                    "init_batch_limit": 64,
                    "maxiter": self.max_iterations,
                    "sample_around_best": True,
                },
                # A search that stops early has found a point; retrying would double the time.
                retry_on_optimization_warning=False,
            )
            pending = observations.pending_z
            # The search counts its own vectors as pending; among molecules the chosen ones count.
            sampler = SobolQMCNormalSampler(sampler.sample_shape, seed=sampler.seed)
            acquisition: Any = self._acquisition(model, observations, sampler)

            def value(encodings: Tensor, chosen: Sequence[Candidate]) -> Tensor:
                acquisition.set_X_pending(torch.cat([pending, *(one.z[None] for one in chosen)]))
                return torch.cat(
                    [acquisition(part) for part in torch.split(encodings[:, None], 64)]
                )

            found = propose_decoded(
                space,
                z.detach(),
                value,
                observations,
                n,
                seed=seed,
                max_attempts=self.max_decode_attempts,
            )
        return predict_gp(found, model, observations)

    def _acquisition(
        self, model: Any, observations: Observations, sampler: SobolQMCNormalSampler
    ) -> AcquisitionFunction:
        """The improvement, given the pending molecules."""
        pending = observations.pending_z
        settings: dict[str, Any] = {
            "X_pending": pending if len(pending) else None,
            "sampler": sampler,
            "prune_baseline": True,
        }
        if observations.scores.shape[1] == 1:
            expected = model.posterior(observations.z).mean[:, 0]
            best = expected.topk(min(self.n_best, len(expected))).indices
            acquisition = qLogNoisyExpectedImprovement(model, observations.z[best], **settings)
            if len(pending):  # which `optimize_acqf` puts beside its own vectors
                acquisition.X_pending = pending
            return acquisition
        reference = infer_reference_point(
            observations.scores[is_non_dominated(observations.scores.numpy())]
        )
        return qLogNoisyExpectedHypervolumeImprovement(
            model, reference.tolist(), observations.z, **settings
        )
