"""Prepared data folders: molecules of a data set, cleaned and split by hash."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import rdkit
from rdkit import Chem

from molvae._files import Kind, head_of, replacing
from molvae._version import __version__
from molvae.chem._parallel import stream
from molvae.chem.datasets import DATASETS, locate, read_molecules, sha256
from molvae.chem.measurements import mean_values
from molvae.chem.molecules import has_radicals, parse, unknown_elements
from molvae.chem.representations import Selfies
from molvae.chem.tables import SMILES_COLUMN
from molvae.config import PrepareConfig
from molvae.errors import (
    ConfigError,
    DataError,
    InvalidMoleculeError,
    UnknownNameError,
    reason_of,
    warn,
)

SPLITS = {"train": 0.9, "valid": 0.95, "test": 1.0}
"""Upper end of the hash values of each split, from 0 to 1."""
MIN_SPLIT_SIZE = 5  # number of molecules of a split below which `prepare` warns
DROP_REASONS = ("invalid", "too-large", "element", "selfies", "duplicate")
"""Reasons to drop a text; the first that applies is counted."""


def _is_prepared(folder: Path) -> bool:
    """Whether a folder holds only what `prepare` wrote, unedited, and caches of trainings."""
    try:
        about = json.loads((folder / "prepare.json").read_text("utf-8"))
        digests = recorded_digests(about)
        return about["format"] == 1 and all(
            path.is_file()
            and not path.is_symlink()
            and (
                path.name in ("prepare.json", ".DS_Store")
                or (path.name in digests and sha256(path) == digests[path.name])
                or re.fullmatch(r"\.molvae-.*\.draft.*", path.name) is not None
                or (path.suffix == ".safetensors" and _is_cache(path))
            )
            for path in folder.iterdir()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def recorded_digests(about: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each file of a data folder by its name, as `prepare.json` records them."""
    return {
        f"{split}.{ending}": counts[key]
        for split, counts in about["splits"].items()
        for ending, key in (("smi", "sha256"), ("csv", "columns_sha256"))
        if key in counts
    }


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


def split_of(smiles: str) -> str:
    """The split of a molecule, by its hash alone, so that adding molecules moves none.

    u = (first 32 bits of SHA-256 of canonical SMILES) / 2^32; train below 0.9, valid below 0.95,
    else test.
    """
    u = _hash(smiles, 0)
    return next(name for name, end in SPLITS.items() if u < end)


def _hash(text: str, word: int) -> float:
    """A 32-bit word of a text's SHA-256, over 2^32."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return int(digest[8 * word : 8 * word + 8], 16) / 2**32


@dataclass(frozen=True, kw_only=True)
class PrepareReport:
    """Counts of a preparation: of texts, dropped texts by reason, and molecules by split."""

    out: str
    """The folder."""
    read: int
    dropped: Mapping[str, int]
    splits: Mapping[str, int]
    radicals: int = 0
    """Molecules with unpaired electrons; a model trained on them may generate such molecules."""

    @property
    def kept(self) -> int:
        """Number of molecules of all splits."""
        return sum(self.splits.values())

    def __str__(self) -> str:
        reasons = _reasons(self.dropped)
        parts = " · ".join(f"{name} {count}" for name, count in self.splits.items())
        return (
            f"{self.read} read · {self.kept} kept · {self.read - self.kept} dropped"
            + (f" ({reasons})" if reasons else "")
            + (f" · {self.radicals} with unpaired electrons" if self.radicals else "")
            + f"\n{parts} → {self.out}"
        )


def _reasons(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{why} {count}" for why, count in dropped.items() if count)


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
    order of the source, and `prepare.json`: settings, hashes, and a count for each reason to drop a
    text. With `keep_columns`, `train.csv` and so on hold these columns in the same order, averaged
    over the rows of a molecule. The reasons:

        invalid     not a molecule
        too-large   more heavy atoms than `max_heavy_atoms`
        element     an element that is not among `elements`
        selfies     SELFIES cannot write it, or reads something else back
        duplicate   a molecule that came before

    The folder is complete or does not appear. The same source, settings and versions give the same
    bytes, for any number of workers.

    Args:
        source: As for `molvae.chem.datasets.read`, with the same errors.
        out: The folder to make.
        config: Invalid texts of named data sets are skipped whatever it says.
        workers: Processes; None for one per core when there are more than 2,000 texts.
        overwrite: Replace a folder that `prepare` made, if nothing in it was edited or added.

    Raises:
        InvalidMoleculeError: A text is not a molecule and `skip_invalid` is off.
        DataError: No molecule is left; `out` cannot be written; a cell of a kept column is no
            number.
        ConfigError: An element does not exist; `workers` is below 1, or they died.
    """
    config = config or PrepareConfig()
    if unknown := unknown_elements(config.elements):
        raise ConfigError(
            f"elements must be symbols such as C, N, Cl; got {', '.join(map(repr, unknown))}"
        )
    skip = config.skip_invalid or str(source) in DATASETS
    with replacing(out, PREPARED, overwrite=overwrite, apart_from=[source]) as folder:
        table, place = read_molecules(source, config.column, config.keep_columns)
        columns = [mean_values(table, table.column(name)) for name in config.keep_columns]
        rows = [(line, cells[place]) for line, cells in table.rows]
        rows = [row for row in rows if config.share == 1 or _hash(row[1], 1) < config.share]
        texts = [text for _, text in rows]
        dropped = dict.fromkeys(DROP_REASONS, 0)
        molecules: dict[str, list[list[float]]] = {}  # which keeps the order; rows of values
        radicals = set[str]()
        results = stream(partial(_clean, config, Selfies()), texts, workers=workers)
        for (line, _), (smiles, reason, detail) in zip(rows, results, strict=True):
            if reason == "invalid" and not skip:
                table.invalid(line, place, detail)
            if reason or smiles in molecules:
                dropped[reason or "duplicate"] += 1
            if not reason:
                radicals.update([smiles] if detail else [])
                values = [column.get(line, math.nan) for column in columns]
                molecules.setdefault(smiles, []).append(values)
        table.check()
        if not molecules:
            raise DataError(
                f"{source}: none of {len(texts)} molecules is left ({_reasons(dropped)})"
            )
        splits = {name: list[str]() for name in SPLITS}
        for smiles in molecules:
            splits[split_of(smiles)].append(smiles)
        for name, part in splits.items():
            (folder / f"{name}.smi").write_text("".join(f"{smiles}\n" for smiles in part), "utf-8")
            if config.keep_columns:
                _write_columns(folder / f"{name}.csv", config.keep_columns, part, molecules)
        report = PrepareReport(
            out=str(out),
            read=len(texts),
            dropped=dropped,
            splits={name: len(part) for name, part in splits.items()},
            radicals=len(radicals),
        )
        (folder / "prepare.json").write_text(_describe(source, config, report, folder), "utf-8")
    if few := [f"{split} {n}" for split, n in report.splits.items() if n < MIN_SPLIT_SIZE]:
        warn(
            f"{out} has few molecules to learn from or to measure on: {', '.join(few)}; 90 % go "
            "into train, 5 % each into valid and test, by their hash: give some hundred molecules"
        )
    return report


