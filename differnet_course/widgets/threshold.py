"""The threshold explorer: what each choice of theta flags, misses, and guarantees."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from differnet_course.plots.images import jpeg
from differnet_course.plots.style import BLUE, DARK, GREY, TEMPLATE, VERMILLION, marker, spread
from differnet_course.widgets.plot import BESIDE, Plot, columns, slider_style
from differnet_lite.checks import vector
from differnet_lite.images import ImageLike
from differnet_lite.thresholds import conformal_threshold, p_values

GRID = 120  # thresholds between the lowest and the highest score, beside the conformal ones
WIDTH, HEAD, ROW = 540, 120, 36  # px: of the figure, around its rows, of a row
THUMBNAIL, CARD = 84, 96  # px: of a thumbnail, and width of its card
NEIGHBOURS = 3  # images shown on each side of theta
GROUPS = "background:white;color:{};padding:4px;display:flex;flex-wrap:wrap;gap:18px;font-size:12px"
GROUP = "display:flex;flex-wrap:wrap;gap:6px;min-height:{}px;width:{}px"


class ThresholdExplorer(widgets.HBox):
    """Drag theta, or choose the false-alarm rate, and see what is flagged.

    The two sliders are one choice seen from two sides: theta flags a share of the held-out normals,
    and the conformal guarantee of theta is alpha = (1 + #{s_i >= theta}) / (n + 1); an alpha gives
    the smallest theta that guarantees it.

    Args:
        calibration: (n,) scores of held-out normal images, positive.
        scores: (N,) scores of the images to judge, positive.
        kinds: N kinds, "good" for normal images.
        images: N images for the thumbnails, paths or arrays.
        alpha: the false-alarm rate to begin with; the nearest that n scores can guarantee is taken.

    The `value` of `theta_slider` is an index into `thetas`, (M,), ascending; that of `alpha_slider`
    is the k of the guaranteed rate k / (n + 1). `label` says in words what the state is, `flips`
    shows the images around theta.
    """

    def __init__(
        self,
        calibration: ArrayLike,
        scores: ArrayLike,
        kinds: Sequence[str],
        *,
        images: Sequence[ImageLike],
        alpha: float = 0.05,
    ) -> None:
        self.calibration = np.sort(vector("calibration", calibration))
        self.scores = vector("scores", scores)
        self.kinds = np.array(kinds)
        stems = [getattr(image, "stem", i) for i, image in enumerate(images)]
        self.names = [f"{kind} {stem}" for kind, stem in zip(kinds, stems, strict=True)]
        self.sources = [jpeg(image, THUMBNAIL, 75) for image in images]
        n = len(self.calibration)
        rates = [k / (n + 1) for k in range(1, n + 2)]
        conformal = [conformal_threshold(self.calibration, rate).value for rate in rates[:-1]]
        drawn = np.log(np.concatenate([self.calibration, self.scores]))
        margin = 0.05 * np.ptp(drawn)
        grid = np.exp(np.linspace(drawn.min() - margin, drawn.max() + margin, GRID))
        self.thetas = np.unique(np.concatenate([grid, conformal]))
        # k of the rate k / (n + 1) that each of them guarantees
        self.ranks = np.rint((n + 1) * p_values(self.calibration, self.thetas)).astype(int)
        self.figure = self._figure([float(grid[0]), float(grid[-1])])
        self.plot = Plot(self.figure)
        wide = slider_style("90px")
        options = [(f"{theta:.3g}", i) for i, theta in enumerate(self.thetas)]
        self.theta_slider = widgets.SelectionSlider(
            options=options, description="threshold θ", **wide
        )
        options = [(f"{rate:.1%}", k) for k, rate in enumerate(rates, 1)]
        self.alpha_slider = widgets.SelectionSlider(
            options=options, description="or its rate α", **wide
        )
        self.label = widgets.HTML()
        self.flips = widgets.HTML()
        self._flagged = np.zeros(0, bool)  # before the first state
        self.theta_slider.observe(lambda _: self._show(), names="value")
        self.alpha_slider.observe(lambda change: self._take(change["new"]), names="value")
        self.alpha_slider.value = 1 + int(np.argmin(np.abs(np.array(rates) - alpha)))
        self._take(self.alpha_slider.value)
        controls = [self.theta_slider, self.alpha_slider, self.label]
        super().__init__(columns(controls, [self.plot, self.flips]), layout=BESIDE)

    @property
    def theta(self) -> float:
        """The threshold shown."""
        return float(self.thetas[self.theta_slider.value])

    def _take(self, k: int) -> None:
        """Take the smallest theta that guarantees k / (n + 1), unless theta does so already."""
        if self.ranks[self.theta_slider.value] != k:
            self.theta_slider.value = int(np.flatnonzero(self.ranks <= k)[0])

    def _show(self) -> None:
        k = int(self.ranks[self.theta_slider.value])
        self.alpha_slider.value = k
        n = len(self.calibration)
        flagged = self.scores >= self.theta
        good = self.kinds == "good"
        counts = [[(~flagged & rows).sum(), (flagged & rows).sum()] for rows in (good, ~good)]
        region, line = self.figure.layout.shapes
        region.x0 = line.x0 = line.x1 = self.theta
        self.figure.data[-1].text = [[f"<b>{value}</b>" for value in row] for row in counts]
        self.figure.layout.annotations[0].x = np.log10(self.theta)
        self.figure.layout.annotations[0].text = f"θ = {self.theta:.3g}"
        self.plot.draw()
        promise = f"guarantees α ≤ {k / (n + 1):.1%}" if k <= n else "guarantees nothing"
        parts = [f"θ = {self.theta:.3g}, {promise} (n = {n})"]
        words = ("normal images: false alarms", "anomalies: detected")
        for name, (passed, caught) in zip(words, counts, strict=True):
            if passed + caught:
                share = caught / (passed + caught)
                parts.append(f"{name} {caught} of {passed + caught}, {share:.1%}")
        self.label.value = "; ".join(parts)
        self.flips.value = self._cards(flagged)
        self._flagged = flagged

    def _figure(self, ends: Sequence[float]) -> go.Figure:
        """The figure before theta is set: shade, rows of marks, line; the confusion matrix."""
        medians = {kind: np.median(self.scores[self.kinds == kind]) for kind in set(self.kinds)}
        texts = np.array([escape(name) for name in self.names], object)
        numbers = np.array([f"held out {i}" for i in range(len(self.calibration))], object)
        rows = [("held out", self.calibration, numbers)]
        for kind in sorted(medians, key=lambda kind: (kind != "good", medians[kind])):
            chosen = self.kinds == kind
            rows.append((escape(kind), self.scores[chosen], texts[chosen]))
        figure = make_subplots(1, 2, column_widths=[0.7, 0.3], horizontal_spacing=0.18)
        for k, row in enumerate(rows):
            figure.add_trace(_marks(k, *row), row=1, col=1)
        place = {"row": 1, "col": 1}
        figure.add_vrect(*ends, fillcolor="rgba(230,159,0,0.16)", line_width=0, **place)
        figure.add_vline(ends[0], line={"color": "black", "dash": "dash", "width": 2}, **place)
        # the confusion matrix without its numbers: right decisions blue, wrong ones orange
        cells = go.Heatmap(z=[[0, 1], [1, 0]], x=[0, 1], y=[0, 1], zmin=0, zmax=1, hoverinfo="skip")
        cells.update(texttemplate="%{text}", textfont={"size": 22, "color": DARK}, xgap=3, ygap=3)
        cells.update(colorscale=[[0, "#D6E9F5"], [1, "#FBDCC4"]], showscale=False)
        figure.add_trace(cells, row=1, col=2)
        height = HEAD + ROW * len(rows)
        margin = {"l": 84, "r": 8, "t": 40, "b": 52}
        figure.update_layout(template=TEMPLATE, width=WIDTH, height=height, margin=margin)
        title = "anomaly score (logarithmic); shaded: flagged"
        axis = {"type": "log", "range": np.log10(ends).tolist(), "tickformat": "~g"}
        figure.update_xaxes(axis, title_text=title, col=1)
        ticks = [
            f"{name}<br><span style='font-size:11px'>n = {len(values)}</span>"
            for name, values, _ in rows
        ]
        figure.update_yaxes(
            range=[len(rows) - 0.4, -0.6], tickvals=[*range(len(rows))], ticktext=ticks
        )
        figure.update_yaxes(showgrid=False)
        truth = {"tickvals": [0, 1], "ticktext": ["normal", "anomalous"], "autorange": "reversed"}
        bare = {"showline": False, "ticks": "", "showgrid": False, "fixedrange": True}
        decision = {"tickvals": [0, 1], "ticktext": ["passed", "flagged"], "side": "top"}
        figure.update_xaxes(bare | decision, col=2)
        figure.update_yaxes(bare | truth, range=None, col=2)
        theta = {"text": "", "font": {"size": 13, "color": "black"}, "showarrow": False}
        return figure.add_annotation(theta, x=0, y=1, yref="y domain", yanchor="bottom")

    def _cards(self, flagged: np.ndarray) -> str:
        """Three groups of thumbnails, HTML: next to be flagged, next to pass, just flipped."""
        before = self._flagged if len(self._flagged) else flagged
        order = np.argsort(self.scores, kind="stable")
        below, above, flipped = (
            order[chosen[order]] for chosen in (~flagged, flagged, flagged != before)
        )
        groups = {
            "Next to be flagged, as θ falls": below[-NEIGHBOURS:],
            "Next to pass, as θ rises": above[:NEIGHBOURS],
            f"Just flipped ({len(flipped)})": flipped[: 2 * NEIGHBOURS],
        }
        row = GROUP.format(THUMBNAIL + 40, NEIGHBOURS * (CARD + 6) - 6)
        html = ""
        for title, shown in groups.items():
            cards = "".join(self._card(i, bool(flagged[i])) for i in shown) or "<i>none</i>"
            html += f"<div><b>{title}</b><div style='{row}'>{cards}</div></div>"
        return f"<div style='{GROUPS.format(DARK)}'>{html}</div>"

    def _card(self, i: int, flagged: bool) -> str:
        """Thumbnail, name and decision; wrong ones have a thick vermillion frame."""
        wrong = flagged == (self.kinds[i] == "good")
        verdicts = ("missed", "false alarm") if wrong else ("passed", "detected")
        frame = f"3px solid {VERMILLION}" if wrong else f"3px dotted {BLUE}"
        return (
            f"<div style='width:{CARD}px;text-align:center;overflow-wrap:anywhere'>"
            f"<img src='{self.sources[i]}' alt='' style='border:{frame}'>"
            f"<div>{escape(self.names[i])}<br><b>{'✗' if wrong else '✓'} {verdicts[flagged]}</b>"
            "</div></div>"
        )

    def __repr__(self) -> str:
        return f"ThresholdExplorer of {len(self.scores)} images: run this cell to move its sliders"


def _marks(row: int, name: str, values: np.ndarray, text: np.ndarray) -> go.Scatter:
    """A mark for each score, spread within its row."""
    y = row + spread(len(values), 0.5)
    marks = go.Scatter(x=values, y=y, mode="markers", text=text, showlegend=False, name=name)
    marks.hovertemplate = "%{text}<br>score %{x:.4g}<extra></extra>"
    if row:
        look = marker(row - 1, line={"color": DARK, "width": 0.5})
    else:
        look = {"color": GREY, "symbol": "circle-open", "line": {"width": 1.5}}
    return marks.update(marker=look | {"size": 8, "opacity": 0.85})
