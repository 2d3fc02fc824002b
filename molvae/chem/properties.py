"""Properties: numbers that RDKit computes from a molecule. One entry of `PROPERTIES` each.

An entry is a column of tables, an objective, a term of constraints, and a label of training.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDConfig
from rdkit.Chem import Descriptors, rdFingerprintGenerator, rdMolDescriptors, rdqueries

from molvae.chem._fast_qed import qed
from molvae.chem._parallel import parallel_map_batches
from molvae.chem.molecules import list_of_smiles, parse
from molvae.chem.precedents import zinc250k
from molvae.errors import ConfigError, InvalidMoleculeError, MissingPackageError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

_CIRCULAR = rdFingerprintGenerator.GetMorganGenerator(radius=2)
_STEREOCENTER = rdqueries.HasPropQueryAtom("_CIPCode")
_STEREOCENTER.ExpandQuery(
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
    """Its meaning, in one line."""
    bounds: tuple[float, float] | None = None
    """The range of all values, if it is finite."""
    is_cost: bool = False
    """As an objective, it is minimized by default."""


def logp(mol: Chem.Mol) -> float:
    """Octanol-water partition coefficient by Crippen's atom contributions, log10.

    References:
        Wildman and Crippen (1999), doi:10.1021/ci990307l.
    """
    return float(rdMolDescriptors.CalcCrippenDescriptors(mol)[0])


def sas(mol: Chem.Mol) -> float:
    """Synthetic accessibility, from 1 (easy) to 10 (hard), as RDKit's Contrib computes it.

    How common the molecule's circular fragments are in PubChem, less penalties for size,
    stereocenters, spiro atoms, bridgeheads and macrocycles, plus a bonus for symmetry. Equal to
    `calculateScore` of RDKit's Contrib folder bit for bit, in half of the time.

    Raises:
        MissingPackageError: This RDKit was installed without its Contrib folder.

    References:
        Ertl and Schuffenhauer (2009), doi:10.1186/1758-2946-1-8.
    """
    circular = _CIRCULAR.GetSparseCountFingerprint(mol).GetNonzeroElements()
    known = _fragment_scores()
    # Summed in the order of RDKit's own code: another order would round differently.
    commonness, total = 0.0, 0
    for fragment, count in circular.items():
        commonness += known.get(fragment, -4) * count
        total += count
    commonness /= total
    n = mol.GetNumAtoms()
    size = n**1.005 - n
    stereo = math.log10(_stereocenters(mol) + 1)
    spiro = math.log10(rdMolDescriptors.CalcNumSpiroAtoms(mol) + 1)
    bridges = math.log10(rdMolDescriptors.CalcNumBridgeheadAtoms(mol) + 1)
    macrocycle = math.log10(2) if any(len(r) > 8 for r in mol.GetRingInfo().AtomRings()) else 0.0
    complexity = 0.0 - size - stereo - spiro - bridges - macrocycle
    symmetry = math.log(n / len(circular)) * 0.5 if n > len(circular) else 0.0
    # From -4 (hard) .. 2.5 (easy) to 10 .. 1, the hard end compressed.
    value = 11.0 - (commonness + complexity + symmetry + 4.0 + 1) / 6.5 * 9.0
    if value > 8.0:
        value = 8.0 + math.log(value + 1.0 - 9.0)
    return float(min(max(value, 1.0), 10.0))


PENALIZED_LOGP_CONSTANTS = {
    "logP": (2.4570953396190123, 1.434324401111988),
    "SAS": (3.0525811293166134, 0.8335207024513095),
    "ring": (0.0485696876403053, 0.2860212110245455),
}
"""Mean and standard deviation of each term over ZINC250k, as published with GCPN (You et al. 2018,
arXiv:1806.02473, `reward_penalized_log_p`) after JT-VAE, where SAS and ring penalty are negated."""


def ring_penalty(mol: Chem.Mol) -> float:
    """Number of atoms beyond six in the largest ring; 0 if there is none so large.

    The largest of the smallest set of smallest rings. Published code takes the largest of some
    cycle basis, which depends on the order of the atoms when rings are fused.
    """
    return float(max([0, *(len(ring) - 6 for ring in mol.GetRingInfo().AtomRings())]))


def penalized_logp(mol: Chem.Mol) -> float:
    """Penalized logP: logP - SAS - ring penalty, each standardized on ZINC250k.

    About 0 for an average molecule of that set. Unbounded above and easily gamed by long alkyl
    chains and many halogens: a test problem, not a goal.

    References:
        Gómez-Bombarelli et al. (2018), doi:10.1021/acscentsci.7b00572; Kusner et al. (2017),
        arXiv:1703.01925; constants: You et al. (2018), arXiv:1806.02473.
    """
    terms = {"logP": logp(mol), "SAS": sas(mol), "ring": ring_penalty(mol)}
    standard = {
        name: (terms[name] - mean) / std for name, (mean, std) in PENALIZED_LOGP_CONSTANTS.items()
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


def donors(mol: Chem.Mol) -> float:
    """Number of hydrogen-bond donors, as RDKit's `CalcNumHBD` counts them."""
    return float(rdMolDescriptors.CalcNumHBD(mol))


