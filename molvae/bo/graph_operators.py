"""Operators that make offspring on molecular graphs: mutation, crossover, exchange of groups.

The moves and their frequencies are those of mol-ga. It sanitizes all products of a reaction and
takes one of the valid ones; here they are looked through in random order until one is valid, which
makes the same offspring as often and takes less time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import product
from random import Random as Generator

from rdkit import Chem, rdBase
from rdkit.Chem.rdChemReactions import ChemicalReaction, ReactionFromSmarts

from molvae.bo.operators import Offspring, distinct
from molvae.chem.cores import Core, cuts, graft, with_point
from molvae.chem.molecules import canonical_or_none, parse

MUTATION_RATE, MUTATION_RATE_AFTER_CROSSOVER = 0.1, 0.01
"""Share of offspring by mutation alone, and of crossover offspring that are mutated; as mol-ga."""
MUTATION_RATE_OF_GROUPS = 0.4
"""Share of offspring by mutation alone where a core is kept: exchange makes no new groups."""
RING_SHARE = 0.5
"""Share of crossovers that cut a ring of each parent, as mol-ga."""
MAX_ATTEMPTS = 10
"""Reactions, crossovers or pairs of cuts that are tried for an offspring, as mol-ga."""
KEKULIZED_CACHE_SIZE = 500
"""Molecules that are kept: the best ones are parents again and again."""
RING_BONDS = ("-", "=")
"""What joins the halves of two rings, as mol-ga."""


def graph_ga_offspring(
    parents: Sequence[str], *, seed: int, core: Core | None = None, ring_share: float = RING_SHARE
) -> Offspring:
    """Offspring of random pairs of parents by graph crossover and mutation.

    With a core, mutations leave its atoms alone, and crossover puts a group of one parent in the
    place of a group of another one that holds the core.

    Args:
        parents: Canonical SMILES, with repeats.
        core: What offspring have to hold.
        ring_share: Share of crossovers that cut a ring of each parent, in [0, 1].

    Returns:
        Fewer than parents, since some attempts fail.

    References:
        Jensen (2019), doi:10.1039/C8SC05372C; Tripp and Hernandez-Lobato (2023), arXiv:2310.09267.
    """
    rng = Generator(seed)
    found = Offspring()
    with rdBase.BlockLogs():
        for parent in parents:
            pair = [parent]
            try:
                if core is not None:
                    pair.append(rng.choice(parents))
                    child, n_parents = _kept_child(core, pair[0], pair[1], rng)
                    pair = pair[:n_parents]
                elif rng.random() < MUTATION_RATE:
                    child = _mutated(_kekulized(parent), rng)
                else:
                    pair.append(rng.choice(parents))
                    child = _crossed(parent, pair[1], ring_share, rng)
                    if child is not None and rng.random() < MUTATION_RATE_AFTER_CROSSOVER:
                        child = _mutated(_kekulized(child), rng)
            except RuntimeError:  # by RDKit, for invalid products
                child = None
            if child is not None:
                found.setdefault(child, distinct(pair))
    return found


def _mutated(mol: Chem.Mol, rng: Generator) -> str | None:
    """A product of one of mol-ga's reactions, which are tried until one has a valid product.

    Atoms with the property `_protected` stay as they are.
    """
    from mol_ga.graph_ga import mutate

    for _ in range(MAX_ATTEMPTS):
        make, *args = rng.choices(
            [
                (mutate.insert_atom, rng),
                (mutate.change_bond_order, rng),
                (mutate.delete_cyclic_bond,),
                (mutate.add_ring, rng),
                (mutate.delete_atom, rng),
                (mutate.change_atom, mol, rng),
                (mutate.append_atom, rng),
            ],
            weights=[0.15, 0.14, 0.14, 0.14, 0.14, 0.14, 0.15],
        )[0]
        products = [first for first, *_ in _reaction(make(*args)).RunReactants((mol,))]
        if (made := _first_valid(products, rng)) is not None:
            return made
    return None


def _crossed(smiles: str, other: str, ring_share: float, rng: Generator) -> str | None:
    """A child by mol-ga's crossovers, which are tried until one gives a new molecule."""
    pair = _kekulized(smiles), _kekulized(other)
    for _ in range(MAX_ATTEMPTS):
        crossed = _crossed_rings if rng.random() < ring_share else _crossed_chains
        if (made := crossed(*pair, rng)) is not None and made not in (smiles, other):
            return made
    return None


