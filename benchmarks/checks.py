"""What the checks cost: arguments when one image is scored, contents when a model is loaded.

    python benchmarks/checks.py [--repeats 25] [--images 20] [--tiny] [--out results/checks.json]

A model of default size (16 views, five flows) is trained for one epoch, and saved. Then

- one image is scored by two processes in turn, of which one has had `differnet_lite.oldchecks.checked`
  replaced by a decorator that does nothing before the package was imported. Once its features are
  computed, once they are kept on disk;
- the model is loaded by one process, in turn as it is and with these made to do nothing: the digest
  of the file, the search for numbers that are not finite, and `check_contents`, `check_size`,
  `check_history`, `check_reference` and the part of `load_flow` that is not `load_state_dict`.

Every figure is the median of repeats: seconds of the processor, which another program on the same
machine hardly moves, and seconds of the clock. A ratio is of two such medians. OMP_NUM_THREADS=1
makes the first steadier.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from tqdm import tqdm

Times = list[tuple[float, float]]  # of the processor and of the clock, seconds
TINY = {"size": 64, "n_scales": 1, "hidden": 8, "n_blocks": 2, "folds": 2, "dtype": "float32"}
KEPT_MORE = 8  # times as many repeats where features are kept, which is quick


def unchecked(function: Any = None, /, **_: Any) -> Any:
    """In place of `checked`: the function as it is."""
    return (lambda function: function) if function is None else function


@contextlib.contextmanager
def without_checks_of_contents() -> Iterator[None]:
    """Loading checks nothing that is in a model's file."""
    import torch

    from differnet_lite import checkpoint, detector, feature_detector, model

    finite = torch.ones((), dtype=torch.bool)
    with contextlib.ExitStack() as stack:
        for where, name, other in (
            (checkpoint, "_digest", lambda *_: mock.ANY),
            (torch.Tensor, "isfinite", lambda _: finite),
            (detector, "check_contents", lambda *_: None),
            (model, "check_size", lambda *_: None),
            (model, "check_history", lambda history: history),
            (model, "load_flow", lambda flow, tensors: flow.load_state_dict(tensors)),
            (feature_detector, "check_reference", lambda *_: None),
        ):
            stack.enter_context(mock.patch.object(where, name, other))
        yield


def work(folder: Path, *, checks: bool) -> None:
    """A process that does what it is told, line by line, and prints what it took."""
    import differnet_lite.oldchecks

    if not checks:
        differnet_lite.oldchecks.checked = unchecked  # before any other module has taken it
    from differnet_lite.cache import FeatureCache
    from differnet_lite.model import DifferNet

    assert hasattr(FeatureCache.iter_features, "__wrapped__") == checks, "the wrong functions run"
    image, path = folder / "image.png", folder / "model.safetensors"
    plain: dict[str, Any] = {"device": "cpu", "progress": False}
    models = {
        name: DifferNet.load(path, cache=cache, **plain)
        for name, cache in {"computed": None, "kept": folder / "cache"}.items()
    }
    for line in sys.stdin:
        task = line.strip()
        with without_checks_of_contents() if task == "load bare" else contextlib.nullcontext():
            before = time.process_time(), time.perf_counter()
            if task in models:
                models[task].anomaly_scores([image])
            else:
                DifferNet.load(path, cache=None, **plain)
            after = time.process_time(), time.perf_counter()
        took = [b - a for a, b in zip(before, after, strict=True)]
        print(json.dumps(took), flush=True)


def prepare(folder: Path, n_images: int, **options: Any) -> float:
    """Save a model and one more image in a folder; megabytes of the model."""
    import numpy as np
    from PIL import Image

    from differnet_lite.model import DifferNet

    rng, images = np.random.default_rng(0), []
    for _ in range(n_images + 1):
        coarse = rng.integers(60, 180, (56, 56, 3), np.uint8)
        images.append(coarse.repeat(8, 0).repeat(8, 1))  # (448, 448, 3)
    Image.fromarray(images.pop()).save(folder / "image.png")
    given: dict[str, Any] = {"device": "cpu", "cache": None, "progress": False, "epochs": 1}
    path = DifferNet(**given | options).fit(images).save(folder / "model.safetensors")
    return path.stat().st_size / 1e6


def interleaved(pairs: dict[str, Callable[[], tuple[float, float]]], n: int) -> dict[str, Times]:
    """n times of each, in turn, after one that does not count."""
    found: dict[str, Times] = {name: [] for name in pairs}
    for k in tqdm(range(n + 1), leave=False, disable=not sys.stderr.isatty()):
        for name in sorted(pairs, reverse=bool(k % 2)):
            took = pairs[name]()
            if k:
                found[name].append(took)
    return found


def figures(times: dict[str, Times]) -> dict[str, dict[str, float]]:
    """Medians "with" and "without" checks, by what kind of second."""
    named = enumerate(("processor", "clock"))
    return {
        kind: {name: statistics.median(t[i] for t in own) for name, own in times.items()}
        for i, kind in named
    }


def measure(folder: Path, repeats: int) -> dict[str, dict[str, dict[str, float]]]:
    """The three comparisons, by name."""
    command = [sys.executable, __file__, "--work", str(folder)]
    with contextlib.ExitStack() as stack:

        def start(kind: str) -> Callable[[str], tuple[float, float]]:
            pipe: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            worker = stack.enter_context(subprocess.Popen([*command, kind], text=True, **pipe))
            assert worker.stdin is not None and worker.stdout is not None
            stdin, stdout = worker.stdin, worker.stdout

            def ask(task: str) -> tuple[float, float]:
                stdin.write(f"{task}\n")
                stdin.flush()
                processor, clock = json.loads(stdout.readline())
                return processor, clock

            return ask

        checked, bare = start("checked"), start("bare")
        found = {}
        for task, n in {"computed": repeats, "kept": KEPT_MORE * repeats}.items():
            pair = {"with": lambda t=task: checked(t), "without": lambda t=task: bare(t)}
            found[f"score, features {task}"] = figures(interleaved(pair, n))
        pair = {"with": lambda: checked("load"), "without": lambda: checked("load bare")}
        found["load"] = figures(interleaved(pair, repeats))
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--images", type=int, default=20, help="that the model is fitted on")
    parser.add_argument("--tiny", action="store_true", help="a model that means nothing, quickly")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.work:
        work(Path(args.work[0]), checks=args.work[1] == "checked")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        size = prepare(Path(temporary), args.images, **(TINY if args.tiny else {}))
        found = measure(Path(temporary), args.repeats)
    print(f"a model of {size:.1f} MB; medians of {args.repeats} (kept: {KEPT_MORE} x as many)")
    print(f"{'':<26}{'seconds of':<12}{'with':>10}{'without':>10}{'more':>10}{'ratio':>8}")
    for name, kinds in found.items():
        for kind, t in kinds.items():
            more, ratio = t["with"] - t["without"], t["with"] / t["without"]
            row = f"{t['with']:>10.4f}{t['without']:>10.4f}{more:>10.4f}{ratio:>8.3f}"
            print(f"{name:<26}{kind:<12}{row}")
    print("targets: score at most 1.03 times, load at most 0.2 s more")
    if args.tiny:
        print("tiny: no figure above means anything")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"model_MB": size, "tiny": args.tiny, **found}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
