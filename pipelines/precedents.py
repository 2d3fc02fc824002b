"""Make the precedents of a prepared data set: its ring systems, atom environments and sizes.

    molvae prepare zinc250k data/zinc250k
    python pipelines/precedents.py data/zinc250k molvae/weights/zinc250k/precedents.safetensors

Campaigns avoid what is not in the file of their model (`--plausibility`); the properties
`unseen_rings` and `unseen_environments` compare molecules with that of ZINC250k.
"""

from __future__ import annotations

import sys
from pathlib import Path

from molvae.latent.labels import precedents

if __name__ == "__main__":
    *data, out = map(Path, sys.argv[1:])
    precedents(data).save(out)
