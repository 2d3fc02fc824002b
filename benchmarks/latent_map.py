"""What is around molecules in a space, and where do ascents and paths between molecules lead?

Four questions to each bundled space, on test molecules that it was not trained on. How alike is
what a move of z of a given length decodes to? By how much does gradient ascent on a property head
improve the true property, for each unit of length, and does it leave the training distribution?
What is on the three kinds of paths between two molecules? And do analogies (an OH that becomes
NH2) come out?
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import rdBase
from torch import Tensor

import molvae
from benchmarks.shared import plots, run
from benchmarks.shared.molecules import some, splits
from benchmarks.shared.tables import TITLES, number, transposed
from molvae import analysis
from molvae.analysis.interpolation import Kind
from molvae.analysis.summary import OOD_PERCENTILE
from molvae.analysis.vectors import similarities, unit_vectors
from molvae.chem.datasets import sample_molecules
from molvae.chem.molecules import canonical_or_none, parse
from molvae.chem.properties import score
from molvae.errors import MolvaeWarning
from molvae.latent.space import LatentSpace
from molvae.model.priors import FlowPrior

TITLE = "The spaces as maps"
HEADS = ("logP", "-SAS", "QED")
"""What is climbed; SAS goes down."""
RADII = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
"""Lengths of moves in z."""
KEEP = 5.0
"""Percentile that the second kind of ascent does not go below."""
STEP = 0.25
"""Of ascents, in z."""
AFTER = tuple(float(distance) for distance in range(11))
"""Distances at which ascents are looked at."""
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    molecules: int = 200
    """That are moved, 20 ways at each radius."""
    directions: int = 20
    ascents: int = 100
    """Molecules that each head is climbed from."""
    pairs: int = 50
    """That are gone between."""
    analogies: int = 100


QUICK = Sizes(molecules=8, directions=3, ascents=3, pairs=2, analogies=2)


def measure(
    *, quick: bool, jobs: int, folder: Path, data: Sequence[str] = tuple(TITLES)
) -> dict[str, Any]:
    """All measures of each bundled space, by the name of its data set."""
    found = dict(
        zip(
            data,
            run.each(measured, [(name, quick) for name in data], jobs=jobs, kept=folder),
            strict=True,
        )
    )
    return {"seed": SEED, "radii": list(RADII), "after": list(AFTER), "keep": KEEP, "spaces": found}


def measured(name: str, quick: bool) -> dict[str, Any]:
    """One space on test molecules of its own data set, as prepared in `data/`."""
    space, sizes = molvae.load(name), QUICK if quick else Sizes()
    if quick:
        test = sample_molecules(name, 300, seed=SEED)
    else:
        test = some(splits(name)["test"], 20_000, SEED)
    test = [m for m, ok in zip(test, space.can_encode(test), strict=True) if ok]
    with warnings.catch_warnings():
        # Molecules that no vector decodes to are counted instead.
        warnings.simplefilter("ignore", MolvaeWarning)
        found = {
            "neighbours": moved(space, test[: sizes.molecules], sizes.directions),
            "compared": compared(test[: sizes.molecules], sizes.directions),
            "ascents": {
                head: {
                    kind: climbed(space, test[: sizes.ascents], head, keep)
                    for kind, keep in (("free", 0.0), ("kept", KEEP))
                }
                for head in HEADS
            },
            "ways": between(space, test, sizes.pairs),
            "analogies": analogies(space, test, sizes.analogies),
        }
        values = score(test[:2000], [head.removeprefix("-") for head in HEADS])
    found["sd"] = {h.removeprefix("-"): float(v) for h, v in zip(HEADS, values.std(0), strict=True)}
    return found


def moved(space: LatentSpace, molecules: Sequence[str], directions: int) -> dict[str, Any]:
    """What becomes of molecules when z is moved by each radius, in random directions.

    Returns:
        `found`: share of the molecules that a vector was found for, without a move. By radius:
        `similarity`, mean Tanimoto of what is decoded to the molecule (0 where nothing is), with
        its standard error over molecules; `differ`: share of vectors that decode to something
        else; `similarity_of_those`: mean of theirs alone. `half`: radius at which half differ, and
        `similarity_at_half`: mean similarity of those that differ there; `otherwise`: the same for
        other kinds of moves. `rises`: where the mean
        similarity is larger at the next radius, by how much, and in standard errors of that
        difference.
    """
    z = space.invert(molecules)
    same = space.decode(z)
    n = len(molecules)
    u = torch.stack([unit_vectors(directions, space.dim, SEED + i) for i in range(n)])
    alike, differ = decoded(space, molecules, lambda radius: z[:, None] + radius * u)
    each = alike.mean(axis=2)  # radii x molecules
    shares = differ.mean(axis=(1, 2))
    half, at_half = halfway(alike, differ)
    rises = []
    for row, (before, after) in enumerate(pairwise(each)):
        change = after - before
        if change.mean() > 0:
            error = standard_error(change)
            rises.append(
                {
                    "from": RADII[row],
                    "to": RADII[row + 1],
                    "size": float(change.mean()),
                    "in_errors": float(change.mean() / error) if error else None,
                }
            )
    return {
        "found": sum(a == b for a, b in zip(same, molecules, strict=True)) / n,
        "similarity": each.mean(axis=1).tolist(),
        "error": [standard_error(row) for row in each],
        "differ": shares.tolist(),
        "similarity_of_those": of_those(alike, differ),
        "half": half,
        "similarity_at_half": at_half,
        "otherwise": {
            kind: halfway(*decoded(space, molecules, to))[1]
            for kind, to in other_moves(space, molecules, z, u).items()
        },
        "rises": rises,
    }


def other_moves(
    space: LatentSpace, molecules: Sequence[str], z: Tensor, u: Tensor
) -> dict[str, Callable[[float], Tensor]]:
    """Further moves, as functions of a radius: do they keep more of a molecule than straight ones?

    `posterior`: longer along units, and of molecules, whose posterior is wide. `prior`: of what
    the prior's flow makes z of, so that they lead from molecules to molecules.
    """
    _, sd = space.posterior(molecules)
    wide = u * (sd / sd.square().mean().sqrt())[:, None]
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
    """Similarity of each molecule to what is decoded where moves of each radius end.

    Args:
        space: That decodes.
        molecules: Where the moves begin, n of them.
        to: Where they end, `n x directions x dim`, by radius.

    Returns:
        Tanimoto similarities, 0 where nothing is decoded, and whether it is something else, both
        `radii x n x directions`.
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
    """Radius at which half of what is decoded differs, and the mean similarity of that half.

    None if no such radius is among `RADII`.
    """
    half = crossing(RADII, differ.mean(axis=(1, 2)).tolist(), 0.5)
    return half, None if half is None else at(RADII, of_those(alike, differ), half)


