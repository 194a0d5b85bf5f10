"""The figure of the false-alarm study: what each rule gave, against what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from differnet_course.plots import style

__all__ = ["plot_promise"]

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
    the axis stands where the rule refuses.

    Args:
        cells: of `differnet_course.experiments.promise`.
        category, detector: which of them.
        rules: some of the keys of `RULES`.
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
            for trace in _traces(rule, rows):
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


def _traces(rule: str, rows: Sequence[tuple[float, Mapping[str, Any]]]) -> list[go.Scatter]:
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
