"""The test of drift, simulated: how often it is wrong, and how soon it sees a change.

    python benchmarks/drift.py [--repetitions 400] [--images 2000]

A detector by Mahalanobis distance learns from made-up features of normal images (Gaussian, 20
numbers each) and is calibrated by "split" (a third held out) or "cross" (5 folds, new images by
the mean of the folds' detectors). Alarms before any change, over the whole stream, are false.
"""

from __future__ import annotations

import argparse

import numpy as np

from differnet_course.drift import Drift, drift_martingale, drift_test
from differnet_lite.thresholds import p_values

FEATURES, DELTA, FOLDS = 20, 0.05, 5
Rng = np.random.Generator


def detector(train: np.ndarray):
    """Squared Mahalanobis distance, its covariance shrunk a little so that few images will do."""
    mean = train.mean(0)
    precision = np.linalg.inv(0.9 * np.cov(train.T) + 0.1 * np.eye(FEATURES))
    return lambda y: np.einsum("nd,de,ne->n", y - mean, precision, y - mean)


def scores(rng: Rng, n: int, stream: np.ndarray, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of n normal images that calibrate, and of a stream."""
    y = rng.normal(size=(n, FEATURES))
    if rule == "split":
        score = detector(y[n // 3 :])
        return score(y[: n // 3]), score(stream)
    folds = [np.arange(k, n, FOLDS) for k in range(FOLDS)]
    fitted = [detector(np.delete(y, fold, axis=0)) for fold in folds]
    calibration = [score(y[fold]) for score, fold in zip(fitted, folds, strict=True)]
    return np.concatenate(calibration), np.mean([score(stream) for score in fitted], axis=0)


def against_fixed(calibration: np.ndarray, stream: np.ndarray) -> Drift:
    """What one would do wrong: p-values against the calibration set alone."""
    return drift_martingale(p_values(calibration, stream), delta=DELTA)


def alarms(n: int, rule: str, test, repetitions: int, images: int, changed) -> list[int | None]:
    positions = []
    for r in range(repetitions):
        rng = np.random.default_rng([n, r])
        stream = rng.normal(size=(images, FEATURES))
        positions.append(test(*scores(rng, n, changed(stream, rng), rule)).alarm)
    return positions


def own_past(_: np.ndarray, stream: np.ndarray) -> Drift:
    return drift_test([], stream, delta=DELTA)


def from_calibration(calibration: np.ndarray, stream: np.ndarray) -> Drift:
    return drift_test(calibration, stream, delta=DELTA)


def unchanged(stream: np.ndarray, _: Rng) -> np.ndarray:
    return stream


def defects(share: float):
    """A share of the stream is defective, from the first image on."""
    return lambda stream, rng: stream + 2.0 * (rng.random(len(stream)) < share)[:, None]


def wider(factor: float, at: int):
    """From one image on, all features stray further: a dirty lens, a new lamp."""
    return lambda stream, _: stream * np.where(np.arange(len(stream)) < at, 1, factor)[:, None]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--images", type=int, default=2000, help="of a stream")
    args = parser.parse_args()
    common = {"repetitions": args.repetitions, "images": args.images}
    print(f"false alarms in {args.images} images, promised {DELTA:.0%}:")
    rows = [
        ("split, stream p-values", "split", from_calibration),
        ("cross, stream p-values", "cross", from_calibration),
        ("cross, against its own past", "cross", own_past),
        ("split, p-values of one fixed set", "split", against_fixed),
    ]
    for n in (60, 240):
        for label, rule, test in rows:
            positions = alarms(n, rule, test, changed=unchanged, **common)
            print(f"  {n:4d} images, {label:34s}{np.mean([a is not None for a in positions]):8.1%}")
    print("alarms if a share of the stream is defective (240 images, split):")
    for share in (0.01, 0.05, 0.1, 0.2):
        positions = alarms(240, "split", from_calibration, changed=defects(share), **common)
        print(f"  {share:4.0%}  {np.mean([a is not None for a in positions]):8.1%}")
    at = args.images // 2
    print(f"a change at image {at} (240 images, split); images until the alarm, median:")
    for factor in (1.1, 1.2, 1.5):
        positions = alarms(240, "split", from_calibration, changed=wider(factor, at), **common)
        late = [a - at for a in positions if a is not None and a >= at]
        seen = len(late) / sum(a is None or a >= at for a in positions)
        print(f"  features {factor:g} times as wide: {np.median(late):5.0f}, seen {seen:.0%}")


if __name__ == "__main__":
    main()
