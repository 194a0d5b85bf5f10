"""One self-contained HTML file of figures and tables: it opens offline, on a phone, years later.

Plotly's script is embedded once (about 5 MB), and a content security policy forbids the page to
load anything from anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs

from differnet_lite.files import replacing

Section = tuple[str, str, go.Figure | Sequence[Sequence[str]]]  # heading, explanation, content

_STYLE = """
body { margin: 0; background: #fff; color: #222; font: 16px/1.5 Arial, Helvetica, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px 40px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 12px; }
h2 { font-size: 18px; line-height: 1.3; margin: 0 0 4px; }
p { margin: 0 0 8px; max-width: 72ch; }
p.lead { font-size: 20px; margin: 0 0 16px; }
h1, h2, p, th, td { overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 0 0 24px; }
th, td { text-align: left; vertical-align: top; padding: 5px 24px 5px 0; }
th, td { border-bottom: 1px solid #ddd; }
th { font-weight: normal; color: #555; min-width: 7em; }
td { font-variant-numeric: tabular-nums; }
section table { margin: 8px 0 0; }
section { margin-bottom: 20px; padding: 16px; border: 1px solid #ddd; border-radius: 6px; }
.plot { overflow-x: auto; }
.plot > div { margin: 0 auto; }
@media (max-width: 600px) { main { padding: 16px 10px; } section { padding: 12px 8px; } }
@media print {
  main { padding: 0; max-width: none; }
  section { break-inside: avoid; border: 0; padding: 0 0 8px; }
  .plot { zoom: 0.62; overflow: visible; }
  .modebar { display: none; }
}
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<script>{plotly}</script>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="lead">{lead}</p>
{summary}
<noscript><p>The figures need JavaScript; all of it is inside this file.</p></noscript>
{sections}
{notes}
</main>
</body>
</html>
"""


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    lead: str,
    summary: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    notes: Sequence[str],
) -> Path:
    """Write figures and their explanations as one HTML file that needs no network.

    The file appears whole or not at all: an older report stays until the new one is complete.

    Args:
        path: the file, which is returned; its folder exists.
        lead: what the reader should know if they read one sentence.
        summary: (label, value) pairs, a table at the top.
        sections: in order; a table's first row are the heads of its columns.
        notes: short paragraphs at the end.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{target.parent}: there is no such folder for the report; create it first"
        )
    page = _PAGE.format(
        title=escape(title),
        style=_STYLE,
        plotly=get_plotlyjs(),
        lead=escape(lead),
        summary=_table([_cells("th", row[:1]) + _cells("td", row[1:]) for row in summary]),
        sections="\n".join(_section(i, *section) for i, section in enumerate(sections, 1)),
        notes="\n".join(f"<p>{escape(note)}</p>" for note in notes),
    )
    with replacing(target) as file:
        # a lone half of a character, as in odd file names, cannot be UTF-8: it is shown as its code
        file.write(page.encode("utf-8", "backslashreplace"))
    return target


def _section(
    number: int, heading: str, explanation: str, content: go.Figure | Sequence[Sequence[str]]
) -> str:
    words = f"<h2>{escape(heading)}</h2>\n<p>{escape(explanation)}</p>"
    if not isinstance(content, go.Figure):
        head, *rows = content
        table = _table([_cells("th", head), *(_cells("td", row) for row in rows)])
        return f"<section>\n{words}\n{table}\n</section>"
    width = content.layout.width
    plot = plotly.io.to_html(
        content,
        full_html=False,
        include_plotlyjs=False,
        include_mathjax=False,
        div_id=f"figure-{number}",
        default_width=f"{width:g}px" if width else "100%",
        default_height=f"{content.layout.height or 400:g}px",
        config={"responsive": True, "displaylogo": False, "plotlyServerURL": ""},
    )
    return f'<section>\n{words}\n<div class="plot">{plot}</div>\n</section>'


def _table(rows: Sequence[str]) -> str:
    lines = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table>\n{lines}\n</table>"


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)
