"""Tables for people fit the terminal; in a pipe and with --tsv they are TSV."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from molvae.campaign.campaign import Campaign
from molvae.cli.tables import table_lines
from tests.cli.conftest import Molvae
from tests.toys import ToySpace

LONG = "Fc1ccc(Nc2ncnc3cc(F)c(OCCCN4CCOCC4)cc23)cc1Cl"
ASKED = ["id", "smiles", "percentile", "pIC50_predicted", "pIC50_low", "pIC50_high", "similarity",
         "kappa", "origin", "findings"]  # fmt: skip


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_table_lines_fit_the_width_and_keep_all_cells(width: int) -> None:
    rows = [[59, LONG, 0.4, 7.54169, 5.5958, 9.44621, 0.79104, 0.338611, "rank graph", "a ring"],
            [60, "CCO", 17.6, 7.0, -5.5, 1234567.0, 1.0, 0.05, "rank branch", ""]]  # fmt: skip
    lines = table_lines(ASKED, rows, width)
    assert max(map(len, lines)) <= width
    text = "".join("".join(lines).split())
    for cell in ("7.542", "0.791", "5.596", "1.235e+06", "branch"):
        assert cell in text
    together = "".join(line.strip() for line in lines) if width < 60 else "\n".join(lines)
    assert LONG in together or LONG[:20] in text


def test_table_lines_leave_out_empty_columns_and_wrap_long_smiles() -> None:
    lines = table_lines(["id", "smiles", "note"], [[1, "C" * 100, None]], 80)
    assert lines[0].split() == ["id", "smiles"]
    assert sum(line.count("C") for line in lines) == 100
    assert table_lines(["id"], [], 80) == ["id"]


def test_list_command_prints_one_kind_and_tsv_on_demand(
    molvae: Molvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {row["kind"] for row in molvae("list").table}
    assert kinds == {"objective", "strategy", "model", "dataset"}
    assert {row["kind"] for row in molvae("list", "strategies").table} == {"strategy"}
    assert molvae("list", "nonsense").status == 2
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda stream: True)
    assert "\t" in molvae("list", "models", "--tsv").out
    plain = molvae("list", "models").out
    assert "\t" not in plain
    assert max(map(len, plain.splitlines())) <= 80


def test_tell_of_a_half_filled_row_fails_and_leaves_it_pending(toy: Molvae) -> None:
    Path("start.smi").write_text("\n".join(ToySpace().molecules[:3]))
    words = ["--objective", "manual:a", "--objective", "manual:b", "--start", "start.smi"]
    assert toy("ask", "c.db", "--create", "--space", "toy", *words).status == 0
    Path("half.csv").write_text("id,a,b\n1,5,\n2,5,6\n")
    toy("tell", "c.db", "--file", "half.csv").fails(1, "line 2", "b of trial 1 is missing")
    Path("half.csv").write_text("id,a,b\n1,5,failed\n2,5,6\n3,,\n")
    assert toy("tell", "c.db", "--file", "half.csv").status == 0
    with Campaign.open("c.db") as campaign:
        assert [trial.status for trial in campaign.trials] == ["failed", "complete", "pending"]
