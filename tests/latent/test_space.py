"""`LatentSpace` of the bundled models: encode, decode, generate, `log_prob`, invert and tune."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import molvae
from molvae.chem.datasets import sample_molecules
from molvae.chem.molecules import canonical, has_radicals
from molvae.errors import (
    ConfigError,
    InvalidMoleculeError,
    MolvaeWarning,
    TooLongError,
    UnknownNameError,
    UnknownTokenError,
)
from molvae.latent.loading import list_models
from molvae.latent.space import LatentSpace

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.fixture(scope="module")
def molecules() -> list[str]:
    return sample_molecules("zinc250k", 60, seed=1)


def test_bundled_models_are_below_10_mb_and_complete() -> None:
    assert "zinc250k" in list_models()
    for name in list_models():
        folder = Path(molvae.__file__).parent / "weights" / name
        names = {path.name for path in folder.iterdir()}
        more = ("prior", "precedents", "acceptance", "reference")
        assert names - {f"{one}.safetensors" for one in more} == {"model.json", "model.safetensors"}
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 10e6


def test_space_pickled_or_copied_gives_the_same_results() -> None:
    space = molvae.load("qm9")
    z = space.encode(["CCO", "CCN"])
    for other in (pickle.loads(pickle.dumps(space)), copy.deepcopy(space)):
        assert other.generate(3, seed=1) == space.generate(3, seed=1)
        assert torch.equal(other.encode(["CCO", "CCN"]), z)
        assert torch.equal(other.density_percentile(z), space.density_percentile(z))


def test_encode_keeps_the_order_of_molecules_of_any_length(
    space: LatentSpace, molecules: list[str]
) -> None:
    z = space.encode(molecules)
    assert z.shape == (60, space.dim)
    assert z.dtype == torch.float64
    assert z.device.type == "cpu"
    backwards = space.encode(molecules[::-1])
    torch.testing.assert_close(z, backwards.flip(0), atol=1e-5, rtol=0)


def test_encode_of_two_spellings_is_equal(space: LatentSpace) -> None:
    z = space.encode([ASPIRIN, "OC(=O)c1ccccc1OC(C)=O"])
    assert torch.equal(z[0], z[1])


def test_decode_of_encodings_gives_most_molecules_back(
    space: LatentSpace, molecules: list[str]
) -> None:
    back = space.decode(space.encode(molecules))
    assert sum(a == b for a, b in zip(molecules, back, strict=True)) >= 36


def test_decode_gives_one_canonical_molecule_per_vector(space: LatentSpace) -> None:
    decoded = space.decode(space.sample_prior(200, seed=4))
    assert len(decoded) == 200
    # RDKit alone would give some of them another SMILES when they are read again.
    assert all(s is not None and canonical(s) == s for s in decoded)
    assert len(set(decoded)) > 180
    assert space.decode(space.sample_prior(200, seed=4)) == decoded
    assert space.decode(torch.empty(0, space.dim)) == []


def test_decode_accepts_a_single_vector_and_a_numpy_array(space: LatentSpace) -> None:
    z = space.encode([ASPIRIN])
    assert space.decode(z[0]) == space.decode(z) == space.decode(z.numpy())  # type: ignore[arg-type]


def test_decode_with_temperature_is_reproducible_by_seed(space: LatentSpace) -> None:
    z = space.encode([ASPIRIN]).expand(40, -1)
    first = space.decode(z, temperature=1.0, seed=1)
    assert first == space.decode(z, temperature=1.0, seed=1)
    assert first != space.decode(z, temperature=1.0, seed=2)
    with pytest.raises(ConfigError, match="temperature must be a number from 0"):
        space.decode(z, temperature=-1.0)


def test_sample_prior_and_generate_depend_on_their_seed_alone(space: LatentSpace) -> None:
    state = torch.get_rng_state()
    z = space.sample_prior(1000, seed=3)
    made = space.generate(20, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(z, space.sample_prior(1000, seed=3))
    assert not torch.equal(z, space.sample_prior(1000, seed=4))
    assert z.shape == (1000, space.dim)
    assert z.dtype == torch.float64
    assert made == space.generate(20, seed=3) != space.generate(20, seed=4)


def test_sample_prior_has_the_spread_of_encoded_molecules(
    space: LatentSpace, molecules: list[str]
) -> None:
    mean, std = space.posterior(molecules)
    z = space.sample_prior(5000)
    expected = (mean.var(dim=0) + std.square().mean(dim=0)).sqrt().mean()
    assert float(z.std(dim=0).mean()) == pytest.approx(float(expected), rel=0.15)


def test_generate_follows_noise_temperature_and_redraw(space: LatentSpace) -> None:
    quiet = space.generate(30, seed=1, noise=0, redraw=False)
    written = space.decode(space.sample_prior(30, seed=1))
    assert quiet == [None if has_radicals(m) else m for m in written if m is not None]
    assert space.generate(30, seed=1) != quiet
    assert space.generate(30, seed=1, noise=1, temperature=1.0) != space.generate(30, seed=1)
    assert space.generate(0) == []
    mended = space.generate(200, seed=1, redraw=False)
    changed = [a != b for a, b in zip(mended, space.generate(200, seed=1), strict=True)]
    assert 0 < sum(changed) < 60
    for wrong in ({"noise": 1.5}, {"noise": -0.1}, {"n": -1}):
        with pytest.raises(ConfigError, match=r"noise must lie|whole number"):
            space.generate(**({"n": 3} | wrong))


def test_log_prob_grows_with_k_and_is_low_for_odd_molecules(
    space: LatentSpace, molecules: list[str]
) -> None:
    few = space.log_prob(molecules[:20], k=1)
    many = space.log_prob(molecules[:20], k=50)
    assert few.shape == (20,)
    assert few.dtype == torch.float64
    assert float(many.mean()) > float(few.mean())
    odd = space.log_prob(["FC1(F)C2=CC1=C2OSSN=C1NC1=S", "C1=CC2=CC1=CC=C2C#CC#CC#CF"], k=50)
    assert float(odd.max()) < float(many.mean())
    assert torch.equal(many, space.log_prob(molecules[:20], k=50))
    with pytest.raises(ConfigError, match=r"k .* from 1"):
        space.log_prob(["CCO"], k=0)
    assert space.log_prob([]).shape == (0,)


def test_bounds_hold_most_encoded_molecules(space: LatentSpace, molecules: list[str]) -> None:
    z = space.encode(molecules)
    inside = (z >= space.bounds[0]) & (z <= space.bounds[1])
    assert space.bounds.shape == (2, space.dim)
    assert inside.double().mean() > 0.95


def test_encode_unknown_token_raises_with_position_and_molecule(space: LatentSpace) -> None:
    with pytest.raises(UnknownTokenError) as caught:
        space.encode(["CCO", "CC[Se]CC"])
    assert (caught.value.token, caught.value.position) == ("[Se]", 2)
    assert caught.value.molecule == "CC[Se]CC"


def test_encode_skip_unknown_gives_nan_rows_and_warns(space: LatentSpace) -> None:
    smiles = ["CCO", "CC[Se]CC", "C" * 300, "CCN"]
    with pytest.warns(MolvaeWarning, match="2 of 4"):
        z = space.encode(smiles, skip_unknown=True)
    assert z.isnan().all(dim=1).tolist() == [False, True, True, False]
    assert torch.equal(z[[0, 3]], space.encode(["CCO", "CCN"]))
    assert space.can_encode(smiles) == [True, False, False, True]


def test_encode_of_invalid_or_too_long_molecule_raises(space: LatentSpace) -> None:
    with pytest.raises(InvalidMoleculeError):
        space.encode(["CCO", "C(("])
    with pytest.raises(InvalidMoleculeError):
        space.encode(["C(("], skip_unknown=True)
    with pytest.raises(TooLongError, match=r"\d+ tokens"):
        space.encode(["C" * 300])
    with pytest.raises(ConfigError, match=r"\[smiles\]"):
        space.encode("CCO")


@pytest.mark.parametrize("nothing", [[], (), torch.empty(0), torch.empty(0, 128)])
def test_decode_of_no_vectors_gives_no_molecules(space: LatentSpace, nothing: Any) -> None:
    nothing = nothing[:, : space.dim] if getattr(nothing, "ndim", 1) == 2 else nothing
    assert space.decode(nothing) == []
    assert len(space.predict(nothing)) == 0


def test_predict_accepts_smiles_in_any_container(space: LatentSpace) -> None:
    expected = space.predict([ASPIRIN, "CCO"]).to_numpy()
    for given in (np.array([ASPIRIN, "CCO"]), iter([ASPIRIN, "CCO"]), pd.Series([ASPIRIN, "CCO"])):
        assert (space.predict(given) == expected).all(axis=None)
    assert (space.predict(list(space.encode([ASPIRIN, "CCO"]))) == expected).all(axis=None)


@pytest.mark.parametrize("given", [None, 3, b"CCO", "CCO"])
def test_encode_of_no_list_of_molecules_raises(space: LatentSpace, given: Any) -> None:
    for method in (space.encode, space.predict, space.can_encode):
        with pytest.raises(ConfigError, match="expected a list of SMILES"):
            method(given)


@pytest.mark.parametrize(
    "z", [torch.zeros(3, 5), torch.zeros(2, 2, 64), 3.0, None, torch.zeros(1, 64) * 1j]
)
def test_decode_of_vectors_of_wrong_shape_raises(space: LatentSpace, z: Any) -> None:
    with pytest.raises(ConfigError, match=f"n x {space.dim}"):
        space.decode(z)


def test_decode_of_vectors_with_nan_raises(space: LatentSpace) -> None:
    with pytest.raises(ConfigError, match="not finite"):
        space.decode(torch.full((1, space.dim), torch.nan))


def test_load_of_unknown_model_suggests_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'zinc250k'"):
        molvae.load("zink250k")
    with pytest.raises(UnknownNameError):
        molvae.load(tmp_path / "nothing")


@pytest.mark.parametrize("model", [None, 3, ["druglike"]])
def test_load_of_what_is_no_name_names_the_models(model: Any) -> None:
    with pytest.raises(ConfigError, match="druglike, qm9, qm9-v2, zinc250k"):
        molvae.load(model)


def test_functions_of_a_space_given_a_name_raise_config_error() -> None:
    name: Any = "qm9"
    for work in (
        lambda: molvae.tune(name, ["CCO"]),
        lambda: molvae.analysis.interpolate(name, "CCO", "CCC"),
        lambda: molvae.analysis.neighbors(name, "CCO"),
        lambda: molvae.analysis.project(name, ["CCO", "CCC", "CCN"]),
        lambda: molvae.analysis.head_direction(name, "QED"),
    ):
        with pytest.raises(ConfigError, match=r"molvae\.load"):
            work()


ODD = (
    "CC1CCC(C(C)C)C(O)C1",
    "Nc1cccc(S(=O)(=O)Nc2cccc(OS(=O)(=O)N3CCN(C#CNc4ncccn4)C3)c2)c1",
    "CCC[C@H](C)[C@@H]1CCCC[C@@H]1C(=O)C(=O)C(=O)C(O)Nc1cccc(Cn2ccnc2CC)c1",
    "Cc1cccc(N(C)C(=O)C=C=C2NC(=O)c3ccccc3N2)c1",
    "Cc1ccc(S(=O)(=O)c2cc(-c3ccc(C(F)(F)F)cc3)nn2[O-])cc1",
    "CCO",
)
"""What searches came upon; the encoder has seen nothing of the kind."""


def decodes_to_odd_molecules(space: LatentSpace, z: torch.Tensor) -> list[bool]:
    """Which of the odd molecules vectors decode to."""
    molecules = [canonical(text) for text in ODD]
    return [a == b for a, b in zip(space.decode(z), molecules, strict=True)]


def test_invert_of_odd_molecules_decodes_to_more_of_them_than_encode(
    space: LatentSpace,
) -> None:
    encoded, inverted = space.encode(ODD), space.invert(ODD)
    by_encoding, by_inversion = (
        decodes_to_odd_molecules(space, encoded),
        decodes_to_odd_molecules(space, inverted),
    )
    assert sum(by_encoding) <= 3
    assert sum(by_inversion) >= 5
    # What decodes as it should is left as it is.
    assert torch.equal(inverted[by_encoding], encoded[by_encoding])
    with pytest.warns(MolvaeWarning, match="1 of 2"):
        assert torch.isnan(space.invert(["[Au]", "CCO"], skip_unknown=True)[0]).all()
    with pytest.raises(UnknownTokenError):
        space.invert(["[Au]"])
    assert space.invert([]).shape == (0, space.dim)


@pytest.mark.slow
def test_tuned_decodes_odd_molecules_and_keeps_the_encoder(
    space: LatentSpace,
) -> None:
    drawn = torch.random.get_rng_state()
    before = {name: tensor.clone() for name, tensor in space.model.state_dict().items()}
    tuned = space.tuned([*ODD, "[Au]"], seed=1)  # gold cannot be read and is left out
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert all(torch.equal(before[k], tensor) for k, tensor in space.model.state_dict().items())
    z = space.encode(ODD)
    assert torch.equal(tuned.encode(ODD), z)
    assert sum(decodes_to_odd_molecules(space, z)) <= 3
    assert sum(decodes_to_odd_molecules(tuned, z)) >= 5
    # It has not forgotten the others.
    known = sample_molecules("zinc250k", 40, seed=3)
    kept = [a == b for a, b in zip(tuned.decode(tuned.encode(known)), known, strict=True)]
    assert sum(kept) >= 24
    assert space.tuned(["[Au]"]) is space


def test_tuned_with_the_same_seed_gives_the_same_weights(
    space: LatentSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.latent.tuning.MIN_STEPS", 2)
    monkeypatch.setattr("molvae.latent.tuning.N_REHEARSED", 5)
    one, again = (space.tuned(["CCO"], seed=1) for _ in range(2))
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.model.parameters(), again.model.parameters(), strict=True)
    )
