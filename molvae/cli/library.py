"""Commands for libraries of molecules that can be bought."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cyclopts import App

from molvae.cli.shared_flags import Column, Space
from molvae.cli.terminal import Count, Switch, print_table, say
from molvae.config import CampaignConfig

library = App(
    name="library",
    help="Build and search a library of molecules that can be bought.",
    help_format="markdown",
)


@library.command
def build(
    source: str,
    out: Path,
    /,
    *,
    space: Space = CampaignConfig.space,
    column: Column = None,
    name_column: str | None = None,
    alerts: Switch = False,
    partition_size: int = 25_000,
    workers: int = 1,
    dask: str | None = None,
) -> None:
    """Make a library from a catalog: properties, latent vectors and fingerprints of each molecule.

    One CPU core encodes about 400 molecules a second. If the command is interrupted, the same
    command resumes. Lines that are no molecules, and repeated molecules, are
    listed in rejected.tsv with the reason.

    Args:
        source: zinc250k, qm9, moses, or a file: .smi, .csv, .tsv, also .gz, or .parquet.
        out: The folder to make.
        name_column: Column of the names in the catalog; by default one like Compound ID, or id.
        alerts: Also count structural alerts; takes three times as long.
        partition_size: Lines of the catalog for each partition, which a worker makes in one go.
        workers: Processes.
        dask: Address or scheduler file of a Dask cluster that computes instead.
    """
    from molvae.latent.library_build import build_library

    def report(step: str, n: int) -> None:
        if n < 10 or n % 10 == 0:
            say(f"{step}: {n}")

    made = build_library(
        source, out, space=space, column=column, name_column=name_column, alerts=alerts,
        partition_size=partition_size, workers=workers, dask=dask, on_progress=report,
    )  # fmt: skip
    counts = made.about["counts"]
    say(
        f"{counts['read']} read · {counts['molecules']} molecules · {counts['invalid']} invalid · "
        f"{counts['duplicates']} duplicates · {counts['without_z']} that the model cannot encode"
    )
    if counts["read"] > counts["molecules"]:
        say(f"why not all: {out / 'rejected.tsv'}")
    print(out)


@library.command
def search(
    folder: Path,
    molecule: str,
    /,
    *,
    n: Count = 20,
    by: Literal["z", "tanimoto"] = "z",
) -> None:
    """Print the nearest molecules of a library as TSV, the nearest first.

    Columns: id, the name in the catalog; smiles; distance in z, or Tanimoto similarity (Morgan,
    radius 2, 2,048 bits); logP, MW, SAS, QED; alerts, if the library has them.

    Args:
        folder: A library.
        molecule: SMILES.
        n: Number of molecules.
        by: z, by the distance of latent vectors; or tanimoto.
    """
    from molvae.latent.library import Library

    table = Library.open(folder).nearest(molecule, n, by=by)
    print_table(list(table.columns), table.itertuples(index=False, name=None))
