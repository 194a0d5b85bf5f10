"""The command score: photographs in, rows out, each as soon as it is scored."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from differnet_lite.checks import rate, whole
from differnet_lite.cli.course import course
from differnet_lite.cli.output import MapFolder, Row, check_output, escaped, print_table, row_writer
from differnet_lite.detector import DifferNet
from differnet_lite.files import replacing
from differnet_lite.images import as_rgb
from differnet_lite.listing import list_images
from differnet_lite.maps import MapLevels
from differnet_lite.overlay import painted
from differnet_lite.regions import regions_of
from differnet_lite.thresholds import Threshold, TooFewNormalsError
from differnet_lite.trunk import resolve_device

__all__ = ["Batch", "score", "scored"]

UNREADABLE = 3  # exit status where some files cannot be scored
CHUNK = 8  # photographs that go through the model together
Scored = tuple[Path, float | None, str]  # path, score or None, why there is none


def scored(model: DifferNet, paths: Sequence[Path]) -> Iterator[Scored]:
    """Score photographs in order; one that cannot be read costs nothing but itself."""
    for start in range(0, len(paths), CHUNK):
        chunk = paths[start : start + CHUNK]
        try:
            scores = model.anomaly_scores(chunk).tolist()
        except (OSError, ValueError, FloatingPointError) as error:
            if len(chunk) > 1:
                for path in chunk:
                    yield from scored(model, [path])
            else:
                reason = str(error).removeprefix(f"{chunk[0]}: ")
                yield chunk[0], None, reason or type(error).__name__
            continue
        for path, value in zip(chunk, scores, strict=True):
            yield path, value, ""


def score(args: argparse.Namespace) -> int:
    """Score photographs with a saved model: the exit status is 3 if a file cannot be scored."""
    start = time.perf_counter()
    _check_options(args)
    photographs = [path for source in args.images for path in list_images(source)]
    for option, name in (("--csv", args.csv), ("--report", args.report)):
        if name != "-":
            check_output(option, name, [Path(args.model), *photographs])
    model = DifferNet.load(args.model, device=args.device, progress=False)
    batch = Batch(model, args)
    results = scored(model, photographs)
    if args.scheduler:
        results = course("cluster").scored_on_cluster(
            args.model, photographs, args.out, scheduler=args.scheduler, device=args.device
        )
    rows: list[Row] = []
    bar = tqdm(results, "scoring", len(photographs), leave=False, disable=not args.progress)
    with row_writer(args.csv, args.json) as write, bar:
        for row in batch.rows(bar):
            write(row)
            rows.append(row)
    done = [row for row in rows if not row.error]
    errors = {row.path: row.error for row in rows if row.error}
    if batch.threshold is not None:
        names = [row.path for row in done]
        scores = np.array([row.score for row in done], float)
        judgement = model.calibration_.judge(scores, batch.alpha, if_too_few="fallback")
        for note in model.notes(names, judgement):
            print(f"note: {note}", file=sys.stderr)
        if args.report:
            judgement = dataclasses.replace(judgement, anomalous=scores >= batch.limit)
            course("plots").score_report(args.report, model, names, judgement, errors)
    for path, reason in errors.items():
        print(f"not scored: {escaped(path)}: {escaped(reason)}", file=sys.stderr)
    if not args.quiet:
        out = sys.stderr if args.json or args.csv == "-" else sys.stdout
        for row in sorted(done, key=lambda row: row.score or 0.0, reverse=True)[: args.top]:
            decision = {True: "ANOMALOUS", False: "normal", None: ""}[row.flagged]
            p = "" if row.p_value is None else f"  p = {row.p_value:.3f}"
            print(f"{row.score:10.4g}{p}  {decision:<9}  {escaped(row.path)}", file=out)
        if len(done) > args.top > 0:
            print(f"... and {len(done) - args.top} more with lower scores", file=out)
        lines = [
            *batch.summary(done),
            ("not readable", f"{len(errors)} of {len(rows)}"),
            ("seconds", f"{time.perf_counter() - start:.0f}"),
        ]
        print_table(lines, out)
    return UNREADABLE if errors else 0


class Batch:
    """What makes rows of scores: the rule that decides, and maps of what it flags."""

    def __init__(self, model: DifferNet, args: argparse.Namespace) -> None:
        self.model = model
        self.fdr = args.fdr
        self.alpha = 0.05 if args.alpha is None else args.alpha
        self.all_maps = args.all_maps
        self.threshold: Threshold | None = None
        if len(model.calibration_scores_):
            try:
                if_too_few = "fallback" if args.alpha is None else "raise"
                self.threshold = model.threshold(self.alpha, if_too_few=if_too_few)
            except TooFewNormalsError as error:
                remedy = "leave --alpha out: then 5 %, or the smallest that can be promised"
                text = str(error).replace("pass if_too_few='fallback'", remedy)
                raise ValueError(f"--alpha: {text}") from error
        elif args.fdr or args.alpha or args.report or (args.maps and not args.all_maps):
            raise ValueError(
                f"{args.model}: the model was fitted with --calibration none and gives scores "
                "alone; fit it again for --alpha, --fdr, --report, or --maps without --all-maps"
            )
        self.limit = math.inf  # the lowest score that is flagged
        self.rule = "" if self.fdr is None else f"fdr {self.fdr:g}"
        if self.fdr is None and self.threshold is not None:
            self.limit = self.threshold.value
            self.rule = f"alpha {max(self.alpha, self.threshold.smallest_alpha):.4g}"
        self.levels: MapLevels | None = None
        if args.maps or ((args.csv or args.json) and model.places_ is not None):
            self.levels = model.map_levels(self.alpha, if_too_few="fallback")
        self.maps = MapFolder(args.maps, args.images) if args.maps else None

    def rows(self, results: Iterable[Scored]) -> Iterator[Row]:
        """A row for each result; with --fdr the first comes after the last result."""
        if self.fdr is not None:
            results = list(results)
            self.limit = self._lowest_selected([s for _, s, _ in results if s is not None])
        limit = self.limit
        for path, value, error in results:
            row = Row(os.fspath(path), value, error=error)
            if value is not None and self.threshold is not None:
                row.p_value = float(self.model.calibration_.p_values([value])[0])
                row.flagged = value >= limit
                row.rule = self.rule
                if 0 < limit < math.inf:
                    row.score_over_threshold = value / limit
            if self.levels is not None and not error and (row.flagged or self.all_maps):
                values = self.model.anomaly_maps([path])[0]
                photograph = as_rgb(path, self.model.white_)
                regions = regions_of(values, self.levels.level, photograph.size)
                row.regions = [dataclasses.asdict(region) for region in regions]
                if self.maps is not None:
                    picture = self.maps.path(path)
                    with replacing(picture) as file:
                        painted(photograph, values, self.levels).save(file, "PNG")
                    row.map = os.fspath(picture)
            yield row

    def _lowest_selected(self, scores: Sequence[float]) -> float:
        """The score from which on Benjamini and Hochberg flag; infinity if they flag nothing."""
        from scipy.stats import false_discovery_control  # 0.5 s to import

        adjusted = false_discovery_control(self.model.calibration_.p_values(scores))
        return float(np.min(np.array(scores)[adjusted <= self.fdr * (1 + 1e-12)], initial=math.inf))

    def summary(self, rows: Sequence[Row]) -> list[tuple[str, str]]:
        """The rows with scores in a few lines (label, value)."""
        if self.threshold is None:
            return [("threshold", "none: the model was fitted without calibration")]
        flagged = f"{sum(bool(row.flagged) for row in rows)} of {len(rows)}"
        if self.fdr is not None:
            return [("flagged", f"{flagged}, of which a share of {self.fdr:g} may be good")]
        return [("flagged", flagged), ("threshold", str(self.threshold))]


def _check_options(args: argparse.Namespace) -> None:
    """Refuse what can be refused before anything is read."""
    for name in ("alpha", "fdr"):
        if getattr(args, name) is not None:
            rate(f"--{name}", getattr(args, name))
    if args.alpha is not None and args.fdr is not None:
        raise ValueError("--alpha and --fdr are two rules, and one decides; name one of them")
    whole("--top", args.top, least=0)
    resolve_device(args.device)
    if (args.scheduler is None) != (args.out is None):
        raise ValueError("--scheduler ADDRESS and --out DIR belong together; see docs/cluster.md")
    if args.json and args.csv == "-":
        raise ValueError("--json and --csv - both write to standard output; name a file for --csv")
    if args.all_maps and not args.maps:
        raise ValueError("--all-maps says of which photographs; name a folder with --maps, too")
    if args.csv and args.csv == args.report:
        raise ValueError(f"--csv and --report both name {args.csv}; one would replace the other")
    if not Path(args.model).is_file():
        raise FileNotFoundError(f"{args.model}: expected a model file that fit wrote, got none")
