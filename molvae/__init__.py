"""molvae: optimize molecules in a learned, continuous space.

    >>> import molvae
    >>> space = molvae.load("druglike")
    >>> space.decode(space.encode(["CCO"]))  # doctest: +SKIP
    ['CCO']

Names are imported when first used, so that `import molvae` stays instant; they stand in the stub,
`__init__.pyi`.
"""

import lazy_loader

from molvae._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
