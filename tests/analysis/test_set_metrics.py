"""`distribution_metrics` and its measures: equal to hand calculation, and valid for any set."""

from __future__ import annotations

import math
import pickle
import sys
import warnings
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molvae.analysis import chemnet
from molvae.analysis import set_metrics as module
from molvae.analysis.set_metrics import (
    chemnet_statistics,
    distribution_metrics,
    frechet_chemnet_distance,
)
from molvae.chem import filters, properties
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.molecules import parse
from molvae.chem.properties import PROPERTIES, Property, score
from molvae.errors import (
    ConfigError,
    DataError,
    InvalidMoleculeError,
    MissingPackageError,
    UnknownNameError,
)
from tests.chem.molecules import molecules, zinc

SOME = list(zinc()[:8])
OTHERS = list(zinc()[8:16])
INVALID = [None, "", "C1CC", "nonsense", "CN(C)(C)(C)C"]
OF_ONE = ("validity", "uniqueness", "internal_diversity", "filter_pass_rate")
OF_TWO = ("scaffold_similarity", "nearest_neighbor_similarity")


def metric(name, smiles, reference=None, **settings):
    return distribution_metrics(smiles, reference, names=[], **settings)[name]


def novelty(smiles, training, **settings):
    return metric("novelty", smiles, training=training, **settings)


def internal_diversity(smiles):
    return metric("internal_diversity", smiles)


def scaffold_similarity(smiles, reference):
    return metric("scaffold_similarity", smiles, reference)


def nearest_neighbor_similarity(smiles, reference):
    return metric("nearest_neighbor_similarity", smiles, reference)


def filter_pass_rate(smiles, catalogs=("PAINS", "BRENK")):
    return metric("filter_pass_rate", smiles, catalogs=catalogs)


some_molecules = st.lists(molecules, min_size=1, max_size=5)


def respelled(smiles: list[str], seed: int = 0) -> list[str]:
    """The same molecules from another atom, in another order."""
    texts = [Chem.MolToRandomSmilesVect(parse(text), 1, randomSeed=seed + 1)[0] for text in smiles]
    Random(seed).shuffle(texts)
    return texts


def test_validity_uniqueness_and_novelty_equal_hand_calculation():
    given = ["CCO", None, "OCC", "C1CC", "CCN", ""]
    assert metric("validity", given) == 3 / 6
    assert metric("uniqueness", given) == 2 / 3
    assert novelty(given, ["C(O)C", "c1ccccc1"]) == 1 / 2
    assert novelty(given, ["c1ccccc1"]) == 1
    assert novelty(given, {"NCC", "OCC"}) == 0


def test_novelty_assume_canonical_does_not_parse_the_reference():
    assert novelty(["OCC", "CCN"], {"CCO"}, assume_canonical=True) == 1 / 2
    assert novelty(["OCC", "CCN"], {"OCC"}, assume_canonical=True) == 1


def test_internal_diversity_equals_hand_calculation():
    # Ethane has the bits [CH3] and [CH3 next to CH3]; propane [CH3], [CH2], [CH3 next to CH2] and
    # [CH2 between CH3]; one of five is common.
    assert internal_diversity(["CC", "CCC"]) == pytest.approx(1 - (1 + 1 + 0.2 + 0.2) / 4)
    assert internal_diversity(["C", "O"]) == pytest.approx(1 / 2)
    assert internal_diversity(["C"]) == 0
    assert internal_diversity(["CCO", "OCC", None]) == 0


def test_similarity_metrics_are_independent_of_the_block_size(monkeypatch):
    similar = tanimoto(morgan_bits(SOME), morgan_bits(SOME))
    to_others = tanimoto(morgan_bits(SOME), morgan_bits(OTHERS))
    for block in (3, 8, 1_000):
        monkeypatch.setattr(module, "BLOCK_SIZE", block)
        assert internal_diversity(SOME) == pytest.approx(1 - similar.mean())
        found = nearest_neighbor_similarity(SOME, OTHERS)
        assert found == pytest.approx(to_others.max(axis=1).mean())


def test_nearest_neighbor_similarity_equals_hand_calculation():
    assert nearest_neighbor_similarity(["CC", "CCC", None], ["O", "CCC"]) == pytest.approx(0.6)
    assert nearest_neighbor_similarity(["CC"], ["O"]) == 0


