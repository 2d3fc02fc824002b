"""Random inputs of users, files and other machines give an answer or an error of molvae.

A few dozen inputs of each kind in every run of the tests; ten thousand in all with `-m slow`.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from molvae.campaign.campaign import Campaign
from molvae.campaign.start_file import read_start
from molvae.campaign.told_tables import read_measurements
from molvae.chem.molecules import canonical
from molvae.chem.readers import read_table
from molvae.cli import main
from molvae.config import CampaignConfig, build, read_toml
from molvae.errors import MolvaeError, MolvaeWarning
from molvae.latent.loading import load
from molvae.model.config import TrainConfig
from molvae.objectives.program import parse_output
from molvae.objectives.registry import get_objective

GOLDEN = Path(__file__).parent / "golden"
SOME = [
    "CCO",
    "c1ccccc1",
    "C[N+](C)(C)C",
    "[nH]",
    "%99",
    "C(",
    "F/C=C/F",
    "\x00",
    "🧪",
    "nan",
    "1e999",
]

smiles_like = st.one_of(
    st.text(alphabet="CNOSPFclnos[]()=#+-@/\\%0123456789.HBri*:$~ ", max_size=60),
    st.sampled_from(SOME),
    st.text(max_size=30),
)
cells = st.one_of(smiles_like, st.floats().map(str), st.integers().map(str), st.just(""))
tables = st.builds(
    lambda header, rows, sep, end: end.join(sep.join(row) for row in [header, *rows]),
    st.lists(
        st.sampled_from(["id", "smiles", "value", "error", "message", "qed", "", "ID"]), max_size=5
    ),
    st.lists(st.lists(cells, max_size=6), max_size=6),
    st.sampled_from([",", "\t", ";"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def expect_answer_or_own_error(work: Callable[[], Any]) -> None:
    """An answer, with warnings or without, or an error that was raised on purpose."""
    with warnings.catch_warnings(), contextlib.suppress(MolvaeError):
        warnings.simplefilter("ignore", MolvaeWarning)
        work()


def each(quick: int, many: int) -> Callable[[Any], Any]:
    """So many examples, or many more in a test of its own that is marked stress."""

    def decorate(test: Any) -> Any:
        checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
        common: dict[str, Any] = {"deadline": None, "suppress_health_check": checks}
        body = test.hypothesis.inner_test
        name = test.__name__
        module = sys.modules[test.__module__]
        stress = settings(max_examples=many, **common)(given(**test.given)(body))
        stress.__name__ = stress.__qualname__ = f"{name}_stress"
        setattr(module, stress.__name__, pytest.mark.stress(stress))
        return settings(max_examples=quick, **common)(test)

    return decorate


def fuzz(quick: int, many: int, **strategies: Any) -> Callable[[Any], Any]:
    """A test of generated inputs, in two sizes."""

    def decorate(body: Any) -> Any:
        test = given(**strategies)(body)
        test.given = strategies
        return each(quick, many)(test)

    return decorate


@fuzz(100, 2000, text=smiles_like)
def test_canonical_and_objectives_of_random_text_give_values_or_errors(text: str) -> None:
    expect_answer_or_own_error(lambda: canonical(text))
    for name in ("qed", "matches:C=O", "alerts:PAINS", "similarity:CCO"):
        (value,) = get_objective(name)([text])
        assert isinstance(value, float)


@fuzz(50, 1500, text=st.one_of(smiles_like, st.text(max_size=40)))
def test_get_objective_of_random_names_gives_objectives_or_errors(text: str) -> None:
    for prefix in ("", "similarity:", "matches:", "alerts:", "elements-outside:", "command:"):
        expect_answer_or_own_error(lambda prefix=prefix: get_objective(prefix + text))  # type: ignore[misc]


@fuzz(60, 1500, text=st.one_of(tables, st.text(max_size=80)))
def test_read_measurements_and_start_of_random_tables_give_rows_or_errors(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".csv", ".tsv", ".smi", ".sdf"):
            file = Path(folder) / f"t{ending}"
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
            expect_answer_or_own_error(
                lambda file=file: read_measurements(read_table(file, ["value"]), ["value"])  # type: ignore[misc]
            )
            expect_answer_or_own_error(lambda file=file: read_start(file, ["qed"]))  # type: ignore[misc]


@fuzz(60, 1000, text=st.one_of(tables, st.text(max_size=60), values.map(str)))
def test_parse_output_of_random_text_gives_values_or_errors(text: str) -> None:
    with contextlib.suppress(ValueError):
        answers = parse_output(text, ["CCO"])
        assert len(answers) == 1


@fuzz(60, 1000, content=st.dictionaries(st.sampled_from(
    ["record", "objective", "goals", "limits", "budget", "start", "seed", "timeout", "model", "x"]
), values, max_size=6))  # fmt: skip
def test_build_of_random_settings_gives_configs_or_errors(content: dict[str, Any]) -> None:
    expect_answer_or_own_error(lambda: build(CampaignConfig, content))
    expect_answer_or_own_error(lambda: build(TrainConfig, content))


@fuzz(30, 500, raw=st.binary(max_size=200))
def test_read_toml_of_random_bytes_gives_tables_or_errors(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "c.toml"
        file.write_bytes(raw)
        expect_answer_or_own_error(lambda: read_toml(file))


changes = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)),
    min_size=1,
    max_size=4,
)


def with_changed_bytes(content: bytes, spots: list[tuple[float, bytes]], cut: float) -> bytes:
    for where, new in spots:
        at = int(where * len(content))
        content = content[:at] + new + content[at + len(new) :]
    return content[: int(cut * len(content)) + 1]


@fuzz(30, 1000, spots=changes, cut=st.sampled_from([1.0, 1.0, 0.9, 0.3]))
def test_open_of_randomly_changed_campaign_files_gives_campaigns_or_errors(
    spots: list[tuple[float, bytes]], cut: float
) -> None:
    content = with_changed_bytes((GOLDEN / "record-1.db").read_bytes(), spots, cut)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "r.db"
        file.write_bytes(content)

        def use() -> None:
            with Campaign.open(file) as campaign:
                campaign.table()
                campaign.best(3)

        expect_answer_or_own_error(use)
        assert file.exists()


@fuzz(20, 500, spots=changes, cut=st.sampled_from([1.0, 0.9, 0.1]), which=st.integers(0, 1))
def test_load_of_randomly_changed_model_folders_gives_spaces_or_errors(
    spots: list[tuple[float, bytes]], cut: float, which: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        shutil.copytree(GOLDEN / "run-1", run)
        file = sorted(path for path in run.iterdir() if path.is_file())[which]
        file.write_bytes(with_changed_bytes(file.read_bytes(), spots, cut))
        expect_answer_or_own_error(lambda: load(run).encode(["CCO"]))


@fuzz(40, 1000, words=st.lists(st.one_of(
    st.sampled_from([
        "optimize", "ask", "tell", "export", "report", "properties", "list", "r.db", "--budget",
        "--objective", "--goals", "--limits", "qed", "--start", "--space", "toy", "--file", "-",
        "--n", "1", "0", "-5", "--strategy", "random", "rank:x=1", "--help", "--debugg", "nan",
    ]),
    st.text(max_size=8),
), max_size=7))  # fmt: skip
def test_main_with_random_words_ends_with_status_0_to_2(words: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("sys.stdin", io.StringIO("id,value\n1,2\n"))
        patch.setattr("sys.path", list(sys.path))
        patch.setattr("molvae.latent.loading.load", lambda *_, **__: exit_(3))
        assert main(words) in (0, 1, 2)


def exit_(status: int) -> None:
    raise MolvaeError(f"no model in this test ({status})")


def test_load_and_open_of_pickles_execute_nothing(tmp_path: Path) -> None:
    """Text is all that they hold: no pickle is read, and names of modules are not imported."""
    code = b"cos\nsystem\n(S'touch " + str(tmp_path / "evil").encode() + b"'\ntR."
    shutil.copytree(GOLDEN / "run-1", tmp_path / "run")
    for file in (tmp_path / "run").iterdir():
        if file.suffix == ".safetensors":
            file.write_bytes(code)
    expect_answer_or_own_error(lambda: load(tmp_path / "run"))
    (tmp_path / "r.db").write_bytes(code)
    expect_answer_or_own_error(lambda: Campaign.open(tmp_path / "r.db"))
    assert not (tmp_path / "evil").exists()
