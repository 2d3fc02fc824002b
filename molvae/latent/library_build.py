"""Build a library: molecules that can be bought, as partitioned Parquet with indexes.

Three steps, of which each writes whole files, so that a killed build goes on where it was:

1. Slices of the source are parsed and made canonical: `work/slice-*.parquet`.
2. Molecules are compared over the whole library, by hashes of 128 bits, a range of hashes at a
   time: `work/first.npy` holds the line on which the molecule of each line stands first.
3. The molecules of each slice that stand there first become a partition: `part-*.parquet` with
   properties, vectors and fingerprints, and `part-*.faiss`, an index of the vectors.

Memory holds a slice for each worker, and `MAX_HASHES` hashes in the second step.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rdkit
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from molvae._files import is_draft, write_atomically
from molvae._version import __version__
from molvae.chem._parallel import stream_large
from molvae.chem.datasets import sha256
from molvae.chem.filters import number_of_alerts
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.molecules import canonical, shared_molecule
from molvae.chem.plausibility import CATALOGS
from molvae.chem.properties import score
from molvae.chem.streaming import Row, Slice, read_slices
from molvae.config import CampaignConfig, whole_number
from molvae.errors import DataError, InvalidMoleculeError, without_warnings
from molvae.latent.library import PROPERTIES, Library, faiss, pyarrow
from molvae.latent.loading import find_model, list_models, load
from molvae.latent.space import LatentSpace
from molvae.model.isolation import threads

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
PARTITION_SIZE = 25_000
"""Lines of a slice. Larger partitions are searched faster, and more is lost when one is killed."""
CHUNK_SIZE = 1000  # molecules that are computed together, and rows of a row group in Parquet
MAX_HASHES = 20_000_000  # hashes that are compared at a time: 0.8 GB
HNSW_LINKS = 16  # links of a vector in the index (HNSW)
HNSW_CANDIDATES = 100  # vectors that are compared for these links
REJECTED_COLUMNS = ("line", "id", "smiles", "reason")


@dataclass(frozen=True, kw_only=True)
class LibraryReport:
    """Counts of a build; `read` is the sum of `molecules`, `invalid` and `duplicates`."""

    read: int
    molecules: int
    invalid: int
    """Records that cannot be read, or whose text is no molecule."""
    duplicates: int
    """Records of a molecule that stands in an earlier line."""
    without_z: int
    """Molecules that the model cannot encode; they are found by Tanimoto similarity only."""


def build_library(
    source: str | Path,
    folder: str | Path,
    *,
    space: str | Path = CampaignConfig.space,
    column: str | None = None,
    name_column: str | None = None,
    alerts: bool = False,
    partition_size: int = PARTITION_SIZE,
    workers: int = 1,
    dask: str | None = None,
    on_progress: Callable[[str, int], None] | None = None,
) -> Library:
    """Make a library of molecules from a catalog, or go on with one that was begun.

    The same source, settings and versions give the same bytes, with any number of workers and
    however often the build is killed. Records that are no molecules, and those of molecules that
    stand in an earlier line, are listed in `rejected.tsv` with their lines and reasons.

    Args:
        source: Name of a data set, or a file: a list of SMILES, CSV, TSV (perhaps gzipped) or
            Parquet, of any length.
        folder: The folder to make, or the one of the same build.
        space: A bundled model or a model folder.
        column: Column of the molecules; `smiles` by default.
        name_column: Column of the catalog's names; by default one like `Compound ID`, or `id`.
        alerts: Also count structural alerts, which takes three times as long.
        partition_size: Lines of the source for each partition.
        dask: Address or scheduler file of a Dask cluster that computes instead.
        on_progress: Called with the step and the number of slices done.

    Raises:
        DataError: The source cannot be read or has no molecule, or the folder holds anything else
            or is being built by another process.
        UnknownNameError: No such model or data set.
        MissingPackageError: pyarrow or faiss is not installed.
        ConfigError: A number is out of range, or the workers died.
    """
    partition_size = whole_number(partition_size, "partition_size", least=1)
    workers = whole_number(workers, "workers", least=1)
    pyarrow(), faiss()
    model_name = str(space) if str(space) in list_models() else str(find_model(space).resolve())
    model = load(model_name)
    settings = {
        "format": FORMAT,
        "source": Path(source).name,
        "space": {"name": model_name, "fingerprint": model.fingerprint, "dim": model.dim},
        "columns": [column, name_column],
        "alerts": alerts,
        "partition_size": partition_size,
        "versions": {"molvae": __version__, "rdkit": rdkit.__version__,
                     "pyarrow": pyarrow().__version__, "faiss": faiss().__version__},
    }  # fmt: skip
    out, tell = Path(folder), on_progress or (lambda step, n: None)
    work = out / "work"
    slices = read_slices(source, partition_size, column=column, name_column=name_column)
    if (out / "library.json").exists():
        _begin(out, settings)
        made = Library.open(out)
        before = made.about.get("source_digest")  # libraries of earlier versions lack it
        if before is not None and before != _digest(map(_slice_name, slices)):
            raise _changed(out)
        shutil.rmtree(work, ignore_errors=True)
        return made
    if (first_slice := next(slices, None)) is None:
        raise DataError(f"{source} is empty; expected SMILES, one a line or in a column")
    with _one_at_a_time(out):  # not before: a source that cannot be read leaves no folder
        _begin(out, settings)
        missing = _without_done(chain([first_slice], slices), work)
        run = partial(stream_large, workers=workers, dask=dask)
        for done, (name, data) in enumerate(run(_canonical_slice, missing), 1):
            write_atomically(work / name, data)
            tell("slices with canonical molecules", done)
        names = sorted(path.name for path in work.glob("slice-*.parquet"))
        counts = [pyarrow().parquet.read_metadata(work / name).num_rows for name in names]
        if not sum(counts):
            raise DataError(f"{source} is empty; expected SMILES, one a line or in a column")
        if not (work / "first.npy").exists():
            _find_first(work, names, counts)
            tell("slices searched for duplicates", len(names))
        first = np.load(work / "first.npy", mmap_mode="r")
        ends = np.cumsum(counts)
        todo = (
            (k, (work / name).read_bytes(), np.array(first[end - n : end]))
            for k, (name, n, end) in enumerate(zip(names, counts, ends, strict=True))
            if not (out / f"part-{k:05d}.parquet").exists()
        )
        make = partial(_partition, model_name, model.fingerprint, alerts)
        for done, (k, rejected, index, table) in enumerate(run(make, todo), 1):
            write_atomically(work / f"rejected-{k:05d}.tsv", rejected)
            write_atomically(out / f"part-{k:05d}.faiss", index)
            # Last, for with it the partition is complete.
            write_atomically(out / f"part-{k:05d}.parquet", table)
            tell("partitions", done)
        _finish(out, settings, len(names))
        return Library.open(out)


@contextmanager
def _one_at_a_time(out: Path) -> Iterator[None]:
    """Hold the lock beside the folder: builds of two processes would mix their files."""
    real = Path(os.path.realpath(out))  # links to the folder lead to the same one
    lock = FileLock(real.parent / (real.name + "-lock"), timeout=0)
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise DataError(
            f"{out} is being built by another process; wait until it is done, or stop it"
        ) from error
    except OSError as error:
        raise DataError(f"cannot write beside {out}: {error.strerror or error}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


def _begin(out: Path, settings: dict[str, Any]) -> None:
    """Make the folder, or check that it belongs to the same build."""
    begun = out / "build.json"
    if begun.exists():
        found = json.loads(begun.read_text("utf-8"))
        differ = [name for name in settings if found.get(name) != settings[name]]
        if differ:
            said = "; ".join(f"{n} {found.get(n)}, not {settings[n]}" for n in differ)
            raise DataError(f"{out} was begun with {said}; give the same, or choose another name")
        return
    if out.exists() and not (out.is_dir() and all(map(_is_of_build, out.iterdir()))):
        raise DataError(f"{out} exists and holds something else; choose another name")
    (out / "work").mkdir(parents=True, exist_ok=True)
    write_atomically(begun, json.dumps(settings, indent=2).encode())


def _is_of_build(path: Path) -> bool:
    """Whether a path was left behind by a build that was killed at once."""
    return is_draft(path) or (path.name == "work" and path.is_dir() and not any(path.iterdir()))


def _without_done(slices: Iterator[Slice], work: Path) -> Iterator[tuple[str, list[Row]]]:
    """Name of the file and records of each slice that is not done yet."""
    done = {path.name for path in work.glob("slice-*.parquet")}
    number = -1
    for one in slices:
        number, name = one.number, _slice_name(one)
        if others := [other for other in done if other.startswith(name[:12]) and other != name]:
            raise _changed(work / others[0])
        if name not in done:
            yield name, one.rows()
    if late := [name for name in done if int(name[6:11]) > number]:
        raise _changed(work / late[0])


def _slice_name(one: Slice) -> str:
    """Name of the file of a slice, which says what it holds."""
    return f"slice-{one.number:05d}-{one.digest[:16]}.parquet"


def _digest(names: Iterable[str]) -> str:
    """What tells one source from another: a hash of the names of its slices."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _changed(made: Path) -> DataError:
    return DataError(
        f"the source was changed since {made} was made from it; build into another folder"
    )


