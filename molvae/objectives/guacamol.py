"""The goal-directed tasks of GuacaMol and of PMO: scores in [0, 1], to be maximized.

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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from rdkit import Chem

from molvae.chem.molecules import canonical
from molvae.chem.properties import logp, qed, rings, tpsa
from molvae.errors import UnknownNameError
from molvae.objectives.guacamol_terms import (
    Formula,
    Measure,
    PropertyTerm,
    Substructure,
    Tanimoto,
    TargetValue,
    arithmetic,
    aromatic_rings,
    atoms_in_text,
    bertz,
    fluorines,
    gaussian,
    geometric,
    max_gaussian,
    min_gaussian,
    thresholded,
)
from molvae.objectives.scoring import ComputedScoring


@dataclass(frozen=True, kw_only=True)
class Task(ComputedScoring):
    """An objective in [0, 1]: a mean of parts."""

    name: str
    doc: str
    parts: tuple[Measure, ...]  # each in [0, 1]
    mean: Callable[[Sequence[float]], float] = geometric
    direction: str = "maximize"

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def targets(self) -> tuple[str, ...]:
        """Canonical SMILES of the molecules that it names; empty if it names none."""
        found = [_target(part) for part in self.parts]
        return tuple(dict.fromkeys(canonical(text) for text in found if text is not None))

    def _value(self, mol: Chem.Mol) -> float:
        return self.mean([part(mol) for part in self.parts])


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
"""Molecule whose scaffold is to be replaced: a quinazoline with a benzothiazole."""
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
        Substructure("CN(C=O)Cc1ccc(c2ccccc2)cc1"),
        TargetValue(logp, SITAGLIPTIN, sigma=0.2),
        TargetValue(tpsa, SITAGLIPTIN, sigma=5.0),
        TargetValue(bertz, SITAGLIPTIN, sigma=30.0),
    ),
    _task(
        "deco_hop",
        "Keep a scaffold and the pharmacophores (PHCO), change the decoration",
        PropertyTerm(Tanimoto(HOP_SCAFFOLD, "PHCO"), partial(thresholded, threshold=0.85)),
        Substructure("CS([#6])(=O)=O", wanted=False),
        Substructure("[#7]-c1ccc2ncsc2c1", wanted=False),
        Substructure(SCAFFOLD),
        mean=arithmetic,
    ),
    _task(
        "scaffold_hop",
        "Keep a decoration and the pharmacophores (PHCO), change the scaffold",
        PropertyTerm(Tanimoto(HOP_SCAFFOLD, "PHCO"), partial(thresholded, threshold=0.75)),
        Substructure("[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-[#7]-c1ccc2ncsc2c1"),
        Substructure(SCAFFOLD, wanted=False),
        mean=arithmetic,
    ),
    _task("qed", "Drug-likeness (QED)", qed),
)


_ATOMS_IN_TEXT = (
    _isomers("C7H8N2O2", atoms=atoms_in_text),
    _isomers("C9H10N2O2PF2Cl", atoms=atoms_in_text),
    _sitagliptin(atoms=atoms_in_text),
    _zaleplon(atoms=atoms_in_text),
)


def _in(suite: str, tasks: Sequence[Task], suffix: str = "", doc: str = "") -> dict[str, Task]:
    named = (
        replace(task, name=f"{suite}/{task.name}{suffix}", doc=task.doc + doc) for task in tasks
    )
    return {task.name: task for task in named}


TASKS: dict[str, Task] = {
    **_in("guacamol", _GUACAMOL),
    **_in("pmo", _GUACAMOL),
    **_in("pmo", [_similarity("aripiprazole", ARIPIPRAZOLE, "FCFP4")]),
    **_in("pmo", _ATOMS_IN_TEXT, "_prev", "; atoms counted as for PMO's tables of 2022"),
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