def test_scaffold_similarity_equals_hand_calculation():
    # Naphthalene twice and biphenyl once, against once and twice: (2, 1).(1, 2) / 5. Toluene has
    # one ring and ethanol none.
    given = ["Cc1ccc2ccccc2c1", "Oc1cccc2ccccc12", "Fc1ccccc1-c1ccccc1", "Cc1ccccc1", "CCO"]
    reference = ["Nc1ccc2ccccc2c1", "Clc1ccccc1-c1ccccc1", "CCOc1ccc(cc1)-c1ccccc1", "CCN"]
    assert scaffold_similarity(given, reference) == pytest.approx(4 / 5)


def test_scaffold_similarity_uses_linkers_but_no_substituents():
    assert scaffold_similarity(["c1ccccc1-c1ccccc1"], ["c1ccccc1Cc1ccccc1"]) == 0
    assert scaffold_similarity(["Cc1ccccc1-c1ccccc1"], ["c1ccccc1-c1cccc(C(=O)O)c1"]) == 1


def test_scaffold_similarity_without_scaffolds_is_nan():
    assert math.isnan(scaffold_similarity(["CCO"], ["c1ccccc1-c1ccccc1"]))
    assert math.isnan(scaffold_similarity(["c1ccccc1-c1ccccc1"], ["c1ccccc1"]))


def test_filter_pass_rate_equals_hand_calculation():
    quinone, aldehyde, clean = "O=C1C=CC(=O)C=C1", "O=Cc1ccccc1", "CC(=O)NC1CCCCC1"
    given = [quinone, aldehyde, clean, clean, None]
    assert filter_pass_rate(given) == 2 / 4
    assert filter_pass_rate(given, ["pains"]) == 3 / 4
    assert filter_pass_rate([aldehyde], ["PAINS"]) == 1
    assert filter_pass_rate([aldehyde], ["BRENK"]) == 0


def test_distribution_metrics_property_statistics_equal_hand_calculation():
    found = distribution_metrics(["C", "CC", None, "CCCCCC"], names=["heavy_atoms", "rings"])
    assert (found["heavy_atoms_mean"], found["heavy_atoms_missing"]) == (3, 0)
    assert found["heavy_atoms_std"] == pytest.approx(math.sqrt((4 + 1 + 9) / 3))
    assert (found["rings_mean"], found["rings_std"], found["rings_missing"]) == (0, 0, 0)


def distances(smiles, reference, name="heavy_atoms"):
    found = distribution_metrics(smiles, reference, names=[name])
    return tuple(found[f"{name}_{what}"] for what in ("wasserstein", "shift_in_stds", "std_ratio"))


def test_distribution_metrics_property_distances_equal_hand_calculation():
    # In order, 1 goes to 3 and 2 to 5.
    assert distances(["CC", "C"], ["CCCCC", "CCC"]) == (2.5, -2.5, 0.5)
    # Half of the reference is where the set is, half of it 2 away.
    assert distances(["C"], ["C", "CCC"]) == (1, -1, 0)


def test_distribution_metrics_default_to_logp_sas_and_qed():
    found = distribution_metrics(SOME)
    values = score(SOME, ["logP", "SAS", "QED"])
    for name, column in zip(("logP", "SAS", "QED"), values.T, strict=True):
        assert found[f"{name}_mean"] == pytest.approx(column.mean())
        assert found[f"{name}_std"] == pytest.approx(column.std())


def test_distribution_metrics_count_failed_properties(monkeypatch):
    def broken(mol: Chem.Mol) -> float:
        if mol.GetNumAtoms() > 2:
            raise ValueError("too large")
        return float(mol.GetNumAtoms())

    made = Property(name="MW", label="", unit="", compute=broken, doc="")
    monkeypatch.setitem(PROPERTIES, "MW", made)
    found = distribution_metrics(["C", "CC", "CCC"], names=["MW"])
    assert (found["MW_mean"], found["MW_std"], found["MW_missing"]) == (1.5, 0.5, 1)
    assert distances(["C", "CC", "CCC"], ["CC", "C"], "MW") == (0, 0, 1)
    assert all(map(math.isnan, distances(["CCC"], ["C", "CC"], "MW")))
    nothing = distribution_metrics(["CCC"], names=["MW"])
    assert math.isnan(nothing["MW_mean"])
    assert nothing["MW_missing"] == 1


