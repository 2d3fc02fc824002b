"""Properties that RDKit computes: columns, objectives, terms of constraints, training labels."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDConfig, rdBase
from rdkit.Chem import QED, Descriptors, rdMolDescriptors
from rdkit.Chem.rdMolDescriptors import CalcNumAromaticRings

from molvae.chem._parallel import parallel_map
from molvae.chem.molecules import canonical, index_of, list_of_smiles, parse
from molvae.chem.precedents import zinc250k
from molvae.errors import (
    ConfigError,
    DataError,
    InvalidMoleculeError,
    MissingPackageError,
    UnknownNameError,
    shown,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Property:
    """A number that a molecule has."""

    name: str  # its key in `PROPERTIES`, and its column
    label: str
    unit: str = ""
    compute: Callable[[Chem.Mol], float]
    doc: str
    bounds: tuple[float, float] | None = None  # the range of all values, if it is finite
    is_cost: bool = False  # minimized as an objective by default


def logp(mol: Chem.Mol) -> float:
    """Octanol-water partition coefficient by Crippen's atom contributions, log10.

    Wildman and Crippen (1999), doi:10.1021/ci990307l.
    """
    return float(rdMolDescriptors.CalcCrippenDescriptors(mol)[0])


def sas(mol: Chem.Mol) -> float:
    """Synthetic accessibility, from 1 (easy) to 10 (hard), as RDKit's Contrib computes it.

    How common the molecule's circular fragments are in PubChem, less penalties for size,
    stereocenters, spiro atoms, bridgeheads and macrocycles, plus a bonus for symmetry.

    Ertl and Schuffenhauer (2009), doi:10.1186/1758-2946-1-8.

    Raises:
        MissingPackageError: This RDKit was installed without its Contrib folder.
    """
    return float(_sascorer().calculateScore(mol))


@cache
def _sascorer() -> Any:
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("molvae_sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise MissingPackageError(
            f"SAS needs {path}, which this RDKit lacks; install it with `pip install rdkit`"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def qed(mol: Chem.Mol) -> float:
    """Quantitative estimate of drug-likeness with mean weights, in (0, 1), larger is better.

    Bickerton et al. (2012), doi:10.1038/nchem.1243.
    """
    return float(QED.qed(mol))  # type: ignore[no-untyped-call]


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


def tpsa(mol: Chem.Mol) -> float:
    """Topological polar surface area of nitrogen and oxygen, in Å².

    Ertl et al. (2000), doi:10.1021/jm000942e.
    """
    return float(rdMolDescriptors.CalcTPSA(mol))


def rings(mol: Chem.Mol) -> float:
    """Number of rings in the smallest set of smallest rings."""
    return float(rdMolDescriptors.CalcNumRings(mol))


def stereocenters(mol: Chem.Mol) -> float:
    """Number of tetrahedral stereocenters, assigned or not."""
    return float(len(Chem.FindMolChiralCenters(mol, includeUnassigned=True)))  # type: ignore[no-untyped-call]


def weight(mol: Chem.Mol) -> float:
    """Average molecular weight, hydrogens included, in g/mol."""
    return float(rdMolDescriptors._CalcMolWt(mol))


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

    Lovering et al. (2009), doi:10.1021/jm901241e.
    """
    return float(rdMolDescriptors.CalcFractionCSP3(mol))


def formal_charge(mol: Chem.Mol) -> float:
    """Sum of the formal charges of all atoms, in elementary charges."""
    return float(Chem.GetFormalCharge(mol))


def lipinski_violations(mol: Chem.Mol) -> float:
    """Number of Lipinski's rules broken: MW <= 500, logP <= 5, NH and OH <= 5, N and O <= 10.

    Lipinski et al. (1997), doi:10.1016/S0169-409X(96)00423-1.
    """
    nh_oh, n_o = rdMolDescriptors.CalcNumLipinskiHBD(mol), rdMolDescriptors.CalcNumLipinskiHBA(mol)
    return float(sum((weight(mol) > 500, logp(mol) > 5, nh_oh > 5, n_o > 10)))


def veber_violations(mol: Chem.Mol) -> float:
    """Number of Veber's rules broken: rotatable bonds <= 10, TPSA <= 140 Å².

    Veber et al. (2002), doi:10.1021/jm020017n.
    """
    return float((rotatable_bonds(mol) > 10) + (tpsa(mol) > 140))


def unseen_rings(mol: Chem.Mol) -> float:
    """Ring systems that occur in no training molecule of ZINC250k."""
    return float(len(zinc250k().unseen_rings(mol)))


def unseen_environments(mol: Chem.Mol) -> float:
    """Atoms whose neighbors occur around no atom of the training molecules of ZINC250k."""
    return float(len(zinc250k().unseen_environments(mol)))


