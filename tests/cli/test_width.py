"""Outputs of commands on a terminal fit 80 columns."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from shlex import split

import pytest

from tests.cli.conftest import Molvae
from tests.toys import DenseToySpace

FIRST, SECOND, THIRD, *_ = (one for one in DenseToySpace().molecules if len(one) > 8)
COMMANDS = f"""
ask lab.db --create --objective manual:pIC50 --direction maximize --space toy --strategy \
rank:n_offspring=20,screen_fraction=0 --start measured.csv -n 3 -v --plausibility none
ask lab.db --pending
tell lab.db 5 7.25
tell lab.db --file values.csv
tell lab.db --correct 5 7.5 --message "read from the wrong well"
tell lab.db --add 5 7.75
tell lab.db 7 7.5e9
retry lab.db
add lab.db more.csv -v
ask lab.db -n 2
ask lab.db --fill -n 4 --out plate.csv
export lab.db
export lab.db lab.csv
report lab.db lab.html
copy lab.db copy.db
optimize run.db --space toy --objective "maximize qed" --objective "minimize mw" --constraint \
"logp in -1..5" --start start.smi --budget 8 --batch-size 2 --strategy random
optimize run2.db --space toy --objective qed --start start.smi --budget 8 --strategy random
copy run2.db run3.db
compare run2.db run3.db
compare run2.db lab.db
list
list objectives
list strategies
list models
list data
properties start.smi
encode toy start.smi
properties start.smi --summary
properties start.smi --properties logP rdkit:BertzCT lipinski_violations
explore map toy start.smi
explore interpolate toy {FIRST} {SECOND}
explore neighbors toy {FIRST} --radius 1 -n 20
explore traverse toy {FIRST} --along a --length 1
explore analogy toy {FIRST} {SECOND} {THIRD}
explore ascend toy start.smi --target distance
ask lab.db --creat
optimize run2.db --budget 4
optimize lab.db --batch-size much
properties start.smi --properties no_such_property
prepare start.smi prepared
tell nowhere/with/a/long/name/of/a/campaign/file/that/does/not/exist/at/all/lab.db 5 7
"""
OF_MODELS = """
generate qm9 -n 3 --confidence
encode qm9 start.smi
decode qm9 vectors.tsv --confidence
explore density qm9 start.smi --n-samples 2
evaluate qm9 --data start.smi -n 4 --samples 8 --posteriors 2 --no-fcd
library build start.smi shelf --space qm9 --alerts
library search shelf CCCO -n 3
library search shelf CCCO -n 3 --by tanimoto
library build nowhere.smi a/folder/with/a/long/name/that/does/not/exist --space qm9
"""
HELP = "ask tell add retry optimize export report compare copy ui list library explore prepare"
HELP += " train tune evaluate generate encode decode properties"


@pytest.fixture
def terminal(lab: Molvae, monkeypatch: pytest.MonkeyPatch) -> Molvae:
    """Calls commands on a terminal of 80 columns, with a dense toy in place of every model."""
    monkeypatch.setattr("molvae.latent.loading.load", lambda name, **_: DenseToySpace(str(name)))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    return lab


def too_wide(text: str) -> list[str]:
    """Lines of more than 80 characters, but for single words such as molecules and paths."""
    lines = re.split("[\r\n]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))
    return [line for line in lines if len(line) > 80 and " " in line.strip()]


@pytest.mark.parametrize("command", ["tell", "library build", "explore map", "optimize"])
def test_help_wraps_lines_only_at_full_width(terminal: Molvae, command: str) -> None:
    """Whatever the lines of the docstrings are."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal(*command.split(), "--help").out)
    about, _, _ = text.partition("╭")
    lines = [line.rstrip() for line in about.splitlines()]
    for line, following in pairwise(lines):
        if line and following:
            assert len(line) + 1 + len(following.split()[0]) > 80, line


def test_commands_of_models_and_libraries_fit_80_columns(
    molvae: Molvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    molecules = ["CCCO", "CC(C)O", "OCCN", "CC1CC1O", "CC(=O)NC", "C1CCOC1", "CC#CCO", "NCC(C)O"]
    Path("start.smi").write_text("\n".join(f"{one} a-long-name-{one}" for one in molecules))
    Path("vectors.tsv").write_text(molvae("encode", "qm9", "start.smi").out)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    for line in OF_MODELS.strip().splitlines():
        done = molvae(*split(line))
        assert (done.status != 0) == ("nowhere" in line), done.err
        assert "\t" not in done.out
        assert too_wide(done.out) + too_wide(done.err) == [], line


def test_commands_of_campaigns_and_all_help_fit_80_columns(terminal: Molvae) -> None:
    molecules = DenseToySpace().molecules
    with open("values.csv", "w") as file:
        file.write("id,value,message\n6,5.5,\n7,,precipitated before it could be measured\n")
    with open("more.csv", "w") as file:
        file.write(f"smiles,value,batch number\n{molecules[55]},6.5,B7\n")
    wide, wrong = {}, {}
    for line in COMMANDS.strip().splitlines():
        done = terminal(*split(line))
        assert done.out or done.err, line
        wide[line] = too_wide(done.out) + too_wide(done.err)
        fails = re.search("--creat$|nowhere|e9$|run2.db lab|much$|no_such", line) is not None
        if (done.status != 0) != fails:
            wrong[line] = done.err
    for name in HELP.split():
        wide[f"{name} --help"] = too_wide(terminal(*name.split(), "--help").out)
    assert wrong == {}
    assert {line: found for line, found in wide.items() if found} == {}
