"""What the figures share: their look, the variants' labels and colours, and SVG that follows the page's text colour."""

from __future__ import annotations

import functools
import io
import math
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.display.names import axis_text, axis_words, stated_values, varied_values
from bench.results.results import Results
from bench.spec.characters import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK = "#010203"
"""Drawn with this colour, text and lines become the page's text colour, light or dark."""

BASELINE = "#8a8a8a"
COLOURS = ("#1a80c4", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8f6bd1")
"""After Okabe & Ito 2008, told apart by colour-blind readers; none is close to white or to black."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (5, 1.5),
    (1.5, 1.2),
    (7, 1.5, 1.5, 1.5),
    (3, 1, 1, 1, 1, 1),
    (10, 2),
    (3, 3),
    (1, 3),
)
"""Lengths of dashes and gaps in line widths; the first is solid. Up to eight lines differ without colour."""

SMALLEST = 9
"""Points of the smallest text in any figure: 12 px, and at least 11 px where a narrow page makes it smaller."""
WIDTH = 3.6
"""Inches of every figure: it fits a phone of 390 px without scrolling, so panels are stacked and not put in a row."""
LONGEST_WORD = 42
"""Characters of a word in a label that stays on one line."""
LINE = 0.165
"""Inches of a line of text."""
MARK = 0.27
"""Inches of a row's marks, below its texts."""
LINE_HEIGHT = 0.7
"""How far a vertical line in a row goes up from the middle of its marks, as a fraction of the way to the texts."""
NARROWEST = math.log10(2)
"""The least part of a decade between two of the numbers 1, 2, 5 and 10."""
ROW_CHARACTERS = 42
"""Characters of a line above a row."""

THEME: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign in a name is no formula
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.8,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "image.composite_image": False,
    "savefig.dpi": 150,
}


@contextmanager
def theme() -> Iterator[None]:
    """The look of every figure made inside."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(THEME)
        yield


def new(width: float, height: float, caption: str, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of `width` by `height` inches with its axes, row by row.

    The caption is shown above the figure, and is its text for screen readers. `bench.display.legend` adds the height
    of a legend.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.set_label(caption)
    return figure, [*figure.subplots(rows, columns, squeeze=False).flat]


@contextmanager
def seaborn() -> Iterator[Any]:
    """The seaborn module. Its jitter is the same each time, so that a figure has the same bytes.

    seaborn 0.13 draws by arguments that matplotlib 3.11 will deprecate one day; these warnings are ignored.
    """
    import numpy as np
    import seaborn as sns

    state = np.random.get_state()
    np.random.seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            yield sns
    finally:
        np.random.set_state(state)


@functools.lru_cache(maxsize=8)
def names(results: Results) -> dict[str, str]:
    """Each variant's label, or its values on the axes that vary; and `(baseline)`.

    With more than MOST_AXES axes only those on which it differs from the baseline. Variants that would have the same
    name also state the axes on which they differ from one another.
    """
    short = {variant: axis_words(stated_values(results, variant)) for variant in results.variants}
    unique = _unique_names(results, short) | dict(results.labels)
    baseline = results.baseline
    unnamed = not short[baseline] and baseline not in results.labels and len(results.variants) > 1
    return {**unique, baseline: "baseline" if unnamed else f"{unique[baseline]} (baseline)"}


def _unique_names(results: Results, short: Mapping[str, str]) -> dict[str, str]:
    """The short names; with what differs where several variants have the same one, except for the baseline."""
    groups: dict[str, list[str]] = {}
    for variant, name in short.items():
        groups.setdefault(name, []).append(variant)
    unique = {}
    for name, alike in groups.items():
        counts = Counter(pair for variant in alike for pair in results.axes.get(variant, {}).items())
        for variant in alike:
            single = variant == results.baseline or len(alike) == 1
            unique[variant] = name or variant if single else _longer_name(results, name, variant, counts)
    return {variant: unique[variant] for variant in short}


def _longer_name(results: Results, name: str, variant: str, counts: Mapping[tuple[str, str], int]) -> str:
    """The short name, and the stated values that no variant of the same name has (`counts`: how many have a value)."""
    varied = set(varied_values(results, variant))
    stated = results.axes.get(variant, {}).items()
    more = axis_words([pair for pair in stated if pair not in varied and counts[pair] == 1])
    return ", ".join(part for part in (name, more) if part) or variant


@functools.lru_cache(maxsize=8)
def labels(results: Results, width: int = 32) -> dict[str, str]:
    """The short names in lines of about `width` characters; only words longer than LONGEST_WORD are broken."""
    return {variant: wrapped(name, width) for variant, name in names(results).items()}


def titles(results: Results, width: int = 28) -> dict[str, str]:
    """The short names as titles of panels, which no line of more than `width` characters may leave."""
    return {variant: wrapped(name, width, width) for variant, name in names(results).items()}


def wrapped(text: str, width: int, longest: int = LONGEST_WORD) -> str:
    """Lines of `width` characters; a longer word has a line of its own, and several where it is above `longest`."""
    lines = textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)
    return "\n".join(part for line in lines for part in _broken(line, max(width, longest)))


def _broken(line: str, longest: int) -> list[str]:
    """Parts of at most `longest` characters: they end after a separator where there is one, else anywhere."""
    if len(line) <= longest:
        return [line]
    end = max((match.end() for match in re.finditer(r"[\s_:=/,]", line[:longest])), default=longest)
    return [line[:end].rstrip(), *_broken(line[end:], longest)]


@functools.lru_cache(maxsize=8)
def in_order(results: Results) -> tuple[str, ...]:
    """The variants by their values on the numeric axes that vary, the smallest first; else in the ablation's order.

    A variant without a number on such an axis comes after those that have one.
    """
    columns = [[_number(axis_text(results, v, axis)) for v in results.variants] for axis in results.varied]
    numeric = [column for column in columns if any(column)]
    keys = {v: [column[i] or (math.inf,) for column in numeric] for i, v in enumerate(results.variants)}
    return tuple(sorted(results.variants, key=lambda variant: keys[variant]))


def _number(text: str) -> tuple[float, ...]:
    """`8` as (8,), `[6,12]` as (6, 12); empty for what is no number."""
    try:
        return tuple(float(part) for part in text.removeprefix("[").removesuffix("]").split(","))
    except ValueError:
        return ()


@functools.lru_cache(maxsize=8)
def styles(results: Results) -> dict[str, dict[str, Any]]:
    """Each variant's colour and marker; the baseline is grey."""
    others = [v for v in in_order(results) if v != results.baseline]
    shift, markers = (1, 7) if len(others) <= len(COLOURS) else (0, 8)
    looks = {v: {"color": COLOURS[i % 7], "marker": MARKERS[shift + i % markers]} for i, v in enumerate(others)}
    return {results.baseline: {"color": BASELINE, "marker": "o"}, **looks}


