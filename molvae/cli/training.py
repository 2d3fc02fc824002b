"""Commands that make models and measure them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from molvae._files import Kind, check_output, replacing
from molvae._version import versions
from molvae.cli.inputs import only_encodable, read_smiles, test_split
from molvae.cli.shared_flags import Column, SkipInvalid, Space
from molvae.cli.terminal import (
    Count,
    Flat,
    InFile,
    Switch,
    finite,
    flags,
    given,
    layers,
    print_table,
    progress,
    say,
)
from molvae.config import PrepareConfig, build, whole_number
from molvae.errors import DataError
from molvae.model.config import TrainConfig

if TYPE_CHECKING:
    from molvae.config import PrepareConfig as PrepareFlags
    from molvae.model.config import TrainConfig as TrainFlags
    from molvae.model.progress import Progress
else:
    PrepareFlags, TrainFlags = map(flags, (PrepareConfig, TrainConfig))

MEASURES = Kind(name="a file of measures", stamp="measures", error=DataError)
MIN_SERIES, MAX_SERIES = 10, 10_000  # distinct molecules that `tune` takes


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
    config: Path | None = None,
    /,
    *,
    settings: Annotated[TrainFlags | None, Flat] = None,
    resume: Switch = False,
    overwrite: Switch = False,
) -> None:
    """Train a sequence VAE and write its model folder.

    Args:
        config: A TOML file with the settings, e.g. pipelines/zinc250k.toml; flags win over it.
        settings: Those of the file.
        resume: Resume a training that was interrupted.
        overwrite: Replace the model that is in the folder.
    """
    configured = build(TrainConfig, layers(TrainConfig, config, settings), str(config or "flags"))
    from molvae.latent.train import train
    from molvae.model.checkpoint import RESUME

    def report(p: Progress) -> None:
        advance(
            p.molecules,
            f"reconstruction {p.reconstruction:.2f} nats  KL {p.kl:.2f} nats  "
            f"{p.rate:.0f} molecules/s  {p.eta / 60:.0f} min to go",
        )

    try:
        with progress(configured.n_molecules) as advance:
            folder = train(configured, resume=resume, overwrite=overwrite, on_progress=report)
    except KeyboardInterrupt as error:
        if (Path(configured.out) / RESUME).exists():
            error.add_note("the same command with --resume continues from the saved state")
        raise
    print(folder)


def tune(
    space: Space,
    file: InFile = "-",
    /,
    *,
    out: Path,
    seed: int = 0,
    column: Column = None,
    skip_invalid: SkipInvalid = False,
    overwrite: Switch = False,
) -> None:
    """Fine-tune the decoder of a model on a series of molecules and write a new model folder.

    Vectors keep their meaning. The reconstruction of molecules held out from the series, before
    and after, is printed and recorded in the folder.

    Args:
        file: Molecules, best 30 to 300; standard input by default.
        out: The model folder to write, which every command accepts.
        seed: Random seed.
        overwrite: Replace the model that is in the folder.
    """
    from molvae.chem.text_files import name_of
    from molvae.latent.loading import load
    from molvae.latent.tuning import tune_and_measure
    from molvae.model.checkpoint import MODEL

    check_output(out, MODEL, overwrite=overwrite, apart_from=[space, file])
    loaded = load(space)
    series = list(dict.fromkeys(read_smiles(file, skip_invalid=skip_invalid, column=column)))
    if len(series) > MAX_SERIES:
        raise DataError(
            f"{name_of(file)} holds {len(series)} distinct molecules; fine-tuning is for series of "
            f"up to {MAX_SERIES}: prepare them, and go on with molvae train --from {space}"
        )
    if skip_invalid:
        series = only_encodable(loaded, series)
    else:
        loaded.encode(series)  # names what it cannot encode, before any work
    if len(series) < MIN_SERIES:
        raise DataError(
            f"{name_of(file)} holds {len(series)} distinct molecules that {space} can encode; "
            f"fine-tuning needs at least {MIN_SERIES}, better 30 or more"
        )
    new, report = tune_and_measure(loaded, series, seed=seed)
    new.save(out, overwrite=overwrite)
    say(str(report))
    print(out)


def evaluate(
    space: Space,
    /,
    *,
    data: InFile = "zinc250k",
    n: Count = 1000,
    samples: int = 10_000,
    posteriors: int = 500,
    fcd: bool = True,
    seed: int = 0,
    json: Switch = False,
    out: Path | None = None,
    figure: Path | None = None,
    overwrite: Switch = False,
    skip_invalid: Switch = False,
) -> None:
    """Measure a model on test molecules and on the molecules that it generates.

    Args:
        data: A folder made by prepare, or a data set: its test molecules are used, and novelty is
            relative to its training molecules. Or a file of molecules, all of which are used.
        n: Test molecules to measure on, a random choice; all if there are fewer.
        samples: Molecules to generate in each of four ways; 0 for none.
        posteriors: Test molecules from whose posteriors many samples are decoded each.
        fcd: Compute the Frechet ChemNet distance, which takes longest; needs the package fcd.
        seed: Random seed.
        json: Print JSON instead of a table.
        out: Also write the measures to this file, as JSON with seed and versions.
        figure: Plot smoothness and properties to this file, SVG, PNG or PDF.
        overwrite: Replace existing files of measures and figures.
        skip_invalid: Leave out and count invalid molecules.
    """
    from json import dumps

    from molvae.analysis import model_metrics as metrics
    from molvae.analysis.model_figures import draw_measures
    from molvae.analysis.style import check_can_draw
    from molvae.latent import loading as latent

    posteriors = whole_number(posteriors, "--posteriors", least=1)
    inputs = [space, data]
    if out is not None:
        out = check_output(out, MEASURES, overwrite=overwrite, apart_from=inputs)
        inputs.append(str(out))
    if figure is not None:
        figure = check_can_draw(figure, overwrite=overwrite, apart_from=inputs)
    test, training = test_split(data, n, seed, skip_invalid)
    loaded = latent.load(space)
    found = metrics.evaluate(
        loaded,
        test,
        n_samples=samples,
        n_posteriors=posteriors,
        seed=seed,
        training=training,
        fcd=fcd,
    )
    if json:
        print(dumps(finite(found), indent=2))
    else:
        print_table(("measure", "value"), found.items())
    if out is not None:
        arguments = {"samples": samples, "posteriors": posteriors, "seed": seed}
        about = {"fingerprint": loaded.fingerprint, "versions": versions(), "space": space}
        content = {"about": about | {"data": data} | arguments, "result": finite(found)}
        with replacing(out, MEASURES, overwrite=overwrite) as draft:
            draft.write_text(dumps(content, indent=1) + "\n", encoding="utf-8")
    if figure is not None:
        draw_measures(found, figure, overwrite=overwrite)
