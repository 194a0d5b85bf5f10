"""`main`, and the commands fit and cache.

What takes seconds to import is imported inside them, and all that can be refused is refused before
any work.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from differnet_lite.cli.course import course
from differnet_lite.cli.output import check_output, escaped, print_table
from differnet_lite.cli.parser import RULES, build_parser

__all__ = ["main"]

REFUSALS = (TypeError, ValueError, OSError, RuntimeError, ArithmeticError, MemoryError, re.error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status, see the epilogue of `--help`."""
    args = build_parser().parse_args(arguments)
    args.progress = sys.stderr.isatty() and not args.quiet
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that a terminal cannot show is no error
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _note  # type: ignore[assignment]
            status = _function(args.command)(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except REFUSALS as error:
        _print(f"error: {escaped(error) or type(error).__name__}")
        return 2
    except KeyboardInterrupt:
        _print("interrupted; the same command goes on with the features and states that are kept")
        return 130


def _note(message: object, *_: object, **__: object) -> None:
    _print(f"note: {escaped(message)}")


def _print(line: str) -> None:
    """A line of its own on stderr, in place of a progress bar."""
    print(("\r\x1b[K" if sys.stderr.isatty() else "") + line, file=sys.stderr)


def _function(command: str) -> Callable[[argparse.Namespace], int]:
    """What runs a command; only what it needs is imported."""
    if command in ("demo", "evaluate", "prepare"):
        return getattr(course("commands"), command)
    if command == "score":
        from differnet_lite.cli.scoring import score

        return score
    return {"fit": _fit, "export": _export, "cache": _cache}[command]


def _fit(args: argparse.Namespace) -> int:
    from differnet_lite.detector import DifferNet
    from differnet_lite.listing import training_set
    from differnet_lite.transforms import Transformations

    start = time.perf_counter()
    check_output("--out", args.out)
    if args.holdout is not None and args.calibration != "split":
        raise ValueError("--holdout is a part of --calibration split; add that, or leave it out")
    transformations = None
    if args.rotations == 1:
        transformations = Transformations.upright()
    elif args.rotations is not None:
        transformations = Transformations.grid(args.rotations)
    by_rule = args.calibration is None or args.calibration in RULES
    model = DifferNet(
        args.preset,
        transformations=transformations,
        size=args.size,
        noise=args.noise,
        epochs=args.epochs,
        calibration=args.calibration if by_rule else None,
        holdout=args.holdout,
        white=args.white,
        seed=args.seed,
        device=args.device,
        progress=args.progress,
    )
    others = None if by_rule else training_set(args.calibration).images
    source = args.folder[0] if len(args.folder) == 1 else args.folder
    training = training_set(source, recursive=args.recursive)
    check_output("--out", args.out, [Path(str(image)) for image in training.images])
    if not args.quiet:
        print(escaped(training), flush=True)
    states = args.checkpoint
    if states is None and args.preset == "paper":
        states = f"{args.out}.training"
    model.fit(training.images, calibration=others, groups=args.groups, checkpoint=states)
    model.save(args.out)
    if states is not None:
        for file in Path(states).glob("*.training"):
            file.unlink()
        with contextlib.suppress(OSError):  # it may hold something else
            os.rmdir(states)
    if args.quiet:
        return 0
    n = len(model.calibration_scores_)
    n_groups = len(model.calibration_.evidence)
    threshold = str(model.threshold(if_too_few="fallback")) if n else "none: there are scores alone"
    rows = [
        ("trained on", f"{model.n_train_} images"),
        ("calibrated on", f"{n} images" + (f" in {n_groups} groups" if n_groups < n else "")),
        ("threshold", threshold),
        ("seconds", f"{time.perf_counter() - start:.0f}"),
    ]
    print_table(rows)
    maps = "" if model.places_ is None else " --maps maps"
    model_file = shlex.quote(args.out)
    print(f"\nnext: differnet-lite score {model_file} NEW_PHOTOGRAPHS --csv scores.csv{maps}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from differnet_lite.detector import DifferNet
    from differnet_lite.export import export_onnx

    check_output("OUT", args.out, [Path(args.model)])
    model = DifferNet.load(args.model, device="cpu", dtype="float32", progress=False)
    export_onnx(model, args.out)
    if not args.quiet and len(model.calibration_scores_):
        print_table([("threshold of its scores", str(model.threshold(if_too_few="fallback")))])
    return 0


def _cache(args: argparse.Namespace) -> int:
    from differnet_lite.cache import FeatureCache, default_cache

    folder = default_cache()
    files = list(folder.rglob("*.features")) if folder.is_dir() else []
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{escaped(folder)}: {len(files)} images' features, {size:.0f} MB")
    if args.clear:
        FeatureCache.clear_folder(folder)
        print("cleared")
    return 0
