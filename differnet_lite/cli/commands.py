"""`main`, and the commands demo, fit, prepare and cache.

What takes seconds to import is imported inside them, and all that can be refused is refused before
any work.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from differnet_lite.cli.clustering import fit_there, score_there
from differnet_lite.cli.output import check_file, escaped, print_table, silence
from differnet_lite.cli.parser import SAMPLES, build_parser
from differnet_lite.cli.scoring import check_labels, inputs, score

__all__ = ["main"]

ERRORS = (TypeError, ValueError, OSError, RuntimeError, FloatingPointError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 if all went well, 2 after one line on stderr for what cannot be done, 130 after Ctrl-C.
    """
    args = build_parser().parse_args(arguments)
    with _notes():
        try:
            COMMANDS[args.command](args)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read the output has seen enough
            silence(sys.stdout)
        except ERRORS as error:
            print(f"error: {escaped(error) or type(error).__name__}", file=sys.stderr)
            try:
                sys.stdout.flush()
            except OSError:
                silence(sys.stdout)
            return 2
        except KeyboardInterrupt:
            kept = "features that were computed are kept"
            if getattr(args, "scheduler", None):
                kept = "what is finished is kept; the same command goes on"
            elif getattr(args, "checkpoint", None) or getattr(args, "preset", None) == "paper":
                kept += "; a training with a checkpoint goes on by the same command"
            print(f"interrupted; {kept}", file=sys.stderr)
            return 130
    return 0


def _demo(args: argparse.Namespace) -> None:
    from differnet_course.plots import evaluation_report
    from differnet_course.samples import make_sample_category
    from differnet_lite.oldchecks import rate
    from differnet_lite.evaluation import evaluate
    from differnet_lite.folders import load_category
    from differnet_lite.model import DifferNet
    from differnet_lite.settings import PRESETS
    from differnet_lite.trunk import resolve_device

    start = time.perf_counter()
    rate("alpha", args.alpha)
    check_file("--report", args.report)
    resolve_device(args.device)
    # a report has a threshold, so something calibrates it whatever the preset says
    silent = PRESETS[args.preset].calibration == "none"
    options: dict[str, Any] = {"calibration": "split"} if silent else {}
    model = DifferNet(args.preset, seed=args.seed, device=args.device, **options)
    built_in = args.category in SAMPLES
    folder = make_sample_category(args.category) if built_in else Path(args.category)
    category = load_category(folder)
    check_labels(category, "a demo")
    check_file("--report", args.report, inputs(category))
    n_train, n_test = len(category.train), len(category.test)
    print(f"{escaped(folder)}: {n_train} normal images to train on, {n_test} to test", flush=True)
    made = time.perf_counter()
    model.fit(category.train)
    fitted = time.perf_counter()
    result = evaluate(model, category, alpha=args.alpha, maps=True)
    done = time.perf_counter()
    parts = (
        f"images {made - start:.0f}, training with features {fitted - made:.0f}, "
        f"scores and maps {done - fitted:.0f}"
    )
    rows = [*result.table(), ("seconds", f"{done - start:.0f} ({parts})")]
    evaluation_report(args.report, model, result, rows)
    print_table(rows)
    print(f"report: {escaped(args.report)}")


