"""Arguments that several of the explore commands have, and their old names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from molvae.cli.terminal import InFile, Switch
from molvae.config import DEFAULT_PROPERTIES

Space = Annotated[str, Parameter(help="A bundled model or a model folder.")]
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
    str | None, Parameter(help="Column of the molecules in CSV or TSV files; smiles by default.")
]
SkipInvalid = Annotated[
    Switch, Parameter(help="Skip and count invalid molecules, and those that cannot be encoded.")
]

FLAG_ALIASES = {
    "--names": "--properties",
    "--place": "--overlay",
    "--colour": "--color",
    "--keep": "--min-percentile",
    "--k": "--n-samples",
}
"""Old names of flags of these commands, still read."""
VALUE_ALIASES = {"straight": "linear", "spherical": "slerp"}
"""Old names of kinds of interpolation, still read."""
NAMES = ("explore", "interpolate", "neighbors", "neighbours", "density")
"""First words of these commands, those of earlier versions included."""


def current_words(words: Sequence[str]) -> list[str]:
    """A command line without old names of the flags of these commands.

    >>> current_words(["explore", "map", "qm9", "--colour=QED"])
    ['explore', 'map', 'qm9', '--color=QED']
    """
    if not words or words[0] not in NAMES:
        return list(words)
    found = []
    for before, word in zip(["", *words], words, strict=False):
        flag, equals, value = word.partition("=")
        if flag == "--kind" or before == "--kind":
            value, flag = VALUE_ALIASES.get(value, value), VALUE_ALIASES.get(flag, flag)
        found.append(FLAG_ALIASES.get(flag, flag) + equals + value)
    return found


__all__ = ["current_words"]
