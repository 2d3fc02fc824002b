"""Commands that explore a space, called as a user calls them, on a toy with known answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from molvae.cli.old_spellings import current_words
from tests.cli.conftest import Molvae, Result
from tests.toys import DenseToySpace, begin

GRID = DenseToySpace()
FIRST, LAST = GRID.at(2, 4, "O"), GRID.at(5, 4, "O")


@pytest.fixture
def grid(molvae: Molvae, monkeypatch: pytest.MonkeyPatch) -> Molvae:
    """Calls the command line in an empty folder, with a toy in place of every run."""
    monkeypatch.setattr("molvae.latent.loading.load", lambda name, **_: DenseToySpace(str(name)))
    return molvae


def column(done: Result, name: str) -> list[str]:
    assert done.status == 0, done.err
    return [row[name] for row in done.table]


def write(name: str, *lines: str) -> None:
    Path(name).write_text("\n".join(lines) + "\n")


def test_interpolate_prints_the_molecules_of_the_path(grid: Molvae) -> None:
    done = grid(
        "explore", "interpolate", "toy", FIRST, LAST, GRID.at(5, 5, "O"), "--properties", "MW"
    )
    assert column(done, "smiles") == [GRID.at(a, 4, "O") for a in (2, 3, 4, 5)] + [
        GRID.at(5, 5, "O")
    ]
    assert done.out.splitlines()[0] == (
        "t_start\tt_end\tsmiles\tsimilarity_start\tsimilarity_end\tMW\tpercentile"
    )
    assert (done.table[0]["t_start"], done.table[-1]["t_end"]) == ("0", "2")
    assert "5 distinct molecules on a path of length 4.0" in done.err


def test_explore_commands_read_flags_of_earlier_versions(grid: Molvae) -> None:
    words = [FIRST, LAST, "--names", "MW", "--kind", "straight"]
    new = grid("explore", "interpolate", "toy", FIRST, LAST, "--properties", "MW")
    assert grid("interpolate", "toy", *words).out == new.out != ""
    assert grid("explore", "interpolate", "toy", *words[:-2], "--kind=straight").out == new.out
    up = ["explore", "ascend", "toy", "--climb", "-distance"]
    assert (
        grid(*up, "--keep=40", stdin=FIRST).out
        == grid(*up, "--min-percentile", 40, stdin=FIRST).out
    )
    assert "--names" not in grid("explore", "map", "--help").out


def test_explore_figures_are_written_and_not_overwritten(grid: Molvae, tmp_path: Path) -> None:
    words = ["explore", "interpolate", "toy", FIRST, LAST, "--steps", 6, "--figure", "path.svg"]
    assert grid(*words).status == 0
    assert "<svg" in (tmp_path / "path.svg").read_text()
    grid(*words).fails(1, "path.svg", "exists", "--overwrite")
    assert grid(*words, "--overwrite").status == 0
    grid("explore", "neighbors", "toy", FIRST, "--figure", "n.gif").fails(1, "n.gif", ".svg")


def test_neighbors_command_prints_molecules_by_radius(grid: Molvae, tmp_path: Path) -> None:
    done = grid(
        "explore", "neighbors", "toy", FIRST, "--radius", 0.4, 1, "-n", 30, "--figure", "n.png"
    )
    assert set(column(done, "radius")) == {"1"}
    assert GRID.at(3, 4, "O") in column(done, "smiles")
    assert "r 0.4: 30 decoded, 30 the same, 0 no molecule, 0 others" in done.err
    assert (tmp_path / "n.png").read_bytes().startswith(b"\x89PNG")
    nobody = grid("explore", "neighbors", "toy", FIRST, "--radius", 0.1, "-n", 3)
    assert (nobody.status, nobody.table) == (0, [])


def test_traverse_along_a_head_holds_another(grid: Molvae) -> None:
    done = grid("explore", "traverse", "toy", FIRST, "--along", "a", "--hold", "b", "--length", 1)
    assert column(done, "smiles") == [GRID.at(a, 4, "O") for a in (1, 2, 3)]
    assert "a: 1 for each unit of length in z" in done.err
    assert "with b held 100% of the direction is left" in done.err
    down = grid("explore", "traverse", "toy", FIRST, "--along", "-a", "--length", 1)
    assert column(down, "smiles") == [GRID.at(a, 4, "O") for a in (3, 2, 1)]
    grid("explore", "traverse", "toy", FIRST, "--along", "c").fails(1, "'c'", "distance")


def test_traverse_along_a_column_of_a_file(grid: Molvae) -> None:
    z = GRID.encode(GRID.molecules)
    rows = [f"{m},{float(v[1])},{float(v[0])}" for m, v in zip(GRID.molecules, z, strict=True)]
    write("own.csv", "smiles,activity,other", *rows, f"{GRID.molecules[0]},,")
    words = ["--along", "activity", "--hold", "other", "--data", "own.csv", "--length", 1]
    done = grid("explore", "traverse", "toy", FIRST, *words)
    assert column(done, "smiles") == [GRID.at(2, b, "O") for b in (3, 4, 5)]
    assert "activity: R2 1.00 (cross-validated), 1 for each unit" in done.err
    grid("explore", "traverse", "toy", FIRST, "--along", "nothing", "--data", "own.csv").fails(
        1, "nothing", "activity"
    )
    write("bad.csv", "smiles,activity", *(f"{m},high" for m in GRID.molecules[:20]))
    grid("explore", "traverse", "toy", FIRST, "--along", "activity", "--data", "bad.csv").fails(
        1, "bad.csv, line", "'high'"
    )


def test_traverse_without_property_heads_fails_with_advice(
    grid: Molvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DenseToySpace, "properties", ())
    grid("explore", "traverse", "toy", FIRST, "--along", "logP").fails(1, "--data zinc250k")
    write("all.smi", *GRID.molecules)
    words = ["--along", "logp", "--data", "all.smi", "--length", 1]
    done = grid("explore", "traverse", "toy", FIRST, *words)
    values = [float(value) for value in column(done, "logP")]
    assert values[-1] > values[0]
    assert done.err.startswith("logP: R2 0.")


def test_analogy_prints_molecules_with_their_transformation(grid: Molvae) -> None:
    c = GRID.at(6, 5, "O")
    done = grid("explore", "analogy", "toy", GRID.at(4, 4, "O"), GRID.at(4, 4, "N"), c, "-n", 9)
    assert done.status == 0
    assert done.table[0]["smiles"] == GRID.at(6, 5, "N")
    assert float(done.table[0]["same_transformation"]) > 0.9
    assert "r 0: 1 decoded, 0 given molecules" in done.err


def test_ascend_prints_paths_and_a_summary(grid: Molvae, tmp_path: Path) -> None:
    top = GRID.at(7, 2, "S")
    text = f"{GRID.at(2, 8, 'O')}\n{FIRST}\n"
    done = grid(
        "explore", "ascend", "toy", "--target", "-distance", "--figure", "up.svg", stdin=text
    )
    rows = done.table
    assert next(row["smiles"] for row in rows if row["path"] == "2") == FIRST
    assert [[r["smiles"] for r in rows if r["path"] == way][-1] for way in "12"] == [top, top]
    assert "-distance: mean improvement predicted +" in done.err
    assert "2 converged, 0 took all steps" in done.err
    assert (tmp_path / "up.svg").exists()


def test_ascend_skip_invalid_skips_unreadable_molecules(grid: Molvae) -> None:
    words = ["explore", "ascend", "toy", "-", "--target", "a", "--steps", 2]
    text = f"{FIRST}\nc1ccccc1\nC(\n"
    assert grid(*words, stdin=text).status == 1
    done = grid(*words, "--skip-invalid", stdin=text)
    assert set(column(done, "path")) == {"1"}
    assert "1 of 3 skipped: no molecules" in done.err
    assert "1 of 2 skipped: toy cannot encode them" in done.err


def test_ascend_and_map_accept_a_campaign_file(grid: Molvae, tmp_path: Path) -> None:
    with begin(tmp_path / "c.db", start=GRID.molecules[::20]) as campaign:  # type: ignore[attr-defined]
        campaign.run(20)
    up = grid("explore", "ascend", "toy", "--target", "c.db", stdin=FIRST)
    assert up.status == 0, up.err
    assert "hill: mean improvement predicted +" in up.err
    write("all.smi", *GRID.molecules)
    done = grid("explore", "map", "toy", "all.smi", "--overlay", "c.db", "-n", 50)
    kinds = column(done, "kind")
    assert [kinds.count(kind) for kind in ("data", "start", "new")] == [50, 17, 3]
    grid("explore", "ascend", "toy", "--target", "all.smi", stdin=FIRST).fails(
        1, "all.smi", "campaign file"
    )
    with begin(tmp_path / "d.db") as campaign:  # type: ignore[attr-defined]
        assert len(campaign) == 8
    grid("explore", "map", "other", "all.smi", "--overlay", "d.db").fails(1, "d.db")


def test_map_colors_by_a_column_and_draws_a_figure(grid: Molvae, tmp_path: Path) -> None:
    write("own.csv", "smiles,activity", *(f"{m},{i}" for i, m in enumerate(GRID.molecules)))
    write("place.smi", FIRST, LAST)
    words = ["explore", "map", "toy", "own.csv", "--color", "activity", "--overlay", "place.smi"]
    done = grid(*words, "--figure", "map.svg")
    rows = {row["smiles"]: row for row in done.table if row["kind"] == "data"}
    assert len(rows) == 324
    assert rows[GRID.molecules[17]]["activity"] == "17"
    placed = [row for row in done.table if row["kind"] == "overlay"]
    assert [(row["smiles"], row["label"], row["activity"]) for row in placed] == [
        (FIRST, "1", ""),
        (LAST, "2", ""),
    ]
    assert "activity" in (tmp_path / "map.svg").read_text()
    again = grid(*words)
    assert again.out == done.out
    fewer = grid(*words, "-n", 20, "--seed", 3)
    assert column(fewer, "kind").count("data") == 20


def test_map_with_invalid_molecules_fails_or_skips(grid: Molvae) -> None:
    write("some.smi", *GRID.molecules[:30], "C(")
    grid("explore", "map", "toy", "some.smi").fails(1, "some.smi, line 31", "--skip-invalid")
    done = grid("explore", "map", "toy", "some.smi", "--skip-invalid")
    assert "1 of 31 skipped" in done.err
    assert len(done.table) == 30


def test_map_of_a_prepared_folder_uses_its_training_molecules(grid: Molvae, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write("data/train.smi", *GRID.molecules[:12])
    done = grid("explore", "map", "toy", "data", "-n", 10)
    assert set(column(done, "smiles")) <= set(GRID.molecules[:12])
    assert len(done.table) == 10
    grid("explore", "map", "toy", "data", "--color", "activity").fails(1, "data", "'activity'")
    grid("explore", "map", "toy", "data", "-n", 0).fails(1, "a whole number from 1")


def test_commands_accept_their_old_flags() -> None:
    assert current_words(["prepare", "m.csv", "d", "--keep", "pIC50"])[3:] == [
        "--keep-columns",
        "pIC50",
    ]
    assert current_words(["optimize", "c.db", "--keep", "c1ccccc1[*:1]"])[2] == "--keep"
    assert current_words(["evaluate", "qm9", "--draws=9"])[2] == "--posteriors=9"
    assert current_words(["properties", "--names", "MW"])[1] == "--properties"
