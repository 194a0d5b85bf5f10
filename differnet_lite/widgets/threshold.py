"""An explorer of the threshold: what each choice of theta flags, misses, and guarantees."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from differnet_lite.data.images import ImageLike, as_rgb
from differnet_lite.plots.images import jpeg_bytes, jpeg_uri
from differnet_lite.plots.style import (
    BLUE,
    COLOURS,
    DARK,
    GREY,
    SYMBOLS,
    TEMPLATE,
    VERMILLION,
)
from differnet_lite.thresholding import conformal_threshold, p_values

__all__ = ["ThresholdExplorer"]

THUMBNAIL = 60  # px
NEIGHBOURS = 3  # images shown on each side of theta
HELD_OUT = "held out"  # the row of the calibration scores


class ThresholdExplorer(widgets.VBox):
    """Drag theta, or choose the false-alarm rate, and see what is flagged.

    The two sliders are one choice seen from two sides: theta flags a share of the held-out normals, and
    the conformal guarantee of theta is alpha = (1 + #{s_i >= theta}) / (n + 1); an alpha gives the
    smallest theta that guarantees it. Every state is computed when the explorer is made.

    Args:
        calibration: (n,) scores of held-out normal images.
        scores: (N,) scores of the images to judge.
        kinds: N kinds, "good" for normal images; None takes all images for normal ones, and the
            explorer then shows false alarms alone.
        images: N images for the thumbnails, paths or arrays; None shows names alone.
        names: N names; None takes kind and file name of paths, else a number.
        alpha: the false-alarm rate to begin with; the nearest that n scores can guarantee is taken.

    Attributes:
        theta_slider: the control of theta; its `value` is an index into `thetas`.
        alpha_slider: the control of the guaranteed false-alarm rate; its `value` is one of `alphas`.
        thetas: all values that the first slider can take, ascending.
        alphas: all rates that the second one can take, ascending: k / (n + 1).
        label: says in words what the state is.
        flips: thumbnails of the images that have just flipped, and of those that would be next.
        figure: a Plotly FigureWidget: the distributions with theta, and the confusion matrix.

    Raises:
        ValueError: lengths differ, there is no score, or one is not finite.
    """

    def __init__(
        self,
        calibration: ArrayLike,
        scores: ArrayLike,
        kinds: Sequence[str] | None = None,
        *,
        images: Sequence[ImageLike] | None = None,
        names: Sequence[str] | None = None,
        alpha: float = 0.05,
    ) -> None:
        self.calibration = np.sort(np.asarray(calibration, dtype=float).ravel())
        self.scores = np.asarray(scores, dtype=float).ravel()
        count = len(self.scores)
        self.kinds = np.array(["good"] * count if kinds is None else [str(kind) for kind in kinds])
        self.names = _names(images, self.kinds) if names is None else [str(name) for name in names]
        lengths = [
            count,
            len(self.kinds),
            len(self.names),
            count if images is None else len(images),
        ]
        if not count or not len(self.calibration) or len(set(lengths)) > 1:
            raise ValueError(
                f"expected at least one score, as many kinds, names and images, and calibration scores; "
                f"got {lengths} of the four, and {len(self.calibration)} calibration scores"
            )
        every = np.concatenate([self.calibration, self.scores])
        if not np.isfinite(every).all():
            raise ValueError(
                f"expected finite scores, got {int((~np.isfinite(every)).sum())} that are not"
            )
        self.anomalous = self.kinds != "good"
        self.thumbnails = [
            "" if images is None else _thumbnail(image) for image in (images or [None] * count)
        ]  # type: ignore[list-item]

        self._logarithmic = bool(every.min() > 0)
        n = len(self.calibration)
        self.alphas = np.arange(1, n + 2) / (n + 1)
        conformal = [
            conformal_threshold(self.calibration, float(a)).value for a in self.alphas[:-1]
        ]
        margin = 0.05 * float(np.ptp(np.log(every) if self._logarithmic else every) or 1.0)
        if self._logarithmic:
            low, high = every.min() * np.exp(-margin), every.max() * np.exp(margin)
            grid = np.geomspace(low, high, 120)
        else:
            low, high = every.min() - margin, every.max() + margin
            grid = np.linspace(low, high, 120)
        self.thetas = np.unique(np.concatenate([grid, conformal]))
        self.guaranteed = p_values(self.calibration, self.thetas)  # alpha of each theta
        self.flagged = self.scores >= self.thetas[:, None]  # (states, N)

        wide: dict[str, Any] = {
            "layout": {"width": "480px"},
            "style": {"description_width": "170px"},
            "continuous_update": True,
        }
        self.theta_slider = widgets.SelectionSlider(
            options=[(f"{theta:.3g}", i) for i, theta in enumerate(self.thetas)],
            description="threshold θ",
            **wide,
        )
        self.alpha_slider = widgets.SelectionSlider(
            options=[(f"{a:.1%}", float(a)) for a in self.alphas],
            description="or false-alarm rate α",
            **wide,
        )
        self.label, self.flips = widgets.HTML(), widgets.HTML()
        self.figure = go.FigureWidget(self._draw((low, high)))
        self._was, self._busy = -1, False
        self.theta_slider.observe(lambda change: self._moved(change["new"]), names="value")
        self.alpha_slider.observe(lambda change: self._chosen(change["new"]), names="value")
        self._chosen(float(self.alphas[np.argmin(np.abs(self.alphas - alpha))]))
        sliders = widgets.HBox(
            [self.theta_slider, self.alpha_slider], layout={"flex_flow": "row wrap"}
        )
        super().__init__([sliders, self.label, self.figure, self.flips])

    @property
    def theta(self) -> float:
        """The threshold shown."""
        return float(self.thetas[self.theta_slider.value])

    def confusion(self) -> np.ndarray:
        """Counts, (2, 2): rows normal and anomalous, columns passed and flagged."""
        flagged = self.flagged[self.theta_slider.value]
        return np.array(
            [
                [(~flagged[rows]).sum(), flagged[rows].sum()]
                for rows in (~self.anomalous, self.anomalous)
            ]
        )

    # ---------------------------------------------------------------- callbacks

    def _chosen(self, alpha: float) -> None:
        """The alpha slider moved: take the smallest theta that guarantees this rate."""
        if not self._busy:
            self._move(int(np.flatnonzero(self.guaranteed <= alpha + 1e-9)[0]))

    def _moved(self, state: int) -> None:
        if not self._busy:
            self._move(state)

    def _move(self, state: int) -> None:
        """Set both sliders to one state, and show it once."""
        self._busy = True
        try:
            self.theta_slider.value = state
            self.alpha_slider.value = float(
                self.alphas[np.argmin(np.abs(self.alphas - self.guaranteed[state]))]
            )
        finally:
            self._busy = False
        self._show()

    def _show(self) -> None:
        state, theta = self.theta_slider.value, self.theta
        counts = self.confusion()
        region, line, matrix = self.figure.data[0], self.figure.data[-2], self.figure.data[-1]
        right = region.x[1]
        with self.figure.batch_update():
            region.x = [theta, right, right, theta]
            line.x = [theta, theta]
            matrix.text = [[f"<b>{value}</b>" for value in row] for row in counts[: len(matrix.y)]]
            self.figure.layout.annotations[0].x = np.log10(theta) if self._logarithmic else theta
            self.figure.layout.annotations[0].text = f"θ = {theta:.3g}"
        guaranteed = self.guaranteed[state]
        promise = f"guarantees α ≤ {guaranteed:.1%}" if guaranteed < 1 else "guarantees nothing"
        sentence = [f"θ = {theta:.3g}, {promise} (n = {len(self.calibration)})"]
        for name, (passed, caught) in zip(
            ("normal images: false alarms", "anomalies: detected"), counts, strict=True
        ):
            if passed + caught:
                sentence.append(
                    f"{name} {caught} of {passed + caught}, {caught / (passed + caught):.1%}"
                )
        self.label.value = "; ".join(sentence)
        self.flips.value = self._strip(state)
        self._was = state

    # ---------------------------------------------------------------- drawing

    def _draw(self, ends: tuple[float, float]) -> go.Figure:
        """The figure of all states; the first and the last two traces and the first annotation are what moves."""
        order = sorted(
            set(self.kinds),
            key=lambda kind: (kind != "good", np.median(self.scores[self.kinds == kind]), kind),
        )
        figure = make_subplots(1, 2, column_widths=[0.74, 0.26], horizontal_spacing=0.12)
        rows = [
            (HELD_OUT, self.calibration, [f"held out {i}" for i in range(len(self.calibration))])
        ]
        for kind in order:
            chosen = np.flatnonzero(self.kinds == kind)
            rows.append((kind, self.scores[chosen], [html.escape(self.names[i]) for i in chosen]))
        top, bottom = -0.6, len(rows) - 0.4
        figure.add_scatter(
            x=[ends[1]] * 4,
            y=[top, top, bottom, bottom],
            fill="toself",
            fillcolor="rgba(230,159,0,0.16)",
            mode="lines",
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            row=1,
            col=1,
        )
        for row, (name, values, text) in enumerate(rows):
            jitter = 0.5 * ((np.arange(len(values)) * (np.sqrt(5) - 1) / 2) % 1 - 0.5)
            marker: dict[str, Any] = {
                "color": GREY,
                "symbol": "circle-open",
                "line": {"width": 1.5},
            }
            if row:
                colour, symbol = (
                    COLOURS[(row - 1) % len(COLOURS)],
                    SYMBOLS[(row - 1) % len(SYMBOLS)],
                )
                marker = {"color": colour, "symbol": symbol, "line": {"color": DARK, "width": 0.5}}
            figure.add_scatter(
                x=values,
                y=row + jitter,
                mode="markers",
                name=html.escape(name),
                text=text,
                showlegend=False,
                marker=marker | {"size": 8, "opacity": 0.85},
                hovertemplate="%{text}<br>score %{x:.4g}<extra></extra>",
                row=1,
                col=1,
            )
        figure.add_scatter(
            x=[ends[1]] * 2,
            y=[top, bottom],
            mode="lines",
            line={"color": "black", "dash": "dash", "width": 2},
            hoverinfo="skip",
            showlegend=False,
            row=1,
            col=1,
        )
        truth = ["normal", "anomalous"] if self.anomalous.any() else ["normal"]
        figure.add_heatmap(
            z=[[0, 1], [1, 0]][: len(truth)],
            x=[0, 1],
            y=list(range(len(truth))),
            text=[["", ""]] * len(truth),
            texttemplate="%{text}",
            textfont={"size": 22, "color": DARK},
            colorscale=[[0, "#D6E9F5"], [1, "#FBDCC4"]],
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=3,
            ygap=3,
            hoverinfo="skip",
            row=1,
            col=2,
        )
        ticks = [
            f"{html.escape(name)}<br><span style='font-size:11px'>n = {len(values)}</span>"
            for name, values, _ in rows
        ]
        figure.update_layout(
            template=TEMPLATE,
            width=920,
            height=150 + 52 * len(rows),
            margin={"l": 110, "r": 20, "t": 40, "b": 56},
        )
        scale = (
            {"type": "log", "range": np.log10(ends).tolist(), "tickformat": "~g"}
            if self._logarithmic
            else {"range": list(ends)}
        )
        figure.update_xaxes(
            title_text="anomaly score" + " (logarithmic)" * self._logarithmic + "; shaded: flagged",
            row=1,
            col=1,
            **scale,
        )
        figure.update_yaxes(
            range=[bottom, top],
            tickvals=list(range(len(rows))),
            ticktext=ticks,
            showgrid=False,
            row=1,
            col=1,
        )
        bare: dict[str, Any] = {
            "showline": False,
            "ticks": "",
            "showgrid": False,
            "fixedrange": True,
            "row": 1,
            "col": 2,
        }
        figure.update_xaxes(side="top", tickvals=[0, 1], ticktext=["passed", "flagged"], **bare)
        figure.update_yaxes(
            autorange="reversed", tickvals=list(range(len(truth))), ticktext=truth, **bare
        )
        figure.add_annotation(
            x=0,
            y=1,
            xref="x",
            yref="y domain",
            yanchor="bottom",
            text="",
            showarrow=False,
            font={"size": 13, "color": "black"},
        )
        return figure

    def _strip(self, state: int) -> str:
        """Thumbnails: what has just flipped, and what would flip next on either side."""
        flagged = self.flagged[state]
        order = np.argsort(self.scores, kind="stable")
        below, above = (
            [i for i in order if not flagged[i]][-NEIGHBOURS:],
            [i for i in order if flagged[i]][:NEIGHBOURS],
        )
        flipped = (
            [] if self._was < 0 else [i for i in order if flagged[i] != self.flagged[self._was][i]]
        )
        shown, more = flipped[: 2 * NEIGHBOURS], len(flipped) - 2 * NEIGHBOURS
        rest = f"<i>and {more} more</i>" if more > 0 else ""
        groups = [
            ("Next to be flagged, as θ falls", "".join(self._card(i, False) for i in below)),
            ("Next to pass, as θ rises", "".join(self._card(i, True) for i in above)),
            (
                f"Just flipped ({len(flipped)})",
                "".join(self._card(i, flagged[i]) for i in shown) + rest,
            ),
        ]
        cells = "".join(
            f"<div style='margin-right:14px'><b>{title}</b>"
            f"<div style='display:flex;gap:4px;min-height:{THUMBNAIL + 44}px;min-width:{NEIGHBOURS * (THUMBNAIL + 34)}px'>{cards or '<i>none</i>'}</div></div>"
            for title, cards in groups
        )
        style = f"background:white;color:{DARK};padding:8px;display:flex;flex-wrap:wrap;font-size:12px;line-height:1.35"
        return f"<div style='{style}'>{cells}</div>"

    def _card(self, i: int, flagged: bool) -> str:
        """One image: its thumbnail, name, and what the decision is; wrong ones have a thick vermillion frame."""
        wrong = flagged != self.anomalous[i]
        verdict = (
            ("missed", "false alarm")[int(flagged)]
            if wrong
            else ("passed", "detected")[int(flagged)]
        )
        picture = (
            f"<img src='{self.thumbnails[i]}' width={THUMBNAIL} height={THUMBNAIL} alt=''>"
            if self.thumbnails[i]
            else ""
        )
        frame = f"3px solid {VERMILLION}" if wrong else f"3px dotted {BLUE}"
        return (
            f"<div style='width:{THUMBNAIL + 28}px;text-align:center'>"
            f"<div style='border:{frame};display:inline-block;line-height:0'>{picture}</div>"
            f"<div>{html.escape(self.names[i])}<br><b>{'✗' if wrong else '✓'} {verdict}</b></div></div>"
        )

    def __repr__(self) -> str:
        return f"ThresholdExplorer of {len(self.scores)} images: run this cell to move its sliders"


def _names(images: Sequence[ImageLike] | None, kinds: np.ndarray) -> list[str]:
    """Kind and file name where there are paths, else kind and number."""
    if images is None:
        return [f"{kind} {i}" for i, kind in enumerate(kinds)]
    return [
        f"{kind} {getattr(image, 'stem', i)}"
        for i, (kind, image) in enumerate(zip(kinds, images, strict=False))
    ]


def _thumbnail(image: ImageLike) -> str:
    """A JPEG of some 2 kB as a data URI."""
    return jpeg_uri(jpeg_bytes(as_rgb(image).resize((THUMBNAIL, THUMBNAIL)), 75))
