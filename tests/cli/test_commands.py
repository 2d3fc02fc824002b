"""Commands, called as a user calls them; most with a toy space in place of a network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from shlex import split

import pytest

from molvae.campaign.campaign import Campaign
from molvae.campaign.creation import initial_number
from molvae.cli import main
from molvae.errors import ConfigError
from molvae.latent.loading import load
from molvae.objectives.registry import BUILT_IN
from tests.cli.conftest import Molvae
from tests.toys import DenseToySpace, ToySpace, begin

ROOT = Path(__file__).parents[2]
MOLECULES = ToySpace().molecules


OPTIMIZE = split(
    "optimize q.db --space toy --objective qed --strategy random --start start.smi --batch 3"
)


def optimize_with(*words: str) -> list[str]:
    """The campaign above with one flag set otherwise."""
    flag, value = words
    if flag == "--record":
        return ["optimize", value, *OPTIMIZE[2:]]
    at = OPTIMIZE.index(flag) if flag in OPTIMIZE else len(OPTIMIZE)
    return [*OPTIMIZE[:at], flag, value, *OPTIMIZE[at + 2 :]]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"start.smi"}


# --- molecules and properties


def test_density_command_prints_log_prob_outlier_score_and_percentile(molvae: Molvae) -> None:
    done = molvae(
        "explore",
        "density",
        "zinc250k",
        "--n-samples",
        4,
        stdin="OC(=O)c1ccccc1OC(C)=O\nC#N\n[Au]\n",
    )
    assert done.status == 0, done.err
    usual, odd, unreadable = done.table
    assert usual["smiles"] == "CC(=O)Oc1ccccc1C(=O)O"
    assert -60 < float(usual["log_prob"]) < -15
    assert float(usual["outlier_score"]) < 2 < float(odd["outlier_score"])
    assert 0 <= float(usual["percentile"]) <= 100
    known = {"smiles": "[Au]", "log_prob": "-inf", "outlier_score": "inf", "percentile": ""}
    assert unreadable == known
    words = ["explore", "density", "zinc250k", "--k", 1]
    molvae(*words, stdin="CCO\nC(\n").fails(1, "line 2", "--skip-invalid")
    done = molvae(*words, "--skip-invalid", stdin="C(\n[Au]\nCCO\n")
    assert [row["smiles"] for row in done.table] == ["CCO"]
    assert "1 of 3 skipped" in done.err
    assert "1 of 2 skipped: zinc250k cannot encode them" in done.err


def test_properties_command_prints_a_table(molvae: Molvae) -> None:
    done = molvae("properties", "-", "--properties", "logP", "QED", stdin="OCC\nc1ccccc1\n")
    assert done.status == 0
    assert [row["smiles"] for row in done.table] == ["OCC", "c1ccccc1"]
    assert float(done.table[1]["logP"]) == pytest.approx(1.6866)
    assert done.err == ""


def test_properties_command_with_an_invalid_molecule_fails_with_its_line(
    molvae: Molvae, tmp_path: Path
) -> None:
    (tmp_path / "a.smi").write_text("CCO\n\nCN(C)(C)(C)C\n")
    molvae("properties", "a.smi").fails(1, "a.smi, line 3", "valence", "--skip-invalid")


def test_properties_command_skip_invalid_counts_invalid_molecules(molvae: Molvae) -> None:
    words = ["properties", "--properties", "MW", "--skip-invalid"]
    done = molvae(*words, stdin="CCO\nC(\nCC\nx\n")
    assert done.status == 0
    assert [row["MW"] != "" for row in done.table] == [True, False, True, False]
    assert "2 of 4 skipped" in done.err


def test_properties_command_summary_prints_mean_and_sd(molvae: Molvae) -> None:
    done = molvae("properties", "--summary", "--properties", "heavy_atoms", stdin="CC\nCCCC\n")
    assert done.table == [
        {"property": "heavy_atoms", "molecules": "2", "mean": "3", "std": "1.41421356"}
    ]


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("empty.smi", "", ["empty.smi", "empty"]),
        ("a.csv", "name,mol\nx,CCO\n", ["smiles", "name, mol"]),
        ("missing.smi", None, ["missing.smi"]),
    ],
)
def test_properties_command_of_a_file_without_molecules_fails(
    molvae: Molvae, tmp_path: Path, name: str, text: str | None, parts: list[str]
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    molvae("properties", name).fails(1, *parts)


def test_commands_with_an_unknown_name_suggest_the_nearest(molvae: Molvae) -> None:
    molvae("properties", "--properties", "QEDD", stdin="C\n").fails(1, "did you mean 'QED'")


def test_properties_prints_the_typicality_in_a_space(molvae: Molvae) -> None:
    words = ["properties", "--properties", "MW", "Typicality", "--space", "qm9"]
    done = molvae(*words, stdin="CCO\n[Au]\n")
    assert done.status == 0
    first, second = done.table
    assert list(first) == ["smiles", "MW", "typicality", "error"]
    assert 0 <= float(first["typicality"]) <= 100
    assert (second["typicality"], second["smiles"]) == ("", "[Au]")
    assert "qm9 cannot read" in second["error"]
    molvae("propertis").fails(2, 'Did you mean "properties"')
    molvae("generate", "zinc250").fails(1, "zinc250")


def test_list_command_prints_all_named_things(molvae: Molvae) -> None:
    rows = molvae("list").table
    names = {(row["kind"], row["name"]) for row in rows}
    assert {("objective", "5*qed-sas"), ("strategy", "log-ei"), ("dataset", "qm9")} <= names
    # Other tests register objectives of their own.
    own = {row["name"] for row in rows if row["kind"] == "objective"} - {*BUILT_IN}
    assert all(row["description"] for row in rows if row["name"] not in own)
    assert next(r["direction"] for r in rows if r["name"] == "sas") == "minimize"


def test_command_with_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "many.smi").write_text("CCO\n" * 20_000)
    command = (
        f"{sys.executable} -m molvae properties --properties MW --workers 1 many.smi | head -n 1"
    )
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (141, "smiles\tMW\terror\n", "")


# --- a model, from data to vectors


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, few_samplings: None) -> Path:
    """A tiny trained run, made by the commands."""
    folder = tmp_path_factory.mktemp("run")
    texts = [smiles for smiles in MOLECULES if len(smiles) < 15]
    (folder / "mine.smi").write_text("\n".join([*texts, "not-a-molecule"]))
    assert main(["prepare", str(folder / "mine.smi"), str(folder / "data"), "--skip-invalid"]) == 0
    (folder / "tiny.toml").write_text(
        f"""
        data = "{folder / "data"}"
        out = "{folder / "elsewhere"}"
        molecules = 600
        noisy = 0.2
        validate_every = 300
        device = "cpu"
        [model]
        latent_dim = 4
        embedding_dim = 8
        encoder_dim = 8
        decoder_dim = 16
        position_dim = 4
        [prior]
        epochs = 1
        """
    )
    words = ["--out", str(folder / "run"), "--model.latent-dim", "6", "--molecules", "500"]
    words += ["--labelled", "0.9", "--model.no-explain"]
    assert main(["train", str(folder / "tiny.toml"), *words]) == 0
    assert not (folder / "elsewhere").exists()
    return folder


def test_train_command_flags_override_the_recipe(run_folder: Path) -> None:
    card = json.loads((run_folder / "run" / "model.json").read_text())
    recipe = card["about"]["recipe"]
    assert (recipe["n_molecules"], recipe["validate_every"]) == (500, 300)
    assert (recipe["model"]["latent_dim"], recipe["model"]["decoder_dim"]) == (6, 16)
    # Old names of settings and flags
    assert (recipe["noised_fraction"], recipe["labeled_fraction"]) == (0.2, 0.9)
    assert not recipe["model"]["residual_conditioning"]


def test_train_and_prepare_commands_refuse_existing_folders(
    molvae: Molvae, run_folder: Path
) -> None:
    words = [run_folder / "tiny.toml", "--out", run_folder / "run"]
    molvae("train", *words).fails(1, "already holds a run")
    prepare = ["prepare", run_folder / "mine.smi", run_folder / "data", "--skip-invalid"]
    molvae(*prepare).fails(1, "exists")
    done = molvae(*prepare, "--overwrite")
    assert done.status == 0
    assert done.out == f"{run_folder / 'data'}\n"
    assert "invalid 1" in done.err


def test_prepare_command_with_an_invalid_molecule_fails_with_its_line(
    molvae: Molvae, run_folder: Path, tmp_path: Path
) -> None:
    molvae("prepare", "-", "out", stdin="CCO\nC1CC\n").fails(1, "line 2")
    assert files(tmp_path) == set()


def test_train_command_with_an_invalid_recipe_fails_and_writes_nothing(
    molvae: Molvae, run_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text("data = 'd'\nout = 'o'\nbatchsize = 3\n")
    molvae("train", "bad.toml").fails(1, "bad.toml", "did you mean 'batch_size'")
    (tmp_path / "bad.toml").write_text("data = \n")
    molvae("train", "bad.toml").fails(1, "bad.toml", "not valid TOML")
    molvae("train", "none.toml").fails(1, "none.toml")
    molvae("train").fails(1, "data")
    molvae("train", "--data", run_folder / "data", "--out", "o", "--loss.beta", "-1").fails(
        1, "beta"
    )
    molvae("train", "--data", "nowhere", "--out", "o").fails(1, "nowhere")
    molvae("train", run_folder / "tiny.toml", "--resume", "--out", "o").fails(1)
    assert not any((tmp_path / "o").glob("*"))


def test_encode_and_decode_commands_equal_the_space(molvae: Molvae, run_folder: Path) -> None:
    import molvae as package

    run, texts = run_folder / "run", MOLECULES[:3]
    encoded = molvae("encode", run, "-", stdin="\n".join(texts))
    assert encoded.status == 0
    assert [row["smiles"] for row in encoded.table] == texts
    assert list(encoded.table[0])[1:] == [f"z{i}" for i in range(1, 7)]
    decoded = molvae("decode", run, stdin=encoded.out)
    space = package.load(run)
    expected = space.decode(space.encode(texts))
    assert decoded.out.splitlines() == [molecule or "" for molecule in expected]
    table = molvae("decode", run, "--confidence", stdin=encoded.out).table
    assert [row["smiles"] for row in table] == decoded.out.splitlines()
    assert all(float(row["confidence"]) <= 0 for row in table)


def test_encode_command_of_unencodable_molecules_fails_or_skips(
    molvae: Molvae, run_folder: Path
) -> None:
    run, texts = run_folder / "run", f"{MOLECULES[0]}\nCC[Se]C\nC1C\n"
    molvae("encode", run, stdin=texts).fails(1, "standard input, line 3")
    molvae("encode", run, stdin="CC[Se]C\n").fails(1, "Se", "CC[Se]C", "tokens")
    done = molvae("encode", run, "--skip-invalid", stdin=texts)
    assert [row["smiles"] for row in done.table] == MOLECULES[:1]
    assert "1 of 3 skipped" in done.err
    assert "1 of 2 skipped" in done.err
    assert "NaN" not in done.err


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["standard input is empty", "z1"]),
        ("smiles\tz1\nCCO\t1\n", ["up to z1", "go to z6"]),
        ("smiles,z1,z2,z3,z4,z5,z6,z7\nCCO,1,2,3,4,5,6,7\n", ["up to z7", "go to z6"]),
        ("smiles,x\nCCO,1\n", ["'z1'"]),
        ("z1,z2,z3,z4,z5,z6\n,,,,,\n1,2,3,4,5,6\n", ["line 2", "empty"]),
        ("z1,z2,z3,z4,z5,z6\n1,2,3,4,5,1e300\n", ["1e300", "beyond 1e+100"]),
        ("z1,z2,z3,z4,z5,z6\n1,2,3,4,5,x\n", ["line 2", "'x'"]),
        ("z1,z2,z3,z4,z5,z6\n1,2\n", ["line 2", "fewer cells"]),
        ("z1,z2,z3,z4,z5,z6\n", ["no rows"]),
        ("z1,z2,z3,z4,z5,z6\n1,2,3,4,5,nan\n", ["not finite"]),
    ],
)
def test_decode_command_of_invalid_vectors_fails(
    molvae: Molvae, run_folder: Path, text: str, parts: list[str]
) -> None:
    molvae("decode", run_folder / "run", stdin=text).fails(1, *parts)


def test_generate_command_is_reproducible_by_seed(molvae: Molvae, run_folder: Path) -> None:
    first, again, other = (
        molvae("generate", run_folder / "run", "-n", 20, "--seed", seed) for seed in (1, 1, 2)
    )
    assert first.out == again.out != other.out
    assert molvae("generate", run_folder / "run", "-n", -2).status == 1


def test_generate_command_with_conditions_prints_molecules(
    molvae: Molvae, run_folder: Path, tmp_path: Path
) -> None:
    words = [run_folder / "tiny.toml", "--out", "asked", "--conditions", "logP", "QED"]
    assert molvae("train", *words).status == 0
    words = ["asked", "-n", 20, "--temperature", 1, "--conditions", "logP=2.5, QED=0.9"]
    drawn = [molvae("generate", *words) for _ in range(2)]
    assert [done.status for done in drawn] == [0, 0]
    assert drawn[0].out == drawn[1].out
    assert 0 < len(drawn[0].out.splitlines()) <= 20
    assert molvae("sample", "asked", "--where", "qed=0.9", "--tolerance", 1).status == 0
    molvae("generate", "asked", "--where", "SAS=2").fails(1, "condition", "SAS", "QED, logP")
    molvae("generate", run_folder / "run", "--where", "logP=2").fails(1, "without conditions")
    for wrong in ("logP", "logP=x", "=2", "logP=inf", "logP=1,"):
        molvae("generate", "asked", "--where", wrong).fails(1, "logP=2.5,QED=0.9")
    molvae("generate", "asked", "--where", "logP=1,logP=2").fails(1, "twice")
    encoded = molvae("encode", "asked", stdin=MOLECULES[0])
    assert list(encoded.table[0])[1:] == [f"z{i}" for i in range(1, 7)]  # four of z, and two


def test_train_command_learns_a_kept_column(
    molvae: Molvae, run_folder: Path, tmp_path: Path
) -> None:
    rows = [f"{m},{len(m)}" for m in MOLECULES]
    (tmp_path / "mine.csv").write_text("\n".join(["smiles,length", *rows]))
    assert (
        molvae("prepare", "mine.csv", "d", "--keep-columns", "length", "--skip-invalid").status == 0
    )
    molvae("prepare", "mine.csv", "e", "--keep-columns", "width").fails(1, "no column 'width'")
    assert not (tmp_path / "e").exists()
    words = [run_folder / "tiny.toml", "--data", "d", "--properties"]
    assert molvae("train", *words, "length", "--out", "o").status == 0
    molvae("train", *words, "lenght", "--out", "p").fails(1, "kept column", "length")


def test_evaluate_command_measures_held_out_molecules(molvae: Molvae, run_folder: Path) -> None:
    words = ["evaluate", run_folder / "run", "--samples", 20, "--posteriors", 10, "--no-fcd"]
    table = molvae(*words, "--data", run_folder / "data").table
    found = {row["measure"]: row["value"] for row in table}
    held_out = (run_folder / "data" / "test.smi").read_text().split()
    assert int(found["molecules"]) == len(held_out)
    assert found["prior_novelty"] != ""
    (texts := run_folder / "texts.smi").write_text("\n".join(MOLECULES[:5]))
    files = ["--out", run_folder / "measures.json", "--figure", run_folder / "measures.svg"]
    as_json = json.loads(molvae(*words, "--data", texts, "-n", 3, "--json", *files).out)
    assert as_json["molecules"] == 3
    assert "prior_novelty" not in as_json  # the training molecules are not known
    kept = json.loads((run_folder / "measures.json").read_text())
    assert kept["result"] == as_json
    assert kept["about"]["seed"] == 0
    assert (run_folder / "measures.svg").read_text().startswith("<?xml")
    molvae(*words, "--data", texts, *files).fails(1, "measures.json exists")
    molvae(*words, "--data", texts, "--figure", "a.txt").fails(1, "must end in")
    molvae(*words, "--data", texts, "-n", 0).fails(1, "n must be a whole number from 1")


def test_tune_command_writes_a_model_folder_and_prints_reconstruction(
    molvae: Molvae, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.latent.tuning.MIN_STEPS", 2)
    monkeypatch.setattr("molvae.latent.tuning.N_REHEARSED", 5)
    space = load(run_folder / "run")
    texts = [m for m in MOLECULES if space.can_encode([m])[0]][:12]
    table = "name,SMILES\n" + "".join(f"m{i},{m}\n" for i, m in enumerate([*texts, *texts]))
    (tmp_path / "series.csv").write_text(table)
    (tmp_path / "odd.csv").write_text(f"{table}gold,[Au]\nnone,C(\n")
    words = ("tune", run_folder / "run")
    done = molvae(*words, "series.csv", "--out", "series")
    assert done.out == "series\n"
    assert "12 held-out molecules" in done.err
    card = json.loads((tmp_path / "series" / "model.json").read_text())
    assert card["about"]["tuned"][0]["fingerprint"] == space.fingerprint
    assert molvae("decode", "series", stdin=molvae("encode", "series", "series.csv").out).out
    molvae(*words, "series.csv", "--out", "series").fails(1, "series exists", "--overwrite")
    molvae(*words, "series.csv", "--out", "series.csv").fails(1, "series.csv")
    molvae(*words, "odd.csv", "--out", "odd").fails(1, "odd.csv", "C(")
    done = molvae(*words, "odd.csv", "--out", "odd", "--skip-invalid", "--column", "smiles")
    assert "1 of 13 skipped" in done.err
    few = "\n".join(texts[:9])
    molvae(*words, "--out", "few", stdin=few).fails(1, "standard input holds 9", "at least 10")
    molvae(*words, "--out", "few", stdin="CCO\nC[Au]\n").fails(1, "Au", "tokens")
    molvae(*words, "--out", "few", stdin=f"{table}gold,[Au]\n").fails(1, "[Au]")
    monkeypatch.setattr("molvae.cli.training.MAX_SERIES", 11)
    molvae(*words, "series.csv", "--out", "few").fails(1, "12 distinct", "up to 11", "train --from")
    assert not (tmp_path / "few").exists()


def test_counts_beyond_memory_fail_in_one_line(
    molvae: Molvae, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_folder / "run"
    molvae("generate", run, "-n", 10**20).fails(1, "n must be a whole number", "10000000")
    molvae("explore", "interpolate", run, "CCO", "CCN", "--steps", 10**14).fails(1, "steps must")
    around = molvae("explore", "neighbors", run, "CCO", "-n", 10**14)
    assert "n must be a whole number" in around.err
    molvae("density", run, "--n-samples", 0, stdin="CCO\n").fails(1, "--n-samples must")

    def huge(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("molvae.latent.space.LatentSpace.encode", huge)
    molvae("encode", run, stdin="CCO\n").fails(1, "not enough memory")


def test_tune_command_into_the_folder_above_a_bundled_name(molvae: Molvae, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "x").write_text("x")
    done = molvae("tune", "qm9", "--out", "own", stdin="CCO\n")
    done.fails(1, "own exists")
    assert "which this command reads" not in molvae("tune", "qm9", "--out", ".", stdin="CCO\n").err


@pytest.mark.parametrize("damage", ["truncate", "newer", "foreign"])
def test_generate_command_of_a_damaged_model_fails_in_one_line(
    molvae: Molvae, run_folder: Path, tmp_path: Path, damage: str
) -> None:
    (tmp_path / "run").mkdir()
    for name in ("model.json", "model.safetensors"):
        content = (run_folder / "run" / name).read_bytes()
        if damage == "truncate" and name == "model.safetensors":
            content = content[: len(content) // 2]
        if name == "model.json" and damage == "newer":
            content = json.dumps({**json.loads(content), "format": 99}).encode()
        if name == "model.json" and damage == "foreign":
            content = b"[1, 2]"
        (tmp_path / "run" / name).write_bytes(content)
    molvae("generate", "run").fails(1, "run")


# --- campaigns


def test_optimize_prints_the_best_molecules_and_the_files(toy: Molvae, tmp_path: Path) -> None:
    done = toy(*OPTIMIZE, "--budget", 12, "--report", "q.html", "--top", 4)
    assert done.status == 0
    assert list(done.table[0]) == ["rank", "id", "smiles", "value", "logP", "SAS", "QED"]
    assert [row["rank"] for row in done.table] == ["1", "2", "3", "4"]
    values = [float(row["value"]) for row in done.table]
    assert values == sorted(values, reverse=True)
    assert done.table[0]["value"] == done.table[0]["QED"]
    for part in ("best initial molecule", "12 evaluations", "campaign  q.db", "report  q.html"):
        assert part in done.err
    with Campaign.open(tmp_path / "q.db") as campaign:
        assert len(campaign) == 12
        assert campaign.best_value == pytest.approx(values[0], rel=1e-8)


def test_optimize_resumes_with_a_larger_budget(toy: Molvae, tmp_path: Path) -> None:
    first = toy(*OPTIMIZE, "--budget", 8, "--report", "q.html")
    before = (tmp_path / "q.html").read_text()
    assert toy("optimize", "q.db", "--budget", 11, "--report", "q.html").status == 0
    assert (tmp_path / "q.html").read_text() != before
    again = toy("optimize", "q.db", "--budget", 8)
    assert "11 evaluations" in again.err
    assert first.status == again.status == 0
    toy(*OPTIMIZE, "--budget", 11)  # the same settings in full are no contradiction


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--objective", "sas"], ["objective qed, not sas"]),
        (["--seed", "5"], ["seed 0, not 5"]),
        (["--strategy", "log-ei"], ["strategy random, not log-ei"]),
        (["--direction", "minimize"], ["direction maximize, not minimize"]),
        (["--space", "other"], ["space toy, not other"]),
    ],
)
def test_optimize_with_other_settings_fails_for_an_existing_campaign(
    toy: Molvae, words: list[str], parts: list[str]
) -> None:
    assert toy(*OPTIMIZE, "--budget", 6).status == 0
    toy("optimize", "q.db", "--budget", 9, *words).fails(1, "q.db", "was created with", *parts)
    with Campaign.open("q.db") as campaign:
        assert len(campaign) == 6


def test_optimize_reads_strategy_settings_after_the_name(toy: Molvae) -> None:
    arguments = [*OPTIMIZE]
    arguments[arguments.index("random")] = "rank:latent_fraction=1,n_generations=1,n_offspring=40"
    assert toy(*arguments, "--budget", 6).status == 0
    assert toy(*arguments, "--budget", 7).status == 0
    assert toy("optimize", "q.db", "--budget", 8).status == 0
    old = "rank:latent=1,generations=1,children=40"
    arguments[arguments.index("--strategy") + 1] = old
    assert toy(*arguments, "--budget", 9).status == 0  # the same under names of earlier versions
    created = ["optimize", "o.db", *arguments[2:], "--budget", 5]
    assert toy(*created).status == 0
    with Campaign.open("o.db") as campaign:
        assert campaign.config.strategy == "rank:latent_fraction=1,n_generations=1,n_offspring=40"
    with Campaign.open("q.db") as campaign:
        assert campaign.metadata["strategy"]["settings"]["n_offspring"] == 40
    toy("optimize", "q.db", "--budget", 10, "--strategy", "rank").fails(
        1, "strategy rank:latent_fraction=1,n_generations=1,n_offspring=40, not rank"
    )
    toy("optimize", "r.db", "--objective", "qed", "--strategy", "rank:n_offsprings=4").fails(
        1, "did you mean 'n_offspring'"
    )


def test_optimize_with_a_config_file_runs_the_campaign(toy: Molvae, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'record = "c.db"\nobjective = "logp"\nspace = "toy"\nstart = "start.smi"\n'
        'strategy = "random"\nbudget = 7\nreport = "c.html"\n'
    )
    assert toy("optimize", "--config", "c.toml").status == 0
    assert files(tmp_path) >= {"c.db", "c.html"}
    done = toy("optimize", "d.db", "--config", "c.toml", "--report", "d.html", "--budget", 8)
    assert "8 evaluations" in done.err
    (tmp_path / "c.toml").write_text('record = "e.db"\nobjectiv = "logp"\n')
    toy("optimize", "--config", "c.toml").fails(1, "c.toml", "did you mean 'objective'")
    for table in ('[strategy]\nname = "rank"\n', "[strategy.settings]\nlatent_fraction = 1.0\n"):
        (tmp_path / "c.toml").write_text(f'campaign = "e.db"\nobjective = "logp"\n{table}')
        toy("optimize", "--config", "c.toml").fails(1, "c.toml", "strategy", "str")
    assert not (tmp_path / "e.db").exists()


@pytest.mark.parametrize("line", ["report = true", "campaign = 3", "start = [1]", "budget = '9'"])
def test_read_settings_of_a_wrong_type_raises_with_the_file(
    toy: Molvae, tmp_path: Path, line: str
) -> None:
    rest = "" if "campaign" in line else 'campaign = "c.db"\n'
    (tmp_path / "c.toml").write_text(f'objective = "logp"\nspace = "toy"\n{rest}{line}\n')
    toy("optimize", "--config", "c.toml").fails(1, f"c.toml: {line.split()[0]} must be of type")
    assert not (tmp_path / "c.db").exists()


@pytest.mark.parametrize("name", ["qed.toml", "qed-sas.toml"])
def test_optimize_runs_the_pipelines_of_the_repository(
    toy: Molvae, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    words = ["--space", "toy", "--start", "start.smi", "--budget", "8", "--strategy", "random"]
    (tmp_path / "runs").mkdir()
    assert toy("optimize", "--config", ROOT / "pipelines" / name, *words).status == 0
    stem = name.removesuffix(".toml")
    assert {path.name for path in (tmp_path / "runs").iterdir()} >= {f"{stem}.db", f"{stem}.html"}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--objective", "qde"], ["did you mean 'qed'"]),
        (["--strategy", "logei"], ["log-ei"]),
        (["--budget", "-3"], ["budget must be at least 1", "-3"]),
        (["--budget", "0"], ["budget must be at least 1"]),
        (["--batch", "0"], ["batch"]),
        (["--seed", "-1"], ["seed"]),
        (["--start", "nothing.smi"], ["nothing.smi"]),
        (["--start", "bad.smi"], ["bad.smi, line 2"]),
        (["--objective", "similarity:C("], ["C("]),
        (["--objective", "broken:f"], ["broken", "division by zero"]),
        (["--objective", "nowhere:f"], ["nowhere"]),
        (["--objective", "good:mas"], ["did you mean 'mass'"]),
        (["--record", "no/where.db"], ["no folder"]),
        (["--report", "no/where.html"], ["no folder"]),
        (["--top", "-1"], ["top must be a whole number from 0, got -1"]),
        (["--plausibility", "none,alerts"], ["none stands alone"]),
        (["--report", "mine.html"], ["mine.html exists"]),
    ],
)
def test_optimize_with_invalid_settings_fails_and_writes_nothing(
    toy: Molvae, tmp_path: Path, words: list[str], parts: list[str]
) -> None:
    (tmp_path / "bad.smi").write_text(f"{MOLECULES[0]}\nC1C\n")
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "good.py").write_text("def mass(smiles):\n    return 1.0\n")
    there = files(tmp_path)
    toy(*optimize_with(*words)).fails(1, *parts)
    assert files(tmp_path) == there
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_optimize_with_wrong_usage_ends_with_status_2(toy: Molvae, tmp_path: Path) -> None:
    toy("optimize", "q.db", "--budget", "many").fails(2, "--budget", "many")
    toy("optimize", "q.db", "--buget", "3").fails(2, "Did you mean --budget")
    toy("optimize", "q.db", "--direction", "up").fails(2, "maximize")
    toy("optimize", "--objective", "qed").fails(1, "name the campaign file")
    (tmp_path / "q.toml").write_text('campain = "q.db"\nobjective = "qed"\n')
    toy("optimize", "--config", "q.toml").fails(1, "q.toml", "'campain'", "did you mean 'campaign'")
    toy("optimize", "q.db").fails(1, "objective")


def test_optimize_skip_invalid_counts_invalid_initial_molecules(
    toy: Molvae, tmp_path: Path
) -> None:
    (tmp_path / "start.smi").write_text("\n".join([*MOLECULES[:4], "C1C", MOLECULES[0]]))
    done = toy(*OPTIMIZE, "--budget", 5, "--skip-invalid")
    assert done.status == 0
    assert "1  left out: invalid molecule" in done.err
    assert "repeats an earlier molecule" in done.err


@pytest.mark.parametrize("kind", ["empty", "text", "foreign", "truncated", "directory"])
def test_commands_on_other_files_fail_and_change_nothing(
    toy: Molvae, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "x.db"
    if kind == "truncated":
        begin(path).close()
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "foreign":
        import sqlite3

        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE t (x)")
        connection.close()
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_text("" if kind == "empty" else "hello")
    before = None if kind == "directory" else path.read_bytes()
    for words in ("optimize x.db --budget 3", "ask x.db", "tell x.db 1 2", "export x.db"):
        toy(*split(words)).fails(1, "x.db")
    assert files(tmp_path) <= {"x.db", "x.db-shm", "x.db-wal"}
    assert before is None or path.read_bytes() == before


def test_ask_with_another_model_fails(toy: Molvae, monkeypatch: pytest.MonkeyPatch) -> None:
    assert toy(*OPTIMIZE, "--budget", 6).status == 0
    monkeypatch.setattr("molvae.latent.loading.load", lambda name, **_: ToySpace("retrained"))
    toy("ask", "q.db").fails(1, "q.db", "toy", "retrained")


STOPS = """
calls = 0

