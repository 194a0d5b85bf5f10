"""What a threshold gives: the ROC curve, and false-alarm rates obtained against those asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from scipy.stats import beta, binom
from sklearn.metrics import roc_curve

from differnet_course.metrics import auroc, bootstrap
from differnet_course.plots import style

__all__ = ["plot_calibration", "plot_rate_histograms", "plot_roc"]

GRID = np.linspace(0, 1, 101)


def plot_roc(labels: ArrayLike, scores: ArrayLike, *, n_resamples: int = 200) -> go.Figure:
    """ROC curve with a pointwise 95 % bootstrap band; the title says the AUROC and its interval.

    Band and interval come from the same resamples, drawn within each class: `metrics.bootstrap`.

    Args:
        labels: (N,) 1 anomalous, 0 normal; both present.
        scores: (N,).
        n_resamples: number of bootstrap samples.
    """
    curves = []

    def area(y: np.ndarray, s: np.ndarray) -> float:
        false_alarms, detected, _ = roc_curve(y, s)
        curves.append(np.interp(GRID, false_alarms, detected))
        return auroc(y, s)

    interval = bootstrap(area, labels, scores, n_resamples=n_resamples)
    # the first curve is the one of all images
    low, high = np.quantile(curves[1:], [0.025, 0.975], axis=0)

    y = np.asarray(labels).astype(int)
    false_alarms, detected, theta = roc_curve(y, np.asarray(scores))
    # evenly along the curve
    along = np.searchsorted(false_alarms + detected, np.linspace(0, 2, style.MAX_POINTS) - 1e-9)
    drawn_at = np.unique(np.minimum(along, len(theta) - 1))
    at = ["above every score" if math.isinf(t) else f"{t:.4g}" for t in theta[drawn_at]]
    spread = style.band(GRID, low, high, "rgba(0,114,178,0.18)", "95 % band, pointwise")
    drawn = style.curve(false_alarms[drawn_at], detected[drawn_at], "ROC", style.BLUE, width=2.5)
    hover = "false alarms %{x:.1%}<br>detected %{y:.1%}<br>θ %{text}<extra></extra>"
    drawn.update(text=at, hovertemplate=hover)
    figure = _unit_square(spread, "chance", drawn)
    figure.update_xaxes(title_text="false-alarm rate (share of normal images)")
    figure.update_yaxes(title_text="detection rate (share of anomalies)")
    subtitle = f"95 % interval; {(y == 0).sum()} normal, {(y == 1).sum()} anomalous"
    style.titled(figure, f"AUROC {interval}", subtitle)
    return figure.update_layout(legend=style.legend_inside("right", "bottom"))


def plot_calibration(p_values: ArrayLike) -> go.Figure:
    """False-alarm rate obtained against the rate asked for, from normal images' p-values.

    On or below the diagonal the promise is kept. The grey band holds 95 % of the curves' points if
    the p-values are uniform and independent; it leaves out the chance in the calibration set.

    Args:
        p_values: (N,) p-values of normal images that were not used for calibration, in [0, 1].
    """
    p = np.sort(np.asarray(p_values, dtype=float))
    n = len(p)
    alpha = np.linspace(0, 1, style.MAX_POINTS + 1)
    # 1e-9: 3 / 20 is 0.15 on the grid, not above it
    obtained = np.searchsorted(p, alpha + 1e-9, side="right") / n
    low, high = binom.ppf([[0.025], [0.975]], n, GRID) / n
    spread = style.band(GRID, low, high, "rgba(118,118,118,0.18)", "95 %, if uniform")
    drawn = style.curve(alpha, obtained, "obtained", style.BLUE, width=2.5)
    hover = "asked %{x:.1%}<br>obtained %{y:.1%}<extra></extra>"
    figure = _unit_square(spread, "as asked", drawn.update(line_shape="hv", hovertemplate=hover))
    figure.update_xaxes(title_text="false-alarm rate asked for (alpha)")
    figure.update_yaxes(title_text="false-alarm rate obtained")
    shares = "; ".join(f"{a:.0%} asked: {np.mean(p <= a):.1%}" for a in (0.05, 0.1))
    style.titled(figure, "False alarms on normal images", f"{shares}; n = {n}")
    return figure.update_layout(legend=style.legend_inside("left", "top"))


def _unit_square(spread: go.Scatter, diagonal: str, drawn: go.Scatter) -> go.Figure:
    """A band, the named diagonal and a curve, on axes from 0 to 100 %."""
    figure = go.Figure([spread, style.reference_line([0, 1], [0, 1], diagonal), drawn])
    unit = {"range": [-0.01, 1.01], "tickformat": ".0%", "dtick": 0.2, "constrain": "domain"}
    figure.update_xaxes(unit).update_yaxes(unit, scaleanchor="x")
    return figure.update_layout(width=490, height=500)


def plot_rate_histograms(
    rates: Mapping[str, np.ndarray],
    alpha: float,
    *,
    law: tuple[int, int] | None = None,
    largest: float,
) -> go.Figure:
    """Histograms of false-alarm rates over calibration sets, with the rate that was asked for.

    Args:
        rates: name and rates.
        alpha: the rate asked for.
        law: (n, k) draws the density of Beta(n + 1 - k, k), the rates of the k-th smallest of
            n scores.
        largest: end of the axis.
    """
    figure = go.Figure()
    edges = np.linspace(0, largest, 51)
    for k, (name, values) in enumerate(rates.items()):
        hover = f"{name}<br>rate %{{x:.1%}}: %{{y:.1%}} of the sets<extra></extra>"
        drawn = style.steps(values, edges, name, style.COLOURS[k % 6])
        drawn.update(line={"dash": style.DASHES[k % 6], "width": 1.5}, hovertemplate=hover)
        figure.add_trace(drawn.update(opacity=0.75))
    if law is not None:
        n, k = law
        middle = (edges[1:] + edges[:-1]) / 2
        density = beta.pdf(middle, n + 1 - k, k) * (edges[1] - edges[0])
        name = f"Beta({n + 1 - k}, {k})"
        figure.add_trace(style.curve(middle.round(6), density.round(5), name, "black"))
    figure.add_vline(
        x=alpha,
        line={"color": style.GREY, "dash": "dash", "width": 2},
        annotation_text=f"asked: {alpha:.0%}",
        annotation_position="top right",
    )
    x_title = "true false-alarm rate of a calibration set's threshold"
    figure.update_xaxes(title_text=x_title, tickformat=".0%", range=[0, largest])
    figure.update_yaxes(title_text="share of calibration sets", tickformat=".0%")
    return style.legend_above(figure)
