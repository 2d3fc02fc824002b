from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem

from molvae.bo.operators import graph_ga_offspring, perturb_latent, sample_by_rank
from molvae.chem.cores import core_of
from molvae.chem.molecules import parse
from molvae.chem.precedents import ring_systems
from molvae.latent.space import LatentSpace
from tests.toys import ToySpace

MOLECULES = ["CC(C)Cc1ccc(C(C)C(=O)O)cc1", "CC(=O)Nc1ccc(O)cc1", "CN1CCC[C@H]1c1cccnc1"]


def test_small_latent_steps_stay_and_large_ones_leave() -> None:
    space = ToySpace()
    parents = space.encode(space.molecules[100:101]).repeat(200, 1)
    near = perturb_latent(space, parents, radii=(1e-3, 2e-3), seed=0)
    assert {c.smiles for c in near} == {space.molecules[100]}
    far = perturb_latent(space, parents, radii=(0.5, 1.0), seed=0)
    assert len({c.smiles for c in far}) > 10
    for candidate in far:
        assert space.decode(candidate.z[None]) == [candidate.smiles]


def test_latent_children_lie_between_their_parents() -> None:
    space = ToySpace()
    low, high = space.encode([space.molecules[0], space.molecules[80]])
    parents = torch.stack([low, high]).repeat(100, 1)
    children = perturb_latent(space, parents, radii=(1e-3, 1e-3), seed=1)
    z = torch.stack([c.z for c in children])
    assert bool((z >= torch.minimum(low, high) - 0.05).all())
    assert bool((z <= torch.maximum(low, high) + 0.05).all())
    assert len({c.smiles for c in children}) > 2


def test_moves_repeat_with_their_seed_and_differ_with_another() -> None:
    space = ToySpace()
    parents = space.encode(space.molecules[:50])
    draws = [perturb_latent(space, parents, radii=(0.1, 1.0), seed=s) for s in (0, 0, 1)]
    a, b, c = ([m.smiles for m in draw] for draw in draws)
    assert a == b != c


@pytest.mark.parametrize(
    ("core", "parents"),
    [
        ("c1ccc2c(c1)ncnc2N[*:1]", ["CCNc1ncnc2ccccc12", "CC(C)OCCNc1ncnc2ccccc12"]),
        ("c1ccccc1", ["CCc1ccc(OC)cc1", "NC(=O)c1ccccc1"]),
        ("C[C@@H](N)C(=O)N1CCCC1[*:1]", ["C[C@@H](N)C(=O)N1CCCC1CC(N)=O"]),
        ("C1CCN([*:1])CC1", ["C1CCN(CCN2CCCCC2)CC1"]),
    ],
)
def test_graph_children_hold_the_core_of_their_parents(core: str, parents: list[str]) -> None:
    children = graph_ga_offspring([*parents, "CCOC(C)=O"] * 20, seed=1, core=core_of(core))
    assert len(set(children) - set(parents)) > 5
    assert children == graph_ga_offspring([*parents, "CCOC(C)=O"] * 20, seed=1, core=core_of(core))
    for child, made_from in children.items():
        assert core_of(core).holds(child)
        assert made_from[0] in parents


def test_graph_children_are_new_canonical_molecules() -> None:
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


def test_share_of_crossovers_that_cut_rings_is_kept() -> None:
    parents = ["Cc1ccc2ccccc2c1", "CC1CCC(CN)CC1", "COc1ccncc1", "OC1CCCC1C"] * 30
    known = {ring for parent in parents for ring in ring_systems(parse(parent))}

    def new_rings(share: float | None) -> int:
        children = graph_ga_offspring(parents, seed=0, ring_share=share)
        return sum(not known.issuperset(ring_systems(parse(child))) for child in children)

    assert new_rings(0.0) < new_rings(0.2) < new_rings(1.0)


def test_patterns_compiled_once_make_the_children_of_mol_ga(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parents = MOLECULES * 10
    ours = graph_ga_offspring(parents, seed=1)
    from mol_ga.graph_ga import crossover, mutate  # not before: it turns RDKit's log off for all

    assert crossover.Chem is not Chem
    assert crossover.AllChem is mutate.AllChem is not AllChem
    monkeypatch.setattr(crossover, "Chem", Chem)
    monkeypatch.setattr(crossover, "AllChem", AllChem)
    monkeypatch.setattr(mutate, "AllChem", AllChem)
    assert graph_ga_offspring(parents, seed=1) == ours


def test_no_parents_no_children(space: LatentSpace) -> None:
    assert graph_ga_offspring([], seed=0) == {}
    assert perturb_latent(space, space.encode([]), radii=(0.1, 1.0), seed=0) == []


def test_ranks_are_drawn_the_better_the_oftener() -> None:
    drawn = sample_by_rank(100, 10_000, np.random.default_rng(0))
    assert drawn.min() == 0
    assert drawn.max() == 99
    often = np.bincount(drawn, minlength=100)
    # Evenly on a logarithmic scale: P(rank < k) = log(k + 1) / log(101).
    for k in (1, 10, 50):
        assert abs(often[:k].sum() / 10_000 - np.log(k + 1) / np.log(101)) < 0.02
    assert sample_by_rank(1, 5, np.random.default_rng(0)).tolist() == [0] * 5