def _crossed_chains(mol: Chem.Mol, other: Chem.Mol, rng: Generator) -> str | None:
    """Parts of two molecules, each cut at a single bond outside rings, joined."""
    from mol_ga.graph_ga.crossover import cut

    join = _reaction("[*:1]-[1*].[1*]-[*:2]>>[*:1]-[*:2]")
    for _ in range(MAX_ATTEMPTS):
        parts, others = cut(mol, rng), cut(other, rng)
        if parts is None or others is None:
            return None
        for two in rng.sample([*product(parts, others)], len(parts) * len(others)):
            joined = [first for first, *_ in join.RunReactants(two)[:1]]
            if (made := _first_valid(joined, rng, check_rings=False)) is not None:
                return made
    return None


def _crossed_rings(mol: Chem.Mol, other: Chem.Mol, rng: Generator) -> str | None:
    """Parts of two molecules, each cut at two bonds of a ring, joined to a ring."""
    from mol_ga.graph_ga.crossover import cut_ring, mol_ok

    for _ in range(MAX_ATTEMPTS):
        parts, others = cut_ring(mol, rng), cut_ring(other, rng)
        if parts is None or others is None:
            return None
        for two in rng.sample([*product(parts, others)], len(parts) * len(others)):
            for bond in rng.sample(RING_BONDS, len(RING_BONDS)):
                chain = _reaction(f"[*:1]~[1*].[1*]~[*:2]>>[*:1]{bond}[*:2]").RunReactants(two)
                if not chain or not mol_ok(chain[0][0], rng):
                    continue
                rings = [
                    first
                    for second in RING_BONDS
                    for first, *_ in _reaction(
                        f"([*:1]~[1*].[1*]~[*:2])>>[*:1]{second}[*:2]"
                    ).RunReactants(chain[0])
                ]
                if (made := _first_valid(rings, rng)) is not None:
                    return made
    return None


def _first_valid(
    mols: Sequence[Chem.Mol], rng: Generator, *, check_rings: bool = True
) -> str | None:
    """Canonical SMILES of the first molecule that mol-ga finds valid, in random order."""
    from mol_ga.graph_ga.crossover import mol_ok, ring_OK

    for mol in rng.sample(mols, len(mols)):
        if mol_ok(mol, rng) and (not check_rings or ring_OK(mol)):
            made = canonical_or_none(Chem.MolToSmiles(mol))
            if made is not None:
                return made
    return None


def _kept_child(core: Core, parent: str, giver: str, rng: Generator) -> tuple[str | None, int]:
    """A child of a parent that holds the core, and of how many parents it is; None if it failed."""
    mol = parse(parent)
    if (held := core.find(mol)) is None:
        return None, 1
    bonds, child, n_parents = cuts(mol, held.atoms), None, 1
    if not bonds or rng.random() < MUTATION_RATE_OF_GROUPS:
        for place in held.atoms.difference(held.sites):
            mol.GetAtomWithIdx(place).SetProp("_protected", "1")
        Chem.Kekulize(mol, clearAromaticFlags=True)
        child = _mutated(mol, rng)
    else:
        other = parse(giver)
        taken = core.find(other)
        if ends := cuts(other, frozenset() if taken is None else taken.atoms):
            near, far = rng.choice(ends)
            group, n_parents = with_point(other, far, near), 2
            child = graft(with_point(mol, *rng.choice(bonds)), group)
    return (child if child is not None and core.holds(child) else None), n_parents


@lru_cache(maxsize=KEKULIZED_CACHE_SIZE)
def _kekulized(smiles: str) -> Chem.Mol:
    """A molecule with single and double bonds instead of aromatic ones, which nothing changes."""
    mol = parse(smiles)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    return mol


@cache
def _reaction(smarts: str) -> ChemicalReaction:
    return ReactionFromSmarts(smarts)
