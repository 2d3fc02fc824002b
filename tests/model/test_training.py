"""The training loop: it learns, resumes bit for bit, reports progress, and warns of collapse."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from molvae.chem.vocabulary import EOS, PAD
from molvae.errors import CheckpointError, MolvaeWarning
from molvae.model.batches import epoch_batches
from molvae.model.checkpoint import RESUME
from molvae.model.config import LossConfig, ModelConfig, TrainConfig
from molvae.model.corruption import noise_some
from molvae.model.decoding import decode
from molvae.model.fingerprint_losses import SparseBits
from molvae.model.losses import kl_to_normal
from molvae.model.progress import Progress
from molvae.model.training import schedule_at, train
from molvae.model.vae import SequenceVAE
from molvae.model.validation import validate

SMALL = ModelConfig(latent_dim=8, embedding_dim=8, encoder_dim=16, decoder_dim=32, position_dim=4)
CONFIG = TrainConfig(
    data="",
    out="",
    n_molecules=600,
    batch_size=16,
    loss=LossConfig(beta=0.01),
    validate_every=100,
    device="cpu",
    model=SMALL,
)
N_SYMBOLS, LENGTH = 8, 9


def rows(n: int = 60) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    out = torch.full((n, LENGTH), PAD, dtype=torch.uint8)
    for row in out:
        k = int(torch.randint(2, LENGTH, (1,), generator=generator))
        row[:k] = torch.randint(3, N_SYMBOLS, (k,), generator=generator)
        row[k] = EOS
    return out


def new_model() -> SequenceVAE:
    torch.manual_seed(0)
    return SequenceVAE(SMALL, N_SYMBOLS, LENGTH)


def fit(folder: Path, *, config: TrainConfig = CONFIG, resume: bool = False) -> SequenceVAE:
    return train(new_model(), rows(), rows(), config, folder, resume=resume)


def test_epoch_batches_hold_every_row_once_and_differ_by_epoch() -> None:
    lengths = np.random.default_rng(0).integers(1, 40, 1003)
    first, second = (epoch_batches(lengths, 32, 0, epoch) for epoch in (0, 1))
    assert sorted(np.concatenate(first).tolist()) == list(range(1003))
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    spread = np.mean([np.ptp(lengths[batch]) for batch in first])
    assert spread < np.ptp(lengths) / 4  # bucketed: batches hold rows of similar length
    even = epoch_batches(lengths, 32, 0, 0, bucketed=False)
    assert sorted(np.concatenate(even).tolist()) == list(range(1003))
    assert np.mean([np.ptp(lengths[batch]) for batch in even]) > np.ptp(lengths) / 1.5


def test_schedule_at_warms_up_and_decays() -> None:
    rise = LossConfig(beta=0.5, beta_warmup_fraction=0.2)
    config = dataclasses.replace(CONFIG, n_molecules=1000, loss=rise, lr_warmup_fraction=0.1)
    assert schedule_at(config, 0) == (0.0, 0.0)
    assert schedule_at(config, 50).lr_factor == pytest.approx(0.5, rel=0.02)
    assert schedule_at(config, 100).beta == pytest.approx(0.25)
    assert schedule_at(config, 900).beta == 0.5
    assert schedule_at(config, 1000).lr_factor == pytest.approx(0.02)
    late = dataclasses.replace(config, lr_decay_fraction=0.2)
    assert [schedule_at(late, seen).lr_factor for seen in (100, 500, 800)] == [1.0, 1.0, 1.0]
    assert schedule_at(late, 900).lr_factor == pytest.approx(0.51)
    assert schedule_at(late, 1000).lr_factor == pytest.approx(0.02)
    assert schedule_at(dataclasses.replace(config, lr_decay_fraction=0.0), 1000).lr_factor == 1.0


def test_train_on_few_rows_reconstructs_all_of_them(tmp_path: Path) -> None:
    config = dataclasses.replace(
        CONFIG,
        n_molecules=4_000,
        batch_size=20,
        loss=LossConfig(beta=0.0),
        learning_rate=1e-2,
        word_dropout=0.0,
        validate_every=4_000,
    )
    few = rows(20)
    model = train(new_model(), few, few, config, tmp_path)
    with torch.no_grad():
        mean, _ = model.posterior(few.long())
    assert (decode(model, mean).ids == few).all(dim=1).float().mean() == 1.0


def test_train_property_heads_learn_labels_from_z(tmp_path: Path) -> None:
    """How long a row is; unknown for a third of the rows, and only noise for the second head."""
    x = rows()
    lengths = (x != PAD).sum(dim=1).float()
    noise = torch.randn(len(x), generator=torch.Generator().manual_seed(2))
    labels = torch.stack([(lengths - lengths.mean()) / lengths.std(), noise], dim=1)
    known = labels.clone()
    known[::3, 0] = torch.nan
    torch.manual_seed(0)
    model = SequenceVAE(SMALL, N_SYMBOLS, LENGTH, n_properties=2)
    config = dataclasses.replace(
        CONFIG,
        n_molecules=9_000,
        batch_size=60,
        learning_rate=1e-2,
        validate_every=3_000,
        property_weight=3.0,
    )
    train(model, x, x, config, tmp_path, labels=known)
    with torch.inference_mode():
        read = model.properties(model.posterior(x.long())[0])
    unseen = (read - labels)[::3, 0].square().mean()
    assert unseen < 0.2  # of a variance of 1
    first, last = (json.loads(line) for line in _first_and_last(tmp_path / "metrics.jsonl"))
    assert 0 < last["properties"] < first["properties"]


def _first_and_last(path: Path) -> tuple[str, str]:
    lines = path.read_text().splitlines()
    return lines[0], lines[-1]


def test_train_reports_and_writes_progress(tmp_path: Path) -> None:
    seen: list[Progress] = []
    train(new_model(), rows(), rows(), CONFIG, tmp_path, on_progress=seen.append)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["molecules"] for line in lines] == [p.molecules for p in seen]
    assert seen[-1].molecules >= CONFIG.n_molecules
    assert seen[-1].eta == 0
    validated = [p for p in seen if p.valid_kl is not None]
    assert len(validated) == 6
    assert validated[-1].valid_reconstruction < validated[0].valid_reconstruction  # type: ignore[operator]


def test_validate_is_reproducible_and_keeps_the_global_generator() -> None:
    model = new_model().eval()
    state = torch.get_rng_state()
    assert validate(model, rows()) == validate(model, rows())
    assert torch.equal(state, torch.get_rng_state())


def test_train_with_heavy_beta_warns_of_collapse(tmp_path: Path) -> None:
    heavy = LossConfig(beta=200.0, beta_warmup_fraction=0.0)
    config = dataclasses.replace(CONFIG, loss=heavy, n_molecules=3000, validate_every=500)
    with pytest.warns(MolvaeWarning, match="collapsing"):
        fit(tmp_path, config=config)


KINDS: dict[str, dict[str, Any]] = {
    "iwae": {"loss": LossConfig(kind="iwae", beta=0.1, n_samples=4)},
    "total correlation": {
        "loss": LossConfig(kind="total-correlation", beta=0.01, total_correlation_weight=5.0)
    },
    "free bits": {"loss": LossConfig(beta=0.1, free_bits=0.2)},
    "flow": {"model": dataclasses.replace(SMALL, posterior="flow")},
    "point": {
        "model": dataclasses.replace(SMALL, posterior="point"),
        "loss": LossConfig(beta=0.0),
    },
    "language model": {
        "model": dataclasses.replace(
            SMALL, latent_dim=0, residual_conditioning=False, noise_conditioning=False
        ),
        "noised_fraction": 0.0,
    },
    "transformer": {
        "model": dataclasses.replace(
            SMALL,
            encoder="transformer",
            decoder="transformer",
            layers=1,
            residual_conditioning=False,
        )
    },
    "conditions": {},
    "few conditions": {},
}


def train_kind(kind: str, folder: Path, *, resume: bool = False, stop: int = 0) -> SequenceVAE:
    """A short training, stopped after so many validations if there is a number."""
    config = dataclasses.replace(CONFIG, n_molecules=300, **KINDS[kind])
    torch.manual_seed(0)
    y = {"conditions": lengths_of, "few conditions": few_lengths_of}.get(kind, lambda _: None)(
        rows()
    )
    model = SequenceVAE(config.model, N_SYMBOLS, LENGTH, n_conditions=0 if y is None else 2)
    reports = []

    def say(progress: Progress) -> None:
        reports.extend([progress] * (progress.valid_kl is not None))
        if len(reports) == stop > 0:
            raise KeyboardInterrupt

    return train(
        model, rows(), rows(), config, folder, conditions=y, resume=resume, on_progress=say
    )


def lengths_of(x: Tensor) -> Tensor:
    """Two labels of each row, in standard deviations: its length, and whether a symbol is there;
    of a half of the rows not known, or not both."""
    y = torch.stack([(x != PAD).sum(dim=1).float(), (x == 4).any(dim=1).float()], dim=1)
    y = (y - y.mean(dim=0)) / y.std(dim=0)
    y[::4], y[1::4, 0] = torch.nan, torch.nan
    return y


def few_lengths_of(x: Tensor) -> Tensor:
    """The same, of a quarter of the rows only."""
    return torch.where(torch.arange(len(x))[:, None] % 4 == 1, lengths_of(x), torch.nan)


@pytest.mark.parametrize("kind", KINDS)
def test_train_of_every_kind_learns_and_resumes_bit_for_bit(kind: str, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    expected = train_kind(kind, whole).state_dict()
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    validated = [line for line in lines if line["valid_kl"] is not None]
    assert validated[-1]["valid_reconstruction"] < validated[0]["valid_reconstruction"]
    assert all(math.isfinite(value) for value in validated[-1].values() if value is not None)
    silent = kind in ("point", "language model")
    assert (validated[-1]["valid_kl"] == 0) == silent
    assert (validated[-1]["conditions"] != 0) == ("conditions" in kind)
    with pytest.raises(KeyboardInterrupt):
        train_kind(kind, broken, stop=2)
    resumed = train_kind(kind, broken, resume=True).state_dict()
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


@pytest.mark.parametrize("known", [pytest.param(2 / 3, marks=pytest.mark.slow), 1 / 3])
def test_train_infers_unknown_conditions(known: float, tmp_path: Path) -> None:
    x = rows()
    true = torch.stack([(x != PAD).sum(dim=1).float()], dim=1)
    true = (true - true.mean(dim=0)) / true.std(dim=0)
    hidden = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)) >= known * len(x)
    shown = torch.where(hidden[:, None], torch.nan, true)
    torch.manual_seed(0)
    model = SequenceVAE(SMALL, N_SYMBOLS, LENGTH, n_conditions=1)
    config = dataclasses.replace(
        CONFIG,
        n_molecules=9_000,
        batch_size=60,
        learning_rate=1e-2,
        validate_every=3_000,
        condition_weight=3.0,
    )
    train(model, x, x, config, tmp_path, conditions=shown)
    with torch.inference_mode():
        guess, _ = model.conditions(x.long())
    off = (guess - true)[hidden]
    assert float(off.square().mean()) < 0.2  # of a variance of 1
    first, last = (json.loads(line) for line in _first_and_last(tmp_path / "metrics.jsonl"))
    assert last["conditions"] < first["conditions"]


def test_train_learns_from_a_single_label_at_every_step(tmp_path: Path) -> None:
    x = rows()
    true = lengths_of(x)[:, 1:]
    shown = torch.full_like(true, torch.nan)
    shown[5] = true[5]
    torch.manual_seed(0)
    model = SequenceVAE(SMALL, N_SYMBOLS, LENGTH, n_conditions=1)
    config = dataclasses.replace(
        CONFIG, n_molecules=1_200, validate_every=600, condition_weight=3.0
    )
    train(model, x, x, config, tmp_path, conditions=shown)
    with torch.inference_mode():
        guess, _ = model.conditions(x[5:6].long())
    assert abs(float(guess - true[5])) < 0.2  # seen in few batches, or in none


def test_validate_kl_includes_z_and_drawn_conditions() -> None:
    torch.manual_seed(0)
    model = SequenceVAE(SMALL, N_SYMBOLS, LENGTH, n_conditions=2).eval()
    x = rows().long()
    covariance = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    _, kl, _ = validate(model, rows(), covariance=covariance, seed=3)
    with torch.inference_mode():
        torch.manual_seed(3)
        drawn = model.infer(x)
    p = torch.distributions.MultivariateNormal(torch.zeros(2), covariance)
    q = torch.distributions.Normal(drawn.y_mean, (0.5 * drawn.y_logvar).exp())
    y = drawn.code[:, 8:]
    expected = kl_to_normal(drawn.mean, drawn.logvar).sum(1) + q.log_prob(y).sum(1) - p.log_prob(y)
    assert kl == pytest.approx(float(expected.mean()), rel=1e-4)


def test_noise_some_gives_samples_of_a_row_the_same_noise_level() -> None:
    torch.manual_seed(0)
    code = torch.ones(3_000, 3)
    blurred, level = noise_some(code, 0.5, 2, 3)
    assert bool((level.view(-1, 3) == level.view(-1, 3)[:, :1]).all())
    assert float((level > 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert bool((blurred[:, 2] == 1).all())  # a condition is not touched
    assert bool(((blurred[:, 0] == 1) == (level == 0)).all())
    assert not torch.equal(blurred[0::3, 0][level[0::3] > 0], blurred[1::3, 0][level[0::3] > 0])


def test_noise_some_among_rows_leaves_others_without_noise() -> None:
    torch.manual_seed(0)
    among = torch.arange(1_000) < 400
    _, level = noise_some(torch.ones(2_000, 3), 0.5, 2, 2, among=among)
    assert not level.view(-1, 2)[~among].any()
    assert float((level.view(-1, 2)[among] > 0).float().mean()) == pytest.approx(0.5, abs=0.06)


SCRIPT = """
import sys, time, warnings
from pathlib import Path
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1)
from tests.model.test_training import CONFIG, new_model, rows
from molvae.model.training import train
seen = []
def wait(progress):
    seen.append(progress)
    if len(seen) == 4:  # killed by now
        time.sleep(3600)
