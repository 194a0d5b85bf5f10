"""Global switches that others have thrown: the answer stays the same, or the call is refused."""

from __future__ import annotations

import contextlib
import decimal
import functools
import locale
import os
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFile

from differnet_lite import DifferNet
from tests.hostile.harness import Case

Switch = Callable[[], AbstractContextManager[Any]]


def toggled(get: Callable[[], Any], put: Callable[[Any], Any], value: Any) -> Switch:
    """A switch that is thrown within, and back again."""

    @contextmanager
    def switch() -> Iterator[None]:
        before = get()
        put(value)
        try:
            yield
        finally:
            put(before)

    return switch


def attribute(owner: Any, name: str, value: Any) -> Switch:
    return toggled(lambda: getattr(owner, name), lambda x: setattr(owner, name, x), value)


@contextmanager
def errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextmanager
def comma() -> Iterator[None]:
    before = locale.setlocale(locale.LC_ALL)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C"):
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
            break
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


SWITCHES: dict[str, Switch] = {
    "torch: float64 by default": toggled(
        torch.get_default_dtype, torch.set_default_dtype, torch.float64
    ),
    "torch: float16 by default": toggled(
        torch.get_default_dtype, torch.set_default_dtype, torch.float16
    ),
    "torch: the device meta by default": lambda: torch.device("meta"),
    "torch: no gradients": torch.no_grad,
    "torch: inference mode": torch.inference_mode,
    "torch: autocast to bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "torch: matrix products of low precision": toggled(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "torch: deterministic or not at all": toggled(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
    "torch: denormals are zero": toggled(lambda: False, torch.set_flush_denormal, True),
    "torch: anomalies are detected": lambda: torch.autograd.detect_anomaly(check_nan=True),
    "torch: one more thread": toggled(
        torch.get_num_threads, torch.set_num_threads, torch.get_num_threads() + 1
    ),
    "NumPy: every oddity raises": lambda: np.errstate(all="raise"),
    "NumPy: numbers of two digits": lambda: np.printoptions(precision=2, threshold=3),
    "NumPy: a legacy print": lambda: np.printoptions(legacy="1.13"),
    "Pillow: cut files are filled up": attribute(ImageFile, "LOAD_TRUNCATED_IMAGES", True),
    "Pillow: pixels are not counted": attribute(Image, "MAX_IMAGE_PIXELS", None),
    "Python: warnings are errors": errors,
    "Python: decimals of two digits": lambda: decimal.localcontext(decimal.Context(prec=2)),
    "Python: another locale": comma,
    "Python: a seed": toggled(
        random.getstate, lambda x: random.seed(0) if x is None else None, None
    ),
    "Python: shallow recursion": toggled(sys.getrecursionlimit, sys.setrecursionlimit, 260),
    "Python: a trace function": toggled(sys.gettrace, sys.settrace, lambda *_: None),
    "system: umask 077": toggled(lambda: os.umask(0o077), os.umask, 0o077),
    "system: another time zone": lambda: zone("Pacific/Kiritimati"),
}


@contextmanager
def zone(name: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()


def scores(s: Any) -> np.ndarray:
    model = DifferNet.load(s.saved, device="cpu", cache=None, progress=False)
    images = sorted(s.photographs.iterdir())[:3]
    found = model.anomaly_scores(images)
    for method in model.localizer.methods:
        found = np.append(found, model.anomaly_maps(images[:1], method=method).ravel())
    return np.append(found, model.p_values(images))


def trained(s: Any) -> np.ndarray:
    model = DifferNet(**s.tiny | {"calibration": "split", "cache": None}).fit(
        sorted(s.photographs.iterdir())[:8]
    )
    return np.append(model.calibration_scores_, model.history_["train"])


def same(switch: Switch, use: Callable[[Any], np.ndarray], s: Any) -> bool:
    plain = use(s)
    with switch():
        switched = use(s)
    return switched.dtype == np.float64 and np.allclose(switched, plain, rtol=1e-4, atol=1e-6)


def in_threads(use: Callable[[Any], np.ndarray], s: Any) -> bool:
    """Four at once in one process."""
    plain, found = use(s), []
    threads = [threading.Thread(target=lambda: found.append(use(s))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(found) == 4 and all(np.allclose(each, plain, rtol=1e-4, atol=1e-6) for each in found)


def cases() -> Iterator[Case]:
    for name, switch in SWITCHES.items():
        for use in (scores, trained):
            run = functools.partial(same, switch, use)
            yield Case("15 global switches", f"{name}, {use.__name__}", run, "right", bool)
    for use in (scores, trained):
        run = functools.partial(in_threads, use)
        yield Case("15 global switches", f"threads, {use.__name__}", run, "right", bool)
