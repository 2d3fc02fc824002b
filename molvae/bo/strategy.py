"""How a batch is chosen: at random, by expected improvement, by Thompson sampling.

A strategy is a frozen dataclass whose fields are its settings and whose `propose` is a pure
function of the evidence and the seed; so resuming a campaign is reading its record. Knows no files
and no objective.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.optim.optimize import optimize_acqf
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.hypervolume import infer_reference_point

from molvae._isolation import isolated
from molvae.bo.evidence import Candidate, Evidence, Space, Strategy
from molvae.bo.genetic import Genetic
from molvae.bo.goals import nondominated
from molvae.bo.gradient import Gradient
from molvae.bo.proposals import (
    PATIENCE,
    around_all,
    around_and_across,
    decode_new,
    derived,
    first_new,
)
from molvae.bo.rank import Rank
from molvae.bo.surrogate import fit_gp, foreseen, reproducible
from molvae.bo.turbo import Turbo
from molvae.config import build, require
from molvae.errors import ConfigError, UnknownNameError

# BoTorch compiles a C++ kernel when this acquisition is first made: proposals would depend on the
# compiler of the machine, and a process killed meanwhile leaves a lock that all others wait for.
logei._load_attempted = True


@dataclass(frozen=True, kw_only=True)
class Random:
    """Draws from the prior: the baseline that every other strategy has to beat."""

    name: ClassVar[str] = "random"
    patience: int = PATIENCE
    """Vectors decoded per molecule wanted before the search is given up."""

    def __post_init__(self) -> None:
        _at_least_one(self, "patience")

    @isolated()
    def propose(
        self, evidence: Evidence, space: Space, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`; the values are not looked at."""
        z = space.sample(n, seed=seed)
        return decode_new(
            space,
            z,
            evidence.known,
            bounds=evidence.bounds,
            seed=seed,
            rounds=0,
            patience=self.patience,
        )


@dataclass(frozen=True, kw_only=True)
class LogEI:
    """Noisy expected improvement over a GP on z, in its stable form, maximised in the box.

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
        self, evidence: Evidence, space: Space, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        evidence.need_values(self.name, several=True)
        box = around_all(evidence)
        with reproducible(seed):
            model = fit_gp(evidence.z, evidence.scores, box, evidence.score_noise)
            settings: dict[str, Any] = {
                "X_pending": evidence.pending_z if len(evidence.pending_z) else None,
                "sampler": SobolQMCNormalSampler(torch.Size([self.samples])),
                "prune_baseline": True,
            }
            acquisition: AcquisitionFunction
            if evidence.scores.shape[1] == 1:
                expected = model.posterior(evidence.z).mean[:, 0]
                best = expected.topk(min(self.best, len(expected))).indices
                acquisition = qLogNoisyExpectedImprovement(model, evidence.z[best], **settings)
            else:
                reference = infer_reference_point(
                    evidence.scores[nondominated(evidence.scores.numpy())]
                )
                acquisition = qLogNoisyExpectedHypervolumeImprovement(
                    model, reference.tolist(), evidence.z, **settings
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
        found = decode_new(
            space,
            z.detach(),
            evidence.known,
            bounds=box,
            seed=derived(seed, 1),
            patience=self.patience,
        )
        return foreseen(found, model, evidence)


@dataclass(frozen=True, kw_only=True)
class Thompson:
    """Thompson sampling: each molecule is the best one under its own draw of the surrogate.

    The draws are joint over a finite set of vectors, around the best told ones and across the box.
    Each draw's vectors are decoded from its best downwards until one is a new molecule.

    References:
        Kandasamy et al. (2018), Parallelised Bayesian optimisation via Thompson sampling, AISTATS;
        Eriksson et al. (2019), arXiv:1910.01739 (the set of vectors).
    """

    name: ClassVar[str] = "thompson"
    vectors: int = 1024
    """Latent vectors that a draw ranks."""
    around: float = 0.5
    """Share of them around the best told ones; the others are spread over the box."""
    best: int = 10
    """Told molecules that count as best."""
    sigma: float = 0.1
    """Size of a step around them, as a share of the box's width."""
    patience: int = PATIENCE
    """Vectors decoded per molecule wanted before the search is given up."""

    def __post_init__(self) -> None:
        _at_least_one(self, "vectors", "best", "patience")
        require(0 <= self.around <= 1, f"around must lie in [0, 1], got {self.around}")
        require(self.sigma > 0, f"sigma must be positive, got {self.sigma}")

    @isolated()
    def propose(
        self, evidence: Evidence, space: Space, n: int, *, seed: int
    ) -> Sequence[Candidate]:
        """See `Strategy.propose`."""
        evidence.need_values(self.name)
        box = around_all(evidence)
        top = evidence.scores[:, 0].argsort(descending=True, stable=True)[: self.best]
        z = around_and_across(
            evidence.z[top],
            box,
            self.vectors,
            share=self.around,
            sigma=self.sigma,
            seed=seed,
        )
        with reproducible(seed):
            model = fit_gp(evidence.z, evidence.scores, box, evidence.score_noise)
            with torch.no_grad():
                draws = model.posterior(z).rsample(torch.Size([n])).squeeze(-1)
        order = draws.argsort(dim=1, descending=True, stable=True)
        found = first_new(
            space, z, order.tolist(), evidence.known, bounds=box, seed=seed, patience=self.patience
        )
        return foreseen(found, model, evidence)


