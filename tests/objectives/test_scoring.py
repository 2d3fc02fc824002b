"""`get_objective` and `evaluate`: scoring functions by name, their signs and their failures."""

from __future__ import annotations

import math
import pickle
import sys

import numpy as np
import pandas as pd
import pytest

from molvae.campaign.evaluation import EvaluationTask, evaluate
from molvae.chem.fingerprints import morgan_bits, tanimoto
from molvae.chem.properties import score
from molvae.errors import (
    ConfigError,
    InvalidMoleculeError,
    MolvaeError,
    ObjectiveError,
    UnknownNameError,
)
from molvae.objectives import registry as module
from molvae.objectives.registry import get_objective, list_objectives, objective
from molvae.objectives.scoring import Batched
from tests.chem.molecules import zinc

SOME = ["CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O"]


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Write a module into the current directory; its imports are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(module, "_registered", {})
    made = []

    def write(text: str, name: str = "my_scores") -> None:
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)

    yield write
    for name in made:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "column", "direction"),
    [
        ("qed", "QED", "maximize"),
        ("sas", "SAS", "minimize"),
        ("logp", "logP", "maximize"),
        ("mw", "MW", "maximize"),
        ("tpsa", "TPSA", "maximize"),
        ("rings", "rings", "maximize"),
        ("heavy_atoms", "heavy_atoms", "maximize"),
        ("penalized_logp", "penalized_logp", "maximize"),
        ("penalised-logp", "penalized_logp", "maximize"),
        ("heavy-atoms", "heavy_atoms", "maximize"),
        ("QED", "QED", "maximize"),
        ("fsp3", "Fsp3", "maximize"),
        ("rotatable-bonds", "rotatable_bonds", "maximize"),
        ("lipinski_violations", "lipinski_violations", "minimize"),
        ("unseen_rings", "unseen_rings", "minimize"),
        ("rdkit:BertzCT", "rdkit:BertzCT", "maximize"),
        ("rdkit:bertzct", "rdkit:BertzCT", "maximize"),
    ],
)
def test_get_objective_of_properties_has_value_and_direction(name, column, direction):
    made = get_objective(name)
    assert made.direction == direction
    assert made(SOME) == score(SOME, [column])[:, 0].tolist()


def test_get_objective_5_qed_minus_sas_equals_the_formula():
    made = get_objective("5*qed-sas")
    qed, sas = score(SOME, ["QED", "SAS"]).T
    assert made.direction == "maximize"
    assert made(SOME) == pytest.approx((5 * qed - sas).tolist())


def test_get_objective_similarity_is_tanimoto_to_the_target():
    made = get_objective("similarity:OCC")
    assert made.name == "similarity:CCO"  # the identity of a molecule, however it is written
    values = made([*SOME, "nonsense", *zinc()[:5]])
    assert values[0] == 1.0
    assert math.isnan(values[3])
    assert values[4:] == tanimoto(morgan_bits(zinc()[:5]), morgan_bits(["CCO"]))[:, 0].tolist()
    with pytest.raises(InvalidMoleculeError, match="unclosed ring"):
        get_objective("similarity:C1CC")


@pytest.mark.parametrize("name", ["qed", "5*qed-sas", "similarity:CCO"])
def test_objective_values_keep_order_with_nan_for_invalid_molecules(name):
    made = get_objective(name)
    values = made(["CCO", "C1CC", "CCO", ""])
    assert [math.isnan(value) for value in values] == [False, True, False, True]
    assert values[0] == values[2]
    assert made([]) == []


def test_get_objective_direction_changes_no_value():
    up, down = get_objective("logp"), get_objective("logp", direction="minimize")
    assert (up.direction, down.direction) == ("maximize", "minimize")
    assert up(SOME) == down(SOME)
    with pytest.raises(UnknownNameError, match="did you mean 'maximize'"):
        get_objective("qed", direction="maximise!")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "meant"),
    [("qde", "qed"), ("penalised-logP1", "penalized_logp"), ("heavyatoms", "heavy_atoms")],
)
def test_get_objective_of_unknown_name_suggests_the_nearest(spec, meant):
    with pytest.raises(UnknownNameError, match=f"did you mean '{meant}'"):
        get_objective(spec)