@functools.lru_cache(maxsize=8)
def palette(results: Results) -> dict[str, str]:
    """Each variant's colour, as seaborn's `palette`."""
    return {variant: look["color"] for variant, look in styles(results).items()}


@functools.lru_cache(maxsize=8)
def markers(results: Results) -> dict[str, str]:
    """Each variant's marker, as seaborn's `markers`."""
    return {variant: look["marker"] for variant, look in styles(results).items()}


@functools.lru_cache(maxsize=8)
def dashes(results: Results) -> dict[str, tuple[float, ...]]:
    """Each variant's dashes, as seaborn's `dashes`: lines differ without colour too. The baseline's is solid."""
    others = [v for v in in_order(results) if v != results.baseline]
    return {results.baseline: DASHES[0], **{v: DASHES[(i + 1) % len(DASHES)] for i, v in enumerate(others)}}


@functools.lru_cache(maxsize=8)
def line_looks(results: Results) -> dict[str, dict[str, Any]]:
    """Each variant's colour and line style, as matplotlib takes them."""
    colours, patterns = palette(results), dashes(results)
    return {v: {"color": colours[v], "linestyle": (0, patterns[v]) if patterns[v] else "-"} for v in results.variants}


@dataclass(frozen=True)
class Rows:
    """Rows from the top: each one's name and a note above its marks, so that marks have the whole width.

    `notes` has the names in order, and the note of each; a name and a short note are on one line.
    """

    notes: Mapping[str, str]

    @property
    def lines(self) -> int:
        """Lines of text above each row."""
        return max((_lines(name) + _lines(note) - _on_one_line(name, note) for name, note in self._texts), default=1)

    @property
    def _texts(self) -> list[tuple[str, str]]:
        """Names and notes in lines that fit."""
        return [(_short_lines(name), _short_lines(note)) for name, note in self.notes.items()]

    @property
    def height(self) -> float:
        """Inches of all rows."""
        return len(self.notes) * self.pitch

    @property
    def pitch(self) -> float:
        """Inches from row to row."""
        return self.lines * LINE + MARK

    @property
    def half(self) -> float:
        """Half of the marks' height, in rows."""
        return MARK / 2 / self.pitch

    @property
    def places(self) -> dict[str, int]:
        """Name -> the position of its marks on the y axis."""
        return {name: place for place, name in enumerate(self.notes)}

    def label(self, axes: Axes) -> None:
        """Write the texts, and give the y axis its limits; after everything else is drawn."""
        for place, (name, note) in enumerate(self._texts):
            look: dict[str, Any] = {"va": "bottom", "fontsize": SMALLEST, "transform": axes.get_yaxis_transform()}
            beside = _on_one_line(name, note)
            above = 0 if beside else _lines(note) * LINE / self.pitch
            axes.text(0.0, place - self.half - above, name, ha="left", **look)
            axes.text(float(beside), place - self.half, note, ha="right" if beside else "left", alpha=0.8, **look)
        axes.set_yticks(range(len(self.notes)), [*self.notes])
        axes.set_ylim(len(self.notes) - 1 + self.half, self.half - 1)
        axes.set_ylabel("")
        axes.locator_params(axis="x", nbins=4)  # numbers that hardly differ are long
        axes.tick_params(axis="y", length=0, labelleft=False)  # the ticks name the rows in the data of the figure
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")

    def line(self, axes: Axes, place: float, **look: Any) -> None:
        """A vertical line that leaves the texts free: a piece in every row."""
        for y in range(len(self.notes)):
            axes.vlines(place, *self.piece(y), **look)

    def piece(self, place: float) -> tuple[float, float]:
        """Ends of a vertical line in a row: from below its texts, which the line shall not touch, to its lower end."""
        return place - LINE_HEIGHT * self.half, place + self.half

    def band(self, axes: Axes, low: float, high: float, **look: Any) -> None:
        """A vertical band that leaves the texts free."""
        for y in range(len(self.notes)):
            axes.fill_betweenx([y - self.half, y + self.half], low, high, **look)


