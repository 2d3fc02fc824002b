"""The goal-directed tasks of GuacaMol and of PMO: scores in [0, 1], to be maximized.

Knows their definitions. Knows no benchmark: budgets, starting molecules and means over the best
molecules are others' business.

Every task is a mean of parts, each in [0, 1]. `guacamol/NAME` scores as the package `guacamol`
0.5.5 does (Brown et al. 2019, doi:10.1021/acs.jcim.8b00839; suite v2, and from its trivial suite
`isomers_c7h8n2o2` and `qed`). Where text and code of that paper differ, this is the code.
`pmo/NAME` scores as the oracles of TDC do, on which PMO runs (Gao et al. 2022, arXiv:2206.12411;
`PyTDC` 0.3.7 to 1.1.15). Their values are the same but for

* `aripiprazole_similarity`: TDC compares FCFP4, GuacaMol ECFP4. PMO leaves this task out, and
  `isomers_c11h24`.
* Tasks with a formula before `PyTDC` 0.3.7, here `pmo/NAME_prev`, as TDC calls them: instead of
  the number of atoms they take a number read from the SMILES text (see `atoms_in_text`). PMO's own
  tables were made with these: 10,000 random molecules of ZINC reach AUC top-10 of 0.07 at zaleplon
  there and here, but 0.45 with a newer `PyTDC`. Compare with those tables in `SUITES["pmo-2022"]`,
  with papers that used a newer `PyTDC` in `SUITES["pmo"]`.
* Texts that are no molecules: -1 in GuacaMol, 0 in PMO, NaN here.
* Formulas of texts with dummy atoms (`*`), which TDC does not count. Here they count.
* In TDC, tasks of one process share variables: after `scaffold_hop` was scored, `deco_hop` is
  another or fails. Here every task is what it is in a process of its own.

Similarities are Tanimoto of counts that are not folded, but of bits for PHCO. All tasks but those
called `_prev` are blind to stereochemistry. PMO's other three tasks (DRD2, GSK3β, JNK3) are
classifiers that would have to be downloaded.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import GraphDescriptors, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Pharm2D import Gobbi_Pharm2D

from molvae.chem._fast_qed import qed
from molvae.chem.molecules import canonical, parse
from molvae.chem.properties import logp, rings, tpsa
from molvae.errors import InvalidMoleculeError, UnknownNameError

Measure = Callable[[Chem.Mol], float]


def gaussian(x: float, *, mu: float, sigma: float) -> float:
    """1 at `mu`, falling to both sides; `sigma` in the unit of `x`."""
    return math.exp(-0.5 * ((x - mu) / sigma) ** 2)


def min_gaussian(x: float, *, mu: float, sigma: float) -> float:
    """1 up to `mu`, falling beyond."""
    return gaussian(max(x, mu), mu=mu, sigma=sigma)


def max_gaussian(x: float, *, mu: float, sigma: float) -> float:
    """1 from `mu` on, falling below."""
    return gaussian(min(x, mu), mu=mu, sigma=sigma)


def thresholded(x: float, *, threshold: float) -> float:
    """From 0 at 0 straight to 1 at `threshold`, and 1 beyond; `x` not negative."""
    return min(x, threshold) / threshold


def geometric(values: Sequence[float]) -> float:
    """The geometric mean; 0 if a value is 0."""
    return float(math.prod(values) ** (1 / len(values)))


def arithmetic(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return sum(values) / len(values)


def aromatic_rings(mol: Chem.Mol) -> float:
    """Number of rings that are aromatic, in the smallest set of smallest rings."""
    return float(rdMolDescriptors.CalcNumAromaticRings(mol))


def fluorines(mol: Chem.Mol) -> float:
    """Number of fluorine atoms."""
    return float(_elements(mol)["F"])


def bertz(mol: Chem.Mol) -> float:
    """Bertz's topological index of complexity, without unit, from 0.

    References:
        Bertz (1981), doi:10.1021/ja00402a071.
    """
    return float(GraphDescriptors.BertzCT(mol))  # type: ignore[no-untyped-call]


def atoms(mol: Chem.Mol) -> float:
    """Number of atoms, hydrogens included."""
    return float(_elements(mol).total())


def atoms_in_text(mol: Chem.Mol) -> float:
    """What `PyTDC` took for the number of atoms before 0.3.7.

    It read the canonical SMILES as if it were a formula: a capital letter, with the lower-case ones
    that follow it, counts as often as the digits behind say, and once without digits. But those
    digits close rings, and aromatic atoms and most hydrogens are not seen: `Cc1ccccc1N` gives
    1 + 1, `C1CC12CC2` gives 1 + 1 + 12 + 1 + 2.
    """
    return float(
        sum(int(digits or 1) for digits in re.findall(r"[A-Z][a-z]*(\d*)", Chem.MolToSmiles(mol)))
    )


def pharmacophores(mol: Chem.Mol) -> Any:
    """Pairs and triples of pharmacophoric points, as bits (Gobbi and Poppinger 1998).

    The bits of RDKit's `Generate.Gen2DFingerprint`, which goes through all triples one by one: a
    minute for some of the large molecules that searches come upon. Here all triples are binned at
    once, and each kind, families with bins, is looked up once.
    """
    factory: Any = Gobbi_Pharm2D.factory
    points = [
        (family, list(atoms))
        for family, found in enumerate(factory.GetMolFeats(mol))
        for atoms in sorted(found)
    ]
    bits = factory.GetSignature()
    if not points:
        return bits
    family = np.array([f for f, _ in points])
    # Between the nearest atoms of two points.
    bonds = Chem.GetDistanceMatrix(mol)
    to_atoms = np.stack([bonds[atoms].min(axis=0) for _, atoms in points])
    apart = np.stack([to_atoms[:, atoms].min(axis=1) for _, atoms in points], axis=1)
    bins = factory.GetBins()
    fits = (apart >= bins[0][0]) & (apart < bins[-1][1])
    starts = np.array([start for start, _ in bins])
    steps = np.searchsorted(starts, np.where(fits, apart, starts[0]), side="right") - 1
    kinds = []
    for i in range(len(points)):
        j = i + 1 + np.flatnonzero(fits[i, i + 1 :])
        first, second = (j[k] for k in np.triu_indices(len(j), k=1))
        both = fits[first, second]
        first, second = first[both], second[both]
        nothing = np.zeros_like(j)
        pairs = (family[j], nothing, steps[i, j], nothing, nothing)
        triples = (
            *(family[first], family[second]),
            *(steps[i, first], steps[i, second], steps[first, second]),
        )
        # One number for each kind, of octal digits: there are eight families and seven bins.
        for n, digits in ((2, pairs), (3, triples)):
            kind = n * 8 + family[i]
            for digit in digits:
                kind = kind * 8 + digit
            kinds.append(kind)
    for kind in np.unique(np.concatenate(kinds)).tolist():
        bits.SetBit(_pharmacophore_bit(kind))
    return bits


@cache
def _pharmacophore_bit(kind: int) -> int:
    """Of two families and a bin, or of three and theirs, as numbered above."""
    n, *digits = (int(digit) for digit in f"{kind:o}")
    factory: Any = Gobbi_Pharm2D.factory
    distances = [factory.GetBins()[digit][0] for digit in digits[3 : 4 if n == 2 else 6]]
    return int(factory.GetBitIdx(digits[:n], distances, sortIndices=False))


def _morgan(radius: int, **invariants: Any) -> Callable[[Chem.Mol], Any]:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, **invariants)
    return generator.GetSparseCountFingerprint


FINGERPRINTS: dict[str, Callable[[Chem.Mol], Any]] = {
    "ECFP4": _morgan(2),
    "ECFP6": _morgan(3),
    "FCFP4": _morgan(
        2, atomInvariantsGenerator=rdFingerprintGenerator.GetMorganFeatureAtomInvGen()
    ),
    "AP": rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=10).GetSparseCountFingerprint,
    "PHCO": pharmacophores,
}
"""Atom-centred neighbourhoods of radius 2 and 3, those of pharmacophoric features, pairs of atoms
up to 10 bonds apart: counts. Pharmacophores: bits."""


@dataclass(frozen=True)
class PropertyTerm:
    """What is thought of the value of a measure."""

    measure: Measure
    modifier: Callable[[float], float]

    def __call__(self, mol: Chem.Mol) -> float:
        """In [0, 1]."""
        return self.modifier(self.measure(mol))


@dataclass(frozen=True)
class Tanimoto:
    """Similarity to a target, in [0, 1]."""

    target: str
    fingerprint: str
    """A key of `FINGERPRINTS`."""

    def __call__(self, mol: Chem.Mol) -> float:
        """1 for the target itself."""
        wanted = _fingerprint(self.target, self.fingerprint)
        return float(DataStructs.TanimotoSimilarity(FINGERPRINTS[self.fingerprint](mol), wanted))


@dataclass(frozen=True)
class TargetValue:
    """How near a measure comes to that of a target, in [0, 1]."""

    measure: Measure
    target: str
    sigma: float
    """In the unit of the measure."""

    def __call__(self, mol: Chem.Mol) -> float:
        """1 for the target itself."""
        wanted = _value(self.target, self.measure)
        return gaussian(self.measure(mol), mu=wanted, sigma=self.sigma)


@dataclass(frozen=True)
class Formula:
    """How near a molecule comes to a formula, in [0, 1].

    The geometric mean over the elements of the formula, of which one atom is a standard deviation,
    and the number of all atoms, of which two are.
    """

    formula: str
    """As C7H8N2O2."""
    atoms: Measure = atoms

    def __call__(self, mol: Chem.Mol) -> float:
        """1 for isomers."""
        wanted = {
            element: int(count or 1)
            for element, count in re.findall(r"([A-Z][a-z]?)(\d*)", self.formula)
        }
        there = _elements(mol)
        parts = [gaussian(there[element], mu=n, sigma=1.0) for element, n in wanted.items()]
        parts.append(gaussian(self.atoms(mol), mu=sum(wanted.values()), sigma=2.0))
        return geometric(parts)


@dataclass(frozen=True)
class HasSubstructure:
    """1 if a substructure is there, else 0."""

    smarts: str

    def __call__(self, mol: Chem.Mol) -> float:
        """0 or 1."""
        return float(mol.HasSubstructMatch(_pattern(self.smarts)))


@dataclass(frozen=True)
class LacksSubstructure:
    """1 if a substructure is not there, else 0."""

    smarts: str

    def __call__(self, mol: Chem.Mol) -> float:
        """0 or 1."""
        return 1.0 - HasSubstructure(self.smarts)(mol)


@dataclass(frozen=True, kw_only=True)
class Task:
    """An objective in [0, 1]: a mean of parts."""

    name: str
    doc: str
    parts: tuple[Measure, ...]
    """Each in [0, 1]."""
    mean: Callable[[Sequence[float]], float] = geometric
    direction: str = "maximize"

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def targets(self) -> tuple[str, ...]:
        """Canonical SMILES of the molecules that it names; empty if it names none."""
        found = [_target(part) for part in self.parts]
        return tuple(dict.fromkeys(canonical(text) for text in found if text is not None))

    def __call__(self, smiles: Sequence[str], /) -> list[float]:
        """NaN for texts that are no molecules."""
        return [self._one(text) for text in smiles]

    def _one(self, text: str) -> float:
        try:
            mol = parse(text)
            return self.mean([part(mol) for part in self.parts])
        # What RDKit's own code raises on molecules that it did not foresee.
        except (InvalidMoleculeError, ValueError, RuntimeError, ArithmeticError):
            return math.nan


CELECOXIB = "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F"


TROGLITAZONE = "Cc1c(C)c2OC(C)(COc3ccc(CC4SC(=O)NC4=O)cc3)CCc2c(C)c1O"


THIOTHIXENE = "CN(C)S(=O)(=O)c1ccc2Sc3ccccc3C(=CCCN4CCN(C)CC4)c2c1"


ARIPIPRAZOLE = "Clc4cccc(N3CCN(CCCCOc2ccc1c(NC(=O)CC1)c2)CC3)c4Cl"


ALBUTEROL = "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1"


MESTRANOL = "COc1ccc2[C@H]3CC[C@@]4(C)[C@@H](CC[C@@]4(O)C#C)[C@@H]3CCc2c1"


CAMPHOR = "CC1(C)C2CCC1(C)C(=O)C2"


MENTHOL = "CC(C)C1CCC(C)CC1O"


TADALAFIL = "O=C1N(CC(N2C1CC3=C(C2C4=CC5=C(OCO5)C=C4)NC6=C3C=CC=C6)=O)C"


SILDENAFIL = "CCCC1=NN(C2=C1N=C(NC2=O)C3=C(C=CC(=C3)S(=O)(=O)N4CCN(CC4)C)OCC)C"


OSIMERTINIB = "COc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34"


FEXOFENADINE = "CC(C)(C(=O)O)c1ccc(cc1)C(O)CCCN2CCC(CC2)C(O)(c3ccccc3)c4ccccc4"


RANOLAZINE = "COc1ccccc1OCC(O)CN2CCN(CC(=O)Nc3c(C)cccc3C)CC2"


PERINDOPRIL = "O=C(OCC)C(NC(C(=O)N1C(C(=O)O)CC2CCCCC12)C)CCC"


AMLODIPINE = r"Clc1ccccc1C2C(=C(/N/C(=C2/C(=O)OCC)COCCN)C)\C(=O)OC"


SITAGLIPTIN = "Fc1cc(c(F)cc1F)CC(N)CC(=O)N3Cc2nnc(n2CC3)C(F)(F)F"


ZALEPLON = "O=C(C)N(CC)C1=CC=CC(C2=CC=NC3=C(C=NN23)C#N)=C1"


HOP_SCAFFOLD = "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C"
"""What is to be hopped from: a quinazoline with a benzothiazole."""


SCAFFOLD = "[#7]-c1n[c;h1]nc2[c;h1]c(-[#8])[c;h0][c;h1]c12"


def _task(name: str, doc: str, *parts: Measure, **settings: Any) -> Task:
    return Task(name=name, doc=f"{doc}; in [0, 1]", parts=parts, **settings)


def _rediscovery(name: str, target: str) -> Task:
    doc = f"Rediscover {name}: Tanimoto similarity, ECFP4 counts"
    return _task(f"{name}_rediscovery", doc, Tanimoto(target, "ECFP4"))


def _similarity(name: str, target: str, fingerprint: str) -> Task:
    return _task(
        f"{name}_similarity",
        f"Like {name}: Tanimoto similarity, {fingerprint} counts, 0.75 and more is 1",
        PropertyTerm(Tanimoto(target, fingerprint), partial(thresholded, threshold=0.75)),
    )


def _isomers(formula: str, **settings: Any) -> Task:
    doc = f"Isomers of {formula}: numbers of atoms of each element and of all"
    return _task(f"isomers_{formula.lower()}", doc, Formula(formula, **settings))


def _sitagliptin(**settings: Any) -> Task:
    return _task(
        "sitagliptin_mpo",
        "Unlike sitagliptin (ECFP4), with its logP and TPSA, and near C16H15F6N5O",
        PropertyTerm(Tanimoto(SITAGLIPTIN, "ECFP4"), partial(gaussian, mu=0.0, sigma=0.1)),
        TargetValue(logp, SITAGLIPTIN, sigma=0.2),
        TargetValue(tpsa, SITAGLIPTIN, sigma=5.0),
        Formula("C16H15F6N5O", **settings),
    )


def _zaleplon(**settings: Any) -> Task:
    return _task(
        "zaleplon_mpo",
        "Like zaleplon (ECFP4), but near C19H17N3O2",
        Tanimoto(ZALEPLON, "ECFP4"),
        Formula("C19H17N3O2", **settings),
    )


_GUACAMOL = (
    _rediscovery("celecoxib", CELECOXIB),
    _rediscovery("troglitazone", TROGLITAZONE),
    _rediscovery("thiothixene", THIOTHIXENE),
    _similarity("aripiprazole", ARIPIPRAZOLE, "ECFP4"),
    _similarity("albuterol", ALBUTEROL, "FCFP4"),
    _similarity("mestranol", MESTRANOL, "AP"),
    _isomers("C7H8N2O2"),
    _isomers("C9H10N2O2PF2Cl"),
    _isomers("C11H24"),
    _task(
        "median1",
        "Like camphor and like menthol (ECFP4)",
        Tanimoto(CAMPHOR, "ECFP4"),
        Tanimoto(MENTHOL, "ECFP4"),
    ),
    _task(
        "median2",
        "Like tadalafil and like sildenafil (ECFP6)",
        Tanimoto(TADALAFIL, "ECFP6"),
        Tanimoto(SILDENAFIL, "ECFP6"),
    ),
    _task(
        "osimertinib_mpo",
        "Like osimertinib (FCFP4), but not too much (ECFP6); TPSA from 100 Å², logP to 1",
        PropertyTerm(Tanimoto(OSIMERTINIB, "FCFP4"), partial(thresholded, threshold=0.8)),
        PropertyTerm(Tanimoto(OSIMERTINIB, "ECFP6"), partial(min_gaussian, mu=0.85, sigma=0.1)),
        PropertyTerm(tpsa, partial(max_gaussian, mu=100.0, sigma=10.0)),
        PropertyTerm(logp, partial(min_gaussian, mu=1.0, sigma=1.0)),
    ),
    _task(
        "fexofenadine_mpo",
        "Like fexofenadine (AP), TPSA from 90 Å², logP to 4",
        PropertyTerm(Tanimoto(FEXOFENADINE, "AP"), partial(thresholded, threshold=0.8)),
        PropertyTerm(tpsa, partial(max_gaussian, mu=90.0, sigma=10.0)),
        PropertyTerm(logp, partial(min_gaussian, mu=4.0, sigma=1.0)),
    ),
    _task(
        "ranolazine_mpo",
        "Like ranolazine (AP), logP from 7, TPSA from 95 Å², one fluorine",
        PropertyTerm(Tanimoto(RANOLAZINE, "AP"), partial(thresholded, threshold=0.7)),
        PropertyTerm(logp, partial(max_gaussian, mu=7.0, sigma=1.0)),
        PropertyTerm(tpsa, partial(max_gaussian, mu=95.0, sigma=20.0)),
        PropertyTerm(fluorines, partial(gaussian, mu=1.0, sigma=1.0)),
    ),
    _task(
        "perindopril_mpo",
        "Like perindopril (ECFP4), two aromatic rings",
        Tanimoto(PERINDOPRIL, "ECFP4"),
        PropertyTerm(aromatic_rings, partial(gaussian, mu=2.0, sigma=0.5)),
    ),
    _task(
        "amlodipine_mpo",
        "Like amlodipine (ECFP4), three rings",
        Tanimoto(AMLODIPINE, "ECFP4"),
        PropertyTerm(rings, partial(gaussian, mu=3.0, sigma=0.5)),
    ),
    _sitagliptin(),
    _zaleplon(),
    _task(
        "valsartan_smarts",
        "With a substructure of valsartan; logP, TPSA and Bertz complexity of sitagliptin",
        HasSubstructure("CN(C=O)Cc1ccc(c2ccccc2)cc1"),
        TargetValue(logp, SITAGLIPTIN, sigma=0.2),
        TargetValue(tpsa, SITAGLIPTIN, sigma=5.0),
        TargetValue(bertz, SITAGLIPTIN, sigma=30.0),
    ),
    _task(
        "deco_hop",
        "Keep a scaffold and the pharmacophores (PHCO), change the decoration",
        PropertyTerm(Tanimoto(HOP_SCAFFOLD, "PHCO"), partial(thresholded, threshold=0.85)),
        LacksSubstructure("CS([#6])(=O)=O"),
        LacksSubstructure("[#7]-c1ccc2ncsc2c1"),
        HasSubstructure(SCAFFOLD),
        mean=arithmetic,
    ),
    _task(
        "scaffold_hop",
        "Keep a decoration and the pharmacophores (PHCO), change the scaffold",
        PropertyTerm(Tanimoto(HOP_SCAFFOLD, "PHCO"), partial(thresholded, threshold=0.75)),
        HasSubstructure("[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-[#7]-c1ccc2ncsc2c1"),
        LacksSubstructure(SCAFFOLD),
        mean=arithmetic,
    ),
    _task("qed", "Drug-likeness (QED)", qed),
)


_ELSEWISE = (_similarity("aripiprazole", ARIPIPRAZOLE, "FCFP4"),)


_PREVIOUS = tuple(
    replace(
        task, name=f"{task.name}_prev", doc=f"{task.doc}; atoms counted as for PMO's tables of 2022"
    )
    for task in (
        _isomers("C7H8N2O2", atoms=atoms_in_text),
        _isomers("C9H10N2O2PF2Cl", atoms=atoms_in_text),
        _sitagliptin(atoms=atoms_in_text),
        _zaleplon(atoms=atoms_in_text),
    )
)


def _in(suite: str, tasks: Sequence[Task]) -> dict[str, Task]:
    named = (replace(task, name=f"{suite}/{task.name}") for task in tasks)
    return {task.name: task for task in named}


TASKS: dict[str, Task] = {
    **_in("guacamol", _GUACAMOL),
    **_in("pmo", _GUACAMOL),
    **_in("pmo", _ELSEWISE),
    **_in("pmo", _PREVIOUS),
}
"""Every task by its full name."""


def _suite(prefix: str, but: Sequence[str], previous: bool = False) -> tuple[str, ...]:
    names = [f"{prefix}/{task.name}" for task in _GUACAMOL if task.name not in but]
    return tuple(f"{n}_prev" if previous and f"{n}_prev" in TASKS else n for n in names)


SUITES: dict[str, tuple[str, ...]] = {
    "guacamol": _suite("guacamol", but=("isomers_c7h8n2o2", "qed")),
    "pmo": _suite("pmo", but=("aripiprazole_similarity", "isomers_c11h24")),
    "pmo-2022": _suite("pmo", but=("aripiprazole_similarity", "isomers_c11h24"), previous=True),
}
"""Names of the tasks over which results are summed: GuacaMol's 20, and 20 of PMO's 23 as they are
scored today and as they were when PMO's own tables were made."""


