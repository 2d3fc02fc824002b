"""Reports, figures and the live page of campaigns: their content, escaping and access."""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from molvae.analysis.distributions import latent_map
from molvae.analysis.figures import write_figures
from molvae.analysis.hypervolume import hypervolume_trace, reference_point, volume
from molvae.analysis.report import render, write_report
from molvae.analysis.reproduce import reproduction_command
from molvae.analysis.server import serve
from molvae.analysis.summary import (
    OutOfDistribution,
    best_so_far,
    evenly,
    number,
    summarize,
)
from molvae.campaign.campaign import Campaign
from molvae.campaign.same_settings import check_same_settings
from molvae.campaign.storage import Storage
from molvae.campaign.trial import NewTrial, Outcome
from molvae.chem.datasets import sample_molecules
from molvae.chem.depiction import common_substructure, draw_mcs_difference
from molvae.cli import main
from molvae.errors import CampaignError, ConfigError, InvalidMoleculeError, UnknownNameError
from molvae.objectives.parsing import parse_constraint, parse_objective
from molvae.objectives.problem import Objective, OptimizationProblem
from tests.toys import ToyObjective, begin

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and text; checks that tags nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open[-1:] == ["script"] else self.text).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def hashed(script: str) -> str:
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


def assert_self_contained(page: Page) -> None:
    """Nothing runs but the one script, which the policy names by its hash; nothing is fetched."""
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form", "foreignobject"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "srcset", "action", "data"}:
                assert (value or "").startswith(("#", "data:image/svg+xml;base64,"))
    assert not re.findall(r"url\((?!#)|@import", " ".join(page.text))
    assert page.all("script") == [{}]
    policy = [a["content"] for a in page.all("meta") if a.get("http-equiv")]
    assert policy == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src {hashed(''.join(page.scripts))}; base-uri 'none'; form-action 'none'"
    ]


def report(campaign: Campaign, tmp_path: Path, **settings: Any) -> Page:
    out = write_report(campaign, tmp_path / "report.html", **settings)
    page = Page(out.read_text(encoding="utf-8"))
    assert_self_contained(page)
    return page


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    c = begin(tmp_path / "hill.db", objective=ToyObjective())
    c.run(14)
    return c


def test_report_shows_the_best_initial_and_every_trial(campaign: Campaign, tmp_path: Path) -> None:
    page = report(campaign, tmp_path, top=5)
    best = campaign.best(1).iloc[0]
    start = max(t.values["hill"] for t in campaign.trials if t.origin == "start")
    assert f"hill: {number(best['hill'])}" in page.words
    assert f"Best initial molecule {number(start)} of 8" in page.words
    assert "Evaluations 14" in page.words
    assert "maximize, larger is better" in page.words
    for trial in campaign.trials:
        assert trial.smiles in page.text
    drawings = page.all("img")
    assert [d["alt"] for d in drawings] == [
        f"Structure of {smiles}" for smiles in campaign.best(5)["smiles"]
    ]
    assert all(f"{name} " in page.words for name in ("logP", "SAS", "QED"))
    assert "space.fingerprint" in page.text
    assert len(page.all("svg")) == 5  # progress, map, three properties
    assert page.words.index("The best 5 molecules") < page.words.index("Best value against")
    assert "initial molecules" in page.text


def test_report_lists_and_counts_findings_of_molecules(tmp_path: Path) -> None:
    start = ["CC(=O)Nc1ccc(OCC2CCCCC2)cc1", *(f"CC(=O)Nc1ccc({r})cc1C" for r in "CFNO")]
    settings = {"objective": "manual:a", "direction": "maximize", "start": start}
    with Campaign.create(tmp_path / "c.db", "zinc250k", **settings) as campaign:  # type: ignore[arg-type]
        campaign.tell_all(dict.fromkeys(range(1, 6), 1.0))
        campaign._storage.ask(
            [NewTrial(smiles="CCOOCCc1ccccc1", z=[0.0] * 64, origin="rank graph")], expected=5
        )
        html = render(campaign)
    assert "0 of 1 new molecules" in html
    assert "5 of 5 initial molecules" in html
    assert ">unseen environment" in html
    assert ", peroxide" in html