def test_distribution_metrics_shift_of_constant_reference_is_nan():
    wasserstein, shift, ratio = distances(["C", "CC"], ["CCC", "CCC"])
    assert wasserstein == 1.5
    assert math.isnan(shift)
    assert math.isnan(ratio)


@pytest.mark.parametrize("smiles", [[], INVALID])
def test_distribution_metrics_without_valid_molecules_are_nan(smiles):
    found = distribution_metrics(smiles, SOME[:2], SOME[:2])
    assert (found["texts"], found["molecules"]) == (len(smiles), 0)
    assert found["validity"] == 0 if smiles else math.isnan(found["validity"])
    for name in (*OF_ONE[1:], *OF_TWO, "novelty", "QED_mean", "QED_wasserstein"):
        assert math.isnan(found[name]), name


def test_distribution_metrics_invalid_texts_change_validity_only():
    pure, mixed = (
        distribution_metrics(texts, OTHERS[:3], SOME[:2])
        for texts in (SOME[:4], [INVALID[0], *SOME[:2], *INVALID[1:], *SOME[2:4]])
    )
    assert (pure.pop("texts"), pure.pop("validity")) == (4, 1)
    assert (mixed.pop("texts"), mixed.pop("validity")) == (9, 4 / 9)
    assert mixed == pytest.approx(pure, nan_ok=True)


@pytest.mark.parametrize("measure", [distribution_metrics, frechet_chemnet_distance])
def test_metrics_with_invalid_reference_raise(measure, tiny_chemnet):
    with pytest.raises(InvalidMoleculeError, match=r"reference, molecule 2 of 3: .*ring"):
        measure(["CCO"], ["CC", "C1CC", "O"])
    with pytest.raises(DataError, match="reference holds no molecules"):
        measure(["CCO"], [])
    with pytest.raises(ConfigError, match=r"use \[reference\]"):
        measure(["CCO"], "CCO")


def test_distribution_metrics_with_invalid_training_molecule_raise():
    with pytest.raises(InvalidMoleculeError, match="training, molecule 1 of 1"):
        distribution_metrics(["CCO"], training=[""])


def test_metrics_of_a_single_text_raise():
    with pytest.raises(ConfigError, match=r"use \[smiles\]"):
        distribution_metrics("CCO")
    with pytest.raises(ConfigError, match=r"use \[name\]"):
        filter_pass_rate(["C"], "PAINS")
    with pytest.raises(ConfigError, match=r"use \[training\]"):
        novelty(["CCO"], "CCO", assume_canonical=True)


def test_metrics_with_invalid_settings_raise():
    with pytest.raises(ConfigError, match="no catalogs"):
        filter_pass_rate(["C"], [])
    with pytest.raises(UnknownNameError, match="did you mean 'PAINS'"):
        filter_pass_rate(["C"], ["PAIN"])
    with pytest.raises(UnknownNameError, match="did you mean 'QED'"):
        distribution_metrics(["C"], names=["QEDD"])
    with pytest.raises(ConfigError, match="workers"):
        distribution_metrics(["C"], workers=0)


def test_distribution_metrics_with_workers_are_unchanged(monkeypatch):
    sent = []

    def elsewhere(function, items, *, workers):
        assert workers == 2
        sent.append(function)
        there, things = pickle.loads(pickle.dumps((function, items)))
        return [pickle.loads(pickle.dumps(there(thing))) for thing in things]

    given = [*SOME[:3], None, "nonsense"]
    alone = distribution_metrics(given, OTHERS[:2], SOME[:1], workers=1)

    monkeypatch.setattr(module, "parallel_map", elsewhere)
    monkeypatch.setattr(filters, "parallel_map", elsewhere)
    monkeypatch.setattr(properties, "parallel_map", elsewhere)
    assert distribution_metrics(given, OTHERS[:2], SOME[:1], workers=2) == pytest.approx(
        alone, nan_ok=True
    )
    # Reading three sets, properties and scaffolds of two, alerts of one.
    assert len(sent) == 3 + 2 + 2 + 1


