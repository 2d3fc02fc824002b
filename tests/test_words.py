"""One word for one thing: retired words stand in no public name, flag, help text or column.

`docs/glossary.md` has the words that took their place.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import molvae
from molvae.analysis.export import write_table
from tests import clidoc
from tests.blocks import ROOT
from tests.toys import ToyObjective, begin

RETIRED_NAMES = """
Aim aims apply_merges around_all around_and_across around_one Ascent best_draws best_of blur
by_rank ByHand Call Card Chart choose_drawing climb Cluster Codec completed_by costs_nothing
decode_new decomposed Dense derived describe_set draw_difference drawing Drawn each_part
Evidence evidence_of executor_of explain Findings first_new fluent fronts gains Given
Goal graph_moves held_out Here Hill HOPPED Inference judged_of Known KnownKernel labelled Lacks
LargestRing latent_moves leapfrogs learn_merges likeliest_amplitude Limit Matches measured_of
most_failed Near need_values noise_levels noised noisy nondominated objective_of one_thread
other_elements OtherElements outcome_of overview Patience penalised_logP percentiles Place
Placed Plain plain_prior Processes random_selfies read_aim read_goal read_limit readable recipe
redrawn refine Refined refined same_change Scored sd Searching Sheet SILENCE slacks spell
spherical Spot Start start_of Store Summary symbols table_of Tokens Told told_of traced transfer
tuned_decoder understood UNREADABLE until Vamp Verdict waiting Wanted weighted_bound
broken_limits learning_rate_at OutcomeTransform ReadOut Streak
"""
"""Public names, whole."""

RETIRED_PARTS = """
aim aims blur boldest chart children codec evidence explain foreseen goals growth holding
labelled leapfrogs likewise maximise mend mended minimise neighbour neighbourhood neighbours
noisy optimise patience recipe safest sheet shortest spell spot straight symbols usual
verdict walk way ways
"""
"""Parts of public names, flags and columns, between underscores, hyphens and capitals."""

RETIRED_PHRASES = """
likewise
of that name
is none
that one
those of them
foresee
believe
is sure
come upon
numbers in z
numbers of z
made beside
known world
how usual
puts up with
gone on with
run folder
recipe
mended
optimis
maximis
minimis
colour
neighbour
by hand
by-hand
starting molecules
come back
given back
others' business
ways up
the record
a record
walk
symbol
goals
penalised
labelled
"""
"""In help texts, in any case."""


MID_SENTENCE = r"(Of|By (name|core|address|operator)|As|Likewise|Those|The same|Their|Its|Such)\b"
"""Beginnings of docstrings that make no sense without the lines around them."""


def parts(name: str) -> set[str]:
    """Words of an identifier, a flag or a column, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(molvae.__path__, "molvae."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            yield module.name


@cache
def public_names() -> dict[str, str]:
    """Public names that a module defines, their attributes and parameters: where each is."""
    found: dict[str, str] = {}
    for module_name in modules():
        if module_name.startswith("molvae.cli"):
            continue  # flags and their help are read below
        module = importlib.import_module(module_name)
        for name, thing in vars(module).items():
            of_here = getattr(thing, "__module__", module_name) == module_name
            if name.startswith("_") or inspect.ismodule(thing) or not of_here:
                continue
            place = f"{module_name}.{name}"
            found.setdefault(name, place)
            if not getattr(thing, "__module__", "").startswith("molvae"):
                continue
            members = [thing]
            if isinstance(thing, type):
                own = {n: v for n, v in vars(thing).items() if not n.startswith("_")}
                own |= (
                    dict.fromkeys(f.name for f in dataclasses.fields(thing))
                    if (dataclasses.is_dataclass(thing))
                    else {}
                )
                found |= {n: f"{place}.{n}" for n in own if n not in found}
                members = [v for v in own.values() if inspect.isfunction(v)]
            for member in members:
                if inspect.isfunction(member):
                    for parameter in inspect.signature(member).parameters:
                        found.setdefault(parameter, f"{place}({parameter})")
    return found


@cache
def help_text() -> str:
    return clidoc.page().partition("## ")[2]


def columns(folder: Path) -> list[str]:
    """Of the table of a campaign, and of its export."""
    objective = ToyObjective()
    with begin(folder / "c.db", objective=objective) as campaign:
        campaign.run(9)
        table = campaign.table()
        export = folder / "c.csv"
        write_table(table, export)
        header = export.read_text(encoding="utf-8").splitlines()[0].split(",")
        return [*map(str, table.columns), *map(str, campaign.best(1).columns), *header]


def docstrings(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Of modules, classes and functions, and below attributes and constants."""
    for statement in body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            yield str(statement.value.value).strip()
        for part in ("body", "orelse"):
            yield from docstrings(getattr(statement, part, None) or [])


def retired(names: dict[str, str]) -> list[str]:
    bad, whole = set(RETIRED_PARTS.split()), set(RETIRED_NAMES.split())
    return [where for name, where in names.items() if name in whole or parts(name) & bad]


def test_public_names_have_no_retired_word() -> None:
    assert len(public_names()) > 500
    assert retired(public_names()) == []


def test_flags_and_help_have_no_retired_word() -> None:
    flags = re.findall(r"--[\w.-]+", help_text())
    assert len(flags) > 100
    assert retired({flag: flag for flag in flags}) == []
    lines = help_text().splitlines()
    found = [
        line for line in lines for one in RETIRED_PHRASES.split("\n") if one and one in line.lower()
    ]
    assert found == []


@pytest.mark.parametrize("folder", ["molvae", "benchmarks"])
def test_docstring_first_lines_make_sense_alone(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    texts = [
        f"{file.name}: {text.splitlines()[0]}"
        for file in files
        for text in docstrings(ast.parse(file.read_text(encoding="utf-8")).body)
        if text
    ]
    assert len(texts) > 100
    assert [text for text in texts if re.match(rf"\S+ {MID_SENTENCE}", text)] == []


def test_table_columns_have_no_retired_word(tmp_path: Path) -> None:
    names = columns(tmp_path)
    assert "smiles" in names
    assert retired({name: name for name in names}) == []


@pytest.mark.parametrize("word", ["pending", "z", "trial", "constraint", "surrogate", "token"])
def test_glossary_defines_the_words_in_use(word: str) -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| [^|]*\b{word}\b", text, re.M)
