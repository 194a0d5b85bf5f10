"""What else may come: training states, weights of others, ties, links, and what stays silent."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import operator
import pickle
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from traitlets import TraitError

from differnet_course.authors import flow_of_authors
from differnet_course.experiments import Grid, subset
from differnet_course.experiments.grid import Cell
from differnet_course.experiments.measuring import COLUMNS
from differnet_course.experiments.storing import read_row, write_row
from differnet_course.plots import plot_scores, write_overlays, write_report
from differnet_course.widgets import LiveLoss, RotationExplorer, ThresholdExplorer
from differnet_lite import DifferNet, Transformations, evaluate, load_category, metrics
from differnet_lite.checkpoint import read_checkpoint
from differnet_lite.discoveries import select
from differnet_lite.listing import list_images
from differnet_lite.thresholds import (
    conformal_threshold,
    p_values,
    pac_threshold,
    quantile_threshold,
)
from tests.hostile.folders import picture as put_picture
from tests.hostile.harness import Case
from tests.hostile.models import digest

# ---------------------------------------------------------------- states of a training


class _Killed(BaseException):
    pass


def state_of(s: Any) -> Path:
    """The state of a training that was killed after its first epoch."""
    from differnet_lite import resuming

    s.patch.setattr(resuming, "SHARE", float("inf"))
    keep, made = resuming.TrainingState.keep, []

    def kept_once(self: Any, *a: Any) -> None:
        keep(self, *a)
        made.append(self.path)
        raise _Killed

    with s.patch.context() as patch:
        patch.setattr(resuming.TrainingState, "keep", kept_once)
        with contextlib.suppress(_Killed):
            trained(s)
    return made[0]


def trained(s: Any) -> DifferNet:
    model = DifferNet(**s.tiny | {"calibration": "split", "cache": None, "epochs": 3})
    return model.fit(sorted(s.photographs.iterdir())[:8], checkpoint=s.folder / "kept")


def resumed(change: Callable[[dict, dict], Any], s: Any) -> Any:
    path = state_of(s)
    header, tensors = read_checkpoint(path, kind="training")
    change(header, tensors)
    whole = json.dumps(header | {"sha256": digest(header, tensors)})
    path.write_bytes(save(tensors, metadata={"differnet_lite": whole}))
    model = trained(s)
    assert model.history_["epoch"] == [1, 2, 3], model.history_
    return model


def histories(**changed: Any) -> Callable[[dict, dict], Any]:
    return lambda header, tensors: header["history"].update(changed)


def moment(
    name: str, change: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[[dict, dict], Any]:
    def forge(header: dict, tensors: dict) -> None:
        found = sorted(n for n in tensors if n.startswith(name))[0]
        tensors[found] = change(tensors[found]).contiguous()

    return forge


STATES: dict[str, Callable[[dict, dict], Any]] = {
    "history of five epochs": histories(epoch=[1, 2, 3, 4, 5], train=[1.0] * 5),
    "history that begins at 7": histories(epoch=[7]),
    "history of words": histories(train=["low"]),
    "history of unequal length": histories(train=[1.0, 2.0]),
    "history with more": histories(validation=[1.0]),
    "no history": lambda header, tensors: header.pop("history"),
    "history null": lambda header, tensors: header.update(history=None),
    "key of another": lambda header, tensors: header["key"].update(flow=7),
    "no key": lambda header, tensors: header.pop("key"),
    "generator short": moment("generator", lambda x: x[:100]),
    "generator of zeros": moment("generator", torch.zeros_like),
    "generator of floats": moment("generator", lambda x: x.float()),
    "no generator": lambda header, tensors: tensors.pop("generator"),
    "moments of another size": moment("optimiser.0.exp_avg", lambda x: x.reshape(-1)[:1]),
    "squares below 0": moment("optimiser.0.exp_avg_sq", lambda x: x - 1),
    "a step of -5": moment("optimiser.0.step", lambda x: x * 0 - 5),
    "no moments": lambda header, tensors: [
        tensors.pop(n) for n in list(tensors) if n.startswith("optimiser")
    ],
    "moments of a parameter more": lambda header, tensors: tensors.update(
        {"optimiser.999.exp_avg": torch.zeros(2)}
    ),
    "moments of no number": lambda header, tensors: tensors.update(
        {"optimiser.x.exp_avg": torch.zeros(2)}
    ),
    "a flow of another size": moment("flow.", lambda x: x.reshape(-1)[:1]),
    "tensors more": lambda header, tensors: tensors.update(more=torch.zeros(2)),
    "a permutation of another order": moment("flow.chain.module_list.1.perm", lambda x: x.flip(0)),
}

# ---------------------------------------------------------------- the authors' weights


def theirs(change: Callable[[dict[str, Any]], Any], s: Any) -> Any:
    shapes = {"fc1": (16, 3), "fc2": (16, 16), "fc2b": (16, 16), "fc3": (6, 16)}
    state: dict[Any, Any] = {}
    for k in (2, 4):
        for layer, shape in shapes.items():
            for net in ("s1", "s2"):
                state[f"nf.module_list.{k}.{net}.{layer}.weight"] = torch.full(shape, 0.1)
                state[f"nf.module_list.{k}.{net}.{layer}.bias"] = torch.zeros(shape[0])
    found = change(state)
    return flow_of_authors(state if not isinstance(found, dict | list | str) else found)


FIRST = "nf.module_list.2.s1.fc1.weight"
THEIRS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "empty": lambda d: d.clear(),
    "a list": lambda d: list(d),
    "a text": lambda d: "weights.pt",
    "a number as a name": lambda d: d.update({3: torch.zeros(1)}),
    "None as a name": lambda d: d.update({None: torch.zeros(1)}),
    "arrays": lambda d: d.update({n: x.numpy() for n, x in d.items()}),
    "an array": lambda d: d.update({sorted(d)[-1]: d[sorted(d)[-1]].numpy()}),
    "NaN": lambda d: d[FIRST].fill_(float("nan")),
    "integers": lambda d: d.update({FIRST: d[FIRST].int()}),
    "complex": lambda d: d.update({FIRST: d[FIRST].to(torch.complex64)}),
    "meta": lambda d: d.update({FIRST: d[FIRST].to("meta")}),
    "sparse": lambda d: d.update({FIRST: d[FIRST].to_sparse()}),
    "turned": lambda d: d.update({FIRST: d[FIRST].T}),
    "a block without number 2": lambda d: [d.pop(n) for n in list(d) if ".2." in n],
    "a block missing in the middle": lambda d: d.update(
        {n.replace(".4.", ".8."): d.pop(n) for n in list(d) if ".4." in n}
    ),
    "no columns": lambda d: d.update({n: x[..., :0] for n, x in d.items() if "fc1.w" in n}),
    "a network in a network": lambda d: d.update({"model": dict(d)}),
    "prefixes mixed": lambda d: d.update({FIRST[3:]: d.pop(FIRST)}),
}

# ---------------------------------------------------------------- numbers

TIES = np.array([1.0] * 50)


def tied(s: Any) -> bool:
    """Of a hundred equal scores none is a false alarm."""
    theta, p = conformal_threshold(TIES, 0.05), p_values(TIES, TIES)
    return not (theta.value <= TIES).any() and bool((p == 1).all())


def largest(s: Any) -> bool:
    """The largest float has no next one."""
    scores = np.full(99, np.finfo(float).max)
    theta = conformal_threshold(scores, 0.05)
    return bool(np.isfinite(theta.value))


NUMBERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "equal scores": (tied, "right"),
    "scores of the largest float": (largest, "either"),
    "scores of 10^308 for a quantile": (
        lambda s: np.isfinite(quantile_threshold([-1.7e308, 1.7e308], 0.5).value),
        "either",
    ),
    "scores of fractions": (
        lambda s: conformal_threshold([Fraction(k, 3) for k in range(40)]),
        "refused",
    ),
    "scores of truth values": (lambda s: conformal_threshold([True, False] * 20), "either"),
    "scores of 2^63": (lambda s: p_values([2**63 - 1] * 20, [2**63 - 2]).item() == 1, "either"),
    "scores of int8": (
        lambda s: p_values(np.arange(-20, 20, dtype=np.int8), np.array([-128], np.int8)) == 1,
        "right",
    ),
    "scores of masked places": (
        lambda s: conformal_threshold(np.ma.masked_array(np.arange(40.0), np.arange(40) > 20)),
        "refused",
    ),
    "masked scores to judge": (
        lambda s: p_values(np.arange(40.0), np.ma.masked_array([1.0, 2.0], [True, False])),
        "refused",
    ),
    "labels of masked places": (
        lambda s: metrics.auroc(np.ma.masked_array([0, 1, 1], [False, False, True]), [1.0, 2, 3]),
        "refused",
    ),
    "labels -1 and 1": (lambda s: metrics.auroc([-1, -1, 1, 1], [1.0, 2, 3, 4]), "refused"),
    "labels 1 and 2": (lambda s: metrics.auroc([1, 1, 2, 2], [1.0, 2, 3, 4]), "refused"),
    "labels of 0.5": (lambda s: metrics.auroc([0, 0.5, 1, 1], [1.0, 2, 3, 4]), "refused"),
    "decisions of 0.5": (lambda s: metrics.rates([0, 0, 1, 1], [0, 0.5, 1, 1]), "refused"),
    "decisions -1 and 1": (lambda s: metrics.rates([0, 0, 1, 1], [1, 1, -1, -1]), "refused"),
    "kinds with Good": (
        lambda s: metrics.auroc_by_kind(["good", "Good", "dent"], [1.0, 2, 3]),
        "refused",
    ),
    "a metric that gives NaN": (
        lambda s: metrics.bootstrap(lambda y, s: float("nan"), [0, 1], [1.0, 2.0], n_resamples=3),
        "refused",
    ),
    "a metric that gives words": (
        lambda s: metrics.bootstrap(lambda y, s: "high", [0, 1], [1.0, 2.0], n_resamples=3),
        "refused",
    ),
    "a metric that gives an array": (
        lambda s: metrics.bootstrap(lambda y, s: np.ones(3), [0, 1], [1.0, 2.0], n_resamples=3),
        "refused",
    ),
    "masks of 255": (
        lambda s: (
            metrics.aupro([np.eye(8) * 255], [np.eye(8)]) == metrics.aupro([np.eye(8)], [np.eye(8)])
        ),
        "either",
    ),
    "masks of 0.5": (lambda s: metrics.pixel_auroc([np.eye(8) * 0.5], [np.eye(8)]), "refused"),
    "masks of -1": (lambda s: metrics.pixel_auroc([-np.eye(8)], [np.eye(8)]), "refused"),
    "masks of three colours": (
        lambda s: metrics.pixel_auroc([np.dstack([np.eye(8)] * 3)], [np.dstack([np.eye(8)] * 3)]),
        "refused",
    ),
    "constant maps": (
        lambda s: metrics.pixel_auroc([np.eye(8)], [np.ones((8, 8))]) == 0.5,
        "right",
    ),
    "p-values above 1": (lambda s: select([0.5, 1.5], 0.1), "refused"),
    "p-values of 0": (lambda s: select([0.0, 0.5], 0.1), "either"),
    "p-values below 0": (lambda s: select([-0.1, 0.5], 0.1), "refused"),
    "a subset of more than there are": (lambda s: subset(list(range(5)), 9, 0), "refused"),
    "too few for a pac threshold": (lambda s: pac_threshold([1.0, 2.0], 0.01), "refused"),
    "alpha of the smallest float": (lambda s: conformal_threshold(range(99), 5e-324), "refused"),
    "no angles": (lambda s: Transformations.grid(0), "refused"),
    "angles below 0": (lambda s: Transformations.grid(-4), "refused"),
    "angles of 2.5": (lambda s: Transformations.grid(2.5), "refused"),  # type: ignore[arg-type]
    "a seed twice": (
        lambda s: len(Grid(methods=["1-nn"], categories=[s.category], seeds=[0, 0]).cells()) == 1,
        "right",
    ),
    "a category by two names": (
        lambda s: Grid(methods=["1-nn"], categories=[s.category, _link(s)]).cells(),
        "either",
    ),
    "settings of NaN": (
        lambda s: Grid(
            methods=["differnet"], categories=[s.category], settings=[{"noise": float("nan")}]
        ).cells(),
        "refused",
    ),
    "settings of an object": (
        lambda s: Grid(
            methods=["differnet"], categories=[s.category], settings=[{"noise": object()}]
        ).cells(),
        "refused",
    ),
}


def _link(s: Any) -> Path:
    (s.folder / "again").symlink_to(s.category)
    return s.folder / "again"


# ---------------------------------------------------------------- folders and images


def deep_behind_a_link(s: Any) -> int:
    """Images below a linked folder count as those in it do."""
    put_picture(s, 0, s.folder / "elsewhere" / "0.png")
    put_picture(s, 1, s.folder / "elsewhere" / "deep" / "1.png")
    put_picture(s, 2, s.folder / "f" / "2.png")
    (s.folder / "f" / "link").symlink_to(s.folder / "elsewhere")
    return len(list_images(s.folder / "f"))


def two_links(s: Any) -> int:
    put_picture(s, 0, s.folder / "elsewhere" / "0.png")
    (s.folder / "f").mkdir()
    for name in "ab":
        (s.folder / "f" / name).symlink_to(s.folder / "elsewhere")
    return len(list_images(s.folder / "f"))


def links_to_each_other(s: Any) -> int:
    for name, other in ("ab", "ba"):
        put_picture(s, ord(name), s.folder / name / "0.png")
        (s.folder / name / "other").symlink_to(s.folder / other)
    return len(list_images(s.folder / "a"))


def composed(s: Any) -> Any:
    """A mask whose name is spelled with another accent, as a Mac's archives do."""
    root = s.folder / "part"
    shutil.copytree(s.category, root)
    plain = unicodedata.normalize("NFC", "né")
    (root / "test/dent/0.png").rename(root / "test/dent" / f"{plain}.png")
    apart = unicodedata.normalize("NFD", plain)
    (root / "ground_truth/dent/0_mask.png").rename(root / "ground_truth/dent" / f"{apart}_mask.png")
    found = load_category(root)
    return all(mask for kind, mask in zip(found.kinds, found.masks, strict=True) if kind != "good")


