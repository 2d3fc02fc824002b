"""`correct`, `add` and `add_replicates`: corrected campaigns go on as if told rightly at once."""

from __future__ import annotations

import pydoc
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import molvae
from molvae.analysis.report import render
from molvae.campaign.campaign import Campaign
from molvae.campaign.outlying_values import outlying
from molvae.errors import (
    CampaignError,
    ConfigError,
    DataError,
    InvalidMoleculeError,
    MolvaeWarning,
    UnknownNameError,
    UnknownTokenError,
)
from tests.toys import ToyObjective, ToySpace

MOLECULES = ToySpace().molecules
START = MOLECULES[:120:10]


def begin(path: Path) -> Campaign:
    settings: dict[str, Any] = {
        "objective": "manual:y",
        "start": START,
        "strategy": "rank:n_offspring=20,screen_fraction=0",
        "plausibility": "none",
        "seed": 3,
    }
    campaign = Campaign.create(path, ToySpace(), **settings)
    campaign.tell_all({t.id: true_value(t.smiles) for t in campaign.trials})
    return campaign


def true_value(smiles: str) -> float:
    return float(ToyObjective()([smiles])[0])


def proposals_of_three_plates(
    path: Path, first: Mapping[int, Any], change: Callable[[Campaign], object] | None = None
) -> list[list[tuple[str, list[float]]]]:
    """Three plates; the outcomes of the first are given, those of the others are true."""
    with begin(path) as campaign:
        found = [campaign.ask(4)]
        campaign.tell_all({t.id: first.get(t.id, true_value(t.smiles)) for t in found[0]})
        if change is not None:
            change(campaign)
        for _ in range(2):
            found.append(campaign.ask(4))
            campaign.tell_all({t.id: true_value(t.smiles) for t in found[-1]})
    return [[(t.smiles, t.z.tolist()) for t in plate] for plate in found]


@pytest.mark.parametrize(
    ("wrong", "right", "change"),
    [
        ({13: -50.0}, {13: -0.5}, lambda c: c.correct(13, -0.5, "typed in the wrong row")),
        ({14: None}, {14: 0.25}, lambda c: c.correct(14, 0.25, "measured again")),
        ({13: 0.5}, {13: None}, lambda c: c.correct(13, None, "impure")),
        ({13: 0.5}, {13: [0.5, 0.75, 1.0]}, lambda c: c.add_replicates(13, [0.75, 1.0])),
    ],
    ids=["value", "failure", "withdrawn", "replicates"],
)
def test_correct_then_ask_proposes_as_if_told_rightly_at_once(
    tmp_path: Path,
    wrong: dict[int, Any],
    right: dict[int, Any],
    change: Callable[[Campaign], object],
) -> None:
    mended = proposals_of_three_plates(tmp_path / "mended.db", wrong, change)
    at_once = proposals_of_three_plates(tmp_path / "at-once.db", right)
    left = proposals_of_three_plates(tmp_path / "left.db", wrong)
    assert mended == at_once
    assert left[0] == mended[0]
    assert left[1:] != mended[1:]  # so the correction matters


