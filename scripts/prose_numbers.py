"""Every number in a notebook's prose, and the output that it rests on.

    python scripts/prose_numbers.py                       what rests on nothing; status 1 if any
    python scripts/prose_numbers.py --all notebooks/05*   every number, with what it rests on;
                                                          and shares in words, to check by eye

A number in markdown must occur, rounded as it is written there, in an output of the same notebook
(printed, or in a title, label or annotation of a figure), or exactly, as a setting, in its code.
Whatever else it is, the cell says in a comment that readers do not see, kind and numbers:

    <!-- literature: 0.80, 0.84 -->      somebody else's result
    <!-- definition: 128 -->             true by convention, such as a default of the package
    <!-- arithmetic: 168 -->             follows by arithmetic from what the cell says

Not looked at: formulas (but for those that are one number), code, addresses, questions, which claim
nothing, `Try it` and `Further reading`, the header's line on time (tests/test_course_table.py has
it), references such as "notebook 05" or "section 3.1", counts up to ten, in digits or in words. A
number in words above that, "twenty times", is good to one digit.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("literature", "definition", "arithmetic")
MARK = re.compile(r"<!--\s*(\w+):(.*?)-->", re.DOTALL)
NUMBER = re.compile(
    r"(?<![\w.])(?P<digits>\d{1,3}(?:,\d{3})+|\d+/\d+|\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
    r"(?P<percent>\s*%)?(?!\w|\.\d|-[A-Za-z])"
)
REFERENCE = re.compile(
    r"(?:notebooks?|sections?|tables?|figures?|eqs?\.|equations?|steps?|links?|columns?|arXiv|"
    r"Try it,)\s+\d+(?:\.\d+)*(?:(?:,|\s+to|\s+and|,?\s+or)\s+\d+(?:\.\d+)*)*",
    re.IGNORECASE,
)
TEENS = "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
WORDS = dict(zip(TEENS.split(), range(11, 20), strict=True))
WORDS |= dict(zip(TENS.split(), range(20, 100, 10), strict=True))
WORD = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)
SHARE = re.compile(
    r"\b(?:half|halves|twice|(?:a|one|two|three|four|five|six|seven|eight|nine)[ -]"
    r"(?:third|quarter|fifth|sixth|seventh|eighth|ninth|tenth|hundredth)s?|"
    r"factor of \w+|\w+ times)\b",
    re.IGNORECASE,
)
SMALL = 10  # counts up to this are part of the language


@dataclasses.dataclass(frozen=True)
class Number:
    """A number as it is written.

    Args:
        text: as written.
        value: its size, without sign; a percentage as a share.
        unit: of its last digit, in the same unit as the value; 0 if exact, such as a fraction.
        percent: whether it is written as one.
    """

    text: str
    value: float
    unit: float
    percent: bool = False


@dataclasses.dataclass(frozen=True)
class Claim:
    """A number in prose.

    Args:
        cell: index of its cell in the notebook, from 0.
        number: the number.
        context: words around it.
        rests_on: where it occurs; empty if nowhere.
    """

    cell: int
    number: Number
    context: str
    rests_on: str


def claims(notebook: NotebookNode) -> list[Claim]:
    """Every number in a notebook's prose."""
    printed = [(k, n) for k, c in enumerate(notebook.cells) for n in outputs(c)]
    written = [(k, n) for k, c in enumerate(notebook.cells) for n in literals(c)]
    found, section = [], ""
    for k, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        try:
            marked = {text: kind for kind, texts in marks(cell.source) for text in texts}
        except ValueError as error:
            raise ValueError(f"cell [{k}]: {error}") from None
        text, section = prose(cell.source, section)
        for number, context in occurrences(text):
            rests_on = marked.get(number.text, "") or support(number, k, printed, written)
            found.append(Claim(k, number, context, rests_on))
    return found


def marks(source: str) -> list[tuple[str, list[str]]]:
    """Kind and numbers of each mark in a cell.

    Raises:
        ValueError: the kind is unknown, or a number does not occur in the cell.
    """
    found, (text, _) = [], prose(source, "")
    there = {number.text for number, _ in occurrences(text)}
    for kind, listed in MARK.findall(source):
        texts = [" ".join(text.split()) for text in re.split(r",\s|;", listed) if text.strip()]
        if kind not in KINDS:
            raise ValueError(f"a mark is one of {', '.join(KINDS)}, got {kind!r}")
        for text in texts:
            if text not in there:
                raise ValueError(f"marked as {kind}, but not a number of the cell: {text!r}")
        found.append((kind, texts))
    return found


def prose(source: str, section: str) -> tuple[str, str]:
    """The sentences of a cell that may claim something, and the section at its end."""
    text = MARK.sub("", source)
    text = re.sub(r"```.*?```|^    .*?$", " ", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)|https?://\S+|`[^`]*`", "] ", text)
    text = re.sub(r"\$\$.*?\$\$", " ", text, flags=re.DOTALL)
    text = re.sub(r"\$([^$]*)\$", lambda m: _formula(m[1]), text)
    lines = []
    for line in text.splitlines():
        if heading := re.match(r"##? +(.*)", line):
            section = heading[1].strip()
        elif section not in ("Try it", "Further reading") and not line.startswith("**Time**"):
            lines.append(re.sub(r"^\s*\d+\. ", "", line))
    return REFERENCE.sub(" ", "\n".join(lines)), section


