"""Campaign files of others run no code, unless the user trusts them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from molvae.analysis.report import render
from molvae.analysis.server import serve
from molvae.campaign import trust
from molvae.campaign.campaign import Campaign
from molvae.campaign.storage import Storage
from molvae.campaign.trial import NewTrial
from molvae.errors import CampaignError
from molvae.objectives.counts import COUNTS
from molvae.objectives.parsing import PREFIXES_WITHOUT_CODE, runs_code
from molvae.objectives.registry import SIMILARITY_PREFIX
from tests.cli.conftest import Molvae
from tests.toys import ToySpace

ROOT = Path(__file__).parents[2]
TOUCH = "touch ran"
"""A molecule's text that a shell would take for a command."""
SPECS = (
    "os:system",
    " os:system",
    "os:system ",
    "evil:score",
    "command:touch ran",
    "os.path:exists",
)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another machine than that on which records were made."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(trust, "_known", set())


def goal(name: str, spec: str | None, **more: Any) -> dict[str, Any]:
    return {"name": name, "direction": "maximize", "spec": spec} | more


def write_foreign_file(
    path: Path, goals: list[dict[str, Any]], limits: list[dict[str, Any]]
) -> None:
    space = ToySpace()
    facts = {
        "format": 4, "created": "2026-01-01T00:00:00Z", "versions": {}, "objectives": goals,
        "limits": limits, "combine": "pareto", "seed": 0, "batch": 2, "start": 2, "dataset": None,
        "space": {"name": "toy", "fingerprint": space.fingerprint, "dim": 3},
        "strategy": {"name": "random", "settings": {}}, "skipped": 0, "duplicates": 0,
    }  # fmt: skip
    trials = [
        NewTrial(smiles=smiles, z=[0.0, 0.0, 0.0], origin="start")
        for smiles in (TOUCH, *space.molecules[:2])
    ]
    Storage.create(path, facts, trials).close()


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("where", ["goal", "limit"])
def test_commands_other_than_run_execute_no_code_of_a_foreign_file(
    elsewhere: None,
    molvae: Molvae,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    computed: bool,
    where: str,
) -> None:
    monkeypatch.setattr("molvae.latent.loading.load", lambda name, **_: ToySpace(str(name)))
    Path("evil.py").write_text("open('ran', 'w')\ndef score(smiles): open('ran', 'w'); return 1.0")
    record = tmp_path / "e.db"
    specs = {"os": " os:system", "evil": "evil:score", "touch": "command:touch ran"}
    goals, limits = [goal("y", "manual:y")], []
    for name, spec in specs.items():
        if where == "goal":
            goals.append(goal(name, spec, computed=computed))
        else:
            limits.append({"name": name, "spec": spec, "low": 0.0, "computed": computed})
    write_foreign_file(record, goals, limits)
    with Campaign.open(record) as campaign:
        campaign.tell(1, {"y": 0.5} | dict.fromkeys(specs, 1.0))
        with pytest.raises(CampaignError, match="--trust"):  # the others would be called
            campaign.tell(2, {"y": 0.5})
        campaign.ask(2)
        campaign.observations()
        campaign.table()
        repr(campaign)
        render(campaign)
    with serve(record, port=0):
        pass
    for words in (
        "tell e.db 3 0.5", "ask e.db -n 1", "export e.db", "report e.db", "retry e.db",
        "explore map toy mine.smi --place e.db",
    ):  # fmt: skip
        assert molvae(*words.split()).status in (0, 1)
    assert not Path("ran").exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize("spec", SPECS)
