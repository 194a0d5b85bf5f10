"""The commands: `differnet-lite demo | fit | score | prepare | cache`."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from differnet_lite.cli.parser import SAMPLES, build_parser

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 if all went well; 2, and one line on stderr, for bad input; 130 after Ctrl-C.
    """
    args = build_parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that cannot be shown is no error
            stream.reconfigure(errors="backslashreplace")
    run = {"demo": _demo, "fit": _fit, "score": _score, "prepare": _prepare, "cache": _cache}
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _note  # type: ignore[assignment]
        try:
            run[args.command](args)
            sys.stdout.flush()
        except BrokenPipeError:  # `... | head -1`
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (OSError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted; computed features are kept, nothing else", file=sys.stderr)
            return 130
    return 0


def _note(message: object, category: type[Warning], *_: object, **__: object) -> None:
    if issubclass(category, UserWarning):
        print(f"note: {message}", file=sys.stderr)


def _demo(args: argparse.Namespace) -> None:
    """Train on a built-in category (or any in the MVTec layout) and report."""
    from differnet_lite import DifferNet, load_category, make_sample_category
    from differnet_lite.checks import rate
    from differnet_lite.cli.output import check_output, print_table
    from differnet_lite.evaluation import evaluate
    from differnet_lite.plots import evaluation_report

    start = time.perf_counter()
    rate("--alpha", args.alpha)
    check_output("--report", args.report, [])
    model = DifferNet(args.preset, seed=args.seed, device=args.device)
    folder = make_sample_category(args.category) if args.category in SAMPLES else args.category
    category = load_category(folder)
    print(
        f"{folder}: {len(category.train)} normal images to train on, {len(category.test)} to test"
    )
    made = time.perf_counter()
    model.fit(folder)
    fitted = time.perf_counter()
    result = evaluate(model, category, alpha=args.alpha, maps=True)
    done = time.perf_counter()
    parts = (
        f"{done - start:.0f} (images {made - start:.0f}, training with features "
        f"{fitted - made:.0f}, scores and maps {done - fitted:.0f})"
    )
    rows = [*result.table(), ("seconds", parts)]
    print_table(rows)
    evaluation_report(args.report, model, result, rows)
    print(f"report: {args.report}")


def _fit(args: argparse.Namespace) -> None:
    """Train on a folder of normal photographs and save the model."""
    from differnet_lite import Transformations
    from differnet_lite.baselines import make_detector
    from differnet_lite.checks import rate
    from differnet_lite.cli.output import check_output, print_table
    from differnet_lite.data.datasets import training_images

    start = time.perf_counter()
    rate("--alpha", args.alpha)
    check_output("--out", args.out, [])
    names = ("epochs", "noise", "size", "calibration", "holdout")
    options: dict[str, Any] = {n: v for n in names if (v := getattr(args, n)) is not None}
    if args.rotations is not None:
        options["transformations"] = Transformations.grid(args.rotations)
    if args.angles is not None:
        options["transformations"] = Transformations(angles=tuple(args.angles))
    if args.method == "differnet":
        options["preset"] = args.preset
    model = make_detector(args.method, seed=args.seed, device=args.device, **options)
    images = training_images(args.folder)
    check_output("--out", args.out, [x for x in images if isinstance(x, Path)])
    model.fit(args.folder)
    model.save(args.out)
    rows = [("trained on", f"{model.n_train_} images")]
    rows.append(("calibrated on", f"{len(model.calibration_scores_)} images"))
    if len(model.calibration_scores_):
        rows.append(("threshold", str(model.threshold(args.alpha, if_too_few="fallback"))))
    rows += [("seconds", f"{time.perf_counter() - start:.0f}"), ("model", args.out)]
    print_table(rows)


def _score(args: argparse.Namespace) -> None:
    """Score images with a saved model: a table, and if wanted a CSV file, maps and a report."""
    import numpy as np

    from differnet_lite import load_category
    from differnet_lite.baselines import load_detector
    from differnet_lite.cli.output import check_output, print_table, shown, write_csv
    from differnet_lite.data.listing import list_images
    from differnet_lite.evaluation import evaluate
    from differnet_lite.feature_detector import FeatureDetector
    from differnet_lite.plots import evaluation_report, write_overlays

    start = time.perf_counter()
    model = load_detector(args.model, device=args.device)
    model.threshold(args.alpha, if_too_few="fallback")
    is_category = (Path(args.images) / "train" / "good").is_dir()
    category = load_category(args.images) if is_category else None
    paths = list(category.test) if category else list_images(args.images)
    if not paths:
        raise ValueError(f"{args.images}: a category without test images; there is none to score")
    labelled = category is not None and category.labels.any() and not category.labels.all()
    if args.report and not labelled:
        raise ValueError(
            "--report needs a category with test/good/ and test/DEFECT/ to compare with, "
            f"{args.images} has no labels; use --csv and --maps"
        )
    if (args.maps or args.report) and not isinstance(model, FeatureDetector):
        raise ValueError(f"--maps and --report: {model.kind} draws no maps of full size")
    known = model.localizer.methods if isinstance(model, FeatureDetector) else ()
    if args.map_method and args.map_method not in known:
        raise ValueError(f"--map-method: the model has no {args.map_method} maps")
    for option in ("csv", "report"):
        check_output(f"--{option}", getattr(args, option), [args.model, *paths])
    if args.maps:
        _check_maps(Path(args.maps), [Path(p) for p in paths])

    judged = model.judge(paths, alpha=args.alpha, if_too_few="fallback")
    if args.csv:
        write_csv(args.csv, paths, judged)
    method = {"method": args.map_method} if args.map_method else {}
    if args.maps:
        write_overlays(args.maps, model, paths, **method)  # type: ignore[arg-type]
    out = sys.stderr if args.csv == "-" else sys.stdout
    for i in np.argsort(-judged.scores)[: args.top]:
        word = "ANOMALOUS" if judged.anomalous[i] else "normal   "
        line = f"{judged.scores[i]:10.4g}  p = {judged.p_values[i]:.3f}  {word}  {shown(paths[i])}"
        print(line, file=out)
    if len(paths) > args.top:
        more = "" if args.csv else "; --csv FILE writes all"
        print(f"... and {len(paths) - args.top} more with lower scores{more}", file=out)
    rows = [("images", str(len(paths))), ("flagged", str(int(judged.anomalous.sum())))]
    rows.append(("threshold", str(judged.threshold)))
    if labelled:
        options = {"alpha": args.alpha, "judged": judged, "maps": bool(args.report)}
        options |= method if args.report else {}
        result = evaluate(model, category, **options)  # type: ignore[arg-type]
        rows = result.table()
        if args.report:
            evaluation_report(args.report, model, result, rows)  # type: ignore[arg-type]
    print_table([*rows, ("seconds", f"{time.perf_counter() - start:.0f}")], out)


def _check_maps(folder: Path, images: Sequence[Path]) -> None:
    """Pictures must not fall among the images that are scored."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--maps: {folder}: expected a folder, there is a file")
    if any(image.resolve().parent == folder.resolve() for image in images):
        raise ValueError(f"--maps: {folder} holds the images to score; choose another folder")


def _prepare(args: argparse.Namespace) -> None:
    """Bring a downloaded data set into the layout."""
    from differnet_lite.data.prepare import prepare_mtd, prepare_mvtec
    from differnet_lite.samples import SAMPLE_CATEGORIES, default_data_root, make_sample_category

    if args.what != "samples" and args.source is None:
        raise ValueError(
            f"prepare {args.what} needs the downloaded archive or folder; see data/README.md"
        )
    if args.what == "samples":
        for name in SAMPLE_CATEGORIES:
            print(make_sample_category(name, args.root or default_data_root()))
    elif args.what == "mvtec":
        for folder in prepare_mvtec(args.source, args.root or "data"):
            print(folder)
    elif args.split is None:
        raise ValueError(
            "prepare mtd needs --split FILE, the authors' list of training images; "
            "see data/README.md"
        )
    else:
        print(prepare_mtd(args.source, args.split, args.root or "data"))


def _cache(args: argparse.Namespace) -> None:
    """Say where features are kept and how much they take, or clear them."""
    from differnet_lite.cache import FeatureCache, default_cache

    folder = default_cache()
    files = list(folder.rglob("*.features")) if folder.is_dir() else []
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    print(f"{folder}: {len(files)} images' features, {megabytes:.0f} MB")
    if args.clear:
        FeatureCache.clear_folder(folder)
        print("cleared")
