"""What a threshold gives: the ROC curve, and false-alarm rates obtained against those asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots
from scipy.stats import beta, binom
from sklearn.metrics import roc_curve

from differnet_course.metrics import auroc, bootstrap
from differnet_course.plots import style

GRID = np.linspace(0, 1, 101)
# rule: name, colour, symbol; filled where the rate itself is proved, open where it is measured
RULES = {
    "split": ("split conformal", style.BLUE, "circle"),
    "cross": ("detector of all", style.VERMILLION, "circle-open"),
    "cross-mean": ("mean of folds (the default)", style.ORANGE, "star-open"),
    "quantile": ("plain quantile, split", style.GREY, "triangle-up-open"),
}
HOVER = (
    "<br>%{y:.2%} on average<br>8 sets in 10: %{customdata[0]:.1%} to %{customdata[1]:.1%}"
    "<br>above alpha in %{customdata[2]:.0%} of the sets"
    "<br>defects found: %{customdata[3]:.0%}<extra></extra>"
)


def plot_roc(labels: ArrayLike, scores: ArrayLike, *, n_resamples: int = 200) -> go.Figure:
    """ROC curve with a pointwise 95 % bootstrap band; the title says the AUROC and its interval.

    Band and interval come from the same resamples, drawn within each class: `metrics.bootstrap`.

    Args:
        labels: (N,) 1 anomalous, 0 normal; both present.
        scores: (N,).
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
    at = ["above every score" if math.isinf(t) else f"{t:.4g}" for t in theta]
    spread = style.band(GRID, low, high, "rgba(0,114,178,0.18)", "95 % band, pointwise")
    drawn = style.curve(false_alarms, detected, "ROC", style.BLUE, width=2.5)
    hover = "false alarms %{x:.1%}<br>detected %{y:.1%}<br>θ %{text}<extra></extra>"
    drawn.update(text=at, hovertemplate=hover)
    figure = _unit_square(spread, "chance", drawn)
    figure.update_xaxes(title_text="false-alarm rate (share of normal images)")
    figure.update_yaxes(title_text="detection rate (share of anomalies)")
    subtitle = f"95 % interval; {(y == 0).sum()} normal, {(y == 1).sum()} anomalous"
    style.titled(figure, f"AUROC {interval}", subtitle)
    corner = {"x": 0.98, "xanchor": "right", "y": 0.03, "yanchor": "bottom"}
    return figure.update_layout(legend=corner)


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
    return figure.update_layout(legend={"x": 0.02, "xanchor": "left", "y": 0.97, "yanchor": "top"})


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
        law: (n, k) draws the density of Beta(n + 1 - k, k), the rates of the k-th smallest of
            n scores.
        largest: end of the axis.
    """
    figure = go.Figure()
    edges = np.linspace(0, largest, 51)
    for k, (name, values) in enumerate(rates.items()):
        hover = f"{name}<br>rate %{{x:.1%}}: %{{y:.1%}} of the sets<extra></extra>"
        share = np.append(np.histogram(values, edges)[0] / len(values), 0).round(5)
        drawn = style.curve(edges.round(6), share, name, style.COLOURS[k % 6], width=1.5)
        drawn.update(line={"dash": style.DASHES[k % 6], "shape": "hv"}, hovertemplate=hover)
        figure.add_trace(drawn.update(fill="tozeroy", opacity=0.75))
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


def plot_promise(
    cells: Sequence[Mapping[str, Any]],
    *,
    category: str,
    detector: str,
    rules: Sequence[str] = tuple(RULES),
) -> go.Figure:
    """True false-alarm rates over the number of normal images, a panel for each alpha.

    A mark is the mean over repetitions. Its thick line is two standard errors of that mean, its
    thin line the 10 to 90 % range of single repetitions: what *your* one set may give. A cross on
    the axis stands where the rule refuses. `cells` are of the study, `rules` keys of `RULES`.
    """
    chosen = [c for c in cells if (c["category"], c["detector"]) == (category, detector)]
    sizes = sorted({c["n"] for c in chosen})
    alphas = list(dict.fromkeys(row["alpha"] for row in chosen[0]["rates"]))
    titles = [f"asked: {alpha:.0%}" for alpha in alphas]
    figure = make_subplots(1, len(alphas), subplot_titles=titles, horizontal_spacing=0.07)
    for column, alpha in enumerate(alphas, 1):
        table = {(r["rule"], c["n"]): r for c in chosen for r in c["rates"] if r["alpha"] == alpha}
        for k, rule in enumerate(rules):
            shift = 0.8 * (k - (len(rules) - 1) / 2) / len(rules)
            rows = [(i + shift, table[rule, n]) for i, n in enumerate(sizes)]
            for trace in _promise_traces(rule, rows):
                figure.add_trace(trace, row=1, col=column)
            figure.data[-2].showlegend = column == 1
        figure.add_hline(y=alpha, line={"color": "black", "dash": "dash", "width": 1}, col=column)
    cross = _cross(style.GREY)
    name = "refuses: too few scores"
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=cross, name=name)
    ticks = {"tickvals": list(range(len(sizes))), "ticktext": [str(n) for n in sizes]}
    figure.update_xaxes(ticks, range=[-0.5, len(sizes) - 0.5], showgrid=False)
    figure.update_xaxes(title_text="normal images")
    figure.update_yaxes(tickformat="~%", rangemode="tozero")
    figure.update_yaxes(title_text="true false-alarm rate", col=1)
    words = "filled: proved to be at most alpha, on average; open: measured only"
    style.titled(figure, f"False alarms: {category}, {detector}", words)
    legend = {"orientation": "h", "y": -0.24, "x": 0, "borderwidth": 0}
    return figure.update_layout(height=440, margin_t=110, margin_b=110, legend=legend)


def _promise_traces(rule: str, rows: Sequence[tuple[float, Mapping[str, Any]]]) -> list[go.Scatter]:
    """Marks with a thin and with a thick line, and crosses where the rule refuses."""
    name, colour, symbol = RULES[rule]
    common = {"mode": "markers", "name": name, "legendgroup": rule, "showlegend": False}
    common["cliponaxis"] = False  # a rate of 0 is a whole mark, too
    measured = [row for _, row in rows if row["mean"] is not None]
    mean = [row["mean"] for row in measured]
    error = [2 * (row["error"] or 0) for row in measured]
    low, high = ([row[end] for row in measured] for end in ("low", "high"))
    marks = go.Scatter(
        common,
        x=[x for x, row in rows if row["mean"] is not None],
        y=mean,
        marker={"symbol": symbol, "color": colour, "size": 9, "line": {"width": 1.5}},
        customdata=[[row[k] for k in ("low", "high", "exceeds", "detected")] for row in measured],
        hovertemplate=name + HOVER,
    )
    thin = style.error_bars(mean, low, high, width=0, color=colour, thickness=1)
    thick = thin | {"array": error, "arrayminus": error, "thickness": 4}
    refused = [x for x, row in rows if row["mean"] is None]
    hover = f"{name}: too few scores for this alpha<extra></extra>"
    crosses = go.Scatter(common, x=refused, y=[0] * len(refused), hovertemplate=hover)
    return [
        go.Scatter(marks, error_y=thin),
        go.Scatter(marks, error_y=thick),
        crosses.update(marker=_cross(colour)),
    ]


def _cross(colour: str) -> dict[str, Any]:
    return {"symbol": "x-thin", "size": 7, "line": {"width": 1.5, "color": colour}}
