"""`parse_objective`, `parse_constraint` and `OptimizationProblem`: objectives and constraints."""

from __future__ import annotations

import contextlib
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume
from hypothesis import given
from hypothesis import strategies as st

from molvae.bo.acquisition import improvement
from molvae.errors import ConfigError, MolvaeError, UnknownNameError
from molvae.objectives.parsing import (
    format_part,
    merged,
    parse_constraint,
    parse_objective,
    parse_problem,
)
from molvae.objectives.problem import (
    Constraint,
    Objective,
    OptimizationProblem,
    best_first,
    is_non_dominated,
    pareto_rank,
)
from molvae.objectives.registry import get_objective

UP = Objective(name="up", direction="maximize", spec=None, worst=0.0, best=10.0)
DOWN = Objective(name="down", direction="minimize", spec=None, worst=5.0, best=1.0)
AMID = Objective(name="amid", direction="range", spec=None, low=1.0, high=3.0)


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, dtype=np.float64)


# --- goals as users write them


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("qed", {"spec": "qed"}),
        ("maximize  my.lab:score ", {"spec": "my.lab:score", "direction": "maximize"}),
        ("minimize sas, weight 2", {"spec": "sas", "direction": "minimize", "weight": 2.0}),
        ("logp in -1..3.5", {"spec": "logp", "direction": "range", "low": -1.0, "high": 3.5}),
        ("logp in .5 .. 2e0,worst 4", {
            "spec": "logp", "direction": "range", "low": 0.5, "high": 2.0, "worst": 4.0,
        }),
        ("similarity:CC(=O)O, worst 0.2, best 1", {
            "spec": "similarity:CC(=O)O", "worst": 0.2, "best": 1.0,
        }),
        ("command:dock.sh {smiles} --in 3", {"spec": "command:dock.sh {smiles} --in 3"}),
    ],
)  # fmt: skip
def test_parse_objective_reads_spec_direction_and_range(
    text: str, fields: dict[str, object]
) -> None:
    assert parse_objective(text) == fields


def test_parse_objective_of_a_table_reads_and_checks_keys() -> None:
    table = {"objective": "logp", "low": 1, "high": 3, "weight": 2}
    assert parse_objective(table) == {
        "spec": "logp", "direction": "range", "low": 1, "high": 3, "weight": 2,
    }  # fmt: skip
    with pytest.raises(UnknownNameError, match="did you mean 'weight'"):
        parse_objective({"objective": "qed", "wieght": 1})
    with pytest.raises(ConfigError, match="lacks objective"):
        parse_objective({"weight": 1})


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("logp <= 5", {"spec": "logp", "high": 5.0}),
        ("logp ≥ \u22121", {"spec": "logp", "low": -1.0}),
        ("similarity:C=C>=0.4", {"spec": "similarity:C=C", "low": 0.4}),
        ("matches:[#6]=O >= 1", {"spec": "matches:[#6]=O", "low": 1.0}),
    ],
)
def test_parse_constraint_reads_spec_and_bounds(text: str, fields: dict[str, object]) -> None:
    assert parse_constraint(text) == fields


