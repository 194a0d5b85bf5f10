"""The report: one file, offline, escaped, whole or not at all."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from differnet_course.plots import report
from differnet_course.plots.report import write_report

HOSTILE = "</script><script>alert(1)</script> <b>&\"'"


def figure(text: str = "f", **layout) -> go.Figure:
    return go.Figure(go.Scatter(x=[1, 2], y=[1, 2], text=[text, text]), layout=layout)


def page(tmp_path, **options) -> str:
    arguments = {
        "title": "T",
        "summary": [("a", "b")],
        "figures": [("H", "E", figure())],
        "notes": ["N"],
    } | options
    return write_report(tmp_path / "report.html", **arguments).read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Tags with attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.raw = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.raw = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.raw = False

    def handle_data(self, data):
        if not self.raw:
            self.text.append(data)


def test_everything_is_on_the_page_in_order(tmp_path):
    text = page(
        tmp_path,
        summary=[("AUROC", "0.99")],
        figures=[("One", "First.", figure()), ("Two", "Second.", figure())],
        notes=["End."],
    )
    words = " ".join(Elements(text).text)
    positions = [
        words.index(word) for word in ("AUROC", "0.99", "One", "First.", "Two", "Second.", "End.")
    ]
    assert positions == sorted(positions)
    assert text.count('id="figure-2"') == 1


def test_plotly_is_embedded_once(tmp_path):
    script = get_plotlyjs()
    text = page(tmp_path, figures=[("H", "E", figure())] * 3)
    assert text.count(script) == 1
    assert len(text) < len(script) + 40_000
    assert len(page(tmp_path, figures=[])) < 10_000


def test_a_browser_has_nothing_to_fetch(tmp_path):
    text = page(tmp_path)
    elements = Elements(text)
    for tag, attributes in elements.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert not {"src", "href", "srcset", "data", "action"} & set(attributes), (tag, attributes)
    own = text.replace(get_plotlyjs(), "")
    assert not re.findall(r"https?://|//cdn|@import|url\(", own)
    assert "mathjax" not in own.lower()


def test_the_page_forbids_itself_the_network(tmp_path):
    (policy,) = [
        a["content"]
        for t, a in Elements(page(tmp_path)).tags
        if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "*" not in policy
    # the policy stands before the first script, or it would not bind it
    text = page(tmp_path)
    assert text.index("Content-Security-Policy") < text.index("<script")


def test_text_is_escaped_everywhere(tmp_path):
    harmless = Elements(page(tmp_path))
    text = page(
        tmp_path,
        title=HOSTILE,
        summary=[(HOSTILE, HOSTILE)],
        figures=[(HOSTILE, HOSTILE, figure(HOSTILE))],
        notes=[HOSTILE],
    )
    elements = Elements(text)
    assert [tag for tag, _ in elements.tags] == [tag for tag, _ in harmless.tags]
    assert "<script>alert" not in text
    assert "".join(elements.text).count(HOSTILE) == 7  # title twice


def test_any_language_and_broken_file_names(tmp_path):
    text = page(tmp_path, title="Flasche 瓶 θ", notes=["odd \udcff.png"])
    assert "Flasche 瓶 θ" in text
    assert "odd \\udcff.png" in text
    assert '<meta charset="utf-8">' in text


def test_fits_a_phone(tmp_path):
    assert 'name="viewport"' in page(tmp_path)


def test_narrow_figures_may_stand_side_by_side(tmp_path):
    text = page(
        tmp_path,
        figures=[
            ("H", "E", figure(width=490, height=500)),
            ("H", "E", figure(width=900)),
            ("H", "E", figure()),
        ],
    )
    assert text.count('<section class="narrow">') == 1
    assert text.count("<section>") == 2


def test_same_input_gives_the_same_bytes(tmp_path):
    assert page(tmp_path) == page(tmp_path)


def test_figures_are_left_as_they_were(tmp_path):
    drawn = figure(width=400)
    before = drawn.to_json()
    page(tmp_path, figures=[("H", "E", drawn)])
    assert drawn.to_json() == before


def test_a_failed_write_keeps_the_old_report_and_leaves_no_draft(tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    target.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*choose another folder"):
        page(tmp_path)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_the_file_appears_by_a_rename_in_its_own_folder(tmp_path, monkeypatch):
    moves = []
    rename = os.replace
    monkeypatch.setattr(report.os, "replace", lambda a, b: (moves.append((a, b)), rename(a, b)))
    page(tmp_path)
    ((draft, target),) = moves
    assert draft.parent == target.parent == tmp_path
    assert os.listdir(tmp_path) == ["report.html"]


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder for the report; create it first"):
        write_report(tmp_path / "none" / "r.html", title="T", summary=[], figures=[])
    assert not (tmp_path / "none").exists()


def test_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="got a folder"):
        write_report(tmp_path, title="T", summary=[], figures=[])


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="choose another folder"):
        write_report(tmp_path / "r.html", title="T", summary=[], figures=[])


def test_permission_error_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(report.os, "replace", refuse)
    with pytest.raises(
        PermissionError, match=r"Permission denied.*choose another folder.*report\.html"
    ):
        page(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"summary": ["ab"]}, "summary: expected"),
        ({"summary": [("a", "b", "c")]}, "summary: expected"),
        ({"figures": [("H", figure())]}, "figures: expected"),
        ({"figures": [("H", "E", "no figure")]}, "figures: expected"),
        ({"notes": "one string"}, "notes: expected"),
    ],
)
def test_wrong_shapes_write_nothing(tmp_path, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        page(tmp_path, **options)
    assert os.listdir(tmp_path) == []
