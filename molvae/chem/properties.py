"""Numbers that RDKit computes from a molecule, for one and for many.

Knows what each is called, its unit and where it comes from. Knows no direction: whether more is
better is said by an objective.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDConfig
from rdkit.Chem import Descriptors, rdFingerprintGenerator, rdMolDescriptors, rdqueries

from molvae.chem._fast_qed import qed
from molvae.chem._parallel import parallel_map_batches
from molvae.chem.molecules import parse
from molvae.errors import ConfigError, InvalidMoleculeError, MissingPackageError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

_CIRCULAR = rdFingerprintGenerator.GetMorganGenerator(radius=2)
_STEREOCENTRE = rdqueries.HasPropQueryAtom("_CIPCode")
_STEREOCENTRE.ExpandQuery(
    rdqueries.HasPropQueryAtom("_ChiralityPossible"), how=Chem.CompositeQueryType.COMPOSITE_OR
)


@dataclass(frozen=True, kw_only=True)
class Property:
    """A number that a molecule has."""

    name: str
    """Its key in `PROPERTIES`, and its column."""
    label: str
    """For axes and tables."""
    unit: str
    """Empty if it has none."""
    of: Callable[[Chem.Mol], float]
    """Computes it for one molecule."""
    doc: str
    """What it is, in one line."""


def logp(mol: Chem.Mol) -> float:
    """Octanol-water partition coefficient by Crippen's atom contributions, log10.

    References:
        Wildman and Crippen (1999), doi:10.1021/ci990307l.
    """
    return float(rdMolDescriptors.CalcCrippenDescriptors(mol)[0])


def sas(mol: Chem.Mol) -> float:
    """Synthetic accessibility, from 1 (easy) to 10 (hard), as RDKit's Contrib computes it.

    How common the molecule's circular fragments are in PubChem, less penalties for size,
    stereocentres, spiro atoms, bridgeheads and macrocycles, plus a bonus for symmetry. The
    fragments' scores are read from RDKit's Contrib folder; the number is that of its own
    `calculateScore`, bit for bit, in half of the time.

    Raises:
        MissingPackageError: This RDKit was installed without its Contrib folder.

    References:
        Ertl and Schuffenhauer (2009), doi:10.1186/1758-2946-1-8.
    """
    circular = _CIRCULAR.GetSparseCountFingerprint(mol).GetNonzeroElements()
    known = _fragment_scores()
    # From the first to the last, as RDKit does it: another order would round differently.
    commonness, total = 0.0, 0
    for fragment, count in circular.items():
        commonness += known.get(fragment, -4) * count
        total += count
    commonness /= total
    n = mol.GetNumAtoms()
    size = n**1.005 - n
    stereo = math.log10(_stereocentres(mol) + 1)
    spiro = math.log10(rdMolDescriptors.CalcNumSpiroAtoms(mol) + 1)
    bridges = math.log10(rdMolDescriptors.CalcNumBridgeheadAtoms(mol) + 1)
    macrocycle = math.log10(2) if any(len(r) > 8 for r in mol.GetRingInfo().AtomRings()) else 0.0
    complexity = 0.0 - size - stereo - spiro - bridges - macrocycle
    symmetry = math.log(n / len(circular)) * 0.5 if n > len(circular) else 0.0
    # From -4 (hard) .. 2.5 (easy) to 10 .. 1, the hard end drawn in.
    value = 11.0 - (commonness + complexity + symmetry + 4.0 + 1) / 6.5 * 9.0
    if value > 8.0:
        value = 8.0 + math.log(value + 1.0 - 9.0)
    return float(min(max(value, 1.0), 10.0))


PENALISED_LOGP_CONSTANTS = {
    "logP": (2.4570953396190123, 1.434324401111988),
    "SAS": (3.0525811293166134, 0.8335207024513095),
    "ring": (0.0485696876403053, 0.2860212110245455),
}
"""Mean and standard deviation of each term over ZINC250k, as published with GCPN (You et al. 2018,
arXiv:1806.02473, `reward_penalized_log_p`) after JT-VAE; they write SAS and ring penalty with the
sign turned."""


def ring_penalty(mol: Chem.Mol) -> float:
    """Atoms beyond six in the largest ring; 0 if there is none so large.

    The largest of the smallest set of smallest rings. Published code takes the largest of some
    cycle basis, which depends on the order of the atoms when rings are fused.
    """
    return float(max([0, *(len(ring) - 6 for ring in mol.GetRingInfo().AtomRings())]))


def penalised_logp(mol: Chem.Mol) -> float:
    """Penalised logP: logP - SAS - ring penalty, each standardised on ZINC250k.

    About 0 for an average molecule of that set. Unbounded above and easily gamed by long alkyl
    chains and many halogens: a test problem, not a goal.

    References:
        Gómez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572; Kusner et al. (2017),
        arXiv:1703.01925; constants: You et al. (2018), arXiv:1806.02473.
    """
    terms = {"logP": logp(mol), "SAS": sas(mol), "ring": ring_penalty(mol)}
    standard = {
        name: (terms[name] - mean) / sd for name, (mean, sd) in PENALISED_LOGP_CONSTANTS.items()
    }
    return standard["logP"] - standard["SAS"] - standard["ring"]


def weight(mol: Chem.Mol) -> float:
    """Average molecular weight, hydrogens included, in g/mol."""
    return float(Descriptors.MolWt(mol))  # type: ignore[attr-defined]


def tpsa(mol: Chem.Mol) -> float:
    """Topological polar surface area of nitrogen and oxygen, in Å².

    References:
        Ertl et al. (2000), doi:10.1021/jm000942e.
    """
    return float(rdMolDescriptors.CalcTPSA(mol))


def rings(mol: Chem.Mol) -> float:
    """Number of rings in the smallest set of smallest rings."""
    return float(rdMolDescriptors.CalcNumRings(mol))


def heavy_atoms(mol: Chem.Mol) -> float:
    """Number of atoms other than hydrogen."""
    return float(mol.GetNumHeavyAtoms())


def _property(name: str, label: str, unit: str, of: Callable[[Chem.Mol], float]) -> Property:
    return Property(
        name=name, label=label, unit=unit, of=of, doc=(of.__doc__ or "").split("\n")[0].rstrip(".")
    )


PROPERTIES: dict[str, Property] = {
    made.name: made
    for made in (
        _property("logP", "logP (Crippen)", "", logp),
        _property("SAS", "synthetic accessibility", "", sas),
        _property("QED", "drug-likeness (QED)", "", qed),
        _property("penalised_logP", "penalised logP", "", penalised_logp),
        _property("MW", "molecular weight", "g/mol", weight),
        _property("TPSA", "polar surface area", "Å²", tpsa),
        _property("rings", "rings", "", rings),
        _property("heavy_atoms", "heavy atoms", "", heavy_atoms),
    )
}
"""Every property by its name."""


def score(
    smiles: Sequence[str], names: Sequence[str], *, workers: int | None = None
) -> NDArray[np.float64]:
    """Properties of many molecules, each of which is parsed once.

    Args:
        smiles: SMILES in any form.
        names: Of properties, in any case.
        workers: Processes; None for one per core when there are more than 2,000 molecules.

    Returns:
        `n x len(names)`, order kept; a row of NaN for a text that is no molecule, NaN for a
        property that cannot be computed.

    Raises:
        UnknownNameError: No property of that name.
        ConfigError: A single text instead of a list, `workers` below 1, or workers that died.
    """
    names = named(names)
    rows = parallel_map_batches(_Rows(tuple(names)), _as_list(smiles), workers=workers)
    values = [row for row, _ in rows]
    return np.array(values, dtype=np.float64).reshape(len(rows), len(names))


def properties(
    smiles: Sequence[str], names: Sequence[str] | None = None, *, workers: int | None = None
) -> pd.DataFrame:
    """Properties of many molecules as a table.

    Args:
        smiles: SMILES in any form.
        names: Of properties, in any case; all of `PROPERTIES` by default.
        workers: Processes; None for one per core when there are more than 2,000 molecules.

    Returns:
        One row per text, in the order given: `smiles` as given, the properties, and `error`, empty
        or the reason why numbers of this row are NaN.

    Raises:
        UnknownNameError: No property of that name.
        ConfigError: A single text instead of a list, `workers` below 1, or workers that died.
    """
    import pandas as pd

    names = named(PROPERTIES if names is None else names)
    texts = _as_list(smiles)
    rows = parallel_map_batches(_Rows(tuple(names)), texts, workers=workers)
    values = np.array([row for row, _ in rows], dtype=np.float64).reshape(len(rows), len(names))
    return pd.DataFrame(
        {
            "smiles": pd.Series(texts, dtype=object),
            **{name: values[:, column] for column, name in enumerate(names)},
            "error": pd.Series([error for _, error in rows], dtype=object),
        }
    )


@dataclass(frozen=True)
class _Rows:
    """A function that can be pickled: texts to their numbers, and why some of them are missing.

    One property after the other: a processor is then a tenth faster than molecule by molecule.
    """

    names: tuple[str, ...]

    def __call__(self, texts: Sequence[str]) -> list[tuple[tuple[float, ...], str]]:
        mols: list[Chem.Mol | None] = []
        errors: list[list[str]] = [[] for _ in texts]
        for text, reasons in zip(texts, errors, strict=True):
            try:
                mols.append(parse(text))
            except InvalidMoleculeError as error:
                mols.append(None)
                reasons.append(str(error))
        values = np.full((len(texts), len(self.names)), math.nan)
        for column, name in enumerate(self.names):
            of = PROPERTIES[name].of
            for row, mol in enumerate(mols):
                if mol is None:
                    continue
                try:
                    values[row, column] = of(mol)
                # What RDKit's own code raises on molecules that it did not foresee.
                except (ValueError, RuntimeError, ArithmeticError) as error:
                    errors[row].append(f"{name} cannot be computed: {error}")
        return [
            (tuple(row), "; ".join(reasons))
            for row, reasons in zip(values.tolist(), errors, strict=True)
        ]


def named(names: Sequence[str] | dict[str, Property]) -> list[str]:
    """Names of properties, given in any case, as they are spelled in `PROPERTIES`.

    Raises:
        UnknownNameError: No property of that name.
        ConfigError: A single text instead of a list.
    """
    if isinstance(names, str):
        raise ConfigError(f"expected a list of names, got the single text {names!r}; use [name]")
    spelling = {name.lower(): name for name in PROPERTIES}
    for name in names:
        if name.lower() not in spelling:
            raise UnknownNameError("property", name, PROPERTIES)
    return [spelling[name.lower()] for name in names]


def _as_list(smiles: Sequence[str]) -> list[str]:
    if isinstance(smiles, str):
        raise ConfigError(
            f"expected a list of SMILES, got the single text {smiles!r}; use [smiles]"
        )
    return list(smiles)


def _stereocentres(mol: Chem.Mol) -> int:
    """Stereocentres, assigned or not, as RDKit's `FindMolChiralCenters` counts them."""
    if not Chem.GetUseLegacyStereoPerception():
        return len(Chem.FindMolChiralCenters(mol, includeUnassigned=True))  # type: ignore[no-untyped-call]
    # The same perception; that function then walks the atoms in Python, which takes far longer.
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True, flagPossibleStereoCenters=True)
    return len(mol.GetAtomsMatchingQuery(_STEREOCENTRE))


@lru_cache(maxsize=1)
def _fragment_scores() -> dict[int, float]:
    """Scores of fragments by their Morgan hash, which RDKit keeps beside the package; read once."""
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("molvae_sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise MissingPackageError(
            f"SAS needs {path}, which this RDKit lacks; install it with `pip install rdkit`"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.readFragmentScores()
    scores: dict[int, float] = module._fscores
    return scores


__all__ = [
    "PENALISED_LOGP_CONSTANTS",
    "PROPERTIES",
    "Property",
    "named",
    "penalised_logp",
    "properties",
    "ring_penalty",
    "score",
]
