"""An explorer of anomaly maps: image, kind of map, rate of the level, and more."""

from __future__ import annotations

import html
from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from differnet_course.plots.maps import plot_map
from differnet_course.plots.style import SKY
from differnet_course.widgets.layout import BESIDE, columns, labelled, slider_style
from differnet_course.widgets.map_colours import levelled, outline, scaled
from differnet_course.widgets.maps_state import CELLS, MapStates
from differnet_course.widgets.model_maps import WORK
from differnet_lite.oldchecks import checked
from differnet_lite.images import ImageLike
from differnet_lite.localizer import BLURS
from differnet_lite.maps import MapLevels
from differnet_lite.model import DifferNet

__all__ = ["LocalizationExplorer"]

LABEL = "64px"
ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
NO_LEVELS = MapLevels(1.0, 1.0, 1.0)  # of a model that has no distance maps
OPACITY = 0.6  # of maps without levels


class LocalizationExplorer(widgets.HBox):
    """See where a defect is, and how a map depends on its level, its colours and the rotations.

    "distance" maps have a level for each rate. The others have none: under "more" stand their
    rotations, blur and colour scale. Attribution and deviation maps of all images and numbers of
    rotations are computed when the explorer is made, so that every control answers at once;
    gradient maps when first asked for, and kept; the label says so while they are.

    The maps are the package's, the turned ones blurred at 112 px.

    Args:
        model: a fitted model; without reference maps it has gradient maps alone.
        images: images to choose from, normal ones too.
        titles: their names; None numbers them.
        masks: boolean masks (H, W) of defects, or None where there is none; drawn as an outline.
        n_angles: numbers of rotations to choose from; those above the model's are left out.

    Attributes:
        image_slider, method_buttons, alpha_slider, angles_slider, blur_slider, scale_buttons,
            top_slider: the controls; set their `value` to move the explorer from code.
        label: says in words what is shown, or that it is computing.
        figure: four traces: photograph, map, line around what is marked, outline of the defect.
        top: upper end of the common colour scale.

    Raises:
        NotFittedError: the model has not been fitted.
        ValueError: there is no image, or the lengths differ.
    """

    @checked
    def __init__(
        self,
        model: DifferNet,
        images: Sequence[ImageLike],
        *,
        titles: Sequence[str] | None = None,
        masks: Sequence[ArrayLike | None] | None = None,
        n_angles: Sequence[int] = (1, 2, 4, 8, 16),
    ) -> None:
        model.check_fitted()
        count = len(images)
        names = [f"image {i}" for i in range(count)] if titles is None else [*map(str, titles)]
        outlines = [None] * count if masks is None else list(masks)
        if not count or len({count, len(names), len(outlines)}) > 1:
            raise ValueError(
                "expected at least one image, and as many titles and masks as images; "
                f"got {count}, {len(names)} and {len(outlines)}"
            )
        self.model, self.names = model, names
        self._outlines = [
            np.zeros((WORK, WORK), np.uint8) if mask is None else outline(mask) for mask in outlines
        ]
        self._states = MapStates(model, images, n_angles)
        self._make_controls()
        self.figure = go.FigureWidget(self._draw())
        self._drawn = 0
        self._show()
        colours = labelled("colours", self.scale_buttons, LABEL)
        more = widgets.VBox([self.angles_slider, self.blur_slider, colours, self.top_slider])
        controls = [
            self.image_slider,
            labelled("map", self.method_buttons, LABEL),
            self.alpha_slider,
            widgets.Accordion([more], titles=["more"], selected_index=None),
            self.label,
        ]
        super().__init__(columns(controls, [self.figure]), layout=BESIDE)

    def map(
        self,
        index: int,
        *,
        n_angles: int | None = None,
        blur: float | None = None,
        method: str | None = None,
    ) -> np.ndarray:
        """The map of one image as it is drawn, (56, 56) float32, at least 0.

        Args:
            index: of the image.
            n_angles: number of rotations; None takes the most.
            blur: deviation of the Gaussian blur, pixels of the input; None takes the method's own.
            method: see `Localizer.anomaly_map`; None takes the first that the model has.
        """
        method = self._states.methods[0] if method is None else method
        return self._states.map(
            index,
            n_angles=self._states.n_angles[-1] if n_angles is None else n_angles,
            blur=BLURS[method] if blur is None else blur,
            method=method,
        )

    def score(self, index: int) -> float:
        """tau of one image, at all of the model's angles."""
        return self._states.score(index)

    @property
    def top(self) -> float:
        """The largest map value of all images at the method's own blur and the most rotations."""
        return self._states.top(self.method_buttons.value, self._say_busy)

    @property
    def levels(self) -> MapLevels | None:
        """What the map that is shown is compared with; None if its method has no level."""
        if self.method_buttons.value != "distance":
            return None
        return self.model.map_levels(self.alpha_slider.value, if_too_few="fallback")

    def _make_controls(self) -> None:
        methods, counts, wide = self._states.methods, self._states.n_angles, slider_style(LABEL)
        numbered = [
            (name if self.names.count(name) == 1 else f"{name} ({i})", i)
            for i, name in enumerate(self.names)
        ]
        self.image_slider = widgets.SelectionSlider(
            options=numbered, value=0, description="image", **wide
        )
        self.method_buttons = widgets.ToggleButtons(
            options=methods, style={"button_width": "104px"}
        )
        known = self.model.places_
        fewest = 1 if known is None else 1 / (len(known.maxima) + 1)
        reachable = [a for a in ALPHAS if a >= fewest] or [max(ALPHAS)]
        self.alpha_slider = widgets.SelectionSlider(
            options=[(f"{100 * a:g} %", a) for a in reachable],
            value=0.05 if 0.05 in reachable else reachable[0],
            description="level",
            **wide,
        )
        self.angles_slider = widgets.SelectionSlider(
            options=counts, value=counts[-1], description="rotations", **wide
        )
        blur = {"min": 0, "max": 24, "step": 1, "description": "blur, px", "readout_format": ".0f"}
        self.blur_slider = widgets.FloatSlider(value=BLURS[methods[0]], **blur, **wide)
        scales, style = [("one for all", True), ("each its own", False)], {"button_width": "104px"}
        self.scale_buttons = widgets.ToggleButtons(options=scales, style=style)
        top = {"min": 5, "max": 100, "step": 5, "description": "top, %"}
        self.top_slider = widgets.IntSlider(value=100, **top, **wide)
        self.label = widgets.HTML()
        self.method_buttons.observe(self._change_method, names="value")
        for control in (
            *(self.image_slider, self.alpha_slider, self.angles_slider),
            *(self.blur_slider, self.scale_buttons, self.top_slider),
        ):
            control.observe(lambda _: self._show(), names="value")

    def _draw(self) -> go.Figure:
        levels = self.levels or NO_LEVELS
        figure = plot_map(self._photograph(0), np.zeros((CELLS, CELLS)), levels=levels)
        cell = self.model.settings.size / WORK
        place = {"x0": cell / 2 - 0.5, "dx": cell, "y0": cell / 2 - 0.5, "dy": cell}
        figure.add_contour(
            z=self._outlines[0],
            **place,
            showscale=False,
            hoverinfo="skip",
            autocontour=False,
            contours={"coloring": "none", "start": 40, "end": 40, "size": 1},
            line={"color": SKY, "width": 2},
            showlegend=False,
        )
        return figure.update_layout(height=440, width=540)

    def _change_method(self, change: dict) -> None:
        before = self.blur_slider.value
        self.blur_slider.value = BLURS[change["new"]]
        if self.blur_slider.value == before:
            self._show()

    def _show(self) -> None:
        i, method = self.image_slider.value, self.method_buttons.value
        n, blur, levels = self.angles_slider.value, self.blur_slider.value, self.levels
        if not self._states.has(method, i, n):
            self._say_busy(f"the {method} map of {self.names[i]}, {n} rotations")
        values = self.map(i, n_angles=n, blur=blur, method=method)
        common = self.scale_buttons.value
        if levels is None:
            top = self.top * self.top_slider.value / 100 if common else None
            shown, axis, said = scaled(values, top)
        else:
            shown, axis, said = levelled(values, levels)
        self.alpha_slider.disabled = levels is None
        for control in (self.angles_slider, self.blur_slider, self.scale_buttons):
            control.disabled = levels is not None  # the level is that of one blur alone
        self.top_slider.disabled = levels is not None or not common
        photograph, heat, line, defect = self.figure.data
        with self.figure.batch_update():
            if i != self._drawn:
                drawn = plot_map(self._photograph(i), values, levels=NO_LEVELS)
                photograph.source = drawn.data[0].source
                defect.z, self._drawn = self._outlines[i], i
            heat.z, heat.opacity = shown, OPACITY if levels is None else 1.0
            if levels is not None:
                line.z = shown
            line.visible = levels is not None
            self.figure.layout.coloraxis = axis
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        cell = self.model.settings.size / CELLS
        turns = "" if levels else f" of {n} rotation{'s' * (n > 1)}"
        self.label.value = (
            f"<b>{html.escape(self.names[i])}</b>: score tau {self.score(i):.2f}; "
            f"{method} map{turns}, blur {blur:.0f} px: largest value {float(values.max()):.3g} "
            f"at x {cell * (column + 0.5):.0f}, y {cell * (row + 0.5):.0f} px; {said}"
        )

    def _say_busy(self, what: str) -> None:
        self.label.value = f"<b>computing</b> {html.escape(what)} &hellip;"

    def _photograph(self, index: int) -> np.ndarray:
        return self._states.pixels[index].permute(1, 2, 0).numpy()

    def __repr__(self) -> str:
        return (
            f"LocalizationExplorer of {len(self.names)} images: run this cell to move its controls"
        )