def _property(
    name: str, compute: Callable[[Chem.Mol], float], doc: str = "", label: str = "", **more: Any
) -> Property:
    doc = doc or (compute.__doc__ or "").split("\n")[0].rstrip(".")
    return Property(
        name=name, label=label or name.replace("_", " "), compute=compute, doc=doc, **more
    )


PROPERTIES: dict[str, Property] = {
    made.name: made
    for made in (
        _property("logP", logp, label="logP (Crippen)"),
        _property("SAS", sas, label="synthetic accessibility", bounds=(1.0, 10.0), is_cost=True),
        _property("QED", qed, label="drug-likeness (QED)", bounds=(0.0, 1.0)),
        _property("penalized_logp", penalized_logp, label="penalized logP"),
        _property("MW", weight, label="molecular weight", unit="g/mol"),
        _property("TPSA", tpsa, label="polar surface area", unit="Å²"),
        _property("rings", rings),
        _property("heavy_atoms", Chem.Mol.GetNumHeavyAtoms, "Number of atoms other than hydrogen"),
        _property("donors", donors, label="hydrogen-bond donors"),
        _property("acceptors", acceptors, label="hydrogen-bond acceptors"),
        _property("rotatable_bonds", rotatable_bonds),
        _property("Fsp3", fsp3, label="fraction of sp3 carbon", bounds=(0.0, 1.0)),
        _property("aromatic_rings", CalcNumAromaticRings, "Number of aromatic rings"),
        _property("formal_charge", formal_charge, unit="e"),
        _property("stereocenters", stereocenters, is_cost=True),
        _property(
            "lipinski_violations",
            lipinski_violations,
            label="Lipinski violations",
            bounds=(0, 4),
            is_cost=True,
        ),
        _property(
            "veber_violations",
            veber_violations,
            label="Veber violations",
            bounds=(0, 2),
            is_cost=True,
        ),
        _property("unseen_rings", unseen_rings, label="ring systems unseen", is_cost=True),
        _property(
            "unseen_environments",
            unseen_environments,
            label="atom environments unseen",
            is_cost=True,
        ),
    )
}
"""Every property by its name. `get_property` also knows descriptors of RDKit and `nearest:FILE`."""

ALIASES = {"penalised_logp": "penalized_logp"}
"""Old names of properties in lower case, still read. Hyphens are read as underscores."""
TYPICALITY_NAMES = ("typicality", "percentile")  # names that are looked for here, too

NEAREST_PREFIX = "nearest:"
"""Prefix of the similarity to the nearest molecule of a file, e.g. `nearest:patents.smi`."""
RDKIT_PREFIX = "rdkit:"
"""Prefix of the descriptors in `rdkit.Chem.Descriptors`, e.g. `rdkit:BertzCT`."""

_DESCRIPTORS = {name.lower(): (name, compute) for name, compute in Descriptors.descList}


def get_property(name: str) -> Property:
    """A property by its name in any case, a descriptor as `rdkit:NAME`, or `nearest:FILE`.

    `nearest:FILE` is the largest Tanimoto similarity (Morgan bits of radius 2, folded to 2,048) to
    a molecule of a file, in [0, 1].

    Raises:
        UnknownNameError: The name is unknown; suggests the nearest one.
        DataError: The file cannot be read.
        InvalidMoleculeError: A molecule of the file is invalid.
    """
    key = name.strip().lower()
    if key.startswith(NEAREST_PREFIX):
        file = name.strip()[len(NEAREST_PREFIX) :].strip()
        reference_bits(file)  # so that a bad file is an error, not a property that is NaN
        return Property(
            name=NEAREST_PREFIX + file,
            label=f"similarity to the nearest of {Path(file).name}",
            compute=partial(nearest_similarity, file),
            doc=f"Tanimoto similarity to the nearest molecule of {file}",
            bounds=(0.0, 1.0),
        )
    if key.startswith(RDKIT_PREFIX):
        if (descriptor := key.removeprefix(RDKIT_PREFIX)) not in _DESCRIPTORS:
            known = [known for known, _ in _DESCRIPTORS.values()]
            raise UnknownNameError("RDKit descriptor", name.strip()[len(RDKIT_PREFIX) :], known)
        own, compute = _DESCRIPTORS[descriptor]
        return Property(
            name=RDKIT_PREFIX + own, label=own, compute=compute, doc=f"RDKit's descriptor {own}"
        )
    key = key.replace("-", "_")
    spelling = {known.lower(): known for known in PROPERTIES}
    if (key := ALIASES.get(key, key)) not in spelling:
        known = [*PROPERTIES, RDKIT_PREFIX + "NAME", NEAREST_PREFIX + "FILE"]
        advice = "it is of a latent space: molvae properties and molvae explore density print it"
        raise UnknownNameError("property", name, known, advice if key in TYPICALITY_NAMES else "")
    return PROPERTIES[spelling[key]]