def a_mask_too_few(s: Any) -> Any:
    root = s.folder / "part"
    shutil.copytree(s.category, root)
    (root / "ground_truth/dent/0_mask.png").rename(root / "ground_truth/dent/00_mask.png")
    return load_category(root)


def a_mask_that_is_a_jpeg(s: Any) -> bool:
    """Grey noise of a JPEG beside the white is no defect."""
    from differnet_lite.folders import load_mask

    marked = np.zeros((64, 64), np.uint8)
    marked[16:48, 20:40] = 255
    Image.fromarray(marked).save(s.folder / "m.jpg", quality=75)
    found = load_mask(s.folder / "m.jpg", 64)
    return bool((found == (marked > 0)).mean() > 0.99)


def a_leak(s: Any) -> Any:
    root = s.folder / "part"
    shutil.copytree(s.category, root)
    for k in range(3):
        shutil.copy(root / f"train/good/{k}.png", root / f"test/good/{k}.png")
    return evaluate(s.model, root, alpha=0.2)


def long_names(s: Any) -> bool:
    path = put_picture(s, 0, s.folder / "f" / ("a" * 250 + ".png"))
    write_overlays(s.folder / "maps", s.model, [path])
    return len(list((s.folder / "maps").iterdir())) == 1


def scored(s: Any, image: Any) -> Any:
    return s.model.anomaly_scores([image])