def acceptors(mol: Chem.Mol) -> float:
    """Number of hydrogen-bond acceptors, as RDKit's `CalcNumHBA` counts them."""
    return float(rdMolDescriptors.CalcNumHBA(mol))


def rotatable_bonds(mol: Chem.Mol) -> float:
    """Number of rotatable bonds; amide bonds are none (RDKit's strict definition)."""
    return float(rdMolDescriptors.CalcNumRotatableBonds(mol))


def fsp3(mol: Chem.Mol) -> float:
    """Fraction of the carbon atoms that are sp3-hybridized; 0 without carbon.

    References:
        Lovering et al. (2009), doi:10.1021/jm901241e.
    """
    return float(rdMolDescriptors.CalcFractionCSP3(mol))


def aromatic_rings(mol: Chem.Mol) -> float:
    """Number of aromatic rings."""
    return float(rdMolDescriptors.CalcNumAromaticRings(mol))


def formal_charge(mol: Chem.Mol) -> float:
    """Sum of the formal charges of all atoms, in elementary charges."""
    return float(Chem.GetFormalCharge(mol))


def stereocenters(mol: Chem.Mol) -> float:
    """Number of tetrahedral stereocenters, assigned or not."""
    return float(_stereocenters(mol))


def lipinski_violations(mol: Chem.Mol) -> float:
    """Number of Lipinski's rules broken: MW <= 500, logP <= 5, NH and OH <= 5, N and O <= 10.

    References:
        Lipinski et al. (1997), doi:10.1016/S0169-409X(96)00423-1.
    """
    nh_oh, n_o = rdMolDescriptors.CalcNumLipinskiHBD(mol), rdMolDescriptors.CalcNumLipinskiHBA(mol)
    return float(sum((weight(mol) > 500, logp(mol) > 5, nh_oh > 5, n_o > 10)))


def veber_violations(mol: Chem.Mol) -> float:
    """Number of Veber's rules broken: rotatable bonds <= 10, TPSA <= 140 Å².

    References:
        Veber et al. (2002), doi:10.1021/jm020017n.
    """
    return float(sum((rotatable_bonds(mol) > 10, tpsa(mol) > 140)))


def unseen_rings(mol: Chem.Mol) -> float:
    """Ring systems that occur in no training molecule of ZINC250k."""
    return float(len(zinc250k().unseen_rings(mol)))


def unseen_environments(mol: Chem.Mol) -> float:
    """Atoms whose neighbors occur around no atom of the training molecules of ZINC250k."""
    return float(len(zinc250k().unseen_environments(mol)))


def _property(
    name: str, label: str, of: Callable[[Chem.Mol], float], unit: str = "", **more: Any
) -> Property:
    doc = (of.__doc__ or "").split("\n")[0].rstrip(".")
    return Property(name=name, label=label, unit=unit, of=of, doc=doc, **more)


PROPERTIES: dict[str, Property] = {
    made.name: made
    for made in (
        _property("logP", "logP (Crippen)", logp),
        _property("SAS", "synthetic accessibility", sas, bounds=(1.0, 10.0), is_cost=True),
        _property("QED", "drug-likeness (QED)", qed, bounds=(0.0, 1.0)),
        _property("penalized_logp", "penalized logP", penalized_logp),
        _property("MW", "molecular weight", weight, "g/mol"),
        _property("TPSA", "polar surface area", tpsa, "Å²"),
        _property("rings", "rings", rings),
        _property("heavy_atoms", "heavy atoms", heavy_atoms),
        _property("donors", "hydrogen-bond donors", donors),
        _property("acceptors", "hydrogen-bond acceptors", acceptors),
        _property("rotatable_bonds", "rotatable bonds", rotatable_bonds),
        _property("Fsp3", "fraction of sp3 carbon", fsp3, bounds=(0.0, 1.0)),
        _property("aromatic_rings", "aromatic rings", aromatic_rings),
        _property("formal_charge", "formal charge", formal_charge, "e"),
        _property("stereocenters", "stereocenters", stereocenters, is_cost=True),
        _property(
            "lipinski_violations",
            "Lipinski violations",
            lipinski_violations,
            bounds=(0, 4),
            is_cost=True,
        ),
        _property(
            "veber_violations", "Veber violations", veber_violations, bounds=(0, 2), is_cost=True
        ),
        _property("unseen_rings", "ring systems unseen", unseen_rings, is_cost=True),
        _property(
            "unseen_environments", "atom environments unseen", unseen_environments, is_cost=True
        ),
    )
}
"""Every property by its name. `get_property` also knows all descriptors of RDKit."""

ALIASES = {"penalised_logp": "penalized_logp"}
"""Old names of properties in lower case, still read. Hyphens are read as underscores."""

RDKIT = "rdkit:"
"""Prefix of the descriptors in `rdkit.Chem.Descriptors`, e.g. `rdkit:BertzCT`."""


