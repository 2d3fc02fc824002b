"""Excel workbooks, Parquet files and DataFrames as tables of text cells."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

from molvae.chem.tables import (
    SMILES_COLUMN,
    Table,
    build_table,
    shortened_list,
    without_unit,
)
from molvae.chem.text_files import MAX_BYTES, Record, fold
from molvae.config import is_list
from molvae.errors import DataError, MissingPackageError, shown

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import TypeIs


def workbook_table(data: bytes, name: str, wanted: Collection[str]) -> Table:
    """The only sheet of a workbook with a table, or with a wanted column."""
    try:
        import openpyxl
    except ImportError as error:
        raise MissingPackageError(
            f"{name} is an Excel workbook, which needs: pip install 'molvae[xlsx]'; or save it as "
            "CSV"
        ) from error
    with _damage_named(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about parts that are no cells
        size = sum(part.file_size for part in zipfile.ZipFile(io.BytesIO(data)).infolist())
        if size > MAX_BYTES:
            raise DataError(f"{name} unpacks to {size:,} bytes; split it")
        values, formulas = (
            openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=stored)
            for stored in (True, False)
        )
        tables = [
            _sheet(values[sheet.title], sheet, f"{name}, sheet {sheet.title}")
            for sheet in formulas.worksheets
        ]
    tables = [table for table in tables if table.header]
    names = {fold(one) for one in wanted}
    fitting = [
        table for table in tables if names & {fold(without_unit(one)) for one in table.header}
    ] or tables
    if len(fitting) > 1:
        raise DataError(
            f"{name} has several sheets with a table: "
            f"{shortened_list([table.name.partition(', sheet ')[2] for table in fitting])}; keep "
            "one of them, or save it as CSV"
        )
    return fitting[0] if fitting else Table(name, [], [])


def _sheet(values: Any, formulas: Any, name: str) -> Table:
    for sheet in (values, formulas):
        sheet.reset_dimensions()  # the stored size may be wrong
    rows, lost = list[Record](), list[tuple[int, str]]()
    both = zip(values.iter_rows(), formulas.iter_rows(), strict=True)
    for line, (row, written) in enumerate(both, 1):
        if any(cells := [_cell(one.value) for one in row]):
            rows.append((line, cells))
        lost += [
            (line, f"column {place}: the value of the formula {shown(one.value, 40)} is not in "
             "the file; open and save it in the spreadsheet program")
            for place, (cell, one) in enumerate(zip(row, written, strict=True), 1)
            if cell.value is None and one.value is not None
        ]  # fmt: skip
    width = max((len(cells) for _, cells in rows), default=0)
    table = build_table(
        ((line, cells + [""] * (width - len(cells))) for line, cells in rows), name, None, "row"
    )
    for line, text in lost:
        table.problem(line, text)
    return table


def parquet_table(data: bytes, name: str) -> Table:
    """The columns of a Parquet file."""
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingPackageError(
            f"{name} is Parquet, which needs: pip install 'molvae[parquet]'"
        ) from error
    with _damage_named(name):
        found = parquet.ParquetFile(io.BytesIO(data)).read()
        columns = [map(_cell, column.to_pylist()) for column in found.columns]
    rows = map(list, zip(*columns, strict=True))
    return build_table([(0, list(found.column_names)), *enumerate(rows, 1)], name, None, "row")


def is_frame(value: object) -> TypeIs[pd.DataFrame]:
    """Whether something is a DataFrame of pandas, or acts like one."""
    return hasattr(value, "columns") and hasattr(value, "itertuples")


def frame_table(frame: pd.DataFrame) -> Table:
    """The columns of a DataFrame; missing values are empty cells, an index with a name counts."""
    named = frame.reset_index() if any(frame.index.names) else frame
    header = [str(name) for name in named.columns]
    rows = (
        [_cell(None if missing else one) for one, missing in zip(row, lacking, strict=True)]
        for row, lacking in zip(
            named.itertuples(index=False, name=None), named.isna().to_numpy(), strict=True
        )
    )
    return build_table([(0, header), *enumerate(rows, 1)], "the DataFrame", None, "row")


def frame_molecules(frame: pd.DataFrame) -> Iterator[str]:
    """The column of molecules of a DataFrame, or its index if that has such a name."""
    named = frame.reset_index() if any(frame.index.names) else frame
    table = Table("the DataFrame", [str(name) for name in named.columns], [])
    if (place := table.find_molecules()) is None:
        raise DataError(table.lacks(SMILES_COLUMN))
    return iter(named.iloc[:, place])


@contextmanager
def _damage_named(name: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # damaged files raise various errors
        raise DataError(f"cannot read {name}: it is damaged ({shown(str(error))})") from error


def _cell(value: Any) -> str:
    """A typed cell as text."""
    if value is None:
        return ""
    if isinstance(value, float):
        value = float(value)  # NumPy's have another repr
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if is_list(value):  # replicates in a cell of a DataFrame
        return ";".join(map(_cell, value))
    if isinstance(value, datetime) and value.time() == time():
        return str(value.date())
    return str(value)
