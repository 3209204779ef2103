"""Trends as a table of text, and as a page of the report site with a figure for each ablation and metric."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bench.display.figure import COLOURS, DASHES, INK, new, svg, theme
from bench.display.numbers import scale_of
from bench.display.wording import EMPTY
from bench.gate.trends import Change, Point, Series
from bench.registry.writing import write_text
from bench.report.figures import Figure as Drawing
from bench.report.render import templates
from bench.report.site import HISTORY
from bench.spec.characters import one_line, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEAD = ("ablation", "variant", "metric", "commits", "first", "last", "change", "change points")

MOST_ERROR = 60
"""Characters of an error in a table."""

MOST_LINES = 12
"""Series that a figure shows; the further ones have rows of the table only."""


class UrlError(ValueError):
    """An address of commits that cannot be used."""


@dataclass(frozen=True)
class Link:
    """A text with the address it leads to, empty where there is none."""

    text: str
    address: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Row:
    """One series in words: the cells before the change points, and these."""

    texts: tuple[str, ...]
    changes: tuple[Link, ...]
    note: str = ""


def checked_url(url: str) -> str:
    """The address of a commit, with `{commit}` in its place. Raises UrlError for another one."""
    if url and not (url.startswith(("https://", "http://")) and "{commit}" in url):
        raise UrlError(f"'{url}' is no address of commits; write https://HOST/OWNER/NAME/commit/{{commit}}")
    return url


def address(url: str, commit: str) -> str:
    """Where a commit is shown; empty without an address."""
    return url.replace("{commit}", quote(commit, safe="")) if url else ""


def rows_of(series: Iterable[Series], url: str = "") -> list[Row]:
    """One row for each series; conditions are named where a number has several."""
    every = list(series)
    return [Row(_texts(each, every), tuple(_link(c, url) for c in each.changes), each.note) for each in every]


def _texts(series: Series, every: Sequence[Series]) -> tuple[str, ...]:
    variant = f"{series.variant} {other}" if (other := differing(series, every)) else series.variant
    last = value_text(series.last, series) if series.last is not None else _failed(series.points[-1].error)
    first = value_text(series.first, series)
    return (series.ablation, variant, series.metric, str(len(series.points)), first, last, _change(series))


def _failed(error: str) -> str:
    """The beginning of an error, so that a table keeps its width."""
    text = printable(one_line(error))
    return text if len(text) <= MOST_ERROR else f"{text[:MOST_ERROR]} …"


def differing(series: Series, every: Iterable[Series]) -> str:
    """The conditions and units in which the series of one number differ, as `(device: a)`; empty where it has one."""
    name = (series.ablation, series.variant, series.metric)
    others = [each for each in every if (each.ablation, each.variant, each.metric) == name]
    flat = [_conditions(each) for each in others]
    keys = dict.fromkeys(key for each in flat for key in each if any(each[key] != other.get(key) for other in flat))
    mine = _conditions(series)
    return f"({', '.join(f'{key}: {mine[key]}' for key in keys if key in mine) or 'without'})" if keys else ""


def _conditions(series: Series) -> dict[str, str]:
    return {**_flat(series.conditions), "unit": series.unit or "none", "kind": series.kind}


def _flat(values: Any, prefix: str = "") -> dict[str, str]:
    if not isinstance(values, dict):
        return {prefix.rstrip("."): values if isinstance(values, str) else json.dumps(values)}
    return {name: text for key, value in values.items() for name, text in _flat(value, f"{prefix}{key}.").items()}


def value_text(value: float | None, series: Series) -> str:
    """A value with its unit, in four digits."""
    if value is None:
        return EMPTY
    scale = scale_of(series.values, series.unit)
    if series.unit == "hash":
        return f"{int(value):012x}"
    return f"{value / scale.factor:.4g} {scale.unit}".strip()


def _change(series: Series) -> str:
    if series.unit == "hash" or not series.first or series.last is None:
        return EMPTY
    return "0" if series.last == series.first else f"{100 * (series.last / series.first - 1):+.1f} %"


def _link(change: Change, url: str) -> Link:
    ratio = change.ratio
    size = "" if ratio is None or change.direction == "changed" else f" {100 * (ratio - 1):+.1f} %"
    return Link(f"{change.label}{size} {change.direction}", address(url, change.commit), change.direction)


def text_table(rows: Sequence[Row]) -> Iterator[str]:
    """The rows as lines of a terminal, columns aligned."""
    cells = [HEAD, *((*row.texts, ", ".join(link.text for link in row.changes) or row.note or "none") for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(HEAD))]
    for line in cells:
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()


def write_page(series: Sequence[Series], folder: Path, url: str = "") -> Path:
    """Write `folder/history.html`; its path. The page needs no other file."""
    index = (folder / "index.html").is_file()
    pages = {each.ablation for each in series if (folder / each.ablation / "index.html").is_file()}
    drawings = list(figures(series, url))
    template = templates().get_template("history.html.j2")
    text = template.render(head=HEAD, rows=rows_of(series, url), figures=drawings, index=index, pages=pages)
    return write_text(folder / HISTORY, text)


def figures(series: Sequence[Series], url: str = "") -> Iterator[Drawing]:
    """A figure for each ablation and metric that has a series of two commits or more with other values."""
    groups: dict[tuple[str, str], list[Series]] = {}
    for each in series:
        if len(each.values) > 1 and each.first and len(set(each.values)) > 1 and each.unit != "hash":
            groups.setdefault((each.ablation, each.metric), []).append(each)
    for number, ((ablation, metric), members) in enumerate(groups.items()):
        yield _drawn(f"history-{number}", f"{ablation}: {metric} over commits", members, url)


def _drawn(name: str, title: str, members: Sequence[Series], url: str) -> Drawing:
    shown = sorted(members, key=lambda each: -len(each.changes))[:MOST_LINES]
    more = f"; {len(members) - len(shown)} further variants are in the table" if len(members) > len(shown) else ""
    caption = f"{title}, relative to the first commit. Rings mark change points{more}."
    with theme():
        figure, (axes,) = new(7.0, 3.2, caption)
        _draw(axes, shown, url)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return Drawing(name, caption, svg(figure, name))


def _draw(axes: Axes, shown: Sequence[Series], url: str) -> None:
    dates = {point.label: point.date for each in shown for point in each.points}
    order = {label: place for place, label in enumerate(sorted(dates, key=lambda label: _when(dates[label])))}
    for number, each in enumerate(shown):
        _line(axes, each, order, url, COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)], shown)
    step = max(1, len(order) // 8)
    axes.set_xticks([*order.values()][::step], [label[:7] for label in order][::step])
    axes.set_ylabel("change in %")
    axes.axhline(0, color=INK, linewidth=0.6)


def _when(date: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(date)


def _line(
    axes: Axes, series: Series, order: dict[str, int], url: str, colour: str, dashes: Any, every: Sequence[Series]
) -> None:
    points = [point for point in series.points if point.value is not None]
    x, y = [order[point.label] for point in points], [_relative(point, series) for point in points]
    label = f"{series.variant} {differing(series, every)}".strip()
    axes.plot(x, y, color=colour, linewidth=1.2, dashes=dashes or (None, None), label=label)
    dots = axes.scatter(x, y, s=9, color=colour, zorder=3)
    if url:
        dots.set_urls([address(url, point.commit) for point in points])
    places = [change.place for change in series.changes]
    ring: dict[str, Any] = {"s": 70, "facecolors": "none", "edgecolors": colour, "linewidths": 1.4, "zorder": 4}
    axes.scatter([x[place] for place in places], [y[place] for place in places], **ring)


def _relative(point: Point, series: Series) -> float:
    return 100 * ((point.value or 0.0) / (series.first or 1.0) - 1)