def get_property(name: str) -> Property:
    """A property by its name in any case, or a descriptor of RDKit as `rdkit:NAME`.

    Raises:
        UnknownNameError: The name is unknown; suggests the nearest one.
    """
    key = name.strip().lower()
    if key.startswith(RDKIT):
        found = {known.lower(): known for known, _ in Descriptors.descList}
        if key.removeprefix(RDKIT) not in found:
            raise UnknownNameError("RDKit descriptor", name.strip()[len(RDKIT) :], found.values())
        known = found[key.removeprefix(RDKIT)]
        of = getattr(Descriptors, known)
        doc = f"RDKit's descriptor {known}"
        return Property(name=RDKIT + known, label=known, unit="", of=of, doc=doc)
    key = key.replace("-", "_")
    spelling = {known.lower(): known for known in PROPERTIES}
    if (key := ALIASES.get(key, key)) not in spelling:
        raise UnknownNameError("property", name, [*PROPERTIES, RDKIT + "NAME"])
    return PROPERTIES[spelling[key]]


def is_property(name: str) -> bool:
    """Whether `get_property` knows a name."""
    try:
        get_property(name)
    except UnknownNameError:
        return False
    return True


def named(names: Iterable[str]) -> list[str]:
    """Names of properties, given as `get_property` takes them, in their own spelling.

    Raises:
        UnknownNameError: A name is unknown.
        ConfigError: A single text instead of a list.
    """
    if isinstance(names, str):
        raise ConfigError(f"expected a list of names, got the single text {names!r}; use [name]")
    return [get_property(name).name for name in names]


def score(
    smiles: Sequence[str], names: Sequence[str], *, workers: int | None = None
) -> NDArray[np.float64]:
    """Properties of many molecules as an array, `n x len(names)`.

    Args:
        smiles: SMILES in any form.
        names: Of properties, as `get_property` takes them.
        workers: Processes; None for one per core when there are more than 2,000 molecules.

    Returns:
        Rows in the order of `smiles`. NaN for a text that is no molecule, and for a property that
        cannot be computed.

    Raises:
        UnknownNameError: A name is unknown.
        ConfigError: A single text instead of a list, `workers` below 1, or workers that died.
    """
    return _compute(list_of_smiles(smiles), named(names), workers)[0]


def properties(
    smiles: Sequence[str], names: Sequence[str] | None = None, *, workers: int | None = None
) -> pd.DataFrame:
    """Properties of many molecules as a table.

    Arguments and errors as of `score`; without `names`, all of `PROPERTIES`.

    Returns:
        One row per text, in the order given: `smiles` as given, the properties, and `error`, empty
        or the reason for NaN in this row.
    """
    import pandas as pd

    texts, names = list_of_smiles(smiles), named(PROPERTIES if names is None else names)
    values, errors = _compute(texts, names, workers)
    return pd.DataFrame(
        {
            "smiles": pd.Series(texts, dtype=object),
            **{name: values[:, column] for column, name in enumerate(names)},
            "error": pd.Series(errors, dtype=object),
        }
    )


def _compute(
    texts: list[str], names: list[str], workers: int | None
) -> tuple[NDArray[np.float64], list[str]]:
    rows = parallel_map_batches(_Rows(tuple(names)), texts, workers=workers)
    values = np.array([row for row, _ in rows], dtype=np.float64).reshape(len(rows), len(names))
    return values, [error for _, error in rows]


@dataclass(frozen=True)
class _Rows:
    """A function that can be pickled: the properties of each text, and the reasons for NaN.

    Property by property, which is a tenth faster than molecule by molecule.
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
            of = get_property(name).of
            for row, mol in enumerate(mols):
                if mol is None:
                    continue
                try:
                    value = float(of(mol))
                    if not math.isfinite(value):
                        raise ValueError(f"RDKit returns {value}")
                    values[row, column] = value
                # RDKit's own code raises these on molecules that it does not expect.
                except (ValueError, RuntimeError, ArithmeticError) as error:
                    errors[row].append(f"{name} cannot be computed: {error}")
        return [
            (tuple(row), "; ".join(reasons))
            for row, reasons in zip(values.tolist(), errors, strict=True)
        ]


def _stereocenters(mol: Chem.Mol) -> int:
    """Number of stereocenters, assigned or not, as `FindMolChiralCenters` counts them."""
    if not Chem.GetUseLegacyStereoPerception():
        return len(Chem.FindMolChiralCenters(mol, includeUnassigned=True))  # type: ignore[no-untyped-call]
    # The same perception; that function then loops over the atoms in Python, which is slow.
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True, flagPossibleStereoCenters=True)
    return len(mol.GetAtomsMatchingQuery(_STEREOCENTER))


@lru_cache(maxsize=1)
def _fragment_scores() -> dict[int, float]:
    """Scores of fragments by their Morgan hash, from RDKit's Contrib folder; read once."""
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
    "PENALIZED_LOGP_CONSTANTS",
    "PROPERTIES",
    "Property",
    "get_property",
    "is_property",
    "named",
    "penalized_logp",
    "properties",
    "ring_penalty",
    "score",
]
