"""A table as LaTeX that needs no package and is not wider than the text.

The font gets smaller first; then the columns are set in several parts, one under the other, each with the names of the
variants; then in several floats. What is wider than a column may be is broken into lines. Notes that find no room under
the last part have floats of their own.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.display.names import axis_text, shared_words, varied_words
from bench.display.numbers import DELTA, heading, show, spread_words, style_of
from bench.display.wording import EMPTY
from bench.report.choice import WHOLE, Layout, ShownColumn
from bench.report.notes import claim_lines, notes_under
from bench.report.textwidth import BOLD, SIZES, TEXT_WIDTH, width_of
from bench.spec.characters import printable

LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    DELTA: r"$\Delta$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MICRO SIGN}": r"$\mu$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{UPWARDS ARROW}": r"$\uparrow$",
    "\N{DOWNWARDS ARROW}": r"$\downarrow$",
    "\N{EN DASH}": "--",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
}
GAP = 8.0
"""Points between two columns."""
NAME_WIDTH = 130.0
"""The widest that the column of names may be; of other columns, what is left beside it."""
HEIGHT = 420.0
"""Points that the parts of one float may need; a page of `article` has 550."""
PAGE = 500.0
"""Points that the parts and the notes of one float may need together, besides its caption."""
WORD = 12
"""Letters after which a long word of a column may be broken."""
END = r" \tabularnewline"
"""Of a row: in a last column that is broken into lines, the usual sign would end a line of the cell."""
NOTES = r"\footnotesize"
"""The font of the notes."""
LONG_WORD = 30
"""Letters after which a long word of a note may be broken."""


def latex_text(text: str) -> str:
    """With control characters and LaTeX's signs escaped.

    Brackets and stars are wrapped: after `\\\\` they would be arguments.
    """
    return "".join(LATEX.get(sign, sign) for sign in " ".join(printable(text).split()))


def breakable(text: str, longest: int = WORD) -> str:
    """`latex_text` in which words of more than `longest` letters may be broken, after signs or so many letters."""
    return " ".join(_breakable_word(word, longest) for word in printable(text).split())


def _breakable_word(word: str, longest: int) -> str:
    if len(word) <= longest:
        return latex_text(word)
    runs = re.findall(r"[^\W_]+[\W_]?|[\W_]", word)
    pieces = [run[start : start + longest] for run in runs for start in range(0, len(run), longest)]
    return r"\hspace{0pt}".join(latex_text(piece) for piece in pieces)


@dataclass(frozen=True)
class Entry:
    """What a row has in a column: the text, the letters of its footnotes, and whether it is bold."""

    text: str
    marks: str = ""
    bold: bool = False

    @cached_property
    def width(self) -> float:
        return width_of(self.text) * (BOLD if self.bold else 1.0) + width_of(self.marks)


@dataclass(frozen=True)
class Block:
    """A column of the LaTeX table: the lines of its head, and an entry for each variant.

    Columns of one `group`, such as a number and its difference, stay together where they fit.
    """

    head: tuple[str, ...]
    entries: tuple[Entry, ...]
    numbers: bool
    group: str = ""

    @cached_property
    def width(self) -> float:
        """Of its widest line, in points at 10 pt."""
        return max([*(entry.width for entry in self.entries), *map(width_of, self.head)], default=0.0)


class _Footnotes:
    """Texts under the table, each with a letter; equal texts share one."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}

    def mark(self, texts: Sequence[str]) -> str:
        return ",".join(self.letters.setdefault(text, _letters(len(self.letters))) for text in texts)


@dataclass(frozen=True)
class Note:
    """A sentence under the table, with the mark of a footnote in front, as LaTeX."""

    text: str
    mark: str = ""

    @property
    def latex(self) -> str:
        return self.mark + breakable(self.text, LONG_WORD)

    @property
    def height(self) -> float:
        """Points in the font of the notes."""
        scale, line = SIZES[NOTES]
        return math.ceil(width_of(self.text) * scale / TEXT_WIDTH) * line + 3


def _with_notes(height: float, notes: Sequence[Note]) -> Iterator[list[Note]]:
    """The notes that have room in a float with parts of this height, then those of each further float."""
    page: list[Note] = []
    for note in notes:
        if height + note.height > PAGE:
            yield page
            page, height = [], 0.0
        page.append(note)
        height += note.height
    yield page


