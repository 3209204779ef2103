"""Commands that read what is stored: table, report, compare, export, import."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.errors import shows_tracebacks
from bench.cli.live import compare_live, live_options
from bench.cli.options import (
    Names,
    ablation_options,
    echo,
    echo_error,
    from_option,
    json_option,
    out_option,
    print_json,
    read_results,
    say_failed_plot,
    store_option,
)

if TYPE_CHECKING:
    from bench.results.location import Location
    from bench.results.results import Results


@click.command()
@click.argument("name", metavar="ABLATION")
@ablation_options
@from_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["md", "csv", "latex", "json"]),
    default="md",
    show_default=True,
    help="md and latex are rounded for people, csv and json exact.",
)
@click.option("--metrics", type=Names(), default=(), help="Only these metrics, in this order.")
@click.option(
    "--columns",
    type=Names(),
    default=(),
    help="Only these: variant, varied, axes, metrics; value, difference, verdict of the metric before, or of all; "
    "or main: the columns of the report's main table.",
)
@click.option("--sort", default="", metavar="[-]METRIC|AXIS", help="Order of the variants; - for descending.")
@click.option("--no-delta", "delta", is_flag=True, flag_value=False, default=True, help="No differences.")
@click.option("--best", is_flag=True, help="Best number of a metric in bold; in csv a column METRIC_best.")
@click.option(
    "--effects",
    is_flag=True,
    help="The main effects and interactions of axes that are crossed, on the main metric or on --metrics.",
)
def table(
    name: str,
    form: Any,
    metrics: tuple[str, ...],
    columns: tuple[str, ...],
    sort: str,
    delta: bool,
    best: bool,
    effects: bool,
    **options: Any,
) -> None:
    """Print the table of ABLATION.

    \b
    bench table fcn_skips --metrics params,miou --sort -miou --best
    bench table fcn_skips --columns variant,stride,miou,difference --format latex
    bench table fcn_skips --effects --metrics miou,boundary_iou

    LaTeX needs no package and fits the width of a page: broad tables are set in parts.

    Mean and standard deviation over seeds, and the difference from the baseline. What is not stored locally is read
    from the committed results bundle, results/reference/ABLATION; stderr says so. It also says what failed, and with
    --debug where."""
    from bench.report.choice import Choice
    from bench.report.effects import effects_text
    from bench.report.table import table as rendered

    if effects and (columns or sort or best or not delta):
        raise click.UsageError("--effects has columns of its own: of the other options it takes --metrics and --format")
    results = read_results(name, evaluations=False, **options)
    for failure in results.failures:
        echo_error("\n".join(failure.lines(shows_tracebacks())))
    if effects:
        echo(effects_text(results, form, metrics), nl=False)
        return
    echo(rendered(results, form, Choice(metrics, columns, sort, delta, best)), nl=False)


OBJECTS = 50_000
"""New objects between two searches for garbage in cycles. Figures make much of it: with Python's own 700 the searches
take 15 % of the time of eight pages; with these, the memory rises by 3 %."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Search seldom for objects that refer to each other in cycles."""
    thresholds = gc.get_threshold()
    gc.set_threshold(OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


@click.command()
@click.argument("names", metavar="[ABLATION]...", nargs=-1)
@ablation_options
@from_option
@click.option("--all", "every", is_flag=True, help="Every ablation that has results, and the index page.")
@out_option
@click.option(
    "--committed", is_flag=True, help="Write what is committed, from the bundles: reports/*/index.md, README."
)
@click.option("--check", is_flag=True, help="With --committed: write nothing, exit 1 where a committed text differs.")
@click.option("--compare", "paired", is_flag=True, help="Two ABLATIONs on one page, on common axes.")
@seldom_collected()
def report(
    names: tuple[str, ...], every: bool, out: Path, committed: bool, check: bool, paired: bool, **options: Any
) -> None:
    """Write the HTML page of each ABLATION.

    \b
    bench report fcn_skips           reports/site/fcn_skips/index.html
    bench report --all               the whole site with its index
    bench report --committed         the Markdown pages, the index and the numbers of the README
    bench report A B --compare       reports/site/compare/A-B/index.html; needs equal data and recipe
    """
    from bench.data.fingerprint import unchanged_data
    from bench.registry.builtin import names as default_names
    from bench.report.frontier import frontiers
    from bench.report.index import row_of
    from bench.report.site import index, pages
    from bench.report.tuning_effect import tuning_effects

    if check and not committed:
        raise click.UsageError("--check goes with --committed")
    if committed:
        raise SystemExit(_committed(names, check, options["plugins"]))
    if paired:
        echo(_report_of_two(names, every, out, **options))
        return
    if not names and not every:
        raise click.UsageError("name an ablation, or give --all")
    with unchanged_data():
        chosen = [read_results(name, quiet=every, **options) for name in names or default_names()]
    filled = [results for results in chosen if names or not results.frame.empty]
    rows = []
    for results in filled:
        for path in pages([results], out, options["plugins"], say_failed_plot):
            echo(path)
        rows += [row_of(results)] if every else []  # now, while what its page made of it is in memory
    if every:
        echo(index(rows, out, frontiers(filled), tuning_effects(filled)))


def _report_of_two(names: Sequence[str], every: bool, out: Path, **options: Any) -> Path:
    from bench.report.comparison import ComparisonError, compare_reports

    if len(names) != 2 or every:
        raise click.UsageError("--compare needs two ablations: bench report A B --compare")
    one, other = (read_results(name, evaluations=False, **options) for name in names)
    try:
        return compare_reports(one, other, out)
    except ComparisonError as error:
        raise click.ClickException(str(error)) from None


def _committed(names: Sequence[str], check: bool, plugins: Sequence[str]) -> int:
    from bench.report.committed import differing, write
    from bench.results.bundle import FOLDER, bundled_names

    bundled = bundled_names()
    if missing := [name for name in names or ["any ablation"] if name not in bundled and (names or not bundled)]:
        raise click.UsageError(f"{FOLDER} has no results bundle of {missing[0]}; write it with: bench export")
    all_results = [_committed_results(name, plugins) for name in bundled]
    pages = [results for results in all_results if not names or results.name in names]
    if not check:
        for path in write(pages, all_results):
            echo(path)
        return 0
    stale = differing(pages, all_results)
    for path in stale:
        echo_error(f"{path} differs from what the bundles say; write it with: bench report --committed")
    return 1 if stale else 0


def _committed_results(name: str, plugins: Sequence[str]) -> Results:
    """The results in an ablation's committed bundle, and nothing else."""
    import bench
    from bench.results.bundle import FOLDER

    return bench.load(name, source=FOLDER / name, plugins=plugins).results


@click.command()
@click.argument("a")
@click.argument("b")
@live_options
@json_option
def compare(a: str, b: str, live: bool, as_json: bool, **options: Any) -> None:
    """Compare two result sets, nothing dropped; with --live, time two networks against each other now.

    A and B are results stores, results bundles (folders), or tables that `bench table --format csv` wrote. Numbers are
    paired only where they were measured under the same conditions; the others say what differs.

    \b
    bench compare --live timm:resnet18 timm:resnet26 --shape 3,96,96
    bench compare --live "fcn_skips[stride=8,skips=true]" "fcn_skips[stride=8,skips=false]" --metrics latency,memory
    bench compare --live old.py:Net new.py:Net --budget 2m --json

    With --live both run at once, in processes that take turns on the same core, until the interval of the ratio lies
    within the tolerance (pass), beyond it (regression, win), or the budget is spent (inconclusive). --json prints an
    object for each metric: verdict, ratio, interval, rounds, false_alarm_rate, smallest_detectable and more.
    """
    if live:
        compare_live(a, b, as_json, **options)
    _compare_stored(Path(a), Path(b), as_json)


def _compare_stored(a: Path, b: Path, as_json: bool) -> None:
    from bench.results.compare import compare as compared
    from bench.results.compare import read

    lines = compared(read(a), read(b))
    if as_json:
        print_json(vars(line) for line in lines)
        return
    for line in lines:
        change = f"({line.change:+.6g})" if line.change else line.error
        text = " ".join(part for part in (change, line.note) if part)
        numbers = f"{_or_dash(line.a)} -> {_or_dash(line.b)}"
        echo(f"{line.status:9} {line.variant}  {line.metric}  {numbers} {text}")
    counts = {status: sum(line.status == status for line in lines) for status in dict.fromkeys(x.status for x in lines)}
    echo(", ".join(f"{count} {status}" for status, count in counts.items()) or "both are empty")


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.10g}"


