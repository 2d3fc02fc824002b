"""The command that tells how usual molecules are."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from molvae.inputs import molecules_of
from molvae.terminal import InFile, print_tsv, say


def density(
    space: str,
    file: InFile = "-",
    /,
    *,
    k: int = 64,
    seed: int = 0,
    column: str | None = None,
    skip_invalid: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Print how usual molecules are to a run, as TSV: smiles, log_prob, outlier_score, percentile.

    log_prob is a bound on the log-probability in nats; outlier_score the same per symbol, with the
    other sign: the larger, the stranger. percentile is the share of 500 molecules of the run's own
    making whose vectors are less dense than this one's. Of a molecule that the run cannot read they
    are -inf, inf and nothing.

    Args:
        space: A bundled run or a run folder.
        file: Molecules; standard input by default.
        k: Draws of a latent vector for each molecule; more of them make the bound tighter.
        seed: Of the draws.
        column: Of a CSV or TSV file; smiles by default.
        skip_invalid: Leave out and count texts that are no molecules, and molecules that the run
            cannot read.
    """
    from molvae.density import describe
    from molvae.latent import load

    loaded = load(space)
    molecules = molecules_of(file, skip_invalid=skip_invalid, column=column)
    if skip_invalid:
        kept = [m for m, ok in zip(molecules, loaded.readable(molecules), strict=True) if ok]
        if len(kept) < len(molecules):
            left_out = len(molecules) - len(kept)
            say(f"{left_out} of {len(molecules)} skipped: {space} cannot read them")
        molecules = kept
    columns = (column_.tolist() for column_ in describe(loaded, molecules, k=k, seed=seed))
    header = ("smiles", "log_prob", "outlier_score", "percentile")
    print_tsv(header, zip(molecules, *columns, strict=True))


__all__ = ["density"]