def _canonical_slice(task: tuple[str, list[Row]]) -> tuple[str, bytes]:
    """Canonical SMILES of records, with a hash; null and a reason where there is no molecule."""
    name, rows = task
    found: list[str | None] = []
    reasons: list[str | None] = []
    for row in rows:
        reason = row.problem or None
        smiles = None
        if reason is None:
            try:
                smiles = canonical(row.smiles)
            except InvalidMoleculeError as error:
                reason = str(error)
        found.append(smiles)
        reasons.append(reason)
    pa = pyarrow()
    hashes = [
        None if smiles is None else hashlib.blake2b(smiles.encode(), digest_size=16).digest()
        for smiles in found
    ]
    invalid = [
        row.smiles if smiles is None else None for row, smiles in zip(rows, found, strict=True)
    ]
    table = pa.table(
        {
            "line": pa.array([row.line for row in rows], pa.int64()),
            "id": pa.array([_encodable(row.name) for row in rows], pa.string()),
            "smiles": pa.array(found, pa.string()),
            "hash": pa.array(hashes, pa.binary(16)),
            "written": pa.array([text and _encodable(text) for text in invalid], pa.string()),
            "reason": pa.array([text and _encodable(text) for text in reasons], pa.string()),
        }
    )
    return name, _parquet_bytes(table)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _find_first(work: Path, names: Sequence[str], counts: Sequence[int]) -> None:
    """Write the line on which the molecule of each record stands first; 0 without a molecule."""
    draft = work / "first.draft"
    first = np.lib.format.open_memmap(draft, mode="w+", dtype=np.int64, shape=(sum(counts),))
    n_ranges = -(-sum(counts) // MAX_HASHES)
    for which in range(n_ranges):
        hashes, lines, places = [], [], []
        before = 0
        for name, n in zip(names, counts, strict=True):
            table = pyarrow().parquet.read_table(work / name, columns=["line", "hash"])
            known = table["hash"].is_valid().to_numpy()
            words = (
                np.frombuffer(b"".join(table["hash"].drop_null().to_pylist()), dtype=">u8")
                .reshape(-1, 2)
                .astype(np.uint64)
            )
            here = (words[:, 0] % n_ranges) == which
            hashes.append(words[here])
            lines.append(table["line"].to_numpy()[known][here])
            places.append(before + np.flatnonzero(known)[here])
            before += n
        words, line, place = map(np.concatenate, (hashes, lines, places))
        order = np.lexsort((line, words[:, 1], words[:, 0]))
        words, line, place = words[order], line[order], place[order]
        if len(words):
            begins = np.r_[True, (words[1:] != words[:-1]).any(axis=1)]
            first[place] = line[begins][np.cumsum(begins) - 1]
    first.flush()
    del first
    draft.replace(work / "first.npy")


@lru_cache(maxsize=1)
def _space(name: str, fingerprint: str) -> LatentSpace:
    space = load(name)
    if space.fingerprint != fingerprint:
        raise DataError(
            f"the model {name} of this worker is another one; give the workers the same"
        )
    return space


def _partition(
    space: str, fingerprint: str, alerts: bool, task: tuple[int, bytes, NDArray[np.int64]]
) -> tuple[int, bytes, bytes, bytes]:
    """A partition of a slice: number, rejected records, index and table as bytes."""
    number, data, first = task
    pa = pyarrow()
    rows = pa.parquet.read_table(io.BytesIO(data))
    lines, smiles = rows["line"].to_numpy(), np.array(rows["smiles"].to_pylist(), dtype=object)
    ids = np.array(rows["id"].to_pylist(), dtype=object)
    is_new = lines == first
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    written, reasons = rows["written"].to_pylist(), rows["reason"].to_pylist()
    for i in np.flatnonzero(~is_new):
        reason = reasons[i] or f"the molecule of line {first[i]}"
        writer.writerow([lines[i], ids[i], smiles[i] or written[i], reason])
    with threads(1):
        table, z = _computed(smiles[is_new].tolist(), ids[is_new].tolist(),
                             _space(space, fingerprint), alerts)  # fmt: skip
        return number, text.getvalue().encode(), _index_bytes(z), _parquet_bytes(table)


def _computed(
    smiles: list[str], ids: list[str], space: LatentSpace, alerts: bool
) -> tuple[pa.Table, NDArray[np.float16]]:
    """The table of a partition, and the vectors; molecules without a vector come last."""
    pa = pyarrow()
    values = np.empty((len(smiles), len(PROPERTIES)), np.float32)
    z = np.empty((len(smiles), space.dim), np.float16)
    bits = np.empty((len(smiles), 256), np.uint8)
    counts: list[int | None] = [None] * len(smiles)
    for start in range(0, len(smiles), CHUNK_SIZE):
        few, rows = smiles[start : start + CHUNK_SIZE], slice(start, start + CHUNK_SIZE)
        values[rows] = score(few, PROPERTIES, workers=1)
        bits[rows] = np.packbits(morgan_bits(few), axis=1)
        if alerts:
            counts[rows] = [number_of_alerts(shared_molecule(one), CATALOGS) for one in few]
        with without_warnings():  # of molecules that cannot be encoded
            z[rows] = space.encode(few, skip_unknown=True).numpy()
    has_z = np.asarray(np.isfinite(z).all(axis=1))
    order = np.argsort(~has_z, kind="stable")
    flat = pa.array(z[order].ravel(), pa.float16())
    null = pa.array(~has_z[order])
    table = pa.table(
        {
            "smiles": pa.array([smiles[i] for i in order], pa.string()),
            "id": pa.array([ids[i] for i in order], pa.string()),
            **{name: values[order, k] for k, name in enumerate(PROPERTIES)},
            "alerts": pa.array([counts[i] for i in order], pa.int16()),
            "z": pa.FixedSizeListArray.from_arrays(flat, space.dim, mask=null),
            "morgan": pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(256), len(smiles), [None, pa.py_buffer(bits[order].tobytes())]
            ),
        }
    )
    return table, z[order][: int(has_z.sum())]


