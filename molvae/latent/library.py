"""A library of molecules that can be bought: search by vectors and by fingerprints.

`molvae.latent.library_build` makes one. A place in a library is the number of a partition and of a
row in it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from molvae.chem.datasets import sha256
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.molecules import canonical
from molvae.config import whole_number
from molvae.errors import (
    DataError,
    MissingPackageError,
    TooLongError,
    UnknownTokenError,
    described,
    require,
    warn,
)
from molvae.latent.loading import load
from molvae.latent.protocol import LatentSpaceProtocol

if TYPE_CHECKING:
    import pandas as pd

PROPERTIES = ("logP", "MW", "SAS", "QED")  # properties of every molecule of a library
COLUMNS = ("id", "smiles", *PROPERTIES, "alerts")
SEARCH_WIDTH = 64  # candidates in each index; more find more of the nearest and take longer
MAX_OPEN_FILES = 256  # parquet files and fingerprints that are kept in memory

By = Literal["z", "tanimoto"]


@dataclass(frozen=True)
class Hit:
    """A molecule of a library near a query."""

    partition: int
    row: int
    value: float
    """Distance in z, or Tanimoto similarity."""


class Library:
    """Molecules that can be bought, with catalog names, properties, vectors and fingerprints.

    Attributes:
        folder: Where it is.
        about: How it was built, and counts.
        fingerprint: SHA-256 of the content; equal for equal libraries.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.folder, self.about = folder, about
        content = json.dumps([about["space"], about["partitions"]], sort_keys=True)
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()
        self._table = lru_cache(MAX_OPEN_FILES)(self._open_table)
        self._index = lru_cache(MAX_OPEN_FILES)(self._read_index)
        self._bits = lru_cache(MAX_OPEN_FILES)(self._read_bits)
        self._check = cache(self._check_file)  # files that are opened again are not hashed again

    @classmethod
    def open(cls, folder: str | Path) -> Library:
        """Open a library.

        Raises:
            DataError: The folder is no library, is not complete, or was damaged.
            MissingPackageError: pyarrow or faiss is not installed.
        """
        require(isinstance(folder, str | Path), f"a library is given by its folder, got {folder!r}")
        folder = Path(folder).absolute()
        pyarrow(), faiss()
        if (folder / "build.json").exists() and not (folder / "library.json").exists():
            raise DataError(f"{folder} is not complete; run the same molvae library build again")
        try:
            about = json.loads((folder / "library.json").read_text("utf-8"))
            library = cls(folder, about)
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = getattr(error, "strerror", None) or described(error)
            raise DataError(
                f"{folder} is no library (library.json: {why}); make one with molvae library build"
            ) from error
        for number in range(library.n_partitions):
            for path in library._paths(number):
                if not path.is_file():
                    raise DataError(f"{folder} is damaged: {path.name} is missing; build it again")
        return library

    def __len__(self) -> int:
        return int(self.about["counts"]["molecules"])

    def __repr__(self) -> str:
        return f"Library({str(self.folder)!r}, {len(self):,} molecules)"

    @property
    def n_partitions(self) -> int:
        """Number of partitions."""
        return len(self.about["partitions"])

    @property
    def n_vectors(self) -> int:
        """Number of molecules that the model can encode."""
        return len(self) - int(self.about["counts"]["without_z"])

    @cached_property
    def space(self) -> LatentSpaceProtocol:
        """The model whose vectors the library holds.

        Raises:
            DataError: The model of this name is another one.
        """
        space = load(self.about["space"]["name"])
        self.check_space(space)
        return space

    def check_space(self, space: LatentSpaceProtocol) -> None:
        """Refuse a model whose vectors are not those of the library: a `DataError`."""
        if space.fingerprint != self.about["space"]["fingerprint"]:
            raise DataError(
                f"{self.folder} holds vectors of the model {self.about['space']['name']!r} "
                f"(fingerprint {self.about['space']['fingerprint'][:12]}), not of {space.name!r} "
                f"({space.fingerprint[:12]}); use that model, or build the library with this one"
            )

    def nearest(self, smiles: str, n: int = 10, *, by: By = "z") -> pd.DataFrame:
        """The nearest molecules of the library, the nearest first; the molecule itself included.

        Args:
            smiles: A molecule, in the library or not.
            by: `z`, by the distance of encodings, with an approximate index; or `tanimoto`, by the
                similarity of Morgan bits of radius 2, exactly.

        Returns:
            Columns: id (the catalog's), smiles, distance or similarity, properties, alerts.

        Raises:
            InvalidMoleculeError: The text is no molecule.
            UnknownTokenError, TooLongError: By z, the model cannot encode the molecule.
        """
        n = whole_number(n, "n", least=1)
        require(by in ("z", "tanimoto"), f"by must be z or tanimoto, got {by!r}")
        smiles = canonical(smiles)
        if by == "z":
            try:
                z = self.space.encode([smiles]).numpy()
            except (UnknownTokenError, TooLongError) as error:
                error.args = (f"{error}; or search by tanimoto, which needs no encoding",)
                raise
            hits = self.nearest_vectors(z, n)[0]
        else:
            hits = self.most_similar([smiles], n)[0]
        if len(hits) < n:
            vectors = " with vectors" if by == "z" else ""
            warn(f"{self.folder} has {len(hits)} molecules{vectors}, {n} were asked for")
        table = self.rows(hits)
        column = "distance" if by == "z" else "similarity"
        table.insert(2, column, [hit.value for hit in hits])
        return table

    def nearest_vectors(self, z: NDArray[Any], n: int) -> list[list[Hit]]:
        """The nearest molecules to each of some vectors, `q x d`, by their distances."""
        z = np.ascontiguousarray(z, dtype=np.float32)
        found: list[list[Hit]] = [[] for _ in z]
        options = faiss().SearchParametersHNSW(efSearch=max(SEARCH_WIDTH, n))
        for number in range(self.n_partitions):
            index = self._index(number)
            if not index.ntotal:
                continue
            squares, rows = index.search(z, min(n, index.ntotal), params=options)  # q x n
            for hits, square, row in zip(found, squares.tolist(), rows.tolist(), strict=True):
                hits += [
                    Hit(number, i, math.sqrt(max(s, 0.0)))
                    for i, s in zip(row, square, strict=True)
                    if i >= 0
                ]
        return [sorted(hits, key=lambda hit: (hit.value, hit.partition))[:n] for hits in found]

    def most_similar(self, smiles: Sequence[str], n: int) -> list[list[Hit]]:
        """The molecules with the largest Tanimoto similarities to each of some molecules."""
        queries = np.packbits(morgan_bits(smiles), axis=1).view(np.uint64)  # q x words
        found: list[list[Hit]] = [[] for _ in queries]
        for number in range(self.n_partitions):
            bits, sizes = self._bits(number)
            for hits, query in zip(found, queries, strict=True):
                common = np.bitwise_count(bits & query).sum(axis=1, dtype=np.int32)
                size = int(np.bitwise_count(query).sum())
                similar = common / np.maximum(sizes + size - common, 1)
                top = np.argsort(-similar, kind="stable")[:n]
                hits += [Hit(number, int(i), float(similar[i])) for i in top]
        return [sorted(hits, key=lambda hit: (-hit.value, hit.partition))[:n] for hits in found]

    def sample(self, n: int, seed: int) -> list[str]:
        """Random distinct molecules that the model can encode; a `DataError` if there are fewer."""
        if n > self.n_vectors:
            raise DataError(
                f"{self.folder} has {self.n_vectors} molecules with vectors, {n} were asked for; "
                "ask for fewer (as initial molecules: --start)"
            )
        sizes = [part["vectors"] for part in self.about["partitions"]]
        ends = np.cumsum(sizes)
        chosen = np.random.default_rng(seed).choice(self.n_vectors, n, replace=False)
        numbers = np.searchsorted(ends, chosen, side="right")
        hits = [Hit(int(k), int(i - ends[k] + sizes[k]), 0.0)
                for k, i in zip(numbers, chosen, strict=True)]  # fmt: skip
        return [str(one) for one in self.rows(hits, ("smiles",))["smiles"]]

    def rows(self, hits: Sequence[Hit], columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
        """The molecules at some places, in that order: id, smiles, properties, alerts."""
        import pandas as pd

        cells: dict[tuple[int, int], dict[str, Any]] = {}
        for number in dict.fromkeys(hit.partition for hit in hits):
            file, size = self._table(number)
            wanted = sorted({hit.row for hit in hits if hit.partition == number})
            groups = sorted({row // size for row in wanted})
            with self._damage_named():
                table = file.read_row_groups(groups, columns=list(columns))
            places = [groups.index(row // size) * size + row % size for row in wanted]
            for row, one in zip(wanted, table.take(places).to_pylist(), strict=True):
                cells[number, row] = one
        return pd.DataFrame([cells[hit.partition, hit.row] for hit in hits], columns=list(columns))

    def partition(self, number: int, columns: Sequence[str]) -> Any:
        """Columns of a partition, a `pyarrow.Table`: those of `rows`, `z` and `morgan`."""
        with self._damage_named():
            return self._table(number)[0].read(columns=list(columns))

    def vectors(self, number: int) -> NDArray[np.float32]:
        """The vectors of a partition, `n x d`; rows without one, which are the last, left out."""
        z = self.partition(number, ["z"])["z"].drop_null().combine_chunks()
        flat: NDArray[np.float16] = z.flatten().to_numpy(zero_copy_only=False)
        return flat.astype(np.float32).reshape(len(z), self.about["space"]["dim"])

    def _paths(self, number: int) -> tuple[Path, Path]:
        path = self.folder / f"part-{number:05d}.parquet"
        return path, path.with_suffix(".faiss")

    def _open_table(self, number: int) -> tuple[Any, int]:
        """A Parquet file, and the rows of its row groups."""
        self._check(number, "sha256")
        with self._damage_named():
            file = pyarrow().parquet.ParquetFile(self._paths(number)[0])
        groups = file.metadata.num_row_groups
        return file, file.metadata.row_group(0).num_rows if groups else 1

    def _read_index(self, number: int) -> Any:
        self._check(number, "index_sha256")
        with self._damage_named():
            return faiss().read_index(str(self._paths(number)[1]))

    def _check_file(self, number: int, kind: str) -> None:
        """Refuse a file of a partition that is not the one that was built."""
        path = self._paths(number)[kind != "sha256"]
        with self._damage_named():
            found = sha256(path)
        if found != self.about["partitions"][number].get(kind, found):
            raise DataError(
                f"{self.folder} is damaged ({path.name} is not the file that was built); remove "
                "the folder, and build it again"
            )

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, pyarrow().ArrowException) as error:
            raise DataError(
                f"{self.folder} is damaged ({error}); remove it, and build it again"
            ) from error

    def _read_bits(self, number: int) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """Packed fingerprints, `n x words`, and their numbers of bits."""
        column = self.partition(number, ["morgan"])["morgan"]
        data = b"".join(bytes(one.buffers()[1])[one.offset * 256 :][: len(one) * 256]
                        for one in column.chunks)  # fmt: skip
        bits = np.frombuffer(data, np.uint64).reshape(-1, 32)
        return bits, np.bitwise_count(bits).sum(axis=1, dtype=np.int32)


def pyarrow() -> Any:
    """The package pyarrow, which a library needs."""
    _imported("pyarrow.parquet")
    return _imported("pyarrow")


def faiss() -> Any:
    """The package faiss, which a library needs."""
    return _imported("faiss")


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingPackageError("a library needs: pip install 'molvae[library]'") from error
