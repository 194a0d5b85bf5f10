"""Reports: one file, offline, escaped, whole or not at all; and what they say."""

from __future__ import annotations

import html
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import plotly.graph_objects as go
from PIL import Image
from plotly.offline import get_plotlyjs

from differnet_course.metrics import auroc, bootstrap
from differnet_course.plots import evaluation_report, score_report
from differnet_course.plots.report import write_report
from differnet_lite.maps import MapLevels
from differnet_lite.thresholds import Judgement, Threshold

HOSTILE = "</script><script>alert(1)</script> <b>&\"'"
SPLIT = Threshold(2.0, 0.05, 40, "conformal", 0.05)


def figure(text: str = "f", **layout) -> go.Figure:
    return go.Figure(go.Scatter(x=[1, 2], y=[1, 2], text=[text, text]), layout=layout)


def page(tmp_path, **options) -> str:
    arguments = {
        "title": "T",
        "lead": "L",
        "summary": [("a", "b")],
        "sections": [("H", "E", figure())],
        "notes": ["N"],
    } | options
    return write_report(tmp_path / "report.html", **arguments).read_text(encoding="utf-8")


def words(text: str) -> str:
    """What a reader sees: no scripts, no styles, no tags."""
    text = re.sub(r"<(script|style)>.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def tags(text: str) -> list[str]:
    return re.findall(r"<[a-z!/][^>]*>", text.replace(get_plotlyjs(), ""))


def test_plotly_is_embedded_once_and_a_browser_has_nothing_to_fetch(tmp_path):
    text = page(tmp_path, sections=[("H", "E", figure())] * 3)
    assert text.count(get_plotlyjs()) == 1
    for tag in tags(text):
        assert not re.match(r"<(link|iframe|object|embed|base)\b", tag)
        assert not re.search(r"\b(src|href|srcset|data|action)=", tag)
    assert not re.findall(r"https?://|//cdn|@import|url\(", text.replace(get_plotlyjs(), ""))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'") and "*" not in policy
    # the policy stands before the first script, or it would not bind it
    assert text.index("Content-Security-Policy") < text.index("<script")


def test_text_is_escaped_everywhere(tmp_path):
    def report(text: str) -> str:
        sections = [(text, text, figure(text)), (text, text, [(text,), (text,)])]
        options = {"title": text, "lead": text, "summary": [(text, text)], "notes": [text]}
        return page(tmp_path, sections=sections, **options)

    hostile = report(HOSTILE)
    assert tags(hostile) == tags(report("harmless"))
    assert words(hostile).count(HOSTILE) == 12  # title twice


def test_any_language_and_a_broken_file_name(tmp_path):
    text = page(tmp_path, title="Flasche 瓶 θ", notes=["odd \udcff.png"])
    assert "Flasche 瓶 θ" in text and "odd \\udcff.png" in text


class Model:
    """Marks the upper left quarter of photographs whose name says so."""

    places_ = object()
    white_ = None
    calibration_scores_ = np.linspace(0.5, 2, 40)
    history_ = {"epoch": [1, 2], "train": [1.0, 0.5], "held_out": []}

    def map_levels(self, alpha, *, if_too_few):
        return MapLevels(usual=1.0, level=2.0, alpha=alpha)

    def iter_anomaly_maps(self, images):
        for path in images:
            values = np.zeros((16, 16), np.float32)
            values[:8, :8] = 4.0 * ("marked" in str(path))
            yield values


def photographs(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 40), "grey").save(path)
    return paths


def report_of_scores(tmp_path: Path, scores, flagged, **options) -> str:
    names = ("day 1/a.png", "day 1/marked.png", "day 2/a.png", "day 2/b.png")
    images = photographs(tmp_path / "in", *names)
    values = np.array(scores)
    judgement = Judgement(values, np.full(4, 0.125), np.array(flagged), SPLIT)
    path = score_report(tmp_path / "r.html", Model(), images, judgement, **options)
    return words(path.read_text(encoding="utf-8"))