def test_list_objectives_gives_available_names_and_directions():
    rows = list_objectives()
    for name, direction, text in rows:
        assert text
        if ":" not in name:
            made = get_objective(name)
            assert (made.name, made.direction) == (name, direction)
    names = [name for name, _, _ in rows]
    assert {"qed", "5*qed-sas", "similarity:SMILES", "module:attribute"} <= set(names)


def test_get_objective_of_a_function_scores_each_smiles(user_module):
    user_module('def f(smiles):\n    """Letters."""\n    return len(smiles)\n')
    made = get_objective("my_scores:f")
    assert (made.name, made.direction) == ("my_scores:f", "maximize")
    assert made(["CCO", "C"]) == [3.0, 1.0]
    assert get_objective("my_scores:f", direction="minimize").direction == "minimize"


def test_get_objective_of_wrapped_functions_scores_each_smiles(user_module):
    user_module(
        "import functools\n"
        "@functools.lru_cache\n"
        "def f(smiles):\n    return len(smiles)\n"
        "def g(smiles, power):\n    return len(smiles) ** power\n"
        "h = functools.partial(g, power=2)\n"
        "class Lab:\n    @staticmethod\n    def score(smiles):\n        return 7\n"
    )
    assert get_objective("my_scores:f")(["CCO"]) == [3.0]
    assert get_objective("my_scores:h")(["CCO"]) == [9.0]
    assert get_objective("my_scores:Lab.score")(["CCO"]) == [7.0]


def test_get_objective_of_a_class_or_object_scores_a_list(user_module):
    user_module(
        "class Docking:\n"
        "    name = 'docking'\n"
        "    direction = 'minimize'\n"
        "    batch_size = 4\n"
        "    def __call__(self, smiles):\n"
        "        assert isinstance(smiles, list)\n"
        "        return [-len(s) for s in smiles]\n"
        "docking = Docking()\n"
    )
    for spec in ("my_scores:Docking", "my_scores:docking"):
        made = get_objective(spec)
        assert (made.name, made.direction, made.batch_size) == ("docking", "minimize", 4)
        assert made(("CCO", "C")) == [-3.0, -1.0]


def test_objective_decorator_passes_molecules_and_registers_the_name(user_module):
    user_module(
        "from molvae import objective\n"
        "@objective('oxygens', direction='minimize')\n"
        "def f(mol):\n"
        '    """Number of oxygen atoms."""\n'
        "    return sum(atom.GetSymbol() == 'O' for atom in mol.GetAtoms())\n"
    )
    with pytest.raises(UnknownNameError):
        get_objective("oxygens")
    made = get_objective("my_scores:f")
    assert (made.name, made.direction) == ("oxygens", "minimize")
    assert made(["CCO", "CC", "C1C"])[:2] == [1.0, 0.0]
    assert math.isnan(made(["C1C"])[0])
    assert get_objective("oxygens") is made
    assert ("oxygens", "minimize", "Number of oxygen atoms") in list_objectives()
    again = pickle.loads(pickle.dumps(get_objective("oxygens", direction="maximize")))
    assert again == get_objective("oxygens", direction="maximize")
    assert again(["OO"]) == [2.0]


@pytest.mark.parametrize("spec", ["qed", "similarity:CCO", "5*qed-sas"])
def test_built_in_objectives_pickled_give_the_same_values(spec):
    made = get_objective(spec)
    assert pickle.loads(pickle.dumps(made))(SOME) == made(SOME)


