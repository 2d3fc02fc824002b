"""The property table: do generated molecules have the properties of the data?

For ZINC250k and QM9: the data, a genetic algorithm, the bundled VAE in three protocols, and a plain
language model of the same size on the same symbols. Molecules that had to be mended are drawn again
in the rows `drawn` and `language-model`. Every draw is made with several seeds, and
everything is measured on all that was drawn: validity of it, uniqueness of the valid, the share of
the distinct that the whole data set holds, properties of the valid with their repeats, and the
Frechet ChemNet Distance of the valid to the test split.

    prior       z of the learned prior, written greedily: `space.decode(space.sample(n))`
    drawn       as the generative model makes them: `space.generate(n)`
    perturbed   random training molecules, encoded, moved by `RADIUS` times the standard deviation
                of the encodings, unit by unit, times N(0, I), and written greedily

The published numbers are in `property_report`, where tables and figures are made.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import molvae
from benchmarks import language_model
from benchmarks.property_measures import Clock, histogram, plain, statistics, summary
from benchmarks.property_report import NAMES, figures, readme_table
from benchmarks.property_sources import (
    POPULATION,
    Drawn,
    genetic,
    perturbed,
    some,
    written,
)
from molvae.chem.properties import score
from molvae.chem.sets import (
    ChemNetStatistics,
    chemnet_statistics,
    frechet_chemnet_distance,
    novelty,
    uniqueness,
    validity,
)
from molvae.config import TrainConfig
from molvae.datasets import SPLITS, load_split, prepare, sample_molecules
from molvae.errors import ConfigError, DataError, MissingPackageError
from molvae.latent import LatentSpace
from molvae.tokens import Tokens, tokenise

RADIUS = 0.3
"""How far perturbed encodings are moved, in standard deviations of the encodings."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes and places of a run."""

    data: tuple[str, ...] = ("zinc250k", "qm9")
    """Names of prepared data sets."""
    n: int = 10_000
    """Molecules a draw."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the draws: one each."""
    fcd_draws: int = 1
    """For so many of them the Frechet ChemNet Distance is computed, which takes longest."""
    ga: Mapping[str, int] = field(default_factory=lambda: {"zinc250k": 5_303, "qm9": 5_470})
    """Distinct molecules from the genetic algorithm: as many as were published."""
    lm_molecules: int = 500_000
    """What the language model sees in training, repeats included."""
    spaces: Mapping[str, str] = field(default_factory=dict)
    """Run of a data set, a bundled name or a folder; by default the bundled one of its name."""
    prepared: str = "data"
    """Where the prepared data sets are."""
    runs: str = "runs"
    """Where trained language models are kept."""


