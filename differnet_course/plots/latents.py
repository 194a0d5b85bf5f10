"""Latents (N, D) against the standard normal that the loss asks for."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from scipy.stats import norm

from differnet_course.plots import style

__all__ = ["plot_covariance", "plot_qq"]


def plot_qq(z: ArrayLike) -> go.Figure:
    """Quantiles of latents (N, D) against the standard normal's, all dimensions pooled."""
    latents = _latents(z)
    edge = -norm.ppf(0.5 / latents.size)
    # even in the quantile: the tails are not lost
    theory = np.linspace(-edge, edge, min(style.MAX_POINTS, latents.size))
    sample = np.quantile(latents, norm.cdf(theory))
    label = f"all {latents.shape[1]} dimensions"
    hover = f"{label}<br>normal %{{x:.2f}}<br>latents %{{y:.2f}}<extra></extra>"
    drawn = style.curve(theory.round(4), sample.round(4), label, style.BLUE, dash="solid", width=3)
    figure = go.Figure(drawn.update(hovertemplate=hover))
    figure.add_trace(style.reference_line([-edge, edge], [-edge, edge], "standard normal"))
    figure.update_xaxes(title_text="standard normal quantile (standard deviations)")
    figure.update_yaxes(title_text="quantile of z (no unit)")
    mean = style.with_minus(latents.mean(), ".3f")
    subtitle = f"mean {mean}, standard deviation {latents.std():.3f}; N = {len(latents)}"
    style.titled(figure, "Latents against the standard normal", subtitle)
    return figure.update_layout(style.SQUARE, legend=style.legend_inside("left", "top"))


def plot_covariance(z: ArrayLike, *, n: int = 64) -> go.Figure:
    """Correlations between the first n dimensions of latents (N, D).

    The diagonal, always 1, is left blank, and so is a dimension that does not vary.
    """
    latents = _latents(z)
    centred = latents[:, :n] - latents[:, :n].mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(norms > 0, norms, np.nan)
    correlation = unit.T @ unit
    np.fill_diagonal(correlation, np.nan)
    size = np.abs(correlation[np.isfinite(correlation)])
    limit = max(0.1, math.ceil(10 * size.max(initial=0)) / 10)
    heat = go.Heatmap(
        z=np.float32(correlation.round(3)),
        zmin=-limit,
        zmax=limit,
        zmid=0,
        colorscale="RdBu",
        reversescale=True,
        hoverongaps=False,
        colorbar=style.colour_bar("correlation (no unit)"),
        hovertemplate="dimensions %{x} and %{y}<br>correlation %{z:.2f}<extra></extra>",
    )
    axis = {"title_text": "latent dimension (index)", "constrain": "domain", "showgrid": False}
    figure = go.Figure(heat).update_xaxes(axis)
    figure.update_yaxes(axis, scaleanchor="x", autorange="reversed")
    mean = f"{size.mean():.3f}" if len(size) else "none"
    chance = math.sqrt(2 / (math.pi * max(1, len(latents) - 1)))
    subtitle = f"mean |r| {mean}; by chance at N = {len(latents)}: {chance:.3f}"
    style.titled(figure, f"Correlation of {len(correlation)} latent dimensions", subtitle)
    return figure.update_layout(width=490, height=440)


def _latents(z: ArrayLike) -> np.ndarray:
    latents = np.asarray(z, dtype=float)
    if latents.ndim != 2 or len(latents) < 2 or not np.isfinite(latents).all():
        raise ValueError(
            f"z: expected finite latents (N, D) with N >= 2, got shape {latents.shape}; "
            "put rotations into the first axis"
        )
    return latents
