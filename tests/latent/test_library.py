"""`build_library` and `Library`: no line is lost, builds resume to the same bytes, exact search."""

from __future__ import annotations

import csv
import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

import molvae
from molvae.chem.datasets import sample_molecules
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import canonical
from molvae.errors import (
    ConfigError,
    DataError,
    InvalidMoleculeError,
    MolvaeWarning,
    UnknownTokenError,
)
from molvae.latent import library_build
from molvae.latent.library import Library
from molvae.latent.library_build import build_library
from tests.blocks import ROOT

pytest.importorskip("faiss")
pytest.importorskip("pyarrow")

N = 60
SIZE = 16
INVALID = {5: "C1CC", 40: "no molecule", 41: ""}
UNREADABLE = "[Xe]"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Molecules, of which some are repeated, invalid, or unknown to the model."""
    texts = [*sample_molecules("zinc250k", N, 3), UNREADABLE]
    texts += [texts[3], canonical(texts[10]), texts[3]]
    lines = [f"{text},V-{i}" for i, text in enumerate(texts)]
    for place, text in INVALID.items():
        lines.insert(place, f"{text},X-{place}")
    path = tmp_path_factory.mktemp("catalog") / "vendor.csv"
    path.write_text("smiles,Compound ID\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def library(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    return build_library(catalog, tmp_path_factory.mktemp("built") / "lib", partition_size=SIZE)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table(library: Library) -> list[dict[str, object]]:
    columns = ["id", "smiles", "logP", "alerts", "z"]
    return [
        row
        for number in range(library.n_partitions)
        for row in library.partition(number, columns).to_pylist()
    ]


def test_build_library_counts_every_line_as_molecule_or_rejected(
    library: Library, catalog: Path
) -> None:
    counts = library.about["counts"]
    assert counts["read"] == len(catalog.read_text().splitlines()) - 1
    assert counts["read"] == counts["molecules"] + counts["invalid"] + counts["duplicates"]
    assert (counts["invalid"], counts["duplicates"], counts["without_z"]) == (3, 3, 1)
    with open(library.folder / "rejected.tsv", newline="") as file:
        rejected = list(csv.DictReader(file, delimiter="\t"))
    lines = catalog.read_text().splitlines()
    assert [int(one["line"]) for one in rejected] == sorted(int(one["line"]) for one in rejected)
    for one in rejected:
        assert lines[int(one["line"]) - 1].split(",")[1] == one["id"]
        assert one["reason"]
    named = {str(row["id"]) for row in table(library)} | {one["id"] for one in rejected}
    assert named == {line.split(",")[1] for line in lines[1:]}


def test_build_library_molecules_are_distinct_and_canonical(library: Library) -> None:
    smiles = [str(row["smiles"]) for row in table(library)]
    assert len(set(smiles)) == len(smiles) == len(library)
    assert [canonical(one) for one in smiles] == smiles


def test_build_library_z_are_encodings_or_null_if_not_encodable(library: Library) -> None:
    rows = table(library)
    without = [row["smiles"] for row in rows if row["z"] is None]
    assert without == [UNREADABLE]
    known = [row for row in rows if row["z"] is not None]
    z = molvae.load("druglike").encode([str(row["smiles"]) for row in known]).numpy()
    assert np.allclose(np.array([row["z"] for row in known]), z, atol=4e-3, rtol=1e-3)


def test_build_library_counts_alerts_only_with_the_option(
    library: Library, catalog: Path, tmp_path: Path
) -> None:
    assert {row["alerts"] for row in table(library)} == {None}
    made = build_library(catalog, tmp_path / "lib", partition_size=SIZE, alerts=True)
    assert any(row["alerts"] for row in table(made))


@pytest.mark.slow
def test_build_library_with_workers_writes_the_same_bytes(
    library: Library, catalog: Path, tmp_path: Path
) -> None:
    made = build_library(catalog, tmp_path / "lib", partition_size=SIZE, workers=2)
    assert content(made.folder) == content(library.folder)


def test_build_library_interrupted_at_any_write_resumes_to_same_bytes(
    library: Library, catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = library_build.write_atomically

    def stopping(at: int) -> Callable[[Path, bytes], None]:
        n = 0

        def stop(path: Path, data: bytes) -> None:
            nonlocal n
            n += 1
            if n == at:
                raise KeyboardInterrupt
            write(path, data)

        return stop

    for at in (1, 4, 8, 9):  # settings, a slice, an index, a table
        monkeypatch.setattr(library_build, "write_atomically", stopping(at))
        folder = tmp_path / f"lib{at}"
        with pytest.raises(KeyboardInterrupt):
            build_library(catalog, folder, partition_size=SIZE)
        with pytest.raises(DataError):
            Library.open(folder)
        monkeypatch.setattr(library_build, "write_atomically", write)
        made = build_library(catalog, folder, partition_size=SIZE)
        assert content(made.folder) == content(library.folder)


@pytest.mark.parametrize("text", [None, ""])
def test_build_library_of_empty_source_leaves_no_folder(text: str | None, tmp_path: Path) -> None:
    source = tmp_path / "source.smi"
    if text is not None:
        source.write_text(text)
    with pytest.raises(DataError, match=r"source\.smi"):
        build_library(source, tmp_path / "lib")
    assert not (tmp_path / "lib").exists()


KILLED = """
import os, signal, sys
from molvae.latent import library_build

