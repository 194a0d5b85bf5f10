"""The numbers in the notebooks' prose that rest on nothing; status 1 if there are any.

    python scripts/prose_numbers.py [notebooks/05*.ipynb ...]

A number in markdown must occur, rounded as it is written there, in an output of the same notebook
(printed, or in a title or label of a figure), or exactly, as a setting, in its code. Whatever else
it is, the cell says in a comment that readers do not see:

    <!-- literature: 0.80, 0.84 -->      somebody else's result
    <!-- definition: 128 -->             true by convention, such as a default of the package
    <!-- arithmetic: 168 -->             follows from what the cell says

Not looked at: formulas, code, addresses, questions, `Try it` and `Further reading`, the header's
line on time, references such as "notebook 05", counts up to ten.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"<!--\s*(?:literature|definition|arithmetic):(.*?)-->", re.DOTALL)
NUMBER = re.compile(
    r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?(?:e[-+]?\d+)?)(\s*%)?(?!\w|\.\d|-[A-Za-z])"
)
LEFT_OUT = re.compile(
    r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+|\$\$.*?\$\$|\$[^$]*[A-Za-z=<>][^$]*\$"
    r"|^\*\*Time\*\*.*?$|^(?:#+ |\s*)\d+[.·] |^    .*?$|<[^>]*>",
    re.DOTALL | re.MULTILINE,
)
UNCLAIMED = re.compile(r"^## (?:Try it|Further reading).*?(?=^##? |\Z)", re.DOTALL | re.MULTILINE)
QUESTION = re.compile(r"(?:[^.?!:;\n]|[.:,](?=\S)|\n(?!\n|\||-))+\?")
REFERENCE = re.compile(
    r"(?:notebooks?|sections?|tables?|figures?|eqs?\.|equations?|steps?|links?|columns?|arXiv|"
    r"Try it,)\s+\d+(?:\.\d+)*(?:(?:,|\s+to|\s+and|,?\s+or)\s+\d+(?:\.\d+)*)*",
    re.IGNORECASE,
)
SHOWN = re.compile(r'"(?:text|name|title)": ?"((?:[^"\\]|\\.)*)"|"ticktext": ?\[(.*?)\]')
SMALL = 10  # counts up to this are part of the language


class Number(NamedTuple):
    """A number as it is written: its value, a percentage as a share, and a unit of its last digit.

    `text` has single spaces; `start` is its place in the text.
    """

    text: str
    value: float
    unit: float
    start: int


def numbers(text: str) -> Iterator[Number]:
    """The numbers of a text, in order."""
    for match in NUMBER.finditer(text):
        digits = match[1].replace(",", "")
        mantissa, _, exponent = digits.partition("e")
        share = 0.01 if match[2] else 1.0
        unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        text_once = " ".join(match[0].split())
        yield Number(text_once, float(digits) * share, unit * share, match.start())


def claims(source: str) -> tuple[str, list[Number]]:
    """The prose of a cell that may claim something, and the numbers in it that need support."""
    marked = {text.strip() for found in MARK.findall(source) for text in re.split(r",\s|;", found)}
    prose = UNCLAIMED.sub(" ", MARK.sub("", source))
    for pattern in (LEFT_OUT, REFERENCE, QUESTION):
        prose = pattern.sub(" ", prose)
    found = [n for n in numbers(prose) if n.text not in marked]
    return prose, [n for n in found if n.value > SMALL or n.unit != 1]


def printed(cell: NotebookNode) -> Iterator[Number]:
    """The numbers that a code cell shows: printed, or in the words of a figure."""
    for output in cell.get("outputs", ()):
        data: dict[str, Any] = output.get("data", {})
        figure = json.dumps(data.get("application/vnd.plotly.v1+json", {}), ensure_ascii=False)
        words = [part for match in SHOWN.finditer(figure) for part in match.groups() if part]
        for text in (output.get("text", ""), data.get("text/plain", ""), *words):
            yield from numbers(re.sub(r"<[^>]*>", " ", text))


def bare(notebook: NotebookNode) -> list[str]:
    """A line for each number in prose that neither an output nor a setting supports."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [number for cell in code for number in printed(cell)]
    settings = {number.value for cell in code for number in numbers(cell.source)}
    lines = []
    for k, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        prose, claimed = claims(cell.source)
        for number in claimed:
            near = [n for n in outputs if abs(n.value - number.value) <= 0.501 * number.unit]
            exact = any(n.unit <= 1.001 * number.unit for n in near)
            if not exact and number.value not in settings:
                context = prose[max(0, number.start - 50) : number.start + 50]
                lines.append(f"[{k}] {number.text} ({' '.join(context.split())})")
    return lines


def main() -> None:
    paths = [Path(name) for name in sys.argv[1:]] or sorted((ROOT / "notebooks").glob("*.ipynb"))
    missing = {path.name: bare(nbformat.read(path, as_version=4)) for path in paths}
    for name, lines in missing.items():
        print(f"{name}: {len(lines)} numbers rest on nothing", *lines, sep="\n  ")
    sys.exit(any(missing.values()))


if __name__ == "__main__":
    main()
