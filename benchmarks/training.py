"""How fast does a model learn to give molecules back, beside VAEs of other packages?

Every model is trained from nothing on the training molecules of ZINC250k for so many minutes, which
count from the first step to the last, with the settings that come with it: those of the first stage
of `druglike`, of the recipe `zinc250k`, and the defaults of the VAEs of `molgen` (a transformer)
and of `molsets` (MOSES). Of other packages the network and the loop are used as they are; the loop
is ended after a batch when the time is over.

Reconstructed are test molecules that come back exactly, written greedily at the mean of their
encoding. Samples are those that a package itself makes: `generate` here, with the noise and
temperature of the bundled model, which the end of a whole training chooses; greedily at vectors
from N(0, I) for `molgen`, token by token for `molsets`. FCD is their Fréchet ChemNet Distance to
the test split. The other packages are installed by `pip install --no-deps molgen molsets`.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch

import molvae
from benchmarks.shared import plots
from benchmarks.shared.model_measures import Reference, of_molecules, reference_of
from benchmarks.shared.molecules import prepared, some
from benchmarks.shared.recipes import trained_at
from benchmarks.shared.run import ROOT, each, plainly
from benchmarks.shared.tables import at, columns
from molvae.analysis.set_metrics import chemnet_statistics
from molvae.chem.molecules import canonical_or_none
from molvae.chem.prepare import load_split
from molvae.config import build, read_toml
from molvae.errors import MissingPackageError
from molvae.model.config import ModelConfig, TrainConfig

TITLE = "How fast a model learns"
OURS = {
    "settings of `druglike`": ("druglike-stage1", "druglike"),
    "recipe `zinc250k`": ("zinc250k", "zinc250k"),
}
"""Recipes, and the bundled models whose noise and temperature are those of the samples."""
OTHERS = ("molgen", "molsets")
BESIDE = 5.0  # minutes after which other packages are compared
PROBED = 25_000  # molecules that tell how many are seen in a minute
RECONSTRUCTED, DRAWN = 1_000, 5_000
SEED, TOGETHER = 0, 250  # molecules that are written together
SMALL = ModelConfig(latent_dim=8, embedding_dim=8, encoder_dim=16, decoder_dim=16, position_dim=4)


def measure(
    *, quick: bool, jobs: int, folder: Path, minutes: Sequence[float] = (1.0, 2.0, 5.0)
) -> dict[str, Any]:
    """A row for each model and time; `jobs` is the number of threads."""
    others: Sequence[str] = OTHERS
    if quick:
        minutes, others = (0.02,), ()
    elif lacking := [name for name in ("molgen", "moses") if find_spec(name) is None]:
        raise MissingPackageError(
            f"{' and '.join(lacking)} is missing; pip install --no-deps molgen molsets, or --quick"
        )
    with prepared(["zinc250k"], 300 if quick else None) as place:
        data = place / "zinc250k"
        # Each in a process of its own: a package may change what others rely on.
        run = partial(each, jobs=1, kept=None if quick else folder, apart=not quick)
        where = str(data), str(folder), jobs, quick
        rates = run(
            rate_of, [(name, min(PROBED, round(500_000 * max(minutes))), *where) for name in OURS]
        )
        cases = [
            (name, m, rate, *where) for name, rate in zip(OURS, rates, strict=True) for m in minutes
        ]
        rows = run(learned, [*cases, *((name, BESIDE, None, *where) for name in others)])
    return {"threads": jobs, "reconstructed": RECONSTRUCTED, "drawn": DRAWN, "rows": rows}


def rate_of(name: str, n: int, data: str, folder: str, threads: int, quick: bool) -> float:
    """Molecules a second of a training of n molecules, which is then thrown away."""
    torch.set_num_threads(threads)
    out = Path(folder) / f"{OURS[name][0]}-probe"
    return _rate(_recipe(name, Path(data), out, threads, quick), n)


def learned(
    name: str, minutes: float, rate: float | None, data: str, folder: str, threads: int, quick: bool
) -> dict[str, Any]:
    """Train a model for so long; what it gives back, and what it makes."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    training, test = (load_split(Path(data), split) for split in ("train", "test"))
    known, n = some(test, 20 if quick else RECONSTRUCTED, SEED), 20 if quick else DRAWN
    if rate is not None:
        out = Path(folder) / f"{OURS[name][0]}-{minutes:g}"
        config = _recipe(name, Path(data), out, threads, quick)
        found, back, made = _molvae(config, minutes, rate, known, n, OURS[name][1])
    else:
        others = {"molgen": _molgen, "molsets": _molsets}
        found, back, made = others[name](training, 60 * minutes, known, n)
    reference: Reference = reference_of(
        test, threads, fcd=None if quick else chemnet_statistics(test, workers=threads)
    )
    again = [one is not None and one == m for one, m in zip(back, known, strict=True)]
    same = {"reconstruction": sum(again) / len(known)}
    return {
        "model": name,
        "minutes": minutes,
        **plainly(found | same),
        **of_molecules(made, reference),
    }