def _short_lines(text: str) -> str:
    return "\n".join(wrapped(line, ROW_CHARACTERS) for line in text.split("\n"))


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _on_one_line(name: str, note: str) -> bool:
    return bool(note) and "\n" not in name + note and len(name) + len(note) < ROW_CHARACTERS


def variant_rows(results: Results, notes: Mapping[str, str]) -> Rows:
    """A row for each variant, in order, with the notes of those that have one."""
    texts = names(results)
    return Rows({texts[variant]: notes.get(variant, "") for variant in in_order(results)})


def rows_figure(rows: Rows, caption: str) -> tuple[Figure, Axes]:
    """A figure of these rows with an x axis."""
    figure, (axes,) = new(WIDTH, rows.height + 0.55, caption)
    return figure, axes


def stacked(count: int, height: float, caption: str) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels below each other, `height` inches each."""
    return new(WIDTH, height * count, caption, count)


def log_ticks(axis: Axis) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5; at powers of ten where those would touch, and at numbers in
    equal steps where fewer than two would be on the axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    class Spaced(LogLocator):
        def tick_values(self, vmin: float, vmax: float) -> Any:
            decades = abs(math.log10(vmax / vmin)) if min(vmin, vmax) > 0 else math.inf
            self.set_params(subs=(1, 2, 5) if decades <= axis.get_tick_space() * NARROWEST else (1,))
            ticks = super().tick_values(vmin, vmax)
            if sum(min(vmin, vmax) <= tick <= max(vmin, vmax) for tick in ticks) > 1:
                return ticks
            return MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(vmin, vmax)

    axis.set_major_locator(Spaced())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def svg(figure: Figure, name: str) -> str:
    """The figure as one SVG element: the same bytes each time, ids that no other figure has, ink as currentColor."""
    import matplotlib

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        _laid_out(figure).print_svg(buffer, metadata=nothing)  # savefig would draw it twice
    element = printable(buffer.getvalue())
    element = element[element.index("<svg") :].strip()
    element = re.sub(r"\s*<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    return _own_ids(element.replace(INK, "currentColor"), name)


def _laid_out(figure: Figure) -> Any:
    """The figure's SVG canvas, with the axes in their places: later drawings leave them there."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    canvas = FigureCanvasSVG(figure)
    figure.dpi = canvas.fixed_dpi
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine("none")
    resolution = matplotlib.rcParams["savefig.dpi"]  # of what is drawn as pixels
    figure.dpi = canvas.fixed_dpi if resolution == "figure" else resolution
    return canvas


def pdf(figure: Figure) -> bytes:
    """The figure as a PDF, the same bytes each time; laid out as `svg` does."""
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    buffer = io.BytesIO()
    _laid_out(figure)
    canvas: Any = FigureCanvasPdf(figure)  # savefig would draw it twice
    canvas.print_pdf(buffer, metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))
    return buffer.getvalue()


def _own_ids(element: str, name: str) -> str:
    """Ids that something refers to get the figure's name in front, the others go."""
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', element))
    element = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", element)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", element)