write, left = library_build.write_atomically, int(sys.argv[4])

def dying(path, data):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, data)

library_build.write_atomically = dying
library_build.build_library(sys.argv[1], sys.argv[2], partition_size=int(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_build_library_killed_repeatedly_resumes_to_same_bytes(
    library: Library, catalog: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "lib"
    for writes in (2, 1, 3):  # in each attempt, of what is left
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(catalog), str(folder), str(SIZE), str(writes)],
            env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL
        assert not (folder / "library.json").exists()
    made = build_library(catalog, folder, partition_size=SIZE)
    assert content(made.folder) == content(library.folder)


ON_CLUSTER = """
import os, signal, sys
from distributed import LocalCluster
from molvae.latent.library_build import build_library

def main(source, folder, size):
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        killed = []
        def kill(step, n):
            if step == "partitions" and n == 1:  # others are being made
                worker = list(cluster.workers.values())[0]
                killed.append(worker.process.pid)
                os.kill(worker.process.pid, signal.SIGKILL)
        build_library(source, folder, partition_size=size, dask=cluster.scheduler_address,
                      on_progress=kill)
        assert killed

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


@pytest.mark.slow
def test_build_library_on_a_cluster_losing_a_worker_has_same_bytes(
    library: Library, catalog: Path, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    script, log = tmp_path / "on_cluster.py", tmp_path / "log.txt"
    script.write_text(ON_CLUSTER)
    folder = tmp_path / "lib"
    with log.open("w") as output:  # a worker that is left over would keep a pipe open
        done = subprocess.run(
            [sys.executable, str(script), str(catalog), str(folder), str(SIZE)],
            stdout=output, stderr=output, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=600,
        )  # fmt: skip
    assert done.returncode == 0, log.read_text()
    assert content(folder) == content(library.folder)


def test_build_library_resumed_with_other_settings_or_source_raises(
    library: Library, catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="partition_size"):
        build_library(catalog, library.folder, partition_size=SIZE + 1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("mine")
    with pytest.raises(DataError):
        build_library(catalog, tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["a.txt"]
    with pytest.raises(ConfigError):
        build_library(catalog, tmp_path / "lib", workers=0)
    source = tmp_path / catalog.name
    source.write_text(catalog.read_text())
    monkeypatch.setattr(library_build, "_find_first", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_library(source, tmp_path / "lib", partition_size=SIZE)
    source.write_text(catalog.read_text().replace("V-20", "V-21"))
    with pytest.raises(DataError, match="changed"):
        build_library(source, tmp_path / "lib", partition_size=SIZE)


def test_build_library_of_a_changed_source_raises(tmp_path: Path) -> None:
    source = tmp_path / "vendor.csv"
    source.write_text("smiles,Vendor,Catalog No.\nCCO,V,V-1\nCCN,V,V-2\n")
    made = build_library(source, tmp_path / "lib", space="qm9")
    assert [row["id"] for row in table(made)] == ["V-1", "V-2"]
    assert build_library(source, tmp_path / "lib", space="qm9").fingerprint == made.fingerprint
    source.write_text("smiles,Vendor,Catalog No.\nCCO,V,V-1\nCCC,V,V-2\n")
    with pytest.raises(DataError, match=r"source was changed since .*lib was made"):
        build_library(source, tmp_path / "lib", space="qm9")


def test_build_library_without_compound_names_warns(tmp_path: Path) -> None:
    source = tmp_path / "vendor.csv"
    source.write_text("smiles,price\nCCO,1\n")
    with pytest.warns(MolvaeWarning, match=r"numbers of lines .*--name-column"):
        made = build_library(source, tmp_path / "lib", space="qm9")
    assert [row["id"] for row in table(made)] == ["2"]


def test_build_library_finds_duplicates_for_any_hash_range(
    library: Library, catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_build, "MAX_HASHES", 10)
    made = build_library(catalog, tmp_path / "lib", partition_size=SIZE)
    assert content(made.folder) == content(library.folder)


def test_nearest_by_tanimoto_equals_brute_force(library: Library) -> None:
    smiles = [str(row["smiles"]) for row in table(library)]
    query = sample_molecules("zinc250k", 1, 9)[0]
    similar = tanimoto(morgan_bits([query]), morgan_bits(smiles))[0]
    found = library.nearest(query, 10, by="tanimoto")
    assert np.allclose(found["similarity"], np.sort(similar)[::-1][:10])
    assert dict(zip(smiles, similar, strict=True))[found["smiles"][0]] == similar.max()


def test_nearest_by_z_equals_brute_force(library: Library) -> None:
    rows = [row for row in table(library) if row["z"] is not None]
    query = sample_molecules("zinc250k", 1, 9)[0]
    z = np.array([row["z"] for row in rows], dtype=np.float32)
    distances = np.linalg.norm(z - library.space.encode([query]).numpy(), axis=1)
    found = library.nearest(query, 10)
    assert [rows[i]["id"] for i in np.argsort(distances)[:10]] == found["id"].tolist()
    assert np.allclose(found["distance"], np.sort(distances)[:10], rtol=1e-3)


def test_nearest_of_a_library_molecule_is_itself(library: Library) -> None:
    row = table(library)[SIZE + 2]
    for by in ("z", "tanimoto"):
        assert library.nearest(str(row["smiles"]), 1, by=by)["id"][0] == row["id"]  # type: ignore[arg-type]


def test_nearest_of_invalid_query_raises(library: Library) -> None:
    with pytest.raises(InvalidMoleculeError):
        library.nearest("C1CC")
    with pytest.raises(ConfigError):
        library.nearest("C", 0)
    with pytest.raises(ConfigError):
        library.nearest("C", by="shape")  # type: ignore[arg-type]


def test_nearest_of_unencodable_molecule_works_by_tanimoto_only(library: Library) -> None:
    with pytest.raises(UnknownTokenError, match="tanimoto"):
        library.nearest(UNREADABLE)
    assert library.nearest(UNREADABLE, 1, by="tanimoto")["smiles"][0] == UNREADABLE


def test_nearest_with_fewer_molecules_than_n_warns(library: Library) -> None:
    n = len(library)
    with pytest.warns(MolvaeWarning, match=f"{n - 1} molecules with vectors, {n} were asked for"):
        assert len(library.nearest("CCO", n)) == n - 1
    with pytest.warns(MolvaeWarning, match=f"{n} molecules.*{n + 1}"):
        assert len(library.nearest("CCO", n + 1, by="tanimoto")) == n


def test_build_library_of_truncated_gzip_raises_and_resumes_with_the_whole(tmp_path: Path) -> None:
    source, folder = tmp_path / "catalog.smi.gz", tmp_path / "lib"
    texts = sample_molecules("zinc250k", 200, 4)
    whole = gzip.compress("".join(f"{text} V-{i}\n" for i, text in enumerate(texts)).encode())
    source.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(DataError, match=r"catalog\.smi\.gz: .* cut off, fetch"):
        build_library(source, folder, partition_size=50)
    source.write_bytes(whole)
    assert build_library(source, folder, partition_size=50).about["counts"]["read"] == 200


def test_build_library_of_parquet_without_smiles_names_the_column_option(tmp_path: Path) -> None:
    source = tmp_path / "catalog.parquet"
    pd.DataFrame({"structure": ["CCO", "CCN"]}).to_parquet(source)
    with pytest.raises(DataError, match=r"its columns are: structure; .*--column"):
        build_library(source, tmp_path / "lib")
    made = build_library(source, tmp_path / "lib", column="structure")
    assert made.about["counts"]["molecules"] == 2


def test_library_open_of_damaged_or_missing_folder_raises(
    library: Library, catalog: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError):
        Library.open(tmp_path)
    made = build_library(catalog, tmp_path / "lib", partition_size=SIZE)
    assert made.fingerprint == library.fingerprint
    (made.folder / "part-00001.faiss").unlink()
    with pytest.raises(DataError):
        Library.open(made.folder)


def test_library_with_a_replaced_file_raises_when_it_is_read(catalog: Path, tmp_path: Path) -> None:
    folder = build_library(catalog, tmp_path / "lib", partition_size=SIZE).folder
    for kind in ("parquet", "faiss"):
        path = folder / f"part-00001.{kind}"
        before = path.read_bytes()
        path.write_bytes((folder / f"part-00000.{kind}").read_bytes())
        with pytest.raises(DataError, match=path.name):
            Library.open(folder).nearest("CCO", by="z" if kind == "faiss" else "tanimoto")
        path.write_bytes(before)
    assert len(Library.open(folder).nearest("CCO", 5)) == 5


@pytest.mark.parametrize("call", [
    lambda library: library.nearest("CCO", "3"),
    lambda library: library.nearest("CCO", 0),
    lambda library: Library.open(None),  # type: ignore[arg-type]
])  # fmt: skip
def test_library_calls_with_arguments_of_another_type_raise_config_error(
    call: Callable[[Library], object], library: Library
) -> None:
    with pytest.raises(ConfigError):
        call(library)


def test_build_library_in_a_folder_that_another_process_builds_raises(
    catalog: Path, tmp_path: Path
) -> None:
    held = FileLock(tmp_path / "lib-lock")
    with held, pytest.raises(DataError, match="being built"):
        build_library(catalog, tmp_path / "lib", partition_size=SIZE)
    assert not (tmp_path / "lib").exists()
    build_library(catalog, tmp_path / "lib", partition_size=SIZE)
    assert not (tmp_path / "lib-lock").exists()


def test_library_check_space_with_another_model_raises(library: Library) -> None:
    with pytest.raises(DataError):
        library.check_space(molvae.load("qm9"))
