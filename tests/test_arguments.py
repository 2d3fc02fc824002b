"""Numbers, seeds and lists as arguments, in the types of Python, NumPy, pandas and torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from molvae import analysis
from molvae.analysis.model_metrics import evaluate, geometry
from molvae.campaign.campaign import Campaign
from molvae.chem.datasets import sample_molecules
from molvae.config import CampaignConfig, check_seed, is_list, whole_number
from molvae.errors import ConfigError
from molvae.latent.density import typicality
from molvae.latent.space import LatentSpace
from molvae.model.config import TrainConfig
from tests.toys import ToySpace, begin

TYPES: dict[str, Callable[[int], Any]] = {
    "int": int,
    "int64": np.int64,
    "uint8": np.uint8,
    "array": np.array,
    "tensor": torch.tensor,
    "int32 tensor": lambda n: torch.tensor(n, dtype=torch.int32),
    "series": lambda n: pd.Series([n])[0],
    "index": lambda n: pd.RangeIndex(n, n + 1)[0],
}
NO_NUMBERS = (1.0, np.float64(1), "1", True, np.True_, torch.tensor(True), None, [1], math.nan, 1j)
LARGEST = 2**63 - 1
Number = pytest.mark.parametrize("of", TYPES.values(), ids=TYPES)


@Number
def test_whole_number_accepts_integers_of_every_type(of: Callable[[int], Any]) -> None:
    number = whole_number(of(3), "n", least=3, most=3)
    assert type(number) is int
    assert number == 3


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_whole_number_of_other_values_raises(value: Any) -> None:
    with pytest.raises(ConfigError, match="n must be a whole number"):
        whole_number(value, "n")


@pytest.mark.parametrize("value", [-1, 4, np.int64(4), 10**30])
def test_whole_number_out_of_range_raises_with_the_range(value: Any) -> None:
    with pytest.raises(ConfigError, match="from 0 to 3, got"):
        whole_number(value, "n", least=0, most=3)


def test_is_list_is_true_for_lists_and_false_for_texts_and_numbers() -> None:
    lists = ([], ("a",), np.array(["a"]), pd.Series(["a"]), pd.Index(["a"]), (x for x in "ab"))
    assert all(map(is_list, lists))
    assert not any(map(is_list, ("CCO", b"CCO", 3, np.array(3), torch.tensor(3), None, 2.5)))


def takes_seed(space: LatentSpace, path: Path) -> dict[str, Callable[[Any], Any]]:
    """Everything that takes a seed, by name."""
    one, z = ["CCO"], space.encode(["CCO", "CCN", "CCC", "CCCC"])
    values = list(range(20))
    return {
        "sample": lambda seed: space.sample_prior(1, seed),
        "generate": lambda seed: space.generate(1, seed),
        "decode": lambda seed: space.decode(z[:1], temperature=1.0, seed=seed),
        "draws": lambda seed: space.sample_posterior(one, seed=seed),
        "refine": lambda seed: space.refine_posterior_samples(one, steps=0, seed=seed),
        "log_prob": lambda seed: space.log_prob(one, k=1, seed=seed),
        "outlier_score": lambda seed: space.outlier_score(one, k=1, seed=seed),
        "describe": lambda seed: typicality(space, one, k=1, seed=seed),
        "sample_molecules": lambda seed: sample_molecules("zinc250k", 1, seed),
        "create": lambda seed: Campaign.create(
            path / f"{seed}.db", ToySpace(), objective="qed", start=0, seed=seed
        ).close(),
        "train": lambda seed: TrainConfig(data="", out="", seed=seed),
        "optimize": lambda seed: CampaignConfig(campaign="", objective=("qed",), seed=seed),
        "neighbours": lambda seed: analysis.neighbors(space, "CCO", radii=[1.0], n=1, seed=seed),
        "analogy": lambda seed: analysis.analogy(
            space, "CCO", "CCN", "CCCO", radii=[0.0], n=1, seed=seed
        ),
        "chart": lambda seed: analysis.project(space, ["CCO", "CCN", "CCC", "CCCC"], seed=seed),
        "property_direction": lambda seed: analysis.property_direction(
            z.repeat(5, 1), values, "x", seed=seed
        ),
        "group_direction": lambda seed: analysis.group_direction(
            z.repeat(5, 1), z.flip(0).repeat(5, 1) + 1, "x", seed=seed
        ),
        "evaluate": lambda seed: evaluate(space, one, n_samples=0, n_posteriors=1, seed=seed),
        "geometry": lambda seed: geometry(space, one, seed=seed),
    }


def test_functions_with_a_seed_accept_seeds_of_the_range_only(
    space: LatentSpace, tmp_path: Path
) -> None:
    for name, call in takes_seed(space, tmp_path).items():
        for seed in (LARGEST, np.int64(0)):
            call(seed)
        for seed in (-1, LARGEST + 1, 2**64, 1.5, "1", True):
            try:
                call(seed)
            except ConfigError as error:
                assert "seed must be a whole number from 0" in str(error)  # noqa: PT017
            else:
                pytest.fail(f"{name} took {seed!r}")


def test_tuned_accepts_any_seed_of_the_range(
    space: LatentSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.latent.tuning.MIN_STEPS", 1)
    monkeypatch.setattr("molvae.latent.tuning.N_REHEARSED", 2)
    space.tuned(["CCO"], seed=LARGEST)
    with pytest.raises(ConfigError, match="seed"):
        space.tuned(["CCO"], seed=-1)


def test_seeds_of_another_type_give_the_same_samples(space: LatentSpace) -> None:
    assert torch.equal(space.sample_prior(2, 7), space.sample_prior(np.int64(2), np.int64(7)))
    assert space.generate(2, 7) == space.generate(torch.tensor(2), torch.tensor(7))  # type: ignore[arg-type]
    assert check_seed(np.uint64(2**63 - 1)) == LARGEST


@Number
def test_campaign_accepts_whole_numbers_of_every_type(
    tmp_path: Path, of: Callable[[int], Any]
) -> None:
    with begin(
        tmp_path / "a.db", batch_size=of(2), seed=of(3), start=ToySpace().molecules[:6]
    ) as c:  # type: ignore[attr-defined]
        c.run(of(4), retries=of(1), workers=of(0))
        first = c.ask(of(1))[0]
        c.tell(of(first.id), 1.0)
        assert len(c.best(of(2))) == 2
        second = c.ask(of(1))[0]
        c.tell_all({of(second.id).item() if of is np.array else of(second.id): 2.0})
        assert c.table()["status"].tolist().count("complete") == 6
        assert c.config.batch_size == 2
        assert type(c.config.seed) is int


@Number
def test_create_accepts_a_number_of_initial_molecules_of_every_type(
    tmp_path: Path, space: LatentSpace, of: Callable[[int], Any]
) -> None:
    with Campaign.create(tmp_path / "a.db", space, objective="qed", start=of(2)) as campaign:
        assert len(campaign) == 2
        assert campaign.config.start == 2
        assert campaign.config.dataset == "zinc250k"


LISTS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "objects": lambda texts: np.array(texts, dtype=object),
    "series": lambda texts: pd.Series(texts, index=range(10, 10 + len(texts))),
    "strings": lambda texts: pd.Series(texts, dtype="string"),
    "index": pd.Index,
    "generator": iter,
    "keys": lambda texts: dict.fromkeys(texts).keys(),
}


@pytest.mark.parametrize("of", LISTS.values(), ids=LISTS)
def test_encode_and_create_accept_lists_of_every_type(
    tmp_path: Path, space: LatentSpace, of: Callable[[list[str]], Any]
) -> None:
    texts = ["CCO", "CCN", "c1ccccc1O"]
    assert torch.equal(space.encode(of(texts)), space.encode(texts))
    assert space.can_encode(of(texts)) == [True] * 3
    assert torch.equal(space.log_prob(of(texts), k=1), space.log_prob(texts, k=1))
    with Campaign.create(tmp_path / "a.db", space, objective="qed", start=of(texts)) as campaign:
        assert [trial.smiles for trial in campaign.trials] == ["CCO", "CCN", "Oc1ccccc1"]
        assert campaign.config.start == "3 given molecules"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(2), 2.0),
        (torch.tensor(0.5), 0.5),
        (np.array(0.5), 0.5),
        (torch.tensor([0.25, 0.75]), 0.5),
        (np.array([0.25, 0.75]), 0.5),
        (pd.Series([0.25, 0.75], index=[5, 6]), 0.5),
        (pd.Series([0.5])[0], 0.5),
    ],
    ids=repr,
)
def test_tell_accepts_numbers_and_lists_of_every_type(
    tmp_path: Path, value: Any, expected: float
) -> None:
    with begin(tmp_path / "a.db") as campaign:  # type: ignore[attr-defined]
        assert campaign.tell(1, value).values["hill"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "of",
    [
        torch.Tensor.tolist,
        torch.Tensor.numpy,
        lambda z: pd.DataFrame(z.numpy()),
        lambda z: z.float(),
        lambda z: z.numpy()[::-1].copy()[::-1],
        lambda z: list(z),
        lambda z: z.clone().requires_grad_(),
    ],
)
def test_decode_accepts_vectors_of_every_type(space: LatentSpace, of: Callable[[Any], Any]) -> None:
    z = space.encode(["CCO", "CCN", "c1ccccc1O"]).float().double()
    assert space.decode(of(z)) == space.decode(z)
    assert torch.equal(space.density_percentile(of(z)), space.density_percentile(z))


@pytest.mark.parametrize("z", ["CCO", [["a"]], None, [[1.0, 2.0], [1.0]], 3.0])
def test_decode_of_values_other_than_vectors_raises(space: LatentSpace, z: Any) -> None:
    with pytest.raises(ConfigError, match="z must be n x 64"):
        space.decode(z)
