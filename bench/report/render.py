"""Results -> files: a self-contained HTML page of the report site, or the Markdown and figures that are committed.

Rendering the same results again gives the same bytes: nothing here reads the clock or draws at random.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from bench.registry.writing import write_bytes, write_text
from bench.report.choice import MAIN_TABLE
from bench.report.figures import GENERATED, FailedPlot
from bench.report.page import Page, page_of
from bench.report.table import markdown_text, table
from bench.results.results import Results
from bench.spec.characters import printable

SITE = Path("reports") / "site"
"""Where pages are built; not committed."""

FILES = "files"
"""The folder next to a page with the figures and the table as files."""

COMMITTED_FIGURES = 1
"""Figures of an ablation that are committed, the first; the site has all of them."""


def _ignore(failed: FailedPlot) -> None:
    """The page has it."""


def render(
    results: Results,
    folder: str | Path = SITE,
    plugins: Sequence[str] = (),
    failed: Callable[[FailedPlot], None] = _ignore,
) -> Path:
    """Write `folder/<name>/index.html`, which needs no other file, and the files that it links to; its path.

    Plots of the ablation's plug-ins are drawn; `plugins` may bring further ones. A plot that fails is a row of the
    page, and `failed` is called with it. Raises ValueError for two measurements of one variant, metric and seed.
    """
    target = Path(folder) / results.name
    page = page_of(results, plugins, files=True)
    for each in page.failed_plots:
        failed(each)
    write_files(page, target / FILES)
    return write_text(target / "index.html", templates().get_template("index.html.j2").render(page=page))


def write_files(page: Page, folder: Path) -> None:
    """What the page links to: each figure as SVG, PDF and CSV, and the table as CSV and LaTeX.

    Figures that an earlier rendering wrote and this one does not are removed.
    """
    for figure in page.figures:
        write_text(folder / f"{figure.name}.svg", figure.standalone)
        write_bytes(folder / f"{figure.name}.pdf", figure.pdf)
        write_text(folder / f"{figure.name}.csv", figure.data)
    write_text(folder.parent / "table.csv", table(page.results, "csv"))
    write_text(folder.parent / "table.tex", table(page.results, "latex", MAIN_TABLE))
    _remove_stale(folder, {f"{figure.name}.svg" for figure in page.figures})


def render_markdown(results: Results, folder: str | Path, plugins: Sequence[str] = ()) -> Path:
    """Write `folder/<name>/index.md` and its first figures as SVG, as they are committed; the path of the text.

    Figures that an earlier rendering wrote and this one does not are removed.
    """
    target = Path(folder) / results.name
    page = page_of(results, plugins, COMMITTED_FIGURES)
    for figure in page.figures:
        write_text(target / f"{figure.name}.svg", figure.standalone)
    _remove_stale(target, {f"{figure.name}.svg" for figure in page.figures})
    return write_text(target / "index.md", markdown_of(page))


def markdown_of(page: Page) -> str:
    """The page as Markdown."""
    return templates().get_template("index.md.j2").render(page=page)


@functools.cache
def templates() -> jinja2.Environment:
    """The templates of pages, with their filters; each is compiled once."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bench.report", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(md=markdown_text, code=markdown_code, breaks=breakable)
    return environment


def _shown(value: Any) -> Any:
    """What a template prints of a value: text with its control characters escaped."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def markdown_code(text: str) -> str:
    """A code span that survives backticks in it and, with its bars escaped, a table's cells."""
    one_line = " ".join(printable(text).split()).replace("|", "\\|")
    fence = "``" if "`" in one_line else "`"
    pad = " " if "`" in one_line else ""
    return f"{fence}{pad}{one_line}{pad}{fence}"


def breakable(text: str) -> Markup:
    """With places where a browser may break the line: after a name's bracket, underscore, comma or dot."""
    return Markup(re.sub(r"((?<=\w)\(|_|,(?=\S)|\.(?=[A-Za-z]))", r"\1<wbr>", str(escape(printable(text)))))


def _remove_stale(folder: Path, current: set[str]) -> None:
    """Only what an earlier rendering wrote, which its mark shows."""
    for path in sorted(folder.glob("*.svg")):
        if path.name not in current and GENERATED in path.read_text(encoding="utf-8")[:2000]:
            for each in (path, path.with_suffix(".pdf"), path.with_suffix(".csv")):
                each.unlink(missing_ok=True)
