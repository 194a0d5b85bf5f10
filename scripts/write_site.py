"""Write the course as plain pages that need neither Jupyter nor a network.

    python scripts/write_site.py [FOLDER]              the default is site/

Figures are drawn by the plotly.js that plotly ships, one file for all pages; without JavaScript,
and in print, the stored pictures show. Formulas are turned into MathML, which browsers draw
themselves.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pictures import PICTURE, PLOTLY, outputs, plotly_js

ROOT = Path(__file__).resolve().parents[1]
PATH = "The story in two hours: 00, 01, 02, 04, 06 and 07, without the sections *More*."
TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{% block html_head_js %}<script defer src="plotly.min.js"></script>
<script defer src="course.js"></script>{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_css %}<link rel="stylesheet" href="course.css">{% endblock %}
{% block body_header %}{{ super() }}{{ resources.way }}{% endblock %}
{% block body_footer %}{{ resources.way }}{{ super() }}{% endblock %}
"""
SCRIPT = """// Each figure takes the place of its picture when it comes into view.
const draw = async (box) => {
  const {data, layout, frames} = JSON.parse(box.querySelector("script").textContent);
  const plot = box.appendChild(document.createElement("div"));
  const picture = box.querySelector("img");
  const size = {width: layout.width ?? picture.width, height: layout.height ?? picture.height};
  const config = {displaylogo: false};
  await Plotly.newPlot(plot, {data, layout: {...layout, ...size}, frames, config});
  picture.classList.add("drawn");
};
const seen = new IntersectionObserver((entries) => entries
  .filter((entry) => entry.isIntersecting)
  .forEach((entry) => { seen.unobserve(entry.target); draw(entry.target); }),
  {rootMargin: "500px"});
document.querySelectorAll(".figure").forEach((box) => seen.observe(box));
addEventListener("beforeprint", () =>
  document.querySelectorAll("details").forEach((answer) => { answer.open = true; }));
"""
STYLE = """
body {max-width: 1060px; margin: auto}
nav a {color: #0b57a4}
nav {display: flex; justify-content: space-between; padding: 16px 24px; font: 15px sans-serif}
.figure {overflow-x: auto} .figure img {max-width: none} img.drawn {display: none}
.jp-MarkdownOutput img {max-width: 100%}
.caption {color: #555; font-size: 13px}
summary {cursor: pointer; margin: 6px 0; color: #0b57a4}
details {border-left: 3px solid #ddd; padding-left: 12px}
math {font-size: 105%} math[display=block] {margin: 10px 0}
@media print {img.drawn {display: block} .js-plotly-plot, nav, summary {display: none}}
"""


def formula(source: str, display: str = "inline") -> str:
    """LaTeX to MathML; bars stand close to what they enclose."""
    close = r'<mo stretchy="false" lspace="0em" rspace="0em">\1</mo>'
    return re.sub(r"<mo>(&#x0007C;|&#x02016;)</mo>", close, convert(source, display=display))


class MathRenderer(IPythonRenderer):
    """Markdown to HTML, formulas as MathML."""

    def block_math(self, body: str) -> str:
        return formula(body, "block")

    def inline_math(self, body: str) -> str:
        return formula(body)

    def block_html(self, html: str) -> str:
        # diagrams are embedded by a parser, which would close a <details> before its answer
        return html if "details>" in html else super().block_html(html)

    def latex_environment(self, name: str, body: str) -> str:
        return formula(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")


class PageExporter(HTMLExporter):
    """A page of the course: no address of any network in it, but for links."""

    def __init__(self) -> None:
        super().__init__(raw_template=TEMPLATE)

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        source = re.sub(r"\]\((\d\d_\w+)\.ipynb\)", r"](\1.html)", source)
        embed = {"embed_images": True, "path": str(ROOT / "notebooks")}  # diagrams
        renderer = MathRenderer(escape=False, exclude_anchor_links=True, **embed)
        return MarkdownWithMath(renderer=renderer).render(source)


def show(notebook: NotebookNode) -> None:
    """Replace each figure and each explorer by HTML that shows its picture, and then itself.

    Raises:
        ValueError: a figure has no picture.
    """
    for output in outputs(notebook):
        data = output["data"]
        if PICTURE not in data:
            if PLOTLY in data:
                raise ValueError("a figure has no picture: run scripts/execute_notebooks.py first")
            continue
        facts = output["metadata"].get(PICTURE, {})
        size = " ".join(f'{key}="{facts[key]}"' for key in ("width", "height") if key in facts)
        alt = html.escape(facts.get("alt", "Figure"), quote=True)
        picture = f'<img src="data:{PICTURE};base64,{data[PICTURE]}" {size} alt="{alt}">'
        if PLOTLY in data:
            parts = ("data", "layout", "frames")  # frames: of a figure that plays
            figure = json.dumps({key: data[PLOTLY].get(key, []) for key in parts})
            figure = figure.replace("</", r"<\/")
            box = f'{picture}<script type="application/json">{figure}</script>'
            output["data"] = {"text/html": f'<div class="figure">{box}</div>'}
        else:
            caption = "An explorer. To move it, open the notebook: <code>make lab</code>."
            output["data"] = {"text/html": f'{picture}<p class="caption">{caption}</p>'}


def title(notebook: NotebookNode) -> str:
    """The heading of a notebook's first cell."""
    return notebook.cells[0].source.splitlines()[0].lstrip("# ").strip()


def core_minutes(notebook: NotebookNode) -> int:
    """Minutes for the core of a notebook, by the line "Time" of its header."""
    return int(re.findall(r"\*\*Time\*\*\D*(\d+) minutes", notebook.cells[0].source)[0])


def contents(stems: Sequence[str], notebooks: Sequence[NotebookNode]) -> NotebookNode:
    """The page that lists all others: what one can do after each."""
    text = ["# DifferNet: a course in notebooks", "", PATH, ""]
    for stem, notebook in zip(stems, notebooks, strict=True):
        goals = notebook.cells[0].source.partition("**Afterwards you can**")[2]
        text += [f"## [{title(notebook)}]({stem}.html)", goals.partition("**You need**")[0].strip()]
        text += ["", f"{core_minutes(notebook)} minutes for the core", ""]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("\n".join(text))])


def write_site(paths: Sequence[Path], folder: Path) -> None:
    """Write a page for each notebook, a page of contents, and what they share.

    Raises:
        ValueError: a figure has no picture.
    """
    notebooks = [nbformat.read(path, as_version=4) for path in paths]
    stems = [path.stem for path in paths]
    pages = {"index": contents(stems, notebooks)} | dict(zip(stems, notebooks, strict=True))
    exporter, written = PageExporter(), {}
    for k, (stem, notebook) in enumerate(pages.items()):
        show(notebook)
        neighbours = [[*pages][k - 1] if k else "", "index", [*pages, ""][k + 1]]
        links = [
            f'<a href="{to}.html">{html.escape(title(pages[to]))}</a>' if to else "<span></span>"
            for to in dict.fromkeys(neighbours)
        ]
        resources = {
            "metadata": {"name": title(notebook), "path": str(ROOT / "notebooks")},
            "way": f"<nav>{''.join(links) if k else ''}</nav>",
        }
        written[f"{stem}.html"] = exporter.from_notebook_node(notebook, resources)[0]
    written |= {"course.js": SCRIPT, "course.css": STYLE}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copyfile(plotly_js(), folder / "plotly.min.js")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site"
    write_site(sorted((ROOT / "notebooks").glob("*.ipynb")), folder)
    print(f"open {folder / 'index.html'}")


if __name__ == "__main__":
    main()
