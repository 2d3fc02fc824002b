"""`build`: settings from plain values, and one clear line for wrong ones."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from molvae.config import CampaignConfig, PrepareConfig, build, read_toml
from molvae.errors import ConfigError, DataError, UnknownNameError
from molvae.model.config import TrainConfig

WITHOUT_Z = {"latent_dim": 0, "residual_conditioning": False, "noise_conditioning": False}
CAMPAIGN = {"record": "a.db", "objective": "qed"}


def test_build_of_asdict_gives_the_same_config() -> None:
    tables = {"model": {"latent_dim": 7}, "loss": {"beta": 1}, "prior": {"kind": "vamp"}}
    config = build(TrainConfig, {"data": "d", "out": "o", **tables})
    assert (config.loss.beta, config.model.latent_dim, config.prior.kind) == (1.0, 7, "vamp")
    assert build(TrainConfig, asdict(config)) == config


def test_build_with_an_unknown_key_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'budget'"):
        build(CampaignConfig, {**CAMPAIGN, "buget": 3})
    with pytest.raises(UnknownNameError, match=r"q\.toml .*did you mean 'campaign'"):
        build(CampaignConfig, {"objective": "qed", "campain": "a.db"}, "q.toml")
    with pytest.raises(UnknownNameError, match="latent_dim"):
        build(TrainConfig, {"data": "d", "out": "o", "model": {"latent": 3}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**CAMPAIGN, "budget": -1}, "budget must be at least 1, got -1"),
        ({**CAMPAIGN, "batch": 0}, "batch_size must be at least 1"),
        ({**CAMPAIGN, "seed": "x"}, "seed must be of type int, got 'x'"),
        ({**CAMPAIGN, "budget": True}, "budget must be of type int, got True"),
        ({**CAMPAIGN, "direction": "up"}, "direction must be"),
        ({**CAMPAIGN, "start": 1.5}, "start must be"),
        ({**CAMPAIGN, "constraints": 3}, "constraints must be a list .*, got 3"),
    ],
)
def test_build_with_invalid_settings_raises_one_line_with_the_file(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build(CampaignConfig, settings, "q.toml")
    assert "q.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_build_accepts_none_for_an_optional_setting() -> None:
    for direction in ("minimize", None):
        config = build(CampaignConfig, {**CAMPAIGN, "direction": direction})
        assert config.direction == direction


def test_build_with_a_number_in_place_of_a_table_raises() -> None:
    with pytest.raises(ConfigError, match=r"model.* must be a table"):
        build(TrainConfig, {"data": "d", "out": "o", "model": 3})


@pytest.mark.parametrize(
    "settings",
    [
        {"prior": "flow", "prior_passes": 2},
        {"prior_passes": 2, "prior": "flow"},
        {"loss": "iwae", "beta": 0.1},
    ],
)
def test_build_with_an_old_setting_and_text_in_place_of_a_table_raises(
    settings: dict[str, object],
) -> None:
    with pytest.raises(ConfigError, match="must be a table"):
        build(TrainConfig, {"data": "d", "out": "o", **settings})


def test_build_leaves_the_given_settings_unchanged() -> None:
    settings = {"data": "d", "out": "o", "objective": {"draws": 1}, "beta": 0.1}
    build(TrainConfig, settings)
    assert settings == {"data": "d", "out": "o", "objective": {"draws": 1}, "beta": 0.1}


def test_read_toml_of_missing_or_invalid_file_raises(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_toml(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("a = = 3")
    with pytest.raises(DataError, match="not valid TOML"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b"a = 3  # \xfc")
    with pytest.raises(DataError, match="not valid TOML"):
        read_toml(tmp_path / "latin.toml")


def test_read_toml_accepts_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbfa = 3\r\nb = 4\r\n")
    assert read_toml(tmp_path / "marked.toml") == {"a": 3, "b": 4}


def test_build_of_train_config_reads_old_names() -> None:
    old = {
        "objective": {"kind": "iwae", "draws": 4, "similarity": 2.0},
        "beta": 0.3,
        "prior_passes": 3,
        "merges": 7,
        "noisy": 0.1,
        "molecules": 5,
        "spellings": 0.5,
        "model": {"explain": False, "noise_levels": True},
    }
    new = {
        "loss": {"kind": "iwae", "n_samples": 4, "beta": 0.3, "similarity_weight": 2.0},
        "prior": {"epochs": 3},
        "bpe_merges": 7,
        "noised_fraction": 0.1,
        "n_molecules": 5,
        "randomized_smiles_fraction": 0.5,
        "model": {"residual_conditioning": False, "noise_conditioning": True},
    }
    folders = {"data": "d", "out": "r"}
    assert build(TrainConfig, folders | old) == build(TrainConfig, folders | new)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"beta": 0.1, "loss": {"beta": 0.2}}, "beta is given twice"),
        ({"noisy": 0.1, "noised_fraction": 0.2}, "noised_fraction is given twice"),
        ({"loss": {"beta": -1}}, "beta must be"),
        ({"loss": {"free_bits": 0.1, "kind": "iwae", "n_samples": 4}}, "free_bits belongs to"),
        ({"loss": {"n_samples": 4}}, "n_samples belongs to kind = 'iwae'"),
        ({"loss": {"kind": "iwae"}}, "n_samples = 8"),
        ({"loss": {"total_correlation": 5.0}}, "belongs to kind = 'total-correlation'"),
        ({"loss": {"kind": "total-correlation", "beta": 0.0}}, "beta above 0"),
        ({"prior": {"kind": "flow", "epochs": 0}}, "at least one epoch"),
        ({"prior": {"kind": "flow", "components": 3}}, "components belong to"),
        ({"prior": {"kind": "vamp"}, "conditions": ["logP"]}, "is not given conditions"),
        ({"prior": {"kind": "flow"}, "model": {"latent_dim": 1}}, "at least 2"),
        ({"model": {"posterior": "point"}}, r"give \[loss\] beta = 0"),
        (
            {"model": {"posterior": "point"}, "loss": {"beta": 0}, "conditions": ["logP"]},
            "unknown conditions are sampled",
        ),
        (
            {"model": {"posterior": "flow"}, "loss": {"free_bits": 0.1}},
            "free_bits needs a Gaussian posterior, got 'flow'",
        ),
        (
            {"model": {"posterior": "flow"}, "loss": {"kind": "total-correlation"}},
            "total correlation needs a Gaussian",
        ),
        ({"model": {"posterior": "flow"}, "prior": {"kind": "vamp"}}, "'vamp' needs a Gaussian"),
        ({"model": WITHOUT_Z}, "noised_fraction must be 0 without"),
        ({"model": WITHOUT_Z, "noised_fraction": 0, "properties": ["logP"]}, "properties needs z"),
        (
            {"model": WITHOUT_Z, "noised_fraction": 0, "prior": {"kind": "mixture"}},
            "'mixture' needs z",
        ),
        (
            {
                "model": WITHOUT_Z,
                "noised_fraction": 0,
                "loss": {"kind": "iwae", "n_samples": 2},
            },
            "'iwae' needs z",
        ),
        ({"conditions": ["logP"], "properties": ["LogP"]}, "name it once"),
        ({"labeled_fraction": 0.0}, r"labeled_fraction must lie in \(0, 1\]"),
    ],
)
def test_build_with_contradictory_settings_raises(tables: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(TrainConfig, {"data": "d", "out": "o", **tables})


@pytest.mark.parametrize("keep", [["a", "a"], ["SMILES"], [""]])
def test_build_with_invalid_keep_raises(keep: list[str]) -> None:
    with pytest.raises(ConfigError, match="keep_columns must list columns of numbers"):
        build(PrepareConfig, {"keep": keep})


def test_build_of_campaign_config_reads_old_names_and_spellings() -> None:
    old = {"record": "a.db", "goals": ["qed", "minimise sas"], "limits": "mw <= 5", "batch": 2}
    new = {"campaign": "a.db", "objective": ["qed", "minimise sas"], "constraints": ["mw <= 5"]}
    assert build(CampaignConfig, {**old, "combine": "sum"}) == build(
        CampaignConfig, {**new, "batch_size": 2, "combine": "weighted_sum"}
    )
    paths = {"data": "d", "out": "o"}
    moved = build(TrainConfig, {**paths, "beta": 0.5, "objective": {"beta_warm_up": 0.5}})
    assert (moved.loss.beta, moved.loss.beta_warmup_fraction) == (0.5, 0.5)
    assert build(TrainConfig, {**paths, "prior_passes": 3}).prior.epochs == 3
    with pytest.raises(ConfigError, match="given twice"):
        build(CampaignConfig, {**new, "batch": 2, "batch_size": 2})
