"""An explorer of anomaly maps: image, kind of map, rate of the level, and more."""

from __future__ import annotations

import html
from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from PIL import Image

from differnet_course.gradient_maps import BLURS, GradientMaps
from differnet_course.plots.layers import level_axis
from differnet_course.plots.maps import plot_map
from differnet_course.plots.style import SKY, colour_axis
from differnet_course.widgets.layout import BESIDE, columns, labelled, slider_style
from differnet_course.widgets.maps_state import CELLS, WORK, MapStates
from differnet_course.widgets.plot import Plot
from differnet_lite import DifferNet
from differnet_lite.images import ImageLike
from differnet_lite.maps import SIGMA, MapLevels
from differnet_lite.overlay import ramp_position

__all__ = ["LocalizationExplorer"]

LABEL = "64px"
ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
NO_LEVELS = MapLevels(1.0, 1.0, 1.0)  # of maps that have none
OPACITY = 0.6  # of maps without levels


class LocalizationExplorer(widgets.HBox):
    """See where a defect is, and how a map depends on its level, its colours and the rotations.

    "distance" maps have a level for each rate. The others have none: under "more" stand their
    rotations, blur and colour scale. They are computed when first asked for, and kept; the label
    says so while they are. Blur and turning back work at 112 px.

    Args:
        model: a fitted model.
        images: images to choose from, normal ones too.
        maps: draws the other maps; None draws "gradient" alone.
        titles: their names; None numbers them.
        masks: boolean masks (H, W) of defects, or None where there is none; drawn as an outline.

    Attributes:
        image_slider, method_buttons, alpha_slider, angles_slider, blur_slider, scale_buttons:
            the controls; set their `value` to move the explorer from code.
        label: says in words what is shown, or that it is computing.
        figure: four traces: photograph, map, line around what is marked, outline of the defect.

    Raises:
        NotFittedError: the model has not been fitted.
        ValueError: there is no image, or the lengths differ.
    """

    def __init__(
        self,
        model: DifferNet,
        images: Sequence[ImageLike],
        *,
        maps: GradientMaps | None = None,
        titles: Sequence[str] | None = None,
        masks: Sequence[ArrayLike | None] | None = None,
    ) -> None:
        count = len(images)
        self.model = model
        self.names = list(titles or [f"image {i}" for i in range(count)])
        outlines = list(masks or [None] * count)
        if not count or {count} != {len(self.names), len(outlines)}:
            raise ValueError(
                "expected at least one image, and as many titles and masks as images; "
                f"got {count}, {len(self.names)} and {len(outlines)}"
            )
        self._outlines = [_outline(mask) for mask in outlines]
        self._states = MapStates(maps or GradientMaps(model), images)
        self._make_controls()
        self.figure = self._draw()
        self.plot = Plot(self.figure)
        self._drawn = 0
        self._show()
        colours = labelled("colours", self.scale_buttons, LABEL)
        more = widgets.VBox([self.angles_slider, self.blur_slider, colours])
        controls = [
            self.image_slider,
            labelled("map", self.method_buttons, LABEL),
            self.alpha_slider,
            widgets.Accordion([more], titles=["more"], selected_index=None),
            self.label,
        ]
        super().__init__(columns(controls, [self.plot]), layout=BESIDE)

    def map(self) -> np.ndarray:
        """The map that is shown, (56, 56) float32, at least 0."""
        return self._states.map(
            self.method_buttons.value,
            self.image_slider.value,
            self.angles_slider.value,
            self.blur_slider.value,
        )

    @property
    def levels(self) -> MapLevels | None:
        """What the map that is shown is compared with; None if its method has no level."""
        if self.method_buttons.value != "distance":
            return None
        return self.model.map_levels(self.alpha_slider.value, if_too_few="fallback")

    def _make_controls(self) -> None:
        wide = slider_style(LABEL)
        numbered = [
            (name if self.names.count(name) == 1 else f"{name} ({i})", i)
            for i, name in enumerate(self.names)
        ]
        self.image_slider = widgets.SelectionSlider(options=numbered, description="image", **wide)
        methods = self._states.methods
        self.method_buttons = widgets.ToggleButtons(
            options=methods, style={"button_width": "104px"}
        )
        places = self.model.places_
        smallest = 1 if places is None else 1 / (len(places.maxima) + 1)
        reachable = [alpha for alpha in ALPHAS if alpha >= smallest] or [ALPHAS[-1]]
        self.alpha_slider = widgets.SelectionSlider(
            options=[(f"{100 * alpha:g} %", alpha) for alpha in reachable],
            value=0.05 if 0.05 in reachable else reachable[0],
            description="level",
            **wide,
        )
        counts = self._states.n_angles
        self.angles_slider = widgets.SelectionSlider(
            options=counts, value=counts[-1], description="rotations", **wide
        )
        self.blur_slider = widgets.FloatSlider(
            value=_blur(methods[0]),
            max=24,
            step=1,
            description="blur, px",
            readout_format=".0f",
            **wide,
        )
        self.scale_buttons = widgets.ToggleButtons(
            options=[("one for all", True), ("each its own", False)],
            style={"button_width": "104px"},
        )
        self.label = widgets.HTML()
        self.method_buttons.observe(self._change_method, names="value")
        rest = (self.image_slider, self.alpha_slider, self.angles_slider, self.blur_slider)
        for control in (*rest, self.scale_buttons):
            control.observe(lambda _: self._show(), names="value")

    def _draw(self) -> go.Figure:
        levels = self.levels or NO_LEVELS
        figure = plot_map(self._photograph(0), np.zeros((CELLS, CELLS)), levels=levels)
        cell = self.model.settings.size / WORK
        figure.add_contour(
            z=self._outlines[0],
            x0=cell / 2 - 0.5,
            dx=cell,
            y0=cell / 2 - 0.5,
            dy=cell,
            showscale=False,
            hoverinfo="skip",
            autocontour=False,
            contours={"coloring": "none", "start": 40, "end": 40, "size": 1},
            line={"color": SKY, "width": 2},
            showlegend=False,
        )
        return figure.update_layout(height=440, width=540)

    def _change_method(self, change: dict[str, str]) -> None:
        before = self.blur_slider.value
        self.blur_slider.value = _blur(change["new"])
        if self.blur_slider.value == before:
            self._show()

    def _show(self) -> None:
        index = self.image_slider.value
        method = self.method_buttons.value
        n = self.angles_slider.value
        levels = self.levels
        if not self._states.is_ready(method, index, n):
            self._say_busy(f"the {method} map of {self.names[index]}, {n} rotations")
        values = self.map()
        common = self.scale_buttons.value
        self.alpha_slider.disabled = levels is None
        for control in (self.angles_slider, self.blur_slider, self.scale_buttons):
            control.disabled = levels is not None  # the level is that of one blur alone
        if levels is None:
            low = 0.0 if common else float(values.min())
            high = self._states.top(method, self._say_busy) if common else float(values.max())
            high = high if high > low else low + 1.0
            shown = values.round(3 - int(np.floor(np.log10(high - low))))
            whose = "one scale for all images" if common else "this image's own scale"
            axis = colour_axis(low, high, f"map value, {whose}, no unit")
            share = (values > (low + high) / 2).mean()
            verdict = f"{100 * share:.0f} % of the image is above half the scale"
        else:
            shown = ramp_position(values, levels)
            axis = level_axis(levels)
            verdict = (
                f"{100 * (values >= levels.level).mean():.1f} % of the image reaches the level "
                f"{levels.level:.3g}, which {100 * levels.alpha:.3g} % of normal images reach "
                "anywhere"
            )
        self._redraw(index, shown.astype(np.float32), axis, levels is not None)
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        cell = self.model.settings.size / CELLS
        turns = "" if levels else f" of {n} rotation{'s' * (n > 1)}"
        self.label.value = (
            f"<b>{html.escape(self.names[index])}</b>: score tau {self._states.scores[index]:.2f}; "
            f"{method} map{turns}, blur {self.blur_slider.value:.0f} px: largest value "
            f"{float(values.max()):.3g} at x {cell * (column + 0.5):.0f}, "
            f"y {cell * (row + 0.5):.0f} px; {verdict}"
        )

    def _redraw(
        self, index: int, shown: np.ndarray, axis: dict[str, object], has_level: bool
    ) -> None:
        photograph, heat, line, defect = self.figure.data
        if index != self._drawn:
            drawn = plot_map(self._photograph(index), shown, levels=NO_LEVELS)
            photograph.source = drawn.data[0].source
            defect.z = self._outlines[index]
            self._drawn = index
        heat.z = shown
        heat.opacity = 1.0 if has_level else OPACITY
        line.visible = has_level
        if has_level:
            line.z = shown
        self.figure.layout.coloraxis = axis
        self.plot.draw()

    def _say_busy(self, what: str) -> None:
        self.label.value = f"<b>computing</b> {html.escape(what)} &hellip;"

    def _photograph(self, index: int) -> np.ndarray:
        return self._states.pixels[index].permute(1, 2, 0).numpy()

    def __repr__(self) -> str:
        return (
            f"LocalizationExplorer of {len(self.names)} images: run this cell to move its controls"
        )


def _blur(method: str) -> float:
    """The blur of a method, pixels."""
    return SIGMA if method == "distance" else BLURS[method]


def _outline(mask: ArrayLike | None) -> np.ndarray:
    """A mask as the share of each cell that it covers, (WORK, WORK) uint8 percent.

    The rim is 0, so that outlines close.
    """
    values = np.zeros((WORK, WORK)) if mask is None else np.asarray(mask)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"masks: expected masks (H, W) or None, got shape {values.shape}")
    picture = Image.fromarray((values != 0).astype(np.float32) * 100)
    cells = np.asarray(picture.resize((WORK, WORK), Image.Resampling.BOX)).astype(np.uint8).copy()
    cells[[0, -1]] = 0
    cells[:, [0, -1]] = 0
    return cells