Kind = (
    type[Random]
    | type[LogEI]
    | type[Thompson]
    | type[Turbo]
    | type[Gradient]
    | type[Rank]
    | type[Genetic]
)
STRATEGIES: dict[str, Kind] = {
    kind.name: kind for kind in (Random, LogEI, Thompson, Turbo, Gradient, Rank, Genetic)
}
"""The built-in strategies by name."""


def get_strategy(name: str, **settings: Any) -> Strategy:
    """A strategy by name, with some of its settings changed.

        >>> get_strategy("log-ei", restarts=8)
        LogEI(restarts=8, raw_samples=128, iterations=50, samples=128, best=16, patience=256)
        >>> get_strategy("rank:latent=0.8,filters=PAINS+BRENK").filters
        ('PAINS', 'BRENK')

    Args:
        name: Of a strategy; settings may follow after a colon, as `name=value` with commas in
            between, several texts of one setting with `+`.
        settings: Win over those in the name.

    Raises:
        UnknownNameError: No strategy, or no setting of it, has this name.
        ConfigError: A setting is out of range or cannot be read.
    """
    name, _, text = name.partition(":")
    if name not in STRATEGIES:
        raise UnknownNameError("strategy", name, STRATEGIES)
    kind = STRATEGIES[name]
    return build(kind, _written(text, kind) | settings, f"strategy {name}")


def _written(text: str, kind: Kind) -> dict[str, Any]:
    """Settings as written after a name, each read as what its field holds."""
    types = {f.name: f.type for f in fields(kind)}
    settings: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        require(equals == "=", f"strategy {kind.name}: expected name=value, got {part!r}")
        if types.get(key) in ("int", "float"):
            try:
                settings[key] = int(value) if types[key] == "int" else float(value)
            except ValueError as error:
                raise ConfigError(
                    f"strategy {kind.name}: {key} must be a number ({types[key]}), got {value!r}"
                ) from error
        else:
            settings[key] = value if types.get(key) == "str" else tuple(value.split("+"))
    return settings


def spell(name: str, settings: Mapping[str, Any] | None) -> str:
    """A strategy as `get_strategy` reads it: its name, and the settings that are not its defaults.

    Args:
        name: Of a strategy; one that is not built in is given back as it is.
        settings: All of its settings.
    """
    if name not in STRATEGIES or settings is None:
        return name
    usual = asdict(STRATEGIES[name]())
    changed = [
        f"{key}={value if isinstance(value, (str, int, float)) else '+'.join(value)}"
        for key, value in settings.items()
        if (tuple(value) if isinstance(value, list) else value) != usual.get(key)
    ]
    return name + (":" + ",".join(changed) if changed else "")


def _at_least_one(strategy: Any, *names: str) -> None:
    for name in names:
        value = getattr(strategy, name)
        require(value >= 1, f"{name} must be at least 1, got {value}")


__all__ = [
    "STRATEGIES",
    "Genetic",
    "Gradient",
    "LogEI",
    "Random",
    "Rank",
    "Thompson",
    "Turbo",
    "get_strategy",
    "spell",
]
