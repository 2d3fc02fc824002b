"""`compare_campaigns` and `molvae copy`: several campaigns side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from molvae.analysis.comparison import compare_campaigns, write_comparison
from molvae.campaign.campaign import Campaign
from molvae.campaign.storage import Storage
from molvae.cli import main
from molvae.errors import CampaignError, ConfigError
from tests.toys import ToySpace, begin

MOLECULES = ToySpace().molecules


def campaign(path: Path, seed: int, objective: str = "manual:y") -> Path:
    start = [*MOLECULES[:4], *MOLECULES[10 * seed : 10 * seed + 4]]
    with Campaign.create(path, ToySpace(), objective=objective, start=start, seed=seed) as c:
        c.tell_all({t.id: float(len(t.smiles)) + seed for t in c.trials[:-1]})
        c.tell(len(c), None, "broke")
    return path


def test_compare_campaigns_with_a_repeated_file_raises(tmp_path: Path) -> None:
    path = campaign(tmp_path / "a.db", 1)
    with pytest.raises(ConfigError, match=r"a\.db is there twice; give each campaign file once"):
        compare_campaigns([path, path])


def test_compare_campaigns_with_a_copy_shares_every_evaluated_molecule(tmp_path: Path) -> None:
    path = campaign(tmp_path / "a.db", 1)
    assert main(["copy", str(path), str(tmp_path / "b.db")]) == 0
    table = compare_campaigns([path, tmp_path / "b.db"]).table
    assert table["shared"].tolist() == table["evaluations"].tolist() == [8, 8]


def test_compare_campaigns_gives_table_curves_and_shared_molecules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [campaign(tmp_path / f"{name}.db", seed) for name, seed in (("a", 1), ("b", 2))]
    found = compare_campaigns(paths)
    table = found.table.set_index("campaign")
    assert table["evaluations"].tolist() == [8, 8]
    assert table["failed"].tolist() == [1, 1]
    assert table["shared"].tolist() == [4, 4]
    assert {*found.shared["smiles"]} == {*MOLECULES[:4]}
    assert (found.shared["b.db"] - found.shared["a.db"]).tolist() == [1.0] * 4
    assert [len(curve) for curve in found.curves] == [8, 8]
    assert [curve[-1] for curve in found.curves] == table["best"].tolist()
    page = write_comparison(found, tmp_path / "ab.html").read_text()
    assert page.count("<img") == 4
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert main(["compare", *map(str, paths), "--out", str(tmp_path / "ab.html")]) == 1
    capsys.readouterr()
    assert (
        main(["compare", *map(str, paths), "--out", str(tmp_path / "ab.html"), "--overwrite"]) == 0
    )
    assert capsys.readouterr().out.startswith("campaign\tevaluations\tbest\t")


def test_compare_campaigns_of_different_objectives_raises(tmp_path: Path) -> None:
    one = campaign(tmp_path / "a.db", 1)
    with pytest.raises(CampaignError, match="same objectives"):
        compare_campaigns([one, campaign(tmp_path / "b.db", 1, "manual:z")])
    with pytest.raises(ConfigError):
        compare_campaigns([one])
    with pytest.raises(ConfigError):
        compare_campaigns([one, one])


def test_compare_campaigns_of_pareto_searches_share_a_reference_point(tmp_path: Path) -> None:
    paths = []
    for seed in (1, 2):
        paths.append(tmp_path / f"{seed}.db")
        goals = ["maximize manual:y", "minimize manual:z"]
        with Campaign.create(paths[-1], ToySpace(), objective=goals, start=MOLECULES[:6]) as c:
            c.tell_all({t.id: {"y": t.id * seed, "z": t.id % 3} for t in c.trials})
    low, high = compare_campaigns(paths).curves
    assert high[-1] > low[-1] > 0


def test_copy_during_a_transaction_is_complete(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as c:
        c.tell(1, 0.5)
        with c._storage._transaction("tell"):
            assert main(["copy", str(c.path), str(tmp_path / "copy.db")]) == 0
        with Storage.open(tmp_path / "copy.db") as copied:
            assert copied.trials() == c.trials
            assert copied.metadata() == c.metadata
        assert main(["copy", str(c.path), str(tmp_path / "copy.db")]) == 1
        # Nothing writes: the file alone has everything.
        (tmp_path / "plain.db").write_bytes(c.path.read_bytes())
        with Storage.open(tmp_path / "plain.db") as copied:
            assert copied.trials() == c.trials


def test_compare_campaigns_best_initial_leaves_out_molecules_added_later(tmp_path: Path) -> None:
    paths = [campaign(tmp_path / f"{name}.db", seed) for name, seed in (("a", 1), ("b", 2))]
    before = compare_campaigns(paths).table["best_initial"].tolist()
    with Campaign.open(paths[0], ToySpace()) as one:
        one.add([MOLECULES[200]], [1e3])
    assert compare_campaigns(paths).table["best_initial"].tolist() == before