def test_objective_of_a_function_pickled_is_equal(user_module):
    user_module("def f(smiles):\n    return 1\n")
    made = get_objective("my_scores:f", direction="minimize")
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize(
    "value",
    [
        "None",
        "float('nan')",
        "float('inf')",
        "-float('inf')",
        "'0.5'",
        "1j",
        "[1]",
        "True",
        "10**400",
    ],
)
def test_objective_values_other_than_real_numbers_are_nan(user_module, value):
    user_module(
        f"def f(smiles):\n    return {value}\n"
        f"class Many:\n    def __call__(self, smiles):\n        return [{value} for s in smiles]\n"
    )
    assert math.isnan(get_objective("my_scores:f")(["C"])[0])
    assert math.isnan(get_objective("my_scores:Many")(["C"])[0])


def test_objective_error_names_molecule_line_and_reason(user_module):
    user_module(
        "from molvae import objective\n"
        "def f(smiles):\n    return 1 / smiles.count('N')\n"
        "@objective('g')\ndef g(mol):\n    raise KeyError('grid')\n"
        "class Many:\n    def __call__(self, smiles):\n        raise RuntimeError('no licence')\n"
    )
    with pytest.raises(ObjectiveError, match=r"broke on 'CCO': ZeroDivisionError: .*line 3") as one:
        get_objective("my_scores:f")(["CN", "CCO"])
    assert isinstance(one.value.__cause__, ZeroDivisionError)
    with pytest.raises(ObjectiveError, match="'g' broke on 'CC': KeyError: 'grid'"):
        get_objective("my_scores:g")(["CC"])
    with pytest.raises(ObjectiveError, match=r"broke on 'C', \.\.\.: RuntimeError: no licence"):
        get_objective("my_scores:Many")(["C", "CC"])


def test_objective_with_wrong_number_of_values_raises(user_module):
    user_module("class Many:\n    def __call__(self, smiles):\n        return [1.0]\n")
    with pytest.raises(ObjectiveError, match="1 values for 2 molecules"):
        get_objective("my_scores:Many")(["C", "CC"])


@pytest.mark.parametrize(
    "answer",
    [
        lambda smiles: pd.DataFrame({"a": [1.0], "b": [2.0]}),
        lambda smiles: pd.DataFrame({"a": [1.0] * len(smiles)}),
        lambda smiles: {i: 1.0 for i, _ in enumerate(smiles)},
        lambda smiles: dict.fromkeys(smiles, 1.0).keys(),
        lambda smiles: {float(i) for i, _ in enumerate(smiles)},
        lambda smiles: b"\x01" * len(smiles),
        lambda smiles: "1" * len(smiles),
        lambda smiles: np.ones((len(smiles), 2)),
        lambda smiles: np.ones((1, len(smiles))),
    ],
)
def test_evaluate_containers_without_one_value_per_molecule_raises(answer):
    for ask in (Batched(name="y", direction="maximize", function=answer), answer):
        ask = ask if isinstance(ask, Batched) else as_objective(ask)
        with pytest.raises(ObjectiveError, match="not one value per molecule"):
            evaluate([EvaluationTask(objective=ask, names=("y",))], ["C", "CC"])


@pytest.mark.parametrize("answer", [1.5, None, np.array(1.5)])
def test_evaluate_of_one_value_for_all_molecules_fails_with_a_cure(answer):
    function = as_objective(lambda smiles: answer)
    (found,) = evaluate([EvaluationTask(objective=function, names=("y",))], ["C"])
    assert found.broke
    assert "not one value per molecule; return a list" in found.message


@pytest.mark.parametrize("spec", ["qed", "similarity:CCO", "typicality", "my_scores:f"])
def test_objective_accepts_lists_and_tables_but_no_single_text(user_module, spec):
    user_module("def f(smiles):\n    return float(len(smiles))\n")
    made = get_objective(spec)
    for wrong in ("CCO", 3, None):
        with pytest.raises(ConfigError, match="expected a list of SMILES"):
            made(wrong)
    if spec != "typicality":
        table = pd.DataFrame({"name": ["a", "b"], "SMILES": ["CCO", "CC"]})
        assert made(table) == made(iter(["CCO", "CC"])) == made(["CCO", "CC"])


