"""A latent space that keeps a core: whatever its decoder writes holds it.

The core is written first and groups are decoded behind it, see `molvae.latent.decoration`; a branch
of a molecule keeps the core and all but one group, which is written anew.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rdkit import Chem, rdBase
from torch import Tensor

from molvae.chem.cores import Core, cuts, with_point
from molvae.chem.molecules import canonical_or_none, has_radicals, parse
from molvae.errors import require
from molvae.latent.branching import Branch
from molvae.latent.decoration import (
    Begun,
    begin,
    decorate,
    join,
    likeliest_prefixes,
    link,
    numbered_core,
    replaceable,
    with_points,
)
from molvae.model.isolation import isolated

if TYPE_CHECKING:
    from molvae.latent.space import LatentSpace

N_ORDERS, MAX_CACHED = 48, 10_000
"""Orders of atoms tried for each text before a group, and texts whose likeliest is kept."""
GROUP_TEMPERATURE = 0.8  # of the groups of branches
HYDROGEN_SHARE = 0.3
"""Share of branches that put a group in place of a hydrogen; the others replace one."""


class KeepingSpace:
    """A latent space whose decoder writes a core first; all else is as in that space.

    Args:
        space: Space of a model of SMILES.
        core: What is kept.
        scaffolds: The core as SMILES with or without attachment points: itself, or as it was found
            in molecules if it is a SMARTS.

    Raises:
        UnknownTokenError, TooLongError: The model cannot read a scaffold.
        ConfigError: No scaffold, or one that has no place for a group; or a model that does not
            write SMILES.
    """

    def __init__(self, space: LatentSpace, core: Core, scaffolds: Sequence[str]) -> None:
        require(
            bool(scaffolds),
            f"{core.text!r} is a SMARTS, which has to be cut out of a molecule: give initial "
            "molecules that hold it as whole ring systems, or write it as SMILES",
        )
        self.space, self.core, self.scaffolds = space, core, tuple(scaffolds)
        self._cores = [[numbered_core(space, part) for part in s.split(".")] for s in scaffolds]
        for parts in self._cores:
            for part in parts:
                with_points(part, random.Random(0))  # raises where there is no place
        self._prefixes: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "space":  # of an object that is being unpickled
            raise AttributeError(name)
        return getattr(self.space, name)

    def tuned(self, smiles: Sequence[str], **settings: Any) -> KeepingSpace:
        """A copy with a fine-tuned decoder, see `LatentSpace.tuned`."""
        return KeepingSpace(self.space.tuned(smiles, **settings), self.core, self.scaffolds)

    def new(self, n: int, seed: int = 0) -> list[str]:
        """New molecules that hold the core, see `LatentSpace.decorate` and `LatentSpace.link`."""
        rng, found = random.Random(seed), dict[str, None]()
        each = -(-n // len(self.scaffolds))
        for scaffold, parts in zip(self.scaffolds, self._cores, strict=True):
            if len(parts) == 1:
                made = decorate(self.space, scaffold, each, seed)
            else:
                ends = [Chem.MolToSmiles(_at_one_point(part, rng)) for part in parts]
                made = link(self.space, ends[0], ends[1], each, seed)
            found |= dict.fromkeys(one for one in made if self._accepts(one))
        return list(found)[:n]

    @isolated()
    def decode(self, z: Tensor) -> list[str | None]:
        """The core with the groups that the decoder writes at each vector; None for no molecule.

        Where there is a choice of places, the vector decides.
        """
        rngs = [random.Random(row.numpy().tobytes()) for row in z.double()]
        parts = [rng.choice(self._cores) for rng in rngs]
        waiting = [
            with_points(own[0], rng) if len(own) == 1 else _at_one_point(own[0], rng)
            for own, rng in zip(parts, rngs, strict=True)
        ]
        found: list[str | None] = [None] * len(z)
        rows = list(range(len(z)))
        with rdBase.BlockLogs():
            while rows:
                begun = self._begin([waiting[i] for i in rows], z[rows], 0, 0.0)
                going_on = []
                for i, made in zip(rows, begun, strict=True):
                    if made is None:
                        continue
                    if len(parts[i]) > 1:
                        found[i] = join(made, _at_one_point(parts[i][1], rngs[i]), rngs[i])
                    elif any(atom.GetAtomicNum() == 0 for atom in made.mol.GetAtoms()):
                        waiting[i] = made.mol
                        going_on.append(i)
                    else:
                        found[i] = canonical_or_none(Chem.MolToSmiles(made.mol))
                rows = going_on
        return [one if one is not None and self._accepts(one) else None for one in found]

    @isolated()
    def branch(
        self, smiles: Sequence[str], z: Tensor | None = None, *, seed: int = 0
    ) -> list[Branch]:
        """Each molecule with one group outside of the core written anew under a vector.

        The group begins at any single bond outside of the core, or replaces a hydrogen. In place of
        molecules without the core are those that `decode` gives.

        Args:
            smiles: SMILES that the space can encode.
            z: Vectors, `n x dim`; the encodings of the molecules by default.
        """
        z = self.space.encode(smiles) if z is None else z
        rng, texts = random.Random(seed), dict[int, Chem.Mol]()
        found = [Branch(None, 0.0)] * len(smiles)
        lacking = []
        with rdBase.BlockLogs():
            for i, text in enumerate(smiles):
                mol = parse(text)
                if (held := self.core.find(mol)) is None:
                    lacking.append(i)
                    continue
                bonds: list[tuple[int, int | None]] = [*cuts(mol, held.atoms)]
                free = set(held.sites) | set(range(mol.GetNumAtoms())) - held.atoms
                sites = [(place, None) for place in replaceable(mol) if place in free]
                places = sites if sites and (rng.random() < HYDROGEN_SHARE or not bonds) else bonds
                if places:
                    texts[i] = with_point(mol, *rng.choice(places))
            rows = list(texts)
            begun = self._begin(list(texts.values()), z[rows], seed, GROUP_TEMPERATURE)
            for i, made in zip(rows, begun, strict=True):
                one = None if made is None else canonical_or_none(Chem.MolToSmiles(made.mol))
                if made is not None and one is not None and self._accepts(one):
                    found[i] = Branch(one, made.log_prob)
        for i, one in zip(lacking, self.decode(z[lacking]), strict=True):
            found[i] = Branch(one, 0.0)
        return found

    def _begin(
        self, mols: Sequence[Chem.Mol], z: Tensor, seed: int, temperature: float
    ) -> list[Begun | None]:
        """The molecules with a group at one of their attachment points."""
        texts = [Chem.MolToSmiles(mol) for mol in mols]
        if len(self._prefixes) > MAX_CACHED:
            self._prefixes.clear()
        new = dict.fromkeys(text for text in texts if text not in self._prefixes)
        self._prefixes |= likeliest_prefixes(self.space, new, 0, N_ORDERS)
        return begin(self.space, texts, seed, 0.0, temperature, self._prefixes, z)

    def _accepts(self, smiles: str) -> bool:
        return self.core.holds(smiles) and (self.space.radicals or not has_radicals(smiles))


def _at_one_point(core: Chem.Mol, rng: random.Random) -> Chem.Mol:
    """A fragment with a single attachment point, `[*:1]`, one of its own if it has any."""
    mol = Chem.Mol(with_points(core, rng, 1))
    points = [atom for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]
    chosen = rng.choice(points)
    for atom in points:
        atom.SetAtomMapNum(1 if atom.GetIdx() == chosen.GetIdx() else 0)
        if atom.GetIdx() != chosen.GetIdx():
            atom.SetAtomicNum(1)
    return Chem.RemoveHs(mol)
