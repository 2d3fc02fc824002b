"""Decode, then rank: moves make molecules, a Gaussian process ranks the molecules themselves.

Latent strategies that optimise an acquisition over z and decode the optimum are misled wherever a
vector is not the encoding of what it decodes to. Here vectors are only a way of making molecules;
what is ranked is what would be scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from botorch.models import SingleTaskGP
from botorch.posteriors import GPyTorchPosterior
from gpytorch.kernels import AdditiveKernel, MaternKernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ConstantMean
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.evidence import Candidate, Evidence, Space
from molvae.bo.kernels import MinMaxKernel
from molvae.bo.moves import BOX_IN_SDS, by_rank, graph_moves, latent_moves
from molvae.bo.proposals import PATIENCE, decode_new, derived
from molvae.bo.surrogate import one_thread, quiet
from molvae.chem.fingerprints import morgan_counts
from molvae.config import require

FEATURES = 2048
"""Columns of Morgan counts."""
FINALISTS = 50
"""Molecules of each ranking among which a batch is chosen jointly."""


@dataclass(frozen=True, kw_only=True)
class Rank:
    """Upper confidence bounds over molecules made by latent and graph moves, over generations.

    In each generation parents are drawn by rank from all molecules at hand, told ones and
    candidates, children are made from them, and the surrogate ranks everything anew. Each molecule
    of the batch has its own weight of the uncertainty, drawn evenly on a logarithmic scale, so that
    a batch holds safe and daring ones; it is chosen after those before it were taken into account
    as if they had been measured.

    References:
        Tripp et al. (2021), A fresh look at de novo molecular design benchmarks (a genetic
        algorithm that maximises the acquisition of a Tanimoto GP).
    """

    name: ClassVar[str] = "rank"
    surrogate: str = "structure"
    """Kernel: structure (MinMax of Morgan counts), latent (Matern on z), or sum."""
    generations: int = 4
    """Of children, for each batch."""
    children: int = 400
    """Moves in each generation."""
    latent: float = 0.5
    """Share of latent moves among them; the others are graph moves."""
    shortest: float = 0.1
    """Radius of the smallest latent step, in standard deviations of the encodings."""
    longest: float = 1.0
    """Radius of the largest."""
    safest: float = 0.01
    """Least weight of the standard deviation."""
    boldest: float = 1.0
    """Largest weight."""
    radius: int = 3
    """Bonds around an atom in its Morgan neighbourhoods."""
    patience: int = PATIENCE
    """Vectors decoded per molecule wanted before the search is given up."""

    def __post_init__(self) -> None:
        for name in ("generations", "children", "patience"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {self}")
        require(
            self.surrogate in ("structure", "latent", "sum"),
            f"surrogate must be structure, latent or sum, got {self.surrogate!r}",
        )
        require(0 <= self.latent <= 1, f"latent must lie in [0, 1], got {self.latent}")
        require(
            0 < self.shortest <= self.longest,
            f"radii must be 0 < shortest <= longest, got {self.shortest} and {self.longest}",
        )
        require(
            0 < self.safest <= self.boldest,
            f"weights must be 0 < safest <= boldest, got {self.safest} and {self.boldest}",
        )

    def propose(
        self, evidence: Evidence, space: Space, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        evidence.need_two_values(self.name)
        rng = np.random.default_rng(seed)
        low, high = np.log(self.safest), np.log(self.boldest)
        weights = np.exp(low + (high - low) * rng.random(n))
        with one_thread(), quiet(), torch.no_grad():
            ranked = _Ranked(self, evidence, space)
            for generation in range(self.generations):
                parents = ranked.parents(weights, self.children, rng)
                n_latent = round(self.latent * self.children)
                seeds = [derived(seed, generation, part) for part in range(2)]
                made: list[Candidate] = []
                if n_latent:
                    z = torch.stack([c.z for c in parents[:n_latent]])
                    radii = (self.shortest, self.longest)
                    made += latent_moves(space, z, radii=radii, seed=seeds[0])
                if n_latent < len(parents):
                    smiles = [c.smiles for c in parents[n_latent:]]
                    made += graph_moves(space, smiles, seed=seeds[1])
                ranked.add(made)
            chosen = ranked.batch(weights)
        missing = n - len(chosen)
        if missing:
            taken = evidence.known | {c.smiles for c in chosen}
            z = space.sample(missing, seed=derived(seed, 1))
            chosen += decode_new(
                space,
                z,
                taken,
                bounds=evidence.bounds,
                seed=derived(seed, 2),
                patience=self.patience,
            )
        return chosen


class _Ranked:
    """Told molecules and candidates, with what the surrogate says of each."""

    def __init__(self, strategy: Rank, evidence: Evidence, space: Space) -> None:
        self.strategy, self.space, self.known = strategy, space, set(evidence.known)
        y = evidence.y[:, 0]
        # In units of the range seen: a prior of that width neither ends the exploration early nor
        # drowns what was learned.
        scale, floor = (y.max() - y.min()).item(), y.min().item()
        self.y = (y - floor) / scale
        self.told = [Candidate(s, z) for s, z in zip(evidence.smiles, evidence.z, strict=True)]
        pending = [
            Candidate(s, z)
            for s, z in zip(evidence.pending_smiles, evidence.pending_z, strict=True)
        ]
        self.model = self._fit(self._features(self.told), self.y)
        if pending:
            # What is being measured counts as measured, with the value that is expected.
            x = self._features(pending)
            mean = self.model.posterior(x).mean[:, 0]
            self.model = self._fit(
                torch.cat([self._features(self.told), x]), torch.cat([self.y, mean])
            )
        self.made: list[Candidate] = []
        self.mean, self.sd = torch.empty(0).double(), torch.empty(0).double()

    def _features(self, candidates: Sequence[Candidate]) -> Tensor:
        z = torch.stack([c.z for c in candidates])
        counts = np.stack([_counts(c.smiles, self.strategy.radius) for c in candidates])
        return torch.cat([z, torch.from_numpy(counts.astype(np.float64))], dim=1)

    def _fit(self, x: Tensor, y: Tensor) -> SingleTaskGP:
        d = self.space.dim
        structure = ScaleKernel(MinMaxKernel(active_dims=tuple(range(d, x.shape[1]))))
        latent = ScaleKernel(MaternKernel(nu=2.5, ard_num_dims=d, active_dims=tuple(range(d))))
        sd = (self.space.bounds[1] - self.space.bounds[0]) / BOX_IN_SDS
        latent.base_kernel.lengthscale = sd * d**0.5
        structure.outputscale = latent.outputscale = 1.0
        kernel: Any = {
            "structure": structure,
            "latent": latent,
            "sum": AdditiveKernel(structure, latent),
        }[self.strategy.surrogate]
        mean, likelihood = ConstantMean(), GaussianLikelihood()
        mean.initialize(constant=0.0)
        likelihood.noise = 1e-3
        model = SingleTaskGP(
            x,
            y[:, None],
            covar_module=kernel,
            mean_module=mean,
            likelihood=likelihood,
            outcome_transform=None,
        )
        return model.eval()

    def add(self, candidates: Sequence[Candidate]) -> None:
        """Rank molecules that are not known yet."""
        new: list[Candidate] = []
        for candidate in candidates:
            if candidate.smiles not in self.known:
                self.known.add(candidate.smiles)
                new.append(candidate)
        if not new:
            return
        posterior = self.model.posterior(self._features(new))
        self.made += new
        self.mean = torch.cat([self.mean, posterior.mean[:, 0]])
        self.sd = torch.cat([self.sd, posterior.variance[:, 0].clamp_min(0).sqrt()])

    def parents(
        self, weights: NDArray[np.float64], n: int, rng: np.random.Generator
    ) -> list[Candidate]:
        """Drawn by rank, each from the ranking under one of the weights."""
        everyone = self.told + self.made
        which = rng.integers(len(weights), size=n)
        places = by_rank(len(everyone), n, rng)
        drawn = []
        for weight, place in zip(which, places, strict=True):
            order = self._order(float(weights[weight]))
            drawn.append(everyone[order[place]])
        return drawn

    def _order(self, weight: float) -> list[int]:
        key = (weight, len(self.made))
        if not hasattr(self, "_orders"):
            self._orders: dict[tuple[float, int], list[int]] = {}
        if key not in self._orders:
            scores = torch.cat([self.y, self.mean + weight * self.sd])
            self._orders[key] = scores.argsort(descending=True, stable=True).tolist()
        return self._orders[key]

    def batch(self, weights: NDArray[np.float64]) -> list[Candidate]:
        """One candidate for each weight, as far as there are any."""
        if not self.made:
            return []
        few: dict[int, None] = {}
        for weight in weights:
            scores = self.mean + float(weight) * self.sd
            few.update(dict.fromkeys(scores.topk(min(FINALISTS, len(scores))).indices.tolist()))
        places = list(few)
        posterior = self.model.posterior(self._features([self.made[i] for i in places]))
        mean = posterior.mean[:, 0]
        assert isinstance(posterior, GPyTorchPosterior)
        covariance = posterior.distribution.covariance_matrix.clone()
        open_ = torch.ones(len(places), dtype=torch.bool)
        chosen = []
        for weight in weights[: len(places)]:
            sd = covariance.diagonal().clamp_min(0).sqrt()
            scores = (mean + float(weight) * sd).masked_fill(~open_, -torch.inf)
            best = int(scores.argmax())
            open_[best] = False
            chosen.append(self.made[places[best]])
            column = covariance[:, best].clone()
            covariance -= torch.outer(column, column) / (column[best] + 1e-3)
        return chosen


@lru_cache(maxsize=50_000)
def _counts(smiles: str, radius: int) -> NDArray[np.uint8]:
    counts: NDArray[np.uint8] = (
        morgan_counts([smiles], radius=radius, size=FEATURES)[0].clip(max=255).astype(np.uint8)
    )
    return counts


__all__ = ["Rank"]