def of_those(alike: NDArray[np.float64], differ: NDArray[np.bool_]) -> list[float | None]:
    """Mean similarity of those that differ, by radius; None where none does."""
    return [float(a[d].mean()) if d.any() else None for a, d in zip(alike, differ, strict=True)]


def compared(molecules: Sequence[str], times: int) -> dict[str, float]:
    """What a similarity means: mean Tanimoto of molecules to what one edit makes of them.

    Returns:
        `edit`: of mol-ga's graph mutations, `times` of each molecule; `random`: of random pairs.
    """
    rng = Random(SEED)
    alike = []
    # mol-ga turns RDKit's logs off for the whole process; leaving this block turns them on again.
    with rdBase.BlockLogs():
        from mol_ga.graph_ga.gen_candidates import mutate

        for molecule in molecules:
            made = [canonical_or_none(mutate(molecule, rng) or "") for _ in range(times)]
            there = [one for one in made if one is not None and one != molecule]
            alike += similarities(there, [molecule])[:, 0].tolist()
    pairs = zip(molecules[::2], molecules[1::2], strict=False)
    others = [float(similarities([a], [b])[0, 0]) for a, b in pairs]
    return {"edit": float(np.mean(alike)), "random": float(np.mean(others))}


def climbed(space: LatentSpace, molecules: Sequence[str], head: str, keep: float) -> dict[str, Any]:
    """Gradient ascent on a head from each molecule.

    Returns:
        By distance: `true` and `predicted`, mean improvement so far, better is positive (a way that
        has ended stays where it is); `error`: standard error of the former over molecules;
        `percentile`: mean; `outside`: share of the ways outside of the training distribution. At
        the ends: `gain`, `gain_error`, `expected`, `better` (share), `distance` (mean), `ended`
        (counts), `left` and `began_outside` (shares).
    """
    steps = round(AFTER[-1] / STEP)
    ways = analysis.gradient_ascent(
        space, molecules, head, step=STEP, steps=steps, min_percentile=keep
    )
    sign = ways[0].sign
    true, predicted, percentile = (np.empty((len(AFTER), len(ways))) for _ in range(3))
    for column, way in enumerate(ways):
        t, stops = np.array(way.path.t), [stop.first for stop in way.path.segments]
        for row, distance in enumerate(AFTER):
            last = int(np.searchsorted(t, distance + 1e-9)) - 1
            stop = int(np.searchsorted(stops, last, side="right")) - 1
            true[row, column] = sign * (way.true[stop] - way.true[0])
            predicted[row, column] = sign * (way.predicted[last] - way.predicted[0])
            percentile[row, column] = way.path.percentile[last]
    gains = np.array([way.gain for way in ways])
    ends = [way.ended for way in ways]
    return {
        "true": true.mean(axis=1).tolist(),
        "error": [standard_error(row) for row in true],
        "predicted": predicted.mean(axis=1).tolist(),
        "percentile": percentile.mean(axis=1).tolist(),
        "outside": (percentile < OOD_PERCENTILE).mean(axis=1).tolist(),
        "gain": float(gains.mean()),
        "gain_error": standard_error(gains),
        "expected": float(np.mean([sign * (w.predicted[-1] - w.predicted[0]) for w in ways])),
        "better": float((gains > 0).mean()),
        "distance": float(np.mean([way.path.t[-1] for way in ways])),
        "ended": {end: ends.count(end) for end in ("converged", "max_steps", "bounded")},
        "left": float(np.mean([way.ood_distance is not None for way in ways])),
        "began_outside": float(np.mean([way.started_outside for way in ways])),
    }