def targets(name: str) -> tuple[str, ...]:
    """Molecules that a task names, to be left out of what a benchmark starts from.

    Args:
        name: A key of `TASKS`.

    Returns:
        Canonical SMILES; none for isomers and QED. `valsartan_smarts` names sitagliptin, whose
        properties it wants.

    Raises:
        UnknownNameError: No task of that name.
    """
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    return TASKS[name].targets


def _target(part: Measure) -> str | None:
    match part:
        case PropertyTerm():
            return _target(part.measure)
        case Tanimoto() | TargetValue():
            return part.target
        case _:
            return None


def _elements(mol: Chem.Mol) -> Counter[str]:
    """How many atoms of each element, implicit hydrogens included."""
    found: Counter[str] = Counter()
    for atom in mol.GetAtoms():
        found[atom.GetSymbol()] += 1
        found["H"] += atom.GetTotalNumHs()
    return found


@cache
def _fingerprint(target: str, kind: str) -> Any:
    return FINGERPRINTS[kind](parse(target))


@cache
def _value(target: str, measure: Measure) -> float:
    return measure(parse(target))


@cache
def _pattern(smarts: str) -> Chem.Mol:
    return Chem.MolFromSmarts(smarts)


__all__ = ["SUITES", "TASKS", "Task", "targets"]
