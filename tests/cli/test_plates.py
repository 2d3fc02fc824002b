"""Plates: proposals with reasons, written, filled in and read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import split

import pandas as pd
import pytest

from molvae.analysis.plate import plate_table, write_plate
from molvae.analysis.summary import number
from molvae.campaign.campaign import Campaign
from molvae.campaign.trial import Trial
from molvae.chem.readers import read_table
from tests.cli.conftest import Molvae
from tests.toys import ToySpace

CREATE = split(
    "ask lab.db --create --objective manual:pIC50 --direction maximize --space toy "
    "--strategy rank:n_offspring=20,screen_fraction=0 --start measured.csv"
)


def fill_plate(file: Path, values: dict[int, float]) -> None:
    """Write values into the empty column of a plate, as a person would."""
    if file.suffix == ".xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.load_workbook(file)
        sheet = book.active
        names = [cell.value for cell in sheet[1]]
        for row in sheet.iter_rows(min_row=2):
            value = values[row[names.index("id")].value]
            row[names.index("pIC50")].value = value
        book.save(file)
    elif file.suffix == ".sdf":
        parts = file.read_text().split("$$$$\n")[:-1]
        done = [
            part.replace(">  <pIC50>\n\n", f">  <pIC50>\n{value}\n\n")
            for part, value in zip(parts, values.values(), strict=True)
        ]
        file.write_text("$$$$\n".join([*done, ""]))
    elif file.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        table = pd.read_parquet(file)
        table["pIC50"] = table["id"].map(values)
        table.to_parquet(file, index=False)
    else:
        separator = "\t" if file.suffix == ".tsv" else ","
        table = pd.read_csv(file, sep=separator)
        table["pIC50"] = table["id"].map(values)
        table.to_csv(file, sep=separator, index=False)


@pytest.mark.parametrize("ending", ["csv", "tsv", "sdf", "xlsx", "parquet"])
def test_tell_of_a_filled_plate_gives_its_values(lab: Molvae, tmp_path: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    if ending == "xlsx":
        pytest.importorskip("openpyxl")
    name, values = f"plate.{ending}", {5: 7.25, 6: 6.5, 7: -0.125}
    done = lab(*CREATE, "-n", 3, "--out", name)
    assert (done.status, done.out) == (0, f"{name}\n"), done.err
    fill_plate(tmp_path / name, values)
    lab("ask", "lab.db", "--pending", "--out", name, "--overwrite").fails(1, name)
    assert lab("tell", "lab.db", "--file", name).status == 0
    with Campaign.open("lab.db") as campaign:
        new = campaign.trials[4:]
    assert {trial.id: trial.values["pIC50"] for trial in new} == values
    assert all(not trial.notes for trial in new)


def test_plate_html_shows_every_molecule_with_its_reason(lab: Molvae, tmp_path: Path) -> None:
    done = lab(*CREATE, "-n", 3, "--out", "plate.html")
    assert done.status == 0, done.err
    page = (tmp_path / "plate.html").read_text()
    assert page.count('<img src="data:image/svg+xml;base64,') == 3
    assert "http" not in page.replace("http-equiv", "")
    with Campaign.open("lab.db") as campaign:
        for trial in campaign.trials[4:]:
            assert trial.smiles in page
            assert trial.reason is not None
            assert trial.reason.nearest in page
    assert lab("ask", "lab.db", "--pending", "--out", "plate.html", "--overwrite").status == 0
    (tmp_path / "plate.html").write_text(page.replace("to measure", "to buy"))
    lab("ask", "lab.db", "--pending", "--out", "plate.html", "--overwrite").fails(1, "plate.html")


@pytest.mark.parametrize("ending", ["csv", "sdf", "xlsx", "html"])
def test_plates_have_reasons_of_proposals(lab: Molvae, ending: str) -> None:
    if ending == "xlsx":
        pytest.importorskip("openpyxl")
    name = f"plate.{ending}"
    assert lab(*CREATE, "-n", 3, "--unit", "nM", "--out", name).status == 0
    with Campaign.open("lab.db") as campaign:
        trials = campaign.trials[4:]
    if ending == "html":
        page = Path(name).read_text()
        assert page.count("</b> nM</dd>") == page.count("pIC50 (nM)") == 3
        assert_reasons_are_in(page, trials)
        return
    table = read_table(name, ("id",))
    for trial, (_, cells) in zip(trials, table.rows, strict=True):
        row = dict(zip(table.header, cells, strict=True))
        predicted, reason = trial.predictions["pIC50"], trial.reason
        assert reason is not None
        numbers = [predicted.q50, predicted.q05, predicted.q95, reason.kappa, reason.similarity]
        names = ("pIC50_predicted", "pIC50_low", "pIC50_high", "kappa", "similarity")
        assert [float(row[one]) for one in names] == pytest.approx(numbers)
        assert row["nearest"] == reason.nearest
        assert row["parents"] == "; ".join(reason.parents)
        assert row["origin"] == trial.origin
        assert {"percentile", "findings"} <= {*row}


def assert_reasons_are_in(page: str, trials: Sequence[Trial]) -> None:
    """Prediction, interval, weight, origin, nearest molecule and parents of each."""
    for trial in trials:
        predicted, reason = trial.predictions["pIC50"], trial.reason
        assert reason is not None
        assert reason.kappa is not None
        for text in (
            number(predicted.q50),
            f"{number(predicted.q05)} to {number(predicted.q95)}",
            f"<dt>kappa</dt><dd>{reason.kappa:.2g}</dd>",
            trial.origin,
            reason.nearest or "",
            *reason.parents,
            f"similarity {reason.similarity:.2f}",
        ):
            assert text in page


def test_report_has_reasons_of_proposals(lab: Molvae) -> None:
    """On the cards of those with values, and in the table of all."""
    assert lab(*CREATE, "-n", 3, "--unit", "nM").status == 0
    assert lab("tell", "lab.db", "5", "7.5", "6", "6.5").status == 0
    assert lab("report", "lab.db").status == 0
    page = Path("lab.html").read_text()
    cards, _, table = page.partition('id="trials"')
    with Campaign.open("lab.db") as campaign:
        trials = campaign.trials[4:]
    assert_reasons_are_in(cards, trials[:2])
    assert cards.count("proposed by") == 2
    for trial in trials:
        predicted, reason = trial.predictions["pIC50"], trial.reason
        assert reason is not None
        ends = f"({number(predicted.q05)} to {number(predicted.q95)})"
        assert f"{number(predicted.q50)} {ends}" in table
        assert "; ".join(reason.parents) in table
        assert str(reason.nearest) in table
    assert "predicted (nM)" in table


def test_trials_have_reasons_if_proposed_and_none_if_initial(lab: Molvae) -> None:
    asked = lab(*CREATE, "-n", 3).table
    with Campaign.open("lab.db") as campaign:
        trials, table = campaign.trials, campaign.table()
        plate = plate_table(campaign, trials)
    start = {trial.smiles for trial in trials[:4]}
    assert [trial.reason for trial in trials[:4]] == [None] * 4
    for trial, row in zip(trials[4:], asked, strict=True):
        reason, predicted = trial.reason, trial.predictions["pIC50"]
        assert reason is not None
        assert reason.nearest in start
        assert reason.similarity is not None
        assert 0 <= reason.similarity <= 1
        assert reason.kappa is not None
        assert reason.kappa > 0
        assert float(row["similarity"]) == pytest.approx(reason.similarity)
        assert float(row["pIC50_predicted"]) == pytest.approx(predicted.q50)
        assert (row["nearest"], row["parents"]) == (reason.nearest, "; ".join(reason.parents))
        assert float(row["pIC50_low"]) < predicted.q50 < float(row["pIC50_high"])
    made = [trial.reason.parents for trial in trials if trial.reason]
    assert any(made)
    assert all(len(parents) <= 2 for parents in made)
    assert table["nearest"].isna().tolist() == [True] * 4 + [False] * 3
    assert {"logP", "MW", "SAS", "QED"} <= {*plate.columns}
    assert plate["pIC50"].isna().tolist() == [False] * 4 + [True] * 3


def test_ask_fill_adds_new_molecules_to_pending_ones(lab: Molvae) -> None:
    assert lab(*CREATE, "-n", 3).status == 0
    assert [row["id"] for row in lab("ask", "lab.db", "--fill", "-n", 5).table] == list("56789")
    assert [row["id"] for row in lab("ask", "lab.db", "--fill", "-n", 4).table] == list("56789")
    lab("ask", "lab.db", "--fill", "--pending").fails(1, "--pending", "--fill")


def test_tell_correct_and_add_change_values(lab: Molvae, tmp_path: Path) -> None:
    assert lab(*CREATE, "-n", 3).status == 0
    assert lab("tell", "lab.db", 5, "7.25").status == 0
    lab("tell", "lab.db", 5, "6.25").fails(1, "--correct", "--add")
    lab("tell", "lab.db", "--correct", 5, "6.25").fails(1, "reason")
    assert lab("tell", "lab.db", "--correct", 5, "6.25", "--message", "typo").status == 0
    assert lab("tell", "lab.db", "--add", 5, "6.75").status == 0
    lab("tell", "lab.db", "--add", "--correct", 5, "6").fails(1, "--add", "--correct")
    lab("tell", "lab.db", "--add", 6, "6").fails(1, "trial 6 is pending")
    assert lab("tell", "lab.db", "--add", "--file", "-", stdin="id,value\n5,NaN;7.25\n").status == 0
    with Campaign.open("lab.db") as campaign:
        assert campaign.trials[4].replicates == {"pIC50": [6.25, 6.75, 7.25]}
        assert campaign.trials[4].notes == {"failed measurements of pIC50": "1"}
    sheet = "id,value,message\n5,1.5,impure\n1,2.5,impure\n"
    assert lab("tell", "lab.db", "--correct", "--file", "-", stdin=sheet).status == 0
    with Campaign.open("lab.db") as campaign:
        assert campaign.trials[4].values == {"pIC50": 1.5}
        assert campaign.changes()["after"].tolist() == [
            "2.5 (pIC50)", "6.25 (pIC50)", "6.25; 6.75 (pIC50)",
            "6.25; 6.75; 7.25 (pIC50)", "1.5 (pIC50)",
        ]  # fmt: skip


def test_tell_of_several_trials_is_atomic(lab: Molvae) -> None:
    assert lab(*CREATE, "-n", 4).status == 0

    def known() -> list[tuple[str, dict[str, float], str]]:
        with Campaign.open("lab.db") as campaign:
            return [(one.status, dict(one.values), one.message) for one in campaign.trials[4:]]

    before = known()
    for words, *parts in (
        (("5", "7.25", "6", "high"), "trial 6", "'high'"),
        (("5", "7.25", "6"), "trial 6", "no value"),
        (("5", "7.25", "six", "6"), "'six'", "whole number"),
        (("5", "7.25", "5", "6"), "trial 5", "twice"),
        (("5", "7.25", "60", "6"), "no trial 60"),
        (("5", "7.25", "1", "6"), "trial 1", "--correct"),
        (("5", "7.25", "6", "1e300"), "trial 6", "magnitude"),
        (("5", "7.25", "6", "7", "--error", "0.1"), "--error"),
        (("5", "high", "6", ""), "'high'", "trial 6", "empty"),
        (("5", "1", "--file", "x.csv"), "--file"),
        (("--add", "1", "6", "5", "6"), "trial 5 is pending"),
        (("--correct", "1", "6", "5", "6", "--message", "m"), "trial 5 is pending"),
        (("--correct", "1", "6", "2", "x", "--message", "m"), "trial 2", "'x'"),
    ):
        lab("tell", "lab.db", *words).fails(1, *parts)
        assert known() == before, words
    assert lab("tell", "lab.db", "5", "-7.25", "6", "failed", "7", "-1;-2").status == 0
    assert [one[:2] for one in known()] == [
        ("complete", {"pIC50": -7.25}),
        ("failed", {}),
        ("complete", {"pIC50": -1.5}),
        ("pending", {}),
    ]
    again = lab("tell", "lab.db", "5", "-7.25", "8", "2")
    assert "values of 1 trial;" in again.err
    words = ("--correct", "5", "-7", "6", "3", "--message", "read again")
    assert lab("tell", "lab.db", *words).status == 0
    assert lab("tell", "lab.db", "--add", "5", "-8", "6", "4").status == 0
    values = [values["pIC50"] for _, values, _ in known()]
    assert values == [-7.5, 3.5, -1.5, 2.0]


@pytest.mark.parametrize("command", ["ask", "optimize"])
def test_create_with_an_outlying_initial_value_needs_yes(
    lab: Molvae, tmp_path: Path, command: str
) -> None:
    rows = [f"{one},{i / 50}" for i, one in enumerate(ToySpace().molecules[:100:10])]
    text = "\n".join(["smiles,value", *rows, f"{ToySpace().molecules[105]},512"])
    (tmp_path / "measured.csv").write_text(text)
    settings = [one for one in CREATE[1:] if command == "ask" or one != "--create"]
    words = [command, *settings, *(["--budget", "11"] if command == "optimize" else [])]
    lab(*words).fails(1, "measured.csv, line 12", "512", "--yes", "nothing was written")
    assert not (tmp_path / "lab.db").exists()
    done = lab(*words, "--yes")
    assert "line 12" in done.err
    with Campaign.open("lab.db") as campaign:
        assert campaign.trials[10].values == {"pIC50": 512.0}


def test_tell_and_add_with_an_outlying_value_need_yes(lab: Molvae, tmp_path: Path) -> None:
    assert lab(*CREATE, "-n", 3).status == 0
    start = ToySpace().molecules
    more = "smiles,value,batch\n" + "".join(
        f"{start[i]},{i / 50},B7\n" for i in range(150, 200, 10)
    )
    done = lab("add", "lab.db", "-", stdin=more)
    assert done.status == 0, done.err
    assert [row["status"] for row in done.table] == ["complete"] * 5
    assert "5 molecules were given, 5 are trials" in done.err
    assert "5  measured value" in done.err
    lab("tell", "lab.db", 5, "512").fails(1, "trial 5", "512", "--yes", "nothing was written")
    lab("tell", "lab.db", "--file", "-", stdin="id,value\n5,512\n6,3\n").fails(
        1, "trial 5", "--yes"
    )
    (tmp_path / "more.csv").write_text(f"smiles,value\n{start[210]},512\n")
    lab("add", "lab.db", "more.csv").fails(1, start[210], "--yes")
    with Campaign.open("lab.db") as campaign:
        assert len(campaign) == 12
        assert campaign.trials[11].notes == {"batch": "B7"}
    assert lab("add", "lab.db", "more.csv", "--yes").status == 0
    again = lab("add", "lab.db", "more.csv", "--yes", "-v")
    assert "1  of these: in the campaign already" in again.err
    assert (
        f"line 2  measured value  pIC50 512.0  {start[210]}  same molecule as trial 13" in again.err
    )
    assert lab("tell", "lab.db", 5, "512", "--yes").status == 0


@pytest.mark.parametrize("name", ["logP", "MW", "qed"])
def test_plate_of_a_value_named_as_a_computed_property_leaves_its_column_empty(
    lab: Molvae, name: str
) -> None:
    lab(*[word.replace("pIC50", name) for word in CREATE], "-n", 3, "--out", "plate.csv")
    columns = pd.read_csv("plate.csv")
    assert [c for c in columns if c.lower() == name.lower()] == [name]
    assert columns[name].isna().all()
    assert "values of 0 trials" in lab("tell", "lab.db", "--file", "plate.csv").err


def test_plate_with_notes_named_as_its_columns_keeps_them_apart(
    lab: Molvae, tmp_path: Path
) -> None:
    lab(*CREATE, "-n", 1)
    (tmp_path / "told.csv").write_text("id,value,logp,structure\n5,1.5,2,ring\n")
    assert lab("tell", "lab.db", "--file", "told.csv").status == 0
    with Campaign.open("lab.db") as campaign:
        plate = plate_table(campaign, campaign.trials[4:])
        write_plate(campaign, campaign.trials[4:], "plate.xlsx")
    assert plate[["note_logp", "note_structure"]].to_numpy().tolist() == [["2", "ring"]]
    assert lab("tell", "lab.db", "--file", "plate.xlsx").status == 0


def test_plate_of_an_old_campaign_whose_value_is_called_structure(
    lab: Molvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    (tmp_path / "old.csv").write_text(
        (tmp_path / "measured.csv").read_text().replace("pIC50", "structure")
    )
    words = [word.replace("measured", "old").replace("pIC50", "structure") for word in CREATE]
    with monkeypatch.context() as old:
        old.setattr("molvae.objectives.trial_columns.DRAWING_COLUMN", "picture")
        assert lab(*words, "-n", 2).status == 0
    with Campaign.open("lab.db") as campaign:
        write_plate(campaign, campaign.trials[4:], "plate.xlsx")
    book = openpyxl.load_workbook("plate.xlsx")
    names = [cell.value for cell in book.active[1]]
    assert names.count("structure") == 1
    for row, value in zip((2, 3), (1.5, 2.5), strict=True):
        book.active.cell(row, names.index("structure") + 1).value = value
    book.save("plate.xlsx")
    assert lab("tell", "lab.db", "--file", "plate.xlsx").status == 0
    with Campaign.open("lab.db") as campaign:
        assert [t.values["structure"] for t in campaign.trials[4:]] == [1.5, 2.5]


def test_ask_fill_prints_initial_molecules_once(toy: Molvae, tmp_path: Path) -> None:
    smiles = "\n".join(ToySpace().molecules[:40:10])
    (tmp_path / "new.csv").write_text(f"smiles\n{smiles}\n")
    create = ["--create", "--objective", "manual:y", "--start", "new.csv", "--strategy", "random"]
    toy("ask", "new.db", *create)
    done = toy("ask", "new.db", "--fill", "-n", 10)
    assert [row["id"] for row in done.table] == list("1234")
    assert "no more can be chosen" in done.err