def between(space: LatentSpace, molecules: Sequence[str], pairs: int) -> dict[str, Any]:
    """The three kinds of ways between random molecules, all means over pairs.

    Returns:
        By kind: `molecules`, distinct ones on the way, both ends included; `length`;
        `log_density`, along the way, in nats; `lowest`, the smallest percentile on the way;
        `percentile`; `similarity` of each molecule to the next one; `found`: share of the ends that
        are reached.
    """
    chosen = [(molecules[2 * i], molecules[2 * i + 1]) for i in range(pairs)]
    found: dict[str, Any] = {}
    for kind in get_args(Kind):
        ways = [analysis.interpolate(space, a, b, kind=kind) for a, b in chosen]
        alike = []
        for way in ways:
            there = [stop.smiles for stop in way.segments]
            alike += [
                float(similarities([b], [a])[0, 0])
                for a, b in pairwise(there)
                if a is not None and b is not None
            ]
        found[kind] = {
            "molecules": float(np.mean([len(way.molecules) for way in ways])),
            "length": float(np.mean([way.length for way in ways])),
            "log_density": float(np.mean([np.mean(way.log_density) for way in ways])),
            "lowest": float(np.mean([min(way.percentile) for way in ways])),
            "percentile": float(np.mean([np.mean(way.percentile) for way in ways])),
            "similarity": float(np.mean(alike)) if alike else None,
            "found": 1 - float(np.mean([len(way.missed) for way in ways])) / 2,
        }
    return found