def _letters(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    first, last = divmod(number, 26)
    return (_letters(first - 1) if first else "") + "abcdefghijklmnopqrstuvwxyz"[last]


def latex(layout: Layout) -> str:
    """One or more floats with caption, label, the table's parts, and the notes under it."""
    footnotes = _Footnotes()
    blocks = [_block(layout, column, footnotes) for column in _expanded(layout)]
    size, parts = _parts(blocks)
    *first, (last, height) = _floats(size, parts)
    under = [Note(text, rf"$^{{{letter}}}$ ") for text, letter in footnotes.letters.items()]
    noted, *further = _with_notes(height, [*under, *map(Note, _notes(layout))])
    floats = [*((tabulars, ()) for tabulars, _ in first), (last, noted), *(((), notes) for notes in further)]
    lines = ["% needs no package; fits the text of article at 10 pt"]
    for number, (tabulars, notes) in enumerate(floats):
        lines += _float(layout, number, size, tabulars, notes)
    return "\n".join([*lines, ""])


def _notes(layout: Layout) -> list[str]:
    notes = (shared_words(layout.results), *_spreads(layout), *notes_under(layout), *claim_lines(layout))
    return [note for note in notes if note]


def _spreads(layout: Layout) -> Iterator[str]:
    """What the numbers of the metrics are, for all metrics of which it is the same: heads are too narrow for it."""
    metrics: dict[str, list[str]] = {}
    for column in layout.summary.columns:
        metrics.setdefault(spread_words(layout.summary.of(column.metric)), []).append(column.name or column.metric)
    yield from (f"{', '.join(names)}: {words}" for words, names in metrics.items() if words)


def _expanded(layout: Layout) -> Iterator[ShownColumn]:
    """The columns, a number with its difference as two or three. An axis that labels or names state is left out."""
    named = not layout.choice.columns and not layout.results.labels
    for column in layout.columns:
        if column.part == WHOLE:
            yield from _split(layout, column.name)
        elif column.kind != "axis" or not named:
            yield column


def _split(layout: Layout, metric: str) -> Iterator[ShownColumn]:
    deltas = [delta for (_, name), delta in layout.summary.deltas.items() if name == metric]
    yield ShownColumn("metric", metric, "value")
    if deltas:
        yield ShownColumn("metric", metric, "difference")
    if any(_entry_text(layout, variant, metric, "verdict") for variant in layout.variants):
        yield ShownColumn("metric", metric, "verdict")


def _entry_text(layout: Layout, variant: str, metric: str, part: str) -> str:
    shown = show(layout.summary, variant, metric, style_of(layout.summary, layout.summary.column(metric)))
    return getattr(shown, "number" if part == "value" else part) if shown else ""


def _block(layout: Layout, column: ShownColumn, footnotes: _Footnotes) -> Block:
    entries = tuple(_entry(layout, variant, column, footnotes) for variant in layout.variants)
    numbers = column.kind == "metric" and column.part != "verdict"
    widest = max((entry.width for entry in entries), default=0.0)
    return Block(tuple(_head_lines(_head(layout, column), widest)), entries, numbers, column.name)


def _head(layout: Layout, column: ShownColumn) -> str:
    if column.kind != "metric":
        return column.kind if column.kind == "variant" else column.name
    if column.part != "value":
        return DELTA if column.part == "difference" else "verdict"
    return heading(layout.summary, layout.summary.column(column.name))


def _head_lines(head: str, width: float) -> Iterator[str]:
    """The words of a head, in lines no wider than the numbers below where that can be."""
    line = ""
    for word in head.split():
        if line and width_of(f"{line} {word}") > width:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


def _entry(layout: Layout, variant: str, column: ShownColumn, footnotes: _Footnotes) -> Entry:
    results = layout.results
    if column.kind == "variant":
        return Entry(layout.name(variant, column))
    if column.kind == "varied":
        return Entry(varied_words(results, variant) or EMPTY)
    if column.kind == "axis":
        return Entry(axis_text(results, variant, column.name) or EMPTY)
    text = _entry_text(layout, variant, column.name, column.part)
    if column.part != "value":
        return Entry(text or EMPTY)
    shown = show(layout.summary, variant, column.name, style_of(layout.summary, layout.summary.column(column.name)))
    marks = footnotes.mark(shown.notes) if shown else ""
    return Entry(text or EMPTY, marks, (variant, column.name) in layout.best)


def _parts(blocks: Sequence[Block]) -> tuple[str, list[list[Block]]]:
    """(font size, columns of each part): one part in the largest font that has room, several in the smallest."""
    for size, (scale, _) in SIZES.items():
        if _total(blocks, scale) <= TEXT_WIDTH:
            return size, [list(blocks)]
    return size, list(_packed(blocks, scale))


def _total(blocks: Sequence[Block], scale: float) -> float:
    return sum(block.width * scale for block in blocks) + GAP * (len(blocks) - 1)


def _packed(blocks: Sequence[Block], scale: float) -> Iterator[list[Block]]:
    """Columns in parts that fit; each part begins with the first column."""
    name, *others = blocks
    part: list[Block] = [name]
    for _, group in itertools.groupby(others, key=lambda block: block.group):
        together = list(group)
        pieces = [together] if _fits([name, *together], scale) else [[block] for block in together]
        for piece in pieces:
            if len(part) > 1 and not _fits([*part, *piece], scale):
                yield part
                part = [name]
            part += piece
    yield part


def _fits(part: Sequence[Block], scale: float) -> bool:
    widths = (_column_width(block, scale, place == 0) for place, block in enumerate(part))
    return sum(widths) + GAP * (len(part) - 1) <= TEXT_WIDTH


def _column_width(block: Block, scale: float, first: bool) -> float:
    return min(block.width * scale, NAME_WIDTH if first else TEXT_WIDTH - NAME_WIDTH - GAP)


def _floats(size: str, parts: Sequence[list[Block]]) -> Iterator[tuple[list[list[str]], float]]:
    """(the lines of the parts, their height), grouped so that those of one float are not higher than a page."""
    group: list[list[str]] = []
    height = 0.0
    for part in parts:
        needed = _height(part, size)
        if group and height + needed > HEIGHT:
            yield group, height
            group, height = [], 0.0
        group.append(_tabular(part, size))
        height += needed
    yield group, height


def _height(part: Sequence[Block], size: str) -> float:
    scale, line = SIZES[size]
    lines = max(len(block.head) for block in part)
    for entries in zip(*(block.entries for block in part), strict=True):
        widths = [_column_width(block, scale, place == 0) for place, block in enumerate(part)]
        pairs = zip(entries, widths, strict=True)
        lines += max((math.ceil(entry.width * scale / max(width, 1.0)) for entry, width in pairs), default=1)
    return (lines + 2) * line


def _tabular(part: Sequence[Block], size: str) -> list[str]:
    scale = SIZES[size][0]
    wraps = [block.width * scale > _column_width(block, scale, place == 0) for place, block in enumerate(part)]
    columns = [_specification(block, scale, place == 0, wraps[place]) for place, block in enumerate(part)]
    rows = list(zip(*(block.entries for block in part), strict=True))
    texts = [[_entry_latex(entry, wrap) for entry, wrap in zip(row, wraps, strict=True)] for row in rows]
    return [
        rf"\begin{{tabular}}{{@{{}}{''.join(columns)}@{{}}}}",
        r"\hline",
        " & ".join(_head_latex(block, wrap) for block, wrap in zip(part, wraps, strict=True)) + END,
        r"\hline",
        *(" & ".join(row) + END for row in texts),
        r"\hline",
        r"\end{tabular}",
    ]


def _specification(block: Block, scale: float, first: bool, wraps: bool) -> str:
    if wraps:
        return rf"p{{{_column_width(block, scale, first):.0f}pt}}"
    return "r" if block.numbers else "l"


def _head_latex(block: Block, wraps: bool) -> str:
    if wraps:
        return rf"\raggedright {breakable(' '.join(block.head))}"
    if len(block.head) == 1:
        return latex_text(block.head[0])
    side = "r" if block.numbers else "l"
    lines = r" \\ ".join(latex_text(line) for line in block.head)
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{lines}\end{{tabular}}"


def _entry_latex(entry: Entry, wraps: bool) -> str:
    text = breakable(entry.text) if wraps else latex_text(entry.text)
    marked = (rf"\textbf{{{text}}}" if entry.bold else text) + (f"$^{{{entry.marks}}}$" if entry.marks else "")
    return rf"\raggedright {marked}" if wraps else marked


def _float(layout: Layout, number: int, size: str, tabulars: Sequence[list[str]], under: Sequence[Note]) -> list[str]:
    question, name = breakable(layout.results.question, LONG_WORD), re.sub("[^A-Za-z0-9]+", "-", layout.results.name)
    lines = [r"\begin{table}", r"\centering", size, rf"\setlength{{\tabcolsep}}{{{GAP / 2:g}pt}}"]
    first = [rf"\caption{{{question}}}", rf"\label{{tab:{name}}}"]
    lines += first if number == 0 else [rf"Table \ref{{tab:{name}}} (continued)\par\smallskip"]
    for place, tabular in enumerate(tabulars):
        lines += ([r"\par\medskip"] if place else []) + tabular
    notes = [rf"\par\smallskip {note.latex}" for note in under]
    return [*lines, *([rf"\par{NOTES}\raggedright\sloppy", *notes] if notes else []), r"\end{table}"]