def closed(s: Any) -> Any:
    image = Image.open(sorted(s.photographs.iterdir())[0])
    image.close()
    return scored(s, image)


def lazy(s: Any) -> Any:
    content = sorted(s.photographs.iterdir())[0].read_bytes()
    (s.folder / "cut.png").write_bytes(content[: len(content) // 2])
    return scored(s, Image.open(s.folder / "cut.png"))


def broken_lazy(s: Any) -> Any:
    content = bytearray(sorted(s.photographs.iterdir())[0].read_bytes())
    content[60:64] = b"\xff\xff\xff\xff"
    (s.folder / "b.png").write_bytes(bytes(content))
    return scored(s, Image.open(s.folder / "b.png"))


def truncated_switch(s: Any) -> Any:
    """Another library has told Pillow to fill up what is cut off."""
    from PIL import ImageFile

    s.patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    content = sorted(s.photographs.iterdir())[0].read_bytes()
    (s.folder / "cut.png").write_bytes(content[: len(content) // 2])
    return scored(s, s.folder / "cut.png")


IMAGES: dict[str, Callable[[Any], Any]] = {
    "a masked array": lambda s: scored(
        s, np.ma.masked_array(s.picture(0), mask=s.picture(0) > 100)
    ),
    "a quantized tensor": lambda s: scored(
        s, torch.quantize_per_tensor(torch.zeros(3, 8, 8), 0.1, 0, torch.quint8)
    ),
    "a nested tensor": lambda s: scored(s, torch.nested.nested_tensor([torch.zeros(3, 8)])),
    "a tensor of float8": lambda s: scored(s, torch.zeros(3, 8, 8).to(torch.float8_e4m3fn)),
    "an array of long doubles above 1": lambda s: scored(s, np.full((8, 8), 1.5, np.longdouble)),
    "an array that is its own": lambda s: scored(s, np.zeros((8, 8)).view(np.matrix)),
    "a closed Pillow image": closed,
    "a Pillow image of a file cut short": lazy,
    "a Pillow image of a broken file": broken_lazy,
    "a Pillow image of no size": lambda s: scored(s, Image.new("RGB", (0, 5))),
    "a file cut short, and a switch to fill it up": truncated_switch,
    "a set of paths": lambda s: s.model.anomaly_scores(set(s.photographs.iterdir())),
    "a list in a list": lambda s: s.model.anomaly_scores([[s.picture(0)]]),
    "a batch in a list": lambda s: s.model.anomaly_scores([np.stack([s.picture(0)] * 2)]),
}

# ---------------------------------------------------------------- rows, objects, explorers


def row(change: dict[str, Any], s: Any) -> Any:
    cell = Cell("1-nn", "/data/part", 0, "{}", None, "0")
    good = dict.fromkeys(COLUMNS) | {
        "method": "1-nn", "category": "part", "seed": 0, "options": "{}", "auroc": 0.9,
        "average_precision": 0.9, "auroc_by_kind": "{}", "n_train": 5, "n_test": 4,
        "fit_s": 1.0, "score_s": 1.0, "when": "2026-01-01T00:00:00+00:00", "version": "1",
        "machine": "x", "threads": 1, "key": cell.key,
    }  # fmt: skip
    path = s.folder / "row.json"
    write_row(path, good)
    assert read_row(path, cell) == good
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return read_row(path, cell)


ROWS: dict[str, dict[str, Any]] = {
    "an AUROC of 7": {"auroc": 7.0},
    "an AUROC of NaN": {"auroc": float("nan")},
    "an AUROC in words": {"auroc": "high"},
    "no AUROC and no error": {"auroc": None},
    "of another seed": {"seed": 5},
    "of another method": {"method": "ocsvm"},
    "seconds below 0": {"fit_s": -1.0},
    "kinds that are no JSON": {"auroc_by_kind": "{"},
    "an error that is a number": {"error": 3},
}


def copied(make: Callable[[Any], Any], s: Any) -> bool:
    images = [s.picture(0), s.picture(1)]
    return bool((make(s.model).anomaly_scores(images) == s.model.anomaly_scores(images)).all())


def spoilt(change: Callable[[DifferNet], Any], s: Any) -> Any:
    """A model that was changed by hand after it was loaded."""
    model = DifferNet.load(s.saved, device="cpu", cache=None, progress=False)
    change(model)
    images = [s.picture(0)]
    found = model.anomaly_scores(images), model.p_values(images), model.anomaly_maps(images)
    model.save(s.folder / "again")
    assert all(np.isfinite(x).all() for x in found)
    return DifferNet.load(s.folder / "again", device="cpu", cache=None, progress=False)


def _fill(x: torch.Tensor, value: float) -> None:
    x.data.fill_(value)


SPOILT: dict[str, Callable[[DifferNet], Any]] = {
    "weights of NaN": lambda m: _fill(next(m.flow_.parameters()), float("nan")),
    "weights of 10^38": lambda m: [
        _fill(p, 1e38) for p in m.flow_.parameters() if p.is_floating_point()
    ],
    "calibration of NaN": lambda m: m.calibration_scores_.fill(np.nan),
    "calibration of words": lambda m: setattr(m, "calibration_scores_", np.array(["a"] * 9)),
    "calibration a list": lambda m: setattr(m, "calibration_scores_", [1.0, float("inf")]),
    "n_train of 0": lambda m: setattr(m, "n_train_", 0),
    "history gone": lambda m: delattr(m, "history_"),
    "calibrated by nobody": lambda m: setattr(m, "calibrated_by_", "nobody"),
    "angles of NaN": lambda m: setattr(m, "angles_", (float("nan"),)),
    "other angles": lambda m: setattr(m, "angles_", (0.0, 1.0, 2.0, 3.0)),
}


def html(make: Callable[[str], str], s: Any) -> bool:
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    return bad not in make(bad) and "<img src=x" not in make(bad)


def report(s: Any, **given: Any) -> str:
    common: dict[str, Any] = {"summary": [("a", "b")], "figures": [], "notes": []}
    write_report(s.folder / "r.html", **{"title": "t"} | common | given)
    return (s.folder / "r.html").read_text()


SCORES = np.linspace(1, 3, 40)
KINDS = ["good"] * 20 + ["dent"] * 20


def threshold_explorer(**given: Any) -> ThresholdExplorer:
    return ThresholdExplorer(np.linspace(1, 2, 30), SCORES, KINDS, **given)


def moved(s: Any) -> bool:
    """What a slider does not have it refuses; it stays where it was."""
    explorer = threshold_explorer()
    for value in (-1, 10**9, "a", 0.123, float("nan")):
        for slider in (explorer.theta_slider, explorer.alpha_slider):
            before = slider.value
            with contextlib.suppress(TraitError):
                slider.value = value
                return False
            if slider.value != before:
                return False
    return bool(np.isfinite(explorer.theta)) and explorer.confusion().sum() == 40


EXPLORERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "sliders set to nonsense": (moved, "right"),
    "threshold: names of HTML": (
        lambda s: html(
            lambda bad: (
                threshold_explorer(names=[bad] * 40).flips.value
                + threshold_explorer(names=[bad] * 40).label.value
            ),
            s,
        ),
        "right",
    ),
    "threshold: all equal": (
        lambda s: ThresholdExplorer(np.ones(30), np.ones(40), KINDS).confusion().sum() == 40,
        "right",
    ),
    "threshold: one score each": (
        lambda s: ThresholdExplorer([1.0], [2.0], ["good"]).confusion().sum() == 1,
        "right",
    ),
    "threshold: scores of 10^308": (
        lambda s: ThresholdExplorer([1.7e308, -1.7e308], [0.0], ["good"]),
        "either",
    ),
    "threshold: a kind Good": (
        lambda s: ThresholdExplorer(np.ones(30), np.ones(2), ["good", "Good"]),
        "refused",
    ),
    "threshold: scores of masked places": (
        lambda s: ThresholdExplorer(np.ones(30), np.ma.masked_array([1.0, 2], [True, False])),
        "refused",
    ),
    "rotation: an angle twice": (
        lambda s: RotationExplorer(s.picture(0), [0.0, 0.0], {"black": np.eye(2)}),
        "either",
    ),
    "rotation: angles turned round": (
        lambda s: RotationExplorer(s.picture(0), [90.0, 0.0], {"black": np.eye(2)}),
        "either",
    ),
    "loss of NaN": (
        lambda s: LiveLoss(3)(1, {"epoch": [1], "train": [float("nan")], "held_out": []}, None),
        "refused",
    ),
    "loss of an epoch too many": (
        lambda s: LiveLoss(1)(5, {"epoch": [1, 2], "train": [1.0, 2.0], "held_out": []}, None),
        "either",
    ),
    "loss without a history": (lambda s: LiveLoss(1)(1, {}, None), "refused"),
    "loss of unequal lengths": (
        lambda s: LiveLoss(3)(1, {"epoch": [1, 2], "train": [1.0], "held_out": []}, None),
        "refused",
    ),
    "report: HTML in its title": (lambda s: html(lambda b: report(s, title=b), s), "right"),
    "report: HTML in its rows": (lambda s: html(lambda b: report(s, summary=[(b, b)]), s), "right"),
    "report: HTML in a note": (lambda s: html(lambda b: report(s, notes=[b]), s), "right"),
    "report: HTML in a figure": (
        lambda s: html(lambda b: report(s, figures=[("a", "b", plot_scores(SCORES, [b] * 40))]), s),
        "right",
    ),
    "report: half characters": (lambda s: report(s, title="\ud800"), "either"),
    "report: a zero byte": (lambda s: "\0" not in report(s, title="a\0b"), "either"),
}


def cases() -> Iterator[Case]:
    for name, change in STATES.items():
        expect = "either" if name == "generator of zeros" else "refused"
        yield Case("4 training states", name, functools.partial(resumed, change), expect)
    for name, change_state in THEIRS.items():
        yield Case("4 weights of others", name, functools.partial(theirs, change_state))
    for name, (run, expect) in NUMBERS.items():
        yield Case("9 numbers", name, run, expect, bool if expect != "refused" else None)
    for count, link in ((3, deep_behind_a_link), (1, two_links), (2, links_to_each_other)):
        yield Case("1 links", link.__name__, link, "right", functools.partial(operator.eq, count))
    yield Case("8 masks", "an accent in two spellings", composed, "right", bool)
    yield Case("8 masks", "a mask too few", a_mask_too_few, "right", None, "fit no image")
    yield Case("8 masks", "a mask that is a JPEG", a_mask_that_is_a_jpeg, "right", bool)
    yield Case(
        "1 copies",
        "a test image among the training images",
        a_leak,
        "right",
        None,
        "content of a tr",
    )
    yield Case("14 names", "maps of a name of 254 bytes", long_names, "right", bool)
    for name, run_image in IMAGES.items():
        yield Case("13 odd images", name, run_image)
    for name, values in ROWS.items():
        yield Case(
            "14 kept results",
            f"row with {name}",
            functools.partial(row, values),
            "right",
            lambda r: r is None,
            "damaged",
        )
    for name, make in {
        "copy": copy.copy,
        "deep copy": copy.deepcopy,
        "pickle": lambda m: pickle.loads(pickle.dumps(m)),
    }.items():
        yield Case("13 copies of a model", name, functools.partial(copied, make), "right", bool)
    for name, change_model in SPOILT.items():
        yield Case(
            "2 models changed by hand",
            name,
            functools.partial(spoilt, change_model),
            "refused",
            raises=(ValueError, TypeError, FloatingPointError, AttributeError),
        )
    for name, (run_explorer, expect) in EXPLORERS.items():
        check = bool if expect == "right" else None
        yield Case("13 explorers", name, run_explorer, expect, check)
