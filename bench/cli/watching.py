"""The command watch: a running sweep as its store shows it, on the terminal or as one page."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import Seconds, ablation_options, echo, load_ablation
from bench.spec.characters import printable

if TYPE_CHECKING:
    from bench.results.location import Location
    from bench.results.results import Results
    from bench.results.store import Store
    from bench.spec.ablation import Ablation
    from bench.sweep.plan import Plan


@click.command()
@click.argument("name", metavar="ABLATION")
@ablation_options
@click.option("--once", is_flag=True, help="Say it once, and end.")
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write a page that refreshes.")
@click.option("--every", type=Seconds(), default=5.0, show_default="5s", help="Read the store again after this time.")
@click.option("--workers", type=click.IntRange(1), help="For the time left: processes at once. Default: as in run.")
def watch(
    name: str,
    store: Location,
    data: Path | None,
    once: bool,
    page: Path | None,
    every: float,
    workers: int | None,
    **options: Any,
) -> None:
    """Show how far ABLATION is: done, claimed by runs, failed and why, time left, and the table so far.

    Only reads the store, which may be that of another machine (--store FILE), also while a run writes it. Ends when
    nothing is left to measure, or with Ctrl-C.
    """
    from bench.report.page import answer_and_table
    from bench.results.store import Store

    ablation = load_ablation(name, **options)
    while True:
        with Store(store) as stored:
            lines, results, left = _state(ablation, stored, data, workers)
        if page is not None:
            _write(page, ablation.name, lines, results, 0 if once or not left else every)
        else:
            if not once:
                click.clear()
            echo("\n".join([*lines, "", answer_and_table(results)]))
        if once or not left:
            return
        time.sleep(every)


def _state(ablation: Ablation, stored: Store, data: Path | None, workers: int | None) -> tuple[list[str], Results, int]:
    """(how far the ablation is, its results so far, how many measurements are left)."""
    from bench.sweep.plan import plan
    from bench.sweep.reading import read_results

    planned = plan(ablation, stored, data, reading=True)
    parts = [part for part in (planned.search, planned) if part]
    lines = [f"{ablation.name}, {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}, {stored.path}"]
    for part in parts:
        title = "" if len(parts) == 1 else "search: " if part is planned.search else "reported: "
        lines += [f"{title}{_counts(part, stored, workers)}", *_failures(part, stored)]
    left = sum(part.count("due") + part.count("waits") for part in parts)
    return lines, read_results(ablation, stored, data, evaluations=False), left


ENDED = " that has ended, or is on another machine"


def _counts(plan: Plan, stored: Store, workers: int | None) -> str:
    from bench.hardware.process import is_running
    from bench.sweep.forecast import forecast_of
    from bench.sweep.running import workers_for

    ahead = plan.as_due()
    claims = stored.claims(is_running)
    claimed = [claims[request.key] for request in plan.due if request.key in claims]
    counts = {"done": plan.count("cached"), "failed": plan.count("failed"), "left": len(ahead.due)}
    text = ", ".join(f"{count} {name}" for name, count in counts.items())
    text += f" ({len(claimed)} of them claimed by a run{'' if any(claimed) else ENDED})" if claimed else ""
    return text + (f"; {forecast_of(ahead, stored).text(workers or workers_for([plan]))}" if ahead.due else "")


def _failures(plan: Plan, stored: Store) -> Iterator[str]:
    """A line for each reason."""
    from bench.results.failures import failures_of, grouped

    for failure, count in grouped(failures_of(stored.records(plan.keys))):
        yield from failure.lines(False, count)


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 1.5rem; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ border-bottom: 1px solid #888; padding: 0.3rem 0.8rem; text-align: left; vertical-align: top; }}
</style>
<p>{state}</p>
<h1>{question}</h1>
<ul>{answer}</ul>
<div class="scroll" role="region" aria-label="Results so far" tabindex="0">
<table>
{table}
</table>
</div>
<ul>{notes}</ul>
</html>
"""


def _write(page: Path, name: str, lines: Sequence[str], results: Results, every: float) -> None:
    """Replace the page at once, so that no reader sees a part of it; `every` 0: it does not refresh."""
    refresh = f'\n<meta http-equiv="refresh" content="{max(1, round(every))}">' if every else ""
    written = PAGE.format(refresh=refresh, title=html.escape(name), **_parts(lines, results))
    part = page.with_name(f".{page.name}.{os.getpid()}")
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(written, encoding="utf-8")
        part.replace(page)
    except OSError as error:
        raise click.ClickException(f"{page}: cannot be written ({error.strerror}); name another with --html") from None


def _parts(lines: Sequence[str], results: Results) -> dict[str, str]:
    """The content of the page, as HTML."""
    from bench.analysis.summary import summarise
    from bench.report.choice import layout_of
    from bench.report.page import headline
    from bench.report.table import all_notes, displayed

    layout = layout_of(results)
    head, *rows = displayed(layout)
    marked = [_row("th", head), *(_row("td", row) for row in rows)]
    return {
        "state": "<br>\n".join(map(_escaped, lines)),
        "question": _escaped(results.question),
        "answer": _items(headline(summarise(results))),
        "table": "\n".join(marked),
        "notes": _items(all_notes(layout)),
    }


def _row(tag: str, texts: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_escaped(text)}</{tag}>' for text in texts)}</tr>"


def _items(texts: Iterable[str]) -> str:
    return "".join(f"\n<li>{_escaped(text)}</li>" for text in texts)


def _escaped(text: str) -> str:
    return html.escape(printable(text))
