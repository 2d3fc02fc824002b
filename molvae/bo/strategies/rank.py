"""Rank molecules: latent and graph moves make candidates, a Gaussian process ranks them.

Strategies that optimize an acquisition function over z are misled where a vector is not the
encoding of the molecule that it decodes to. Here vectors only make molecules; the surrogate looks
at the molecules, which are what is scored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molvae.bo.acquisition import Acquisition, MultiObjectiveUCB, UpperConfidenceBound
from molvae.bo.analogs import similarity_floor
from molvae.bo.base import (
    Candidate,
    Observations,
    check_at_least,
    check_order,
    check_share,
    documented,
)
from molvae.bo.candidates import MAX_DECODE_ATTEMPTS, accepted_beside, decode_novel
from molvae.bo.graph_operators import graph_ga_offspring
from molvae.bo.kernels import KERNELS
from molvae.bo.molecule_predictor import MoleculePredictor
from molvae.bo.operators import branch_offspring, perturb_latent
from molvae.bo.pool import CandidatePool, unfiltered
from molvae.bo.screening import sample_dataset, screened_dataset
from molvae.bo.surrogate import SurrogateFactory, reproducible
from molvae.chem.cores import Core
from molvae.chem.diversity import Diversity
from molvae.chem.filters import known_catalogs
from molvae.errors import CampaignError, require
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated, spawn_seed
from molvae.objectives.problem import best_first
from molvae.objectives.registry import import_object

OFFSPRING_PER_MOLECULE = 10
"""Minimum number of offspring per generation for each molecule of a batch."""

MAX_GENERATIONS_FACTOR = 10
"""Most generations, in `n_generations`, while too few candidates keep the cheap constraints."""

LATENT, BRANCH, GRAPH, SCREEN = "latent", "branch", "graph", "screen"
"""Names of the operators in campaign files: steps in z, branches of the decoder, graph moves,
molecules of the data set."""

MIN_OPERATOR_SHARE = 0.05  # minimum share of an operator, so that its success can be observed
MIN_CONFIDENCE = 0.125  # minimum share of the largest kappa, with very few values
PRIOR_SUCCESSES = 10  # number of successes that the initial shares count for

RADIUS_FACTOR = 1.5
"""Growth of the smallest latent step after a generation in which most steps found nothing new."""

RING_SHARE = 0.15
"""Share of graph crossovers that cut a ring of each parent. mol-ga takes half. They take three
times as long, and the default check of plausibility refuses 70 %, not 35 %, of them."""

FINETUNING_STEPS = 60
"""Steps of fine-tuning: enough for most of the best molecules to decode from their encodings."""


@documented
@dataclass(frozen=True, kw_only=True)
class Rank:
    """Upper confidence bounds of molecules made by latent and graph operators.

    In each generation parents are sampled by rank from all molecules in the pool, operators make
    offspring, and the surrogate ranks the pool again. There are four operators: steps in z,
    branches of the decoder, graph crossover and mutation, and molecules of the data set that the
    model was trained on, if it is installed. Their shares follow their success. Each molecule of
    the batch has its own kappa, log-uniform, so that a batch exploits and explores; the batch is
    chosen greedily, as if the earlier molecules had been measured. The largest kappa grows with the
    number of values. A campaign that starts from measured analogues stays near them at first, see
    `CandidatePool`. As the search leaves the training distribution, steps in z decode to other
    molecules; so the decoder is finetuned on the best molecules, for the operators alone: campaign
    files store vectors of the original space.

    References:
        Tripp et al. (2020), arXiv:2006.09191 (retraining on the best molecules);
        Tripp et al. (2021), A fresh look at de novo molecular design benchmarks (a genetic
        algorithm that maximizes the acquisition function of a Tanimoto GP).
    """

    name: ClassVar[str] = "rank"
    surrogate: str | SurrogateFactory = "weighted"
    """Kernels: tanimoto, descriptors, latent, linear, sums and products of these, or auto for the
    one with the best leave-one-out likelihood; see `molecule_gp`. Or `module:attribute`, or an
    object: a `SurrogateFactory`."""
    acquisition: str | Acquisition = "ucb"
    """Acquisition function: `ucb`, or `module:attribute` or an object, an `Acquisition`, for one
    measured objective."""
    n_generations: int = 4
    """Generations of offspring for each batch."""
    n_offspring: int = 200
    """Offspring in each generation; ten for each molecule of the batch, if that is more."""
    n_warmup: int = 200
    """Number of values below which there are fewer generations and offspring, in proportion to the
    square root: among many candidates a surrogate that has learned little picks those that it
    overrates. 0: never."""
    initial_distance: float = 0.3
    """Least Tanimoto distance between two molecules of a batch, see `Diversity`, with the first
    values; it falls to 0 at `n_warmup`. A batch of near duplicates teaches the surrogate little.
    Not in campaigns that start from analogues, and not where too few candidates keep it."""
    latent_fraction: float = 0.5
    """Initial share of latent moves, steps and branches; the other offspring are from the graph
    operator and from the data set. 1: latent moves only, 0: none."""
    branch_fraction: float = 0.5
    """Initial share of branches among the latent moves; the others are steps in z."""
    screen_fraction: float = 0.2
    """Initial share of molecules from the data set among the others."""
    adaptation_window: int = 200
    """Latest molecules by whose success the shares are adapted, see `shares`; 0 keeps them."""
    finetune_every: int = 100
    """Observations after which the decoder is finetuned on the best ones; 0 for never."""
    min_radius: float = 0.3
    """Smallest latent step, see `perturb_latent`; much smaller steps return the parent."""
    max_radius: float = 1.0
    """Largest latent step, at most 1."""
    kappa_min: float = 0.05
    """Smallest weight of the standard deviation."""
    kappa_max: float = 4.0
    """Largest weight of the standard deviation, with `n_cautious` or more values."""
    n_cautious: int = 400
    """Number of values below which the largest weight is smaller in proportion, down to an eighth,
    and all weights are smaller where the latest errors were smaller than predicted. 0: weights are
    as given, and campaigns that start from analogues may leave them at once."""
    fingerprint_radius: int = 1
    """Radius of the Morgan fingerprint. Large radii identify single molecules; small radii describe
    fragments and generalize better."""
    max_observations: int = 3000
    """Size of the surrogate's training set; of more observations, half of it are the best ones and
    half are a random sample of the others."""
    filters: tuple[str, ...] = ()
    """Catalogs of structural alerts, e.g. PAINS and BRENK (see `molvae.chem.filters.passes`);
    molecules with an alert are never proposed."""
    max_decode_attempts: int = MAX_DECODE_ATTEMPTS
    """Latent vectors to decode per molecule before giving up."""

    def __post_init__(self) -> None:
        check_at_least(
            self,
            1,
            *("n_generations", "n_offspring", "max_observations", "max_decode_attempts"),
        )
        check_at_least(self, 0, "finetune_every", "adaptation_window", "fingerprint_radius")
        check_at_least(self, 0, "n_cautious", "n_warmup")
        check_share(self, "latent_fraction", "branch_fraction", "screen_fraction")
        check_share(self, "initial_distance")
        check_order(self, "min_radius", "max_radius", 1.0)
        check_order(self, "kappa_min", "kappa_max")
        if isinstance(self.surrogate, str) and ":" not in self.surrogate:
            names = re.split(r"[+*]", self.surrogate)
            require(
                self.surrogate in ("auto", "weighted") or all(name in KERNELS for name in names),
                f"surrogate must be auto, module:attribute, or {', '.join(KERNELS)} with + or * "
                f"between them; got {self.surrogate!r}",
            )
        if isinstance(self.acquisition, str):
            require(
                self.acquisition == "ucb" or ":" in self.acquisition,
                f"acquisition must be ucb or module:attribute, got {self.acquisition!r}",
            )
        else:
            require(
                callable(getattr(self.acquisition, "values", None)),
                f"acquisition needs a method values, see Acquisition; got {self.acquisition!r}",
            )
        if self.filters:
            known_catalogs(self.filters)

    def kappas(self, n_values: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Weights of the standard deviation for a batch of `n`, after so many values."""
        confidence = n_values / self.n_cautious if self.n_cautious else 1.0
        confidence = min(max(confidence, MIN_CONFIDENCE), 1.0)
        low = np.log(self.kappa_min)
        high = np.log(max(self.kappa_min, confidence * self.kappa_max))
        sampled: NDArray[np.float64] = np.exp(low + (high - low) * rng.random(n))
        return sampled

    def _acquisition(
        self, observations: Observations, n: int, rng: np.random.Generator
    ) -> UpperConfidenceBound | MultiObjectiveUCB:
        kappas = self.kappas(len(observations.smiles), n, rng)
        problem, compute = observations.problem, observations.compute
        own = None if self.acquisition == "ucb" else import_object(self.acquisition)
        if problem is None or compute is None:
            return UpperConfidenceBound(observations, kappas, own)
        if own is not None:
            raise CampaignError(
                "an own acquisition function needs one measured objective without constraints"
            )
        return MultiObjectiveUCB(observations, problem, compute, kappas, rng)

    def predictor(
        self,
        observations: Observations,
        space: LatentSpaceProtocol,
        acquisition: UpperConfidenceBound | MultiObjectiveUCB,
        *,
        seed: int,
    ) -> MoleculePredictor:
        """Predictor of the values of molecules, fitted to the observations."""
        surrogate = self.surrogate
        if not isinstance(surrogate, str) or ":" in surrogate:
            surrogate = import_object(surrogate)
        return MoleculePredictor(
            observations,
            space,
            acquisition,
            surrogate=surrogate,
            radius=self.fingerprint_radius,
            max_observations=self.max_observations,
            seed=spawn_seed(seed, 102),
        )

    def pool(
        self,
        observations: Observations,
        space: LatentSpaceProtocol,
        n: int,
        rng: np.random.Generator,
        *,
        seed: int,
    ) -> CandidatePool:
        """The observed molecules with a surrogate and `n` kappas; candidates are added to it."""
        acquisition = self._acquisition(observations, n, rng)
        return CandidatePool(
            observations,
            space,
            predictor=self.predictor(observations, space, acquisition, seed=seed),
            acquisition=acquisition,
            filters=self.filters,
            cautious=self.n_cautious > 0,
        )

    @isolated()
    def predict(
        self, observations: Observations, space: LatentSpaceProtocol, smiles: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of values, see `MoleculePredictor.predict`."""
        observations.require_observations(self.name, 1, several=True)
        with reproducible(), torch.no_grad():
            acquisition = self._acquisition(observations, 1, np.random.default_rng(0))
            return self.predictor(observations, space, acquisition, seed=0).predict(smiles)

    @isolated()
    def propose(
        self, observations: Observations, space: LatentSpaceProtocol, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        observations.require_observations(self.name, 1, several=True)
        rng = np.random.default_rng(seed)
        warm = min(1.0, len(observations.smiles) / self.n_warmup) if self.n_warmup else 1.0
        n_generations = math.ceil(warm**0.5 * self.n_generations)
        n_offspring = max(math.ceil(warm**0.5 * self.n_offspring), OFFSPRING_PER_MOLECULE * n)
        with reproducible(seed), torch.no_grad():
            diverse = self._diverse_at_first(observations, warm)
            pool = self.pool(diverse, space, n, rng, seed=seed)
            screens = self.screen_fraction and observations.core is None
            dataset = screened_dataset(space) if screens else None
            shares = self.shares(
                observations, branches=hasattr(space, "branch"), screens=dataset is not None
            )
            maker = self.maker(observations, space) if shares[LATENT] or shares[BRANCH] else space
            radius = self.min_radius
            for generation in range(MAX_GENERATIONS_FACTOR * n_generations):
                if generation >= n_generations and pool.has_feasible(n):
                    break
                too_short = _add_generation(
                    pool,
                    maker,
                    _apportioned(n_offspring, shares),
                    radii=(radius, self.max_radius),
                    dataset=dataset,
                    core=observations.core,
                    seeds=[spawn_seed(seed, generation, part) for part in range(4)],
                    rng=rng,
                )
                if too_short:
                    radius = min(RADIUS_FACTOR * radius, self.max_radius)
            chosen = pool.batch()
            if len(chosen) < n and diverse is not observations:
                pool.demand(observations)
                chosen = pool.batch()
        return chosen + self._from_prior(n - len(chosen), chosen, observations, space, seed=seed)

    def _diverse_at_first(self, observations: Observations, warm: float) -> Observations:
        """Observations that demand a distance within a batch, `warm` being the share of values."""
        if warm == 1 or similarity_floor(observations):
            return observations
        demanded = observations.diversity or Diversity(pending=observations.pending_smiles)
        distance = max(demanded.batch_distance, (1 - warm) * self.initial_distance)
        return replace(observations, diversity=replace(demanded, batch_distance=distance))

    def shares(
        self, observations: Observations, *, branches: bool = True, screens: bool = True
    ) -> dict[str, float]:
        """Share of each operator among the recent molecules that are in the best tenth.

        Args:
            branches: Whether the space has branches.
            screens: Whether the data set is installed.
        """
        branch = self.branch_fraction * branches
        screen = self.screen_fraction * screens
        initial = {
            LATENT: self.latent_fraction * (1 - branch),
            BRANCH: self.latent_fraction * branch,
            GRAPH: (1 - self.latent_fraction) * (1 - screen),
            SCREEN: (1 - self.latent_fraction) * screen,
        }
        if not self.adaptation_window or not observations.origins:
            return initial
        origins, n = observations.origins, len(observations.smiles)
        best = best_first(observations.y.numpy())[: max(OFFSPRING_PER_MOLECULE, n // 10)]
        good, used = set(best.tolist()), tuple(name for name, share in initial.items() if share)
        own = [i for i, origin in enumerate(origins) if origin.endswith(used)]
        successes = [origins[i] for i in own[-self.adaptation_window :] if i in good]
        shares = {
            name: max(
                sum(origin.endswith(name) for origin in successes)
                + PRIOR_SUCCESSES * initial[name],
                MIN_OPERATOR_SHARE * (len(successes) + PRIOR_SUCCESSES),
            )
            for name in used
        }
        return {name: shares.get(name, 0.0) / sum(shares.values()) for name in initial}

    def maker(self, observations: Observations, space: LatentSpaceProtocol) -> LatentSpaceProtocol:
        """The space of the latent operators, finetuned on the first observations.

        It depends on the observations alone, so that resumed campaigns make the same proposals.
        """
        every = self.finetune_every
        y = observations.y[: len(observations.smiles) // every * every if every else 0]
        if len(y) < 2 or bool((y == y[0]).all()):  # none is better
            return space
        best = best_first(y.numpy()).tolist()
        return _finetuned(space, tuple(observations.smiles[i] for i in best))  # type: ignore[arg-type]

    def _from_prior(
        self,
        n: int,
        chosen: Sequence[Candidate],
        observations: Observations,
        space: LatentSpaceProtocol,
        *,
        seed: int,
    ) -> list[Candidate]:
        """Molecules from the prior, where the pool has too few candidates."""
        taken = {*observations.known, *(m for one in observations.fidelities for m in one.known)}
        taken, found = taken | {c.smiles for c in chosen}, list[Candidate]()
        for draw in range(self.max_decode_attempts):
            if len(found) == n:
                break
            sampled = decode_novel(
                space,
                space.sample_prior(n - len(found), seed=spawn_seed(seed, 100, draw)),
                taken,
                bounds=observations.bounds,
                seed=spawn_seed(seed, 101, draw),
                max_attempts=self.max_decode_attempts,
                accepts=partial(
                    accepted_beside, observations, [c.smiles for c in (*chosen, *found)]
                ),
            )
            taken |= {c.smiles for c in sampled}
            kept = unfiltered([c.smiles for c in sampled], self.filters)
            cheapest = observations.cheapest
            found += [replace(c, fidelity=cheapest) for c in sampled if c.smiles in kept]
        if len(found) < n:
            raise CampaignError(
                f"no new molecule passes the filters {', '.join(self.filters)} after "
                f"{self.max_decode_attempts} samples of the prior; use fewer catalogs, fewer parts "
                "of plausibility, or a smaller batch distance"
            )
        return found


def _add_generation(
    pool: CandidatePool,
    maker: LatentSpaceProtocol,
    counts: Mapping[str, int],
    *,
    radii: tuple[float, float],
    dataset: str | None,
    core: Core | None,
    seeds: Sequence[int],
    rng: np.random.Generator,
) -> bool:
    """Add offspring of sampled parents to the pool.

    Args:
        maker: The space of the latent operators.
        counts: Number of offspring of each operator.
        radii: Shortest and longest step in z.
        dataset: Data set from which molecules are screened.

    Returns:
        Whether most steps in z led to known molecules.
    """
    parents = iter(pool.parents(sum(counts.values()) - counts[SCREEN], rng))
    of = {name: list(islice(parents, counts[name])) for name in (LATENT, BRANCH, GRAPH)}
    too_short = False
    if len(z := pool.vectors(of[LATENT])):
        stepped = [pool.smiles[i] for i in of[LATENT] if pool.z[i] is not None]
        made = perturb_latent(maker, z, radii=radii, seed=seeds[0], smiles=stepped)
        too_short = len({c.smiles for c in made} - pool.known) < len(z) / 2
        children = {c.smiles: c.parents for c in reversed(made)}
        pool.add([c.smiles for c in made], [c.z for c in made], LATENT, children)
    z = pool.vectors(of[BRANCH])
    branched = [pool.smiles[i] for i in of[BRANCH] if pool.z[i] is not None]
    children = branch_offspring(maker, branched, z, seed=seeds[2])
    pool.add(list(children), None, BRANCH, children)
    crossed = [pool.smiles[i] for i in of[GRAPH]]
    children = graph_ga_offspring(crossed, seed=seeds[1], core=core, ring_share=RING_SHARE)
    pool.add(list(children), None, GRAPH, children)
    if dataset is not None:
        pool.add(sample_dataset(dataset, counts[SCREEN], seed=seeds[3]), None, SCREEN)
    return too_short


def _apportioned(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """`n` divided by shares into whole numbers."""
    ends = np.round(n * np.cumsum([0.0, *shares.values()])).astype(int)
    return dict(zip(shares, np.diff(ends).tolist(), strict=True))


@lru_cache(maxsize=2)
def _finetuned(space: LatentSpaceProtocol, smiles: tuple[str, ...]) -> LatentSpaceProtocol:
    weights = [1 / k for k in range(1, len(smiles) + 1)]  # the best molecules the most
    return space.tuned(smiles, weights=weights, steps=FINETUNING_STEPS)
