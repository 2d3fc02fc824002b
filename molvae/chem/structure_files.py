"""Structure files (SDF): drawings as SMILES, and their data fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from rdkit import Chem, rdBase

from molvae.chem.molecules import canonical, parse
from molvae.chem.readers import NAME_COLUMN
from molvae.chem.tables import SMILES_COLUMN, Table
from molvae.chem.text_files import fold
from molvae.errors import InvalidMoleculeError, shown

UNREADABLE_DRAWING = "unreadable-drawing"
"""Stands for the SMILES of a molecule block that RDKit cannot read; not valid SMILES."""
_ONE = Chem.StereoGroupType.STEREO_ABSOLUTE
_FIELD = re.compile(r">[^<]*<([^>]*)>")


def sdf_table(text: str, name: str) -> Table:
    """The molecules of an SDF file: `smiles`, the title, and every data field.

    A field `smiles` must agree with the drawing; without it, the drawing is the molecule.
    """
    records, table = list[tuple[int, str, dict[str, str]]](), Table(name, [], [])
    for place, (line, lines) in enumerate(_records(text), 1):
        table.places[line] = f"molecule {place} (line {line})"
        block, fields = _divided(line, lines, table)
        records.append((line, smiles_of(block), fields))
        if block[0].strip() and block[0].strip() not in fields.values():
            title = (
                NAME_COLUMN if not any(fold(field) == NAME_COLUMN for field in fields) else "title"
            )
            fields.setdefault(title, block[0].strip())
    header = {field: None for *_, fields in records for field in fields}
    own = next((field for field in header if fold(field) == SMILES_COLUMN), None)
    columns = [field for field in header if field != own]
    table.header, table.is_drawn = [SMILES_COLUMN, *columns], own is None
    for line, drawn, fields in records:
        smiles = drawn if "|" in drawn else fields.get(own or "", "") or drawn
        with suppress(InvalidMoleculeError):  # which are reported where molecules are parsed
            if drawn not in ("", UNREADABLE_DRAWING, smiles) and not is_drawing_of(drawn, smiles):
                said = f"the drawing is {shown(drawn)}, but its field {own} says {shown(smiles)}"
                table.problem(line, said)
        table.rows.append((line, [smiles, *(fields.get(column, "") for column in columns)]))
    return table


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """First line and lines of each molecule."""
    began, lines = 1, list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        if line.rstrip() == "$$$$":
            yield began, lines
            began, lines = number + 1, []
        else:
            lines.append(line)
    if any(line.strip() for line in lines):
        yield began, lines


def _divided(began: int, lines: list[str], table: Table) -> tuple[list[str], dict[str, str]]:
    """The lines of the molecule block, and the data by field."""
    end = next(
        (i for i, line in enumerate(lines) if line.rstrip() == "M  END" or _FIELD.match(line)), None
    )
    if end is None:
        return lines or [""], {}
    end += lines[end].startswith("M")
    fields, open_field = dict[str, str](), None
    for number, line in enumerate(lines[end:], began + end):
        if open_field is None and (found := _FIELD.match(line)):
            open_field = found[1].strip()
            if open_field in fields:
                table.places[number] = table.where(began)
                table.problem(number, f"the field {open_field!r} is there twice")
            fields[open_field] = ""
        elif open_field is not None and line.strip():
            fields[open_field] += line.strip() + "\n"
        elif line.strip():
            said = f"line {number} ({shown(line.strip(), 40)}) belongs to no field: take out the "
            table.places[number] = table.where(began)
            table.problem(number, said + "empty line above it")
        else:
            open_field = None
    return lines[:end] or [""], {field: text.strip() for field, text in fields.items()}


def smiles_of(block: list[str]) -> str:
    """The SMILES of a molecule block; of an invalid molecule, SMILES that show the reason.

    Of one with groups of stereo centres that stand for several stereoisomers, it is CXSMILES, which
    is refused where molecules are parsed.
    """
    with rdBase.BlockLogs():
        for sanitize in (True, False):
            try:
                mol = Chem.MolFromMolBlock("\n".join(block), sanitize=sanitize)
                if mol is not None:
                    groups = Chem.CXSmilesFields.CX_ENHANCEDSTEREO
                    several = {one.GetGroupType() for one in mol.GetStereoGroups()} - {_ONE}
                    return (
                        Chem.MolToCXSmiles(mol, Chem.SmilesWriteParams(), groups)
                        if several
                        else Chem.MolToSmiles(mol)
                    )
            except Exception:  # RDKit raises various errors on damaged blocks
                continue
    return UNREADABLE_DRAWING


def is_drawing_of(drawn: str, smiles: str) -> bool:
    """Whether the SMILES of a drawing is this molecule.

    A drawn double bond always has a geometry; it is ignored where the molecule leaves it open.
    """
    if canonical(drawn) == canonical(smiles):
        return True
    mols = parse(drawn), parse(smiles)
    if not mols[0].HasSubstructMatch(mols[1], useChirality=True):
        return False
    for mol in mols:
        for bond in mol.GetBonds():
            bond.SetStereo(Chem.BondStereo.STEREONONE)
    flat, other = (canonical(Chem.MolToSmiles(mol)) for mol in mols)
    return flat == other
