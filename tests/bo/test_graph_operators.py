"""`graph_ga_offspring`: mutations and crossovers of molecular graphs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from rdkit import Chem, rdBase

from molvae.bo import graph_operators
from molvae.bo.graph_operators import graph_ga_offspring
from molvae.chem.cores import core_of
from molvae.chem.molecules import canonical_or_none, parse
from molvae.chem.precedents import ring_systems

MOLECULES = ["CC(C)Cc1ccc(C(C)C(=O)O)cc1", "CC(=O)Nc1ccc(O)cc1", "CN1CCC[C@H]1c1cccnc1"]


@pytest.mark.parametrize(
    ("core", "parents"),
    [
        ("c1ccc2c(c1)ncnc2N[*:1]", ["CCNc1ncnc2ccccc12", "CC(C)OCCNc1ncnc2ccccc12"]),
        ("c1ccccc1", ["CCc1ccc(OC)cc1", "NC(=O)c1ccccc1"]),
        ("C[C@@H](N)C(=O)N1CCCC1[*:1]", ["C[C@@H](N)C(=O)N1CCCC1CC(N)=O"]),
        ("C1CCN([*:1])CC1", ["C1CCN(CCN2CCCCC2)CC1"]),
    ],
)
def test_graph_ga_offspring_with_a_core_hold_the_core(core: str, parents: list[str]) -> None:
    children = graph_ga_offspring([*parents, "CCOC(C)=O"] * 20, seed=1, core=core_of(core))
    assert len(set(children) - set(parents)) > 5
    assert children == graph_ga_offspring([*parents, "CCOC(C)=O"] * 20, seed=1, core=core_of(core))
    for child, made_from in children.items():
        assert core_of(core).holds(child)
        assert made_from[0] in parents


def test_graph_ga_offspring_are_distinct_canonical_and_reproducible() -> None:
    parents = MOLECULES * 10
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    children = graph_ga_offspring(parents, seed=0)
    assert children == graph_ga_offspring(parents, seed=0)
    assert len(set(children) - set(MOLECULES)) > 3
    assert len(set(children)) == len(children)
    assert list(children) == [Chem.CanonSmiles(m) for m in children]
    assert all(set(made_from) <= set(MOLECULES) for made_from in children.values())
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    assert logging.root.level == logging.WARNING


def test_graph_ga_offspring_ring_share_controls_new_ring_systems() -> None:
    parents = ["Cc1ccc2ccccc2c1", "CC1CCC(CN)CC1", "COc1ccncc1", "OC1CCCC1C"] * 30
    known = {ring for parent in parents for ring in ring_systems(parse(parent))}

    def new_rings(share: float) -> int:
        children = graph_ga_offspring(parents, seed=0, ring_share=share)
        return sum(not known.issuperset(ring_systems(parse(child))) for child in children)

    assert new_rings(0.0) < new_rings(0.2) < new_rings(1.0)


@pytest.mark.parametrize("move", ["mutate", "crossover_non_ring", "crossover_ring"])
def test_graph_moves_give_children_as_often_as_mol_ga(move: str) -> None:
    with rdBase.BlockLogs():
        from mol_ga.graph_ga import crossover, mutate

    n, rng, parents = 800, Random(0), ("CC1CC1CO", "NC1COC1")

    def kekulized() -> list[Chem.Mol]:
        mols = [parse(smiles) for smiles in parents]
        for mol in mols:
            Chem.Kekulize(mol, clearAromaticFlags=True)
        return mols

    def theirs() -> str | None:
        mols = kekulized()
        made = (
            mutate.mutate(mols[0], rng)
            if move == "mutate"
            else getattr(crossover, move)(*mols, rng)
        )
        return None if made is None else canonical_or_none(Chem.MolToSmiles(made))

    own: dict[str, Callable[[], str | None]] = {
        "mutate": lambda: graph_operators._mutated(kekulized()[0], rng),
        "crossover_non_ring": lambda: graph_operators._crossed_chains(*kekulized(), rng),
        "crossover_ring": lambda: graph_operators._crossed_rings(*kekulized(), rng),
    }
    with rdBase.BlockLogs():
        expected, found = (Counter(make() for _ in range(n)) for make in (theirs, own[move]))
    assert len(expected) > 3
    for child in expected | found:
        assert abs(found[child] - expected[child]) < 0.07 * n


def test_graph_ga_offspring_of_no_parents_is_empty() -> None:
    assert graph_ga_offspring([], seed=0) == {}
