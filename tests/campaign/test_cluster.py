"""Campaigns on a real Dask cluster on this machine, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
import dask
from distributed import LocalCluster
from tests.toys import FaultyObjective, ToySpace, begin

def main(path):
    kinds = {}
    for molecule in ToySpace().molecules:
        kinds.setdefault(FaultyObjective.fault(molecule), []).append(molecule)
    start = [m for kind, some in kinds.items() for m in some[: 1 if kind else 8]]
    killed = []
    # Otherwise it gives up workers that die twice.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "300s"})
    dask.config.set({"distributed.scheduler.allowed-failures": 2})
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        def show(trial):
            if trial.status == "complete" and len(killed) < 2:
                worker = list(cluster.workers.values())[len(killed)]
                killed.append(worker.process.pid)
                os.kill(worker.process.pid, signal.SIGKILL)
        with begin(path, objective=FaultyObjective(), start=start) as campaign:
            campaign.run(
                16, dask=cluster.scheduler_address, timeout=5.0, max_failure_rate=1.0, on_trial=show
            )
            for trial in campaign.trials:
                fault = FaultyObjective.fault(trial.smiles)
                assert trial.status == ("failed" if fault else "complete"), trial
                print(trial.id, fault, trial.message)
    assert len(set(killed)) == 2

if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.mark.slow
def test_run_on_a_dask_cluster_with_killed_workers_accounts_for_every_trial(tmp_path: Path) -> None:
    script = tmp_path / "on_cluster.py"
    script.write_text(SCRIPT)
    # Into files: a worker that is left over would keep a pipe open.
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    with out.open("w") as stdout, err.open("w") as stderr:
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "c.db")],
            stdout=stdout,
            stderr=stderr,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            timeout=240,
        )
    assert done.returncode == 0, err.read_text()
    lines = out.read_text().splitlines()
    assert len(lines) == 16
    for fault, reason in (
        ("raises", "no pocket"),
        ("hangs", "no answer within 5 s"),
        ("nan", "could not be scored"),
    ):
        assert any(f" {fault} " in line and reason in line for line in lines), lines
    (died,) = [line for line in lines if " dies " in line]
    assert "the process died" in died
