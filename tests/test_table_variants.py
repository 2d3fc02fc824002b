"""One table in all the ways that people and spreadsheets write tables, and with small damages."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import pytest

from molvae.campaign.initial_design import InitialDesign, build_initial_design
from molvae.errors import MolvaeError, MolvaeWarning
from tests.toys import ToySpace

SPACE = ToySpace()
VALUES = ("5.29", "6.871", "135.6", "-0.5", "1e-3", "", "n.d.", "NaN", "<5", "7", "4.9", "6.2")
NOTES = ("", "café", "two; parts, here", "5\tµM", 'a "quoted" word', "first line\nsecond line")
HEADERS = (
    ("Compound ID", "smiles", "value", "Note"),
    ("Compound ID", " SMILES ", "pIC50 [-log M]", "Note"),
    ("Compound ID", "Smiles", "PIC50 (n = 2)", "Note"),
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")

Rows = list[tuple[str, str, str, str]]


def rows() -> Rows:
    """Twelve molecules and a second measurement of the first one."""
    molecules = [*SPACE.molecules[::25][: len(VALUES)], SPACE.molecules[0]]
    return [
        (f"CMP-{i}", smiles, value, NOTES[i % len(NOTES)])
        for i, (smiles, value) in enumerate(zip(molecules, (*VALUES, "5.31"), strict=True))
    ]


def table_text(
    header: Sequence[str], table: Rows, separator: str, decimal: str, quotes: bool, end: str
) -> str:
    """A text table; with `quotes` around everything, or around what needs them."""
    cells = [header]
    for id_, smiles, value, note in table:
        number = value.replace(".", decimal) if value[-1:].isdigit() else value
        cells.append((id_, smiles, number, note))

    def quoted(cell: str) -> str:
        plain = not quotes and not {separator, '"', "\n"} & set(cell)
        return cell if plain else '"' + cell.replace('"', '""') + '"'

    return "".join(separator.join(map(quoted, row)) + end for row in cells)


def design_from(path: Path) -> InitialDesign:
    return build_initial_design(path, SPACE, ["pIC50"], dataset="", seed=0, skip_invalid=False)


def trial_contents(start: InitialDesign, *, notes: bool = True) -> dict[str, object]:
    return {
        trial.smiles: (
            None if trial.outcome is None else dict(trial.outcome.values),
            dict(trial.outcome.operators) if trial.outcome else {},
            dict(trial.outcome.replicates) if trial.outcome else {},
            sorted(trial.notes.values()) if notes else None,
        )
        for trial in start.trials
    }


def expected_contents() -> dict[str, object]:
    found: dict[str, object] = {}
    for id_, smiles, value, note in rows()[:-1]:
        measured: dict[str, float] | None = None
        texts = [id_, note] if note else [id_]
        if value in ("", "n.d."):
            texts += [value] * (value != "")
        else:
            number = float(value.lstrip("<"))
            measured = {} if math.isnan(number) else {"pIC50": number}
        operators = {"pIC50": "<"} if value.startswith("<") else {}
        found[smiles] = (measured, operators, {}, sorted(texts))
    found[SPACE.molecules[0]] = (
        {"pIC50": 5.3},
        {},
        {"pIC50": [5.29, 5.31]},
        sorted(["CMP-0; CMP-12"]),
    )
    return found


def variants() -> Iterator[tuple[str, str, str]]:
    yield from product((",", ";", "\t"), (".", ","), ENCODINGS)


@pytest.mark.parametrize(("separator", "decimal", "encoding"), list(variants()))
def test_initial_design_of_every_table_variant_has_the_same_trials(
    tmp_path: Path, separator: str, decimal: str, encoding: str
) -> None:
    file = tmp_path / "t.csv"
    for header, end, quotes in product(HEADERS, ("\n", "\r\n", "\r"), (False, True)):
        text = table_text(header, rows(), separator, decimal, quotes, end)
        file.write_bytes(text.encode(encoding))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            start = design_from(file)
        found = trial_contents(start)
        assert found.keys() == expected_contents().keys()
        for smiles, trial in expected_contents().items():
            assert found[smiles] == trial, (separator, decimal, encoding, header, end, quotes)
        assert start.duplicates == 1
        texts = [str(one.message) for one in said]
        assert any("Windows-1252" in text for text in texts) == (encoding == "cp1252")


STRUCTURE = (",", ";", "\t", '"', "\n", "\r", " ", "\x0b", "\u2028", "\x85", "x")


def damaged_text(text: str, draw: random.Random) -> str:
    """The text with one small damage that does not make other numbers of a number."""
    kind, at = draw.randrange(6), draw.randrange(len(text))
    if kind in (1, 2):
        at = draw.choice([i for i, letter in enumerate(text) if letter in ',;\t"\n\r'])
    in_number = text[at - 1 : at].isdigit() and text[at : at + 2].strip(",;")[:1].isdigit()
    new = draw.choice([one for one in STRUCTURE if one != ";" or not in_number])
    if kind == 0:  # inserted
        return text[:at] + new + text[at:]
    if kind == 1:  # replaced
        return text[:at] + new + text[at + 1 :]
    if kind == 2:  # lost
        return text if in_number else text[:at] + text[at + 1 :]
    lines = text.split("\n")
    separator = max(",;\t", key=lines[0].count)
    if kind == 5:  # what spreadsheets and people leave behind
        at = draw.randrange(len(lines))
        lines[at:at] = draw.choice([[""], [4 * separator], ["Project X"]])
        lines[0] = draw.choice([lines[0], lines[0].upper()])
    elif kind == 3:  # the header, or a letter of it, lost
        lines = lines[1:] if draw.random() < 0.2 else [lines[0].replace("s", "", 1), *lines[1:]]
    else:  # neighboring cells of a row exchanged
        at = draw.randrange(1, len(lines))
        cells = lines[at].split(separator)
        cells[1:3] = cells[2:0:-1]
        lines[at] = separator.join(cells)
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(10))
def test_initial_design_of_a_damaged_table_is_equal_or_raises_with_a_place(
    tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    file = tmp_path / "t.csv"
    plain = content_of_values(expected_contents())
    answers = dict.fromkeys(("same", "error", "warning"), 0)
    for _ in range(50):
        separator, decimal = draw.choice([(",", "."), (";", ","), (";", "."), ("\t", ",")])
        text = table_text(
            draw.choice(HEADERS), rows(), separator, decimal, draw.random() < 0.5, "\n"
        )
        for _ in range(draw.choice([1, 1, 2])):
            text = damaged_text(text, draw)
        file.write_bytes(text.encode())
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            start, error = design_or_error(file)
        if start is None:
            assert any(word in error for word in ("line ", "column")), error
            assert len(error) < 4_000
            answers["error"] += 1
        elif content_of_values(trial_contents(start)) == plain:
            answers["same"] += 1
        else:
            texts = [str(one.message) for one in said if one.category is MolvaeWarning]
            assert any("no column" in one or "several parts" in one for one in texts), text
            answers["warning"] += 1
    assert min(answers["same"], answers["error"]) > 5, answers


WIDE = ("Compound ID", "SMILES", "IC50 (nM)", "pIC50 [-log M]", "Operator", "Note")


def shift_cells(cells: list[list[str]], draw: random.Random) -> tuple[int, int]:
    """Damage one row so that cells move, or one cell; returns the row, and the changed cell or -1.

    -1 says that no cell was changed.
    """
    at = draw.randrange(1, len(cells))
    row, place = cells[at], draw.randrange(len(WIDE))
    kind = draw.randrange(10)
    if kind == 0:  # there twice
        row.insert(place, row[place])
    elif kind == 1:  # an empty one too much
        row.insert(place, "")
    elif kind == 2:  # cut in two
        middle = draw.randrange(len(row[place]) + 1)
        row[place : place + 1] = [row[place][:middle], row[place][middle:]]
    elif kind == 3:  # lost
        del row[place]
    elif kind == 4:  # glued to the next one
        row[place : place + 2] = ["".join(row[place : place + 2])]
    elif kind == 5:  # empty ones at the end
        row += [""] * draw.randrange(1, 3)
    else:
        place = draw.choice((1, 3, place))
        middle = draw.randrange(len(row[place]) + 1)
        row[place] = row[place][:middle] + draw.choice("x5 ") + row[place][middle:]
        return at, place
    return at, -1


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_initial_design_of_shifted_cells_raises_or_is_equal(tmp_path: Path, separator: str) -> None:
    """Also where the last cell of a row is empty, so that no cell is left over."""
    draw, file, answers = random.Random(1), tmp_path / "t.csv", dict.fromkeys("sec", 0)
    molecules, decimal = SPACE.molecules[::20][:12], "," if separator == ";" else "."
    table = [
        [f"C-{i}", smiles, f"{135 + i}{decimal}6", f"{6 - i / 8:.2f}".replace(".", decimal),
         ("AB", "")[i % 3 == 1], "pure" if i % 4 == 0 else ""]
        for i, smiles in enumerate(molecules)
    ]  # fmt: skip
    plain = {row[1]: float(row[3].replace(",", ".")) for row in table}
    for _ in range(100):
        cells = [list(WIDE), *(list(row) for row in table)]
        at, changed = shift_cells(cells, draw)
        file.write_text("".join(separator.join(row) + "\n" for row in cells))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MolvaeWarning)
            start, error = design_or_error(file)
        if start is None:
            assert f"line {at + 1}" in error, error
            answers["e"] += 1
            continue
        found = {t.smiles: t.outcome and t.outcome.values.get("pIC50") for t in start.trials}
        differ = {one for one in {*found, *plain} if found.get(one) != plain.get(one)}
        answers["c" if differ else "s"] += 1
        if differ:
            assert (molecules[at - 1], changed) in {(one, i) for one in differ for i in (1, 3)}
    assert min(answers.values()) > 2, answers


def test_initial_design_with_two_stray_quotes_loses_no_row(tmp_path: Path) -> None:
    """Around any piece of a table, from the edge of a cell to the edge of another."""
    file, draw, answers = tmp_path / "t.csv", random.Random(0), {True: 0, False: 0}
    table = [(i, smiles, value, "a, b" if i == "CMP-1" else "x") for i, smiles, value, _ in rows()]
    for separator in (";", "\t"):
        text = table_text(HEADERS[0], table, separator, ".", False, "\n")
        file.write_text(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MolvaeWarning)
            plain = content_of_values(trial_contents(design_from(file)))
        edges = [i for i, letter in enumerate(text) if letter in f"{separator}\n"]
        for _ in range(100):
            one, other = sorted(draw.sample(edges, 2))
            file.write_text(f'{text[: one + 1]}"{text[one + 1 : other]}"{text[other:]}')
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                start, error = design_or_error(file)
            answers[start is None] += 1
            assert start is not None or "line " in error or "column" in error
            if start is not None and content_of_values(trial_contents(start)) != plain:
                assert any("no column" in str(one.message) for one in said)
    assert min(answers.values()) > 5, answers


def design_or_error(file: Path) -> tuple[InitialDesign | None, str]:
    try:
        return design_from(file), ""
    except MolvaeError as error:
        return None, str(error)


def content_of_values(found: dict[str, object]) -> dict[str, object]:
    """Molecules with what was measured, without notes."""
    return {smiles: trial[:3] for smiles, trial in found.items()}  # type: ignore[index]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("smiles,value\r\nCCO,5\r\nCCN,6".encode("utf-16")[:-1], 3),
        ("smiles,value\nCCO,5\n".encode("utf-16") + b"\x00\xd8\n\0", 3),
        (b"smiles,value\nCCO,5\rCCN,6\x81\n", 3),
    ],
)
def test_initial_design_of_undecodable_bytes_raises_with_the_line(
    tmp_path: Path, data: bytes, line: int
) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(data)
    assert f"line {line}:" in design_or_error(file)[1]


@pytest.mark.parametrize(
    ("cell", "advice"),
    [("<5 nM", "write <5 only"), (">= 5%", "write >=5 only"), ("1e-400", "smaller than any")],
)
def test_initial_design_with_an_unreadable_number_raises_with_advice(
    tmp_path: Path, cell: str, advice: str
) -> None:
    file = tmp_path / "t.csv"
    file.write_text(f"smiles,value\nCCO,{cell}\n")
    error = design_or_error(file)[1]
    assert advice in error
    assert "line 2: value:" in error


def test_initial_design_with_an_empty_molecule_raises_with_the_column(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("Structure_SMILES,value\nCCO,5.1\n,5.2\n")
    assert "line 3: Structure_SMILES: " in design_or_error(file)[1]


def test_initial_design_with_a_header_below_a_title_raises_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("Plate 7\nID;Canonical_SMILES;value\n1;CCO;5\n")
    assert "line 2 says 'Canonical_SMILES'" in design_or_error(file)[1]
