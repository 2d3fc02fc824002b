"""`number` and `parse_measurement`: numbers as people write them; ambiguous ones raise."""

from __future__ import annotations

import math
import re

import pytest

from molvae.chem.values import Censored, decimal_marks, number, parse_measurement


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5.29", 5.29),
        ("5,29", 5.29),
        (" -0,5 ", -0.5),
        ("+7", 7.0),
        ("1e5", 1e5),
        ("1,5E-9", 1.5e-9),
        (".5", 0.5),
        ("5.", 5.0),
        ("0,123", 0.123),
        ("1234,567", 1234.567),
        ("\u22125.2", -5.2),
        ("\u00a05,29\u00a0", 5.29),
        ("1.234", 1.234),
        ("007", 7.0),
    ],
)
def test_number_of_unambiguous_text_is_parsed(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,234", "either 1.234 or 1234"),
        ("1_000", "thousands"),
        ("1,234.5", "thousands"),
        ("1.234,5", "thousands"),
        ("1 234", "thousands"),
        ("1'234.50", "thousands"),
        ("1\u202f234,5", "thousands"),
        ("1,234,567", "thousands"),
        ("5.1 nM", "write 5.1 only"),
        ("12%", "write 12 only"),
        ("\u0663", "not a number"),
        ("\uff15", "not a number"),
        ("0x10", "not a number"),
        ("1e999", "infinite"),
        ("inf", "not finite"),
        ("nan", "not finite"),
        ("5,2,9", "not a number"),
        (",5", "not a number"),
        ("5,", "not a number"),
        ("5 29", "not a number"),
        ("~5", "write 5 only"),
        ("ca. 5,2", "write 5,2 only"),
        ("5.1*", "write 5.1 only"),
        ("'5.1", r"write 5\.1 only"),
        ("5.5 (n=3)", r"write 5\.5 only"),
        ("'>10", "write >10 only"),
        ("ca. < 5,5", "write < 5,5 only"),
        ("5.1/5.3", "replicates are written"),
        ("5.1, 5.3", "replicates are written"),
        ("5-6", "is a range"),
        ("5.5 to 6", "is a range"),
        ("5\u00b10.2", "write 5 only, and its standard error"),
        ("5.1 +/- 0.2", r"write 5\.1 only, and its standard error"),
        ("5*3", "not a number$"),
        ("1.2.3", "not a number$"),
        ("True", "not a number"),
        ("2026-03-01", "is a date"),
        ("1.3.2026", "is a date"),
        ("3/1/26", "is a date"),
        ("#DIV/0!", "not a number"),
        ("", "not a number"),
        ("--5", "not a number"),
        ("1e", "not a number"),
    ],
)
def test_number_of_ambiguous_text_raises_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        number(text)


def test_number_with_decimal_comma_setting_reads_commas_and_refuses_points() -> None:
    assert number("1,234", decimal_comma=True) == 1.234
    with pytest.raises(ValueError, match=r"either 1\.234 or 1234"):
        number("1.234", decimal_comma=True)
    for text in ("1,234", "1.234"):
        with pytest.raises(ValueError, match="either"):
            number(text, decimal_comma=None)


@pytest.mark.parametrize("text", ["", " ", "n.d.", "N.D.", "n/a", "#N/A", "-", "not determined"])
def test_parse_measurement_of_empty_marks_is_none(text: str) -> None:
    assert parse_measurement(text) is None


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("<5", Censored("<", 5)),
        ("> 10000", Censored(">", 10_000)),
        ("<=5,0", Censored("<", 5)),
        ("\u22655", Censored(">", 5)),
    ],
)
def test_parse_measurement_of_a_limit_gives_operator_and_number(text: str, limit: Censored) -> None:
    assert parse_measurement(text) == limit


@pytest.mark.parametrize(
    ("text", "message"), [("< 5 nM", "write <5 only"), (">1,000", "either 1.000 or 1000")]
)
def test_parse_measurement_of_an_ambiguous_limit_raises(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_measurement(text)


@pytest.mark.parametrize("text", ["nan", "NaN", "failed", "Failed"])
def test_parse_measurement_of_failed_is_nan(text: str) -> None:
    value = parse_measurement(text)
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize("text", ["-", "\u2013", ".871", "5,", "5."])
def test_parse_measurement_of_an_incomplete_replicate_raises(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        parse_measurement(text, alone=False)


def test_parse_measurement_of_a_missing_replicate_is_nan_or_none() -> None:
    assert parse_measurement(" ", alone=False) is None
    for text in ("n.d.", "N/A", "not tested"):
        assert math.isnan(parse_measurement(text, alone=False))  # type: ignore[arg-type]


def test_decimal_marks_are_found_from_unambiguous_numbers() -> None:
    assert decimal_marks(["1,234", "5", "x", "1.234"]) == set()
    assert decimal_marks(["1,234", "<5,0"]) == {","}
    assert decimal_marks(["0.5", "5,29"]) == {",", "."}
