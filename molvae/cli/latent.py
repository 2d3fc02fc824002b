"""Commands that take molecules through a model, and that print what there is."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from molvae.cli.inputs import parse_conditions, print_skipped, read_smiles, read_vectors
from molvae.cli.terminal import Count, InFile, Switch, print_tsv, say
from molvae.errors import one_line


def sample(
    space: str,
    /,
    *,
    n: Count = 10,
    seed: int = 0,
    noise: float | None = None,
    temperature: float | None = None,
    where: str | None = None,
    tolerance: float | None = None,
) -> None:
    """Print molecules that a run generates, one a line.

    Args:
        space: A bundled run or a run folder.
        n: Draws.
        seed: Of the draws.
        noise: In z, from 0, which writes what z says, to 1, which ignores it; by default what
            came nearest to the data when the run was trained.
        temperature: 0 writes the likeliest symbols; above 0, symbols are drawn. By default what was
            found with the noise, and 0 where there is none.
        where: Conditions that the molecules are to have, for a run that was trained with some, in
            their own units: logP=2.5,QED=0.9.
        tolerance: What, as the encoder reads it, is expected to miss these conditions by more than
            so many standard deviations of the training molecules is drawn again, up to 20 times;
            0.25 by default.
    """
    wanted = parse_conditions(where or "")
    from molvae.latent.loading import load

    drawn = load(space).generate(
        n,
        seed=seed,
        noise=noise,
        temperature=temperature,
        conditions=wanted,
        condition_tolerance=tolerance,
    )
    molecules = [m for m in drawn if m is not None]
    print(*molecules, sep="\n", end="\n" * bool(molecules))
    if len(molecules) < n:
        say(f"{n - len(molecules)} of {n} draws decoded to no molecule")


def encode(
    space: str, file: InFile = "-", /, *, column: str | None = None, skip_invalid: Switch = False
) -> None:
    """Print the latent vectors of molecules as TSV: smiles, z1, z2, ...

    Args:
        space: A bundled run or a run folder.
        file: Molecules; standard input by default.
        column: Of a CSV or TSV file; smiles by default.
        skip_invalid: Leave out and count texts that are no molecules, and molecules that the run
            cannot read.
    """
    from molvae.latent.loading import load

    loaded = load(space)
    molecules = read_smiles(file, skip_invalid=skip_invalid, column=column)
    z = loaded.encode(molecules, skip_unknown=skip_invalid).tolist()
    rows = ((m, *v) for m, v in zip(molecules, z, strict=True) if v[0] == v[0])  # NaN: skipped
    print_tsv(("smiles", *(f"z{i}" for i in range(1, loaded.dim + 1))), rows)


def decode(space: str, file: InFile = "-", /) -> None:
    """Print the molecules at latent vectors, one a line; an empty line where there is none.

    Args:
        space: A bundled run or a run folder.
        file: TSV with columns z1, z2, ... as encode prints it; standard input by default.
    """
    from molvae.latent.loading import load

    loaded = load(space)
    print(*(m or "" for m in loaded.decode(read_vectors(file, loaded.dim))), sep="\n")


def density(
    space: str,
    file: InFile = "-",
    /,
    *,
    k: int = 64,
    seed: int = 0,
    column: str | None = None,
    skip_invalid: Switch = False,
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
    from molvae.latent.density import typicality
    from molvae.latent.loading import load

    loaded = load(space)
    molecules = read_smiles(file, skip_invalid=skip_invalid, column=column)
    if skip_invalid:
        kept = [m for m, ok in zip(molecules, loaded.can_encode(molecules), strict=True) if ok]
        if len(kept) < len(molecules):
            left_out = len(molecules) - len(kept)
            say(f"{left_out} of {len(molecules)} skipped: {space} cannot read them")
        molecules = kept
    columns = (column_.tolist() for column_ in typicality(loaded, molecules, k=k, seed=seed))
    header = ("smiles", "log_prob", "outlier_score", "percentile")
    print_tsv(header, zip(molecules, *columns, strict=True))


def properties(
    file: InFile = "-",
    /,
    *,
    names: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    column: str | None = None,
    summary: Switch = False,
    skip_invalid: Switch = False,
    workers: int | None = None,
) -> None:
    """Print properties of molecules as TSV.

    Args:
        file: Molecules, or the name of a data set; standard input by default.
        names: Which properties; all by default.
        column: Of a CSV or TSV file; smiles by default.
        summary: Print mean and standard deviation of each property instead.
        skip_invalid: Keep rows of texts that are no molecules, without values and with the reason,
            and count them.
        workers: Processes; one per core by default if there are many molecules.
    """
    from molvae.chem.datasets import read_molecules
    from molvae.chem.properties import properties

    source, place = read_molecules(file, column)
    texts = [cells[place] for _, cells in source.rows]
    table = properties(texts, names or None, workers=workers)
    lines = [line for line, _ in source.rows]
    bad = [(line, e) for line, e in zip(lines, table["error"], strict=True) if e]
    if not skip_invalid:
        for line, error in bad:
            source.invalid(line, error)
    source.problems.check()
    print_skipped(source, [line for line, _ in bad], len(texts))
    table["smiles"] = [
        one_line(smiles) if error else smiles
        for smiles, error in zip(table["smiles"], table["error"], strict=True)
    ]
    if summary:
        numbers = table.drop(columns=["smiles", "error"])
        rows = [(k, int(v.count()), float(v.mean()), float(v.std())) for k, v in numbers.items()]
        print_tsv(("property", "molecules", "mean", "sd"), rows)
    else:
        print_tsv(list(table.columns), table.itertuples(index=False))


def list_names() -> None:
    """Print what goes by a name, as TSV: objectives, strategies, bundled runs, data sets."""
    from molvae.bo.strategies.registry import STRATEGIES
    from molvae.chem.datasets import DATASETS
    from molvae.latent.loading import list_models
    from molvae.objectives.registry import list_objectives

    rows = [("objective", name, direction, text) for name, direction, text in list_objectives()]
    rows += [("strategy", k, "", (v.__doc__ or "").split("\n")[0]) for k, v in STRATEGIES.items()]
    rows += [("run", name, "", "bundled") for name in list_models()]
    rows += [("dataset", name, "", of.about) for name, of in DATASETS.items()]
    print_tsv(("kind", "name", "direction", "description"), rows)


__all__ = ["decode", "density", "encode", "list_names", "properties", "sample"]
