"""Commands that explore a latent space."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from molvae._files import is_record
from molvae.cli.inputs import read_smiles, sample_rows
from molvae.cli.terminal import Count, InFile, Signed, Switch, print_tsv, say
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

    from molvae.analysis.ascent import AscentPath
    from molvae.analysis.directions import LatentDirection
    from molvae.analysis.neighborhood import Neighborhood
    from molvae.latent.space import LatentSpace

Names = Annotated[
    tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default="logP SAS QED")
]
Numbers = Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative="")]
Held = Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)]
explore = App(
    name="explore",
    help="Walk, climb and look around in the latent space of a run.",
    help_format="plaintext",
)


@explore.command
def interpolate(
    space: str,
    first: str,
    second: str,
    /,
    *more: str,
    steps: int = 100,
    kind: Literal["straight", "spherical", "density"] = "straight",
    weight: float = 10.0,
    names: Names = DEFAULT_PROPERTIES,
    figure: Path | None = None,
    overwrite: Switch = False,
) -> None:
    """Print the molecules on the way from one molecule to another as TSV.

    Columns: t, the share of the way at which a molecule is come to; until, where it is left;
    smiles; similarity_start and similarity_end, Tanimoto to the first and the last molecule
    (Morgan, radius 2, 2,048 bits); properties; percentile, how usual the place is among molecules
    that the run generates, by density of the learned prior.

    Args:
        space: A bundled run or a run folder.
        first: SMILES of the molecule to begin at.
        second: Of the one to go to.
        more: Of others to go on to; t is 2 at the third molecule.
        steps: From one molecule to the next; more find molecules that are short on the way.
        kind: straight; spherical, around the origin; or density, bent to where the learned prior is
            dense.
        weight: Of the density for the latter; 0 is straight.
        names: Properties to print.
        figure: Draw the way to this file, SVG, PNG or PDF.
        overwrite: Replace the figure.
    """
    figure = _check_figure(figure, overwrite, space)
    from molvae import analysis
    from molvae.latent.loading import load

    path = analysis.interpolate(
        load(space), first, second, *more, steps=steps, kind=kind, weight=weight, properties=names
    )
    _print(path.table())
    say(f"{len(path.molecules)} distinct molecules on a way of length {path.length:.1f}")
    if figure is not None:
        analysis.draw_path(path, figure, overwrite=overwrite)


@explore.command
def neighbors(
    space: str,
    molecule: str,
    /,
    *,
    radius: Annotated[Numbers, Parameter(show_default="1 2 3 4 5")] = (1.0, 2.0, 3.0, 4.0, 5.0),
    n: Count = 100,
    seed: int = 0,
    names: Names = DEFAULT_PROPERTIES,
    figure: Path | None = None,
    overwrite: Switch = False,
) -> None:
    """Print the molecules around one in the latent space as TSV, nearest first.

    Columns: smiles; radius, the smallest at which it was found; count, how often in all;
    similarity, Tanimoto to the molecule (Morgan, radius 2, 2,048 bits); properties; percentile, how
    usual the place is at which it was found first. What became of all vectors goes to standard
    error.

    Args:
        space: A bundled run or a run folder.
        molecule: SMILES.
        radius: One or several lengths of a move in z; encodings have a standard deviation of about
            1 in each dimension.
        n: Random directions, the same ones at each radius.
        seed: Of the directions.
        names: Properties to print.
        figure: Draw them to this file, SVG, PNG or PDF.
        overwrite: Replace the figure.
    """
    figure = _check_figure(figure, overwrite, space)
    from molvae import analysis
    from molvae.latent.loading import load

    found = analysis.neighbors(
        load(space), molecule, radii=radius, n=n, seed=seed, properties=names
    )
    _print(found.table())
    _tell(found)
    if figure is not None:
        analysis.draw_neighbors(found, figure, overwrite=overwrite)


@explore.command
def traverse(
    space: str,
    molecule: str,
    /,
    *,
    along: Signed,
    hold: Held = (),
    data: InFile | None = None,
    n: Count = 2000,
    length: float = 4.0,
    steps: int = 100,
    seed: int = 0,
    names: Names = DEFAULT_PROPERTIES,
    column: str | None = None,
    skip_invalid: Switch = False,
    figure: Path | None = None,
    overwrite: Switch = False,
) -> None:
    """Print the molecules on a straight walk through a molecule, along which something grows.

    As TSV: t, the distance from the molecule in z, negative before it; until; smiles; similarity to
    the molecule; properties; percentile, how usual the place is.

    Args:
        space: A bundled run or a run folder.
        molecule: SMILES.
        along: What grows: a property that the run has a head for; or with --data any property, or a
            column of that file. With a minus before it, what falls.
        hold: Of the same kind: what is not to change.
        data: Learn the directions from these molecules by ridge regression: zinc250k, qm9, moses, a
            folder made by prepare, or a file.
        n: At most so many of them, drawn at random.
        length: How far to walk to either side, in z.
        steps: To either side.
        seed: Of the draw, and of the folds of cross-validation.
        names: Properties to print.
        column: Of the molecules in a CSV or TSV file; smiles by default.
        skip_invalid: Leave out and count invalid molecules of the data.
        figure: Draw the walk to this file, SVG, PNG or PDF.
        overwrite: Replace the figure.
    """
    figure = _check_figure(figure, overwrite, space, data)
    from molvae import analysis
    from molvae.latent.loading import load

    loaded = load(space)
    down, along = along.startswith("-"), along.removeprefix("-")
    found = _directions(loaded, [along, *hold], data, n, seed, column, skip_invalid)
    direction = analysis.orthogonalize(found[0], found[1:])
    for one in found:
        say(_about(one))
    if hold:
        say(f"with {', '.join(hold)} held {direction.left:.0%} of the direction is left")
    path = analysis.traverse(
        loaded,
        molecule,
        -direction if down else direction,
        length=length,
        steps=steps,
        properties=names,
    )
    _print(path.table())
    if figure is not None:
        analysis.draw_path(path, figure, overwrite=overwrite)


@explore.command
def analogy(
    space: str,
    a: str,
    b: str,
    c: str,
    /,
    *,
    radius: Annotated[Numbers, Parameter(show_default="0 1 2 3")] = (0.0, 1.0, 2.0, 3.0),
    n: Count = 100,
    seed: int = 0,
    names: Names = DEFAULT_PROPERTIES,
    figure: Path | None = None,
    overwrite: Switch = False,
) -> None:
    """Print what a molecule C becomes if A becomes B, as TSV: molecules at and around C + B - A.

    Columns: smiles; radius, the smallest at which it was found; count; similarity_1, similarity_2
    and similarity_3 to A, B and C; properties; percentile; same_change, how alike the change from C
    is to that from A to B, from -1 to 1.

    Args:
        space: A bundled run or a run folder.
        a: SMILES.
        b: SMILES of what it became.
        c: SMILES of what is to become something in the same way.
        radius: One or several, around the place; 0 is the place itself.
        n: Random directions, the same ones at each radius.
        seed: Of the directions.
        names: Properties to print.
        figure: Draw them to this file, SVG, PNG or PDF.
        overwrite: Replace the figure.
    """
    figure = _check_figure(figure, overwrite, space)
    from molvae import analysis
    from molvae.latent.loading import load

    found = analysis.analogy(load(space), a, b, c, radii=radius, n=n, seed=seed, properties=names)
    table = found.table()
    table["same_change"] = analysis.same_transformation(
        a, b, c, [one.smiles for one in found.found]
    )
    _print(table)
    _tell(found)
    if figure is not None:
        analysis.draw_neighbors(found, figure, overwrite=overwrite)


@explore.command
def ascend(
    space: str,
    file: InFile = "-",
    /,
    *,
    climb: Signed,
    data: InFile | None = None,
    n: Count = 2000,
    step: float = 0.25,
    steps: int = 40,
    keep: float = 0.0,
    seed: int = 0,
    names: Names = DEFAULT_PROPERTIES,
    column: str | None = None,
    skip_invalid: Switch = False,
    figure: Path | None = None,
    overwrite: Switch = False,
) -> None:
    """Print the molecules on ways up from given molecules, by gradient ascent, as TSV.

    Columns: way, the number of the molecule that it begins at; t, the distance from there; until;
    smiles; predicted and true value; similarity to the beginning; properties; percentile, how usual
    the place is. What came of all ways goes to standard error.

    Args:
        space: A bundled run or a run folder.
        file: Molecules to begin at; standard input by default.
        climb: A property that the run has a head for, QED, or with a minus before it to go down,
            -SAS; with --data any property, or a column of that file; or a campaign's record, on
            all of whose values a Gaussian process is fitted.
        data: Learn the direction from these molecules, as of walk.
        n: At most so many of them, drawn at random.
        step: Largest length of a step, in z.
        steps: Of each way, at most.
        keep: Percentile, from 0 to 100, that no way goes below; 0: go anywhere.
        seed: Of the draw.
        names: Properties to print.
        column: Of the molecules in CSV or TSV files; smiles by default.
        skip_invalid: Leave out and count invalid molecules, and those to begin at that the run
            cannot read.
        figure: Draw the ways to this file, SVG, PNG or PDF.
        overwrite: Replace the figure.
    """
    figure = _check_figure(figure, overwrite, space, file, climb, data)
    from molvae import analysis
    from molvae.latent.loading import load

    loaded = load(space)
    hill: Any = climb
    if data is not None:
        (found,) = _directions(
            loaded, [climb.removeprefix("-")], data, n, seed, column, skip_invalid
        )
        say(_about(found))
        hill = -found if climb.startswith("-") else found
    elif climb.removeprefix("-") not in loaded.properties:
        if not is_record(climb):
            what = f"property head of {space}, and no record,"
            raise UnknownNameError(what, climb, loaded.properties)
        from molvae.campaign.campaign import Campaign

        with Campaign.open(climb, loaded) as campaign:
            hill = analysis.campaign_target(campaign)
    molecules = read_smiles(file, skip_invalid=skip_invalid, column=column)
    if skip_invalid:
        readable = loaded.can_encode(molecules)
        if skipped := readable.count(False):
            say(f"{skipped} of {len(molecules)} skipped: {space} cannot read them")
        molecules = [m for m, there in zip(molecules, readable, strict=True) if there]
    ways = analysis.gradient_ascent(
        loaded, molecules, hill, step=step, steps=steps, keep=keep, properties=names
    )
    tables = [way.table() for way in ways]
    for number, table in enumerate(tables, 1):
        table.insert(0, "way", number)
    print_tsv(
        list(tables[0].columns),
        (row for table in tables for row in table.itertuples(index=False, name=None)),
    )
    _sum_up(ways)
    if figure is not None:
        analysis.draw_ascents(ways, figure, overwrite=overwrite)


@explore.command(name="map")
def map_(
    space: str,
    data: InFile = "zinc250k",
    /,
    *,
    colour: str = "logP",
    place: InFile | None = None,
    method: Literal["pca", "umap"] = "pca",
    n: Count = 2000,
    seed: int = 0,
    column: str | None = None,
    skip_invalid: Switch = False,
    figure: Path | None = None,
    overwrite: Switch = False,
) -> None:
    """Print the places of molecules on a plane map of the latent space as TSV.

    Columns: smiles, x, y; kind: data, placed, start or new (trials of a campaign); label, the
    number of a placed molecule or the id of a trial; and the value that the map is coloured by.

    Args:
        space: A bundled run or a run folder.
        data: Molecules that the map is made from: zinc250k, qm9, moses, a folder made by prepare,
            or a file.
        colour: A property, or a column of that file.
        place: Show these on it: a file of molecules, or a campaign's record.
        method: pca: the plane in which encodings differ most; umap: neighbours stay neighbours,
            needs the package umap-learn.
        n: At most so many of the data, drawn at random.
        seed: Of the draw, and of UMAP.
        column: Of the molecules in CSV or TSV files; smiles by default.
        skip_invalid: Leave out and count invalid molecules.
        figure: Draw the map to this file, SVG, PNG or PDF.
        overwrite: Replace the figure.
    """
    figure = _check_figure(figure, overwrite, space, data, place)
    from contextlib import nullcontext

    from molvae import analysis
    from molvae.chem.properties import PROPERTIES
    from molvae.latent.loading import load

    loaded = load(space)
    own = colour.lower() not in {name.lower() for name in PROPERTIES}
    molecules, values = sample_rows(
        data, n, seed, skip_invalid=skip_invalid, column=column, values=colour if own else None
    )
    opened: Any = nullcontext(())
    if place is not None and is_record(place):
        from molvae.campaign.campaign import Campaign

        opened = Campaign.open(place, loaded)
    elif place is not None:
        opened = nullcontext(read_smiles(place, skip_invalid=skip_invalid, column=column))
    with opened as others:
        found = analysis.project(
            loaded,
            molecules,
            values=values if own else None,
            colour=colour,
            place=others,
            method=method,
            seed=seed,
        )
    _print(found.table())
    if figure is not None:
        analysis.draw_projection(found, figure, overwrite=overwrite)


def _check_figure(figure: Path | None, overwrite: bool, *inputs: str | None) -> Path | None:
    """Refuse a figure that cannot be written, before anything is done for it."""
    if figure is None:
        return None
    from molvae.analysis.style import check_can_draw

    apart = [file for file in inputs if file is not None]
    return check_can_draw(figure, overwrite=overwrite, apart_from=apart)


def _print(table: pd.DataFrame) -> None:
    print_tsv(list(table.columns), table.itertuples(index=False, name=None))


def _tell(found: Neighborhood) -> None:
    """What became of all vectors, radius by radius."""
    same = "the same" if len(found.given) == 1 else "of those given"
    for row in found.summary().to_dict("records"):
        alike = row["similarity"]
        rest = "" if math.isnan(alike) else f", mean similarity of the others {alike:.2f}"
        say(
            f"r {row['radius']:g}: {row['drawn']} drawn, {row['same']} {same}, {row['nothing']} no "
            f"molecule, {row['distinct']} others, {row['new']} of them new{rest}"
        )


def _directions(
    space: LatentSpace,
    names: Sequence[str],
    data: str | None,
    n: int,
    seed: int,
    column: str | None,
    skip_invalid: bool,
) -> list[LatentDirection]:
    """Those of the space's own heads, or learned from data."""
    from molvae import analysis
    from molvae.chem.properties import PROPERTIES, score

    if data is None:
        if not space.properties:
            raise ConfigError(
                f"{space.name} was trained without property heads; learn the direction from "
                "molecules: --data zinc250k, or a file"
            )
        return [analysis.head_direction(space, name) for name in names]
    known = {name.lower(): name for name in PROPERTIES}
    found = []
    for name in names:
        own = None if name.lower() in known else name
        molecules, values = sample_rows(
            data, n, seed, skip_invalid=skip_invalid, column=column, values=own
        )
        numbers = score(molecules, [name])[:, 0] if own is None else values
        z = space.encode(molecules, skip_unknown=True)
        found.append(
            analysis.property_direction(z, numbers, known.get(name.lower(), name), seed=seed)
        )
    return found