def test_distribution_metrics_are_independent_of_spelling_and_order():
    first = distribution_metrics(SOME, OTHERS, SOME[:2])
    again = distribution_metrics(respelled(SOME), respelled(OTHERS), respelled(SOME[:2]))
    assert again == pytest.approx(first, nan_ok=True)


def test_distribution_metrics_of_equal_sets_are_perfect():
    found = distribution_metrics(SOME, respelled(SOME), respelled(SOME))
    assert found["novelty"] == 0
    assert found["uniqueness"] == 1
    assert found["nearest_neighbor_similarity"] == 1
    assert found["scaffold_similarity"] == pytest.approx(1)
    for name in ("logP", "SAS", "QED"):
        assert found[f"{name}_wasserstein"] == pytest.approx(0)
        assert found[f"{name}_shift_in_stds"] == pytest.approx(0)
        assert found[f"{name}_std_ratio"] == pytest.approx(1)


def test_distribution_metrics_has_the_requested_keys_only():
    given = [*SOME[:3], None]
    statistics = {f"{n}_{w}" for n in ("logP", "SAS", "QED") for w in ("mean", "std", "missing")}
    assert set(distribution_metrics(given)) == {"texts", "molecules", *OF_ONE} | statistics
    found = distribution_metrics(given, OTHERS[:3], SOME[:1], names=["MW"])
    assert found["novelty"] == 2 / 3
    assert {*OF_TWO, "MW_wasserstein", "MW_shift_in_stds", "MW_std_ratio"} <= set(found)
    assert "QED_mean" not in found


@given(some_molecules, some_molecules)
@settings(deadline=None, max_examples=25)
def test_distribution_metrics_of_any_sets_lie_in_their_ranges(smiles, reference):
    found = distribution_metrics(smiles, reference, reference)
    assert found["validity"] == 1
    assert 1 / len(smiles) <= found["uniqueness"] <= 1
    assert 0 <= found["novelty"] <= 1
    assert 0 <= found["internal_diversity"] <= 1 - 1 / len(smiles) + 1e-9
    assert 0 <= found["filter_pass_rate"] <= 1
    assert 0 <= found["nearest_neighbor_similarity"] <= 1
    similarity = found["scaffold_similarity"]
    assert math.isnan(similarity) or 0 <= similarity <= 1
    for name in ("logP", "SAS", "QED"):
        difference = found[f"{name}_mean"] - score(reference, [name]).mean()
        # The distance is at least that of the means.
        assert found[f"{name}_wasserstein"] >= abs(difference) - 1e-9
    if found["novelty"] == 0:
        assert found["nearest_neighbor_similarity"] == 1


@given(some_molecules)
@settings(deadline=None, max_examples=15)
def test_distribution_metrics_of_a_repeated_set_change_uniqueness_only(smiles):
    once, twice = (
        distribution_metrics(smiles, SOME[:2]),
        distribution_metrics([*smiles, *smiles], SOME[:2]),
    )
    for name in once:
        if name not in ("texts", "molecules", "uniqueness"):
            # A sum of squared rounding errors is large under a root.
            assert twice[name] == pytest.approx(once[name], abs=1e-6, nan_ok=True), name
    assert twice["uniqueness"] == pytest.approx(once["uniqueness"] / 2)


def test_internal_diversity_is_lower_for_similar_molecules():
    alike = ["CCCCO", "CCCCCO", "CCCCCCO"]
    assert internal_diversity(alike) < internal_diversity(["CCCCO", "c1ccncc1", "FC(F)(F)Cl"])


ACTIVATIONS = {
    "C": (0, 0),
    "CC": (2, 0),
    "CCC": (8, 0),
    "CCCC": (0, 2),
}


@pytest.fixture
def tiny_chemnet(monkeypatch):
    """A network of two activations in place of the package fcd; returns what it is asked."""
    asked = []

    def get_predictions(model, smiles, *, n_jobs, device):
        assert (n_jobs, device) == (0, "cpu")
        asked.append(smiles)
        return np.array([ACTIVATIONS[text] for text in smiles], dtype=np.float32)

    fake = SimpleNamespace(get_predictions=get_predictions, load_ref_model=lambda: None)
    monkeypatch.setitem(sys.modules, "fcd", fake)
    return asked