@click.command()
@click.argument("name", metavar="ABLATION")
@ablation_options
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder. Default: results/reference/ABLATION; other formats need one.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["bundle", "parquet", "csv", "wandb", "mlflow", "tensorboard"]),
    default="bundle",
    show_default=True,
    help="A results bundle, or files of another tool.",
)
def export(name: str, to: Path | None, form: str, store: Location, data: Path | None, **options: Any) -> None:
    """Write what is stored of ABLATION as a results bundle, which can be committed and read anywhere.

    A bundle is text and small arrays, at most 1 MB. Reading it needs neither the dataset nor torch.

    \b
    bench export fcn_skips --format csv --to out            out/fcn_skips.csv, a row per sample
    bench export fcn_skips --format tensorboard --to out    training curves, a folder per variant and seed

    Parquet, W&B (offline) and MLflow (a file store) need fovbench[parquet], [wandb], [mlflow]. Nothing is sent."""
    if form != "bundle":
        _export_to_other_tool(name, form, to, store, data, **options)
        return
    from bench.cli.options import load_ablation
    from bench.results.bundle import folder_of, write
    from bench.results.store import Store
    from bench.sweep.exporting import bundle_of

    ablation = load_ablation(name, **options)
    with Store(store) as stored:
        bundle, missing = bundle_of(ablation, stored, data)
    if missing:
        echo_error(f"note: {missing} measurements are not stored, and not in the bundle; bench run {ablation.target}")
    echo(write(bundle, to or folder_of(ablation.name)))


def _export_to_other_tool(
    name: str, form: str, to: Path | None, store: Location, data: Path | None, **more: Any
) -> None:
    from bench.report.exports import export as exported

    if to is None:
        raise click.UsageError(f"--format {form} needs a folder: --to DIR")
    results = read_results(name, store, data, evaluations=form not in ("csv", "parquet"), **more)
    echo(exported(results, form, to))


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@store_option
def import_command(folder: Path, store: Location) -> None:
    """Add the measurements of a results bundle to the store.

    What the store has is left as it is. Measurements without a key in the bundle are skipped and counted."""
    from bench.results.bundle import read
    from bench.results.store import Store
    from bench.sweep.exporting import add_bundle

    bundle = read(folder)
    with Store(store) as stored:
        added, without_key = add_bundle(bundle, stored)
    echo(f"{added} of {len(bundle.records)} measurements added to {store}; {without_key} have no key")