def nearest_similarity(file: str, mol: Chem.Mol) -> float:
    """Tanimoto similarity to the nearest molecule of a file."""
    from molvae.chem.fingerprints import morgan_bits, tanimoto

    bits = morgan_bits([str(Chem.MolToSmiles(mol))])
    return float(tanimoto(bits, reference_bits(file)).max())


def reference_bits(file: str) -> NDArray[np.bool_]:
    """Morgan bits of the molecules of a file, `n x 2048`; read again when the file has changed."""
    try:
        changed = Path(file).stat().st_mtime_ns
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    return _reference_bits(file, changed)


@lru_cache(maxsize=4)
def _reference_bits(file: str, changed: int) -> NDArray[np.bool_]:
    from molvae.chem.datasets import read_molecules
    from molvae.chem.fingerprints import morgan_bits

    table, place = read_molecules(file)
    molecules = dict[str, None]()
    for line, cells in table.rows:
        try:
            molecules[canonical(cells[place])] = None
        except InvalidMoleculeError as error:
            table.invalid(line, place, error)
    table.check()
    return morgan_bits([*molecules])


def is_property(name: str) -> bool:
    """Whether `get_property` knows a name."""
    try:
        get_property(name)
    except UnknownNameError:
        return False
    return True


def named(names: Iterable[str]) -> list[str]:
    """Names of properties, given as `get_property` takes them, in their own spelling."""
    if isinstance(names, str):
        raise ConfigError(f"expected a list of names, got the single text {names!r}; use [name]")
    names = list(names)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise ConfigError(f"expected a list of names, got {shown(wrong[0])} in it")
    return [get_property(name).name for name in names]


def score(
    smiles: Sequence[str], names: Sequence[str], *, workers: int | None = None
) -> NDArray[np.float64]:
    """Properties of many molecules as an array, `n x len(names)`.

    NaN for a text that is no molecule, and for a property that cannot be computed.

    Args:
        smiles: SMILES in any form.
        names: Names of properties, as `get_property` takes them.
        workers: Processes; None for one per core when there are more than 2,000 molecules.

    Raises:
        UnknownNameError: A name is unknown.
        ConfigError: A single text instead of a list, `workers` below 1, or workers that died.
    """
    return _compute(list_of_smiles(smiles), named(names), workers)[0]


def properties(
    smiles: Sequence[str], names: Sequence[str] | None = None, *, workers: int | None = None
) -> pd.DataFrame:
    """Properties of many molecules as a table; without `names`, all of `PROPERTIES`.

    One row per text, with the index of a Series or DataFrame: `smiles` as given, the properties,
    and `error`, empty or the reason for NaN in this row. Arguments and errors as for `score`.
    """
    import pandas as pd

    texts, index = list_of_smiles(smiles), index_of(smiles)
    names = named(PROPERTIES if names is None else names)
    values, errors = _compute(texts, names, workers)
    return pd.DataFrame(
        {
            "smiles": pd.Series(texts, dtype=object, index=index),
            **{name: values[:, column] for column, name in enumerate(names)},
            "error": pd.Series(errors, dtype=object, index=index),
        }
    )


def _compute(
    texts: list[str], names: list[str], workers: int | None
) -> tuple[NDArray[np.float64], list[str]]:
    rows = parallel_map(partial(_row, names), texts, workers=workers)
    values = np.array([row for row, _ in rows], dtype=np.float64).reshape(len(rows), len(names))
    return values, [error for _, error in rows]


def _row(names: Sequence[str], text: str) -> tuple[list[float], str]:
    """The properties of a molecule, and the reasons for NaN."""
    with rdBase.BlockLogs():  # warnings about odd molecules, which nobody asked for
        return _computed(names, text)


def _computed(names: Sequence[str], text: str) -> tuple[list[float], str]:
    try:
        mol = parse(text)
    except InvalidMoleculeError as error:
        return [math.nan] * len(names), str(error)
    values, errors = [], []
    for name in names:
        try:
            values.append(float(get_property(name).compute(mol)))
            if not math.isfinite(values[-1]):
                raise ValueError(f"RDKit returns {values.pop()}")
        # RDKit's own code raises these on molecules that it does not expect.
        except (ValueError, RuntimeError, ArithmeticError) as error:
            values.append(math.nan)
            errors.append(f"{name} cannot be computed: {error}")
    return values, "; ".join(errors)
