"""Checks for the labs: is my answer right, and if not, where do I look?

    from differnet_lite import check
    check.exercise("1.3", my_function)    # shows a line in the notebook
    check.progress(1)                     # which exercises of lab 1 pass

Every check draws fresh random input and compares with a reference that is computed by another
road (autograd's Jacobian, finite differences, FrEIA, scikit-learn), or tests a property. So no
model answer is in here. The public names are listed in `__init__.pyi`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
