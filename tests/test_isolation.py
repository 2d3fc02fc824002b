"""Global settings of the caller: they change no result, and are the same afterwards."""

from __future__ import annotations

import locale
import os
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import rdBase
from torch import Tensor

import molvae
from molvae.analysis.report import write_report
from molvae.chem.datasets import sample_molecules
from molvae.chem.prepare import prepare
from molvae.latent.loading import load
from molvae.latent.train import train
from molvae.model.config import LossConfig, ModelConfig, PriorConfig, TrainConfig

STRATEGIES = (
    "random",
    "log-ei:num_restarts=1,raw_samples=8,max_iterations=3,mc_samples=8",
    "thompson:n_candidates=32",
    "turbo:n_candidates=32",
    "gradient:n_steps=3",
    "rank:n_offspring=10,n_generations=1,finetune_every=6",
    "ga",
)
FEW = tuple(sample_molecules("zinc250k", 10, seed=3))


@pytest.fixture(scope="module", autouse=True)
def small(few_samplings: None) -> Iterator[None]:
    """Fewer steps and molecules than usual."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("molvae.latent.tuning.MIN_STEPS", 3)
        patch.setattr("molvae.latent.tuning.N_REHEARSED", 8)
        patch.setattr("molvae.latent.density.N_REFERENCE_MOLECULES", 20)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "some.smi").write_text("\n".join(sample_molecules("zinc250k", 80, seed=0)))
    prepare(str(folder / "some.smi"), folder / "some", workers=1)
    return folder / "some"


def main_calls(folder: Path, data: Path, strategies: Sequence[str] = STRATEGIES) -> dict[str, Any]:
    """Results of the main calls, by name."""
    space = load("zinc250k")
    z = space.encode(FEW)
    found: dict[str, Any] = {
        "encode": z,
        "posterior": torch.cat(space.posterior(FEW[:3])),
        "draws": space.sample_posterior(FEW[:3], 2, seed=1),
        "decode": space.decode(z),
        "decode by chance": space.decode(z, temperature=1.0, seed=1),
        "sample": space.sample_prior(5, seed=1),
        "generate": space.generate(4, seed=1),
        "log_prob": space.log_prob(FEW[:3], k=4),
        "log_density": space.log_density(z),
        "percentile": space.density_percentile(z),
        "predict": space.property_head(z),
        "refine": space.refine_posterior_samples(FEW[:2], steps=1),
        "invert": space.invert(FEW[:2]),
        "tuned": space.tuned(FEW[:2]).decode(z),
        "properties": molvae.properties(FEW[:3], ["logP", "SAS", "QED"]).to_numpy()[:, 1:4],
    }
    for i, strategy in enumerate(strategies):
        path = folder / f"{i}.db"
        with molvae.Campaign.create(
            path, space, objective="qed", start=FEW, strategy=strategy, batch_size=2
        ) as campaign:
            campaign.run(10)
            asked = campaign.ask(2)
            campaign.tell(asked[0].id, 0.5)
            found[strategy] = [(t.smiles, t.z.tolist(), t.percentile) for t in campaign.trials]
    with molvae.Campaign.open(folder / "0.db") as campaign:
        assert write_report(campaign, folder / "0.html")
    config = TrainConfig(
        data=str(data),
        out=str(folder / "run"),
        n_molecules=120,
        validate_every=60,
        loss=LossConfig(beta=0.0),
        device="cpu",
        model=ModelConfig(
            latent_dim=4, embedding_dim=4, encoder_dim=8, decoder_dim=16, position_dim=2
        ),
        properties=("logP",),
        prior=PriorConfig(epochs=1),
    )
    trained = load(train(config, workers=1))
    found["train"] = torch.cat([p.flatten().double() for p in trained.model.parameters()])
    found["train, prior"] = trained.sample_prior(3, seed=1)
    return found


def global_settings() -> dict[str, Any]:
    """Everything global that somebody else may have set."""
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.empty(0).device,
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "torch": torch.default_generator.get_state().tolist(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002 - the legacy state is what is meant
        "random": random.getstate(),
        "numpy's errors": np.geterr(),
        "warnings": list(warnings.filters),
        "folder": os.getcwd(),
        "rdkit": rdBase.LogStatus(),
        "locale": locale.setlocale(locale.LC_ALL),
    }


@contextmanager
def other_global_settings(dtype: torch.dtype, folder: Path) -> Iterator[None]:
    """A world in which everything is set in another way."""
    dtype_before, deterministic = (
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
    )
    threads, here = torch.get_num_threads(), os.getcwd()
    folder.mkdir()
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, dtype_before)
        torch.set_default_dtype(dtype)
        stack.callback(torch.use_deterministic_algorithms, deterministic)
        torch.use_deterministic_algorithms(True)
        stack.callback(torch.set_num_threads, threads)
        stack.callback(os.chdir, here)
        os.chdir(folder)
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.manual_seed(1234)
        stack.enter_context(torch.device("meta"))
        stack.enter_context(torch.autocast("cpu", dtype=torch.bfloat16))
        stack.enter_context(np.errstate(all="raise"))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("error")
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.inference_mode())
        yield


def is_same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))
    return bool(np.all(one == other)) if isinstance(one, np.ndarray) else bool(one == other)


@pytest.fixture(scope="module")
def friendly(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, Any]:
    return main_calls(tmp_path_factory.mktemp("friendly"), data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "strategies"), [(torch.float64, STRATEGIES), (torch.float16, STRATEGIES[:1])]
)
def test_main_calls_under_other_global_settings_are_unchanged_and_keep_them(
    friendly: dict[str, Any],
    tmp_path: Path,
    data: Path,
    dtype: torch.dtype,
    strategies: Sequence[str],
) -> None:
    with other_global_settings(dtype, tmp_path / "elsewhere"):
        before = global_settings()
        found = main_calls(tmp_path, data, strategies)
        after = global_settings()
    assert [name for name in before if after[name] != before[name]] == []
    assert set(strategies) < set(found)
    assert [name for name in found if not is_same(friendly[name], found[name])] == []