SMOKE = Settings(data=("zinc250k",), n=40, seeds=(0, 1), ga={"zinc250k": 20}, lm_molecules=2_000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this benchmark can be told."""
    whole = Settings()
    parser.add_argument("--data", nargs="+", choices=whole.data, help="only these data sets")
    parser.add_argument("--n", type=int, help=f"molecules a draw (default: {whole.n})")
    parser.add_argument(
        "--lm-molecules", type=int, help=f"for the language model (default: {whole.lm_molecules})"
    )
    parser.add_argument(
        "--space",
        action="append",
        dest="spaces",
        metavar="DATA=RUN",
        help="the run of a data set (default: the bundled one of its name)",
    )


def run(
    *,
    smoke: bool,
    jobs: int,
    data: Sequence[str] | None = None,
    n: int | None = None,
    lm_molecules: int | None = None,
    spaces: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The table, with the settings of the command line."""
    pairs = [text.partition("=") for text in spaces or ()]
    if any(not (name and place) for name, _, place in pairs):
        raise ConfigError(f"--space takes DATA=RUN, e.g. zinc250k=runs/mine; got {spaces}")
    given = {"data": tuple(data) if data else None, "n": n, "lm_molecules": lm_molecules}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    changes["spaces"] = {name: place for name, _, place in pairs}
    if not smoke:
        return table(replace(Settings(), **changes), jobs=jobs)
    return smoke_table(replace(SMOKE, **changes), molecules=400, jobs=jobs)


def smoke_table(settings: Settings, *, molecules: int, jobs: int) -> dict[str, Any]:
    """The table of a few molecules of ZINC250k, with nothing left behind."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "few.smi"
        file.write_text("\n".join(sample_molecules("zinc250k", molecules, seed=0)), "utf-8")
        prepare(file, Path(folder) / "zinc250k", workers=1)
        return table(replace(settings, prepared=folder, runs=folder), jobs=jobs)


def table(settings: Settings, *, jobs: int) -> dict[str, Any]:
    """Draw from every source and measure.

    Args:
        settings: What and how much.
        jobs: Processes that score, and threads of the networks.

    Returns:
        `settings`, `models` (of each data set: space and language model), `rows` (one for each data
        set and source), `seconds` (by stage) and `notes` (what could not be measured, and why).

    Raises:
        DataError: A data set is not prepared.
        UnknownNameError: There is no run for a data set.
    """
    for name in settings.data:
        if not (Path(settings.prepared) / name / "prepare.json").is_file():
            raise DataError(
                f"{settings.prepared}/{name} is missing; make it with `molvae prepare {name} "
                f"{settings.prepared}/{name}`"
            )
    spaces = {name: molvae.load(settings.spaces.get(name, name)) for name in settings.data}
    torch.set_num_threads(jobs)
    clock = Clock()
    rows: list[dict[str, Any]] = []
    models, notes = {}, set()
    for name, space in spaces.items():
        bench = Bench(name, space, settings, jobs, clock)
        rows += bench.rows()
        models[name] = bench.models
        notes |= {bench.note} - {""}
    about = asdict(settings) | {"radius": RADIUS, "population": POPULATION, "threads": jobs}
    del about["prepared"], about["runs"]
    return {
        "settings": about,
        "models": models,
        "rows": rows,
        "seconds": {stage: round(seconds) for stage, seconds in clock.seconds.items()},
        "notes": sorted(notes),
    }


class Bench:
    """One data set: its molecules, its models, and how draws of them are measured."""

    def __init__(
        self, name: str, space: LatentSpace, settings: Settings, jobs: int, clock: Clock
    ) -> None:
        self.name, self.space, self.settings = name, space, settings
        self.jobs, self.clock, self.note = jobs, clock, ""
        folder = Path(settings.prepared) / name
        self.splits = {split: load_split(folder, split) for split in SPLITS}
        self.whole = [smiles for part in self.splits.values() for smiles in part]
        self.models: dict[str, Any] = {}
        self.test: ChemNetStatistics | None = None
        with clock("fcd", f"{name}, test split"):
            try:
                self.test = chemnet_statistics(self.splits["test"], workers=jobs)
            except MissingPackageError as error:
                self.note = str(error)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each source; the first is the data set, to which the others are compared."""
        n, space, train = self.settings.n, self.space, self.splits["train"]
        lm, tokens = self._language_model()
        sources: dict[str, Callable[[int], Drawn]] = {
            "train": lambda seed: list(some(train, n, seed)),
            "ga": lambda seed: genetic(self.whole, self.settings.ga[self.name], seed),
            "prior": lambda seed: space.decode(space.sample(n, seed=seed)),
            "drawn": lambda seed: space.generate(n, seed=seed),
            "perturbed": lambda seed: perturbed(space, train, n, seed, RADIUS),
            "language-model": lambda seed: written(lm, tokens, n, seed),
        }
        with self.clock("score", f"{self.name}, data"):
            values = score(self.whole, NAMES, workers=self.jobs)
        # `prepare` drops what is no molecule and what comes twice.
        whole = {"n": len(self.whole), "valid": 1.0, "unique": 1.0, "in_data": 1.0, "fcd": None}
        data = whole | statistics(values)
        row = {"data": self.name, "source": "data", "draws": [data], "histogram": histogram(values)}
        rows = [row | summary([data], data)]
        for source, draw in sources.items():
            rows.append(self._row(source, draw, data))
        # The distance of finite samples is above 0: the training molecules show by how much.
        floor = rows[1]["fcd"]["mean"]
        for row in rows[1:]:
            row["fcd_floor"] = floor
        if self.test is not None:
            rows[2]["fcd_floor"] = self._floor(self.settings.ga[self.name])
        return rows

    def _row(
        self, source: str, draw: Callable[[int], Drawn], data: dict[str, Any]
    ) -> dict[str, Any]:
        draws, every = [], []
        for number, seed in enumerate(self.settings.seeds):
            said = f"{self.name}, seed {seed}"
            with self.clock(f"draw: {source}", said):
                drawn = draw(seed)
            with self.clock("score", said):
                values = score([s for s in drawn if s is not None], NAMES, workers=self.jobs)
                lacks = novelty(drawn, self.whole, assume_canonical=True, workers=self.jobs)
                measured: dict[str, Any] = {
                    "seed": seed,
                    "n": len(drawn),
                    "valid": plain(validity(drawn, workers=self.jobs)),
                    "unique": plain(uniqueness(drawn, workers=self.jobs)),
                    "in_data": plain(1 - lacks),
                } | statistics(values)
            with self.clock("fcd", said):
                wanted = number < self.settings.fcd_draws
                draws.append(measured | {"fcd": self._fcd(drawn) if wanted else None})
            every.append(values)
        counts = histogram(np.concatenate(every))
        row = {"data": self.name, "source": source, "draws": draws, "histogram": counts}
        return row | summary(draws, data)

    def _fcd(self, drawn: Sequence[str | None]) -> float | None:
        if self.test is None:
            return None
        return plain(frechet_chemnet_distance(drawn, self.test, workers=self.jobs))

    def _floor(self, n: int) -> float | None:
        with self.clock("fcd", f"{self.name}, floor of {n}"):
            return self._fcd(some(self.splits["train"], n, self.settings.seeds[0]))

    def _language_model(self) -> tuple[language_model.LanguageModel, Tokens]:
        card = self.space.card
        weights = sum(p.numel() for p in self.space.model.parameters())
        with self.clock("language model", self.name):
            tokens = tokenise(
                Path(self.settings.prepared) / self.name,
                str(card.representation["name"]),
                len(card.merges),
                workers=self.jobs,
            )
            folder = Path(self.settings.runs) / f"language-model-{self.name}"
            config = TrainConfig(
                data="", out=str(folder), molecules=self.settings.lm_molecules, device="cpu"
            )
            lm = language_model.fitted(tokens, weights, config)
            held_out = language_model.nll(lm, tokens.valid)
        self.models = {
            "space": {
                "name": self.space.name,
                "fingerprint": self.space.fingerprint,
                "weights": weights,
                "latent_dim": self.space.dim,
            },
            "language_model": {
                "weights": sum(p.numel() for p in lm.parameters()),
                "width": lm.width,
                "molecules": config.molecules,
                "seed": config.seed,
                "nll_nats": round(held_out, 3),
                "nll_of": f"{len(tokens.valid)} molecules of the validation split",
            },
        }
        return lm, tokens


__all__ = ["SMOKE", "Settings", "add_arguments", "figures", "readme_table", "run", "table"]
