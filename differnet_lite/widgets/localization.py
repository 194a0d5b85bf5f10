"""An explorer of anomaly maps: image, kind of map, rotations, blur, colour scale, opacity."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from PIL import Image
from scipy import ndimage
from torch import Tensor

from differnet_lite.data.images import ImageLike, decode
from differnet_lite.localization.maps import score_gradient
from differnet_lite.model import DifferNet, NotFittedError
from differnet_lite.plots.maps import plot_map
from differnet_lite.plots.style import VERMILLION
from differnet_lite.scoring import anomaly_score
from differnet_lite.training import pooled
from differnet_lite.transforms import rotate

__all__ = ["LocalizationExplorer"]

WORK = 112  # px: side at which maps are turned back and blurred
CELLS = 56  # side of the map that is drawn
LABEL = "90px"
BLURS = {"attribution": 4.0, "gradient": 3.0}  # the defaults of `localization.anomaly_map`


class LocalizationExplorer(widgets.VBox):
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
        image_slider, method_buttons, angles_slider, blur_slider, scale_buttons, top_slider, opacity_slider: the
            controls; set their `value` to move the explorer from code.
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
        if not hasattr(model, "flow_"):
            raise NotFittedError(
                "this model has not been fitted; call fit() first, or DifferNet.load()"
            )
        names = (
            [f"image {i}" for i in range(len(images))]
            if titles is None
            else [str(title) for title in titles]
        )
        outlines = [None] * len(images) if masks is None else list(masks)
        if not len(images) or len({len(images), len(names), len(outlines)}) > 1:
            raise ValueError(
                f"expected at least one image, and as many titles and masks as images; got {len(images)}, {len(names)} and {len(outlines)}"
            )
        self.model, self.names = model, names
        self._pixels = [decode(image, model.settings.size) for image in images]
        self._outlines = [
            np.zeros((WORK, WORK), np.uint8) if mask is None else _outline(mask)
            for mask in outlines
        ]
        self._n_angles = sorted(
            {n for n in n_angles if 1 <= n <= len(model.angles_)} | {len(model.angles_)}
        )
        self._kept: dict[
            tuple[str, int, int], np.ndarray
        ] = {}  # signed maps (C, WORK, WORK), before the blur
        self._scores: dict[int, float] = {}
        methods = ["attribution", "gradient"] if model.reference_ else ["gradient"]
        if model.reference_:
            for i in range(len(images)):
                self._attribute(i)
        self._tops: dict[str, float] = {}
        self._make_controls(methods)
        self._make_figure()
        rows = [
            [self.image_slider, _labelled("map", self.method_buttons)],
            [self.angles_slider, self.blur_slider],
            [_labelled("colours", self.scale_buttons), self.top_slider],
            [self.opacity_slider],
        ]
        super().__init__(
            [
                *(widgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in rows),
                self.label,
                self.figure,
            ]
        )

    # ---------------------------------------------------------------- maps

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
            blur: deviation of the Gaussian blur, pixels of the input; None takes the method's default.
            method: "attribution" or "gradient"; None takes the first that the model has.
        """
        method = self.method_buttons.options[0] if method is None else method
        raw = self._raw(method, index, self._n_angles[-1] if n_angles is None else n_angles)
        per_cell = self.model.settings.size / WORK
        # the mean over a cell is a blur itself, of variance (per_cell^2 - 1) / 12
        rest = (
            max(0.0, (BLURS[method] if blur is None else blur) ** 2 - (per_cell**2 - 1) / 12) ** 0.5
            / per_cell
        )
        smooth = ndimage.gaussian_filter(raw.astype(np.float32), (0, rest, rest), mode="reflect")
        drawn = np.abs(smooth).mean(0) if method == "gradient" else smooth[0].clip(0)
        return drawn.reshape(CELLS, WORK // CELLS, CELLS, WORK // CELLS).mean((1, 3))

    def score(self, index: int) -> float:
        """tau of one image, at all of the model's angles."""
        if index not in self._scores:
            features = self.model.bank.features([self._pixels[index]], self.model.angles_)
            self._scores[index] = float(
                anomaly_score(self.model.flow_, pooled(features, self.model.settings))[0]
            )
        return self._scores[index]

    def _raw(self, method: str, index: int, n: int) -> np.ndarray:
        if (method, index, n) not in self._kept:
            if method == "attribution":
                self._attribute(index)
            else:
                self._carry_back(index, n)
        return self._kept[method, index, n]

    def _angles(self, n: int) -> list[int]:
        """Indices of n of the model's angles, as `anomaly_map` chooses them."""
        total = len(self.model.angles_)
        return [k * total // n for k in range(n)]

    def _view(self, index: int, k: int) -> Tensor:
        t = self.model.settings.transformations
        x = self._pixels[index][None].to(self.model.device).float() / 255
        return rotate(x, self.model.angles_[k], fill=t.fill, interpolation=t.interpolation)

    def _turned_back(self, maps: Tensor, k: int) -> np.ndarray:
        return (
            rotate(maps, -self.model.angles_[k], fill=self.model.settings.transformations.fill)[0]
            .cpu()
            .numpy()
        )

    def _attribute(self, index: int) -> None:
        """Attribution maps for every number of rotations, from one pass of the trunk for each angle."""
        model = self.model
        with torch.inference_mode():
            maps = [
                model.extractor.feature_maps(self._view(index, k))
                for k in range(len(model.angles_))
            ]
            features = torch.cat([model.extractor.pool(m) for m in maps])[None]  # (1, T, D)
        features, maps = (
            features.clone(),
            [[scale.clone() for scale in m] for m in maps],
        )  # inference tensors take no part in a gradient
        self._scores[index] = float(anomaly_score(model.flow_, pooled(features, model.settings))[0])
        for n in self._n_angles:
            chosen = self._angles(n)
            gradient = score_gradient(model.flow_, features[:, chosen], model.settings)[0]  # (n, D)
            total = np.zeros((1, WORK, WORK), np.float32)
            for g, k in zip(gradient, chosen, strict=True):
                drawn = torch.zeros(1, 1, WORK, WORK, device=model.device)
                for here, normal, part in zip(
                    maps[k], model.reference_, g.chunk(len(maps[k])), strict=True
                ):
                    terms = torch.einsum(
                        "nchw,c->nhw", here.float() - normal[k].to(here.device).float(), part
                    )[:, None]
                    drawn += F.interpolate(
                        terms, size=(WORK, WORK), mode="bilinear", align_corners=False
                    )
                total += self._turned_back(drawn, k) / n
            self._kept["attribution", index, n] = total.astype(np.float32)

    def _carry_back(self, index: int, n: int) -> None:
        """The signed gradient at the pixels, turned back, for n rotations: (n * 3, WORK, WORK)."""
        model, chosen = self.model, self._angles(n)
        views = [self._view(index, k) for k in chosen]
        with torch.no_grad():
            features = torch.cat([model.extractor(view) for view in views])[None]
        layers = []
        for view, g, k in zip(
            views, score_gradient(model.flow_, features, model.settings)[0], chosen, strict=True
        ):
            pixels = view.clone().requires_grad_(True)
            with torch.enable_grad():
                (at_pixels,) = torch.autograd.grad((model.extractor(pixels)[0] * g).sum(), pixels)
            layers.append(self._turned_back(F.adaptive_avg_pool2d(at_pixels, WORK), k))
        self._kept["gradient", index, n] = np.concatenate(layers).astype(np.float32)

    # ---------------------------------------------------------------- controls and figure

    def _make_controls(self, methods: list[str]) -> None:
        wide: dict[str, Any] = {"layout": {"width": "410px"}, "style": {"description_width": LABEL}}
        numbered = [
            (name if self.names.count(name) == 1 else f"{name} ({i})", i)
            for i, name in enumerate(self.names)
        ]
        self.image_slider = widgets.SelectionSlider(
            options=numbered, value=0, description="image", **wide
        )
        self.method_buttons = widgets.ToggleButtons(
            options=methods, style={"button_width": "110px"}
        )
        self.angles_slider = widgets.SelectionSlider(
            options=self._n_angles, value=self._n_angles[-1], description="rotations", **wide
        )
        self.blur_slider = widgets.FloatSlider(
            value=BLURS[methods[0]],
            min=0,
            max=24,
            step=1,
            description="blur, px",
            readout_format=".0f",
            **wide,
        )
        self.scale_buttons = widgets.ToggleButtons(
            options=[("one scale for all", True), ("each its own", False)],
            style={"button_width": "130px"},
        )
        self.top_slider = widgets.IntSlider(
            value=100, min=5, max=100, step=5, description="scale top, %", **wide
        )
        self.opacity_slider = widgets.FloatSlider(
            value=0.6, min=0, max=1, step=0.05, description="opacity", **wide
        )
        self.label = widgets.HTML()
        self.method_buttons.observe(self._change_method, names="value")
        for control in (
            self.image_slider,
            self.angles_slider,
            self.blur_slider,
            self.scale_buttons,
            self.top_slider,
            self.opacity_slider,
        ):
            control.observe(lambda _: self._show(), names="value")

    def _make_figure(self) -> None:
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
        self.figure = go.FigureWidget(figure.update_layout(height=460, width=530))
        self._drawn = 0
        self._show()

    @property
    def top(self) -> float:
        """The largest map value of all images at the method's default blur and the most rotations."""
        method, most, count = self.method_buttons.value, self._n_angles[-1], len(self._pixels)
        if method not in self._tops:
            largest = 0.0
            for k in range(count):
                if (method, k, most) not in self._kept:
                    self._say_busy(f"the common scale: {method} map {k + 1} of {count}")
                largest = max(largest, float(self.map(k, method=method).max()))
            self._tops[method] = largest or 1.0
        return self._tops[method]

    def _change_method(self, change: dict) -> None:
        before = self.blur_slider.value
        self.blur_slider.value = BLURS[change["new"]]
        if self.blur_slider.value == before:
            self._show()

    def _show(self) -> None:
        i, method, n, blur = (
            self.image_slider.value,
            self.method_buttons.value,
            self.angles_slider.value,
            self.blur_slider.value,
        )
        if (method, i, n) not in self._kept:
            self._say_busy(f"the {method} map of {self.names[i]}, {n} rotations")
        values = self.map(i, n_angles=n, blur=blur, method=method)
        low, high = float(values.min()), float(values.max())
        scale = (
            (0.0, self.top * self.top_slider.value / 100)
            if self.scale_buttons.value
            else (low, high if high > low else low + 1.0)
        )
        self.top_slider.disabled = not self.scale_buttons.value
        shown = np.float32(values.round(3 - int(np.floor(np.log10(scale[1] - scale[0])))))
        with self.figure.batch_update():
            if i != self._drawn:
                self.figure.data[0].source = (
                    plot_map(self._photograph(i), values, scale=scale).data[0].source
                )
                self.figure.data[2].z, self._drawn = self._outlines[i], i
            self.figure.data[1].z, self.figure.data[1].opacity = shown, self.opacity_slider.value
            colours = self.figure.layout.coloraxis
            colours.cmin, colours.cmax = scale
            own = (
                "one scale for all images" if self.scale_buttons.value else "this image's own scale"
            )
            colours.colorbar.title.text = f"map value, {own}, no unit"
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        cell = self.model.settings.size / CELLS
        self.label.value = (
            f"<b>{html.escape(self.names[i])}</b>: score tau {self.score(i):.2f}; {method} map of {n} rotation{'s' * (n > 1)}, blur {blur:.0f} px: "
            f"largest value {high:.3g} at x {cell * (column + 0.5):.0f}, y {cell * (row + 0.5):.0f} px; "
            f"{100 * float((values > sum(scale) / 2).mean()):.0f} % of the image is above half the scale"
        )

    def _say_busy(self, what: str) -> None:
        self.label.value = f"<b>computing</b> {html.escape(what)} &hellip;"

    def _photograph(self, index: int) -> np.ndarray:
        return self._pixels[index].permute(1, 2, 0).numpy()

    def __repr__(self) -> str:
        return f"LocalizationExplorer of {len(self._pixels)} images: run this cell to move its controls"


def _labelled(text: str, control: widgets.Widget) -> widgets.HBox:
    """A row of buttons with its label in the same column as those of the sliders."""
    return widgets.HBox(
        [widgets.Label(text, layout={"width": LABEL, "justify_content": "flex-end"}), control],
        layout={"width": "410px"},
    )


def _outline(mask: ArrayLike) -> np.ndarray:
    """A mask as the share of each cell that it covers, (WORK, WORK) uint8 percent; 0 at the rim, so that outlines close."""
    values = np.asarray(mask)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"masks: expected masks (H, W) or None, got shape {values.shape}")
    picture = Image.fromarray((values != 0).astype(np.float32) * 100)
    cells = np.asarray(picture.resize((WORK, WORK), Image.Resampling.BOX)).astype(np.uint8).copy()
    cells[[0, -1]] = cells[:, [0, -1]] = 0
    return cells
