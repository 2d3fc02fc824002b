"""Writes guacamol.json: scores of the packages `guacamol` and `PyTDC` themselves.

Both do not import any more, so unpack their sources and give the folders:

    pip download --no-deps --no-binary :all: guacamol==0.5.5 PyTDC==1.1.15
    python tests/golden/make_guacamol.py guacamol-0.5.5 pytdc-1.1.15

Run it again only if RDKit changes a number on purpose.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rdkit
import scipy
from rdkit import Chem

MOLECULES = (
    # What the tasks name, and one that is in the documentation of TDC.
    *("CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F", "CC(C)C1CCC(C)CC1O"),
    *("Cc1c(C)c2OC(C)(COc3ccc(CC4SC(=O)NC4=O)cc3)CCc2c(C)c1O", "CC1(C)C2CCC1(C)C(=O)C2"),
    *("CN(C)S(=O)(=O)c1ccc2Sc3ccccc3C(=CCCN4CCN(C)CC4)c2c1", "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1"),
    *("Clc4cccc(N3CCN(CCCCOc2ccc1c(NC(=O)CC1)c2)CC3)c4Cl", "CCCCCCCCCCC"),
    "COc1ccc2[C@H]3CC[C@@]4(C)[C@@H](CC[C@@]4(O)C#C)[C@@H]3CCc2c1",
    "O=C1N(CC(N2C1CC3=C(C2C4=CC5=C(OCO5)C=C4)NC6=C3C=CC=C6)=O)C",
    "CCCC1=NN(C2=C1N=C(NC2=O)C3=C(C=CC(=C3)S(=O)(=O)N4CCN(CC4)C)OCC)C",
    "COc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34",
    "CC(C)(C(=O)O)c1ccc(cc1)C(O)CCCN2CCC(CC2)C(O)(c3ccccc3)c4ccccc4",
    *("COc1ccccc1OCC(O)CN2CCN(CC(=O)Nc3c(C)cccc3C)CC2", "COc1ccc(N)nc1N=O"),
    *("O=C(OCC)C(NC(C(=O)N1C(C(=O)O)CC2CCCCC12)C)CCC", "NC(=O)c1ccncc1OC"),
    r"Clc1ccccc1C2C(=C(/N/C(=C2/C(=O)OCC)COCCN)C)\C(=O)OC",
    "Fc1cc(c(F)cc1F)CC(N)CC(=O)N3Cc2nnc(n2CC3)C(F)(F)F",
    "O=C(C)N(CC)C1=CC=CC(C2=CC=NC3=C(C=NN23)C#N)=C1",
    "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C",
    "CC(C)(C)[C@H]1CCc2c(sc(NC(=O)COc3ccc(Cl)cc3)c2C(N)=O)C1",
    # Found by a genetic algorithm, one task after the other.
    *("C=C(C)NCN1C(=O)C(C(F)(F)Cl)=C(Br)C1O", "N#CC(=O)C=CC(=O)NC(=CF)C1CCCCC1N1C(F)C1S"),
    *("CN1CC(=O)N(C2C(=O)NCc3c2[nH]c2ccccc32)CC1=O", "FC(F)(Br)N1CC2=CC(OS)[NH+]C2OC1Cl"),
    "CO[NH2+]Cc1cc(OC)ccc1CNC(=O)C1=C(C)Nc2ncnn2[C@H]1c1cccc(-n2cccn2)n1",
    "CN1C=C(CC2(C3CCO3)C(=O)NC2=O)CC[NH+]1CNC(=O)C1=CC=C(C=CC=CC2=CC=C(C=CC=C[C@H]3CC[C@@H]4CCCC"
    "[C@@H]4[NH2+]3)C2)C1",
    "CCCC(NC(=O)[C@@H](C)S(=O)(=O)CC1=CCC(c2ccc(NC(=O)C3CCC3)cc2)C1)C(Nc1ccc(OCC)c(Cl)c1)=C(C)"
    "CN1C(=O)CC1F",
    *("COC(=O)C1=C(C)NC2=NNN=C(N)N2[C@H]1c1ccccc1C(=O)OC", "CCCOc1cnc2c(Nc3ccc4ncsc4c3)ncnc2c1"),
    *(
        "CCc1cccc(NC(=S)C(=O)Nc2ccc(-c3cscn3)cc2)c1",
        "NCN=C=C1C(=O)N(C2C=CNC2)C1c1ccc(-c2ccccc2)cc1",
    ),
    "O=S(=O)(N=CBr)SSC1S[SH]C(Br)SC1C(F)(Br)CCC(F)N=C(Cl)Br",
    "O=C1C=CC(=C(C=CBr)NC(=S)NNC(=S)NC2=CC(=O)C(CCl)=C2)C1",
    "CC1C(=O)C=CC12C=C(F)CC(C1(C3=CC(=O)C=C3)C=NCSC1)=N2",
    "Cc1ccc(-n2[nH]cc2-c2ccc(S(N)(=O)=O)cc2)cc1",
    # Made by hand, for the substructures that are rare.
    *("CN(Cc1ccc(-c2ccccc2F)cc1)C(=O)Cc1nc(N)n[nH]1", "CCCOc1cc2ncnc(Nc3ccccc3)c2cc1C(C)(C)C"),
    *("CC(C)N(Cc1ccc(-c2ccccc2)cc1)C(=O)Cn1cnnn1", "CN(C(=O)C(N)CC(=O)NN)Cc1ccc(-c2ccc(F)cc2F)cc1"),
    "CCCOc1cc2ncnc(Nc3ccc4nc[nH]c4c3)c2cc1S(=O)(=O)N",
    # As near to osimertinib as to be too near.
    "CCOc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34",
    "COc1cc(N(C)CCN(C)CC)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34",
    # Neither charged, nor small, nor in one piece is an excuse.
    *("C", "[H][H]", "[2H]C([2H])F", "C[N+](C)(C)CC(=O)[O-]", "CCN.Cl", "O=C(N)c1cc(P)ccc1Cl"),
)
V2 = (  # in the order of `goal_directed_suite_v2`
    *("celecoxib_rediscovery", "troglitazone_rediscovery", "thiothixene_rediscovery"),
    *("aripiprazole_similarity", "albuterol_similarity", "mestranol_similarity"),
    *("isomers_c11h24", "isomers_c9h10n2o2pf2cl", "median1", "median2", "osimertinib_mpo"),
    *("fexofenadine_mpo", "ranolazine_mpo", "perindopril_mpo", "amlodipine_mpo"),
    *("sitagliptin_mpo", "zaleplon_mpo", "valsartan_smarts", "deco_hop", "scaffold_hop"),
)
TRIVIAL = ("isomers_c7h8n2o2", "qed")
PREVIOUS = ("isomers_c7h8n2o2", "isomers_c9h10n2o2pf2cl", "sitagliptin_mpo", "zaleplon_mpo")


def stub(name: str, **names: Any) -> None:
    """Put a module where an import finds it."""
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(names)


def guacamol(folder: Path) -> dict[str, Callable[[str], float]]:
    stub("guacamol", __path__=[str(folder / "guacamol")])
    stub("guacamol.frechet_benchmark", FrechetBenchmark=object)
    kinds = ("DistributionLearning", "Novelty", "KLDiv", "Validity", "Uniqueness")
    names = {f"{kind}Benchmark": object for kind in kinds}
    stub("guacamol.distribution_learning_benchmark", **names)
    stub("tqdm", tqdm=object)
    scipy.histogram = np.histogram  # type: ignore[attr-defined]
    from guacamol.benchmark_suites import goal_directed_suite_v2
    from guacamol.standard_benchmarks import isomers_c7h8n2o2, qed_benchmark

    made = zip(V2, goal_directed_suite_v2(), strict=True)
    more = zip(TRIVIAL, (isomers_c7h8n2o2(), qed_benchmark()), strict=True)
    return {name: benchmark.objective.score for name, benchmark in (*made, *more)}


def tdc(folder: Path, name: str) -> Callable[[str], float]:
    """A new module for every task, because they share global variables."""
    stub("rdkit.six", iteritems=dict.items)
    stub("pkg_resources", get_distribution=lambda name: types.SimpleNamespace(version="1.4"))
    for package in ("tdc", "tdc.chem_utils", "tdc.chem_utils.oracle"):
        stub(package, __path__=[])
    stub("tdc.utils", oracle_load=None, print_sys=print, install=None)
    spec = importlib.util.spec_from_file_location(
        "tdc.chem_utils.oracle.oracle", folder / "tdc" / "chem_utils" / "oracle" / "oracle.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # PMO scores canonical SMILES.
    return lambda text: getattr(module, name)(Chem.MolToSmiles(Chem.MolFromSmiles(text)))


if __name__ == "__main__":
    folders = [Path(word) for word in sys.argv[1:]]
    score = {f"guacamol/{name}": of for name, of in guacamol(folders[0]).items()}
    for name in (*V2, *TRIVIAL, *(f"{name}_prev" for name in PREVIOUS)):
        score[f"pmo/{name}"] = tdc(folders[1], name)
    rows = {
        name: json.dumps([float(f"{of(text):.12g}") for text in MOLECULES])
        for name, of in score.items()
    }
    lines = ",\n".join(f"  {json.dumps(name)}: {row}" for name, row in rows.items())
    molecules = ",\n".join(f"  {json.dumps(text)}" for text in MOLECULES)
    Path(__file__).with_name("guacamol.json").write_text(
        f'{{\n "rdkit": "{rdkit.__version__}",\n "molecules": [\n{molecules}\n ],\n'
        f' "scores": {{\n{lines}\n }}\n}}\n'
    )
