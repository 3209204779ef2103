"""The report site: a page for each ablation, and its index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.registry.writing import write_text
from bench.report.figures import FailedPlot
from bench.report.forest import forest
from bench.report.frontier import Frontier, macs_text
from bench.report.index import ORDER, IndexRow, ledger, ours, overview
from bench.report.render import SITE, render, templates
from bench.report.tuning_effect import HEAD, TuningEffect
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


def index(
    rows: Sequence[IndexRow],
    folder: Path = SITE,
    frontiers: Sequence[Frontier] = (),
    effects: Sequence[TuningEffect] = (),
) -> Path:
    """Write the index of these ablations to `folder/index.html`; its path."""
    choices = {
        "task": sorted({row.task for row in rows if row.task}),
        "data": sorted({row.data for row in rows if row.data}),
        "family": sorted({family for row in rows for family in row.families}),
        "verdict": sorted({row.verdict for row in rows}),
    }
    claims = ledger(rows)
    verdicts = [answer for answer in ORDER if any(each.claim.answer == answer for each in claims)]
    template = templates().get_template("site.html.j2")
    drawn = {"forest": forest, "ours": ours, "macs": macs_text}
    text = template.render(
        rows=rows,
        overview=overview(rows),
        choices=choices,
        ledger=claims,
        verdicts=verdicts,
        frontiers=frontiers,
        effects=effects,
        effect_head=HEAD,
        history=(folder / HISTORY).is_file(),
        **drawn,
    )
    return write_text(folder / "index.html", text)