@pytest.mark.parametrize(
    "answer",
    [
        lambda smiles: (float(len(one)) for one in smiles),
        lambda smiles: tuple(map(len, smiles)),
        lambda smiles: pd.Series({one: len(one) for one in smiles}),
        lambda smiles: np.array([[len(one)] for one in smiles]),
        lambda smiles: {one: len(one) for one in smiles}.values(),
        lambda smiles: range(1, 1 + len(smiles)),
    ],
)
def test_evaluate_accepts_values_in_any_sequence(answer):
    found = evaluate([EvaluationTask(objective=as_objective(answer), names=("y",))], ["C", "CC"])
    assert [one.values["y"] for one in found] == [1.0, 2.0]


def as_objective(function):
    class Named:
        name, direction = "y", "maximise"

        def __call__(self, smiles):
            return function(smiles)

    return Named()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_package_at_all\n", "No module named 'no_such_package_at_all'"),
        ("x = 1 / 0\n", r"ZeroDivisionError: division by zero \(my_scores.py, line 1\)"),
        ("def f(:\n", r"SyntaxError: .*line 1"),
        ("raise SystemExit('usage: ...')\n", "SystemExit: usage"),
    ],
)
def test_get_objective_of_a_broken_module_raises_its_import_error(user_module, text, says):
    user_module(text)
    with pytest.raises(ObjectiveError, match=says) as caught:
        get_objective("my_scores:f")
    assert "\n" not in str(caught.value)
    assert "cannot import 'my_scores'" in str(caught.value)
    assert "neither in" not in str(caught.value)  # the module itself was found


def test_get_objective_of_a_missing_module_raises_with_the_places_searched(user_module, tmp_path):
    with pytest.raises(ObjectiveError, match=f"neither in {tmp_path} nor an installed package"):
        get_objective("no_such_module:f")


def test_get_objective_of_a_missing_attribute_suggests_the_nearest(user_module):
    user_module("def amides(smiles):\n    return 1\n")
    with pytest.raises(UnknownNameError, match="did you mean 'amides'"):
        get_objective("my_scores:amide")


def test_get_objective_of_uncallable_attribute_raises(user_module):
    user_module(
        "x = 3\n"
        "class NoCall:\n    pass\n"
        "class Needy:\n    def __init__(self, receptor):\n        pass\n"
        "class Odd:\n    direction = 'up'\n    def __call__(self, smiles):\n        return []\n"
    )
    for attribute, says in (
        ("x", "cannot be called"),
        ("NoCall", "lacks __call__"),
        ("Needy", "receptor"),
    ):
        with pytest.raises(ObjectiveError, match=says):
            get_objective(f"my_scores:{attribute}")
    with pytest.raises(UnknownNameError, match="no direction is called 'up'"):
        get_objective("my_scores:Odd")


def test_objective_decorator_with_taken_or_invalid_name_raises(monkeypatch):
    monkeypatch.setattr(module, "_registered", {})
    objective("mine")(lambda mol: 1.0)
    for name in ("qed", "penalized_logp", "mine"):
        with pytest.raises(ConfigError, match="exists already"):
            objective(name)(_another)
    for name in ("", "a:b"):
        with pytest.raises(ConfigError, match="colon"):
            objective(name)
    with pytest.raises(ConfigError, match="needs the name"):
        objective(_another)
    with pytest.raises(MolvaeError, match="direction"):
        objective("other", direction="up")  # type: ignore[arg-type]
    assert "other" not in {name for name, _, _ in list_objectives()}


def _another(mol: object) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("matches:C(C", ConfigError),
        ("alerts:PAIN", UnknownNameError),
        ("elements-outside:C+Xx", ConfigError),
        ("elements-outside:", ConfigError),
    ],
)
def test_get_objective_with_invalid_counts_raises_without_rdkit_log(spec, kind, capfd):
    with pytest.raises(kind):
        get_objective(spec)
    assert capfd.readouterr() == ("", "")
