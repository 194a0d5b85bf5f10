"""An explorer of anomaly maps: image, kind of map, rotations, blur, colour scale, opacity."""

from __future__ import annotations

import html
from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from PIL import Image

from differnet_lite.data.images import ImageLike
from differnet_lite.model import DifferNet
from differnet_lite.plots.maps import plot_map
from differnet_lite.plots.style import VERMILLION
from differnet_lite.widgets.layout import BESIDE, columns, labelled, slider_style
from differnet_lite.widgets.maps_state import BLURS, CELLS, MapStates
from differnet_lite.widgets.model_maps import WORK

__all__ = ["LocalizationExplorer"]

LABEL = "64px"


class LocalizationExplorer(widgets.HBox):
    """See how a map depends on the rotations, the blur and, above all, the colour scale.

    Attribution maps of all images and numbers of rotations are computed when the explorer is made
    (one pass of the trunk for each image and rotation), so that every control answers at once.
    Gradient maps need a pass back for each rotation too: they are computed when first asked for,
    and kept; the label says so while they are. No label and no anomalous image is needed.

    The maps are those of `localization.anomaly_map`, but turned back and blurred at 112 px.

    Args:
        model: a fitted model; without reference maps it has gradient maps alone.
        images: images to choose from, normal ones too.
        titles: their names; None numbers them.
        masks: boolean masks (H, W) of defects, or None where there is none; drawn as an outline.
        n_angles: numbers of rotations to choose from; those above the model's are left out.

    Attributes:
        image_slider, method_buttons, angles_slider, blur_slider, scale_buttons, top_slider,
            opacity_slider: the controls; set their `value` to move the explorer from code.
        label: says in words what is shown, or that it is computing.
        figure: a Plotly FigureWidget of three traces: photograph, map, outline of the defect.
        top: upper end of the common colour scale.

    Raises:
        NotFittedError: the model has not been fitted.
        ValueError: there is no image, or the lengths differ.
    """

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
            np.zeros((WORK, WORK), np.uint8) if mask is None else _outline(mask)
            for mask in outlines
        ]
        self._states = MapStates(model, images, n_angles)
        self._make_controls()
        self.figure = go.FigureWidget(self._draw())
        self._drawn = 0
        self._show()
        controls = [
            self.image_slider,
            labelled("map", self.method_buttons, LABEL),
            self.angles_slider,
            self.blur_slider,
            labelled("colours", self.scale_buttons, LABEL),
            self.top_slider,
            self.opacity_slider,
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
            method: "attribution" or "gradient"; None takes the first that the model has.
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
        self.angles_slider = widgets.SelectionSlider(
            options=counts, value=counts[-1], description="rotations", **wide
        )
        blur = {"min": 0, "max": 24, "step": 1, "description": "blur, px", "readout_format": ".0f"}
        self.blur_slider = widgets.FloatSlider(value=BLURS[methods[0]], **blur, **wide)
        self.scale_buttons = widgets.ToggleButtons(
            options=[("one for all", True), ("each its own", False)],
            style={"button_width": "104px"},
        )
        self.top_slider = widgets.IntSlider(
            value=100, min=5, max=100, step=5, description="top, %", **wide
        )
        self.opacity_slider = widgets.FloatSlider(
            value=0.6, min=0, max=1, step=0.05, description="opacity", **wide
        )
        self.label = widgets.HTML()
        self.method_buttons.observe(self._change_method, names="value")
        for control in (
            *(self.image_slider, self.angles_slider, self.blur_slider),
            *(self.scale_buttons, self.top_slider, self.opacity_slider),
        ):
            control.observe(lambda _: self._show(), names="value")

    def _draw(self) -> go.Figure:
        figure = plot_map(self._photograph(0), np.zeros((CELLS, CELLS)), scale=(0.0, 1.0))
        figure.data[1].hovertemplate = "x %{x:.0f} px, y %{y:.0f} px<br>map %{z:.3g}<extra></extra>"
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
            line={"color": VERMILLION, "width": 2},
            showlegend=False,
        )
        return figure.update_layout(height=440, width=510)

    def _change_method(self, change: dict) -> None:
        before = self.blur_slider.value
        self.blur_slider.value = BLURS[change["new"]]
        if self.blur_slider.value == before:
            self._show()

    def _show(self) -> None:
        i, method = self.image_slider.value, self.method_buttons.value
        n, blur, common = self.angles_slider.value, self.blur_slider.value, self.scale_buttons.value
        if not self._states.has(method, i, n):
            self._say_busy(f"the {method} map of {self.names[i]}, {n} rotations")
        values = self.map(i, n_angles=n, blur=blur, method=method)
        low, high = float(values.min()), float(values.max())
        scale = (low, high if high > low else low + 1.0)
        if common:
            scale = (0.0, self.top * self.top_slider.value / 100)
        self.top_slider.disabled = not common
        shown = np.float32(values.round(3 - int(np.floor(np.log10(scale[1] - scale[0])))))
        photograph, heat, outline = self.figure.data
        with self.figure.batch_update():
            if i != self._drawn:
                drawn = plot_map(self._photograph(i), values, scale=scale)
                photograph.source = drawn.data[0].source
                outline.z, self._drawn = self._outlines[i], i
            heat.z, heat.opacity = shown, self.opacity_slider.value
            colours = self.figure.layout.coloraxis
            colours.cmin, colours.cmax = scale
            own = "one scale for all images" if common else "this image's own scale"
            colours.colorbar.title.text = f"map value, {own}, no unit"
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        cell = self.model.settings.size / CELLS
        self.label.value = (
            f"<b>{html.escape(self.names[i])}</b>: score tau {self.score(i):.2f}; "
            f"{method} map of {n} rotation{'s' * (n > 1)}, blur {blur:.0f} px: "
            f"largest value {high:.3g} "
            f"at x {cell * (column + 0.5):.0f}, y {cell * (row + 0.5):.0f} px; "
            f"{100 * float((values > sum(scale) / 2).mean()):.0f} % of the image "
            "is above half the scale"
        )

    def _say_busy(self, what: str) -> None:
        self.label.value = f"<b>computing</b> {html.escape(what)} &hellip;"

    def _photograph(self, index: int) -> np.ndarray:
        return self._states.pixels[index].permute(1, 2, 0).numpy()

    def __repr__(self) -> str:
        return (
            f"LocalizationExplorer of {len(self.names)} images: run this cell to move its controls"
        )


def _outline(mask: ArrayLike) -> np.ndarray:
    """A mask as the share of each cell that it covers, (WORK, WORK) uint8 percent.

    The rim is 0, so that outlines close.
    """
    values = np.asarray(mask)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"masks: expected masks (H, W) or None, got shape {values.shape}")
    picture = Image.fromarray((values != 0).astype(np.float32) * 100)
    cells = np.asarray(picture.resize((WORK, WORK), Image.Resampling.BOX)).astype(np.uint8).copy()
    cells[[0, -1]] = cells[:, [0, -1]] = 0
    return cells