Learned = tuple[dict[str, Any], list[str | None], list[str | None]]
"""Molecules seen, and seconds; reconstructions; samples."""


def _recipe(name: str, data: Path, out: Path, threads: int, quick: bool) -> TrainConfig:
    """A recipe, from nothing."""
    file = ROOT / "pipelines" / f"{OURS[name][0]}.toml"
    config = build(TrainConfig, read_toml(file), str(file))
    prior = replace(config.prior, kind="normal", calibrate=False, acceptance=False)
    config = replace(
        config, data=str(data), out=str(out), start_from=None, keep_state=False, threads=threads,
        lr_decay_fraction=1.0, lr_warmup_fraction=0.02, seed=SEED, prior=prior, device="cpu",
        loss=replace(config.loss, beta_warmup_fraction=0.15),
    )  # fmt: skip
    return replace(config, bpe_merges=20, model=SMALL) if quick else config


def _molvae(
    config: TrainConfig, minutes: float, rate: float, known: Sequence[str], n: int, bundled: str
) -> Learned:
    total = max(1, round(60 * minutes * rate / config.batch_size)) * config.batch_size
    rate = _rate(config, total)
    space = molvae.load(config.out)
    noise, temperature = molvae.load(bundled).card.sampling_defaults
    made = space.generate(n, seed=SEED, noise=noise, temperature=temperature)
    readable = space.can_encode(known)
    z = space.encode([m for m, ok in zip(known, readable, strict=True) if ok])
    written = iter(space.decode(z))
    back = [next(written) if ok else None for ok in readable]
    return {"seen": total, "seconds": total / rate}, back, list(made)


def _rate(config: TrainConfig, n: int) -> float:
    """Train on n molecules; so many a second, without validations, by the clock on the wall."""
    rate, _ = trained_at(replace(config, n_molecules=n, validate_every=n), time.monotonic)
    return rate or math.nan


class Timed:
    """Batches of a loader, as many as are begun within so many seconds."""

    def __init__(self, loader: Any, seconds: float) -> None:
        self.loader, self.dataset, self.seconds = loader, loader.dataset, seconds
        self.seen, self.spent = 0, 0.0

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        began = time.monotonic()
        for batch in self.loader:
            if time.monotonic() - began >= self.seconds:
                break
            yield batch
            self.seen += len(batch[0] if isinstance(batch, list) and len(batch) == 1 else batch)
            self.spent = time.monotonic() - began

    @property
    def found(self) -> dict[str, Any]:
        """Molecules seen, and seconds."""
        return {"seen": self.seen, "seconds": self.spent}


def _molgen(training: Sequence[str], seconds: float, known: Sequence[str], n: int) -> Learned:
    """The VAE of `molgen`, trained as its command `vae-train` does by default."""
    from molgen.selfies_tokenizer import SelfiesTokenizer
    from molgen.vae import BetaTCVAE
    from molgen.vae import train as epoch
    from torch.utils.data import DataLoader, TensorDataset

    tokens, device = SelfiesTokenizer.from_smiles(training), torch.device("cpu")
    ids = tokens.encode_batch(training)
    model = BetaTCVAE(
        vocab_size=tokens.vocab_size, embedding_dim=64, hidden_dim=256, latent_dim=32, nhead=4,
        num_layers=2, pad_idx=tokens.pad_id, device=device,
    )  # fmt: skip
    batches = Timed(DataLoader(TensorDataset(ids), batch_size=64, shuffle=True), seconds)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    epoch(model, batches, optimizer, device, beta=4.0, gamma=1.0, alpha=1.0)
    model.eval()

    def written(z: torch.Tensor) -> list[str | None]:
        rows = model.decode(z, ids.shape[1]).argmax(dim=-1).tolist()
        return [canonical_or_none(tokens.decode(row)) for row in rows]

    with torch.no_grad():
        rows = tokens.encode_batch(known, ids.shape[1])
        back = [m for part in torch.split(rows, TOGETHER) for m in written(model.encode(part)[0])]
        normal = torch.randn(n, 32)
        return (
            batches.found,
            back,
            [m for part in torch.split(normal, TOGETHER) for m in written(part)],
        )