def _fit(args: argparse.Namespace) -> None:
    from differnet_course.baselines.registry import make_detector
    from differnet_lite.oldchecks import rate
    from differnet_lite.folders import training_images
    from differnet_lite.model import DifferNet
    from differnet_lite.resuming import training_folder
    from differnet_lite.trunk import resolve_device

    start = time.perf_counter()
    options = _options(args)
    if args.scheduler is not None:
        fit_there(args, options)
        return
    if len(args.folder) > 1:
        raise ValueError("expected one folder, got several: these need --scheduler")
    rate("alpha", args.alpha)
    check_file("--out", args.out)
    resolve_device(args.device)
    model = make_detector(args.method, seed=args.seed, device=args.device, **options)
    kept = args.checkpoint
    if kept is None and args.preset == "paper":
        kept = f"{args.out}.training"
    if kept:
        training_folder(kept)
    images = training_images(args.folder[0])
    check_file("--out", args.out, [Path(str(image)) for image in images])
    model.fit(images, **({"checkpoint": kept} if kept else {}))
    n = len(model.calibration_scores_)
    threshold = "none: without calibration there are scores only"
    if n:
        threshold = str(model.threshold(args.alpha, if_too_few="fallback"))
    model.save(args.out)
    if kept and isinstance(model, DifferNet):
        model.forget_checkpoint()
    rows = [
        ("trained on", f"{model.n_train_} images"),
        ("calibrated on", f"{n} images"),
        ("threshold", threshold),
        ("seconds", f"{time.perf_counter() - start:.0f}"),
        ("model", args.out),
    ]
    print_table(rows)


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that `fit` is asked for, for `make_detector`, which checks them."""
    from differnet_lite.oldchecks import whole
    from differnet_lite.transforms import Transformations

    options: dict[str, Any] = {}
    if args.rotations is not None:
        n = whole(1, 3600)("rotations", args.rotations)  # a tenth of a degree apart
        options["transformations"] = (
            Transformations.upright() if n == 1 else Transformations.grid(n)
        )
    if args.angles is not None:
        options["transformations"] = Transformations(angles=tuple(args.angles))
    names = ("preset", "epochs", "noise", "size", "calibration", "holdout")
    options |= {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.method != "differnet":
        if useless := sorted({"preset", "epochs", "noise"} & set(options)):
            raise ValueError(f"--{useless[0]}: expected with --method differnet, got {args.method}")
        if args.checkpoint:
            raise ValueError(f"--checkpoint: expected with --method differnet, got {args.method}")
        options = {"calibration": "split"} | options
    return options


def _score(args: argparse.Namespace) -> None:
    if args.scheduler is None and args.out is not None:
        raise ValueError("--out: expected with --scheduler; --csv writes the table here")
    (score if args.scheduler is None else score_there)(args)


def _prepare(args: argparse.Namespace) -> None:
    from differnet_course.prepare import prepare_mtd, prepare_mvtec
    from differnet_course.samples import default_data_root, make_sample_category

    if args.what == "samples":
        root = args.root or default_data_root()
        for name in SAMPLES:
            print(escaped(make_sample_category(name, root)), flush=True)
        return
    advice = "see data/README.md"
    if args.source is None:
        raise ValueError(f"prepare {args.what} needs the downloaded archive or folder; {advice}")
    if args.what == "mvtec":
        for folder in prepare_mvtec(args.source, args.root or "data"):
            print(escaped(folder))
        return
    if args.split is None:
        raise ValueError(
            f"prepare mtd needs --split FILE, the authors' list of training images; {advice}"
        )
    print(escaped(prepare_mtd(args.source, args.split, args.root or "data")))


def _cache(args: argparse.Namespace) -> None:
    from differnet_lite.cache import FeatureCache, default_cache

    folder = default_cache()
    files = list(folder.rglob("*.features")) if folder.is_dir() else []
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{escaped(folder)}: {len(files)} images' features, {size:.0f} MB")
    if args.clear:
        FeatureCache.clear_folder(folder)
        print("cleared")


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "demo": _demo,
    "fit": _fit,
    "score": _score,
    "prepare": _prepare,
    "cache": _cache,
}


@contextmanager
def _notes() -> Iterator[None]:
    """Within, a warning is one line, once; and a name that a terminal cannot show is no error."""
    said: set[str] = set()

    def show(message: object, *_: object, **__: object) -> None:
        if str(message) not in said:
            said.add(str(message))
            print(f"note: {escaped(message)}", file=sys.stderr)

    streams = [s for s in (sys.stdout, sys.stderr) if isinstance(s, io.TextIOWrapper)]
    before = [stream.errors for stream in streams]
    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        for stream in streams:
            stream.reconfigure(errors="backslashreplace")
        try:
            yield
        finally:
            for stream, errors in zip(streams, before, strict=True):
                stream.reconfigure(errors=errors)