@pytest.mark.parametrize("text", ["", "logp", "logp < 5", "<= 5", "logp <= five"])
def test_parse_constraint_of_invalid_text_raises(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_constraint(text)


@given(st.text(max_size=40))
def test_parse_objective_and_constraint_of_any_text_raise_config_error_only(text: str) -> None:
    for read in (parse_objective, parse_constraint):
        with contextlib.suppress(ConfigError):
            read(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"direction": "up"}, "no direction is called 'up'"),
        ({"direction": "range"}, r"low\.\.high"),
        ({"direction": "range", "low": 3.0, "high": 2.0}, "low <= high"),
        ({"direction": "maximize", "worst": 2.0, "best": 1.0}, "other side of worst"),
        ({"direction": "minimize", "worst": 1.0, "best": 2.0}, "other side of worst"),
        ({"direction": "maximize", "weight": 0.0}, "weight must be a positive number"),
        ({"direction": "maximize", "weight": None}, "weight must be a number"),
        ({"direction": "maximize", "cost": "2"}, "cost must be a number"),
        (
            {"direction": "maximize", "weight": math.inf},
            "weight must be a number of at most",
        ),
    ],
)
def test_objective_with_invalid_fields_raises(fields: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        Objective(**({"name": "y", "spec": None} | fields))  # type: ignore[arg-type]


def test_merged_joins_constraints_of_one_value() -> None:
    low = Constraint(name="logp", spec="logp", low=1.0)
    both = merged([low, Constraint(name="mw", spec="mw", high=500.0), Constraint(name="logp", spec="logp", high=3.0), Constraint(name="logp", spec="logp", high=4.0)])  # fmt: skip  # noqa: E501
    assert [(x.name, x.low, x.high) for x in both] == [("logp", 1.0, 3.0), ("mw", None, 500.0)]
    assert str(both[0]) == "logp in 1..3"


# --- numbers


def test_problem_columns_are_signed_for_maximization() -> None:
    problem = OptimizationProblem(objectives=(UP, DOWN, AMID))
    columns = problem.columns(rows((3.0, 2.0, 2.0), (4.0, 1.0, 0.5), (5.0, 9.0, 4.5)))
    assert columns.tolist() == [[3.0, -2.0, 0.0], [4.0, -1.0, -0.5], [5.0, -9.0, -1.5]]
    assert problem.names == ("up", "down", "amid")


def test_problem_desirability_equals_hand_calculation() -> None:
    problem = OptimizationProblem(objectives=(UP, DOWN, AMID), combine="desirability")
    values = rows((5.0, 3.0, 2.0), (10.0, 1.0, 4.0), (-1.0, 1.0, 2.0), (20.0, 0.0, 1.0))
    shares = (0.5 * 0.5 * 1.0, 1.0 * 1.0 * 0.5, 0.0, 1.0)
    assert problem.y(values)[:, 0] == pytest.approx([share ** (1 / 3) for share in shares])
    heavy = OptimizationProblem(
        objectives=(UP, Objective(**{**vars(DOWN), "weight": 3.0})), combine="desirability"
    )
    assert heavy.y(rows((5.0, 2.0)))[0, 0] == pytest.approx((0.5 * 0.75**3) ** 0.25)


def test_problem_weighted_sum_equals_hand_calculation() -> None:
    problem = OptimizationProblem(
        objectives=(Objective(**{**vars(UP), "weight": 2.0}), DOWN, AMID), combine="weighted_sum"
    )
    assert problem.y(rows((3.0, 2.0, 4.0))).tolist() == [[6.0 - 2.0 - 1.0]]


def test_problem_y_of_infeasible_is_below_feasible() -> None:
    limits = (
        Constraint(name="up", spec=None, low=2.0),
        Constraint(name="other", spec=None, high=10.0),
    )
    for combine in ("pareto", "weighted_sum"):
        problem = OptimizationProblem(objectives=(UP, DOWN), constraints=limits, combine=combine)  # type: ignore[arg-type]
        assert problem.names == ("up", "down", "other")
        values = rows((3.0, 4.0, 9.0), (1.0, 0.0, 0.0), (9.0, 0.0, 15.0), (5.0, 3.0, 10.0))
        assert problem.feasible(values).tolist() == [True, False, False, True]
        # Median distances from the limits are 2 and 5.
        assert problem.violation(problem.constraint_slacks(values)).tolist() == [0.0, 0.5, 1.0, 0.0]
        y = problem.y(values)
        assert (y[[1, 2]] < y[[0, 3]].min(axis=0)).all()
        assert set(problem.order(values)[:2].tolist()) == {0, 3}


@pytest.mark.parametrize("scale", [1e-15, 1e-3, 1e3, 1e15])
def test_problem_y_scales_violation_with_the_unit(scale: float) -> None:
    problem = OptimizationProblem(
        objectives=(Objective(name="up", direction="maximize", spec=None),),
        constraints=(Constraint(name="b", spec=None, high=5.0),),
    )
    values = rows((0.1, 1.0), (0.9, 2.0), (0.5, 3.0), (0.7, 9.0))
    y = problem.y(values)
    assert y[3, 0] == pytest.approx(0.1 - 0.8 * 4 / 3.5)  # median distance from the limit: 3.5
    assert problem.y(values * [scale, 1.0]) == pytest.approx(scale * y)
    limit = OptimizationProblem(
        objectives=problem.objectives,
        constraints=(Constraint(name="b", spec=None, high=-45.0 * scale),),
    )
    assert limit.y((values - [0.0, 50.0]) * [1.0, scale]) == pytest.approx(y)


@pytest.mark.parametrize("value", [0.0, 1e20, -1e-20])
def test_problem_y_of_infeasible_is_below_equal_values_of_any_size(value: float) -> None:
    problem = OptimizationProblem(
        objectives=(UP,), constraints=(Constraint(name="b", spec=None, high=5.0),)
    )
    y = problem.y(rows((value, 1.0), (value, 5.0), (value, 5.0 + 1e-7), (value, 9.0)))[:, 0]
    assert y[0] == y[1] > y[2] > y[3]
    nothing_kept = problem.y(rows((value, 6.0), (3.0, 9.0)))[:, 0]
    assert nothing_kept[0] > nothing_kept[1]


def test_problem_separates_computed_and_measured_values() -> None:
    easy = Constraint(name="logp", spec="logp", high=5.0, is_cheap=True)
    problem = OptimizationProblem(objectives=(UP,), constraints=(easy,))
    assert (problem.measured, problem.computed, problem.is_single_objective) == (
        ("up",),
        ("logp",),
        False,
    )
    assert OptimizationProblem(objectives=(UP,)).is_single_objective
    assert str(problem) == "maximize up; logp <= 5"
    with pytest.raises(ConfigError, match="two objectives are called up"):
        OptimizationProblem(objectives=(UP, UP))
    with pytest.raises(ConfigError, match="objective y: desirability needs"):
        OptimizationProblem(
            objectives=(UP, Objective(name="y", direction="maximize", spec=None)),
            combine="desirability",
        )


@given(
    st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=25).map(
        lambda r: np.array(r, dtype=np.float64)
    )
)
def test_pareto_rank_equals_the_definition(y: np.ndarray) -> None:
    def dominated(row: np.ndarray, others: np.ndarray) -> bool:
        return any((o >= row).all() and (o > row).any() for o in others)

    assert is_non_dominated(y).tolist() == [not dominated(row, y) for row in y]
    rank = pareto_rank(y)
    for front in range(1, rank.max() + 1):
        left = y[rank >= front]
        assert [not dominated(row, left) for row in y[rank >= front]] == (
            rank[rank >= front] == front
        ).tolist()
    order = best_first(y)
    assert sorted(order.tolist()) == list(range(len(y)))
    assert (np.diff(rank[order]) >= 0).all()


