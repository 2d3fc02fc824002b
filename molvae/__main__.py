"""`python -m molvae`: the command line."""

from __future__ import annotations

import sys

from molvae.cli import main

sys.exit(main())
