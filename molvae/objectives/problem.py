"""What a campaign is after: goals, limits, and how several of them become one search.

Numbers only: what is measured or computed, and how, is others' business. In every column that this
module makes, larger is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from molvae.chem.values import MAX_VALUE
from molvae.errors import ConfigError, UnknownNameError, require

Direction = Literal["maximise", "minimise", "range"]


Combine = Literal["pareto", "product", "sum"]


Array = NDArray[np.float64]


MAX_VIOLATION = 1e30
"""Of one limit, in units of the median distance from it."""


MAX_SPAN = 10.0
"""Of the merits of feasible molecules, in units of the distance from their median to the best."""


RESOLUTION = 1e-9
"""Least unit of violations in `OptimizationProblem.y`, as a share of the worst merit: less would be
lost in rounding."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A value that is to be good."""

    name: str
    """Of the values in the record and in tables."""
    direction: Direction
    """`range`: neither below `low` nor above `high`; all in between is equally good."""
    spec: str | None
    """What its objective is made from; None: it was an object."""
    unit: str | None = None
    """Of its values."""
    version: str | None = None
    """That the objective said it has."""
    low: float | None = None
    high: float | None = None
    worst: float | None = None
    """Value whose desirability is 0, and all that is worse; of a range: so far outside."""
    best: float | None = None
    """Value whose desirability is 1, and all that is better."""
    weight: float = 1.0
    """In a product or a sum."""
    computed: bool = False
    """Known for every molecule, without a call: no surrogate guesses at it."""

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            raise UnknownNameError("direction", str(self.direction), get_args(Direction))
        require(
            0 < self.weight <= MAX_VALUE,
            f"goal {self.name}: its weight must be a positive number, got {self.weight}",
        )
        _check_ends(f"goal {self.name}", self.low, self.high, self.worst, self.best)
        if self.direction == "range":
            require(
                self.low is not None and self.high is not None and self.low < self.high,
                f"goal {self.name}: a range is low..high with low < high, got "
                f"{self.low}..{self.high}",
            )
        elif self.worst is not None and self.best is not None:
            rises = self.worst < self.best
            require(
                rises if self.direction == "maximise" else self.best < self.worst,
                f"goal {self.name}: to {self.direction}, best must be on the other side of worst, "
                f"got worst {self.worst} and best {self.best}",
            )

    def to_maximization(self, values: Array) -> Array:
        """Values turned so that larger is better; 0 inside a range, less the distance outside."""
        if self.direction == "range":
            assert self.low is not None
            assert self.high is not None
            inside: Array = np.minimum(0.0, np.minimum(values - self.low, self.high - values))
            return inside
        return values if self.direction == "maximise" else -values

    def desirability(self, column: Array) -> Array:
        """From 0, useless, to 1, as good as can be wished, linearly in between.

        References:
            Derringer and Suich (1980), doi:10.1080/00224065.1980.11980968.
        """
        zero, one = self.scale()
        share: Array = np.clip((column - zero) / (one - zero), 0.0, 1.0)
        return share

    def scale(self) -> tuple[float, float]:
        """Columns whose desirability is 0 and 1.

        Raises:
            ConfigError: It was not said what is worst and best.
        """
        if self.direction == "range":
            assert self.low is not None
            assert self.high is not None
            return -(self.worst if self.worst is not None else self.high - self.low), 0.0
        if self.worst is None or self.best is None:
            raise ConfigError(
                f"goal {self.name}: in a product it needs a scale; say which values are worst and "
                f"best, e.g. '{self.direction} {self.name}, worst 0, best 1'"
            )
        sign = 1.0 if self.direction == "maximise" else -1.0
        return sign * self.worst, sign * self.best

    def __str__(self) -> str:
        if self.direction == "range":
            return f"{self.name} in {self.low:g}..{self.high:g}"
        return f"{self.direction} {self.name}"


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A value that has to be at least `low`, or at most `high`, or both."""

    name: str
    spec: str | None
    low: float | None = None
    high: float | None = None
    unit: str | None = None
    version: str | None = None
    computed: bool = False

    def __post_init__(self) -> None:
        require(
            self.low is not None or self.high is not None,
            f"limit {self.name}: it needs <= or >= and a number",
        )
        _check_ends(f"limit {self.name}", self.low, self.high)

    def slack(self, values: Array) -> Array:
        """How far inside; negative is outside."""
        low = np.full_like(values, np.inf) if self.low is None else values - self.low
        high = np.full_like(values, np.inf) if self.high is None else self.high - values
        inside: Array = np.minimum(low, high)
        return inside

    def __str__(self) -> str:
        parts = [f">= {self.low:g}"] if self.low is not None else []
        parts += [f"<= {self.high:g}"] if self.high is not None else []
        return f"{self.name} {' and '.join(parts)}"


@dataclass(frozen=True, kw_only=True)
class OptimizationProblem:
    """Goals and limits together."""

    goals: tuple[Objective, ...]
    limits: tuple[Constraint, ...] = ()
    combine: Combine = "pareto"
    """`pareto`: all that is not worse in everything than something else. `product`: the weighted
    geometric mean of desirabilities. `sum`: the weighted sum of values, those to be minimised
    negative."""

    def __post_init__(self) -> None:
        if self.combine not in get_args(Combine):
            raise UnknownNameError("way to combine goals", str(self.combine), get_args(Combine))
        require(len(self.goals) > 0, "a campaign needs a goal")
        names = [goal.name for goal in self.goals]
        twice = {name for name in names if names.count(name) > 1}
        require(not twice, f"two goals are called {', '.join(sorted(twice))}; say one name each")
        if self.combine == "product" and len(self.goals) > 1:
            for goal in self.goals:
                goal.scale()

    @property
    def parts(self) -> dict[str, Objective | Constraint]:
        """All that has values, by name: goals, then limits on other values."""
        return {limit.name: limit for limit in self.limits} | {g.name: g for g in self.goals}

    @property
    def names(self) -> tuple[str, ...]:
        """Of all values, those of goals first."""
        goals, limits = [g.name for g in self.goals], [limit.name for limit in self.limits]
        return tuple(dict.fromkeys([*goals, *limits]))

    @property
    def measured(self) -> tuple[str, ...]:
        """Of values that cost calls."""
        return tuple(name for name in self.names if not self.parts[name].computed)

    @property
    def computed(self) -> tuple[str, ...]:
        """Of values that are known for every molecule."""
        return tuple(name for name in self.names if self.parts[name].computed)

    @property
    def is_single_objective(self) -> bool:
        """One measured goal and nothing else, of which one end is good."""
        goal, *others = self.goals
        return not (others or self.limits or goal.computed or goal.direction == "range")

    @property
    def outcomes(self) -> int:
        """Columns of `y`: goals of a Pareto search, else one."""
        return len(self.goals) if self.combine == "pareto" else 1

    def columns(self, values: Array) -> Array:
        """Of each goal; larger is better.

        Args:
            values: `n x len(names)`, in their own sign.

        Returns:
            `n x len(goals)`.
        """
        values = _within_range(values)
        rows = [g.to_maximization(values[:, self.names.index(g.name)]) for g in self.goals]
        return np.stack(rows, axis=1)

    def constraint_slacks(self, values: Array) -> Array:
        """Of each limit, `n x len(limits)`; negative is outside."""
        values = _within_range(values)
        rows = [x.slack(values[:, self.names.index(x.name)]) for x in self.limits]
        return np.stack(rows, axis=1) if rows else np.empty((len(values), 0))

    def scalarize(self, columns: Array) -> Array:
        """Columns of goals as what is maximised, `n x outcomes`."""
        if self.combine == "pareto":
            return columns
        weights = np.array([goal.weight for goal in self.goals])
        if self.combine == "sum":
            total: Array = (columns @ weights)[:, None]
            return total
        shares = np.stack([g.desirability(c) for g, c in zip(self.goals, columns.T, strict=True)])
        with np.errstate(divide="ignore"):
            mean: Array = np.exp(weights @ np.log(shares) / weights.sum())
        return mean[:, None]

    def violation(self, constraint_slacks: Array) -> Array:
        """How far outside of the limits, `n`; 0 inside.

        That of each limit is in units of the median distance of these values from it, so that
        several can be added whatever they measure.
        """
        outside = np.zeros(len(constraint_slacks))
        for slack in constraint_slacks.T:
            away = np.abs(slack[slack != 0])
            unit = np.median(away) if len(away) else 1.0
            with np.errstate(over="ignore"):
                outside += np.minimum(np.maximum(0.0, -slack) / unit, MAX_VIOLATION)
        return outside

    def y(self, values: Array) -> Array:
        """What a strategy maximises, `n x outcomes`: all that breaks a limit is below all else.

        Merits stay as they are; violations count in units of their range, so that neither hides
        the other.

        References:
            Deb (2000), doi:10.1016/S0045-7825(99)00389-8 (feasible before infeasible).
        """
        merit, outside = (
            self.scalarize(self.columns(values)),
            self.violation(self.constraint_slacks(values)),
        )
        kept = merit[outside == 0]
        if len(kept) == len(merit):
            return merit
        if not len(kept):
            return np.repeat(-outside[:, None], self.outcomes, axis=1)
        worst, best = kept.min(axis=0), kept.max(axis=0)
        span = np.where(best > worst, best - worst, np.abs(best))
        usual = best - np.maximum(np.quantile(kept, 0.5, axis=0), [*map(outlier_floor, kept.T)])
        span = np.where(usual > 0, np.minimum(span, MAX_SPAN * usual), span)
        span = np.maximum(span, RESOLUTION * np.abs(worst))
        below = worst - np.where(span > 0, span, 1.0) * outside[:, None]
        below = np.minimum(below, np.nextafter(worst, -np.inf))
        return np.where(outside[:, None] > 0, below, merit)

    def feasible(self, values: Array) -> NDArray[np.bool_]:
        """Which keep all limits."""
        return np.asarray((self.constraint_slacks(values) >= 0).all(axis=1))

    def order(self, values: Array) -> NDArray[np.intp]:
        """Places from the best to the worst.

        In a Pareto search: by how many sets of better ones would have to be taken away before
        nothing is better in everything, and among equals by the first goal.
        """
        return best_first(self.y(values))

    def __str__(self) -> str:
        how = {"pareto": "", "product": " (product)", "sum": " (sum)"}[self.combine]
        goals = ", ".join(map(str, self.goals)) + (how if len(self.goals) > 1 else "")
        return goals + ("; " + ", ".join(map(str, self.limits)) if self.limits else "")


def _check_ends(what: str, *ends: float | None) -> None:
    for end in ends:
        require(
            end is None or abs(end) <= MAX_VALUE,
            f"{what}: its numbers must be finite, at most {MAX_VALUE:g} in magnitude; got {end}",
        )


def _within_range(values: Array) -> Array:
    """Values that were recorded before there was a largest one count as that."""
    within: Array = np.clip(values, -MAX_VALUE, MAX_VALUE)
    return within


def outlier_floor(values: Array, share: float = 0.5) -> float:
    """Smallest value that is no bad outlier, if the worst `share` of the values are such outliers.

    The worst ones are outliers, e.g. a penalty for failed dockings, if they lie far below a group
    of better ones: farther than the width of that group, if most of the worst are one number, or
    than ten times that width, or if the group is 20 times as dense as values usually are.

    Args:
        values: `n`, larger is better.
        share: In (0, 1).

    Returns:
        Minus infinity if there are no such outliers.
    """
    ordered, counts = np.unique(values, return_counts=True)
    at = int(np.searchsorted(counts.cumsum(), share * len(values)))
    level, better = ordered[at], ordered[at + 1 :]
    width, gap = better[-1:] - better, better - ordered[at:-1]
    dense = (better - level) * counts[at + 1 :][::-1].cumsum()[::-1] / len(values) > 20 * width
    far = (gap > 10 * width) | dense
    far[-4:] = False  # a few of the best are close to each other by chance
    if counts[at] >= share * len(values):
        far[:1] |= (gap > width)[:1] & (width > 0)[:1]
    return float(better[far].min(initial=np.inf)) if far.any() else -np.inf


def best_first(y: Array) -> NDArray[np.intp]:
    """Places of rows of `y`, see `OptimizationProblem.order`."""
    if y.shape[1] == 1:
        return np.argsort(-y[:, 0], kind="stable")
    return np.lexsort((-y[:, 0], pareto_rank(y)))


def pareto_rank(y: Array) -> NDArray[np.intp]:
    """Non-domination rank of each row: 1 is the Pareto front, 2 the front without it, ..."""
    import moocore  # type: ignore[import-untyped]

    return np.asarray(moocore.pareto_rank(y, maximise=True), dtype=np.intp) + 1


def is_non_dominated(y: Array) -> NDArray[np.bool_]:
    """Which rows no other row is at least as good as in all columns and better in one."""
    from moocore import is_nondominated

    return np.asarray(is_nondominated(y, maximise=True, keep_weakly=True), dtype=np.bool_)


COLUMNS = {
    "id": "number of the trial, counted from 1 in the order asked",
    "smiles": "canonical SMILES",
    "status": "pending: without an outcome; complete: all values are known; failed: some are not",
    "origin": "start, or the strategy and the operator that proposed the molecule",
    "percentile": "density percentile of the molecule's encoding, from 0 to 100; NaN if not known",
    "message": "message of the outcome, e.g. why it failed",
    "asked_at": "when it was asked, in UTC",
    "told_at": "when its outcome was told, in UTC",
}
"""Columns of every table of trials; those of values stand behind `smiles`."""

DERIVED_COLUMNS = {
    "pareto_rank": "1: on the Pareto front; 2: on the front without those; ...",
    "score": "product or sum of the objectives",
    "within_limits": "whether it satisfies all constraints",
}
"""Columns of tables of several objectives, and of constraints."""

VALUE_COLUMNS = {
    "error": "standard error of a value",
    "replicates": "measurements of which a value is the mean, with ; between them",
}
"""Columns NAME_error and NAME_replicates beside values, where there are any."""

EARLIER = "earlier_failures"
"""Column of failures after which trials were put back, where there are any."""

__all__ = [
    "COLUMNS",
    "DERIVED_COLUMNS",
    "EARLIER",
    "VALUE_COLUMNS",
    "Combine",
    "Constraint",
    "Direction",
    "Objective",
    "OptimizationProblem",
    "best_first",
    "is_non_dominated",
    "outlier_floor",
    "pareto_rank",
]
