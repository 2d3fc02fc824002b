"""One thread for everything: small problems are several times faster with it, and repeat exactly."""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # before torch is imported
    os.environ.setdefault(_name, "1")