def test_improvement_equals_the_difference_of_hypervolumes() -> None:
    generator = torch.Generator().manual_seed(0)
    there = torch.rand(6, 3, generator=generator, dtype=torch.float64)
    points = 1.2 * torch.rand(20, 3, generator=generator, dtype=torch.float64) - 0.1
    reference = torch.tensor([0.1, 0.0, 0.2], dtype=torch.float64)
    volume = Hypervolume(ref_point=reference)

    def of(y: torch.Tensor) -> float:
        front = torch.from_numpy(y.numpy()[is_non_dominated(y.numpy())])
        return volume.compute(front)

    expected = [of(torch.cat([there, point[None]])) - of(there) for point in points]
    assert improvement(points, there, reference).tolist() == pytest.approx(expected, abs=1e-12)


# --- text, tables and objects


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("qed", {"spec": "qed"}),
        ("minimise sas, weight 2", {"spec": "sas", "direction": "minimize", "weight": 2.0}),
        ("logp = 2", {"spec": "logp", "direction": "range", "low": 2.0, "high": 2.0}),
        (
            "dock: minimize command:dock.sh {smiles} a:b, unit kcal/mol",
            {
                "name": "dock",
                "direction": "minimize",
                "spec": "command:dock.sh {smiles} a:b",
                "unit": "kcal/mol",
            },
        ),
        ("minimize manual: pIC50", {"direction": "minimize", "spec": "manual: pIC50"}),
    ],
)
def test_parse_objective_reads_weight_unit_and_desirability(
    text: str, fields: dict[str, object]
) -> None:
    assert parse_objective(text) == fields


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("x in 1..3", 1.0, 3.0), ("x = 2", 2.0, 2.0), ("x>=-1e3", -1e3, None), ("x <= .5", None, 0.5)],
)
def test_parse_constraint_reads_name_and_bounds(
    text: str, low: float | None, high: float | None
) -> None:
    found = parse_constraint(f"amide: {text}")
    assert (found.get("low"), found.get("high")) == (low, high)
    assert (found["name"], found["spec"]) == ("amide", "x")


