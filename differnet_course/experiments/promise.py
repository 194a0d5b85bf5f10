"""Is the promise kept? True false-alarm rates of every rule, by many repetitions on fresh normals.

Of a pool of rendered normal images n are drawn, detectors learn from them, every rule sets its
threshold, and others of the pool are judged; then the same again with another n. A rate is a mean
over repetitions, so its standard error says how well it is known for this category and detector.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

import differnet_lite
from differnet_course.experiments.normals import Pool
from differnet_course.experiments.repetitions import DETECTORS, calibrated, judged
from differnet_course.experiments.storing import write_atomically
from differnet_lite.oldchecks import whole
from differnet_lite.metrics import auroc
from differnet_lite.settings import DEFAULT, Settings

__all__ = ["ALPHAS", "SIZES", "keep_cells", "simulated_cell"]

ALPHAS = (0.1, 0.05, 0.01)
SIZES = (20, 50, 100, 200)
JUDGED = 1000  # normal images in a repetition: the others of the pool, or as many of them


def simulated_cell(
    pool: Pool,
    category: str,
    detector: str,
    n: int,
    repetitions: int,
    *,
    alphas: Sequence[float] = ALPHAS,
    settings: Settings = DEFAULT,
    seed: int = 0,
    minutes: float | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """The true false-alarm rates of all rules with n normal images, and what they detect.

    Args:
        pool: features of more than n normal images, and of test images.
        category: its name.
        detector: "mahalanobis" or "flow".
        n: normal images to learn from and to calibrate on, at least 2.
        repetitions: how often n are drawn.
        alphas: the rates asked for.
        settings: of the flow, the views, the folds and the split.
        seed: of the draws and the detectors.
        minutes: start no further repetition after these; the cell says how many there are.
        progress: whether to show a progress bar.

    Returns:
        What JSON can hold: `auroc` on the test set of the detector of all n and of the split's
        (mean, lowest, highest); `excess`, by how much the folds' detectors score new normals
        higher than that of all n (a share of the mean score); and `rates`, for each alpha and rule
        the mean true rate, its standard error over repetitions, the 10 and the 90 % quantile, how
        often it exceeds alpha, and the share of defects that is detected. All of these are None
        where the rule refuses, as the scores are too few for alpha.

    Raises:
        ValueError: n is not below the number of normal images, or a number is out of range.
    """
    whole(2)("n", n)
    whole(1)("repetitions", repetitions)
    total = len(pool.normals)
    if n >= total:
        raise ValueError(f"n: expected less than the {total} normal images of {category}, got {n}")
    test, learn = pool.test.mean(1), DETECTORS[detector]
    areas, excess, held = [], [], 0
    shares: list[list[tuple[dict, dict]]] = []  # a repetition, an alpha: of normals, of defects
    label, started = f"{category}, {detector}, n = {n}", time.monotonic()
    for r in tqdm(range(repetitions), label, disable=not progress, leave=False):
        if minutes is not None and shares and time.monotonic() - started > 60 * minutes:
            break
        order = np.random.default_rng([seed, n, r]).permutation(total)
        chosen, others = order[:n], order[n : n + JUDGED]
        own = int(np.random.default_rng([seed, n, r, 1]).integers(2**31))
        known, score = calibrated(learn, pool.normals[chosen], seed=own, settings=settings)
        normals, tested, held = (
            score(pool.normals[others].mean(1)),
            score(test),
            len(known.held_out),
        )
        defects = type(tested)(*(scores[..., pool.anomalous] for scores in tested))
        areas.append([auroc(pool.anomalous, s) for s in (tested.everyone, tested.split)])
        excess.append(normals.folds.mean() / normals.everyone.mean() - 1)
        shares.append([(judged(known, normals, a), judged(known, defects, a)) for a in alphas])
    everyone, split = np.array(areas).T
    return {
        "category": category,
        "detector": detector,
        "n": n,
        "held_out": held,
        "repetitions": len(shares),
        "judged": min(JUDGED, total - n),
        "defects": int(pool.anomalous.sum()),
        "epochs": settings.epochs if detector == "flow" else None,
        "learning_rate": settings.learning_rate if detector == "flow" else None,
        "auroc": {"all": _reach(everyone), "split": _reach(split)},
        "excess": round(float(np.mean(excess)), 4),
        "rates": [
            {"alpha": alpha, "rule": rule}
            | _summary([s[i][0][rule] for s in shares], [s[i][1][rule] for s in shares], alpha)
            for i, alpha in enumerate(alphas)
            for rule in shares[0][i][0]
        ],
        "version": differnet_lite.__version__,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _reach(values: np.ndarray) -> list[float]:
    return [round(float(x), 4) for x in (values.mean(), values.min(), values.max())]


def _summary(
    rates: Sequence[float | None], powers: Sequence[float | None], alpha: float
) -> dict[str, float | None]:
    """Over repetitions; a rule refuses in all of them or in none, as it looks at n alone."""
    names = ("mean", "error", "low", "high", "exceeds", "detected")
    if rates[0] is None:
        return dict.fromkeys(names)
    found, n = np.array(rates, dtype=float), len(rates)
    error = found.std(ddof=1) / n**0.5 if n > 1 else np.nan
    low, high = np.quantile(found, [0.1, 0.9])
    detected = np.mean(np.array(powers, dtype=float))
    values = (found.mean(), error, low, high, np.mean(found > alpha + 1e-9), detected)
    return {k: round(float(v), 5) if v == v else None for k, v in zip(names, values, strict=True)}


def keep_cells(path: Path, cells: Iterable[dict[str, Any]], command: str) -> list[dict[str, Any]]:
    """Add cells to a stored file, in place of older ones of the same category, detector and n.

    Returns:
        All cells of the file: {"cells": [...]}, one a line, each with the command that made it.
    """
    kept = json.loads(path.read_bytes())["cells"] if path.exists() else []
    new = {_key(cell): cell | {"command": command} for cell in cells}
    found = {_key(cell): cell for cell in kept} | new
    ordered = [found[key] for key in sorted(found)]
    lines = ",\n".join(json.dumps(cell) for cell in ordered)
    write_atomically(path, f'{{"cells": [\n{lines}\n]}}\n'.encode())
    return ordered


def _key(cell: dict[str, Any]) -> tuple[str, str, int]:
    return cell["category"], cell["detector"], cell["n"]
