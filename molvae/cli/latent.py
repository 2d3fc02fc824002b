"""Commands about molecules and latent vectors, properties, and `molvae list`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from molvae.cli.inputs import (
    only_encodable,
    parse_conditions,
    print_skipped,
    read_smiles,
    read_vectors,
)
from molvae.cli.shared_flags import Column, MoleculeFile, SkipInvalid, Space
from molvae.cli.terminal import Count, InFile, Switch, print_table, say
from molvae.config import CampaignConfig, whole_number
from molvae.errors import one_line

if TYPE_CHECKING:
    import pandas as pd


def generate(
    space: Space,
    /,
    *,
    n: Count = 10,
    seed: int = 0,
    noise: float | None = None,
    temperature: float | None = None,
    conditions: str | None = None,
    condition_tolerance: float | None = None,
    oversampling: float = 1.0,
    confidence: Switch = False,
) -> None:
    """Print new molecules that a model generates, one a line.

    Args:
        n: Number of samples.
        seed: Random seed of the samples.
        noise: Share of noise in z, from 0 (the decoder follows z) to 1 (it ignores z); by default
            the value calibrated in training.
        temperature: 0 takes the likeliest token at each step, larger values sample tokens. By
            default the value calibrated in training, else 0.
        conditions: Property values that the molecules should have, e.g. logP=2.5,QED=0.9, for a
            model trained with conditions.
        condition_tolerance: Largest accepted error of a condition, in standard deviations of the
            training molecules; molecules beyond it are sampled again, up to 20 times. By default
            0.25.
        oversampling: Sample this many times n, and keep the n molecules of the largest confidence.
        confidence: Print a table with a column for the confidence: the log-probability per token
            that the decoder wrote, in nats, at most 0.
    """
    wanted = parse_conditions(conditions or "")
    from molvae.latent.loading import load

    drawn, sure = load(space).generate_with_confidence(
        n, seed=seed, noise=noise, temperature=temperature, conditions=wanted,
        condition_tolerance=condition_tolerance, oversampling=oversampling,
    )  # fmt: skip
    rows = [(m, value) for m, value in zip(drawn, sure.tolist(), strict=True) if m is not None]
    molecules = [m for m, _ in rows]
    if confidence:
        print_table(("smiles", "confidence"), rows)
    else:
        print(*molecules, sep="\n", end="\n" * bool(molecules))
    if len(molecules) < n:
        say(f"{n - len(molecules)} of {n} samples decoded to no molecule")


def encode(
    space: Space,
    file: MoleculeFile = "-",
    /,
    *,
    column: Column = None,
    skip_invalid: SkipInvalid = False,
) -> None:
    """Print the latent vectors of molecules as TSV: smiles, z1, z2, ..."""
    from molvae.latent.loading import load

    loaded = load(space)
    molecules = read_smiles(file, skip_invalid=skip_invalid, column=column)
    molecules = only_encodable(loaded, molecules) if skip_invalid else molecules
    rows = ((m, *v) for m, v in zip(molecules, loaded.encode(molecules).tolist(), strict=True))
    print_table(("smiles", *(f"z{i}" for i in range(1, loaded.dim + 1))), rows)


def decode(space: Space, file: InFile = "-", /, *, confidence: Switch = False) -> None:
    """Print the molecules at latent vectors, one a line; an empty line for no molecule.

    Args:
        file: Table with columns z1, z2, ... as encode prints it; standard input by default.
        confidence: Print a table with a column for the confidence, as generate does.
    """
    from molvae.latent.loading import load

    loaded = load(space)
    molecules, sure = loaded.decode_with_confidence(read_vectors(file, loaded))
    texts = [m or "" for m in molecules]
    if confidence:
        print_table(("smiles", "confidence"), zip(texts, sure.tolist(), strict=True))
    else:
        print(*texts, sep="\n")


def density(
    space: Space,
    file: MoleculeFile = "-",
    /,
    *,
    n_samples: int = 64,
    seed: int = 0,
    column: Column = None,
    skip_invalid: SkipInvalid = False,
) -> None:
    """Print how typical molecules are of a model's training distribution, as TSV.

    The columns are smiles, log_prob, outlier_score and percentile. log_prob is a bound on the
    log-probability in nats; outlier_score is minus log_prob per token, larger for less typical
    molecules; percentile is the share of 500 generated molecules whose latent vectors are less
    dense. They are -inf, inf and empty for molecules that the model cannot encode.

    Args:
        n_samples: Latent samples for each molecule; more of them make the bound tighter.
        seed: Seed of the latent samples.
    """
    from molvae.latent.density import typicality
    from molvae.latent.loading import load

    n_samples = whole_number(n_samples, "--n-samples", least=1)
    loaded = load(space)
    molecules = read_smiles(file, skip_invalid=skip_invalid, column=column)
    molecules = only_encodable(loaded, molecules) if skip_invalid else molecules
    columns = (one.tolist() for one in typicality(loaded, molecules, k=n_samples, seed=seed))
    header = ("smiles", "log_prob", "outlier_score", "percentile")
    print_table(header, zip(molecules, *columns, strict=True))


def properties(
    file: InFile = "-",
    /,
    *,
    properties: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = (),
    column: Column = None,
    summary: Switch = False,
    skip_invalid: Switch = False,
    workers: int | None = None,
    space: str = CampaignConfig.space,
) -> None:
    """Print properties of molecules as TSV.

    Args:
        file: Molecules, or the name of a data set; standard input by default.
        properties: Properties, e.g. logP MW typicality rdkit:BertzCT; by default all but typicality
            and RDKit's descriptors.
        summary: Print mean and standard deviation of each property instead.
        skip_invalid: Count texts that are no molecules; their rows have the reason.
        workers: Processes; one per core by default if there are many molecules.
        space: Model, a name or a folder, in which the property typicality is a density percentile.
    """
    from molvae.chem.datasets import read_molecules
    from molvae.chem.properties import properties as compute
    from molvae.objectives.scoring import Typicality

    source, place = read_molecules(file, column)
    texts = [cells[place] for _, cells in source.rows]
    others = [name for name in properties if name.lower() != Typicality.name]
    table = compute(texts, others if properties else None, workers=workers)
    lines = [line for line, _ in source.rows]
    bad = [(line, e) for line, e in zip(lines, table["error"], strict=True) if e]
    if not skip_invalid:
        for line, error in bad:
            source.invalid(line, place, error)
    source.check()
    print_skipped(source, [line for line, _ in bad], len(texts))
    if len(others) < len(properties):
        at = 1 + [name.lower() for name in properties].index(Typicality.name)
        table.insert(at, Typicality.name, _percentiles(table, space))
    table["smiles"] = [
        one_line(smiles) if error else smiles
        for smiles, error in zip(table["smiles"], table["error"], strict=True)
    ]
    if summary:
        numbers = table.drop(columns=["smiles", "error"])
        rows = [(k, int(v.count()), float(v.mean()), float(v.std())) for k, v in numbers.items()]
        print_table(("property", "molecules", "mean", "std"), rows)
    else:
        print_table(list(table.columns), table.itertuples(index=False))


def _percentiles(table: pd.DataFrame, space: str) -> list[float]:
    """Density percentiles of molecules; NaN where there is an error, which is noted, too."""
    import numpy as np

    from molvae.latent.density import density_percentiles
    from molvae.latent.loading import load
    from molvae.objectives.scoring import Typicality

    typicality = Typicality(compute=partial(density_percentiles, load(space)))
    values = typicality(table["smiles"].tolist())
    lost = np.isnan(values) & (table["error"] == "")
    why = f"{typicality.name} cannot be computed: {space} cannot read the molecule"
    table.loc[lost, "error"] = why
    return values


def list_names(
    kind: Literal["objectives", "strategies", "models", "data"] | None = None, /
) -> None:
    """Print objectives, strategies, bundled models and data sets, as TSV.

    Args:
        kind: Kind of names to print; all by default.
    """
    from molvae.bo.strategies.registry import strategy_class
    from molvae.chem.datasets import DATASETS
    from molvae.config import STRATEGIES
    from molvae.latent.loading import list_models
    from molvae.objectives.registry import list_objectives

    rows = [("objective", name, direction, text) for name, direction, text in list_objectives()]
    rows += [("strategy", k, "", strategy_class(k).__doc__.split("\n")[0]) for k in STRATEGIES]
    rows += [("model", name, "", "bundled") for name in list_models()]
    rows += [("dataset", name, "", of.about) for name, of in DATASETS.items()]
    kinds = {"objective": "objectives", "strategy": "strategies", "model": "models"}
    rows = [row for row in rows if kind in (None, kinds.get(row[0], "data"))]
    print_table(("kind", "name", "direction", "description"), rows)
