"""Bayesian optimization with BoTorch: from observations to the next molecules to evaluate.

Names stand in `__init__.pyi` and are imported when first used, so that reading a campaign file
needs no BoTorch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
