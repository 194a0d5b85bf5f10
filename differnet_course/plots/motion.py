"""Figures that move: a play button and a slider, without a kernel, on a static page too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots
from torch import Tensor

from differnet_course.plots.flows import grid_trace, style
from differnet_course.plots.style import BLUE, DARK, GREY, VERMILLION, curve

STRIPS = 10  # of equal probability
LINES = "#b8c4cc"  # of a grid
LIMIT = 3.0  # of the axes of a motion, on both sides of 0
DENSEST = 3.4  # density at which the panel of y ends
Strip = tuple[Tensor, str]  # places z, and a colour


def plot_motion(
    frames: Mapping[str, Mapping[str, tuple[Tensor, Tensor]]],
    *,
    title: str,
    shown: str,
    hues: Sequence[Tensor],
) -> go.Figure:
    """Points and a grid that a flow moves, a panel for each thing that moves.

    Args:
        frames: label to panel to points (N, 2) and grid lines (L, P, 2).
        shown: label of the frame that is drawn first.
        hues: for each panel (N,), an angle for each point, -pi to pi: its colour in all frames.
    """
    panels = list(frames[shown])
    figure = make_subplots(1, len(panels), subplot_titles=panels, horizontal_spacing=0.08)
    look = {"colorscale": "HSV", "cmin": -np.pi, "cmax": np.pi, "size": 6}
    for column, (panel, hue) in enumerate(zip(panels, hues, strict=True), 1):
        points, lines = frames[shown][panel]
        figure.add_trace(grid_trace(lines, LINES), row=1, col=column)
        x, y = _slim(points).T
        dots = go.Scatter(x=x, y=y, mode="markers", marker=look | {"color": _slim(hue)})
        figure.add_trace(dots.update(hoverinfo="skip"), row=1, col=column)
    moved: dict[str, list[Any]] = {}
    for label, states in frames.items():
        moved[label] = []
        for points, lines in states.values():
            grid = grid_trace(lines, LINES)
            x, y = _slim(points).T
            moved[label] += [{"x": grid.x.round(3), "y": grid.y.round(3)}, {"x": x, "y": y}]
    _animate(figure, moved, shown=shown)
    width, height = (860, 562) if len(panels) > 1 else (520, 556)
    style(figure, height=height, width=width)  # with its tabs, a page of 1280 x 720 holds it
    figure.update_layout(title=title, showlegend=False, margin={"t": 86, "b": 116})
    for column in range(1, len(panels) + 1):
        anchor = f"x{column if column > 1 else ''}"
        figure.update_xaxes(range=[-LIMIT, LIMIT], row=1, col=column)
        figure.update_yaxes(range=[-LIMIT, LIMIT], scaleanchor=anchor, row=1, col=column)
    return figure


def plot_mapping(slopes: Sequence[float], *, shown: float) -> go.Figure:
    """The squash y = 1 / (1 + exp(-k z)): z below, y at the side, the curve between.

    Ten strips of equal probability keep their colours; an area is as large in both panels. A frame
    for each slope k; `shown` is drawn first.
    """
    edges = torch.distributions.Normal(0.0, 1.0).icdf(torch.linspace(0, 1, STRIPS + 1))
    ends = edges.clamp(-3.2, 3.2).tolist()
    colours = sample_colorscale("Cividis", np.linspace(0, 1, STRIPS).tolist())
    strips = [
        (torch.linspace(low, high, 9), colour)
        for low, high, colour in zip(ends[:-1], ends[1:], colours, strict=True)
    ]
    areas = [_area(z, _normal(z), colour) for z, colour in strips]
    figure = go.Figure([area.update(yaxis="y2") for area in areas])
    states = {_says(k): _squashed(k, strips) for k in slopes}
    figure.add_traces(states[_says(shown)])
    _animate(figure, states, shown=_says(shown), first=STRIPS, milliseconds=250)
    style(figure, height=586, width=800)  # with the slider it fits a page of 1280 x 720
    # of 720 x 410 px; an area has as many pixels below as at the side
    across, up = 0.615, 0.66
    below, side = 0.21, 0.231
    figure.update_layout(
        title="Ten strips keep their areas; above k = √2 the peak of z is a valley of y",
        showlegend=False,
        margin={"l": 60, "r": 20, "t": 60, "b": 116},
        xaxis={"range": [-3.2, 3.2], "domain": [1 - across, 1], "anchor": "y2"},
        yaxis={"range": [0, 1], "domain": [1 - up, 1], "anchor": "x2"},
        yaxis2={"range": [0, 0.45], "domain": [0, below], "anchor": "x"},
        xaxis2={"range": [DENSEST, 0], "domain": [0, side], "anchor": "y"},
    )
    names = {"xaxis": "z", "yaxis": "y", "yaxis2": "p_Z(z)", "xaxis2": "p_Y(y)"}
    for axis, name in names.items():
        figure.layout[axis].title = {"text": name, "standoff": 4}
    text = "dashed: the factor<br>|dz/dy| forgotten"
    note = {"text": text, "font": {"color": VERMILLION}, "showarrow": False, "align": "left"}
    return figure.add_annotation(note, x=0, y=0.1, xref="paper", yref="paper", xanchor="left")


def _squashed(k: float, strips: Sequence[Strip]) -> list[go.Scatter]:
    """What moves with the slope: the strips of y, the curve, the guides, the forgotten factor."""
    traces = []
    guides = []
    for z, colour in strips:
        y = torch.sigmoid(k * z)
        area = _area(y, _normal(z) / (k * y * (1 - y)), colour)
        traces.append(area.update(x=area.y, y=area.x, xaxis="x2"))
        right, top = float(z[-1]), float(y[-1])
        guides += [[right, 0.0], [right, top], [-3.2, top], [float("nan")] * 2]
    line = torch.linspace(-3.2, 3.2, 61)
    squash = _slim(torch.sigmoid(k * line))
    x, y = _slim(guides[:-4]).T  # none at the end
    traces.append(curve(x, y, None, GREY, width=1, dash="dot"))
    traces.append(curve(_slim(line), squash, None, BLUE, width=3))
    forgotten = curve(_slim(_normal(line)), squash, None, VERMILLION, dash="dash", xaxis="x2")
    return [trace.update(hoverinfo="skip") for trace in (*traces, forgotten)]


def _says(k: float) -> str:
    """The label of a slope: what the density has at 0.5, and the two integrals."""
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    y = torch.sigmoid(k * z)
    density = _normal(z) / (k * y * (1 - y))
    shape = "flat" if abs(k * k - 2) < 0.01 else "a peak" if k * k < 2 else "a valley"
    right, wrong = (torch.trapezoid(p, y).item() for p in (density, _normal(z)))
    return f"k = {k:.2f}: {shape} at 0.5; area {right:.2f}, without the factor {wrong:.2f}"


def _normal(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z**2) / (2 * torch.pi) ** 0.5


def _area(x: Tensor, height: Tensor, colour: str) -> go.Scatter:
    """What lies below a curve, filled."""
    zero = torch.zeros(1)
    look = {"fill": "toself", "fillcolor": colour, "line": {"width": 0}, "mode": "lines"}
    outline = {
        "x": _slim(torch.cat([x[:1], x, x[-1:]])),
        "y": _slim(torch.cat([zero, height, zero])),
    }
    return go.Scatter(look | outline, hoverinfo="skip")


def _slim(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float32).round(3)


def _animate(
    figure: go.Figure,
    frames: Mapping[str, Sequence[Any]],
    *,
    shown: str,
    milliseconds: int = 150,
    first: int = 0,
) -> None:
    """Add frames, a slider that stands at `shown`, and buttons that play both ways; in place.

    Frames are label to the traces first, first + 1, ...; each lasts so many milliseconds.
    """
    labels = list(frames)
    figure.frames = [
        go.Frame(name=label, data=list(traces), traces=list(range(first, first + len(traces))))
        for label, traces in frames.items()
    ]
    timing = {"frame": {"duration": milliseconds, "redraw": True}, "transition": {"duration": 0}}
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    at_once["transition"] = {"duration": 0}
    steps = [{"label": x, "method": "animate", "args": [[x], at_once]} for x in labels]
    slider = {
        "steps": steps,
        "active": labels.index(shown),
        "x": 0.43,
        "len": 0.57,
        "y": 0,
        "pad": {"t": 48},
        "ticklen": 0,
        "font": {"color": "rgba(0,0,0,0)", "size": 1},  # the label above is enough
        "currentvalue": {"font": {"size": 14, "color": DARK}, "xanchor": "left"},
    }
    ways = {"▶ play": labels, "◀ back": labels[::-1], "❚❚": [None]}
    buttons = [
        {"label": name, "method": "animate", "args": [way, timing if way != [None] else at_once]}
        for name, way in ways.items()
    ]
    menu = {"type": "buttons", "direction": "left", "buttons": buttons, "showactive": False}
    menu |= {"x": 0, "xanchor": "left", "y": 0, "yanchor": "top", "pad": {"t": 58}}
    figure.update_layout(sliders=[slider], updatemenus=[menu])
