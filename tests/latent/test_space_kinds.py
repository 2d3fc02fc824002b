"""`LatentSpace` over every kind of network: supported methods, and those that raise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from molvae.chem.representations import get_representation
from molvae.errors import ConfigError, MolvaeWarning
from molvae.latent import tuning
from molvae.latent.conversion import pad
from molvae.latent.loading import load
from molvae.latent.space import LatentSpace
from molvae.model.checkpoint import Condition, ModelCard
from molvae.model.losses import reconstruction
from tests.model.kinds import KINDS, MAX_LENGTH, make

MOLECULES = ["CCO", "CC#N", "C=C", "OCCN", "C"]
with_vectors = pytest.mark.parametrize(
    ("kind", "conditions"),
    [(kind, p) for kind in KINDS for p in (0, 2) if KINDS[kind].latent_dim + p > 0],
)


def space_of_kind(kind: str, conditions: int = 0) -> LatentSpace:
    """A space of an untrained network."""
    model = make(kind, conditions=conditions)
    writer = get_representation("selfies")
    card = ModelCard(
        model=KINDS[kind],
        representation={"name": writer.name, "settings": writer.settings()},
        vocabulary=("[C]", "[O]", "[N]", "[=C]", "[#N]", "[F]"),
        max_length=MAX_LENGTH,
        bounds=((-2.0,) * model.code_dim, (2.0,) * model.code_dim),
        conditions=tuple(
            Condition(name=name, mean=1.0, std=2.0) for name in ("logP", "QED")[:conditions]
        ),
    )
    return LatentSpace(model, card, name=kind)


@with_vectors
def test_space_of_every_kind_encodes_decodes_inverts_and_tunes(
    kind: str, conditions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "MIN_STEPS", 3)
    monkeypatch.setattr(tuning, "N_REHEARSED", 5)
    space = space_of_kind(kind, conditions)
    z = space.encode(MOLECULES)
    assert z.shape == (5, KINDS[kind].latent_dim + conditions)
    torch.testing.assert_close(z[3:], space.encode(MOLECULES[3:]), atol=1e-5, rtol=0)
    assert len(space.decode(z)) == 5
    mean, std = space.posterior(MOLECULES)
    assert mean.shape == std.shape == z.shape
    assert bool(torch.isfinite(std).all())
    assert len(space.generate(4, seed=0)) == 4
    assert space.invert(MOLECULES[:2]).shape == z[:2].shape
    tuned = space.tuned(MOLECULES[:2])
    torch.testing.assert_close(tuned.encode(MOLECULES), z)


@pytest.mark.parametrize(
    ("kind", "conditions"), [("recurrent", 2), ("transformer", 0), ("flow", 1), ("language", 1)]
)
def test_refine_posterior_samples_raises_the_likelihood_of_the_molecules(
    kind: str, conditions: int
) -> None:
    space = space_of_kind(kind, conditions)

    def likelihood(steps: int) -> Tensor:
        # With a weight that leaves the prior no say, chains climb up the likelihood.
        z = space.refine_posterior_samples(MOLECULES, steps=steps, weight=30.0).float()
        assert z.shape == (5, space.dim)
        ids = pad([space.token_ids(molecule) for molecule in MOLECULES])
        with torch.no_grad():
            return -reconstruction(space.model.logits(z, ids), ids)

    after = likelihood(6)
    assert float(after.sum()) > float(likelihood(0).sum())
    assert torch.equal(after, likelihood(6))


def test_refine_posterior_samples_improves_reconstruction() -> None:
    space = load("qm9")
    molecules = [m for m in space.generate(40, seed=4) if m and space.can_encode([m])[0]]

    def back(steps: int) -> int:
        z = space.refine_posterior_samples(molecules, steps=steps, seed=1)
        return sum(a == b for a, b in zip(space.decode(z), molecules, strict=True))

    lost, found = len(molecules) - back(0), len(molecules) - back(6)
    assert found < lost


def test_refine_posterior_samples_with_invalid_settings_raises_or_warns() -> None:
    space = space_of_kind("recurrent")
    for wrong, message in (
        ({"step": 0.0}, "step must be a positive number"),
        ({"weight": -1.0}, "weight must be a positive number"),
        ({"steps": -1}, "steps must be a whole number from 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            space.refine_posterior_samples(MOLECULES, **wrong)
    with pytest.warns(MolvaeWarning, match="of the moves were accepted"):
        space.refine_posterior_samples(MOLECULES, step=1_000.0)
    with pytest.raises(ConfigError, match="does not say how far"):
        space_of_kind("point").refine_posterior_samples(MOLECULES)
    with pytest.raises(ConfigError, match="language model"):
        space_of_kind("language").refine_posterior_samples(MOLECULES)
    assert space.refine_posterior_samples([]).shape == (0, 4)


@pytest.mark.parametrize("kind", ["recurrent", "flow", "language", "transformer language"])
def test_log_prob_is_in_the_order_of_the_molecules(kind: str) -> None:
    space = space_of_kind(kind)
    bound = space.log_prob(MOLECULES, k=20)
    assert bool((bound < 0).all())
    if KINDS[kind].latent_dim == 0:  # exact
        torch.testing.assert_close(space.log_prob(MOLECULES[::-1], k=1), bound.flip(0))


def test_log_prob_of_an_autoencoder_raises() -> None:
    with pytest.raises(ConfigError, match="autoencoder"):
        space_of_kind("point").log_prob(MOLECULES)
