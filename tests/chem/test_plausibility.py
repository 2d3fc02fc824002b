"""`Plausibility.findings`: faults that a chemist would name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from molvae.chem.cores import core_of
from molvae.chem.plausibility import Plausibility
from molvae.chem.precedents import FILE_NAME, Precedents, of_model, zinc250k
from tests.chem.molecules import zinc
from tests.chem.test_unstable_groups import DRUGS

KNOWN = Precedents.of(["c1ccccc1CC(=O)O", "C1CCNCC1", "CCOC"], workers=1)
DEFAULT = Plausibility(precedents=zinc250k(), heavy_atoms=zinc250k().heavy_atoms)


def test_findings_of_a_molecule_name_its_faults() -> None:
    assert DEFAULT.findings("CC(=O)Nc1ccc(OCC2CCCCC2)cc1") == []
    assert DEFAULT.findings("CCCCO") == ["5 heavy atoms"]
    assert "peroxide" in DEFAULT.findings("CC(=O)Nc1ccc(OOCC2CCCCC2)cc1")
    rings = Plausibility(catalogs=(), precedents=KNOWN)
    assert rings.findings("C1CC1") == ["unseen ring C1CC1"]
    assert rings.findings("CSC") == ["unseen environment CS", "unseen environment CSC"]


def test_accepts_is_true_exactly_without_findings() -> None:
    for smiles in (*zinc(100), "CCO", "CC(=O)Nc1ccc(OOCC2CCCCC2)cc1"):
        assert DEFAULT.accepts(smiles) == (DEFAULT.findings(smiles) == [])


def test_for_start_allows_findings_that_are_common_in_initial_molecules() -> None:
    allowed = DEFAULT.for_start(["CCOO", "CCCOO"])
    assert allowed.findings("CCCCOO") == []
    assert "halogen on a heteroatom" in allowed.findings("CN(F)CCCOO")
    assert DEFAULT.for_start([]).heavy_atoms == DEFAULT.heavy_atoms
    few = DEFAULT.for_start(["CCOO", *["CC(=O)Nc1ccc(OCC2CCCCC2)cc1"] * 19])
    assert "peroxide" in few.findings("CCCCOO")


def test_for_start_allows_findings_and_size_of_the_core() -> None:
    core = core_of("C[N+](C)(C)[*:1]")
    methyl = "C[N+](C)(C)CC(=O)Nc1ccccc1"
    assert DEFAULT.findings(methyl)
    assert DEFAULT.for_start([], core.forms()).findings(methyl) == []
    assert DEFAULT.for_start([], core.forms()).heavy_atoms == DEFAULT.heavy_atoms
    large = DEFAULT.for_start([], core_of("C" * 40 + "[*:1]").forms())
    assert large.heavy_atoms == (zinc250k().heavy_atoms[0], 51)


def test_findings_of_drugs_are_empty_for_at_least_half() -> None:
    assert sum(bool(Plausibility().findings(smiles)) for smiles in DRUGS) <= len(DRUGS) / 2


def test_findings_of_druglike_molecules_are_rare_for_every_fault() -> None:
    found = [DEFAULT.findings(smiles) for smiles in zinc(500)]
    assert sum(map(bool, found)) < 0.22 * len(found)
    assert max(Counter(name for names in found for name in names).values()) < 0.03 * len(found)


def test_of_model_gives_the_precedents_of_the_model_folder(tmp_path: Path) -> None:
    assert of_model("zinc250k") is zinc250k()
    assert of_model("qm9") is None
    assert of_model(str(tmp_path)) is None
    KNOWN.save(tmp_path / FILE_NAME)
    found = of_model(str(tmp_path))
    assert found is not None
    assert found.heavy_atoms == KNOWN.heavy_atoms
