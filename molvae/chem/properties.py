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
from rdkit.Chem import QED, Descriptors, rdMolDescriptors

from molvae.chem.mol import parse
from molvae.chem.parallel import each
from molvae.errors import ConfigError, InvalidMoleculeError, MissingPackageError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd


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
    """Synthetic accessibility, from 1 (easy) to 10 (hard), by RDKit's Contrib implementation.

    Raises:
        MissingPackageError: This RDKit was installed without its Contrib folder.

    References:
        Ertl and Schuffenhauer (2009), doi:10.1186/1758-2946-1-8.
    """
    return _sa_scorer()(mol)


def qed(mol: Chem.Mol) -> float:
    """Quantitative estimate of drug-likeness with mean weights, in (0, 1), larger is better.

    References:
        Bickerton et al. (2012), doi:10.1038/nchem.1243.
    """
    return float(QED.qed(mol))  # type: ignore[no-untyped-call]


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
    names = _known(names)
    rows = each(_Row(tuple(names)), _as_list(smiles), workers=workers)
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

    names = _known(PROPERTIES if names is None else names)
    texts = _as_list(smiles)
    rows = each(_Row(tuple(names)), texts, workers=workers)
    values = np.array([row for row, _ in rows], dtype=np.float64).reshape(len(rows), len(names))
    return pd.DataFrame(
        {
            "smiles": pd.Series(texts, dtype=object),
            **{name: values[:, column] for column, name in enumerate(names)},
            "error": pd.Series([error for _, error in rows], dtype=object),
        }
    )


@dataclass(frozen=True)
class _Row:
    """A function that can be pickled: a text to its numbers, and why some of them are missing."""

    names: tuple[str, ...]

    def __call__(self, text: str) -> tuple[tuple[float, ...], str]:
        try:
            mol = parse(text)
        except InvalidMoleculeError as error:
            return (math.nan,) * len(self.names), str(error)
        values, errors = [], []
        for name in self.names:
            try:
                values.append(PROPERTIES[name].of(mol))
            # What RDKit's own code raises on molecules that it did not foresee.
            except (ValueError, RuntimeError, ArithmeticError) as error:
                values.append(math.nan)
                errors.append(f"{name} cannot be computed: {error}")
        return tuple(values), "; ".join(errors)


def _known(names: Sequence[str] | dict[str, Property]) -> list[str]:
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


@lru_cache(maxsize=1)
def _sa_scorer() -> Callable[[Chem.Mol], float]:
    """RDKit's scorer, which is a file beside the package and no module of it; read once."""
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("molvae_sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise MissingPackageError(
            f"SAS needs {path}, which this RDKit lacks; install it with `pip install rdkit`"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def scored(mol: Chem.Mol) -> float:
        return float(module.calculateScore(mol))

    return scored


__all__ = [
    "PENALISED_LOGP_CONSTANTS",
    "PROPERTIES",
    "Property",
    "penalised_logp",
    "properties",
    "ring_penalty",
    "score",
]
