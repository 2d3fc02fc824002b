"""Where the molecules of the property table come from: each draw is a pure function of its seed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import torch
from rdkit import rdBase

from benchmarks.language_model import LanguageModel, sample
from molvae.chem.mol import canonical_or_none
from molvae.chem.representation import get_representation
from molvae.errors import DataError, InvalidMoleculeError
from molvae.latent import LatentSpace
from molvae.redraw import REDRAWS, Draw, best_draws
from molvae.tokens import Tokens

POPULATION = 1_000
"""Parents of a generation of the genetic algorithm."""
GENERATIONS = 100
"""After so many without enough molecules something is wrong."""
MUTATED, MUTATED_AFTER = 0.10, 0.01
"""Share of its offspring that is mutated only, and of the crossed ones that is mutated after;
mol-ga's own numbers."""

Drawn = list[str | None]
"""Canonical SMILES, repeats included; None for what is not a molecule."""


def some(molecules: Sequence[str], n: int, seed: int) -> list[str]:
    """Random molecules, none twice; all of them, shuffled, if there are no more than `n`."""
    order = np.random.default_rng(seed).permutation(len(molecules))[:n]
    return [molecules[i] for i in order]


def genetic(molecules: Sequence[str], distinct: int, seed: int) -> Drawn:
    """Offspring of random molecules by mol-ga's graph mutations and crossovers, without selection.

    A generation crosses random pairs of the population, or mutates random members; the next
    population is drawn at random from parents and offspring. Nothing is preferred, so the
    result shows what the rules alone make of the data.

    What differs from the published row: the paper wrote its own rules by hand, here they are those
    of Jensen's graph GA in mol-ga's version; sizes of populations and shares of mutations are
    mol-ga's or chosen here; and what is given is everything that was tried, not only the
    distinct valid molecules, so that validity and uniqueness can be told.

    Args:
        molecules: Canonical SMILES; the first population is a random part of them.
        distinct: Stop when there are so many distinct valid offspring; the data's own count too.
        seed: Of everything.

    Returns:
        Every offspring that was tried.

    Raises:
        DataError: The rules do not make so many.

    References:
        Jensen (2019), doi:10.1039/C8SC05372C; Tripp and Hernández-Lobato (2023), arXiv:2310.09267.
    """
    drawn: Drawn = []
    found: set[str] = set()
    rng = Random(seed)
    # mol-ga turns RDKit's logs off for the whole process; leaving this block turns them on again.
    with rdBase.BlockLogs():
        from mol_ga.graph_ga.gen_candidates import mutate, reproduce

        population = some(molecules, POPULATION, seed)
        for _ in range(GENERATIONS):
            offspring: Drawn = []
            for _ in range(len(population)):
                try:
                    if rng.random() < MUTATED:
                        child = mutate(rng.choice(population), rng)
                    else:
                        pair = rng.choices(population, k=2)
                        child = reproduce(*pair, MUTATED_AFTER, rng)
                except RuntimeError:  # of RDKit, on what a rule has made
                    child = None
                offspring.append(canonical_or_none(child) if child else None)
                if offspring[-1] is not None:
                    found.add(offspring[-1])
                if len(found) == distinct:
                    return drawn + offspring
            drawn += offspring
            everyone = population + [child for child in offspring if child is not None]
            population = rng.sample(everyone, min(POPULATION, len(everyone)))
    raise DataError(
        f"{GENERATIONS} generations from {len(molecules)} molecules made only {len(found)} "
        f"distinct ones, {distinct} were asked for; ask for fewer"
    )


def perturbed(
    space: LatentSpace, molecules: Sequence[str], n: int, seed: int, radius: float
) -> Drawn:
    """The neighbours of random molecules: `decode(encode(molecule) + radius * sd * N(0, I))`.

    Args:
        space: Encodes and writes, greedily.
        molecules: Canonical SMILES; those that the model cannot read are passed over.
        n: How many are taken; all, if there are no more.
        seed: Of molecules and noise.
        radius: In standard deviations of the encodings, unit by unit.
    """
    taken = some(molecules, n, seed)
    taken = [m for m, ok in zip(taken, space.readable(taken), strict=True) if ok]
    z = space.encode(taken)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(z.shape, generator=generator, dtype=z.dtype)
    return space.decode(z + radius * z.std(dim=0) * noise)


def written(model: LanguageModel, tokens: Tokens, n: int, seed: int) -> Drawn:
    """Molecules of a language model; as in `space.generate`, what was mended is drawn again."""
    name, settings = tokens.representation["name"], tokens.representation["settings"]
    representation = get_representation(name, settings)

    def molecule(symbols: Sequence[str]) -> str | None:
        try:
            return representation.join(symbols)
        except InvalidMoleculeError:
            return None

    def draw(n: int, seed: int) -> list[Draw]:
        rows = [tokens.vocabulary.spell(row) for row in sample(model, n, seed).tolist()]
        return [Draw(molecule(row), not representation.fluent(row), 0.0) for row in rows]

    best = best_draws(draw, n, seed=seed, redraws=REDRAWS, tolerance=0.0)
    return [one.molecule for one in best]