def test_frechet_chemnet_distance_equals_hand_calculation(tiny_chemnet):
    # Means 1 and 4, variances 2 and 32 along one axis: 9 + (sqrt 2 - sqrt 32)².
    assert frechet_chemnet_distance(["C", "CC"], ["C", "CCC"]) == pytest.approx(9 + 18)
    # Means (1, 0) and (0, 1), variances 2 along either axis: nothing in common.
    assert frechet_chemnet_distance(["C", "CC"], ["C", "CCCC"]) == pytest.approx(2 + 4)
    assert frechet_chemnet_distance(["CC", "C"], ["C", "CC"]) == pytest.approx(0)


def test_chemnet_statistics_predict_repeated_molecules_once(tiny_chemnet):
    made = chemnet_statistics(["CC", "C", "CC", "CC"])
    assert tiny_chemnet == [["C", "CC"]]
    assert made.n == 4
    assert made.mean.tolist() == [1.5, 0]
    assert made.covariance == pytest.approx(np.array([[1, 0], [0, 0]]))


def test_frechet_chemnet_distance_reuses_reference_statistics(tiny_chemnet):
    reference = chemnet_statistics(["C", "CCC"])
    first = frechet_chemnet_distance(["C", "CC"], reference)
    found = distribution_metrics(["C", None, "CC"], fcd=reference)
    assert found["frechet_chemnet_distance"] == first == pytest.approx(27)
    assert tiny_chemnet == [["C", "CCC"], ["C", "CC"], ["C", "CC"]]
    assert (
        distribution_metrics(["C", "CC"], ["C", "CCC"], fcd=True)["frechet_chemnet_distance"]
        == first
    )


def test_frechet_chemnet_distance_of_fewer_than_2_molecules_is_nan_or_raises(tiny_chemnet):
    assert math.isnan(frechet_chemnet_distance(["C", None], ["C", "CC"]))
    assert math.isnan(frechet_chemnet_distance([], ["C", "CC"]))
    with pytest.raises(DataError, match="at least 2 molecules"):
        frechet_chemnet_distance(["C", "CC"], ["C"])
    with pytest.raises(DataError, match="at least 2 molecules"):
        distribution_metrics(["C", "CC"], ["C"], fcd=True)
    with pytest.raises(ConfigError, match="needs a reference"):
        distribution_metrics(["C", "CC"], fcd=True)


def test_metrics_without_fcd_raise_with_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "fcd", None)
    reference = chemnet.ChemNetStatistics(n=2, mean=np.zeros(2), covariance=np.eye(2))
    for call in (
        lambda: frechet_chemnet_distance(["C", "CC"], reference),
        lambda: frechet_chemnet_distance(["C", "CC"], ["C", "CC"]),
        lambda: chemnet_statistics(["C", "CC"]),
        lambda: distribution_metrics(["C", "CC"], ["C", "CC"], fcd=True),
    ):
        with pytest.raises(MissingPackageError, match=r"pip install 'molvae\[fcd\]'"):
            call()
    assert "frechet_chemnet_distance" not in distribution_metrics(["C"], ["C"])


def test_frechet_chemnet_distance_equals_the_fcd_package():
    fcd = pytest.importorskip("fcd")
    import torch

    state = torch.get_rng_state()
    reference = chemnet_statistics(OTHERS)
    assert reference.mean.shape == (512,)
    found = frechet_chemnet_distance(SOME, reference)
    assert torch.equal(torch.get_rng_state(), state)
    assert frechet_chemnet_distance(respelled(SOME), reference) == found
    assert frechet_chemnet_distance(OTHERS, reference) == pytest.approx(0, abs=1e-4)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fcd.load_ref_model()
        sides = [
            fcd.get_predictions(model, smiles, n_jobs=0, device="cpu").astype(np.float64)
            for smiles in (SOME, OTHERS)
        ]
        # Its square root wants covariances that are not singular, so a few activations only.
        a, b = (side[:, np.argsort(-sides[0].var(axis=0))[:5]] for side in sides)
        expected = fcd.calculate_frechet_distance(
            a.mean(axis=0), np.cov(a.T), b.mean(axis=0), np.cov(b.T)
        )
    assert found > expected > 0
    few = [
        chemnet.ChemNetStatistics(n=len(side), mean=side.mean(axis=0), covariance=np.cov(side.T))
        for side in (a, b)
    ]
    assert chemnet.frechet(*few) == pytest.approx(expected, rel=1e-6)
