"""Interactive gradient localization: where a score comes from, by method, scale, views and blur."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from html import escape

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike

from differnet_course.plots.images import outline_layer
from differnet_course.plots.maps import plot_map
from differnet_course.widgets.maps_state import CELLS, OWN_BLUR, KeptMaps
from differnet_course.widgets.plot import BESIDE, Plot, columns, slider_style
from differnet_lite.maps import MapLevels

LABEL = "64px"
TEXT = "<div style='line-height: 1.4'>{}</div>"


class LocalizationExplorer(widgets.HBox):
    """Look at a photograph's maps, and click on a place for its terms.

    All maps have the same colours: from what 999 of 1,000 places of good photographs stay below,
    over a line at the level, to eight times the level. The map that is asked for is computed first.
    What its level needs, and the other photographs, follow while the page stays alive.

    `titles` name the photographs of `kept`. `masks` of their defects, boolean (H, W) or None, are
    drawn as outlines.

    Set the `value` of `image_menu`, `method_buttons`, `scale_buttons`, `angles_slider` or
    `blur_slider` to move it from code. `label` says what is shown, `terms` what the clicked place
    adds. `figure` has photograph, map, line at the level, outline of the defect, clicked place.
    """

    def __init__(
        self, kept: KeptMaps, *, titles: Sequence[str], masks: Sequence[ArrayLike | None]
    ) -> None:
        self.kept = kept
        self.names = list(titles)
        nothing = np.zeros((8, 8), bool)
        outlines = [nothing if mask is None else np.asarray(mask) for mask in masks]
        self._outlines = [outline_layer(mask, (kept.size, kept.size)) for mask in outlines]
        self._make_controls()
        levels = MapLevels(1.0, 1.0, 1 / 20)
        self.figure = plot_map(self._photograph(), np.zeros((CELLS, CELLS)), levels=levels)
        self.figure.data[1].hoverinfo = "none"  # so that a click is heard
        self.figure.add_trace(self._outlines[0])
        ring = {"symbol": "circle-open", "size": 22, "color": "white", "line": {"width": 2.5}}
        self.figure.add_scatter(mode="markers", marker=ring, hoverinfo="skip", showlegend=False)
        self.figure.update_layout(height=440, width=540)
        self.plot = Plot(self.figure)
        self.plot.observe(lambda change: self.look_at(**change["new"]), names="clicked")
        self._working: asyncio.Task[None] | None = None
        self._show(first=True)
        room = {"width": LABEL, "justify_content": "flex-end"}
        scales = [widgets.Label("scale, px", layout=room), self.scale_buttons]
        controls = [
            self.image_menu,
            self.method_buttons,
            widgets.HBox(scales),
            self.angles_slider,
            self.blur_slider,
            self.label,
            self.terms,
        ]
        super().__init__(columns(controls, [self.plot]), layout=BESIDE)

    def look_at(self, x: float, y: float, **_: object) -> None:
        """As a click on the pixel (x, y): draw a ring there, and say what the place adds."""
        self.figure.data[4].x = [x]
        self.figure.data[4].y = [y]
        self.plot.draw()
        terms = self.kept.terms(self.image_menu.value, x, y)
        lines = [
            f"{px} px: <b>{100 * share:+.1f} %</b>, most by channels {', '.join(map(str, most))}"
            for px, (share, most) in zip(self.sides, terms, strict=True)
        ]
        where = f"<b>Attribution</b> at x {x:.0f}, y {y:.0f} px, share of the score's rise:"
        self.terms.value = TEXT.format("<br>".join([where, *lines]))

    def _make_controls(self) -> None:
        wide = slider_style(LABEL)
        numbered = [(name, i) for i, name in enumerate(self.names)]
        self.image_menu = widgets.Dropdown(options=numbered, description="image", **wide)
        methods = self.kept.methods
        self.method_buttons = widgets.ToggleButtons(options=methods, style={"button_width": "auto"})
        n_scales = self.kept.model.settings.n_scales
        self.sides = [self.kept.size // 2**s for s in range(n_scales)]  # px, of the image pyramid
        scales = [("all", -1), *((str(side), s) for s, side in enumerate(self.sides))]
        self.scale_buttons = widgets.ToggleButtons(options=scales, style={"button_width": "46px"})
        counts = self.kept.n_angles
        start = 4 if 4 in counts else counts[-1]
        self.angles_slider = widgets.SelectionSlider(
            options=counts, value=start, description="views", **wide
        )
        self.blur_slider = widgets.FloatSlider(
            OWN_BLUR[methods[0]],
            max=24,
            step=1,
            description="blur, px",
            readout_format=".0f",
            **wide,
        )
        self.label = widgets.HTML()
        self.terms = widgets.HTML()
        self.method_buttons.observe(self._change_method, names="value")
        self.image_menu.observe(lambda _: self._show(first=True), names="value")
        for control in (self.scale_buttons, self.angles_slider, self.blur_slider):
            control.observe(lambda _: self._show(), names="value")

    def _change_method(self, change: dict[str, str]) -> None:
        self.blur_slider.value = OWN_BLUR[change["new"]]
        self._show()

    def _missing(self) -> list[int]:
        return self.kept.missing(self.method_buttons.value, self.angles_slider.value)

    def _compute(self, k: int) -> None:
        self.kept.compute(self.method_buttons.value, k, self.angles_slider.value)

    def _show(self, *, first: bool = False) -> None:
        """Draw the map; `first` for another photograph, whose hottest place is then clicked."""
        k, method = self.image_menu.value, self.method_buttons.value
        n, blur = self.angles_slider.value, self.blur_slider.value
        scale = self.scale_buttons.value if self.scale_buttons.value >= 0 else None
        if k in self._missing():
            self.plot.busy = f"computing the {method} map"
        values = self.kept.map(method, k, n_angles=n, blur=blur, scale=scale)
        levels = self.kept.level(method, n_angles=n, blur=blur, scale=scale, computed=True)
        for control in (self.angles_slider, self.blur_slider, self.scale_buttons):
            control.disabled = method == "distance"  # its level is that of one blur alone
        new = plot_map(self._photograph(), values, levels=levels)
        for trace, drawn in zip(self.figure.data, (*new.data, self._outlines[k]), strict=False):
            trace.update(drawn.to_plotly_json())
        self.figure.data[1].hoverinfo = "none"
        self.figure.layout.coloraxis = new.layout.coloraxis
        self.plot.draw()
        self.plot.busy = ""
        marked = (values >= levels.level).mean()
        self.label.value = TEXT.format(
            f"<b>{escape(self.names[k])}</b>: score {self.kept.scores[k]:.2f}. "
            f"The hottest place is {values.max() / levels.level:.2f} times the level, "
            f"{100 * marked:.1f} % of the image reaches it. "
            f"About {100 * levels.alpha:.0f} % of good photographs reach it anywhere."
        )
        if first:
            row, column = np.unravel_index(int(values.argmax()), values.shape)
            cell = self.kept.size / CELLS
            self.look_at(cell * (column + 0.5), cell * (row + 0.5))
        self._go_on()

    def _go_on(self) -> None:
        """Compute the rest while the page stays alive; without a notebook's loop, at once."""
        if self._missing() and (self._working is None or self._working.done()):
            try:
                self._working = asyncio.get_running_loop().create_task(self._compute_rest())
            except RuntimeError:
                for k in self._missing():
                    self._compute(k)
                self._show()

    async def _compute_rest(self) -> None:
        while missing := self._missing():
            self._compute(missing[0])
            if missing[0] >= self.kept.count:
                self._show()  # with a better level
            await asyncio.sleep(0.05)  # clicks and cells come first

    def _photograph(self) -> np.ndarray:
        return self.kept.pixels[self.image_menu.value].permute(1, 2, 0).numpy()

    def __repr__(self) -> str:
        return (
            f"LocalizationExplorer of {len(self.names)} images: run this cell to move its controls"
        )
