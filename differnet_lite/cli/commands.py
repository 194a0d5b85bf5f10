"""The command line: `python -m differnet_lite demo | fit | score | prepare`."""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from differnet_lite.cache import FeatureBank, FeatureError, default_cache
from differnet_lite.data.datasets import as_images, load_category
from differnet_lite.data.files import replacing
from differnet_lite.data.prepare import prepare_mtd, prepare_mvtec
from differnet_lite.evaluation import evaluating as evaluation
from differnet_lite.localization.maps import METHODS
from differnet_lite.model import DifferNet
from differnet_lite.plots import evaluation_report, write_overlays
from differnet_lite.samples import SAMPLE_CATEGORIES, default_data_root, make_sample_category
from differnet_lite.settings import PRESETS
from differnet_lite.transforms import Transformations


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if all went well, 2 and one line on stderr for bad input, 130 after Ctrl-C."""
    args = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a file name that the terminal cannot show is no error
    warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)  # type: ignore[assignment]
    try:
        args.run(args)
    except (OSError, ValueError, FeatureError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "interrupted; features that were computed are kept, nothing else was written",
            file=sys.stderr,
        )
        return 130
    return 0


def demo(args: argparse.Namespace) -> None:
    """Train on a built-in category (or any in the MVTec layout) and report."""
    start = time.perf_counter()
    folder = (
        make_sample_category(args.category)
        if args.category in SAMPLE_CATEGORIES
        else Path(args.category)
    )
    category = load_category(folder)
    print(
        f"{folder}: {len(category.train)} normal images to train on, {len(category.test)} to test"
    )
    made = time.perf_counter()
    model = DifferNet(args.preset, seed=args.seed, device=args.device).fit(folder)
    fitted = time.perf_counter()
    result = evaluation.evaluate(model, category, alpha=args.alpha, maps=True)
    done = time.perf_counter()
    rows = [
        *result.table(),
        (
            "seconds",
            f"{done - start:.0f} (images {made - start:.0f}, training with features {fitted - made:.0f}, scores and maps {done - fitted:.0f})",
        ),
    ]
    _print_table(rows)
    evaluation_report(args.report, model, result, rows)
    print(f"report: {args.report}")


def fit(args: argparse.Namespace) -> None:
    """Train on a folder of normal photographs and save the model."""
    out = Path(args.out)
    if not out.parent.is_dir():
        raise FileNotFoundError(
            f"{out.parent}: there is no such folder to save the model in; create it first"
        )
    start = time.perf_counter()
    overrides: dict[str, Any] = (
        {} if args.rotations is None else {"transformations": Transformations.grid(args.rotations)}
    )
    model = DifferNet(args.preset, seed=args.seed, device=args.device, **overrides).fit(args.folder)
    model.save(out)
    threshold = model.threshold(args.alpha, if_too_few="fallback")
    rows = [
        ("trained on", f"{model.n_train_} images"),
        ("calibrated on", f"{len(model.calibration_scores_)} images"),
        ("threshold", str(threshold)),
    ]
    rows += [("seconds", f"{time.perf_counter() - start:.0f}"), ("model", str(out))]
    _print_table(rows)


def score(args: argparse.Namespace) -> None:
    """Score images with a saved model: a table, and if wanted a CSV file, maps and a report."""
    start = time.perf_counter()
    for parent in {Path(p).parent for p in (args.csv, args.report) if p}:
        if not parent.is_dir():
            raise FileNotFoundError(
                f"{parent}: there is no such folder to write into; create it first"
            )
    model = DifferNet.load(args.model, device=args.device)
    threshold = model.threshold(args.alpha, if_too_few="fallback")
    category = (
        load_category(args.images) if (Path(args.images) / "train" / "good").is_dir() else None
    )
    paths = [Path(str(p)) for p in (category.test if category else as_images(args.images))]
    scores = model.score_samples(paths)
    p_values = model.p_values(paths)
    flagged = scores >= threshold.value
    if args.csv:
        _write_csv(Path(args.csv), paths, scores, p_values, flagged, threshold.value)
    if args.maps:
        write_overlays(
            args.maps,
            model,
            paths,
            **({"method": args.map_method} if args.map_method else {}),
        )
    for i in np.argsort(-scores)[: args.top]:
        print(
            f"{scores[i]:10.4g}  p = {p_values[i]:.3f}  {'ANOMALOUS' if flagged[i] else 'normal   '}  {paths[i]}"
        )
    if len(paths) > args.top:
        print(
            f"... and {len(paths) - args.top} more with lower scores"
            + ("" if args.csv else "; --csv FILE writes all")
        )
    rows = [
        ("images", str(len(paths))),
        ("flagged", str(int(flagged.sum()))),
        ("threshold", str(threshold)),
    ]
    if category is not None and category.labels.any() and not category.labels.all():
        result = evaluation.evaluate(model, category, alpha=args.alpha, maps=bool(args.report))
        rows = result.table()
        if args.report:
            evaluation_report(args.report, model, result, rows)
    elif args.report:
        raise ValueError(
            f"--report needs a category with test/good/ and test/DEFECT/ to compare with, {args.images} has no labels; use --csv and --maps"
        )
    _print_table([*rows, ("seconds", f"{time.perf_counter() - start:.0f}")])


def prepare(args: argparse.Namespace) -> None:
    """Bring a downloaded data set into the layout."""
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
    else:
        if args.split is None:
            raise ValueError(
                "prepare mtd needs --split FILE, the authors' list of training images; see data/README.md"
            )
        print(prepare_mtd(args.source, args.split, args.root or "data"))


def cache(args: argparse.Namespace) -> None:
    """Say where features are kept and how much they take, or clear them."""
    folder = default_cache()
    files = list(folder.rglob("*.npy")) if folder.is_dir() else []
    print(
        f"{folder}: {len(files)} images' features, {sum(p.stat().st_size for p in files) / 1e6:.0f} MB"
    )
    if args.clear:
        FeatureBank.clear_folder(folder)
        print("cleared")


def _write_csv(
    path: Path,
    paths: Sequence[Path],
    scores: np.ndarray,
    p_values: np.ndarray,
    flagged: np.ndarray,
    theta: float,
) -> None:
    with replacing(
        path, "x", newline="", encoding="utf-8", errors="surrogateescape"
    ) as file:  # file names byte for byte
        writer = csv.writer(file)
        writer.writerow(["image", "score", "p_value", "anomalous", "threshold"])
        writer.writerows(
            [str(p), f"{s:.9g}", f"{q:.6g}", int(f), f"{theta:.9g}"]
            for p, s, q, f in zip(paths, scores, p_values, flagged, strict=True)
        )


def _print_table(rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(label) for label, _ in rows)
    print()
    for label, value in rows:
        print(f"  {label:<{width}}  {value}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m differnet_lite",
        description="DifferNet: anomaly detection with normalizing flows.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function, summary: str) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
        made = commands.add_parser(name, help=summary, description=function.__doc__)
        made.set_defaults(run=function)
        return made

    def common(made: argparse.ArgumentParser, *, training: bool) -> None:
        made.add_argument(
            "--alpha", type=float, default=0.05, help="wanted false-alarm rate (default 0.05)"
        )
        made.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
        if training:
            made.add_argument("--preset", default="default", choices=sorted(PRESETS))
            made.add_argument("--seed", type=int, default=0)

    made = command("demo", demo, "train on a built-in category, print a table, write a report")
    made.add_argument(
        "category",
        nargs="?",
        default="flange",
        help=f"one of {', '.join(SAMPLE_CATEGORIES)}, or a folder in the MVTec layout",
    )
    made.add_argument("--report", default="report.html")
    common(made, training=True)

    made = command("fit", fit, "train on a folder of normal photographs")
    made.add_argument("folder", help="normal images, or a category in the MVTec layout")
    made.add_argument("--out", required=True, help="model file to write, such as part.safetensors")
    made.add_argument(
        "--rotations",
        type=int,
        help="angles over the full circle (default 16); 1 for parts that must not be rotated",
    )
    common(made, training=True)

    made = command("score", score, "score images with a model")
    made.add_argument("model")
    made.add_argument(
        "images", help="an image, a folder, or a category in the MVTec layout (its test set)"
    )
    made.add_argument("--csv", help="table of all images to write")
    made.add_argument("--maps", help="folder for pictures of where the defect is")
    made.add_argument(
        "--map-method",
        choices=METHODS,
        help="how to draw them (default attribution; try deviation for parts that lie alike)",
    )
    made.add_argument("--report", help="HTML report to write, for a category with labels")
    made.add_argument("--top", type=int, default=20, help="how many images to print (default 20)")
    common(made, training=False)

    made = command("prepare", prepare, "bring a data set into the layout")
    made.add_argument("what", choices=["samples", "mvtec", "mtd"])
    made.add_argument("source", nargs="?", help="downloaded archive, or folder")
    made.add_argument("--split", help="mtd: mtd_train_filenames.txt of the authors' repository")
    made.add_argument("--root", help="where the categories go (default data/)")

    made = command("cache", cache, "say what the feature bank holds")
    made.add_argument("--clear", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
