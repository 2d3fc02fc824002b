"""What a molecule has that another one has not: found, and drawn.

Knows RDKit's search for common substructures.
"""

from __future__ import annotations

from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor, rdFMCS
from rdkit.Chem.Draw import rdMolDraw2D

from molvae.chem.mol import BOND, parse

TIMEOUT = 1
"""Seconds for a search; most take milliseconds."""
COLOUR = (0.62, 0.87, 0.85)
"""Of atoms and bonds that are new: the letters on them stay readable."""


def common(smiles: str, lead: str, *, timeout: int = TIMEOUT) -> Chem.Mol | None:
    """The largest connected substructure that two molecules share, as a query; rings stay whole.

    Args:
        smiles: SMILES in any form.
        lead: The other one.
        timeout: Seconds, from 1.

    Returns:
        None if they share no two atoms that are bound, or it was not found in time.

    Raises:
        InvalidMoleculeError: A text is not a molecule.
    """
    with rdBase.BlockLogs():
        found = rdFMCS.FindMCS(
            [parse(smiles), parse(lead)],
            timeout=timeout,
            ringMatchesRingOnly=True,
            completeRingsOnly=True,
        )
    if found.canceled or found.numAtoms < 2:
        return None
    query: Chem.Mol = Chem.MolFromSmarts(found.smartsString)
    return query


def draw_difference(
    smiles: str,
    lead: str,
    *,
    size: tuple[int, int] = (220, 160),
    longest_bond: float | None = None,
) -> str | None:
    """A molecule, turned as the lead is drawn, with what the lead has not in colour; SVG.

    Args:
        smiles: SMILES in any form.
        lead: SMILES in any form.
        size: Width and height in pixels, each at least 1.
        longest_bond: As of `molvae.chem.mol.draw`.

    Returns:
        None if nothing in common was found, so that nothing can be said of the difference: draw
        such a molecule by `molvae.chem.mol.draw`, and say so.

    Raises:
        InvalidMoleculeError: A text is not a molecule.
    """
    mol, other = parse(smiles), parse(lead)
    query = common(smiles, lead)
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
    drawer = rdMolDraw2D.MolDraw2DSVG(*size)
    drawer.drawOptions().setHighlightColour(COLOUR)
    if longest_bond is not None:
        drawer.drawOptions().fixedBondLength = longest_bond / BOND  # type: ignore[assignment]
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol, highlightAtoms=atoms, highlightBonds=bonds)
    drawer.FinishDrawing()
    svg: str = drawer.GetDrawingText()
    return svg[svg.index("<svg") :].strip()


__all__ = ["common", "draw_difference"]
