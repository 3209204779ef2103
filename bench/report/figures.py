"""The figures of a report: every registered plot asked for what it has to show, as SVG."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from traceback import format_exception

from markupsafe import escape

from bench.display.drawn import drawn_csv
from bench.display.figure import pdf, svg, theme
from bench.registry import Plot
from bench.registry.catalogue import declarations, live
from bench.registry.places import place_of
from bench.results.results import Results
from bench.spec.characters import printable

GENERATED = "fovbench-figure"
"""The class of the SVG element of every figure that we wrote, so that a later rendering may remove it."""

STANDALONE = (
    "<style>svg{color:#1f2328;color-scheme:light dark}@media(prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"
)


@dataclass(frozen=True)
class Figure:
    """A figure of a report: its file's stem, what it shows, its SVG element, and its plot's place in the order.

    `pdf` and `data`, a CSV table of what is drawn, are empty unless files were asked for.
    """

    name: str
    caption: str
    element: str
    order: int = 50
    pdf: bytes = b""
    data: str = ""

    @property
    def inline(self) -> str:
        """For a page that sets the text's colour: as wide as there is room, named by its caption."""
        head, body = self._parts()
        size = f"--width:{head['width']};--height:{head['height']}"
        look = f'style="{size}" role="img" aria-label="{escape(printable(self.caption))}"'
        return f'<svg viewBox="{head["viewBox"]}" {look}>{body}'.replace("xlink:href", "href")

    @property
    def standalone(self) -> str:
        """For a file of its own, dark where the reader's system is."""
        head, body = self._parts()
        attributes = " ".join(f'{name}="{value}"' for name, value in head.items())
        return f'<?xml version="1.0" encoding="utf-8"?>\n<svg {attributes} class="{GENERATED}">{STANDALONE}{body}\n'

    def _parts(self) -> tuple[dict[str, str], str]:
        """The attributes of the SVG element, and all that follows its opening tag."""
        tag, _, body = self.element.partition(">")
        return dict(re.findall(r'([\w:]+)="([^"]*)"', tag)), body


@dataclass(frozen=True)
class FailedPlot:
    """A plot that drew nothing: its name, where it stands, what it raised, and the traceback of that."""

    name: str
    error: str
    traceback: str = ""


class PlotError(ValueError):
    """What a plot gave instead of named figures."""


def _drawn(plot: Plot, results: Results, files: bool) -> Iterator[Figure]:
    """What a plot yields, drawn; settings that it changes end with it. Raises PlotError, and what the plot raises."""
    from matplotlib import rc_context

    with rc_context():
        given = plot.call(results)
        for pair in given if isinstance(given, Iterable) else [given]:
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
                raise PlotError(f"gave a {type(pair).__name__}; a plot yields pairs (name, figure), or nothing")
            name, figure = pair
            if not hasattr(figure, "get_label"):
                raise PlotError(f"gave a {type(figure).__name__} as the figure '{name}'; draw it with matplotlib")
            element = svg(figure, name)
            more = (pdf(figure), drawn_csv(figure)) if files else (b"", "")
            yield Figure(name, str(figure.get_label()) or plot.summary, element, plot.order, *more)


def _named(plugins: Sequence[str], results: Results) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*results.plugins, *plugins)))


def left_out(results: Results, plugins: Sequence[str] = ()) -> str:
    """A note that figures are left out for the number of variants; empty where none are."""
    count = len(results.variants)
    limits = [entry.most for entry in declarations(_named(plugins, results)).plots if entry.most is not None]
    most = max((limit for limit in limits if limit < count), default=0)
    return f"Figures that show at most {most} variants are left out, since there are {count:,}" if most else ""


def figures(results: Results, plugins: Sequence[str] = (), files: bool = False) -> Iterator[Figure | FailedPlot]:
    """What every registered plot has to show, in the order of the plots; those of the ablation's plug-ins too.

    `files`: with their PDFs and data. A plot that fails costs its own figures only. Plots that cannot show so many
    variants are left out.
    """
    every = _named(plugins, results)
    names: set[str] = set()
    with theme():
        for entry in sorted(declarations(every).plots, key=lambda entry: (entry.order, entry.name)):
            if entry.most is None or len(results.variants) <= entry.most:
                yield from _figures_of(entry, results, every, names, files)


def _figures_of(
    entry: Plot, results: Results, plugins: Sequence[str], names: set[str], files: bool
) -> Iterator[Figure | FailedPlot]:
    """The figures of one plot, whose names are added to `names`."""
    where = f"plot '{entry.name}'"
    try:
        plot = live(entry, plugins)
        where = f"{place_of(plot.call)}: plot '{entry.name}'"
        for figure in _drawn(plot, results, files):
            if figure.name in names:
                raise PlotError(f"gave a second figure of the name '{figure.name}'")
            names.add(figure.name)
            yield figure
    except PlotError as error:
        yield FailedPlot(entry.name, f"{where} {error}")
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        yield FailedPlot(
            entry.name, f"{where} raised {type(error).__name__}: {first}", "".join(format_exception(error))
        )