def test_a_report_without_labels_says_what_is_flagged_and_where(tmp_path):
    errors = {"broken.jpg": "cut short"}
    text = report_of_scores(tmp_path, [1, 5, 3, 0.5], [False, True, True, False], errors=errors)
    assert "Flags 2 of 4 photographs. 1 file could not be read." in text
    rows = text[text.index("All that is flagged") :]
    marked = "day 1/marked.png 2.50 x threshold 0.125"
    assert rows.index(marked) < rows.index("day 2/a.png 1.50 x threshold 0.125")
    assert "broken.jpg cut short" in text
    assert "at most 5.0% are flagged" in text and "is proved" in text
    assert "A photograph is flagged if its score reaches the threshold" in text


def test_a_selection_by_false_discovery_rate_is_not_called_a_threshold(tmp_path):
    text = report_of_scores(tmp_path, [1, 5, 3, 0.5], [False, True, False, False])
    assert "Flags 1 of 4 photographs." in text
    assert "by a false discovery rate, and not by the threshold" in text
    assert "if its score reaches" not in text and "is proved" not in text


def test_a_report_of_a_model_without_maps_and_of_nothing_flagged(tmp_path, monkeypatch):
    monkeypatch.setattr(Model, "places_", None)
    text = report_of_scores(tmp_path, [1, 1.5, 0.7, 0.5], [False] * 4)
    assert "Flags 0 of 4 photographs." in text and "All that is flagged" not in text


def evaluation(tmp_path: Path, scores, threshold: Threshold = SPLIT) -> SimpleNamespace:
    kinds = ["good", "good", "dent", "dent", "hole"] * (len(scores) // 5)
    names = [f"{kind}/{i}.png" for i, kind in enumerate(kinds)]
    mask = tmp_path / "mask.png"
    Image.fromarray(np.uint8(255 * np.eye(40, 80))).save(mask)
    category = SimpleNamespace(
        name="part",
        test=photographs(tmp_path / "test", *names),
        kinds=kinds,
        labels=np.array([kind != "good" for kind in kinds]),
        masks=[mask if kind == "dent" else None for kind in kinds],
    )
    maps = np.zeros((len(scores), 16, 16), np.float32)
    levels = MapLevels(1.0, 2.0, 0.05)
    return SimpleNamespace(
        category=category, scores=np.array(scores), threshold=threshold, maps=maps, levels=levels
    )


def test_a_report_with_labels_shows_misses_and_false_alarms(tmp_path):
    def report(scores: list[float]) -> str:
        result = evaluation(tmp_path, scores)
        path = evaluation_report(tmp_path / "r.html", Model(), result, [("rows", "of it")])
        return words(path.read_text(encoding="utf-8"))

    headings = ["Missed defects", "False alarms", "Defects that are found", "Good parts, highest"]
    text = report([1.0, 2.5, 1.5, 3.0, 4.0])
    assert "Finds 2 of 3 defects, with 1 false alarm in 2 good parts." in text
    assert "rows of it" in text and all(heading in text for heading in headings)
    text = report([1.0, 1.5, 2.0, 3.0, 4.0])
    assert "Finds 3 of 3 defects, with no false alarm in 2 good parts." in text
    assert [heading for heading in headings if heading in text] == headings[2:]


def test_one_interval_for_one_auroc_and_the_promise_of_a_cross_calibration(tmp_path):
    rule = Threshold(2.0, 0.05, 40, "cross-conformal", None)
    result = evaluation(tmp_path, np.random.default_rng(0).random(40) + 1, rule)
    path = evaluation_report(tmp_path / "r.html", Model(), result, [])
    text = path.read_text(encoding="utf-8")
    assert f"AUROC {bootstrap(auroc, result.category.labels, result.scores)}" in text
    assert "not proved" in words(text) and "at most 5.0%" not in words(text)
