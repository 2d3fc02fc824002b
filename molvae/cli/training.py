"""Commands that make models and measure them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from molvae._files import Kind, check_output, replacing
from molvae._version import versions
from molvae.cli.inputs import held_out
from molvae.cli.terminal import (
    Count,
    Flat,
    InFile,
    Switch,
    finite,
    flags,
    given,
    layers,
    print_json,
    print_tsv,
    progress,
    say,
)
from molvae.config import PrepareConfig, TrainConfig, build
from molvae.errors import DataError

if TYPE_CHECKING:
    from molvae.config import PrepareConfig as PrepareFlags
    from molvae.config import TrainConfig as TrainFlags
else:
    PrepareFlags, TrainFlags = map(flags, (PrepareConfig, TrainConfig))

MEASURES = Kind(name="a file of measures", stamp="measures", error=DataError)
"""JSON that evaluate writes."""


def prepare(
    source: InFile,
    out: Path,
    /,
    *,
    settings: Annotated[PrepareFlags | None, Flat] = None,
    workers: int | None = None,
    overwrite: Switch = False,
) -> None:
    """Clean a data set and split it into training, validation and test molecules.

    Args:
        source: zinc250k, qm9, moses, or a file: .smi, .csv, .tsv, .xlsx, .sdf, .parquet, also .gz.
        out: The folder to make.
        settings: What is kept.
        workers: Processes; one per core by default.
        overwrite: Replace the folder.
    """
    from molvae.chem import prepare as preparation

    config = build(PrepareConfig, given(settings))
    report = preparation.prepare(source, out, config=config, workers=workers, overwrite=overwrite)
    say(str(report))
    print(out)


def train(
    recipe: Path | None = None,
    /,
    *,
    settings: Annotated[TrainFlags | None, Flat] = None,
    resume: Switch = False,
    overwrite: Switch = False,
) -> None:
    """Train a sequence VAE and write its run folder.

    Args:
        recipe: A TOML file, e.g. pipelines/zinc250k.toml; flags win over it.
        settings: Those of the recipe.
        resume: Go on with a training that was interrupted.
        overwrite: Replace a run that is already there.
    """
    config = build(TrainConfig, layers(recipe, settings), str(recipe or "flags"))
    from molvae.latent.train import train

    with progress(config.molecules) as advance:
        folder = train(
            config,
            resume=resume,
            overwrite=overwrite,
            on_progress=lambda p: advance(
                p.molecules,
                f"reconstruction {p.reconstruction:.2f} nats  KL {p.kl:.2f} nats  "
                f"{p.rate:.0f} molecules/s  {p.eta / 60:.0f} min to go",
            ),
        )
    print(folder)


def evaluate(
    space: str,
    /,
    *,
    data: InFile = "zinc250k",
    n: Count = 1000,
    samples: int = 10_000,
    draws: int = 500,
    fcd: bool = True,
    seed: int = 0,
    json: Switch = False,
    out: Path | None = None,
    figure: Path | None = None,
    overwrite: Switch = False,
    skip_invalid: Switch = False,
) -> None:
    """Measure a run on molecules that it was not trained on, and on what it generates.

    Args:
        space: A bundled run or a run folder.
        data: A folder made by prepare, or a data set: its test molecules are taken, and novelty is
            against its training molecules. Or a file of molecules, all of which count as test.
        n: Molecules to measure on, drawn at random; all if there are fewer.
        samples: Molecules to generate in each of three ways; 0 for none.
        draws: Molecules on which many draws each are made, for the stochastic measures.
        fcd: Compute the Frechet ChemNet distance, which takes longest; needs the package fcd.
        seed: Of all draws.
        json: Print JSON instead of a table.
        out: Write the measures to this file too, as JSON with seed and versions.
        figure: Draw smoothness and properties to this file, SVG or PNG.
        overwrite: Replace measures and a figure that are there.
        skip_invalid: Leave out and count invalid molecules.
    """
    from json import dumps

    from molvae.analysis import model_metrics as metrics
    from molvae.analysis.model_figures import draw_measures
    from molvae.analysis.style import check_can_draw
    from molvae.latent import loading as latent

    inputs = [space, data]
    if out is not None:
        out = check_output(out, MEASURES, overwrite=overwrite, apart_from=inputs)
        inputs.append(str(out))
    if figure is not None:
        figure = check_can_draw(figure, overwrite=overwrite, apart_from=inputs)
    test, training = held_out(data, n, seed, skip_invalid)
    loaded = latent.load(space)
    found = metrics.evaluate(
        loaded, test, n_samples=samples, n_draws=draws, seed=seed, training=training, fcd=fcd
    )
    if json:
        print_json(found)
    else:
        print_tsv(("measure", "value"), found.items())
    if out is not None:
        about = {"fingerprint": loaded.fingerprint, "versions": versions()}
        arguments = {"run": space, "data": data, "samples": samples, "draws": draws, "seed": seed}
        content = {"about": about | arguments, "result": finite(found)}
        with replacing(out, MEASURES, overwrite=overwrite) as draft:
            draft.write_text(dumps(content, indent=1) + "\n", encoding="utf-8")
    if figure is not None:
        draw_measures(found, figure, overwrite=overwrite)


__all__ = ["evaluate", "prepare", "train"]
