"""The commands score and fit with --scheduler: on a Dask cluster."""

from __future__ import annotations

import argparse
import heapq
import time
from pathlib import Path
from typing import Any

from differnet_lite.cli.output import escaped, print_table

__all__ = ["fit_there", "score_there"]


def score_there(args: argparse.Namespace) -> None:
    """Score images on a cluster into a Parquet data set; see the parser."""
    from differnet_lite.oldchecks import rate, whole

    start = time.perf_counter()
    rate("alpha", args.alpha)
    whole(0)("top", args.top)
    for option in ("csv", "maps", "map_method", "report", "fdr"):
        if getattr(args, option) is not None:
            name = option.replace("_", "-")
            raise ValueError(f"--{name}: expected without --scheduler, which writes --out alone")
    if args.out is None:
        raise ValueError("--scheduler needs --out DIR, the data set to write")
    if not Path(args.model).is_file():
        raise FileNotFoundError(f"{args.model}: there is no such model file")
    cluster = _cluster()
    parts = cluster.score_on_cluster(
        args.model,
        args.images,
        args.out,
        scheduler=args.scheduler,
        alpha=args.alpha,
        device=args.device,
    )
    best: list[tuple[float, int, str, float | None, bool | None]] = []
    n, flagged, threshold = 0, 0, None
    for table in cluster.read_parts(parts):
        for row in table.to_pylist():
            n, threshold = n + 1, row["threshold"]
            flagged += bool(row["anomalous"])
            entry = (row["score"], -n, row["image"], row["p_value"], row["anomalous"])
            (heapq.heappush if len(best) < args.top else heapq.heappushpop)(best, entry)
    for score, _, name, p, flag in sorted(best, reverse=True):
        said = "" if p is None else f"  p = {p:.3f}  {'ANOMALOUS' if flag else 'normal   '}"
        print(f"{score:10.4g}{said}  {escaped(name)}")
    if n > args.top:
        print(f"... and {n - args.top} more with lower scores, all in {escaped(args.out)}")
    theta = "none: the model was fitted without calibration"
    rows = [("images", str(n))]
    if threshold is not None:
        rows, theta = [*rows, ("flagged", str(flagged))], f"{threshold:.9g}"
    rows += [("threshold", theta), ("seconds", f"{time.perf_counter() - start:.0f}")]
    print_table(rows)


def fit_there(args: argparse.Namespace, options: dict[str, Any]) -> None:
    """Fit categories on a cluster, a model file each; see the parser."""
    from differnet_course.baselines.registry import load_detector
    from differnet_lite.oldchecks import rate

    start = time.perf_counter()
    rate("alpha", args.alpha)
    if args.checkpoint:
        raise ValueError("--checkpoint: expected without --scheduler")
    models = _cluster().fit_on_cluster(
        args.folder,
        args.out,
        scheduler=args.scheduler,
        method=args.method,
        device=args.device,
        seed=args.seed,
        **options,
    )
    rows = []
    for name, path in models.items():
        model = load_detector(path, device="cpu", progress=False)
        said = "no calibration, scores only"
        if len(model.calibration_scores_):
            said = str(model.threshold(args.alpha, if_too_few="fallback"))
        rows.append((escaped(name), f"{model.n_train_} images, {said}"))
    print_table([*rows, ("seconds", f"{time.perf_counter() - start:.0f}"), ("models", args.out)])


def _cluster() -> Any:
    """The folder of functions that need Dask and pyarrow, if they are installed."""
    import importlib.util

    missing = [name for name in ("distributed", "pyarrow") if not importlib.util.find_spec(name)]
    if missing:
        raise ValueError(
            f"--scheduler needs {' and '.join(missing)}; install with: "
            "pip install 'differnet_lite[cluster]'"
        )
    from differnet_lite import cluster

    return cluster
