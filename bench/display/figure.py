"""What the figures share: their look, the variants' labels and colours, and SVG that follows the page's text colour."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import Column, Summary
from bench.display.names import axis_text
from bench.display.numbers import style_of
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK = "#010203"
"""Drawn with this colour, text and lines become the page's text colour, light or dark."""

BASELINE = "#8a8a8a"
COLOURS = ("#1a80c4", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8f6bd1")
"""After Okabe & Ito 2008, told apart by colour-blind readers; none is close to white or to black."""

CHARACTER, HANDLE = 0.0725, 0.6
"""Inches that a character of a legend takes, on the safe side, and the handle with its gaps."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

THEME: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
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
    """A figure of so many inches with its axes, row by row. The caption is what a reader who sees nothing hears."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.set_label(caption)
    return figure, [*figure.subplots(rows, columns, squeeze=False).flat]


def names(results: Results) -> dict[str, str]:
    """Each variant's short name: its values on the axes that vary; on all that it states where they don't tell."""
    short = {v: _words(_varied(results, v)) or v for v in results.variants}
    counts = [*short.values()]
    full = {v: _words([*results.axes.get(v, {}).items()]) or v for v in results.variants}
    unique = {v: text if counts.count(text) == 1 else full[v] for v, text in short.items()}
    return {v: f"{text} (baseline)" if v == results.baseline else text for v, text in unique.items()}


def _varied(results: Results, variant: str) -> list[tuple[str, str]]:
    return [(axis, axis_text(results, variant, axis)) for axis in results.varied]


def _words(axes: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{axis}={value}" for axis, value in axes if value)


def labels(results: Results, width: int = 32) -> dict[str, str]:
    """The short names in lines of about so many characters; a longer word stays whole."""
    wrap = textwrap.TextWrapper(width, break_on_hyphens=False, break_long_words=False)
    return {v: wrap.fill(name) for v, name in names(results).items()}


def styles(results: Results) -> dict[str, dict[str, Any]]:
    """Each variant's colour and marker; the baseline is grey."""
    others = [v for v in results.variants if v != results.baseline]
    found = {v: {"color": COLOURS[i % 7], "marker": MARKERS[1 + i % 7]} for i, v in enumerate(others)}
    if len(others) > len(COLOURS):
        found = {v: {"color": COLOURS[i % 7], "marker": MARKERS[i % 8]} for i, v in enumerate(others)}
    return {results.baseline: {"color": BASELINE, "marker": "o"}, **found}


def variant_rows(axes: Axes, results: Results) -> dict[str, int]:
    """Make the y axis list the variants from the top; where each stands on it."""
    texts = labels(results)
    axes.set_yticks(range(len(results.variants)), [texts[v] for v in results.variants])
    axes.set_ylim(len(results.variants) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    return {variant: i for i, variant in enumerate(results.variants)}


def rows_height(results: Results) -> float:
    """Inches for a row per variant, with room for names of several lines."""
    lines = sum(text.count("\n") + 1 for text in labels(results).values())
    return 0.26 * len(results.variants) + 0.17 * lines + 1.1


def beside(axes: Axes, row: float, text: str, **look: Any) -> None:
    """Text in the right margin of a row."""
    axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", ha="left", fontsize=9, **look)


def legend_below(figure: Figure, handles: Sequence[Any], texts: Sequence[str], columns: int) -> None:
    """A legend outside of all axes."""
    figure.legend(handles, texts, loc="outside lower center", ncols=max(1, min(columns, len(texts))))


def variant_legend(figure: Figure, results: Results, shown: Sequence[str], **look: Any) -> None:
    """A legend of these variants below the axes, in as many columns as their names leave room for."""
    from matplotlib.lines import Line2D

    texts, looks = names(results), styles(results)
    handles = [Line2D([], [], **{**looks[v], **look}) for v in shown]
    shown_as = [texts[v] for v in shown]
    legend_below(figure, handles, shown_as, _legend_columns(shown_as, figure.get_figwidth()))


def legend_height(results: Results, width: float = 8.2) -> float:
    """Inches that the variants' legend takes below a figure of `width` inches."""
    return 0.19 * -(-len(results.variants) // _legend_columns([*names(results).values()], width)) + 0.2


def _legend_columns(texts: Sequence[str], width: float) -> int:
    """Two where two of the longest entries fit beside each other, with their handles."""
    return 2 if 2 * (CHARACTER * max(map(len, texts)) + HANDLE) <= width else 1


def log_ticks(axis: Axis) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def scaled(summary: Summary, column: Column, values: Sequence[float]) -> list[float]:
    """Values in the unit that the column is shown in."""
    factor = style_of(summary, column).scale.factor
    return [value / factor for value in values]


def svg(figure: Figure, name: str) -> str:
    """The figure as one SVG element: the same bytes each time, ids that no other figure has, ink as currentColor."""
    import matplotlib

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    element = buffer.getvalue()
    element = element[element.index("<svg") :].strip()
    element = re.sub(r"\s*<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    return _own_ids(element.replace(INK, "currentColor"), name)


def _own_ids(element: str, name: str) -> str:
    """Ids that something refers to get the figure's name in front, the others go."""
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', element))
    element = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", element)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", element)
