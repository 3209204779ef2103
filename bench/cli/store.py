"""Commands on the results store itself: store check, merge, info, prune, vacuum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bench.cli.options import StorePlace, echo, json_option, print_json, store_option

if TYPE_CHECKING:
    from bench.results.location import Location


@click.group()
def store() -> None:
    """Check a results store, say what it has, add others to it, make it smaller, remove the weights that runs kept."""


@store.command()
@click.argument("path", required=False, metavar="[STORE]", type=StorePlace())
@store_option
@json_option
def check(path: Location | None, store: Location, as_json: bool) -> None:
    """Look for damage: SQLite's pages and indexes, and the checksum of every row. Changes nothing.

    STORE is a file or a URL; default: that of --store. Of a server the checksums are compared; its pages are the
    business of its own pg_amcheck. A damaged measurement is read by no table, and the next run measures it
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
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=StorePlace(exists=True))
@store_option
def merge(files: tuple[Location, ...], store: Location) -> None:
    """Add the measurements of other stores to the store; what it has is left as it is, and different values counted.

    FILE is a store (a file, or the URL of a server), or a file of results that a run could not store (it is removed
    then). A FILE that is damaged is refused before anything is added. A file becomes a store on a server, and the
    other way round, by merging.
    """
    from bench.sweep.merging import merge as merged

    for file, added, different in merged(files, store):
        kept = f"; {different} of its results have another value there, which stays" if different else ""
        echo(f"{file}: {added} results added to {store}{kept}")


@store.command()
@store_option
@json_option
def info(store: Location, as_json: bool) -> None:
    """Say what the store has, and list the weights that runs kept (`bench run NAME --keep-weights`).

    Works while a run writes the store. With --json the first line is about the store, with the version of its layout;
    a line for each file of weights in the folder weights/ by the store follows.

    An ablation file names them by the first digits (weights: run:3f2a90c1), or by what they are of.
    """
    from bench.results.upkeep import contents
    from bench.results.weights import all_kept, weights_folder

    kept, has = all_kept(weights_folder(store)), contents(store)
    if as_json:
        print_json([*([vars(has)] if has else []), *(vars(each) for each in kept)])
        return
    if has is None:
        echo(f"{store}: there is no results store; the first bench run makes it")
    else:
        rows = ", ".join(f"{count:,} {table}s" for table, count in has.rows.items())
        old = f" (the next run makes it layout {has.current})" if has.version != has.current else ""
        echo(f"{store}: layout {has.version}{old}, {has.bytes / 1e6:.2f} MB; {rows}; {has.replaced:,} replaced")
    for each in kept:
        of = f"{each.ablation}: {each.variant} seed {each.seed}"
        echo(f"{each.digest[:12]}  {each.bytes / 1e6:8.2f} MB  {each.created}  {of}")
    echo(f"{len(kept)} files of weights, {sum(each.bytes for each in kept) / 1e6:.2f} MB, in {weights_folder(store)}")


@store.command()
@click.argument("digests", metavar="[DIGEST]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Remove all kept weights.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@store_option
def prune(digests: tuple[str, ...], everything: bool, dry_run: bool, store: Location) -> None:
    """Remove kept weights; measurements stay.

    DIGEST is the beginning of a digest that `bench store info` lists. Without one, weights are removed whose training
    run the store no longer has, those that a newer file of the same training run replaced, and what killed runs left.
    """
    from bench.results.store import Store
    from bench.results.weights import removable, remove, weights_folder

    folder = weights_folder(store)
    with Store(store) as stored:
        chosen = removable(folder, stored.evaluated(), digests, everything)
    for path in chosen:
        echo(f"{'would remove' if dry_run else 'removed'} {path}")
        if not dry_run:
            remove(path)
    echo(f"{len(chosen)} files of weights {'would be removed' if dry_run else 'removed'} from {folder}", err=True)


@store.command()
@click.argument("path", required=False, metavar="[STORE]", type=StorePlace())
@store_option
def vacuum(path: Location | None, store: Location) -> None:
    """Write the store anew, without the space of what was removed. No row is changed.

    STORE is a file or a URL; default: that of --store. Waits for a run that writes it. Others may read a file
    meanwhile; on a server (VACUUM FULL) they wait. The disk needs room for a second copy.
    """
    from bench.results.upkeep import vacuum as vacuumed

    place = path or store
    before, after = vacuumed(place)
    echo(f"{place}: {before / 1e6:.2f} MB before, {after / 1e6:.2f} MB now")