def f(smiles):
    global calls
    calls += 1
    if calls == 8:
        raise KeyboardInterrupt
    return float(len(smiles))
"""


def test_optimize_interrupted_keeps_values_and_resumes(toy: Molvae, tmp_path: Path) -> None:
    (tmp_path / "stops.py").write_text(STOPS)
    words = [*optimize_with("--objective", "stops:f"), "--budget", 12]
    done = toy(*words)
    assert done.status == 130
    assert done.out == ""
    assert done.err.splitlines()[-1] == (
        "molvae: interrupted; all values are in the campaign file, and the same command goes on "
        "from there"
    )
    with Campaign.open(tmp_path / "q.db") as campaign:
        assert sum(trial.status == "complete" for trial in campaign.trials) == 7
    assert toy(*words).status == 0
    with Campaign.open(tmp_path / "q.db") as campaign:
        assert [trial.status for trial in campaign.trials] == ["complete"] * 12


def test_optimize_with_a_failing_objective_ends_with_its_error(toy: Molvae, tmp_path: Path) -> None:
    (tmp_path / "breaks.py").write_text("def f(smiles):\n    raise ValueError('no licence')\n")
    words = optimize_with("--objective", "breaks:f")
    words += ["--plausibility", "none"]
    toy(*words, "--budget", 9).fails(1, "breaks:f", "ValueError: no licence", MOLECULES[0])


# --- objectives from outside

SCORE = f"{sys.executable} score.py"
SCORER = """
import sys
[smiles] = sys.argv[1:] or [line.strip() for line in sys.stdin]
if smiles.count("S") == 1 and "OCCS" in smiles:
    sys.exit("no pocket")
