"""Commands replace only files that they wrote themselves as the same kind of output."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from molvae._files import add_stamp
from molvae.analysis.export import write_table
from molvae.analysis.figures import write_figures
from molvae.analysis.model_figures import draw_measures
from molvae.analysis.report import write_report
from molvae.analysis.style import save_figure
from molvae.campaign.campaign import Campaign
from tests.cli.conftest import Molvae
from tests.toys import ToySpace, begin

MEASURED = "smiles,value\nCCO,5.1\n"
CREATE = [
    "--space",
    "toy",
    "--objective",
    "qed",
    "--start",
    "start.smi",
    "--budget",
    "4",
    "--batch",
    "2",
    "--strategy",
    "random",
]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("record") / "rec.db"
    with begin(path) as campaign:
        campaign.run(10)
    return path


@pytest.fixture
def here(molvae: Molvae, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, record: Path) -> Path:
    """A folder with what users have in one: records, tables, a model folder, their own files."""
    monkeypatch.setattr("molvae.latent.loading.load", lambda name, **_: ToySpace(str(name)))
    for name in ("rec.db", "rec.csv", "rec.html", "rec.svg", "rec.json"):
        shutil.copy(record, tmp_path / name)
    (tmp_path / "start.smi").write_text("\n".join(ToySpace().molecules[:3]))
    for ending in ("csv", "tsv", "sdf", "parquet", "html", "svg", "png", "pdf", "json", "py"):
        (tmp_path / f"mine.{ending}").write_text(MEASURED)
    (tmp_path / "index.html").write_text("<html><head></head><body>mine</body></html>")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n mine")
    (tmp_path / "model").mkdir()
    for name in ("model.json", "model.safetensors", "metrics.jsonl"):
        (tmp_path / "model" / name).write_text('{"kind": "sequence-vae"}')
    (tmp_path / "data").mkdir()
    for name in ("prepare.json", "train.smi", "train.csv"):
        (tmp_path / "data" / name).write_text('{"format": 1, "splits": {}}')
    (tmp_path / "link.html").symlink_to("rec.db")
    os.link(tmp_path / "rec.db", tmp_path / "hard.csv")
    return tmp_path


@pytest.fixture
def unchanged(here: Path) -> Iterator[None]:
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    yield
    assert {p: p.read_bytes() for p in here.rglob("*") if p.is_file()} == before


REFUSED = [
    # the record itself, by its name, by a link, by another spelling, by a default
    "report rec.db rec.db",
    "report rec.html",
    "report rec.db ./rec.db",
    "report rec.db data/../rec.db",
    "report rec.db link.html",
    "export rec.csv rec.csv",
    "export rec.db hard.csv",
    "ask rec.csv --waiting --out rec.csv",
    "ask rec.db --waiting --out rec.csv",
    "report rec.db rec.db-wal",
    "report rec.db rec.db-lock",
    "optimize rec.db --budget 10 --report rec.db",
    "optimize rec.db --budget 10 --report rec.html",
    "optimize new.db --report new.db",
    "optimize new.db --report NEW.db",
    "optimize new.db --report new.db-journal",
    "optimize new.db --report rec.html",
    "optimize new.db --report start.smi",
    "optimize rec.db-lock",
    "ask new.csv --create --out new.csv",
    "ask new.csv --create --out rec.csv",
    # what users have written
    "report rec.db mine.csv",
    "report rec.db index.html",
    "report rec.db mine.html",
    "optimize rec.db --budget 10 --report mine.csv",
    "optimize rec.db --budget 10 --report index.html",
    "optimize new.db --report mine.py",
    "export rec.db mine.csv",
    "export rec.db mine.tsv",
    "export rec.db mine.sdf",
    "export rec.db mine.parquet",
    "ask rec.db --waiting --out mine.csv",
    "ask rec.db --waiting --out mine.sdf",
    # model and data folders
    "report rec.db model/model.json",
    "report rec.db model/model.safetensors",
    "report rec.db model/prior.safetensors",
    "export rec.db data/train.csv",
    "export rec.db data/valid.csv",
    "prepare start.smi model",
    "prepare start.smi .",
    "prepare data/train.smi data",
    "prepare start.smi rec.db",
    "train --data data --out data",
    "train --data data --out rec.db",
    "evaluate toy --data start.smi --out rec.json",
    "evaluate toy --data start.smi --out rec.db",
    "evaluate toy --data start.smi --out mine.json",
    "evaluate toy --data start.smi --out start.smi",
    "evaluate toy --data start.smi --out model/model.json",
    "evaluate toy --data start.smi --out data/prepare.json",
    "evaluate toy --data start.smi --out new.svg --figure new.svg",
    # figures
    "evaluate toy --data start.smi --figure rec.svg",
    "evaluate toy --data start.smi --figure photo.png",
    "explore interpolate toy CCO CCN --figure rec.svg",
    "explore interpolate toy CCO CCN --figure mine.svg",
    "explore neighbors toy CCO --figure photo.png",
    "explore traverse toy CCO --along logP --figure mine.pdf",
    "explore analogy toy C CC CCC --figure rec.svg",
    "explore ascend toy start.smi --target rec.db --figure rec.svg",
    "explore map toy start.smi --figure photo.png",
    "report rec.db new.html --figures mine.csv",
]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("command", REFUSED)
def test_commands_refuse_to_replace_foreign_files(
    molvae: Molvae, unchanged: None, command: str, overwrite: bool
) -> None:
    words = command.split()
    if "new.db" in words or "new.csv" in words[:2] or words[1] == "rec.db-lock":
        words += CREATE if words[0] == "optimize" else [*CREATE[:6], *CREATE[8:]]
    done = molvae(*words, *(["--overwrite"] if overwrite else []))
    done.fails(1)
    assert re.search(
        "choose another|not replaced|nothing .*replaces|has to be a folder", done.err
    ), done.err


def test_report_figures_of_others_are_kept_with_overwrite(molvae: Molvae, here: Path) -> None:
    (here / "figures").mkdir()
    (here / "figures" / "progress.svg").write_text("mine")
    words = ["report", "rec.db", "new.html", "--figures", "figures"]
    for more in ([], ["--overwrite"]):
        molvae(*words, *more).fails(1, "progress.svg")
    assert (here / "figures" / "progress.svg").read_text() == "mine"
    words = ["report", "rec.db", "figures/map.svg", "--figures", "figures", "--overwrite"]
    (here / "figures" / "progress.svg").unlink()
    molvae(*words).fails(1, "map.svg")
    assert list((here / "figures").iterdir()) == []


@pytest.mark.parametrize("out", ["r.pdf", "r", "r.html.gz"])
def test_report_with_another_file_ending_fails(molvae: Molvae, here: Path, out: str) -> None:
    molvae("report", "rec.db", out).fails(1, f"{out}: a report is .html or .htm")
    assert not (here / out).exists()


def test_commands_overwrite_replaces_their_own_outputs(
    molvae: Molvae, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.analysis.style.PNG_DPI", 50)
    for command in (
        "export rec.db t.csv",
        "export rec.db t.tsv",
        "export rec.db t.sdf",
        "export rec.db t.parquet",
        "ask rec.db --waiting --out s.csv",
        "report rec.db r.html --figures figures",
        "report rec.db r.html --figures figures --figure-format png",
    ):
        words = command.split()
        if "png" not in words:
            assert molvae(*words).status == 0
        molvae(*words).fails(1, "exists", "--overwrite")
        assert molvae(*words, "--overwrite").status == 0, command
    # a sheet and a table of all trials are two kinds; a report is neither
    assert molvae("export", "rec.db", "full.csv").status == 0
    molvae("export", "rec.db", "s.csv", "--overwrite").fails(1, "s.csv")
    molvae("ask", "rec.db", "--waiting", "--out", "full.csv", "--overwrite").fails(1, "full.csv")
    os.rename(here / "r.html", here / "r.csv")
    molvae("export", "rec.db", "r.csv", "--overwrite").fails(1, "did not write it as")


def test_ask_overwrite_refuses_a_sheet_with_values(molvae: Molvae, here: Path) -> None:
    assert molvae("ask", "rec.db", "--waiting", "--out", "plate.csv").status == 0
    text = (here / "plate.csv").read_text().replace("percentile", "percentile,value")
    (here / "plate.csv").write_text(text)
    words = ["ask", "rec.db", "--waiting", "--out", "plate.csv", "--overwrite"]
    molvae(*words).fails(1, "plate.csv")
    assert (here / "plate.csv").read_text() == text


def test_export_overwrite_refuses_a_table_with_an_added_column(molvae: Molvae, here: Path) -> None:
    for name in ("t.csv", "t.sdf"):
        assert molvae("export", "rec.db", name).status == 0
        assert molvae("export", "rec.db", name, "--overwrite").status == 0
        text = (here / name).read_text()
        text = text.replace("smiles", "my_ic50,smiles", 1).replace(
            ">  <id>", ">  <my>\n1\n\n>  <id>"
        )
        (here / name).write_text(text)
        molvae("export", "rec.db", name, "--overwrite").fails(1, name)
        assert (here / name).read_text() == text


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.sdf", "t.parquet"])
def test_export_overwrite_refuses_a_table_with_typed_cells(
    molvae: Molvae, here: Path, name: str
) -> None:
    file = here / name
    with begin(here / "c.db", n=6) as campaign:
        campaign.run(4)
        campaign.tell(5, None, "no pose")
        smiles = campaign.trials[5].smiles
    table = Campaign.open("c.db").table()
    for column, cell in (("hill", 5.25), ("message", "ask Ann"), ("status", "later")):
        edited = table.astype({column: object})
        edited.loc[5, column] = cell
        write_table(edited, file)
        before = file.read_bytes()
        molvae("export", "c.db", name, "--overwrite").fails(1, column, str(cell))
        assert file.read_bytes() == before
        file.unlink()
    assert molvae("export", "c.db", name).status == 0
    with Campaign.open("c.db") as campaign:  # the table grows old, which is no edit
        campaign.tell(6, 5.25, notes={"plate": "7"})
        campaign.retry()
    for _ in range(2):
        assert molvae("export", "c.db", name, "--overwrite").status == 0
    assert smiles in file.read_text(encoding="latin-1")


def test_ask_overwrite_of_a_sheet_with_typed_cells_proposes_nothing(
    molvae: Molvae, here: Path
) -> None:
    assert molvae("ask", "rec.db", "-n", 2, "--out", "s.csv").status == 0
    text = (here / "s.csv").read_text()
    assert molvae("ask", "rec.db", "-n", 2, "--out", "s.csv", "--overwrite").status == 0
    header, first, *_ = text.splitlines()
    (here / "s.csv").write_text(f"{header}\n{first.rpartition(',')[0]},5.1\n")
    with Campaign.open("rec.db") as campaign:
        n = len(campaign)
    molvae("ask", "rec.db", "-n", 2, "--out", "s.csv", "--overwrite").fails(1, "5.1", "QED")
    with Campaign.open("rec.db") as campaign:
        assert len(campaign) == n


def test_optimize_resumed_updates_its_report(molvae: Molvae, here: Path) -> None:
    words = ["optimize", "new.db", *CREATE, "--report", "new.html"]
    assert molvae(*words).status == 0
    first = (here / "new.html").read_text()
    assert molvae(*words).status == 0
    (here / "new.db").unlink()
    molvae(*words).fails(1, "new.html exists")  # of a campaign of before
    assert (here / "new.html").read_text()[:100] == first[:100]


def test_optimize_resumed_keeps_the_report_of_another_campaign(molvae: Molvae, here: Path) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        words = ["optimize", f"{name}.db", *CREATE, "--seed", str(seed), "--report", f"{name}.html"]
        assert molvae(*words).status == 0
    before = (here / "two.html").read_bytes()
    molvae("optimize", "one.db", "--budget", 5, "--report", "two.html").fails(1, "two.html exists")
    assert (here / "two.html").read_bytes() == before
    words = ["optimize", "one.db", "--budget", 5, "--report", "two.html", "--overwrite"]
    assert molvae(*words).status == 0


def test_evaluate_overwrite_replaces_its_own_measures_only(molvae: Molvae, here: Path) -> None:
    about = {"about": {"fingerprint": "", "versions": {}}, "result": {}}
    ours = add_stamp(json.dumps(about, indent=1).encode(), "measures")
    edited = ours.replace(b"{}", b"1", 1)
    for content, status in ((ours, True), (edited, False), (b'{"about": 1}', False)):
        (here / "m.json").write_bytes(content)
        words = ["evaluate", "toy", "--data", "nothing.smi", "--out", "m.json", "--overwrite"]
        done = molvae(*words)
        assert done.status == 1
        assert ("nothing.smi" in done.err) == status  # it came as far as reading that


def test_functions_refuse_to_replace_foreign_files(here: Path, unchanged: None) -> None:
    with Campaign.open("rec.db") as campaign:
        table = campaign.table()
        for write in (
            lambda: write_report(campaign, "rec.db", overwrite=True),
            lambda: write_report("rec.db", "rec.db", overwrite=True),
            lambda: write_report(campaign, "mine.csv", overwrite=True),
            lambda: write_table(table, Path("rec.csv"), overwrite=True),
            lambda: write_table(table, Path("mine.csv"), overwrite=True),
            lambda: write_figures(campaign, "mine.csv", overwrite=True),
            lambda: draw_measures({}, "rec.svg", overwrite=True),
            lambda: draw_measures({}, "photo.png", overwrite=True),
            lambda: save_figure(Figure(), "rec.svg", overwrite=True),
        ):
            with pytest.raises(Exception, match=r"rec|mine|photo") as caught:
                write()
            assert type(caught.value).__module__ == "molvae.errors"
