"""Ring systems, atom environments and sizes that occur in a set of molecules.

A molecule whose ring systems and atom environments all occur in known molecules is more plausible
than one with parts that nobody has made. `pipelines/precedents.py` makes the file of a data set.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from molvae.chem._parallel import parallel_map
from molvae.chem.molecules import parse
from molvae.errors import CheckpointError

FILE_NAME = "precedents.safetensors"  # name of the file in a model folder
ENVIRONMENT_RADIUS = 1  # bonds around an atom that its environment spans
SIZE_QUANTILES = (0.0001, 0.9999)  # of the numbers of heavy atoms: the ends of the usual sizes


@dataclass(frozen=True, eq=False)
class Precedents:
    """Ring systems and atom environments in a set of molecules, as sorted hashes, and the sizes."""

    rings: NDArray[np.uint64]
    """Ring systems with the atoms that are double-bonded to them, without stereochemistry."""
    environments: NDArray[np.uint32]
    """Atoms with their neighbors, whatever their charge and hydrogens."""
    heavy_atoms: tuple[int, int]
    """Smallest and largest usual number of heavy atoms, see `SIZE_QUANTILES`."""

    @classmethod
    def of(cls, smiles: Iterable[str], *, workers: int | None = None) -> Precedents:
        """The precedents in molecules, in as many processes as `workers` says."""
        rings, environments, sizes = set[int](), set[int](), list[int]()
        for some_rings, some_environments, size in parallel_map(
            _parts, list(smiles), workers=workers
        ):
            rings.update(some_rings)
            environments.update(some_environments)
            sizes.append(size)
        low, high = np.quantile(sizes, SIZE_QUANTILES) if sizes else (0, 0)
        return cls(
            np.array(sorted(rings), dtype=np.uint64),
            np.array(sorted(environments), dtype=np.uint32),
            (math.floor(low), math.ceil(high)),
        )

    def unseen_rings(self, mol: Chem.Mol) -> list[str]:
        """Ring systems of a molecule that occur in none of the others, see `ring_systems`."""
        return [text for text in ring_systems(mol) if not _has(self.rings, _ring_hash(text))]

    def unseen_environments(self, mol: Chem.Mol) -> list[str]:
        """Atoms of a molecule with neighbors as no atom of the others has, as SMILES fragments."""
        found = environments(mol)
        new = [atom for number, atom in found.items() if not _has(self.environments, number)]
        return sorted(_fragment(mol, atom) for atom in new)

    def save(self, path: Path) -> None:
        """Write to a safetensors file."""
        from safetensors.numpy import save

        arrays: dict[str, NDArray[Any]] = {
            "rings": self.rings,
            "environments": self.environments,
            "heavy_atoms": np.array(self.heavy_atoms, dtype=np.int64),
        }
        path.write_bytes(save(arrays))  # readable by others as usual, unlike save_file's

    @classmethod
    def load(cls, path: Path) -> Precedents:
        """Read what `save` has written.

        Raises:
            CheckpointError: The file cannot be read as precedents.
        """
        from safetensors.numpy import load_file

        try:
            found = load_file(path)
            low, high = found["heavy_atoms"].tolist()
            return cls(
                found["rings"].astype(np.uint64),
                found["environments"].astype(np.uint32),
                (int(low), int(high)),
            )
        except Exception as error:
            raise CheckpointError(
                f"{path} holds no ring systems and environments: {error}"
            ) from error


def zinc250k() -> Precedents:
    """Precedents of the training molecules of ZINC250k, which come with the package."""
    found = of_model("zinc250k")
    assert found is not None
    return found


def of_model(model: str) -> Precedents | None:
    """Precedents of the training molecules of a model; None if it has no file of them.

    Args:
        model: Name of a bundled model, or a model folder.

    Raises:
        CheckpointError: The file cannot be read as precedents.
    """
    with as_file(files("molvae") / "weights") as weights:
        bundled = weights / model
        path = (bundled if (bundled / "model.json").is_file() else Path(model)) / FILE_NAME
        return _load(path, path.stat().st_mtime_ns) if model and path.is_file() else None


@lru_cache(maxsize=4)
def _load(path: Path, _written: int) -> Precedents:
    return Precedents.load(path)


def ring_systems(mol: Chem.Mol) -> list[str]:
    """SMILES-like text of each ring system: fused, bridged and spiro rings are one.

    Hydrogens and charges are left out, so that tautomers are the same.
    """
    symbols = [
        a.GetSymbol().lower() if a.GetIsAromatic() else a.GetSymbol() for a in mol.GetAtoms()
    ]
    systems: list[set[int]] = []
    for ring in mol.GetRingInfo().AtomRings():
        touching = [system for system in systems if not system.isdisjoint(ring)]
        others = [system for system in systems if system.isdisjoint(ring)]
        systems = [*others, set(ring).union(*touching)]
    found = []
    for system in systems:
        outside = {
            bond.GetOtherAtomIdx(atom)
            for atom in system
            for bond in mol.GetAtomWithIdx(atom).GetBonds()
            if bond.GetBondType() == Chem.BondType.DOUBLE
        }
        atoms = sorted(system | outside)
        found.append(
            Chem.MolFragmentToSmiles(mol, atoms, atomSymbols=symbols, isomericSmiles=False)
        )
    return found


def environments(mol: Chem.Mol) -> dict[int, int]:
    """Hashes of the different atom environments, 32 bits, and an atom that has each."""
    invariants = [
        atom.GetAtomicNum() << 6
        | min(atom.GetDegree(), 7) << 2
        | atom.GetIsAromatic() << 1
        | atom.IsInRing()
        for atom in mol.GetAtoms()
    ]
    output = rdFingerprintGenerator.AdditionalOutput()
    output.AllocateBitInfoMap()
    _generator().GetSparseCountFingerprint(
        mol, customAtomInvariants=invariants, additionalOutput=output
    )
    return {
        number & 0xFFFFFFFF: places[0][0]
        for number, places in output.GetBitInfoMap().items()
        if places[0][1] == ENVIRONMENT_RADIUS
    }


def _fragment(mol: Chem.Mol, atom: int) -> str:
    around = [atom, *(other.GetIdx() for other in mol.GetAtomWithIdx(atom).GetNeighbors())]
    return Chem.MolFragmentToSmiles(mol, around, isomericSmiles=False)


@cache
def _generator() -> rdFingerprintGenerator.FingerprintGenerator64:
    return rdFingerprintGenerator.GetMorganGenerator(radius=ENVIRONMENT_RADIUS)


def _ring_hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _parts(smiles: str) -> tuple[list[int], list[int], int]:
    mol = parse(smiles)
    rings = [_ring_hash(text) for text in ring_systems(mol)]
    return rings, list(environments(mol)), mol.GetNumHeavyAtoms()


def _has(known: NDArray[np.uint64] | NDArray[np.uint32], number: int) -> bool:
    place = int(np.searchsorted(known, known.dtype.type(number)))
    return place < len(known) and int(known[place]) == number
