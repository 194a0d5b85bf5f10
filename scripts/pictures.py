"""Static pictures of a notebook's figures, drawn in headless Chromium and stored beside them.

A Plotly figure keeps its data and gets a JPEG in the same output: JupyterLab shows the figure, and
whatever knows no Plotly, code hosts, nbconvert, print, shows the picture. Not a PNG: where there is
one, Plotly's renderer in JupyterLab shows it instead of the figure until the mouse comes near.
An explorer's output is of no use without a kernel: a picture of its last state takes its place.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import plotly
from nbformat import NotebookNode
from PIL import Image
from playwright.sync_api import Page, sync_playwright

PLOTLY = "application/vnd.plotly.v1+json"
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
PICTURE = "image/jpeg"
WIDTH, HEIGHT = 860, 450  # px, of a figure that leaves them open
SCALE = 1.5  # pixels of a picture per pixel on the page
QUALITY = 70  # of a picture
LARGE = 80_000  # bytes, of a picture that is stored at scale 1 instead
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
STYLE = """
body {margin: 0; background: white; font: 13px/1.5 "Helvetica Neue", Arial, sans-serif}
#picture {display: inline-block; padding: 4px}
.V {display: flex; flex-direction: column} .H {display: flex; gap: 8px}
.H > .V:first-child:not(:last-child) {width: 290px}
.control {margin: 2px; padding: 1px 8px; border: 1px solid #bbb; width: max-content}
"""


def plotly_js() -> Path:
    """The plotly.js that the installed plotly brings."""
    return Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


def find_chromium() -> str:
    """Path of Chromium or Chrome: of the system, or the one in BROWSER_PATH.

    Raises:
        FileNotFoundError: there is none.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise FileNotFoundError(
            f"pictures are drawn in Chromium: expected one of {', '.join(names)} on the path, "
            "found none; install it, or name it in BROWSER_PATH"
        )
    return found


def add_pictures(notebook: NotebookNode) -> int:
    """Give every figure and every explorer its picture; returns how many were drawn.

    Args:
        notebook: executed with `store_widget_state=True`, or without explorers. The widget state is
            removed: it is megabytes, and no code host draws it.
    """
    state = notebook.metadata.pop("widgets", {}).get(STATE, {}).get("state", {})
    drawn = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 900}, device_scale_factor=SCALE)
        page.set_default_timeout(300_000)  # ms: a busy machine is slow to draw
        page.set_content(f"<style>{STYLE}</style><div id='picture'></div>")
        page.add_script_tag(path=plotly_js())
        for output in outputs(notebook):
            data = output["data"]
            figures: list[Mapping[str, Any]] = []
            if PLOTLY in data:
                body = _leaf(data[PLOTLY], figures)
                alt = title(data[PLOTLY]["layout"])
            elif VIEW in data and data[VIEW]["model_id"] in state:
                body = widget(state, data[VIEW]["model_id"], figures)
                alt = "the explorer, as it stands at the end of the run"
                del data[VIEW]
            else:
                continue
            data[PICTURE], size = draw(page, body, figures)
            data.pop("image/png", None)  # a notebook saved by JupyterLab
            output["metadata"] = {PICTURE: size | {"alt": alt}}
            drawn += 1
        browser.close()
    return drawn


def outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """All outputs of a notebook that have data."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "data" in output:
                yield output


def draw(page: Page, body: str, figures: list[Mapping[str, Any]]) -> tuple[str, dict[str, int]]:
    """A JPEG in base64, and its size on a page in pixels.

    Args:
        page: with plotly.js in it, and an element `picture`.
        body: HTML with an empty element `figure0`, `figure1`, ... for each figure.
        figures: data and layout of each.
    """
    page.evaluate(
        """async ([body, figures]) => {
            document.getElementById("picture").innerHTML = body;
            await Promise.all(figures.map((f, k) => Plotly.newPlot(
                `figure${k}`, f.data, f.layout, {staticPlot: true, displayModeBar: false})));
            await document.fonts.ready;
        }""",
        [body, json.loads(json.dumps(figures))],
    )
    picture = Image.open(io.BytesIO(page.locator("#picture").screenshot())).convert("RGB")
    width, height = round(picture.width / SCALE), round(picture.height / SCALE)
    for shown in (picture, picture.resize((width, height), Image.Resampling.LANCZOS)):
        file = io.BytesIO()
        shown.save(file, "JPEG", quality=QUALITY, subsampling=0, optimize=True, progressive=True)
        if file.tell() <= LARGE:
            break
    return base64.b64encode(file.getvalue()).decode(), {"width": width, "height": height}


def title(layout: Mapping[str, Any]) -> str:
    """What a figure shows, in words: its title, or the titles of its panels and axes."""
    parts = [layout, *layout.get("annotations", ())]
    parts += [layout[axis] for axis in sorted(layout) if re.fullmatch(r"[xy]axis\d*", axis)]
    texts = [part.get("text") or part.get("title", {}).get("text") for part in parts]
    words = [" ".join(re.sub(r"<[^>]*>", " ", text).split()) for text in texts if text]
    return ", ".join(["Figure", *dict.fromkeys(words)])[:200]


def widget(state: Mapping[str, Any], model: str, figures: list[Mapping[str, Any]]) -> str:
    """HTML for a widget of the stored state: texts, what controls say, and elements for figures."""
    model = model.removeprefix("IPY_MODEL_")
    values = state[model]["state"]
    if "figure_layout" in values:
        data = [values[name] for name in values["traces"]]
        return _leaf({"data": data, "layout": values["figure_layout"]}, figures)
    if "children" in values:
        inner = "".join(widget(state, child, figures) for child in values["children"])
        return f'<div class="{state[model]["model_name"][0]}">{inner}</div>'
    if state[model]["model_name"] in ("HTMLModel", "LabelModel"):
        return f"<div>{values['value']}</div>"
    labels, index = values.get("_options_labels"), values.get("index")
    chosen = labels[index] if labels and index is not None else values.get("value")
    if chosen is None:
        return ""
    text = html.escape(f"{values.get('description') or ''} {chosen}")
    return f'<div class="control">{text}</div>'


def _leaf(figure: Mapping[str, Any], figures: list[Mapping[str, Any]]) -> str:
    """An element for a figure, as large as its layout says."""
    layout = {"width": WIDTH, "height": HEIGHT} | {
        key: value for key, value in figure["layout"].items() if value is not None
    }
    figures.append({"data": figure["data"], "layout": layout})
    size = f"width:{layout['width']}px;height:{layout['height']}px"
    return f'<div id="figure{len(figures) - 1}" style="{size}"></div>'