def analogies(space: LatentSpace, molecules: Sequence[str], n: int) -> dict[str, Any]:
    """A is to B, an OH of which is NH2 instead, as C is to what? The answer is known.

    Returns:
        `asked`; shares of them for which the known answer is what the place decodes to (`at`), or
        what is found around it (`around`).
    """
    known = [(m, b) for m in molecules if (b := aminated(m)) is not None]
    known = [pair for pair in known if all(space.can_encode(pair))][: 2 * n]
    at_place = around = asked = 0
    for (a, b), (c, answer) in zip(known[::2], known[1::2], strict=False):
        found = analysis.analogy(space, a, b, c, properties=())
        asked += 1
        at_place += found.at == answer
        around += any(one.smiles == answer for one in found.found)
    shares = {"at": at_place, "around": around}
    return {"asked": asked} | {k: v / asked if asked else None for k, v in shares.items()}


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
    """Of a mean; 0 for a single value."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def crossing(x: Sequence[float], y: Sequence[float], level: float) -> float | None:
    """Where a rising line through points comes to a level; None if it does not."""
    for (x0, y0), (x1, y1) in pairwise(zip(x, y, strict=True)):
        if y0 <= level < y1:
            return x0 + (x1 - x0) * (level - y0) / (y1 - y0)
    return None


def at(x: Sequence[float], y: Sequence[float | None], where: float) -> float:
    """A line through points at a place."""
    known = [(a, b) for a, b in zip(x, y, strict=True) if b is not None]
    return float(np.interp(where, [a for a, _ in known], [b for _, b in known]))


def up_or_down(head: str) -> str:
    """What is climbed, in words."""
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
            sd = found["sd"][head.removeprefix("-")]
            for kind, style in (("free", "-"), ("kept", ":")):
                one = found["ascents"][head][kind]
                true, error = np.array(one["true"]) / sd, np.array(one["error"]) / sd
                label = up_or_down(head) if kind == "free" else None
                up.plot(result["after"], true, style, color=color, label=label)
                usual.plot(result["after"], one["percentile"], style, color=color, label=label)
                if kind == "free":
                    low, high = true - error, true + error
                    up.fill_between(result["after"], low, high, color=color, alpha=0.2, lw=0)
        up.set(xlabel="distance climbed in z", ylabel="true improvement, sd of the data")
        up.set_title(f"dotted: kept above {result['keep']:g} %")
        usual.set(xlabel="distance climbed in z", ylabel="percentile of the density")
        for axes in (near, up, usual):
            axes.legend()
    plots.save(figure, folder / "latent-map.svg")


def table(result: Mapping[str, Any]) -> list[str]:
    """A column for each space."""
    found = list(result["spaces"].values())
    moves = [one["neighbours"] for one in found]

    def moved_by(radius: float) -> list[str]:
        at_ = result["radii"].index(radius)
        return [f"{number(m['similarity'][at_])}, {number(m['differ'][at_], '.0%')}" for m in moves]

    rows = {
        f"z moved by {r:g}: similarity, share that differs": moved_by(r) for r in (1.0, 3.0, 5.0)
    }
    rows["half differ at; similarity of those that differ there"] = [
        f"{number(m['half'], '.1f')}; {number(m['similarity_at_half'])}" for m in moves
    ]
    rows["similarity where half differ, moved by the posterior's spread; in the prior's noise"] = [
        "; ".join(number(m["otherwise"].get(kind)) for kind in ("posterior", "prior"))
        for m in moves
    ]
    rows[
        "similarity after one edit of the graph (mol-ga's mutation); of two random test molecules"
    ] = [f"{number(one['compared']['edit'])}; {number(one['compared']['random'])}" for one in found]
    rows["rises of the similarity with the length, largest in standard errors"] = [
        ", ".join(
            [str(len(m["rises"])), *(f"{max(r['in_errors'] or 0 for r in m['rises']):.1f}"
                                     for _ in m["rises"][:1])]
        )
        for m in moves
    ]  # fmt: skip
    for head in HEADS:
        for kind, words in (("free", ""), ("kept", f", kept above {result['keep']:g} %")):
            name = f"{up_or_down(head)}{words}: true, predicted; better; distance; left"
            rows[name] = [_climb(one["ascents"][head][kind]) for one in found]
    for kind in get_args(Kind):
        rows[f"{kind} path: molecules; similarity to the next; lowest percentile"] = [
            f"{way['molecules']:.1f}; {number(way['similarity'])}; {way['lowest']:.0f}"
            for way in (one["ways"][kind] for one in found)
        ]
    rows["OH to NH2 by analogy: at the place; around it"] = [
        f"{number(a['at'], '.0%')}; {number(a['around'], '.0%')} of {a['asked']}"
        for a in (one["analogies"] for one in found)
    ]
    sizes = Sizes()
    return [
        f"{sizes.molecules} test molecules moved in {sizes.directions} directions each (mean "
        "Tanimoto similarity, Morgan, radius 2, 2,048 bits), gradient ascent on the property "
        f"heads from {sizes.ascents} of them, for a distance of {result['after'][-1]:g} at most "
        "(mean improvement ± standard error; share that is better; mean distance; share that "
        "leaves the training distribution, to where less than 1 % of known molecules are), "
        f"{sizes.pairs} paths of each kind.",
        "",
        *transposed("measure", rows, [TITLES[name] for name in result["spaces"]]),
    ]


def _climb(one: Mapping[str, Any]) -> str:
    gain = f"{one['gain']:+.2f} ± {one['gain_error']:.2f}, {one['expected']:+.2f}"
    better, left = (number(one[key], ".0%") for key in ("better", "left"))
    return f"{gain}; {better}; {one['distance']:.1f}; {left}"
