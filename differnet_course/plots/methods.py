"""Methods side by side: the paper's table, and by how much a defect moves each one's score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from differnet_course.plots.study_marks import HEAD, label_rows, mark_of
from differnet_course.plots.style import DARK, GREY, SKY, colour_bar, curve, literal, titled
from differnet_course.published import METHODS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["plot_published", "plot_shifts"]


def plot_published(
    table: pd.DataFrame, *, title: str = "The paper's table, image AUROC in %"
) -> go.Figure:
    """A table of AUROCs as a heat map with its numbers; the last row is the mean of each column.

    Args:
        table: AUROC, 0 to 1, categories by methods; see `experiments.published_table`.
        title: of the figure.
    """
    percent = 100 * table
    percent.loc["mean"] = percent.mean()
    heat = go.Heatmap(
        z=percent.to_numpy(),
        x=[literal(METHODS.get(method, method)) for method in table],
        y=[literal(name) for name in percent.index],
        zmin=50,
        zmax=100,
        colorscale=[[0, "white"], [1, SKY]],
        texttemplate="%{z:.1f}",
        textfont={"color": DARK, "size": 13},
        colorbar=colour_bar("AUROC, %; 50 is chance"),
        xgap=1,
        ygap=1,
        hovertemplate="%{x} on %{y}: %{z:.1f} %<extra></extra>",
    )
    subtitle = "best epoch on the test set for the trained methods; the last row is the mean"
    figure = titled(go.Figure(heat), literal(title), subtitle)
    bare = {"showgrid": False, "ticks": "", "showline": False}
    figure.update_xaxes(bare, side="top")
    figure.update_yaxes(bare, autorange="reversed")
    figure.add_hline(y=len(table) - 0.5, line={"color": DARK, "width": 2})
    height = 120 + 24 * len(percent)
    return figure.update_layout(width=760, height=height, margin={"t": 100, "b": 20})


def plot_shifts(shifts: Mapping[str, float], *, title: str = "What a defect moves") -> go.Figure:
    """By how much a defect raises the score of the same part: a mark for each method.

    Args:
        shifts: method to the score with the defect minus the score without, divided by the
            deviation over normal images.
        title: of the figure.
    """
    figure = go.Figure()
    names = [literal(METHODS.get(method, method)) for method in shifts]
    for row, (method, shift) in enumerate(shifts.items()):
        stem = curve([0, float(shift)], [row, row], "", GREY, width=1, hoverinfo="skip")
        figure.add_trace(stem.update(name=None, showlegend=False))
        figure.add_scatter(
            x=[round(float(shift), 3)],
            y=[row],
            mode="markers",
            name=names[row],
            marker=mark_of(method, list(shifts)) | {"size": 11},
            hovertemplate="%{fullData.name}: %{x:.2f} deviations<extra></extra>",
            showlegend=False,
        )
    figure.add_vline(x=1, line={"color": DARK, "dash": "dot", "width": 1.5})
    label_rows(figure, names, HEAD + 34 * len(names), "")
    axis = "score with the defect minus score without, in standard deviations of normal scores"
    figure.update_xaxes(title_text=axis)
    return titled(figure, literal(title), "dotted: as far as normal images differ among themselves")
