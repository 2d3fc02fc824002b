"""Exploring a latent space: paths, neighbors, directions, gradient ascents, and maps.

    >>> from molvae import analysis
    >>> path = analysis.interpolate(molvae.load("qm9"), "CCO", "CCCN")  # doctest: +SKIP
    >>> path.molecules  # doctest: +SKIP

Each function takes a `molvae.LatentSpace` and returns a frozen result that has a `table()`, and
that a function of `grids` draws. Names stand in `__init__.pyi` and are imported when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
