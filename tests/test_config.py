"""Settings: built from plain values, refused with one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from molvae.config import CampaignConfig, TrainConfig, as_settings, build, read_toml
from molvae.errors import ConfigError, DataError, UnknownNameError

CAMPAIGN = {"record": "a.db", "objective": "qed"}


def test_building_and_taking_apart_are_inverse() -> None:
    config = build(TrainConfig, {"data": "d", "out": "o", "beta": 1, "model": {"latent_dim": 7}})
    assert (config.beta, config.model.latent_dim) == (1.0, 7)
    assert build(TrainConfig, as_settings(config)) == config


def test_an_unknown_key_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'budget'"):
        build(CampaignConfig, {**CAMPAIGN, "buget": 3})
    with pytest.raises(UnknownNameError, match=r"q\.toml .*did you mean 'record'"):
        build(CampaignConfig, {"objective": "qed", "recrod": "a.db"}, "q.toml")
    with pytest.raises(UnknownNameError, match="latent_dim"):
        build(TrainConfig, {"data": "d", "out": "o", "model": {"latent": 3}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**CAMPAIGN, "budget": -1}, "budget must be at least 1 objective call, got -1"),
        ({**CAMPAIGN, "batch": 0}, "batch must be at least 1"),
        ({**CAMPAIGN, "seed": "x"}, "seed must be of type int, got 'x'"),
        ({**CAMPAIGN, "budget": True}, "budget must be of type int, got True"),
        ({**CAMPAIGN, "direction": "up"}, "direction must be"),
        ({**CAMPAIGN, "start": 1.5}, "start must be"),
        ({"objective": "qed"}, "record"),
    ],
)
def test_wrong_settings_are_one_clear_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build(CampaignConfig, settings, "q.toml")
    assert "q.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_optional_setting_takes_its_values_and_none() -> None:
    for direction in ("minimise", None):
        config = build(CampaignConfig, {**CAMPAIGN, "direction": direction})
        assert config.direction == direction


def test_a_table_must_be_a_table() -> None:
    with pytest.raises(ConfigError, match=r"model.* must be a table"):
        build(TrainConfig, {"data": "d", "out": "o", "model": 3})


def test_files_that_are_not_there_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_toml(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("a = = 3")
    with pytest.raises(DataError, match="not valid TOML"):
        read_toml(tmp_path / "bad.toml")
