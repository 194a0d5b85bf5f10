"""Where the parts of a large explorer stand: a column of controls, and the picture beside it.

At 1280 x 720 all is visible at once in JupyterLab; with less room, the picture goes below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import ipywidgets as widgets

__all__ = ["BESIDE", "COLUMN", "columns", "labelled", "slider_style"]

COLUMN = 290  # px: with a picture of 540 px it fits beside JupyterLab's file browser
BESIDE = {"flex_flow": "row wrap", "align_items": "flex-start"}  # of the box that holds the columns


class _SliderStyle(TypedDict):
    layout: dict[str, str]
    style: dict[str, str]


def columns(
    controls: Sequence[widgets.Widget], picture: Sequence[widgets.Widget]
) -> list[widgets.VBox]:
    """The two columns, for an `HBox` with the layout `BESIDE`."""
    narrow = {"width": f"{COLUMN}px", "margin": "0 12px 0 0"}
    return [widgets.VBox(list(controls), layout=narrow), widgets.VBox(list(picture))]


def slider_style(label: str) -> _SliderStyle:
    """Options of a slider as wide as the column, with so much room for its label, as in "80px"."""
    return {"layout": {"width": f"{COLUMN - 6}px"}, "style": {"description_width": label}}


def labelled(text: str, control: widgets.Widget, label: str) -> widgets.HBox:
    """A row of buttons with its label in the same column as those of the sliders."""
    room = {"width": label, "justify_content": "flex-end"}
    return widgets.HBox([widgets.Label(text, layout=room), control])