def _index_bytes(z: NDArray[np.float16]) -> bytes:
    """An index (HNSW) of vectors in the order of the rows, on one thread: the same each time."""
    library = faiss()
    before = library.omp_get_max_threads()
    library.omp_set_num_threads(1)
    try:
        index = library.IndexHNSWSQ(z.shape[1], library.ScalarQuantizer.QT_fp16, HNSW_LINKS)
        index.hnsw.efConstruction = HNSW_CANDIDATES
        index.train(z.astype(np.float32))
        index.add(z.astype(np.float32))
        return bytes(library.serialize_index(index).tobytes())
    finally:
        library.omp_set_num_threads(before)


def _parquet_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pyarrow().parquet.write_table(
        table, buffer, compression="zstd", use_dictionary=False, row_group_size=CHUNK_SIZE
    )
    return buffer.getvalue()


def _finish(out: Path, settings: dict[str, Any], n: int) -> None:
    """Join the rejected records, describe the partitions, and remove what is not needed."""
    work, files = out / "work", []
    counts = dict.fromkeys(("molecules", "invalid", "duplicates", "without_z"), 0)
    with open(work / "rejected.draft", "wb") as joined:
        joined.write(("\t".join(REJECTED_COLUMNS) + "\n").encode())
        for k in range(n):
            joined.write((work / f"rejected-{k:05d}.tsv").read_bytes())
            path = out / f"part-{k:05d}.parquet"
            table = pyarrow().parquet.ParquetFile(path)
            rows = table.metadata.num_rows
            without = table.read(columns=["z"])["z"].null_count
            files.append({"rows": rows, "vectors": rows - without, "sha256": sha256(path),
                          "index_sha256": sha256(path.with_suffix(".faiss"))})  # fmt: skip
            counts["molecules"] += rows
            counts["without_z"] += without
    for name in (names := sorted(path.name for path in work.glob("slice-*.parquet"))):
        table = pyarrow().parquet.read_table(work / name, columns=["smiles"])
        counts["invalid"] += table["smiles"].null_count
        counts["duplicates"] += table.num_rows
    counts["duplicates"] -= counts["molecules"] + counts["invalid"]
    if not counts["molecules"]:
        raise DataError(f"{settings['source']} has no molecule, see {work}")
    (work / "rejected.draft").replace(out / "rejected.tsv")
    report = LibraryReport(read=sum(counts.values()) - counts["without_z"], **counts)
    about = settings | {"counts": asdict(report), "partitions": files}
    about["source_digest"] = _digest(names)
    write_atomically(out / "library.json", (json.dumps(about, indent=1) + "\n").encode())
    shutil.rmtree(work)
