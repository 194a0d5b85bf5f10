"""Wrong kinds and values in the arguments of the public functions (classes 7, 9 and 13)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from differnet_course import flows, studies
from differnet_course.baselines import load_detector, make_detector
from differnet_course.experiments import Grid, subset
from differnet_course.samples import make_sample_category, render
from differnet_lite import (
    DifferNet,
    Settings,
    Transformations,
    evaluate,
    load_category,
    metrics,
    splits,
)
from differnet_lite import groups as copies
from differnet_lite import images as data_images
from differnet_lite import thresholds as thresholding
from differnet_lite.cache import FeatureCache
from differnet_lite.checkpoint import read_checkpoint
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import build_flow, soft_clamp
from differnet_lite.folders import load_mask, training_images
from differnet_lite.listing import as_images, list_images
from differnet_lite.loss import nll
from differnet_lite.maps import evenly
from differnet_lite.reference import reference_maps
from differnet_lite.sampling import view_sampler, whitening_matrix
from differnet_lite.scoring import Scorer, latents, score_views
from differnet_lite.transforms import rotate
from differnet_lite.trunk import load_trunk, resolve_device
from tests.hostile.harness import Case
from tests.hostile.kinds import (
    Argument,
    argument,
    count,
    function,
    image,
    images,
    names,
    number,
    numbers,
    path,
    share,
    tensor,
    text,
    thing,
    truth,
    word,
)


@dataclasses.dataclass(frozen=True)
class Call:
    """A function, and what it takes; a good value of each is a good call."""

    name: str
    function: Callable[[Any], Callable[..., Any]]
    arguments: dict[str, Argument]

    def good(self, s: Any) -> Any:
        return self.function(s)(**{name: a.good(s) for name, a in self.arguments.items()})

    def bad(self, s: Any, name: str, make: Callable[[Any], Any]) -> Any:
        given = {n: a.good(s) for n, a in self.arguments.items()} | {name: make(s)}
        answer = self.function(s)(**given)
        return list(answer) if hasattr(answer, "__next__") else answer


def call(function: Callable[..., Any], **arguments: Argument) -> Call:
    return Call(function.__name__, lambda _: function, arguments)


def method(name: str, **arguments: Argument) -> Call:
    return Call(f"model.{name}", lambda s: getattr(s.model, name), arguments)


SCORES = tuple(float(k) for k in range(1, 41))
LABELS = [0] * 20 + [1] * 20


def picture(s: Any) -> np.ndarray:
    return s.picture(0)


def pictures(s: Any) -> list[np.ndarray]:
    return [s.picture(k) for k in range(4)]


def photographs(s: Any) -> list[Any]:
    return sorted(s.photographs.iterdir())[:4]


def rows(*shape: int) -> Callable[[Any], torch.Tensor]:
    return lambda _: torch.linspace(0, 1, int(np.prod(shape))).view(*shape)


def labels() -> Argument:
    return numbers(LABELS).but(others=[2] * 40, one_class=[0] * 40, short=[0, 1])


def scores() -> Argument:
    return numbers(SCORES).but(short=[1.0])


def masks() -> Argument:
    good = [np.eye(8, dtype=bool)]
    bad: dict[str, Any] = {"none": None, "empty": [], "text": "abc", "vector": [np.zeros(8)]}
    bad |= {"black": [np.zeros((8, 8))], "another size": [np.eye(9)], "two": [np.eye(8)] * 2}
    bad |= {"nan": [np.where(np.eye(8) > 0, np.nan, 0.0)]}
    return argument(lambda _: good, **bad)


def maps() -> Argument:
    good = [np.eye(8)]
    bad: dict[str, Any] = {"none": None, "empty": [], "text": "abc", "vector": [np.zeros(8)]}
    bad |= {"nan": [np.full((8, 8), np.nan)], "inf": [np.full((8, 8), np.inf)], "nones": [None]}
    bad |= {"words": [np.full((8, 8), "a")], "complex": [np.eye(8) + 1j]}
    return argument(lambda _: good, **bad)


def device() -> Argument:
    wrong: dict[str, Any] = {"none": None, "number": 3.5, "unknown": "gpu", "xpu": "xpu"}
    wrong |= {"meta": "meta", "empty": "", "list": ["cpu"], "negative": "cuda:-2", "odd": "cpu:x"}
    return argument("cpu", **wrong)


def one_image() -> Argument:
    return images(photographs, nothing=False)


CALLS = [
    call(
        thresholding.conformal_threshold,
        scores=numbers(SCORES),
        alpha=share(),
        if_too_few=word("raise"),
        cross=truth(),
    ),
    call(thresholding.pac_threshold, scores=numbers(SCORES), alpha=share(0.2), delta=share()),
    call(thresholding.quantile_threshold, scores=numbers(SCORES), alpha=share()),
    call(thresholding.p_values, calibration=numbers(SCORES), scores=numbers(SCORES, empty=False)),
    call(metrics.auroc, labels=labels(), scores=scores()),
    call(metrics.average_precision, labels=labels(), scores=scores()),
    call(metrics.rates, labels=labels(), decisions=numbers(LABELS).but(short=[1])),
    call(
        metrics.bootstrap,
        metric=function(metrics.auroc),
        labels=labels(),
        scores=scores(),
        n_resamples=count(3),
        confidence=share(0.9),
        seed=count(0, least=0),
    ),
    call(metrics.auroc_by_kind, kinds=names(["good"] * 20 + ["dent"] * 20), scores=scores()),
    call(metrics.aupro, masks=masks(), maps=maps(), max_fpr=share(0.3).fine("one")),
    call(metrics.pixel_auroc, masks=masks(), maps=maps()),
    call(
        splits.held_out_split,
        groups=numbers(list(range(40))).fine(
            "complex", "words", "one axis more", "nan", "inf", "minus inf", "objects"
        ),
        share=share(),
        seed=count(0, least=None),
    ),
    call(
        splits.cross_splits,
        groups=Argument(lambda _: range(40), {}),
        folds=count(3, least=2),
        seed=count(0, least=None),
    ),
    call(copies.near_copies, images=images(pictures, nothing=False)),
    call(copies.without_copies, images=images(pictures, nothing=False)),
    call(data_images.as_rgb, image=image(picture)),
    call(data_images.decode, image=image(picture), size=count(32)),
    call(data_images.digest, image=image(picture)),
    call(
        as_images,
        images=Argument(
            pictures,
            {
                "none": lambda _: None,
                "number": lambda _: 3,
                "bytes": lambda _: b"x",
                "mapping": lambda _: {"a": 1},
                "vector": lambda _: np.zeros(3),
                "five axes": lambda _: np.zeros((1, 1, 1, 1, 1)),
                "channels": lambda _: np.zeros((9, 9, 9)),
                "missing": lambda _: "no/such/folder",
                "zero byte": lambda _: "a\0b",
                "long": lambda _: "a" * 300,
                "class": lambda _: Image.Image,
                "true": lambda _: True,
            },
        ),
    ),
    call(list_images, source=path(lambda s: s.photographs)),
    call(
        training_images,
        source=images(lambda s: s.photographs).fine(
            *[n for n in images(photographs).bad if n.startswith("with ")],
            "numbers",
            "nones",
            "bytes in it",
            "decimal",
            "missing",
        ),
    ),
    call(load_category, root=path(lambda s: s.category).but(file=lambda s: s.saved)),
    call(
        load_mask,
        path=path(lambda s: s.category / "ground_truth/dent/0_mask.png")
        .fine("none")
        .but(no_image=lambda s: s.saved),
        size=count(32),
    ),
    call(
        read_checkpoint,
        path=path(lambda s: s.saved).but(folder=lambda s: s.photographs),
        kind=text("differnet").fine("none"),
    ),
    call(
        load_detector,
        path=path(lambda s: s.saved),
        device=device(),
        cache=path(lambda s: s.folder / "c", missing=False).fine("none"),
        progress=truth(),
    ),
    call(make_detector, name=word("1-nn")),
    call(
        evaluate,
        model=thing(lambda s: s.model),
        category=path(lambda s: s.category),
        alpha=share(0.2),
        maps=truth(),
        scores=numbers(np.arange(6.0)).fine("none").but(short=[1.0]),
    ),
    call(resolve_device, device=device()),
    call(
        load_trunk,
        backbone=word("alexnet"),
        weights=path(lambda _: "bundled")
        .fine("url")
        .but(no_weights=lambda s: s.saved, folder=lambda s: s.photographs),
    ),
    call(
        MultiScaleExtractor,
        size=count(64, least=63),
        n_scales=count(1),
        downscale=word("area"),
        device=device(),
        dtype=word("float32"),
        backbone=word("alexnet"),
    ),
    call(
        rotate,
        images=tensor(rows(1, 3, 8, 8)).but(oblong=rows(1, 3, 8, 9), flat=rows(3, 8, 8)),
        angles=number(30.0),
        fill=word("reflection"),
        interpolation=word("bilinear"),
    ),
    call(
        build_flow,
        n_features=count(6, least=2),
        n_blocks=count(2),
        hidden=count(8),
        clamp=number(2.0).but(zero=0.0, negative=-1.0),
        start_as_identity=truth(),
        seed=count(0, least=0).fine("none"),
    ),
    call(soft_clamp, h=tensor(rows(4)).fine("scalar"), clamp=number(2.0).but(zero=0.0, minus=-1.0)),
    call(
        whitening_matrix,
        y=tensor(rows(9, 4)).but(
            nan=lambda _: torch.full((9, 4), torch.nan),
            flat=rows(9),
            nothing=lambda _: torch.empty(0, 4),
        ),
        eps=number(0.1).but(zero=0.0, minus=-1.0),
    ),
    call(nll, z=tensor(rows(5, 4)), log_det=tensor(rows(5)).but(short=rows(4))),
    call(score_views, z=tensor(rows(5, 4)), log_det=tensor(rows(5)), use_log_det=truth(True)),
    call(
        view_sampler,
        features=tensor(rows(5, 4, 6)).but(flat=rows(5, 4)),
        views_per_image=count(2),
        pool_views=truth(),
    ),
    Call(
        "latents",
        lambda s: functools.partial(latents, s.model.flow_),
        {
            "rows": tensor(rows(5, 4, 256)).but(flat=rows(5, 256), other=rows(5, 4, 7)),
            "batch_size": count(4),
        },
    ),
    Call(
        "Scorer.scores",
        lambda s: s.model.scorer.scores,
        {
            "features": tensor(rows(5, 4, 256)).but(
                flat=rows(5, 256), no_views=lambda _: torch.empty(5, 0, 256)
            )
        },
    ),
    call(Scorer, score_rows=function(lambda x: x), pool_views=truth()),
    call(evenly, total=count(8), n=count(4)),
    Call(
        "reference_maps",
        lambda s: functools.partial(reference_maps, s.extractor, transformations=Transformations()),
        {"images": images(pictures, nothing=False), "angles": numbers([0.0, 90.0]).fine("objects")},
    ),
    call(
        make_sample_category,
        category=word("flange"),
        root=path(lambda s: s.folder, missing=False).fine("none"),
        n_train=count(1),
        n_test_good=count(0, least=0),
        n_per_defect=count(0, least=0),
        seed=count(0, least=0),
        progress=truth(),
    ),
    call(
        render,
        category=word("flange"),
        rng=thing(lambda _: np.random.default_rng(0)),
        defect=word("dent").fine("none"),
        ageing=number(0.0).but(all=1.0, minus=-0.1),
    ),
    call(
        subset,
        images=thing(lambda _: list("abcdef")).fine("text", "list", "mapping"),
        n=count(3).fine("none"),
        seed=count(0, least=None),
    ),
    call(
        Grid,
        methods=names(["1-nn"]),
        categories=names(["data/flange"]),
        seeds=names([0]).fine("numbers").but(words=["a"], fractions=[0.5], negative=[-1]),
        settings=Argument(lambda _: [{}], {"none": lambda _: None, "words": lambda _: ["a"]}),
        n_train=names([1]).fine("numbers").but(zero=[0], words=["a"], fractions=[1.5]),
    ),
    call(flows.two_moons, n=count(8), noise=number(0.1).but(minus=-1.0), seed=count(0, least=0)),
    call(
        studies.simulated_rates,
        rule=function(thresholding.conformal_threshold),
        n=count(20),
        alpha=share(),
        n_sets=count(3),
        seed=count(0, least=0),
    ),
    call(
        studies.recalibrated_rates,
        rule=function(thresholding.conformal_threshold),
        scores=numbers(SCORES),
        n=count(20),
        alpha=share(),
        n_sets=count(3),
        seed=count(0, least=0),
    ),
    call(
        studies.paired_difference,
        metric=function(metrics.auroc),
        labels=labels(),
        first=scores(),
        second=scores(),
        n_resamples=count(3),
        seed=count(0, least=0),
    ),
    method("anomaly_scores", images=one_image()),
    method("judge", images=one_image(), alpha=share(0.2), if_too_few=word("fallback")),
    method("predict", images=one_image(), alpha=share(0.2)),
    method("p_values", images=one_image()),
    method("features", images=one_image(), description=text()),
    method("threshold", alpha=share(0.2), if_too_few=word("raise")),
    method(
        "anomaly_maps",
        images=one_image(),
        method=word("gradient").fine("none"),
        sigma=number(2.0).fine("none").but(minus=-1.0),
        n_angles=count(1).fine("none"),
    ),
    method("predict_masks", images=one_image(), alpha=share(0.2)),
    method("map_levels", alpha=share(0.2)),
    method(
        "save",
        path=path(lambda s: s.folder / "m.safetensors")
        .fine("half characters")
        .but(folder=lambda s: s.photographs),
    ),
    call(
        DifferNet.load,
        path=path(lambda s: s.saved),
        device=device(),
        progress=truth(),
        foreign_weights=truth(),
        cache=path(lambda s: s.folder / "c", missing=False).fine("none"),
    ),
    call(
        DifferNet,
        preset=word("default"),
        seed=count(0, least=0),
        progress=truth(),
        device=device(),
        cache=path(lambda s: s.folder / "c", missing=False).fine("none"),
    ),
    Call(
        "model.set_params",
        lambda s: DifferNet(**s.tiny).set_params,
        {"epochs": count(3), "noise": number(0.01).but(minus=-1.0)},
    ),
    Call(
        "model.fit",
        lambda s: DifferNet(**s.tiny, calibration="split").fit,
        {"images": images(pictures), "calibration": images(pictures).fine("none", "nothing")},
    ),
    Call(
        "FeatureCache",
        lambda s: functools.partial(FeatureCache, s.extractor, Transformations()),
        {
            "folder": path(lambda s: s.folder, missing=False).fine("none"),
            "batch_size": count(2).fine("none"),
            "seed": count(0, least=0),
            "progress": truth(),
        },
    ),
    Call(
        "FeatureCache.features",
        lambda s: (
            FeatureCache(s.extractor, Transformations(), folder=None, progress=False).features
        ),
        {"images": images(pictures, nothing=False), "angles": numbers([0.0, 90.0])},
    ),
]


SETTINGS: dict[str, Argument] = {
    "transformations": thing(lambda _: Transformations.grid(4)).fine("mapping"),
    "backbone": word("alexnet").fine("unknown", "upper"),
    "weights": word("bundled").fine("unknown", "upper"),
    "downscale": word("area"),
    "dtype": word("auto"),
    "train_dtype": word("auto"),
    "calibration": word("split"),
    **{name: truth(True) for name in ("pool_views", "whiten", "start_as_identity", "use_log_det")},
    "size": count(64, least=63).but(huge=10**6),
    "n_scales": count(1).but(many=9),
    "n_blocks": count(2).but(huge=10**6),
    "hidden": count(8).but(huge=10**9),
    **{name: count(2) for name in ("epochs", "batch_images", "views_per_image")},
    "reference_images": count(4, least=0),
    "folds": count(3, least=2),
    "holdout": share(),
    "noise": number(0.01).but(minus=-1.0),
    **{
        name: number(0.01).but(zero=0.0, minus=-1.0)
        for name in ("clamp", "learning_rate", "adam_eps")
    },
    "weight_decay": number(0.0).but(minus=-1.0),
    "betas": numbers([0.8, 0.9])
    .fine("one axis more")
    .but(one=[0.5], above=[0.5, 1.0], three=[0.1] * 3),
}
TRANSFORMATIONS: dict[str, Argument] = {
    "angles": numbers([0.0]).fine("none").but(digits="90"),
    "n_train": count(2),
    "n_test": count(2),
    "max_angle": number(90.0).but(minus=-1.0, much=181.0),
    "fill": word("reflection"),
    "interpolation": word("bilinear"),
    "brightness": number(0.1).but(minus=-0.1, one=1.0),
    "contrast": number(0.1).but(minus=-0.1, one=1.0),
}
RULES = [
    *(
        Call(
            "Settings", lambda _: functools.partial(Settings, size=64, n_scales=1), {name: argument}
        )
        for name, argument in SETTINGS.items()
    ),
    *(
        Call("Transformations", lambda _: Transformations, {name: argument})
        for name, argument in TRANSFORMATIONS.items()
    ),
]


RAISES = (ValueError, TypeError, OSError, RuntimeError)  # the last: a device that is not there


def cases() -> Iterator[Case]:
    yield from cases_of("7 settings", RULES)
    yield from cases_of("13 arguments", CALLS)


def cases_of(group: str, calls: Sequence[Call]) -> Iterator[Case]:
    """A case for each bad value of each argument; all others are good."""
    for made in calls:
        for name, given in made.arguments.items():
            for what, make in given.bad.items():
                run_it = functools.partial(_run, made, name, make)
                yield Case(group, f"{made.name}({name}={what})", run_it, raises=RAISES)


def _run(made: Call, name: str, make: Callable[[Any], Any], s: Any) -> Any:
    return made.bad(s, name, make)