def test_report_of_a_minimization_shows_the_smallest_as_best(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db", direction="minimize") as c:
        c.run(10)
        page = report(c, tmp_path)
        worst = min(t.values["hill"] for t in c.trials)
    assert f"hill: {number(worst)}" in page.words
    assert "minimize, smaller is better" in page.words
    assert "value (smaller is better)" in page.words


def test_report_shows_failed_trials_with_reason(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as c:
        c.tell(1, None, "did not dissolve")
        c.tell(2, -3.5)
        page = report(c, tmp_path)
    assert "did not dissolve" in page.text
    assert "Failed 1" in page.words
    assert "6 pending" in page.words
    assert "The best 1 molecule " in page.words


def test_report_of_a_campaign_without_values_is_written(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as c:
        page = report(c, tmp_path)
    assert "No trial is complete yet." in page.text
    assert page.all("svg") == page.all("img") == []


def test_report_escapes_texts_of_users(tmp_path: Path) -> None:
    name = rf"manual:{EVIL} $\frac{{"
    with begin(tmp_path / "c.db", objective=name) as c:
        c.tell(1, 1.0)
        c.tell(2, None, EVIL)
        page = report(c, tmp_path)
    assert EVIL in page.text
    assert name.removeprefix("manual:") in page.words


def test_report_of_a_foreign_campaign_file_is_escaped(tmp_path: Path) -> None:
    """A record is a file that others may have written: nothing in it need be a molecule."""
    facts = {
        "format": 1,
        "objectives": [{"name": "f", "direction": "maximize", "spec": None}],
        "space": {"name": EVIL, "fingerprint": "", "dim": 1},
        "strategy": {"name": EVIL, "settings": None},
        "seed": 0, "batch": 1, "start": EVIL, "dataset": None, "skipped": 0, "duplicates": 0,
    }  # fmt: skip
    outcome = Outcome(complete=True, values={"f": 1.0}, message=EVIL)
    trials = [
        NewTrial(smiles=smiles, z=[0.0], origin=EVIL, outcome=outcome)
        for smiles in (EVIL, '"><script>1</script>', "C |$<script>alert(1)</script>$|")
    ]
    Storage.create(tmp_path / "evil.db", facts, trials).close()
    with Campaign.open(tmp_path / "evil.db") as c:
        page = report(c, tmp_path)
    assert page.text.count("cannot be drawn") == 3


def test_write_report_from_a_path_replaces_no_foreign_file(
    campaign: Campaign, tmp_path: Path
) -> None:
    campaign.close()
    out = tmp_path / "r.html"
    out.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(CampaignError, match="did not write it"):
            write_report(campaign.path, out, overwrite=overwrite)
    assert out.read_text() == "mine"
    out.unlink()
    assert write_report(campaign.path, out) == out
    with pytest.raises(CampaignError, match=r"r\.html exists; .*--overwrite"):
        write_report(campaign.path, out)
    assert write_report(campaign.path, out, overwrite=True) == out
    assert "hill" in out.read_text()
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".draft") == []


def test_write_report_to_an_invalid_path_raises(campaign: Campaign, tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="there is no folder"):
        write_report(campaign, tmp_path / "nowhere" / "r.html")
    with pytest.raises(CampaignError, match="exists"):
        write_report(campaign, tmp_path, overwrite=True)
    with pytest.raises(ConfigError, match="top"):
        write_report(campaign, tmp_path / "r.html", top=-1)
    assert not (tmp_path / "r.html").exists()


@pytest.fixture
def small_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a record with many trials: 10 rows and points, 3 molecules for histograms."""
    for module in ("summary", "distributions", "figures", "report"):
        for name, value in (("MAX_ROWS", 10), ("MAX_POINTS", 10), ("MAX_SAMPLE_SIZE", 3)):
            monkeypatch.setattr(f"molvae.analysis.{module}.{name}", value, raising=False)


@pytest.mark.parametrize("objective", ["hill", "pareto"])
def test_report_of_many_trials_lists_the_best_and_latest_with_a_note(
    small_report: None, tmp_path: Path, objective: str
) -> None:
    made: dict[str, object] = (
        {"objective": ["qed", "minimize sas"]} if objective == "pareto" else {}
    )
    with begin(tmp_path / "c.db", n=20, **made) as c:
        c.tell(1, None, "broke")
        c.tell(2, None, "broke")
        c.tell(3, None, "broke")
        c.run(30)
        page = report(c, tmp_path, top=2)
        found = summarize(c)
        ids = [row.trial.id for row in found.listed]
        assert ids == sorted(ids)
        assert len(ids) == 10
        assert {row.trial.id for row in found.ranked[:5]} <= set(ids)
        assert {28, 29, 30} <= set(ids)
        assert len(found.drawn) == 10
        assert {row.trial.id for row in found.ranked[:5]} <= found.drawn
    assert "10 of 30 trials" in page.words
    assert "molvae export c.db trials.csv" in page.words
    assert "The latest 2 of 3" in page.words
    assert "10 of 27 are drawn" in page.words
    assert "of 3 at most, evenly from first to last" in page.words
    titles = [text for text in page.text if text.startswith("trial ")]
    assert len(titles) <= 3 * 10


def test_write_report_imports_no_torch(tmp_path: Path) -> None:
    begin(tmp_path / "c.db", strategy="rank").close()
    code = (
        "import sys; from molvae.analysis.report import write_report as f; f('c.db', 'c.html'); "
        "sys.exit('torch' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True)


def test_evenly_keeps_first_and_last() -> None:
    assert evenly(range(100), 4) == [0, 33, 66, 99]
    assert evenly(range(3), 4) == [0, 1, 2]


def test_best_so_far_ignores_failed_calls() -> None:
    values = np.array([math.nan, 2.0, math.nan, 1.0, 3.0])
    up, down = (best_so_far(values, sign * values) for sign in (1, -1))
    assert math.isnan(up[0])
    assert up[1:] == [2.0, 2.0, 2.0, 3.0]
    assert down[1:] == [2.0, 2.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.5000"), (-1.25, "\N{MINUS SIGN}1.250"), (1234.0, "1234"), (math.nan, "\N{EN DASH}")],
)
def test_number_shows_four_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_report_marks_molecules_below_the_first_density_percentile(tmp_path: Path) -> None:
    known = [None, 0.0, 99.5, 0.4, 1.0, 31.25]
    start = [NewTrial(smiles="C" * n, z=[0.0], origin="start", percentile=known[n])
             for n in range(1, 3)]  # fmt: skip
    new = [NewTrial(smiles="C" * n, z=[0.0], origin="rank", percentile=known[n])
           for n in range(3, 6)]  # fmt: skip
    facts = {
        "objectives": [{"name": "f", "direction": "maximize", "spec": None}],
        "space": {"name": "", "fingerprint": "", "dim": 1},
        "strategy": {"name": "rank", "settings": None}, "seed": 0, "batch": 1,
    }  # fmt: skip
    facts |= {"start": 2, "dataset": None, "skipped": 0, "duplicates": 0}
    Storage.create(tmp_path / "a.db", facts, [*start, *new]).close()
    with Campaign.open(tmp_path / "a.db") as c:
        assert summarize(c).out_of_distribution == OutOfDistribution(
            initial=1, of_initial=2, new=1, of_new=3
        )
        page = report(c, tmp_path)
    assert "1 of 3 new molecules (33 %) lie below the first density percentile" in page.words
    assert "and 1 of 2 initial molecules" in page.words
    assert "percentile origin status" in page.words
    assert "31.25" in page.text


def test_report_without_density_shows_no_percentile(campaign: Campaign, tmp_path: Path) -> None:
    assert summarize(campaign).out_of_distribution is None
    assert "percentile" not in report(campaign, tmp_path).words


# --- several goals, limits

LEAD = "CCCCOCCCO"


@pytest.fixture
def several(tmp_path: Path) -> Campaign:
    goals = ["qed", "minimize mw, worst 300, best 100"]
    c = begin(
        tmp_path / "several.db",
        objective=goals,
        constraints=[f"similarity:{LEAD} >= 0.2", "logp <= 2"],
    )
    c.run(30)
    return c


def test_report_of_a_pareto_search_shows_front_and_hypervolume(
    several: Campaign, tmp_path: Path
) -> None:
    page = report(several, tmp_path, top=6)
    assert str(several.problem) in page.words
    table = several.table()
    front = table[(table["pareto_rank"] == 1) & (table["feasible"] == True)]  # noqa: E712
    assert f"On the Pareto front {len(front)} " in page.words
    assert "Hypervolume against evaluations" in page.words
    assert "(qed 0.000, mw 300.0: each objective's worst" in page.words
    assert "Pareto front" in page.words
    assert len(page.all("svg")) == 6
    drawn = [d["alt"] for d in page.all("img")]
    assert drawn == [f"Structure of {s}" for s in [LEAD, *several.best(6)["smiles"]]]
    assert f"Feasible {int(table['feasible'].sum())} of 30 with values" in page.words
    for name in ("qed", "mw", "similarity to the lead", "logp", "Pareto rank", "feasible"):
        assert name in page.text
    assert "\N{CHECK MARK} \N{LESS-THAN OR EQUAL TO} 2" in page.words


@pytest.mark.parametrize("combine", ["desirability", "weighted_sum"])
def test_report_of_a_combined_score_shows_the_best_score(tmp_path: Path, combine: str) -> None:
    goals = ["qed", "minimize sas", "logp in 0..1"]
    with begin(tmp_path / "c.db", objective=goals, combine=combine) as c:
        c.run(16)
        page = report(c, tmp_path)
        best, value = c.best(1).iloc[0], c.best_value
        found = summarize(c)
    assert f"Best score {number(value)}" in page.words
    assert f"({combine.replace('_', ' ')})" in page.words
    assert found.progress.best[-1] == value == best["score"]
    assert "score (larger is better)" in page.words
    assert "0 outside" not in page.words


def test_report_ranks_infeasible_molecules_last(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db", objective=["logp in 0..1"], constraints=["mw <= 150"]) as c:
        c.run(20)
        page = report(c, tmp_path)
        found = summarize(c)
    (limit,) = found.constraint_violations
    heavy = [row for row in found.rows if row.value("mw") > 150]
    assert limit.count == len(heavy) > 0
    assert limit.most == pytest.approx(max(row.value("mw") for row in heavy) - 150)
    assert f"mw <= 150 {len(heavy)} of 20" in page.words
    assert [row.is_feasible for row in found.ranked] == sorted(
        (row.is_feasible for row in found.ranked), reverse=True
    )
    assert "\N{BALLOT X} violates \N{LESS-THAN OR EQUAL TO} 150" in page.words
    assert "0 to 1 is good" in page.words


def test_report_without_feasible_molecules_shows_no_best_value(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db", objective="qed", constraints=["mw <= 1"]) as c:
        c.run(9)
        page = report(c, tmp_path)
    assert "Best value \N{EN DASH} none is feasible" in page.words


def test_volume_equals_the_hypervolume_of_botorch() -> None:
    import torch
    from botorch.utils.multi_objective.hypervolume import Hypervolume

    draws = np.random.default_rng(0)
    for m in (1, 2, 3, 4, 5, 6):
        y, reference = draws.random((24, m)), draws.random(m) * 0.3
        expected = Hypervolume(torch.from_numpy(reference)).compute(torch.from_numpy(y))
        assert volume(y, reference) == pytest.approx(expected, rel=1e-9 if m < 6 else 0.01)
        grown = hypervolume_trace(np.vstack([y, y[:3]]), reference)
        assert grown[-1] == pytest.approx(expected, rel=1e-9 if m < 6 else 0.01)
        assert (np.diff(grown) >= 0).all()


def test_hypervolume_trace_ignores_rows_with_nan() -> None:
    columns = np.array([[np.nan, np.nan], [0.5, 0.5], [np.nan, 1.0], [0.2, 2.0], [0.5, 0.5]])
    assert hypervolume_trace(columns, np.zeros(2)).tolist() == pytest.approx(
        [0.0, 0.25, 0.25, 0.55, 0.55]
    )


def test_reference_point_uses_worst_values_of_objectives() -> None:
    problem = OptimizationProblem(
        objectives=(
            Objective(name="a", direction="minimize", spec=None, worst=7.0),
            Objective(name="b", direction="range", spec=None, low=0.0, high=1.0, worst=4.0),
            Objective(name="c", direction="maximize", spec=None),
        )
    )
    assert reference_point(problem, np.array([[-9.0, -1.0, 3.0], [-2.0, 0.0, 5.0]])).tolist() == [
        -7.0,
        -4.0,
        3.0,
    ]


# --- the lead


def test_draw_mcs_difference_colors_atoms_the_lead_lacks() -> None:
    query = common_substructure("Cc1ccccc1Cl", "Cc1ccccc1")
    assert query is not None
    assert query.GetNumAtoms() == 7
    assert "#9EDDD8" in draw_mcs_difference("Cc1ccccc1Cl", "Cc1ccccc1")
    assert "#9EDDD8" not in draw_mcs_difference("Cc1ccccc1", "Cc1ccccc1Cl")
    assert common_substructure("C", "O") is None
    # Nothing in common was found: nothing is known of the difference.
    assert draw_mcs_difference("CCO", "c1ccccc1") is None
    assert draw_mcs_difference("C~C", "CCO") is None


def test_report_with_cancelled_comparison_shows_a_note_without_color(
    campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(canceled=True, numAtoms=5, smartsString="CCO")

    monkeypatch.setattr("molvae.chem.depiction.rdFMCS.FindMCS", cancelled)
    page = report(campaign, tmp_path, top=2, lead="OCCC")
    assert "in color: what the lead" not in page.words
    assert "Not compared with the lead" in page.words
    assert page.words.count("not compared") == 2
    monkeypatch.undo()
    page = report(campaign, tmp_path, top=2, lead="OCCC", overwrite=True)
    assert "in color: what the lead does not have" in page.words


def test_report_with_a_lead_shows_the_lead(campaign: Campaign, tmp_path: Path) -> None:
    page = report(campaign, tmp_path, top=2, lead="OCC")
    assert next(d["alt"] for d in page.all("img")) == "Structure of CCO"
    assert "The lead not a trial" in page.words
    svg = b64decode((page.all("img")[1]["src"] or "").partition("base64,")[2]).decode()
    assert "#9EDDD8" in svg
    with pytest.raises(InvalidMoleculeError, match="not a valid molecule"):
        write_report(campaign, tmp_path / "r.html", lead="what")
    assert not (tmp_path / "r.html").exists()


# --- failures, map, the same again


def test_report_groups_failed_trials_by_reason(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as c:
        for trial in c.trials[:3]:
            c.tell(trial.id, None, f"no pocket for {trial.smiles}")
        c.tell(4, None)
        c.tell(5, 1.0)
        page = report(c, tmp_path)
        assert summarize(c).reasons == [
            ("no pocket for SMILES", [1, 2, 3]),
            ("no reason given", [4]),
        ]
    assert "3 no pocket for SMILES 1, 2, 3" in page.words


def test_latent_map_of_a_campaign_is_reproducible(campaign: Campaign) -> None:
    first, second = latent_map(summarize(campaign)), latent_map(summarize(campaign))
    assert first is not None
    assert second is not None
    (places, shares), (again, _) = first, second
    assert [place[:2] for place in places] == [place[:2] for place in again]
    assert len(places) == 14
    assert shares[0] >= shares[1] >= 0
    assert [row.place for *_, row in places] == list(range(14, 0, -1))


def test_report_shortens_long_messages(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as c:
        c.tell(1, None, "no " * 100_000)
        assert len(render(c)) < 100_000


def test_report_shows_errors_and_notes(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db", objective="manual:pIC50", unit="log10") as c:
        c.tell(1, [6.0, 6.5], notes={"plate": EVIL})
        c.tell(2, 7.0)
        page = report(c, tmp_path)
    assert "6.250 \N{PLUS-MINUS SIGN} 0.2500" in page.words
    assert "plate" in page.text
    assert EVIL in page.text
    assert "pIC50 (log10)" in page.words


def test_reproduction_command_has_objectives_constraints_and_seed(
    several: Campaign, tmp_path: Path
) -> None:
    several.path.with_suffix(".smi").write_text("")
    words = shlex.split(reproduction_command(several, 3).command.replace("\\\n", " "))
    assert words[:3] == ["molvae", "optimize", "several.db"]
    flags: dict[str, list[str]] = {}
    for word in words[3:]:
        if word.startswith("--"):
            flag = flags.setdefault(word, [])
        else:
            flag.append(word)
    for text, goal in zip(flags["--objective"], several.problem.objectives, strict=True):
        for key, value in parse_objective(text).items():
            assert getattr(goal, key) == value
    for text, limit in zip(flags["--constraint"], several.problem.constraints, strict=True):
        for key, value in parse_constraint(text).items():
            assert getattr(limit, key) == value
    given = {"objective": flags["--objective"], "constraints": flags["--constraint"]}
    check_same_settings(several, given | {"strategy": "random", "seed": 0})
    with pytest.raises(CampaignError, match="seed 0, not 1"):
        check_same_settings(several, {"seed": 1})
    assert flags["--batch-size"] == [str(several.config.batch_size)]
    assert flags["--no-tune"] == []
    assert flags["--strategy"] == ["random"]
    assert flags["--seed"] == ["0"]
    assert flags["--start"] == ["start.smi"]
    assert any(
        "initial molecules were given from Python" in n
        for n in reproduction_command(several, 3).notes
    )


def test_report_names_objects_given_from_python(campaign: Campaign, tmp_path: Path) -> None:
    page = report(campaign, tmp_path)
    assert "<hill: an object of Python>" in page.words
    assert "hill was an object given from Python" in page.words


# --- figures


@pytest.mark.parametrize("format", ["svg", "png"])
def test_write_figures_writes_files_and_replaces_none(
    several: Campaign, tmp_path: Path, format: Any
) -> None:
    folder = tmp_path / "figures"
    paths = write_figures(several, folder, format)
    names = ["progress", "front", "map", "histogram-logP", "histogram-SAS", "histogram-QED"]
    assert [p.name for p in paths] == [f"{name}.{format}" for name in names]
    head = b"<?xml" if format == "svg" else b"\x89PNG"
    assert all(path.read_bytes().startswith(head) for path in paths)
    with pytest.raises(CampaignError, match=r"progress\..* exists"):
        write_figures(several, folder, format)
    assert write_figures(several.path, folder, format, overwrite=True) == paths
    with pytest.raises(UnknownNameError, match="svg"):
        write_figures(several, folder, "gif")  # type: ignore[arg-type]
    with pytest.raises(CampaignError, match="folder"):
        write_figures(several, tmp_path / "a" / "b", format)


def test_write_figures_escapes_names(tmp_path: Path) -> None:
    name = rf"manual:{EVIL[:20]}--><b>$\frac{{\x00"
    goals = [{"objective": name, "direction": "maximize"}, "minimize mw"]
    with begin(tmp_path / "c.db", objective=goals) as c:
        for trial in c.trials:
            c.tell(trial.id, float(trial.id))
        report(c, tmp_path)
        for path in write_figures(c, tmp_path / "figures"):
            ElementTree.parse(path)
            assert "<b>" not in path.read_text()


def test_report_figures_have_a_title_for_every_point(campaign: Campaign, tmp_path: Path) -> None:
    page = report(campaign, tmp_path)
    titles = len(page.all("title"))
    assert titles == 1 + 2 * 14  # of the page; progress and map


def test_report_command_writes_report_and_figures(
    campaign: Campaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "f"
    words = ["report", str(campaign.path), "--figures", str(figures), "--lead", "CCO"]
    assert main([*words, "--figure-format", "png"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(tmp_path / "hill.html")
    assert (figures / "map.png").is_file()
    assert main([*words, "--overwrite"]) == 0
    assert (figures / "map.svg").is_file()


# --- live


def get(
    address: str, method: str = "GET", host: str | None = None
) -> tuple[int, dict[str, str], str]:
    request = urllib.request.Request(address, method=method)
    if host is not None:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read().decode()


def test_serve_shows_the_live_page_to_this_machine_only(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as c, serve(c.path, port=0) as address:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{22}", address)
        address = address.partition("?token=")[0]
        port = address.split(":")[2].strip("/")
        status, headers, html = get(address)
        assert status == 200
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Cache-Control"] == "no-store"
        assert '<meta http-equiv="refresh" content="30">' in html
        assert "No trial is complete yet." in html
        assert get(address)[2] == html  # not made again
        c.tell(1, -3.25)
        assert "hill: \N{MINUS SIGN}3.250" in get(address, host=f"localhost:{port}")[2]
        assert get(address, "HEAD")[::2] == (200, "")
        for path in ("favicon.ico", "tell", "../etc/passwd", "c.db"):
            assert get(address + path)[0] == 404
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert get(address, method)[0] == 404
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "localhost:1"):
            assert get(address, host=host)[0] == 403
        c.close()
        assert c.path.exists()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=5)


def post(address: str, **form: str) -> tuple[int, str]:
    data = urllib.parse.urlencode(form).encode()
    try:
        with urllib.request.urlopen(address, data, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_serve_plate_takes_values_with_the_token_only(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as c, serve(c.path, port=0) as address:
        base, _, token = address.partition("?token=")
        trial = c.trials[0]
        assert token not in get(base)[2]
        assert f"/plate?token={token}" in get(address)[2]
        assert get(base + "plate")[0] == get(base + "plate?token=x")[0] == 403
        status, _, plate = get(f"{base}plate?token={token}")
        assert status == 200
        assert trial.smiles in plate
        assert 'name="value:hill"' in plate
        right = {"token": token, "id": str(trial.id)}
        assert post(base + "tell", id=str(trial.id), **{"value:hill": "1"})[0] == 403
        assert post(base + "tell", token="no", id="1", **{"value:hill": "1"})[0] == 403
        assert post(base + "tell", **right)[0] == 400
        for text in ("", "many", "1.5; x"):
            status, said = post(base + "tell", **right, **{"value:hill": text})
            assert (status, said[:8]) == (400, "molvae: ")
        assert c.trials[0].status == "pending"
        status, plate = post(base + "tell", **right, **{"value:hill": "-3,5; -4.5"})
        assert status == 200
        assert f'value="{trial.id}"' not in plate  # it is pending no more
        assert c.trials[0].values == {"hill": -4.0}
        assert post(base + "tell", **right, **{"value:hill": "1"})[0] == 400
        assert post(base + "tell", token=token, id="2", **{"value:hill": "failed"})[0] == 200
        assert post(base + "tell", token=token, id="3", **{"value:hill": "<5"})[0] == 200
        assert c.trials[1].status == "failed"


def test_serve_of_missing_file_or_taken_port_raises(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="there is no campaign file"), serve(tmp_path / "no.db"):
        pass
    with begin(tmp_path / "c.db") as c, serve(c.path, port=0) as address:
        port = int(address.partition("/?")[0].split(":")[2])
        with pytest.raises(CampaignError, match="choose another one"), serve(c.path, port=port):
            pass
        with pytest.raises(ConfigError, match="port"), serve(c.path, port=70000):
            pass
        c.path.unlink()
        for ending in ("-wal", "-shm"):
            c.path.with_name(c.path.name + ending).unlink(missing_ok=True)
        status, _, text = get(address)
        assert status == 500
        assert "there is no campaign file" in text


def test_serve_answers_parallel_requests(campaign: Campaign) -> None:
    with serve(campaign.path, port=0) as address:
        seen: list[int] = []
        threads = [threading.Thread(target=lambda: seen.append(get(address)[0])) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [200] * 4


@pytest.mark.slow
def test_ui_command_serves_the_page(campaign: Campaign) -> None:
    words = [sys.executable, "-m", "molvae", "ui", str(campaign.path), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().decode().strip()
            assert get(address)[0] == 200
        finally:
            process.terminate()


# --- in a browser


def browse(page: Path, tmp_path: Path, *flags: str) -> tuple[str, str]:
    """The page as it is after its scripts ran, and what the browser said about it."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--v=0",
            "--virtual-time-budget=5000", *flags, "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def thousand(path: Path) -> Campaign:
    """A record of 1,000 molecules of ZINC250k, with three goals, a limit, and failures."""
    molecules = sample_molecules("zinc250k", 1000, seed=1)
    draws = np.random.default_rng(0)
    names = ("potency", "clearance", "solubility")
    facts = {
        "format": 2,
        "objectives": [
            {"name": name, "direction": "maximize", "spec": f"manual:{name}", "unit": "log10"}
            for name in names
        ],
        "limits": [{"name": f"similarity:{molecules[0]}", "spec": f"similarity:{molecules[0]}",
                    "low": 0.1, "computed": True}],
        "combine": "pareto", "space": {"name": "zinc250k", "fingerprint": "", "dim": 56},
        "strategy": {"name": "rank", "settings": {}}, "seed": 0, "batch": 10, "start": 100,
        "dataset": None, "skipped": 0, "duplicates": 0, "versions": {"molvae": "0.1.0"},
    }  # fmt: skip
    trials = []
    for i, smiles in enumerate(molecules):
        values = dict(zip((*names, facts["limits"][0]["name"]), draws.random(4), strict=True))  # type: ignore[index]
        trials.append(
            NewTrial(
                smiles=smiles,
                z=draws.normal(size=56).tolist(),
                origin="start" if i < 100 else "rank latent",
                outcome=Outcome(
                    complete=bool(i % 20),
                    values={k: float(v) for k, v in values.items()} if i % 20 else {},
                    message="" if i % 20 else f"RuntimeError: docking of {smiles} did not converge",
                ),
            )
        )
    Storage.create(path, facts, trials).close()
    return Campaign.open(path)


CLICKS = """
const table = document.getElementById("trials");
const column = (c) => [...table.tBodies[0].rows].filter((r) => !r.hidden)
  .map((r) => r.cells[c].dataset.n ?? r.cells[c].textContent);
const click = (c) => table.tHead.rows[0].cells[c].querySelector("button").click();
const said = {};
click(1); said.falling = column(1);
click(1); said.rising = column(1);
const field = table.parentElement.previousElementSibling.querySelector("input");
field.value = "converge failed"; field.dispatchEvent(new Event("input"));
said.filtered = column(0).length;
const pre = document.createElement("pre");
pre.id = "said"; pre.textContent = JSON.stringify(said); document.body.append(pre);
"""


@pytest.mark.slow
@in_a_browser
def test_report_of_1000_trials_is_small_and_sorts_and_filters(tmp_path: Path) -> None:
    import json

    with thousand(tmp_path / "k.db") as c:
        out = write_report(c, tmp_path / "k.html")
        values = [t.values.get("potency", math.nan) for t in c.trials]
    assert out.stat().st_size < 3_000_000
    html = out.read_text(encoding="utf-8")
    page = Page(html)
    assert_self_contained(page)
    own = hashed("".join(page.scripts))
    assert html.count(own) == 1
    tested = tmp_path / "tested.html"
    tested.write_text(
        html.replace(own, f"{own} {hashed(CLICKS)}").replace(
            "</body>", f"<script>{CLICKS}</script></body>"
        ),
        encoding="utf-8",
    )
    dom, complaints = browse(tested, tmp_path)
    assert complaints == ""
    said = json.loads(re.search(r'<pre id="said">(.*?)</pre>', dom, re.S)[1])  # type: ignore[index]
    known = sorted(float(f"{v:.9g}") for v in values if not math.isnan(v))
    dashes = ["\N{EN DASH}"] * 50
    assert said["falling"][950:] == said["rising"][950:] == dashes
    assert list(map(float, said["rising"][:950])) == known
    assert list(map(float, said["falling"][:950])) == known[::-1]
    assert said["filtered"] == 50


@in_a_browser
def test_report_without_scripts_shows_every_trial(campaign: Campaign, tmp_path: Path) -> None:
    out = write_report(campaign, tmp_path / "r.html")
    with_, complaints = browse(out, tmp_path)
    assert complaints == ""
    assert "<input" in with_
    assert "<button" in with_
    html = out.read_text(encoding="utf-8")
    refused = tmp_path / "refused.html"
    refused.write_text(re.sub(r"script-src '[^']*'", "script-src 'none'", html), encoding="utf-8")
    without, complaints = browse(refused, tmp_path)
    assert "script-src" in complaints
    assert "<input" not in without
    assert "<button" not in without
    assert all(trial.smiles in without for trial in campaign.trials)


@in_a_browser
def test_report_texts_of_users_do_not_run_in_a_browser(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db", objective=f"manual:{EVIL}") as c:
        c.tell(1, 1.0, EVIL, notes={EVIL: EVIL})
        c.tell(2, None, EVIL)
        dom, complaints = browse(write_report(c, tmp_path / "r.html"), tmp_path)
    assert complaints == ""
    assert "onerror=" not in re.sub(
        r"<(title|td|th|h1|text|code|pre|b)[ >].*?</\1>", "", dom, flags=re.S
    )
