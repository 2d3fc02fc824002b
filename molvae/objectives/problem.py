"""An optimization problem: objectives, constraints, and how several objectives become one search.

In every array that this module returns, larger is better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from molvae.chem.values import MAX_VALUE
from molvae.errors import ConfigError, UnknownNameError, require

Direction = Literal["maximize", "minimize", "range"]
Combine = Literal["pareto", "desirability", "weighted_sum"]
Array = NDArray[np.float64]

MAX_VIOLATION = 1e30
"""Largest violation of one constraint, in units of the median distance from its bound."""
RELATIVE_TOLERANCE = 1e-9
"""A constraint holds up to this share of the value or the bound, whichever is larger."""
MAX_SPAN = 10.0
"""Largest span of the merits of feasible molecules, in distances from their median to the best."""
MIN_VIOLATION_UNIT = 1e-9
"""Least unit of violations in `OptimizationProblem.y`, as a share of the worst merit: less would be
lost in rounding."""


@dataclass(frozen=True)
class Objective:
    """One value to optimize, e.g. `Objective("sas", direction="minimize", weight=2)`."""

    name: str
    """Name of the values in the campaign file and in tables."""
    _: KW_ONLY
    direction: Direction = "maximize"
    """Direction; `range`: values from `low` to `high` are good, others worse with distance."""
    spec: str | Callable[..., Any] | None = None
    """Scoring function, as `get_objective` takes it. None: the one called `name`, or an object."""
    unit: str | None = None
    version: str | None = None
    """Version that the scoring function declares."""
    low: float | None = None
    high: float | None = None
    worst: float | None = None
    """Value of desirability 0; of a range: the distance outside that has desirability 0."""
    best: float | None = None
    """Value of desirability 1."""
    weight: float = 1.0
    """Weight if objectives are combined by `desirability` or `weighted_sum`."""
    cost: float = 1.0
    """Cost of an evaluation, in units of the budget."""
    cheap: bool = False
    """Compute it for every candidate, although it is a function of your own."""
    is_cheap: bool = False
    """Whether RDKit, or a `cheap` function, computes it for every candidate, without surrogate."""

    def __post_init__(self) -> None:
        where = f"objective {self.name}"
        if self.direction not in get_args(Direction):
            raise UnknownNameError("direction", str(self.direction), get_args(Direction))
        _read_numbers(self, where, "low", "high", "worst", "best", "weight", "cost")
        for name, number in (("weight", self.weight), ("cost", self.cost)):
            require(number > 0, f"{where}: its {name} must be a positive number, got {number:g}")
        if self.direction == "range":
            require(
                self.low is not None and self.high is not None and self.low <= self.high,
                f"{where}: a range is low..high with low <= high, got {self.low}..{self.high}",
            )
        elif self.worst is not None and self.best is not None:
            worse, better = (self.worst, self.best)[:: 1 if self.direction == "maximize" else -1]
            require(
                worse < better,
                f"{where}: to {self.direction}, best must be on the other side of worst, "
                f"got worst {self.worst} and best {self.best}",
            )

    @property
    def unproven(self) -> frozenset[str]:
        """Operators of values that may be worse than their limit, as `<5` may if maximized."""
        if self.direction == "range":
            return frozenset("<>")
        return frozenset("<" if self.direction == "maximize" else ">")

    def to_maximization(self, values: Array) -> Array:
        """Values for maximization: negated if minimized; of a range minus the distance outside."""
        if self.direction == "range":
            low, high = cast(float, self.low), cast(float, self.high)
            inside: Array = np.minimum(0.0, np.minimum(values - low, high - values))
            return inside
        return values if self.direction == "maximize" else -values

    def desirability(self, column: Array) -> Array:
        """Desirability of values for maximization: linear from 0 (worst) to 1 (best).

        Derringer and Suich (1980), doi:10.1080/00224065.1980.11980968.
        """
        zero, one = self.scale()
        share: Array = np.clip((column - zero) / (one - zero), 0.0, 1.0)
        return share

    def scale(self) -> tuple[float, float]:
        """Values for maximization whose desirability is 0 and 1.

        Raises:
            ConfigError: `worst` or `best` is needed and missing.
        """
        if self.direction == "range":
            span = cast(float, self.high) - cast(float, self.low)
            width = span if self.worst is None else self.worst
            require(width > 0, f"objective {self.name}: desirability needs its worst distance")
            return -width, 0.0
        if self.worst is None or self.best is None:
            raise ConfigError(
                f"objective {self.name}: desirability needs the worst and the best value, e.g. "
                f"'{self.direction} {self.name}, worst 0, best 1'"
            )
        sign = 1.0 if self.direction == "maximize" else -1.0
        return sign * self.worst, sign * self.best

    def __str__(self) -> str:
        if self.direction == "range":
            return f"{self.name} {interval(self.low, self.high)}"
        return f"{self.direction} {self.name}"


@dataclass(frozen=True)
class Constraint:
    """Bounds on a value: at least `low`, at most `high`, e.g. `Constraint("mw", high=500)`."""

    name: str
    _: KW_ONLY
    spec: str | Callable[..., Any] | None = None
    """Scoring function, as `get_objective` takes it. None: the one called `name`, or an object."""
    low: float | None = None
    high: float | None = None
    unit: str | None = None
    version: str | None = None
    cheap: bool = False
    """Compute it for every candidate, although it is a function of your own."""
    is_cheap: bool = False
    """Whether RDKit, or a `cheap` function, computes it for every candidate, without surrogate."""

    def __post_init__(self) -> None:
        where = f"constraint {self.name}"
        require(
            self.low is not None or self.high is not None,
            f"{where}: it needs <=, >=, = or in, and a number",
        )
        _read_numbers(self, where, "low", "high")

    @property
    def unproven(self) -> frozenset[str]:
        """Operators of censored values that may violate it although their limit does not."""
        return frozenset(
            ("<" if self.low is not None else "") + (">" if self.high is not None else "")
        )

    def slack(self, values: Array) -> Array:
        """Distance inside the bounds, negative outside; 0 within the relative tolerance."""
        slacks = [np.full_like(values, np.inf)]
        for bound, sign in ((self.low, 1.0), (self.high, -1.0)):
            if bound is not None:
                slack = sign * (values - bound)
                close = RELATIVE_TOLERANCE * np.maximum(np.abs(values), abs(bound))
                slacks.append(np.where(np.abs(slack) <= close, 0.0, slack))
        inside: Array = np.min(slacks, axis=0)
        return inside

    def __str__(self) -> str:
        return f"{self.name} {interval(self.low, self.high)}"


@dataclass(frozen=True, kw_only=True)
class OptimizationProblem:
    """Objectives, constraints, and how several objectives are combined."""

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    combine: Combine = "pareto"
    """How objectives are combined. `pareto`: the Pareto front. `desirability`: the weighted
    geometric mean of desirabilities. `weighted_sum`: the weighted sum of values, those to be
    minimized negated."""
    fidelities: tuple[Objective, ...] = ()
    """Lower fidelities of the one objective: values that are correlated with it and cost less."""

    def __post_init__(self) -> None:
        if self.combine not in get_args(Combine):
            raise UnknownNameError(
                "way to combine objectives", str(self.combine), get_args(Combine)
            )
        require(
            len(self.objectives) > 0,
            "a campaign needs an objective; give one, such as qed or manual:pIC50 (--objective)",
        )
        names = [objective.name for objective in self.objectives]
        twice = {name for name in names if names.count(name) > 1}
        require(
            not twice, f"two objectives are called {', '.join(sorted(twice))}; rename one of them"
        )
        if self.combine == "desirability" and len(self.objectives) > 1:
            for objective in self.objectives:
                objective.scale()
        if self.fidelities:
            self._check_fidelities()

    def _check_fidelities(self) -> None:
        require(
            len(self.objectives) == 1 and not self.constraints,
            f"lower fidelities need one objective without constraints, got {self}",
        )
        names = [self.objectives[0].name]
        for one in (*self.objectives, *self.fidelities):
            require(
                one.direction != "range",
                f"{one.name} is a range; with lower fidelities, values are maximized or minimized",
            )
        for one in self.fidelities:
            require(
                one.name not in names,
                f"two fidelities are called {one.name}; rename one of them, e.g. 'fast: SPEC'",
            )
            names.append(one.name)
            require(
                one.cost < self.objectives[0].cost,
                f"fidelity {one.name} costs {one.cost:g}, and the objective "
                f"{self.objectives[0].cost:g}; a lower fidelity must cost less, e.g. "
                f"'{one.name}, cost {self.objectives[0].cost / 20:g}'",
            )

    def at(self, fidelity: str) -> OptimizationProblem:
        """The problem of a fidelity alone: its values are the only objective; empty: this one."""
        if not fidelity:
            return self
        for one in self.fidelities:
            if one.name == fidelity:
                return OptimizationProblem(objectives=(one,))
        raise UnknownNameError("fidelity", fidelity, [one.name for one in self.fidelities])

    def cost(self, fidelity: str = "") -> float:
        """Cost of an evaluation at a fidelity; empty: of the objectives."""
        return sum(one.cost for one in self.at(fidelity).objectives) if self.fidelities else 1.0

    @property
    def value_names(self) -> tuple[str, ...]:
        """Names of all values, those of lower fidelities last."""
        return (*self.names, *(one.name for one in self.fidelities))

    @property
    def parts(self) -> dict[str, Objective | Constraint]:
        """Objectives and constraints by name; of one name, the objective."""
        parts: list[Objective | Constraint] = [*self.constraints, *self.objectives]
        return {part.name: part for part in parts}

    @property
    def all_parts(self) -> dict[str, Objective | Constraint]:
        """Objectives, constraints and lower fidelities by name."""
        return {**self.parts, **{one.name: one for one in self.fidelities}}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all values, objectives first."""
        objectives = [one.name for one in self.objectives]
        return tuple(dict.fromkeys([*objectives, *(one.name for one in self.constraints)]))

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the values that cost an evaluation."""
        return tuple(name for name in self.names if not self.parts[name].is_cheap)

    @property
    def computed(self) -> tuple[str, ...]:
        """Names of the values that are computed for every molecule."""
        return tuple(name for name in self.names if self.parts[name].is_cheap)

    def proven(self, operators: Mapping[str, str]) -> bool:
        """Whether a molecule with these operators of censored values can be ranked by its limits.

        It cannot if a value may be worse than its limit, as `<5` of a value to be maximized.
        """
        parts: list[Objective | Constraint] = [*self.objectives, *self.constraints]
        return not any(operators.get(part.name, "=") in part.unproven for part in parts)

    @property
    def is_single_objective(self) -> bool:
        """One measured objective to maximize or minimize, and no constraints."""
        objective, *others = self.objectives
        return not (
            others or self.constraints or objective.is_cheap or objective.direction == "range"
        )

    @property
    def outcomes(self) -> int:
        """Number of columns of `y`: one per objective for a Pareto front, else one."""
        return len(self.objectives) if self.combine == "pareto" else 1

    def columns(self, values: Array) -> Array:
        """Values for maximization (n x objectives) from values in their own sign (n x names)."""
        values = _clipped(values)
        rows = [o.to_maximization(values[:, self.names.index(o.name)]) for o in self.objectives]
        return np.stack(rows, axis=1)

    def constraint_slacks(self, values: Array) -> Array:
        """Slack of each constraint (n x constraints); negative if violated."""
        values = _clipped(values)
        rows = [x.slack(values[:, self.names.index(x.name)]) for x in self.constraints]
        return np.stack(rows, axis=1) if rows else np.empty((len(values), 0))

    def scalarize(self, columns: Array) -> Array:
        """What is maximized (n x outcomes), from values for maximization."""
        if self.combine == "pareto":
            return columns
        weights = np.array([objective.weight for objective in self.objectives])
        if self.combine == "weighted_sum":
            total: Array = (columns @ weights)[:, None]
            return total
        shares = np.stack(
            [o.desirability(c) for o, c in zip(self.objectives, columns.T, strict=True)]
        )
        with np.errstate(divide="ignore"):
            mean: Array = np.exp(weights @ np.log(shares) / weights.sum())
        return mean[:, None]

    def violation(self, constraint_slacks: Array) -> Array:
        """Total constraint violation (n); 0 if all constraints are satisfied.

        Each constraint counts in units of the median distance of these values from its bound, so
        that constraints of different units can be added.
        """
        outside = np.zeros(len(constraint_slacks))
        for slack in constraint_slacks.T:
            away = np.abs(slack[slack != 0])
            unit = np.median(away) if len(away) else 1.0
            with np.errstate(over="ignore"):
                outside += np.minimum(np.maximum(0.0, -slack) / unit, MAX_VIOLATION)
        return outside

    def y(self, values: Array) -> Array:
        """What a strategy maximizes (n x outcomes); infeasible molecules rank below feasible ones.

        Feasible values stay as they are; violations count in units of their range.

        Deb (2000), doi:10.1016/S0045-7825(99)00389-8 (feasible before infeasible).
        """
        merit = self.scalarize(self.columns(values))
        outside = self.violation(self.constraint_slacks(values))
        kept = merit[outside == 0]
        if len(kept) == len(merit):
            return merit
        if not len(kept):
            return np.repeat(-outside[:, None], self.outcomes, axis=1)
        worst, best = kept.min(axis=0), kept.max(axis=0)
        span = np.where(best > worst, best - worst, np.abs(best))
        usual = best - np.maximum(np.quantile(kept, 0.5, axis=0), [*map(outlier_floor, kept.T)])
        span = np.where(usual > 0, np.minimum(span, MAX_SPAN * usual), span)
        span = np.maximum(span, MIN_VIOLATION_UNIT * np.abs(worst))
        below = worst - np.where(span > 0, span, 1.0) * outside[:, None]
        below = np.minimum(below, np.nextafter(worst, -np.inf))
        return np.where(outside[:, None] > 0, below, merit)

    def feasible(self, values: Array) -> NDArray[np.bool_]:
        """Which molecules satisfy all constraints."""
        return np.asarray((self.constraint_slacks(values) >= 0).all(axis=1))

    def order(self, values: Array) -> NDArray[np.intp]:
        """Indices from best to worst; for a Pareto front by Pareto rank, then first objective."""
        return best_first(self.y(values))

    def __str__(self) -> str:
        text = ", ".join(map(str, self.objectives))
        if self.fidelities:
            text += f" (lower: {', '.join(one.name for one in self.fidelities)})"
        if len(self.objectives) > 1 and self.combine != "pareto":
            text += f" ({self.combine.replace('_', ' ')})"
        return "; ".join([text, ", ".join(map(str, self.constraints))]).removesuffix("; ")


def interval(
    low: float | None, high: float | None, number: Callable[[float], str] = "{:g}".format
) -> str:
    """Bounds as text; the default is short, and so not for reading back."""
    if low is not None and high is not None:
        return f"= {number(low)}" if low == high else f"in {number(low)}..{number(high)}"
    return f">= {number(low)}" if low is not None else f"<= {number(cast(float, high))}"


def _read_numbers(part: Objective | Constraint, where: str, *names: str) -> None:
    """Make numbers of any type, e.g. NumPy's, Python's; a `ConfigError` for what is no number."""
    for name in names:
        given = getattr(part, name)
        number = float(given) if isinstance(given, Real) else given
        require(
            (given is None and name not in ("weight", "cost"))
            or (isinstance(number, float) and abs(number) <= MAX_VALUE),
            f"{where}: its {name} must be a number of at most {MAX_VALUE:g} in magnitude; got "
            f"{given!r}",
        )
        object.__setattr__(part, name, number)


def _clipped(values: Array) -> Array:
    """Values of old campaign files may exceed the largest one that is allowed now."""
    within: Array = np.clip(values, -MAX_VALUE, MAX_VALUE)
    return within


def outlier_floor(values: Array, share: float = 0.5) -> float:
    """Smallest value that is no bad outlier, if the worst `share` of the values are such outliers.

    Larger is better; minus infinity if there are no such outliers. The worst ones are outliers,
    e.g. a penalty for failed dockings, if they lie far below a group of better ones: farther than
    the width of that group, if most of the worst are one number, or than ten times that width, or
    if the group is 20 times as dense as values usually are.
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
    """Indices of rows of `y` from best to worst, see `OptimizationProblem.order`."""
    if y.shape[1] == 1:
        return np.argsort(-y[:, 0], kind="stable")
    return np.lexsort((-y[:, 0], pareto_rank(y)))


def pareto_rank(y: Array) -> NDArray[np.intp]:
    """Non-domination rank of each row: 1 is the Pareto front, 2 the front without it, ..."""
    import moocore  # type: ignore[import-untyped]

    return np.asarray(moocore.pareto_rank(y, maximise=True), dtype=np.intp) + 1


def is_non_dominated(y: Array) -> NDArray[np.bool_]:
    """Which rows no other row dominates: at least as good in all columns and better in one."""
    from moocore import is_nondominated

    return np.asarray(is_nondominated(y, maximise=True, keep_weakly=True), dtype=np.bool_)
