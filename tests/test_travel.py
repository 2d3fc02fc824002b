"""A latent space in other processes and threads gives the same results."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import pytest
import torch
from distributed.protocol import deserialize, serialize
from rdkit import Chem, rdBase

from molvae.campaign.campaign import Campaign
from molvae.chem.datasets import sample_molecules
from molvae.latent.loading import load
from molvae.latent.space import LatentSpace

FEW = tuple(sample_molecules("zinc250k", 4, seed=3))


def through_file(dump: Callable[..., Any], read: Callable[..., Any], **settings: Any) -> Any:
    def travel(space: LatentSpace) -> LatentSpace:
        file = io.BytesIO()
        dump(space, file)
        file.seek(0)
        return read(file, **settings)

    return travel


WAYS = {
    "pickle": lambda space: pickle.loads(pickle.dumps(space)),
    "oldest pickle": lambda space: pickle.loads(pickle.dumps(space, protocol=2)),
    "cloudpickle": lambda space: pickle.loads(cloudpickle.dumps(space)),
    "joblib": through_file(joblib.dump, joblib.load),
    "torch": through_file(torch.save, torch.load, weights_only=False),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickled bound method": lambda space: pickle.loads(pickle.dumps(space.encode)).__self__,
    "dask": lambda space: deserialize(*serialize(space)),
    "twice": lambda space: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(space)))),
}


def results_of(space: LatentSpace) -> list[Any]:
    z = space.encode(FEW)
    return [
        z.tolist(),
        space.decode(z),
        space.generate(3, seed=1),
        space.log_prob(FEW, k=2).tolist(),
        space.density_percentile(z).tolist(),
        space.property_head(z).tolist(),
        repr(space),
        space.fingerprint,
        space.bounds.tolist(),
    ]


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("molvae.latent.density.N_REFERENCE_MOLECULES", 20)
        patch.setattr("molvae.latent.tuning.MIN_STEPS", 2)
        patch.setattr("molvae.latent.tuning.N_REHEARSED", 4)
        yield


@pytest.fixture(scope="module")
def here(small: None) -> list[Any]:
    return results_of(load("zinc250k"))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_space_after_pickling_or_copying_is_equal(
    way: Callable[[LatentSpace], LatentSpace], space: LatentSpace, here: list[Any]
) -> None:
    there = way(space)
    assert there is not space
    z = there.encode(FEW)
    assert [z.tolist(), there.decode(z)] == here[:2]
    assert there.property_head(z).tolist() == here[5]
    assert (there.fingerprint, there.bounds.tolist()) == (here[7], here[8])


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "copy"])
def test_space_pickled_or_copied_before_use_gives_the_same_results(
    way: str, here: list[Any]
) -> None:
    there = WAYS[way](load("zinc250k"))
    assert results_of(there) == here
    tuned = there.tuned(FEW)
    z = tuned.encode(FEW)
    assert WAYS[way](tuned).decode(z) == tuned.decode(z)


def test_deepcopy_of_a_space_shares_nothing() -> None:
    space = load("qm9")
    space.encode(["CCO"])  # so that there is something in its cache
    there = copy.deepcopy(space)
    assert there.token_ids._cached.cache_info().currsize == 0
    with torch.no_grad():
        for parameter in there.model.parameters():
            parameter.zero_()
    assert space.encode(["CCO"]).abs().max() > 0


def test_space_in_a_spawned_process_gives_the_same_results(here: list[Any]) -> None:
    space = load("zinc250k")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(space.encode, FEW).result().tolist() == here[0]
        assert pool.submit(space.decode, space.encode(FEW)).result() == here[1]


CALLS: dict[str, Callable[[LatentSpace], Any]] = {
    "log_prob": lambda space: space.log_prob(FEW, k=4).tolist(),
    "draws": lambda space: space.sample_posterior(FEW, 2, seed=1).tolist(),
    "refine": lambda space: space.refine_posterior_samples(FEW[:2], steps=1, seed=1).tolist(),
    "generate": lambda space: space.generate(3, seed=1),
    "tuned": lambda space: space.tuned(FEW[:2]).decode(space.encode(FEW)),
    "load": lambda space: load("qm9").sample_prior(2, seed=1).tolist(),
}


def test_space_in_threads_gives_the_same_results_by_seed(space: LatentSpace) -> None:
    expected = {name: call(space) for name, call in CALLS.items()}
    filters, threads = list(warnings.filters), torch.get_num_threads()
    state = torch.get_rng_state()
    names = [*CALLS] * 3
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda name: CALLS[name](space), names))
    assert [name for name, one in zip(names, found, strict=True) if one != expected[name]] == []
    assert list(warnings.filters) == filters
    assert torch.get_num_threads() == threads
    assert torch.equal(state, torch.get_rng_state())


def propose_smiles(space: LatentSpace, path: Path, strategy: str) -> list[str]:
    with Campaign.create(
        path, space, objective="qed", start=FEW, strategy=strategy, batch_size=2
    ) as campaign:
        campaign.run(4)
        return [trial.smiles for trial in campaign.ask(2)]


@pytest.mark.slow
def test_campaigns_in_threads_propose_the_same_as_alone(space: LatentSpace, tmp_path: Path) -> None:
    strategies = (
        "log-ei:num_restarts=1,raw_samples=8,max_iterations=3,mc_samples=8",
        "thompson:n_candidates=32",
        "rank:n_offspring=10,n_generations=1,finetune_every=0",
        "turbo:n_candidates=32",
    )
    alone = [propose_smiles(space, tmp_path / f"{i}.db", one) for i, one in enumerate(strategies)]
    filters, threads, log = list(warnings.filters), torch.get_num_threads(), rdBase.LogStatus()
    with ThreadPoolExecutor(len(strategies)) as pool:
        paths = [tmp_path / f"{i} again.db" for i, _ in enumerate(strategies)]
        together = list(pool.map(propose_smiles, [space] * len(paths), paths, strategies))
    assert together == alone
    assert list(warnings.filters) == filters
    assert torch.get_num_threads() == threads
    assert rdBase.LogStatus() == log


def test_ask_with_ga_leaves_the_rdkit_log_on(
    space: LatentSpace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    propose_smiles(space, tmp_path / "ga.db", "ga")
    capfd.readouterr()
    assert Chem.MolFromSmiles("c1ccc") is None
    assert "c1ccc" in capfd.readouterr().err
