from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from molvae.bo.store import NewTrial, Store
from molvae.campaign import Campaign
from molvae.errors import CampaignError, ConfigError
from molvae.report import best_so_far, number, write_report
from tests.toys import ToyObjective, begin

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and text; checks that tags nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
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
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def assert_self_contained(page: Page) -> None:
    """Nothing that runs, nothing that is fetched."""
    for tag, attributes in page.elements:
        assert tag not in {
            "script",
            "link",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "foreignobject",
        }
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "srcset", "action", "data"}:
                assert (value or "").startswith(("#", "data:image/svg+xml;base64,"))
    assert not re.findall(r"url\((?!#)|@import", " ".join(page.text))
    policy = [a["content"] for a in page.all("meta") if a.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def report(campaign: Campaign, tmp_path: Path, **settings: int) -> Page:
    out = write_report(campaign, tmp_path / "report.html", **settings)
    page = Page(out.read_text(encoding="utf-8"))
    assert_self_contained(page)
    return page


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    c = begin(tmp_path / "hill.db", objective=ToyObjective())
    c.run(14)
    return c


def test_it_shows_the_best_the_start_and_every_trial(campaign: Campaign, tmp_path: Path) -> None:
    page = report(campaign, tmp_path, top=5)
    best = campaign.best(1).iloc[0]
    start = max(t.values["hill"] for t in campaign.trials if t.origin == "start")
    assert f"hill: {number(best['hill'])}" in page.words
    assert f"Best starting molecule {number(start)} of 8" in page.words
    assert "Objective calls 14" in page.words
    assert "maximise, larger is better" in page.words
    for trial in campaign.trials:
        assert trial.smiles in page.text
    drawings = page.all("img")
    assert [d["alt"] for d in drawings] == [
        f"Structure of {smiles}" for smiles in campaign.best(5)["smiles"]
    ]
    assert all(f"{name} " in page.words for name in ("logP", "SAS", "QED"))
    assert "space.fingerprint" in page.text
    assert len(page.all("svg")) == 1
    assert "starting molecules" in page.text


def test_the_direction_decides_what_is_best(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db", direction="minimise") as c:
        c.run(10)
        page = report(c, tmp_path)
        worst = min(t.values["hill"] for t in c.trials)
    assert f"hill: {number(worst)}" in page.words
    assert "minimise, smaller is better" in page.words
    assert "value (smaller is better)" in page.words


def test_failures_are_told_with_their_reason_and_are_not_zeros(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as c:
        c.tell(1, None, "did not dissolve")
        c.tell(2, -3.5)
        page = report(c, tmp_path)
    assert "did not dissolve" in page.text
    assert "Could not be scored 1" in page.words
    assert "6 more waiting for a value" in page.words
    assert "The best 1 molecules" in page.words


def test_a_campaign_without_values_has_a_report_too(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as c:
        page = report(c, tmp_path)
    assert "No value has been told yet." in page.text
    assert page.all("svg") == page.all("img") == []


def test_text_of_users_is_shown_and_never_run(tmp_path: Path) -> None:
    name = rf"by-hand:{EVIL} $\frac{{"
    with begin(tmp_path / "c.db", objective=name) as c:
        c.tell(1, 1.0)
        c.tell(2, None, EVIL)
        page = report(c, tmp_path)
    assert EVIL in page.text
    assert name.removeprefix("by-hand:") in page.words


def test_a_foreign_record_cannot_smuggle_anything_in(tmp_path: Path) -> None:
    """A record is a file that others may have written: nothing in it need be a molecule."""
    facts = {
        "format": 1,
        "objectives": [{"name": "f", "direction": "maximise", "spec": None}],
        "space": {"name": EVIL, "fingerprint": "", "dim": 1},
        "strategy": {"name": EVIL, "settings": None},
        "seed": 0, "batch": 1, "start": EVIL, "dataset": None, "skipped": 0, "duplicates": 0,
    }  # fmt: skip
    trials = [
        NewTrial(smiles=smiles, z=[0.0], origin=EVIL, values={"f": 1.0}, message=EVIL)
        for smiles in (EVIL, '"><script>1</script>', "C |$<script>alert(1)</script>$|")
    ]
    Store.create(tmp_path / "evil.db", facts, trials).close()
    with Campaign.open(tmp_path / "evil.db") as c:
        page = report(c, tmp_path)
    assert page.text.count("cannot be drawn") == 3


def test_it_is_written_from_a_path_and_not_over_another_file(
    campaign: Campaign, tmp_path: Path
) -> None:
    campaign.close()
    out = tmp_path / "r.html"
    out.write_text("mine")
    with pytest.raises(CampaignError, match=r"r\.html exists; .*--overwrite"):
        write_report(campaign.path, out)
    assert out.read_text() == "mine"
    assert write_report(campaign.path, out, overwrite=True) == out
    assert "hill" in out.read_text()
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".draft") == []


def test_what_cannot_be_written_is_said(campaign: Campaign, tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="there is no folder"):
        write_report(campaign, tmp_path / "nowhere" / "r.html")
    with pytest.raises(CampaignError, match="exists"):
        write_report(campaign, tmp_path, overwrite=True)
    with pytest.raises(ConfigError, match="top must not be negative"):
        write_report(campaign, tmp_path / "r.html", top=-1)
    assert not (tmp_path / "r.html").exists()


def test_best_so_far_ignores_failed_calls() -> None:
    values = [math.nan, 2.0, math.nan, 1.0, 3.0]
    up, down = (best_so_far(values, minimise=minimise) for minimise in (False, True))
    assert math.isnan(up[0])
    assert up[1:] == [2.0, 2.0, 2.0, 3.0]
    assert down[1:] == [2.0, 2.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.5000"), (-1.25, "\N{MINUS SIGN}1.250"), (1234.0, "1234"), (math.nan, "\N{EN DASH}")],
)
def test_numbers_have_four_digits(value: float, shown: str) -> None:
    assert number(value) == shown
