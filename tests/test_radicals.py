"""Radicals are neither valid nor proposed, unless the model learned from them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from molvae.analysis.set_metrics import distribution_metrics
from molvae.bo.base import Observations
from molvae.bo.strategies.registry import get_strategy
from molvae.bo.strategies.screen import Screen
from molvae.chem.datasets import sample_molecules
from molvae.chem.molecules import canonical, has_radicals
from molvae.chem.prepare import prepare
from molvae.config import STRATEGIES
from molvae.errors import MolvaeWarning
from molvae.latent.density import proposable
from molvae.latent.loading import load
from molvae.latent.space import LatentSpace
from molvae.latent.train import train
from molvae.model.config import LossConfig, ModelConfig, PriorConfig, TrainConfig
from tests.contracts import toy_observations
from tests.toys import ToySpace


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CCO", False),
        ("C[CH]O", True),
        ("[CH2]", True),
        ("C[N]C", True),
        ("CC[O]", True),
        ("[O][O]", True),
        ("[N]=O", True),
        ("CC1(C)CCCC(C)(C)N1[O]", True),
        ("C[N+](C)(C)C", False),
        ("O=[N+]([O-])c1cc[nH]c1", False),
        ("N[C@@H](C)C(=O)O", False),
        ("[Na+].[Cl-]", False),
        ("[2H]C([2H])[2H]", False),
        ("CC[N+](C)C", True),
        ("[13CH4]", False),
        ("C[S+](C)[O-]", False),
        ("C=[N+]=[N-]", False),
    ],
)
def test_has_radicals_counts_unpaired_electrons(smiles: str, expected: bool) -> None:
    assert has_radicals(smiles) is expected
    assert has_radicals(canonical(smiles)) is expected


def test_distribution_metrics_count_radicals_as_invalid_by_default() -> None:
    texts = ["CCO", "C[CH]O", None, "C1"]
    found = distribution_metrics(texts, ["CCO", "CCN"], names=["logP"])
    assert (found["molecules"], found["validity"]) == (1, 0.25)
    found = distribution_metrics(texts, ["CCO", "CCN"], names=["logP"], radicals=True)
    assert (found["molecules"], found["validity"]) == (2, 0.5)
    assert distribution_metrics(["CCO", "C[CH]O"])["filter_pass_rate"] == 1.0


def test_generate_of_bundled_models_gives_no_radicals_and_decode_may(
    space: LatentSpace,
) -> None:
    assert not space.radicals
    decoded = space.decode(space.sample_prior(400, seed=1))
    assert 0 < sum(has_radicals(m) for m in decoded if m is not None) < 40
    plain = space.generate(400, seed=1, noise=0, redraw=False)
    for molecule, written in zip(plain, decoded, strict=True):
        assert molecule == (None if written is None or has_radicals(written) else written)
    again = space.generate(400, seed=1, noise=0)
    assert not any(has_radicals(m) for m in again if m is not None)
    assert again.count(None) < plain.count(None)


class RadicalSpace(ToySpace):
    """The toy space, whose every third vector or so is said to be a radical."""

    def decode(self, z: Tensor) -> list[str | None]:
        # Which ones goes by the digits behind the grid's.
        odd = ((1e4 * z[:, 0]).floor() % 3 == 0).tolist()
        return [
            canonical(f"[O]{molecule[1:]}") if radical and molecule is not None else molecule
            for molecule, radical in zip(super().decode(z), odd, strict=True)
        ]

    def encode(self, smiles: list[str], *, skip_unknown: bool = False) -> Tensor:
        return super().encode([m.replace("[O]", "O") for m in smiles], skip_unknown=skip_unknown)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ("ga", "screen")])
def test_strategies_propose_no_radicals_by_default(name: str) -> None:
    space, observations = RadicalSpace(), toy_observations()
    strategy = get_strategy(name)
    found = [c.smiles for c in strategy.propose(observations, space, 12, seed=1)]
    assert not any(map(has_radicals, found))
    space.radicals = True  # type: ignore[attr-defined]
    found = [c.smiles for c in strategy.propose(observations, space, 12, seed=1)]
    if name == "random":
        assert any(map(has_radicals, found))


def test_screen_proposes_radicals_of_the_data_set_only_if_allowed(tmp_path: Path) -> None:
    space, observations = RadicalSpace(), toy_observations()
    radicals = [f"{molecule[:-1]}[O]" for molecule in space.molecules]  # they end in an OH
    assert all(map(has_radicals, radicals))
    (tmp_path / "some.smi").write_text("\n".join([*radicals, *space.molecules]))
    screen = Screen(dataset=str(tmp_path / "some.smi"))
    found = [c.smiles for c in screen.propose(observations, space, 12, seed=1)]
    assert found
    assert not any(map(has_radicals, found))
    space.radicals = True  # type: ignore[attr-defined]
    assert any(has_radicals(c.smiles) for c in screen.propose(observations, space, 12, seed=1))


def test_ga_proposes_no_radicals(space: LatentSpace) -> None:
    start = ("CC[N+](C)CCO", "CCC[NH+]CC", "C[N+](C)c1ccccc1", "CCCCO", "CCc1ccccc1O")
    z = space.encode(start)
    observations = Observations(
        smiles=start,
        z=z,
        y=torch.tensor([[5.0], [4.0], [3.0], [2.0], [1.0]], dtype=torch.float64),
        pending_z=z[:0],
        known=frozenset(start),
        bounds=space.bounds,
    )
    found = [c.smiles for c in get_strategy("ga").propose(observations, space, 20, seed=0)]
    assert len(found) == 20
    assert not any(map(has_radicals, found))


def test_proposable_accepts_radicals_if_the_space_does() -> None:
    space = ToySpace()
    assert proposable(space, "CCO")
    assert not proposable(space, "CC[O]")
    assert not proposable(space, None)
    space.radicals = True  # type: ignore[attr-defined]
    assert proposable(space, "CC[O]")


@pytest.mark.slow
def test_model_trained_on_radicals_generates_radicals(tmp_path: Path) -> None:
    alkyls = ["C" * n + "[CH2]" for n in range(2, 30)]
    (tmp_path / "some.smi").write_text("\n".join([*alkyls, "C" * 12]))
    with pytest.warns(MolvaeWarning, match="few molecules"):
        report = prepare(tmp_path / "some.smi", tmp_path / "data", workers=1)
    assert report.radicals == 28
    assert "28 with unpaired electrons" in str(report)
    assert json.loads((tmp_path / "data" / "prepare.json").read_text())["radicals"] == 28
    config = TrainConfig(
        data=str(tmp_path / "data"),
        out=str(tmp_path / "run"),
        representation="smiles",
        n_molecules=2000,
        batch_size=16,
        loss=LossConfig(beta=0.0),
        prior=PriorConfig(kind="normal", calibrate=False),
        device="cpu",
        model=ModelConfig(
            latent_dim=4, embedding_dim=8, encoder_dim=16, decoder_dim=32, position_dim=2
        ),
    )
    space = load(train(config, workers=1))
    assert space.radicals
    made = space.generate(50, seed=0, temperature=1.0)
    assert any(has_radicals(m) for m in made if m is not None)
    none = dataclasses.replace(space.card, about={})
    assert not LatentSpace(space.model, none).radicals


def test_prepare_without_radicals_records_none(tmp_path: Path) -> None:
    (tmp_path / "some.smi").write_text("\n".join(sample_molecules("zinc250k", 300, seed=0)))
    report = prepare(tmp_path / "some.smi", tmp_path / "data", workers=1)
    assert report.radicals == 0
    assert "radicals" not in json.loads((tmp_path / "data" / "prepare.json").read_text())
