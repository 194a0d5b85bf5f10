"""What the course and the studies need beside `differnet_lite`: samples, figures, labs, baselines.

This package imports `differnet_lite`, and is never imported by it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
