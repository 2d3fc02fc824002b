"""How `campaigns.json` and `space.json` were made, before the package's files were moved.

Strategies and spaces are to give the same results until one of them is changed on purpose; then
this is run again, and the commit says why: `python -m tests.golden.make_campaigns`.
"""

from __future__ import annotations

import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch

import molvae
from molvae._version import versions

HERE = Path(__file__).parent
STRATEGIES = (
    "random",
    "log-ei",
    "thompson",
    "turbo",
    "gradient",
    "rank",
    "rank:latent=1",
    "ga",
    "screen",
)
MOLECULES = (
    "CCO",
    "CC(=O)Oc1ccccc1C(=O)O",
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "CN1CCC[C@H]1c1cccnc1",
)


def machine() -> dict[str, Any]:
    """What results are the same on: they may differ in the last digit elsewhere."""
    named = versions()
    return {name: named[name] for name in ("torch", "botorch", "gpytorch", "rdkit", "numpy")} | {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
    }


PROPERTIES = ("logP", "SAS", "QED", "penalised_logP", "MW", "TPSA", "rings", "heavy_atoms")
"""As they were called when the numbers were recorded."""


def proposals(strategy: str, objective: Any = "qed", budget: int = 60) -> list[str]:
    """The molecules of a short campaign, in order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.db"
        space = molvae.load("zinc250k")
        with molvae.Campaign.create(
            path, space, objective=objective, strategy=strategy, start=20, batch=10, seed=0
        ) as c:
            c.run(budget)
            return [trial.smiles for trial in c.trials]


def numbers() -> dict[str, Any]:
    """What the bundled spaces and the properties give for a few molecules."""
    found: dict[str, Any] = {}
    for name in ("zinc250k", "qm9"):
        space = molvae.load(name)
        smiles = [
            one for one, able in zip(MOLECULES, space.can_encode(MOLECULES), strict=True) if able
        ]
        z = space.encode(smiles)
        found[name] = {
            "smiles": smiles,
            "encode": z.tolist(),
            "decode": space.decode(z + 0.5),
            "log_prob": space.log_prob(smiles, seed=0).tolist(),
            "generate": space.generate(8, seed=0),
            "predict": space.predict(z).to_numpy().tolist(),
        }
    table = molvae.properties(MOLECULES, PROPERTIES).drop(columns=["smiles", "error"])
    found["properties"] = dict(zip(PROPERTIES, table.T.to_numpy().tolist(), strict=True))
    return found


if __name__ == "__main__":
    runs = {name: proposals(name) for name in STRATEGIES}
    runs["two objectives"] = proposals("rank", ["qed", "minimise sas"], 40)
    for name, content in (("campaigns", runs), ("space", numbers())):
        text = json.dumps({"made on": machine(), "results": content}, indent=1)
        (HERE / f"{name}.json").write_text(text + "\n")
