"""Drawings of molecules, and of what differs between two of them."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor, rdFMCS
from rdkit.Chem.Draw import rdMolDraw2D

from molvae.chem.molecules import parse
from molvae.errors import InvalidMoleculeError, require

SEARCH_TIMEOUT_SECONDS = 1  # seconds for a search; most take milliseconds
HIGHLIGHT_COLOR = (0.62, 0.87, 0.85)
"""Color of atoms and bonds that the lead lacks: the letters on them stay readable."""
RDKIT_BOND_LENGTH = 1.5
"""Length of a bond in RDKit's drawings; `fixedBondLength` is pixels for each unit."""


def common_substructure(smiles: str, lead: str) -> Chem.Mol | None:
    """The largest connected substructure that two molecules share, as a query; rings stay whole.

    None if they share no two atoms that are bound, or it was not found within a second.
    """
    with rdBase.BlockLogs():
        found = rdFMCS.FindMCS(
            [parse(smiles), parse(lead)],
            timeout=SEARCH_TIMEOUT_SECONDS,
            ringMatchesRingOnly=True,
            completeRingsOnly=True,
        )
    if found.canceled or found.numAtoms < 2:
        return None
    query: Chem.Mol = Chem.MolFromSmarts(found.smartsString)
    return query


def align_to_lead(smiles: str, lead: str) -> tuple[Chem.Mol, list[int], list[int]] | None:
    """A molecule turned as its lead is drawn, and its atoms and bonds that the lead lacks.

    None if nothing in common was found.
    """
    mol, other = parse(smiles), parse(lead)
    query = common_substructure(smiles, lead)
    # RDKit writes some bonds (of any order, say) as a pattern that does not match them.
    if query is None or not (mol.HasSubstructMatch(query) and other.HasSubstructMatch(query)):
        return None
    rdDepictor.Compute2DCoords(other)
    rdDepictor.GenerateDepictionMatching2DStructure(mol, other, refPatt=query)
    match = mol.GetSubstructMatch(query)
    atoms = sorted(set(range(mol.GetNumAtoms())) - set(match))
    # Bonds that hold new atoms as well, and those that close a ring between old ones.
    shared = {
        frozenset((match[bond.GetBeginAtomIdx()], match[bond.GetEndAtomIdx()]))
        for bond in query.GetBonds()
    }
    bonds = [
        bond.GetIdx()
        for bond in mol.GetBonds()
        if frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())) not in shared
    ]
    return mol, atoms, bonds


def draw_mcs_difference(
    smiles: str, lead: str, *, size: tuple[int, int] = (220, 160)
) -> str | None:
    """A molecule turned as its lead is drawn, with the parts that the lead lacks in color; SVG.

    None if nothing in common was found.
    """
    if (aligned := align_to_lead(smiles, lead)) is None:
        return None
    mol, atoms, bonds = aligned
    drawer = rdMolDraw2D.MolDraw2DSVG(*size)
    drawer.drawOptions().setHighlightColour(HIGHLIGHT_COLOR)
    return _drawn(drawer, mol, highlightAtoms=atoms, highlightBonds=bonds)


def draw_molecule(smiles: str, *, size: tuple[int, int] = (220, 160)) -> str:
    """A drawing of a molecule, as an SVG element that can stand inside HTML (no XML prolog).

    Args:
        smiles: SMILES in any form.
        size: Width and height in pixels, each at least 1.

    Raises:
        InvalidMoleculeError: `smiles` is not a molecule.
        ConfigError: `size` is not positive.
    """
    require(min(size) >= 1, f"size must be at least 1 x 1 pixels, got {size[0]} x {size[1]}")
    return _drawn(rdMolDraw2D.MolDraw2DSVG(*size), parse(smiles))


def data_address(svg: str) -> str:
    """The address of an image that holds an SVG element itself, for `src` in HTML."""
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode("ascii")


def picture(smiles: str, *, size: tuple[int, int]) -> str:
    """The data address of a drawing; empty for what is no molecule, as foreign files may hold."""
    try:
        return data_address(draw_molecule(smiles, size=size))
    except InvalidMoleculeError:
        return ""


def draw_png(smiles: str, *, size: tuple[int, int] = (220, 160)) -> bytes:
    """A drawing of a molecule as PNG; arguments and errors as for `draw_molecule`."""
    require(min(size) >= 1, f"size must be at least 1 x 1 pixels, got {size[0]} x {size[1]}")
    drawer: Any = rdMolDraw2D.MolDraw2DCairo(*size)
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, parse(smiles))
    drawer.FinishDrawing()
    drawing: bytes = drawer.GetDrawingText()
    return drawing


def _drawn(drawer: Any, mol: Chem.Mol, **highlights: Any) -> str:
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol, **highlights)
    drawer.FinishDrawing()
    svg: str = drawer.GetDrawingText()
    return svg[svg.index("<svg") :].strip()