def test_run_of_a_foreign_file_needs_trust_and_remembers(
    elsewhere: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spec: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    Path("evil.py").write_text("def score(smiles): open('ran', 'w'); return 1.0")
    write_foreign_file(tmp_path / "e.db", [goal("y", spec)], [])
    with Campaign.open("e.db", ToySpace()) as campaign:
        assert campaign.code == (spec,)
        with pytest.raises(CampaignError, match=r"not created on this machine.*--trust"):
            campaign.run(3)
        assert all(trial.status == "pending" for trial in campaign.trials)
    assert not Path("ran").exists()
    with Campaign.open("e.db", ToySpace(), trust=True) as campaign:
        assert trust.is_trusted(campaign.metadata)
    monkeypatch.setattr(trust, "_known", set())  # another process
    shutil.copy("e.db", "copy.db")
    with Campaign.open("copy.db", ToySpace()) as campaign:
        assert trust.is_trusted(campaign.metadata)
        assert not trust.is_trusted(campaign.metadata | {"seed": 1})
    sys.modules.pop("evil", None)


def test_run_of_a_file_created_here_needs_no_trust(
    elsewhere: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    Path("dock.py").write_text("def score(smiles): return float(len(smiles))")
    start = ToySpace().molecules[:3]
    Campaign.create(
        "a.db", ToySpace(), objective="dock:score", start=start, strategy="random"
    ).close()
    monkeypatch.setattr(trust, "_known", set())
    with Campaign.open("a.db", ToySpace()) as campaign:
        campaign.run(4)
        assert [trial.status for trial in campaign.trials] == ["complete"] * 4
    sys.modules.pop("dock", None)


def test_run_without_a_writable_state_folder_ends_without_error(
    elsewhere: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    start = ToySpace().molecules[:3]
    with Campaign.create(
        tmp_path / "a.db", ToySpace(), objective="builtins:len", start=start, strategy="random"
    ):
        pass
    with Campaign.open(tmp_path / "a.db", ToySpace()) as campaign:
        campaign.run(3)
        assert [trial.status for trial in campaign.trials] == ["complete"] * 3


def test_optimize_naming_the_code_trusts_the_code(
    elsewhere: None,
    molvae: Molvae,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("molvae.latent.loading.load", lambda name, **_: ToySpace(str(name)))
    (tmp_path / "dock.py").write_text("def score(smiles): return float(len(smiles))")
    (tmp_path / "s.smi").write_text("\n".join(ToySpace().molecules[:3]))
    made = {
        "--objective dock:score": "a.db",
        "--objective n --command 'wc -c'": "b.db",
        "--goals dock:score 'minimize sas'": "c.db",
        "--objective qed --limits 'dock:score >= 0'": "d.db",
    }
    more = shlex.split("--space toy --start s.smi --strategy random --batch 1 --budget 3")
    for flags, record in made.items():
        assert molvae("optimize", record, *shlex.split(flags), *more).status == 0
    shutil.rmtree(tmp_path / "state")
    trust._known.clear()
    for flags, record in made.items():
        words = ["optimize", record, "--budget", "4"]
        done = molvae(*words)
        assert done.status == 1
        assert "--trust" in done.err
        assert molvae(*words, *shlex.split(flags)).status == 0
        assert molvae(*words[:3], "5").status == 0  # remembered
    shutil.rmtree(tmp_path / "state")
    trust._known.clear()
    assert molvae("optimize", "a.db", "--budget", "6", "--trust").status == 0
    sys.modules.pop("dock", None)


def test_campaign_without_code_writes_no_trust_file(elsewhere: None, tmp_path: Path) -> None:
    start = ToySpace().molecules[:3]
    Campaign.create(
        tmp_path / "a.db", ToySpace(), objective="qed", start=start, strategy="random"
    ).close()
    Campaign.open(tmp_path / "a.db", trust=True).close()
    assert not (tmp_path / "state").exists()


def test_runs_code_is_false_for_all_prefixes_of_molvae() -> None:
    assert set(PREFIXES_WITHOUT_CODE) == {"manual:", SIMILARITY_PREFIX, *COUNTS}
    for spec in ("qed", "guacamol/osimertinib_mpo", "similarity:CCO", " alerts:PAINS", "manual:y"):
        assert not runs_code(spec)
    for spec in SPECS:
        assert runs_code(spec)


@pytest.mark.slow
def test_run_in_another_state_folder_needs_trust(tmp_path: Path) -> None:
    """As the user has it: one process makes a record, another one, elsewhere, is given it."""
    code = textwrap.dedent(
        """
        import sys
        from molvae.campaign.campaign import Campaign
        from tests.toys import ToySpace
        if sys.argv[1] == "make":
            start = ToySpace().molecules[:3]
            c = Campaign.create("a.db", ToySpace(), objective="builtins:len", start=start,
                                strategy="random")
        else:
            c = Campaign.open("a.db", ToySpace())
        try:
            c.run(3 if sys.argv[1] == "make" else 4)
        except Exception as error:
            print(type(error).__name__)
        """
    )
    said = []
    for what, state in (("make", "here"), ("go on", "there"), ("go on", "here")):
        done = subprocess.run(
            [sys.executable, "-c", code, what],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path / state)},
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(done.stdout.strip())
    assert said == ["", "CampaignError", ""]
    (kept,) = (tmp_path / "here" / "molvae" / "trusted").iterdir()
    assert json.loads(kept.read_text())["runs"] == ["builtins:len"]


STRATEGY = """
from molvae.bo.strategies.random import Random

class Mine:
    name = "mine"

    def propose(self, observations, space, n, *, seed):
        open("ran", "w").close()
        return Random().propose(observations, space, n, seed=seed)
"""


def test_strategy_of_a_module_is_imported_only_if_trusted(
    elsewhere: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    Path("mine_strategy.py").write_text(STRATEGY)
    space, text = ToySpace(), "mine_strategy:Mine"
    start = space.molecules[:3]
    with Campaign.create("m.db", space, objective="qed", strategy=text, start=start) as campaign:
        assert (campaign.code, campaign.config.strategy) == ((text,), text)
        campaign.run(4)
    assert Path("ran").exists()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    monkeypatch.setattr(trust, "_known", set())
    sys.modules.pop("mine_strategy")
    with (
        Campaign.open("m.db", space) as campaign,
        pytest.raises(CampaignError, match="--trust"),
    ):
        campaign.ask(1)
    assert "mine_strategy" not in sys.modules
    with Campaign.open("m.db", space, trust=True) as campaign:
        assert campaign.ask(1)[0].origin == "mine"
