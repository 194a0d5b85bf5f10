"""What a threshold gives: the ROC curve, and false-alarm rates obtained against those asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from scipy.stats import beta, binom
from sklearn.metrics import roc_curve

from differnet_course.plots.style import (
    BLUE,
    COLOURS,
    DASHES,
    GREY,
    MAX_POINTS,
    SQUARE,
    band,
    legend_above,
    legend_inside,
    reference_line,
    titled,
    unit_range,
    vector,
)
from differnet_lite.oldchecks import checked, rate, real, whole
from differnet_lite.metrics import auroc, bootstrap

__all__ = ["plot_calibration", "plot_rate_histograms", "plot_roc"]


@checked(n_resamples=whole(1), seed=whole(0))
def plot_roc(
    labels: ArrayLike, scores: ArrayLike, *, n_resamples: int = 200, seed: int = 0
) -> go.Figure:
    """ROC curve with a pointwise 95 % bootstrap band; the title says the AUROC and its interval.

    Band and interval come from the same resamples, drawn within each class: `metrics.bootstrap`.

    Args:
        labels: (N,) 1 anomalous, 0 normal; both present.
        scores: (N,).
        n_resamples: number of bootstrap samples.
        seed: of the resampling.

    Raises:
        ValueError: lengths differ, a class is missing, scores are not finite, or n_resamples < 1.
    """
    if n_resamples < 1:
        raise ValueError(f"n_resamples: expected at least 1, got {n_resamples}")
    grid, curves = np.linspace(0, 1, 101), []

    def area(y: np.ndarray, s: np.ndarray) -> float:
        false_alarms, detected, _ = roc_curve(y, s)
        curves.append(np.interp(grid, false_alarms, detected))
        return auroc(y, s)

    interval = bootstrap(area, labels, scores, n_resamples=n_resamples, seed=seed)
    # the last curve is the one of all images
    low, high = np.quantile(curves[:n_resamples], [0.025, 0.975], axis=0)

    y = np.asarray(labels).astype(int)
    false_alarms, detected, theta = roc_curve(y, np.asarray(scores))
    # evenly along the curve
    along = np.searchsorted(false_alarms + detected, np.linspace(0, 2, MAX_POINTS) - 1e-9)
    kept = np.unique(np.minimum(along, len(theta) - 1))
    at = ["above every score" if math.isinf(t) else f"{t:.4g}" for t in theta[kept]]
    figure = go.Figure()
    figure.add_trace(band(grid, low, high, "rgba(0,114,178,0.18)", "95 % band, pointwise"))
    figure.add_trace(reference_line([0, 1], [0, 1], "chance"))
    figure.add_scatter(
        x=false_alarms[kept].round(5),
        y=detected[kept].round(5),
        mode="lines",
        line={"color": BLUE, "width": 2.5},
        name="ROC",
        text=at,
        hovertemplate="false alarms %{x:.1%}<br>detected %{y:.1%}<br>θ %{text}<extra></extra>",
    )
    figure.update_xaxes(title_text="false-alarm rate (share of normal images)", **unit_range())
    figure.update_yaxes(
        title_text="detection rate (share of anomalies)", **unit_range(), scaleanchor="x"
    )
    subtitle = f"95 % interval; {(y == 0).sum()} normal, {(y == 1).sum()} anomalous"
    return titled(figure, f"AUROC {interval}", subtitle).update_layout(
        SQUARE, legend=legend_inside("right", "bottom")
    )


@checked
def plot_calibration(p_values: ArrayLike) -> go.Figure:
    """False-alarm rate obtained against the rate asked for, from normal images' p-values.

    On or below the diagonal the promise is kept. The grey band holds 95 % of the curves' points if
    the p-values are uniform and independent; it leaves out the chance in the calibration set.

    Args:
        p_values: (N,) p-values of normal images that were not used for calibration, in [0, 1].

    Raises:
        ValueError: not a vector of numbers in [0, 1].
    """
    p = np.sort(vector("p_values", p_values))
    if p[0] < 0 or p[-1] > 1:
        raise ValueError(f"p_values: expected numbers in [0, 1], got {p[0]:.4g}..{p[-1]:.4g}")
    n, grid = len(p), np.linspace(0, 1, 101)
    alpha = np.linspace(0, 1, MAX_POINTS + 1)
    # 1e-9: 3 / 20 is 0.15 on the grid, not above it
    obtained = np.searchsorted(p, alpha + 1e-9, side="right") / n
    low, high = binom.ppf([[0.025], [0.975]], n, grid) / n
    figure = go.Figure()
    figure.add_trace(band(grid, low, high, "rgba(118,118,118,0.18)", "95 %, if uniform"))
    figure.add_trace(reference_line([0, 1], [0, 1], "as asked"))
    figure.add_scatter(
        x=alpha.round(5),
        y=obtained.round(5),
        mode="lines",
        line={"color": BLUE, "width": 2.5, "shape": "hv"},
        name="obtained",
        hovertemplate="asked %{x:.1%}<br>obtained %{y:.1%}<extra></extra>",
    )
    figure.update_xaxes(title_text="false-alarm rate asked for (alpha)", **unit_range())
    figure.update_yaxes(title_text="false-alarm rate obtained", **unit_range(), scaleanchor="x")
    found = "; ".join(f"{a:.0%} asked: {np.mean(p <= a):.1%}" for a in (0.05, 0.1))
    return titled(figure, "False alarms on normal images", f"{found}; n = {n}").update_layout(
        SQUARE, legend=legend_inside("left", "top")
    )


@checked(alpha=rate, largest=real(above=0))
def plot_rate_histograms(
    rates: Mapping[str, np.ndarray],
    alpha: float,
    *,
    law: tuple[int, int] | None = None,
    largest: float,
) -> go.Figure:
    """Histograms of false-alarm rates over calibration sets, with the rate that was asked for.

    Args:
        rates: name and rates; what is empty is left out.
        alpha: the rate asked for.
        law: (n, k) draws the density of Beta(n + 1 - k, k), the rates of the k-th smallest of
            n scores.
        largest: end of the axis.
    """
    figure, edges = go.Figure(), np.linspace(0, largest, 51)
    middle = (edges[1:] + edges[:-1]) / 2
    for i, (name, values) in enumerate(
        (name, values) for name, values in rates.items() if len(values)
    ):
        share = np.histogram(values, edges)[0] / len(values)
        figure.add_scatter(
            x=edges.round(6),
            y=np.append(share, 0).round(5),
            mode="lines",
            fill="tozeroy",
            name=name,
            opacity=0.75,
            line={"color": COLOURS[i % 6], "dash": DASHES[i % 6], "shape": "hv", "width": 1.5},
            hovertemplate=f"{name}<br>rate %{{x:.1%}}: %{{y:.1%}} of the sets<extra></extra>",
        )
    if law is not None:
        n, k = law
        density = beta.pdf(middle, n + 1 - k, k) * (edges[1] - edges[0])
        figure.add_scatter(
            x=middle.round(6),
            y=density.round(5),
            mode="lines",
            name=f"Beta({n + 1 - k}, {k})",
            line={"color": "black", "width": 2},
        )
    figure.add_vline(
        x=alpha,
        line={"color": GREY, "dash": "dash", "width": 2},
        annotation_text=f"asked: {alpha:.0%}",
        annotation_position="top right",
    )
    figure.update_xaxes(
        title_text="true false-alarm rate of a calibration set's threshold",
        tickformat=".0%",
        range=[0, largest],
    )
    figure.update_yaxes(title_text="share of calibration sets", tickformat=".0%")
    return legend_above(figure, True)
