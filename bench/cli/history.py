"""Commands on the numbers of many commits: history, history add."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import Names, echo, json_option, own_ablations, plugin, print_json, print_lines, store_option

if TYPE_CHECKING:
    from bench.results.history import Number
    from bench.results.location import Location

file_option = click.option(
    "--file",
    "files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    show_default="results/history.jsonl",
    help="The history file (repeatable for reading).",
)


def files_or_default(files: Sequence[Path]) -> tuple[Path, ...]:
    """The files that are named, else that of the project."""
    from bench.registry.project import project
    from bench.results.history import FILE

    return tuple(files) or (project().place(str(FILE)),)


@click.group(invoke_without_command=True)
@file_option
@click.option("--ablations", type=Names(), default=(), help="Show these alone.")
@click.option("--metrics", type=Names(), default=(), help="Show these alone.")
@click.option("--url", default="", metavar="URL", help="Where a commit is shown: https://HOST/NAME/commit/{commit}.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=None, help="Folder of the page.")
@json_option
@click.pass_context
def history(
    context: click.Context,
    files: tuple[Path, ...],
    ablations: tuple[str, ...],
    metrics: tuple[str, ...],
    url: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """The trend of each variant and metric over commits, with the commits at which it changed.

    Reads the lines that `bench history add` and `bench gate --history FILE` wrote, prints a table and writes a page of
    the report site, history.html. A static number changes where it differs. A number with noise changes where its level
    does, which needs 6 commits (docs/history.md). Times of other machines and conditions are other series.

    \b
    bench history add fcn_skips                                the numbers of this commit
    bench history --url https://HOST/OWNER/NAME/commit/{commit}
    bench history --metrics latency --json                     one object for each series
    """
    if context.invoked_subcommand is not None:
        context.obj = files
        return
    from bench.gate.history_page import checked_url, rows_of, text_table, write_page
    from bench.gate.trends import series_of
    from bench.registry.project import project
    from bench.results.history import read

    link = checked_url(url)
    series = series_of(read(files_or_default(files)), ablations, metrics)
    if not series:
        raise click.UsageError("no number of the history has these names; leave out --ablations and --metrics")
    page = write_page(series, out or project().reports, link)
    if as_json:
        print_json(each.as_row() for each in series)
    else:
        print_lines(text_table(rows_of(series)))
    echo(page, err=as_json)


@history.command()
@click.argument("names", metavar="[ABLATION]...", nargs=-1)
@click.option("--from", "bundle", type=click.Path(path_type=Path, file_okay=False, exists=True), help="A bundle.")
@click.option("--commit", default="", metavar="REV", help="The commit of the bundle. Default: HEAD.")
@file_option
@plugin
@store_option
@click.pass_context
def add(
    context: click.Context,
    names: tuple[str, ...],
    bundle: Path | None,
    commit: str,
    files: tuple[Path, ...],
    plugins: tuple[str, ...],
    store: Location,
) -> None:
    """Append the numbers of the commit that is checked out: the static ones, which are measured where they lack.

    With --from the numbers of a results bundle, those of speed and accuracy too. Default: all ablations of the project.

    \b
    bench history add
    bench history add --from results/reference/fcn_skips --commit v1.2
    """
    from bench.sweep.recording import numbers_of_bundle, static_numbers

    if bundle is None and commit:
        raise click.UsageError("--commit goes with --from; the numbers of the working tree are those of HEAD")
    if bundle is not None and names:
        raise click.UsageError("name ablations, or a bundle with --from")
    numbers = numbers_of_bundle(bundle) if bundle else static_numbers(names or own_ablations("record"), store, plugins)
    append_numbers(numbers, files or context.obj or (), commit or "HEAD", here=bundle is None)


def append_numbers(numbers: Sequence[Number], files: Sequence[Path], commit: str = "HEAD", here: bool = True) -> None:
    """Append a line to each file (default: that of the project), and print which."""
    from bench.results.history import append
    from bench.sweep.commits import commit_at
    from bench.sweep.recording import entry_of

    if not numbers:
        raise click.UsageError("there is no number to add; name an ablation that exists: bench list")
    entry = entry_of(commit_at(commit), numbers, here=here)
    for file in files_or_default(files):
        echo(f"{append(file, entry)}: {len(numbers)} numbers of {entry.label} {entry.subject}", err=True)
