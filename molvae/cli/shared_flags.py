"""Arguments that several commands have, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from molvae.cli.terminal import InFile, Switch
from molvae.config import DEFAULT_PROPERTIES

Space = Annotated[str, Parameter(help="A bundled model or a model folder.")]
CampaignFile = Annotated[Path, Parameter(help="Campaign file (SQLite).")]
MoleculeFile = Annotated[InFile, Parameter(help="Molecules; standard input by default.")]
Radii = Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative="")]
Properties = Annotated[
    tuple[str, ...],
    Parameter(
        help="Properties to print.", consume_multiple=True, negative="",
        show_default=" ".join(DEFAULT_PROPERTIES),
    ),
]  # fmt: skip
Figure = Annotated[
    Path | None, Parameter(help="Draw the result to this file: SVG, PNG or PDF, by its ending.")
]
Verbose = Annotated[Switch, Parameter(name=["--verbose", "-v"])]
Overwrite = Annotated[Switch, Parameter(help="Replace the figure.")]
Seed = Annotated[int, Parameter(help="Seed of all random choices.")]
Directions = Annotated[
    int, Parameter(name=["--n", "-n"], help="Random directions, the same ones at each radius.")
]
Data = Annotated[
    InFile | None,
    Parameter(
        help="Learn directions from these molecules by ridge regression: zinc250k, qm9, moses, a "
        "folder made by prepare, or a file."
    ),
]
Molecules = Annotated[
    int, Parameter(name=["--n", "-n"], help="Maximum number of molecules, chosen at random.")
]
Column = Annotated[
    str | None, Parameter(help="Column of the molecules in a table; smiles by default.")
]
SkipInvalid = Annotated[
    Switch, Parameter(help="Skip and count invalid molecules, and those that cannot be encoded.")
]
