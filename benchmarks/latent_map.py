"""What is around molecules in a space, and where do ascents and paths between molecules lead?

Four questions to each bundled space, on test molecules that it was not trained on. How alike is a
molecule to what a move of z of a given length decodes to (mean Tanimoto similarity, Morgan, radius
2, 2,048 bits)? By how much does gradient ascent on a property head improve the true property, and
does it leave the training distribution (mean improvement ± standard error; share that is better;
mean distance; share that leaves, to where less than 1 % of known molecules are)? What is on the
three kinds of paths between two molecules? And do analogies (an OH that becomes NH2) come out?
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import rdBase
from torch import Tensor

import molvae
from benchmarks.shared import plots
from benchmarks.shared.molecules import readable, require_prepared, some
from benchmarks.shared.run import each
from benchmarks.shared.tables import TITLES, number, transposed
from molvae import analysis
from molvae.analysis.interpolation import Kind
from molvae.analysis.vectors import similarities, unit_vectors
from molvae.chem.datasets import sample_molecules
from molvae.chem.molecules import canonical_or_none, parse
from molvae.chem.prepare import load_split
from molvae.chem.properties import score
from molvae.errors import MolvaeWarning
from molvae.latent.space import LatentSpace
from molvae.model.priors import FlowPrior

TITLE = "The spaces as maps"
HEADS = ("logP", "-SAS", "QED")  # SAS goes down
RADII = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)  # lengths of moves in z
KEEP = 5.0  # percentile that the second kind of ascent does not go below
STEP = 0.25  # of ascents, in z
AFTER = tuple(float(distance) for distance in range(11))  # distances at which ascents are looked at
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Numbers of molecules, directions of moves, pairs of ends and of analogies."""

    molecules: int = 200
    directions: int = 20
    ascents: int = 100
    pairs: int = 50
    analogies: int = 100


QUICK = Sizes(molecules=8, directions=3, ascents=3, pairs=2, analogies=2)


def measure(
    *, quick: bool, jobs: int, folder: Path, data: Sequence[str] = tuple(TITLES)
) -> dict[str, Any]:
    """All measures of each bundled space, by the name of its data set."""
    rows = each(measured, [(name, quick) for name in data], jobs=jobs, kept=folder)
    spaces = dict(zip(data, rows, strict=True))
    about = {"seed": SEED, "radii": list(RADII), "after": list(AFTER), "keep": KEEP}
    return about | {"spaces": spaces}


def measured(name: str, quick: bool) -> dict[str, Any]:
    """One space on test molecules of its own data set, as prepared in `data/`."""
    space, sizes = molvae.load(name), QUICK if quick else Sizes()
    if quick:
        test = sample_molecules(name, 300, seed=SEED)
    else:
        test = some(load_split(require_prepared(name), "test"), 20_000, SEED)
    test = readable(space, test)
    few = test[: sizes.molecules]
    with warnings.catch_warnings():
        # Molecules that no vector decodes to are counted instead.
        warnings.simplefilter("ignore", MolvaeWarning)
        ascents = {
            head: {
                kind: climbed(space, test[: sizes.ascents], head, keep)
                for kind, keep in (("free", 0.0), ("kept", KEEP))
            }
            for head in HEADS
        }
        found = {
            "neighbours": moved(space, few, sizes.directions),
            "compared": compared(few, sizes.directions),
            "ascents": ascents,
            "ways": between(space, test, sizes.pairs),
            "analogies": analogies(space, test, sizes.analogies),
        }
    names = [head.removeprefix("-") for head in HEADS]
    stds = score(test[:2000], names).std(0)
    return found | {"std": {name: float(std) for name, std in zip(names, stds, strict=True)}}


def moved(space: LatentSpace, molecules: Sequence[str], directions: int) -> dict[str, Any]:
    """Similarity of molecules to what z decodes to after moves in random directions.

    `differ`: share of vectors that decode to something else, and `similarity_of_those`; `half`:
    radius at which half differ, and `similarity_at_half` of that half, `otherwise` for other kinds
    of moves. `rises`: where the mean similarity is larger at the next radius, by how many standard
    errors of that difference.
    """
    z = space.invert(molecules)
    u = torch.stack(
        [unit_vectors(directions, space.dim, SEED + i) for i, _ in enumerate(molecules)]
    )
    alike, differ = decoded(space, molecules, lambda radius: z[:, None] + radius * u)
    each = alike.mean(axis=2)  # radii x molecules
    half, at_half = halfway(alike, differ)
    changes = [(after - before) for before, after in pairwise(each)]
    return {
        "similarity": each.mean(axis=1).tolist(),
        "error": [standard_error(row) for row in each],
        "differ": differ.mean(axis=(1, 2)).tolist(),
        "similarity_of_those": of_those(alike, differ),
        "half": half,
        "similarity_at_half": at_half,
        "otherwise": {
            kind: halfway(*decoded(space, molecules, to))[1]
            for kind, to in other_moves(space, molecules, z, u).items()
        },
        "rises": [
            {"in_errors": float(c.mean() / e) if (e := standard_error(c)) else None}
            for c in changes
            if c.mean() > 0
        ],
    }


