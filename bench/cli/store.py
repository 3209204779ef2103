"""Commands on the results store itself: store check, store merge."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import echo, json_option, print_json, store_option


@click.group()
def store() -> None:
    """Check a results store, and add others to it."""


@store.command()
@click.argument("path", required=False, metavar="[STORE]", type=click.Path(path_type=Path))
@store_option
@json_option
def check(path: Path | None, store: Path, as_json: bool) -> None:
    """Look for damage: SQLite's pages and indexes, and the checksum of every row. Changes nothing.

    STORE is a file; default: that of --store. A damaged measurement is read by no table, and the next run measures it
    again.

    \b
    exit 0 no damage · 1 damage · 2 no results store
    """
    from bench.results.checking import check as checked

    place = path or store
    findings = checked(place)
    if as_json:
        print_json(vars(finding) for finding in findings)
    for finding in () if as_json else findings:
        echo(f"{finding.level}: {finding.place}: {finding.text}")
    faults = sum(finding.level == "fault" for finding in findings)
    echo(f"{place}: {faults} fault{'s' if faults > 1 else ''}" if faults else f"{place}: no damage", err=as_json)
    raise SystemExit(1 if faults else 0)


@store.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@store_option
def merge(files: tuple[Path, ...], store: Path) -> None:
    """Add the measurements of other stores to the store; what it has is left as it is.

    FILE is a store, or a file of results that a run could not store (it is removed then). A FILE that is damaged is
    refused before anything is added.
    """
    from bench.sweep.merging import merge as merged

    for file, added in merged(files, store):
        echo(f"{file}: {added} results added to {store}")
