"""The molecules around a point of a latent space, by distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from molvae.analysis.vectors import codes, described, unit_vectors
from molvae.chem.molecules import canonical
from molvae.config import DEFAULT_PROPERTIES, check_seed
from molvae.errors import require
from molvae.latent.conversion import vector_count
from molvae.latent.protocol import LatentSpaceProtocol
from molvae.model.isolation import isolated

if TYPE_CHECKING:
    import pandas as pd

RADII = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Default distances, in root mean square standard deviations of the encodings: about 1 in each
dimension of z."""


@dataclass(frozen=True, kw_only=True)
class Neighbor:
    """A molecule that vectors around a point decode to."""

    smiles: str
    """Canonical SMILES."""
    radius: float
    """Smallest radius at which it was found."""
    counts: tuple[int, ...]
    """How often the molecule was found at each radius."""
    similarity: tuple[float, ...]
    """Tanimoto (Morgan, radius 2, 2,048 bits) to each of the given molecules."""
    properties: dict[str, float]
    """Properties by name; NaN where one cannot be computed."""
    percentile: float
    """Density percentile of the first vector that decoded to it."""

    @property
    def count(self) -> int:
        """How often the molecule was found at all radii."""
        return sum(self.counts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighborhood:
    """Molecules around a point of a latent space."""

    given: tuple[str, ...]
    """Molecules that define the point, canonical SMILES; they are no neighbors."""
    missed: tuple[str, ...]
    """Given molecules that no vector decodes to."""
    z: Tensor
    """The point, `d`, float64."""
    at: str | None
    """Molecule that the point decodes to."""
    properties: tuple[str, ...]
    """Names of the properties of the molecules around it."""
    radii: tuple[float, ...]
    """Radii, ascending."""
    drawn: int
    """Vectors decoded at each radius (one at radius 0)."""
    same: tuple[int, ...]
    """Vectors that decoded to a given molecule, at each radius."""
    nothing: tuple[int, ...]
    """Vectors that decoded to no molecule, at each radius."""
    found: tuple[Neighbor, ...]
    """Neighbors, each once: nearest first, then the most frequent, then the most similar to the
    last given molecule.
    """

    def table(self) -> pd.DataFrame:
        """A row for each neighbor.

        Columns smiles, radius, count (at all radii), similarity (of several given molecules
        similarity_1, similarity_2, ...), properties, percentile.
        """
        import pandas as pd

        numbers = [f"_{i}" for i in range(1, len(self.given) + 1)] if self.given[1:] else [""]
        names = [f"similarity{number}" for number in numbers]
        rows = [
            {
                "smiles": one.smiles,
                "radius": one.radius,
                "count": one.count,
                **dict(zip(names, one.similarity, strict=True)),
                **one.properties,
                "percentile": one.percentile,
            }
            for one in self.found
        ]
        columns = ["smiles", "radius", "count", *names, *self.properties, "percentile"]
        return pd.DataFrame(rows, columns=columns)

    def summary(self) -> pd.DataFrame:
        """A row for each radius.

        Columns radius, decoded, same, no_molecule, distinct (molecules among the others), new (not
        found at a smaller radius), similarity (mean over the other vectors to the last given
        molecule; NaN if there are none).
        """
        import pandas as pd

        rows = []
        for place, (radius, same, nothing) in enumerate(
            zip(self.radii, self.same, self.nothing, strict=True)
        ):
            there = [one for one in self.found if one.counts[place]]
            others = sum(one.counts[place] for one in there)
            alike = sum(one.counts[place] * one.similarity[-1] for one in there)
            new = sum(one.radius == radius for one in there)
            similarity = alike / others if others else float("nan")
            decoded = same + nothing + others
            rows.append((radius, decoded, same, nothing, len(there), new, similarity))
        columns = ["radius", "decoded", "same", "no_molecule", "distinct", "new", "similarity"]
        return pd.DataFrame(rows, columns=columns)


@isolated()
def neighbors(
    space: LatentSpaceProtocol,
    smiles: str,
    *,
    radii: Sequence[float] | None = None,
    n: int = 100,
    seed: int = 0,
    properties: Sequence[str] = DEFAULT_PROPERTIES,
) -> Neighborhood:
    """Molecules around a molecule, by distance in z.

    A vector that decodes to the molecule (see `LatentSpace.invert`) is moved by each radius in
    random directions, the same ones for all radii.

    Args:
        smiles: SMILES in any form.
        radii: Distances in z, from 0; by default `RADII` times the square root of its dimensions.
        n: Number of directions.
        properties: Names of computed properties, see `molvae.properties`.

    Raises:
        ConfigError: No radius, a negative one, or n below 1.
        UnknownNameError: Unknown property.
        InvalidMoleculeError, UnknownTokenError, TooLongError: See `LatentSpace.encode`.
    """
    molecule = canonical(smiles)
    z, missed = codes(space, [molecule])
    radii = [round(r * space.dim**0.5, 1) for r in RADII] if radii is None else radii
    return around(
        space, z[0], [molecule], radii, n=n, seed=seed, missed=missed, properties=properties
    )


@isolated()
def around(
    space: LatentSpaceProtocol,
    z: Tensor,
    given: Sequence[str],
    radii: Sequence[float],
    *,
    n: int,
    seed: int,
    missed: Sequence[str] = (),
    properties: Sequence[str] = DEFAULT_PROPERTIES,
) -> Neighborhood:
    """Molecules around z, `d`; those in `given` (canonical SMILES) count as the same.

    Arguments and errors as `neighbors`.
    """
    n, seed = vector_count(n, "n", least=1), check_seed(seed)
    lengths = tuple(sorted({float(radius) for radius in radii}))
    valid = bool(lengths) and all(0 <= length < math.inf for length in lengths)
    require(valid, f"radii must be numbers from 0, got {list(radii)}")
    u = unit_vectors(n, space.dim, seed)
    vectors = [z + radius * (u if radius else u[:1]) for radius in lengths]
    decoded = [space.decode(rows) for rows in vectors]
    first: dict[str, Tensor] = {}
    for vector, molecule in zip(torch.cat(vectors), chain.from_iterable(decoded), strict=True):
        if molecule is not None and molecule not in given:
            first.setdefault(molecule, vector)
    with torch.no_grad():
        usual = space.density_percentile(torch.stack([*first.values()])).tolist() if first else []
    found = [
        Neighbor(
            smiles=molecule,
            radius=next(r for r, row in zip(lengths, decoded, strict=True) if molecule in row),
            counts=tuple(row.count(molecule) for row in decoded),
            similarity=similarity,
            properties=numbers,
            percentile=percentile,
        )
        for molecule, (similarity, numbers), percentile in zip(
            first, described(list(first), given, properties), usual, strict=True
        )
    ]
    found.sort(key=lambda one: (one.radius, -one.count, -one.similarity[-1]))
    return Neighborhood(
        given=tuple(given),
        missed=tuple(missed),
        z=z,
        at=space.decode(z[None])[0],
        properties=tuple(properties),
        radii=lengths,
        drawn=n,
        same=tuple(sum(molecule in given for molecule in row) for row in decoded),
        nothing=tuple(row.count(None) for row in decoded),
        found=tuple(found),
    )
