"""`Storage`: what a campaign file keeps, and how writes, crashes and damaged files are handled."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from molvae.campaign.schema import FORMAT
from molvae.campaign.storage import Storage
from molvae.campaign.trial import NewTrial, Outcome
from molvae.errors import CampaignError
from tests.toys import begin

ROOT = Path(__file__).parents[2]
FACTS = {"seed": 0, "objectives": [{"name": "y"}]}
ONE = NewTrial(smiles="CCO", z=[0.1, -2.0], origin="start")
TWO = NewTrial(smiles="CCN", z=[1 / 3, 1e-300], origin="start")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a record?.db"  # a name that a URI would mangle


def complete_outcome(values: dict[str, float], message: str = "") -> Outcome:
    return Outcome(complete=True, values=values, message=message)


def files_beside(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir())


def test_storage_reads_written_trials(path: Path) -> None:
    with Storage.create(path, FACTS, [ONE, TWO]) as store:
        assert store.metadata() == FACTS
        store.tell(2, complete_outcome({"y": 1 / 3}, message="fine"))
    with Storage.open(path) as store:
        first, second = store.trials()
        assert (first.id, first.smiles, first.origin, first.status) == (
            1,
            "CCO",
            "start",
            "pending",
        )
        assert (first.values, first.message, first.told_at) == ({}, "", None)
        assert (second.values, second.message, second.status) == ({"y": 1 / 3}, "fine", "complete")
        assert second.z.tolist() == [1 / 3, 1e-300]
        assert second.asked_at.endswith("Z")
        assert (second.told_at or "") >= second.asked_at
        assert store.trials([2]) == [second]
        assert store.count() == 2
    assert files_beside(path) == [path.name]


def test_storage_create_with_outcomes_has_their_status(path: Path) -> None:
    known = NewTrial(smiles="C", z=[0.0, 0.0], origin="start", outcome=complete_outcome({"y": 2.0}))
    failed = NewTrial(
        smiles="N", z=[0.0, 0.0], origin="start", outcome=Outcome(complete=False, message="broke")
    )
    with Storage.create(path, FACTS, [known, failed, ONE]) as store:
        assert [t.status for t in store.trials()] == ["complete", "failed", "pending"]


def test_storage_keeps_values_of_several_objectives(path: Path) -> None:
    with Storage.create(path, FACTS, [ONE]) as store:
        store.tell(1, complete_outcome({"b": 2.0, "a": 1.0}))
        assert store.trials()[0].values == {"a": 1.0, "b": 2.0}


def test_storage_tell_twice_raises(path: Path) -> None:
    with Storage.create(path, FACTS, [ONE, TWO]) as store:
        told_at = store.tell(1, complete_outcome({"y": 0.83})).told_at
        with pytest.raises(
            CampaignError,
            match=rf"trial 1 \(CCO\) has the outcome 0.83 \(y\), reported on {told_at}",
        ):
            store.tell(1, complete_outcome({"y": 0.9}))
        store.tell(2, Outcome(complete=False))
        with pytest.raises(
            CampaignError, match=r"trial 2 \(CCN\) has the outcome failed, reported on"
        ):
            store.tell(2, complete_outcome({"y": 0.9}))
        assert store.trials()[0].values == {"y": 0.83}


def test_storage_retry_asks_failed_trials_again_and_keeps_earlier_failures(path: Path) -> None:
    with Storage.create(path, FACTS, [ONE, TWO]) as store:
        store.tell(
            1, Outcome(complete=False, values={"y": 1.0}, notes={"n": "a"}, message="no licence")
        )
        with pytest.raises(CampaignError, match="trial 2 has not failed"):
            store.retry([1, 2])
        assert [trial.status for trial in store.trials()] == ["failed", "pending"]
        (again,) = store.retry([1])
        assert (again.status, again.message, again.told_at) == ("pending", "", None)
        assert (again.values, again.notes) == ({}, {})
        assert [failure.message for failure in again.earlier_failures] == ["no licence"]
        store.tell(1, Outcome(complete=False, message="again"))
        store.retry([1])
        store.tell(1, complete_outcome({"y": 2.0}, message="at last"))
        with pytest.raises(CampaignError, match="the outcome 2"):
            store.tell(1, complete_outcome({"y": 3.0}))
    with Storage.open(path) as store:
        first = store.trials()[0]
        assert (first.status, first.values, first.message) == ("complete", {"y": 2.0}, "at last")
        assert [failure.message for failure in first.earlier_failures] == ["no licence", "again"]
        assert store.n_distinct("y") == (1, 1)


def test_storage_keeps_surrogate_characters_as_escapes(path: Path) -> None:
    with Storage.create(path, FACTS, [ONE]) as store:
        outcome = Outcome(
            complete=True, values={"\udcff": 1.0}, notes={"\ud800": "\udfff"}, message="a\udcffb"
        )
        trial = store.tell(1, outcome)
    assert (trial.message, trial.values) == (r"a\udcffb", {r"\udcff": 1.0})
    assert trial.notes == {r"\ud800": r"\udfff"}


def test_storage_tell_of_unknown_trial_raises(path: Path) -> None:
    with (
        Storage.create(path, FACTS, [ONE]) as store,
        pytest.raises(CampaignError, match="has no trial 7; it has 1"),
    ):
        store.tell(7, complete_outcome({"y": 1.0}))


def test_storage_ask_is_atomic(path: Path) -> None:
    with Storage.create(path, FACTS, [ONE]) as store:
        with pytest.raises(CampaignError, match=r"UNIQUE constraint failed: trial.smiles"):
            store.ask([TWO, ONE], expected=1)
        assert store.count() == 1
        assert [t.id for t in store.ask([TWO], expected=1)] == [2]


def test_storage_tell_is_atomic(path: Path) -> None:
    with Storage.create(path, FACTS, [ONE]) as store:
        with pytest.raises(CampaignError, match="NOT NULL"):
            store.tell(1, complete_outcome({"y": float("nan")}))  # SQLite keeps NaN as NULL
        assert store.trials()[0].status == "pending"


def test_storage_ask_after_another_process_raises(path: Path) -> None:
    with Storage.create(path, FACTS, [ONE]) as store, Storage.open(path) as other:
        other.ask([TWO], expected=1)
        with pytest.raises(CampaignError, match="1 trials were asked by another process"):
            store.ask([NewTrial(smiles="C", z=[0, 0], origin="x")], expected=1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE value SET value = 1.0",
        "UPDATE trial SET smiles = 'C'",
        "DELETE FROM outcome",
        "DELETE FROM campaign",
        "INSERT OR REPLACE INTO value VALUES (1, 'y', 9.0, NULL, NULL, NULL)",
        "UPDATE outcome SET status = 'asked'",
        "INSERT OR REPLACE INTO outcome VALUES (1, 1, 'failed', '', '')",
    ],
)
def test_storage_rows_refuse_update_and_delete(path: Path, statement: str) -> None:
    with Storage.create(path, FACTS, [ONE]) as store:
        store.tell(1, complete_outcome({"y": 0.5}))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA recursive_triggers = ON")
    with pytest.raises(sqlite3.IntegrityError, match="facts of a record are not changed"):
        connection.execute(statement)
    connection.close()
    with Storage.open(path) as store:
        assert store.trials()[0].values == {"y": 0.5}


def test_storage_uses_wal_with_full_sync(path: Path) -> None:
    with Storage.create(path, FACTS, [ONE]) as store:
        pragma = store._connection.execute
        assert pragma("PRAGMA journal_mode").fetchone() == ("wal",)
        assert pragma("PRAGMA synchronous").fetchone() == (2,)
        assert pragma("PRAGMA foreign_keys").fetchone() == (1,)


def test_storage_file_without_the_log_has_all_rows(path: Path, tmp_path: Path) -> None:
    """Also while the record is open, and after the process that wrote it was killed."""
    with Storage.create(path, FACTS, [ONE, TWO]) as store:
        for n, trial in enumerate((1, 2)):
            store.tell(trial, complete_outcome({"y": 0.5}))
            shutil.copy(path, tmp_path / f"copy-{n}.db")
            with Storage.open(tmp_path / f"copy-{n}.db") as copy:
                assert [t.status for t in copy.trials()] == [t.status for t in store.trials()]
    code = (
        "import os, sys\nfrom molvae.campaign.storage import Storage\n"
        "from molvae.campaign.trial import NewTrial\n"
        "store = Storage.open(sys.argv[1])\n"
        "store.ask([NewTrial(smiles='C', z=[0.0, 0.0], origin='x')], expected=2)\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    shutil.copy(path, tmp_path / "copy.db")
    with Storage.open(tmp_path / "copy.db") as copy:
        assert copy.count() == 3


def test_storage_file_has_all_rows_with_an_open_reader(path: Path, tmp_path: Path) -> None:
    with Storage.create(path, FACTS, [ONE, TWO]) as store, Storage.open(path) as reader:
        reader.trials()
        store.tell(1, complete_outcome({"y": 0.5}))
        shutil.copy(path, tmp_path / "copy.db")
    with Storage.open(tmp_path / "copy.db") as copy:
        assert copy.trials()[0].values == {"y": 0.5}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON value BEGIN SELECT RAISE(IGNORE); END",
        "CREATE VIEW v AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) "
        "SELECT x FROM c",
        "CREATE TABLE mine (x)",
        "CREATE INDEX i ON trial (abs(id))",
        "DROP TRIGGER trial_update",
        "DROP INDEX outcome_trial",
        "ALTER TABLE trial ADD COLUMN x TEXT",
        "ALTER TABLE trial RENAME TO hidden; CREATE VIEW trial AS SELECT * FROM hidden",
        "ANALYZE",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 1",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = "
        "replace(sql, 'BLOB NOT NULL', 'BLOB') WHERE name = 'trial'",
    ],
)
def test_storage_open_with_a_foreign_schema_raises(path: Path, statement: str) -> None:
    Storage.create(path, FACTS, [ONE]).close()
    connection = sqlite3.connect(path)
    connection.executescript(statement)
    connection.close()
    with pytest.raises(CampaignError, match=r"molvae did not make|is damaged") as caught:
        Storage.open(path)
    assert "\n" not in str(caught.value)


def test_storage_open_of_a_pipe_raises(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(CampaignError, match="no file"):
        Storage.open(path)


def test_storage_tell_by_parallel_threads_keeps_all_values(path: Path) -> None:
    trials = [NewTrial(smiles="C" * n, z=[0.0], origin="start") for n in range(1, 81)]
    with Storage.create(path, FACTS, trials) as store, ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: store.tell(n, complete_outcome({"y": float(n)})), range(1, 81)))
        assert [t.values for t in store.trials()] == [{"y": float(n)} for n in range(1, 81)]
        assert files_beside(path) == [path.name, f"{path.name}-shm", f"{path.name}-wal"]
    assert files_beside(path) == [path.name]


def test_storage_lock_is_shared_by_threads(path: Path) -> None:
    with Storage.create(path, FACTS, [ONE, TWO]) as store, ThreadPoolExecutor(1) as thread:
        with store.writing("run"):
            thread.submit(store.tell, 1, complete_outcome({"y": 1.0})).result()
            # It is still held: another process would have to wait.
            assert path.with_name(f"{path.name}-lock").exists()
        assert not path.with_name(f"{path.name}-lock").exists()


def test_storage_lock_holds_across_links_to_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.campaign.lock.LOCK_TIMEOUT_SECONDS", 0.05)
    Storage.create(path, FACTS, [ONE]).close()
    link = path.with_name("link.db")
    link.symlink_to(path)
    with Storage.open(path) as store, Storage.open(link) as other:
        with store.writing("run"), pytest.raises(CampaignError, match=r"another process \(run"):
            other.tell(1, complete_outcome({"y": 1.0}))
        other.tell(1, complete_outcome({"y": 1.0}))


def test_storage_path_is_independent_of_the_working_folder(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(path.parent)
    with Storage.create(path.name, FACTS, [ONE]) as store:
        other = tmp_path_factory.mktemp("elsewhere")
        monkeypatch.chdir(other)
        store.tell(1, complete_outcome({"y": 1.0}))
        assert store.path == path
    assert list(other.iterdir()) == []
    assert files_beside(path) == [path.name]


def test_storage_create_over_an_existing_file_raises(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(CampaignError, match="exists; open it to go on with it, or choose another"):
        Storage.create(path, FACTS)
    assert path.read_text() == "precious"
    assert files_beside(path) == [path.name]


def test_storage_create_beside_an_old_log_raises(path: Path) -> None:
    path.with_name(path.name + "-wal").write_bytes(b"old")
    with pytest.raises(CampaignError, match="left of a deleted campaign file"):
        Storage.create(path, FACTS)


def test_storage_create_failing_leaves_no_file(path: Path) -> None:
    with pytest.raises(CampaignError, match="UNIQUE"):
        Storage.create(path, FACTS, [ONE, ONE])
    assert files_beside(path) == []


def test_storage_create_in_a_missing_folder_raises(path: Path) -> None:
    with pytest.raises(CampaignError, match=r"there is no folder .*; make it first"):
        Storage.create(path.parent / "no" / "a.db", FACTS)


@pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere"
)
def test_storage_create_without_permission_raises(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(CampaignError, match="no permission"):
            Storage.create(path, FACTS)
    finally:
        path.parent.chmod(0o700)


def test_storage_open_of_other_files_raises(path: Path) -> None:
    with pytest.raises(CampaignError, match="there is no campaign file"):
        Storage.open(path)
    with pytest.raises(CampaignError, match="cannot read"):
        Storage.open(path.parent)
    path.write_bytes(b"")
    with pytest.raises(CampaignError, match="is empty, and not a campaign file"):
        Storage.open(path)
    path.write_text("smiles,value\nCCO,1\n")
    with pytest.raises(CampaignError, match="is not a campaign file"):
        Storage.open(path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE trial (id)")
    connection.close()
    with pytest.raises(CampaignError, match="database of another program"):
        Storage.open(path)
    assert files_beside(path) == [path.name]


def test_storage_open_of_a_newer_format_raises(path: Path) -> None:
    Storage.create(path, FACTS).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    with pytest.raises(
        CampaignError, match=rf"format {FORMAT + 1}, made by a newer molvae.*update molvae"
    ):
        Storage.open(path)


@pytest.mark.parametrize("keep", [50, 100, 4096, 0.5, 0.9])
def test_storage_open_of_a_truncated_file_raises(path: Path, keep: float) -> None:
    trials = [NewTrial(smiles="C" * n, z=[0.0] * 64, origin="start") for n in range(1, 60)]
    Storage.create(path, FACTS, trials).close()
    content = path.read_bytes()
    path.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    with pytest.raises(CampaignError, match="is damaged") as caught:
        Storage.open(path)
    assert "\n" not in str(caught.value)


def test_storage_after_close_raises(path: Path) -> None:
    store = Storage.create(path, FACTS)
    store.close()
    store.close()
    with pytest.raises(CampaignError, match="is closed; open it again"):
        store.count()


def test_storage_tell_interrupted_is_undone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Storage.create(path, FACTS, [ONE]) as store:

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(store, "_insert_outcome", interrupted)
            with pytest.raises(KeyboardInterrupt):
                store.tell(1, complete_outcome({"y": 1.0}))
        assert store.trials()[0].status == "pending"
        assert store.tell(1, complete_outcome({"y": 1.0})).status == "complete"


def test_campaign_module_imports_no_torch() -> None:
    code = "import sys, molvae.campaign.campaign; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_storage_keeps_errors_replicates_and_notes(path: Path) -> None:
    outcome = Outcome(
        complete=False,
        values={"a": 1.5, "b": 0.1},
        errors={"a": 0.25},
        replicates={"a": [1.0, 2.0]},
        notes={"plate": "7; 'B'", "ünit": ""},
        message="c is lacking",
    )
    with Storage.create(path, FACTS, [ONE, TWO]) as store:
        store.tell(1, outcome)
    with Storage.open(path) as store:
        trial, other = store.trials()
        assert (trial.status, trial.values, trial.errors) == ("failed", outcome.values, {"a": 0.25})
        assert (trial.replicates, trial.notes) == ({"a": [1.0, 2.0]}, outcome.notes)
        assert (other.errors, other.replicates, other.notes) == ({}, {}, {})


def test_storage_keeps_percentiles_or_none(path: Path) -> None:
    known = NewTrial(smiles="C", z=[0.0, 0.0], origin="random", percentile=12.5)
    with Storage.create(path, FACTS, [ONE, known]) as store:
        store.tell(2, complete_outcome({"y": 1.0}))
    with Storage.open(path) as store:
        assert [trial.percentile for trial in store.trials()] == [None, 12.5]


def test_storage_on_a_full_disk_raises_and_keeps_earlier_values(path: Path) -> None:
    """The largest file that the process may write is hardly larger than the record."""
    Storage.create(path, FACTS, [ONE, TWO]).close()
    tell = f"""
