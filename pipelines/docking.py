"""Docking scores by dockstring, as an objective: `pipelines.docking:score`.

dockstring prepares the molecule with RDKit and Open Babel, and docks it with AutoDock Vina into one
of 58 prepared proteins; `dockstring.list_all_target_names()` names them. Needs Linux, and:
pip install 'molvae[docking]'.

References:
    García-Ortegón et al. (2022), doi:10.1021/acs.jcim.1c01334.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

TARGET = "DRD2"
CPUS = 1
"""Of a call; more workers use more of them better."""


@lru_cache(maxsize=1)
def target(name: str) -> Any:
    """The protein, loaded once in each process."""
    from dockstring import load_target

    # dockstring looks for Open Babel's program on the path; pip puts it beside Python's.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return load_target(name)


def score(smiles: str) -> float:
    """Vina's score of the best pose, kcal/mol; lower is better."""
    found, _ = target(TARGET).dock(smiles, num_cpus=CPUS)
    if found is None:
        raise RuntimeError("no pose was found")
    return float(found)
