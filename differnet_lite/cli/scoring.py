"""The command score: a table, and if wanted a CSV file, maps and a report."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from differnet_lite.cli.output import (
    check_file,
    check_maps_folder,
    escaped,
    print_table,
    write_csv,
)

if TYPE_CHECKING:
    import numpy as np

    from differnet_lite.detector import Detector
    from differnet_lite.folders import Category

__all__ = ["check_labels", "inputs", "score"]

STDOUT = ("--csv", "-")
HEADER = ("image", "score", "p_value", "anomalous", "threshold")


def score(args: argparse.Namespace) -> None:
    """Score images with a saved model, in one pass over them; see the parser for what it writes."""
    from differnet_course.baselines.registry import load_detector
    from differnet_course.plots import evaluation_report, write_overlays
    from differnet_lite.oldchecks import rate, whole
    from differnet_lite.discoveries import select
    from differnet_lite.evaluation import evaluate
    from differnet_lite.folders import DatasetError, load_category
    from differnet_lite.listing import list_images
    from differnet_lite.trunk import resolve_device

    start = time.perf_counter()
    rate("alpha", args.alpha)
    rate("fdr", 0.1 if args.fdr is None else args.fdr)
    whole(0)("top", args.top)
    resolve_device(args.device)
    files = {"--csv": args.csv, "--report": args.report}
    wanted = {option: path for option, path in files.items() if path and (option, path) != STDOUT}
    for option, path in wanted.items():
        check_file(option, path, [Path(args.model)])
    if args.csv and args.report:
        check_file("--report", args.report, [Path(args.csv)])
    if not Path(args.model).is_file():
        raise FileNotFoundError(f"{args.model}: there is no such model file")
    layout = (Path(args.images) / "train" / "good").is_dir()
    category = load_category(args.images) if layout else None
    paths = list_images(args.images) if category is None else list(category.test)
    if not paths:
        raise DatasetError(f"{args.images}: expected images in test/, found none")
    for option, path in wanted.items():
        check_file(option, path, paths if category is None else inputs(category))
    if args.maps:
        check_maps_folder(args.maps, args.images)
    if args.report:
        check_labels(category, "--report", args.images)
    model = load_detector(args.model, device=args.device)
    _check_model(model, args)

    drawing: dict[str, Any] = {"method": args.map_method} if args.map_method else {}
    rows = [("images", str(len(paths)))]
    if len(model.calibration_scores_):
        found = model.judge(paths, alpha=args.alpha, if_too_few="fallback")
        scores, theta = found.scores, f"{found.threshold.value:.9g}"
        flags = found.anomalous if args.fdr is None else select(found.p_values, args.fdr)
        judged = [
            (f"{p:.6g}", str(int(flag)), theta)
            for p, flag in zip(found.p_values, flags, strict=True)
        ]
        rows += [("flagged", str(int(flags.sum()))), ("threshold", str(found.threshold))]
        if args.fdr is not None:
            rows[-2:] = [("selected", _selection(flags, args.fdr, len(model.calibration_scores_)))]
        if category is not None and category.labels.any() and not category.labels.all():
            maps, options = bool(args.report), drawing if args.report else {}
            result = evaluate(
                model, category, alpha=args.alpha, maps=maps, scores=scores, **options
            )
            rows = result.table()
            if args.report:
                evaluation_report(args.report, model, result, rows)  # type: ignore[arg-type]
    else:
        scores, judged = model.anomaly_scores(paths), [("", "", "")] * len(paths)
        rows += [("threshold", "none: the model was fitted without calibration")]
    if args.csv:
        named = zip(paths, scores, judged, strict=True)
        write_csv(args.csv, HEADER, [(str(p), f"{s:.9g}", *rest) for p, s, rest in named])
    if args.maps:
        drawing["alpha"] = args.alpha
        write_overlays(args.maps, model, paths, **drawing)  # type: ignore[arg-type]
    out = sys.stderr if args.csv == "-" else sys.stdout
    for i in (-scores).argsort(kind="stable")[: args.top]:
        p, flag, _ = judged[i]
        said = f"  p = {float(p):.3f}  {'ANOMALOUS' if flag == '1' else 'normal   '}" if p else ""
        print(f"{scores[i]:10.4g}{said}  {escaped(paths[i])}", file=out)
    if len(paths) > args.top:
        more = "" if args.csv else "; --csv FILE writes all"
        print(f"... and {len(paths) - args.top} more with lower scores{more}", file=out)
    print_table([*rows, ("seconds", f"{time.perf_counter() - start:.0f}")], out)


def _selection(flags: np.ndarray, fdr: float, n: int) -> str:
    """What a selection by false discovery rate says, and what it takes."""
    from differnet_lite.discoveries import fewest_discoveries

    needed = fewest_discoveries(n, len(flags), fdr)
    said = f"{int(flags.sum())} of {len(flags)}; a share of {fdr:.3g} of them may be good"
    if not flags.any() and needed > 1:
        said += (
            f"; in a batch of {len(flags)}, {needed} parts must look worse than all {n} that "
            "calibrate for any to be selected"
        )
    return said


def check_labels(category: Category | None, what: str, source: str = "") -> None:
    """Refuse what has nothing to compare with."""
    if category is None or not category.labels.any() or category.labels.all():
        raise ValueError(
            f"{what} needs a category with test/good/ and test/DEFECT/ to compare with, "
            f"{category.root if category else source} has no such labels; use --csv and --maps"
        )


def _check_model(model: Detector, args: argparse.Namespace) -> None:
    """Refuse what a model cannot draw."""
    localizer = getattr(model, "localizer", None)
    known = () if localizer is None else localizer.methods
    if args.map_method and args.map_method not in known:
        raise ValueError(f"--map-method: this {model.kind} model has maps by {list(known)} only")
    if args.report and not hasattr(model, "history_"):
        raise ValueError(f"--report shows the training of a DifferNet, and this is {model.kind}")
    if args.fdr is not None and not len(model.calibration_scores_):
        raise ValueError("--fdr needs p-values, and the model has no calibration; fit again")
    if args.report and not len(model.calibration_scores_):
        raise ValueError("--report needs a threshold, and the model has no calibration; fit again")


def inputs(category: Category) -> list[Path]:
    """All files of a category that must not be overwritten."""
    masks = [mask for mask in category.masks if mask is not None]
    return [*category.train, *category.test, *masks]