import os, resource, signal
from molvae.campaign.storage import Storage
from molvae.campaign.trial import NewTrial, Outcome
from molvae.errors import CampaignError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Storage.open({str(path)!r}) as store:
    store.tell(1, Outcome(complete=True, values={{"y": 0.5}}))
    size = os.path.getsize({str(path)!r} + "-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
    try:
        store.ask([NewTrial(smiles="C" * 20_000, z=[0.0], origin="start")], expected=2)
    except CampaignError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.tell(2, Outcome(complete=True, values={{"y": 0.7}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", tell], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert re.search("(disk|full).*; nothing of this step was written", done.stdout), done
    with Storage.open(path) as store:
        assert [trial.values for trial in store.trials()] == [{"y": 0.5}, {"y": 0.7}]


def test_storage_without_write_permission_reads_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests may run as root, who may write everywhere: so the answer of `access` is replaced."""
    with Storage.create(path, FACTS, [ONE]) as store:
        store.tell(1, complete_outcome({"y": 0.5}))
    before = files_beside(path)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with Storage.open(path) as store:
        assert store.trials()[0].values == {"y": 0.5}
        assert files_beside(path) == before
        with pytest.raises(CampaignError, match="it may only be read here"):
            store.ask([TWO], expected=1)


def test_storage_of_a_forked_process_refuses_to_write(path: Path) -> None:
    with begin(path) as campaign:
        child = os.fork()
        if not child:
            try:
                campaign.tell(1, 0.5)
            except CampaignError as error:
                os._exit(3 if "another process" in str(error) else 4)
            finally:
                os._exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        assert campaign.trials[0].status == "pending"


@pytest.mark.parametrize("kind", ["file", "pipe", "link", "folder"])
def test_storage_lock_replaces_no_foreign_file(path: Path, kind: str) -> None:
    begin(path).close()
    lock = path.with_name(path.name + "-lock")
    if kind == "file":
        lock.write_text("notes\n")
    elif kind == "pipe":
        os.mkfifo(lock)
    elif kind == "link":
        (path.parent / "notes").write_text("")
        lock.symlink_to("notes")
    else:
        lock.mkdir()
    with Storage.open(path) as storage, pytest.raises(CampaignError, match="-lock"):
        storage.ask([], expected=8)
    assert os.path.lexists(lock)
    assert kind != "file" or lock.read_text() == "notes\n"


@pytest.mark.parametrize("ending", ["-wal", "-journal", "-shm", "-lock"])
def test_storage_create_beside_foreign_side_files_raises(path: Path, ending: str) -> None:
    side = path.with_name(path.name + ending)
    side.write_text("notes\n")
    with pytest.raises(CampaignError, match=ending):
        begin(path)
    assert side.read_text() == "notes\n"
    assert not path.exists()
