"""The report site: a page for each ablation, and its index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.registry.writing import write_text
from bench.report.figures import FailedPlot
from bench.report.index import HEAD, IndexRow
from bench.report.render import SITE, render, templates
from bench.results.results import Results

HISTORY = "history.html"
"""The page of trends over commits, which `bench history` writes into the site's folder."""


def pages(
    all_results: Iterable[Results],
    folder: Path = SITE,
    plugins: Sequence[str] = (),
    failed: Callable[[FailedPlot], None] = lambda plot: None,
) -> list[Path]:
    """Write the page of each ablation to `folder/NAME/index.html`; the paths. `failed`: see `render`."""
    return [render(results, folder, plugins, failed) for results in all_results]


def index(rows: Sequence[IndexRow], folder: Path = SITE) -> Path:
    """Write the index of these ablations to `folder/index.html`; its path."""
    text = templates().get_template("site.html.j2").render(head=HEAD, rows=rows, history=(folder / HISTORY).is_file())
    return write_text(folder / "index.html", text)
