"""Sheets of a laboratory: `tell --file` and `--start` read columns, limits, notes and drawings."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path
from shlex import split

import pytest
from rdkit import Chem

from molvae.campaign.campaign import Campaign
from molvae.campaign.storage import Storage
from molvae.errors import CampaignError, MolvaeWarning
from tests.cli.conftest import Molvae
from tests.toys import ToySpace

MOLECULES = ToySpace().molecules
CREATE = split(
    "ask lab.db --create --objective manual:pIC50 --direction maximize --strategy random "
    "--space toy -n 4 --start"
)


@pytest.fixture
def lab(molvae: Molvae, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Molvae:
    """A campaign with two measured molecules and four that wait: ids 3 to 6."""
    monkeypatch.setattr("molvae.latent.loading.load", lambda name, **_: ToySpace(str(name)))
    write(tmp_path / "measured.csv", f"smiles,value\n{MOLECULES[0]},0.5\n{MOLECULES[10]},1.5\n")
    assert molvae(*CREATE, "measured.csv").status == 0
    return molvae


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def pending_molecules() -> dict[int, str]:
    with Campaign.open("lab.db") as campaign:
        return {t.id: t.smiles for t in campaign.trials if t.status == "pending"}


@pytest.mark.parametrize(
    ("sheet", "parts"),
    [
        ("id,value\n3,7,31\n4,6,2\n", ["line 2: 3 cells", "7,31", "line 3: 3 cells", "6,2"]),
        ("id,value,message\n3,7.3,clear, then turbid\n", ["line 2: 4 cells", "then turbid"]),
        ('id,value,note\n3,1,"x\n4,2,b\n5,3,c\n', ["line 2: the quote"]),
        ("id,value,value\n3,1,2\n", ["two columns for 'value'"]),
        ("id,ID,value\n3,4,2\n", ["two columns for 'id'", "'ID'"]),
        ("id,pIC50,value\n3,,7.3\n4,6,\n", ["line 2: value is '7.3', but pIC50 is empty"]),
        ("id,value\n3,<x\n4,>1 nM\n", ["line 2: value: '<x' is not", "line 3", "write >1 only"]),
        ("id,value\n3,<5;>6\n", ["limits in both directions (<5, >6)"]),
        ("id,value\n3,1_000\n4,\u0663\n5,inf\n", ["line 2", "line 3", "line 4"]),
        ("id,value\n\u0663,1\n3.5,1\n-3,1\n", ["line 2", "line 3", "line 4", "whole number"]),
        ("id,value\n99,1\n3,1\n98,1\n", ["line 2: trial 99 is not", "line 4: trial 98 is not"]),
        ("id,value\n3,1\n3,2\n", ["line 3: trial 3 is there twice, see line 2"]),
        (
            "id,value\n1,2.5\n3,1\n2,2.5\n",
            ["trial 1", "the outcome 0.5", "trial 2", "the outcome 1.5"],
        ),
        ("id,value,error\n3,1;2,0.1\n4,,0.1\n", ["line 2: a standard error", "line 3"]),
        ("id,value,note\n3,1,a\0b\n", ["line 2: a NUL"]),
        ("id,smiles,value\n3,C1CC,1\n", ["line 2: not a valid molecule: 'C1CC'"]),
        ("id,canonical_smiles,value\n3,CCCCCC,1\n", ["line 2: the molecule is 'CCCCCC'"]),
        ("id,value,error\n1,0.5,0.1\n", ["the outcome 0.5 (pIC50)", "one is 0.5 ± 0.1"]),
        ("id,value\n1,0.50000000001\n", ["the outcome 0.5 (pIC50)", "one is 0.50000000001"]),
    ],
)
def test_tell_file_with_bad_lines_names_all_and_writes_nothing(
    lab: Molvae, sheet: str, parts: list[str]
) -> None:
    lab("tell", "lab.db", "--file", "-", stdin=sheet).fails(1, *parts)
    assert len(pending_molecules()) == 4


@pytest.mark.parametrize(
    "sheet",
    [
        "id, value\n3,7.5\n",
        "ID;Value [-log M];Note\n3;7,5;\n",
        "id\tpIC50 (-log M)\n3\t7.5\n",
        "\nid,PIC50\n\n3,7.5\n,\n",
        "id,value\n3.0,7.5\n",
        "id;value\n3,00;7,5;\n",
        'id,value\n"3","7.5"\n',
    ],
)
def test_tell_file_reads_sheets_as_spreadsheets_write_them(lab: Molvae, sheet: str) -> None:
    done = lab("tell", "lab.db", "--file", "-", stdin=sheet)
    assert done.status == 0, done.err
    with Campaign.open("lab.db") as campaign:
        assert campaign.trials[2].values == {"pIC50": 7.5}


@pytest.mark.parametrize("value", ["", " ", ";"])
def test_tell_of_an_empty_value_fails_and_keeps_the_trial_pending(lab: Molvae, value: str) -> None:
    lab("tell", "lab.db", 3, value).fails(1, "the value is empty", "write failed")
    assert 3 in pending_molecules()


def test_tell_and_start_name_columns_kept_as_notes(lab: Molvae) -> None:
    told = lab("tell", "lab.db", "--file", "-", stdin="id,value,value 2,n\n3,1,2,\n")
    assert told.err.startswith("kept as notes: value 2\n")
    write(Path("m.csv"), f"ID,smiles,pIC50,pIC50_sd\nA,{MOLECULES[0]},1,2\n")
    assert "kept as notes: ID, pIC50_sd\n" in lab(*split(" ".join(CREATE).replace("lab", "two")),
                                                  "m.csv").err  # fmt: skip


def test_tell_file_with_other_molecules_fails_with_lines(lab: Molvae) -> None:
    trials = pending_molecules()
    exchanged = f"id,Smiles,value\n3,{trials[4]},1\n4,{trials[3]},2\n5,{trials[5]},3\n"
    lab("tell", "lab.db", "--file", "-", stdin=exchanged).fails(
        1, "line 2: the molecule is", "trial 3 is", "line 3: the molecule is"
    )
    assert lab("ask", "lab.db", "--waiting", "--out", "plate.sdf").status == 0
    plate = Path("plate.sdf").read_text()
    first = plate.split("$$$$\n")[0]
    told = re.sub(r">[^\n]*<smiles>[^\n]*\n[^\n]*\n\n", "", first)
    told = re.sub(r"(>[^\n]*<id>[^\n]*\n)3\n", r"\g<1>4\n", told)
    assert "<smiles>" not in told
    write(Path("back.sdf"), f"{told}>  <value>\n1\n\n$$$$\n")
    lab("tell", "lab.db", "--file", "back.sdf").fails(1, "molecule 1 (line 1)", "trial 4 is")
    assert len(pending_molecules()) == 4
    otherwise = Chem.MolToSmiles(Chem.MolFromSmiles(trials[3]), allHsExplicit=True)
    assert otherwise != trials[3]
    text = f"id,smiles,value\n3,{otherwise},1\n4,,2\n5,?,3\n"
    assert lab("tell", "lab.db", "--file", "-", stdin=text).status == 0


def test_tell_file_reads_sdf_in_latin_1_with_any_case(lab: Molvae) -> None:
    assert lab("ask", "lab.db", "--waiting", "--out", "plate.sdf").status == 0
    first = Path("plate.sdf").read_text().split("$$$$\n")[0]
    text = f"{first}>  <Value>\n1,5\n\n>  <operator>\nJosé\n\n$$$$\n"
    Path("PLATE.SDF").write_bytes(text.encode("latin-1"))
    done = lab("tell", "lab.db", "--file", "PLATE.SDF")
    assert done.status == 0, done.err
    assert "Windows-1252" in done.err
    with Campaign.open("lab.db") as campaign:
        assert campaign.trials[2].values == {"pIC50": 1.5}
        assert campaign.trials[2].notes == {"operator": "José"}


def test_tell_file_again_changes_nothing_and_counts_equal_rows(lab: Molvae) -> None:
    sheet = "id,value,note\n1,0.5,\n3,1,a\n4,failed,b\n5,2;4,c\n"
    done = lab("tell", "lab.db", "--file", "-", stdin=sheet)
    assert "1 of 4 had the same values before" in done.err
    assert "values of 3 trials (1 as failed); 1 pending" in done.err
    before = lab("export", "lab.db").out
    done = lab("tell", "lab.db", "--file", "-", stdin=sheet)
    assert done.status == 0
    assert "4 of 4 had the same values before" in done.err
    assert "not written" not in done.err
    assert lab("export", "lab.db").out == before
    done = lab("tell", "lab.db", "--file", "-", stdin=sheet.replace(",c", ",d"))
    assert "notes or messages of 1 of these are not written" in done.err
    lab("tell", "lab.db", "--file", "-", stdin=sheet.replace("3,1,", "3,1.1,")).fails(
        1, "nothing was written", "trial 3"
    )
    lab("tell", "lab.db", "--file", "-", "--message", "x", stdin=sheet).fails(1, "columns")


def test_tell_file_interrupted_writes_nothing(lab: Molvae, monkeypatch: pytest.MonkeyPatch) -> None:
    insert, calls = Storage._insert_outcome, []

    def interrupted(self: Storage, *arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        insert(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Storage, "_insert_outcome", interrupted)
    sheet = "id,value\n3,1\n4,2\n5,3\n6,4\n"
    assert lab("tell", "lab.db", "--file", "-", stdin=sheet).status == 130
    assert len(pending_molecules()) == 4
    assert lab("tell", "lab.db", "--file", "-", stdin=sheet).status == 0
    assert pending_molecules() == {}


def test_tell_all_with_an_unknown_trial_writes_nothing(lab: Molvae) -> None:
    with Campaign.open("lab.db") as campaign:
        with pytest.raises(CampaignError, match="no trial 77"):
            campaign.tell_all({3: 1.0, 77: 2.0})
        assert campaign.tell_all({3: 1.0, 4: [1.0, 2.0]}, notes={3: {"well": "A1"}}) == [3, 4]
        assert campaign.trials[2].notes == {"well": "A1"}


def test_tell_file_keeps_line_breaks_and_long_texts_in_notes(lab: Molvae) -> None:
    long = "x" * 150_000
    sheet = f'id,value,note\n3,1,"first\nsecond"\n4,2,a\x0bb\u2028c\x85d\n5,3,"{long}"\n6,n.d.,\n'
    done = lab("tell", "lab.db", "--file", "-", stdin=sheet)
    assert "values of 4 trials (1 as failed)" in done.err
    with Campaign.open("lab.db") as campaign:
        notes = [trial.notes.get("note") for trial in campaign.trials[2:]]
        assert notes == ["first\nsecond", "a\x0bb\u2028c\x85d", long, None]
        assert campaign.trials[5].message == "n.d."


@pytest.mark.parametrize("old", [False, True])
def test_tell_file_of_an_exported_table_tells_new_values_only(lab: Molvae, old: bool) -> None:
    assert lab("tell", "lab.db", 3, "1;2;4", "--message", "thrice").status == 0
    assert lab("tell", "lab.db", 4, "failed").status == 0
    assert lab("export", "lab.db", "all.csv").status == 0
    text = Path("all.csv").read_text()
    if old:  # statuses as earlier versions exported them
        text = text.replace("pending", "asked").replace("complete", "told")
    five = pending_molecules()[5]
    write(Path("all.csv"), text.replace(f"5,{five},,", f"5,{five},7.5,"))
    done = lab("tell", "lab.db", "--file", "all.csv")
    assert done.status == 0, done.err
    assert "change nothing: 2" in done.err  # one is pending, and one has failed without a message
    assert "3 of 4 had the same values before" in done.err
    assert "not written" not in done.err
    with Campaign.open("lab.db") as campaign:
        assert campaign.trials[4].values == {"pIC50": 7.5}
        assert campaign.trials[4].notes == {}
    assert list(pending_molecules()) == [6]


@pytest.mark.parametrize("old", [False, True])
def test_tell_file_of_an_exported_table_keeps_no_computed_columns(lab: Molvae, old: bool) -> None:
    write(Path("start.smi"), "\n".join(MOLECULES[:30:10]) + "\n")
    create = "ask l2.db --create --space toy --strategy random -n 1 --objective manual:a"
    words = ["--objective", "minimize mw", "--constraint", "logp <= 9", "--start", "start.smi"]
    assert lab(*split(create), *words).status == 0
    assert lab("tell", "l2.db", 1, 2.5).status == 0
    assert lab("tell", "l2.db", 2, "failed").status == 0
    assert lab("retry", "l2.db").status == 0
    assert lab("export", "l2.db", "all.csv").status == 0
    head, *rows = Path("all.csv").read_text().splitlines()
    assert {"mw", "logp", "pareto_rank", "feasible", "earlier_failures"} < set(head.split(","))
    second = rows[1].split(",")
    second[2] = "3.5"
    text = "\n".join([head, rows[0], ",".join(second), *rows[2:], ""])
    write(Path("all.csv"), text.replace("pareto_rank", "front") if old else text)
    done = lab("tell", "l2.db", "--file", "all.csv")
    assert done.status == 0, done.err
    assert "notes" not in done.err
    with Campaign.open("l2.db") as campaign:
        assert campaign.trials[1].values["a"] == 3.5
        assert all(not trial.notes for trial in campaign.trials)


def test_tell_file_rows_without_a_value_stay_pending(lab: Molvae) -> None:
    sheet = "id,value,message,well\n3,,,B1\n4,1,,B2\n5,,insoluble,B3\n6,nan,,B4\n"
    done = lab("tell", "lab.db", "--file", "-", stdin=sheet)
    assert done.status == 0, done.err
    assert "change nothing: 1" in done.err
    with Campaign.open("lab.db") as campaign:
        statuses = [trial.status for trial in campaign.trials[2:6]]
    assert statuses == ["pending", "complete", "failed", "failed"]


def test_tell_message_may_be_a_dash(lab: Molvae) -> None:
    assert lab("tell", "lab.db", 3, "failed", "--message", "-").status == 0
    with Campaign.open("lab.db") as campaign:
        assert campaign.trials[2].message == "-"


# --- starting files


def begin(molvae: Molvae, text: str, *words: str, name: str = "s.csv") -> Campaign:
    write(Path(name), text)
    Path("lab.db").unlink(missing_ok=True)
    done = molvae(*CREATE, name, *words)
    assert done.status == 0, done.err
    return Campaign.open("lab.db")


def test_start_merges_the_rows_of_a_molecule(lab: Molvae) -> None:
    a, b, c, d = MOLECULES[:40:10]
    text = (
        "id,smiles,value,error,who\n"
        f"x1,{a},,,Ada\nx2,{a},5.1,,Ada\n"
        f"x3,{b},6.2,,\nx4,{b},9.2,,Bob\n"
        f"x5,{c},NaN,,\nx6,{c},3,0.5,\n"
        f"x7,{d},NaN,,\n"
    )
    with begin(lab, text) as campaign:
        one, two, three, four = campaign.trials[:4]
        assert campaign.duplicates == 3
    assert (one.values, one.notes) == ({"pIC50": 5.1}, {"id": "x1; x2", "who": "Ada"})
    assert two.replicates == {"pIC50": [6.2, 9.2]}
    assert two.errors == {"pIC50": pytest.approx(1.5)}
    assert (three.values, three.errors) == ({"pIC50": 3.0}, {"pIC50": 0.5})
    assert (four.status, four.values) == ("failed", {})
    header, *rows = lab("export", "lab.db").out.splitlines()
    own = "note_id,who,pIC50_error,pIC50_replicates,failed measurements of pIC50"
    assert header.endswith(own)
    assert "x1; x2,Ada" in rows[0]


def test_start_without_a_column_of_values_warns(lab: Molvae) -> None:
    write(Path("s.csv"), f"smiles,valeu\n{MOLECULES[0]},5\n")
    Path("lab.db").unlink()
    done = lab(*CREATE, "s.csv")
    assert done.status == 0
    assert "no column 'pIC50' or 'value'" in done.err
    assert "did you mean 'valeu'" in done.err
    with Campaign.open("lab.db") as campaign:
        assert campaign.trials[0].notes == {"valeu": "5"}


def test_start_from_a_list_with_unnamed_numbers_warns(lab: Molvae) -> None:
    write(Path("s.smi"), f"{MOLECULES[0]} 5.5\n{MOLECULES[10]} 6\n")
    Path("lab.db").unlink()
    done = lab(*CREATE, "s.smi")
    assert 'write "smiles pIC50" into the first line' in done.err
    write(Path("s.smi"), f"smiles pIC50\n{MOLECULES[0]} 5,5\n{MOLECULES[10]}\n")
    Path("lab.db").unlink()
    assert lab(*CREATE, "s.smi").err.count("1  measured value") == 1


def test_start_keeps_limits_as_values_and_words_as_notes(lab: Molvae) -> None:
    a, b, c = MOLECULES[:30:10]
    write(Path("s.csv"), f"smiles;pIC50 [-log M]\n{a};<5\n{b};n.d.\n{c};6,5\n")
    Path("lab.db").unlink()
    done = lab(*CREATE, "s.csv")
    for count in ("1  measured value", "1  censored value", "1  no value"):
        assert count in done.err
    with Campaign.open("lab.db") as campaign:
        trials = campaign.trials[:3]
    assert [trial.status for trial in trials] == ["complete", "pending", "complete"]
    assert [trial.values for trial in trials] == [{"pIC50": 5.0}, {}, {"pIC50": 6.5}]
    assert [trial.operators for trial in trials] == [{"pIC50": "<"}, {}, {}]
    assert [trial.notes.get("pIC50 [-log M]") for trial in trials] == [None, "n.d.", None]


def test_start_keeps_the_error_of_a_limit_or_a_word_as_a_note(lab: Molvae) -> None:
    a, b, c, d = MOLECULES[:40:10]
    write(Path("s.csv"), f"smiles,value,error\n{a},5,0.1\n{b},<5,0.2\n{c},n.d.,0.3\n{d},NaN,0.4\n")
    Path("lab.db").unlink()
    lab(*CREATE, "s.csv")
    with Campaign.open("lab.db") as campaign:
        trials = campaign.trials[:4]
    assert [trial.errors for trial in trials] == [{"pIC50": 0.1}, {}, {}, {}]
    assert [trial.notes.get("value") for trial in trials] == [None, None, "n.d.", None]
    assert [trial.notes.get("error") for trial in trials] == [None, "0.2", "0.3", "0.4"]
    write(Path("t.csv"), f"smiles,value,error\n{a},5,0.1\n{b},,0.2\n")
    Path("lab.db").unlink()
    lab(*CREATE, "t.csv").fails(1, "line 3", "no value")


def test_start_with_bad_lines_names_all_of_them(lab: Molvae) -> None:
    a = MOLECULES[0]
    write(Path("s.csv"), f"smiles,value\n{a},high\nC1CC,2\n{a},1,5\n{a},5 nM\n")
    Path("lab.db").unlink()
    lab(*CREATE, "s.csv").fails(1, "line 2", "line 3", "C1CC", "line 4: 3 cells", "line 5")
    assert not Path("lab.db").exists()
    write(Path("s.csv"), "smiles,value\nC1CC,2\n[CH255],3\n[#119],4\n")
    lab(*CREATE, "s.csv").fails(1, "line 2", "line 3", "line 4", "skip")


def test_start_with_unreadable_molecules_names_them(lab: Molvae) -> None:
    text = f"smiles,value\n{MOLECULES[0]},1\n[CH255],3\nc1ccccc1,4\n"
    write(Path("s.csv"), text)
    Path("lab.db").unlink()
    lab(*CREATE, "s.csv").fails(1, "line 3", "[CH255]")
    write(Path("t.csv"), text.replace("[CH255],3\n", ""))
    lab(*CREATE, "t.csv").fails(1, "line 3", "c1ccccc1", "--skip-invalid")
    done = lab(*CREATE, "s.csv", "--skip-invalid")
    assert "2 initial molecules left out" in done.err
    assert "line 3: '[CH255]'" in done.err
    assert "line 4: 'c1ccccc1'" in done.err


def test_start_with_several_objectives_needs_all_columns(lab: Molvae) -> None:
    words = split(
        "ask two.db --create --strategy random --space toy -n 1 --goals manual:a "
        '"minimize manual:b" --start'
    )
    a, b = MOLECULES[:20:10]
    write(Path("s.csv"), f"smiles,A,B (nM)\n{a},1,2\n{b},3,NaN\n")
    assert lab(*words, "s.csv").status == 0
    with Campaign.open("two.db") as campaign:
        first, second = campaign.trials[:2]
    assert (first.status, first.values) == ("complete", {"a": 1.0, "b": 2.0})
    assert (second.status, second.values) == ("failed", {"a": 3.0})
    write(Path("s.csv"), f"smiles,A,C\n{a},1,2\n")
    Path("two.db").unlink()
    lab(*words, "s.csv").fails(1, "no column 'b'")
    write(Path("s.csv"), f"smiles,a,b\n{a},1,\n{a},,2\n{b},1,\n")
    lab(*words, "s.csv").fails(1, "line 4: a value of a but none of b")


def test_start_from_an_exported_table_keeps_failures_and_replicates(lab: Molvae) -> None:
    lab("tell", "lab.db", "--file", "-", stdin="id,value,error\n3,1;2;4,\n4,failed,\n5,3,0.5\n")
    with Campaign.open("lab.db") as campaign:
        before = campaign.trials
    for name in ("all.csv", "all.sdf"):
        assert lab("export", "lab.db", name).status == 0
    for name in ("all.csv", "all.sdf"):
        Path("lab.db").unlink()
        assert lab(*CREATE, name).status == 0
        with Campaign.open("lab.db") as campaign:
            after = campaign.trials[: len(before)]
        for old, new in zip(before, after, strict=True):
            assert (new.smiles, new.status, new.values) == (old.smiles, old.status, old.values)
            assert (new.errors, new.replicates) == (old.errors, old.replicates)


def test_replicates_of_an_exported_table_count_unless_the_value_was_edited(lab: Molvae) -> None:
    shutil.copy("lab.db", "copy.db")
    lab("tell", "lab.db", "--file", "-", stdin="id,value\n3,1;2;4.5\n4,2;3\n")
    assert lab("export", "lab.db", "all.csv").status == 0
    lines = Path("all.csv").read_text().splitlines(keepends=True)
    header = next(csv.reader(lines[:1]))
    rows = [dict(zip(header, row, strict=True)) for row in csv.reader(lines[1:])]
    rows[2]["pIC50"] = "7.25"
    with open("edited.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)
    assert lab("tell", "copy.db", "--file", "edited.csv").status == 0
    assert lab("ask", "new.db", *CREATE[2:], "edited.csv").status == 0
    for name in ("copy.db", "new.db"):
        with Campaign.open(name) as campaign:
            edited, kept = campaign.trials[2:4]
        assert (edited.values, edited.replicates) == ({"pIC50": 7.25}, {})
        assert (kept.values, kept.replicates) == ({"pIC50": 2.5}, {"pIC50": [2.0, 3.0]})


def test_start_reads_sdf_parquet_and_lists(lab: Molvae) -> None:
    assert lab("export", "lab.db", "all.sdf").status == 0
    assert lab("export", "lab.db", "all.parquet").status == 0
    for name in ("all.sdf", "all.parquet"):
        Path("lab.db").unlink()
        assert lab(*CREATE, name).status == 0
        with Campaign.open("lab.db") as campaign:
            told = [trial.values for trial in campaign.trials if trial.status == "complete"]
        assert told == [{"pIC50": 0.5}, {"pIC50": 1.5}]
    text = f"{MOLECULES[0]} CMP-1 first\n{MOLECULES[10]}\n"
    with begin(lab, text, name="s.smi") as campaign:
        assert [trial.notes for trial in campaign.trials[:2]] == [{"name": "CMP-1 first"}, {}]


def test_tell_file_keeps_notes_of_the_start_file_of_the_same_name(lab: Molvae) -> None:
    text = f"smiles,well,who\n{MOLECULES[0]},A1,Ada\n"
    write(Path("s.csv"), text)
    Path("lab.db").unlink()
    assert lab(*CREATE, "s.csv").status == 0
    sheet = "id,value,well,who\n1,5,B7,Ada\n"
    assert lab("tell", "lab.db", "--file", "-", stdin=sheet).status == 0
    with Campaign.open("lab.db") as campaign:
        expected = {"well": "B7", "well (start)": "A1", "who": "Ada"}
        assert campaign.trials[0].notes == expected


def test_properties_command_of_an_sdf_reads_its_molecules(lab: Molvae) -> None:
    assert lab("export", "lab.db", "all.sdf").status == 0
    table = lab("properties", "all.sdf", "--properties", "heavy_atoms").table
    assert len(table) == 6
    assert all(row["heavy_atoms"] for row in table)


def test_properties_command_skip_invalid_counts_hostile_molecules(lab: Molvae) -> None:
    text = "smiles\nCCO\n[CH255]\n[#119]\n[CH256]\n" + "C" * 20_000 + "\n"
    write(Path("s.csv"), text)
    done = lab("properties", "s.csv", "--properties", "MW")
    done.fails(1, "line 3", "line 4", "line 5", "line 6")
    assert len(done.err) < 2_000
    done = lab("properties", "s.csv", "--properties", "MW", "--skip-invalid")
    assert "4 of 5 skipped: no molecules (line 3; line 4; line 5; line 6)" in done.err
    assert lab("prepare", "s.csv", "d", "--skip-invalid").status == 0


def test_sample_rows_averages_values_of_repeated_molecules(lab: Molvae) -> None:
    from molvae.cli.inputs import sample_rows

    rows = [f"{MOLECULES[i]},{i}" for i in range(0, 40, 2)]
    text = "smiles,y\n" + "\n".join([*rows, f"{MOLECULES[0]},10", f"{MOLECULES[2]},", "C1,3"])
    write(Path("s.csv"), text)
    molecules, values = sample_rows("s.csv", 100, 0, skip_invalid=True, values="Y")
    found = dict(zip(molecules, values, strict=True))
    assert found[MOLECULES[0]] == 5.0
    assert found[MOLECULES[2]] == 2.0
    assert len(found) == 20


def test_read_start_warnings_are_molvae_warnings(lab: Molvae) -> None:
    from molvae.campaign.start_file import read_start

    write(Path("s.csv"), f"smiles,other\n{MOLECULES[0]},1\n")
    with pytest.warns(MolvaeWarning, match=r"no molecule has a value yet \(name .* --value-column"):
        read_start("s.csv", ["pIC50"])