train(new_model(), rows(), rows(), CONFIG, Path({folder!r}), on_progress=wait)
"""


def test_train_killed_resumes_bit_for_bit(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    expected = fit(whole).state_dict()
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(root=root, folder=str(broken))], env=os.environ
    )
    while not (broken / RESUME).exists():  # killed at any time after its first state
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = fit(broken, resume=True).state_dict()
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


@pytest.mark.usefixtures("interruptible")
def test_train_interrupted_saves_state_and_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    expected = fit(tmp_path / "whole").state_dict()
    steps = []

    def interrupt(*_: object) -> bool:
        steps.append(1)
        if len(steps) == 3:  # long before the first validation
            signal.raise_signal(signal.SIGINT)
        return False

    monkeypatch.setattr("molvae.model.training.Reporter.due", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "broken")
    assert len(steps) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    resumed = fit(tmp_path / "broken", resume=True).state_dict()
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


def test_train_does_not_write_progress_through_links(tmp_path: Path) -> None:
    other, folder = tmp_path / "other.txt", tmp_path / "run"
    other.write_text("mine")
    folder.mkdir()
    (folder / "metrics.jsonl").hardlink_to(other)
    fit(folder)
    assert other.read_text() == "mine"
    assert (folder / "metrics.jsonl").read_text().startswith("{")


def test_train_with_structure_terms_and_more_data_resumes_bit_for_bit(tmp_path: Path) -> None:
    x, bits = rows(), np.random.default_rng(0).random((len(rows()), 32)) < 0.3
    config = dataclasses.replace(
        CONFIG,
        loss=LossConfig(beta=0.0, similarity_weight=3.0, fingerprint_weight=1.0),
        neighbors=True,
        more_data=("more",),
        more_data_fraction=0.5,
        lr_decay_fraction=0.3,
    )

    def run(name: str, *, every: int, stop: int | None = None, resume: bool = False) -> SequenceVAE:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)

        def interrupt(progress: Progress) -> None:
            if stop is not None and progress.valid_exact is not None and progress.molecules >= stop:
                raise KeyboardInterrupt

        return train(
            new_model(),
            x,
            x,
            dataclasses.replace(config, validate_every=every),
            folder,
            fingerprints=SparseBits.of(bits),
            main=len(x) // 3,
            resume=resume,
            on_progress=interrupt,
        )

    every = config.n_molecules // 4
    expected = run("whole", every=every).state_dict()
    with pytest.raises(KeyboardInterrupt):
        run("broken", every=every, stop=2 * every)
    # How often it validates is not among what must be the same.
    resumed = run("broken", every=config.n_molecules, resume=True).state_dict()
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


def test_train_at_constant_rate_extended_equals_one_long_training(tmp_path: Path) -> None:
    half, whole = CONFIG.n_molecules // 2, CONFIG.n_molecules
    constant = dataclasses.replace(
        CONFIG, lr_decay_fraction=0.0, lr_warmup_fraction=0.0, n_molecules=whole
    )
    constant = dataclasses.replace(constant, loss=LossConfig(beta=0.0, beta_warmup_fraction=0.0))
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    expected = fit(tmp_path / "whole", config=constant).state_dict()
    fit(tmp_path / "parts", config=dataclasses.replace(constant, n_molecules=half))
    for _ in range(2):  # the second time there is nothing left to do
        found = fit(tmp_path / "parts", config=constant, resume=True).state_dict()
    seen = json.loads((tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()[-1])
    assert seen["molecules"] >= whole
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_train_resume_with_other_settings_or_damaged_state_raises(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not there"):
        fit(tmp_path, resume=True)
    fit(tmp_path)
    other = dataclasses.replace(CONFIG, loss=LossConfig(beta=0.2))
    with pytest.raises(CheckpointError, match=r"loss\.beta = 0\.01, now it is 0\.2"):
        fit(tmp_path, config=other, resume=True)
    (tmp_path / RESUME).write_bytes(b"not tensors")
    with pytest.raises(CheckpointError, match="damaged"):
        fit(tmp_path, resume=True)


def test_train_with_default_settings_does_not_warn(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(tmp_path)
