"""A table of measured values as a spreadsheet exports it becomes a campaign, row by row."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from molvae.campaign.campaign import Campaign
from molvae.chem.molecules import canonical
from molvae.errors import (
    ConfigError,
    DataError,
    ImplausibleValueWarning,
    MolvaeWarning,
    UnknownTokenError,
)
from tests.toys import DenseToySpace, ToySpace

DATA = Path(__file__).parents[2] / "pipelines" / "assay_as_exported.csv"


class TextSpace(ToySpace):
    """Encodes every molecule of one part, at a place that its text decides."""

    def encode(self, smiles: Sequence[str], *, skip_unknown: bool = False) -> Tensor:
        rows = []
        for text in smiles:
            if "." in text and not skip_unknown:
                raise UnknownTokenError(".", text.index("."), text, 50)
            digest = hashlib.sha256(canonical(text).encode()).digest()
            known = [byte / 64 - 2 for byte in digest[: self.dim]]
            rows.append([torch.nan] * self.dim if "." in text else known)
        return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), self.dim)


def create_campaign(path: Path, start: Path | list[str] = DATA, **settings: object) -> Campaign:
    settings = {"objective": "maximize manual:pIC50", **settings}
    return Campaign.create(path / "lab.db", TextSpace(), start=start, strategy="random", **settings)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_create_from_an_exported_table_accounts_for_every_row(tmp_path: Path) -> None:
    with pytest.warns(MolvaeWarning, match="1 initial molecules left out.*line 13: a mixture"):
        campaign = create_campaign(tmp_path)
    rows = campaign.start_rows
    assert [row.where for row in rows] == [f"line {i}" for i in range(2, 66)]
    assert Counter(row.fate for row in rows) == {
        "measured value": 59,
        "censored value": 2,
        "no value": 2,
        "left out: mixture": 1,
    }
    assert [row.where for row in rows if row.parent] == ["line 5", "line 9"]
    assert {row.where: row.repeats for row in rows if row.repeats} == {"line 62": "line 2"}
    assert rows[11].values == "pIC50 5.26"
    assert sum(row.fate != "left out: mixture" for row in rows) == len(campaign) + 1
    assert campaign.metadata["start_rows"] == {
        "measured value": 59,
        "censored value": 2,
        "no value": 2,
        "left out: mixture": 1,
        "salt or charges removed": 2,
        "repeats an earlier molecule": 1,
    }
    assert (campaign.skipped, campaign.duplicates) == (1, 1)
    first, *_, second, third, racemate = campaign.trials
    assert first.replicates == {"pIC50": [5.29, 6.9]}
    assert first.notes["Compound ID"] == "CMP-0001; CMP-0061"
    assert len({second.smiles, third.smiles, racemate.smiles}) == 3
    by_name = {trial.notes["Compound ID"]: trial for trial in campaign.trials}
    salt = by_name["CMP-0004"]
    assert salt.smiles == "CCOc1cc2c(Nc3cccc(C)c3)ncnc2cc1F"
    assert salt.notes["original_smiles"] == "CCOc1cc2c(Nc3cccc(C)c3)ncnc2cc1F.Cl"
    for name in ("CMP-0021", "CMP-0022"):
        assert (by_name[name].values, by_name[name].operators) == ({"pIC50": 5.0}, {"pIC50": "<"})
    for name in ("CMP-0031", "CMP-0032"):
        assert by_name[name].status == "pending"
    assert by_name["CMP-0005"].notes["Operator"] == "AB"
    assert by_name["CMP-0005"].notes["Date"] == "2026-03-05"
    campaign.close()


def test_predict_with_one_contradictory_replicate_pair_keeps_differences(
    tmp_path: Path,
) -> None:
    """The table has 5.29 and 6.9 for one molecule, and single values for all others."""
    with pytest.warns(MolvaeWarning):
        campaign = create_campaign(tmp_path)
    with campaign:
        told = [trial for trial in campaign.trials if trial.values]
        values = pd.Series([trial.values["pIC50"] for trial in told])
        means = campaign.predict([trial.smiles for trial in told])["mean"]
        assert means.std() > 0.5 * values.std()


def test_create_from_a_dataframe_equals_a_file(tmp_path: Path) -> None:
    frame = pd.read_csv(DATA, sep=";", encoding="utf-8-sig").set_index("Compound ID")
    settings = {"objective": "maximize manual:pIC50", "strategy": "random", "plausibility": "none"}
    with pytest.warns(MolvaeWarning, match="the DataFrame, row 12: a mixture"):
        of_frame = Campaign.create(tmp_path / "f.db", TextSpace(), start=frame, **settings)
    with pytest.warns(MolvaeWarning, match="line 13: a mixture"):
        of_file = create_campaign(tmp_path)
    with of_frame, of_file:
        assert of_frame.config.start == "64 given molecules"
        seen = [
            [(t.smiles, t.status, t.values, t.operators, t.replicates) for t in campaign.trials]
            for campaign in (of_frame, of_file)
        ]
        assert seen[0] == seen[1]
        assert of_frame.trials[0].notes["Compound ID"] == "CMP-0001; CMP-0061"
        more = pd.DataFrame({"smiles": ["CCOCC", "CCCCOC"], "pIC50": [5.5, None]})
        assert [trial.status for trial in of_frame.add(more)] == ["complete", "pending"]
        assert [row.fate for row in of_frame.start_rows] == ["measured value", "no value"]
    with pytest.raises(DataError, match="no column 'smiles'"):
        Campaign.create(tmp_path / "g.db", TextSpace(), start=frame[["Operator"]], **settings)


def test_create_with_an_outlying_value_warns_with_its_line(tmp_path: Path) -> None:
    rows = [f"{'C' * n}O,{5 + n / 10}" for n in range(1, 10)]
    table = write(tmp_path / "m.csv", "\n".join(["smiles,value", *rows, "CCN,512"]))
    with pytest.warns(ImplausibleValueWarning, match="line 11: pIC50 512 is"):
        campaign = create_campaign(tmp_path, table)
    assert campaign.trials[9].values == {"pIC50": 512.0}
    campaign.close()


def test_create_without_standardization_raises_for_salts(tmp_path: Path) -> None:
    with pytest.raises(UnknownTokenError, match=r"line 5: .*line 9: .*line 13: "):
        create_campaign(tmp_path, standardize=False)
    assert not (tmp_path / "lab.db").exists()


def test_create_standardizes_molecules_without_values_only_on_request(tmp_path: Path) -> None:
    table = write(tmp_path / "m.csv", "smiles\nCC[NH3+]\n")
    with create_campaign(tmp_path, table) as campaign:
        assert campaign.trials[0].smiles == "CC[NH3+]"
    (tmp_path / "lab.db").unlink()
    with create_campaign(tmp_path, ["CC[NH3+].[Cl-]"], standardize=True) as campaign:
        assert campaign.trials[0].smiles == "CCN"
        assert campaign.trials[0].notes == {"original_smiles": "CC[NH3+].[Cl-]"}


def test_create_reads_the_columns_of_the_settings(tmp_path: Path) -> None:
    table = write(tmp_path / "m.csv", "smiles,structure,IC50,value\nx,CCO,3,a\ny,CCN,>7,b\n")
    settings = {
        "smiles_column": "Structure",
        "value_column": "ic50",
        "objective": "minimize manual:pIC50",
    }
    with create_campaign(tmp_path, table, **settings) as campaign:
        assert [trial.values for trial in campaign.trials] == [{"pIC50": 3.0}, {"pIC50": 7.0}]
        assert campaign.trials[0].notes == {"smiles": "x", "value": "a"}
    (tmp_path / "lab.db").unlink()
    for names in ({"smiles_column": "struct"}, {"value_column": "EC50"}):
        with pytest.raises(DataError, match="no column"):
            create_campaign(tmp_path, table, **{**settings, **names})
    with pytest.raises(ConfigError, match="one measured value"):
        create_campaign(tmp_path, table, objective=["manual:a", "manual:b"], value_column="IC50")


def test_create_counts_rows_with_equal_cells(tmp_path: Path) -> None:
    text = "smiles,value,who\nCCN,5,a\nCCO,6,a\nCCN,5,b\nCCN,5,a\n"
    with create_campaign(tmp_path, write(tmp_path / "m.csv", text)) as campaign:
        assert [row.copies for row in campaign.start_rows] == ["", "", "", "line 2"]
        counts = campaign.metadata["start_rows"]
        assert counts["equal to an earlier row in every cell"] == 1
        assert counts["repeats an earlier molecule"] == 2


def test_create_averages_a_salt_and_its_parent_as_replicates(tmp_path: Path) -> None:
    table = write(tmp_path / "m.csv", "smiles,value\nCCN.Cl,3\nCCN,5\n")
    with create_campaign(tmp_path, table) as campaign:
        assert [(t.smiles, t.values) for t in campaign.trials] == [("CCN", {"pIC50": 4.0})]


@pytest.mark.parametrize("name", ["standard_relation", "pIC50_operator"])
def test_create_reads_a_column_of_operators(tmp_path: Path, name: str) -> None:
    table = write(
        tmp_path / "m.csv", f"smiles,{name},value\nCCO,<,5\nCCN,=,6\nCCC,>=,7\nCCCC,,8\nCCS,<,\n"
    )
    with create_campaign(tmp_path, table) as campaign:
        values = [trial.values.get("pIC50") for trial in campaign.trials]
        operators = [trial.operators.get("pIC50") for trial in campaign.trials]
    assert values == [5.0, 6.0, 7.0, 8.0, None]
    assert operators == ["<", None, ">", None, None]


@pytest.mark.parametrize(
    ("header", "signs"),
    [
        ("smiles;standard_relation;IC50", (">", "~", "=")),
        ("smiles;Standard Relation;IC50 (nM)", ("'>'", "'='", "")),
        ("smiles;qualifier;IC50", (">>", "NA", "==")),
    ],
)
def test_create_reads_operators_as_they_are_written(
    tmp_path: Path, header: str, signs: tuple[str, str, str]
) -> None:
    rows = [
        f"{m};{sign};{5 + i}"
        for i, (m, sign) in enumerate(zip(("CCO", "CCN", "CCC"), signs, strict=True))
    ]
    table = write(tmp_path / "m.csv", "\n".join([header, *rows, ""]))
    with create_campaign(tmp_path, table, objective="manual:IC50") as campaign:
        assert [trial.operators.get("IC50") for trial in campaign.trials] == [">", None, None]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("smiles,pIC50,IC50 (nM),relation\nCCO,5.0,10000,>\nCCN,6.0,1000,=\n", "of which values"),
        ("smiles,trend,pIC50\nCCO,<,5.0\nCCN,>,6.0\n", "of which values"),
        ("smiles,standard_relation,pIC50\nCCO,>,5\nCCN,about,6\n", "is 'about'"),
        ("smiles,pIC50,error (%)\nCCO,5.0,3\n", "seems to be relative"),
        ("smiles;pIC50\nCCO;1.500\nCCN;250\n", "either 1.500 or 1500"),
    ],
)
def test_create_from_a_doubtful_table_raises(tmp_path: Path, text: str, reason: str) -> None:
    table = write(tmp_path / "m.csv", text)
    with pytest.raises(DataError, match=reason):
        create_campaign(tmp_path, table)


@pytest.mark.parametrize(
    "text",
    [
        "smiles,measured pIC50,pIC50 (predicted)\nCCO,5.0,6\n",
        "smiles,mean pIC50,pIC50 [SD]\nCCO,5.0,6\n",
    ],
)
def test_create_takes_no_other_quantity_for_the_value(tmp_path: Path, text: str) -> None:
    table = write(tmp_path / "m.csv", text)
    with (
        pytest.warns(MolvaeWarning, match="value-column"),
        create_campaign(tmp_path, table) as campaign,
    ):
        assert campaign.trials[0].values == {}


def test_create_leaves_the_operators_of_another_column(tmp_path: Path) -> None:
    rows = "CCO,>,10000,\nCCN,=,1000,6.0\n"
    head = "smiles,standard_relation,standard_value,pchembl_value\n"
    table = write(tmp_path / "m.csv", head + rows)
    with create_campaign(tmp_path, table, value_column="pchembl_value") as campaign:
        assert [trial.values for trial in campaign.trials] == [{}, {"pIC50": 6.0}]


def test_create_with_ambiguous_operator_column_raises(tmp_path: Path) -> None:
    table = write(tmp_path / "m.csv", "smiles,relation,a,b\nCCO,<,5,6\n")
    with pytest.raises(DataError, match="of which values are the operators in 'relation'"):
        create_campaign(tmp_path, table, objective=["manual:a", "manual:b"])


def test_limits_are_created_told_and_exported_with_operators(tmp_path: Path) -> None:
    table = write(tmp_path / "m.csv", "smiles,value\nCCO,<5\nCCO,<4.5\nCCN,6\nCCN,<7\nCCC,\n")
    with create_campaign(tmp_path, table) as campaign:
        low, mixed, waiting = campaign.trials
        assert (low.values, low.operators) == ({"pIC50": 4.5}, {"pIC50": "<"})
        assert low.notes == {"limits of pIC50": "<5; <4.5"}
        assert (mixed.values, mixed.operators) == ({"pIC50": 6.0}, {})
        assert mixed.notes == {"limits of pIC50": "<7"}
        told = campaign.tell(waiting.id, ">8")
        assert (told.values, told.operators) == ({"pIC50": 8.0}, {"pIC50": ">"})
        with pytest.raises(ConfigError, match="standard error"):
            campaign.tell(waiting.id, "<8", error=0.1)
        exported = campaign.table()
        exported.to_csv(tmp_path / "exported.csv", index=False)
    assert exported["pIC50_operator"].fillna("").tolist() == ["<", "", ">"]
    (tmp_path / "lab.db").unlink()
    with create_campaign(tmp_path, tmp_path / "exported.csv") as campaign:
        assert [trial.values for trial in campaign.trials] == [
            {"pIC50": 4.5}, {"pIC50": 6.0}, {"pIC50": 8.0},
        ]  # fmt: skip
        assert [trial.operators.get("pIC50") for trial in campaign.trials] == ["<", None, ">"]


def test_create_with_limits_in_both_directions_raises_with_lines(tmp_path: Path) -> None:
    table = write(tmp_path / "m.csv", "smiles,value\nCCO,<5\nCCN,6\nOCC,>4\n")
    with pytest.raises(DataError, match=r"line 2, .*line 4: pIC50 has limits in both directions"):
        create_campaign(tmp_path, table)


def test_best_excludes_values_that_may_be_worse_than_their_limit(tmp_path: Path) -> None:
    table = write(tmp_path / "m.csv", "smiles,value\nCCO,<9\nCCN,6\nCCC,>8\nCCCC,5\n")
    for direction, best, value in (
        ("maximize", ["CCC", "CCN", "CCCC"], 8.0),
        ("minimize", ["CCCC", "CCN", "CCO"], 5.0),
    ):
        with create_campaign(tmp_path, table, objective=f"{direction} manual:pIC50") as campaign:
            assert campaign.best()["smiles"].tolist() == best
            assert campaign.best_value == value
        (tmp_path / "lab.db").unlink()
    with create_campaign(tmp_path, write(tmp_path / "n.csv", "smiles,value\nCCO,<9\n")) as campaign:
        assert campaign.best_value is None
        assert len(campaign.best()) == 0
    (tmp_path / "lab.db").unlink()
    goals = {"objective": ["manual:pIC50", "manual:b"], "constraints": ["manual:b >= 2"]}
    text = "smiles,pIC50,b\nCCO,5,<9\nCCN,6,3\nCCC,7,>8\nCCCC,<9,5\n"
    with create_campaign(tmp_path, write(tmp_path / "n.csv", text), **goals) as campaign:
        best = campaign.table().set_index("smiles")["pareto_rank"].dropna()
        assert set(best.index) == {"CCN", "CCC"}


def test_observations_have_expected_values_in_place_of_limits(tmp_path: Path) -> None:
    with pytest.warns(MolvaeWarning):
        campaign = create_campaign(tmp_path)
    observations = campaign.observations()
    told = [trial for trial in campaign.trials if trial.status == "complete"]
    campaign.close()
    for trial, y in zip(told, observations.y[:, 0].tolist(), strict=True):
        assert y == trial.values["pIC50"] or (trial.operators and y < 5.0)


def test_campaign_with_computed_objectives_and_constraints_has_their_values(tmp_path: Path) -> None:
    known = write(tmp_path / "known.smi", f"{DenseToySpace().molecules[0]}\n")
    goals = ["maximize manual:pIC50", "minimize rdkit:BertzCT"]
    limits = [f"nearest:{known} >= 0.2", "typicality >= 0", "an amide: matches:C(=O)[N,n;H1] <= 3"]
    space = DenseToySpace()
    table = write(
        tmp_path / "m.csv", f"smiles,pIC50\n{space.molecules[0]},5\n{space.molecules[9]},6\n"
    )
    with Campaign.create(
        tmp_path / "lab.db", space, start=table, objective=goals, constraints=limits
    ) as campaign:
        assert campaign.problem.measured == ("pIC50",)
        values = campaign.trials[0].values
        assert values[f"nearest:{known}"] == 1.0
        assert values["an amide"] == 0.0
        assert 0 <= values["typicality"] <= 100
        assert campaign.code == ()
    with Campaign.open(tmp_path / "lab.db", space) as campaign:
        (more,) = campaign.add([space.molecules[40]], [7.0])
        assert set(more.values) == set(values)
