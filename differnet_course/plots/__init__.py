"""Figures: each function takes arrays and returns a Plotly figure; it computes and saves nothing.

All are white with dark text, so that they read the same in a light and a dark notebook; classes
differ in colour and in marker or dash. `evaluation_report` and `score_report` write a file. The
public names are listed in `__init__.pyi`; each is loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
