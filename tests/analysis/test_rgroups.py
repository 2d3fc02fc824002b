"""`group_tables`: groups on the core that a campaign keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import molvae
from molvae.analysis.report import render
from molvae.analysis.rgroups import group_tables
from molvae.analysis.summary import summarize
from molvae.campaign.campaign import Campaign
from molvae.chem.cores import core_of
from molvae.errors import MolvaeWarning
from molvae.objectives.problem import Objective

CORE = "c1ccc2c(N[*:1])nc([*:2])nc2c1"
VALUES = {
    "CNc1ncnc2ccccc12": 1.0,
    "CCNc1ncnc2ccccc12": 5.0,
    "CCNc1nc(C)nc2ccccc12": 8.0,
    "CNc1nc(C)nc2ccccc12": 2.0,
    "CCO": 9.0,
}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    path = tmp_path_factory.mktemp("groups") / "c.db"
    with pytest.warns(MolvaeWarning, match="1 of 5"):
        made = Campaign.create(
            path, molvae.load("zinc250k"), objective="manual:pIC50", direction="maximize",
            keep=CORE, start=list(VALUES),
        )  # fmt: skip
    with made:
        made.tell_all(dict(zip((t.id for t in made.trials), VALUES.values(), strict=True)))
        yield made


def test_group_tables_have_counts_means_and_best_values(campaign: Campaign) -> None:
    found = summarize(campaign)
    drawing, positions = group_tables(core_of(CORE), found.ranked, found.problem.objectives)
    assert drawing.startswith("data:image/svg+xml")
    first, second = positions
    assert [(g.count, g.values) for g in first.groups] == [(2, ((6.5, 8.0),)), (2, ((1.5, 2.0),))]
    assert [g.smiles for g in first.groups] == ["CC[*:1]", "C[*:1]"]
    assert [(g.smiles, g.count) for g in second.groups] == [("C[*:2]", 2), ("H", 2)]
    assert second.groups[0].values == ((5.0, 8.0),)
    assert not second.groups[1].picture


def test_group_tables_of_a_minimization_order_smallest_first(campaign: Campaign) -> None:
    found = summarize(campaign)
    goal = Objective("pIC50", direction="minimize")
    _, (first, _) = group_tables(core_of(CORE), found.ranked, [goal])
    assert [g.values for g in first.groups] == [((1.5, 1.0),), ((6.5, 5.0),)]


def test_group_tables_without_attachment_points_find_positions(campaign: Campaign) -> None:
    found = summarize(campaign)
    core = core_of("c1ccc2ncncc2c1")
    _, positions = group_tables(core, found.ranked, found.problem.objectives)
    assert len(positions) == 2


def test_report_has_group_tables_only_with_a_core(campaign: Campaign, tmp_path: Path) -> None:
    html = render(campaign)
    assert 'id="groups"' in html
    assert "CC[*:1]" in html
    with Campaign.create(
        tmp_path / "d.db", campaign.space, objective="qed", start=["CCO"]
    ) as other:
        assert 'id="groups"' not in render(other)