def load_split(folder: str | Path, name: str) -> list[str]:
    """The molecules of a split that `prepare` made, in the order of the file.

    Raises:
        UnknownNameError: The name is unknown.
        DataError: The folder or its file does not exist, or cannot be read.
    """
    if name not in SPLITS:
        raise UnknownNameError("split", name, SPLITS)
    path = Path(folder) / f"{name}.smi"
    try:
        return path.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read {path} ({reason_of(error)}); make the folder with `molvae prepare`"
        ) from error


def kept_columns(folder: str | Path, name: str) -> dict[str, list[float]]:
    """The columns that `prepare` kept, in the order of `load_split`; NaN where unknown."""
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


def _write_columns(
    path: Path, keep: Sequence[str], part: Sequence[str], values: Mapping[str, list[list[float]]]
) -> None:
    """Write the kept columns of a split: means over the known values of each molecule."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([SMILES_COLUMN, *keep])
        for smiles in part:
            known = [[v for v in column if v == v] for column in zip(*values[smiles], strict=True)]
            means = [sum(column) / len(column) if column else "" for column in known]
            writer.writerow([smiles, *means])


def _clean(config: PrepareConfig, selfies: Selfies, text: str) -> tuple[str, str, str]:
    """Canonical SMILES, reason to drop (or empty), and detail (`radical` for a radical)."""
    try:
        mol = parse(text)
    except InvalidMoleculeError as error:
        return "", "invalid", str(error)
    if mol.GetNumHeavyAtoms() > config.max_heavy_atoms:
        return "", "too-large", ""
    elements = {atom.GetSymbol() for atom in mol.GetAtoms()} - {"H"}
    if config.elements and not elements.issubset(config.elements):
        return "", "element", ""
    smiles = Chem.MolToSmiles(mol)
    try:
        if selfies.detokenize(selfies.tokenize(smiles)) != smiles:
            return "", "selfies", ""
    except InvalidMoleculeError:
        return "", "selfies", ""
    return smiles, "", "radical" if has_radicals(smiles) else ""


def _describe(
    source: str | Path, config: PrepareConfig, report: PrepareReport, folder: Path
) -> str:
    """The content of prepare.json; without a date, so that the same data give the same bytes."""
    name = str(source)
    settings = asdict(config)
    for setting in ("keep_columns", "share"):  # newer than the format, left out where not used
        if getattr(config, setting) == getattr(PrepareConfig(), setting):
            del settings[setting]
    if config.keep_columns:
        settings["keep"] = settings.pop("keep_columns")  # its name in the file
    files = locate(name) if name in DATASETS else [] if name == "-" else [Path(source)]
    about = {
        "format": 1,
        "source": name,
        "files": {path.name: sha256(path) for path in files},
        "settings": settings,
        "read": report.read,
        "kept": report.kept,
        "dropped": report.dropped,
        **({"radicals": report.radicals} if report.radicals else {}),
        "splits": {
            split: {"molecules": count, "sha256": sha256(folder / f"{split}.smi")}
            | ({"columns_sha256": sha256(folder / f"{split}.csv")} if config.keep_columns else {})
            for split, count in report.splits.items()
        },
        "versions": {
            "molvae": __version__,
            "rdkit": rdkit.__version__,
            "selfies": metadata.version("selfies"),
        },
    }
    return json.dumps(about, indent=2, ensure_ascii=False) + "\n"