def other_moves(
    space: LatentSpace, molecules: Sequence[str], z: Tensor, u: Tensor
) -> dict[str, Callable[[float], Tensor]]:
    """Further moves, as functions of a radius: do they keep more of a molecule than straight ones?

    `posterior`: longer along units, and of molecules, whose posterior is wide. `prior`: in the
    noise from which the prior's flow makes z, so that they lead from molecules to molecules.
    """
    _, std = space.posterior(molecules)
    wide = u * (std / std.square().mean().sqrt())[:, None]
    moves: dict[str, Callable[[float], Tensor]] = {"posterior": lambda r: z[:, None] + r * wide}
    if isinstance(prior := space.prior, FlowPrior):
        noise = prior.to_noise(z.float())

        def to(radius: float) -> Tensor:
            there = (noise[:, None] + radius * u.float()).flatten(0, 1)
            return prior.from_noise(there).double().view_as(u)

        moves["prior"] = to
    return moves


def decoded(
    space: LatentSpace, molecules: Sequence[str], to: Callable[[float], Tensor]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Similarity of molecules to what decodes at the ends of moves, and whether that is different.

    Of vectors `n x directions x dim`, both `radii x n x directions`; 0 where nothing is decoded.
    """
    alike, differ = [], []
    for radius in RADII:
        vectors = to(radius)
        made = space.decode(vectors.flatten(0, 1))
        rows = [made[i : i + vectors.shape[1]] for i in range(0, len(made), vectors.shape[1])]
        pairs = list(zip(molecules, rows, strict=True))
        alike.append([np.nan_to_num(similarities(row, [m])[:, 0]) for m, row in pairs])
        differ.append([[one != m for one in row] for m, row in pairs])
    return np.array(alike), np.array(differ)


def halfway(
    alike: NDArray[np.float64], differ: NDArray[np.bool_]
) -> tuple[float | None, float | None]:
    """Radius at which half of all molecules differ, and the similarity of that half; or None."""
    half = crossing(RADII, differ.mean(axis=(1, 2)).tolist(), 0.5)
    return half, None if half is None else at(RADII, of_those(alike, differ), half)


def of_those(alike: NDArray[np.float64], differ: NDArray[np.bool_]) -> list[float | None]:
    """Mean similarity of those that differ, by radius; None where none does."""
    return [float(a[d].mean()) if d.any() else None for a, d in zip(alike, differ, strict=True)]


def compared(molecules: Sequence[str], times: int) -> dict[str, float]:
    """Mean Tanimoto similarity of molecules to mol-ga's mutations of them, and of random pairs."""
    rng, alike = Random(SEED), list[float]()
    # mol-ga turns RDKit's logs off for the whole process; leaving this block turns them on again.
    with rdBase.BlockLogs():
        from mol_ga.graph_ga.gen_candidates import mutate

        for molecule in molecules:
            made = [canonical_or_none(mutate(molecule, rng) or "") for _ in range(times)]
            there = [one for one in made if one is not None and one != molecule]
            alike += similarities(there, [molecule])[:, 0].tolist()
    pairs = zip(molecules[::2], molecules[1::2], strict=False)
    others = [similarities([b], [a])[0, 0] for a, b in pairs]
    return {"edit": float(np.mean(alike)), "random": float(np.mean(others))}


def climbed(space: LatentSpace, molecules: Sequence[str], head: str, keep: float) -> dict[str, Any]:
    """Gradient ascent on a head from each molecule.

    By distance: `true`, mean improvement so far, better is positive (a path that has ended stays
    where it is), and `percentile`; at the ends `gain`, `expected` by the head, `better` (share),
    `distance`, and `left` (share of paths that left the training distribution).
    """
    steps = round(AFTER[-1] / STEP)
    ways = analysis.gradient_ascent(
        space, molecules, head, step=STEP, steps=steps, min_percentile=keep
    )
    sign = ways[0].sign
    true, percentile = (np.empty((len(AFTER), len(ways))) for _ in range(2))
    for column, way in enumerate(ways):
        t, stops = np.array(way.path.t), [stop.first for stop in way.path.segments]
        last = np.searchsorted(t, np.array(AFTER) + 1e-9) - 1
        reached = np.array(way.true)[np.searchsorted(stops, last, side="right") - 1]
        true[:, column] = sign * (reached - way.true[0])
        percentile[:, column] = np.array(way.path.percentile)[last]
    gains = np.array([way.gain for way in ways])
    return {
        "true": true.mean(axis=1).tolist(),
        "error": [standard_error(row) for row in true],
        "percentile": percentile.mean(axis=1).tolist(),
        "gain": float(gains.mean()),
        "gain_error": standard_error(gains),
        "expected": float(np.mean([sign * (w.predicted[-1] - w.predicted[0]) for w in ways])),
        "better": float((gains > 0).mean()),
        "distance": float(np.mean([way.path.t[-1] for way in ways])),
        "left": float(np.mean([way.ood_distance is not None for way in ways])),
    }


def between(space: LatentSpace, molecules: Sequence[str], pairs: int) -> dict[str, Any]:
    """The three kinds of paths between random molecules, means over pairs.

    `molecules`, distinct ones, both ends included; `lowest` percentile; `similarity` to the next.
    """
    found: dict[str, Any] = {}
    for kind in get_args(Kind):
        ways = [
            analysis.interpolate(space, molecules[2 * i], molecules[2 * i + 1], kind=kind)
            for i in range(pairs)
        ]
        alike = [
            float(similarities([b.smiles], [a.smiles])[0, 0])
            for way in ways
            for a, b in pairwise(way.segments)
            if a.smiles is not None and b.smiles is not None
        ]
        found[kind] = {
            "molecules": float(np.mean([len(way.molecules) for way in ways])),
            "lowest": float(np.mean([min(way.percentile) for way in ways])),
            "similarity": float(np.mean(alike)) if alike else None,
        }
    return found


def analogies(space: LatentSpace, molecules: Sequence[str], n: int) -> dict[str, Any]:
    """A is to B, an OH of which is NH2 instead, as C is to what? The answer is known.

    Shares of those asked for which it is decoded at the place (`at`), or found around it.
    """
    known = [(m, b) for m in molecules if (b := aminated(m)) is not None]
    known = [pair for pair in known if all(space.can_encode(pair))][: 2 * n]
    hits = []
    for (a, b), (c, answer) in zip(known[::2], known[1::2], strict=False):
        found = analysis.analogy(space, a, b, c, properties=())
        hits.append((found.at == answer, any(one.smiles == answer for one in found.found)))
    at_place, around = np.mean(hits, axis=0).tolist() if hits else (None, None)
    return {"asked": len(hits), "at": at_place, "around": around}


def aminated(smiles: str) -> str | None:
    """The molecule with NH2 in place of its OH; None if it has not exactly one on carbon."""
    from rdkit import Chem

    mol, hydroxyl = parse(smiles), Chem.MolFromSmarts("[OX2H][#6;!$(C=O)]")
    matches = mol.GetSubstructMatches(hydroxyl)
    if len(matches) != 1:
        return None
    mol.GetAtomWithIdx(matches[0][0]).SetAtomicNum(7)
    return canonical_or_none(Chem.MolToSmiles(mol))


def standard_error(values: NDArray[np.float64]) -> float:
    """Standard error of a mean; 0 for a single value."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def crossing(x: Sequence[float], y: Sequence[float], level: float) -> float | None:
    """Place at which a rising line through points reaches a level; None if it does not."""
    for (x0, y0), (x1, y1) in pairwise(zip(x, y, strict=True)):
        if y0 <= level < y1:
            return x0 + (x1 - x0) * (level - y0) / (y1 - y0)
    return None


def at(x: Sequence[float], y: Sequence[float | None], where: float) -> float:
    """A line through points at a place."""
    known = [(a, b) for a, b in zip(x, y, strict=True) if b is not None]
    return float(np.interp(where, [a for a, _ in known], [b for _, b in known]))


def up_or_down(head: str) -> str:
    """The climbed value and its direction, in words."""
    return f"{head.removeprefix('-')} {'down' if head.startswith('-') else 'up'}"


@plots.styled()
def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Moves, ascents and percentiles of each space: a line of three panels."""
    spaces = result["spaces"]
    figure, rows = plots.panels(len(spaces), 3, (4.0, 3.2))
    for (name, found), (near, up, usual) in zip(spaces.items(), rows, strict=True):
        radii, moves = result["radii"], found["neighbours"]
        near.errorbar(radii, moves["similarity"], moves["error"], marker="o", label="all")
        those = [math.nan if v is None else v for v in moves["similarity_of_those"]]
        near.plot(radii, those, "o-", label="those that differ")
        near.plot(radii, moves["differ"], "o--", color="0.6", label="share that differs")
        near.axhline(found["compared"]["edit"], color="0.5", ls=":", label="one edit of the graph")
        near.set(xlabel="length of the move in z", ylabel="Tanimoto similarity", ylim=(0, 1.02))
        near.set_title(TITLES[name])
        for color, head in zip(plots.COLORS, HEADS, strict=False):
            std = found["std"][head.removeprefix("-")]
            for kind, style in (("free", "-"), ("kept", ":")):
                one = found["ascents"][head][kind]
                true, error = np.array(one["true"]) / std, np.array(one["error"]) / std
                label = up_or_down(head) if kind == "free" else None
                up.plot(result["after"], true, style, color=color, label=label)
                usual.plot(result["after"], one["percentile"], style, color=color, label=label)
                if kind == "free":
                    low, high = true - error, true + error
                    up.fill_between(result["after"], low, high, color=color, alpha=0.2, lw=0)
        up.set(xlabel="distance climbed in z", ylabel="true improvement, std of the data")
        up.set_title(f"dotted: kept above {result['keep']:g} %")
        usual.set(xlabel="distance climbed in z", ylabel="percentile of the density")
        for axes in (near, up, usual):
            axes.legend()
    plots.save(figure, folder / "latent-map.svg")


def table(result: Mapping[str, Any]) -> list[str]:
    """A column for each space."""
    sizes = Sizes()
    spaces = {TITLES[name]: _column(result, of) for name, of in result["spaces"].items()}
    return [
        f"{sizes.molecules} test molecules moved in {sizes.directions} directions each, ascents "
        f"from {sizes.ascents} of them, for a distance of {result['after'][-1]:g} at most, "
        f"{sizes.pairs} paths of each kind.",
        "",
        *transposed(spaces, {label: itemgetter(label) for label in next(iter(spaces.values()))}),
    ]


def _column(result: Mapping[str, Any], of: Mapping[str, Any]) -> dict[str, str]:
    moves, edit, rows = of["neighbours"], of["compared"], dict[str, str]()
    for radius in (1.0, 3.0, 5.0):
        i = result["radii"].index(radius)
        rows[f"z moved by {radius:g}: similarity, share that differs"] = (
            f"{number(moves['similarity'][i])}, {number(moves['differ'][i], '.0%')}"
        )
    rows["half differ at; similarity of those that differ there"] = (
        f"{number(moves['half'], '.1f')}; {number(moves['similarity_at_half'])}"
    )
    rows["similarity where half differ, moved by the posterior's spread; in the prior's noise"] = (
        "; ".join(number(moves["otherwise"].get(kind)) for kind in ("posterior", "prior"))
    )
    rows[
        "similarity after one edit of the graph (mol-ga's mutation); of two random test molecules"
    ] = f"{number(edit['edit'])}; {number(edit['random'])}"
    rises = [rise["in_errors"] or 0 for rise in moves["rises"]]
    rows["rises of the similarity with the length, largest in standard errors"] = (
        f"{len(rises)}, {max(rises):.1f}" if rises else "0"
    )
    for head in HEADS:
        for kind, words in (("free", ""), ("kept", f", kept above {result['keep']:g} %")):
            name = f"{up_or_down(head)}{words}: true, predicted; better; distance; left"
            rows[name] = _climb(of["ascents"][head][kind])
    for kind in get_args(Kind):
        way = of["ways"][kind]
        rows[f"{kind} path: molecules; similarity to the next; lowest percentile"] = (
            f"{way['molecules']:.1f}; {number(way['similarity'])}; {way['lowest']:.0f}"
        )
    found = of["analogies"]
    rows["OH to NH2 by analogy: at the place; around it"] = (
        f"{number(found['at'], '.0%')}; {number(found['around'], '.0%')} of {found['asked']}"
    )
    return rows


def _climb(one: Mapping[str, Any]) -> str:
    gain = f"{one['gain']:+.2f} ± {one['gain_error']:.2f}, {one['expected']:+.2f}"
    better, left = (number(one[key], ".0%") for key in ("better", "left"))
    return f"{gain}; {better}; {one['distance']:.1f}; {left}"