def _formula(source: str) -> str:
    """A formula that is one number stays, any other is left out."""
    plain = source.replace(r"\,", " ").replace(r"\%", "%").strip()
    return plain if NUMBER.fullmatch(plain) else " (formula) "


def occurrences(text: str) -> Iterator[tuple[Number, str]]:
    """The numbers of a text in their order, each with the words around it."""
    found = []
    for sentence in re.finditer(r"(?:[^.?!:;\n]|[.:,](?=\S)|\n(?!\n|\||-))+[.?!:;]?", text):
        if sentence[0].endswith("?"):
            continue
        for pattern, make in ((NUMBER, number_of), (WORD, word_of)):
            for match in pattern.finditer(sentence[0]):
                at = sentence.start() + match.start()
                number = make(match)
                if number.value > SMALL or number.unit != 1 or number.percent:
                    around = text[max(0, at - 50) : at + 50]
                    found.append((at, number, " ".join(around.split())))
    for _, number, context in sorted(found, key=lambda item: item[0]):
        yield number, context


def number_of(match: re.Match[str]) -> Number:
    """A number in digits."""
    digits, percent = match["digits"].replace(",", ""), match["percent"] is not None
    share = 0.01 if percent else 1.0
    if "/" in digits:
        top, bottom = map(int, digits.split("/"))
        value, unit = (top / bottom if bottom else 0.0), 0.0
    else:
        mantissa, _, exponent = digits.partition("e")
        value = float(digits)
        unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return Number(" ".join(match[0].split()), value * share, unit * share, percent)


def word_of(match: re.Match[str]) -> Number:
    """A number in words, good to its last digit that is not 0."""
    value = WORDS[match[0].lower()]
    return Number(match[0], value, 10.0 if value % 10 == 0 else 1.0)


def support(
    number: Number, cell: int, printed: list[tuple[int, Number]], written: list[tuple[int, Number]]
) -> str:
    """Where a number rests: the nearest output above it, one below, or a setting; else nothing."""
    for where, (candidates, agrees) in {
        "output": (printed, rounds_to),
        "code": (written, equals),
    }.items():
        cells = [k for k, other in candidates if agrees(other, number)]
        above = [k for k in cells if k < cell]
        if cells:
            return f"{where} of [{max(above) if above else min(cells)}]"
    return ""


def rounds_to(printed: Number, number: Number) -> bool:
    """Whether what was printed is the number in prose, to the digits that are written there."""
    off = abs(printed.value - number.value)
    if not number.unit:  # a fraction, printed as a decimal or a percentage
        return printed.unit < 1 and off <= 0.501 * printed.unit
    return printed.unit <= 1.001 * number.unit and off <= 0.501 * number.unit


def equals(literal: Number, number: Number) -> bool:
    """Whether a number in code is the one in prose."""
    return abs(literal.value - number.value) <= 1e-9 * max(1.0, number.value)


def outputs(cell: NotebookNode) -> Iterator[Number]:
    """The numbers that a code cell shows in words: printed, or written into a figure."""
    for output in cell.get("outputs", ()):
        texts = [output.get("text", "")]
        for mime, data in output.get("data", {}).items():
            if mime == "application/vnd.plotly.v1+json":
                texts += words(data["layout"])
                texts += [text for trace in data["data"] for text in words(seen(trace))]
            elif mime == "text/plain":
                texts.append(data)
        for text in texts:
            for match in NUMBER.finditer(re.sub(r"<[^>]*>", " ", text)):
                yield number_of(match)


def seen(trace: dict[str, Any]) -> dict[str, Any]:
    """A trace without the texts that only hovering shows."""
    drawn = "text" in trace.get("mode", "") or "texttemplate" in trace
    return {key: value for key, value in trace.items() if drawn or key != "text"}


def words(value: Any, key: str = "") -> Iterator[str]:
    """Titles, labels and annotations of a figure: what it says, and not its data."""
    if isinstance(value, str) and key in ("text", "name", "ticktext"):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from words(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from words(item, name)


def literals(cell: NotebookNode) -> Iterator[Number]:
    """The numbers in a cell's code, without its strings and comments."""
    if cell.cell_type == "code":
        for token in tokenize.generate_tokens(io.StringIO(cell.source).readline):
            if token.type == tokenize.NUMBER and not token.string.lower().startswith("0x"):
                try:
                    yield Number(token.string, float(token.string), 0.0)
                except ValueError:  # a complex number
                    continue


def shares(notebook: NotebookNode) -> Iterator[str]:
    """Lines that show the shares and multiples in words: too vague for a rule, so look."""
    section = ""
    for k, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            text, section = prose(cell.source, section)
            for match in SHARE.finditer(text):
                around = " ".join(text[max(0, match.start() - 60) : match.end() + 50].split())
                yield f"  [{k}] {match[0]:14} by eye   ... {around} ..."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/")
    parser.add_argument("--all", action="store_true", help="also what rests on something")
    arguments = parser.parse_args()
    missing = 0
    for path in arguments.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        found = claims(notebook)
        bare = [claim for claim in found if not claim.rests_on]
        missing += len(bare)
        print(f"{path.name}: {len(found)} numbers in prose, {len(bare)} rest on nothing")
        for claim in found if arguments.all else bare:
            rests_on = claim.rests_on or "NOTHING"
            print(f"  [{claim.cell}] {claim.number.text:8} {rests_on:14} ... {claim.context} ...")
        if arguments.all:
            print(*shares(notebook), sep="\n")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
