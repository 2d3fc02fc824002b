"""Commands that explore a latent space."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from molvae._files import is_record
from molvae.cli.inputs import only_encodable, read_smiles, sample_rows
from molvae.cli.shared_flags import (
    Column,
    Data,
    Directions,
    Figure,
    Molecules,
    Overwrite,
    Properties,
    Radii,
    Seed,
    SkipInvalid,
    Space,
)
from molvae.cli.terminal import InFile, Signed, print_table, say
from molvae.config import DEFAULT_PROPERTIES
from molvae.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

    from molvae.analysis.ascent import AscentPath
    from molvae.analysis.directions import LatentDirection
    from molvae.analysis.neighborhood import Neighborhood
    from molvae.campaign.campaign import Campaign
    from molvae.latent.space import LatentSpace

explore = App(
    name="explore",
    help="Explore a latent space: paths, neighbors, directions, gradient ascent, maps, density.",
    help_format="markdown",
)


@explore.command
def interpolate(
    space: Space,
    first: str,
    second: str,
    /,
    *more: str,
    steps: int = 100,
    kind: Literal["linear", "slerp", "density"] = "linear",
    weight: float = 10.0,
    properties: Properties = DEFAULT_PROPERTIES,
    figure: Figure = None,
    overwrite: Overwrite = False,
) -> None:
    """Print the molecules on the path between two molecules, or through several, as TSV.

    Columns: t_start and t_end, the fractions of the path where a molecule starts and ends; smiles;
    similarity_start and similarity_end, Tanimoto to the first and the last molecule (Morgan, radius
    2, 2,048 bits); properties; percentile of the density of the learned prior, among molecules that
    the model generates.

    Args:
        first: SMILES of the first molecule.
        second: SMILES of the second molecule.
        more: SMILES of further molecules; t is 2 at the third molecule.
        steps: Steps between two molecules; more steps find molecules on short segments.
        kind: linear; slerp, on a great circle around the origin; or density, bent to where the
            learned prior is dense.
        weight: Weight of the density in kind density; 0 is linear.
    """
    figure = _check_figure(figure, overwrite, space)
    from molvae import analysis

    path = analysis.interpolate(
        _load(space), first, second, *more, steps=steps, kind=kind, weight=weight,
        properties=properties,
    )  # fmt: skip
    _print(path.table())
    say(f"{len(path.molecules)} distinct molecules on a path of length {path.length:.1f}")
    if figure is not None:
        analysis.draw_path(path, figure, overwrite=overwrite)


@explore.command
def neighbors(
    space: Space,
    molecule: str,
    /,
    *,
    radius: Radii | None = None,
    n: Directions = 100,
    seed: Seed = 0,
    properties: Properties = DEFAULT_PROPERTIES,
    figure: Figure = None,
    overwrite: Overwrite = False,
) -> None:
    """Print the molecules around a molecule in the latent space as TSV, nearest first.

    Columns: smiles; radius, the smallest at which it was found; count, how often at all radii;
    similarity, Tanimoto to the molecule (Morgan, radius 2, 2,048 bits); properties; density
    percentile of the first vector that decodes to it. Counts of all vectors go to standard error.

    Args:
        molecule: SMILES.
        radius: One or several distances in z; encodings have a standard deviation of about 1 in
            each dimension. By default 0.1, 0.3, 0.5, 0.7 and 0.9 times the square root of the
            number of dimensions.
    """
    figure = _check_figure(figure, overwrite, space)
    from molvae import analysis

    found = analysis.neighbors(
        _load(space), molecule, radii=radius, n=n, seed=seed, properties=properties
    )
    _print(found.table())
    _print_counts(found)
    if figure is not None:
        analysis.draw_neighbors(found, figure, overwrite=overwrite)


@explore.command
def traverse(
    space: Space,
    molecule: str,
    /,
    *,
    along: Signed,
    hold: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = (),
    data: Data = None,
    n: Molecules = 2000,
    length: float = 4.0,
    steps: int = 100,
    seed: Seed = 0,
    properties: Properties = DEFAULT_PROPERTIES,
    column: Column = None,
    skip_invalid: SkipInvalid = False,
    figure: Figure = None,
    overwrite: Overwrite = False,
) -> None:
    """Print the molecules on the line through a molecule along which a property grows, as TSV.

    Columns: t_start and t_end, the distance from the molecule in z, negative before it; smiles;
    similarity to the molecule; properties; density percentile.

    Args:
        molecule: SMILES.
        along: Property that grows: one that the model has a head for; with --data any property, or
            a column of that file. With a minus before it, the property falls.
        hold: Properties that are predicted to stay the same.
        length: Distance to either side, in z.
        steps: Steps to either side.
    """
    figure = _check_figure(figure, overwrite, space, data)
    from molvae import analysis

    loaded = _load(space)
    down, along = along.startswith("-"), along.removeprefix("-")
    found = _directions(loaded, [along, *hold], data, n, seed, column, skip_invalid)
    direction = analysis.orthogonalize(found[0], found[1:])
    for one in found:
        say(_about(one))
    if hold:
        say(f"with {', '.join(hold)} held {direction.left:.0%} of the direction is left")
    path = analysis.traverse(
        loaded, molecule, -direction if down else direction, length=length, steps=steps,
        properties=properties,
    )  # fmt: skip
    _print(path.table())
    if figure is not None:
        analysis.draw_path(path, figure, overwrite=overwrite)


explore.command(traverse, name="walk", show=False)  # its name in earlier versions


@explore.command
def analogy(
    space: Space,
    a: str,
    b: str,
    c: str,
    /,
    *,
    radius: Annotated[Radii, Parameter(show_default="0 1 2 3")] = (0.0, 1.0, 2.0, 3.0),
    n: Directions = 100,
    seed: Seed = 0,
    properties: Properties = DEFAULT_PROPERTIES,
    figure: Figure = None,
    overwrite: Overwrite = False,
) -> None:
    """Print molecules that relate to C as B does to A, as TSV: those at and around C + B - A.

    Columns: smiles; radius, the smallest at which it was found; count; similarity_1, similarity_2
    and similarity_3 to A, B and C; properties; density percentile; same_transformation, similarity
    of the change from C to that from A to B, from -1 to 1.

    Args:
        a: SMILES.
        b: SMILES of the molecule that A became.
        c: SMILES of the molecule to change in the same way.
        radius: One or several distances from C + B - A.
    """
    figure = _check_figure(figure, overwrite, space)
    from molvae import analysis

    found = analysis.analogy(
        _load(space), a, b, c, radii=radius, n=n, seed=seed, properties=properties
    )
    table = found.table()
    table["same_transformation"] = analysis.same_transformation(a, b, c, table["smiles"].tolist())
    _print(table)
    _print_counts(found)
    if figure is not None:
        analysis.draw_neighbors(found, figure, overwrite=overwrite)


@explore.command
def ascend(
    space: Space,
    file: InFile = "-",
    /,
    *,
    target: Signed,
    data: Data = None,
    n: Molecules = 2000,
    step: float = 0.25,
    steps: int = 40,
    min_percentile: float = 0.0,
    seed: Seed = 0,
    properties: Properties = DEFAULT_PROPERTIES,
    column: Column = None,
    skip_invalid: SkipInvalid = False,
    figure: Figure = None,
    overwrite: Overwrite = False,
) -> None:
    """Print the molecules on gradient ascents from given molecules, as TSV.

    Columns: path, the number of the molecule that it starts at; t_start and t_end, the distance
    from the start in z; smiles; predicted and true value; similarity to the start; properties;
    density percentile. A summary goes to standard error.

    Args:
        file: Molecules to start at; standard input by default.
        target: A property that the model has a head for, QED, or with a minus before it to go down,
            -SAS; with --data any property, or a column of that file; or a campaign file, to all of
            whose values a Gaussian process is fitted.
        step: Largest length of a step, in z.
        steps: Maximum number of steps.
        min_percentile: Density percentile, from 0 to 100, that no path falls below.
    """
    figure = _check_figure(figure, overwrite, space, file, target, data)
    import pandas as pd

    from molvae import analysis

    loaded = _load(space)
    goal: Any = target
    if data is not None:
        names = [target.removeprefix("-")]
        (found,) = _directions(loaded, names, data, n, seed, column, skip_invalid)
        say(_about(found))
        goal = -found if target.startswith("-") else found
    elif target.removeprefix("-") not in loaded.properties:
        if not is_record(target):
            what = f"property head of {space}, and no campaign file,"
            raise UnknownNameError(what, target, loaded.properties)
        with _open(target, loaded) as campaign:
            goal = analysis.campaign_target(campaign)
    molecules = read_smiles(file, skip_invalid=skip_invalid, column=column)
    molecules = only_encodable(loaded, molecules) if skip_invalid else molecules
    paths = analysis.gradient_ascent(
        loaded, molecules, goal, step=step, steps=steps, min_percentile=min_percentile,
        properties=properties,
    )  # fmt: skip
    tables = [path.table() for path in paths]
    for number, table in enumerate(tables, 1):
        table.insert(0, "path", number)
    _print(pd.concat(tables))
    _sum_up(paths)
    if figure is not None:
        analysis.draw_ascents(paths, figure, overwrite=overwrite)


@explore.command(name="map")
def map_(
    space: Space,
    data: InFile = "zinc250k",
    /,
    *,
    color: str = "logP",
    overlay: InFile | None = None,
    method: Literal["pca", "umap"] = "pca",
    n: Molecules = 2000,
    seed: Seed = 0,
    column: Column = None,
    skip_invalid: SkipInvalid = False,
    figure: Figure = None,
    overwrite: Overwrite = False,
) -> None:
    """Print a two-dimensional map of molecules in the latent space as TSV.

    Columns: smiles, x, y; kind: data, overlay, start or new (trials of a campaign); label, the
    number of a molecule of the overlay or the id of a trial; and the value to color by.

    Args:
        data: Molecules that the map is fitted to: zinc250k, qm9, moses, a folder made by prepare,
            or a file.
        color: A property, or a column of that file.
        overlay: Molecules to show on the map: a file of molecules, or a campaign file.
        method: pca; or umap, which keeps neighbors together and needs the package umap-learn.
    """
    figure = _check_figure(figure, overwrite, space, data, overlay)
    from molvae import analysis
    from molvae.chem.properties import is_property

    loaded = _load(space)
    own = not is_property(color)
    molecules, values = sample_rows(
        data, n, seed, skip_invalid=skip_invalid, column=column, values=color if own else None
    )
    opened: Any = nullcontext(())
    if overlay is not None and is_record(overlay):
        opened = _open(overlay, loaded)
    elif overlay is not None:
        opened = nullcontext(read_smiles(overlay, skip_invalid=skip_invalid, column=column))
    with opened as others:
        found = analysis.project(
            loaded, molecules, values=values if own else None, color=color, overlay=others,
            method=method, seed=seed,
        )  # fmt: skip
    _print(found.table())
    if figure is not None:
        analysis.draw_projection(found, figure, overwrite=overwrite)


def _load(space: str) -> LatentSpace:
    from molvae.latent.loading import load

    return load(space)


def _open(campaign_file: str, space: LatentSpace) -> Campaign:
    from molvae.campaign.campaign import Campaign

    return Campaign.open(campaign_file, space)


def _check_figure(figure: Path | None, overwrite: bool, *inputs: str | None) -> Path | None:
    """Refuse a figure that cannot be written, before anything is done for it."""
    if figure is None:
        return None
    from molvae.analysis.style import check_can_draw

    apart = [file for file in inputs if file is not None]
    return check_can_draw(figure, overwrite=overwrite, apart_from=apart)


def _print(table: pd.DataFrame) -> None:
    print_table(list(table.columns), table.itertuples(index=False, name=None))


def _print_counts(found: Neighborhood) -> None:
    same = "the same" if len(found.given) == 1 else "given molecules"
    for row in found.summary().to_dict("records"):
        alike = row["similarity"]
        rest = "" if math.isnan(alike) else f", mean similarity of the others {alike:.2f}"
        say(
            f"r {row['radius']:g}: {row['decoded']} decoded, {row['same']} {same}, "
            f"{row['no_molecule']} no molecule, {row['distinct']} others, {row['new']} new{rest}"
        )


def _directions(
    space: LatentSpace, names: Sequence[str], data: str | None, n: int, seed: int,
    column: str | None, skip_invalid: bool,
) -> list[LatentDirection]:  # fmt: skip
    """Directions of the space's own heads, or learned from data."""
    from molvae import analysis
    from molvae.chem.properties import get_property, is_property, score

    if data is None:
        if not space.properties:
            raise ConfigError(
                f"{space.name} was trained without property heads; learn the direction from "
                "molecules: --data zinc250k, or a file"
            )
        return [analysis.head_direction(space, name) for name in names]
    found = []
    for name in names:
        own = None if is_property(name) else name
        molecules, values = sample_rows(
            data, n, seed, skip_invalid=skip_invalid, column=column, values=own
        )
        numbers = score(molecules, [name])[:, 0] if own is None else values
        z = space.encode(molecules, skip_unknown=True)
        name = own or get_property(name).name
        found.append(analysis.property_direction(z, numbers, name, seed=seed))
    return found


def _about(direction: LatentDirection) -> str:
    learned = "" if math.isnan(direction.r2) else f"R2 {direction.r2:.2f} (cross-validated), "
    return f"{direction.name}: {learned}{direction.slope:.3g} for each unit of length in z"


def _sum_up(paths: Sequence[AscentPath]) -> None:
    gains = [path.gain for path in paths if not math.isnan(path.gain)]
    expected = sum(path.sign * (path.predicted[-1] - path.predicted[0]) for path in paths)
    distance = sum(path.path.t[-1] for path in paths) / len(paths)
    text = f"predicted {expected / len(paths):+.3g}"
    if gains:
        better = sum(gain > 0 for gain in gains)
        text += f", true {sum(gains) / len(gains):+.3g}, {better} of {len(gains)} better"
    say(f"{paths[0].target}: mean improvement {text}; mean distance {distance:.1f}")
    ends = Counter(path.ended for path in paths)
    outside = sum(path.ood_distance is not None for path in paths)
    started = sum(path.started_outside for path in paths)
    say(
        f"{ends['converged']} converged, {ends['max_steps']} took all steps, {ends['bounded']} "
        f"stopped at the edge of the allowed region; {outside} left the training distribution; "
        f"{started} started outside of the box"
    )
