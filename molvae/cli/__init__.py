"""The command line: parse, call one function, print.

Data go to standard output, all else to standard error. Heavy modules are imported by the commands.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, Parameter

from molvae._version import __version__
from molvae.cli.campaigns import ask, optimize
from molvae.cli.explore import explore, interpolate, neighbors
from molvae.cli.latent import decode, density, encode, generate, list_names, properties
from molvae.cli.library import library
from molvae.cli.measurements import add, retry, tell
from molvae.cli.results import compare, copy, export, report, ui
from molvae.cli.terminal import check_numbers, no_standard_input, run
from molvae.cli.training import evaluate, prepare, train, tune

app = App(
    name="molvae",
    help="Optimize molecules in a learned, continuous space.",
    help_epilogue="Data on standard output, all else on standard error; - reads standard input. "
    "Tables are TSV in a pipe and with --tsv. Exit 0; 1 for an error (--debug shows where); 2 for "
    "wrong usage.",
    help_format="markdown",
    version=__version__,
    default_parameter=Parameter(validator=no_standard_input),
    config=check_numbers,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for command in (
    prepare, train, tune, evaluate, generate, encode, decode, properties, optimize, ask, tell,
    add, retry, export, report, compare, copy, ui, explore, library,
):  # fmt: skip
    app.command(command)
explore.command(density)
# As they were called before they stood under `explore`.
app.command(interpolate, name="interpolate", show=False)
app.command(neighbors, name="neighbours", show=False)
app.command(density, name="density", show=False)
app.command(generate, name="sample", show=False)
app.command(list_names, name="list")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, that of the process by default; see `molvae.cli.terminal.run`."""
    interrupted = {
        "optimize": "all values are in the campaign file, and the same command goes on from there",
        "library": "what is done stays, and the same command goes on from there",
    }
    return run(app, sys.argv[1:] if argv is None else argv, interrupted=interrupted)


__all__ = ["app", "main"]