@pytest.mark.parametrize("text", ["minimize x <= 3", "x <= 3, weight 2", "x", "x > 3"])
def test_parse_constraint_without_bounds_or_with_direction_raises(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_constraint(text)


@pytest.mark.parametrize(
    "part",
    [
        Objective("pIC50", spec="manual:pIC50", unit="nM", weight=1 / 3),
        Objective("dock", spec="command:dock.sh {smiles}", direction="minimize"),
        Objective("logp", spec="logp", direction="range", low=1.0, high=3.0, worst=0.1),
        Constraint("amide", spec="matches:C(=O)N", low=1.0, high=3.0),
        Constraint("rings", spec="rings", low=2.0, high=2.0),
    ],
)
def test_format_part_is_parsed_to_the_same_part(part: Objective | Constraint) -> None:
    parse = parse_objective if isinstance(part, Objective) else parse_constraint
    assert type(part)(**{"name": part.name, **parse(format_part(part))}) == part


def test_parse_problem_of_objects_and_functions_gives_a_problem(tmp_path: Path) -> None:
    def carbons(smiles: str) -> float:
        return float(smiles.count("C"))

    problem, functions = parse_problem(
        [carbons, Objective("sas", direction="minimize", weight=2)],
        [Constraint("mw", high=500)],
        campaign_file=tmp_path / "c.db",
    )
    assert problem.names == ("carbons", "sas", "mw")
    assert [one.spec for one in problem.parts.values()] == ["mw", None, "sas"]
    assert problem.measured == ("carbons",)
    assert functions["carbons"](["CCO"]) == [2.0]
    typed = OptimizationProblem(
        objectives=problem.objectives[1:], constraints=problem.constraints, combine="weighted_sum"
    )
    again, _ = parse_problem(typed, campaign_file=tmp_path / "c.db")
    assert again.parts == typed.parts


def test_constraint_slack_tolerates_rounding() -> None:
    limit = Constraint("c", high=14e-9)
    values = np.array([14 * 1e-9, 14e-9 * (1 + 1e-8), 14e-9])
    assert (limit.slack(values) >= 0).tolist() == [True, False, True]
    assert Constraint("c", low=0.3, high=0.3).slack(np.array([0.1 + 0.2])).tolist() == [0.0]


@pytest.mark.parametrize(
    ("objective", "constraints", "part"),
    [
        ("qed, weight 2, weight 3", [], "two values of weight"),
        ("qed, unit nM, unit uM", [], "two values of unit"),
        ("qed", ["mw in 500..200"], "no value is both"),
        ("qed", ["mw <= 200", "mw >= 500"], "no value is both"),
        ("qed", ["a: logp <= 5", "a: mw <= 4"], "two constraints are called a"),
        ("qed", ["matches:[ >= 1"], "not a SMARTS pattern"),
        ("matches:", [], "not a SMARTS pattern"),
        ("elements-outside:C+Xx", [], "'Xx' .* is not a chemical element"),
        ("alerts:PAINS+NOPE", [], "no catalog of alerts is called 'NOPE'"),
        ("alerts:PAINS,NOPE", [], "no catalog of alerts is called"),
        ("qed, weigth 2", [], "objective 'qed, weigth 2' cannot be read; write e.g. 'qed'"),
        ("qed in ..0.5", [], "cannot be read"),
        ("min qed", [], "cannot be read"),
        ("qed", ["0 <= logp <= 5"], "constraint '0 <= logp' cannot be read"),
        ("qde", [], "did you mean 'qed'"),
    ],
)
def test_parse_problem_of_repeated_or_unsatisfiable_parts_raises(
    tmp_path: Path, objective: str, constraints: list[str], part: str
) -> None:
    with pytest.raises(MolvaeError, match=part):
        parse_problem(objective, constraints, campaign_file=tmp_path / "c.db")


def test_parse_problem_of_one_property_in_two_spellings_joins_its_bounds(tmp_path: Path) -> None:
    given = ["logp <= 3", "LogP >= 1", "rdkit:tpsa >= 20", "rdkit:TPSA <= 90"]
    problem, _ = parse_problem("qed", given, campaign_file=tmp_path / "c.db")
    assert [(one.low, one.high) for one in problem.constraints] == [(1, 3), (20, 90)]


def weighted(smiles: str, weight: float) -> float:
    return weight * len(smiles)


def test_objective_of_a_partial_is_named_and_a_lambda_needs_a_name(
    tmp_path: Path,
) -> None:
    def name_of(given: Any, **settings: Any) -> tuple[str, ...]:
        problem, functions = parse_problem(given, campaign_file=tmp_path / "c.db", **settings)
        (function,) = functions.values()
        assert function(["CCO"]) == [6.0]
        return problem.names

    twice = partial(weighted, weight=2.0)
    assert name_of(twice) == name_of(partial(twice)) == ("weighted",)
    assert name_of(Objective("mine", spec=twice)) == ("mine",)
    doubled = lambda smiles: 2.0 * len(smiles)  # noqa: E731
    for wrong in (doubled, {"objective": doubled}, partial(doubled)):
        with pytest.raises(ConfigError, match="has no name; define it with def"):
            parse_problem(wrong, campaign_file=tmp_path / "c.db")
    assert name_of(doubled, name="mine") == ("mine",)
    assert name_of({"objective": doubled, "name": "mine"}) == ("mine",)
    assert name_of(Objective("mine", spec=doubled)) == ("mine",)
    assert get_objective(doubled, name="mine").name == "mine"


def test_objective_and_constraint_objects_keep_bounds_of_0(tmp_path: Path) -> None:
    parts = (Objective("logp", direction="range", low=0.0, high=3.0), Constraint("mw", low=0.0))
    problem, _ = parse_problem([parts[0]], [parts[1]], campaign_file=tmp_path / "c.db")
    assert (problem.objectives[0].low, problem.constraints[0].low) == (0.0, 0.0)
