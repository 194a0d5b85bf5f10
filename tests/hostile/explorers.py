"""Figures, reports and the notebooks' explorers, given what they are not made for (class 13)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go

from differnet_course.plots import (
    evaluation_report,
    jpeg,
    plot_bars,
    plot_calibration,
    plot_covariance,
    plot_curves,
    plot_feature_maps,
    plot_gallery,
    plot_history,
    plot_images,
    plot_map,
    plot_qq,
    plot_rate_histograms,
    plot_roc,
    plot_scores,
    plot_shifts,
    plot_variances,
    plot_views,
    write_overlays,
    write_report,
)
from differnet_course.widgets import (
    LiveLoss,
    LocalizationExplorer,
    RotationExplorer,
    ThresholdExplorer,
)
from differnet_lite import evaluate
from tests.hostile.arguments import call, cases_of, labels, picture, pictures, scores
from tests.hostile.harness import Case
from tests.hostile.kinds import (
    Argument,
    argument,
    count,
    image,
    images,
    names,
    number,
    numbers,
    path,
    share,
    table,
    text,
    thing,
    truth,
)


def latents() -> Argument:
    return numbers(np.linspace(-1, 1, 40).reshape(10, 4), axes=2).but(
        flat=np.zeros(4), one=np.zeros((1, 4))
    )


def heat() -> Argument:
    return numbers(np.eye(8), axes=2).but(flat=np.zeros(8))


def scale() -> Argument:
    return argument(
        (0.0, 1.0),
        number=3,
        text="ab",
        equal=(1.0, 1.0),
        three=(0, 1, 2),
        nan=(0, np.nan),
        inf=(0, np.inf),
        words=("a", "b"),
        turned=(1.0, 0.0),
    )


KINDS = ["good"] * 20 + ["dent"] * 20
CALLS = [
    call(
        plot_curves,
        x=numbers([1.0, 2.0]).fine("one axis more", "nothing", "scalar", "nan", "inf", "minus inf"),
        curves=table(lambda _: {"a": [1.0, 2.0]}).fine("nothing").but(words={"a": ["x", "y"]}),
        x_title=text(),
        y_title=text(),
        title=text(),
        log=truth(),
    ),
    call(
        plot_history,
        history=table(lambda _: {"epoch": [1, 2], "train": [0.5, 0.4]}).but(
            uneven={"epoch": [1], "train": [1.0, 2.0]}, words={"epoch": ["a"], "train": ["b"]}
        ),
    ),
    call(
        plot_bars,
        names=names(["a", "b"]).fine("nothing", "numbers"),
        bars=table(lambda _: {"x": [1.0, 2.0]}).fine("nothing"),
        y_title=text(),
        stacked=truth(),
    ),
    call(jpeg, image=image(picture), side=count(32), quality=count(70)),
    call(plot_images, images=table(lambda s: {"a": s.picture(0)}), side=count(32)),
    call(plot_feature_maps, rows=table(lambda _: {"a": [("t", np.eye(4))]})),
    call(
        plot_qq,
        z=latents(),
        dimensions=argument([0], many=list(range(9)), out=[99], below=[-1], words=["a"], number=3),
    ),
    call(plot_variances, z=latents()),
    call(plot_covariance, z=latents(), n=count(4, least=2)),
    call(
        plot_map,
        image=image(picture),
        anomaly_map=heat(),
        scale=scale(),
        title=text(),
        opacity=number(0.5).but(above=1.5, below=-0.1),
    ),
    call(
        plot_gallery,
        images=images(lambda s: pictures(s)[:2]).fine("missing folder"),
        maps=argument(
            [np.eye(8)] * 2,
            none=None,
            few=[np.eye(8)],
            nan=[np.full((8, 8), np.nan)] * 2,
            text="ab",
            words=["a", "b"],
        ),
        titles=names(["a", "b"]).fine("numbers").but(few=["a"]),
        scale=scale(),
        columns=count(2),
        opacity=number(0.5).but(above=1.5),
        masks=argument([None, np.eye(8)], few=[None], flat=[np.zeros(3)] * 2, number=3),
    ),
    call(plot_roc, labels=labels(), scores=scores(), n_resamples=count(3), seed=count(0, least=0)),
    call(
        plot_calibration, p_values=numbers(np.linspace(0.1, 1, 40)).but(above=[2.0], below=[-0.5])
    ),
    call(
        plot_rate_histograms,
        rates=table(lambda _: {"a": np.linspace(0, 0.2, 9)}).fine("nothing"),
        alpha=share(),
        largest=number(0.3).but(zero=0.0, minus=-1.0),
    ),
    call(plot_scores, scores=scores(), kinds=names(KINDS).but(few=["good"]), log=truth()),
    call(
        plot_views,
        scores=numbers(np.linspace(1, 2, 8).reshape(2, 4), axes=2),
        angles=numbers([0.0, 90, 180, 270]),
        kinds=names(["good", "dent"]).but(few=["good"]),
        title=text(),
    ),
    call(
        plot_shifts,
        shifts=table(lambda _: {"a": 1.0}).fine("nothing").but(nan={"a": np.nan}, words={"a": "b"}),
        title=text(),
    ),
    call(
        write_report,
        path=path(lambda s: s.folder / "r.html")
        .fine("half characters", "missing")
        .but(folder=lambda s: s.folder),
        title=text(),
        summary=argument(
            [("a", "b")], none=None, number=3, singles=["abc"], triples=[("a", "b", "c")]
        ),
        figures=argument(
            [("a", "b", go.Figure())],
            none=None,
            number=3,
            pairs=[("a", "b")],
            no_figure=[("a", "b", "c")],
        ),
        notes=names(["a"]).fine("nothing"),
    ),
    call(
        evaluation_report,
        path=path(lambda s: s.folder / "r.html").fine("half characters", "missing"),
        model=thing(lambda s: s.model),
        result=thing(lambda s: evaluate(s.model, s.category, alpha=0.2)),
        rows=argument([("a", "b")], none=None, number=3),
    ),
    call(
        write_overlays,
        folder=path(lambda s: s.folder / "o", missing=False).but(file=lambda s: s.saved),
        model=thing(lambda s: s.model),
        paths=argument(
            lambda s: sorted(s.photographs.iterdir())[:2],
            none=None,
            number=3,
            nothing=[],
            numbers=[1],
            texts="ab",
        ),
    ),
    call(
        ThresholdExplorer,
        calibration=numbers(np.linspace(1, 2, 19)).fine("one axis more", "scalar"),
        scores=numbers(np.linspace(1, 3, 40)).fine("one axis more").but(short=[1.0]),
        kinds=names(KINDS).fine("none").but(few=["good"]),
        alpha=share(),
    ),
    call(
        RotationExplorer,
        image=image(picture),
        angles=numbers([0.0, 90.0]).but(short=[0.0]),
        features=table(lambda _: {"black": np.eye(2)}).but(
            unknown={"red": np.eye(2)}, nan={"black": np.full((2, 2), np.nan)}
        ),
        unit=number(1.0).but(zero=0.0, minus=-1.0),
    ),
    call(
        LocalizationExplorer,
        model=thing(lambda s: s.model),
        images=images(lambda s: pictures(s)[:2]).fine("missing folder"),
        titles=names(["a", "b"]).fine("none").but(few=["a"]),
        masks=argument([None, np.eye(8)], few=[None], flat=[np.zeros(3)] * 2, number=3),
        n_angles=argument([1], text="a", number=3, words=["a"]),
    ),
    call(LiveLoss, epochs=count(3)),
]


def cases() -> Iterator[Case]:
    yield from cases_of("13 figures", CALLS)