def test_correct_keeps_and_lists_earlier_values(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as campaign:
        before = campaign.trials[0].values["y"]
        campaign.correct(1, 0.125, "peak <misread>", notes={"by": "Ada"})
        campaign.correct(1, [0.25, 0.5], "three wells")
        trial = campaign.trials[0]
        assert (trial.values, trial.replicates) == ({"y": 0.375}, {"y": [0.25, 0.5]})
        assert (trial.message, trial.notes) == ("three wells", {"by": "Ada"})
        changes = campaign.changes()
        assert changes["trial"].tolist() == [1, 1]
        assert changes["before"].tolist() == [f"{before:.15g} (y)", "0.125 (y)"]
        assert changes["after"].tolist() == ["0.125 (y)", "0.25; 0.5 (y)"]
        page = render(campaign)
        assert "peak &lt;misread&gt;" in page
        assert "three wells" in page
    with sqlite3.connect(tmp_path / "c.db") as connection:
        told = connection.execute(
            "SELECT value FROM value JOIN outcome ON outcome.id = outcome WHERE trial = 1"
        ).fetchall()
    assert told == [(before,), (0.125,), (0.375,)]


def test_retry_of_a_failure_is_no_change(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as campaign:
        campaign.correct(1, None, "impure")
        campaign.retry()
        campaign.tell(1, 0.5)
        assert campaign.changes()["after"].tolist() == ["failed"]
        assert campaign.trials[0].values == {"y": 0.5}


def test_correct_without_an_outcome_or_reason_raises(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as campaign:
        (pending,) = campaign.ask(1)
        with pytest.raises(CampaignError, match=f"trial {pending.id} is pending"):
            campaign.correct(pending.id, 0.5, "why not")
        with pytest.raises(CampaignError, match="no trial 99"):
            campaign.correct(99, 0.5, "why not")
        with pytest.raises(ConfigError, match="reason"):
            campaign.correct(1, 0.5, " ")
        with pytest.raises(CampaignError, match="pending"):
            campaign.add_replicates(pending.id, 0.5)
        assert campaign.changes().empty


def test_add_gives_trials_of_origin_added(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as campaign:
        (pending,) = campaign.ask(1)
        new = [MOLECULES[5], MOLECULES[15], MOLECULES[25]]
        trials = campaign.add(
            [*new, pending.smiles, START[0]], [1.5, None, 2.5, 0.75, true_value(START[0])]
        )
        assert [t.smiles for t in trials] == [pending.smiles, *new]
        assert [t.origin for t in trials[1:]] == ["added"] * 3
        assert [t.status for t in trials] == ["complete", "complete", "failed", "complete"]
        assert len(campaign) == len(START) + 4
        observations = campaign.observations()
        assert {*new} <= observations.known
        assert [observations.smiles[i] for i in observations.proposed] == [pending.smiles]
        with pytest.raises(CampaignError, match=r"is trial 1, which has another outcome"):
            campaign.add([MOLECULES[35], START[0]], [1.0, 99.0])
        with pytest.raises(UnknownTokenError):
            campaign.add(["c1ccccc1"], [1.0])
        with pytest.raises(ConfigError, match="1 molecules and 2 values"):
            campaign.add([MOLECULES[35]], [1.0, 2.0])
        assert len(campaign) == len(START) + 4
        assert campaign.add([MOLECULES[35]])[0].status == "pending"


def test_add_review_is_called_before_values_are_written(tmp_path: Path) -> None:
    seen = dict[int | str, Any]()

    def refuse(values: Mapping[int | str, Any]) -> None:
        seen.update(values)
        raise CampaignError("too far")

    with begin(tmp_path / "c.db") as campaign:
        (pending,) = campaign.ask(1)
        with pytest.raises(CampaignError, match="too far"):
            campaign.add([MOLECULES[5], pending.smiles], [1.5, 2.5], review=refuse)
        assert seen == {MOLECULES[5]: {"y": 1.5}, pending.id: {"y": 2.5}}
        assert len(campaign) == len(START) + 1


def test_add_of_a_dataframe_follows_columns_and_skip_invalid(tmp_path: Path) -> None:
    rows = pd.DataFrame({"Structure": [MOLECULES[5], "no molecule"], "Activity": [1.5, 2.5]})
    with begin(tmp_path / "c.db") as campaign:
        with pytest.raises(DataError, match=r"no column 'smiles'.*--smiles-column"):
            campaign.add(rows)
        named: dict[str, Any] = {"smiles_column": "Structure", "value_column": "Activity"}
        with pytest.raises(InvalidMoleculeError, match="no molecule"):
            campaign.add(rows, **named)
        with pytest.warns(MolvaeWarning, match="1 initial"):
            (trial,) = campaign.add(rows, **named, skip_invalid=True)
        assert (trial.smiles, trial.values) == (MOLECULES[5], {"y": 1.5})


def test_add_replicates_to_a_trial_without_value_raises_with_advice(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as campaign:
        (trial,) = campaign.ask(1)
        with pytest.raises(CampaignError, match=r"is pending, so .* leave out --add"):
            campaign.add_replicates(trial.id, 1.0)
        campaign.tell(trial.id, None)
        with pytest.raises(CampaignError, match=r"is failed, so .* correct it"):
            campaign.add_replicates(trial.id, 1.0)
        with pytest.raises(CampaignError, match=r"correct it .*, or put it back first"):
            campaign.tell(trial.id, 1.0)


def test_outlying_names_values_far_from_all_others(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as campaign:
        trials = campaign.trials
    assert outlying(trials, {13: {"y": 1.0}, 14: {"y": None}}, ["y"]) == []
    (said,) = outlying(trials, {13: {"y": [1.0, 1e4]}}, ["y"])
    assert "trial 13: y 10000" in said
    assert outlying(trials[:5], {13: {"y": 1e4}}, ["y"]) == []  # too few to compare with
    assert outlying(trials, {1: {"y": 1e4}}, ["y"])


def test_campaign_methods_accept_dataframe_columns_as_lists(tmp_path: Path) -> None:
    table = pd.DataFrame({"smiles": MOLECULES[5:35:10], "y": [1.5, 2.5, 3.5]})
    settings: dict[str, Any] = {"objective": "manual:y", "plausibility": "none"}
    with Campaign.create(tmp_path / "c.db", ToySpace(), start=pd.Series(START), **settings) as c:
        c.tell_all(pd.Series({t.id: true_value(t.smiles) for t in c.trials}))
        added = c.add(table["smiles"], table["y"])
        assert [t.values["y"] for t in added] == [1.5, 2.5, 3.5]
        found = c.predict(table["smiles"])
        assert list(found.columns) == ["mean", "std"]
        assert found.index.equals(table.index)
        assert c.predict(table["smiles"].tolist()).index.tolist() == table["smiles"].tolist()
        named = table.set_axis(["u", "v", "w"])
        pd.testing.assert_frame_equal(c.predict(named), found.set_axis(["u", "v", "w"]))
        assert c.predict(table.set_index("smiles")).index.tolist() == table["smiles"].tolist()
        told = c.ask(2)
        measured = pd.DataFrame({"y": [0.5, 0.75]}, index=[t.id for t in told])
        assert c.tell_all(measured) == [t.id for t in told]
        more = pd.DataFrame({"Smiles": MOLECULES[55:75:10], "y": [4.5, 5.5], "who": ["A", "B"]})
        assert [(t.values["y"], t.notes["who"]) for t in c.add(more)] == [(4.5, "A"), (5.5, "B")]
        assert found.notna().all(axis=None)
        assert (found["std"] > 0).all()


def test_documented_sql_query_reads_the_latest_values(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "files.md").read_text()
    query = page.split('latest = """')[1].split('"""')[0]
    with begin(tmp_path / "c.db") as campaign:
        campaign.tell(campaign.ask(1)[0].id, 0.5)
        campaign.correct(1, 0.125, "typo")
        trials = campaign.trials
    with sqlite3.connect(tmp_path / "c.db") as connection:
        table = pd.read_sql(query, connection)
    assert table["value"].tolist() == [trial.values["y"] for trial in trials]
    assert table["value"][0] == 0.125
    assert table["predicted"].notna().tolist() == [False] * len(START) + [True]


def test_strategy_help_shows_all_settings() -> None:
    for kind in (molvae.bo.Rank, molvae.bo.Genetic):
        said = pydoc.render_doc(kind)
        for one in fields(kind):
            assert f"{one.name}: " in said
    assert "Smallest weight of the standard deviation." in (molvae.bo.Rank.__doc__ or "")


def test_tell_all_and_correct_all_of_a_dataframe_use_its_ids(tmp_path: Path) -> None:
    with Campaign.create(
        tmp_path / "c.db", ToySpace(), objective="manual:y", start=START[:4], strategy="random"
    ) as campaign:
        ids = [trial.id for trial in campaign.trials]
        table = pd.DataFrame({"id": ids[:2], "y": [1.5, 2.5]})
        assert campaign.tell_all(table) == ids[:2]
        assert campaign.tell_all(pd.Series([3.5], index=[ids[2]])) == ids[2:3]
        reason = dict.fromkeys(ids, "typo")
        campaign.correct_all(table.assign(y=[1.0, 2.0]).set_index("id"), messages=reason)
        assert [trial.values.get("y") for trial in campaign.trials] == [1.0, 2.0, 3.5, None]


def test_tell_all_of_a_data_frame_keeps_other_columns_as_notes(tmp_path: Path) -> None:
    with Campaign.create(
        tmp_path / "c.db", ToySpace(), objective="manual:y", start=START[:3], strategy="random"
    ) as campaign:
        table = campaign.table().assign(y=[1.5, 2.5, None], who="A")
        assert campaign.tell_all(table) == [1, 2]
        assert [trial.notes for trial in campaign.trials] == [{"who": "A"}, {"who": "A"}, {}]
        assert campaign.tell_all(table.drop(columns="who").assign(y=[1.5, 2.5, 3.5])) == [3]
        table["smiles"] = table["smiles"].tolist()[::-1]
        with pytest.raises(DataError, match="trial 1"):
            campaign.correct_all(table.drop(columns="who"), messages=dict.fromkeys([1, 2], "typo"))


def test_tell_all_of_an_exported_table_tells_the_same_outcomes(tmp_path: Path) -> None:
    tables = []
    for name in ("a.db", "b.db"):
        with Campaign.create(
            tmp_path / name, ToySpace(), objective="manual:y", start=START[:4], strategy="random"
        ) as campaign:
            if tables:
                assert campaign.tell_all(tables[0]) == [1, 2, 3, 4]
            else:
                campaign.tell(1, "<5")
                campaign.tell(2, None, "did not dissolve")
                campaign.tell(3, 4.0, error=0.3)
                campaign.tell(4, [5, 6])
            tables.append(campaign.table().drop(columns=["asked_at", "told_at"]))
    pd.testing.assert_frame_equal(*tables)


def test_correct_all_of_an_edited_table_replaces_replicates(tmp_path: Path) -> None:
    with Campaign.create(
        tmp_path / "c.db", ToySpace(), objective="manual:y", start=START[:2], strategy="random"
    ) as campaign:
        campaign.tell(1, [5, 6])
        edited = campaign.table().assign(y=[7.0, None])
        campaign.correct_all(edited, messages={1: "typo"})
        assert campaign.trials[0].values == {"y": 7.0}
        assert campaign.trials[0].replicates == {}


def test_tell_all_leaves_blank_cells_of_a_data_frame_pending(tmp_path: Path) -> None:
    with Campaign.create(
        tmp_path / "c.db", ToySpace(), objective="manual:y", start=START[:4], strategy="random"
    ) as campaign:
        ids = [trial.id for trial in campaign.trials]
        table = pd.DataFrame({"id": ids[:3], "y": [1.5, None, None]})
        assert campaign.tell_all(table, messages={ids[2]: "did not dissolve"}) == [ids[0], ids[2]]
        assert campaign.tell_all(pd.Series([float("nan")], index=[ids[1]])) == []
        assert [trial.status for trial in campaign.trials] == [
            "complete",
            "pending",
            "failed",
            "pending",
        ]
        assert campaign.tell_all({ids[3]: float("nan")}) == [ids[3]]


def test_tell_all_of_a_table_with_an_id_twice_raises(tmp_path: Path) -> None:
    with Campaign.create(
        tmp_path / "c.db", ToySpace(), objective="manual:y", start=START[:2], strategy="random"
    ) as campaign:
        twice = pd.DataFrame({"id": [1, 1], "y": [1.5, 2.5]})
        for values in (twice, twice.set_index("id")["y"]):
            with pytest.raises((ConfigError, DataError), match="trial 1 is there twice"):
                campaign.tell_all(values)
        campaign.tell(1, 1.0)
        with pytest.raises(DataError, match="trial 1 is there twice"):
            campaign.correct_all(twice, messages={1: "typo"})
        with pytest.raises(ConfigError, match="needs its reason"):
            campaign.correct(1, 2.0, None)  # type: ignore[arg-type]


def test_add_replicates_of_limits_and_texts_keeps_all_that_was_told(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as campaign:
        campaign.correct(1, 5.0, "measured with care", error=0.3, notes={"by": "Ada"})
        campaign.add_replicates(1, "<4")
        trial = campaign.add_replicates(1, "<3")
        assert (trial.values, trial.errors) == ({"y": 5.0}, {"y": 0.3})
        assert trial.notes == {"by": "Ada", "limits of y": "<4; <3"}
        trial = campaign.add_replicates(1, "12")
        assert trial.replicates == {"y": [5.0, 12.0]}
        assert trial.notes["standard error of y"] == "0.3"
        trial = campaign.correct(1, "2.5", "another well")
        assert "limits of y" not in trial.notes
        with pytest.raises(CampaignError, match="adds nothing"):
            campaign.add_replicates(1, float("nan"))


def test_failed_measurements_beside_others_are_noted(tmp_path: Path) -> None:
    failed, note = float("nan"), "failed measurements of y"
    with begin(tmp_path / "c.db") as campaign:
        trial = campaign.correct(1, [5.0, failed], "two wells")
        assert (trial.values, trial.replicates, trial.notes) == ({"y": 5.0}, {}, {note: "1"})
        trial = campaign.add_replicates(1, [failed, 6.0, failed])
        assert (trial.replicates, trial.notes) == ({"y": [5.0, 6.0]}, {note: "3"})
        assert campaign.add_replicates(1, "<9").notes == {note: "3", "limits of y": "<9"}
        assert campaign.correct(1, 2.5, "another well").notes == {}


def test_add_replicates_by_name_keeps_what_failed_and_passes_over_what_was_not_measured(
    tmp_path: Path,
) -> None:
    goals = ["manual:a", "manual:b"]
    with Campaign.create(tmp_path / "c.db", ToySpace(), objective=goals, start=START[:3]) as c:
        c.tell(1, {"a": 1.0, "b": 2.0}, error={"b": 0.5})
        trial = c.add_replicates(1, {"a": 3.0, "b": None})
        assert (trial.replicates, trial.errors["b"], trial.notes) == ({"a": [1.0, 3.0]}, 0.5, {})
        trial = c.add_replicates(1, {"a": 3.0, "b": float("nan")})
        assert (trial.errors["b"], trial.notes) == (0.5, {"failed measurements of b": "1"})


def test_tell_all_of_a_half_filled_row_raises_and_leaves_it_pending(tmp_path: Path) -> None:
    goals = ["manual:a", "manual:b"]
    with Campaign.create(tmp_path / "c.db", ToySpace(), objective=goals, start=START[:3]) as c:
        table = pd.DataFrame({"id": [1, 2], "a": [5.0, 6.0], "b": [None, 7.0]})
        with pytest.raises(DataError, match="b of trial 1 is missing"):
            c.tell_all(table)
        assert [trial.status for trial in c.trials] == ["pending"] * 3
        assert c.tell_all(table, messages={1: "did not dissolve"}) == [1, 2]
        assert c.tell_all({3: {"a": 5.0, "b": None}}) == [3]
        assert [trial.status for trial in c.trials] == ["failed", "complete", "failed"]


def test_tell_all_of_a_data_frame_finds_columns_as_in_a_file(tmp_path: Path) -> None:
    goals = ["manual:a", "manual:b"]
    with Campaign.create(tmp_path / "c.db", ToySpace(), objective=goals, start=START[:5]) as c:
        table = pd.DataFrame({"ID": [4, 5], "a": [5.0, 6.0], "B (nM)": [7.0, 8.0]}, index=[1, 2])
        with pytest.raises(DataError, match="no column 'b'"):
            c.tell_all(table.drop(columns="B (nM)"))
        pairs = table.drop(columns="ID").set_index(pd.MultiIndex.from_tuples([(1, 2), (3, 4)]))
        with pytest.raises(DataError, match="no column 'id'"):
            c.tell_all(pairs)
        assert c.tell_all(table[:0]) == []
        assert c.tell_all(table) == [4, 5]
        assert [t.values for t in c.trials[3:]] == [{"a": 5.0, "b": 7.0}, {"a": 6.0, "b": 8.0}]
        blank = pd.DataFrame({"id": [4], "a": [5.5], "b": [None]})
        with pytest.raises(DataError, match="b of trial 4 is missing"):
            c.correct_all(blank, messages={4: "typo"})
        c.correct_all(blank, messages={}, add=True)
        assert c.trials[3].replicates == {"a": [5.0, 5.5]}
        assert (c.trials[3].values["b"], c.trials[3].notes) == (7.0, {})
        lists = pd.DataFrame({"id": [1], "a": [[1.0, 2.0]], "b": ["<3"], "a_replicates": ["x"]})
        with pytest.raises(DataError, match="row 1: a_replicates"):
            c.tell_all(lists)
        assert c.tell_all(lists.drop(columns="a_replicates")) == [1]
        assert (c.trials[0].replicates, c.trials[0].operators) == ({"a": [1.0, 2.0]}, {"b": "<"})


def test_add_replicates_of_an_unknown_name_or_of_a_number_without_one_raises(
    tmp_path: Path,
) -> None:
    goals = ["manual:a", "manual:b"]
    with Campaign.create(tmp_path / "c.db", ToySpace(), objective=goals, start=START[:3]) as c:
        c.tell(1, {"a": 1.0, "b": 2.0})
        with pytest.raises(UnknownNameError, match="'B'"):
            c.add_replicates(1, {"a": 5.0, "B": 6.0})
        with pytest.raises(ConfigError, match="measures a, b; give values by name"):
            c.add_replicates(1, 5.2)
        assert c.trials[0].replicates == {}


def test_add_again_with_computed_values_changes_nothing(tmp_path: Path) -> None:
    table = pd.DataFrame({"smiles": MOLECULES[5:35:10], "y": [1.5, 2.5, 3.5]})
    settings: dict[str, Any] = {"objective": "manual:y", "constraints": ["mw <= 500"]}
    with Campaign.create(tmp_path / "c.db", ToySpace(), start=START, **settings) as c:
        assert len(c.add(table)) == 3
        assert c.add(table) == []
        more = pd.DataFrame({"smiles": [MOLECULES[5], MOLECULES[45]], "y": [1.5, 4.5]})
        assert [trial.values["y"] for trial in c.add(more)] == [4.5]


def test_add_replicates_equal_to_the_earlier_ones_is_written(tmp_path: Path) -> None:
    with begin(tmp_path / "c.db") as campaign:
        campaign.correct(1, [5.0, 5.0], "two wells")
        assert campaign.add_replicates(1, 5.0).replicates == {"y": [5.0, 5.0, 5.0]}
        assert campaign.tell_all({1: [5.0, 5.0, 5.0]}) == []


def test_limits_of_the_start_are_replaced_by_a_correction(tmp_path: Path) -> None:
    start = pd.DataFrame({"smiles": [START[0], START[0], START[1]], "y": ["<5", "<4", "7"]})
    with Campaign.create(tmp_path / "c.db", ToySpace(), objective="manual:y", start=start) as c:
        assert c.trials[0].notes == {"limits of y": "<5; <4"}
        c.correct(1, "<10", "typo")
        assert c.trials[0].notes == {}
        trial = c.add_replicates(1, "<8")
        assert (trial.values, trial.notes) == ({"y": 8.0}, {"limits of y": "<10; <8"})
        c.correct(1, 10, "weighed again")
        assert c.changes()["before"].tolist()[0].startswith("<")


def test_add_of_standardized_molecules_follows_their_parents(tmp_path: Path) -> None:
    salt = f"{MOLECULES[5]}.Cl"
    with begin(tmp_path / "c.db") as campaign:
        (trial,) = campaign.add([salt], [5.0], standardize=True)
        assert (trial.smiles, trial.values) == (MOLECULES[5], {"y": 5.0})


def test_table_of_notes_named_as_columns_is_read_back(tmp_path: Path) -> None:
    start = pd.DataFrame({"smiles": START[:3], "y": [1.0, 2.0, None], "ID": ["A1", "A2", "A3"]})
    with Campaign.create(tmp_path / "c.db", ToySpace(), objective="manual:y", start=start) as c:
        table = c.table()
        assert table["note_ID"].tolist() == ["A1", "A2", "A3"]
        assert c.tell_all(table.assign(y=[1.0, 2.0, 3.0])) == [3]
        assert [trial.notes for trial in c.trials] == [{"ID": f"A{i}"} for i in (1, 2, 3)]
