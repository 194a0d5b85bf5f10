"""Every state of the threshold explorer: thresholds, the rates they guarantee, what they flag."""

from __future__ import annotations

import numpy as np

from differnet_lite.thresholds import conformal_threshold, p_values

__all__ = ["ThresholdStates"]

GRID = 120  # thresholds between the lowest and the highest score, beside the conformal ones


class ThresholdStates:
    """All that can be computed before a slider moves.

    Args:
        calibration: (n,) scores of held-out normal images, ascending.
        scores: (N,) scores of the images to judge.

    Attributes:
        alphas: rates that n scores can guarantee, ascending: k / (n + 1), (n + 1,).
        thetas: thresholds, ascending, (M,).
        guaranteed: the rate that each threshold guarantees, (M,).
        flagged: whether an image is flagged, (M, N).
        logarithmic: whether all scores are positive, so that the axis may be logarithmic.
        ends: of the axis of scores.
    """

    def __init__(self, calibration: np.ndarray, scores: np.ndarray) -> None:
        both = np.concatenate([calibration, scores])
        n = len(calibration)
        self.alphas = np.arange(1, n + 2) / (n + 1)
        conformal = [conformal_threshold(calibration, float(a)).value for a in self.alphas[:-1]]
        self.logarithmic = bool(both.min() > 0)
        drawn = np.log(both) if self.logarithmic else both
        margin = 0.05 * float(np.ptp(drawn) or 1.0)
        grid = np.linspace(drawn.min() - margin, drawn.max() + margin, GRID)
        grid = np.exp(grid) if self.logarithmic else grid
        self.ends = (grid[0], grid[-1])
        self.thetas = np.unique(np.concatenate([grid, conformal]))
        self.guaranteed = p_values(calibration, self.thetas)
        self.flagged = scores >= self.thetas[:, None]

    def of_alpha(self, alpha: float) -> int:
        """The state of the smallest threshold that guarantees this rate."""
        return int(np.flatnonzero(self.guaranteed <= alpha + 1e-9)[0])

    def nearest_alpha(self, rate: float) -> float:
        """The rate nearest to this one that can be guaranteed."""
        return float(self.alphas[np.argmin(np.abs(self.alphas - rate))])
