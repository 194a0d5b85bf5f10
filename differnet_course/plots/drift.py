"""A stream of scores: the evidence, image by image, that the line has changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from differnet_course.drift import Drift
from differnet_course.plots.style import (
    BLUE,
    GREY,
    MAX_POINTS,
    VERMILLION,
    legend_inside,
    literal,
    titled,
)
from differnet_lite.oldchecks import checked

__all__ = ["plot_drift"]


@checked
def plot_drift(drift: Drift, *, names: Sequence[str] | None = None) -> go.Figure:
    """The martingale of a stream on a logarithmic axis, the bar of the alarm, and the first alarm.

    Of more than 200 images every so many-th is drawn, and that of the alarm.

    Args:
        drift: see `drift_test`.
        names: N names of images for the hover text; None numbers them.

    Raises:
        ValueError: there is no image, or the number of names is another.
    """
    n, alarm = len(drift.log_martingale), drift.alarm
    if not n:
        raise ValueError("drift: expected a stream of at least one image, got none")
    names = [f"image {t + 1}" for t in range(n)] if names is None else list(names)
    if len(names) != n:
        raise ValueError(f"names: expected {n}, one for each image, got {len(names)}")
    shown = np.linspace(0, n - 1, min(n, MAX_POINTS)).round()
    t = np.union1d(shown, shown[:1] if alarm is None else [alarm]).astype(int)
    capital = np.exp(np.clip(drift.log_martingale, -690, 690))  # what a float can still hold
    bar, figure = 1 / drift.delta, go.Figure()
    figure.add_scatter(
        x=t + 1,
        y=capital[t],
        mode="lines",
        name="evidence M",
        line={"color": BLUE, "width": 2},
        text=[literal(names[i]) for i in t],
        hovertemplate="%{text}, the %{x}-th<br>M = %{y:.3g}<extra></extra>",
    )
    figure.add_scatter(
        x=[1, n],
        y=[bar, bar],
        mode="lines",
        name=f"alarm at 1/δ = {bar:.4g}",
        line={"color": GREY, "dash": "dash", "width": 1.5},
        hoverinfo="skip",
    )
    if alarm is not None:
        figure.add_scatter(
            x=[alarm + 1],
            y=[capital[alarm]],
            mode="markers",
            name="first alarm",
            text=[literal(names[alarm])],
            marker={"color": VERMILLION, "symbol": "diamond", "size": 11},
            hovertemplate="first alarm: %{text}, the %{x}-th<extra></extra>",
        )
    decades = np.ptp(np.log10(np.append(capital[t], bar)))
    figure.update_xaxes(title_text="images, in the order in which they came")
    figure.update_yaxes(
        title_text="evidence of a change, M (no unit, logarithmic)",
        type="log",
        dtick=max(1, int(np.ceil(decades / 8))),
        exponentformat="power",
    )
    said = "no alarm" if alarm is None else f"first alarm at image {alarm + 1}"
    promise = f"a false alarm in the whole stream: at most {drift.delta:.3g}; {n} images"
    return titled(figure, f"Drift: {said}", promise).update_layout(
        legend=legend_inside("left", "top")
    )