def _about(direction: LatentDirection) -> str:
    learned = "" if math.isnan(direction.r2) else f"R2 {direction.r2:.2f} (cross-validated), "
    return f"{direction.name}: {learned}{direction.slope:.3g} for each unit of length in z"


def _sum_up(ways: Sequence[AscentPath]) -> None:
    """What came of all ways: better or not, by how much, and where they went."""
    gains = [way.gain for way in ways if not math.isnan(way.gain)]
    expected = [way.sign * (way.predicted[-1] - way.predicted[0]) for way in ways]
    distance = sum(way.path.t[-1] for way in ways) / len(ways)
    said = f"expected {sum(expected) / len(ways):+.3g}"
    if gains:
        better = sum(gain > 0 for gain in gains)
        said += f", true {sum(gains) / len(gains):+.3g}, {better} of {len(gains)} better"
    say(f"{ways[0].climbed}: mean improvement {said}; mean distance {distance:.1f}")
    ends = Counter(way.ended for way in ways)
    left = sum(way.left is not None for way in ways)
    outside = sum(way.began_outside for way in ways)
    say(
        f"ended at a summit {ends['summit']}, after all steps {ends['steps']}, at the edge of the "
        f"allowed region {ends['edge']}; left the known world {left}; began outside of the box "
        f"{outside}"
    )


explore.command(traverse, name="walk", show=False)  # its name in earlier versions


__all__ = ["explore", "interpolate", "neighbors"]