print('{"affinity": %f}' % -len(smiles))
"""


@pytest.mark.parametrize("place", ["", " {smiles}"])
def test_optimize_with_a_command_as_objective_runs_the_program(
    toy: Molvae, tmp_path: Path, place: str
) -> None:
    (tmp_path / "score.py").write_text(SCORER)
    words = [*optimize_with("--objective", "affinity"), "--command", SCORE + place]
    done = toy(*words, "--direction", "minimize", "--unit", "kcal/mol", "--budget", 9)
    assert done.status == 0, done.err
    with Campaign.open("q.db") as campaign:
        assert (campaign.name, campaign.direction) == ("affinity", "minimize")
        assert campaign.metadata["objectives"][0]["unit"] == "kcal/mol"
        for trial in campaign.trials:
            if trial.status == "complete":
                assert trial.values == {"affinity": -len(trial.smiles)}
            else:
                assert "ended with status 1: no pocket (see " in trial.message
    assert len(list((tmp_path / "q.db.calls").iterdir())) == 9
    assert toy("optimize", "q.db", "--budget", 10).status == 0  # the record knows the program
    toy("optimize", "q.db", "--budget", 11, "--command", "other").fails(1, "other")


def test_optimize_with_workers_calls_a_module_of_the_user(toy: Molvae, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import os\ndef f(smiles):\n    if 'S' in smiles: os._exit(3)\n    return len(smiles)\n"
    )
    words = [*optimize_with("--objective", "mine:f"), "--workers", 2, "--timeout", 60]
    done = toy(*words, "--budget", 12, "--max-failure-rate", 1)
    assert done.status == 0, done.err
    with Campaign.open("q.db") as campaign:
        assert len(campaign) == 12
        for trial in campaign.trials:
            died = "S" in trial.smiles
            assert trial.status == ("failed" if died else "complete")
            assert ("the process died" in trial.message) == died


# --- several goals


def test_optimize_with_several_objectives_and_constraints(toy: Molvae, tmp_path: Path) -> None:
    (tmp_path / "carbons.py").write_text("def f(smiles):\n    return smiles.count('C')\n")
    goals = ["--goals", "carbons:f", "minimize mw, weight 2", "--limits", "logp <= 3", "tpsa >= 20"]
    base = split("optimize q.db --space toy --strategy random --start start.smi --batch 3")
    done = toy(*base, *goals, "--budget", 12, "--report", "q.html")
    assert done.status == 0, done.err
    assert list(done.table[0])[:5] == ["rank", "id", "smiles", "carbons:f", "mw"]
    assert "12 evaluations" in done.err
    with Campaign.open("q.db") as campaign:
        table = campaign.table()
        assert set(table.columns) >= {
            "carbons:f",
            "mw",
            "logp",
            "tpsa",
            "pareto_rank",
            "feasible",
        }
        assert campaign.problem.measured == ("carbons:f",)
        assert str(campaign.problem) == "maximize carbons:f, minimize mw; logp <= 3, tpsa >= 20"
        best = campaign.best(3)
        assert (best["pareto_rank"] == 1).all()
        assert best["feasible"].all()
    assert toy("optimize", "q.db", "--budget", 13).status == 0
    assert toy(*base, *goals, "--budget", 14).status == 0  # the same settings
    toy("optimize", "q.db", "--budget", 15, "--goals", "carbons:f").fails(1, "objective")
    toy("optimize", "q.db", "--budget", 15, "--limits", "logp <= 4").fails(1, "constraints")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["objective"]),
        (["--goals", "qed", "sas", "--combine", "best"], ["combine"]),
        (["--goals", "qed", "logp", "--combine", "desirability"], ["logp", "worst 0, best 1"]),
        (["--goals", "qed", "sas", "--direction", "minimize"], ["direction belongs to a single"]),
        (["--objective", "maximize qed", "--direction", "minimize"], ["direction", "say one"]),
        (["--objective", "y", "--command", ""], ["a command has words"]),
        (["--objective", "qed", "--workers", "-1"], ["workers must not be negative"]),
        (["--objective", "qed", "--timeout", "0"], ["timeout must be a positive"]),
        (["--goals", "qed", "qed"], ["two objectives are called qed"]),
        (["--goals", "logp in 3..1"], ["low <= high"]),
        (["--goals", "maximize logp in 1..3"], ["either a direction or a range"]),
        (["--objective", "qed", "--limits", "logp"], ["logp", "cannot be read"]),
        (["--objective", "qed", "--limits", "matches:C(C >= 1"], ["not a SMARTS"]),
        (["--objective", "qed", "--limits", "alerts:PAIN <= 0"], ["did you mean"]),
        (["--objective", "qed", "--limits", "elements-outside:C+Xx <= 0"], ["'Xx'", "element"]),
    ],
)
def test_optimize_with_invalid_objectives_fails(
    toy: Molvae, words: list[str], parts: list[str]
) -> None:
    done = toy("optimize", "q.db", "--space", "toy", "--start", "start.smi", *words)
    assert done.status in (1, 2)
    for part in parts:
        assert part in done.err, done.err
    assert not Path("q.db").exists()


def test_optimize_reads_objectives_as_tables_of_a_config_file(toy: Molvae, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'record = "c.db"\nspace = "toy"\nstart = "start.smi"\nstrategy = "random"\nbudget = 7\n'
        'combine = "desirability"\n[[goals]]\nobjective = "qed"\nweight = 3\n[[goals]]\n'
        'objective = "logp"\nlow = 1\nhigh = 3\n'
    )
    done = toy("optimize", "--config", "c.toml")
    assert done.status == 0, done.err
    with Campaign.open("c.db") as campaign:
        assert [goal.weight for goal in campaign.problem.objectives] == [3.0, 1.0]
        assert campaign.best_value == max(campaign.table()["score"])
    assert toy("optimize", "--config", "c.toml", "--budget", 8).status == 0
    (tmp_path / "c.toml").write_text('record = "d.db"\n[[goals]]\nobjective = "qed"\nlo = 1\n')
    toy("optimize", "--config", "c.toml").fails(1, "did you mean 'low'")


# --- the laboratory loop


CREATE = split(
    "ask lab.db --create --objective manual:pIC50 --direction maximize --strategy random "
    "--space toy --start measured.csv"
)


def test_ask_and_tell_commands_run_a_campaign_by_hand(lab: Molvae, tmp_path: Path) -> None:
    asked = lab(*CREATE, "-n", 3)
    assert [row["id"] for row in asked.table] == ["5", "6", "7"]
    assert lab("tell", "lab.db", 5, "-0.25").status == 0
    assert lab("tell", "lab.db", 6, "failed", "--message", "did not dissolve").status == 0
    assert [row["id"] for row in lab("ask", "lab.db", "--waiting").table] == ["7"]
    done = lab("tell", "lab.db", "--file", "-", stdin="id\tvalue\n7\t8.25\n")
    assert "values of 1 trial; 0 pending" in done.err
    assert len(lab("ask", "lab.db", "-n", 2).table) == 2
    rows = lab("export", "lab.db").out.splitlines()
    assert rows[0].startswith("id,smiles,pIC50,status")
    assert "8.25" in rows[7]
    assert "did not dissolve" in rows[6]
    assert lab("report", "lab.db").out == "lab.html\n"
    lab("report", "lab.db").fails(1, "lab.html exists")
    done = lab("optimize", "lab.db", "--budget", 20)
    assert done.status == 1
    assert "values of 'pIC50' are measured by people" in done.err.splitlines()[-1]


def test_ask_and_export_have_density_percentiles(
    lab: Molvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.latent.loading.load", lambda name, **_: DenseToySpace(str(name)))
    asked = lab(*CREATE, "-n", 3).table
    space = DenseToySpace()
    expected = space.density_percentile(space.encode([row["smiles"] for row in asked])).tolist()
    assert [float(row["percentile"]) for row in asked] == pytest.approx(expected)
    exported = lab("export", "lab.db").out.splitlines()
    assert exported[0].split(",")[5] == "percentile"
    assert [float(line.split(",")[5]) for line in exported[-3:]] == expected
    assert lab("ask", "lab.db", "--waiting", "--out", "plate.csv").status == 0
    assert (tmp_path / "plate.csv").read_text().startswith("id,smiles,pIC50,pIC50_predicted,")
    done = lab(*OPTIMIZE, "--budget", 12)
    assert re.search(
        r"^\d of 6 new molecules have a density below the first percentile$", done.err, re.M
    )


def test_ask_tell_and_export_keep_plate_columns_and_sdf(lab: Molvae, tmp_path: Path) -> None:
    """What the laboratory has besides values is kept; molecules may go and come as SDF."""
    assert lab(*CREATE, "-n", 4, "--out", "plate.sdf").out == "plate.sdf\n"
    lab("ask", "lab.db", "--waiting", "--out", "plate.sdf").fails(1, "plate.sdf exists")
    sheet = (
        "id,value,error,well,smiles,status,percentile\n"
        "5,7.5,0.25,B7,?,,1.5\n6,1;2;3,,B8,?,fine,\n7,n.d.,,B9,?,,\n"
    )
    assert lab("tell", "lab.db", "--file", "-", stdin=sheet).status == 0
    with Campaign.open("lab.db") as campaign:
        five, six, seven = campaign.trials[4:7]
        assert (five.values, five.errors) == ({"pIC50": 7.5}, {"pIC50": 0.25})
        assert (five.notes, six.notes) == ({"well": "B7"}, {"well": "B8", "status": "fine"})
        assert six.values == {"pIC50": 2.0}
        assert seven.status == "failed"
    text = (tmp_path / "plate.sdf").read_text()
    (tmp_path / "back.sdf").write_text(
        text[: text.index("$$$$")].replace(">  <id>", ">  <x>") + "$$$$\n"
    )
    lab("tell", "lab.db", "--file", "back.sdf").fails(1, "back.sdf has no column 'id'", "smiles, x")
    last = text.split("$$$$\n")[3] + ">  <value>\n4.5\n\n>  <plate>\n7\n\n$$$$\n"
    (tmp_path / "back.sdf").write_text(last)
    done = lab("tell", "lab.db", "--file", "back.sdf")
    assert done.status == 0, done.err
    header, *rows = [line.split(",") for line in lab("export", "lab.db").out.splitlines()]
    assert header[9:14] == ["kappa", "parents", "nearest", "similarity", "findings"]
    header, rows = header[:9] + header[14:], [row[:9] + row[14:] for row in rows]
    assert header[9:] == ["pIC50_error", "well", "pIC50_replicates", "note_status", "plate"]
    assert rows[5][9:13] == ["0.5773502691896258", "B8", "1.0;2.0;3.0", "fine"]
    assert (rows[7][2], rows[7][13]) == ("4.5", "7")
    for ending in ("parquet", "sdf"):
        assert lab("export", "lab.db", f"all.{ending}").status == 0


def test_tell_file_of_several_measured_values_reads_columns_by_name(toy: Molvae) -> None:
    base = split("ask two.db --create --strategy random --space toy --start start.smi --goals")
    assert toy(*base, "manual:pIC50", "minimize manual:tox", "mw", "-n", 3).status == 0
    toy("tell", "two.db", 1, "7.5").fails(1, "measures pIC50, tox", "--file")
    sheet = "id,pIC50,tox,tox_error,well\n1,7.5,0.5,0.1,A1\n2,6.5,failed,,A2\n"
    assert toy("tell", "two.db", "--file", "-", stdin=sheet).status == 0
    toy("tell", "two.db", "--file", "-", stdin="id,pIC50\n3,1\n").fails(1, "no column 'tox'")
    blank = "id,pIC50,tox\n3,1,\n"
    toy("tell", "two.db", "--file", "-", stdin=blank).fails(1, "line 2", "write failed")
    with Campaign.open("two.db") as campaign:
        first, second = campaign.trials[:2]
        assert (first.status, first.errors) == ("complete", {"tox": 0.1})
        assert (second.status, second.values["pIC50"]) == ("failed", 6.5)
        assert second.notes == {"well": "A2"}


def test_ask_gives_unmeasured_initial_molecules_first(lab: Molvae) -> None:
    words = [word.replace("measured.csv", "start.smi") for word in CREATE]
    assert [row["smiles"] for row in lab(*words).table] == MOLECULES[:60:10]
    assert len(lab("ask", "lab.db", "--waiting").table) == 6


@pytest.mark.parametrize(
    ("sheet", "parts"),
    [
        ("id,value\n5,1\n99,2\n", ["99", "not in the campaign"]),
        ("id,value\n5,1\n1,2\n", ["trial 1", "reported"]),
        ("id,value\n5,1\n5,2\n", ["trial 5", "twice"]),
        ("id,value\n5,1\n6,high\n", ["line 3", "'high'"]),
        ("id,value\n5,1\n6,inf\n", ["line 3", "'inf'"]),
        ("id,value\n5,1\nsix,1\n", ["line 3", "'six'"]),
        ("id,value\n5,1\n6\n", ["line 3", "fewer cells"]),
        ("id|value\n5|1\n", ["'id'", "id|value"]),
        ("id,valu\n5,1\n", ["'value'", "id, valu"]),
        ("id,value,error\n5,1,-1\n", ["line 2", "a number from 0"]),
        ("", ["'id'"]),
    ],
)
def test_tell_file_with_an_error_writes_nothing(lab: Molvae, sheet: str, parts: list[str]) -> None:
    assert lab(*CREATE, "-n", 2).status == 0
    lab("tell", "lab.db", "--file", "-", stdin=sheet).fails(1, *parts)
    assert len(lab("ask", "lab.db", "--waiting").table) == 2


def test_tell_of_a_told_or_unknown_trial_fails(lab: Molvae) -> None:
    assert lab(*CREATE, "-n", 1).status == 0
    lab("tell", "lab.db", 5, "7.5")
    lab("tell", "lab.db", 5, "7.75").fails(1, "the outcome 7.5", "tell --correct")
    lab("tell", "lab.db", 50, "1").fails(1, "no trial 50")
    lab("tell", "lab.db", 5, "high").fails(1, "'high'")
    lab("tell", "lab.db", 5).fails(1, "--file")
    lab("tell", "lab.db", "five", "1").fails(2)


def test_ask_settings_without_create_fail(lab: Molvae) -> None:
    assert lab(*CREATE, "-n", 1).status == 0
    lab("ask", "lab.db", "--seed", 3).fails(1, "seed", "--create")
    lab(*CREATE).fails(1, "lab.db exists")
    lab("ask", "lab.db", "-n", 0).fails(1, "from 1")
    lab("ask", "other.db").fails(1, "other.db")


def test_export_over_an_existing_file_fails_without_overwrite(lab: Molvae, tmp_path: Path) -> None:
    assert lab(*CREATE, "-n", 1).status == 0
    assert lab("export", "lab.db", "lab.tsv").out == "lab.tsv\n"
    before = (tmp_path / "lab.tsv").read_text()
    assert before.startswith("id\tsmiles\tpIC50")
    lab("tell", "lab.db", 5, 1)
    lab("export", "lab.db", "lab.tsv").fails(1, "lab.tsv exists")
    assert (tmp_path / "lab.tsv").read_text() == before
    assert lab("export", "lab.db", "lab.tsv", "--overwrite").status == 0
    assert (tmp_path / "lab.tsv").read_text() != before
    lab("export", "lab.db", "no/where.csv").fails(1, "no")


def test_retry_command_prints_failed_trials_and_puts_them_back(lab: Molvae) -> None:
    lab(*CREATE, "-n", 3)
    for trial, message in ((5, "plate lost"), (6, "not soluble")):
        lab("tell", "lab.db", trial, "failed", "--message", message)
    lab("retry", "lab.db", "--message", "flooded").fails(1, "flooded", "plate lost (1)")
    printed = lab("retry", "lab.db", "--message", "Plate")
    (row,) = printed.table
    assert (row["id"], row["earlier_failures"][:10]) == ("5", "plate lost")
    assert "1 put back, 2 pending, 1 failed" in printed.err
    assert lab("tell", "lab.db", 5, "6.25").status == 0
    row = lab("export", "lab.db").out.splitlines()[5]
    assert "6.25" in row
    assert "plate lost" in row
    assert [row["id"] for row in lab("retry", "lab.db", "--trial", 6).table] == ["6"]
    assert lab("retry", "lab.db").table == []
    lab("retry", "lab.db", "--trial", 5).fails(1, "trial 5 has not failed")


@pytest.mark.parametrize(
    ("value", "mean"), [("-7.5;-7.3", -7.4), ("-7.5", -7.5), ("-1e-3", -0.001), ("-7,5;-7,3", -7.4)]
)
def test_tell_accepts_negative_values(molvae: Molvae, value: str, mean: float) -> None:
    begin("r.db", objective="manual:affinity").close()
    told = molvae("tell", "r.db", 1, value, "--message", "-twice")
    assert told.status == 0, told.err
    with Campaign.open("r.db") as campaign:
        assert campaign.trials[0].values["affinity"] == pytest.approx(mean)
        assert campaign.trials[0].message == "-twice"


RANDOM_TOY = [
    "--objective",
    "qed",
    "--space",
    "toy",
    "--strategy",
    "random",
    "--plausibility",
    "none",
]


def test_optimize_initial_molecules_follow_the_budget(
    molvae: Molvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [initial_number(n) for n in (1, 30, 300, 1000)] == [2, 10, 100, 100]
    monkeypatch.setattr("molvae.latent.loading.load", lambda *_, **__: ToySpace())
    Path("s.smi").write_text("\n".join(ToySpace().molecules[:6]))
    done = molvae("optimize", "c.db", *RANDOM_TOY, "--start", "s.smi", "--budget", 4)
    assert done.status == 0
    assert "budget of 4" in done.err
    assert "budget of" not in molvae("optimize", "c.db", "--budget", 8).err


def test_optimize_batch_size_may_change_and_is_kept(
    molvae: Molvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.latent.loading.load", lambda *_, **__: ToySpace())
    Path("s.smi").write_text("\n".join(ToySpace().molecules[:6]))
    start = ("--start", "s.smi", "--budget", 8)
    molvae("optimize", "c.db", *RANDOM_TOY, *start, "--batch-size", 2)
    assert molvae("optimize", "c.db", "--budget", 16, "--batch-size", 4).status == 0
    with Campaign.open("c.db", space=ToySpace()) as campaign:
        assert (campaign.batch_size, campaign.config.batch_size) == (4, 2)
        asked = [trial.asked_at for trial in campaign.trials]
        assert len(asked) == 16
        identity = dict(campaign.metadata)
        campaign.change_batch_size(3)
        assert campaign.metadata == identity
    with Campaign.open("c.db", space=ToySpace()) as campaign:
        assert campaign.batch_size == 3
        with pytest.raises(ConfigError):
            campaign.change_batch_size(0)
