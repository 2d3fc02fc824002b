"""Molecules as RDKit reads them: parsing and canonical SMILES, the identity of a molecule."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, TypeVar

from rdkit import Chem, rdBase
from rdkit.Chem import rdqueries

from molvae.errors import MAX_SHOWN_LENGTH, ConfigError, InvalidMoleculeError, shown

MAX_SMILES_LENGTH = 10_000
"""Maximal number of characters of a SMILES text. RDKit's writer takes quadratic time for a chain
and is recursive: from about 15,000 atoms on, the process crashes."""

BEYOND_SMILES = re.compile(
    r"\[[^\]]*(?:(?<!@O)H\d\d|[+-]\d\d\d|[+-](?:1[6-9]|[2-9]\d)|#(?:[2-9]\d\d|1[2-9]\d|119|\d{4,}))"
    r"|\[\d{4,}"
)
"""Atoms with ten hydrogens, charges above 15, isotopes above 999, elements beyond 118: not SMILES,
and RDKit misreads them, e.g. `[CH256]` as `[C]`, `[C+300]` as `[C+44]`, `[#264]` as `[O]`."""

STEREO_GROUPS = re.compile(r"\s\|(?:[^|]*,)?[&o]\d+:\d")
"""Groups of CXSMILES that stand for racemates (`&1:2`), or for unknown enantiomers (`o1:2`)."""

Text = TypeVar("Text", str, str | None)

MAY_CHANGE_AGAIN = re.compile(r"[@/\\]|\[H\]")
"""Marks of stereochemistry, and hydrogen atoms that RDKit kept for the sake of one."""

CANONICAL_CACHE_SIZE = 20_000
PARSE_CACHE_SIZE = 2_000
_RADICAL = rdqueries.NumRadicalElectronsGreaterQueryAtom(0)


def parse(text: str) -> Chem.Mol:
    """The molecule of a SMILES text, sanitized, with implicit hydrogens.

    Space around the text is ignored; space within is an error, because RDKit would take the rest
    for a name.

    Raises:
        InvalidMoleculeError: The text is not a molecule, or has no atoms; holds RDKit's reason.
    """
    return Chem.Mol(shared_molecule(text))  # a copy, which the caller may change


def shared_molecule(text: str) -> Chem.Mol:
    """`parse` without a copy, for callers that change nothing."""
    if not isinstance(text, str):
        raise InvalidMoleculeError(f"expected a SMILES text, got {shown(text)}")
    text = text.strip()
    if (mol := _parsed(text)) is None:
        raise _invalid(text, _reason(text))
    return mol


def _objection(text: str) -> str | None:
    """Why RDKit is not even asked about a text."""
    if not text:
        return "the text is empty"
    if len(text) > MAX_SMILES_LENGTH:  # before anything looks at all of it
        return f"longer than {MAX_SMILES_LENGTH:,} characters"
    if STEREO_GROUPS.search(text):
        return (
            "its groups of stereo centres stand for several stereoisomers; give one of these, or "
            "leave the centres open"
        )
    if len(text.split()) > 1:
        return "a SMILES holds no space; give the first word only"
    if not text.isascii():  # RDKit's own error would not be a text
        return "SMILES is written in ASCII"
    if ">" in text.replace("->", ""):
        return "it is a reaction; give one molecule"
    if BEYOND_SMILES.search(text):
        return "an atom has at most 9 hydrogens, charge 15, isotope 999, element 118"
    return None


@lru_cache(maxsize=PARSE_CACHE_SIZE)
def _parsed(text: str) -> Chem.Mol | None:
    """The molecule of a text without space around it; None where there is none."""
    if _objection(text):
        return None
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
    return mol if mol is not None and mol.GetNumAtoms() else None


def _invalid(text: str, reason: str) -> InvalidMoleculeError:
    return InvalidMoleculeError(f"not a valid molecule: {shown(text)} ({reason})")


def canonical(text: str) -> str:
    """RDKit's canonical isomeric SMILES: the identity of a molecule everywhere in molvae.

        >>> canonical("OC(=O)c1ccccc1OC(C)=O")
        'CC(=O)Oc1ccccc1C(=O)O'

    Salts keep all their fragments, and tautomers stay different molecules. RDKit's own writer is
    not idempotent: its output may be read and written as another text (rare in data sets, seen in
    generated molecules with odd stereochemistry). So writing of texts with stereochemistry or
    hydrogen atoms is repeated until nothing changes; of a cycle of texts, the alphabetically
    first is taken.

    Raises:
        InvalidMoleculeError: The text is not a molecule; holds RDKit's reason.
    """
    if (found := canonical_or_none(text)) is None:
        parse(text)  # raises the error
        raise _invalid(text, "RDKit reads it, but cannot write it")
    return found


def canonical_or_none(text: str) -> str | None:
    """`canonical`, or None where the text is not a molecule."""
    return _canonical(text) if isinstance(text, str) else None


@lru_cache(maxsize=CANONICAL_CACHE_SIZE)
def _canonical(text: str) -> str | None:
    texts = [_written(text)]
    while (last := texts[-1]) is not None and MAY_CHANGE_AGAIN.search(last):
        if (again := _written(last)) in texts:
            return min(one for one in texts[texts.index(again) :] if one is not None)
        texts.append(again)
    return last


def _written(text: str) -> str | None:
    if (mol := _parsed(text.strip())) is None:
        return None
    try:
        written: str = Chem.MolToSmiles(mol)
    except RuntimeError:
        return None
    return written


@lru_cache(maxsize=CANONICAL_CACHE_SIZE)
def has_radicals(text: str) -> bool:
    """Whether an atom of a molecule has unpaired electrons, as RDKit counts them.

        >>> has_radicals("[CH2]CC"), has_radicals("CCC")
        (True, False)

    Raises:
        InvalidMoleculeError: The text is not a molecule.
    """
    # Atoms without brackets have all their hydrogens.
    return "[" in text and len(shared_molecule(text).GetAtomsMatchingQuery(_RADICAL)) > 0


def unknown_elements(elements: Iterable[str]) -> list[str]:
    """Texts that are no symbols of chemical elements."""
    table = Chem.GetPeriodicTable()  # which prints a stack trace where it is asked for others
    return sorted({*elements} - {table.GetElementSymbol(number) for number in range(1, 119)})


def list_of_smiles(smiles: Iterable[Text]) -> list[Text]:
    """Several SMILES as a list; of a DataFrame, its column of molecules.

    A single text, or what is no container, is a `ConfigError`, and a DataFrame without such a
    column a `DataError`.
    """
    from molvae.chem.workbooks import frame_molecules, is_frame

    if isinstance(smiles, str | bytes):
        raise ConfigError(
            f"expected a list of SMILES, got the single text {shown(smiles)}; use [smiles]"
        )
    if not isinstance(smiles, Iterable):
        raise ConfigError(f"expected a list of SMILES, got {shown(smiles)}")
    return list(frame_molecules(smiles) if is_frame(smiles) else smiles)


def index_of(smiles: Any) -> Any:
    """The index of a DataFrame or Series, which results keep; None of other containers."""
    return smiles.index if hasattr(smiles, "iloc") else None


def _reason(text: str) -> str:
    """The reason to refuse a text, in one line. Parses again, so only for errors."""
    if reason := _objection(text):
        return reason
    # Older versions of RDKit write the reason to stderr only; it is then not known.
    capture = getattr(rdBase, "CaptureErrorLog", nullcontext)
    try:
        with rdBase.BlockLogs(), capture() as log:  # which would leave warnings alone
            mol = Chem.MolFromSmiles(text, sanitize=False)
            messages = str(getattr(log, "messages", ""))
            problems = () if mol is None else Chem.DetectChemistryProblems(mol)
    except Exception as error:  # of some atoms RDKit raises whatever it is asked about
        return " ".join(str(error).split("Violation occurred")[0].split()) or "RDKit cannot read it"
    if mol is not None and mol.GetNumAtoms() == 0:
        return "it has no atoms"
    if problems:
        return " ".join(problems[0].Message().split())
    found = re.search(r"Parse Error: (.*?)(?: while parsing| for input|$)", messages, re.MULTILINE)
    return found[1].strip()[:MAX_SHOWN_LENGTH] if found else "it is not written in SMILES"


def random_smiles(mol: Chem.Mol, n: int, seed: int, *, kekule: bool = False) -> list[str]:
    """SMILES of a molecule with its atoms in `n` random orders."""
    # RDKit takes 0 for no seed.
    found: list[str] = Chem.MolToRandomSmilesVect(
        mol, n, randomSeed=seed % 2**31 or 2**31 - 1, kekuleSmiles=kekule
    )
    return found
