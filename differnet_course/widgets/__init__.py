"""Explorers for notebooks: a few controls and a figure, states computed beforehand where cheap.

The public names are listed in `__init__.pyi`; each is loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