def _molsets(training: Sequence[str], seconds: float, known: Sequence[str], n: int) -> Learned:
    """The VAE of `molsets`, trained by its own trainer with the default settings."""
    # Its other modules need an RDKit of long ago.
    package = ModuleType("moses")
    package.__path__ = list(find_spec("moses").submodule_search_locations or ())  # type: ignore[union-attr]
    sys.modules["moses"] = package
    from moses.vae.config import get_parser
    from moses.vae.model import VAE
    from moses.vae.trainer import VAETrainer

    config, batches = get_parser().parse_args([]), list[Timed]()
    config.log_file = config.model_save = None
    config.lr_n_period = config.lr_n_restarts = 1  # one epoch, which the time ends

    class Trainer(VAETrainer):  # type: ignore[misc]
        def get_dataloader(self, *args: Any, **settings: Any) -> Timed:
            batches.append(Timed(super().get_dataloader(*args, **settings), seconds))
            return batches[-1]

    trainer = Trainer(config)
    model = VAE(trainer.get_vocabulary(training), config)
    trainer.fit(model, list(training))
    model.eval()

    def written(z: torch.Tensor | None, n: int, temperature: float) -> list[str | None]:
        # Its masks are of a type that torch no longer takes.
        with mock.patch.object(torch, "uint8", torch.bool):
            return [canonical_or_none(one) for one in model.sample(n, z=z, temp=temperature)]

    by_length = sorted(range(len(known)), key=lambda i: -len(known[i]))
    rows = [model.string2tensor(known[i]) for i in by_length]
    with torch.no_grad(), mock.patch.object(torch, "randn_like", torch.zeros_like):
        z, _ = model.forward_encoder(rows)  # the mean, without noise
    back = dict(zip(by_length, written(z, len(z), 1e-4), strict=True))
    return batches[0].found, [back[i] for i in range(len(known))], written(None, n, 1.0)


@plots.styled()
def figures(result: Mapping[str, Any], folder: Path) -> None:
    """Reconstruction against minutes."""
    figure, ((axes,),) = plots.panels(1, 1, (4.2, 3.2))
    for name in dict.fromkeys(row["model"] for row in result["rows"]):
        own = [row for row in result["rows"] if row["model"] == name]
        minutes = [row["seconds"] / 60 for row in own]
        axes.plot(minutes, [row["reconstruction"] for row in own], marker="o", label=name)
    axes.set(xlabel="minutes of training", ylabel="reconstruction, greedy", ylim=(-0.02, 1))
    axes.legend()
    plots.save(figure, folder / "training.svg")


def table(result: Mapping[str, Any]) -> list[str]:
    """A row for each model and time."""
    rate: Callable[[Mapping[str, Any]], str] = lambda row: f"{row['seen'] / row['seconds']:,.0f}"  # noqa: E731
    return [
        f"{result['threads']} threads; {result['reconstructed']:,} test molecules, "
        f"{result['drawn']:,} samples.",
        "",
        *columns(result["rows"], {
            "model": lambda row: row["model"],
            "minutes": lambda row: f"{row['seconds'] / 60:.1f}",
            "molecules seen": at("seen", ",.0f"),
            "a second": rate,
            "reconstructed": at("reconstruction", ".1%"),
            "samples: valid": at("validity", ".1%"),
            "distinct": at("uniqueness", ".1%"),
            "FCD": at("fcd", ".1f"),
        }),
    ]  # fmt: skip
