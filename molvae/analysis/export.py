"""Tables of molecules as files: CSV, TSV, SDF, Excel, Parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae._files import Kind, check_output, head_of, replacing
from molvae.errors import DataError, MolvaeError, shown, visible
from molvae.objectives.trial_columns import DRAWING_COLUMN

if TYPE_CHECKING:
    import pandas as pd

ASK_COLUMNS = {"id", "smiles", "percentile"}  # columns of a plate that an earlier version wrote
PLATE_COLUMNS = {"id", "smiles", "origin", "percentile", "similarity", "findings"}
"""Columns of every plate, see `molvae.analysis.plate`."""
DRAWING_PIXELS = (220, 150)  # pixels of a drawing in a workbook
TRIAL_COLUMNS = {"id", "smiles", "status", "origin", "asked_at"}
"""Columns of every table of all trials; an SDF lacks `told_at` where it is empty."""
TABLE = Kind(name="a table of trials", is_own=lambda file: _is_of_trials(_columns(file)),
             error=DataError)  # fmt: skip


def check_can_write_table(
    file: str | Path, *, overwrite: bool, apart_from: Iterable[str | Path] = ()
) -> Path:
    """Refuse a file that cannot be written, before anything is done for it.

    Raises:
        DataError: It exists and is no table of trials, its folder does not exist, or its ending is
            unknown.
    """
    _check_ending(file)
    return check_output(file, TABLE, overwrite=overwrite, apart_from=apart_from)


def write_table(
    table: pd.DataFrame,
    file: str | Path,
    *,
    overwrite: bool = False,
    apart_from: Iterable[str | Path] = (),
    trials: pd.DataFrame | None = None,
    to_fill: Sequence[str] = (),
) -> None:
    r"""Write a table; it is there as a whole, or not at all.

    Args:
        table: With a column `smiles`. In SDF each molecule has coordinates in the plane, and the
            other columns as data, where they hold something. Texts are written as they are, but for
            control characters, which CSV, TSV and SDF show as escapes such as `\x1b`. A cell that
            begins with `=`, `+`, `-` or `@` is not changed either: import such columns as text
            where a spreadsheet would take them for formulas.
        file: Its ending says the format. Names of compounds are the titles of an SDF.
        overwrite: Replace an earlier table of the same kind and campaign, unless it was edited.
        apart_from: Inputs of the same command, which are never replaced.
        trials: The campaign's table of all trials, if `table` holds only some.
        to_fill: Columns for values that are written later; with them, SDF has empty fields as well.

    Raises:
        DataError: See `check_can_write_table` and `check_unedited`; or Parquet is wanted and
            pyarrow is not installed.
    """
    _check_ending(file)
    names = {str(name) for name in table.columns}

    def is_earlier(path: Path) -> bool:
        there = set(_columns(path) or ())
        same_kind = there <= names and (there >= TRIAL_COLUMNS) == (names >= TRIAL_COLUMNS)
        return there == names or (same_kind and _is_of_trials(there))

    kind = replace(TABLE, is_own=is_earlier)
    with replacing(file, kind, overwrite=overwrite, apart_from=apart_from) as draft:
        _WRITERS[Path(file).suffix.lower()](table, draft, to_fill)
        check_unedited(file, table if trials is None else trials)


def check_unedited(file: str | Path, trials: pd.DataFrame) -> None:
    """Refuse an earlier table with a cell that the campaign does not hold: it would be lost.

    Raises:
        DataError: Names all such cells.
    """
    from molvae.chem.readers import read_table

    if not Path(file).exists() or not Path(file).stat().st_size:
        return
    known = {
        str(row["id"]): {_sdf_name(visible(str(name))): _cell(cell) for name, cell in row.items()}
        for row in trials.to_dict("records")
    }
    there = read_table(file, ("id",))
    advice = "tell it to the campaign, then remove the table; or choose another name"
    for line, cells in there.rows:
        row = dict(zip(map(_sdf_name, there.header), map(_cell, cells), strict=True))
        if (now := known.get(row["id"])) is None:
            there.problem(line, f"the campaign has no trial {shown(row['id'])}", advice)
            continue
        for name, text in row.items():
            if text and not _is_from(now, name, text, row):
                own = f"the campaign has {shown(now.get(name, ''))}"
                there.problem(line, f"{name} is {shown(text)}, {own}", advice)
    there.check()


def _is_from(now: dict[str, str], name: str, text: str, row: dict[str, str]) -> bool:
    """Whether a cell of an earlier table comes from a campaign whose row is `now`."""
    from molvae.campaign.trial import STATUSES
    from molvae.objectives.trial_columns import DERIVED_COLUMNS, EARLIER_FAILURES_COLUMN

    if name == "status":
        return text in STATUSES or text in STATUSES.values()
    if name in DERIVED_COLUMNS:  # they change with each new value
        return STATUSES.get(row["status"], row["status"]) == "complete"
    if name in ("message", "told_at", EARLIER_FAILURES_COLUMN) and text in now.get(
        EARLIER_FAILURES_COLUMN, ""
    ):
        return True  # of a failed trial that was put back since
    try:
        return text == now[name] or float(text) == float(now[name])
    except (KeyError, ValueError):
        return False


def _cell(value: Any) -> str:
    """A cell as every format shows it."""
    return "" if value is None or value != value else " ".join(visible(str(value)).split())


def _check_ending(file: str | Path) -> None:
    if Path(file).suffix.lower() not in _WRITERS:
        raise DataError(f"{file}: a table is {', '.join(_WRITERS)}; choose another ending")


def with_visible_text(table: pd.DataFrame) -> pd.DataFrame:
    """A table with the control characters of its texts made visible."""
    table = table.rename(columns=lambda name: visible(str(name)))
    return table.map(lambda cell: visible(cell) if isinstance(cell, str) else cell)


def _csv(
    table: pd.DataFrame, file: Path, to_fill: Sequence[str] = (), separator: str = ","
) -> None:
    with_visible_text(table).to_csv(file, index=False, sep=separator)


def _parquet(table: pd.DataFrame, file: Path, to_fill: Sequence[str] = ()) -> None:
    try:
        table.to_parquet(file, index=False)
    except ImportError as error:
        raise DataError("Parquet needs: pip install 'molvae[parquet]'") from error


def _xlsx(table: pd.DataFrame, file: Path, to_fill: Sequence[str] = ()) -> None:
    try:
        from openpyxl import Workbook
        from openpyxl.drawing.image import Image
        from openpyxl.styles import Font, PatternFill
        from openpyxl.utils import get_column_letter
    except ImportError as error:
        raise DataError("a workbook needs: pip install 'molvae[xlsx]'") from error
    from molvae.chem.depiction import draw_png

    table = with_visible_text(table)
    book = Workbook()
    sheet: Any = book.active
    for column, name in enumerate(table.columns, 1):
        cell = sheet.cell(1, column, name)
        cell.font = Font(bold=True)
        drawn = name == DRAWING_COLUMN and name not in to_fill
        width = DRAWING_PIXELS[0] / 7 if drawn else min(max(len(name) + 2, 10), 40)
        sheet.column_dimensions[get_column_letter(column)].width = width
        for row, value in enumerate(table[name], 2):
            cell = sheet.cell(row, column)
            if drawn:
                drawing = draw_png(str(table["smiles"].iloc[row - 2]), size=DRAWING_PIXELS)
                sheet.add_image(Image(BytesIO(drawing)), cell.coordinate)
                sheet.row_dimensions[row].height = (
                    0.75 * DRAWING_PIXELS[1]
                )  # points of 96 pixels an inch
            elif value is not None and value == value and value != "":
                cell.value = value.item() if hasattr(value, "item") else value
                if isinstance(value, str):
                    cell.data_type = "s"  # never a formula
            if name in to_fill:
                cell.fill = PatternFill("solid", fgColor="FFF6D5")
    sheet.freeze_panes = "A2"
    book.save(file)


def _sdf(table: pd.DataFrame, file: Path, to_fill: Sequence[str] = ()) -> None:
    from rdkit.Chem import MolToMolBlock
    from rdkit.Chem.rdDepictor import Compute2DCoords

    from molvae.chem.molecules import parse
    from molvae.chem.tables import compound_column

    title = compound_column(map(str, table.columns))
    # RDKit's own writer does not tell when the disk is full.
    with open(file, "w", encoding="utf-8", newline="\n") as out:
        for row in with_visible_text(table).to_dict("records"):
            mol = parse(row["smiles"])
            Compute2DCoords(mol)
            if title is not None and isinstance(row[title], str):
                mol.SetProp("_Name", " ".join(row[title].split())[:80])
            out.write(MolToMolBlock(mol))
            for name, value in row.items():
                filled = value is not None and value == value and value != ""
                if filled or to_fill:
                    text = f"{_sdf_text(value)}\n" if filled else ""
                    out.write(f">  <{_sdf_name(str(name))}>\n{text}\n")
            out.write("$$$$\n")


def _sdf_name(name: str) -> str:
    """A name that can stand in the angle brackets of a data header."""
    return " ".join(name.translate({ord("<"): "(", ord(">"): ")"}).split())


def _sdf_text(value: Any) -> str:
    """Lines of data: a blank one would end them, and `$$$$` the molecule."""
    lines = [line for line in re.split(r"[\r\n]+", str(value)) if line.strip()]
    return "\n".join(f" {line}" if line.startswith("$$$$") else line for line in lines)


def _columns(file: Path) -> Sequence[str] | None:
    """The columns of a table; None if it is none."""
    head = head_of(file)
    if head.startswith(b"PK"):
        try:
            from molvae.chem.workbooks import workbook_table

            return workbook_table(file.read_bytes(), file.name, ("id",)).header
        except (MolvaeError, OSError):
            return None
    if head.startswith(b"PAR1"):
        try:
            import pyarrow.parquet

            return list(pyarrow.parquet.read_schema(file).names)
        except (ImportError, OSError, ValueError):
            return None
    try:
        text = head.decode("utf-8-sig", errors="ignore")
        if "\nM  END" in text:
            return re.findall(r"^> .*<(.+)>", text.partition("\n$$$$")[0], flags=re.MULTILINE)
        first = text.partition("\n")[0].rstrip("\r")
        return next(csv.reader([first], delimiter="\t" if "\t" in first else ","), None)
    except csv.Error:
        return None


def _is_of_trials(columns: Iterable[str] | None) -> bool:
    there = set(columns or ())
    return there == ASK_COLUMNS or there >= TRIAL_COLUMNS or there >= PLATE_COLUMNS


_WRITERS: dict[str, Callable[[pd.DataFrame, Path, Sequence[str]], None]] = {
    ".csv": _csv,
    ".tsv": partial(_csv, separator="\t"),
    ".sdf": _sdf,
    ".xlsx": _xlsx,
    ".parquet": _parquet,
}
